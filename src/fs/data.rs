//! Bytes: open, read, write, truncate, close.

use std::ffi::OsStr;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::attr::{format_time, to_millis};
use super::body::{Body, Stage};
use super::handle::{Close, Duplicates, FileHandle, OnClose, on_close};
use super::posix::give;
use super::{Caller, DriveFs, Stat, gone};
use crate::budget::Share;
use crate::config::{Fsync, WriteMode};
use crate::content::lock;
use crate::error::{Error, Kind, Result};
use crate::pds::NewAttributes;
use crate::read::window::Window;
use crate::tree::{Ino, Lookup, Node, ROOT, names};
use crate::write::Placement;

/// Eviction can take bytes between fetching and reading them; after this many times the disk is too small.
const READ_TRIES: u32 = 8;

/// Bytes kept fetched ahead of one stream of reads.
const MAX_AHEAD_BYTES: u64 = 32 * 1024 * 1024;

/// The largest file the service takes: 10,000 parts of 5 GiB (pds-api.md 4.5).
pub(super) const MAX_FILE_BYTES: u64 = 10_000 * 5 * 1024 * 1024 * 1024;

/// How a file is opened.
#[derive(Clone, Copy, Debug)]
pub struct OpenMode {
    /// For reading.
    pub read: bool,
    /// For writing.
    pub write: bool,
    /// Cut to nothing.
    pub truncate: bool,
    /// Writes go to the end.
    pub append: bool,
    /// Fail if it exists.
    pub exclusive: bool,
}

/// An opened file.
#[derive(Clone, Copy, Debug)]
pub struct Opened {
    /// The handle.
    pub handle: u64,
    /// The kernel's cached pages of this file are of the same content.
    pub keep_cache: bool,
    /// The kernel must not cache pages for this handle: it has one cache for all handles of a file, and
    /// others are open on an earlier revision.
    pub past_cache: bool,
}

/// Bytes that were read, and the memory they are in.
pub struct Read {
    /// The bytes.
    pub bytes: Vec<u8>,
    _memory: Share,
}

impl DriveFs {
    /// Opens a file from what is known; `None` when the drive must be asked whether that is true.
    pub fn open_now(&self, ino: Ino, mode: OpenMode, caller: Caller) -> Option<Result<Opened>> {
        self.is_fresh().then(|| self.open_known(ino, mode, caller))
    }

    /// Opens a file, after joining the news of the drive.
    ///
    /// # Errors
    /// [`Kind::Stale`] when it is gone, [`Kind::IsDirectory`].
    pub async fn open_file(&self, ino: Ino, mode: OpenMode, caller: Caller) -> Result<Opened> {
        self.refresh().await;
        self.tell_before_open(ino);
        self.open_known(ino, mode, caller)
    }

    fn open_known(&self, ino: Ino, mode: OpenMode, caller: Caller) -> Result<Opened> {
        let node = self.tree.node(ino).ok_or_else(|| gone("open"))?;
        if !node.linked && !node.removed && self.tree.opens(ino) == 0 {
            // The kernel looks the name up again: somebody else may have put another file there.
            return Err(gone("open"));
        }
        if node.is_folder() {
            return Err(Error::new(Kind::IsDirectory, "open", "it is a folder").on(&node.name));
        }
        let body = self.body(&node)?;
        if mode.truncate
            && mode.write
            && let Err(error) = body.clear(&self.store, &self.writer, || self.placement(ino))
        {
            self.let_go(&body);
            return Err(error);
        }
        let past_cache = self.tree.opens(ino) > 1 && self.handles.has_other_revision(&body);
        let revision = match (body.stage(), past_cache) {
            (Stage::Clean(remote), false) => Some(remote.key().1.clone()),
            // Pages of bytes that are no revision yet, or of an earlier one.
            (Stage::Draft { .. }, _) | (_, true) => None,
        };
        Ok(Opened {
            keep_cache: self.pages.swap(ino, revision),
            past_cache,
            handle: self.add_handle(body, mode, caller),
        })
    }

