//! What must survive this process: drafts whose bytes a program was promised, in a local SQLite database.
//!
//! A draft is recorded when a program was told that its bytes are safe (fsync, a close that another close
//! will follow) or when they could not be brought to the drive. It is struck out when the drive has it, or
//! when its file was removed. What is recorded when a mount starts is brought to the drive then.
//!
//! Each call is durable when it returns. Calls that come while one waits for the disk share the next
//! transaction, so that many closers cost one wait. Small files are in the record with all their bytes: their
//! content file needs no waiting of its own.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};
use serde_json::{Value, json};

use crate::content::extents::ExtentSet;
use crate::content::lock;
use crate::error::{Error, Kind, Result};
use crate::pds::model::{File, FileId, UploadId};
use crate::pds::{NewAttributes, UploadKey};

use super::Trace;
use super::upload::{Commit, Mark};

/// The layout of the database this version reads and writes.
const LAYOUT: i64 = 2;

/// The service keeps unfinished uploads for ten days (1); older ones are not asked for.
const UPLOAD_AGE: Duration = Duration::from_secs(10 * 24 * 3600);

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
        failure      TEXT,
        upload       TEXT,
        bytes        BLOB
    ) STRICT;
";

/// From layout 1.
const GROW: &str = "
    ALTER TABLE draft ADD COLUMN upload TEXT;
    ALTER TABLE draft ADD COLUMN bytes BLOB;
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
    /// What is known of its upload.
    pub trace: Trace,
    /// All of its bytes are in the journal ([`Journal::bytes`]), and the content file is of no account.
    pub is_whole: bool,
}

/// A change of the journal.
enum Change {
    Record(Box<Entry>, Option<Vec<u8>>),
    NoteUpload(String, Trace),
    Strike(String),
}

/// A change that waits for its transaction, and where that tells how it went.
type Waiting = (Change, Arc<OnceLock<Result<()>>>);

/// See the module's documentation.
pub struct Journal {
    db: Mutex<Connection>,
    /// What the next transaction takes; a leaf.
    waiting: Mutex<Vec<Waiting>>,
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
            match layout {
                0 => db.execute_batch(SCHEMA)?,
                1 => db.execute_batch(GROW)?,
                _ => {}
            }
            if layout < LAYOUT {
                db.pragma_update(None, "user_version", LAYOUT)?;
            }
            Ok((db, layout))
        };
        let (db, layout) = open().map_err(|error| failed("open the journal", error).on(path.display()))?;
        if layout > LAYOUT {
            let newer = "it was written by a newer pdsfs; use that, or another --state-dir";
            return Err(Error::new(Kind::Corrupt, "open the journal", newer).on(path.display()));
        }
        Ok(Journal { db: Mutex::new(db), waiting: Mutex::default() })
    }

    /// Records a draft, or what has become of it since; with all of its `bytes` when they are few, which saves
    /// the caller from waiting for the content file.
    ///
    /// # Errors
    /// The local disk fails or is full.
    pub fn record(&self, entry: Entry, bytes: Option<Vec<u8>>) -> Result<()> {
        self.commit(Change::Record(Box::new(entry), bytes))
    }

    /// All bytes of a draft that is recorded with them.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when they are not there.
    pub fn bytes(&self, content_file: &str) -> Result<Vec<u8>> {
        lock(&self.db)
            .query_row("SELECT bytes FROM draft WHERE content_file = ?1", [content_file], |row| row.get(0))
            .map_err(|error| failed("read the journal", error))
    }

    /// Records what is known of the upload of a draft, if the draft is recorded.
    ///
    /// # Errors
    /// The local disk fails or is full.
    pub fn note_upload(&self, content_file: &str, trace: &Trace) -> Result<()> {
        self.commit(Change::NoteUpload(content_file.to_owned(), trace.clone()))
    }

    /// Strikes a draft out. One that is not recorded is fine.
    ///
    /// # Errors
    /// The local disk fails or is full.
    pub fn strike(&self, content_file: &str) -> Result<()> {
        self.commit(Change::Strike(content_file.to_owned()))
    }

    /// Makes a change durable, together with all that came while the disk was busy: whoever gets the database
    /// next writes what waits by then.
    fn commit(&self, change: Change) -> Result<()> {
        let done = Arc::new(OnceLock::new());
        lock(&self.waiting).push((change, Arc::clone(&done)));
        let mut db = lock(&self.db);
        if let Some(outcome) = done.get() {
            return outcome.clone();
        }
        let batch = std::mem::take(&mut *lock(&self.waiting));
        let outcome = write(&mut db, &batch).map_err(|error| failed("write the journal", error));
        for (_, done) in batch {
            // Each is in one batch only.
            let _ = done.set(outcome.clone());
        }
        outcome
    }

    /// Everything recorded.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when a record makes no sense.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let db = lock(&self.db);
        let read = || -> rusqlite::Result<Vec<Row>> {
            let mut all = db.prepare(
                "SELECT content_file, parent, name, base, size, backed_len, present, attributes, failure,
                        upload, bytes IS NOT NULL
                 FROM draft ORDER BY content_file",
            )?;
            all.query_map([], Row::read)?.collect()
        };
        let rows = read().map_err(|error| failed("read the journal", error))?;
        rows.into_iter().map(Row::entry).collect()
    }
}

