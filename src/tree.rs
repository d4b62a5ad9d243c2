//! The tree: inodes, names and the File of each, as far as this mount has seen the drive.
//!
//! A node is a file or folder of the drive, or a draft that the drive does not have yet. Directories are
//! loaded whole, at once, and then kept true by our own changes and by the change feed ([`feed`]).
//!
//! Everything known is in memory in short ([`slot`]), and in full in the [`index`] on disk, so that it is known
//! again after a restart: one poll of the feed brings it up to date. Files go to the index together with the
//! feed's cursor, in one transaction: what is there may be newer than the cursor, never older, and news that
//! are told twice are ignored.
//!
//! Ticks: every change made here and every question to the drive takes a tick of one clock; what an answer
//! changes counts as changed when it was asked for. An answer to a question that is older than a node's last
//! change tells nothing new about that node, so it is ignored for it; this is how our own changes survive
//! the echo of older news.
//!
//! Locking: one plain mutex, a leaf, held for map work only. Only [`Tree::node`] and [`Tree::save`] use the local
//! disk, without that lock.
//!
//! What it does not do: content, uploads, times and modes that exist only locally are `fs`'s.

pub mod feed;
pub mod index;
pub mod names;
pub mod posix;

mod apply;
mod slot;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;

use crate::content::lock;
use crate::error::Result;
use crate::pds::model::{File, FileId, FileKind};
use index::{Batch, Index, Row};
use slot::{Left, NO_TIME, Slot};

/// An inode number, stable for a file for as long as the index lives.
pub type Ino = u64;

/// The inode of the mount's root.
pub const ROOT: Ino = 1;

/// Files kept in memory in full after they were used or written to the index.
const MAX_HOT: usize = 4096;

/// Things the kernel is to be told that may wait; more mean that nobody listens.
const MAX_INVALIDATIONS: usize = 1 << 20;

/// Times and mode that a program set here, before or beside what the drive keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalAttributes {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Last access.
    pub accessed_at: Option<SystemTime>,
    /// Last modification; the drive's when absent.
    pub modified_at: Option<SystemTime>,
    /// Last change of anything.
    pub changed_at: Option<SystemTime>,
}

/// A copy of what is known of a node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its inode.
    pub ino: Ino,
    /// The directory it is in; itself for the root.
    pub parent: Ino,
    /// The name shown.
    pub name: Arc<str>,
    /// File or folder.
    pub kind: FileKind,
    /// As the drive described it; `None` for a draft that never was there.
    pub file: Option<Arc<File>>,
    /// Set here.
    pub local: LocalAttributes,
    /// Reachable by its name; false after unlink.
    pub linked: bool,
    /// A program took its name away here: what is written to it is for nobody else. Without this, a node
    /// that is not linked was taken away by others.
    pub removed: bool,
    /// When the drive last told about it.
    pub seen_at: Instant,
}

impl Node {
    /// The id on the drive, once it has one.
    pub fn id(&self) -> Option<&FileId> {
        self.file.as_ref().map(|file| &file.id)
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.kind == FileKind::Folder
    }
}

/// The part of a node that `stat` and look-ups need: always in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its inode.
    pub ino: Ino,
    /// The directory it is in; itself for the root.
    pub parent: Ino,
    /// File or folder.
    pub kind: FileKind,
    /// A file that is a symbolic link.
    pub is_link: bool,
    /// It never was on the drive.
    pub is_draft: bool,
    /// Reachable by its name; false after unlink.
    pub linked: bool,
    /// A program took its name away here.
    pub removed: bool,
    /// Bytes on the drive.
    pub size: u64,
    /// The client's time, else the drive's (pds-api.md 4.3).
    pub modified_at: Option<SystemTime>,
    /// Last change on the drive.
    pub changed_at: Option<SystemTime>,
    /// The client's birth time, else the drive's.
    pub created_at: Option<SystemTime>,
    /// Permission bits kept on the drive.
    pub mode: Option<u32>,
    /// Owner kept on the drive.
    pub uid: Option<u32>,
    /// Group kept on the drive.
    pub gid: Option<u32>,
    /// Set here.
    pub local: LocalAttributes,
}

