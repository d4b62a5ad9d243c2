//! How older stores become new ones. A new store is made by the first schema and then every step, so that both
//! ways end in the same place.
//!
//! A step is never changed once it has landed: add another. Its number is its place in the list.

/// SQL of each step; step `n` (from 0) takes a store of format `n + 1` to format `n + 2`.
pub const MIGRATIONS: &[&str] = &[
    // Several users and drives.
    "CREATE TABLE user (
        id            TEXT PRIMARY KEY,
        name          TEXT NOT NULL,
        nick_name     TEXT NOT NULL,
        email         TEXT NOT NULL DEFAULT '',
        phone         TEXT NOT NULL DEFAULT '',
        description   TEXT NOT NULL DEFAULT '',
        role          TEXT NOT NULL,
        enabled       INTEGER NOT NULL DEFAULT 1,
        default_drive INTEGER,
        creator       TEXT NOT NULL DEFAULT 'system',
        data_json     TEXT NOT NULL DEFAULT '{}',
        created_at    INTEGER NOT NULL,
        updated_at    INTEGER NOT NULL
    ) WITHOUT ROWID;
    ALTER TABLE drive ADD COLUMN owner TEXT NOT NULL DEFAULT 'local';
    ALTER TABLE drive ADD COLUMN description TEXT NOT NULL DEFAULT '';
    ALTER TABLE drive ADD COLUMN creator TEXT NOT NULL DEFAULT 'system';
    ALTER TABLE drive ADD COLUMN enabled INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE drive ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;
    UPDATE drive SET updated_at = created_at;
    CREATE INDEX drive_owner ON drive (owner);
    CREATE TABLE session (
        id                 TEXT PRIMARY KEY,
        user               TEXT NOT NULL,             -- empty: the service itself
        app                TEXT NOT NULL,
        role               TEXT NOT NULL,
        refresh_hash       BLOB NOT NULL,             -- SHA-256 of the one refresh token that is good
        refresh_expires_at INTEGER NOT NULL,
        created_at         INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX session_expires ON session (refresh_expires_at);",
    // Background tasks.
    "CREATE TABLE task (
        id            TEXT PRIMARY KEY,
        user          TEXT NOT NULL,                  -- who asked for it
        kind          TEXT NOT NULL,
        work_json     TEXT NOT NULL,                  -- what is to be done
        state         TEXT NOT NULL,                  -- Running, Succeed, Failed
        total         INTEGER NOT NULL DEFAULT 0,     -- entries
        consumed      INTEGER NOT NULL DEFAULT 0,
        result        INTEGER,                        -- seq of the revision that is an archive
        error_status  INTEGER NOT NULL DEFAULT 0,
        error_code    TEXT NOT NULL DEFAULT '',
        error_message TEXT NOT NULL DEFAULT '',
        created_at    INTEGER NOT NULL,
        started_at    INTEGER,
        finished_at   INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX task_running ON task (created_at) WHERE state = 'Running';
    CREATE INDEX task_finished ON task (finished_at) WHERE finished_at IS NOT NULL;",
    // Contents that are old are found without looking at all.
    "CREATE INDEX revision_created ON revision (created_at);",
    // The feed knows when, by the system's clock, so that it can be told late.
    "ALTER TABLE feed ADD COLUMN at INTEGER NOT NULL DEFAULT 0;",
    // What media tell about themselves is found out later; and the entry of a revision by the revision.
    "ALTER TABLE revision ADD COLUMN facts_due INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX revision_facts_due ON revision (seq) WHERE facts_due = 1;
    CREATE INDEX entry_revision ON entry (revision);",
    // Share links.
    "CREATE TABLE share (
        id            TEXT PRIMARY KEY,
        drive         INTEGER NOT NULL,
        user          TEXT NOT NULL,                  -- who made it
        name          TEXT NOT NULL,
        description   TEXT NOT NULL,
        password      TEXT NOT NULL,                  -- empty: none
        expires_at    INTEGER,                        -- NULL: never
        files_json    TEXT,                           -- ids; NULL: the whole drive
        settings_json TEXT NOT NULL,
        enabled       INTEGER NOT NULL,
        downloads     INTEGER NOT NULL,
        visits        INTEGER NOT NULL,
        created_at    INTEGER NOT NULL,
        updated_at    INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX share_user ON share (user, id);",
];

/// The format of a store to which every step was applied.
pub const FORMAT: usize = MIGRATIONS.len() + 1;

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::super::store::Store;
    use super::*;

    /// A directory with a database of the first format, and its drive.
    fn old_store() -> (tempfile::TempDir, Connection) {
        let dir = tempfile::tempdir().unwrap();
        let c = Connection::open(dir.path().join("pds.db")).unwrap();
        c.execute_batch(include_str!("schema.sql")).unwrap();
        c.execute_batch("INSERT INTO drive (id, name, created_at) VALUES (1, 'Default', 7)").unwrap();
        c.execute_batch("PRAGMA application_id = 0x70647366; PRAGMA user_version = 1").unwrap();
        (dir, c)
    }

    #[test]
    fn an_older_store_is_brought_up_to_date_and_loses_nothing() {
        let (dir, c) = old_store();
        for _ in 0..2 {
            let store = Store::open(dir.path()).unwrap();
            let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
            let sql = "SELECT owner, updated_at FROM drive WHERE name = 'Default'";
            let drive = store.read(|c| Ok(c.query_row(sql, [], row)?)).unwrap();
            assert_eq!(drive, ("local".to_owned(), 7));
        }
        let format: i64 = c.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(format, FORMAT as i64);
    }

    #[test]
    fn a_step_that_fails_leaves_the_store_as_it_was() {
        let (dir, c) = old_store();
        // The step makes this table itself.
        c.execute_batch("CREATE TABLE session (x)").unwrap();
        assert!(Store::open(dir.path()).is_err());
        let format: i64 = c.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(format, 1);
        assert!(c.prepare("SELECT owner FROM drive").is_err());
        c.execute_batch("DROP TABLE session").unwrap();
        assert!(Store::open(dir.path()).is_ok());
    }

    #[test]
    fn a_newer_store_is_refused_in_words() {
        let (dir, c) = old_store();
        c.pragma_update(None, "user_version", FORMAT as i64 + 1).unwrap();
        let error = Store::open(dir.path()).err().unwrap().to_string();
        assert!(error.contains(&format!("its format is {}", FORMAT + 1)), "{error}");
        assert!(error.contains("use a newer pdsfs"), "{error}");
    }
}
