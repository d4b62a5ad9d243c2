//! Drives (pds-api.md 7.3). Everyone sees their own; administrators see, make, change and remove all.

use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use serde_json::{Value, json};

use super::super::account::{self, DriveFacts, NewDrive};
use super::super::clock::iso;
use super::super::reply::{ApiError, ApiResult, Reply};
use super::super::{DRIVE_ID, Service, complete};
use super::call::Call;

/// The columns of a Drive, as [`describe`] reads them.
const COLUMNS: &str =
    "id, name, total_bytes, used_bytes, owner, description, creator, enabled, created_at, updated_at";
const MAX_NAME_CHARS: usize = 128;

/// `drive/get`, of a disabled one too.
pub fn get(call: &Call) -> ApiResult<Reply> {
    let (id, _) = call.any_drive("drive_id")?;
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
pub fn list_mine(call: &Call) -> ApiResult<Reply> {
    let owner = call.user_id()?;
    page(call, &[("owner", owner)])
}

/// `drive/list`, for administrators.
pub fn list(call: &Call) -> ApiResult<Reply> {
    call.require_admin()?;
    let owner = owner_wanted(call)?;
    page(call, &owner.map(|owner| ("owner", owner)).into_iter().collect::<Vec<_>>())
}

/// `drive/search`, for administrators: an exact name.
pub fn search(call: &Call) -> ApiResult<Reply> {
    call.require_admin()?;
    let name = call.args.text("drive_name")?.filter(|name| !name.is_empty());
    let name = name.map(|name| ("name", name.to_owned()));
    let owner = owner_wanted(call)?.map(|owner| ("owner", owner));
    page(call, &name.into_iter().chain(owner).collect::<Vec<_>>())
}

/// `drive/list_my_group_drive`: there are no groups here, so no drives of groups.
pub fn list_my_group(call: &Call) -> ApiResult<Reply> {
    call.args.limit(100, 100)?;
    Ok(Reply::ok(json!({"items": [], "root_group_drive": null, "next_marker": ""})))
}

/// `drive/create`, for administrators.
pub fn create(call: &Call) -> ApiResult<Reply> {
    call.require_admin()?;
    let Call { service, args, caller, .. } = call;
    let (name, owner) = (name(call, true)?.unwrap_or_default(), args.required("owner")?.to_owned());
    args.required("owner_type")?;
    if args.choice("owner_type", &["user", "group"])? == "group" {
        return Err(ApiError::not_found("Group"));
    }
    if args.choice("drive_type", &["normal", "large"])? == "large" {
        return Err(ApiError::new(
            400,
            "InvalidParameterNotSupported.DriveType",
            "The input parameter drive_type is not supported.",
        ));
    }
    let (total, enabled, default) = (total_bytes(call)?.unwrap_or(-1), enabled(call)?, args.flag("default")?);
    let description = description(call)?.unwrap_or_default();
    let creator = if caller.user_id.is_empty() { "system" } else { &caller.user_id }.to_owned();
    let (now, user) = (service.clock.now_ms(), owner.clone());
    let id = service.store.write(move |c| {
        let mut user = account::user(c, &user)?;
        let new = NewDrive {
            name: &name,
            owner: &user.id,
            description: &description,
            total_bytes: total,
            creator: &creator,
            now,
        };
        let id = account::make_drive(c, None, &new)?;
        if enabled == Some(false) {
            c.execute("UPDATE drive SET enabled = 0 WHERE id = ?1", [id])?;
        }
        if default || user.default_drive.is_none() {
            user.default_drive = Some(id);
            user.updated_at = now;
            user.save(c)?;
        }
        Ok(id)
    })?;
    service.drives.set(id, Some(DriveFacts { owner, enabled: enabled.unwrap_or(true) }));
    let body = json!({"domain_id": service.domain_id(), "drive_id": id.to_string()});
    Ok(Reply::created(body))
}

/// `drive/update`: owners name and describe, administrators do the rest too.
pub fn update(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let (id, mut facts) = call.any_drive("drive_id")?;
    let (name, description) = (name(call, false)?, description(call)?);
    let (total, enabled) = (total_bytes(call)?, enabled(call)?);
    let owner = args.text("owner")?.filter(|owner| !owner.is_empty()).map(str::to_owned);
    if total.is_some() || enabled.is_some() || owner.is_some() {
        call.require_admin()?;
    }
    let (worker, new_owner, now) = (service.clone(), owner.clone(), service.clock.now_ms());
    let reply = service.store.write(move |c| {
        if let Some(owner) = &new_owner {
            account::user(c, owner)?;
        }
        let sql = "UPDATE drive SET name = coalesce(?2, name), description = coalesce(?3, description),
            total_bytes = coalesce(?4, total_bytes), enabled = coalesce(?5, enabled),
            owner = coalesce(?6, owner), updated_at = ?7 WHERE id = ?1";
        c.prepare_cached(sql)?.execute(params![id, name, description, total, enabled, new_owner, now])?;
        drive(&worker, c, id)
    })?;
    facts.enabled = enabled.unwrap_or(facts.enabled);
    facts.owner = owner.unwrap_or(facts.owner);
    service.drives.set(id, Some(facts));
    Ok(Reply::ok(reply))
}

/// `drive/delete`, for administrators; with `force` also one that has files.
pub fn delete(call: &Call) -> ApiResult<Reply> {
    call.require_admin()?;
    let Call { service, args, .. } = call;
    let ((id, _), force) = (call.any_drive("drive_id")?, args.flag("force")?);
    if id == DRIVE_ID {
        return Err(ApiError::forbidden("Drive"));
    }
    let uploads: Vec<String> = service.store.read(|c| {
        let full: bool = c.query_row(
            "SELECT EXISTS (SELECT 1 FROM entry WHERE drive = ?1 AND parent > 0)",
            [id],
            |row| row.get(0),
        )?;
        if full && !force {
            return Err(ApiError::new(409, "StateConflict.DriveNotEmpty", "The drive is not empty."));
        }
        let mut statement = c.prepare("SELECT id FROM upload WHERE drive = ?1")?;
        Ok(statement.query_map([id], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
    })?;
    // From here on nothing new comes in.
    service.drives.set(id, None);
    for upload in uploads {
        complete::abandon(service, upload)?;
    }
    service.store.write(move |c| erase(c, id))?;
    service.wake_housekeeping();
    Ok(Reply::empty())
}

/// Removes every row of a drive; bytes that no other drive has are doomed.
fn erase(c: &Connection, id: i64) -> ApiResult<()> {
    for sql in [
        "INSERT OR REPLACE INTO doomed (file, in_use) SELECT DISTINCT b.file, 0 FROM blob b
            JOIN revision r ON r.blob = b.id JOIN entry e ON e.seq = r.entry WHERE e.drive = ?1
            AND NOT EXISTS (SELECT 1 FROM revision r2 JOIN entry e2 ON e2.seq = r2.entry
                WHERE r2.blob = b.id AND e2.drive <> ?1)",
        "DELETE FROM blob WHERE id IN (SELECT r.blob FROM revision r JOIN entry e ON e.seq = r.entry
                WHERE e.drive = ?1)
            AND NOT EXISTS (SELECT 1 FROM revision r2 JOIN entry e2 ON e2.seq = r2.entry
                WHERE r2.blob = blob.id AND e2.drive <> ?1)",
        "DELETE FROM revision WHERE entry IN (SELECT seq FROM entry WHERE drive = ?1)",
        "DELETE FROM entry WHERE drive = ?1",
        "DELETE FROM feed WHERE drive = ?1",
        "DELETE FROM share WHERE drive = ?1",
        "DELETE FROM drive WHERE id = ?1",
        "UPDATE user SET default_drive = NULL WHERE default_drive = ?1",
    ] {
        c.execute(sql, [id])?;
    }
    Ok(())
}

fn name(call: &Call, needed: bool) -> ApiResult<Option<String>> {
    if !needed && call.args.text("drive_name")?.is_none_or(str::is_empty) {
        return Ok(None);
    }
    let name = call.args.required("drive_name")?;
    if name.chars().count() > MAX_NAME_CHARS {
        return Err(ApiError::invalid("drive_name", "It has more than 128 characters."));
    }
    Ok(Some(name.to_owned()))
}

fn description(call: &Call) -> ApiResult<Option<String>> {
    let text = call.args.text("description")?;
    if text.is_some_and(|text| text.chars().count() > 1024) {
        return Err(ApiError::invalid("description", "It has more than 1024 characters."));
    }
    Ok(text.map(str::to_owned))
}

/// `total_size`; no limit is -1.
fn total_bytes(call: &Call) -> ApiResult<Option<i64>> {
    let value = call.args.value("total_size");
    let total = value.map(|value| value.as_i64().or_else(|| value.as_str()?.parse().ok()));
    match total {
        None => Ok(None),
        Some(Some(total)) if total >= -1 => Ok(Some(if total == 0 { -1 } else { total })),
        Some(_) => Err(ApiError::invalid("total_size", "It is a number of bytes, or -1 for no limit.")),
    }
}

fn enabled(call: &Call) -> ApiResult<Option<bool>> {
    match call.args.text("status")?.filter(|status| !status.is_empty()) {
        None => Ok(None),
        Some("enabled") => Ok(Some(true)),
        Some("disabled") => Ok(Some(false)),
        Some(_) => Err(ApiError::invalid("status", "It is enabled or disabled.")),
    }
}

fn owner_wanted(call: &Call) -> ApiResult<Option<String>> {
    call.args.choice("owner_type", &["", "user", "group"])?;
    Ok(call.args.text("owner")?.filter(|owner| !owner.is_empty()).map(str::to_owned))
}

/// Drives whose columns have these values, in order of number.
fn page(call: &Call, wanted: &[(&str, String)]) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let limit = args.limit(100, 100)?;
    let after: i64 = match args.text("marker")?.filter(|marker| !marker.is_empty()) {
        None => 0,
        Some(marker) => {
            marker.parse().map_err(|_| ApiError::invalid("marker", "It is not of this query."))?
        }
    };
    let mut sql = format!("SELECT {COLUMNS} FROM drive WHERE id > ?");
    let mut values = vec![SqlValue::Integer(after)];
    for (column, value) in wanted {
        sql.push_str(&format!(" AND {column} = ?"));
        values.push(SqlValue::Text(value.clone()));
    }
    sql.push_str(" ORDER BY id LIMIT ?");
    values.push(SqlValue::Integer(limit.cast_signed() + 1));
    service.store.read(|c| {
        let mut statement = c.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(values), |row| describe(service, row))?;
        let mut items: Vec<Value> = rows.collect::<rusqlite::Result<_>>()?;
        let more = items.len() as u64 > limit;
        items.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = items.last().filter(|_| more).map_or(json!(""), |last| last["drive_id"].clone());
        Ok(Reply::ok(json!({"items": items, "next_marker": next})))
    })
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
