//! Drives and the user (pds-api.md 7.2, 7.3): there is one of each.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::clock::iso;
use super::super::reply::{ApiError, ApiResult, Reply};
use super::super::{DRIVE_ID, Service};
use super::args::Args;

/// `drive/get`.
pub fn get(service: &Arc<Service>, args: &Args) -> ApiResult<Reply> {
    args.drive()?;
    Ok(Reply::ok(drive(service)?))
}

/// `drive/get_default_drive`.
pub fn get_default(service: &Arc<Service>, args: &Args) -> ApiResult<Reply> {
    check_user(service, args)?;
    Ok(Reply::ok(drive(service)?))
}

/// `drive/list_my_drives`.
pub fn list(service: &Arc<Service>, args: &Args) -> ApiResult<Reply> {
    args.limit(100, 100)?;
    if args.text("marker")?.is_some_and(|marker| !marker.is_empty()) {
        return Err(ApiError::invalid("marker", "There is one page."));
    }
    Ok(Reply::ok(json!({"items": [drive(service)?], "next_marker": ""})))
}

/// `user/get`.
pub fn user(service: &Arc<Service>, args: &Args) -> ApiResult<Reply> {
    check_user(service, args)?;
    let created_at: i64 = service.store.read(|c| {
        Ok(c.query_row("SELECT created_at FROM drive WHERE id = ?1", [DRIVE_ID], |row| row.get(0))?)
    })?;
    Ok(Reply::ok(json!({
        "user_id": service.user_id(),
        "domain_id": service.domain_id(),
        "user_name": service.user_id(),
        "nick_name": service.user_id(),
        "email": "",
        "phone": "",
        "avatar": "",
        "role": "user",
        "status": "enabled",
        "default_drive_id": DRIVE_ID.to_string(),
        "description": "",
        "creator": "system",
        "user_data": {},
        "created_at": created_at,
        "updated_at": created_at,
        "last_login_time": created_at,
    })))
}

fn check_user(service: &Service, args: &Args) -> ApiResult<()> {
    match args.text("user_id")? {
        None | Some("") => Ok(()),
        Some(user) if user == service.user_id() => Ok(()),
        Some(_) => Err(ApiError::not_found("UserId")),
    }
}

fn drive(service: &Service) -> ApiResult<Value> {
    let sql = "SELECT name, total_bytes, used_bytes, created_at FROM drive WHERE id = ?1";
    let (name, total, used, created_at): (String, i64, i64, i64) = service.store.read(|c| {
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
        Ok(c.prepare_cached(sql)?.query_row([DRIVE_ID], row)?)
    })?;
    Ok(json!({
        "domain_id": service.domain_id(),
        "drive_id": DRIVE_ID.to_string(),
        "drive_name": name,
        "drive_type": "normal",
        "description": "",
        "owner": service.user_id(),
        "owner_type": "user",
        "creator": "system",
        "status": "enabled",
        "total_size": total,
        "used_size": used,
        "encrypt_mode": "none",
        "delta_enabled": true,
        "created_at": iso(created_at),
        "updated_at": iso(created_at),
    }))
}
