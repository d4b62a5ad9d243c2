//! All contents of one drive on this machine: clean ones by revision in the cache directory, drafts in the
//! state directory.
//!
//! One process owns a drive's directories (a file lock in each). Clean contents outlive the process ([`keep`])
//! within the bounds of the cache ([`room`]). A clean content that nobody uses keeps its bytes and extents but
//! no descriptor, so the number of cached files is not bounded by that of open ones. Drafts are deleted only
//! by [`Store::discard`], and by [`Store::sweep`] at the start.
//!
//! Locking: `index` > `pinned` > `inner` > a shelf or a content's state. `index` is held for local disk I/O,
//! `inner` for map work and for making holes in contents that nobody has open.

pub mod keep;
mod place;
mod room;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use super::extents::ExtentSet;
use super::index::Index;
use super::{Content, Kept, Shelf, lock};
use crate::config::MinFree;
use crate::error::{Error, Kind, Result};
use crate::pds::model::{FileId, RevisionId};
use place::{make_dir, own, remove};

/// Which content: one revision of one file.
pub type Key = (FileId, RevisionId);

/// How much the cache may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of clean content.
    pub cache_bytes: u64,
    /// Space to leave free on the cache's disk.
    pub min_free: MinFree,
}

/// A cached revision.
struct Record {
    shelf: Arc<Shelf>,
    /// Alive while someone uses it.
    content: Weak<Content>,
    /// What the index says of it; `None` when it is not there.
    recorded: Option<Recorded>,
}

/// What the index says of a content.
#[derive(Clone, Copy, Debug)]
struct Recorded {
    /// The content's count of changes then.
    changes: u64,
    /// The store's clock then.
    used: u64,
    at: Instant,
    is_synced: bool,
}

impl Record {
    fn kept(&self) -> Kept {
        match self.content.upgrade() {
            Some(content) => content.kept(),
            None => lock(&self.shelf.kept).clone(),
        }
    }

    fn present_bytes(&self) -> u64 {
        match self.content.upgrade() {
            Some(content) => content.present_bytes(),
            None => lock(&self.shelf.kept).present.total(),
        }
    }

    fn is_lent(&self) -> bool {
        self.content.upgrade().is_some_and(|content| content.is_lent())
    }
}

/// See the module's documentation.
pub struct Store {
    cache_dir: PathBuf,
    drafts_dir: PathBuf,
    limits: Limits,
    /// `None` when the disk refused one: then the cache ends with the process.
    index: Mutex<Option<Index>>,
    inner: Mutex<HashMap<Key, Record>>,
    /// Files whose contents are not given back.
    pinned: Mutex<HashSet<FileId>>,
    /// Counts uses.
    clock: Arc<AtomicU64>,
    names: AtomicU64,
    /// Bytes that came in since the bounds were last looked at.
    unchecked: AtomicU64,
    _locks: [File; 2],
}

impl Store {
    /// Takes the directories, making them when missing, and what is cached there.
    ///
    /// # Errors
    /// [`Kind::Busy`] when another process owns one of them; [`Kind::Local`] when the disk refuses.
    pub fn open(cache_dir: &Path, state_dir: &Path, limits: Limits) -> Result<Self> {
        let drafts_dir = state_dir.join("drafts");
        let content_dir = cache_dir.join("content");
        make_dir(&drafts_dir)?;
        make_dir(&content_dir)?;
        let locks = [own(cache_dir)?, own(state_dir)?];
        let (index, records) = keep::take_up(cache_dir, &content_dir);
        let last_used = records.iter().map(|(_, record)| record.kept().recency.last()).max();
        let store = Store {
            cache_dir: content_dir,
            drafts_dir,
            limits,
            index: Mutex::new(index),
            inner: Mutex::new(records.into_iter().collect()),
            pinned: Mutex::default(),
            clock: Arc::new(AtomicU64::new(last_used.unwrap_or(0) + 1)),
            names: AtomicU64::new(0),
            // Looks at the bounds with the first byte: they may be others than the last mount's.
            unchecked: AtomicU64::new(u64::MAX / 2),
            _locks: locks,
        };
        Ok(store)
    }

