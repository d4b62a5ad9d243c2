//! What survives this process, and how it goes on: drafts in the journal.
//!
//! When a mount starts, every recorded draft is again what it was: a file in its folder that can be read, written
//! and removed, from the moment the folder is first looked at. In the background they are looked for and sent, as
//! far as an earlier upload had not done so already. Nobody waits for that. What fails stays recorded, is shown in
//! the status, and is tried again: by itself, by draining and by the next mount.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::attr::{format_time, parse_time};
use super::behind::Pauses;
use super::body::Body;
use super::complete::{UploadStatus, attach};
use super::{DriveFs, gone};
use crate::content::lock;
use crate::error::{Error, Kind, Result};
use crate::pds::model::{File, FileId};
use crate::read::Remote;
use crate::tree::feed::Change;
use crate::tree::{Ino, LocalAttributes, Lookup};
use crate::write::journal::Entry;
use crate::write::upload::Commit;
use crate::write::{Draft, Placement, Snapshot};

/// Files up to this size are in the journal with all their bytes: one wait for the disk instead of two.
const MAX_WHOLE_BYTES: u64 = 16 * 1024;

/// Folders within folders; what is deeper is not looked for.
const MAX_DEPTH: usize = 1024;

/// A draft of an earlier run.
pub(super) struct Recovering {
    pub(super) entry: Entry,
    pub(super) draft: Option<Arc<Draft>>,
    error: Option<Error>,
}

impl Recovering {
    pub(super) fn new(entry: Entry) -> Self {
        Recovering { entry, draft: None, error: None }
    }

