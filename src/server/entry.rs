//! Rows of the store as values: entries, their contents, and the questions asked about them.
//!
//! Functions take the connection of the caller's transaction, so that what they see is one state.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Map, Value};

use super::reply::{ApiError, ApiResult};
use super::store::doom;

/// The parent of trees that are half copied or half deleted (see `task`): there is no such row.
pub const LIMBO: i64 = -1;

/// A file or folder.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Row number; the parent column of its children.
    pub seq: i64,
    /// The drive it is in.
    pub drive: i64,
    /// Stable id, or `root`.
    pub file_id: String,
    /// Row number of the folder it is in; 0 for a root.
    pub parent: i64,
    /// Id of the folder it is in; empty for a root.
    pub parent_file_id: String,
    /// Opaque UTF-8 of 1 to 1024 bytes.
    pub name: String,
    /// Folder or file.
    pub folder: bool,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970.
    pub updated_at: i64,
    /// When this very entry was trashed.
    pub trashed_at: Option<i64>,
    /// Fields a client may set, as the File object spells them.
    pub meta: Map<String, Value>,
    /// User tags.
    pub tags: Map<String, Value>,
    /// The current content; `None` for folders.
    pub content: Option<Content>,
}

/// One revision and its bytes.
#[derive(Clone, Debug)]
pub struct Content {
    /// Row number of the revision.
    pub revision: i64,
    /// `revision_id`.
    pub revision_id: String,
    /// 1, 2, 3...
    pub version: i64,
    /// The name at the time.
    pub name: String,
    /// The upload that made it.
    pub upload_id: String,
    /// As declared at create.
    pub content_type: String,
    /// Derived from the bytes and the name.
    pub mime_type: String,
    /// Derived from the MIME type.
    pub mime_extension: String,
    /// 4.6.
    pub category: String,
    /// `image_media_metadata` as JSON text.
    pub image_json: Option<String>,
    /// `video_media_metadata` as JSON text.
    pub video_json: Option<String>,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970.
    pub updated_at: i64,
    /// Survives the limit on kept revisions.
    pub keep_forever: bool,
    /// Free text on the revision.
    pub description: String,
    /// The bytes, below `blobs/`.
    pub file: String,
    /// SHA-1 of the bytes.
    pub sha1: Vec<u8>,
    /// Length in bytes.
    pub size: u64,
    /// CRC-64/XZ of the bytes.
    pub crc64: u64,
}

/// The columns of an [`Entry`] without content, then those of a [`Content`].
pub const ENTRY_COLUMNS: &str = "e.seq, e.drive, e.file_id, e.parent, p.file_id, e.name, e.folder, e.created_at, \
     e.updated_at, e.trashed_at, e.meta_json, e.tags_json, r.seq, r.id, r.version, r.name, r.upload_id, \
     r.content_type, r.mime_type, r.mime_extension, r.category, r.image_json, r.video_json, r.created_at, \
     r.updated_at, r.keep_forever, r.description, b.file, b.sha1, b.size, b.crc64";
/// The tables of [`ENTRY_COLUMNS`], each file with its current revision.
pub const ENTRY_TABLES: &str = "entry e LEFT JOIN entry p ON p.seq = e.parent \
     LEFT JOIN revision r ON r.seq = e.revision LEFT JOIN blob b ON b.id = r.blob";

impl Entry {
    /// Reads a row of [`ENTRY_COLUMNS`].
    pub fn from_row(row: &Row<'_>) -> rusqlite::Result<Entry> {
        let object = |index| -> rusqlite::Result<Map<String, Value>> {
            let text: String = row.get(index)?;
            serde_json::from_str(&text).map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, Box::new(error))
            })
        };
        let revision: Option<i64> = row.get(12)?;
        Ok(Entry {
            seq: row.get(0)?,
            drive: row.get(1)?,
            file_id: row.get(2)?,
            parent: row.get(3)?,
            parent_file_id: row.get::<_, Option<String>>(4)?.unwrap_or_default(),
            name: row.get(5)?,
            folder: row.get(6)?,
            created_at: row.get(7)?,
            updated_at: row.get(8)?,
            trashed_at: row.get(9)?,
            meta: object(10)?,
            tags: object(11)?,
            content: revision.is_some().then(|| Content::from_row(row, 12)).transpose()?,
        })
    }

    /// The extension of the name as the service shows it: after the last dot.
    pub fn extension(&self) -> &str {
        self.name.rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    /// The content, or the error of an operation that needs a file.
    pub fn content(&self) -> ApiResult<&Content> {
        self.content.as_ref().ok_or_else(|| {
            ApiError::new(
                400,
                "InvalidResource.FileTypeFolder",
                "The resource is a folder; a file is needed.",
            )
        })
    }
}

