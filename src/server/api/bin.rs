//! The recycle bin (pds-api.md 10.5). A trashed folder is one entry; what is below it is hidden with it.

use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::super::Service;
use super::super::entry::{self, ENTRY_COLUMNS, ENTRY_TABLES, Entry, LIMBO, NewEntry};
use super::super::feed::{self, Op};
use super::super::reply::{ApiError, ApiResult, Reply};
use super::super::task::{self, Work};
use super::call::Call;
use super::change::{not_root, require_empty};
use super::read::{self, fields};

/// `recyclebin/trash`.
pub fn trash(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let (drive, id) = (call.drive()?, args.id("file_id")?.to_owned());
    let only_empty = args.flag("check_folder_empty")?;
    let user = call.caller.user_id.clone();
    let service = service.clone();
    change(call, move |c| {
        let entry = entry::live(c, drive, &id)?;
        not_root(&entry)?;
        if only_empty {
            require_empty(c, &entry)?;
        }
        if task::is_large(&service, c, &entry)? {
            return accepted(&service, c, &user, &entry, &Work::Trash { drive, file_id: id });
        }
        trash_entry(&service, c, drive, &id)?;
        Ok(Reply::empty())
    })
}

/// Puts an entry into the bin, with everything below it; gives its row number.
pub fn trash_entry(service: &Service, c: &Connection, drive: i64, id: &str) -> ApiResult<i64> {
    let entry = entry::live(c, drive, id)?;
    not_root(&entry)?;
    let now = service.clock.now_ms();
    let sql = "UPDATE entry SET trashed_at = ?2, updated_at = ?2 WHERE seq = ?1";
    c.prepare_cached(sql)?.execute(params![entry.seq, now])?;
    feed::tell(service, c, Op::Trash, &entry::by_seq(c, entry.seq)?)?;
    Ok(entry.seq)
}

/// Makes a change that may leave the work to a task, and lets that begin.
pub fn change(
    call: &Call,
    change: impl FnOnce(&Connection) -> ApiResult<Reply> + Send + 'static,
) -> ApiResult<Reply> {
    let reply = call.service.store.write(change)?;
    if reply.status == 202 {
        call.service.wake_tasks();
    }
    Ok(reply)
}

/// The answer when a task does it. Part of [`change`].
pub fn accepted(
    service: &Service,
    c: &Connection,
    user: &str,
    entry: &Entry,
    work: &Work,
) -> ApiResult<Reply> {
    let task = task::start(service, c, user, work)?;
    let body = json!({"domain_id": service.domain_id(), "drive_id": entry.drive.to_string(),
        "file_id": entry.file_id, "async_task_id": task});
    Ok(Reply { status: 202, body: Some(body) })
}

/// `recyclebin/restore`: to the old folder, to the root if that is gone, to a new folder of its name if that is
/// in the bin itself.
pub fn restore(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let (drive, id) = (call.drive()?, args.id("file_id")?.to_owned());
    let user = call.caller.user_id.clone();
    let service = service.clone();
    change(call, move |c| {
        let entry = trashed(c, drive, &id)?;
        if task::is_large(&service, c, &entry)? {
            return accepted(&service, c, &user, &entry, &Work::Restore { drive, file_id: id });
        }
        restore_entry(&service, c, drive, &id)?;
        Ok(Reply::empty())
    })
}

/// An entry that was trashed itself.
fn trashed(c: &Connection, drive: i64, id: &str) -> ApiResult<Entry> {
    let entry = entry::get(c, drive, id)?;
    if entry.trashed_at.is_some() { Ok(entry) } else { Err(ApiError::not_found("FileId")) }
}

/// Takes an entry out of the bin; gives its row number.
pub fn restore_entry(service: &Service, c: &Connection, drive: i64, id: &str) -> ApiResult<i64> {
    let entry = trashed(c, drive, id)?;
    let folder = restore_folder(service, c, &entry)?;
    let sql = "UPDATE entry SET trashed_at = NULL, parent = ?2, updated_at = ?3 WHERE seq = ?1";
    c.prepare_cached(sql)?.execute(params![entry.seq, folder, service.clock.now_ms()])?;
    feed::tell(service, c, Op::Restore, &entry::by_seq(c, entry.seq)?)?;
    Ok(entry.seq)
}

