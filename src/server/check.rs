//! The store check: compares rows with rows and with the bytes on disk, and names what does not fit.
//!
//! It only looks. Nobody else may have the store open; an older one is brought up to date as at each start.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use rusqlite::{Connection, params};
use sha1::{Digest, Sha1};

use super::hash::upper_hex;
use super::reply::{ApiError, ApiResult};
use super::store::Store;
use crate::error::{Error, Kind, Result};

/// Damage beyond this is counted, not listed.
const MAX_LISTED: usize = 1000;
/// Bytes are read in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;

/// What a check found.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Files and folders, of all drives.
    pub entries: u64,
    /// Contents whose bytes were read.
    pub contents: u64,
    /// Bytes read.
    pub bytes: u64,
    /// What is wrong, one sentence each; a thousand at most.
    pub damage: Vec<String>,
    /// How much is wrong.
    pub damaged: u64,
}

impl Verdict {
    fn add(&mut self, what: String) {
        self.damaged += 1;
        if self.damage.len() < MAX_LISTED {
            self.damage.push(what);
        }
    }
}

/// Rules that rows keep (parent -1 is `LIMBO`, where a task that was killed has left a tree; the next start goes on
/// from there): what it means when the query gives a row, which names itself in its first column.
const RULES: &[(&str, &str)] = &[
    (
        "the folder it is in does not exist",
        "SELECT 'entry ' || e.file_id FROM entry e LEFT JOIN entry p ON p.seq = e.parent AND p.folder
         AND p.drive = e.drive WHERE e.parent NOT IN (0, -1) AND p.seq IS NULL",
    ),
    (
        "it is in no folder of its drive, only in itself",
        "WITH RECURSIVE down (seq) AS (SELECT seq FROM entry WHERE parent IN (0, -1)
            UNION ALL SELECT e.seq FROM entry e JOIN down ON e.parent = down.seq)
         SELECT 'entry ' || file_id FROM entry WHERE seq NOT IN (SELECT seq FROM down)
            AND parent IN (SELECT seq FROM entry)",
    ),
    (
        "its drive does not exist",
        "SELECT 'entry ' || file_id FROM entry WHERE drive NOT IN (SELECT id FROM drive)",
    ),
    (
        "it has no root folder",
        "SELECT 'drive ' || id FROM drive WHERE NOT EXISTS
            (SELECT 1 FROM entry WHERE drive = drive.id AND file_id = 'root' AND parent = 0 AND folder)",
    ),
    (
        "its current content does not exist",
        "SELECT 'entry ' || e.file_id FROM entry e LEFT JOIN revision r ON r.seq = e.revision AND r.entry = e.seq
         WHERE NOT e.folder AND r.seq IS NULL",
    ),
    ("it is a folder with a content", "SELECT 'entry ' || file_id FROM entry WHERE folder AND revision IS NOT NULL"),
    (
        "its size is not that of its content",
        "SELECT 'entry ' || e.file_id FROM entry e JOIN revision r ON r.seq = e.revision JOIN blob b ON b.id = r.blob
         WHERE b.size <> e.size",
    ),
    (
        "its fields are no JSON object",
        "SELECT 'entry ' || file_id FROM entry WHERE NOT json_valid(meta_json) OR NOT json_valid(tags_json)
         OR json_type(meta_json) <> 'object' OR json_type(tags_json) <> 'object'",
    ),
    (
        "its file does not exist",
        "SELECT 'revision ' || id FROM revision WHERE entry <> 0 AND entry NOT IN (SELECT seq FROM entry)",
    ),
    ("its bytes have no row", "SELECT 'revision ' || id FROM revision WHERE blob NOT IN (SELECT id FROM blob)"),
    ("no revision has these bytes", "SELECT 'blob ' || file FROM blob WHERE id NOT IN (SELECT blob FROM revision)"),
    ("its upload does not exist", "SELECT 'part ' || number || ' of upload ' || upload FROM part
        WHERE upload NOT IN (SELECT id FROM upload)"),
    (
        "its used size is not the sum of its contents",
        "SELECT 'drive ' || d.id FROM drive d WHERE d.used_bytes <> (SELECT coalesce(sum(b.size), 0)
            FROM entry e JOIN revision r ON r.entry = e.seq JOIN blob b ON b.id = r.blob WHERE e.drive = d.id)",
    ),
    (
        "its default drive does not exist",
        "SELECT 'user ' || id FROM user WHERE default_drive IS NOT NULL
            AND default_drive NOT IN (SELECT id FROM drive)",
    ),
    ("its item is no JSON", "SELECT 'feed item ' || seq FROM feed WHERE NOT json_valid(file_json)"),
];

/// Checks the store in `dir`; reads every byte of it.
///
/// # Errors
/// As opening it for serving: `Busy`, `Invalid`, `Corrupt`, or the local error. `NotFound` when there is none.
pub fn check(dir: &Path) -> Result<Verdict> {
    if !dir.join("pds.db").exists() {
        let message = "there is no store in it (no pds.db)";
        return Err(Error::new(Kind::NotFound, "check the data directory", message).on(dir.display()));
    }
    let store = Store::open(dir)?;
    let failed = |error: ApiError| {
        Error::new(Kind::Corrupt, "check the data directory", error.message).on(dir.display())
    };
    let mut verdict = Verdict::default();
    store.read(|c| check_rows(c, &mut verdict)).map_err(failed)?;
    let mut named = store.read(|c| check_uploads(c, &store, &mut verdict)).map_err(failed)?;
    store.read(|c| check_blobs(c, &store, &mut named, &mut verdict)).map_err(failed)?;
    find_orphans(&dir.join("blobs"), &named, &mut verdict)
        .map_err(|error| Error::io("check the data directory", error).on(dir.display()))?;
    Ok(verdict)
}

