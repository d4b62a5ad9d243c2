//! The tree: inodes, names and the File of each, as far as this mount has seen the drive.
//!
//! A node is a file or folder of the drive, or a draft that the drive does not have yet. Directories are
//! loaded whole, at once, and then kept true by our own changes and by the change feed ([`feed`]).
//!
//! Ticks: every change made here and every question to the drive takes a tick of one clock; what an answer
//! changes counts as changed when it was asked for. An answer to a question that is older than a node's last
//! change tells nothing new about that node, so it is ignored for it; this is how our own changes survive
//! the echo of older news.
//!
//! Locking: one plain mutex, a leaf, held for map work only. No method here does I/O.
//!
//! What it does not do: content, uploads, times and modes that exist only locally are `fs`'s.

pub mod feed;
pub mod names;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::content::lock;
use crate::pds::model::{File, FileId, FileKind};

/// An inode number, stable for a file for the life of the mount.
pub type Ino = u64;

/// The inode of the mount's root.
pub const ROOT: Ino = 1;

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
    pub accessed_at: Option<std::time::SystemTime>,
    /// Last modification; the drive's when absent.
    pub modified_at: Option<std::time::SystemTime>,
    /// Last change of anything.
    pub changed_at: Option<std::time::SystemTime>,
}

/// A copy of what is known of a node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its inode.
    pub ino: Ino,
    /// The directory it is in; itself for the root.
    pub parent: Ino,
    /// The name shown.
    pub name: Box<str>,
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

/// What a look-up found.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// It is there.
    Found(Box<Node>),
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
    pub name: Box<str>,
    /// File or folder.
    pub kind: FileKind,
}

/// See the module's documentation.
pub struct Tree {
    inner: Mutex<Inner>,
}

struct Inner {
    nodes: HashMap<Ino, Slot>,
    by_id: HashMap<FileId, Ino>,
    next_ino: Ino,
    tick: u64,
}

struct Slot {
    node: Node,
    /// References the kernel holds.
    lookups: u64,
    /// Open handles.
    opens: u32,
    children: Option<Children>,
    /// The tick of its last change, here or by news.
    changed: u64,
    /// Ids that left this directory, with the tick: news older than that is no news.
    left: Vec<(FileId, u64)>,
}

#[derive(Default)]
struct Children {
    by_name: BTreeMap<Box<str>, Ino>,
    loaded_at: Option<Instant>,
}

/// Ids remembered as gone per directory; older ones are long settled.
const MAX_LEFT: usize = 1024;

impl Tree {
    /// A tree with nothing but the root.
    pub fn new() -> Self {
        let root = Node {
            ino: ROOT,
            parent: ROOT,
            name: "".into(),
            kind: FileKind::Folder,
            file: None,
            local: LocalAttributes::default(),
            linked: true,
            removed: false,
            seen_at: Instant::now(),
        };
        let mut inner = Inner { nodes: HashMap::new(), by_id: HashMap::new(), next_ino: ROOT + 1, tick: 0 };
        inner.by_id.insert(FileId::root(), ROOT);
        inner.nodes.insert(ROOT, Slot::new(root, 0));
        Tree { inner: Mutex::new(inner) }
    }

    /// What is known of an inode.
    pub fn node(&self, ino: Ino) -> Option<Node> {
        lock(&self.inner).nodes.get(&ino).map(|slot| slot.node.clone())
    }

    /// The inode of a file of the drive.
    pub fn by_id(&self, id: &FileId) -> Option<Ino> {
        lock(&self.inner).by_id.get(id).copied()
    }

    /// Looks a name up.
    pub fn lookup(&self, parent: Ino, name: &str) -> Lookup {
        let inner = lock(&self.inner);
        let Some(slot) = inner.nodes.get(&parent).filter(|slot| slot.node.is_folder()) else {
            return Lookup::NoDirectory;
        };
        let Some(children) = &slot.children else { return Lookup::Unknown };
        match children.by_name.get(name).and_then(|ino| inner.nodes.get(ino)) {
            Some(slot) => Lookup::Found(Box::new(slot.node.clone())),
            None if children.loaded_at.is_some() => Lookup::Absent,
            None => Lookup::Unknown,
        }
    }

