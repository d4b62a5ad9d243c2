//! All contents of one drive on this machine: clean ones by revision in the cache directory, drafts in the
//! state directory.
//!
//! One process owns a drive's directories (a file lock in each). Clean contents live as long as the process:
//! the cache starts empty. A clean content that nobody uses keeps its bytes and extents but no descriptor, so
//! the number of cached files is not bounded by that of open ones. Drafts are deleted only by
//! [`Store::discard`], and by [`Store::sweep`] at the start.
//!
//! Locking: `inner` is a leaf and held for map work only; local disk I/O of eviction happens outside it.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use rustix::fs::{FlockOperation, flock, statvfs};

use super::evict::{self, Candidate};
use super::extents::ExtentSet;
use super::{Content, Shelf, lock};
use crate::config::MinFree;
use crate::error::{Error, Kind, Result};
use crate::pds::model::{FileId, RevisionId};

/// Which content: one revision of one file.
pub type Key = (FileId, RevisionId);

/// Given back at once when the local disk is full, so that a large write does not ask for each request.
const GIVE_BACK_BYTES: u64 = 16 << 20;

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
}

impl Record {
    fn present_bytes(&self) -> u64 {
        match self.content.upgrade() {
            Some(content) => content.present_bytes(),
            None => lock(&self.shelf.kept).present.total(),
        }
    }

    fn last_used(&self) -> u64 {
        match self.content.upgrade() {
            Some(content) => content.last_used(),
            None => lock(&self.shelf.kept).last_used,
        }
    }
}

/// See the module's documentation.
pub struct Store {
    cache_dir: PathBuf,
    drafts_dir: PathBuf,
    limits: Limits,
    inner: Mutex<HashMap<Key, Record>>,
    clock: AtomicU64,
    names: AtomicU64,
    /// Bytes that came in since the bounds were last looked at.
    unchecked: AtomicU64,
    _locks: [File; 2],
}

