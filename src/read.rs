//! Reading: bringing the missing bytes of a revision into its content.
//!
//! A [`Remote`] is one revision as far as reading goes: its content, its download lease, and which ranges are
//! being fetched. There is one fetch per range however many wait for it, and a waiter goes on as soon as its
//! own bytes are there. [`window`] decides what to fetch; [`Reader`] does it.
//!
//! Two kinds of fetches share the connections: what a reader waits for may use all of them, what is fetched
//! ahead only [`AHEAD_CONNECTIONS`] of four, so that a seek does not queue behind gigabytes.
//!
//! Invariants:
//! - bytes enter a content only from a reply whose status, range and length were checked;
//! - a claimed range has exactly one fetch task, which gives the claim back when it ends, however it ends;
//! - every wait ends: by bytes, by the failure of a fetch, or when nothing at all has moved for
//!   [`Patience::no_progress`].

mod fetch;
pub mod window;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::budget::{Budget, Share};
use crate::content::store::keep::Sync;
use crate::content::store::{Key, Store};
use crate::content::{Content, lock};
use crate::error::{Error, Kind, Result};
use crate::pds::model::File;
use crate::pds::{DownloadUrl, Pds, is_expired};
use fetch::{Fetching, Urgency};
use window::Plan;

/// Bytes of one request. Large enough that a round trip does not matter, small enough that a window is
/// spread over several connections.
const PIECE_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes asked for at once of what is brought here as a whole.
const STEP_BYTES: u64 = 32 * 1024 * 1024;
/// Bytes collected before they are written to the content: one write and one wake-up for many chunks.
const BATCH_BYTES: usize = 512 * 1024;
/// Memory a fetch under way may hold: a batch and what the connection has read ahead.
const FETCH_BUFFER_BYTES: u64 = 1024 * 1024;
/// A batch of at most this is written without moving the thread's other tasks away first.
const QUICK_BYTES: u64 = 128 * 1024;
/// Attempts at one piece, each going on where the last one ended.
const TRIES: u32 = 4;
/// How often bytes are fetched for one waiter who does not get to see them, because they are evicted again.
const ENSURE_TRIES: u32 = 8;
/// Of four connections, how many may be used for what nobody waits for yet.
const AHEAD_CONNECTIONS: usize = 3;
/// Leases kept after the last close of a file: who looks at a file again soon needs no other.
const MAX_LEASES: usize = 4096;

/// Time between two records of what is cached.
const RECORD_EVERY: Duration = Duration::from_secs(5);
/// How long the end of a mount may take to make the cache durable.
const LAST_SYNC: Duration = Duration::from_secs(2);

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// A reader gives up when nothing has moved for this long.
    pub no_progress: Duration,
}

/// Fetches for everyone.
pub struct Reader {
    pds: Pds,
    store: Arc<Store>,
    budget: Budget,
    patience: Patience,
    /// Held while something is fetched that nobody waits for yet.
    ahead: Semaphore,
    leases: Mutex<HashMap<Key, Lease>>,
    /// Bytes that came in since the start.
    fetched: AtomicU64,
    tasks: TaskTracker,
    /// Records what is cached.
    keeper: Mutex<Option<JoinHandle<()>>>,
    stop: CancellationToken,
    runtime: tokio::runtime::Handle,
}

/// A URL to read a revision with, while there is one; asked for by one reader at a time.
type Lease = Arc<AsyncMutex<Option<DownloadUrl>>>;

/// One revision of a file on the drive, to be read.
pub struct Remote {
    key: Key,
    size: u64,
    content: Arc<Content>,
    /// Of the content, while it is this revision's.
    generation: u64,
    /// Of the whole, as the drive says.
    crc64: Option<u64>,
    fetching: Mutex<Fetching>,
    /// Bytes that came in since the start.
    fetched: AtomicU64,
    /// Some of what was read of it was not true.
    is_suspect: AtomicBool,
}

impl Remote {
    /// The revision `file` is at, its bytes in `content`.
    pub fn new(file: &File, content: Arc<Content>) -> Arc<Self> {
        Arc::new(Remote {
            key: (file.id.clone(), file.revision.clone()),
            size: file.size,
            generation: content.generation(),
            crc64: file.crc64,
            content,
            fetching: Mutex::default(),
            fetched: AtomicU64::new(0),
            is_suspect: AtomicBool::new(false),
        })
    }

