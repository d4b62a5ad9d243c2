//! The change feed's endpoints (pds-api.md 11).

use rusqlite::Connection;
use serde_json::{Value, json};

use super::super::entry;
use super::super::fault::Quirk;
use super::super::feed;
use super::super::reply::{ApiResult, Reply};
use super::call::Call;

/// `file/get_last_cursor`: the position "now".
pub fn get_last_cursor(call: &Call) -> ApiResult<Reply> {
    let service = &call.service;
    let drive = call.drive()?;
    let root = call.args.text("sync_root_id")?.filter(|id| !id.is_empty());
    let last = service.store.read(|c| {
        sync_root(c, drive, root)?;
        feed::last(c)
    })?;
    Ok(Reply::ok(json!({"cursor": feed::cursor(&service.epoch, drive, last)})))
}

/// `file/list_delta`: without a cursor from the beginning of the log.
pub fn list_delta(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let (drive, limit) = (call.drive()?, args.limit(100, 200)?);
    let cursor = args.text("cursor")?.unwrap_or_default();
    let root = args.text("sync_root_id")?.filter(|id| !id.is_empty());
    service.store.read(|c| {
        let root = sync_root(c, drive, root)?;
        let after = if cursor.is_empty() { 0 } else { feed::position(c, &service.epoch, drive, cursor)? };
        let until = match call.quirk {
            Some(Quirk::Delayed(by)) => feed::told_until(c, drive, call.ago(by))?,
            _ => i64::MAX,
        };
        let (mut items, at) = feed::items(c, drive, after, until, limit)?;
        if let Some(root) = root {
            let inside: Vec<bool> =
                items.iter().map(|item| is_inside(c, drive, root, item)).collect::<ApiResult<_>>()?;
            let mut inside = inside.into_iter();
            items.retain(|_| inside.next().unwrap_or(true));
        }
        let has_more = feed::has_more(c, drive, at, until)?;
        Ok(Reply::ok(json!({
            "items": items,
            "has_more": has_more,
            "cursor": feed::cursor(&service.epoch, drive, at),
        })))
    })
}

/// The row number of the folder that a feed is restricted to.
fn sync_root(c: &Connection, drive: i64, id: Option<&str>) -> ApiResult<Option<i64>> {
    id.map(|id| Ok(entry::live_folder(c, drive, id, "sync_root_id")?.seq)).transpose()
}

/// Whether an item is about the folder or something in it, now or before a move. What can no longer be told,
/// because folders on the way are gone, counts as inside: an item too many does no harm, one too few does.
fn is_inside(c: &Connection, drive: i64, root: i64, item: &Value) -> ApiResult<bool> {
    let file = &item["file"];
    for id in [&item["file_id"], &file["parent_file_id"], &file["src_parent_file_id"]] {
        let Some(id) = id.as_str() else { continue };
        match entry::find(c, drive, id)? {
            Some(entry) if !entry::is_within(c, entry.seq, root)? => {}
            // The entry itself may be gone while its folder tells where it was.
            None if *id == item["file_id"] => {}
            _ => return Ok(true),
        }
    }
    Ok(false)
}
