//! How a draft gets to the drive: fetching what is missing of it, conflicts, completing, and bringing name,
//! times and attributes there as they are here by then.
//!
//! A failed completion keeps the draft and its data. It is tried again by the next close that finds new
//! writes, and by draining before unmount.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;

use super::DriveFs;
use super::attr::format_time;
use super::body::{Body, Stage};
use crate::config::OnConflict;
use crate::content::lock;
use crate::error::{Error, Kind, Result};
use crate::pds::model::File;
use crate::pds::{Changed, NewAttributes, Update};
use crate::read::Remote;
use crate::tree::{Ino, Lookup, names};
use crate::write::{Draft, Placement, shard};

/// Completions of one draft in a row because of conflicts: the kept copy's name may be taken, too.
const MAX_ROUNDS: u32 = 4;

/// How far draining is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Files not yet on the drive.
    pub files: u64,
    /// Bytes of them that are there.
    pub bytes_done: u64,
    /// Bytes of them.
    pub bytes_total: u64,
}

/// What draining could not do.
#[derive(Debug, Default)]
pub struct DrainReport {
    /// Paths that are not on the drive, and why. Their data is kept in the state directory.
    pub incomplete: Vec<(String, Error)>,
}

/// The state of a mount, for people and programs.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Files the drive lacks something of.
    pub dirty_files: u64,
    /// Each of them.
    pub uploads: Vec<UploadStatus>,
    /// Bytes of clean content on this machine.
    pub cached_bytes: u64,
    /// Bytes of content that came from the drive since the mount.
    pub fetched_bytes: u64,
    /// Fetches that are queued or under way.
    pub fetches: u64,
    /// Memory that is in use for buffers, in bytes.
    pub memory_bytes: u64,
    /// Files that an earlier run could not bring to the drive, and that are not there yet.
    pub recovering: Vec<UploadStatus>,
}

/// One file on its way.
#[derive(Clone, Debug, Serialize)]
pub struct UploadStatus {
    /// Below the mount's root.
    pub path: String,
    /// Bytes on the drive.
    pub bytes_done: u64,
    /// Bytes.
    pub bytes_total: u64,
    /// Why it failed.
    pub error: Option<String>,
}

impl DriveFs {
    /// Brings a body to the drive and verifies it. Does nothing when it is there.
    ///
    /// # Errors
    /// What kept it from being complete; the data is kept, and recorded in the journal.
    pub async fn complete(&self, body: &Arc<Body>) -> Result<()> {
        let _turn = body.completing.lock().await;
        let Stage::Draft { draft, base } = body.stage() else { return Ok(()) };
        if !self.is_wanted(body.ino) {
            return Ok(());
        }
        if draft.is_dirty() && draft.failure().is_none() {
            self.describe(body, &draft);
        }
        let done = match self.bring(&draft, base.as_ref()).await {
            Ok(file) => self.settle(body, &draft, file).await,
            Err(error) => Err(error),
        };
        done.map_err(|error| {
            if draft.is_dirty() {
                self.record_or_log(body, Some(&error));
            }
            error.on(self.tree.path(body.ino))
        })
    }

