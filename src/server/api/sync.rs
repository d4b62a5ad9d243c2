//! The change feed's endpoints (pds-api.md 11).

use std::sync::Arc;

use serde_json::json;

use super::super::Service;
use super::super::feed;
use super::super::reply::{ApiResult, Reply};
use super::args::Args;

/// `file/get_last_cursor`: the position "now".
pub fn get_last_cursor(service: &Arc<Service>, args: &Args) -> ApiResult<Reply> {
    let drive = args.drive()?;
    let last = service.store.read(feed::last)?;
    Ok(Reply::ok(json!({"cursor": feed::cursor(&service.epoch, drive, last)})))
}

/// `file/list_delta`: without a cursor from the beginning of the log.
pub fn list_delta(service: &Arc<Service>, args: &Args) -> ApiResult<Reply> {
    let (drive, limit) = (args.drive()?, args.limit(100, 200)?);
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