    /// When a directory was loaded; `None` when it is not.
    pub fn loaded_at(&self, dir: Ino) -> Option<Instant> {
        lock(&self.inner).nodes.get(&dir)?.children.as_ref()?.loaded_at
    }

    /// The entries of a directory in the order of their names.
    pub fn entries(&self, dir: Ino) -> Vec<DirEntry> {
        let inner = lock(&self.inner);
        let children = inner.nodes.get(&dir).and_then(|slot| slot.children.as_ref());
        let names = children.into_iter().flat_map(|children| &children.by_name);
        let entry = |(name, ino)| {
            let kind = inner.nodes.get(ino)?.node.kind;
            Some(DirEntry { ino: *ino, name: Box::clone(name), kind })
        };
        names.filter_map(entry).collect()
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
            names.push(&*slot.node.name);
            at = slot.node.parent;
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
                Some(slot) if at != ROOT && slot.node.parent != at => at = slot.node.parent,
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
        let ino = inner.fresh_ino();
        let node = Node {
            ino,
            parent,
            name: name.into(),
            kind: FileKind::File,
            file: None,
            local,
            linked: true,
            removed: false,
            seen_at: Instant::now(),
        };
        let tick = inner.advance();
        inner.nodes.insert(ino, Slot::new(node.clone(), tick));
        inner.link(parent, name, ino);
        node
    }

    /// A file or folder that was just created on the drive by us.
    pub fn insert_file(&self, parent: Ino, file: File, local: LocalAttributes) -> Option<Node> {
        let mut inner = lock(&self.inner);
        let tick = inner.advance();
        let ino = inner.place(parent, file, tick, Instant::now())?;
        let slot = inner.nodes.get_mut(&ino)?;
        slot.node.local = local;
        if slot.node.is_folder() && slot.children.is_none() {
            // Nobody can have put anything into a folder that was not there a moment ago.
            slot.children = Some(Children { by_name: BTreeMap::new(), loaded_at: Some(Instant::now()) });
        }
        Some(slot.node.clone())
    }

    /// The drive's new description of a node, from the reply to a change of ours. The name shown follows
    /// the drive only when `rename`d by the caller.
    pub fn publish(&self, ino: Ino, file: Arc<File>) {
        let mut inner = lock(&self.inner);
        let tick = inner.advance();
        let Some(slot) = inner.nodes.get_mut(&ino) else { return };
        slot.changed = tick;
        slot.node.seen_at = Instant::now();
        let before = slot.node.file.replace(Arc::clone(&file));
        if let Some(before) = before.filter(|before| before.id != file.id)
            && inner.by_id.get(&before.id) == Some(&ino)
        {
            inner.by_id.remove(&before.id);
            inner.note_left(&before, tick);
        }
        if let Some(other) = inner.by_id.insert(file.id.clone(), ino).filter(|other| *other != ino) {
            inner.unlink(other, tick);
        }
    }

    /// Changes what was set here.
    pub fn set_local(&self, ino: Ino, change: impl FnOnce(&mut LocalAttributes)) {
        let mut inner = lock(&self.inner);
        if let Some(slot) = inner.nodes.get_mut(&ino) {
            change(&mut slot.node.local);
        }
    }

    /// Takes a node out of its directory; it lives on while it is open or known to the kernel.
    pub fn remove(&self, ino: Ino) {
        let mut inner = lock(&self.inner);
        if let Some(slot) = inner.nodes.get_mut(&ino) {
            slot.node.removed = true;
        }
        let tick = inner.advance();
        inner.unlink(ino, tick);
        inner.reap(ino);
    }

    /// The drive no longer has `file`, by a change of ours: news of it that was asked for before now is old.
    pub fn vanished(&self, file: &File) {
        let mut inner = lock(&self.inner);
        if let Some(ino) = inner.by_id.get(&file.id).copied() {
            let tick = inner.advance();
            inner.unlink(ino, tick);
            inner.reap(ino);
        }
        let tick = inner.advance();
        inner.note_left(file, tick);
    }

