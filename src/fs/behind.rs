//! Sending behind the programs' backs: what was closed with `--write-mode back`, what is dirty when its last
//! handle is gone, what failed before, and what an earlier run left.
//!
//! ```text
//!   send_behind --> waits --> one of `transfers` --> complete --> done
//!                     ^                                |
//!                     +---- pause, 5 s to 5 min <------+ failed; the data is kept and recorded
//! ```
//!
//! A body has at most one task that waits ([`Body::queued`]) and one that completes. They end when the file is on
//! the drive, when nobody wants it any more, or with the mount; what is recorded by then goes on in the next one.
//! With `back` each close that is not on the drive yet holds a place of the backlog, so that local disk space and
//! descriptors are bounded: when all are taken, close is as slow as the drive.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::DriveFs;
use super::body::Body;
use crate::error::{Error, Kind, Result};

/// The pause after the first failure, and the longest one.
const PAUSES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// Closed files that may wait for the drive. Each has a descriptor, of which others need most.
const MAX_BACKLOG: usize = 8192;

/// What the tasks share.
pub(super) struct Behind {
    /// Files being completed at the same time.
    turns: Semaphore,
    backlog: Arc<Semaphore>,
    /// Ends all pauses.
    hurry: Notify,
    stop: CancellationToken,
}

impl Behind {
    /// At most `transfers` files at a time.
    pub(super) fn new(transfers: usize) -> Self {
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let backlog = usize::try_from(descriptors / 4).unwrap_or(usize::MAX).clamp(1, MAX_BACKLOG);
        Behind {
            turns: Semaphore::new(transfers.max(1)),
            backlog: Arc::new(Semaphore::new(backlog)),
            hurry: Notify::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Ends all tasks at their next wait.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits for `pause`, shorter when someone is in a hurry. False when it is all over.
    pub(super) async fn pause(&self, pause: Duration) -> bool {
        if pause.is_zero() {
            return !self.stop.is_cancelled();
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => true,
            () = self.hurry.notified() => true,
            () = self.stop.cancelled() => false,
        }
    }
}

/// How long to wait before trying again, longer each time.
pub(super) struct Pauses(Duration);

impl Pauses {
    pub(super) fn new() -> Self {
        Pauses(PAUSES.0)
    }

    pub(super) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(PAUSES.1);
        pause
    }
}

impl DriveFs {
    /// The close of `--write-mode back`: durable here, the drive follows.
    pub(super) async fn close_behind(self: &Arc<Self>, body: &Arc<Body>) -> Result<()> {
        let place = Arc::clone(&self.behind.backlog).acquire_owned();
        let place = tokio::select! {
            place = place => place.ok(),
            () = self.behind.stop.cancelled() => None,
        };
        if let Some(draft) = body.current_draft() {
            tokio::task::block_in_place(|| self.make_durable(body, &draft))?;
        }
        match place {
            Some(place) => self.send(body, Some(place)),
            None => return Err(Error::new(Kind::Unavailable, "close", "the mount is ending")),
        }
        Ok(())
    }

    /// Brings a body to the drive in the background, again and again until it is there.
    pub(super) fn send_behind(self: &Arc<Self>, body: &Arc<Body>) {
        self.send(body, None);
    }

    fn send(self: &Arc<Self>, body: &Arc<Body>, place: Option<OwnedSemaphorePermit>) {
        if body.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let (fs, body) = (Arc::clone(self), Arc::clone(body));
        let task = async move {
            fs.send_patiently(&body).await;
            fs.drop_idle_body(&body);
            drop(place);
        };
        self.tasks.spawn_on(task, &self.runtime);
    }

    async fn send_patiently(&self, body: &Arc<Body>) {
        let mut pauses = Pauses::new();
        // What failed a moment ago would fail again.
        let failed = body.current_draft().is_some_and(|draft| draft.failure().is_some());
        let mut pause = if failed { pauses.next() } else { Duration::ZERO };
        while self.behind.pause(pause).await {
            let turn = tokio::select! {
                turn = self.behind.turns.acquire() => turn,
                () = self.behind.stop.cancelled() => return,
            };
            // Before it begins: what is closed from now on needs a task of its own.
            body.queued.store(false, Ordering::Release);
            if let Some(draft) = body.current_draft().filter(|draft| draft.failure().is_some()) {
                draft.retry();
            }
            let done = self.complete(body).await;
            drop(turn);
            let Err(error) = done else { return };
            tracing::warn!(path = %self.tree.path(body.ino), %error, "not on the drive; the data is kept here");
            if body.queued.swap(true, Ordering::AcqRel) {
                return;
            }
            pause = pauses.next();
        }
    }

    /// Tries everything again now that waits for its next try.
    pub fn hurry(&self) {
        self.behind.hurry.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        let mut pauses = Pauses::new();
        let first: Vec<u64> = (0..3).map(|_| pauses.next().as_secs()).collect();
        assert_eq!(first, [5, 10, 20]);
        assert_eq!((0..20).map(|_| pauses.next()).last(), Some(PAUSES.1));
    }
}
