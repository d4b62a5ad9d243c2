//! The bytes of one file on this machine: a sparse local file and the extents of it that are present.
//!
//! Reading, writing and uploading all go through the same [`Content`]. A byte is in one of three states:
//!
//! ```text
//! present                  in the local file: written here, or fetched from the drive
//! missing                  below `backed_len` and not present: the drive has it, we do not
//! zero                     at or above `backed_len` and not present: a hole nobody ever wrote
//! ```
//!
//! Invariants, kept by one lock over extents and bytes together:
//! - present bytes are true: they are marked after they were written, and unmarked before they are punched;
//! - a fetched byte never overwrites one that was written here ([`Content::fill`] skips present ranges), and
//!   never gets into the content of a later revision ([`Content::fill_of`]);
//! - dirty content is never evicted.
//!
//! This module does no network I/O and knows nothing of names. Calls do local disk I/O and return when it
//! is in the page cache.

pub mod evict;
pub mod extents;
pub mod index;
pub mod recency;
pub mod store;
pub mod verify;

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rustix::fs::{FallocateFlags, SeekFrom, fallocate};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::error::{Error, Kind, Result};
use extents::ExtentSet;
use recency::Recency;
use verify::Runs;

/// Locks a plain mutex. A panic elsewhere while holding it was a bug of ours that was reported there; the
/// data of these locks is never left half changed, so the others go on.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A sparse local file with its extents. See the module's documentation.
pub struct Content {
    file: Arc<File>,
    path: Mutex<PathBuf>,
    /// The directory entry at `path` survives a power cut; changed under its lock.
    place_is_durable: AtomicBool,
    state: RwLock<State>,
    grown: Notify,
    recency: Mutex<Recency>,
    /// The store's, which counts uses; none before the store has it.
    clock: OnceLock<Arc<AtomicU64>>,
    /// Where a clean content leaves its extents when nobody has it open any more.
    shelf: Mutex<Option<Arc<Shelf>>>,
}

/// What is kept of a clean content that nobody has open: no descriptor, just where it is and what is in it.
#[derive(Default)]
struct Shelf {
    kept: Mutex<Kept>,
}

#[derive(Clone, Default)]
struct Kept {
    path: PathBuf,
    present: ExtentSet,
    recency: Recency,
    changes: u64,
}

impl Drop for Content {
    fn drop(&mut self) {
        let shelf = self.shelf.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(shelf) = shelf {
            *lock(&shelf.kept) = self.kept();
        }
    }
}

struct State {
    present: ExtentSet,
    /// Bytes below this that are not present are on the drive.
    backed_len: u64,
    /// Written here and not yet on the drive: not to be evicted.
    dirty: bool,
    /// How often the content became that of another revision.
    generation: u64,
    /// Checksums of what was fetched.
    runs: Runs,
    /// How often extents came or went.
    changes: u64,
    /// Handles whose reads the kernel answers from the local file by itself: no hole may be made meanwhile.
    lent: u32,
}

