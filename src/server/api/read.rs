//! One file's metadata: get, get_by_path (pds-api.md 9.1, 9.2).

use rusqlite::Connection;
use serde_json::Value;

use super::super::entry::{self, Entry};
use super::super::reply::{ApiError, ApiResult, Reply};
use super::super::thumbnail::Thumbnails;
use super::super::view::{self, Fields};
use super::args::Args;
use super::call::Call;
use super::revision;

/// The fields a request asks for, and the life of the URLs among them.
pub fn fields(args: &Args) -> ApiResult<Fields> {
    let url_secs = match args.number("url_expire_sec")? {
        None | Some(0) => 0,
        Some(secs) if (10..=14_400).contains(&secs) => secs,
        Some(_) => return Err(ApiError::invalid("url_expire_sec", "It is 10 to 14400.")),
    };
    Ok(Fields { url_secs, ..Fields::parse(args.text("fields")?.unwrap_or_default()) })
}

/// An entry as the caller wants to see it, with thumbnails if they are asked for.
pub fn file(call: &Call, c: &Connection, entry: &Entry, fields: Fields) -> ApiResult<Value> {
    let mut file = view::file(&call.service, c, entry, fields)?;
    Thumbnails::asked(&call.args)?.add(&call.service, entry, fields.url_secs, &mut file);
    Ok(file)
}

/// The same of many.
pub fn files(call: &Call, c: &Connection, entries: &[Entry], fields: Fields) -> ApiResult<Vec<Value>> {
    let thumbnails = Thumbnails::asked(&call.args)?;
    let one = |entry: &Entry| {
        let mut file = view::file(&call.service, c, entry, fields)?;
        thumbnails.add(&call.service, entry, fields.url_secs, &mut file);
        Ok(file)
    };
    entries.iter().map(one).collect()
}

/// `file/get`, also as an older revision has it. A trashed file is described, with `trashed`.
pub fn get(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let (drive, id, fields) = (call.drive()?, args.id("file_id")?, fields(args)?.of_one());
    service.store.read(|c| {
        let mut entry = entry::get(c, drive, id)?;
        if let Some(revision) = args.text("revision_id")?.filter(|id| !id.is_empty()) {
            entry.content()?;
            entry.content = Some(revision::find(c, entry.seq, revision)?);
        }
        Ok(Reply::ok(file(call, c, &entry, fields)?))
    })
}

/// `file/get_by_path`.
pub fn get_by_path(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let (drive, path, fields) = (call.drive()?, args.required("file_path")?, fields(args)?.of_one());
    let names =
        path.strip_prefix('/').ok_or_else(|| ApiError::invalid("file_path", "It starts with a slash."))?;
    service.store.read(|c| {
        let mut entry = entry::get(c, drive, "root")?;
        for name in names.split('/').filter(|_| !names.is_empty()) {
            let child = entry::child(c, entry.seq, name)?;
            entry = child.ok_or_else(|| ApiError::not_found("File"))?;
        }
        Ok(Reply::ok(file(call, c, &entry, fields)?))
    })
}
