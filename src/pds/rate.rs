//! How fast uploads may go, all of them together.
//!
//! Each slice takes its place in a line that moves at the rate: whoever comes is told when its bytes may leave.
//! A pause is not saved up, so there is no burst after it beyond one slice per connection.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A line that moves at a given rate.
#[derive(Debug)]
pub(super) struct Rate {
    bytes_per_second: u64,
    /// When the next slice may leave.
    free_at: Mutex<Option<Instant>>,
}

impl Rate {
    /// `None` for 0, which is no limit.
    pub(super) fn new(bytes_per_second: u64) -> Option<Self> {
        (bytes_per_second > 0).then(|| Rate { bytes_per_second, free_at: Mutex::default() })
    }

    /// Takes the next place for `bytes`: they may leave at the returned time.
    pub(super) fn take(&self, bytes: u64, now: Instant) -> Instant {
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let leaves_at = free_at.map_or(now, |free_at| free_at.max(now));
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        *free_at = leaves_at.checked_add(takes);
        leaves_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_moves_at_its_rate_and_a_pause_is_not_made_up_for() {
        let (rate, start) = (Rate::new(1000).unwrap(), Instant::now());
        let after = |millis| start + Duration::from_millis(millis);
        assert_eq!(rate.take(500, start), start);
        assert_eq!(rate.take(500, start), after(500));
        assert_eq!(rate.take(100, after(5000)), after(5000));
        assert_eq!(rate.take(100, after(5000)), after(5100));
        assert!(Rate::new(0).is_none());
    }
}
