//! What runs beside the requests while a drive is mounted: following the change feed, writing the index,
//! telling the kernel what it should not keep, and looking ahead of a program that walks the tree.
//!
//! The kernel keeps names and attributes for a long time ([`KERNEL_TRUST`]), because it is told when they
//! change. Telling it that a name is gone takes the folder's lock in the kernel, which whoever waits for a
//! reply of ours may hold: so that is done by a task of its own, with no lock held and inside no request.
//! That attributes are out of date is told without waiting for anything, and therefore also before an open
//! is answered: who opens a file sees the size that it has now.
//!
//! Every task here ends with the filesystem ([`DriveFs::stop`]).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use super::DriveFs;
use crate::content::lock;
use crate::tree::{Ino, Invalidation};

/// How long the kernel keeps what it will be told about when it changes.
pub const KERNEL_TRUST: Duration = Duration::from_secs(3600);

/// How soon after a change the index on disk has it.
const SAVE_AFTER: Duration = Duration::from_secs(1);
/// Changes that are written without waiting for that: they are kept in memory until then.
const SAVE_AT: usize = 5_000;
/// Without a request for this long the mount is not in use, and the feed is asked less often.
const IDLE_AFTER: Duration = Duration::from_secs(300);
/// How many times less often.
const IDLE_FACTOR: u32 = 4;
/// Folders that are listed at the same time when others lead the way.
const WALKERS: usize = 12;
/// Folders that are listed ahead of a program that walks the tree: as many as keep a slow line busy.
const AHEAD: usize = 24;
/// A folder opened this long after its parent or sibling belongs to the same walk.
const WALK_WITHIN: Duration = Duration::from_secs(10);
/// Folders remembered for that: deeper trees are walked without help.
const MAX_OPENED: usize = 64;

/// Tells the kernel; whether it had it does not matter.
pub type Tell = Box<dyn Fn(&Invalidation) + Send + Sync>;

/// The state of what runs beside the requests.
pub(super) struct Follower {
    tell: OnceLock<Tell>,
    untold: Arc<Notify>,
    to_save: Notify,
    ended: CancellationToken,
    began: Instant,
    /// Seconds after `began`.
    used_at: AtomicU64,
    walkers: Arc<Semaphore>,
    /// Folders opened lately, oldest first.
    opened: Mutex<VecDeque<(Ino, Instant)>>,
}

impl Default for Follower {
    fn default() -> Self {
        Follower {
            tell: OnceLock::new(),
            untold: Arc::default(),
            to_save: Notify::new(),
            ended: CancellationToken::new(),
            began: Instant::now(),
            used_at: AtomicU64::new(0),
            walkers: Arc::new(Semaphore::new(WALKERS)),
            opened: Mutex::default(),
        }
    }
}

impl Follower {
    /// Whether the kernel hears of what changes.
    pub fn is_followed(&self) -> bool {
        self.tell.get().is_some()
    }

    /// A program asked something.
    pub fn note_use(&self) {
        self.used_at.store(self.began.elapsed().as_secs(), Ordering::Relaxed);
    }

    /// Ends the tasks.
    pub fn stop(&self) {
        self.ended.cancel();
    }

    /// Waits until the tasks end.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    fn is_idle(&self) -> bool {
        let used_at = Duration::from_secs(self.used_at.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(used_at) > IDLE_AFTER
    }

    /// Whether opening `dir`, whose parent is `parent`, goes on with a walk.
    fn walks(&self, dir: Ino, parent: Ino) -> bool {
        let (mut opened, now) = (lock(&self.opened), Instant::now());
        opened.retain(|(other, at)| *other != dir && at.elapsed() < WALK_WITHIN);
        let goes_on = dir != parent && opened.iter().any(|(other, _)| *other == parent);
        if goes_on {
            // Its siblings go on, too.
            opened.retain(|(other, _)| *other != parent);
            opened.push_back((parent, now));
        }
        opened.push_back((dir, now));
        let excess = opened.len().saturating_sub(MAX_OPENED);
        opened.drain(..excess);
        goes_on
    }
}