    /// Fails once it turned out that some of what was read before was not true. For good: the kernel asks
    /// again when reading ahead fails, and would go on from bytes of which nobody knows that they are wrong.
    ///
    /// # Errors
    /// [`Kind::Corrupt`].
    pub fn trust(&self) -> Result<()> {
        if !self.is_suspect.load(Ordering::Acquire) {
            return Ok(());
        }
        let why = "what was read of it is not what the drive describes (the CRC-64 differs): open it again";
        Err(Error::new(Kind::Corrupt, "read", why))
    }

    /// File and revision.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Bytes in the revision.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its bytes, as far as they are here.
    pub fn content(&self) -> &Arc<Content> {
        &self.content
    }

    /// Claims the parts of `range` that are missing and not being fetched, in pieces.
    fn claim(self: &Arc<Self>, range: Range<u64>, urgency: Urgency) -> Vec<Claim> {
        let mut fetching = lock(&self.fetching);
        let gaps = fetching.unclaimed(&self.content.missing(range));
        let pieces = gaps.into_iter().flat_map(|gap| window::pieces(gap, PIECE_BYTES));
        pieces
            .map(|range| {
                let (number, cancel) = fetching.claim(range.clone(), urgency);
                Claim { remote: Arc::clone(self), number, range, cancel, failure: None }
            })
            .collect()
    }

    fn failures(&self) -> u64 {
        lock(&self.fetching).failures
    }

    fn last_failure(&self) -> Error {
        let unknown = || Error::new(Kind::Unavailable, "read", "the bytes could not be fetched");
        lock(&self.fetching).last.clone().unwrap_or_else(unknown)
    }
}

/// A piece that is this task's to fetch. Given back also when the task is dropped half-way.
struct Claim {
    remote: Arc<Remote>,
    number: u64,
    range: Range<u64>,
    cancel: CancellationToken,
    failure: Option<Error>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&self.remote.fetching).end(self.number, self.failure.take());
        self.remote.content.wake();
    }
}

/// A reader who waits for a range.
struct Waiting<'a> {
    remote: &'a Remote,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.remote.fetching).waited(self.number);
    }
}

impl Reader {
    /// A reader whose fetches run on `runtime`.
    pub fn new(
        pds: Pds,
        store: Arc<Store>,
        budget: Budget,
        patience: Patience,
        runtime: tokio::runtime::Handle,
    ) -> Arc<Self> {
        let stop = CancellationToken::new();
        let keeper = runtime.spawn(keep(Arc::clone(&store), stop.clone()));
        Arc::new(Reader {
            ahead: Semaphore::new((pds.connections() * AHEAD_CONNECTIONS / 4).max(1)),
            pds,
            store,
            budget,
            patience,
            leases: Mutex::default(),
            fetched: AtomicU64::new(0),
            tasks: TaskTracker::new(),
            keeper: Mutex::new(Some(keeper)),
            stop,
            runtime,
        })
    }

    /// The revision `file` is at, ready to be read.
    ///
    /// # Errors
    /// The local disk refuses a content file.
    pub fn open(&self, file: &File) -> Result<Arc<Remote>> {
        let key = (file.id.clone(), file.revision.clone());
        let content = self.store.clean(&key, file.size)?;
        Ok(Remote::new(file, content))
    }

    /// Waits until every byte of `range` is here, fetching what nobody fetches yet.
    ///
    /// # Errors
    /// [`Kind::Stale`] when the drive no longer has the revision, [`Kind::NoSpace`] when the cache cannot hold
    /// the range, [`Kind::Timeout`] when nothing moves, else what the last fetch failed with.
    pub async fn ensure(self: &Arc<Self>, remote: &Arc<Remote>, range: Range<u64>) -> Result<()> {
        let number = lock(&remote.fetching).wait_for(range.clone());
        let waiting = Waiting { remote, number };
        let failures = remote.failures();
        let mut fetches = 0;
        let (mut moved_at, mut moved) = (Instant::now(), self.moved(remote));
        loop {
            let grown = remote.content.grown();
            let missing = remote.content.missing(range.clone());
            if missing.is_empty() {
                return Ok(());
            }
            let is_coming = {
                let mut fetching = lock(&remote.fetching);
                fetching.take_over(&range);
                fetching.has_all(&missing)
            };
            if !is_coming {
                if remote.failures() != failures {
                    return Err(remote.last_failure());
                }
                if fetches == ENSURE_TRIES {
                    let why = "the local cache is too small for what is being read";
                    return Err(Error::new(Kind::NoSpace, "read", why));
                }
                fetches += 1;
                self.fetch(remote, range.clone(), Urgency::Awaited);
            }
            tokio::select! {
                () = grown => {}
                () = tokio::time::sleep_until((moved_at + self.patience.no_progress).into()) => {
                    if self.moved(remote) == moved {
                        drop(waiting);
                        // The next reader begins anew, perhaps with a service that answers again.
                        lock(&remote.fetching).cancel(&[range]);
                        return Err(Error::new(Kind::Timeout, "read", "no more bytes came in"));
                    }
                }
                () = self.stop.cancelled() => {
                    return Err(Error::new(Kind::Unavailable, "read", "the mount is ending"));
                }
            }
            if self.moved(remote) != moved {
                (moved_at, moved) = (Instant::now(), self.moved(remote));
            }
        }
    }

