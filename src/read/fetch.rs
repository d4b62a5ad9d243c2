//! Which ranges of one revision are being fetched, who waits for which, and what became of them.
//!
//! A range is claimed by one *piece*, which is one request at a time. A piece leaves the list when it ends,
//! when it is cancelled because its reader went elsewhere, or when a reader who waits takes over a piece that
//! is still queued. Bytes of a piece that left all the same are true and kept.

use std::collections::HashMap;
use std::ops::Range;

use tokio_util::sync::CancellationToken;

use crate::content::extents::ExtentSet;
use crate::error::Error;

/// Whether someone waits for what is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    Awaited,
    Ahead,
}

/// The list. See the module's documentation.
#[derive(Default)]
pub(super) struct Fetching {
    claimed: ExtentSet,
    pieces: HashMap<u64, Piece>,
    awaited: HashMap<u64, Range<u64>>,
    next: u64,
    /// Pieces that failed so far, and why the last one did.
    pub(super) failures: u64,
    pub(super) last: Option<Error>,
}

struct Piece {
    range: Range<u64>,
    urgency: Urgency,
    /// Its request is under way: it is not worth starting another.
    is_started: bool,
    cancel: CancellationToken,
}

impl Fetching {
    /// The parts of `gaps` that nobody fetches.
    pub(super) fn unclaimed(&self, gaps: &[Range<u64>]) -> Vec<Range<u64>> {
        gaps.iter().flat_map(|gap| self.claimed.missing(gap.clone())).collect()
    }

    /// Claims a range nobody has. The piece's number and what ends it.
    pub(super) fn claim(&mut self, range: Range<u64>, urgency: Urgency) -> (u64, CancellationToken) {
        self.next += 1;
        let cancel = CancellationToken::new();
        self.claimed.insert(range.clone());
        self.pieces.insert(self.next, Piece { range, urgency, is_started: false, cancel: cancel.clone() });
        (self.next, cancel)
    }

    /// The piece's request is about to be sent. False when the piece is no longer wanted.
    pub(super) fn start(&mut self, number: u64) -> bool {
        let piece = self.pieces.get_mut(&number);
        piece.map(|piece| piece.is_started = true).is_some()
    }

    /// The piece ended by itself.
    pub(super) fn end(&mut self, number: u64, failure: Option<Error>) {
        // One that was cancelled has nothing to tell.
        if self.remove(number)
            && let Some(error) = failure
        {
            self.failures += 1;
            self.last = Some(error);
        }
    }

    fn remove(&mut self, number: u64) -> bool {
        let Some(piece) = self.pieces.remove(&number) else { return false };
        self.claimed.remove(piece.range);
        true
    }

    /// Ends pieces of `dropped` that nobody waits for.
    pub(super) fn cancel(&mut self, dropped: &[Range<u64>]) {
        let awaited: Vec<Range<u64>> = self.awaited.values().cloned().collect();
        let is_among =
            |ranges: &[Range<u64>], piece: &Piece| ranges.iter().any(|range| overlap(range, &piece.range));
        self.cancel_all(|piece| is_among(dropped, piece) && !is_among(&awaited, piece));
    }

    /// Ends pieces of `range` that are queued behind what others wait for, because now someone waits for them.
    pub(super) fn take_over(&mut self, range: &Range<u64>) {
        let is_queued = |piece: &Piece| piece.urgency == Urgency::Ahead && !piece.is_started;
        self.cancel_all(|piece| is_queued(piece) && overlap(range, &piece.range));
    }

    fn cancel_all(&mut self, is_it: impl Fn(&Piece) -> bool) {
        let numbers: Vec<u64> =
            self.pieces.iter().filter(|(_, piece)| is_it(piece)).map(|(number, _)| *number).collect();
        for number in numbers {
            if let Some(piece) = self.pieces.get(&number) {
                piece.cancel.cancel();
            }
            self.remove(number);
        }
    }

    /// Someone waits for a range. The number to give it back with.
    pub(super) fn wait_for(&mut self, range: Range<u64>) -> u64 {
        self.next += 1;
        self.awaited.insert(self.next, range);
        self.next
    }

    /// Nobody waits by this number any more.
    pub(super) fn waited(&mut self, number: u64) {
        self.awaited.remove(&number);
    }

    /// Whether someone waits for all of the bytes that lie in `batch`, and for none after it that the same
    /// request brings up to `end`: then it is time to hand the batch over.
    pub(super) fn is_awaited(&self, batch: &Range<u64>) -> bool {
        self.awaited.values().any(|range| overlap(range, batch) && range.end <= batch.end)
    }

    /// Whether a piece of each of `gaps` is under way or queued.
    pub(super) fn has_all(&self, gaps: &[Range<u64>]) -> bool {
        gaps.iter().all(|gap| self.claimed.contains(gap.clone()))
    }

    /// Whether a request is under way at all.
    pub(super) fn is_active(&self) -> bool {
        self.pieces.values().any(|piece| piece.is_started)
    }
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // Lists of one range are meant.
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_claim_is_given_back_once_however_it_ends() {
        let mut list = Fetching::default();
        let (first, cancel) = list.claim(0..10, Urgency::Ahead);
        assert_eq!(list.unclaimed(&[0..20]), vec![10..20]);
        list.cancel(&[5..6]);
        assert!(cancel.is_cancelled());
        assert!(!list.start(first), "it may not begin any more");
        let (second, _) = list.claim(0..10, Urgency::Ahead);
        list.end(first, Some(Error::new(Kind::Unavailable, "read", "late")));
        assert!(list.has_all(&[0..10]), "the end of a cancelled piece is not that of its successor");
        assert_eq!(list.failures, 0);
        list.end(second, Some(Error::new(Kind::Unavailable, "read", "real")));
        assert_eq!((list.failures, list.unclaimed(&[0..10])), (1, vec![0..10]));
    }

    #[test]
    fn what_someone_waits_for_is_not_cancelled() {
        let mut list = Fetching::default();
        let (_, near) = list.claim(0..10, Urgency::Ahead);
        let (_, far) = list.claim(10..20, Urgency::Ahead);
        let waiter = list.wait_for(8..9);
        list.cancel(&[0..20]);
        assert_eq!((near.is_cancelled(), far.is_cancelled()), (false, true));
        list.waited(waiter);
        list.cancel(&[0..20]);
        assert!(near.is_cancelled());
    }

    #[test]
    fn only_a_queued_piece_is_taken_over() {
        let mut list = Fetching::default();
        let (started, started_cancel) = list.claim(0..10, Urgency::Ahead);
        let (_, queued_cancel) = list.claim(10..20, Urgency::Ahead);
        assert!(list.start(started));
        let (_, awaited_cancel) = list.claim(20..30, Urgency::Awaited);
        list.take_over(&(5..25));
        assert_eq!((started_cancel.is_cancelled(), queued_cancel.is_cancelled()), (false, true));
        assert!(!awaited_cancel.is_cancelled());
        assert_eq!(list.unclaimed(&[5..15]), vec![10..15]);
    }

    #[test]
    fn a_batch_is_handed_over_when_it_has_what_someone_waits_for() {
        let mut list = Fetching::default();
        assert!(!list.is_awaited(&(0..100)));
        list.wait_for(50..60);
        assert!(!list.is_awaited(&(0..55)));
        assert!(list.is_awaited(&(0..60)));
        assert!(!list.is_awaited(&(60..100)));
    }
}
