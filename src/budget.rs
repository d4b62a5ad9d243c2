//! One budget of bytes for everything that is buffered in memory, by readers and writers alike.
//!
//! Whoever is about to hold a buffer takes a share first and waits when there is none; shares come back when
//! they are dropped. A share is never taken while holding another, so waiting cannot dead-lock. Waiting is
//! first come, first served, and no one takes more than a small part at once: neither readers nor writers
//! can starve the others.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Shares are counted in these many bytes.
const UNIT_BYTES: u64 = 64 * 1024;

/// See the module's documentation.
#[derive(Clone)]
pub struct Budget {
    units: Arc<Semaphore>,
    total_units: u32,
}

/// Bytes that may be held until this is dropped.
pub struct Share {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// A budget of `bytes`; at least 1 MiB.
    pub fn new(bytes: u64) -> Self {
        let units = (bytes.max(1024 * 1024) / UNIT_BYTES).min(u64::from(u32::MAX / 2)) as u32;
        Budget { units: Arc::new(Semaphore::new(units as usize)), total_units: units }
    }

    /// Waits for `bytes`. More than the whole budget is cut to the whole budget.
    pub async fn take(&self, bytes: u64) -> Share {
        let units = (bytes.div_ceil(UNIT_BYTES).min(u64::from(self.total_units))) as u32;
        // The semaphore is never closed; if it were, going on without a share is the harmless answer.
        Share { _permit: Arc::clone(&self.units).acquire_many_owned(units).await.ok() }
    }

    /// Bytes that are taken now.
    pub fn taken_bytes(&self) -> u64 {
        (u64::from(self.total_units) - self.units.available_permits() as u64) * UNIT_BYTES
    }

    /// Bytes that may be taken together.
    pub fn total_bytes(&self) -> u64 {
        u64::from(self.total_units) * UNIT_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shares_come_back() {
        let budget = Budget::new(1024 * 1024);
        let share = budget.take(10 * 1024 * 1024).await;
        assert_eq!(budget.taken_bytes(), budget.total_bytes());
        drop(share);
        assert_eq!(budget.taken_bytes(), 0);
    }

    #[tokio::test]
    async fn who_asks_first_is_served_first() {
        let budget = Budget::new(1024 * 1024);
        let held = budget.take(1).await;
        let large = budget.take(1024 * 1024);
        tokio::pin!(large);
        assert!(futures_util::poll!(&mut large).is_pending());
        let small = budget.take(1);
        tokio::pin!(small);
        assert!(futures_util::poll!(&mut small).is_pending(), "a small share does not overtake a large one");
        drop(held);
        drop(large.await);
        small.await;
    }
}
