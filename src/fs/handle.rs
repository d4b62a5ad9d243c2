//! Open files and directories, and what a close means.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::body::Body;
use crate::content::lock;
use crate::pds::model::RevisionId;
use crate::read::window::Window;
use crate::tree::{DirEntry, Ino};

/// An open file.
pub struct FileHandle {
    /// What is read and written.
    pub body: Arc<Body>,
    /// The process that opened it (its thread group); 0 when unknown.
    pub opener: u32,
    /// Opened for reading.
    pub readable: bool,
    /// Opened for writing.
    pub writable: bool,
    /// Writes go to the end.
    pub append: bool,
    /// Something was changed through it, or by opening it (a new file, `O_TRUNC`).
    pub changed: AtomicBool,
    /// Bytes were written through it.
    pub wrote: AtomicBool,
    /// The history of its reads.
    pub window: Mutex<Window>,
}

/// An open directory: its entries as they were when it was opened or rewound, so that offsets stay valid.
pub struct DirHandle {
    /// Which directory.
    pub ino: Ino,
    /// Its entries; an entry's offset is its place here.
    pub entries: Mutex<Arc<Vec<DirEntry>>>,
}

/// Files whose pages the kernel may have are remembered up to this many.
const MAX_PAGES: usize = 64 * 1024;

/// The revision that the pages of an inode in the kernel are of, if the kernel has any: whoever opens the same
/// revision again need not read it again.
#[derive(Default)]
pub struct Pages {
    revisions: Mutex<HashMap<Ino, RevisionId>>,
}

impl Pages {
    /// From now on the pages are of `revision`, or of nobody knows what. Whether they were of it already.
    pub fn swap(&self, ino: Ino, revision: Option<RevisionId>) -> bool {
        let mut revisions = lock(&self.revisions);
        let Some(revision) = revision else {
            revisions.remove(&ino);
            return false;
        };
        if revisions.len() >= MAX_PAGES {
            // The next open of each reads anew, no more.
            revisions.clear();
        }
        revisions.insert(ino, revision.clone()) == Some(revision)
    }
}

/// All open handles.
#[derive(Default)]
pub struct Handles {
    files: RwLock<HashMap<u64, Arc<FileHandle>>>,
    dirs: Mutex<HashMap<u64, Arc<DirHandle>>>,
    next: AtomicU64,
}

impl Handles {
    /// Opens.
    pub fn insert_file(&self, handle: FileHandle) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        self.files.write().unwrap_or_else(PoisonError::into_inner).insert(number, Arc::new(handle));
        number
    }

    /// An open file.
    pub fn file(&self, number: u64) -> Option<Arc<FileHandle>> {
        self.files.read().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
    }

    /// Closes.
    pub fn remove_file(&self, number: u64) -> Option<Arc<FileHandle>> {
        self.files.write().unwrap_or_else(PoisonError::into_inner).remove(&number)
    }

    /// Whether another handle of this body is open for writing.
    pub fn has_writer(&self, body: &Arc<Body>) -> bool {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.values().any(|handle| handle.writable && Arc::ptr_eq(&handle.body, body))
    }

    /// How many other handles of the same inode the process that opened this one has opened.
    pub fn others_of_opener(&self, handle: &Arc<FileHandle>) -> usize {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let is_other = |other: &&Arc<FileHandle>| {
            other.body.ino == handle.body.ino && other.opener == handle.opener && !Arc::ptr_eq(other, handle)
        };
        files.values().filter(is_other).count()
    }

    /// Makes the closes of all handles that write this body wait for it, because it was changed by its name.
    /// Whether there are any.
    pub fn charge_writers(&self, body: &Arc<Body>) -> bool {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let writers = files.values().filter(|handle| handle.writable && Arc::ptr_eq(&handle.body, body));
        writers.map(|handle| handle.changed.store(true, Ordering::Relaxed)).count() > 0
    }

    /// Whether a handle of the same inode is open on another body than this: on an earlier revision.
    pub fn has_other_revision(&self, body: &Arc<Body>) -> bool {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.values().any(|handle| handle.body.ino == body.ino && !Arc::ptr_eq(&handle.body, body))
    }

    /// Opens.
    pub fn insert_dir(&self, handle: DirHandle) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        lock(&self.dirs).insert(number, Arc::new(handle));
        number
    }

    /// An open directory.
    pub fn dir(&self, number: u64) -> Option<Arc<DirHandle>> {
        lock(&self.dirs).get(&number).cloned()
    }

    /// Closes.
    pub fn remove_dir(&self, number: u64) {
        lock(&self.dirs).remove(&number);
    }
}

