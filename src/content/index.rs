//! Which contents are in the cache directory and what is in them, in a small database beside them, so that
//! the next mount finds them again.
//!
//! What is recorded is true, whatever happens:
//!
//! - *The process dies.* Bytes were written before they were recorded, and what is given back is struck out
//!   before the hole is made. The operating system has both, in this order.
//! - *The machine dies.* Then bytes may be missing on disk that were written before the record was. So a
//!   record says in which life of the machine it was made, and whether its bytes were synced to the disk
//!   before; one of an earlier life without that is dropped. Striking out is durable when it returns.
//!
//! A database that cannot be read is thrown away with all contents: they are a cache.

use std::path::Path;

use rusqlite::{Connection, params};

use super::extents::ExtentSet;
use super::store::Key;
use crate::error::{Error, Kind, Result};
use crate::pds::model::{FileId, RevisionId};

/// The layout of the database this version reads and writes.
const LAYOUT: i64 = 1;

/// Extents recorded of one content, the largest ones: what is beyond is fetched again.
const MAX_EXTENTS: usize = 16 * 1024;

const SCHEMA: &str = "
    CREATE TABLE content (
        file_id     TEXT NOT NULL,
        revision_id TEXT NOT NULL,
        name        TEXT NOT NULL,
        extents     BLOB NOT NULL,
        used        INTEGER NOT NULL,
        boot        TEXT NOT NULL,
        is_synced   INTEGER NOT NULL,
        PRIMARY KEY (file_id, revision_id)
    ) STRICT, WITHOUT ROWID;
";

/// One content as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// File and revision.
    pub key: Key,
    /// Name of the file in the content directory.
    pub name: String,
    /// What is in it.
    pub present: ExtentSet,
    /// The store's clock at its last use.
    pub used: u64,
    /// The bytes were on the disk before this was recorded.
    pub is_synced: bool,
}

/// The database.
pub struct Index {
    db: Connection,
    boot: String,
}

impl Index {
    /// Opens or creates the index in `dir`, and what it knows, as far as it is certain.
    ///
    /// # Errors
    /// The database is damaged, of another version, or the disk refuses.
    pub fn open(dir: &Path) -> Result<(Self, Vec<Entry>)> {
        Index::open_in_life(dir, this_life())
    }

    fn open_in_life(dir: &Path, boot: String) -> Result<(Self, Vec<Entry>)> {
        let open = || -> rusqlite::Result<(Connection, i64)> {
            let db = Connection::open(path(dir))?;
            db.pragma_update(None, "journal_mode", "WAL")?;
            db.pragma_update(None, "synchronous", "FULL")?;
            let layout: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
            if layout == 0 {
                db.execute_batch(SCHEMA)?;
                db.pragma_update(None, "user_version", LAYOUT)?;
                return Ok((db, LAYOUT));
            }
            Ok((db, layout))
        };
        let (db, layout) = open().map_err(|error| failed("open the cache's index", error))?;
        if layout != LAYOUT {
            return Err(Error::new(Kind::Corrupt, "open the cache's index", "it is of another version"));
        }
        let index = Index { db, boot };
        let entries = index.entries().map_err(|error| failed("read the cache's index", error))?;
        Ok((index, entries))
    }

    /// Deletes the database.
    pub fn delete(dir: &Path) {
        for suffix in ["", "-wal", "-shm"] {
            // What is not there need not go.
            let _ = std::fs::remove_file(format!("{}{suffix}", path(dir).display()));
        }
    }

    fn entries(&self) -> rusqlite::Result<Vec<Entry>> {
        let sql = "SELECT file_id, revision_id, name, extents, used, is_synced FROM content
            WHERE is_synced OR boot = ?1";
        let mut statement = self.db.prepare(sql)?;
        let rows = statement.query_map([&self.boot], |row| {
            let (file, revision): (String, String) = (row.get(0)?, row.get(1)?);
            Ok(Entry {
                key: (FileId::from(file.as_str()), RevisionId::from(revision.as_str())),
                name: row.get(2)?,
                present: from_blob(&row.get::<_, Vec<u8>>(3)?),
                used: row.get::<_, i64>(4)? as u64,
                is_synced: row.get(5)?,
            })
        })?;
        rows.collect()
    }

