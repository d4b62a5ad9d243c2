//! What must survive this process: drafts whose bytes a program was promised, in a local SQLite database.
//!
//! A draft is recorded when a program was told that its bytes are safe (fsync, a close that another close
//! will follow) or when they could not be brought to the drive. It is struck out when the drive has it, or
//! when its file was removed. What is recorded when a mount starts is brought to the drive then.
//!
//! Each call is one transaction, durable when it returns. Calls block on the local disk.

use std::path::Path;
use std::sync::Mutex;

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;

use crate::content::extents::ExtentSet;
use crate::content::lock;
use crate::error::{Error, Kind, Result};
use crate::pds::NewAttributes;
use crate::pds::model::{File, FileId};

/// The layout of the database this version reads and writes.
const LAYOUT: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS draft (
        content_file TEXT PRIMARY KEY,
        parent       TEXT NOT NULL,
        name         TEXT NOT NULL,
        base         TEXT,
        size         INTEGER NOT NULL,
        backed_len   INTEGER NOT NULL,
        present      TEXT NOT NULL,
        attributes   TEXT NOT NULL,
        failure      TEXT
    ) STRICT;
";

/// One recorded draft.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Name of its content file in the drafts directory.
    pub content_file: String,
    /// The folder it belongs to.
    pub parent: FileId,
    /// Its name.
    pub name: String,
    /// The file that gets a new revision, as it was; `None` for a new file.
    pub base: Option<File>,
    /// Bytes in the file.
    pub size: u64,
    /// Bytes below this that are not present are those of the base.
    pub backed_len: u64,
    /// Which bytes are in the content file.
    pub present: ExtentSet,
    /// Times and tags.
    pub attributes: NewAttributes,
    /// Why it is not on the drive, when that was tried.
    pub failure: Option<String>,
}

/// See the module's documentation.
pub struct Journal {
    db: Mutex<Connection>,
}

impl Journal {
    /// Opens or creates the journal in `state_dir`.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when there is something else, or a damaged journal: nothing of it is touched then.
    pub fn open(state_dir: &Path) -> Result<Self> {
        let path = state_dir.join("journal.db");
        let open = || -> rusqlite::Result<(Connection, i64)> {
            let db = Connection::open(&path)?;
            db.busy_timeout(std::time::Duration::from_secs(5))?;
            db.pragma_update(None, "journal_mode", "WAL")?;
            db.pragma_update(None, "synchronous", "FULL")?;
            let layout: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
            if layout == 0 {
                db.execute_batch(SCHEMA)?;
                db.pragma_update(None, "user_version", LAYOUT)?;
            }
            Ok((db, layout))
        };
        let (db, layout) = open().map_err(|error| failed("open the journal", error).on(path.display()))?;
        if layout > LAYOUT {
            let newer = "it was written by a newer pdsfs; use that, or another --state-dir";
            return Err(Error::new(Kind::Corrupt, "open the journal", newer).on(path.display()));
        }
        Ok(Journal { db: Mutex::new(db) })
    }

    /// Records a draft, or what has become of it since.
    ///
    /// # Errors
    /// The local disk fails or is full.
    pub fn record(&self, entry: &Entry) -> Result<()> {
        let present: Vec<[u64; 2]> = entry.present.iter().map(|range| [range.start, range.end]).collect();
        lock(&self.db)
            .execute(
                "INSERT OR REPLACE INTO draft VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![
                    entry.content_file,
                    entry.parent.as_str(),
                    entry.name,
                    entry.base.as_ref().map(|base| base.json().to_string()),
                    entry.size as i64,
                    entry.backed_len as i64,
                    json!(present).to_string(),
                    json!(entry.attributes).to_string(),
                    entry.failure,
                ],
            )
            .map_err(|error| failed("write the journal", error))?;
        Ok(())
    }

    /// Strikes a draft out. One that is not recorded is fine.
    ///
    /// # Errors
    /// The local disk fails or is full.
    pub fn strike(&self, content_file: &str) -> Result<()> {
        let db = lock(&self.db);
        let known: Option<i64> = db
            .query_row("SELECT 1 FROM draft WHERE content_file = ?1", [content_file], |row| row.get(0))
            .optional()
            .map_err(|error| failed("read the journal", error))?;
        if known.is_some() {
            db.execute("DELETE FROM draft WHERE content_file = ?1", [content_file])
                .map_err(|error| failed("write the journal", error))?;
        }
        Ok(())
    }

    /// Everything recorded.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when a record makes no sense.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let db = lock(&self.db);
        let read = || -> rusqlite::Result<Vec<Row>> {
            let mut all = db.prepare(
                "SELECT content_file, parent, name, base, size, backed_len, present, attributes, failure
                 FROM draft ORDER BY content_file",
            )?;
            all.query_map([], Row::read)?.collect()
        };
        let rows = read().map_err(|error| failed("read the journal", error))?;
        rows.into_iter().map(Row::entry).collect()
    }
}