/// Writes a batch as one transaction.
fn write(db: &mut Connection, batch: &[Waiting]) -> rusqlite::Result<()> {
    let transaction = db.transaction()?;
    for (change, _) in batch {
        match change {
            Change::Record(entry, bytes) => insert(&transaction, entry, bytes.as_deref())?,
            Change::NoteUpload(content_file, trace) => {
                transaction
                    .prepare_cached("UPDATE draft SET upload = ?2 WHERE content_file = ?1")?
                    .execute(params![content_file, trace_to_json(trace)])?;
            }
            Change::Strike(content_file) => {
                transaction
                    .prepare_cached("DELETE FROM draft WHERE content_file = ?1")?
                    .execute([content_file])?;
            }
        }
    }
    transaction.commit()
}

fn insert(db: &Connection, entry: &Entry, bytes: Option<&[u8]>) -> rusqlite::Result<()> {
    let present: Vec<[u64; 2]> = entry.present.iter().map(|range| [range.start, range.end]).collect();
    db.prepare_cached("INSERT OR REPLACE INTO draft VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")?
        .execute(params![
            entry.content_file,
            entry.parent.as_str(),
            entry.name,
            entry.base.as_ref().map(|base| base.json().to_string()),
            entry.size as i64,
            entry.backed_len as i64,
            json!(present).to_string(),
            json!(entry.attributes).to_string(),
            entry.failure,
            trace_to_json(&entry.trace),
            bytes,
        ])?;
    Ok(())
}

struct Row {
    text: [String; 5],
    base: Option<String>,
    failure: Option<String>,
    upload: Option<String>,
    is_whole: bool,
    size: i64,
    backed_len: i64,
}

impl Row {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Row {
            text: [row.get(0)?, row.get(1)?, row.get(2)?, row.get(6)?, row.get(7)?],
            base: row.get(3)?,
            failure: row.get(8)?,
            upload: row.get(9)?,
            is_whole: row.get(10)?,
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
            trace: self.upload.as_deref().map(trace_from_json).unwrap_or_default(),
            is_whole: self.is_whole,
            name,
        })
    }
}

fn trace_to_json(trace: &Trace) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mark = trace.mark.as_ref().map(|mark| {
        json!({
            "file_id": mark.key.file.as_str(),
            "upload_id": mark.key.upload.as_str(),
            "parallel": mark.parallel,
            "shard_len": mark.shard_len,
            "noted_at": now.as_secs(),
        })
    });
    let commits: Vec<[u64; 2]> = trace.commits.iter().map(|commit| [commit.size, commit.crc64]).collect();
    json!({ "mark": mark, "commits": commits }).to_string()
}

/// What of it still makes sense. Without, the draft is sent from its beginning.
fn trace_from_json(text: &str) -> Trace {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let commits: Vec<[u64; 2]> = serde_json::from_value(value["commits"].clone()).unwrap_or_default();
    Trace {
        mark: mark_from_json(&value["mark"]),
        commits: commits.into_iter().map(|[size, crc64]| Commit { size, crc64 }).collect(),
    }
}

