//! The store: a locked directory with a SQLite database and files of bytes.
//!
//! ```text
//! DIR/lock      held (flock) for as long as the store is open
//! DIR/pds.db    all metadata; WAL, every commit durable
//! DIR/blobs/xx/ bytes, of finished contents and of uploads alike
//! ```
//!
//! One thread owns the writing connection. Changes queue there; those that wait together share one
//! transaction (each in its own savepoint) and so one flush of the disk, and each caller is answered only
//! after the commit. Readers have connections of their own and a snapshot each: they never wait for a
//! writer. Everything here blocks and belongs on blocking threads.
//!
//! A file under `blobs/` is named by a row (`upload`, `part`, `blob` or `doomed`) from before it exists until
//! after it is gone, so that a killed process leaves nothing behind that a row does not tell. Completing an
//! upload moves its file from one row to another and touches no directory.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use rustix::fs::FlockOperation;

use super::migrations::{FORMAT, MIGRATIONS};
use super::reply::{ApiError, ApiResult};
use crate::error::{Error, Kind, Result};

/// `pdsf`, in the header of our databases.
const APPLICATION_ID: i32 = 0x7064_7366;
/// Changes that may share a transaction: bounds how long the first of them waits.
const MAX_GROUP: usize = 64;
/// Changes that may wait for the writer; further callers block.
const MAX_QUEUE: usize = 256;
/// Idle reading connections kept open; more are opened when needed and closed after.
const MAX_IDLE_READERS: usize = 8;

/// An open store. Dropping it ends the writer and releases the directory.
pub struct Store {
    dir: PathBuf,
    writer: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    readers: Mutex<Vec<Connection>>,
    _lock: File,
}

/// A change: applies itself, and says whether to keep what it did and how to answer.
type Job = Box<dyn FnOnce(&Connection) -> (bool, Answer) + Send>;
/// Called after the commit, with the reason if it failed.
type Answer = Box<dyn FnOnce(Option<ApiError>) + Send>;

impl Store {
    /// Opens or makes the store in `dir`.
    ///
    /// # Errors
    /// `Busy` when another process has it open, `Invalid` when the directory holds something else,
    /// `Corrupt` when the database cannot be read.
    pub fn open(dir: &Path) -> Result<Store> {
        let failed = |error| Error::io("open the data directory", error).on(dir.display());
        fs::create_dir_all(dir).map_err(failed)?;
        refuse_foreign(dir)?;
        let lock = take_lock(dir)?;
        fs::create_dir_all(dir.join("blobs")).map_err(failed)?;
        let damaged = |error: rusqlite::Error| unreadable(dir, error);
        let connection = connect(dir).map_err(damaged)?;
        prepare(&connection, dir)?;
        sync_dir(dir).map_err(failed)?;
        let (writer, jobs) = mpsc::sync_channel(MAX_QUEUE);
        let thread = std::thread::Builder::new()
            .name("pds-store".into())
            .spawn(move || run_writer(connection, &jobs))
            .map_err(failed)?;
        Ok(Store {
            dir: dir.to_owned(),
            writer: Some(writer),
            thread: Some(thread),
            readers: Mutex::default(),
            _lock: lock,
        })
    }