impl Store {
    /// Takes the directories, making them when missing, and empties the cache.
    ///
    /// # Errors
    /// [`Kind::Busy`] when another process owns one of them; [`Kind::Local`] when the disk refuses.
    pub fn open(cache_dir: &Path, state_dir: &Path, limits: Limits) -> Result<Self> {
        let drafts_dir = state_dir.join("drafts");
        let clean_dir = cache_dir.join("content");
        make_dir(&drafts_dir)?;
        make_dir(cache_dir)?;
        let locks = [own(cache_dir)?, own(state_dir)?];
        match std::fs::remove_dir_all(&clean_dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("empty the cache directory", error).on(clean_dir.display()));
            }
            _ => make_dir(&clean_dir)?,
        }
        Ok(Store {
            cache_dir: clean_dir,
            drafts_dir,
            limits,
            inner: Mutex::default(),
            clock: AtomicU64::new(1),
            names: AtomicU64::new(0),
            unchecked: AtomicU64::new(0),
            _locks: locks,
        })
    }

    /// The content of a revision of `len` bytes; empty when nothing of it is cached.
    ///
    /// # Errors
    /// The local disk refuses a new file.
    pub fn clean(&self, key: &Key, len: u64) -> Result<Arc<Content>> {
        let mut inner = lock(&self.inner);
        if let Some(record) = inner.get(key) {
            if let Some(content) = record.content.upgrade() {
                self.touch(&content);
                return Ok(content);
            }
            let kept = lock(&record.shelf.kept).clone();
            if let Ok(content) = Content::reopen(&kept.path, kept.present, len, false) {
                return Ok(self.shelve(&mut inner, key.clone(), Arc::new(content)));
            }
        }
        let content = Content::create(&self.cache_dir.join(self.fresh_name()), len, false)?;
        Ok(self.shelve(&mut inner, key.clone(), Arc::new(content)))
    }

    fn shelve(&self, inner: &mut HashMap<Key, Record>, key: Key, content: Arc<Content>) -> Arc<Content> {
        let shelf = Arc::new(Shelf::default());
        content.set_shelf(Some(Arc::clone(&shelf)));
        self.touch(&content);
        inner.insert(key, Record { shelf, content: Arc::downgrade(&content) });
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
        content.mark_dirty();
        content.set_shelf(None);
        let mut inner = lock(&self.inner);
        if inner.get(key).is_some_and(|record| record.content.as_ptr() == Arc::as_ptr(content)) {
            inner.remove(key);
        }
        drop(inner);
        self.relocate_or_keep(content, &self.drafts_dir)
    }

    /// The drive now has the draft's bytes, `len` of them, as this revision: the draft becomes its cache.
    pub fn adopt(&self, key: Key, content: &Arc<Content>, len: u64) {
        content.mark_clean(len);
        if let Err(error) = self.relocate_or_keep(content, &self.cache_dir) {
            tracing::debug!(%error, "a completed draft is not kept as cache");
        }
        self.shelve(&mut lock(&self.inner), key, Arc::clone(content));
    }

    /// The same bytes are known as another revision now.
    pub fn rename(&self, from: &Key, to: Key) {
        let mut inner = lock(&self.inner);
        if let Some(record) = inner.remove(from) {
            inner.insert(to, record);
        }
    }

    /// Bytes of a revision that are here.
    pub fn cached_bytes_of(&self, key: &Key) -> u64 {
        lock(&self.inner).get(key).map_or(0, Record::present_bytes)
    }

    /// Deletes a draft's local file; who has it open may still read it.
    pub fn discard(&self, content: &Content) {
        remove(&content.path());
    }

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
        let mut candidates = self.candidates();
        let cached = candidates.iter().map(|candidate| candidate.bytes).sum();
        let need = evict::shortfall(cached, incoming, self.limits.cache_bytes, disk_free, min_free);
        if need > 0 {
            self.evict_all(evict::choose(&mut candidates, need));
        }
    }

    /// The local disk is full: gives clean bytes back, `bytes` at least or all there are. Whether there were
    /// any. Does local disk I/O.
    pub fn give_back(&self, bytes: u64) -> bool {
        let victims = evict::choose(&mut self.candidates(), bytes.max(GIVE_BACK_BYTES));
        let any = !victims.is_empty();
        self.evict_all(victims);
        any
    }

    fn candidates(&self) -> Vec<Candidate<Key>> {
        let candidate = |(key, record): (&Key, &Record)| Candidate {
            key: key.clone(),
            last_used: record.last_used(),
            bytes: record.present_bytes(),
            in_use: record.content.strong_count() > 0,
        };
        lock(&self.inner).iter().map(candidate).collect()
    }

    fn evict_all(&self, victims: Vec<Key>) {
        for key in victims {
            self.evict(&key);
        }
    }

    fn evict(&self, key: &Key) {
        let mut inner = lock(&self.inner);
        let Some(record) = inner.get(key) else { return };
        if let Some(content) = record.content.upgrade() {
            drop(inner);
            for range in content.present().iter() {
                if let Err(error) = content.evict(range) {
                    tracing::debug!(%error, "cached bytes could not be evicted");
                }
            }
        } else {
            let path = lock(&record.shelf.kept).path.clone();
            inner.remove(key);
            drop(inner);
            remove(&path);
        }
    }

    /// Bytes of clean content.
    pub fn cached_bytes(&self) -> u64 {
        lock(&self.inner).values().map(Record::present_bytes).sum()
    }

    /// Takes up a draft of an earlier run whose `present` extents are known from the journal.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it is not there: it was completed and became cache.
    pub fn resume(&self, file_name: &str, present: ExtentSet, backed_len: u64) -> Result<Arc<Content>> {
        Ok(Arc::new(Content::reopen(&self.drafts_dir.join(file_name), present, backed_len, true)?))
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

    fn touch(&self, content: &Content) {
        content.touch(self.clock.fetch_add(1, Ordering::Relaxed));
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

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::debug!(%error, path = %path.display(), "a local content file could not be removed");
    }
}

fn make_dir(dir: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| Error::io("create a directory", error).on(dir.display()))
}

/// Takes the lock of a directory for the life of the returned file.
fn own(dir: &Path) -> Result<File> {
    let path = dir.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| Error::io("open a lock file", error).on(path.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::new(
            Kind::Busy,
            "use",
            "another pdsfs works with this directory: unmount it first, or give --cache-dir and --state-dir",
        )
        .on(dir.display())),
        Err(errno) => Err(Error::io("lock", errno.into()).on(path.display())),
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