    /// The content of a revision of `len` bytes; empty when nothing of it is cached.
    ///
    /// # Errors
    /// The local disk refuses a new file.
    pub fn clean(&self, key: &Key, len: u64) -> Result<Arc<Content>> {
        let mut inner = lock(&self.inner);
        if let Some(record) = inner.get_mut(key) {
            if let Some(content) = record.content.upgrade() {
                return Ok(content);
            }
            let kept = lock(&record.shelf.kept).clone();
            if let Ok(content) = Content::reopen(&kept.path, kept.present.clone(), len, false) {
                content.resume(kept);
                let recorded = record.recorded;
                return Ok(self.shelve(&mut inner, key.clone(), Arc::new(content), recorded));
            }
        }
        let content = Content::create(&self.cache_dir.join(self.fresh_name()), len, false)?;
        Ok(self.shelve(&mut inner, key.clone(), Arc::new(content), None))
    }

    fn shelve(
        &self,
        inner: &mut HashMap<Key, Record>,
        key: Key,
        content: Arc<Content>,
        recorded: Option<Recorded>,
    ) -> Arc<Content> {
        let shelf = Arc::new(Shelf::default());
        content.set_shelf(Some(Arc::clone(&shelf)));
        // Adopted a second time, it has the clock already.
        let _ = content.clock.set(Arc::clone(&self.clock));
        content.touch(0..1);
        inner.insert(key, Record { shelf, content: Arc::downgrade(&content), recorded });
        content
    }

    /// A new, empty draft.
    ///
    /// # Errors
    /// The local disk refuses a new file.
    pub fn draft(&self) -> Result<Arc<Content>> {
        Ok(Arc::new(Content::create(&self.drafts_dir.join(self.fresh_name()), 0, true)?))
    }

    /// Turns the clean content of a revision into a draft over it, without copying. The revision is no
    /// longer cached.
    ///
    /// # Errors
    /// The local disk refuses.
    pub fn reclaim(&self, key: &Key, content: &Arc<Content>) -> Result<()> {
        let mut index = lock(&self.index);
        self.strike(&mut index, std::iter::once(key))?;
        content.mark_dirty();
        content.set_shelf(None);
        let mut inner = lock(&self.inner);
        if inner.get(key).is_some_and(|record| record.content.as_ptr() == Arc::as_ptr(content)) {
            inner.remove(key);
        }
        drop((inner, index));
        self.relocate_or_keep(content, &self.drafts_dir)
    }

    /// The drive now has the draft's bytes, `len` of them, as this revision: the draft becomes its cache.
    pub fn adopt(&self, key: Key, content: &Arc<Content>, len: u64) {
        content.mark_clean(len);
        if let Err(error) = self.relocate_or_keep(content, &self.cache_dir) {
            tracing::debug!(%error, "a completed draft is not kept as cache");
        }
        self.shelve(&mut lock(&self.inner), key, Arc::clone(content), None);
    }

    /// The same bytes are known as another revision now.
    pub fn rename(&self, from: &Key, to: Key) {
        let mut index = lock(&self.index);
        if let Err(error) = self.strike(&mut index, std::iter::once(from)) {
            // The bytes stay what they were called before; they are fetched again if need be.
            tracing::debug!(%error, "cached bytes do not get their new name");
            return;
        }
        let mut inner = lock(&self.inner);
        if let Some(record) = inner.remove(from) {
            inner.insert(to, Record { recorded: None, ..record });
        }
    }

    /// Bytes of a revision that are here.
    pub fn cached_bytes_of(&self, key: &Key) -> u64 {
        lock(&self.inner).get(key).map_or(0, Record::present_bytes)
    }

    /// Bytes of clean content.
    pub fn cached_bytes(&self) -> u64 {
        lock(&self.inner).values().map(Record::present_bytes).sum()
    }

    /// Revisions of which something is here.
    pub fn cached_files(&self) -> u64 {
        lock(&self.inner).values().filter(|record| record.present_bytes() > 0).count() as u64
    }

    /// How much may be cached.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Deletes a draft's local file; who has it open may still read it.
    pub fn discard(&self, content: &Content) {
        remove(&content.path());
    }

    /// Takes up a draft of an earlier run whose `present` extents are known from the journal.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it is not there: it was completed and became cache.
    pub fn resume(&self, file_name: &str, present: ExtentSet, backed_len: u64) -> Result<Arc<Content>> {
        Ok(Arc::new(Content::reopen(&self.drafts_dir.join(file_name), present, backed_len, true)?))
    }

    /// Deletes the local file of a draft of an earlier run that nobody took up.
    pub fn remove_draft(&self, file_name: &str) {
        remove(&self.drafts_dir.join(file_name));
    }