    /// As [`Reader::ensure`] for a range of any length, not all of which is asked for at once.
    ///
    /// # Errors
    /// As [`Reader::ensure`].
    pub async fn ensure_all(self: &Arc<Self>, remote: &Arc<Remote>, range: Range<u64>) -> Result<()> {
        for step in window::pieces(range.clone(), STEP_BYTES) {
            self.prefetch(remote, step.end..(step.end + STEP_BYTES).min(range.end));
            self.ensure(remote, step).await?;
        }
        Ok(())
    }

    /// A number that changes when a reader of `remote` has a reason to wait on: bytes of it came in, or, as
    /// long as it has no connection, any bytes.
    fn moved(&self, remote: &Remote) -> u64 {
        let is_active = lock(&remote.fetching).is_active();
        if is_active { remote.fetched.load(Ordering::Relaxed) } else { self.fetched.load(Ordering::Relaxed) }
    }

    /// Does what a read's plan says; does not wait. `is_missing` when the read found its bytes missing.
    pub fn follow(self: &Arc<Self>, remote: &Arc<Remote>, plan: Plan, is_missing: bool) {
        if !plan.dropped.is_empty() {
            lock(&remote.fetching).cancel(&plan.dropped);
        }
        let within = |range: Range<u64>| range.start.min(remote.size)..range.end.min(remote.size);
        if !is_missing && !plan.is_new {
            return;
        }
        let mut ahead = plan.ahead.into_iter().map(within).peekable();
        if is_missing {
            let mut now = within(plan.now);
            // One request for the read and what follows it.
            if let Some(next) = ahead.next_if(|next| next.start == now.end) {
                self.fetch(remote, now.start..next.end.min(now.start + PIECE_BYTES), Urgency::Awaited);
                now.start = (now.start + PIECE_BYTES).min(next.end);
                now.end = next.end;
                self.fetch(remote, now, Urgency::Ahead);
            } else {
                self.fetch(remote, now, Urgency::Awaited);
            }
        }
        for range in ahead {
            self.fetch(remote, range, Urgency::Ahead);
        }
    }

    /// Starts fetching what is missing of `range` and nobody fetches yet; does not wait.
    pub fn prefetch(self: &Arc<Self>, remote: &Arc<Remote>, range: Range<u64>) {
        self.fetch(remote, range, Urgency::Ahead);
    }

