//! How listings, news and our own changes reach the maps of the tree. All of it under the tree's lock.

use super::index::Stored;
use super::slot::{Dir, UNSET};
use super::{
    Arc, Batch, Duration, File, FileId, FileKind, HashMap, HashSet, Inner, Ino, Instant, Invalidation, Left,
    MAX_HOT, MAX_INVALIDATIONS, NO_TIME, Node, ROOT, Row, Slot, VecDeque, feed, names, slot,
};

impl Inner {
    pub(super) fn new() -> Self {
        let mut inner = Inner {
            nodes: HashMap::new(),
            by_id: HashMap::new(),
            next_ino: ROOT + 1,
            tick: 0,
            dirty: HashSet::new(),
            saving: HashSet::new(),
            cursor: None,
            cursor_is_dirty: false,
            hot: VecDeque::new(),
            invalidations: None,
            epoch: Instant::now(),
        };
        inner.by_id.insert(FileId::root(), ROOT);
        inner.nodes.insert(ROOT, Box::new(Slot::new(ROOT, "".into(), FileKind::Folder, 0)));
        inner
    }

    pub(super) fn node(&self, ino: Ino, slot: &Slot) -> Node {
        Node {
            ino,
            parent: slot.parent,
            name: Arc::clone(&slot.name),
            kind: slot.kind,
            file: slot.file.clone(),
            local: slot.local.as_deref().copied().unwrap_or_default(),
            linked: slot.linked,
            removed: slot.removed,
            seen_at: self.epoch + Duration::from_secs(slot.seen.into()),
        }
    }

    /// Whole seconds since this tree began.
    pub(super) fn seconds(&self) -> u32 {
        u32::try_from(self.epoch.elapsed().as_secs()).unwrap_or(u32::MAX)
    }

    pub(super) fn advance(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }

    pub(super) fn fresh_ino(&mut self) -> Ino {
        let ino = self.next_ino;
        self.next_ino += 1;
        ino
    }

    pub(super) fn child(&self, dir: Ino, name: &str) -> Option<Ino> {
        self.nodes.get(&dir)?.children()?.by_name.get(name).copied()
    }

    // --- the index -------------------------------------------------------------------------------------

    /// What the index does not have, as one step; `None` when it has everything.
    pub(super) fn batch(&mut self) -> Option<Batch> {
        if self.dirty.is_empty() && !self.cursor_is_dirty {
            return None;
        }
        let mut batch = Batch { cursor: self.cursor.clone(), next_ino: self.next_ino, ..Batch::default() };
        self.cursor_is_dirty = false;
        for ino in std::mem::take(&mut self.dirty) {
            match self.nodes.get(&ino) {
                Some(slot) if slot.linked && (slot.id.is_some() || ino == ROOT) => {
                    batch.rows.push(Row {
                        ino,
                        parent: slot.parent,
                        name: Arc::clone(&slot.name),
                        drive_name: slot.drive_name.clone(),
                        id: slot.id.clone(),
                        kind: slot.kind,
                        brief: slot.brief,
                        is_loaded: slot.dir.as_ref().is_some_and(|dir| dir.loaded_at.is_some()),
                        file: slot.file.clone(),
                    });
                }
                Some(_) | None => batch.removed.push(ino),
            }
        }
        self.saving.extend(batch.rows.iter().map(|row| row.ino));
        Some(batch)
    }

    /// Files that the index has now may leave memory; what it could not take is tried again.
    pub(super) fn after_save(&mut self, batch: &Batch, is_saved: bool) {
        self.saving.clear();
        if !is_saved {
            self.cursor_is_dirty = true;
            self.dirty.extend(batch.rows.iter().map(|row| row.ino));
            self.dirty.extend(batch.removed.iter().filter(|ino| !self.nodes.contains_key(ino)));
            return;
        }
        for row in &batch.rows {
            self.heat(row.ino);
        }
    }

    /// A File was used: it stays in memory until many others were.
    pub(super) fn heat(&mut self, ino: Ino) {
        self.hot.push_back(ino);
        while self.hot.len() > MAX_HOT {
            let Some(oldest) = self.hot.pop_front() else { return };
            // What the index does not have comes back here once it was saved.
            if !self.dirty.contains(&oldest)
                && !self.saving.contains(&oldest)
                && let Some(slot) = self.nodes.get_mut(&oldest).filter(|slot| slot.linked)
            {
                slot.file = None;
            }
        }
    }