    /// Records contents, instead of what was recorded of them.
    ///
    /// # Errors
    /// The local disk fails or is full; nothing is recorded then.
    pub fn record(&mut self, entries: &[Entry]) -> Result<()> {
        let record = |db: &mut Connection, boot: &str| -> rusqlite::Result<()> {
            let transaction = db.transaction()?;
            {
                let sql = "INSERT OR REPLACE INTO content VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
                let mut statement = transaction.prepare_cached(sql)?;
                for entry in entries {
                    statement.execute(params![
                        entry.key.0.as_str(),
                        entry.key.1.as_str(),
                        entry.name,
                        to_blob(&entry.present),
                        entry.used as i64,
                        boot,
                        entry.is_synced,
                    ])?;
                }
            }
            transaction.commit()
        };
        record(&mut self.db, &self.boot).map_err(|error| failed("write the cache's index", error))
    }

    /// Forgets contents, durably. Those that are not recorded are fine.
    ///
    /// # Errors
    /// The local disk fails or is full; nothing is forgotten then.
    pub fn strike<'a>(&mut self, keys: impl IntoIterator<Item = &'a Key>) -> Result<()> {
        let strike = |db: &mut Connection| -> rusqlite::Result<()> {
            let transaction = db.transaction()?;
            for key in keys {
                transaction
                    .prepare_cached("DELETE FROM content WHERE file_id = ?1 AND revision_id = ?2")?
                    .execute([key.0.as_str(), key.1.as_str()])?;
            }
            transaction.commit()
        };
        strike(&mut self.db).map_err(|error| failed("write the cache's index", error))
    }
}

fn path(dir: &Path) -> std::path::PathBuf {
    dir.join("content.db")
}

/// A name for the time between two starts of this machine.
fn this_life() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    // Without it nothing is taken over unless it was synced.
    if id.trim().is_empty() { format!("unknown-{}", std::process::id()) } else { id.trim().to_owned() }
}

fn to_blob(extents: &ExtentSet) -> Vec<u8> {
    let mut all: Vec<_> = extents.iter().collect();
    if all.len() > MAX_EXTENTS {
        all.sort_by_key(|extent| std::cmp::Reverse(extent.end - extent.start));
        all.truncate(MAX_EXTENTS);
    }
    all.iter().flat_map(|extent| [extent.start.to_le_bytes(), extent.end.to_le_bytes()]).flatten().collect()
}

fn from_blob(blob: &[u8]) -> ExtentSet {
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or(0);
    blob.chunks_exact(16).map(|pair| number(&pair[..8])..number(&pair[8..])).collect()
}

fn failed(op: &'static str, error: rusqlite::Error) -> Error {
    let full = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
    Error::new(if full { Kind::NoSpace } else { Kind::Corrupt }, op, error.to_string()).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, is_synced: bool) -> Entry {
        let present = [0..10, 4096..u64::MAX].into_iter().collect();
        let key = (FileId::from(name), RevisionId::from("r"));
        Entry { key, name: name.to_owned(), present, used: 7, is_synced }
    }

    fn open(dir: &Path, life: &str) -> (Index, Vec<Entry>) {
        Index::open_in_life(dir, life.to_owned()).unwrap()
    }

    #[test]
    fn after_a_crash_of_the_machine_only_what_was_synced_counts() {
        let dir = tempfile::tempdir().unwrap();
        let (mut index, none) = open(dir.path(), "monday");
        assert_eq!(none, []);
        index.record(&[entry("a", false), entry("b", true), entry("c", true)]).unwrap();
        index.strike([&entry("c", true).key, &entry("unknown", true).key]).unwrap();
        drop(index);
        assert_eq!(open(dir.path(), "monday").1, [entry("a", false), entry("b", true)]);
        assert_eq!(open(dir.path(), "tuesday").1, [entry("b", true)]);
    }

    #[test]
    fn a_damaged_index_is_an_error_and_can_be_deleted() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(path(dir.path()), [7; 5000]).unwrap();
        assert!(Index::open(dir.path()).is_err());
        Index::delete(dir.path());
        assert_eq!(Index::open(dir.path()).unwrap().1, []);
    }

    #[test]
    fn of_very_many_extents_the_largest_are_kept() {
        let many: ExtentSet = (0..2 * MAX_EXTENTS as u64).map(|n| n * 100..n * 100 + 1 + n % 2).collect();
        let kept = from_blob(&to_blob(&many));
        assert_eq!(kept.iter().count(), MAX_EXTENTS);
        assert!(kept.iter().all(|extent| extent.end - extent.start == 2));
    }
}