fn check_rows(c: &Connection, verdict: &mut Verdict) -> ApiResult<()> {
    let mut statement = c.prepare("PRAGMA integrity_check")?;
    for line in statement.query_map([], |row| row.get::<_, String>(0))? {
        let line = line?;
        if line != "ok" {
            verdict.add(format!("database pds.db: {line}"));
        }
    }
    for (meaning, sql) in RULES {
        let mut statement = c.prepare(sql)?;
        for who in statement.query_map([], |row| row.get::<_, String>(0))? {
            verdict.add(format!("{}: {meaning}", who?));
        }
    }
    let entries: i64 = c.query_row("SELECT count(*) FROM entry WHERE parent <> 0", [], |row| row.get(0))?;
    verdict.entries = entries.unsigned_abs();
    Ok(())
}

/// Files below `blobs/` that rows name, but not those of contents.
fn check_uploads(c: &Connection, store: &Store, verdict: &mut Verdict) -> ApiResult<HashSet<String>> {
    let mut named = HashSet::new();
    let sql = "SELECT file FROM upload UNION SELECT aside FROM part WHERE aside IS NOT NULL
        UNION SELECT file FROM doomed";
    for file in c.prepare(sql)?.query_map([], |row| row.get::<_, String>(0))? {
        named.insert(file?);
    }
    let sql = "SELECT p.upload, p.number, coalesce(p.aside, u.file),
            p.size + CASE WHEN p.aside IS NULL THEN p.offset ELSE 0 END
        FROM part p JOIN upload u ON u.id = p.upload";
    let mut statement = c.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (upload, number, file, end): (String, i64, String, u64) =
            (row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, i64>(3)?.unsigned_abs());
        let len = fs::metadata(store.blob_path(&file)).map_or(0, |metadata| metadata.len());
        if len < end {
            verdict.add(format!("part {number} of upload {upload}: its bytes are missing from blobs/{file}"));
        }
    }
    Ok(named)
}

fn check_blobs(
    c: &Connection,
    store: &Store,
    named: &mut HashSet<String>,
    verdict: &mut Verdict,
) -> ApiResult<()> {
    let mut statement = c.prepare("SELECT id, file, size, sha1, crc64 FROM blob")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, file): (i64, String) = (row.get(0)?, row.get(1)?);
        let size = row.get::<_, i64>(2)?.unsigned_abs();
        let (sha1, crc64): (Vec<u8>, u64) = (row.get(3)?, row.get::<_, i64>(4)?.cast_unsigned());
        let wrong = match digest(&store.blob_path(&file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some("the file is gone".to_owned()),
            Err(error) => Some(format!("it cannot be read: {error}")),
            Ok(found) => {
                verdict.contents += 1;
                verdict.bytes += found.size;
                found.differs(size, &sha1, crc64)
            }
        };
        if let Some(wrong) = wrong {
            let users = users_of(c, id)?;
            verdict.add(format!("blob blobs/{file}: {wrong}; it is the content of {users}"));
        }
        named.insert(file);
    }
    Ok(())
}

struct Found {
    size: u64,
    sha1: Vec<u8>,
    crc64: u64,
}

impl Found {
    fn differs(&self, size: u64, sha1: &[u8], crc64: u64) -> Option<String> {
        if self.size != size {
            return Some(format!("it has {} bytes instead of {size}", self.size));
        }
        if self.sha1 != sha1 {
            return Some(format!("its SHA-1 is {} instead of {}", upper_hex(&self.sha1), upper_hex(sha1)));
        }
        (self.crc64 != crc64).then(|| format!("its CRC-64 is {} instead of {crc64}", self.crc64))
    }
}

fn digest(path: &Path) -> io::Result<Found> {
    let mut file = File::open(path)?;
    let (mut sha1, mut crc64, mut size) = (Sha1::new(), crc64fast::Digest::new(), 0);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let len = match file.read(&mut piece) {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        sha1.update(&piece[..len]);
        crc64.write(&piece[..len]);
        size += len as u64;
    }
    Ok(Found { size, sha1: sha1.finalize().to_vec(), crc64: crc64.sum64() })
}

/// The files that have these bytes, three of them by name.
fn users_of(c: &Connection, blob: i64) -> ApiResult<String> {
    let sql = "SELECT e.drive, e.file_id, e.name FROM revision r JOIN entry e ON e.seq = r.entry
        WHERE r.blob = ?1 GROUP BY e.seq ORDER BY e.seq LIMIT 4";
    let row = |row: &rusqlite::Row<'_>| {
        let (drive, id, name): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(format!("{name:?} (drive {drive}, file {id})"))
    };
    let mut users: Vec<String> =
        c.prepare_cached(sql)?.query_map(params![blob], row)?.collect::<rusqlite::Result<_>>()?;
    match users.len() {
        0 => return Ok("no file".into()),
        4 => users[3] = "others".into(),
        _ => {}
    }
    Ok(users.join(", "))
}

/// Files that no row names. What a killed server leaves is named by rows, so these came otherwise.
fn find_orphans(blobs: &Path, named: &HashSet<String>, verdict: &mut Verdict) -> io::Result<()> {
    for folder in fs::read_dir(blobs)? {
        let folder = folder?;
        let name = folder.file_name().to_string_lossy().into_owned();
        if !folder.file_type()?.is_dir() {
            verdict.add(format!("orphan blobs/{name}: no row names it"));
            continue;
        }
        for file in fs::read_dir(folder.path())? {
            let file = format!("{name}/{}", file?.file_name().to_string_lossy());
            if !named.contains(&file) {
                verdict.add(format!("orphan blobs/{file}: no row names it"));
            }
        }
    }
    Ok(())
}
