//! Changing what is there: update, move, copy, trash, delete, tags (section 10), and waiting for the
//! service's background tasks (14.1).

use std::collections::BTreeMap;

use super::Pds;
use super::model::{File, FileId};
use crate::error::{Error, Kind, Result};

/// What to change about a file or folder (10.1). `None` leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// A new name in the same folder.
    pub name: Option<String>,
    /// At most 1,024 characters.
    pub description: Option<String>,
    /// Replaces all labels.
    pub labels: Option<Vec<String>>,
    /// Advisory.
    pub hidden: Option<bool>,
    /// Favourite.
    pub starred: Option<bool>,
    /// Opaque text; not in the 2022 documentation.
    pub user_meta: Option<String>,
    /// Key of a server-side list (9.7).
    pub custom_index_key: Option<String>,
    /// Modification time, ISO 8601 UTC (4.3).
    pub local_modified_at: Option<String>,
}

/// What a change of name or place led to.
#[derive(Clone, Debug)]
pub enum Changed {
    /// It is done; the file after it.
    Done(File),
    /// The name is taken by this entry; nothing was changed.
    Exists {
        /// Who has the name.
        id: FileId,
    },
}

fn unbuilt<T>(op: &'static str) -> Result<T> {
    Err(Error::new(Kind::Unsupported, op, "not built yet"))
}

impl Pds {
    /// Changes metadata, also the name (10.1).
    pub async fn update(&self, id: &FileId, change: &Update) -> Result<Changed> {
        let _ = (id, change);
        unbuilt("update")
    }

    /// Moves into another folder, under another name if given (10.2).
    pub async fn move_file(
        &self,
        id: &FileId,
        to_parent: &FileId,
        new_name: Option<&str>,
    ) -> Result<Changed> {
        let _ = (id, to_parent, new_name);
        unbuilt("move")
    }

    /// Copies on the server (10.3) and says the id of the copy.
    pub async fn copy(&self, id: &FileId, to_parent: &FileId, new_name: Option<&str>) -> Result<FileId> {
        let _ = (id, to_parent, new_name);
        unbuilt("copy")
    }

    /// Moves to the recycle bin, a folder with everything in it (10.5).
    pub async fn trash(&self, id: &FileId) -> Result<()> {
        let _ = id;
        unbuilt("trash")
    }

    /// Deletes for good, a folder with everything in it (10.4).
    pub async fn delete(&self, id: &FileId) -> Result<()> {
        let _ = id;
        unbuilt("delete")
    }

    /// Adds or replaces tags, keeping the others (10.6).
    pub async fn put_tags(&self, id: &FileId, tags: &BTreeMap<String, String>) -> Result<()> {
        let _ = (id, tags);
        unbuilt("put tags")
    }

    /// Removes tags (10.6).
    pub async fn delete_tags(&self, id: &FileId, keys: &[String]) -> Result<()> {
        let _ = (id, keys);
        unbuilt("delete tags")
    }
}
