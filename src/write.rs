//! Writing: drafts, and the task that brings each of them to the drive.
//!
//! A [`Draft`] is the content of a file that the drive does not have yet. Programs write into its content
//! file at once; a runner task per draft hashes, sends and completes ([`upload`] decides, the runner does).
//!
//! Versions: each change of a draft bumps its version before it returns. [`Draft::finish`] waits until the
//! drive has completed the version it saw, or a later one, or until that failed. A failure sticks to the
//! version it happened at: everyone who asks for it gets the same answer until the draft is written again or
//! [`Draft::retry`] is called; the bytes stay here in any case.
//!
//! Invariants:
//! - `Done` is only reported for a version of which every byte was hashed, sent and verified;
//! - a change of bytes that are hashed already is known to the machine before the next step;
//! - the runner holds no lock across an await and ends when the draft is retired, discarded or dropped.

pub mod journal;
pub mod shard;
pub mod upload;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::budget::Budget;
use crate::config::Rapid;
use crate::content::extents::ExtentSet;
use crate::content::{Content, lock};
use crate::error::{Error, Kind, Result};
use crate::pds::model::{File, FileId};
use crate::pds::{CreateFile, NewAttributes, PartBody, Pds};
use journal::Journal;
use upload::{Action, Commit, Event, Habits, Mark, Outcome, Upload, View};

/// Memory one part under way may hold: two buffers of the sender.
const SEND_BUFFER_BYTES: u64 = 2 * 1024 * 1024;

/// Completions of a draft that were asked for without an answer, as far as they are remembered.
const MAX_COMMITS: usize = 8;

/// How drafts are uploaded.
#[derive(Clone, Copy, Debug)]
pub struct WriteOptions {
    /// Bytes per shard, a multiple of 64; at least 100 KiB for the real service (8.7).
    pub part_bytes: u64,
    /// Parts of one file under way at once, 1..=64.
    pub upload_concurrency: usize,
    /// Parts of all files under way at once, 1..=256.
    pub transfers: usize,
    /// Whether the drive is asked for bytes it has already.
    pub rapid: Rapid,
}

/// Everything drafts share.
pub struct Writer {
    pds: Pds,
    options: WriteOptions,
    budget: Budget,
    journal: Arc<Journal>,
    sending: Semaphore,
    hashing: Semaphore,
    habits: Mutex<Habits>,
    tasks: TaskTracker,
    stop: CancellationToken,
    runtime: tokio::runtime::Handle,
}

/// Where a draft belongs on the drive, as of now.
#[derive(Clone, Debug)]
pub struct Placement {
    /// The folder.
    pub parent: FileId,
    /// The name.
    pub name: String,
    /// The file that gets a new revision; `None` for a new file.
    pub base: Option<Arc<File>>,
    /// Times, tags and the like.
    pub attributes: NewAttributes,
}

/// How far a draft is.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// The last version the drive has, with the file as the drive described it.
    pub completed: Option<(u64, Arc<File>)>,
    /// The version that failed, and why.
    pub failed: Option<(u64, Error)>,
}

/// Content that the drive does not have yet. See the module's documentation.
pub struct Draft {
    content: Arc<Content>,
    state: Mutex<State>,
    is_resumed: bool,
    /// It is in the journal, which is to hear of its upload.
    recorded: AtomicBool,
    changed: Notify,
    settled: watch::Sender<Settled>,
    stop: CancellationToken,
}

struct State {
    size: u64,
    version: u64,
    /// The lowest byte that changed since the machine was told.
    changed_from: Option<u64>,
    /// The highest version somebody waits for.
    wanted: u64,
    /// Shards may leave before close: not for edits of existing content, most of which is still remote.
    streaming: bool,
    placement: Placement,
    sent_bytes: u64,
    /// No more writes: completed and given back, or discarded.
    retired: bool,
    /// A retry was asked for.
    retry: bool,
    /// Who has the name, after that kept it from being completed.
    rival: Option<FileId>,
    /// The open upload.
    mark: Option<Mark>,
    /// What the drive was asked to make of it, without saying that it has; the latest last.
    commits: Vec<Commit>,
}

/// A draft at one moment, for the journal.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Bytes in the file.
    pub size: u64,
    /// Bytes below this that are not present are those of the base.
    pub backed_len: u64,
    /// Which bytes are in the content file.
    pub present: ExtentSet,
    /// Where it belongs.
    pub placement: Placement,
    /// What is known of its upload.
    pub trace: Trace,
}