/// The upload, unless it is too old.
fn mark_from_json(value: &Value) -> Option<Mark> {
    let noted_at = UNIX_EPOCH + Duration::from_secs(value["noted_at"].as_u64()?);
    let is_young = SystemTime::now().duration_since(noted_at).is_ok_and(|age| age < UPLOAD_AGE);
    let mark = Mark {
        key: UploadKey {
            file: FileId::from(value["file_id"].as_str()?),
            upload: UploadId::from(value["upload_id"].as_str()?),
        },
        parallel: value["parallel"].as_bool()?,
        shard_len: value["shard_len"].as_u64().filter(|len| *len > 0)?,
    };
    is_young.then_some(mark)
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
            trace: Trace {
                mark: Some(Mark {
                    key: UploadKey { file: FileId::from("f"), upload: UploadId::from("u") },
                    parallel: true,
                    shard_len: 128,
                }),
                commits: vec![Commit { size: 10, crc64: u64::MAX }],
            },
            is_whole: true,
        }
    }

    #[test]
    fn what_is_recorded_survives_and_what_is_struck_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        journal.record(entry("a"), Some(b"a".to_vec())).unwrap();
        journal.record(entry("b"), Some(b"b".to_vec())).unwrap();
        let changed = Entry { failure: Some("the drive is full".to_owned()), ..entry("b") };
        journal.record(changed.clone(), Some(b"bytes".to_vec())).unwrap();
        journal.strike("file of a").unwrap();
        let other = Trace { commits: Vec::new(), ..entry("b").trace };
        journal.note_upload("file of b", &other).unwrap();
        let changed = Entry { trace: other.clone(), ..changed };
        journal.note_upload("never recorded", &other).unwrap();
        journal.strike("never recorded").unwrap();
        drop(journal);
        let journal = Journal::open(dir.path()).unwrap();
        assert_eq!(journal.entries().unwrap(), vec![changed]);
        assert_eq!(journal.bytes("file of b").unwrap(), b"bytes");
    }

    #[test]
    fn many_at_once_are_all_there() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let journal = &journal;
                scope.spawn(move || {
                    for number in 0..20 {
                        journal.record(entry(&format!("{thread} {number}")), None).unwrap();
                    }
                    journal.strike(&format!("file of {thread} 0")).unwrap();
                });
            }
        });
        drop(journal);
        assert_eq!(Journal::open(dir.path()).unwrap().entries().unwrap().len(), 8 * 19);
    }

    #[test]
    fn a_journal_of_the_first_layout_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let old = Connection::open(dir.path().join("journal.db")).unwrap();
        old.execute_batch(
            "CREATE TABLE draft (content_file TEXT PRIMARY KEY, parent TEXT NOT NULL, name TEXT NOT NULL,
                 base TEXT, size INTEGER NOT NULL, backed_len INTEGER NOT NULL, present TEXT NOT NULL,
                 attributes TEXT NOT NULL, failure TEXT) STRICT;
             INSERT INTO draft VALUES ('c', 'root', 'n', NULL, 3, 0, '[[0,3]]', '{}', NULL);
             PRAGMA user_version = 1;",
        )
        .unwrap();
        drop(old);
        let journal = Journal::open(dir.path()).unwrap();
        journal.record(entry("b"), Some(b"b".to_vec())).unwrap();
        let entries = journal.entries().unwrap();
        assert_eq!(entries.iter().map(|entry| &*entry.name).collect::<Vec<_>>(), ["n", "b"]);
        assert_eq!((&entries[0].trace, entries[0].is_whole), (&Trace::default(), false));
    }

    #[test]
    fn an_upload_older_than_the_service_keeps_it_is_forgotten() {
        let young = trace_to_json(&entry("a").trace);
        assert_eq!(trace_from_json(&young), entry("a").trace);
        let mut old: Value = serde_json::from_str(&young).unwrap();
        let noted_at = old["mark"]["noted_at"].as_u64().unwrap();
        old["mark"]["noted_at"] = json!(noted_at - UPLOAD_AGE.as_secs());
        assert_eq!(trace_from_json(&old.to_string()), Trace { mark: None, ..entry("a").trace });
    }

    #[test]
    fn a_file_that_is_no_journal_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("journal.db"), b"dear diary, this is not a database at all").unwrap();
        assert_eq!(Journal::open(dir.path()).err().unwrap().kind(), Kind::Corrupt);
        assert!(std::fs::read(dir.path().join("journal.db")).unwrap().starts_with(b"dear diary"));
    }
}
