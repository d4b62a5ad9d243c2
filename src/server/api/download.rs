//! Download URLs (pds-api.md 12.1, 12.3).

use rusqlite::Connection;
use serde_json::json;

use super::super::clock::iso;
use super::super::entry::{self, Content, Entry};
use super::super::hash::upper_hex;
use super::super::reply::{ApiError, ApiResult, Reply};
use super::super::thumbnail;
use super::call::Call;
use super::revision;

/// The longest life of a download URL in seconds (4.5).
const MAX_EXPIRE_SECS: u64 = 115_200;

/// `file/get_download_url`.
pub fn get_download_url(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let secs = match args.number("expire_sec")? {
        None | Some(0) => service.options.download_url_secs,
        Some(secs) if secs <= MAX_EXPIRE_SECS => secs,
        Some(_) => return Err(ApiError::invalid("expire_sec", "It is 1 to 115200.")),
    };
    let (entry, content) = service.store.read(|c| wanted(c, call))?;
    let name = match args.text("file_name")? {
        None | Some("") => entry.name.as_str(),
        Some(_) => args.name("file_name")?,
    };
    let kind = args.text("response_content_type")?.filter(|kind| !kind.is_empty());
    let url = service.download_url_as(&content, name, secs, kind);
    Ok(Reply::ok(json!({
        "domain_id": service.domain_id(),
        "drive_id": entry.drive.to_string(),
        "file_id": entry.file_id,
        "revision_id": content.revision_id,
        "method": "GET",
        "url": url,
        "internal_url": url,
        "cdn_url": url,
        "expiration": iso(service.expiry_secs(secs).saturating_mul(1000)),
        "size": content.size,
        "crc64_hash": content.crc64.to_string(),
        "content_hash": upper_hex(&content.sha1),
        "content_hash_name": "sha1",
        "punish_flag": 0,
    })))
}

/// Where `GET /v2/file/download` redirects to.
pub fn location(call: &Call) -> ApiResult<String> {
    let Call { service, args, .. } = call;
    let (entry, content) = service.store.read(|c| wanted(c, call))?;
    Ok(match thumbnail::of_download(args, &content)? {
        Some(process) => service.picture_url(&content, process, 0),
        None => service.download_url(&content, &entry.name, 0),
    })
}

/// The file asked for, with its current or the named content.
fn wanted(c: &Connection, call: &Call) -> ApiResult<(Entry, Content)> {
    let entry = entry::live(c, call.drive()?, call.args.id("file_id")?)?;
    let current = entry.content()?.clone();
    let content = match call.args.text("revision_id")? {
        None | Some("") => current,
        Some(id) => revision::find(c, entry.seq, id)?,
    };
    Ok((entry, content))
}
