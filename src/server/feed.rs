//! The change feed: an append-only log, written in the transaction of the change it tells about.
//!
//! A cursor is the log's epoch and a position; an epoch is made with the store, so a cursor of another store
//! is refused (pds-api.md 11, 19.3 rule 13).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::Service;
use super::entry::Entry;
use super::reply::{ApiError, ApiResult};
use super::view::{self, Fields};

/// What happened to an entry (4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// A new file or folder.
    Create,
    /// A new revision.
    Overwrite,
    /// Gone for good.
    Delete,
    /// Changed fields.
    Update,
    /// Another folder.
    Move,
    /// Into the recycle bin.
    Trash,
    /// Out of the recycle bin.
    Restore,
    /// Another name.
    Rename,
}

impl Op {
    fn name(self) -> &'static str {
        match self {
            Op::Create => "create",
            Op::Overwrite => "overwrite",
            Op::Delete => "delete",
            Op::Update => "update",
            Op::Move => "move",
            Op::Trash => "trash",
            Op::Restore => "restore",
            Op::Rename => "rename",
        }
    }
}

/// Appends an item with a snapshot of the entry.
pub fn tell(service: &Service, c: &Connection, op: Op, entry: &Entry) -> ApiResult<()> {
    let file = view::file(service, c, entry, Fields::of_feed())?;
    append(c, op, entry, &file)
}

/// Appends the item of a move, which also says where from.
pub fn tell_move(service: &Service, c: &Connection, entry: &Entry, from: &str) -> ApiResult<()> {
    let mut file = view::file(service, c, entry, Fields::of_feed())?;
    file["src_parent_file_id"] = from.into();
    append(c, Op::Move, entry, &file)
}

/// Appends the item of a permanent deletion: ids only, the rest is gone.
pub fn tell_delete(c: &Connection, entry: &Entry) -> ApiResult<()> {
    let file = json!({"drive_id": entry.drive.to_string(), "file_id": entry.file_id,
        "parent_file_id": entry.parent_file_id, "name": entry.name,
        "type": if entry.folder { "folder" } else { "file" }});
    append(c, Op::Delete, entry, &file)
}

fn append(c: &Connection, op: Op, entry: &Entry, file: &Value) -> ApiResult<()> {
    let sql = "INSERT INTO feed (drive, op, file_id, file_json, at)
        VALUES (?1, ?2, ?3, ?4, CAST(unixepoch('subsec') * 1000 AS INTEGER))";
    c.prepare_cached(sql)?.execute(params![entry.drive, op.name(), entry.file_id, file.to_string()])?;
    Ok(())
}

/// The position after the newest item.
pub fn last(c: &Connection) -> ApiResult<i64> {
    Ok(c.prepare_cached("SELECT coalesce(max(seq), 0) FROM feed")?.query_row([], |row| row.get(0))?)
}

/// A cursor for a position.
pub fn cursor(epoch: &str, drive: i64, seq: i64) -> String {
    URL_SAFE_NO_PAD.encode(format!("{epoch}.{drive}.{seq}"))
}

/// The position of a cursor; `NotFound.Cursor` for one we did not give.
pub fn position(c: &Connection, epoch: &str, drive: i64, cursor: &str) -> ApiResult<i64> {
    let unknown =
        || ApiError::new(404, "NotFound.Cursor", "The resource cursor cannot be found. cursor is not exist");
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| unknown())?;
    let text = String::from_utf8(bytes).map_err(|_| unknown())?;
    let seq = text.strip_prefix(&format!("{epoch}.{drive}.")).ok_or_else(unknown)?;
    let seq: i64 = seq.parse().map_err(|_| unknown())?;
    if (0..=last(c)?).contains(&seq) { Ok(seq) } else { Err(unknown()) }
}

/// The position before the first item that is newer than `limit_ms`.
pub fn told_until(c: &Connection, drive: i64, limit_ms: i64) -> ApiResult<i64> {
    let sql = "SELECT min(seq) - 1 FROM feed WHERE drive = ?1 AND at > ?2";
    let until: Option<i64> = c.prepare_cached(sql)?.query_row(params![drive, limit_ms], |row| row.get(0))?;
    Ok(until.unwrap_or(i64::MAX))
}

/// Whether a drive's log has items after a position, up to another.
pub fn has_more(c: &Connection, drive: i64, after: i64, until: i64) -> ApiResult<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM feed WHERE drive = ?1 AND seq > ?2 AND seq <= ?3)";
    Ok(c.prepare_cached(sql)?.query_row(params![drive, after, until], |row| row.get(0))?)
}

/// Items after a position up to another, and the position after them.
pub fn items(c: &Connection, drive: i64, after: i64, until: i64, limit: u64) -> ApiResult<(Vec<Value>, i64)> {
    let sql = "SELECT seq, op, file_id, file_json FROM feed WHERE drive = ?1 AND seq > ?2 AND seq <= ?4
         ORDER BY seq LIMIT ?3";
    let mut statement = c.prepare_cached(sql)?;
    let mut rows = statement.query(params![drive, after, i64::try_from(limit).unwrap_or(i64::MAX), until])?;
    let (mut items, mut at) = (Vec::new(), after);
    while let Some(row) = rows.next()? {
        at = row.get(0)?;
        let (op, file_id, json): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let file: Value =
            serde_json::from_str(&json).map_err(|e| ApiError::internal("read the change feed", e))?;
        items.push(json!({"file_id": file_id, "op": op, "file": file}));
    }
    Ok((items, at))
}