impl Facts {
    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.kind == FileKind::Folder
    }
}

/// What a look-up found.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// It is there.
    Found(Box<Facts>),
    /// The directory is loaded and has no such name.
    Absent,
    /// The directory is not loaded.
    Unknown,
    /// The parent is gone or not a folder.
    NoDirectory,
}

/// One entry of a directory.
#[derive(Clone, Debug)]
pub struct DirEntry {
    /// Its inode.
    pub ino: Ino,
    /// The name shown.
    pub name: Arc<str>,
    /// File or folder.
    pub kind: FileKind,
    /// A file that is a symbolic link.
    pub is_link: bool,
}

/// What the kernel has cached and should not have any more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Invalidation {
    /// Size, times, mode.
    Attributes(Ino),
    /// That a directory has this name.
    Entry {
        /// The directory.
        parent: Ino,
        /// The name.
        name: Arc<str>,
    },
}

/// See the module's documentation.
pub struct Tree {
    inner: Mutex<Inner>,
    index: Option<Index>,
    /// Held while the index is written, so that its steps stay in order.
    saving: Mutex<()>,
}

struct Inner {
    nodes: HashMap<Ino, Box<Slot>>,
    by_id: HashMap<FileId, Ino>,
    next_ino: Ino,
    tick: u64,
    /// What the index does not have as it is.
    dirty: HashSet<Ino>,
    /// What is on its way into the index.
    saving: HashSet<Ino>,
    /// Where the feed was when it last told something, and whether the index has that.
    cursor: Option<Arc<str>>,
    cursor_is_dirty: bool,
    /// Nodes with a File in memory that the index has, too; oldest first.
    hot: VecDeque<Ino>,
    /// What the kernel is to be told; only kept while somebody tells it.
    invalidations: Option<Untold>,
    epoch: Instant,
}

/// What the kernel is to be told, and who does it.
struct Untold {
    waiting: HashSet<Invalidation>,
    teller: Arc<Notify>,
}

impl Tree {
    /// A tree with nothing but the root, and no index.
    pub fn new() -> Self {
        Tree { inner: Mutex::new(Inner::new()), index: None, saving: Mutex::new(()) }
    }

    /// What the index knows from earlier. The cursor, if there is one, is what to poll from.
    ///
    /// # Errors
    /// The local disk fails.
    pub fn open(index: Index) -> Result<Self> {
        let mut inner = Inner::new();
        let stored = index.load()?;
        inner.restore(stored);
        Ok(Tree { inner: Mutex::new(inner), index: Some(index), saving: Mutex::new(()) })
    }

    /// Where the feed was when what is known was true.
    pub fn cursor(&self) -> Option<Arc<str>> {
        lock(&self.inner).cursor.clone()
    }

    /// All news before this were taken in; `None` when the feed cannot be followed.
    pub fn set_cursor(&self, cursor: Option<&str>) {
        let mut inner = lock(&self.inner);
        if inner.cursor.as_deref() != cursor {
            inner.cursor = cursor.map(Arc::from);
            inner.cursor_is_dirty = true;
        }
    }

    /// Writes what changed to the index, as one step. Blocks on the local disk.
    ///
    /// # Errors
    /// The local disk fails or is full; what was not written stays in memory.
    pub fn save(&self) -> Result<()> {
        let Some(index) = &self.index else { return Ok(()) };
        let _turn = lock(&self.saving);
        let Some(batch) = lock(&self.inner).batch() else { return Ok(()) };
        let saved = index.save(&batch);
        lock(&self.inner).after_save(&batch, saved.is_ok());
        saved
    }

    /// How many changes the index does not have yet.
    pub fn unsaved(&self) -> usize {
        lock(&self.inner).dirty.len()
    }

