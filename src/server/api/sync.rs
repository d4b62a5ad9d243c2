//! The change feed's endpoints (pds-api.md 11).

use serde_json::json;

use super::super::feed;
use super::super::reply::{ApiResult, Reply};
use super::call::Call;

/// `file/get_last_cursor`: the position "now".
pub fn get_last_cursor(call: &Call) -> ApiResult<Reply> {
    let service = &call.service;
    let drive = call.drive()?;
    let last = service.store.read(feed::last)?;
    Ok(Reply::ok(json!({"cursor": feed::cursor(&service.epoch, drive, last)})))
}

/// `file/list_delta`: without a cursor from the beginning of the log.
pub fn list_delta(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let (drive, limit) = (call.drive()?, args.limit(100, 200)?);
    let cursor = args.text("cursor")?.unwrap_or_default();
    service.store.read(|c| {
        let after = if cursor.is_empty() { 0 } else { feed::position(c, &service.epoch, drive, cursor)? };
        let (items, at) = feed::items(c, drive, after, limit)?;
        let has_more = at < feed::last(c)?;
        Ok(Reply::ok(json!({
            "items": items,
            "has_more": has_more,
            "cursor": feed::cursor(&service.epoch, drive, at),
        })))
    })
}
