//! The server's clock: the system's, plus an offset that tests may move.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, movable forwards so that expiry needs no waiting.
#[derive(Debug, Default)]
pub struct Clock {
    offset_ms: AtomicI64,
}

impl Clock {
    /// Now, in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(now.as_millis())
            .unwrap_or(i64::MAX)
            .saturating_add(self.offset_ms.load(Ordering::Relaxed))
    }

    /// Now, in seconds since 1970.
    pub fn now_secs(&self) -> i64 {
        self.now_ms() / 1000
    }

    /// Moves time forwards.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        let _ = self
            .offset_ms
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |offset| Some(offset.saturating_add(by)));
    }
}

/// `2019-08-20T06:51:27.292Z` (pds-api.md 4.3).
pub fn iso(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// `20060102_150405`, what `auto_rename` puts into a name.
pub fn compact(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%Y%m%d_%H%M%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_printed_as_the_service_does() {
        assert_eq!(iso(1_566_283_887_292), "2019-08-20T06:51:27.292Z");
        assert_eq!(iso(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(compact(1_566_283_887_292), "20190820_065127");
    }
}
