//! Revisions of a file, newest first (pds-api.md 13).

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};

use super::super::Service;
use super::super::clock::iso;
use super::super::entry::{self, Content, Entry};
use super::super::hash::upper_hex;
use super::super::reply::{ApiError, ApiResult, Reply};
use super::call::Call;

const COLUMNS: &str = "r.seq, r.id, r.version, r.name, r.upload_id, r.content_type, r.mime_type, r.mime_extension, \
     r.category, r.image_json, r.video_json, r.created_at, r.updated_at, r.keep_forever, r.description, \
     b.id, b.file, b.sha1, b.size, b.crc64";

/// A revision of this entry, or `NotFound.RevisionId`.
pub fn find(c: &Connection, entry: i64, id: &str) -> ApiResult<Content> {
    let sql = format!(
        "SELECT {COLUMNS} FROM revision r JOIN blob b ON b.id = r.blob WHERE r.entry = ?1 AND r.id = ?2"
    );
    let found =
        c.prepare_cached(&sql)?.query_row(params![entry, id], |row| Content::from_row(row, 0)).optional()?;
    found.ok_or_else(|| ApiError::not_found("RevisionId"))
}

/// `file/revision/get`.
pub fn get(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let secs = match args.number("url_expire_sec")? {
        None | Some(0) => 0,
        Some(secs) if (10..=86_400).contains(&secs) => secs,
        Some(_) => return Err(ApiError::invalid("url_expire_sec", "It is 10 to 86400.")),
    };
    let (drive, file_id, id) = (call.drive()?, args.required("file_id")?, args.required("revision_id")?);
    service.store.read(|c| {
        let entry = entry::live(c, drive, file_id)?;
        let content = find(c, entry.seq, id)?;
        let mut revision = describe(service, &entry, &content);
        revision["download_url"] = service.download_url(&content, &entry.name, secs).into();
        Ok(Reply::ok(revision))
    })
}

/// `file/revision/list`.
pub fn list(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let (drive, file_id, limit) = (call.drive()?, args.required("file_id")?, args.limit(50, 200)?);
    let before = match args.text("marker")?.filter(|marker| !marker.is_empty()) {
        None => i64::MAX,
        Some(marker) => {
            marker.parse().map_err(|_| ApiError::invalid("marker", "It is not of this query."))?
        }
    };
    service.store.read(|c| {
        let entry = entry::live(c, drive, file_id)?;
        entry.content()?;
        let sql = format!(
            "SELECT {COLUMNS} FROM revision r JOIN blob b ON b.id = r.blob
             WHERE r.entry = ?1 AND r.version < ?2 ORDER BY r.version DESC LIMIT ?3"
        );
        let mut statement = c.prepare_cached(&sql)?;
        let rows = statement.query_map(params![entry.seq, before, limit.cast_signed() + 1], |row| {
            Content::from_row(row, 0)
        })?;
        let mut contents: Vec<Content> = rows.collect::<rusqlite::Result<_>>()?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = contents.len() > limit;
        contents.truncate(limit);
        let next = contents.last().filter(|_| more).map_or(String::new(), |last| last.version.to_string());
        let items: Vec<Value> = contents.iter().map(|content| describe(service, &entry, content)).collect();
        Ok(Reply::ok(json!({"items": items, "next_marker": next})))
    })
}

fn describe(service: &Service, entry: &Entry, content: &Content) -> Value {
    let owner = service.drives.owner(entry.drive);
    let is_latest = entry.content.as_ref().is_some_and(|current| current.revision == content.revision);
    json!({
        "domain_id": service.domain_id(),
        "drive_id": entry.drive.to_string(),
        "file_id": entry.file_id,
        "revision_id": content.revision_id,
        "revision_name": content.name,
        "revision_version": content.version,
        "size": content.size,
        "file_extension": content.name.rsplit_once('.').map_or("", |(_, extension)| extension).to_lowercase(),
        "created_at": iso(content.created_at),
        "updated_at": iso(content.updated_at),
        "keep_forever": content.keep_forever,
        "revision_description": content.description,
        "is_latest_version": is_latest,
        "crc64_hash": content.crc64.to_string(),
        "content_hash": upper_hex(&content.sha1),
        "content_hash_name": "sha1",
        "creator_id": owner,
        "creator_name": owner,
        "creator_type": "User",
    })
}