    /// Begins to collect what the kernel is to be told; `teller` is woken whenever there is something.
    pub fn collect_invalidations(&self, teller: Arc<Notify>) {
        lock(&self.inner).invalidations = Some(Untold { waiting: HashSet::new(), teller });
    }

    /// What the kernel is to be told since the last time.
    pub fn take_invalidations(&self) -> Vec<Invalidation> {
        let mut inner = lock(&self.inner);
        let waiting = inner.invalidations.as_mut().map(|untold| std::mem::take(&mut untold.waiting));
        waiting.into_iter().flatten().collect()
    }

    /// Whether the kernel is to be told to ask again for the attributes of a node; it counts as told then.
    pub fn take_attribute_invalidation(&self, ino: Ino) -> bool {
        let mut inner = lock(&self.inner);
        inner
            .invalidations
            .as_mut()
            .is_some_and(|untold| untold.waiting.remove(&Invalidation::Attributes(ino)))
    }

    /// The kernel is to ask again for the attributes of a node.
    pub fn invalidate(&self, ino: Ino) {
        lock(&self.inner).tell_attributes(ino);
    }

    /// Nodes known.
    pub fn len(&self) -> usize {
        lock(&self.inner).nodes.len()
    }

    /// Whether nothing is known but the root.
    pub fn is_empty(&self) -> bool {
        self.len() <= 1
    }

    /// What is known of an inode. Its File may have to be read from the local disk.
    pub fn node(&self, ino: Ino) -> Option<Node> {
        loop {
            let stamp = {
                let inner = lock(&self.inner);
                let slot = inner.nodes.get(&ino)?;
                if !slot.is_cold() {
                    return Some(inner.node(ino, slot));
                }
                slot.stamp
            };
            let file = self.index.as_ref().and_then(|index| index.file(ino));
            let mut inner = lock(&self.inner);
            let slot = inner.nodes.get_mut(&ino)?;
            if !slot.is_cold() || slot.stamp != stamp {
                continue;
            }
            match file.filter(|file| Some(&file.id) == slot.id.as_ref()) {
                Some(file) => slot.file = Some(Arc::new(file)),
                None => {
                    // The index is damaged: the folder is listed again when it is used.
                    let parent = slot.parent;
                    inner.unload(parent);
                    return None;
                }
            }
            inner.heat(ino);
            let slot = inner.nodes.get(&ino)?;
            return Some(inner.node(ino, slot));
        }
    }

    /// What `stat` needs of an inode.
    pub fn facts(&self, ino: Ino) -> Option<Facts> {
        lock(&self.inner).nodes.get(&ino).map(|slot| slot.facts(ino))
    }

    /// The inode of a file of the drive.
    pub fn by_id(&self, id: &FileId) -> Option<Ino> {
        lock(&self.inner).by_id.get(id).copied()
    }

    /// The id of a node on the drive.
    pub fn id_of(&self, ino: Ino) -> Option<FileId> {
        if ino == ROOT {
            return Some(FileId::root());
        }
        lock(&self.inner).nodes.get(&ino)?.id.clone()
    }

    /// Looks a name up.
    pub fn lookup(&self, parent: Ino, name: &str) -> Lookup {
        let inner = lock(&self.inner);
        let Some(slot) = inner.nodes.get(&parent).filter(|slot| slot.is_folder()) else {
            return Lookup::NoDirectory;
        };
        let Some(dir) = slot.children() else { return Lookup::Unknown };
        match dir.by_name.get(name).and_then(|ino| Some((*ino, inner.nodes.get(ino)?))) {
            Some((ino, slot)) => Lookup::Found(Box::new(slot.facts(ino))),
            None if dir.loaded_at.is_some() => Lookup::Absent,
            None => Lookup::Unknown,
        }
    }

    /// When a directory was loaded; `None` when it is not.
    pub fn loaded_at(&self, dir: Ino) -> Option<Instant> {
        lock(&self.inner).nodes.get(&dir)?.dir.as_ref()?.loaded_at
    }

