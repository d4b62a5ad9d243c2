//! Earlier revisions of a file: listed, read, restored, kept.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::DriveFs;
use super::body::Stage;
use crate::content::lock;
use crate::error::{Error, Kind, Result};
use crate::pds::model::{FileId, RevisionId};
use crate::tree::feed::Change;

/// Bytes that one call of [`DriveFs::read_version`] gives at most: a client that stops reading for a while, as a
/// pager does, holds up no transfer.
pub const VERSION_PIECE: u64 = 4 << 20;

impl DriveFs {
    /// Tells of each revision of the file at `path`, newest first: `file`, `revision`, `version`, `size`, `created_at`,
    /// `latest`, `kept`, `description`, and `crc64` or `null`.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when nothing is there, or nothing on the drive yet; [`Kind::IsDirectory`].
    pub async fn versions(&self, path: &str, items: &mpsc::Sender<Value>) -> Result<()> {
        let (_, id) = self.versioned(path).await?;
        let mut marker = String::new();
        loop {
            let page = self.pds.revisions(&id, &marker).await?;
            for one in page.revisions {
                let item = json!({
                    "file": id.as_str(), "revision": one.id.as_str(), "version": one.version, "size": one.size,
                    "created_at": one.created_at, "latest": one.is_latest, "kept": one.is_kept,
                    "description": one.description, "crc64": one.crc64,
                });
                if items.send(item).await.is_err() {
                    return Ok(());
                }
            }
            match page.next {
                Some(next) => marker = next,
                None => return Ok(()),
            }
        }
    }

    /// Tells the bytes from `start` on of a revision of `size` bytes, at most [`VERSION_PIECE`] of them: each item is
    /// base64 in `bytes`.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when the revision is gone; [`Kind::Invalid`] for a start at or past the end.
    pub async fn read_version(
        &self,
        file: &str,
        revision: &str,
        size: u64,
        start: u64,
        items: &mpsc::Sender<Value>,
    ) -> Result<()> {
        let (file, revision) = (FileId::from(file), RevisionId::from(revision));
        let url = self.pds.download_url(&file, &revision).await?;
        let range = start..start.saturating_add(VERSION_PIECE);
        let mut body = self.pds.get_range(&url, range, size).await?;
        while let Some(chunk) = body.chunk().await? {
            if items.send(json!({ "bytes": STANDARD.encode(&chunk) })).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Makes an earlier revision of the file at `path` its content again.
    ///
    /// # Errors
    /// [`Kind::Busy`] while a program writes to it or what was written is not on the drive; as
    /// [`DriveFs::versions`].
    pub async fn restore_version(&self, path: &str, revision: &str) -> Result<()> {
        let (ino, id) = self.versioned(path).await?;
        let body = lock(&self.bodies).get(&ino).cloned();
        let _turn = match &body {
            Some(body) => Some(body.completing.lock().await),
            None => None,
        };
        if let Some(body) = &body {
            let waits = matches!(body.stage(), Stage::Draft { draft, .. } if draft.is_dirty());
            if waits || self.handles.has_writer(body) {
                let why = "it is being written; close it, and see that it is on the drive: pdsfs flush";
                return Err(Error::new(Kind::Busy, "restore", why).on(path));
            }
        }
        self.pds.restore_revision(&id, &RevisionId::from(revision)).await?;
        // Seen at once, however late the feed is.
        let asked = self.tree.ask();
        let file = self.pds.file(&id).await?;
        self.tree.apply_change(Change::Now(Box::new(file)), asked);
        Ok(())
    }

    /// Keeps a revision of the file at `path` for good, or no longer.
    ///
    /// # Errors
    /// As [`DriveFs::versions`]; what the service says when too many are kept.
    pub async fn keep_version(
        &self,
        path: &str,
        revision: &str,
        keep: bool,
        description: Option<&str>,
    ) -> Result<()> {
        let (_, id) = self.versioned(path).await?;
        self.pds.keep_revision(&id, &RevisionId::from(revision), keep, description).await
    }

    /// The file at `path`, which must be on the drive to have revisions.
    async fn versioned(&self, path: &str) -> Result<(crate::tree::Ino, FileId)> {
        const OP: &str = "look at versions";
        let node = self.at(path).await?;
        if node.is_folder() {
            return Err(Error::new(Kind::IsDirectory, OP, "a folder has no versions").on(path));
        }
        let id = node.id().cloned();
        let id = id.ok_or_else(|| Error::new(Kind::NotFound, OP, "it is not on the drive yet").on(path))?;
        Ok((node.ino, id))
    }
}