    /// Takes in what the index knew.
    pub(super) fn restore(&mut self, stored: Stored) {
        self.cursor = stored.cursor;
        self.next_ino = stored.next_ino.max(ROOT + 1);
        let now = Instant::now();
        let mut loaded = HashSet::new();
        for row in stored.rows {
            self.next_ino = self.next_ino.max(row.ino + 1);
            if row.is_loaded {
                loaded.insert(row.ino);
            }
            let Some(id) = row.id else { continue };
            let mut slot = Slot::new(row.parent, row.name, row.kind, 0);
            slot.brief = row.brief;
            slot.drive_name = row.drive_name;
            slot.id = Some(id.clone());
            self.by_id.insert(id, row.ino);
            self.nodes.insert(row.ino, Box::new(slot));
        }
        let places: Vec<(Ino, Ino, Arc<str>)> = self
            .nodes
            .iter()
            .filter(|(ino, _)| **ino != ROOT)
            .map(|(ino, slot)| (*ino, slot.parent, Arc::clone(&slot.name)))
            .collect();
        let mut lost = Vec::new();
        for (ino, parent, name) in places {
            match self.nodes.get_mut(&parent).filter(|slot| slot.is_folder()) {
                Some(dir) => {
                    dir.dir_mut().by_name.insert(name, ino);
                }
                None => lost.push(ino),
            }
        }
        for dir in loaded {
            if let Some(slot) = self.nodes.get_mut(&dir).filter(|slot| slot.is_folder()) {
                slot.dir_mut().loaded_at = Some(now);
            }
        }
        for slot in self.nodes.values_mut() {
            if let Some(dir) = &mut slot.dir {
                dir.is_known = true;
            }
        }
        for ino in lost {
            self.unlink(ino, 0, false);
            self.reap(ino);
        }
    }

    // --- what the kernel is to be told -------------------------------------------------------------------

    fn tell(&mut self, invalidation: Invalidation) {
        if let Some(untold) = &mut self.invalidations
            && untold.waiting.len() < MAX_INVALIDATIONS
            && untold.waiting.insert(invalidation)
        {
            untold.teller.notify_one();
        }
    }

    pub(super) fn tell_attributes(&mut self, ino: Ino) {
        if self.nodes.get(&ino).is_some_and(|slot| slot.lookups > 0 || ino == ROOT) {
            self.tell(Invalidation::Attributes(ino));
        }
    }

    /// Others took a name away, or gave it to another node.
    fn tell_entry(&mut self, parent: Ino, name: Arc<str>, ino: Ino) {
        if self.nodes.get(&ino).is_some_and(|slot| slot.lookups > 0) {
            self.tell(Invalidation::Entry { parent, name });
        }
    }

    // --- names -----------------------------------------------------------------------------------------

    pub(super) fn link(&mut self, dir: Ino, name: Arc<str>, ino: Ino) {
        if let Some(slot) = self.nodes.get_mut(&dir) {
            let dir = slot.dir_mut();
            dir.is_known = true;
            dir.by_name.insert(name, ino);
        }
        self.dirty.insert(ino);
        self.dirty.insert(dir);
    }

    pub(super) fn unlink_name(&mut self, ino: Ino) {
        let Some(slot) = self.nodes.get(&ino) else { return };
        let (dir, name) = (slot.parent, Arc::clone(&slot.name));
        let Some(children) = self.nodes.get_mut(&dir).and_then(|slot| slot.dir.as_mut()) else { return };
        if children.by_name.get(&name) == Some(&ino) {
            children.by_name.remove(&name);
        }
    }

    /// Takes a node out of its folder; `own` when that was done here, and not by others.
    pub(super) fn unlink(&mut self, ino: Ino, tick: u64, own: bool) {
        if ino == ROOT {
            return;
        }
        self.unlink_name(ino);
        self.dirty.insert(ino);
        let Some(slot) = self.nodes.get_mut(&ino) else { return };
        slot.linked = false;
        slot.changed = tick;
        let (parent, name, id, version) =
            (slot.parent, Arc::clone(&slot.name), slot.id.clone(), slot.brief.changed);
        self.tell_attributes(ino);
        if !own {
            self.tell_entry(parent, name, ino);
        }
        let Some(id) = id else { return };
        if self.by_id.get(&id) == Some(&ino) {
            self.by_id.remove(&id);
        }
        let version = if own { version } else { NO_TIME };
        self.note_left(parent, Left { id, tick, version });
    }

    /// A file is no longer in a folder.
    pub(super) fn note_left(&mut self, dir: Ino, left: Left) {
        if let Some(slot) = self.nodes.get_mut(&dir) {
            slot.dir_mut().leave(left);
        }
    }

    pub(super) fn unload(&mut self, dir: Ino) {
        let loaded = self.nodes.get_mut(&dir).and_then(|slot| slot.dir.as_mut());
        if loaded.is_some_and(|dir| dir.loaded_at.take().is_some()) {
            self.dirty.insert(dir);
        }
    }

