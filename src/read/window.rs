//! What to fetch for a read: a pure function of a handle's history.
//!
//! The first touch of a place fetches little ([`FIRST_BYTES`]): a scanner reads a header and goes away. A
//! read that goes on where the last one ended proves a sequential reader, and each such read doubles the
//! window that is kept fetched ahead, up to the bound. A jump starts over. Fetches are aligned, so that
//! neighbouring random reads share them.

use std::ops::Range;

/// Fetched around a first or random touch.
pub const FIRST_BYTES: u64 = 256 * 1024;
/// Fetch boundaries.
const ALIGN_BYTES: u64 = 128 * 1024;
/// The window after the first sequential read.
const START_BYTES: u64 = 1024 * 1024;
/// The kernel's read-ahead asks from several threads: reads this far out of order still are one stream.
const REORDER_BYTES: u64 = 1024 * 1024;

/// The history of one handle's reads.
#[derive(Clone, Debug)]
pub struct Window {
    /// Where the next sequential read starts.
    next: u64,
    /// How far ahead to keep fetched; 0 while nothing proves a sequential reader.
    ahead: u64,
    /// How far was already asked for.
    asked: u64,
    max_ahead: u64,
}

/// What one read wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Fetch this before answering.
    pub now: Range<u64>,
    /// Fetch this too, without waiting; empty for none.
    pub ahead: Range<u64>,
}

impl Window {
    /// Nothing read yet. Keeps at most `max_ahead` bytes fetched ahead of a sequential reader.
    pub fn new(max_ahead: u64) -> Self {
        Window { next: 0, ahead: 0, asked: 0, max_ahead }
    }

    /// Takes note of a read of `range` (clipped to `size`, not empty) and says what to fetch.
    pub fn plan(&mut self, range: Range<u64>, size: u64) -> Plan {
        let near = self.next.saturating_sub(REORDER_BYTES)..=self.next + REORDER_BYTES;
        let sequential = near.contains(&range.start) && (self.next > 0 || self.ahead > 0);
        let touched_before = self.next > 0;
        if sequential {
            self.next = self.next.max(range.end);
            self.ahead = (self.ahead * 2).clamp(START_BYTES.min(self.max_ahead), self.max_ahead);
            return self.plan_sequential(range, size);
        }
        self.next = range.end;
        self.ahead = 0;
        let now = aligned(range.clone(), size);
        // The first touch of a file at its start is most often the start of a stream.
        let now = if touched_before || range.start > 0 {
            now
        } else {
            now.start..now.end.max(FIRST_BYTES).min(size)
        };
        self.asked = now.end;
        Plan { ahead: now.end..now.end, now }
    }

    fn plan_sequential(&mut self, range: Range<u64>, size: u64) -> Plan {
        let now = aligned(range, size);
        let target = (self.next + self.ahead).next_multiple_of(ALIGN_BYTES).min(size);
        let from = self.asked.max(now.end).min(size);
        // Ask in large pieces: only when half the window is used up, or at the end of the file.
        if target.saturating_sub(from) >= self.ahead / 2 || target == size {
            self.asked = target.max(from);
            return Plan { now, ahead: from..target.max(from) };
        }
        Plan { now, ahead: from..from }
    }
}

impl Window {
    /// What to fetch for a read of `range` that could not be answered, without taking note of it.
    pub fn around(&self, range: Range<u64>, size: u64) -> Range<u64> {
        let aligned = aligned(range.start..range.end.min(size), size);
        // The first touch of a file at its start is most often the start of a stream.
        if aligned.start == 0 { 0..aligned.end.max(FIRST_BYTES).min(size) } else { aligned }
    }
}

fn aligned(range: Range<u64>, size: u64) -> Range<u64> {
    let start = range.start / ALIGN_BYTES * ALIGN_BYTES;
    start..range.end.next_multiple_of(ALIGN_BYTES).min(size)
}

/// Cuts what is to be fetched into requests of at most `piece` bytes.
pub fn pieces(range: Range<u64>, piece: u64) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    range.step_by(piece.max(1) as usize).map(move |start| start..(start + piece).min(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn a_random_reader_fetches_little() {
        let mut window = Window::new(32 * MIB);
        for offset in [700 * MIB, 3 * MIB, 512 * MIB] {
            let plan = window.plan(offset + 10..offset + 4106, 1024 * MIB);
            assert!(plan.ahead.is_empty(), "{plan:?}");
            assert!(plan.now.end - plan.now.start <= FIRST_BYTES, "{plan:?}");
            assert!(plan.now.start <= offset + 10 && plan.now.end >= offset + 4106);
        }
    }

    #[test]
    fn a_sequential_reader_gets_a_growing_window_and_nothing_twice() {
        let (size, mut window) = (100 * MIB, Window::new(16 * MIB));
        let (mut fetched, mut asked, mut at) = (0, 0, 0);
        while at < size {
            let plan = window.plan(at..at + 128 * 1024, size);
            assert!(plan.ahead.is_empty() || plan.ahead.start >= asked, "{plan:?} after {asked}");
            asked = asked.max(plan.ahead.end);
            fetched += plan.ahead.end - plan.ahead.start;
            assert!(asked <= at + 128 * 1024 + 17 * MIB);
            at += 128 * 1024;
        }
        assert_eq!(asked, size);
        assert!(fetched <= size);
    }

    #[test]
    fn a_jump_starts_over() {
        let mut window = Window::new(32 * MIB);
        for at in 0..64 {
            window.plan(at * MIB..(at + 1) * MIB, 1024 * MIB);
        }
        let plan = window.plan(500 * MIB..500 * MIB + 4096, 1024 * MIB);
        assert!(plan.ahead.is_empty());
        assert_eq!(plan.now, 500 * MIB..500 * MIB + 128 * 1024);
    }

    #[test]
    fn pieces_cover_the_range() {
        assert_eq!(pieces(5..17, 5).collect::<Vec<_>>(), vec![5..10, 10..15, 15..17]);
        assert_eq!(pieces(5..5, 5).count(), 0);
    }
}