    /// Runs `change` in a transaction and returns after it is durable. An error undoes what it did.
    pub fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> ApiResult<T> + Send + 'static,
    ) -> ApiResult<T> {
        let (answer, answered) = mpsc::sync_channel(1);
        let job: Job = Box::new(move |connection| {
            let result = change(connection);
            let keep = result.is_ok();
            let reply: Answer = Box::new(move |failure| {
                // The caller may be gone; the change stands.
                let _ = answer.send(match failure {
                    Some(error) => Err(error),
                    None => result,
                });
            });
            (keep, reply)
        });
        let closed = || ApiError::internal("store the change", "the store is closed");
        self.writer.as_ref().ok_or_else(closed)?.send(job).map_err(|_| closed())?;
        answered.recv().map_err(|_| closed())?
    }

    /// Runs `query` on a snapshot of its own.
    pub fn read<T>(&self, query: impl FnOnce(&Connection) -> ApiResult<T>) -> ApiResult<T> {
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.dir)?,
        };
        run(&connection, "BEGIN")?;
        let result = query(&connection);
        run(&connection, "COMMIT")?;
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < MAX_IDLE_READERS {
            readers.push(connection);
        }
        result
    }

    /// Where the bytes named `file` are.
    pub fn blob_path(&self, file: &str) -> PathBuf {
        self.dir.join("blobs").join(file)
    }

    /// Opens bytes for reading.
    pub fn open_blob(&self, file: &str) -> io::Result<File> {
        File::open(self.blob_path(file))
    }

    /// Opens the file of an upload for writing, making it (durably) when it is not there.
    pub fn open_staging(&self, file: &str) -> io::Result<File> {
        let path = self.blob_path(file);
        let folder = path.parent().unwrap_or(&self.dir);
        let make = || File::options().read(true).write(true).create_new(true).open(&path);
        let made = match make() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(folder)?;
                sync_dir(&self.dir.join("blobs"))?;
                make()
            }
            made => made,
        };
        match made {
            Ok(file) => sync_dir(folder).map(|()| file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let file = File::options().read(true).write(true).open(&path)?;
                // Whoever made it may not have come to this yet.
                sync_dir(folder).map(|()| file)
            }
            Err(error) => Err(error),
        }
    }

    /// Removes the files of the `doomed` table, as far as possible. Blocks; may take long.
    pub fn bury(&self) -> ApiResult<()> {
        loop {
            let files: Vec<String> = self.read(|c| {
                let mut statement =
                    c.prepare_cached("SELECT file FROM doomed WHERE in_use = 0 LIMIT 1000")?;
                Ok(statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
            })?;
            if files.is_empty() {
                return Ok(());
            }
            for file in &files {
                match fs::remove_file(self.blob_path(file)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(ApiError::io("remove old bytes", &error));
                    }
                    _ => {}
                }
            }
            self.write(move |c| {
                for file in &files {
                    c.prepare_cached("DELETE FROM doomed WHERE file = ?1")?.execute([file])?;
                }
                Ok(())
            })?;
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.writer = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A value of the `meta` table, which is `fresh` when it is not there yet.
pub fn constant(c: &Connection, key: &str, fresh: &[u8]) -> ApiResult<Vec<u8>> {
    c.execute("INSERT OR IGNORE INTO meta VALUES (?1, ?2)", (key, fresh))?;
    Ok(c.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))?)
}

/// Marks bytes for removal after the commit.
pub fn doom(c: &Connection, file: &str) -> ApiResult<()> {
    c.prepare_cached("INSERT OR REPLACE INTO doomed VALUES (?1, 0)")?.execute([file])?;
    Ok(())
}

/// Marks bytes that are about to be written, and that nothing else names yet, for removal at the next start.
pub fn doom_at_start(c: &Connection, file: &str) -> ApiResult<()> {
    c.prepare_cached("INSERT OR REPLACE INTO doomed VALUES (?1, 1)")?.execute([file])?;
    Ok(())
}

fn run_writer(connection: Connection, jobs: &Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        let mut group = vec![first];
        group.extend(jobs.try_iter().take(MAX_GROUP - 1));
        let mut answers = Vec::with_capacity(group.len());
        let outcome = commit_group(&connection, group, &mut answers);
        let failure = outcome.err().map(|error| {
            if !connection.is_autocommit() {
                let _ = connection.execute_batch("ROLLBACK");
            }
            ApiError::from(error)
        });
        for answer in answers {
            answer(failure.clone());
        }
    }
}

fn commit_group(connection: &Connection, group: Vec<Job>, answers: &mut Vec<Answer>) -> rusqlite::Result<()> {
    run(connection, "BEGIN IMMEDIATE")?;
    for job in group {
        run(connection, "SAVEPOINT job")?;
        let (keep, answer) = job(connection);
        answers.push(answer);
        if !keep {
            run(connection, "ROLLBACK TO job")?;
        }
        run(connection, "RELEASE job")?;
    }
    run(connection, "COMMIT")
}

/// A statement without values or rows, parsed once per connection.
fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}