/// What an upload leaves behind for the next run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The open upload.
    pub mark: Option<Mark>,
    /// What the drive was asked to make of it, without saying that it has; the latest last.
    pub commits: Vec<Commit>,
}

impl Writer {
    /// The shared part of all drafts; their tasks run on `runtime`.
    pub fn new(
        pds: Pds,
        options: WriteOptions,
        budget: Budget,
        journal: Arc<Journal>,
        runtime: tokio::runtime::Handle,
    ) -> Arc<Self> {
        Arc::new(Writer {
            pds,
            options,
            budget,
            journal,
            sending: Semaphore::new(options.transfers.clamp(1, 256)),
            hashing: Semaphore::new(2),
            habits: Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            runtime,
        })
    }

    /// A draft over `content`, `size` bytes long, and the task that will upload it.
    pub fn begin(self: &Arc<Self>, content: Arc<Content>, size: u64, placement: Placement) -> Arc<Draft> {
        self.resume(content, size, placement, Trace::default())
    }

    /// As [`Writer::begin`]; the upload goes on where an earlier run left it.
    pub fn resume(
        self: &Arc<Self>,
        content: Arc<Content>,
        size: u64,
        placement: Placement,
        trace: Trace,
    ) -> Arc<Draft> {
        let streaming = content.backed_len() == 0 && size == 0;
        let draft = Arc::new(Draft {
            content,
            is_resumed: trace.mark.is_some(),
            state: Mutex::new(State {
                size,
                version: 1,
                changed_from: None,
                wanted: 0,
                streaming,
                placement,
                sent_bytes: 0,
                retired: false,
                retry: false,
                rival: None,
                mark: trace.mark,
                commits: trace.commits,
            }),
            recorded: AtomicBool::new(false),
            changed: Notify::new(),
            settled: watch::Sender::new(Settled::default()),
            stop: self.stop.child_token(),
        });
        let runner = Runner::new(Arc::clone(self), Arc::clone(&draft));
        let stop = draft.stop.clone();
        self.tasks.spawn_on(
            async move {
                // However the runner ends, nobody waits for it any more.
                let _ended = stop.clone().drop_guard();
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = runner.run() => {}
                }
            },
            &self.runtime,
        );
        draft
    }

    /// Ends all uploads and waits for their tasks. What is not complete stays on the local disk.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Draft {
    /// The bytes.
    pub fn content(&self) -> &Arc<Content> {
        &self.content
    }

    /// Bytes in the file.
    pub fn size(&self) -> u64 {
        lock(&self.state).size
    }

    /// Writes at `offset`, or at the end when `offset` is `None`. Returns the new size; `None`, and nothing
    /// done, when the draft is retired.
    ///
    /// # Errors
    /// As [`Content::write_at`].
    pub fn write(&self, data: &[u8], offset: Option<u64>) -> Result<Option<u64>> {
        let mut state = lock(&self.state);
        if state.retired {
            return Ok(None);
        }
        let offset = offset.unwrap_or(state.size);
        let end = offset + data.len() as u64;
        // Told before the bytes change: the machine may see a change that is not there yet, never the
        // other way round.
        let from = offset.min(state.size);
        state.change(from);
        self.content.write_at(data, offset)?;
        state.size = state.size.max(end);
        let size = state.size;
        drop(state);
        self.changed.notify_one();
        Ok(Some(size))
    }

    /// Cuts or extends to `size`; `false`, and nothing done, when the draft is retired.
    ///
    /// # Errors
    /// As [`Content::truncate`].
    pub fn truncate(&self, size: u64) -> Result<bool> {
        let mut state = lock(&self.state);
        if state.retired {
            return Ok(false);
        }
        if size != state.size {
            let from = size.min(state.size);
            state.change(from);
            self.content.truncate(size)?;
            state.size = size;
        }
        drop(state);
        self.changed.notify_one();
        Ok(true)
    }

    /// Makes `range` read as zeros, clipped to the file; `false` when the draft is retired.
    ///
    /// # Errors
    /// As [`Content::zero`].
    pub fn zero(&self, range: std::ops::Range<u64>) -> Result<bool> {
        let mut state = lock(&self.state);
        if state.retired {
            return Ok(false);
        }
        let end = range.end.min(state.size);
        if range.start < end {
            state.change(range.start);
            self.content.zero(range.start..end)?;
        }
        drop(state);
        self.changed.notify_one();
        Ok(true)
    }

    /// Changes where the draft belongs or what it is given.
    pub fn replace(&self, change: impl FnOnce(&mut Placement)) {
        change(&mut lock(&self.state).placement);
    }

    /// Where it belongs.
    pub fn placement(&self) -> Placement {
        lock(&self.state).placement.clone()
    }

    /// The draft as it is now.
    pub fn snapshot(&self) -> Snapshot {
        let state = lock(&self.state);
        Snapshot {
            size: state.size,
            backed_len: self.content.backed_len(),
            present: self.content.present(),
            placement: state.placement.clone(),
            trace: state.trace(),
        }
    }

    /// Whether a file of the drive has bytes that it was asked to make of this draft: then nobody else wrote them.
    pub fn has_committed(&self, file: &File) -> bool {
        let is_it = |commit: &Commit| file.size == commit.size && file.crc64 == Some(commit.crc64);
        lock(&self.state).commits.iter().any(is_it)
    }

    /// Whether its upload was begun by an earlier run.
    pub fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// Whether it is in the journal.
    pub fn is_recorded(&self) -> bool {
        self.recorded.load(Ordering::Relaxed)
    }

    /// It is about to be written to the journal, or was struck out. Says whether it was there before.
    pub fn set_recorded(&self, recorded: bool) -> bool {
        self.recorded.swap(recorded, Ordering::Relaxed)
    }

    /// Who has the name, after that kept it from being completed.
    pub fn rival(&self) -> Option<FileId> {
        lock(&self.state).rival.clone()
    }

    /// The version of the last change.
    pub fn version(&self) -> u64 {
        lock(&self.state).version
    }

    /// Whether the drive lacks something of it.
    pub fn is_dirty(&self) -> bool {
        let version = self.version();
        self.settled.borrow().completed.as_ref().is_none_or(|(completed, _)| *completed < version)
    }

    /// Bytes the drive acknowledged, and bytes in all.
    pub fn progress(&self) -> (u64, u64) {
        let state = lock(&self.state);
        (state.sent_bytes, state.size)
    }

    /// Why the current version is not on the drive, when it was tried.
    pub fn failure(&self) -> Option<Error> {
        let version = self.version();
        let settled = self.settled.borrow();
        settled.failed.as_ref().filter(|(failed, _)| *failed >= version).map(|(_, error)| error.clone())
    }

    /// Waits until the drive has every change made before this call, and tells the file as the drive
    /// describes it. All bytes must be here: the caller fetches what is missing first.
    ///
    /// # Errors
    /// What kept it from completing; [`Kind::Stale`] when the draft was discarded meanwhile.
    pub async fn finish(&self) -> Result<Arc<File>> {
        let target = {
            let mut state = lock(&self.state);
            state.wanted = state.wanted.max(state.version);
            state.version
        };
        self.changed.notify_one();
        let mut settled = self.settled.subscribe();
        let gone = || Error::new(Kind::Stale, "complete", "the upload was given up");
        loop {
            {
                let now = settled.borrow_and_update();
                if let Some((version, file)) = &now.completed
                    && *version >= target
                {
                    return Ok(Arc::clone(file));
                }
                if let Some((version, error)) = &now.failed
                    && *version >= target
                {
                    return Err(error.clone());
                }
            }
            tokio::select! {
                changed = settled.changed() => changed.map_err(|_| gone())?,
                // Retired by someone who saw it complete, or discarded: the last word is in `settled`.
                () = self.stop.cancelled() => {
                    return match &settled.borrow().completed {
                        Some((version, file)) if *version >= target => Ok(Arc::clone(file)),
                        _ => Err(gone()),
                    };
                }
            }
        }
    }

    /// The drive was found to have the content of `version` without an upload.
    pub fn accept(&self, version: u64, file: &Arc<File>) {
        lock(&self.state).placement.base = Some(Arc::clone(file));
        self.settled.send_modify(|settled| {
            settled.completed = Some((version, Arc::clone(file)));
            settled.failed = None;
        });
    }

    /// Forgets a failure, so that [`Draft::finish`] tries again.
    pub fn retry(&self) {
        lock(&self.state).retry = true;
        self.settled.send_modify(|settled| settled.failed = None);
        self.changed.notify_one();
    }

    /// Ends the draft if the drive has all of it: no write is taken any more. The file as completed.
    pub fn retire(&self) -> Option<Arc<File>> {
        let mut state = lock(&self.state);
        let file = match &self.settled.borrow().completed {
            Some((version, file)) if *version == state.version && !state.retired => Arc::clone(file),
            _ => return None,
        };
        state.retired = true;
        self.stop.cancel();
        Some(file)
    }

    /// Gives the draft up: nothing of it will reach the drive unless it is being completed right now.
    pub fn discard(&self) {
        lock(&self.state).retired = true;
        self.stop.cancel();
    }
}