/// Where to restore to: live folders along the old path, made anew from the first one that is in the bin.
fn restore_folder(service: &Service, c: &Connection, entry: &Entry) -> ApiResult<i64> {
    let mut lost = Vec::new();
    let mut folder = entry::by_seq(c, entry.parent).or_else(|_| entry::get(c, entry.drive, "root"))?;
    while entry::is_trashed(c, folder.seq)? {
        if folder.parent == LIMBO {
            // It is being deleted.
            lost.clear();
            folder = entry::get(c, entry.drive, "root")?;
            break;
        }
        let above = entry::by_seq(c, folder.parent)?;
        lost.push(std::mem::replace(&mut folder, above));
    }
    let mut at = folder.seq;
    for old in lost.into_iter().rev() {
        if let Some(existing) = entry::child(c, at, &old.name)?.filter(|existing| existing.folder) {
            at = existing.seq;
            continue;
        }
        let new = NewEntry {
            drive: old.drive,
            file_id: &service.new_id(),
            parent: at,
            name: &old.name,
            folder: true,
            meta: &old.meta,
            tags: &old.tags,
            now: service.clock.now_ms(),
        };
        at = entry::insert(c, &new)?;
        feed::tell(service, c, Op::Create, &entry::by_seq(c, at)?)?;
    }
    Ok(at)
}

/// `recyclebin/list`, newest first.
pub fn list(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let (drive, limit, fields) = (call.drive()?, args.limit(50, 200)?, fields(args)?);
    let after = match args.text("marker")?.filter(|marker| !marker.is_empty()) {
        None => (i64::MAX, i64::MAX),
        Some(marker) => {
            parse_marker(marker).ok_or_else(|| ApiError::invalid("marker", "It is not of this query."))?
        }
    };
    service.store.read(|c| {
        let sql = format!(
            "SELECT {ENTRY_COLUMNS} FROM {ENTRY_TABLES} WHERE e.drive = ?1 AND e.trashed_at IS NOT NULL
             AND e.parent != {LIMBO} AND (e.trashed_at, e.seq) < (?2, ?3) ORDER BY e.trashed_at DESC, e.seq DESC LIMIT ?4"
        );
        let mut statement = c.prepare_cached(&sql)?;
        let rows = statement
            .query_map(params![drive, after.0, after.1, limit.cast_signed() + 1], Entry::from_row)?;
        let mut entries: Vec<Entry> = rows.collect::<rusqlite::Result<_>>()?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = entries.len() > limit;
        entries.truncate(limit);
        let next = entries
            .last()
            .filter(|_| more)
            .map_or(String::new(), |last| format!("{}.{}", last.trashed_at.unwrap_or(0), last.seq));
        let items = read::files(call, c, &entries, fields)?;
        Ok(Reply::ok(json!({"items": items, "next_marker": next})))
    })
}

fn parse_marker(marker: &str) -> Option<(i64, i64)> {
    let (at, seq) = marker.split_once('.')?;
    Some((at.parse().ok()?, seq.parse().ok()?))
}

/// The rows of everything in a bin.
pub fn all(c: &Connection, drive: i64) -> ApiResult<Vec<i64>> {
    let sql = "SELECT seq FROM entry WHERE drive = ?1 AND trashed_at IS NOT NULL AND parent != ?2";
    let mut statement = c.prepare_cached(sql)?;
    Ok(statement.query_map([drive, LIMBO], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

/// `recyclebin/clear`.
pub fn clear(call: &Call) -> ApiResult<Reply> {
    let drive = call.drive()?;
    Ok(Reply { status: 202, body: Some(start_clearing(call, drive)?) })
}

/// `recyclebin/clear_all`: the bins of all drives of the caller.
pub fn clear_all(call: &Call) -> ApiResult<Reply> {
    let drives = call.own_drives()?;
    let items: Vec<Value> =
        drives.into_iter().map(|drive| start_clearing(call, drive)).collect::<ApiResult<_>>()?;
    Ok(Reply { status: 202, body: Some(json!({"items": items})) })
}

fn start_clearing(call: &Call, drive: i64) -> ApiResult<Value> {
    let (service, user) = (call.service.clone(), call.caller.user_id.clone());
    let task =
        service.clone().store.write(move |c| task::start(&service, c, &user, &Work::Clear { drive }))?;
    call.service.wake_tasks();
    let domain_id = call.service.domain_id();
    Ok(json!({"domain_id": domain_id, "drive_id": drive.to_string(), "async_task_id": task}))
}