    /// A handle of a body that is counted as open.
    fn add_handle(&self, body: Arc<Body>, mode: OpenMode, caller: Caller) -> u64 {
        self.handles.insert_file(FileHandle {
            body,
            opener: if mode.write { thread_group(caller.pid) } else { 0 },
            readable: mode.read,
            writable: mode.write,
            append: mode.append,
            changed: AtomicBool::new(mode.truncate && mode.write),
            wrote: AtomicBool::new(false),
            window: Mutex::new(Window::new(self.max_ahead())),
        })
    }

    /// Bytes to keep fetched ahead of one stream: no more than the cache can hold beside others.
    fn max_ahead(&self) -> u64 {
        MAX_AHEAD_BYTES.min(self.options.cache_bytes / 8)
    }

    /// The body of a node, made when it is not open, and counted as open until [`DriveFs::let_go`]: no other may be
    /// made meanwhile.
    fn body(&self, node: &Node) -> Result<Arc<Body>> {
        let mut bodies = lock(&self.bodies);
        // As it is now: a completion may have given it a new revision since the caller looked.
        let now = self.tree.node(node.ino);
        let node = now.as_ref().unwrap_or(node);
        if let Some(body) = bodies.get(&node.ino) {
            let is_current =
                node.file.as_ref().is_none_or(|file| body.revision().as_ref() == Some(&file.revision));
            let is_true = body.source().2.is_none_or(|remote| remote.trust().is_ok());
            // A draft that the drive has is newer than the node until that hears of it, too.
            if (is_current && is_true) || matches!(body.stage(), Stage::Draft { .. }) {
                self.tree.open_handle(node.ino);
                return Ok(Arc::clone(body));
            }
        }
        let file = node.file.as_ref().ok_or_else(|| gone("open"))?;
        let body = Body::clean(node.ino, self.reader.open(file)?);
        bodies.insert(node.ino, Arc::clone(&body));
        self.tree.open_handle(node.ino);
        Ok(body)
    }

    /// Where the draft of an inode belongs.
    pub(super) fn placement(&self, ino: Ino) -> Placement {
        let node = self.tree.node(ino);
        let base = node.as_ref().and_then(|node| node.file.clone());
        let parent = node.as_ref().map_or(ROOT, |node| node.parent);
        let parent_id = base.as_ref().and_then(|file| file.parent.clone());
        Placement {
            parent: parent_id
                .or_else(|| self.folder_id(parent).ok())
                .unwrap_or_else(crate::pds::model::FileId::root),
            name: match &base {
                Some(file) => file.name.to_string(),
                None => node.map_or_else(String::new, |node| node.name.to_string()),
            },
            base,
            attributes: NewAttributes::default(),
        }
    }

    /// Creates a file and opens it. The drive hears of it when it is completed.
    ///
    /// # Errors
    /// [`Kind::Exists`] with `exclusive`; [`Kind::NameTooLong`], [`Kind::NotUnicode`] for the name.
    pub async fn create(
        &self,
        parent: Ino,
        name: &OsStr,
        mode: OpenMode,
        permissions: u32,
        caller: Caller,
    ) -> Result<(Stat, Opened)> {
        let name = names::check(name)?;
        self.refresh().await;
        self.load(parent).await?;
        if let Lookup::Found(node) = self.tree.lookup(parent, name) {
            if mode.exclusive {
                return Err(Error::new(Kind::Exists, "create", "there is a file of this name").on(name));
            }
            let opened = self.open_known(node.ino, mode, caller)?;
            return Ok((self.stat_of(*node), opened));
        }
        let folder = self.folder_id(parent)?;
        let local = self.new_local(parent, permissions, false, caller);
        let content = self.store.draft()?;
        let node = self.tree.insert_draft(parent, name, local);
        let placement = Placement {
            parent: folder,
            name: name.to_owned(),
            base: None,
            attributes: NewAttributes {
                local_created_at: Some(format_time(to_millis(SystemTime::now()))),
                ..NewAttributes::default()
            },
        };
        let body = Body::draft(node.ino, self.writer.begin(content, 0, placement));
        give(&body, &self.kept_of_new(&local, false));
        lock(&self.bodies).insert(node.ino, Arc::clone(&body));
        self.creators.note(node.ino, thread_group(caller.pid));
        self.tree.open_handle(node.ino);
        let number = self.add_handle(body, mode, caller);
        if let Some(handle) = self.handles.file(number) {
            handle.changed.store(true, Ordering::Relaxed);
        }
        let stat = self.stat_cached(node.ino).ok_or_else(|| gone("create"))?;
        Ok((stat, Opened { handle: number, keep_cache: false, past_cache: false }))
    }