impl Content {
    /// Reads the columns of a content that start at `at`.
    pub fn from_row(row: &Row<'_>, at: usize) -> rusqlite::Result<Content> {
        Ok(Content {
            revision: row.get(at)?,
            revision_id: row.get(at + 1)?,
            version: row.get(at + 2)?,
            name: row.get(at + 3)?,
            upload_id: row.get(at + 4)?,
            content_type: row.get(at + 5)?,
            mime_type: row.get(at + 6)?,
            mime_extension: row.get(at + 7)?,
            category: row.get(at + 8)?,
            image_json: row.get(at + 9)?,
            video_json: row.get(at + 10)?,
            created_at: row.get(at + 11)?,
            updated_at: row.get(at + 12)?,
            keep_forever: row.get(at + 13)?,
            description: row.get(at + 14)?,
            file: row.get(at + 15)?,
            sha1: row.get(at + 16)?,
            size: row.get::<_, i64>(at + 17)?.unsigned_abs(),
            crc64: row.get::<_, i64>(at + 18)?.cast_unsigned(),
        })
    }
}

/// The entry with this id, trashed or not.
pub fn find(c: &Connection, drive: i64, file_id: &str) -> ApiResult<Option<Entry>> {
    let sql = format!(
        "SELECT {ENTRY_COLUMNS} FROM {ENTRY_TABLES} WHERE e.drive = ?1 AND e.file_id = ?2 AND e.parent != {LIMBO}"
    );
    Ok(c.prepare_cached(&sql)?.query_row(params![drive, file_id], Entry::from_row).optional()?)
}

/// The entry with this id, trashed or not, or `NotFound.FileId`.
pub fn get(c: &Connection, drive: i64, file_id: &str) -> ApiResult<Entry> {
    find(c, drive, file_id)?.ok_or_else(|| ApiError::not_found("FileId"))
}

/// The entry in this row, or `NotFound.FileId`.
pub fn by_seq(c: &Connection, seq: i64) -> ApiResult<Entry> {
    let sql = format!("SELECT {ENTRY_COLUMNS} FROM {ENTRY_TABLES} WHERE e.seq = ?1");
    let entry = c.prepare_cached(&sql)?.query_row([seq], Entry::from_row).optional()?;
    entry.ok_or_else(|| ApiError::not_found("FileId"))
}

/// The entry with this id, which must not be in the recycle bin.
pub fn live(c: &Connection, drive: i64, file_id: &str) -> ApiResult<Entry> {
    let entry = get(c, drive, file_id)?;
    if is_trashed(c, entry.seq)? { Err(ApiError::trashed()) } else { Ok(entry) }
}

/// A folder that may get children.
pub fn live_folder(c: &Connection, drive: i64, file_id: &str, field: &str) -> ApiResult<Entry> {
    let entry = live(c, drive, file_id)?;
    if entry.folder { Ok(entry) } else { Err(ApiError::invalid(field, "It is a file, not a folder.")) }
}

/// The top of a tree in limbo.
pub fn find_in_limbo(c: &Connection, drive: i64, file_id: &str) -> ApiResult<Option<i64>> {
    let sql = "SELECT seq FROM entry WHERE drive = ?1 AND file_id = ?2 AND parent = ?3";
    Ok(c.prepare_cached(sql)?.query_row(params![drive, file_id, LIMBO], |row| row.get(0)).optional()?)
}

