-- The store of the embedded server. Times are milliseconds since 1970; CRCs are the 64 bits as signed
-- integers; text columns named *_json hold JSON.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE drive (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL,
    total_bytes INTEGER NOT NULL DEFAULT -1,     -- -1: no limit
    used_bytes  INTEGER NOT NULL DEFAULT 0,      -- the sum over its revisions
    created_at  INTEGER NOT NULL
);

-- Files and folders. The root of a drive is the entry `root` with parent 0.
CREATE TABLE entry (
    seq        INTEGER PRIMARY KEY,
    drive      INTEGER NOT NULL,
    file_id    TEXT NOT NULL,
    parent     INTEGER NOT NULL,                 -- seq of the folder
    name       TEXT NOT NULL,
    folder     INTEGER NOT NULL,
    revision   INTEGER,                          -- seq of the current content; NULL for folders
    size       INTEGER NOT NULL DEFAULT 0,       -- of the current content, for ordering
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    trashed_at INTEGER,                          -- set on the trashed entry itself, not below it
    meta_json  TEXT NOT NULL DEFAULT '{}',       -- fields a client may set, as the File object spells them
    tags_json  TEXT NOT NULL DEFAULT '{}'
);
CREATE UNIQUE INDEX entry_id ON entry (drive, file_id);
CREATE INDEX entry_name ON entry (parent, name) WHERE trashed_at IS NULL;
CREATE INDEX entry_created ON entry (parent, created_at) WHERE trashed_at IS NULL;
CREATE INDEX entry_updated ON entry (parent, updated_at) WHERE trashed_at IS NULL;
CREATE INDEX entry_size ON entry (parent, size) WHERE trashed_at IS NULL;
CREATE INDEX entry_parent ON entry (parent);
CREATE INDEX entry_trashed ON entry (drive, trashed_at) WHERE trashed_at IS NOT NULL;

-- One content of a file.
CREATE TABLE revision (
    seq            INTEGER PRIMARY KEY,
    id             TEXT NOT NULL UNIQUE,
    entry          INTEGER NOT NULL,
    version        INTEGER NOT NULL,
    blob           INTEGER NOT NULL,
    name           TEXT NOT NULL,
    upload_id      TEXT NOT NULL,
    content_type   TEXT NOT NULL,
    mime_type      TEXT NOT NULL,
    mime_extension TEXT NOT NULL,
    category       TEXT NOT NULL,
    image_json     TEXT,
    video_json     TEXT,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    keep_forever   INTEGER NOT NULL DEFAULT 0,
    description    TEXT NOT NULL DEFAULT ''
);
CREATE INDEX revision_entry ON revision (entry, version);
CREATE INDEX revision_blob ON revision (blob);

-- Bytes that no one changes any more, each content once.
CREATE TABLE blob (
    id       INTEGER PRIMARY KEY,
    file     TEXT NOT NULL,                      -- below blobs/
    sha1     BLOB NOT NULL,
    size     INTEGER NOT NULL,
    crc64    INTEGER NOT NULL,
    pre_hash BLOB NOT NULL,                      -- SHA-1 of the first 1024 bytes
    UNIQUE (sha1, size)
);
CREATE INDEX blob_pre_hash ON blob (pre_hash);

-- Uploads that are not complete.
CREATE TABLE upload (
    id           TEXT PRIMARY KEY,
    drive        INTEGER NOT NULL,
    file_id      TEXT NOT NULL,
    parent       INTEGER NOT NULL,
    name         TEXT NOT NULL,
    overwrites   INTEGER,                        -- seq of the entry that gets a new revision
    parallel     INTEGER NOT NULL,
    size         INTEGER,                        -- as declared
    content_type TEXT NOT NULL,
    meta_json    TEXT NOT NULL,
    tags_json    TEXT NOT NULL,
    file         TEXT NOT NULL,                  -- below blobs/; becomes the blob's
    created_at   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX upload_created ON upload (created_at);
CREATE INDEX upload_parent ON upload (parent);

CREATE TABLE part (
    upload TEXT NOT NULL,
    number INTEGER NOT NULL,
    offset INTEGER NOT NULL,                     -- in the content
    size   INTEGER NOT NULL,
    md5    BLOB NOT NULL,
    crc64  INTEGER NOT NULL,
    sha1_before BLOB NOT NULL,                   -- state as the client gave it, or of the part before
    sha1_after  BLOB NOT NULL,
    aside  TEXT,                                 -- file of its own below blobs/, when its place was taken
    PRIMARY KEY (upload, number)
) WITHOUT ROWID;

-- Files to be removed; whatever dies between a commit and the removal is removed at the next start.
CREATE TABLE doomed (
    file     TEXT PRIMARY KEY,
    in_use   INTEGER NOT NULL DEFAULT 0          -- a request still writes it: remove at the next start only
) WITHOUT ROWID;

-- The change feed: append-only, one item per changed entry.
CREATE TABLE feed (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    drive     INTEGER NOT NULL,
    op        TEXT NOT NULL,
    file_id   TEXT NOT NULL,
    file_json TEXT NOT NULL
);
CREATE INDEX feed_drive ON feed (drive, seq);
