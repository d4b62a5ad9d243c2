//! Keeping the cache beyond this process: what is recorded when, and taken up again.
//!
//! Recording happens now and then ([`Store::checkpoint`]), not at each byte: what came in since is lost by a
//! crash, and nothing else. What the [`index`](super::super::index) says is true at any time, because
//! striking out comes first wherever bytes are given back or overwritten.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;
use std::sync::Weak;
use std::time::{Duration, Instant};

use super::super::index::{Entry, Index};
use super::super::recency::Recency;
use super::super::{Kept, Shelf, lock};
use super::place::remove;
use super::{Key, Record, Recorded, Store};
use crate::error::{Error, Result};

/// Contents that did not change for this long are synced: by then the kernel has written them anyway.
const SYNC_AFTER: Duration = Duration::from_secs(40);
/// Contents synced in one round.
const SYNC_AT_ONCE: usize = 64;

/// What is recorded of the last mount, as far as the files are there.
pub(super) fn take_up(dir: &Path, content_dir: &Path) -> (Option<Index>, Vec<(Key, Record)>) {
    let opened = Index::open(dir).or_else(|error| {
        tracing::warn!(%error, "the cache starts empty");
        Index::delete(dir);
        Index::open(dir).map(|(index, _)| (index, Vec::new()))
    });
    let (index, entries) = match opened {
        Ok((index, entries)) => (Some(index), entries),
        Err(error) => {
            tracing::warn!(%error, "the cache is not kept beyond this mount");
            (None, Vec::new())
        }
    };
    let there: HashSet<String> = std::fs::read_dir(content_dir)
        .map(|entries| {
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        })
        .unwrap_or_default();
    let mut unknown = there.clone();
    let mut records = Vec::new();
    for entry in entries.into_iter().filter(|entry| there.contains(&entry.name)) {
        unknown.remove(&entry.name);
        records.push(record(entry, content_dir));
    }
    unknown.iter().for_each(|name| remove(&content_dir.join(name)));
    (index, records)
}

fn record(entry: Entry, content_dir: &Path) -> (Key, Record) {
    let kept = Kept {
        path: content_dir.join(&entry.name),
        present: entry.present,
        recency: Recency::at(entry.used),
        changes: 0,
    };
    let recorded = Recorded { changes: 0, used: entry.used, at: Instant::now(), is_synced: entry.is_synced };
    let shelf = std::sync::Arc::new(Shelf { kept: std::sync::Mutex::new(kept) });
    (entry.key, Record { shelf, content: Weak::new(), recorded: Some(recorded) })
}

/// When the bytes of what is recorded are made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Those that have rested for a while.
    Rested,
    /// All, as far as they are by this time.
    Until(Instant),
}

impl Store {
    /// Records what changed since it was recorded. Blocks on the local disk.
    pub fn checkpoint(&self, sync: Sync) {
        if let Err(error) = self.record_changed(sync != Sync::Rested).and_then(|()| self.sync(sync)) {
            tracing::warn!(%error, "what is cached may have to be fetched again by the next mount");
        }
    }

    fn record_changed(&self, also_used: bool) -> Result<()> {
        let mut index = lock(&self.index);
        let Some(index) = index.as_mut() else { return Ok(()) };
        let (mut entries, mut empty) = (Vec::new(), Vec::new());
        let mut inner = lock(&self.inner);
        for (key, record) in inner.iter_mut() {
            let kept = record.kept();
            let is_changed = record.recorded.is_none_or(|recorded| recorded.changes != kept.changes);
            let used = kept.recency.last();
            let is_used = also_used && record.recorded.is_none_or(|recorded| recorded.used != used);
            if kept.present.is_empty() {
                if record.content.strong_count() == 0 && !kept.path.as_os_str().is_empty() {
                    empty.push((key.clone(), kept.path));
                }
                continue;
            }
            if !(is_changed || is_used) || kept.path.parent() != Some(&self.cache_dir) {
                continue;
            }
            let is_synced = !is_changed && record.recorded.is_some_and(|recorded| recorded.is_synced);
            record.recorded = Some(Recorded { changes: kept.changes, used, at: Instant::now(), is_synced });
            let name = kept.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            entries.push(Entry { key: key.clone(), name, present: kept.present, used, is_synced });
        }
        for (key, path) in empty {
            inner.remove(&key);
            remove(&path);
        }
        drop(inner);
        if entries.is_empty() {
            return Ok(());
        }
        index.record(&entries).inspect_err(|_| {
            let mut inner = lock(&self.inner);
            for entry in &entries {
                // An earlier record may be there, which must be struck out before the bytes change.
                if let Some(recorded) = inner.get_mut(&entry.key).and_then(|record| record.recorded.as_mut())
                {
                    recorded.changes = u64::MAX;
                }
            }
        })
    }

    /// Makes contents durable that are recorded as they are, then says so in the index. Not under its lock:
    /// a disk may take long. What changed meanwhile is left for another time.
    fn sync(&self, sync: Sync) -> Result<()> {
        for (key, kept) in self.unsynced(sync) {
            if matches!(sync, Sync::Until(deadline) if Instant::now() >= deadline) {
                break;
            }
            let synced = File::options().write(true).open(&kept.path).and_then(|file| file.sync_data());
            synced.map_err(|error| Error::io("sync the cache", error).on(kept.path.display()))?;
            let mut index = lock(&self.index);
            let Some(index) = index.as_mut() else { return Ok(()) };
            let mut inner = lock(&self.inner);
            let Some(record) = inner.get_mut(&key) else { continue };
            if record.kept().changes != kept.changes {
                continue;
            }
            let Some(recorded) = record.recorded.as_mut() else { continue };
            recorded.is_synced = true;
            let used = recorded.used;
            drop(inner);
            let name = kept.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            index.record(&[Entry { key, name, present: kept.present, used, is_synced: true }])?;
        }
        Ok(())
    }

    fn unsynced(&self, sync: Sync) -> Vec<(Key, Kept)> {
        let is_due = |recorded: &Recorded| match sync {
            Sync::Rested => recorded.at.elapsed() >= SYNC_AFTER,
            Sync::Until(_) => true,
        };
        let most = if sync == Sync::Rested { SYNC_AT_ONCE } else { usize::MAX };
        let inner = lock(&self.inner);
        let due = inner.iter().filter(|(_, record)| {
            record.recorded.as_ref().is_some_and(|recorded| !recorded.is_synced && is_due(recorded))
        });
        let as_recorded = due.filter_map(|(key, record)| {
            let kept = record.kept();
            let is_same = record.recorded.is_some_and(|recorded| recorded.changes == kept.changes);
            is_same.then(|| (key.clone(), kept))
        });
        as_recorded.take(most).collect()
    }

    /// Takes contents out of the index, durably, before their bytes change.
    pub(super) fn strike<'a>(
        &self,
        index: &mut Option<Index>,
        keys: impl Iterator<Item = &'a Key>,
    ) -> Result<()> {
        let Some(index) = index.as_mut() else { return Ok(()) };
        let is_recorded =
            |key: &&Key| lock(&self.inner).get(*key).is_some_and(|record| record.recorded.is_some());
        let recorded: Vec<&Key> = keys.filter(is_recorded).collect();
        if recorded.is_empty() {
            return Ok(());
        }
        index.strike(recorded.iter().copied())?;
        let mut inner = lock(&self.inner);
        for key in recorded {
            if let Some(record) = inner.get_mut(key) {
                record.recorded = None;
            }
        }
        Ok(())
    }
}
