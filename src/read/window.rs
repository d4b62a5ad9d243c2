//! What to fetch for a read: a pure function of a handle's history.
//!
//! A handle has a few *streams*: places where reads go on from where an earlier one ended. A player that
//! reads sound and picture from two places of one file is two streams; so is a copy that is joined by a look
//! at the index.
//!
//! ```text
//!             read at its end             read before its start
//!   Single ------------------> Forward       Single ----------------> Backward
//!
//!   the third of three jumps by the same distance ------------------> Stride
//! ```
//!
//! - A read that goes on nowhere is a *jump*. It gets its own bytes and no more (a file of at most
//!   [`WHOLE_BYTES`] is fetched whole): random reads cost what they read.
//! - What is fetched ahead follows from what was read: half of it up to [`PROVEN_BYTES`], then as much again,
//!   up to the bound. So a scanner that looks here and there and goes away wastes at most half of what it
//!   read, and a copy is at full speed after a few round trips.
//! - A jump gives up what was fetched ahead for the other streams. One that goes on all the same is *steady*:
//!   it keeps its window until many jumps later.
//!
//! Offsets are aligned to pages, the kernel's own unit.

use std::ops::Range;

/// A file of at most this size is fetched whole at the first touch: less would not be faster.
const WHOLE_BYTES: u64 = 128 * 1024;
/// What the kernel caches by.
const PAGE_BYTES: u64 = 4096;
/// Read in one stream, from where on a reader counts as proven.
const PROVEN_BYTES: u64 = 1024 * 1024;
/// The kernel's read-ahead asks from several threads: reads out of order by so many of their own lengths
/// still are one stream.
const REORDER_READS: u64 = 4;
/// More than this is a jump, whatever the length of the reads.
const REORDER_BYTES: u64 = 4 * 1024 * 1024;
/// The window grows by steps of this at most, so that there is always something under way.
const STEP_BYTES: u64 = 4 * 1024 * 1024;
/// Streams remembered per handle.
const MAX_STREAMS: usize = 8;
/// Reads ahead in a stride, at most.
const MAX_STRIDES: u64 = 16;
/// Jumps that a steady stream survives without being read.
const PATIENCE: u32 = 16;

/// The history of one handle's reads.
#[derive(Clone, Debug)]
pub struct Window {
    /// The one read last is the last.
    streams: Vec<Stream>,
    /// Where the last jump went, and how far it was from the one before.
    last_jump: Option<(u64, i128)>,
    max_ahead: u64,
}

#[derive(Clone, Debug)]
struct Stream {
    pattern: Pattern,
    /// All that was read of it without a jump; of a stride the last read.
    read: Range<u64>,
    /// How far was asked for: an offset, or with a stride the number of reads ahead.
    asked: u64,
    /// Bytes read.
    bytes: u64,
    /// Jumps since it was read last.
    jumps: u32,
    is_steady: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pattern {
    Single,
    Forward,
    Backward,
    Stride(i128),
}

/// What one read wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The read itself.
    pub now: Range<u64>,
    /// Have these fetched ahead, the most urgent first.
    pub ahead: Vec<Range<u64>>,
    /// Some of `ahead` has not been asked for before.
    pub is_new: bool,
    /// No longer wanted, unless someone waits for it.
    pub dropped: Vec<Range<u64>>,
}

impl Window {
    /// Nothing read yet. Keeps at most `max_ahead` bytes fetched ahead of one stream.
    pub fn new(max_ahead: u64) -> Self {
        Window { streams: Vec::new(), last_jump: None, max_ahead }
    }

    /// Takes note of a read of `range` (clipped to `size`, not empty) and says what to fetch.
    pub fn plan(&mut self, range: Range<u64>, size: u64) -> Plan {
        let now = around(range.clone(), size);
        let found = self.streams.iter().enumerate().rev();
        let found = found.filter_map(|(at, stream)| Some((at, stream.follow(&range)?))).next();
        let Some((at, pattern)) = found else { return self.jump(&range, now, size) };
        let mut stream = self.streams.remove(at);
        stream.go_on(pattern, &range);
        let (ahead, is_new) = stream.ahead(self.max_ahead, size);
        self.streams.push(stream);
        Plan { now, ahead, is_new, dropped: Vec::new() }
    }