    pub(super) fn handle(&self, number: u64, op: &'static str) -> Result<Arc<FileHandle>> {
        self.handles.file(number).ok_or_else(|| Error::new(Kind::BadHandle, op, "the file is not open"))
    }

    /// Reads what is here; `None` when bytes must be fetched. The number of bytes read.
    pub fn read_now(&self, number: u64, buffer: &mut [u8], offset: u64) -> Option<Result<usize>> {
        let handle = match self.handle(number, "read") {
            Ok(handle) => handle,
            Err(error) => return Some(Err(error)),
        };
        let (content, size, remote) = handle.body.source();
        let range = clip(offset, buffer.len(), size);
        let buffer = &mut buffer[..(range.end - range.start) as usize];
        if buffer.is_empty() {
            return Some(Ok(0));
        }
        if let Some(Err(error)) = remote.as_ref().map(|remote| remote.trust()) {
            return Some(Err(self.refused(&handle, error)));
        }
        let is_here = match content.read_at(buffer, range.start) {
            Ok(is_here) => is_here,
            Err(error) => return Some(Err(error)),
        };
        if let Some(remote) = remote.filter(|_| !is_here || !content.is_complete()) {
            let plan = lock(&handle.window).plan(range, size);
            self.reader.follow(&remote, plan, !is_here);
        }
        is_here.then_some(Ok(buffer.len()))
    }

    /// Reads, fetching what is not here. At most `len` bytes; fewer at the end of the file.
    ///
    /// # Errors
    /// [`Kind::Stale`] when the drive no longer has the content; what fetching failed with.
    pub async fn read(&self, number: u64, offset: u64, len: usize) -> Result<Read> {
        let handle = self.handle(number, "read")?;
        for _ in 0..READ_TRIES {
            let (content, size, remote) = handle.body.source();
            let range = clip(offset, len, size);
            if let Some(remote) = &remote
                && let Err(error) = self.reader.ensure(remote, clip(offset, len, remote.size())).await
                && handle.body.source().2.is_some_and(|now| Arc::ptr_eq(&now, remote))
            {
                return Err(self.refused(&handle, error));
            }
            let trusted = remote.as_ref().map_or(Ok(()), |remote| remote.trust());
            trusted.map_err(|error| self.refused(&handle, error))?;
            let memory = self.reader.memory(len as u64).await;
            let mut bytes = vec![0; (range.end - range.start) as usize];
            if content.read_at(&mut bytes, range.start)? {
                return Ok(Read { bytes, _memory: memory });
            }
            if remote.is_none() {
                return Err(gone("read"));
            }
        }
        Err(Error::new(Kind::NoSpace, "read", "the local cache is too small for what is being read"))
    }

    /// An error of reading, before a program hears of it: it may open the file again at once, and must not get
    /// pages that turned out not to be true.
    fn refused(&self, handle: &FileHandle, error: Error) -> Error {
        if error.kind() == Kind::Corrupt {
            self.pages.swap(handle.body.ino, None);
        }
        error
    }

    /// Writes. All of `data` or nothing.
    ///
    /// # Errors
    /// [`Kind::NoSpace`] when the local disk is full, [`Kind::TooLarge`], [`Kind::BadHandle`].
    pub fn write(&self, number: u64, data: &[u8], offset: u64) -> Result<()> {
        let handle = self.handle(number, "write")?;
        if !handle.writable {
            return Err(Error::new(Kind::BadHandle, "write", "the file is open for reading only"));
        }
        let end = offset.saturating_add(data.len() as u64);
        if end > MAX_FILE_BYTES {
            return Err(Error::new(Kind::TooLarge, "write", "the drive takes files of at most 48.8 TiB"));
        }
        handle.changed.store(true, Ordering::Relaxed);
        handle.wrote.store(true, Ordering::Relaxed);
        let offset = (!handle.append).then_some(offset);
        let ino = handle.body.ino;
        let write = || {
            let place = || self.placement(ino);
            handle.body.change(&self.store, &self.writer, place, |draft| draft.write(data, offset))
        };
        match write() {
            Err(error) if error.kind() == Kind::NoSpace && self.store.give_back(data.len() as u64) => write(),
            done => done,
        }
        .map(drop)
    }