    /// Makes a draft of an earlier run anew from all of its bytes, whatever its local file has.
    ///
    /// # Errors
    /// The local disk refuses.
    pub fn restore(&self, file_name: &str, bytes: &[u8]) -> Result<Arc<Content>> {
        let content = Content::create(&self.drafts_dir.join(file_name), 0, true)?;
        content.write_at(bytes, 0)?;
        Ok(Arc::new(content))
    }

    /// Deletes the drafts of an earlier run that nobody was promised anything about: all but `kept`.
    ///
    /// # Errors
    /// The state directory cannot be read.
    pub fn sweep(&self, kept: &std::collections::HashSet<String>) -> Result<()> {
        let entries = std::fs::read_dir(&self.drafts_dir)
            .map_err(|error| Error::io("read the state directory", error).on(self.drafts_dir.display()))?;
        for entry in entries.flatten() {
            if !kept.contains(&*entry.file_name().to_string_lossy()) {
                remove(&entry.path());
            }
        }
        Ok(())
    }

    /// A file name that no earlier run used either.
    fn fresh_name(&self) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        format!("{:x}-{}-{number}", now.as_nanos(), std::process::id())
    }

    /// Moves the local file into `dir`. Where the two directories are on different disks the file stays
    /// where it is: it is found by its open descriptor, not by its place.
    fn relocate_or_keep(&self, content: &Content, dir: &Path) -> Result<()> {
        let path = content.path();
        if path.parent() == Some(dir) {
            return Ok(());
        }
        let name = path.file_name().unwrap_or_default();
        match content.relocate(&dir.join(name)) {
            Err(error) if error.kind() == Kind::CrossDevice => Ok(()),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(dir: &Path, cache_bytes: u64) -> Store {
        let limits = Limits { cache_bytes, min_free: MinFree::Percent(0) };
        Store::open(&dir.join("cache"), &dir.join("state"), limits).unwrap()
    }

    fn key(name: &str) -> Key {
        (FileId::from(name), RevisionId::from("r"))
    }

    #[test]
    fn one_process_owns_the_directories() {
        let dir = tempfile::tempdir().unwrap();
        let _first = store(dir.path(), 100);
        let limits = Limits { cache_bytes: 1, min_free: MinFree::Percent(0) };
        let second = Store::open(&dir.path().join("cache"), &dir.path().join("other"), limits);
        assert_eq!(second.err().unwrap().kind(), Kind::Busy);
    }

    #[test]
    fn the_cache_stays_below_its_limit_and_drafts_stay() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), 100);
        let draft = store.draft().unwrap();
        draft.write_at(&[1; 500], 0).unwrap();
        for name in ["a", "b", "c", "d"] {
            store.make_room(40);
            store.clean(&key(name), 40).unwrap().fill(&[1; 40], 0).unwrap();
            assert!(store.cached_bytes() <= 100, "{}", store.cached_bytes());
        }
        assert_eq!(draft.present_bytes(), 500);
        assert!(draft.path().exists());
    }

    fn bytes(store: &Store, name: &str, range: std::ops::Range<u64>) -> Option<Vec<u8>> {
        let mut buffer = vec![0; (range.end - range.start) as usize];
        let content = store.clean(&key(name), 20 << 20).unwrap();
        content.read_at(&mut buffer, range.start).unwrap().then_some(buffer)
    }

    #[test]
    fn the_next_mount_finds_what_was_recorded_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let first = store(dir.path(), 1 << 30);
        let open = first.clean(&key("f"), 20 << 20).unwrap();
        open.fill(&[1; 1000], 0).unwrap();
        open.fill(&[2; 1000], 10 << 20).unwrap();
        first.clean(&key("g"), 20 << 20).unwrap().fill(&[3; 10], 5).unwrap();
        first.checkpoint(keep::Sync::Rested);
        open.fill(&[4; 1000], 5000).unwrap();
        drop((open, first));
        let second = store(dir.path(), 1 << 30);
        assert_eq!(second.cached_bytes(), 2010);
        assert_eq!(bytes(&second, "f", 0..1000), Some(vec![1; 1000]));
        assert_eq!(bytes(&second, "f", 10 << 20..(10 << 20) + 1000), Some(vec![2; 1000]));
        assert_eq!(bytes(&second, "f", 5000..6000), None, "it came after the record");
        assert_eq!(bytes(&second, "g", 5..15), Some(vec![3; 10]));
    }

    /// A process that dies leaves no record of bytes that are holes, or of another content by now.
    #[test]
    fn what_was_given_back_or_written_over_is_not_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let first = store(dir.path(), 1 << 30);
        for name in ["open", "closed", "rewritten", "renamed"] {
            first.clean(&key(name), 20 << 20).unwrap().fill(&[1; 1000], 0).unwrap();
            first.clean(&key(name), 20 << 20).unwrap().fill(&[2; 1000], 10 << 20).unwrap();
        }
        first.checkpoint(keep::Sync::Until(Instant::now() + std::time::Duration::from_secs(30)));
        let _open = first.clean(&key("open"), 20 << 20).unwrap();
        first.evict(vec![(key("open"), 0..4 << 20), (key("closed"), 0..4 << 20)]);
        let rewritten = first.clean(&key("rewritten"), 20 << 20).unwrap();
        first.reclaim(&key("rewritten"), &rewritten).unwrap();
        rewritten.write_at(&[7; 1000], 0).unwrap();
        first.rename(&key("renamed"), key("other"));
        drop(first);
        let second = store(dir.path(), 1 << 30);
        for name in ["open", "closed", "rewritten", "renamed", "other"] {
            assert_eq!(bytes(&second, name, 0..1000), None, "{name}");
        }
        let files = std::fs::read_dir(dir.path().join("cache/content")).unwrap().count();
        assert_eq!(files, 5, "the five that were just opened, and no remains");
    }

    #[test]
    fn the_head_of_a_film_goes_before_its_tail() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), 64 << 20);
        let film = store.clean(&key("film"), 1 << 30).unwrap();
        for at in 0..40_u64 {
            store.make_room(4 << 20);
            film.fill(&[1; 4 << 20], at * (4 << 20)).unwrap();
            assert!(store.cached_bytes() <= 66 << 20, "{}", store.cached_bytes());
        }
        assert!(film.missing(150 << 20..160 << 20).is_empty());
        assert_eq!(film.missing(0..4 << 20).len(), 1);
    }

    #[test]
    fn what_is_pinned_or_lent_stays() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), 1000);
        let content = |name: &str| store.clean(&key(name), 600).unwrap();
        content("pinned").fill(&[1; 600], 0).unwrap();
        store.set_pinned(HashSet::from([FileId::from("pinned")]));
        let lent = content("lent");
        lent.fill(&[1; 600], 0).unwrap();
        assert!(lent.lend().is_some());
        content("other").fill(&[1; 600], 0).unwrap();
        store.make_room(600);
        let left = |name: &str| content(name).present_bytes();
        assert_eq!((left("pinned"), left("lent"), left("other")), (600, 600, 0));
        lent.give_back();
        assert_eq!(store.clear(None), 600);
        assert_eq!(store.cached_bytes(), 600);
        store.distrust(&key("pinned"));
        assert_eq!(store.cached_bytes(), 0);
    }

    #[test]
    fn what_nobody_uses_keeps_its_bytes_and_no_descriptor() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), 1_000);
        let open = || {
            std::fs::read_dir("/proc/self/fd").unwrap().flatten().filter(|fd| {
                std::fs::read_link(fd.path())
                    .is_ok_and(|target| target.starts_with(dir.path().join("cache/content")))
            })
        };
        store.clean(&key("f"), 4).unwrap().fill(b"abcd", 0).unwrap();
        assert_eq!(open().count(), 0);
        assert_eq!(store.cached_bytes(), 4);
        let mut bytes = [0; 4];
        assert!(store.clean(&key("f"), 4).unwrap().read_at(&mut bytes, 0).unwrap());
        assert_eq!(&bytes, b"abcd");
    }

    #[test]
    fn a_draft_becomes_the_cache_of_its_revision_and_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), 1_000);
        let draft = store.draft().unwrap();
        draft.write_at(b"abc", 0).unwrap();
        store.adopt(key("f"), &draft, 3);
        let cached = store.clean(&key("f"), 3).unwrap();
        assert!(Arc::ptr_eq(&cached, &draft));
        let drafts = || std::fs::read_dir(dir.path().join("state/drafts")).unwrap().count();
        assert_eq!(drafts(), 0);
        store.reclaim(&key("f"), &cached).unwrap();
        assert_eq!(drafts(), 1);
        assert!(!Arc::ptr_eq(&store.clean(&key("f"), 3).unwrap(), &draft));
    }
}
