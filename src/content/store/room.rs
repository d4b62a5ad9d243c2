//! Keeping the cache within its bounds: what is given back, and in which order things happen then.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::ops::Range;
use std::sync::atomic::Ordering;

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::super::evict::{self, Candidate};
use super::super::lock;
use super::place::remove;
use super::{Key, Store};
use crate::pds::model::FileId;

/// Given back at once when the local disk is full, so that a large write does not ask for each request.
const GIVE_BACK_BYTES: u64 = 16 << 20;

/// A part of a content.
type Region = (Key, Range<u64>);

impl Store {
    /// Makes room for `incoming` bytes of cache by evicting. Does local disk I/O. Looks at the bounds once
    /// per 1/64 of the limit (at most 64 MiB), because looking costs a walk over all contents.
    pub fn make_room(&self, incoming: u64) {
        self.keep_bounds(incoming, incoming);
    }

    /// As [`Store::make_room`] for `adopted` bytes that are here already: what was written becomes cache.
    pub fn trim(&self, adopted: u64) {
        self.keep_bounds(adopted, 0);
    }

    fn keep_bounds(&self, unchecked: u64, incoming: u64) {
        let every = (self.limits.cache_bytes / 64).min(64 * 1024 * 1024);
        if self.unchecked.fetch_add(unchecked, Ordering::Relaxed) + unchecked < every {
            return;
        }
        self.unchecked.store(0, Ordering::Relaxed);
        let (disk_free, min_free) = self.disk_space();
        let cached = self.cached_bytes();
        let need = evict::shortfall(cached, incoming, self.limits.cache_bytes, disk_free, min_free);
        if need > 0 {
            self.evict(evict::choose(&mut self.candidates(), need));
        }
    }

    /// The local disk is full: gives clean bytes back, `bytes` at least or all there are. Whether there were
    /// any. Does local disk I/O.
    pub fn give_back(&self, bytes: u64) -> bool {
        let victims = evict::choose(&mut self.candidates(), bytes.max(GIVE_BACK_BYTES));
        let any = !victims.is_empty();
        self.evict(victims);
        any
    }

    /// Gives all clean bytes back that are not pinned, of one file or of all. How many.
    pub fn clear(&self, of: Option<&FileId>) -> u64 {
        let before = self.cached_bytes();
        let victims = self.candidates().into_iter().map(|candidate| candidate.key);
        self.evict(victims.filter(|(key, _)| of.is_none_or(|file| key.0 == *file)).collect());
        before.saturating_sub(self.cached_bytes())
    }

    /// Gives the bytes of a revision back, pinned or not: they turned out not to be true.
    pub fn distrust(&self, key: &Key) {
        self.evict(vec![(key.clone(), 0..u64::MAX)]);
    }

    /// Files that are not given back.
    pub fn set_pinned(&self, files: HashSet<FileId>) {
        *lock(&self.pinned) = files;
    }

    fn candidates(&self) -> Vec<Candidate<Region>> {
        let pinned = lock(&self.pinned);
        let inner = lock(&self.inner);
        let free = inner.iter().filter(|(key, record)| !pinned.contains(&key.0) && !record.is_lent());
        free.flat_map(|(key, record)| {
            let kept = record.kept();
            kept.recency.regions(&kept.present).into_iter().map(|(range, bytes, last_used)| Candidate {
                key: (key.clone(), range),
                last_used,
                bytes,
            })
        })
        .collect()
    }

    /// Strikes the contents out of the index, then takes the regions out of them: a crash in between must not
    /// leave a record of bytes that are holes.
    pub(super) fn evict(&self, victims: Vec<Region>) {
        let mut regions: BTreeMap<Key, Vec<Range<u64>>> = BTreeMap::new();
        for (key, range) in victims {
            regions.entry(key).or_default().push(range);
        }
        let mut index = lock(&self.index);
        if let Err(error) = self.strike(&mut index, regions.keys()) {
            tracing::warn!(%error, "the cache stays larger than it should be");
            return;
        }
        for (key, ranges) in regions {
            if let Err(error) = self.evict_from(&key, &ranges) {
                tracing::debug!(%error, "cached bytes could not be evicted");
            }
        }
    }

    fn evict_from(&self, key: &Key, ranges: &[Range<u64>]) -> crate::error::Result<()> {
        let mut inner = lock(&self.inner);
        let Some(record) = inner.get(key) else { return Ok(()) };
        if let Some(content) = record.content.upgrade() {
            drop(inner);
            for extent in content.present().iter() {
                for range in
                    ranges.iter().filter(|range| range.start < extent.end && extent.start < range.end)
                {
                    content.evict(range.start.max(extent.start)..range.end.min(extent.end))?;
                }
            }
            return Ok(());
        }
        let mut kept = lock(&record.shelf.kept);
        let path = kept.path.clone();
        let before = kept.present.clone();
        ranges.iter().for_each(|range| kept.present.remove(range.clone()));
        kept.changes += 1;
        let is_empty = kept.present.is_empty();
        drop(kept);
        if is_empty {
            inner.remove(key);
            drop(inner);
            remove(&path);
            return Ok(());
        }
        // Under the lock, so that nobody opens it and fills the hole before it is made.
        let file = File::options().write(true).open(&path);
        let file = file.map_err(|error| crate::error::Error::io("free local disk space", error))?;
        for range in ranges.iter().flat_map(|range| before.overlapping(range.clone())) {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(&file, flags, range.start, range.end - range.start)
                .map_err(|errno| crate::error::Error::io("free local disk space", errno.into()))?;
        }
        Ok(())
    }

    fn disk_space(&self) -> (u64, u64) {
        match statvfs(&self.cache_dir) {
            Ok(stat) => {
                let total = stat.f_blocks * stat.f_frsize;
                (stat.f_bavail * stat.f_frsize, self.limits.min_free.bytes(total))
            }
            Err(_) => (u64::MAX, 0),
        }
    }
}