    /// Sets the size of a file. By its name (`number` is `None`) it is completed before this returns; but while
    /// programs have it open for writing, their closes complete it, and wait for that.
    ///
    /// # Errors
    /// As [`DriveFs::write`] and completing.
    pub async fn truncate(self: &Arc<Self>, ino: Ino, size: u64, number: Option<u64>) -> Result<()> {
        if size > MAX_FILE_BYTES {
            return Err(Error::new(Kind::TooLarge, "truncate", "the drive takes files of at most 48.8 TiB"));
        }
        let handle = number.and_then(|number| self.handles.file(number)).filter(|handle| handle.writable);
        if let Some(handle) = handle {
            if self.cut(&handle.body, size)? {
                handle.changed.store(true, Ordering::Relaxed);
            }
            return Ok(());
        }
        let node = self.tree.node(ino).ok_or_else(|| gone("truncate"))?;
        if node.is_folder() {
            return Err(Error::new(Kind::IsDirectory, "truncate", "it is a folder").on(&node.name));
        }
        let body = self.body(&node)?;
        let done = match self.cut(&body, size) {
            Ok(true) if !self.handles.charge_writers(&body) => self.finish(&body).await,
            done => done.map(drop),
        };
        self.let_go(&body);
        if done.is_err() && body.is_dirty() {
            self.send_behind(&body);
        }
        done
    }

    /// Sets the size of a body. Whether that changed anything the drive does not have.
    fn cut(&self, body: &Arc<Body>, size: u64) -> Result<bool> {
        let place = || self.placement(body.ino);
        if body.source().1 == size && !matches!(body.stage(), Stage::Draft { .. }) {
            return Ok(false);
        }
        if size == 0 {
            body.clear(&self.store, &self.writer, place)?;
        } else {
            let cut = |draft: &crate::write::Draft| Ok(draft.truncate(size)?.then_some(()));
            body.change(&self.store, &self.writer, place, cut)?;
        }
        Ok(true)
    }

    /// What the close that counts waits for.
    async fn finish(self: &Arc<Self>, body: &Arc<Body>) -> Result<()> {
        match self.options.write.mode {
            WriteMode::Through => self.complete(body).await,
            WriteMode::Back => self.close_behind(body).await,
        }
    }

    /// Whether a close of this handle has nothing to wait for.
    pub fn is_settled(&self, number: u64) -> bool {
        self.handles
            .file(number)
            .is_none_or(|handle| !handle.changed.load(Ordering::Relaxed) || !handle.body.is_dirty())
    }

    /// A descriptor of the file was closed.
    ///
    /// # Errors
    /// What kept the content from being complete on the drive.
    pub async fn flush(self: &Arc<Self>, number: u64, caller: Caller) -> Result<()> {
        let handle = self.handle(number, "close")?;
        let is_dirty = handle.body.is_dirty();
        let handle_changed = handle.changed.load(Ordering::Relaxed);
        if !is_dirty || !handle_changed {
            return Ok(());
        }
        let handle_wrote = handle.wrote.load(Ordering::Relaxed);
        let by_opener = caller.pid == 0 || handle.opener == 0 || thread_group(caller.pid) == handle.opener;
        let duplicates = match by_opener && !handle_wrote {
            true => Duplicates::of(
                self.descriptors(handle.opener, handle.body.ino),
                self.handles.others_of_opener(&handle),
            ),
            false => Duplicates::None,
        };
        let close = Close {
            is_dirty,
            handle_changed,
            handle_wrote,
            by_opener,
            has_duplicates: duplicates != Duplicates::None,
        };
        match on_close(close) {
            OnClose::Nothing => Ok(()),
            // Another close of this handle will come. Nothing would be lost but the old content: a copy that has just
            // begun is not recovered as empty.
            OnClose::Defer if !handle_wrote && duplicates != Duplicates::Perhaps => Ok(()),
            OnClose::Defer => tokio::task::block_in_place(|| self.record(&handle.body, None)),
            OnClose::Complete => self.finish(&handle.body).await,
        }
    }

