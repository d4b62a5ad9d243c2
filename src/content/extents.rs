//! A set of byte ranges, kept merged and sorted: which parts of a sparse file are really there.
//!
//! Invariant: extents are non-empty, disjoint and never touch (touching ones are merged), so two sets
//! with the same bytes are equal and `prefix_end` is one look-up.

use std::collections::BTreeMap;
use std::ops::Range;

/// Byte ranges of a file, half open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtentSet {
    /// start -> end
    extents: BTreeMap<u64, u64>,
}

impl ExtentSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `range`. An empty range changes nothing.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.start >= range.end {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        if let Some((&before, &before_end)) = self.extents.range(..=start).next_back()
            && before_end >= start
        {
            start = before;
            end = end.max(before_end);
        }
        while let Some((&next, &next_end)) = self.extents.range(start..=end).next() {
            end = end.max(next_end);
            self.extents.remove(&next);
        }
        self.extents.insert(start, end);
    }

    /// Takes `range` out.
    pub fn remove(&mut self, range: Range<u64>) {
        if range.start >= range.end {
            return;
        }
        let first = self.extents.range(..=range.start).next_back().map_or(range.start, |(&start, _)| start);
        let touched: Vec<(u64, u64)> =
            self.extents.range(first..range.end).map(|(&start, &end)| (start, end)).collect();
        for (start, end) in touched {
            if end <= range.start {
                continue;
            }
            self.extents.remove(&start);
            if start < range.start {
                self.extents.insert(start, range.start);
            }
            if end > range.end {
                self.extents.insert(range.end, end);
            }
        }
    }

    /// Takes out everything from `len` on.
    pub fn truncate(&mut self, len: u64) {
        self.remove(len..u64::MAX);
    }

    /// Whether every byte of `range` is in the set; true for an empty range.
    pub fn contains(&self, range: Range<u64>) -> bool {
        range.start >= range.end
            || self.extents.range(..=range.start).next_back().is_some_and(|(_, &end)| end >= range.end)
    }

    /// The parts of `range` that are not in the set, in order.
    pub fn missing(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        let mut at = range.start;
        for extent in self.overlapping(range.clone()) {
            if extent.start > at {
                gaps.push(at..extent.start);
            }
            at = extent.end;
        }
        if at < range.end {
            gaps.push(at..range.end);
        }
        gaps
    }

    /// The parts of `range` that are in the set, in order.
    pub fn overlapping(&self, range: Range<u64>) -> Vec<Range<u64>> {
        if range.start >= range.end {
            return Vec::new();
        }
        let first = self.extents.range(..=range.start).next_back().map_or(range.start, |(&start, _)| start);
        self.extents
            .range(first..range.end)
            .map(|(&start, &end)| start.max(range.start)..end.min(range.end))
            .filter(|part| part.start < part.end)
            .collect()
    }

    /// The end of the extent that starts at 0: how far the file is there without a gap.
    pub fn prefix_end(&self) -> u64 {
        self.extents.get(&0).copied().unwrap_or(0)
    }

    /// Bytes in the set.
    pub fn total(&self) -> u64 {
        self.extents.iter().map(|(start, end)| end - start).sum()
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.extents.is_empty()
    }

    /// All extents in order.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.extents.iter().map(|(&start, &end)| start..end)
    }
}

impl FromIterator<Range<u64>> for ExtentSet {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut set = ExtentSet::new();
        for range in ranges {
            set.insert(range);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    #[test]
    fn touching_extents_merge() {
        let set: ExtentSet = [0..10, 20..30, 10..20].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), vec![0..30]);
        assert_eq!(set.prefix_end(), 30);
    }

    #[test]
    fn random_operations_agree_with_a_bitmap() {
        let seed = getrandom::u64().unwrap();
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut set, mut bits) = (ExtentSet::new(), [false; 64]);
        for _ in 0..5_000 {
            let (a, b) = (rng.random_range(0..64usize), rng.random_range(0..=64usize));
            let range = a.min(b) as u64..a.max(b) as u64;
            let add = rng.random_bool(0.5);
            if add {
                set.insert(range.clone())
            } else {
                set.remove(range.clone())
            }
            for bit in &mut bits[range.start as usize..range.end as usize] {
                *bit = add;
            }
            let probe = rng.random_range(0..32u64)..rng.random_range(32..=64u64);
            let wanted = &bits[probe.start as usize..probe.end as usize];
            assert_eq!(set.contains(probe.clone()), wanted.iter().all(|bit| *bit));
            let missing: u64 = set.missing(probe.clone()).iter().map(|gap| gap.end - gap.start).sum();
            assert_eq!(missing as usize, wanted.iter().filter(|bit| !**bit).count());
            let there: u64 = set.overlapping(probe.clone()).iter().map(|part| part.end - part.start).sum();
            assert_eq!(missing + there, probe.end - probe.start);
            assert_eq!(set.total() as usize, bits.iter().filter(|bit| **bit).count());
            let prefix = bits.iter().take_while(|bit| **bit).count();
            assert_eq!(set.prefix_end() as usize, prefix);
        }
    }
}