struct Row {
    text: [String; 5],
    base: Option<String>,
    failure: Option<String>,
    size: i64,
    backed_len: i64,
}

impl Row {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Row {
            text: [row.get(0)?, row.get(1)?, row.get(2)?, row.get(6)?, row.get(7)?],
            base: row.get(3)?,
            failure: row.get(8)?,
            size: row.get(4)?,
            backed_len: row.get(5)?,
        })
    }

    fn entry(self) -> Result<Entry> {
        let [content_file, parent, name, present, attributes] = self.text;
        let damaged = || Error::new(Kind::Corrupt, "read the journal", "a record is damaged").on(&name);
        let present: Vec<[u64; 2]> = serde_json::from_str(&present).map_err(|_| damaged())?;
        let attributes: NewAttributes = serde_json::from_str(&attributes).map_err(|_| damaged())?;
        Ok(Entry {
            content_file,
            parent: FileId::from(&*parent),
            base: self.base.map(|base| File::parse(&base)).transpose()?,
            size: u64::try_from(self.size).map_err(|_| damaged())?,
            backed_len: u64::try_from(self.backed_len).map_err(|_| damaged())?,
            present: present.into_iter().map(|[start, end]| start..end).collect(),
            attributes,
            failure: self.failure,
            name,
        })
    }
}

fn failed(op: &'static str, error: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode;
    let (kind, message) = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => (Kind::NoSpace, "the local disk is full"),
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => (
            Kind::Corrupt,
            "it is damaged or not a journal; move it away to go on without it (its drafts stay in `drafts`)",
        ),
        _ => (Kind::Unavailable, "the local database fails"),
    };
    Error::new(kind, op, message).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Entry {
        Entry {
            content_file: format!("file of {name}"),
            parent: FileId::root(),
            name: name.to_owned(),
            base: Some(File::parse(r#"{"file_id":"f","type":"file","revision_id":"r","new":[1]}"#).unwrap()),
            size: 10,
            backed_len: 4,
            present: [0..2, 6..10].into_iter().collect(),
            attributes: NewAttributes {
                local_modified_at: Some("2020-01-01T00:00:00.000Z".to_owned()),
                user_tags: [("k".to_owned(), "v".to_owned())].into(),
                ..NewAttributes::default()
            },
            failure: None,
        }
    }

    #[test]
    fn what_is_recorded_survives_and_what_is_struck_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        journal.record(&entry("a")).unwrap();
        journal.record(&entry("b")).unwrap();
        let changed = Entry { failure: Some("the drive is full".to_owned()), ..entry("b") };
        journal.record(&changed).unwrap();
        journal.strike("file of a").unwrap();
        journal.strike("never recorded").unwrap();
        drop(journal);
        assert_eq!(Journal::open(dir.path()).unwrap().entries().unwrap(), vec![changed]);
    }

    #[test]
    fn a_file_that_is_no_journal_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("journal.db"), b"dear diary, this is not a database at all").unwrap();
        assert_eq!(Journal::open(dir.path()).err().unwrap().kind(), Kind::Corrupt);
        assert!(std::fs::read(dir.path().join("journal.db")).unwrap().starts_with(b"dear diary"));
    }
}