impl State {
    fn trace(&self) -> Trace {
        Trace { mark: self.mark.clone(), commits: self.commits.clone() }
    }

    fn change(&mut self, from: u64) {
        self.version += 1;
        self.changed_from = Some(self.changed_from.map_or(from, |before| before.min(from)));
    }
}

/// The journal keeps what a recorded draft's upload leaves behind, before the drive is asked for anything that it
/// may do unheard.
fn note(writer: &Writer, draft: &Draft) {
    if !draft.is_recorded() {
        return;
    }
    let trace = lock(&draft.state).trace();
    let name = draft.content.file_name();
    if let Err(error) = tokio::task::block_in_place(|| writer.journal.note_upload(&name, &trace)) {
        tracing::debug!(%error, "an upload is not in the journal; after a crash it starts again");
    }
}

/// The task of one draft.
struct Runner {
    writer: Arc<Writer>,
    draft: Arc<Draft>,
    upload: Upload,
    jobs: JoinSet<Event>,
    /// The version that `complete` was called for.
    completing: u64,
}

impl Runner {
    fn new(writer: Arc<Writer>, draft: Arc<Draft>) -> Self {
        let (habits, options) = (*lock(&writer.habits), writer.options);
        let upload = Upload::new(options.part_bytes, options.upload_concurrency, habits, options.rapid);
        let upload = match lock(&draft.state).mark.clone() {
            Some(mark) => upload.resuming(mark),
            None => upload,
        };
        Runner { writer, draft, upload, jobs: JoinSet::new(), completing: 0 }
    }