    fn jump(&mut self, range: &Range<u64>, now: Range<u64>, size: u64) -> Plan {
        let distance = self.last_jump.map(|(from, _)| i128::from(range.start) - i128::from(from));
        let is_stride = distance.is_some() && distance == self.last_jump.map(|(_, distance)| distance);
        self.last_jump = Some((range.start, distance.unwrap_or(0)));
        let mut dropped: Vec<Range<u64>> =
            self.streams.iter_mut().flat_map(|stream| stream.lose_a_jump(size)).collect();
        if self.streams.len() == MAX_STREAMS {
            dropped.extend(self.streams.remove(0).give_up(size));
        }
        let pattern = match distance {
            Some(distance) if is_stride && distance != 0 => Pattern::Stride(distance),
            _ => Pattern::Single,
        };
        let mut stream = Stream::new(pattern, range, now.end);
        let (ahead, is_new) = stream.ahead(self.max_ahead, size);
        self.streams.push(stream);
        Plan { now, ahead, is_new, dropped }
    }
}

impl Stream {
    fn new(pattern: Pattern, read: &Range<u64>, end: u64) -> Self {
        let asked = if let Pattern::Stride(_) = pattern { 0 } else { end };
        let bytes = read.end - read.start;
        Stream { pattern, read: read.clone(), asked, bytes, jumps: 0, is_steady: false }
    }

    /// Whether a read goes on here, and as what.
    fn follow(&self, range: &Range<u64>) -> Option<Pattern> {
        let len = range.end - range.start;
        let near = (len * REORDER_READS).min(REORDER_BYTES);
        let is_near = |a: u64, b: u64| a.abs_diff(b) <= near;
        let is_inside = self.read.start <= range.start && range.end <= self.read.end;
        let forward = || range.start >= self.read.start && (is_near(range.start, self.read.end) || is_inside);
        let backward = || range.end <= self.read.end && (is_near(range.end, self.read.start) || is_inside);
        match self.pattern {
            Pattern::Stride(distance) => {
                let expected = i128::from(self.read.start) + distance;
                (expected == i128::from(range.start)).then_some(self.pattern)
            }
            Pattern::Single if is_inside => Some(Pattern::Single),
            Pattern::Single | Pattern::Forward if forward() => Some(Pattern::Forward),
            Pattern::Single | Pattern::Backward if backward() => Some(Pattern::Backward),
            // Its first two reads came in the wrong order.
            Pattern::Backward if self.bytes <= 2 * len && forward() => Some(Pattern::Forward),
            _ => None,
        }
    }

    fn go_on(&mut self, pattern: Pattern, range: &Range<u64>) {
        self.is_steady |= self.jumps > 0;
        self.jumps = 0;
        if let Pattern::Stride(_) = pattern {
            self.bytes += range.end - range.start;
            self.asked = self.asked.saturating_sub(1);
            self.read = range.clone();
            return;
        }
        match (self.pattern, pattern) {
            (Pattern::Single, Pattern::Backward) => self.asked = self.read.start,
            (Pattern::Backward, Pattern::Forward) => self.asked = self.read.end,
            _ => {}
        }
        self.pattern = pattern;
        let read = self.read.start.min(range.start)..self.read.end.max(range.end);
        // What was skipped on the way does not count as read.
        let grown = (read.end - read.start) - (self.read.end - self.read.start);
        self.bytes += grown.min(range.end - range.start);
        self.read = read;
    }

    /// How many bytes to keep fetched ahead.
    fn len_ahead(&self, max: u64) -> u64 {
        let len = if self.bytes < PROVEN_BYTES { self.bytes / 2 } else { self.bytes };
        len.min(max) / PAGE_BYTES * PAGE_BYTES
    }