    /// Gives a node that others took away its place back, as a draft: what was written here is not lost by
    /// what they did. Its name may differ, when theirs has it now.
    pub fn revive(&self, ino: Ino) {
        let mut inner = lock(&self.inner);
        let Some(slot) = inner.nodes.get(&ino).filter(|slot| !slot.node.linked && !slot.node.removed) else {
            return;
        };
        let parent = slot.node.parent;
        let name = names::first_free(&slot.node.name, |name| inner.child(parent, name).is_some());
        let tick = inner.advance();
        inner.link(parent, &name, ino);
        if let Some(slot) = inner.nodes.get_mut(&ino) {
            slot.node.name = name;
            slot.node.file = None;
            slot.node.linked = true;
            slot.changed = tick;
        }
        if let Some(children) = inner.nodes.get_mut(&parent).and_then(|slot| slot.children.as_mut()) {
            children.loaded_at = None;
        }
    }

    /// Takes a node out of its directory because others moved it out of sight.
    pub fn take_away(&self, ino: Ino) {
        let mut inner = lock(&self.inner);
        let tick = inner.advance();
        inner.unlink(ino, tick);
        inner.reap(ino);
    }

    /// Whether the folder of `file` is known to have another entry of the same name on the drive.
    pub fn has_namesake(&self, file: &File) -> bool {
        let inner = lock(&self.inner);
        let dir = file.parent.as_ref().and_then(|parent| inner.by_id.get(parent));
        let children = dir.and_then(|dir| inner.nodes.get(dir)).and_then(|slot| slot.children.as_ref());
        let files = children
            .into_iter()
            .flat_map(|children| children.by_name.values())
            .filter_map(|ino| inner.nodes.get(ino)?.node.file.as_ref());
        files.into_iter().any(|other| other.name == file.name && other.id != file.id)
    }

    /// Gives a node another place. An entry that has the name there is taken out first.
    pub fn relocate(&self, ino: Ino, parent: Ino, name: &str) {
        let mut inner = lock(&self.inner);
        let tick = inner.advance();
        inner.unlink_name(ino);
        if let Some(other) = inner.child(parent, name) {
            inner.unlink(other, tick);
        }
        inner.link(parent, name, ino);
        if let Some(slot) = inner.nodes.get_mut(&ino) {
            slot.node.parent = parent;
            slot.node.name = name.into();
            slot.node.linked = true;
            slot.node.removed = false;
            slot.changed = tick;
        }
    }

    /// Forgets the listing of a directory, so that the next use loads it.
    pub fn unload(&self, dir: Ino) {
        let mut inner = lock(&self.inner);
        if let Some(children) = inner.nodes.get_mut(&dir).and_then(|slot| slot.children.as_mut()) {
            children.loaded_at = None;
        }
    }