impl Content {
    /// A new, empty file at `path`; of its bytes the drive has the first `backed_len`.
    ///
    /// # Errors
    /// The local file cannot be created.
    pub fn create(path: &Path, backed_len: u64, dirty: bool) -> Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .map_err(|error| Error::io("create a local content file", error).on(path.display()))?;
        Ok(Self::over(file, path, ExtentSet::new(), backed_len, dirty))
    }

    /// An existing local file whose `present` extents are known to be true.
    ///
    /// # Errors
    /// The local file cannot be opened.
    pub fn reopen(path: &Path, present: ExtentSet, backed_len: u64, dirty: bool) -> Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .open(path)
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => {
                    Error::new(Kind::NotFound, "open a local content file", "it is gone")
                }
                _ => Error::io("open a local content file", error),
            })
            .map_err(|error| error.on(path.display()))?;
        Ok(Self::over(file, path, present, backed_len, dirty))
    }

    fn over(file: File, path: &Path, present: ExtentSet, backed_len: u64, dirty: bool) -> Self {
        Content {
            file: Arc::new(file),
            path: Mutex::new(path.to_owned()),
            place_is_durable: AtomicBool::new(false),
            state: RwLock::new(State {
                present,
                backed_len,
                dirty,
                generation: 0,
                runs: Runs::default(),
                changes: 0,
                lent: 0,
            }),
            grown: Notify::new(),
            recency: Mutex::default(),
            clock: OnceLock::new(),
            shelf: Mutex::new(None),
        }
    }

    /// Fills `buffer` from `offset` when no byte of it is missing; `false`, and nothing promised about
    /// `buffer`, otherwise. The caller clips to the file's size. Zero bytes read as zero.
    ///
    /// # Errors
    /// The local disk cannot be read.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<bool> {
        let range = offset..offset + buffer.len() as u64;
        let state = self.state();
        if !state.has(range.clone()) {
            return Ok(false);
        }
        self.touch(range);
        read_or_zero(&self.file, buffer, offset)?;
        Ok(true)
    }

    /// Writes `data` at `offset`, as a program's write.
    ///
    /// # Errors
    /// [`crate::error::Kind::NoSpace`] when the local disk is full; what was there before is
    /// then undefined in the range, as for any local file.
    pub fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        let mut state = self.state_mut();
        let range = offset..offset + data.len() as u64;
        if let Err(error) = self.file.write_all_at(data, offset) {
            // What was written of it must not come to light when the file grows over it.
            for gap in state.present.missing(range) {
                if let Err(error) = self.punch(gap) {
                    tracing::debug!(%error, "what is left of a failed write could not be taken back");
                }
            }
            return Err(Error::io("write to the local disk", error));
        }
        state.present.insert(range);
        Ok(())
    }

    /// Stores fetched bytes where none are present yet, and wakes readers.
    ///
    /// # Errors
    /// As [`Content::write_at`].
    pub fn fill(&self, data: &[u8], offset: u64) -> Result<()> {
        let generation = self.generation();
        self.fill_of(generation, &[data], offset, None).map(|_| ())
    }

    /// Which revision's content it is, as a number for [`Content::fill_of`].
    pub fn generation(&self) -> u64 {
        self.state().generation
    }

    /// As [`Content::fill`] for the chunks of a reply that was asked for when the content was of this
    /// generation; `false`, and nothing done, when it is of another one now.
    ///
    /// Where all bytes of a file came this way they are compared with `crc64`, that of the whole.
    ///
    /// # Errors
    /// As [`Content::write_at`]; [`Kind::Corrupt`] when these bytes complete the file and it is another than
    /// it should be. They are not present then; which of the others are wrong is not known.
    pub fn fill_of<B: AsRef<[u8]>>(
        &self,
        generation: u64,
        chunks: &[B],
        offset: u64,
        crc64: Option<u64>,
    ) -> Result<bool> {
        let len: u64 = chunks.iter().map(|chunk| chunk.as_ref().len() as u64).sum();
        let crc = crc64.map(|_| verify::crc64(chunks));
        let mut state = self.state_mut();
        if state.generation != generation {
            return Ok(false);
        }
        let gaps = state.missing(offset..offset + len);
        // A draft is another file than the drive describes.
        let crc64 = crc64.filter(|_| !state.dirty);
        if let Some(crc) =
            crc.filter(|_| crc64.is_some() && matches!(&gaps[..], [gap] if *gap == (offset..offset + len)))
        {
            state.runs.add(offset..offset + len, crc);
        }
        if let (Some(is), Some(wanted)) = (state.runs.whole(state.backed_len), crc64)
            && is != wanted
        {
            state.runs.clear();
            let why = "what the service sent is not the file it describes (the CRC-64 differs)";
            return Err(Error::new(Kind::Corrupt, "read", why));
        }
        let mut at = offset;
        for chunk in chunks {
            let chunk = chunk.as_ref();
            let range = at..at + chunk.len() as u64;
            for gap in state.missing(range.clone()) {
                let bytes = &chunk[(gap.start - at) as usize..(gap.end - at) as usize];
                self.file
                    .write_all_at(bytes, gap.start)
                    .map_err(|error| Error::io("write to the local cache", error))?;
                state.present.insert(gap);
            }
            at = range.end;
        }
        state.changes += 1;
        self.touch(offset..at);
        drop(state);
        self.grown.notify_waiters();
        Ok(true)
    }

    /// Cuts or extends the file. What is cut off is gone also when the file grows again.
    ///
    /// # Errors
    /// The local disk refuses.
    pub fn truncate(&self, len: u64) -> Result<()> {
        let mut state = self.state_mut();
        self.file.set_len(len).map_err(|error| Error::io("truncate on the local disk", error))?;
        state.present.truncate(len);
        state.backed_len = state.backed_len.min(len);
        Ok(())
    }

    /// Makes `range` read as zeros, as a program's write of zeros would, without using space.
    ///
    /// # Errors
    /// The local disk refuses.
    pub fn zero(&self, range: Range<u64>) -> Result<()> {
        let mut state = self.state_mut();
        self.punch(range.clone())?;
        state.present.insert(range);
        Ok(())
    }

    /// Takes local disk space for `range` without changing a byte. Where the local disk cannot promise space,
    /// nothing happens: programs ask for this to be sure of what they cannot be sure of there.
    ///
    /// # Errors
    /// [`crate::error::Kind::NoSpace`].
    pub fn reserve(&self, range: Range<u64>) -> Result<()> {
        match fallocate(&self.file, FallocateFlags::KEEP_SIZE, range.start, range.end - range.start) {
            Err(errno) if errno == rustix::io::Errno::NOSPC => {
                Err(Error::io("reserve local disk space", errno.into()))
            }
            _ => Ok(()),
        }
    }

    /// The first byte at or behind `offset`, below `size`, that may be other than zero. What is not here counts
    /// as data.
    pub fn next_data(&self, offset: u64, size: u64) -> Option<u64> {
        let state = self.state();
        let missing = state.missing(offset..size).first().map_or(size, |gap| gap.start);
        let here = match rustix::fs::seek(&self.file, SeekFrom::Data(offset)) {
            Ok(data) => data,
            Err(errno) if errno == rustix::io::Errno::NXIO => size,
            // A local disk that knows nothing of holes has none.
            Err(_) => offset,
        };
        Some(missing.min(here)).filter(|data| *data < size)
    }

    /// The first byte at or behind `offset` that is known to be in a hole; `size` when there is none.
    pub fn next_hole(&self, offset: u64, size: u64) -> u64 {
        let state = self.state();
        let mut at = offset;
        while at < size {
            let hole = match rustix::fs::seek(&self.file, SeekFrom::Hole(at)) {
                Ok(hole) => hole,
                // Behind the end of the local file everything is a hole.
                Err(errno) if errno == rustix::io::Errno::NXIO => at,
                Err(_) => return size,
            };
            match state.missing(hole.min(size)..size).first() {
                Some(gap) if gap.start <= hole => at = gap.end,
                _ => return hole.min(size),
            }
        }
        size
    }

    /// Gives the space of a clean range back; the bytes are missing afterwards. Does nothing to content that
    /// is dirty or lent.
    ///
    /// # Errors
    /// The local disk refuses.
    pub fn evict(&self, range: Range<u64>) -> Result<()> {
        let mut state = self.state_mut();
        if state.dirty || state.lent > 0 {
            return Ok(());
        }
        state.present.remove(range.clone());
        state.runs.remove(range.clone());
        state.changes += 1;
        self.punch(range)
    }

    fn punch(&self, range: Range<u64>) -> Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&self.file, flags, range.start, range.end - range.start)
            .map_err(|errno| Error::io("free local disk space", errno.into()))
    }

    /// The missing parts of `range`.
    pub fn missing(&self, range: Range<u64>) -> Vec<Range<u64>> {
        self.state().missing(range)
    }

    /// Whether no byte is missing.
    pub fn is_complete(&self) -> bool {
        let state = self.state();
        state.present.contains(0..state.backed_len)
    }

    /// How far the file was written or fetched without a gap, from 0.
    pub fn prefix_end(&self) -> u64 {
        self.state().present.prefix_end()
    }

    /// The extents that are present.
    pub fn present(&self) -> ExtentSet {
        self.state().present.clone()
    }

    /// Bytes that are present.
    pub fn present_bytes(&self) -> u64 {
        self.state().present.total()
    }

    /// How much of the file's beginning the drive can give.
    pub fn backed_len(&self) -> u64 {
        self.state().backed_len
    }

    /// The drive now has exactly these bytes, `len` of them.
    pub fn mark_clean(&self, len: u64) {
        let mut state = self.state_mut();
        state.dirty = false;
        state.generation += 1;
        state.changes += 1;
        state.runs.clear();
        state.backed_len = len;
        // Holes of the local file are zeros of the drive's revision: reading them needs no fetch.
        state.present.insert(0..len);
    }

    /// About to be changed here: not to be evicted any more.
    pub fn mark_dirty(&self) {
        let mut state = self.state_mut();
        state.dirty = true;
        // Written bytes are no run, and those of the drive are for another file than this becomes.
        state.runs.clear();
    }

    /// Lends the local file to the kernel when every byte is there and true; it stays as it is until
    /// [`Content::give_back`].
    pub fn lend(&self) -> Option<Arc<File>> {
        let mut state = self.state_mut();
        let is_complete = state.present.contains(0..state.backed_len);
        if state.dirty || !is_complete {
            return None;
        }
        state.lent += 1;
        Some(Arc::clone(&self.file))
    }

    /// Ends a [`Content::lend`].
    pub fn give_back(&self) {
        let mut state = self.state_mut();
        state.lent = state.lent.saturating_sub(1);
    }

    /// Whether the kernel has the local file.
    pub fn is_lent(&self) -> bool {
        self.state().lent > 0
    }

    /// Whether it holds bytes that only this machine has.
    pub fn is_dirty(&self) -> bool {
        self.state().dirty
    }

    /// Completes at the next [`Content::fill`] after this call, also one before the first poll.
    pub fn grown(&self) -> Notified<'_> {
        self.grown.notified()
    }

    /// Wakes those who wait for bytes so that they look again, e.g. at a failure.
    pub fn wake(&self) {
        self.grown.notify_waiters();
    }

    /// The local file, for sending a part of it.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// The name of the local file in its directory.
    pub fn file_name(&self) -> String {
        lock(&self.path).file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Where the local file is.
    pub fn path(&self) -> PathBuf {
        lock(&self.path).clone()
    }

    /// Makes content durable on the local disk, and where it is.
    ///
    /// # Errors
    /// The local disk fails.
    pub fn sync(&self) -> Result<()> {
        let failed = |error| Error::io("sync the local disk", error);
        self.file.sync_data().map_err(failed)?;
        let path = lock(&self.path);
        if !self.place_is_durable.load(Ordering::Relaxed) {
            let dir = path.parent().unwrap_or(Path::new("/"));
            File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)?;
            self.place_is_durable.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Gives the local file another place; the open file stays the same.
    fn relocate(&self, to: &Path) -> Result<()> {
        let mut path = lock(&self.path);
        std::fs::rename(&*path, to).map_err(|error| Error::io("move a local content file", error))?;
        to.clone_into(&mut path);
        self.place_is_durable.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn set_shelf(&self, shelf: Option<Arc<Shelf>>) {
        *lock(&self.shelf) = shelf;
    }

    /// Takes what was kept of it: it goes on as that.
    fn resume(&self, kept: Kept) {
        *lock(&self.recency) = kept.recency;
        self.state_mut().changes = kept.changes;
    }

    fn kept(&self) -> Kept {
        let state = self.state();
        let (present, changes) = (state.present.clone(), state.changes);
        Kept { path: self.path(), present, recency: lock(&self.recency).clone(), changes }
    }

    fn touch(&self, range: Range<u64>) {
        if let Some(clock) = self.clock.get() {
            lock(&self.recency).touch(range, clock.fetch_add(1, Ordering::Relaxed));
        }
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has(&self, range: Range<u64>) -> bool {
        self.present.contains(range.start..range.end.min(self.backed_len))
    }

    fn missing(&self, range: Range<u64>) -> Vec<Range<u64>> {
        if self.has(range.clone()) {
            return Vec::new();
        }
        self.present.missing(range.start..range.end.min(self.backed_len))
    }
}

/// Reads `buffer.len()` bytes; what lies beyond the end of the local file is zero.
pub fn read_or_zero(file: &File, buffer: &mut [u8], offset: u64) -> Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64) {
            Ok(0) => {
                buffer[done..].fill(0);
                break;
            }
            Ok(count) => done += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read the local disk", error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(backed_len: u64) -> (tempfile::TempDir, Content) {
        let dir = tempfile::tempdir().unwrap();
        let content = Content::create(&dir.path().join("c"), backed_len, true).unwrap();
        (dir, content)
    }

    fn read(content: &Content, range: Range<u64>) -> Option<Vec<u8>> {
        let mut buffer = vec![7; (range.end - range.start) as usize];
        content.read_at(&mut buffer, range.start).unwrap().then_some(buffer)
    }

    #[test]
    fn holes_of_a_new_file_are_zero_and_of_a_backed_one_missing() {
        let (_dir, new) = content(0);
        new.write_at(b"x", 4).unwrap();
        assert_eq!(read(&new, 0..6).unwrap(), b"\0\0\0\0x\0");
        let (_dir, backed) = content(4);
        backed.write_at(b"x", 4).unwrap();
        assert_eq!(read(&backed, 0..5), None);
        assert_eq!(backed.missing(0..5), vec![0..4]);
        assert_eq!(read(&backed, 4..5).unwrap(), b"x");
    }

    #[test]
    fn a_fetch_never_overwrites_a_write() {
        let (_dir, content) = content(6);
        content.write_at(b"NEW", 2).unwrap();
        content.fill(b"oldold", 0).unwrap();
        assert_eq!(read(&content, 0..6).unwrap(), b"olNEWd");
    }

    #[test]
    fn a_fetch_of_the_revision_before_is_too_late() {
        let (_dir, content) = content(6);
        let before = content.generation();
        content.write_at(b"newnew", 0).unwrap();
        content.mark_clean(6);
        content.evict(0..6).unwrap();
        assert!(!content.fill_of(before, &[b"oldold"], 0, None).unwrap());
        assert_eq!(read(&content, 0..6), None);
        assert!(content.fill_of(content.generation(), &[b"newnew"], 0, None).unwrap());
        assert_eq!(read(&content, 0..6).unwrap(), b"newnew");
    }

    #[test]
    fn what_is_not_the_file_it_should_be_is_never_complete() {
        let (_dir, content) = content(6);
        content.mark_clean(6);
        content.evict(0..6).unwrap();
        let fill = |bytes: &[u8], at, crc| content.fill_of(1, &[bytes], at, Some(crc));
        let right = verify::crc64(&[b"abcdef"]);
        fill(b"def", 3, right).unwrap();
        assert_eq!(fill(b"abX", 0, right).unwrap_err().kind(), Kind::Corrupt);
        assert_eq!(read(&content, 0..3), None);
        content.evict(0..6).unwrap();
        fill(b"def", 3, right).unwrap();
        fill(b"abc", 0, right).unwrap();
        assert_eq!(read(&content, 0..6).unwrap(), b"abcdef");
    }

    #[test]
    fn what_was_cut_off_stays_gone() {
        let (_dir, content) = content(6);
        content.fill(b"abcdef", 0).unwrap();
        content.truncate(2).unwrap();
        content.truncate(5).unwrap();
        content.fill(b"abcdef", 0).unwrap();
        assert_eq!(read(&content, 0..5).unwrap(), b"ab\0\0\0");
    }

    #[test]
    fn holes_are_found_and_what_is_not_here_is_data() {
        const BLOCK: u64 = 1 << 16;
        let (_dir, content) = content(3 * BLOCK);
        content.truncate(8 * BLOCK).unwrap();
        content.write_at(&vec![1; BLOCK as usize], 6 * BLOCK).unwrap();
        // Missing, missing, zeros, a hole up to 6, bytes, a hole.
        content.zero(2 * BLOCK..3 * BLOCK).unwrap();
        let size = 8 * BLOCK;
        assert_eq!(content.next_data(0, size), Some(0));
        assert_eq!(content.next_hole(0, size), 2 * BLOCK);
        assert_eq!(content.next_data(2 * BLOCK, size), Some(6 * BLOCK));
        assert_eq!(content.next_hole(6 * BLOCK, size), 7 * BLOCK);
        assert_eq!(content.next_data(7 * BLOCK, size), None);
        assert_eq!(content.next_hole(7 * BLOCK + 1, size), 7 * BLOCK + 1);
    }

    #[test]
    fn dirty_content_is_not_evicted() {
        let (_dir, content) = content(0);
        content.write_at(b"abc", 0).unwrap();
        content.evict(0..3).unwrap();
        assert_eq!(read(&content, 0..3).unwrap(), b"abc");
        content.mark_clean(3);
        content.evict(0..3).unwrap();
        assert_eq!(read(&content, 0..3), None);
    }
}
