//! Reading: drives, listings, files, the change feed (7.3, 9, 11), download URLs (12.1).
//!
//! All of it may be repeated at will.

use super::Pds;
use super::lease::DownloadUrl;
use super::model::{Drive, File, FileId, RevisionId};
use crate::error::{Error, Kind, Result};

/// A slice of a folder's listing (9.3).
#[derive(Clone, Debug)]
pub struct Page {
    /// In the order of names.
    pub files: Vec<File>,
    /// The marker of the next page; `None` at the end.
    pub next: Option<String>,
}

/// What happened to a file (11.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeltaOp {
    /// It is new.
    Create,
    /// It has a new revision.
    Overwrite,
    /// It is gone for good.
    Delete,
    /// Its metadata changed.
    Update,
    /// It is in another folder.
    Move,
    /// It is in the recycle bin.
    Trash,
    /// It is back from the recycle bin.
    Restore,
    /// It has another name.
    Rename,
    /// Something this client does not know: look at the file.
    Other,
}

/// One change (11.2).
#[derive(Clone, Debug)]
pub struct DeltaItem {
    /// What changed.
    pub file_id: FileId,
    /// How.
    pub op: DeltaOp,
    /// The file after the change, when the service sent more than its ids.
    pub file: Option<File>,
}

/// A slice of the change feed (11.2).
#[derive(Clone, Debug)]
pub struct DeltaPage {
    /// Oldest first.
    pub items: Vec<DeltaItem>,
    /// Whether to ask again at once.
    pub has_more: bool,
    /// Where to go on; keep it also when there are no items.
    pub cursor: String,
}

fn unbuilt<T>(op: &'static str) -> Result<T> {
    Err(Error::new(Kind::Unsupported, op, "not built yet"))
}

impl Pds {
    /// The drive of this client (7.3).
    pub async fn drive(&self) -> Result<Drive> {
        unbuilt("get drive")
    }

    /// The caller's own drives (7.3), at most 10,000.
    pub async fn my_drives(&self) -> Result<Vec<Drive>> {
        unbuilt("list drives")
    }

    /// A page of a folder's listing (9.3). `marker` is `""` for the first page.
    pub async fn list(&self, parent: &FileId, marker: &str) -> Result<Page> {
        let _ = (parent, marker);
        unbuilt("list")
    }

    /// A file or folder with every field the service has (9.1).
    pub async fn file(&self, id: &FileId) -> Result<File> {
        let _ = id;
        unbuilt("get")
    }

    /// A URL to read a revision with (12.1).
    pub async fn download_url(&self, id: &FileId, revision: &RevisionId) -> Result<DownloadUrl> {
        let _ = (id, revision);
        unbuilt("get download URL")
    }

    /// Where the change feed stands now (11.1).
    pub async fn last_cursor(&self) -> Result<String> {
        unbuilt("get cursor")
    }

    /// What happened after `cursor` (11.2).
    pub async fn delta(&self, cursor: &str) -> Result<DeltaPage> {
        let _ = cursor;
        unbuilt("read the change feed")
    }
}
