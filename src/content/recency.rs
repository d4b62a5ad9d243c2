//! When the parts of a content were used last, so that the head of a film that was looked at goes before its
//! tail that is being looked at.

use std::collections::BTreeMap;
use std::ops::Range;

use super::extents::ExtentSet;

/// What is given back at once: as much as one fetch brings.
pub const REGION_BYTES: u64 = 4 << 20;

/// The store's clock at the last use, by region.
#[derive(Clone, Debug, Default)]
pub struct Recency {
    ticks: BTreeMap<u64, u64>,
    /// Of what has no tick of its own: what was there before.
    base: u64,
}

impl Recency {
    /// Everything was used at `tick`.
    pub fn at(tick: u64) -> Self {
        Recency { ticks: BTreeMap::new(), base: tick }
    }

    /// `range` is used at `tick`.
    pub fn touch(&mut self, range: Range<u64>, tick: u64) {
        if range.is_empty() {
            return;
        }
        for region in range.start / REGION_BYTES..=(range.end - 1) / REGION_BYTES {
            self.ticks.insert(region, tick);
        }
    }

    /// The last use of any of it.
    pub fn last(&self) -> u64 {
        self.ticks.values().copied().max().unwrap_or(0).max(self.base)
    }

    /// The regions that have present bytes, with how many and when they were used.
    pub fn regions(&self, present: &ExtentSet) -> Vec<(Range<u64>, u64, u64)> {
        let mut bytes: BTreeMap<u64, u64> = BTreeMap::new();
        for extent in present.iter() {
            for region in extent.start / REGION_BYTES..=(extent.end - 1) / REGION_BYTES {
                let (start, end) = (region * REGION_BYTES, (region + 1) * REGION_BYTES);
                *bytes.entry(region).or_default() += extent.end.min(end) - extent.start.max(start);
            }
        }
        let whole = |region: u64| region * REGION_BYTES..(region + 1) * REGION_BYTES;
        let tick = |region| self.ticks.get(&region).copied().unwrap_or(self.base);
        bytes.into_iter().map(|(region, bytes)| (whole(region), bytes, tick(region))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_region_has_its_own_time() {
        let mut recency = Recency::at(3);
        recency.touch(REGION_BYTES - 1..REGION_BYTES + 1, 9);
        recency.touch(5..5, 20);
        let present: ExtentSet =
            [0..10, REGION_BYTES..REGION_BYTES + 5, 5 * REGION_BYTES..5 * REGION_BYTES + 1]
                .into_iter()
                .collect();
        let regions: Vec<_> =
            recency.regions(&present).into_iter().map(|(_, bytes, tick)| (bytes, tick)).collect();
        assert_eq!(regions, [(10, 9), (5, 9), (1, 3)]);
        assert_eq!((recency.last(), Recency::at(3).last()), (9, 3));
    }
}
