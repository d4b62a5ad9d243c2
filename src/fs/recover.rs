//! What survives this process, and how it goes on: drafts in the journal.
//!
//! At the start of a mount every recorded draft is brought to the drive in the background, one after the
//! other, without delaying anyone. What fails stays recorded, is shown in the status, and is tried again
//! by draining and by the next mount.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::DriveFs;
use super::attr::format_time;
use super::body::Body;
use super::complete::{UploadStatus, attach};
use crate::content::lock;
use crate::error::{Error, Kind, Result};
use crate::pds::model::File;
use crate::read::Remote;
use crate::tree::feed::Change;
use crate::write::journal::Entry;
use crate::write::{Draft, Placement, Snapshot};

/// A draft of an earlier run.
pub(super) struct Recovering {
    entry: Entry,
    draft: Option<Arc<Draft>>,
    error: Option<Error>,
}

impl Recovering {
    pub(super) fn new(entry: Entry) -> Self {
        Recovering { entry, draft: None, error: None }
    }
}

impl DriveFs {
    /// Records the draft of a body, if it has one.
    pub(super) fn record(&self, body: &Body, failure: Option<&Error>) -> Result<()> {
        match body.current_draft() {
            Some(draft) => self.record_snapshot(body, &draft, draft.snapshot(), failure),
            None => Ok(()),
        }
    }

    /// Records what a draft was at the time of `snapshot`.
    pub(super) fn record_snapshot(
        &self,
        body: &Body,
        draft: &Draft,
        snapshot: Snapshot,
        failure: Option<&Error>,
    ) -> Result<()> {
        body.recorded.store(true, Ordering::Relaxed);
        let mut attributes = snapshot.placement.attributes;
        attributes.local_modified_at = Some(format_time(body.modified_at()));
        attach(&mut attributes, body.pending());
        self.journal.record(&Entry {
            content_file: draft.content().file_name(),
            parent: snapshot.placement.parent,
            name: snapshot.placement.name,
            base: snapshot.placement.base.map(|base| base.as_ref().clone()),
            size: snapshot.size,
            backed_len: snapshot.backed_len,
            present: snapshot.present,
            attributes,
            failure: failure.map(ToString::to_string),
        })
    }

    /// As [`DriveFs::record`], where the program is already told of a failure that matters more.
    pub(super) fn record_or_log(&self, body: &Body, failure: Option<&Error>) {
        if let Err(error) = tokio::task::block_in_place(|| self.record(body, failure)) {
            tracing::error!(%error, "a file that is not on the drive could not be recorded; it is lost if pdsfs ends now");
        }
    }

    /// Brings the record up to date after a change of name or times.
    pub(super) fn record_again(&self, body: &Body) -> Result<()> {
        if !body.recorded.load(Ordering::Relaxed) {
            return Ok(());
        }
        tokio::task::block_in_place(|| self.record(body, None))
    }

    /// The draft is on the drive, or nobody wants it any more.
    pub(super) fn strike(&self, body: &Body, draft: &Draft) {
        if body.recorded.swap(false, Ordering::Relaxed)
            && let Err(error) = self.journal.strike(&draft.content().file_name())
        {
            tracing::warn!(%error, "a completed file is still in the journal; the next mount finds it complete");
        }
    }

    /// Starts bringing what an earlier run left to the drive.
    pub fn recover(self: &Arc<Self>) {
        if lock(&self.recovering).is_empty() {
            return;
        }
        let fs = Arc::clone(self);
        self.tasks.spawn_on(async move { fs.recover_all().await }, &self.runtime);
    }

    /// Tries every draft of an earlier run once.
    pub(super) async fn recover_all(&self) {
        let waiting: Vec<Entry> = lock(&self.recovering).iter().map(|one| one.entry.clone()).collect();
        for entry in waiting {
            let result = self.recover_one(&entry).await;
            let mut recovering = lock(&self.recovering);
            match result {
                Ok(()) => recovering.retain(|one| one.entry.content_file != entry.content_file),
                Err(error) => {
                    tracing::warn!(name = %entry.name, %error, "a file of an earlier run is still not on the drive");
                    for one in
                        recovering.iter_mut().filter(|one| one.entry.content_file == entry.content_file)
                    {
                        one.error = Some(error.clone());
                    }
                }
            }
        }
    }

    async fn recover_one(&self, entry: &Entry) -> Result<()> {
        let draft = match self.taken_up(entry) {
            Ok(draft) => draft,
            // Completed and turned into cache before it could be struck out.
            Err(error) if error.kind() == Kind::NotFound => {
                return self.journal.strike(&entry.content_file);
            }
            Err(error) => return Err(error),
        };
        let base = entry.base.as_ref().map(|base| Remote::new(base, Arc::clone(draft.content())));
        let file = self.bring(&draft, base.as_ref()).await.map_err(|error| error.on(&entry.name))?;
        self.attach(self.tree.by_id(&file.id), &file, &entry.attributes).await?;
        tracing::info!(name = %file.name, bytes = file.size, "a file of an earlier run is on the drive now");
        draft.discard();
        self.journal.strike(&entry.content_file)?;
        self.store.discard(draft.content());
        let asked = self.tree.ask();
        self.tree.apply_change(Change::Now(Box::new(File::clone(&file))), asked);
        Ok(())
    }

    /// The draft of a record, ready to be uploaded; the same one when it was tried before.
    fn taken_up(&self, entry: &Entry) -> Result<Arc<Draft>> {
        let mut recovering = lock(&self.recovering);
        let known = recovering.iter_mut().find(|one| one.entry.content_file == entry.content_file);
        if let Some(draft) = known.as_ref().and_then(|one| one.draft.clone()) {
            draft.retry();
            return Ok(draft);
        }
        let content = self.store.resume(&entry.content_file, entry.present.clone(), entry.backed_len)?;
        // Bytes behind the recorded size were written after the promise; they are not part of it.
        content.truncate(entry.size)?;
        let placement = Placement {
            parent: entry.parent.clone(),
            name: entry.name.clone(),
            base: entry.base.clone().map(Arc::new),
            attributes: entry.attributes.clone(),
        };
        let draft = self.writer.begin(content, entry.size, placement);
        if let Some(known) = known {
            known.draft = Some(Arc::clone(&draft));
        }
        Ok(draft)
    }

    /// Drafts of an earlier run that are not on the drive, for the status.
    pub(super) fn recovering(&self) -> Vec<UploadStatus> {
        let status = |one: &Recovering| {
            let (bytes_done, _) = one.draft.as_ref().map_or((0, 0), |draft| draft.progress());
            let error = one.error.as_ref().map(ToString::to_string).or_else(|| one.entry.failure.clone());
            UploadStatus { path: one.entry.name.clone(), bytes_done, bytes_total: one.entry.size, error }
        };
        lock(&self.recovering).iter().map(status).collect()
    }

    /// Tries what an earlier run left once more, and names what still is not on the drive at `deadline`.
    pub(super) async fn drain_recovering(&self, deadline: Instant) -> Vec<(String, Error)> {
        let late = || Error::new(Kind::Timeout, "complete", "there was no time left to finish this upload");
        let in_time = tokio::time::timeout_at(deadline.into(), self.recover_all()).await.is_ok();
        lock(&self.recovering)
            .iter()
            .map(|one| {
                let error = one.error.clone().filter(|_| in_time);
                (one.entry.name.clone(), error.unwrap_or_else(late))
            })
            .collect()
    }
}
