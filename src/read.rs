//! Reading: bringing the missing bytes of a revision into its content.
//!
//! A [`Remote`] is one revision as far as reading goes: its content, its download lease, and which ranges are
//! being fetched. There is one fetch per range however many wait for it, and a waiter goes on as soon as its
//! own bytes are there. [`window`] decides what to fetch; [`Reader`] does it.
//!
//! Invariants:
//! - bytes enter a content only from a reply whose status, range and length were checked;
//! - a claimed range has exactly one fetch task, which gives the claim back when it ends, however it ends;
//! - every wait ends: a fetch ends by the deadlines of `pds`, and its end wakes its waiters.

pub mod window;

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::Mutex as AsyncMutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::budget::Budget;
use crate::content::extents::ExtentSet;
use crate::content::store::{Key, Store};
use crate::content::{Content, lock};
use crate::error::{Error, Kind, Result};
use crate::pds::model::File;
use crate::pds::{DownloadUrl, Pds, is_expired};

/// Bytes of one request. Large enough that a round trip does not matter, small enough that a window is
/// spread over several connections.
const PIECE_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes collected before they are written to the content: one write and one wake-up for many chunks.
const BATCH_BYTES: usize = 512 * 1024;
/// Memory a fetch under way may hold: a batch and what the connection has read ahead.
const FETCH_BUFFER_BYTES: u64 = 1024 * 1024;
/// Attempts at one piece, each going on where the last one ended.
const TRIES: u32 = 4;

/// How often bytes are fetched for one waiter who does not get to see them, because they are evicted again.
const ENSURE_TRIES: u32 = 8;

/// Fetches for everyone.
pub struct Reader {
    pds: Pds,
    store: Arc<Store>,
    budget: Budget,
    tasks: TaskTracker,
    stop: CancellationToken,
    runtime: tokio::runtime::Handle,
}

/// One revision of a file on the drive, to be read.
pub struct Remote {
    key: Key,
    size: u64,
    content: Arc<Content>,
    /// Of the content, while it is this revision's.
    generation: u64,
    lease: AsyncMutex<Option<DownloadUrl>>,
    fetching: Mutex<Fetching>,
}

#[derive(Default)]
struct Fetching {
    claimed: ExtentSet,
    /// Fetches that failed so far, and why the last one did.
    failures: u64,
    last: Option<Error>,
}

impl Remote {
    /// The revision `file` is at, its bytes in `content`.
    pub fn new(file: &File, content: Arc<Content>) -> Arc<Self> {
        Arc::new(Remote {
            key: (file.id.clone(), file.revision.clone()),
            size: file.size,
            generation: content.generation(),
            content,
            lease: AsyncMutex::new(None),
            fetching: Mutex::default(),
        })
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

    /// The parts of `range` that are missing and not being fetched, claimed for the caller.
    fn claim(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut fetching = lock(&self.fetching);
        let mut claimed = Vec::new();
        for gap in self.content.missing(range) {
            claimed.extend(fetching.claimed.missing(gap));
        }
        for range in &claimed {
            fetching.claimed.insert(range.clone());
        }
        claimed
    }

    fn end(&self, range: Range<u64>, result: Result<()>) {
        let mut fetching = lock(&self.fetching);
        fetching.claimed.remove(range);
        if let Err(error) = result {
            fetching.failures += 1;
            fetching.last = Some(error);
        }
        drop(fetching);
        self.content.wake();
    }

    fn failures(&self) -> u64 {
        lock(&self.fetching).failures
    }

    fn is_being_fetched(&self, missing: &[Range<u64>]) -> bool {
        let fetching = lock(&self.fetching);
        missing.iter().all(|gap| fetching.claimed.contains(gap.clone()))
    }

    fn last_failure(&self) -> Error {
        let unknown = || Error::new(Kind::Unavailable, "read", "the bytes could not be fetched");
        lock(&self.fetching).last.clone().unwrap_or_else(unknown)
    }
}

/// Gives a claim back also when its task is dropped half-way.
struct Claim {
    remote: Arc<Remote>,
    range: Range<u64>,
    result: Result<()>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let result = std::mem::replace(&mut self.result, Ok(()));
        self.remote.end(self.range.clone(), result);
    }
}

