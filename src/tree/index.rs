//! The index: what the tree knows, on the local disk, so that it is known again after a restart.
//!
//! One SQLite database in the state directory. It is a memory of the drive and no more: when it is damaged
//! or of another version it is begun anew. Each [`Index::save`] is one transaction with the feed's cursor in
//! it, so what a crash leaves is a state that the feed can be followed from. Calls block on the local disk.

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::Ino;
use super::slot::Brief;
use crate::content::lock;
use crate::error::{Error, Kind, Result};
use crate::pds::model::{File, FileId, FileKind};

/// The layout of the database this version reads and writes.
const LAYOUT: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE node (
        ino        INTEGER PRIMARY KEY,
        parent     INTEGER NOT NULL,
        name       TEXT NOT NULL,
        drive_name TEXT,
        id         TEXT,
        folder     INTEGER NOT NULL,
        loaded     INTEGER NOT NULL,
        size       INTEGER NOT NULL,
        modified   INTEGER NOT NULL,
        changed    INTEGER NOT NULL,
        created    INTEGER NOT NULL,
        mark       INTEGER NOT NULL,
        content    INTEGER NOT NULL,
        mode       INTEGER NOT NULL,
        uid        INTEGER NOT NULL,
        gid        INTEGER NOT NULL,
        link       INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE file (ino INTEGER PRIMARY KEY, json TEXT NOT NULL) STRICT;
    CREATE TABLE feed (one INTEGER PRIMARY KEY CHECK (one = 1), cursor TEXT, next_ino INTEGER NOT NULL) STRICT;
";

/// A node as the index has it.
pub(super) struct Row {
    pub ino: Ino,
    pub parent: Ino,
    pub name: Arc<str>,
    pub drive_name: Option<Box<str>>,
    pub id: Option<FileId>,
    pub kind: FileKind,
    pub brief: Brief,
    pub is_loaded: bool,
    /// The File to write; one that is not given stays as it is.
    pub file: Option<Arc<File>>,
}

/// One step of the index.
#[derive(Default)]
pub(super) struct Batch {
    pub rows: Vec<Row>,
    pub removed: Vec<Ino>,
    pub cursor: Option<Arc<str>>,
    pub next_ino: Ino,
}

/// Everything in the index but the Files.
#[derive(Default)]
pub(super) struct Stored {
    pub rows: Vec<Row>,
    pub cursor: Option<Arc<str>>,
    pub next_ino: Ino,
}

/// See the module's documentation.
pub struct Index {
    db: Mutex<Connection>,
}

impl Index {
    /// Opens or creates the index in `state_dir`; a damaged one is begun anew.
    ///
    /// # Errors
    /// The local disk fails or is full.
    pub fn open(state_dir: &Path) -> Result<Self> {
        let path = state_dir.join("index.db");
        let db = match connect(&path) {
            Ok(db) => db,
            Err(error) => {
                tracing::warn!(%error, "the index of the drive is begun anew");
                for name in ["index.db", "index.db-wal", "index.db-shm"] {
                    // What cannot be removed is told by the next line.
                    let _ = std::fs::remove_file(state_dir.join(name));
                }
                connect(&path).map_err(|error| failed("open the index", error).on(path.display()))?
            }
        };
        Ok(Index { db: Mutex::new(db) })
    }

    /// Reads everything but the Files.
    pub(super) fn load(&self) -> Result<Stored> {
        let db = lock(&self.db);
        let read = || -> rusqlite::Result<Stored> {
            let mut stored = Stored::default();
            let feed = db.query_row("SELECT cursor, next_ino FROM feed", [], |row| {
                Ok((row.get::<_, Option<String>>(0)?, row.get::<_, i64>(1)?))
            });
            if let Some((cursor, next_ino)) = feed.optional()? {
                stored.cursor = cursor.map(Arc::from);
                stored.next_ino = next_ino as Ino;
            }
            let mut all = db.prepare("SELECT * FROM node")?;
            let rows = all.query_map([], read_row)?;
            for row in rows {
                stored.rows.push(row?);
            }
            Ok(stored)
        };
        read().map_err(|error| failed("read the index", error))
    }

    /// The File of a node; `None` when it is not there or cannot be read.
    pub(super) fn file(&self, ino: Ino) -> Option<File> {
        let db = lock(&self.db);
        let mut find = db.prepare_cached("SELECT json FROM file WHERE ino = ?1").ok()?;
        let json: String = find.query_row([ino as i64], |row| row.get(0)).ok()?;
        File::parse(&json).ok()
    }

    /// Writes one step.
    pub(super) fn save(&self, batch: &Batch) -> Result<()> {
        let mut db = lock(&self.db);
        let mut write = || -> rusqlite::Result<()> {
            let step = db.transaction()?;
            {
                let mut node = step.prepare_cached(
                    "INSERT OR REPLACE INTO node VALUES
                     (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17)",
                )?;
                let mut file = step.prepare_cached("INSERT OR REPLACE INTO file VALUES (?1, ?2)")?;
                for row in &batch.rows {
                    let brief = &row.brief;
                    node.execute(params![
                        row.ino as i64,
                        row.parent as i64,
                        &*row.name,
                        row.drive_name.as_deref(),
                        row.id.as_ref().map(FileId::as_str),
                        row.kind == FileKind::Folder,
                        row.is_loaded,
                        brief.size as i64,
                        brief.modified,
                        brief.changed,
                        brief.created,
                        brief.mark as i64,
                        brief.content as i64,
                        brief.mode,
                        brief.uid,
                        brief.gid,
                        brief.is_link,
                    ])?;
                    if let Some(described) = &row.file {
                        file.execute(params![row.ino as i64, described.text()])?;
                    }
                }
                let mut no_node = step.prepare_cached("DELETE FROM node WHERE ino = ?1")?;
                let mut no_file = step.prepare_cached("DELETE FROM file WHERE ino = ?1")?;
                for ino in &batch.removed {
                    no_node.execute([*ino as i64])?;
                    no_file.execute([*ino as i64])?;
                }
                step.execute(
                    "INSERT OR REPLACE INTO feed VALUES (1, ?1, ?2)",
                    params![batch.cursor.as_deref(), batch.next_ino as i64],
                )?;
            }
            step.commit()
        };
        write().map_err(|error| failed("write the index", error))
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // It has names and, in what the service says of files, URLs: nobody else's business.
    let private = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    drop(private);
    let db = Connection::open(path)?;
    db.busy_timeout(Duration::from_secs(5))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    // A power cut may cost the last steps, which the feed tells again.
    db.pragma_update(None, "synchronous", "NORMAL")?;
    let layout: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match layout {
        0 => {
            db.execute_batch(SCHEMA)?;
            db.pragma_update(None, "user_version", LAYOUT)?;
            Ok(db)
        }
        LAYOUT => Ok(db),
        _ => Err(rusqlite::Error::InvalidQuery),
    }
}

fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let number = |column: usize| row.get::<_, i64>(column).map(|number| number as u64);
    Ok(Row {
        ino: number(0)?,
        parent: number(1)?,
        name: row.get::<_, String>(2)?.into(),
        drive_name: row.get::<_, Option<String>>(3)?.map(String::into_boxed_str),
        id: row.get::<_, Option<String>>(4)?.map(|id| FileId::from(&*id)),
        kind: if row.get(5)? { FileKind::Folder } else { FileKind::File },
        is_loaded: row.get(6)?,
        brief: Brief {
            size: number(7)?,
            modified: row.get(8)?,
            changed: row.get(9)?,
            created: row.get(10)?,
            mark: number(11)?,
            content: number(12)?,
            mode: row.get(13)?,
            uid: row.get(14)?,
            gid: row.get(15)?,
            is_link: row.get(16)?,
        },
        file: None,
    })
}

fn failed(op: &'static str, error: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode;
    let (kind, message) = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => (Kind::NoSpace, "the local disk is full"),
        _ => (Kind::Unavailable, "the local database fails"),
    };
    Error::new(kind, op, message).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::super::{Lookup, ROOT, Tree};
    use super::*;
    use serde_json::json;

    fn file(id: &str, parent: &str, kind: &str) -> File {
        File::from_value(json!({
            "file_id": id, "parent_file_id": parent, "name": format!("{id}.x"), "type": kind, "size": 7,
            "revision_id": "r", "updated_at": "2026-01-02T03:04:05.678Z", "user_tags": {"pdsfs.mode": "750"},
        }))
        .unwrap()
    }

    fn open(dir: &Path) -> Tree {
        Tree::open(Index::open(dir).unwrap()).unwrap()
    }

    #[test]
    fn what_was_known_is_known_again_under_the_same_inodes() {
        let dir = tempfile::tempdir().unwrap();
        let tree = open(dir.path());
        let load = |tree: &Tree, ino, files| {
            let asked = tree.ask();
            tree.apply_listing(ino, files, asked, std::time::Instant::now());
        };
        load(
            &tree,
            ROOT,
            vec![file("d", "root", "folder"), file("a", "root", "file"), file("z", "root", "file")],
        );
        let d = tree.by_id(&FileId::from("d")).unwrap();
        load(&tree, d, vec![file("b", "d", "file")]);
        tree.set_cursor(Some("c1"));
        tree.save().unwrap();
        tree.remove(tree.by_id(&FileId::from("z")).unwrap());
        tree.set_cursor(Some("c2"));
        tree.save().unwrap();
        let inodes: Vec<_> = ["d", "a", "b"].map(|id| tree.by_id(&FileId::from(id))).into();
        drop(tree);
        let tree = open(dir.path());
        assert_eq!(tree.cursor().as_deref(), Some("c2"));
        assert_eq!(["d", "a", "b"].map(|id| tree.by_id(&FileId::from(id))).to_vec(), inodes);
        assert!(tree.loaded_at(ROOT).is_some() && tree.loaded_at(d).is_some());
        assert!(matches!(tree.lookup(ROOT, "z.x"), Lookup::Absent));
        let Lookup::Found(facts) = tree.lookup(d, "b.x") else { panic!("not found") };
        assert_eq!((facts.size, facts.mode, facts.is_draft), (7, Some(0o750), false));
        let node = tree.node(facts.ino).unwrap();
        assert_eq!(*node.file.unwrap(), file("b", "d", "file"));
        tree.unload_all();
        tree.save().unwrap();
        drop(tree);
        assert!(open(dir.path()).loaded_at(d).is_none());
    }

    #[test]
    fn a_damaged_index_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("index.db"), vec![7; 8192]).unwrap();
        let tree = open(dir.path());
        tree.set_cursor(Some("c"));
        tree.save().unwrap();
        drop(tree);
        assert_eq!(open(dir.path()).cursor().as_deref(), Some("c"));
    }

    #[test]
    fn many_files_stay_readable_though_memory_keeps_few() {
        let dir = tempfile::tempdir().unwrap();
        let tree = open(dir.path());
        let many = super::super::MAX_HOT + 100;
        let files = (0..many).map(|number| file(&format!("f{number}"), "root", "file")).collect();
        let asked = tree.ask();
        tree.apply_listing(ROOT, files, asked, std::time::Instant::now());
        tree.save().unwrap();
        let cold = lock(&tree.inner).nodes.values().filter(|slot| slot.is_cold()).count();
        assert_eq!(cold, 101, "the root's row takes a place, too");
        for number in 0..many {
            let ino = tree.by_id(&FileId::from(&*format!("f{number}"))).unwrap();
            assert_eq!(tree.node(ino).unwrap().file.unwrap().id.as_str(), format!("f{number}"));
        }
    }
}