    /// Drops a node that nobody can reach any more, and what is below it.
    pub(super) fn reap(&mut self, ino: Ino) {
        let mut doomed = vec![ino];
        while let Some(ino) = doomed.pop() {
            let idle = |slot: &Slot| !slot.linked && slot.lookups == 0 && slot.opens == 0;
            if !self.nodes.get(&ino).is_some_and(|slot| idle(slot)) {
                continue;
            }
            let Some(slot) = self.nodes.remove(&ino) else { continue };
            self.dirty.insert(ino);
            for child in slot.dir.into_iter().flat_map(|dir| dir.by_name.into_values()) {
                if let Some(slot) = self.nodes.get_mut(&child) {
                    slot.linked = false;
                    if let Some(id) = &slot.id
                        && self.by_id.get(id) == Some(&child)
                    {
                        self.by_id.remove(id);
                    }
                    self.dirty.insert(child);
                    doomed.push(child);
                }
            }
        }
    }

    pub(super) fn next_to_visit(&self, dir: Ino, most: usize) -> Vec<Ino> {
        let Some(slot) = self.nodes.get(&dir) else { return Vec::new() };
        let unloaded = |ino: &&Ino| {
            self.nodes.get(ino).is_some_and(|slot| {
                slot.is_folder() && slot.dir.as_ref().is_none_or(|dir| dir.loaded_at.is_none())
            })
        };
        let below = slot.children().into_iter().flat_map(|dir| dir.by_name.values());
        let behind = (std::ops::Bound::Excluded(&*slot.name), std::ops::Bound::Unbounded);
        let siblings = self.nodes.get(&slot.parent).and_then(|parent| parent.children());
        let siblings =
            siblings.into_iter().flat_map(|dir| dir.by_name.range::<str, _>(behind).map(|(_, ino)| ino));
        below.chain(siblings).filter(unloaded).take(most).copied().collect()
    }

    // --- listings --------------------------------------------------------------------------------------

    pub(super) fn apply_listing(&mut self, dir: Ino, files: Vec<File>, asked: u64, now: Instant) {
        let Some(slot) = self.nodes.get(&dir) else { return };
        let left: HashSet<FileId> = slot
            .dir
            .iter()
            .flat_map(|dir| &dir.left)
            .filter(|left| left.tick > asked)
            .map(|left| left.id.clone())
            .collect();
        let files: Vec<File> = files.into_iter().filter(|file| !left.contains(&file.id)).collect();
        let entries: Vec<names::Entry<'_>> = files
            .iter()
            .map(|file| names::Entry { name: &file.name, created_at: &file.created_at, id: file.id.as_str() })
            .collect();
        let shown = names::assign(&entries);
        self.drop_unlisted(dir, &files, asked);
        for (file, name) in files.into_iter().zip(shown) {
            self.place_listed(dir, file, &name, asked);
        }
        if let Some(slot) = self.nodes.get_mut(&dir) {
            let dir = slot.dir_mut();
            dir.loaded_at = Some(now);
            dir.is_known = true;
        }
        self.dirty.insert(dir);
    }

    /// Takes out children the listing does not have, except drafts and what changed here since.
    fn drop_unlisted(&mut self, dir: Ino, files: &[File], asked: u64) {
        let listed: HashSet<&FileId> = files.iter().map(|file| &file.id).collect();
        let children = self.nodes.get(&dir).and_then(|slot| slot.children());
        let children: Vec<Ino> = children.into_iter().flat_map(|dir| dir.by_name.values()).copied().collect();
        for ino in children {
            let Some(slot) = self.nodes.get(&ino) else { continue };
            let gone = slot.id.as_ref().is_some_and(|id| !listed.contains(id)) && slot.changed <= asked;
            if gone {
                self.unlink(ino, asked, false);
                self.reap(ino);
            }
        }
    }

    fn place_listed(&mut self, dir: Ino, file: File, name: &str, asked: u64) {
        let known = self.by_id.get(&file.id).copied();
        if let Some(ino) = known
            && self.nodes.get(&ino).is_some_and(|slot| slot.changed > asked)
        {
            return;
        }
        // A draft has the name here already: both stay, the draft under its name.
        let holder = self.child(dir, name).filter(|holder| Some(*holder) != known);
        let draft_has_it = holder.and_then(|ino| self.nodes.get(&ino)).is_some_and(|slot| slot.id.is_none());
        let name: Arc<str> = if draft_has_it {
            let taken = |name: &str| self.child(dir, name).is_some_and(|ino| Some(ino) != known);
            names::first_free(&file.name, taken).into()
        } else {
            name.into()
        };
        self.place_as(dir, file, name, asked);
    }

