//! When a failed request is sent again: a pure function, and the pause all callers keep after "slow down".
//!
//! The budget is both tries and time. Time and chance are arguments of [`plan`], so its tests need neither.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The first pause; it doubles with each failure.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause that we choose ourselves.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// "Slow down" without saying how long: 1 to 4 s, as the official SDKs wait (3.3).
const THROTTLE_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));

/// Why a request may be worth sending again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// No connection, or it broke.
    Network,
    /// The service failed, or someone else changes the same thing.
    Server,
    /// The service asks to slow down, perhaps for this long.
    Throttled(Option<Duration>),
}

/// How long one call may go on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Repetitions.
    pub(super) retries: u32,
    /// From the first try to the end of the last.
    pub(super) budget: Duration,
}

/// How long to wait before trying again after `failures` failures and `elapsed`; `None` = give up.
/// `chance` is in 0..1.
pub(super) fn plan(
    failures: u32,
    elapsed: Duration,
    cause: Cause,
    limits: Limits,
    chance: f64,
) -> Option<Duration> {
    if failures > limits.retries {
        return None;
    }
    let pause = match cause {
        Cause::Throttled(Some(asked)) => asked + asked.min(LONGEST_PAUSE).mul_f64(chance / 4.0),
        Cause::Throttled(None) => THROTTLE_PAUSE.0 + (THROTTLE_PAUSE.1 - THROTTLE_PAUSE.0).mul_f64(chance),
        Cause::Network | Cause::Server => {
            let doubled = FIRST_PAUSE * 2u32.pow(failures.saturating_sub(1).min(10));
            doubled.min(LONGEST_PAUSE).mul_f64(0.5 + chance / 2.0)
        }
    };
    let over = elapsed.checked_add(pause).is_none_or(|then| then >= limits.budget);
    (!over).then_some(pause)
}

/// A number in 0..1 for [`plan`].
pub(super) fn chance() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness the pauses are merely not spread.
    if getrandom::fill(&mut bytes).is_err() {
        return 0.5;
    }
    f64::from(u32::from_ne_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

/// The pause everyone keeps after one request was told to slow down.
#[derive(Default)]
pub(super) struct Gate {
    opens_at: Mutex<Option<Instant>>,
}

impl Gate {
    /// Closes the gate until `at` at least.
    pub(super) fn close_until(&self, at: Instant) {
        let mut opens_at = self.opens_at.lock().unwrap_or_else(PoisonError::into_inner);
        *opens_at = Some(opens_at.map_or(at, |known| known.max(at)));
    }

    /// How long it is still closed; `None` = open.
    pub(super) fn closed_for(&self, now: Instant) -> Option<Duration> {
        let mut opens_at = self.opens_at.lock().unwrap_or_else(PoisonError::into_inner);
        let left = opens_at.and_then(|at| at.checked_duration_since(now)).filter(|left| !left.is_zero());
        if left.is_none() {
            *opens_at = None;
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { retries: 10, budget: Duration::from_secs(30) };

    fn millis(failures: u32, elapsed: u64, cause: Cause, chance: f64) -> Option<u128> {
        plan(failures, Duration::from_millis(elapsed), cause, LIMITS, chance).map(|pause| pause.as_millis())
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_are_spread() {
        let pauses: Vec<_> = (1..=8).map(|n| millis(n, 0, Cause::Network, 1.0).unwrap()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(millis(1, 0, Cause::Server, 0.0), Some(50));
    }

    #[test]
    fn tries_and_time_are_both_bounded() {
        assert!(millis(10, 0, Cause::Network, 0.5).is_some());
        assert_eq!(millis(11, 0, Cause::Network, 0.5), None);
        assert_eq!(millis(1, 29_990, Cause::Network, 1.0), None);
        let wide = Limits { retries: u32::MAX, budget: Duration::MAX };
        assert!(plan(u32::MAX, Duration::ZERO, Cause::Network, wide, 0.5).is_some());
        assert_eq!(plan(1, Duration::MAX, Cause::Network, wide, 0.5), None);
    }

    #[test]
    fn the_service_says_how_long_to_pause() {
        let asked = |millis| Cause::Throttled(Some(Duration::from_millis(millis)));
        assert_eq!(millis(1, 0, asked(2000), 0.0), Some(2000));
        assert_eq!(millis(1, 0, asked(2000), 1.0), Some(2500));
        assert_eq!(millis(1, 0, asked(60_000), 0.0), None, "longer than we may take");
        assert_eq!(millis(1, 0, Cause::Throttled(None), 0.0), Some(1000));
        assert_eq!(millis(1, 0, Cause::Throttled(None), 1.0), Some(4000));
    }

    #[test]
    fn a_gate_closes_for_the_longest_request_and_opens_by_itself() {
        let gate = Gate::default();
        let now = Instant::now();
        let second = Duration::from_secs(1);
        assert_eq!(gate.closed_for(now), None);
        gate.close_until(now + 3 * second);
        gate.close_until(now + second);
        assert_eq!(gate.closed_for(now + second), Some(2 * second));
        assert_eq!(gate.closed_for(now + 3 * second), None);
    }

    #[test]
    fn chance_is_a_fraction() {
        assert!((0..100).map(|_| chance()).all(|chance| (0.0..1.0).contains(&chance)));
    }
}