    /// What there is to tell of it.
    pub(super) fn status(&self) -> UploadStatus {
        let (bytes_done, _) = self.draft.as_ref().map_or((0, 0), |draft| draft.progress());
        let error = self.error.as_ref().map(ToString::to_string).or_else(|| self.entry.failure.clone());
        UploadStatus { path: self.entry.name.clone(), bytes_done, bytes_total: self.entry.size, error }
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

    /// Makes a draft durable on the local disk: after a power cut it reaches the drive with every byte that was
    /// written before this call.
    ///
    /// # Errors
    /// The local disk fails or is full.
    pub(super) fn make_durable(&self, body: &Body, draft: &Draft) -> Result<()> {
        // Extents first: what is written after this is not promised.
        let snapshot = draft.snapshot();
        if whole(draft, &snapshot)?.is_none() {
            draft.content().sync()?;
        }
        self.record_snapshot(body, draft, snapshot, None)
    }

    /// Records what a draft was at the time of `snapshot`.
    fn record_snapshot(
        &self,
        body: &Body,
        draft: &Draft,
        snapshot: Snapshot,
        failure: Option<&Error>,
    ) -> Result<()> {
        draft.set_recorded(true);
        let bytes = whole(draft, &snapshot)?;
        let mut attributes = snapshot.placement.attributes;
        attributes.local_modified_at = Some(format_time(body.modified_at()));
        attach(&mut attributes, body.pending());
        let entry = Entry {
            content_file: draft.content().file_name(),
            parent: snapshot.placement.parent,
            name: snapshot.placement.name,
            base: snapshot.placement.base.map(|base| base.as_ref().clone()),
            size: snapshot.size,
            backed_len: snapshot.backed_len,
            present: snapshot.present,
            attributes,
            failure: failure.map(ToString::to_string),
            trace: snapshot.trace,
            is_whole: bytes.is_some(),
        };
        self.journal.record(entry, bytes)
    }

    /// As [`DriveFs::record`], where the program is already told of a failure that matters more.
    pub(super) fn record_or_log(&self, body: &Body, failure: Option<&Error>) {
        if let Err(error) = tokio::task::block_in_place(|| self.record(body, failure)) {
            tracing::error!(%error, "a file that is not on the drive could not be recorded; it is lost if pdsfs ends now");
        }
    }

    /// Brings the record up to date after a change of name or times.
    pub(super) fn record_again(&self, body: &Body) -> Result<()> {
        if !body.current_draft().is_some_and(|draft| draft.is_recorded()) {
            return Ok(());
        }
        tokio::task::block_in_place(|| self.record(body, None))
    }

    /// The draft is on the drive, or nobody wants it any more.
    pub(super) fn strike(&self, draft: &Draft) {
        if draft.set_recorded(false)
            && let Err(error) =
                tokio::task::block_in_place(|| self.journal.strike(&draft.content().file_name()))
        {
            tracing::warn!(%error, "a completed file is still in the journal; the next mount finds it complete");
        }
    }

    /// Shows the drafts of an earlier run that belong to a folder, now that its entries are known. One whose name
    /// is taken waits for [`DriveFs::recover`], which finds out whether that is the same file.
    pub(super) fn adopt_into(&self, dir: Ino, id: &FileId) {
        let mut recovering = lock(&self.recovering);
        let mut bodies = lock(&self.bodies);
        recovering.retain(|one| {
            if one.entry.parent != *id || one.draft.is_some() {
                return true;
            }
            match self.adopt(dir, &one.entry) {
                Ok(Some(body)) => {
                    bodies.insert(body.ino, body);
                    false
                }
                Ok(None) => true,
                Err(error) => {
                    tracing::warn!(name = %one.entry.name, %error, "a file of an earlier run cannot be shown");
                    true
                }
            }
        });
    }

    /// [`DriveFs::adopt_into`] for the folders that the index knew from the start.
    pub(super) fn adopt_known(&self) {
        let parents: HashSet<FileId> =
            lock(&self.recovering).iter().map(|one| one.entry.parent.clone()).collect();
        for parent in parents {
            if let Some(dir) = self.tree.by_id(&parent).filter(|dir| self.tree.loaded_at(*dir).is_some()) {
                self.adopt_into(dir, &parent);
            }
        }
    }

    /// The body of a draft of an earlier run, in its place in the tree; `None` when that is not free.
    fn adopt(&self, dir: Ino, entry: &Entry) -> Result<Option<Arc<Body>>> {
        let place = match &entry.base {
            Some(base) => match self.tree.by_id(&base.id).and_then(|ino| self.tree.node(ino)) {
                Some(node) if node.linked => Some(node.ino),
                _ => return Ok(None),
            },
            None => match self.tree.lookup(dir, &entry.name) {
                Lookup::Absent => None,
                // Made by an earlier completion of this draft that was not heard of.
                Lookup::Found(there) if self.is_unheard(there.ino, entry) => Some(there.ino),
                Lookup::Found(_) | Lookup::Unknown | Lookup::NoDirectory => return Ok(None),
            },
        };
        // Its content first: a node without a body would be a file that nobody can open.
        let draft = match self.draft_of(entry) {
            // Completed and turned into cache before it could be struck out: `recover` does that.
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            draft => draft?,
        };
        let ino = match place {
            Some(ino) => ino,
            None => self.tree.insert_draft(dir, &entry.name, LocalAttributes::default()).ino,
        };
        let base = entry.base.as_ref().map(|base| Remote::new(base, Arc::clone(draft.content())));
        let body = Body::resumed(ino, draft, base);
        let modified_at = entry.attributes.local_modified_at.as_deref().and_then(parse_time);
        body.set_modified(modified_at.unwrap_or_else(SystemTime::now));
        body.change_pending(|pending| *pending = entry.attributes.clone());
        Ok(Some(body))
    }

    fn is_unheard(&self, ino: Ino, entry: &Entry) -> bool {
        let file = self.tree.node(ino).and_then(|node| node.file);
        let made_of =
            |file: &File, commit: &Commit| file.size == commit.size && file.crc64 == Some(commit.crc64);
        file.is_some_and(|file| entry.trace.commits.iter().any(|commit| made_of(&file, commit)))
    }

    /// The draft of a record, with the upload that was begun for it.
    fn draft_of(&self, entry: &Entry) -> Result<Arc<Draft>> {
        let content = if entry.is_whole {
            self.store.restore(&entry.content_file, &self.journal.bytes(&entry.content_file)?)?
        } else {
            self.store.resume(&entry.content_file, entry.present.clone(), entry.backed_len)?
        };
        // Bytes behind the recorded size were written after the promise; they are not part of it.
        content.truncate(entry.size)?;
        let placement = Placement {
            parent: entry.parent.clone(),
            name: entry.name.clone(),
            base: entry.base.clone().map(Arc::new),
            attributes: entry.attributes.clone(),
        };
        let draft = self.writer.resume(content, entry.size, placement, entry.trace.clone());
        draft.set_recorded(true);
        Ok(draft)
    }

    /// Starts bringing what an earlier run left to the drive.
    pub fn recover(self: &Arc<Self>) {
        let fs = Arc::clone(self);
        let task = async move {
            let mut pauses = Pauses::new();
            while fs.recover_all().await && fs.behind.pause(pauses.next()).await {}
        };
        if !lock(&self.recovering).is_empty() || !self.dirty_bodies().is_empty() {
            self.tasks.spawn_on(task, &self.runtime);
        }
    }

    /// Takes every draft of an earlier run to its place in the tree, from where it is sent, and tries those that
    /// have none once. Whether any is left.
    async fn recover_all(self: &Arc<Self>) -> bool {
        self.show_recovered().await;
        // What programs write meanwhile is completed by their closes.
        for body in self.dirty_bodies().iter().filter(|body| !self.handles.has_writer(body)) {
            self.send_behind(body);
        }
        self.try_homeless().await;
        !lock(&self.recovering).is_empty()
    }

    /// Loads the folders that drafts of an earlier run belong to, as far as they can be found.
    async fn show_recovered(&self) {
        let parents: HashSet<FileId> = {
            let recovering = lock(&self.recovering);
            recovering.iter().filter(|one| one.draft.is_none()).map(|one| one.entry.parent.clone()).collect()
        };
        for parent in parents {
            match self.reach(&parent).await {
                // Loaded before, perhaps while the name was taken.
                Ok(dir) => self.adopt_into(dir, &parent),
                Err(error) => tracing::debug!(%error, "the folder of a file of an earlier run is not found"),
            }
        }
    }

    /// The inode of a folder, after loading the folders on the way to it and itself.
    async fn reach(&self, folder: &FileId) -> Result<Ino> {
        let mut way = vec![folder.clone()];
        while let Some(id) = way.last()
            && self.tree.by_id(id).is_none()
        {
            let parent = self.pds.file(id).await?.parent;
            let parent = parent.filter(|_| way.len() < MAX_DEPTH).ok_or_else(|| gone("find a folder"))?;
            way.push(parent);
        }
        for id in way.iter().rev() {
            let dir = self.tree.by_id(id).ok_or_else(|| gone("find a folder"))?;
            self.load(dir).await?;
        }
        self.tree.by_id(folder).ok_or_else(|| gone("find a folder"))
    }

    /// Tries the drafts of an earlier run that have no place in the tree: their name is taken, or their folder or
    /// file is gone.
    async fn try_homeless(&self) {
        let waiting: Vec<Entry> = lock(&self.recovering).iter().map(|one| one.entry.clone()).collect();
        for entry in waiting {
            if let Err(error) = self.try_one(&entry).await {
                tracing::warn!(name = %entry.name, %error, "a file of an earlier run is still not on the drive");
            }
        }
    }

    /// Tries one draft of an earlier run that has no place, and remembers what came of it.
    async fn try_one(&self, entry: &Entry) -> Result<()> {
        let result = self.recover_one(entry).await;
        let mut recovering = lock(&self.recovering);
        let at = recovering.iter().position(|one| one.entry.content_file == entry.content_file);
        match (&result, at) {
            (Ok(()), Some(at)) => drop(recovering.remove(at)),
            (Err(error), Some(at)) => recovering[at].error = Some(error.clone()),
            (_, None) => {}
        }
        result
    }

    /// Tries a draft of an earlier run that has no place in the tree, by its content file.
    pub(super) async fn recover_again(&self, content_file: &str) -> Result<()> {
        let entry = lock(&self.recovering)
            .iter()
            .find(|one| one.entry.content_file == content_file)
            .map(|one| one.entry.clone());
        match entry {
            Some(entry) => self.try_one(&entry).await,
            None => Ok(()),
        }
    }

    /// The draft of an earlier run that has no place in the tree.
    pub(super) fn homeless_draft(&self, content_file: &str) -> Result<Option<Arc<Draft>>> {
        let mut recovering = lock(&self.recovering);
        let known = recovering.iter_mut().find(|one| one.entry.content_file == content_file);
        let Some(known) = known else { return Ok(None) };
        if known.draft.is_none() {
            known.draft = Some(self.draft_of(&known.entry)?);
        }
        Ok(known.draft.clone())
    }

    async fn recover_one(&self, entry: &Entry) -> Result<()> {
        let draft = match self.taken_up(entry) {
            Ok(Some(draft)) => draft,
            // Meanwhile in the tree, or on the drive.
            Ok(None) => return Ok(()),
            // Completed and turned into cache before it could be struck out.
            Err(error) if error.kind() == Kind::NotFound => {
                return tokio::task::block_in_place(|| self.journal.strike(&entry.content_file));
            }
            Err(error) => return Err(error),
        };
        let base = entry.base.as_ref().map(|base| Remote::new(base, Arc::clone(draft.content())));
        let file = self.bring(&draft, base.as_ref()).await.map_err(|error| error.on(&entry.name))?;
        self.attach(self.tree.by_id(&file.id), &file, &entry.attributes).await?;
        tracing::info!(name = %file.name, bytes = file.size, "a file of an earlier run is on the drive now");
        draft.discard();
        self.strike(&draft);
        self.store.discard(draft.content());
        let asked = self.tree.ask();
        self.tree.apply_change(Change::Now(Box::new(File::clone(&file))), asked);
        Ok(())
    }

    /// The draft of a record, ready to be uploaded.
    fn taken_up(&self, entry: &Entry) -> Result<Option<Arc<Draft>>> {
        let draft = self.homeless_draft(&entry.content_file)?;
        if let Some(draft) = draft.as_ref().filter(|draft| draft.failure().is_some()) {
            draft.retry();
        }
        Ok(draft)
    }

    /// Drafts of an earlier run that have no place in the tree, for the status.
    pub(super) fn recovering(&self) -> Vec<UploadStatus> {
        lock(&self.recovering).iter().map(Recovering::status).collect()
    }

    /// Tries what an earlier run left once more, and names what still is not on the drive at `deadline`; but for
    /// what is in the tree by then.
    pub(super) async fn drain_recovering(&self, deadline: Instant) -> Vec<(String, Error)> {
        let late = || Error::new(Kind::Timeout, "complete", "there was no time left to finish this upload");
        let work = async {
            self.show_recovered().await;
            self.try_homeless().await;
        };
        let in_time = tokio::time::timeout_at(deadline.into(), work).await.is_ok();
        lock(&self.recovering)
            .iter()
            .map(|one| {
                let error = one.error.clone().filter(|_| in_time);
                (one.entry.name.clone(), error.unwrap_or_else(late))
            })
            .collect()
    }
}

/// All bytes of a draft that is small enough to be kept in the journal.
fn whole(draft: &Draft, snapshot: &Snapshot) -> Result<Option<Vec<u8>>> {
    if snapshot.size > MAX_WHOLE_BYTES {
        return Ok(None);
    }
    let mut bytes = vec![0; snapshot.size as usize];
    Ok(draft.content().read_at(&mut bytes, 0)?.then_some(bytes))
}