    /// The entries of a directory in the order of their names.
    pub fn entries(&self, dir: Ino) -> Vec<DirEntry> {
        let inner = lock(&self.inner);
        let children = inner.nodes.get(&dir).and_then(|slot| slot.children());
        let names = children.into_iter().flat_map(|dir| &dir.by_name);
        let entry = |(name, ino)| {
            let slot = inner.nodes.get(ino)?;
            let is_link = slot.brief.is_link;
            Some(DirEntry { ino: *ino, name: Arc::clone(name), kind: slot.kind, is_link })
        };
        names.filter_map(entry).collect()
    }

    /// Folders that are not loaded, among the children of `dir` and its siblings behind it: what a program that
    /// walks the tree looks into next. At most `most`.
    pub fn next_to_visit(&self, dir: Ino, most: usize) -> Vec<Ino> {
        lock(&self.inner).next_to_visit(dir, most)
    }

    /// Loaded folders of which the kernel knows something.
    pub fn known_to_kernel(&self) -> Vec<Ino> {
        let inner = lock(&self.inner);
        let held = |ino: Ino, slot: &Slot| {
            slot.is_folder() && slot.dir.is_some() && (slot.lookups > 0 || ino == ROOT)
        };
        inner.nodes.iter().filter(|(ino, slot)| held(**ino, slot)).map(|(ino, _)| *ino).collect()
    }

    /// The path of an inode below the mount's root, for messages.
    pub fn path(&self, ino: Ino) -> String {
        let inner = lock(&self.inner);
        let mut names = Vec::new();
        let mut at = ino;
        while let Some(slot) = inner.nodes.get(&at) {
            if at == ROOT || names.len() > 1024 {
                break;
            }
            names.push(&*slot.name);
            at = slot.parent;
        }
        names.reverse();
        names.join("/")
    }

    /// Whether `ino` is `ancestor` or below it.
    pub fn is_below(&self, ino: Ino, ancestor: Ino) -> bool {
        let inner = lock(&self.inner);
        let mut at = ino;
        loop {
            if at == ancestor {
                return true;
            }
            match inner.nodes.get(&at) {
                Some(slot) if at != ROOT && slot.parent != at => at = slot.parent,
                _ => return false,
            }
        }
    }

    /// The time of a question, to be taken before asking the drive and given back with its answer.
    pub fn ask(&self) -> u64 {
        lock(&self.inner).advance()
    }

    /// Takes in a complete listing of `dir` that was asked for at `asked`.
    pub fn apply_listing(&self, dir: Ino, files: Vec<File>, asked: u64, now: Instant) {
        lock(&self.inner).apply_listing(dir, files, asked, now);
    }

    /// A new draft in `parent`, which has no entry `name`.
    pub fn insert_draft(&self, parent: Ino, name: &str, local: LocalAttributes) -> Node {
        let mut inner = lock(&self.inner);
        let (ino, tick, name) = (inner.fresh_ino(), inner.advance(), Arc::<str>::from(name));
        let mut slot = Slot::new(parent, Arc::clone(&name), FileKind::File, tick);
        slot.local = Some(Box::new(local));
        slot.seen = inner.seconds();
        let node = inner.node(ino, &slot);
        inner.nodes.insert(ino, Box::new(slot));
        inner.link(parent, name, ino);
        node
    }

    /// A file or folder that was just created on the drive by us.
    pub fn insert_file(&self, parent: Ino, file: File, local: LocalAttributes) -> Option<Node> {
        let mut inner = lock(&self.inner);
        let tick = inner.advance();
        let ino = inner.place(parent, file, tick)?;
        let slot = inner.nodes.get_mut(&ino)?;
        slot.local = Some(Box::new(local));
        if slot.is_folder() && slot.children().is_none() {
            // Nobody can have put anything into a folder that was not there a moment ago.
            let dir = slot.dir_mut();
            dir.loaded_at = Some(Instant::now());
            dir.is_known = true;
        }
        let slot = inner.nodes.get(&ino)?;
        Some(inner.node(ino, slot))
    }