impl Reader {
    /// A reader whose fetches run on `runtime`.
    pub fn new(pds: Pds, store: Arc<Store>, budget: Budget, runtime: tokio::runtime::Handle) -> Arc<Self> {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        Arc::new(Reader { pds, store, budget, tasks, stop, runtime })
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
    /// the range, else what the last fetch failed with.
    pub async fn ensure(self: &Arc<Self>, remote: &Arc<Remote>, range: Range<u64>) -> Result<()> {
        let failures = remote.failures();
        let mut fetches = 0;
        loop {
            let grown = remote.content.grown();
            let missing = remote.content.missing(range.clone());
            if missing.is_empty() {
                return Ok(());
            }
            if !remote.is_being_fetched(&missing) {
                if remote.failures() != failures {
                    return Err(remote.last_failure());
                }
                if fetches == ENSURE_TRIES {
                    let why = "the local cache is too small for what is being read";
                    return Err(Error::new(Kind::NoSpace, "read", why));
                }
                fetches += 1;
                self.fetch(remote, range.clone());
            }
            tokio::select! {
                () = grown => {}
                () = self.stop.cancelled() => {
                    return Err(Error::new(Kind::Unavailable, "read", "the mount is ending"));
                }
            }
        }
    }

    /// Starts fetching what is missing of `range` and nobody fetches yet; does not wait.
    pub fn fetch(self: &Arc<Self>, remote: &Arc<Remote>, range: Range<u64>) {
        for gap in remote.claim(range) {
            for piece in window::pieces(gap, PIECE_BYTES) {
                let reader = Arc::clone(self);
                let claim = Claim { remote: Arc::clone(remote), range: piece, result: Ok(()) };
                let stop = self.stop.clone();
                let task = async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = reader.run(claim) => {}
                    }
                };
                self.tasks.spawn_on(task, &self.runtime);
            }
        }
    }

    async fn run(&self, mut claim: Claim) {
        let remote = Arc::clone(&claim.remote);
        let _share = self.budget.take(FETCH_BUFFER_BYTES).await;
        let mut at = claim.range.start;
        let mut tries = 0;
        while at < claim.range.end {
            if let Err(error) = self.run_once(&remote, &mut at, claim.range.end).await {
                tries += 1;
                let again = is_expired(&error) || error.kind().is_transient();
                if is_expired(&error) {
                    *remote.lease.lock().await = None;
                }
                if !again || tries >= TRIES {
                    tracing::debug!(%error, "a fetch failed");
                    claim.result = Err(as_read_error(error));
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
            let last = !matches!(chunk, Ok(Some(_)));
            if let Ok(Some(chunk)) = &chunk {
                batched += chunk.len();
                batch.push(chunk.clone());
            }
            if batched >= BATCH_BYTES || (last && batched > 0) {
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
        tokio::task::block_in_place(|| {
            let mut at = offset;
            let len: u64 = batch.iter().map(|chunk| chunk.len() as u64).sum();
            self.store.make_room(len);
            for chunk in batch {
                let fill = || remote.content.fill_of(remote.generation, &chunk, at);
                let filled = match fill() {
                    Err(error) if error.kind() == Kind::NoSpace && self.store.give_back(len) => fill()?,
                    filled => filled?,
                };
                if !filled {
                    return Err(Error::new(Kind::Stale, "read", "the file has been written meanwhile"));
                }
                at += chunk.len() as u64;
            }
            Ok(at - offset)
        })
    }

    async fn lease(&self, remote: &Remote) -> Result<DownloadUrl> {
        let mut lease = remote.lease.lock().await;
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

    /// Ends all fetches and waits for their tasks.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
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