/// What is in a folder and not trashed itself.
pub fn children(c: &Connection, folder: i64) -> ApiResult<Vec<i64>> {
    let mut statement = c.prepare_cached("SELECT seq FROM entry WHERE parent = ?1 AND trashed_at IS NULL")?;
    Ok(statement.query_map([folder], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

/// An entry and what is below it, each folder before what is in it. What was trashed from there before is an
/// entry of the bin of its own.
const TREE: &str = "WITH RECURSIVE down (seq) AS (
        SELECT ?1 UNION ALL
        SELECT e.seq FROM entry e JOIN down ON e.parent = down.seq WHERE e.trashed_at IS NULL)";

/// The entry and everything below it, each folder before what is in it.
pub fn tree(c: &Connection, top: i64) -> ApiResult<Vec<i64>> {
    let mut statement = c.prepare_cached(&format!("{TREE} SELECT seq FROM down"))?;
    Ok(statement.query_map([top], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

/// How many entries these are, counted no further than `most`.
pub fn count_tree(c: &Connection, top: i64, most: i64) -> ApiResult<i64> {
    let sql = format!("{TREE} SELECT count(*) FROM (SELECT 1 FROM down LIMIT ?2)");
    Ok(c.prepare_cached(&sql)?.query_row([top, most], |row| row.get(0))?)
}

/// Whether the entry or a folder above it is in the recycle bin.
pub fn is_trashed(c: &Connection, seq: i64) -> ApiResult<bool> {
    let sql = "WITH RECURSIVE up (seq, parent, trashed_at) AS (
            SELECT seq, parent, trashed_at FROM entry WHERE seq = ?1
            UNION ALL SELECT e.seq, e.parent, e.trashed_at FROM entry e JOIN up ON e.seq = up.parent)
        SELECT EXISTS (SELECT 1 FROM up WHERE trashed_at IS NOT NULL)";
    Ok(c.prepare_cached(sql)?.query_row([seq], |row| row.get(0))?)
}

/// Whether `folder` is `seq` or lies above it.
pub fn is_within(c: &Connection, seq: i64, folder: i64) -> ApiResult<bool> {
    let sql = "WITH RECURSIVE up (seq, parent) AS (
            SELECT seq, parent FROM entry WHERE seq = ?1
            UNION ALL SELECT e.seq, e.parent FROM entry e JOIN up ON e.seq = up.parent)
        SELECT EXISTS (SELECT 1 FROM up WHERE seq = ?2)";
    Ok(c.prepare_cached(sql)?.query_row([seq, folder], |row| row.get(0))?)
}

/// The oldest entry of this name in a folder that is not trashed itself.
pub fn child(c: &Connection, parent: i64, name: &str) -> ApiResult<Option<Entry>> {
    let sql = format!(
        "SELECT {ENTRY_COLUMNS} FROM {ENTRY_TABLES} \
         WHERE e.parent = ?1 AND e.name = ?2 AND e.trashed_at IS NULL ORDER BY e.seq LIMIT 1"
    );
    Ok(c.prepare_cached(&sql)?.query_row(params![parent, name], Entry::from_row).optional()?)
}

/// An entry about to be made.
pub struct NewEntry<'a> {
    /// The drive it goes into.
    pub drive: i64,
    /// Its id.
    pub file_id: &'a str,
    /// Row number of the folder it goes into.
    pub parent: i64,
    /// Its name.
    pub name: &'a str,
    /// Folder or file.
    pub folder: bool,
    /// Fields a client may set.
    pub meta: &'a Map<String, Value>,
    /// User tags.
    pub tags: &'a Map<String, Value>,
    /// Milliseconds since 1970.
    pub now: i64,
}

/// Inserts an entry without content; returns its row number.
pub fn insert(c: &Connection, new: &NewEntry<'_>) -> ApiResult<i64> {
    let sql = "INSERT INTO entry (drive, file_id, parent, name, folder, created_at, updated_at, meta_json, tags_json)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8)";
    let (meta, tags) = (to_json(new.meta), to_json(new.tags));
    c.prepare_cached(sql)?.execute(params![
        new.drive,
        new.file_id,
        new.parent,
        new.name,
        new.folder,
        new.now,
        meta,
        tags
    ])?;
    Ok(c.last_insert_rowid())
}

/// JSON text of an object.
pub fn to_json(object: &Map<String, Value>) -> String {
    serde_json::to_string(object).unwrap_or_else(|_| "{}".to_owned())
}

/// Removes an entry and everything below it for good; the bytes no one else refers to are doomed. What was
/// trashed from there before is an entry of the bin of its own: it stays, and is restored to the root (10.5).
pub fn erase(c: &Connection, top: &Entry) -> ApiResult<()> {
    tree(c, top.seq)?.into_iter().rev().try_for_each(|seq| erase_one(c, seq))
}

/// Removes one entry that has nothing below it but what was trashed before. Nothing to do if it is gone.
pub fn erase_one(c: &Connection, seq: i64) -> ApiResult<()> {
    let sql = "SELECT drive FROM entry WHERE seq = ?1";
    let drive: Option<i64> = c.prepare_cached(sql)?.query_row([seq], |row| row.get(0)).optional()?;
    let Some(drive) = drive else { return Ok(()) };
    let mut statement = c.prepare_cached("SELECT seq FROM revision WHERE entry = ?1")?;
    let revisions: Vec<i64> =
        statement.query_map([seq], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for revision in revisions {
        erase_revision(c, drive, revision)?;
    }
    let sql = "UPDATE entry SET parent = (SELECT seq FROM entry WHERE drive = ?2 AND file_id = 'root')
        WHERE parent = ?1 AND trashed_at IS NOT NULL";
    c.prepare_cached(sql)?.execute([seq, drive])?;
    c.prepare_cached("DELETE FROM entry WHERE seq = ?1")?.execute([seq])?;
    Ok(())
}

/// The columns of a [`Content`] and their tables.
pub const CONTENT_COLUMNS: &str = "r.seq, r.id, r.version, r.name, r.upload_id, r.content_type, r.mime_type, \
     r.mime_extension, r.category, r.image_json, r.video_json, r.created_at, r.updated_at, r.keep_forever, \
     r.description, b.file, b.sha1, b.size, b.crc64 FROM revision r JOIN blob b ON b.id = r.blob";

/// The content in this row.
pub fn revision_by_seq(c: &Connection, seq: i64) -> ApiResult<Content> {
    let sql = format!("SELECT {CONTENT_COLUMNS} WHERE r.seq = ?1");
    let content = c.prepare_cached(&sql)?.query_row([seq], |row| Content::from_row(row, 0)).optional()?;
    content.ok_or_else(|| ApiError::not_found("RevisionId"))
}

/// Removes a revision unless it is the current one or gone by now.
pub fn erase_old_revision(c: &Connection, drive: i64, revision: i64) -> ApiResult<()> {
    let sql = "SELECT EXISTS (SELECT 1 FROM revision r JOIN entry e ON e.seq = r.entry
        WHERE r.seq = ?1 AND e.revision != ?1)";
    let is_old: bool = c.prepare_cached(sql)?.query_row([revision], |row| row.get(0))?;
    if is_old { erase_revision(c, drive, revision) } else { Ok(()) }
}

/// Removes a revision; its bytes are doomed when no other revision has them.
pub fn erase_revision(c: &Connection, drive: i64, revision: i64) -> ApiResult<()> {
    let sql = "SELECT b.id, b.file, b.size FROM revision r JOIN blob b ON b.id = r.blob WHERE r.seq = ?1";
    let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let (blob, file, size): (i64, String, i64) = c.prepare_cached(sql)?.query_row([revision], row)?;
    c.prepare_cached("DELETE FROM revision WHERE seq = ?1")?.execute([revision])?;
    charge(c, drive, -size)?;
    let sql = "DELETE FROM blob WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM revision WHERE blob = ?1)";
    if c.prepare_cached(sql)?.execute([blob])? == 1 {
        doom(c, &file)?;
    }
    Ok(())
}

/// Adds to the used bytes of a drive.
pub fn charge(c: &Connection, drive: i64, bytes: i64) -> ApiResult<()> {
    c.prepare_cached("UPDATE drive SET used_bytes = used_bytes + ?2 WHERE id = ?1")?
        .execute([drive, bytes])?;
    Ok(())
}

/// `QuotaExhausted.Drive` unless the drive has room for this many bytes more.
pub fn require_room(c: &Connection, drive: i64, bytes: u64) -> ApiResult<()> {
    let sql = "SELECT total_bytes, used_bytes FROM drive WHERE id = ?1";
    let (total, used): (i64, i64) =
        c.prepare_cached(sql)?.query_row([drive], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let wanted = i64::try_from(bytes).unwrap_or(i64::MAX).saturating_add(used);
    if total > 0 && wanted > total { Err(ApiError::quota()) } else { Ok(()) }
}