    /// Brings a draft to the drive: fetches what is missing of it, keeps out of the way of others' changes,
    /// uploads. The file as the drive describes it then.
    ///
    /// # Errors
    /// What kept it from being complete.
    pub(super) async fn bring(&self, draft: &Draft, base: Option<&Arc<Remote>>) -> Result<Arc<File>> {
        for _ in 0..MAX_ROUNDS {
            if let Some(base) = base {
                self.reader.ensure_all(base, 0..draft.content().backed_len()).await?;
            }
            if draft.is_dirty()
                && draft.failure().is_none()
                && let Some(file) = self.keep_both_if_changed(draft).await?
            {
                return Ok(file);
            }
            let placement = draft.placement();
            // Names are checked when an upload begins, which may be long ago.
            let check_name =
                placement.base.is_none() && (draft.size() > self.options.part_bytes || draft.is_resumed());
            match draft.finish().await {
                Ok(file) => {
                    let stays =
                        *file.name == *placement.name && file.parent.as_ref() == Some(&placement.parent);
                    if check_name && stays && self.has_namesake(&file).await {
                        self.give_conflict_name(draft);
                    }
                    return Ok(file);
                }
                Err(error) if error.kind() == Kind::Exists => {
                    if let Some(file) = self.same_as_rival(draft).await? {
                        return Ok(file);
                    }
                    if self.follow_unheard(draft).await? {
                        continue;
                    }
                    self.may_keep_both()?;
                    self.give_conflict_name(draft);
                    draft.retry();
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(Kind::Busy, "complete", "someone else keeps taking this name"))
    }

    /// When the drive's content is not the one this draft is based on, ours becomes a file of its own; but
    /// when it has our bytes already (our own completion, told to a process that was killed), that is it.
    async fn keep_both_if_changed(&self, draft: &Draft) -> Result<Option<Arc<File>>> {
        let Some(base) = draft.placement().base else { return Ok(None) };
        match self.pds.file(&base.id).await {
            Ok(now) if !now.trashed && now.revision == base.revision => {
                // Names follow the drive at once where the file is there, so another one is of others.
                draft.replace(|placement| follow_base(placement, now));
            }
            // An earlier completion of this draft that was not heard of.
            Ok(now) if !now.trashed && draft.has_committed(&now) => {
                draft.replace(|placement| follow_base(placement, now));
                draft.retry();
            }
            Ok(now) if !now.trashed => {
                if let Some(file) = self.accept_if_same(now, draft).await? {
                    return Ok(Some(file));
                }
                self.may_keep_both()?;
                self.give_conflict_name(draft);
                detach(draft);
            }
            Ok(_) => detach(draft),
            Err(error) if error.kind() == Kind::NotFound => detach(draft),
            Err(error) => return Err(error),
        }
        Ok(None)
    }

    /// Whether another client completed a file of this name while ours was being sent.
    async fn has_namesake(&self, file: &File) -> bool {
        if let Err(error) = self.feed.refresh(&self.pds, &self.tree, Duration::ZERO).await {
            tracing::debug!(%error, "it is not known whether others took the name meanwhile");
        }
        self.tree.has_namesake(file)
    }

    /// The entry that has our name, if it has our bytes, too.
    async fn same_as_rival(&self, draft: &Draft) -> Result<Option<Arc<File>>> {
        let Some(rival) = draft.rival() else { return Ok(None) };
        match self.pds.file(&rival).await {
            Ok(file) => self.accept_if_same(file, draft).await,
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// When the entry that has our name was made by an earlier completion of this draft that was not heard of, the
    /// draft becomes its next revision. Whether it was.
    async fn follow_unheard(&self, draft: &Draft) -> Result<bool> {
        let Some(rival) = draft.rival() else { return Ok(false) };
        match self.pds.file(&rival).await {
            Ok(file) if !file.trashed && draft.has_committed(&file) => {
                draft.replace(|placement| follow_base(placement, file));
                draft.retry();
                Ok(true)
            }
            Err(error) if error.kind() != Kind::NotFound => Err(error),
            Ok(_) | Err(_) => Ok(false),
        }
    }

    /// When a file of the drive has the bytes of a draft, all of which are here, the draft is complete.
    async fn accept_if_same(&self, file: File, draft: &Draft) -> Result<Option<Arc<File>>> {
        let (version, size) = (draft.version(), draft.size());
        let Some(crc64) = file.crc64.filter(|_| !file.is_folder() && file.size == size) else {
            return Ok(None);
        };
        let local = Arc::clone(draft.content().file());
        let hashed =
            tokio::task::spawn_blocking(move || shard::hash(&local, 0..size, shard::Prefix::default()));
        if hashed.await.map_err(|error| Error::io("hash", error.into()))??.crc64() != crc64 {
            return Ok(None);
        }
        let file = Arc::new(file);
        draft.accept(version, &file);
        Ok(Some(file))
    }

    fn may_keep_both(&self) -> Result<()> {
        match self.options.write.on_conflict {
            OnConflict::Keep => Ok(()),
            OnConflict::Fail => {
                let theirs = "someone else changed it on the drive meanwhile; what was written here is kept";
                Err(Error::new(Kind::Stale, "complete", theirs))
            }
        }
    }

    fn give_conflict_name(&self, draft: &Draft) {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let now = jiff::Zoned::now().strftime("%Y-%m-%d %H.%M.%S").to_string();
        draft.replace(|placement| {
            let name = names::with_note(&placement.name, &format!("conflict {host} {now}"));
            tracing::warn!(was = %placement.name, now = %name, "changed on the drive meanwhile: both are kept");
            placement.name = name;
        });
    }

    /// Writes into the placement what `create` can carry.
    fn describe(&self, body: &Body, draft: &Draft) {
        let pending = body.pending();
        let modified_at = format_time(body.modified_at());
        draft.replace(|placement| {
            placement.attributes.local_modified_at = Some(modified_at);
            attach(&mut placement.attributes, pending);
        });
    }

    /// The content is complete: the tree hears of it, and what changed here while it was sent follows.
    async fn settle(&self, body: &Arc<Body>, draft: &Draft, file: Arc<File>) -> Result<()> {
        let ino = body.ino;
        if !self.is_wanted(ino) {
            return self.remove_from_drive(&file).await;
        }
        let renamed = self.tree.id_of(ino).is_some_and(|before| before != file.id);
        // For a program the file does not change by being completed: `git` compares what it saw before close.
        let written_at = Some(body.written_at());
        self.tree.set_local(ino, |local| local.changed_at = local.changed_at.max(written_at));
        self.tree.publish(ino, Arc::clone(&file));
        self.creators.renew(ino);
        if body.settle(&self.store).is_some() {
            self.strike(draft);
            tokio::task::block_in_place(|| self.store.trim(file.size));
            self.tree.set_local(ino, |local| local.modified_at = None);
        }
        let file = self.follow_name(ino, file, &draft.placement()).await?;
        self.show_in_place(ino, &file, renamed);
        self.follow_times(ino, &file, body).await?;
        self.follow_attributes(ino, &file, body).await
    }

    /// Shows a node where the drive has it, under a name that is free. `is_other` says that it was another
    /// file before, which then needs a node of its own.
    fn show_in_place(&self, ino: Ino, file: &File, is_other: bool) {
        let Some(node) = self.tree.node(ino) else { return };
        let dir = file.parent.as_ref().and_then(|parent| self.tree.by_id(parent));
        let Some(dir) = dir.filter(|dir| *dir == node.parent || self.tree.loaded_at(*dir).is_some()) else {
            // Others moved it where nobody has looked yet.
            self.tree.take_away(ino);
            return;
        };
        let taken =
            |name: &str| matches!(self.tree.lookup(dir, name), Lookup::Found(other) if other.ino != ino);
        let name = names::first_free(&file.name, taken);
        let moves = dir != node.parent || *name != *node.name;
        if moves {
            self.tree.relocate(ino, dir, &name);
        }
        if moves || is_other {
            // Whoever else is there may be shown under the name that became free.
            self.tree.unload(node.parent);
        }
    }

    async fn follow_name(&self, ino: Ino, file: Arc<File>, placement: &Placement) -> Result<Arc<File>> {
        let moved = file.parent.as_ref() != Some(&placement.parent);
        let renamed = *file.name != *placement.name;
        let changed = match (moved, renamed) {
            (false, false) => return Ok(file),
            (false, true) => {
                let update = Update { name: Some(placement.name.clone()), ..Update::default() };
                self.pds.update(&file.id, &update).await?
            }
            (true, _) => {
                let name = renamed.then_some(placement.name.as_str());
                self.pds.move_file(&file.id, &placement.parent, name).await?
            }
        };
        match changed {
            Changed::Done(file) => {
                let file = Arc::new(file);
                self.tree.publish(ino, Arc::clone(&file));
                Ok(file)
            }
            Changed::Exists { .. } => Err(Error::new(
                Kind::Exists,
                "rename",
                "another file took the name on the drive in the meantime",
            )
            .on(&placement.name)),
        }
    }

    async fn follow_times(&self, ino: Ino, file: &File, body: &Body) -> Result<()> {
        let wanted = format_time(body.modified_at());
        if *file.local_modified_at == wanted {
            return Ok(());
        }
        let update = Update { local_modified_at: Some(wanted), ..Update::default() };
        match self.pds.update(&file.id, &update).await? {
            Changed::Done(file) => self.publish_reply(ino, file, &["local_modified_at"]),
            Changed::Exists { .. } => Ok(()),
        }
    }

    /// What was attached while the file was not on the drive, as far as `create` did not carry it there.
    pub(super) async fn follow_attributes(&self, ino: Ino, file: &File, body: &Body) -> Result<()> {
        let pending = body.pending();
        if pending.is_empty() {
            return Ok(());
        }
        self.attach(Some(ino), file, &pending).await?;
        body.attached(&pending);
        Ok(())
    }

    /// Attaches to a file on the drive what it does not have of `wanted`.
    pub(super) async fn attach(&self, ino: Option<Ino>, file: &File, wanted: &NewAttributes) -> Result<()> {
        let there = file.json();
        let is_missing = |(key, value): &(&String, &String)| there["user_tags"][key].as_str() != Some(value);
        let missing: BTreeMap<String, String> = wanted
            .user_tags
            .iter()
            .filter(is_missing)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if !missing.is_empty() {
            self.change_tags(ino, &file.id, missing, &[]).await?;
        }
        if there.as_object().is_some_and(|fields| !wanted.annotations.are_in(fields)) {
            self.annotate(ino, &file.id, wanted.annotations.clone()).await?;
        }
        Ok(())
    }

    /// Tries everything that is dirty once more, until `deadline`. Tells how far it is after each file.
    pub async fn drain(self: &Arc<Self>, deadline: Instant, progress: impl Fn(Progress)) -> DrainReport {
        let mut report = DrainReport { incomplete: self.drain_recovering(deadline).await };
        let mut waiting = self.dirty_bodies();
        let mut running = FuturesUnordered::new();
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        loop {
            while running.len() < self.options.transfers.max(1)
                && let Some(body) = waiting.pop()
            {
                if let Some(draft) = body.current_draft().filter(|draft| draft.failure().is_some()) {
                    draft.retry();
                }
                let fs = Arc::clone(self);
                running.push(async move {
                    let result = tokio::time::timeout_at(deadline.into(), fs.complete(&body)).await;
                    let late = || {
                        Error::new(Kind::Timeout, "complete", "there was no time left to finish this upload")
                    };
                    let result = result.unwrap_or_else(|_| {
                        fs.record_or_log(&body, Some(&late()));
                        Err(late())
                    });
                    (body, result)
                });
            }
            tokio::select! {
                done = running.next(), if !running.is_empty() => {
                    if let Some((body, Err(error))) = done {
                        report.incomplete.push((self.tree.path(body.ino), error));
                    }
                }
                _ = ticks.tick() => {}
            }
            progress(self.progress());
            if running.is_empty() && waiting.is_empty() {
                break;
            }
        }
        report
    }

    /// Ends everything that runs for this filesystem. What is dirty stays on the local disk.
    pub async fn stop(&self) {
        self.behind.stop();
        self.tasks.close();
        self.follower.stop();
        self.reader.stop().await;
        self.writer.stop().await;
        self.tasks.wait().await;
        self.save_index();
    }

    pub(super) fn dirty_bodies(&self) -> Vec<Arc<Body>> {
        let mut dirty: Vec<Arc<Body>> =
            lock(&self.bodies).values().filter(|body| body.is_dirty()).cloned().collect();
        dirty.retain(|body| self.is_wanted(body.ino));
        dirty
    }

    /// Whether what was written to a node is to reach the drive: unless a program removed it here. What others
    /// removed gets its place back.
    pub(super) fn is_wanted(&self, ino: Ino) -> bool {
        self.tree.revive(ino);
        self.tree.facts(ino).is_some_and(|node| node.linked)
    }

    fn progress(&self) -> Progress {
        let mut progress = Progress::default();
        for draft in self.dirty_bodies().iter().filter_map(|body| body.current_draft()) {
            let (done, total) = draft.progress();
            progress.files += 1;
            progress.bytes_done += done;
            progress.bytes_total += total;
        }
        progress
    }

    /// How far one file is.
    pub(super) fn upload_status(&self, body: &Body) -> Option<UploadStatus> {
        let draft = body.current_draft()?;
        let (bytes_done, bytes_total) = draft.progress();
        let error = draft.failure().map(|error| error.to_string());
        Some(UploadStatus { path: self.tree.path(body.ino), bytes_done, bytes_total, error })
    }

    /// The state of the mount.
    pub fn status(&self) -> Status {
        let dirty = self.dirty_bodies();
        let mut uploads: Vec<UploadStatus> =
            dirty.iter().filter_map(|body| self.upload_status(body)).collect();
        uploads.sort_by(|a, b| a.path.cmp(&b.path));
        Status {
            dirty_files: uploads.len() as u64,
            uploads,
            cached_bytes: self.store.cached_bytes(),
            fetched_bytes: self.reader.fetched_bytes(),
            fetches: self.reader.fetches(),
            memory_bytes: self.reader.memory_bytes(),
            recovering: self.recovering(),
        }
    }
}

/// The next revision goes where the file is now.
fn follow_base(placement: &mut Placement, now: File) {
    if let Some(parent) = &now.parent {
        placement.parent = parent.clone();
    }
    placement.name = now.name.to_string();
    placement.base = Some(Arc::new(now));
}

/// The draft becomes a file of its own. What was sent already was for another one.
fn detach(draft: &Draft) {
    draft.replace(|placement| placement.base = None);
    draft.retry();
}

/// Adds what is pending to what `create` is to carry.
pub(super) fn attach(to: &mut NewAttributes, pending: NewAttributes) {
    to.local_created_at = pending.local_created_at.or(to.local_created_at.take());
    to.user_tags.extend(pending.user_tags);
    to.annotations.merge(pending.annotations);
}