impl DriveFs {
    /// Starts following the drive; `tell` is how the kernel hears of what changed.
    pub fn follow(self: &Arc<Self>, tell: Tell) {
        if self.follower.tell.set(tell).is_err() {
            return;
        }
        self.tree.collect_invalidations(Arc::clone(&self.follower.untold));
        for task in [Self::poll_always as fn(Arc<Self>) -> _, Self::save_always, Self::tell_always] {
            let (work, ended) = (task(Arc::clone(self)), self.follower.ended.clone());
            let task = async move {
                let _ = ended.run_until_cancelled(work).await;
            };
            self.tasks.spawn_on(task, &self.runtime);
        }
    }

    /// Ends what [`DriveFs::follow`] began; the local disk has all that is known then.
    pub async fn stop_following(self: &Arc<Self>) {
        self.follower.stop();
        let fs = Arc::clone(self);
        let _ = tokio::task::spawn_blocking(move || fs.save_index()).await;
    }

    fn poll_always(self: Arc<Self>) -> futures_util::future::BoxFuture<'static, ()> {
        Box::pin(async move {
            let mut resets = self.feed.resets();
            loop {
                let idle = if self.follower.is_idle() { IDLE_FACTOR } else { 1 };
                tokio::time::sleep(self.options.poll_interval * idle).await;
                if !self.feed.is_on() {
                    continue;
                }
                // One of a moment ago, by a program, will do.
                let recent = self.options.poll_interval / 2;
                if let Err(error) = self.feed.refresh(&self.pds, &self.tree, recent).await {
                    tracing::debug!(%error, "the change feed cannot be read now");
                    continue;
                }
                if resets != self.feed.resets() {
                    resets = self.feed.resets();
                    self.look_again().await;
                }
            }
        })
    }

    /// After the feed's thread was lost: what the kernel knows is compared with the drive.
    async fn look_again(&self) {
        let folders = futures_util::stream::iter(self.tree.known_to_kernel());
        folders
            .for_each_concurrent(WALKERS, |dir| async move {
                if let Err(error) = self.load(dir).await {
                    tracing::debug!(%error, "a folder cannot be read again");
                }
            })
            .await;
    }

    fn save_always(self: Arc<Self>) -> futures_util::future::BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                let _ = tokio::time::timeout(SAVE_AFTER, self.follower.to_save.notified()).await;
                if self.tree.unsaved() > 0 {
                    let fs = Arc::clone(&self);
                    let _ = tokio::task::spawn_blocking(move || fs.save_index()).await;
                }
            }
        })
    }

    /// Writes what the tree has learnt to the local disk. Blocks.
    pub fn save_index(&self) {
        if let Err(error) = self.tree.save() {
            tracing::warn!(%error, "what is known of the drive is not on the local disk; it will be asked again");
        }
    }

    /// Much was learnt at once: it need not stay in memory.
    pub(super) fn save_soon(&self) {
        if self.tree.unsaved() > SAVE_AT {
            self.follower.to_save.notify_one();
        }
    }

    fn tell_always(self: Arc<Self>) -> futures_util::future::BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                self.follower.untold.notified().await;
                let fs = Arc::clone(&self);
                let telling = tokio::task::spawn_blocking(move || {
                    let Some(tell) = fs.follower.tell.get() else { return };
                    fs.tree.take_invalidations().iter().for_each(tell);
                });
                let _ = telling.await;
            }
        })
    }

    /// Who opens a file asks the kernel for its size next.
    pub(super) fn tell_before_open(&self, ino: Ino) {
        if self.tree.take_attribute_invalidation(ino)
            && let Some(tell) = self.follower.tell.get()
        {
            tell(&Invalidation::Attributes(ino));
        }
    }

    /// A program opened a folder: when it walks the tree, what comes next is listed ahead of it.
    pub(super) fn look_ahead(self: &Arc<Self>, dir: Ino) {
        if !self.follower.walks(dir, self.parent(dir)) {
            return;
        }
        let mut next = self.tree.next_to_visit(dir, AHEAD);
        next.retain(|next| !lock(&self.loading).contains_key(next));
        for next in next {
            let Ok(turn) = Arc::clone(&self.follower.walkers).try_acquire_owned() else { return };
            let fs = Arc::clone(self);
            let task = async move {
                let _turn = turn;
                if let Err(error) = fs.load(next).await {
                    tracing::debug!(%error, "a folder could not be listed ahead");
                }
            };
            self.tasks.spawn_on(task, &self.runtime);
        }
    }
}