    /// Puts a file of the drive into `dir` under the first free name like its own.
    pub(super) fn place(&mut self, dir: Ino, file: File, tick: u64) -> Option<Ino> {
        let known = self.by_id.get(&file.id).copied();
        let taken = |name: &str| self.child(dir, name).is_some_and(|ino| Some(ino) != known);
        let name = names::first_free(&file.name, taken).into();
        self.place_as(dir, file, name, tick)
    }

    fn place_as(&mut self, dir: Ino, file: File, name: Arc<str>, tick: u64) -> Option<Ino> {
        let known = self.by_id.get(&file.id).copied().filter(|ino| self.nodes.contains_key(ino));
        let ino = known.unwrap_or_else(|| self.fresh_ino());
        let seconds = self.seconds();
        let (id, kind) = (file.id.clone(), file.kind);
        if let Some(slot) = known.and_then(|ino| self.nodes.get(&ino)) {
            let (parent, before) = (slot.parent, Arc::clone(&slot.name));
            if parent != dir || before != name {
                self.tell_entry(parent, before, ino);
            }
            self.unlink_name(ino);
        }
        if let Some(holder) = self.child(dir, &name).filter(|holder| *holder != ino) {
            self.tell_entry(dir, Arc::clone(&name), holder);
        }
        let slot =
            self.nodes.entry(ino).or_insert_with(|| Box::new(Slot::new(dir, Arc::clone(&name), kind, tick)));
        slot.parent = dir;
        slot.name = Arc::clone(&name);
        slot.linked = true;
        slot.seen = seconds;
        slot.changed = slot.changed.max(tick);
        let before = slot.brief;
        // A stamp of its own, because several news of one page have one tick.
        self.tick += 1;
        slot.describe(Arc::new(file), self.tick);
        if before.content != slot.brief.content
            && let Some(local) = slot.local.as_deref_mut()
        {
            local.modified_at = None;
            local.changed_at = None;
        }
        if before.mode != slot.brief.mode
            && slot.brief.mode != UNSET
            && let Some(local) = slot.local.as_deref_mut()
        {
            local.mode = None;
        }
        let is_other = before != slot.brief;
        self.by_id.insert(id, ino);
        self.link(dir, name, ino);
        if is_other {
            self.tell_attributes(ino);
        }
        Some(ino)
    }

    // --- the feed --------------------------------------------------------------------------------------

    pub(super) fn apply_change(&mut self, change: feed::Change, asked: u64) {
        let known = self.by_id.get(change.id()).copied();
        if known.and_then(|ino| self.nodes.get(&ino)).is_some_and(|slot| slot.changed > asked) {
            return;
        }
        match change {
            feed::Change::Gone(_) => {
                if let Some(ino) = known {
                    self.unlink(ino, asked, false);
                    self.reap(ino);
                }
            }
            feed::Change::Unclear(_) => {
                if let Some(dir) = known.and_then(|ino| self.nodes.get(&ino)).map(|slot| slot.parent) {
                    self.unload(dir);
                }
            }
            feed::Change::Now(file) => self.apply_file(*file, known, asked, false),
            feed::Change::Restored(file) => self.apply_file(*file, known, asked, true),
        }
    }

    fn apply_file(&mut self, file: File, known: Option<Ino>, asked: u64, is_back: bool) {
        let version = slot::nanos(&file.updated_at);
        let before = known.and_then(|ino| self.nodes.get(&ino)).map(|slot| slot.brief);
        if before.is_some_and(|before| before.changed > version || before.mark == file.fingerprint()) {
            return;
        }
        let parent = file.parent.as_ref().and_then(|parent| self.by_id.get(parent)).copied();
        let Some(dir) =
            parent.filter(|dir| self.nodes.get(dir).is_some_and(|slot| slot.children().is_some()))
        else {
            // It went where we have not looked yet.
            if let Some(ino) = known {
                self.unlink(ino, asked, false);
                self.reap(ino);
            }
            return;
        };
        // An echo of what was there before it was removed here, however late it comes.
        let echo =
            |left: &Left| left.id == file.id && (left.tick > asked || (!is_back && version <= left.version));
        let has_left = |dir: &Dir| dir.left.iter().any(echo);
        if known.is_none() && self.nodes.get(&dir).and_then(|slot| slot.dir.as_deref()).is_some_and(has_left)
        {
            return;
        }
        let slot = known.and_then(|ino| self.nodes.get(&ino));
        let stays = slot.filter(|slot| slot.parent == dir && *slot.drive_name() == *file.name);
        // As of when it was asked for: the next item of the same reply is newer than this one.
        match stays.map(|slot| Arc::clone(&slot.name)) {
            Some(name) => self.place_as(dir, file, name, asked),
            None => self.place(dir, file, asked),
        };
    }
}