fn connect(dir: &Path) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(dir.join("pds.db"), flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // 16 MiB of pages for each connection: the upper levels of every index of a million files.
    connection.pragma_update(None, "cache_size", -16384)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// Checks that the database is ours, and makes its tables when it is new.
fn prepare(connection: &Connection, dir: &Path) -> Result<()> {
    let damaged = |error: rusqlite::Error| unreadable(dir, error);
    let pragma =
        |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).map_err(damaged);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(damaged)?;
    if tables == 0 {
        let schema = format!(
            "BEGIN; {} {} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; COMMIT;",
            include_str!("schema.sql"),
            MIGRATIONS.concat()
        );
        return connection.execute_batch(&schema).map_err(damaged);
    }
    if pragma("application_id")? != APPLICATION_ID {
        return Err(foreign(dir));
    }
    let format = pragma("user_version")?;
    match usize::try_from(format) {
        Ok(format @ 1..=FORMAT) => migrate(connection, format).map_err(damaged)?,
        _ => {
            let message = format!(
                "its format is {format}, this program understands up to {FORMAT}: use a newer pdsfs, \
                 at least the one that wrote it last"
            );
            return Err(Error::new(Kind::Invalid, "open the data directory", message).on(dir.display()));
        }
    }
    let check = "SELECT count(*) FROM meta, (SELECT max(seq) FROM entry), (SELECT max(seq) FROM revision)";
    connection.query_row(check, [], |row| row.get::<_, i64>(0)).optional().map_err(damaged)?;
    connection.execute("UPDATE doomed SET in_use = 0", []).map_err(damaged)?;
    Ok(())
}

/// Brings an older store up to date: all steps or none.
fn migrate(connection: &Connection, format: usize) -> rusqlite::Result<()> {
    let steps = &MIGRATIONS[format - 1..];
    if steps.is_empty() {
        return Ok(());
    }
    let batch = format!("BEGIN IMMEDIATE; {} PRAGMA user_version = {FORMAT}; COMMIT;", steps.concat());
    let outcome = connection.execute_batch(&batch);
    if outcome.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    outcome
}

/// A directory with other people's files is not for us to fill.
fn refuse_foreign(dir: &Path) -> Result<()> {
    let failed = |error| Error::io("open the data directory", error).on(dir.display());
    if dir.join("pds.db").exists() {
        return Ok(());
    }
    for entry in fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let known = ["lock", "blobs", "pds.db-wal", "pds.db-shm", "lost+found"];
        if !known.iter().any(|known| name.to_str() == Some(known)) {
            return Err(foreign(dir));
        }
    }
    Ok(())
}

fn take_lock(dir: &Path) -> Result<File> {
    let failed = |error| Error::io("open the data directory", error).on(dir.display());
    let lock = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(dir.join("lock"))
        .map_err(failed)?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let message =
                "another pdsfs process is using it; unmount or stop that one, or choose another directory";
            Err(Error::new(Kind::Busy, "open the data directory", message).on(dir.display()))
        }
        Err(errno) => Err(failed(errno.into())),
    }
}

fn foreign(dir: &Path) -> Error {
    let message = "it holds something else than the data of pdsfs; choose an empty or a new directory";
    Error::new(Kind::Invalid, "open the data directory", message).on(dir.display())
}

fn unreadable(dir: &Path, error: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode::{
        CannotOpen, DatabaseCorrupt, DiskFull, NotADatabase, PermissionDenied, ReadOnly,
    };
    let (kind, message) = match error.sqlite_error_code() {
        Some(DiskFull) => (Kind::NoSpace, "the disk is full".to_owned()),
        Some(CannotOpen | PermissionDenied | ReadOnly) => {
            (Kind::Denied, format!("its database cannot be opened: {error}"))
        }
        Some(NotADatabase | DatabaseCorrupt) => (
            Kind::Corrupt,
            format!(
                "its database (pds.db) is damaged: {error}; restore it from a copy or choose another directory"
            ),
        ),
        _ => (Kind::Corrupt, format!("its database (pds.db) cannot be used: {error}")),
    };
    Error::new(kind, "open the data directory", message).on(dir.display()).caused_by(error)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
