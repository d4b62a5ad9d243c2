//! Finding files by the service's search, and where they are in this mount.
//!
//! The service answers with ids. A person wants paths as this mount shows them, so the folders on the way are
//! looked at (at most once each) and loaded, which gives every name its shown form.

use std::collections::HashMap;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::DriveFs;
use crate::error::{Kind, Result};
use crate::pds::model::{File, FileId};
use crate::tree::{Ino, ROOT};

/// Folders deeper than this are not looked for.
const MAX_DEPTH: usize = 1_024;

/// The parents of the folders met so far; the root's and those of lost ones are `None`.
pub(super) type Parents = HashMap<FileId, Option<FileId>>;

impl DriveFs {
    /// Sends a description of each file that matches to `items`: `path`, `size` in bytes, `modified` (ISO 8601
    /// UTC) and `folder`. At most `limit` of them, only those below the path `under`. How many there were.
    ///
    /// # Errors
    /// [`Kind::Invalid`] in the service's words for a query that is none; [`Kind::NotFound`] when `under` is not
    /// there.
    pub async fn find(
        &self,
        query: &str,
        under: &str,
        limit: u64,
        items: &mpsc::Sender<Value>,
    ) -> Result<u64> {
        let under = self.at(under).await?.ino;
        let (mut found, mut marker) = (0, String::new());
        let mut parents = Parents::new();
        loop {
            let page = self.pds.search(query, &marker).await?;
            for file in page.files {
                let Some(ino) = self.place(&file, &mut parents).await? else { continue };
                if !self.tree.is_below(ino, under) {
                    continue;
                }
                if found == limit {
                    return Ok(found);
                }
                let item = json!({
                    "path": self.tree.path(ino), "size": file.size, "folder": file.is_folder(),
                    "modified": if file.local_modified_at.is_empty() { &file.updated_at } else { &file.local_modified_at },
                });
                if items.send(item).await.is_err() {
                    return Ok(found);
                }
                found += 1;
            }
            match page.next {
                Some(next) if next != marker => marker = next,
                _ => return Ok(found),
            }
        }
    }

    /// The node of a file that the service named; `None` when it is gone meanwhile.
    pub(super) async fn place(&self, file: &File, parents: &mut Parents) -> Result<Option<Ino>> {
        let mut way = vec![file.id.clone()];
        let mut parent = file.parent.clone();
        let mut at = loop {
            let Some(id) = parent else { return Ok(None) };
            if id == FileId::root() {
                break ROOT;
            }
            if let Some(ino) = self.tree.by_id(&id) {
                break ino;
            }
            if way.len() > MAX_DEPTH {
                return Ok(None);
            }
            parent = match parents.get(&id) {
                Some(parent) => parent.clone(),
                None => {
                    let parent = match self.pds.file(&id).await {
                        Ok(folder) => folder.parent,
                        Err(error) if error.kind() == Kind::NotFound => None,
                        Err(error) => return Err(error),
                    };
                    parents.insert(id.clone(), parent.clone());
                    parent
                }
            };
            way.push(id);
        };
        for id in way.iter().rev() {
            self.load(at).await?;
            match self.tree.by_id(id) {
                Some(ino) => at = ino,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }
}
