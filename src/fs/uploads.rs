//! What people do about files that are not on the drive yet: send them now, give them up, get them out.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::DriveFs;
use super::body::{Body, Stage};
use super::complete::UploadStatus;
use crate::content::lock;
use crate::error::{Error, Kind, Result};
use crate::read::Remote;
use crate::write::Draft;

/// A file that is not on the drive, wherever it is.
enum Waiting {
    /// In the tree.
    Here(Arc<Body>),
    /// Of an earlier run, and without a place: the name of its content file.
    Homeless(String),
}

impl DriveFs {
    /// Sends what is not on the drive and lies at or below the path `under`, now; with `failed` only what was tried
    /// without success. Each file is an item: `path`, and `error` when it is still not there. How many came to the
    /// drive, and how many did not.
    pub async fn flush_below(
        self: &Arc<Self>,
        under: &str,
        failed: bool,
        items: &mpsc::Sender<Value>,
    ) -> (u64, u64) {
        let waiting = self.waiting_below(under, failed);
        let send = |(path, waiting)| async move {
            let error = match waiting {
                Waiting::Here(body) => {
                    if let Some(draft) = body.current_draft().filter(|draft| draft.failure().is_some()) {
                        draft.retry();
                    }
                    self.complete(&body).await.err()
                }
                Waiting::Homeless(content_file) => self.recover_again(&content_file).await.err(),
            };
            (path, error)
        };
        let mut sending = stream::iter(waiting).map(send).buffer_unordered(self.options.transfers.max(1));
        let (mut there, mut missing) = (0, 0);
        while let Some((path, error)) = sending.next().await {
            match &error {
                None => there += 1,
                Some(_) => missing += 1,
            }
            // Without a listener it is still done.
            let _ = items.send(json!({ "path": path, "error": error.map(|error| error.to_string()) })).await;
        }
        (there, missing)
    }

    /// Gives up what was written to a file and is not on the drive: a new file is gone, an old one is again what
    /// the drive has.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is no such file or the drive has all of it; [`Kind::Busy`] while a program has
    /// it open for writing.
    pub async fn discard_upload(&self, path: &str) -> Result<()> {
        match self.waiting_at(path, "discard")? {
            Waiting::Here(body) => {
                // Not while it is being completed: it could be on the drive a moment later.
                let _turn = body.completing.lock().await;
                if self.handles.has_writer(&body) {
                    let open = "a program has it open for writing; close that first";
                    return Err(Error::new(Kind::Busy, "discard", open).on(path));
                }
                let is_new = self.tree.node(body.ino).is_some_and(|node| node.file.is_none());
                tokio::task::block_in_place(|| self.discard(&body));
                if is_new {
                    self.tree.give_up(body.ino);
                } else {
                    self.tree.set_local(body.ino, |local| local.modified_at = None);
                    self.tree.tell_changed(body.ino);
                }
                Ok(())
            }
            Waiting::Homeless(content_file) => {
                let known = {
                    let mut recovering = lock(&self.recovering);
                    let at = recovering.iter().position(|one| one.entry.content_file == content_file);
                    at.map(|at| recovering.remove(at))
                };
                if let Some(draft) = known.and_then(|known| known.draft) {
                    draft.discard();
                }
                tokio::task::block_in_place(|| self.journal.strike(&content_file))?;
                self.store.remove_draft(&content_file);
                Ok(())
            }
        }
    }

    /// Where all bytes of a file that is not on the drive are on this machine, and how many. What is still missing of
    /// it is fetched first.
    ///
    /// # Errors
    /// As [`DriveFs::discard_upload`]; what fetching failed with.
    pub async fn export_upload(&self, path: &str) -> Result<(PathBuf, u64)> {
        let (draft, base): (Arc<Draft>, Option<Arc<Remote>>) = match self.waiting_at(path, "export")? {
            Waiting::Here(body) => match body.stage() {
                Stage::Draft { draft, base } => (draft, base),
                Stage::Clean(_) => return Err(on_the_drive("export", path)),
            },
            Waiting::Homeless(content_file) => {
                let draft =
                    self.homeless_draft(&content_file)?.ok_or_else(|| on_the_drive("export", path))?;
                let base = draft.placement().base;
                let base = base.map(|base| Remote::new(&base, Arc::clone(draft.content())));
                (draft, base)
            }
        };
        if let Some(base) = base {
            self.reader.ensure(&base, 0..draft.content().backed_len()).await?;
        }
        Ok((draft.content().path(), draft.size()))
    }

    fn waiting_below(&self, under: &str, failed: bool) -> Vec<(String, Waiting)> {
        let is_below = |path: &str| {
            under.is_empty()
                || path == under
                || path.strip_prefix(under).is_some_and(|rest| rest.starts_with('/'))
        };
        let is_meant = |upload: &UploadStatus| is_below(&upload.path) && (!failed || upload.error.is_some());
        let here = self.dirty_bodies().into_iter().filter_map(|body| {
            let upload = self.upload_status(&body)?;
            Some((upload, Waiting::Here(body)))
        });
        let homeless = lock(&self.recovering)
            .iter()
            .map(|one| (one.status(), Waiting::Homeless(one.entry.content_file.clone())))
            .collect::<Vec<_>>();
        here.chain(homeless)
            .filter(|(upload, _)| is_meant(upload))
            .map(|(upload, waiting)| (upload.path, waiting))
            .collect()
    }

    fn waiting_at(&self, path: &str, op: &'static str) -> Result<Waiting> {
        let found = self.waiting_below(path, false).into_iter().find(|(found, _)| found == path);
        found.map(|(_, waiting)| waiting).ok_or_else(|| on_the_drive(op, path))
    }
}

fn on_the_drive(op: &'static str, path: &str) -> Error {
    let message = "there is no such file that is not on the drive; `pdsfs uploads` lists those";
    Error::new(Kind::NotFound, op, message).on(path)
}