    /// The drive's new description of a node, from the reply to a change of ours. The name shown follows
    /// the drive only when `rename`d by the caller.
    pub fn publish(&self, ino: Ino, file: Arc<File>) {
        let mut inner = lock(&self.inner);
        let tick = inner.advance();
        let seconds = inner.seconds();
        let Some(slot) = inner.nodes.get_mut(&ino) else { return };
        let before = slot.id.clone().filter(|before| *before != file.id);
        let (parent, version) = (slot.parent, slot.brief.changed);
        slot.changed = tick;
        slot.seen = seconds;
        slot.describe(Arc::clone(&file), tick);
        inner.dirty.insert(ino);
        inner.tell_attributes(ino);
        if let Some(before) = before
            && inner.by_id.get(&before) == Some(&ino)
        {
            inner.by_id.remove(&before);
            inner.note_left(parent, Left { id: before, tick, version });
        }
        if let Some(other) = inner.by_id.insert(file.id.clone(), ino).filter(|other| *other != ino) {
            inner.unlink(other, tick, true);
        }
    }

    /// Changes what was set here.
    pub fn set_local(&self, ino: Ino, change: impl FnOnce(&mut LocalAttributes)) {
        let mut inner = lock(&self.inner);
        if let Some(slot) = inner.nodes.get_mut(&ino) {
            let mut local = slot.local.as_deref().copied().unwrap_or_default();
            change(&mut local);
            slot.local = (local != LocalAttributes::default()).then(|| Box::new(local));
        }
        inner.tell_attributes(ino);
    }

    /// Takes a node out of its directory; it lives on while it is open or known to the kernel.
    pub fn remove(&self, ino: Ino) {
        let mut inner = lock(&self.inner);
        if let Some(slot) = inner.nodes.get_mut(&ino) {
            slot.removed = true;
        }
        let tick = inner.advance();
        inner.unlink(ino, tick, true);
        inner.reap(ino);
    }

    /// As [`Tree::remove`] where the kernel did not ask for it.
    pub fn give_up(&self, ino: Ino) {
        let mut inner = lock(&self.inner);
        if let Some(slot) = inner.nodes.get_mut(&ino) {
            slot.removed = true;
        }
        let tick = inner.advance();
        inner.unlink(ino, tick, false);
        inner.reap(ino);
    }

    /// Size and times of a node changed where the kernel did not ask for it.
    pub fn tell_changed(&self, ino: Ino) {
        lock(&self.inner).tell_attributes(ino);
    }

    /// The drive no longer has `file`, by a change of ours: news of it that was asked for before now is old.
    pub fn vanished(&self, file: &File) {
        let mut inner = lock(&self.inner);
        if let Some(ino) = inner.by_id.get(&file.id).copied() {
            let tick = inner.advance();
            inner.unlink(ino, tick, true);
            inner.reap(ino);
        }
        let tick = inner.advance();
        let dir = file.parent.as_ref().and_then(|parent| inner.by_id.get(parent)).copied();
        let version = slot::nanos(&file.updated_at);
        if let Some(dir) = dir {
            inner.note_left(dir, Left { id: file.id.clone(), tick, version });
        }
    }

    /// Gives a node that others took away its place back, as a draft: what was written here is not lost by
    /// what they did. Its name may differ, when theirs has it now.
    pub fn revive(&self, ino: Ino) {
        let mut inner = lock(&self.inner);
        let Some(slot) = inner.nodes.get(&ino).filter(|slot| !slot.linked && !slot.removed) else {
            return;
        };
        let (parent, name) = (slot.parent, Arc::clone(&slot.name));
        let name: Arc<str> = names::first_free(&name, |name| inner.child(parent, name).is_some()).into();
        let tick = inner.advance();
        inner.link(parent, Arc::clone(&name), ino);
        if let Some(slot) = inner.nodes.get_mut(&ino) {
            slot.name = name;
            slot.file = None;
            slot.id = None;
            slot.drive_name = None;
            slot.linked = true;
            slot.changed = tick;
        }
        inner.unload(parent);
    }