    /// Makes what was written durable: on the local disk, from where it reaches the drive also after a power
    /// cut; or with `--fsync drive` on the drive.
    ///
    /// # Errors
    /// The local disk fails or is full; what kept the content from being complete on the drive.
    pub async fn fsync(&self, number: u64) -> Result<()> {
        let handle = self.handle(number, "fsync")?;
        match (handle.body.current_draft(), self.options.fsync) {
            (None, _) => Ok(()),
            (Some(draft), Fsync::Local) => {
                tokio::task::block_in_place(|| self.make_durable(&handle.body, &draft))
            }
            (Some(_), Fsync::Drive) => self.complete(&handle.body).await,
        }
    }

    /// The last descriptor of a handle was closed. What is still dirty is completed in the background.
    pub fn release(self: &Arc<Self>, number: u64) {
        let Some(handle) = self.handles.remove_file(number) else { return };
        let body = Arc::clone(&handle.body);
        // Asked before the close, which forgets a node without a name.
        let wanted = body.is_dirty() && self.is_wanted(body.ino);
        let is_last = self.tree.close(body.ino);
        let linked = wanted || self.tree.node(body.ino).is_some_and(|node| node.linked);
        if !linked {
            if is_last {
                self.discard(&body);
            }
            return;
        }
        if body.is_dirty() && handle.writable && !self.handles.has_writer(&body) {
            self.send_behind(&body);
        } else {
            self.drop_idle_body(&body);
        }
    }

    /// The end of what [`DriveFs::body`] began.
    fn let_go(&self, body: &Arc<Body>) {
        let is_last = self.tree.close(body.ino);
        if self.tree.node(body.ino).is_some_and(|node| node.linked)
            || body.is_dirty() && self.is_wanted(body.ino)
        {
            self.drop_idle_body(body);
        } else if is_last {
            self.discard(body);
        }
    }

    /// Forgets the body of an inode that is neither open nor dirty.
    pub(super) fn drop_idle_body(&self, body: &Arc<Body>) {
        let mut bodies = lock(&self.bodies);
        let idle = self.tree.opens(body.ino) == 0 && matches!(body.stage(), Stage::Clean(_));
        if idle && bodies.get(&body.ino).is_some_and(|known| Arc::ptr_eq(known, body)) {
            bodies.remove(&body.ino);
        }
    }

    /// Gives up the content of an unlinked inode.
    pub(super) fn discard(&self, body: &Arc<Body>) {
        let mut bodies = lock(&self.bodies);
        if bodies.get(&body.ino).is_some_and(|known| Arc::ptr_eq(known, body)) {
            bodies.remove(&body.ino);
        }
        drop(bodies);
        if let Stage::Draft { draft, .. } = body.stage() {
            draft.discard();
            self.strike(&draft);
            self.store.discard(draft.content());
        }
    }

    /// How many descriptors of this inode a process has open; `None` where that cannot be seen.
    fn descriptors(&self, process: u32, ino: Ino) -> Option<usize> {
        let Some(node) = self.tree.node(ino) else { return Some(0) };
        let descriptors = std::fs::read_dir(format!("/proc/{process}/fd")).ok()?;
        let is_of_it = |descriptor: &std::fs::DirEntry| {
            // Read as text: following the link would come back to this mount.
            let is_named = std::fs::read_link(descriptor.path())
                .is_ok_and(|target| target.file_name() == Some(OsStr::new(&*node.name)));
            let number = descriptor.file_name();
            is_named
                && std::fs::read_to_string(format!("/proc/{process}/fdinfo/{}", number.display()))
                    .is_ok_and(|info| info.lines().any(|line| line == format!("ino:\t{ino}")))
        };
        Some(descriptors.flatten().filter(is_of_it).count())
    }
}

/// `offset..offset+len` as far as a file of `size` bytes goes.
fn clip(offset: u64, len: usize, size: u64) -> Range<u64> {
    let start = offset.min(size);
    start..offset.saturating_add(len as u64).min(size).max(start)
}

/// The process a thread belongs to: programs open in one thread and close in another.
pub(super) fn thread_group(pid: u32) -> u32 {
    if pid == 0 {
        return 0;
    }
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let group =
        status.lines().find_map(|line| line.strip_prefix("Tgid:")).and_then(|id| id.trim().parse().ok());
    group.unwrap_or(pid)
}