    async fn run(mut self) {
        loop {
            for action in self.step() {
                self.start(action);
            }
            tokio::select! {
                () = self.draft.changed.notified() => {}
                Some(event) = self.jobs.join_next() => {
                    let outcome = match event {
                        Ok(event) => self.upload.on(event),
                        Err(error) => Outcome::Failed(
                            Error::new(Kind::Unavailable, "upload", "an upload task ended unexpectedly")
                                .caused_by(error),
                        ),
                    };
                    self.follow(outcome);
                }
            }
        }
    }

    /// Tells the machine what changed and asks it what to do, in one piece so that nothing changes between.
    fn step(&mut self) -> Vec<Action> {
        let draft = Arc::clone(&self.draft);
        let mut state = lock(&draft.state);
        if std::mem::take(&mut state.retry) {
            self.jobs = JoinSet::new();
            self.upload.retry();
        }
        if self.upload.is_completing() {
            return self.upload.verify().into_iter().collect();
        }
        if let Some(offset) = state.changed_from.take()
            && self.upload.rewind(offset)
        {
            self.jobs = JoinSet::new();
        }
        let failed =
            draft.settled.borrow().failed.as_ref().is_some_and(|(version, _)| *version >= state.version);
        let completed =
            draft.settled.borrow().completed.as_ref().is_some_and(|(version, _)| *version >= state.wanted);
        let finishing = state.wanted > 0 && !completed && !failed;
        let view = View {
            size: state.size,
            prefix_end: if finishing { state.size } else { self.draft.content.prefix_end().min(state.size) },
            finishing,
            streaming: state.streaming && !failed,
        };
        self.upload.set_base_revision(state.placement.base.as_ref().map(|base| base.revision.clone()));
        let actions = self.upload.step(&view);
        // A create that tells the hash may complete the file, too.
        if let Some(commit) = actions.iter().find_map(|action| self.upload.commit(action)) {
            self.completing = state.version;
            state.commits.retain(|known| *known != commit);
            state.commits.push(commit);
            let excess = state.commits.len().saturating_sub(MAX_COMMITS);
            state.commits.drain(..excess);
        }
        state.sent_bytes = self.upload.sent_bytes();
        actions
    }

