//! The domain and its users (pds-api.md 7.1, 7.2).

use rusqlite::Connection;
use serde_json::json;

use super::super::account;
use super::super::clock::iso;
use super::super::reply::{ApiError, ApiResult, Reply};
use super::call::Call;

/// `domain/get`.
pub fn get(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    if args.text("domain_id")?.is_some_and(|id| !id.is_empty() && id != service.domain_id()) {
        return Err(ApiError::not_found("Domain"));
    }
    let with_used = args.flag("get_quota_used")?;
    let (totals, created_at) = service.store.read(|c| {
        let created_at: i64 =
            c.query_row("SELECT coalesce(min(created_at), 0) FROM drive", [], |row| row.get(0))?;
        Ok((totals(c)?, created_at))
    })?;
    let mut domain = json!({
        "domain_id": service.domain_id(),
        "domain_name": service.domain_id(),
        "description": "",
        "parent_domain_id": "",
        "status": 1,
        "created_at": iso(created_at),
        "updated_at": iso(created_at),
        "init_drive_enable": true,
        "init_drive_size": -1,
        "size_quota": 0,
        "used_size": totals.bytes,
        "user_count_quota": 0,
        "sharable": true,
        "data_hash_name": "sha1",
        "store_redundancy_type": "LRS",
        "published_app_access_strategy": {"effect": "allow", "except_app_id_list": []},
    });
    if with_used {
        domain["size_quota_used"] = totals.bytes.into();
    }
    Ok(Reply::ok(domain))
}

/// `domain/get_quota`.
pub fn get_quota(call: &Call) -> ApiResult<Reply> {
    let totals = call.service.store.read(totals)?;
    Ok(Reply::ok(json!({
        "size_quota": 0,
        "size_used": totals.bytes,
        "user_count_quota": 0,
        "user_count_used": totals.users,
    })))
}

struct Totals {
    bytes: i64,
    users: i64,
}

fn totals(c: &Connection) -> ApiResult<Totals> {
    let sql = "SELECT (SELECT coalesce(sum(used_bytes), 0) FROM drive), (SELECT count(*) FROM user)";
    let row = |row: &rusqlite::Row<'_>| Ok(Totals { bytes: row.get(0)?, users: row.get(1)? });
    Ok(c.prepare_cached(sql)?.query_row([], row)?)
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