/// Whether a handle has more descriptors than the one that is being closed: another close of it will come then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    /// It has none.
    None,
    /// It has some, as after a shell redirected.
    Some,
    /// It may have some. Nobody may rely on another close.
    Perhaps,
}

impl Duplicates {
    /// From the `descriptors` of the file that the process has left, if they can be seen, and the number of `others`:
    /// handles of the file that it opened besides this one, to which a descriptor may belong as well.
    pub fn of(descriptors: Option<usize>, others: usize) -> Self {
        match descriptors {
            Some(descriptors) if descriptors <= others => Duplicates::None,
            Some(_) if others == 0 => Duplicates::Some,
            Some(_) | None => Duplicates::Perhaps,
        }
    }
}

/// What is known when a descriptor is closed.
#[derive(Clone, Copy, Debug)]
pub struct Close {
    /// The drive lacks something of the file.
    pub is_dirty: bool,
    /// This handle changed it.
    pub handle_changed: bool,
    /// This handle wrote bytes.
    pub handle_wrote: bool,
    /// The process is the one that opened the file, or unknown.
    pub by_opener: bool,
    /// The handle has, or may have, other descriptors, as a shell's has after redirecting.
    pub has_duplicates: bool,
}

/// What a close has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnClose {
    /// Nothing to tell.
    Nothing,
    /// Not the close that matters: what is dirty goes to the drive when the last descriptor is closed.
    Defer,
    /// Bring it to the drive and tell how that went.
    Complete,
}

/// Which of the closes of a file is the one that must tell the truth. A descriptor is closed many times:
/// after `dup`, by every child of a fork, by a shell right after it opened the file for a command.
pub fn on_close(close: Close) -> OnClose {
    if !close.is_dirty || !close.handle_changed {
        return OnClose::Nothing;
    }
    if !close.by_opener {
        return OnClose::Defer;
    }
    if !close.handle_wrote && close.has_duplicates {
        return OnClose::Defer;
    }
    OnClose::Complete
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_of_other_handles_are_no_duplicates() {
        assert_eq!(Duplicates::of(Some(0), 0), Duplicates::None);
        assert_eq!(Duplicates::of(Some(1), 0), Duplicates::Some);
        assert_eq!(Duplicates::of(Some(1), 1), Duplicates::None);
        assert_eq!(Duplicates::of(Some(2), 1), Duplicates::Perhaps);
        assert_eq!(Duplicates::of(None, 0), Duplicates::Perhaps);
    }

    const CP: Close = Close {
        is_dirty: true,
        handle_changed: true,
        handle_wrote: true,
        by_opener: true,
        has_duplicates: false,
    };

    #[test]
    fn the_opener_that_wrote_is_told() {
        assert_eq!(on_close(CP), OnClose::Complete);
        assert_eq!(on_close(Close { has_duplicates: true, ..CP }), OnClose::Complete);
    }

    #[test]
    fn an_empty_file_is_completed_by_its_only_close() {
        assert_eq!(on_close(Close { handle_wrote: false, ..CP }), OnClose::Complete);
    }

    #[test]
    fn a_shell_that_only_opened_the_file_for_a_command_is_not_the_one() {
        assert_eq!(on_close(Close { handle_wrote: false, has_duplicates: true, ..CP }), OnClose::Defer);
    }

    #[test]
    fn a_child_that_inherited_the_descriptor_is_not_the_one() {
        assert_eq!(on_close(Close { by_opener: false, ..CP }), OnClose::Defer);
    }

    #[test]
    fn a_reader_is_told_nothing_about_others() {
        assert_eq!(on_close(Close { handle_changed: false, ..CP }), OnClose::Nothing);
        assert_eq!(on_close(Close { is_dirty: false, ..CP }), OnClose::Nothing);
    }
}