    fn fetch(self: &Arc<Self>, remote: &Arc<Remote>, range: Range<u64>, urgency: Urgency) {
        if range.is_empty() {
            return;
        }
        for claim in remote.claim(range, urgency) {
            let reader = Arc::clone(self);
            let (stop, cancel) = (self.stop.clone(), claim.cancel.clone());
            let task = async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = cancel.cancelled() => {}
                    () = reader.run(claim, urgency) => {}
                }
            };
            self.tasks.spawn_on(task, &self.runtime);
        }
    }

    async fn run(&self, mut claim: Claim, urgency: Urgency) {
        let remote = Arc::clone(&claim.remote);
        let _turn = match urgency {
            Urgency::Ahead => self.ahead.acquire().await.ok(),
            Urgency::Awaited => None,
        };
        let _share = self.budget.take(FETCH_BUFFER_BYTES.min(claim.range.end - claim.range.start)).await;
        if !lock(&remote.fetching).start(claim.number) {
            return;
        }
        let mut at = claim.range.start;
        let mut tries = 0;
        while at < claim.range.end {
            if let Err(error) = self.run_once(&remote, &mut at, claim.range.end).await {
                tries += 1;
                let again = is_expired(&error) || error.kind().is_transient();
                if is_expired(&error) {
                    *self.lease_of(&remote.key).lock().await = None;
                }
                if !again || tries >= TRIES {
                    tracing::debug!(%error, "a fetch failed");
                    claim.failure = Some(as_read_error(error));
                    return;
                }
            }
        }
    }

    /// One request from `at` to `end`; moves `at` by what was stored.
    async fn run_once(&self, remote: &Remote, at: &mut u64, end: u64) -> Result<()> {
        let url = self.lease(remote).await?;
        let mut body = self.pds.get_range(&url, *at..end, remote.size).await?;
        let mut batch: Vec<Bytes> = Vec::new();
        let mut batched = 0;
        loop {
            let chunk = body.chunk().await;
            let is_last = !matches!(chunk, Ok(Some(_)));
            if let Ok(Some(chunk)) = &chunk {
                self.fetched.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                remote.fetched.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                batched += chunk.len();
                batch.push(chunk.clone());
            }
            let is_due = batched >= BATCH_BYTES
                || (is_last && batched > 0)
                || lock(&remote.fetching).is_awaited(&(*at..*at + batched as u64));
            if is_due {
                *at += self.keep(remote, std::mem::take(&mut batch), *at)?;
                batched = 0;
            }
            match chunk {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn keep(&self, remote: &Remote, batch: Vec<Bytes>, offset: u64) -> Result<u64> {
        let len: u64 = batch.iter().map(|chunk| chunk.len() as u64).sum();
        let keep = || {
            self.store.make_room(len);
            let fill = || remote.content.fill_of(remote.generation, &batch, offset, remote.crc64);
            let filled = match fill() {
                Err(error) if error.kind() == Kind::NoSpace && self.store.give_back(len) => fill()?,
                Err(error) if error.kind() == Kind::Corrupt => {
                    // First the bytes go: who is told by the flag may open it again at once.
                    self.store.distrust(&remote.key);
                    remote.is_suspect.store(true, Ordering::Release);
                    return Err(error);
                }
                filled => filled?,
            };
            if !filled {
                return Err(Error::new(Kind::Stale, "read", "the file has been written meanwhile"));
            }
            Ok(len)
        };
        if len <= QUICK_BYTES { keep() } else { tokio::task::block_in_place(keep) }
    }

    /// The lease of a revision, shared by all who read it.
    fn lease_of(&self, key: &Key) -> Lease {
        let mut leases = lock(&self.leases);
        if let Some(lease) = leases.get(key) {
            return Arc::clone(lease);
        }
        if leases.len() >= MAX_LEASES {
            // Those that nobody holds; asking again costs one request.
            leases.retain(|_, lease| Arc::strong_count(lease) > 1);
        }
        Arc::clone(leases.entry(key.clone()).or_default())
    }

    async fn lease(&self, remote: &Remote) -> Result<DownloadUrl> {
        let lease = self.lease_of(&remote.key);
        let mut lease = lease.lock().await;
        match &*lease {
            Some(url) if url.is_fresh(Instant::now()) => Ok(url.clone()),
            _ => {
                let url = self.pds.download_url(&remote.key.0, &remote.key.1).await?;
                Ok(lease.insert(url).clone())
            }
        }
    }

    /// Gets a lease now, so that the revision stays readable for a while after it left the drive's folders.
    ///
    /// # Errors
    /// The service refuses.
    pub async fn hold(&self, remote: &Remote) -> Result<()> {
        self.lease(remote).await.map(|_| ())
    }

    /// Memory for a reply of `bytes`; waits while others have all of it.
    pub async fn memory(&self, bytes: u64) -> Share {
        self.budget.take(bytes).await
    }

    /// Memory that readers and writers hold together, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.budget.taken_bytes()
    }

    /// Fetches that are queued or under way.
    pub fn fetches(&self) -> u64 {
        self.tasks.len() as u64
    }

    /// Bytes fetched since the start.
    pub fn fetched_bytes(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }

    /// Ends all fetches, waits for their tasks, and records what is cached.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let keeper = lock(&self.keeper).take();
        if let Some(keeper) = keeper {
            // A panic in it has been told; the cache is then found as it was recorded last.
            let _ = keeper.await;
        }
        tokio::task::block_in_place(|| self.store.checkpoint(Sync::Until(Instant::now() + LAST_SYNC)));
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Also where nobody asked it to stop: the keeper holds the store, and with it the directories.
        self.stop.cancel();
    }
}

/// Records what is cached, now and then, so that the next mount finds it also when this process is killed.
async fn keep(store: Arc<Store>, stop: CancellationToken) {
    let mut pause = RECORD_EVERY;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let started = Instant::now();
        tokio::task::block_in_place(|| store.checkpoint(Sync::Rested));
        // Never more than a small part of the time, however slow the disk.
        pause = RECORD_EVERY.max(started.elapsed() * 20);
    }
}

/// A revision that is gone is stale to whoever reads it: the file was there when it was opened.
fn as_read_error(error: Error) -> Error {
    match error.kind() {
        Kind::NotFound => {
            Error::new(Kind::Stale, "read", "the drive no longer has this content").caused_by(error)
        }
        _ => error,
    }
}
