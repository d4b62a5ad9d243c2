//! Drives and the user (pds-api.md 7.2, 7.3).

use rusqlite::{Connection, OptionalExtension, Row};
use serde_json::{Value, json};

use super::super::Service;
use super::super::account;
use super::super::clock::iso;
use super::super::reply::{ApiError, ApiResult, Reply};
use super::call::Call;

/// The columns of a Drive, as [`describe`] reads them.
const COLUMNS: &str =
    "id, name, total_bytes, used_bytes, owner, description, creator, enabled, created_at, updated_at";

/// `drive/get`.
pub fn get(call: &Call) -> ApiResult<Reply> {
    let id = call.drive()?;
    Ok(Reply::ok(call.service.store.read(|c| drive(&call.service, c, id))?))
}

/// `drive/get_default_drive`.
pub fn get_default(call: &Call) -> ApiResult<Reply> {
    let user = call.user_id()?;
    call.service.store.read(|c| {
        let user = account::user(c, &user)?;
        let id = user.default_drive.ok_or_else(|| ApiError::not_found("Drive"))?;
        Ok(Reply::ok(drive(&call.service, c, id)?))
    })
}

/// `drive/list_my_drives`.
pub fn list(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let (user, limit) = (call.user_id()?, args.limit(100, 100)?);
    let after: i64 = match args.text("marker")?.filter(|marker| !marker.is_empty()) {
        None => 0,
        Some(marker) => {
            marker.parse().map_err(|_| ApiError::invalid("marker", "It is not of this query."))?
        }
    };
    service.store.read(|c| {
        let sql = format!("SELECT {COLUMNS} FROM drive WHERE owner = ?1 AND id > ?2 ORDER BY id LIMIT ?3");
        let mut statement = c.prepare_cached(&sql)?;
        let rows =
            statement.query_map((user, after, limit.cast_signed() + 1), |row| describe(service, row))?;
        let mut items: Vec<Value> = rows.collect::<rusqlite::Result<_>>()?;
        let more = items.len() as u64 > limit;
        items.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = items.last().filter(|_| more).map_or(json!(""), |last| last["drive_id"].clone());
        Ok(Reply::ok(json!({"items": items, "next_marker": next})))
    })
}

/// `user/get`.
pub fn user(call: &Call) -> ApiResult<Reply> {
    let id = call.user_id()?;
    let user = call.service.store.read(|c| account::user(c, &id))?;
    Ok(Reply::ok(json!({
        "user_id": user.id,
        "domain_id": call.service.domain_id(),
        "user_name": user.name,
        "nick_name": user.nick_name,
        "email": user.email,
        "phone": user.phone,
        "avatar": "",
        "role": user.role.name(),
        "status": if user.enabled { "enabled" } else { "disabled" },
        "default_drive_id": user.default_drive.map_or(String::new(), |id| id.to_string()),
        "description": user.description,
        "creator": user.creator,
        "user_data": user.data,
        "created_at": user.created_at,
        "updated_at": user.updated_at,
        "last_login_time": user.updated_at,
    })))
}

fn drive(service: &Service, c: &Connection, id: i64) -> ApiResult<Value> {
    let sql = format!("SELECT {COLUMNS} FROM drive WHERE id = ?1");
    let found = c.prepare_cached(&sql)?.query_row([id], |row| describe(service, row)).optional()?;
    found.ok_or_else(|| ApiError::not_found("DriveId"))
}

fn describe(service: &Service, row: &Row<'_>) -> rusqlite::Result<Value> {
    let (id, name, owner): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(4)?);
    let (total, used): (i64, i64) = (row.get(2)?, row.get(3)?);
    let (description, creator, enabled): (String, String, bool) = (row.get(5)?, row.get(6)?, row.get(7)?);
    Ok(json!({
        "domain_id": service.domain_id(),
        "drive_id": id.to_string(),
        "drive_name": name,
        "drive_type": "normal",
        "description": description,
        "owner": owner,
        "owner_type": "user",
        "creator": creator,
        "status": if enabled { "enabled" } else { "disabled" },
        "total_size": total,
        "used_size": used,
        "encrypt_mode": "none",
        "delta_enabled": true,
        "created_at": iso(row.get(8)?),
        "updated_at": iso(row.get(9)?),
    }))
}