    /// Takes a node out of its directory because others moved it out of sight.
    pub fn take_away(&self, ino: Ino) {
        let mut inner = lock(&self.inner);
        let tick = inner.advance();
        inner.unlink(ino, tick, false);
        inner.reap(ino);
    }

    /// Whether the folder of `file` is known to have another entry of the same name on the drive.
    pub fn has_namesake(&self, file: &File) -> bool {
        let inner = lock(&self.inner);
        let dir = file.parent.as_ref().and_then(|parent| inner.by_id.get(parent));
        let children = dir.and_then(|dir| inner.nodes.get(dir)).and_then(|slot| slot.children());
        let mut slots =
            children.into_iter().flat_map(|dir| dir.by_name.values()).filter_map(|ino| inner.nodes.get(ino));
        slots.any(|other| {
            other.id.as_ref().is_some_and(|id| *id != file.id) && *other.drive_name() == *file.name
        })
    }

    /// Gives a node another place. An entry that has the name there is taken out first.
    pub fn relocate(&self, ino: Ino, parent: Ino, name: &str) {
        let mut inner = lock(&self.inner);
        let tick = inner.advance();
        inner.unlink_name(ino);
        if let Some(other) = inner.child(parent, name).filter(|other| *other != ino) {
            inner.unlink(other, tick, true);
        }
        let name: Arc<str> = name.into();
        inner.link(parent, Arc::clone(&name), ino);
        if let Some(slot) = inner.nodes.get_mut(&ino) {
            slot.parent = parent;
            slot.show_as(name);
            slot.note_drive_name();
            slot.linked = true;
            slot.removed = false;
            slot.changed = tick;
            inner.dirty.insert(ino);
        }
    }

    /// Forgets the listing of a directory, so that the next use loads it.
    pub fn unload(&self, dir: Ino) {
        lock(&self.inner).unload(dir);
    }

    /// Forgets all listings.
    pub fn unload_all(&self) {
        let mut inner = lock(&self.inner);
        let is_loaded = |slot: &Slot| slot.dir.as_ref().is_some_and(|dir| dir.loaded_at.is_some());
        let loaded = inner.nodes.iter().filter(|(_, slot)| is_loaded(slot));
        let loaded: Vec<Ino> = loaded.map(|(ino, _)| *ino).collect();
        for dir in loaded {
            inner.unload(dir);
        }
    }

    /// Takes in one change of the feed that was asked for at `asked`.
    pub fn apply_change(&self, change: feed::Change, asked: u64) {
        lock(&self.inner).apply_change(change, asked);
    }

    /// The kernel got a reference. Raised before the reply, because `forget` can race it.
    pub fn refer(&self, ino: Ino) {
        if let Some(slot) = lock(&self.inner).nodes.get_mut(&ino) {
            slot.lookups += 1;
        }
    }

    /// The kernel gave `count` references back.
    pub fn forget(&self, ino: Ino, count: u64) {
        let mut inner = lock(&self.inner);
        if let Some(slot) = inner.nodes.get_mut(&ino) {
            slot.lookups = slot.lookups.saturating_sub(count);
        }
        inner.reap(ino);
    }

    /// A handle was opened.
    pub fn open_handle(&self, ino: Ino) {
        if let Some(slot) = lock(&self.inner).nodes.get_mut(&ino) {
            slot.opens += 1;
        }
    }

    /// A handle was closed. Says whether it was the last.
    pub fn close(&self, ino: Ino) -> bool {
        let mut inner = lock(&self.inner);
        let Some(slot) = inner.nodes.get_mut(&ino) else { return true };
        slot.opens = slot.opens.saturating_sub(1);
        let last = slot.opens == 0;
        inner.reap(ino);
        last
    }

    /// Open handles of a node.
    pub fn opens(&self, ino: Ino) -> u32 {
        lock(&self.inner).nodes.get(&ino).map_or(0, |slot| slot.opens)
    }
}

impl Default for Tree {
    fn default() -> Self {
        Tree::new()
    }
}

#[cfg(test)]
mod tests;