    /// Forgets all listings.
    pub fn unload_all(&self) {
        for slot in lock(&self.inner).nodes.values_mut() {
            if let Some(children) = slot.children.as_mut() {
                children.loaded_at = None;
            }
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
    pub fn open(&self, ino: Ino) {
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

impl Slot {
    fn new(node: Node, tick: u64) -> Self {
        Slot { node, lookups: 0, opens: 0, children: None, changed: tick, left: Vec::new() }
    }

    fn leave(&mut self, id: FileId, tick: u64) {
        self.left.push((id, tick));
        let excess = self.left.len().saturating_sub(MAX_LEFT);
        self.left.drain(..excess);
    }
}

impl Inner {
    fn advance(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }

    fn fresh_ino(&mut self) -> Ino {
        let ino = self.next_ino;
        self.next_ino += 1;
        ino
    }

    fn child(&self, dir: Ino, name: &str) -> Option<Ino> {
        self.nodes.get(&dir)?.children.as_ref()?.by_name.get(name).copied()
    }

    fn link(&mut self, dir: Ino, name: &str, ino: Ino) {
        if let Some(slot) = self.nodes.get_mut(&dir) {
            slot.children.get_or_insert_default().by_name.insert(name.into(), ino);
        }
    }

    fn unlink_name(&mut self, ino: Ino) {
        let Some(slot) = self.nodes.get(&ino) else { return };
        let (dir, name) = (slot.node.parent, slot.node.name.clone());
        let Some(children) = self.nodes.get_mut(&dir).and_then(|slot| slot.children.as_mut()) else { return };
        if children.by_name.get(&name) == Some(&ino) {
            children.by_name.remove(&name);
        }
    }

    fn unlink(&mut self, ino: Ino, tick: u64) {
        if ino == ROOT {
            return;
        }
        self.unlink_name(ino);
        let Some(slot) = self.nodes.get_mut(&ino) else { return };
        slot.node.linked = false;
        slot.changed = tick;
        let (parent, id) = (slot.node.parent, slot.node.id().cloned());
        let Some(id) = id else { return };
        if self.by_id.get(&id) == Some(&ino) {
            self.by_id.remove(&id);
        }
        if let Some(dir) = self.nodes.get_mut(&parent) {
            dir.leave(id, tick);
        }
    }

    /// The file is no longer in its folder.
    fn note_left(&mut self, file: &File, tick: u64) {
        let dir = file.parent.as_ref().and_then(|parent| self.by_id.get(parent)).copied();
        if let Some(dir) = dir.and_then(|dir| self.nodes.get_mut(&dir)) {
            dir.leave(file.id.clone(), tick);
        }
    }

    /// Drops a node that nobody can reach any more, and what is below it.
    fn reap(&mut self, ino: Ino) {
        let mut doomed = vec![ino];
        while let Some(ino) = doomed.pop() {
            let idle = |slot: &Slot| !slot.node.linked && slot.lookups == 0 && slot.opens == 0;
            if !self.nodes.get(&ino).is_some_and(idle) {
                continue;
            }
            let Some(slot) = self.nodes.remove(&ino) else { continue };
            for child in slot.children.into_iter().flat_map(|children| children.by_name.into_values()) {
                if let Some(slot) = self.nodes.get_mut(&child) {
                    slot.node.linked = false;
                    if let Some(id) = slot.node.id().cloned()
                        && self.by_id.get(&id) == Some(&child)
                    {
                        self.by_id.remove(&id);
                    }
                    doomed.push(child);
                }
            }
        }
    }

    fn apply_listing(&mut self, dir: Ino, files: Vec<File>, asked: u64, now: Instant) {
        let Some(slot) = self.nodes.get(&dir) else { return };
        let newer = slot.left.iter().filter(|(_, tick)| *tick > asked);
        let left: Vec<FileId> = newer.map(|(id, _)| id.clone()).collect();
        let files: Vec<File> = files.into_iter().filter(|file| !left.contains(&file.id)).collect();
        let entries: Vec<names::Entry<'_>> = files
            .iter()
            .map(|file| names::Entry { name: &file.name, created_at: &file.created_at, id: file.id.as_str() })
            .collect();
        let shown = names::assign(&entries);
        self.drop_unlisted(dir, &files, asked);
        for (file, name) in files.into_iter().zip(shown) {
            self.place_listed(dir, file, &name, asked, now);
        }
        if let Some(slot) = self.nodes.get_mut(&dir) {
            slot.children.get_or_insert_default().loaded_at = Some(now);
        }
    }

    /// Takes out children the listing does not have, except drafts and what changed here since.
    fn drop_unlisted(&mut self, dir: Ino, files: &[File], asked: u64) {
        let listed: std::collections::HashSet<&FileId> = files.iter().map(|file| &file.id).collect();
        let children: Vec<Ino> = self
            .nodes
            .get(&dir)
            .and_then(|slot| slot.children.as_ref())
            .map(|children| children.by_name.values().copied().collect())
            .unwrap_or_default();
        for ino in children {
            let Some(slot) = self.nodes.get(&ino) else { continue };
            let gone = slot.node.id().is_some_and(|id| !listed.contains(id)) && slot.changed <= asked;
            if gone {
                self.unlink(ino, asked);
                self.reap(ino);
            }
        }
    }

    fn place_listed(&mut self, dir: Ino, file: File, name: &str, asked: u64, now: Instant) {
        let known = self.by_id.get(&file.id).copied();
        if let Some(ino) = known
            && self.nodes.get(&ino).is_some_and(|slot| slot.changed > asked)
        {
            return;
        }
        // A draft has the name here already: both stay, the draft under its name.
        let holder = self.child(dir, name).filter(|holder| Some(*holder) != known);
        let draft_has_it =
            holder.and_then(|ino| self.nodes.get(&ino)).is_some_and(|slot| slot.node.file.is_none());
        let name: Box<str> = if draft_has_it {
            let taken = |name: &str| self.child(dir, name).is_some_and(|ino| Some(ino) != known);
            names::first_free(&file.name, taken)
        } else {
            name.into()
        };
        self.place_as(dir, file, &name, asked, now);
    }

    /// Puts a file of the drive into `dir` under the first free name like its own.
    fn place(&mut self, dir: Ino, file: File, tick: u64, now: Instant) -> Option<Ino> {
        let known = self.by_id.get(&file.id).copied();
        let taken = |name: &str| self.child(dir, name).is_some_and(|ino| Some(ino) != known);
        let name = names::first_free(&file.name, taken);
        self.place_as(dir, file, &name, tick, now)
    }

    fn place_as(&mut self, dir: Ino, file: File, name: &str, tick: u64, now: Instant) -> Option<Ino> {
        let known = self.by_id.get(&file.id).copied().filter(|ino| self.nodes.contains_key(ino));
        let ino = known.unwrap_or_else(|| self.fresh_ino());
        if known.is_some() {
            self.unlink_name(ino);
        }
        let (id, kind) = (file.id.clone(), file.kind);
        let slot = self.nodes.entry(ino).or_insert_with(|| {
            let node = Node {
                ino,
                parent: dir,
                name: name.into(),
                kind,
                file: None,
                local: LocalAttributes::default(),
                linked: true,
                removed: false,
                seen_at: now,
            };
            Slot::new(node, tick)
        });
        slot.node.parent = dir;
        slot.node.name = name.into();
        slot.node.linked = true;
        slot.node.seen_at = now;
        slot.changed = slot.changed.max(tick);
        let same_content = slot.node.file.as_ref().is_some_and(|before| {
            before.revision == file.revision && before.local_modified_at == file.local_modified_at
        });
        if !same_content {
            slot.node.local.modified_at = None;
            slot.node.local.changed_at = None;
        }
        slot.node.file = Some(Arc::new(file));
        self.by_id.insert(id, ino);
        self.link(dir, name, ino);
        Some(ino)
    }

    fn apply_change(&mut self, change: feed::Change, asked: u64) {
        let known = self.by_id.get(change.id()).copied();
        if known.and_then(|ino| self.nodes.get(&ino)).is_some_and(|slot| slot.changed > asked) {
            return;
        }
        match change {
            feed::Change::Gone(_) => {
                if let Some(ino) = known {
                    self.unlink(ino, asked);
                    self.reap(ino);
                }
            }
            feed::Change::Unclear(_) => {
                let dir = known.and_then(|ino| self.nodes.get(&ino)).map(|slot| slot.node.parent);
                if let Some(children) =
                    dir.and_then(|dir| self.nodes.get_mut(&dir)).and_then(|slot| slot.children.as_mut())
                {
                    children.loaded_at = None;
                }
            }
            feed::Change::Now(file) => self.apply_file(*file, known, asked),
        }
    }

    fn apply_file(&mut self, file: File, known: Option<Ino>, asked: u64) {
        let before = known.and_then(|ino| self.nodes.get(&ino)).and_then(|slot| slot.node.file.clone());
        if before.as_ref().is_some_and(|before| *before.updated_at > *file.updated_at || **before == file) {
            return;
        }
        let parent = file.parent.as_ref().and_then(|parent| self.by_id.get(parent)).copied();
        let Some(dir) = parent.filter(|dir| self.nodes.get(dir).is_some_and(|slot| slot.children.is_some()))
        else {
            // It went where we have not looked yet.
            if let Some(ino) = known {
                self.unlink(ino, asked);
                self.reap(ino);
            }
            return;
        };
        let left = |slot: &Slot| slot.left.iter().any(|(id, tick)| *id == file.id && *tick > asked);
        if self.nodes.get(&dir).is_some_and(left) {
            return;
        }
        // As of when it was asked for: the next item of the same reply is newer than this one.
        let now = Instant::now();
        let stays = before.is_some_and(|before| before.name == file.name && before.parent == file.parent);
        match known.and_then(|ino| self.nodes.get(&ino)).map(|slot| slot.node.name.clone()) {
            Some(name) if stays => self.place_as(dir, file, &name, asked, now),
            _ => self.place(dir, file, asked, now),
        };
    }
}

#[cfg(test)]
mod tests;