    /// What to have fetched ahead, and whether it is worth asking for now.
    fn ahead(&mut self, max: u64, size: u64) -> (Vec<Range<u64>>, bool) {
        let len = self.len_ahead(max);
        let step = (len / 2).clamp(1, STEP_BYTES);
        match self.pattern {
            Pattern::Single => (Vec::new(), false),
            Pattern::Forward => {
                let start = page_end(self.read.end, size);
                let target = (start + len).min(size);
                let from = self.asked.max(start);
                let is_new = from < target && (target - from >= step || target == size);
                if is_new {
                    self.asked = target;
                }
                (non_empty(start..target), is_new)
            }
            Pattern::Backward => {
                let end = page_start(self.read.start);
                let target = end.saturating_sub(len);
                let from = self.asked.min(end);
                let is_new = from > target && (from - target >= step || target == 0);
                if is_new {
                    self.asked = target;
                }
                // The bytes next to the reader first: pieces are fetched in order of offset.
                let pieces = non_empty(target..end).into_iter().flat_map(|all| halves(all, end));
                (pieces.collect(), is_new)
            }
            Pattern::Stride(_) => {
                let each = (self.read.end - self.read.start).max(1);
                let steps = (self.bytes / each / 2).min(MAX_STRIDES).min(max / each);
                let is_new = steps > self.asked;
                self.asked = steps.max(self.asked);
                (self.strides(steps, size), is_new)
            }
        }
    }

    /// The next reads of a stride.
    fn strides(&self, steps: u64, size: u64) -> Vec<Range<u64>> {
        let Pattern::Stride(distance) = self.pattern else { return Vec::new() };
        let len = self.read.end - self.read.start;
        let place = |step: u64| {
            let start = i128::from(self.read.start) + i128::from(step) * distance;
            let start = u64::try_from(start).ok().filter(|start| *start < size)?;
            Some(page_start(start)..page_end(start + len, size))
        };
        (1..=steps).map_while(place).collect()
    }

    /// Someone read elsewhere, where nothing was expected. What is given up for it.
    fn lose_a_jump(&mut self, size: u64) -> Vec<Range<u64>> {
        self.jumps += 1;
        if self.is_steady && self.jumps < PATIENCE {
            return Vec::new();
        }
        self.is_steady = false;
        self.give_up(size)
    }

    fn give_up(&mut self, size: u64) -> Vec<Range<u64>> {
        let (start, end) = (page_start(self.read.start), page_end(self.read.end, size));
        match self.pattern {
            Pattern::Single => Vec::new(),
            Pattern::Forward => non_empty(end..std::mem::replace(&mut self.asked, end)),
            Pattern::Backward => non_empty(std::mem::replace(&mut self.asked, start)..start),
            Pattern::Stride(_) => {
                let steps = std::mem::take(&mut self.asked);
                self.strides(steps, size)
            }
        }
    }
}

/// What to fetch for a read of `range` by itself.
pub fn around(range: Range<u64>, size: u64) -> Range<u64> {
    if size <= WHOLE_BYTES { 0..size } else { page_start(range.start)..page_end(range.end, size) }
}

fn page_start(offset: u64) -> u64 {
    offset / PAGE_BYTES * PAGE_BYTES
}

fn page_end(offset: u64, size: u64) -> u64 {
    offset.next_multiple_of(PAGE_BYTES).min(size)
}

fn non_empty(range: Range<u64>) -> Vec<Range<u64>> {
    if range.is_empty() { Vec::new() } else { vec![range] }
}

/// `all`, cut so that what ends at `end` comes first.
fn halves(all: Range<u64>, end: u64) -> [Range<u64>; 2] {
    let middle = page_start(all.start + (end - all.start) / 2).max(all.start);
    [middle..end, all.start..middle]
}

/// Cuts what is to be fetched into requests of at most `piece` bytes.
pub fn pieces(range: Range<u64>, piece: u64) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    range.step_by(piece.max(1) as usize).map(move |start| start..(start + piece).min(end))
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // Lists of one range are meant.
#[path = "window/tests.rs"]
mod tests;