    fn follow(&mut self, outcome: Outcome) {
        *lock(&self.writer.habits) = self.upload.habits();
        self.note_mark();
        match outcome {
            Outcome::Continue => {}
            Outcome::Restart => self.jobs = JoinSet::new(),
            Outcome::Done(file) => self.publish(Arc::from(file)),
            Outcome::Failed(error) => {
                self.jobs = JoinSet::new();
                let mut state = lock(&self.draft.state);
                state.streaming = false;
                // Nobody waits any more: what is written next is not to leave before someone does.
                state.wanted = 0;
                state.rival = self.upload.rival();
                let version = state.version;
                drop(state);
                tracing::warn!(%error, "an upload failed; its data is kept here");
                self.draft.settled.send_modify(|settled| settled.failed = Some((version, error)));
            }
        }
    }

    /// The journal keeps the open upload of a recorded draft, so that the next run can go on with it.
    fn note_mark(&self) {
        let mark = self.upload.mark();
        let mut state = lock(&self.draft.state);
        if state.mark == mark {
            return;
        }
        state.mark.clone_from(&mark);
        drop(state);
        // One part is as soon sent again.
        if mark.is_some_and(|mark| lock(&self.draft.state).size > mark.shard_len) {
            note(&self.writer, &self.draft);
        }
    }

    fn publish(&mut self, file: Arc<File>) {
        let mut state = lock(&self.draft.state);
        state.sent_bytes = state.size;
        state.placement.base = Some(Arc::clone(&file));
        state.commits.clear();
        state.streaming = false;
        drop(state);
        let version = self.completing;
        self.upload.begin_again();
        self.draft.settled.send_modify(|settled| {
            settled.completed = Some((version, file));
            settled.failed = None;
        });
    }

    fn start(&mut self, action: Action) {
        let writer = Arc::clone(&self.writer);
        match action {
            Action::Hash { job, range, before } => {
                let file = Arc::clone(self.draft.content.file());
                self.spawn(async move {
                    let _turn = writer.hashing.acquire().await;
                    let hashed = tokio::task::spawn_blocking(move || shard::hash(&file, range, before)).await;
                    Event::Hashed(job, hashed.unwrap_or_else(|error| Err(Error::io("hash", error.into()))))
                });
            }
            Action::Create { parallel, size, content_hash, parts } => {
                let request = CreateFile { content_hash, ..self.create_request(parallel, size, parts) };
                let draft = Arc::clone(&self.draft);
                self.spawn(async move {
                    if request.content_hash.is_some() {
                        note(&writer, &draft);
                    }
                    Event::Created(writer.pds.create_file(&request).await)
                });
            }
            Action::Urls(key, parts) => {
                self.spawn(async move { Event::Urls(writer.pds.part_urls(&key, &parts).await) });
            }
            Action::Send { url, range } => {
                let file = Arc::clone(self.draft.content.file());
                let body = PartBody { file, offset: range.start, len: range.end - range.start };
                self.spawn(async move {
                    let _turn = writer.sending.acquire().await;
                    let _share = writer.budget.take(SEND_BUFFER_BYTES.min(body.len)).await;
                    Event::Sent(url.number, writer.pds.put_part(&url, body).await)
                });
            }
            Action::List(key) => {
                self.spawn(async move { Event::Listed(writer.pds.uploaded_parts(&key).await) });
            }
            Action::Complete(key, expect) => {
                let draft = Arc::clone(&self.draft);
                self.spawn(async move {
                    note(&writer, &draft);
                    Event::Completed(writer.pds.complete(&key, expect).await)
                });
            }
            Action::Verify(file, expect) => {
                self.spawn(async move { Event::Completed(writer.pds.verify(&file, expect).await) });
            }
        }
    }

    fn create_request(
        &self,
        parallel: bool,
        size: Option<u64>,
        parts: Vec<crate::pds::PartRequest>,
    ) -> CreateFile {
        let placement = self.draft.placement();
        let base = placement.base.as_ref();
        CreateFile {
            // An overwrite keeps the file's own name and folder (8.9); a pending rename follows it.
            parent: base.and_then(|file| file.parent.clone()).unwrap_or(placement.parent),
            name: base.map_or(placement.name, |file| file.name.to_string()),
            overwrite: base.map(|file| file.id.clone()),
            size,
            content_hash: None,
            parallel,
            parts,
            content_type: None,
            attributes: placement.attributes,
        }
    }

    fn spawn(&mut self, job: impl Future<Output = Event> + Send + 'static) {
        self.jobs.spawn_on(job, &self.writer.runtime);
    }
}
