//! The kernel's side: decode, call the method of the same meaning, encode. No decisions.
//!
//! Kernel threads never wait for the network. Where memory and the local disk can answer, the thread itself
//! does; everything else is answered from a task, whose reply is the back-pressure. Errors leave through
//! [`Fuse::refuse`], which logs them once.
//!
//! The kernel checks permissions itself (`default_permissions`), from the attributes given here.

mod convert;

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, KernelConfig, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen,
    ReplyStatfs, ReplyWrite, ReplyXattr, Request, SessionACL, TimeOrNow, WriteFlags,
};

use crate::config::MountOptions;
use crate::error::{Error, Kind, Result};
use crate::fs::attr::Defaults;
use crate::fs::attributes::{self, Get};
use crate::fs::change::NewAttr;
use crate::fs::data::{OpenMode, Opened};
use crate::fs::xattr::{self, SetFlags};
use crate::fs::{Caller, DriveFs, Stat};
use crate::tree::Invalidation;
use crate::tree::names::MAX_NAME_BYTES;
use convert::{file_attr, file_type, open_mode, time};

/// Kernel threads. Two keep a large copy and other requests apart; more only take turns.
const THREADS: usize = 4;
/// Bytes of one write request; the kernel's own limit is 1 MiB unless raised.
const MAX_WRITE_BYTES: u32 = 1024 * 1024;
/// Bytes the kernel may read ahead; it takes less when its own setting is less.
const MAX_READ_AHEAD_BYTES: u32 = 1024 * 1024;
/// Requests the kernel may have under way in the background (read-ahead and write-back).
const MAX_BACKGROUND: u16 = 64;

/// A kernel session on its own threads. Dropping it unmounts.
pub struct Session {
    session: Option<BackgroundSession>,
}

/// Mounts `fs` at `mountpoint`.
///
/// # Errors
/// What the kernel or fusermount3 says; `mount` turns it into advice.
pub fn mount(fs: Arc<DriveFs>, mountpoint: &Path, options: &MountOptions) -> Result<Session> {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName(options.fsname.clone()),
        MountOption::CUSTOM("subtype=pdsfs".into()),
        MountOption::DefaultPermissions,
        MountOption::NoAtime,
        MountOption::NoDev,
        MountOption::NoSuid,
    ];
    if options.read_only {
        config.mount_options.push(MountOption::RO);
    }
    if options.allow_other {
        config.acl = SessionACL::All;
    }
    config.n_threads = Some(THREADS);
    fs.set_defaults(Defaults::new(options));
    let filesystem = Fuse { fs: Arc::clone(&fs), defaults: Defaults::new(options) };
    let session = fuser::Session::new(filesystem, mountpoint, &config)
        .and_then(fuser::Session::spawn)
        .map_err(|error| Error::io("mount", error).on(mountpoint.display()))?;
    let kernel = session.notifier();
    fs.follow(Box::new(move |invalidation| tell(&kernel, invalidation)));
    Ok(Session { session: Some(session) })
}

impl Session {
    /// Waits until the filesystem was unmounted, by whomever. Blocks the thread.
    ///
    /// # Errors
    /// The kernel's device failed.
    pub fn wait(&mut self) -> Result<()> {
        let Some(session) = self.session.take() else { return Ok(()) };
        session.join().map_err(|error| Error::io("serve the kernel", error))
    }
}

/// Only attributes of an inode, never its pages: those are looked after when it is opened, and dropping them
/// may wait for a read under way. That the kernel does not know what it is told of is no error.
fn tell(kernel: &fuser::Notifier, invalidation: &Invalidation) {
    let told = match invalidation {
        Invalidation::Attributes(ino) => kernel.inval_inode(INodeNo(*ino), -1, 0),
        Invalidation::Entry { parent, name } => kernel.inval_entry(INodeNo(*parent), OsStr::new(&**name)),
    };
    if let Err(error) = told.or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    }) {
        tracing::debug!(%error, ?invalidation, "the kernel was not told");
    }
}

struct Fuse {
    fs: Arc<DriveFs>,
    defaults: Defaults,
}

thread_local! {
    /// The read buffer of a kernel thread.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Fuse {
    /// Answers from a task of the mount.
    fn task(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.fs.tasks().spawn_on(work, self.fs.runtime());
    }

    /// The errno of an error, which is logged here and nowhere else: at debug where a program merely asked.
    fn refuse(op: &'static str, error: &Error) -> Errno {
        match error.kind() {
            Kind::NotFound | Kind::NoAttribute | Kind::Exists | Kind::NotEmpty | Kind::Unsupported => {
                tracing::trace!(op, %error);
            }
            _ if error.errno() == Errno::EIO.code() => tracing::warn!(op, %error, "a program gets EIO"),
            _ => tracing::debug!(op, %error),
        }
        Errno::from_i32(error.errno())
    }
}

fn caller(request: &Request) -> Caller {
    Caller { uid: request.uid(), gid: request.gid(), pid: request.pid() }
}

/// Replies with an entry, telling the tree first that the kernel knows it: `forget` can race the reply.
fn give_entry(fs: &DriveFs, defaults: &Defaults, op: &'static str, found: Result<Stat>, reply: ReplyEntry) {
    match found {
        Ok(stat) => {
            fs.refer(stat.node.ino);
            reply.entry(&fs.attr_timeout(), &file_attr(&stat, defaults), Generation(0));
        }
        Err(error) if error.kind() == Kind::NotFound && !fs.negative_timeout().is_zero() => {
            // Inode 0 says that there is none; the kernel need not ask for this name again for a moment.
            reply.entry(&fs.negative_timeout(), &convert::nothing(), Generation(0));
        }
        Err(error) => reply.error(Fuse::refuse(op, &error)),
    }
}

fn give_attr(fs: &DriveFs, defaults: &Defaults, op: &'static str, found: Result<Stat>, reply: ReplyAttr) {
    match found {
        Ok(stat) => reply.attr(&fs.attr_timeout(), &file_attr(&stat, defaults)),
        Err(error) => reply.error(Fuse::refuse(op, &error)),
    }
}

/// Bytes of a handle that only writes go past the kernel's page cache: a large copy then costs one copy in
/// memory less, and cannot be mapped anyway. Pages of the content seen before stay cached.
fn open_flags(mode: OpenMode, opened: Opened) -> FopenFlags {
    match (mode.read && !opened.past_cache, opened.keep_cache) {
        (false, _) => FopenFlags::FOPEN_DIRECT_IO,
        (true, true) => FopenFlags::FOPEN_KEEP_CACHE,
        (true, false) => FopenFlags::empty(),
    }
}

fn give_empty(op: &'static str, result: Result<()>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(Fuse::refuse(op, &error)),
    }
}

fn give_xattr(op: &'static str, value: Result<Vec<u8>>, size: u32, reply: ReplyXattr) {
    match value.and_then(|value| Ok((xattr::reply(&value, size)?, value))) {
        Ok((xattr::Reply::Size(len), _)) => reply.size(len),
        Ok((xattr::Reply::Data, value)) => reply.data(&value),
        Err(error) => reply.error(Fuse::refuse(op, &error)),
    }
}

fn give_open(op: &'static str, mode: OpenMode, opened: Result<Opened>, reply: ReplyOpen) {
    match opened {
        Ok(opened) => reply.opened(FileHandle(opened.handle), open_flags(mode, opened)),
        Err(error) => reply.error(Fuse::refuse(op, &error)),
    }
}

impl Filesystem for Fuse {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for wanted in [
            InitFlags::FUSE_ATOMIC_O_TRUNC,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_ASYNC_DIO,
        ] {
            // One the kernel does not have is simply not used.
            let _ = config.add_capabilities(wanted);
        }
        let _ = config.set_max_write(MAX_WRITE_BYTES);
        if let Err(most) = config.set_max_readahead(MAX_READ_AHEAD_BYTES) {
            let _ = config.set_max_readahead(most);
        }
        let _ = config.set_max_background(MAX_BACKGROUND);
        let _ = config.set_time_granularity(Duration::from_nanos(1));
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if let Some(found) = self.fs.lookup_now(parent.0, name) {
            return give_entry(&self.fs, &self.defaults, "lookup", found, reply);
        }
        let (fs, defaults, name) = (Arc::clone(&self.fs), self.defaults, name.to_owned());
        self.task(async move {
            let found = fs.lookup(parent.0, &name).await;
            give_entry(&fs, &defaults, "lookup", found, reply);
        });
    }

    fn forget(&self, _request: &Request, ino: INodeNo, count: u64) {
        self.fs.forget(ino.0, count);
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        if let Some(found) = self.fs.stat_now(ino.0) {
            return give_attr(&self.fs, &self.defaults, "getattr", found, reply);
        }
        let (fs, defaults) = (Arc::clone(&self.fs), self.defaults);
        self.task(async move {
            let found = fs.stat(ino.0).await;
            give_attr(&fs, &defaults, "getattr", found, reply);
        });
    }

    fn setattr(
        &self,
        _request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let new = NewAttr { mode, uid, gid, accessed_at: atime.map(time), modified_at: mtime.map(time) };
        let (fs, defaults) = (Arc::clone(&self.fs), self.defaults);
        self.task(async move {
            let done = async {
                if let Some(size) = size {
                    fs.truncate(ino.0, size, handle.map(|handle| handle.0)).await?;
                }
                fs.set_attr(ino.0, new).await?;
                fs.stat(ino.0).await
            };
            let done = done.await;
            give_attr(&fs, &defaults, "setattr", done, reply);
        });
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        if mode & libc::S_IFMT != libc::S_IFREG {
            let never =
                Error::new(Kind::NotPermitted, "make a special file", "a drive has files and folders only");
            return reply.error(Fuse::refuse("mknod", &never));
        }
        let (fs, defaults, name, caller) =
            (Arc::clone(&self.fs), self.defaults, name.to_owned(), caller(request));
        self.task(async move {
            let mode_of =
                OpenMode { read: true, write: true, truncate: false, append: false, exclusive: true };
            let made = fs.create(parent.0, &name, mode_of, mode & !umask & 0o7777, caller).await;
            let made = match made {
                Ok((stat, opened)) => {
                    let closed = fs.flush(opened.handle, Caller { pid: 0, ..caller }).await;
                    fs.release(opened.handle);
                    closed.map(|()| stat)
                }
                Err(error) => Err(error),
            };
            give_entry(&fs, &defaults, "mknod", made, reply);
        });
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let (fs, defaults, name, caller) =
            (Arc::clone(&self.fs), self.defaults, name.to_owned(), caller(request));
        self.task(async move {
            let made = fs.make_dir(parent.0, &name, mode & !umask & 0o7777, caller).await;
            give_entry(&fs, &defaults, "mkdir", made, reply);
        });
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (fs, name) = (Arc::clone(&self.fs), name.to_owned());
        self.task(async move { give_empty("unlink", fs.unlink(parent.0, &name).await, reply) });
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (fs, name) = (Arc::clone(&self.fs), name.to_owned());
        self.task(async move { give_empty("rmdir", fs.remove_dir(parent.0, &name).await, reply) });
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let (fs, defaults, caller) = (Arc::clone(&self.fs), self.defaults, caller(request));
        let (name, target) = (name.to_owned(), target.to_owned());
        self.task(async move {
            let made = fs.make_link(parent.0, &name, &target, caller).await;
            give_entry(&fs, &defaults, "symlink", made, reply);
        });
    }

    fn readlink(&self, _request: &Request, ino: INodeNo, reply: ReplyData) {
        match self.fs.read_link(ino.0) {
            Ok(target) => reply.data(&target),
            Err(error) => reply.error(Fuse::refuse("readlink", &error)),
        }
    }

    fn link(&self, _request: &Request, _ino: INodeNo, _parent: INodeNo, _name: &OsStr, reply: ReplyEntry) {
        let never = Error::new(Kind::NotPermitted, "make a hard link", "a file on a drive has one name");
        reply.error(Fuse::refuse("link", &never));
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if flags.intersects(RenameFlags::RENAME_EXCHANGE | RenameFlags::RENAME_WHITEOUT) {
            let never = Error::new(Kind::Invalid, "rename", "a drive cannot exchange two names at once");
            return reply.error(Fuse::refuse("rename", &never));
        }
        let no_replace = flags.contains(RenameFlags::RENAME_NOREPLACE);
        let (fs, name, new_name) = (Arc::clone(&self.fs), name.to_owned(), new_name.to_owned());
        self.task(async move {
            let done = fs.rename(parent.0, &name, new_parent.0, &new_name, no_replace).await;
            give_empty("rename", done, reply);
        });
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let (mode, caller) = (open_mode(flags.0), caller(request));
        if let Some(opened) = self.fs.open_now(ino.0, mode, caller) {
            return give_open("open", mode, opened, reply);
        }
        let fs = Arc::clone(&self.fs);
        self.task(async move {
            let opened = fs.open_file(ino.0, mode, caller).await;
            give_open("open", mode, opened, reply);
        });
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let (fs, defaults, name, caller) =
            (Arc::clone(&self.fs), self.defaults, name.to_owned(), caller(request));
        let mode_of = open_mode(flags);
        self.task(async move {
            match fs.create(parent.0, &name, mode_of, mode & !umask & 0o7777, caller).await {
                Ok((stat, opened)) => {
                    fs.refer(stat.node.ino);
                    let attr = file_attr(&stat, &defaults);
                    let handle = FileHandle(opened.handle);
                    reply.created(
                        &fs.attr_timeout(),
                        &attr,
                        Generation(0),
                        handle,
                        open_flags(mode_of, opened),
                    );
                }
                Err(error) => reply.error(Fuse::refuse("create", &error)),
            }
        });
    }

    fn read(
        &self,
        _request: &Request,
        _ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let size = size as usize;
        let reply = BUFFER.with_borrow_mut(|buffer| {
            if buffer.len() < size {
                buffer.resize(size, 0);
            }
            match self.fs.read_now(handle.0, &mut buffer[..size], offset) {
                Some(Ok(len)) => {
                    reply.data(&buffer[..len]);
                    None
                }
                Some(Err(error)) => {
                    reply.error(Fuse::refuse("read", &error));
                    None
                }
                None => Some(reply),
            }
        });
        let Some(reply) = reply else { return };
        let fs = Arc::clone(&self.fs);
        self.task(async move {
            match fs.read(handle.0, offset, size).await {
                Ok(read) => reply.data(&read.bytes),
                Err(error) => reply.error(Fuse::refuse("read", &error)),
            }
        });
    }

    fn write(
        &self,
        _request: &Request,
        _ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.fs.write(handle.0, data, offset) {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(Fuse::refuse("write", &error)),
        }
    }

    fn fallocate(
        &self,
        _request: &Request,
        _ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let done = convert::fallocate(mode)
            .and_then(|how| self.fs.fallocate(handle.0, how, offset..offset.saturating_add(length)));
        give_empty("fallocate", done, reply);
    }

    fn lseek(
        &self,
        _request: &Request,
        _ino: INodeNo,
        handle: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let found =
            convert::seek(offset, whence).and_then(|(offset, what)| self.fs.seek(handle.0, offset, what));
        match found {
            Ok(offset) => reply.offset(offset as i64),
            Err(error) => reply.error(Fuse::refuse("lseek", &error)),
        }
    }

    fn flush(
        &self,
        request: &Request,
        _ino: INodeNo,
        handle: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        let (fs, caller) = (Arc::clone(&self.fs), caller(request));
        if fs.is_settled(handle.0) {
            return reply.ok();
        }
        self.task(async move { give_empty("close", fs.flush(handle.0, caller).await, reply) });
    }

    fn release(
        &self,
        _request: &Request,
        _ino: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.fs.release(handle.0);
        reply.ok();
    }

    fn fsync(&self, _request: &Request, _ino: INodeNo, handle: FileHandle, _data: bool, reply: ReplyEmpty) {
        let fs = Arc::clone(&self.fs);
        self.task(async move { give_empty("fsync", fs.fsync(handle.0).await, reply) });
    }

    fn opendir(&self, _request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        if let Some(handle) = self.fs.open_dir_now(ino.0) {
            return reply.opened(FileHandle(handle), FopenFlags::empty());
        }
        let fs = Arc::clone(&self.fs);
        self.task(async move {
            match fs.open_dir(ino.0).await {
                Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::empty()),
                Err(error) => reply.error(Fuse::refuse("opendir", &error)),
            }
        });
    }

    fn readdir(
        &self,
        _request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let entries = match self.fs.entries(handle.0, offset == 0) {
            Ok(entries) => entries,
            Err(error) => return reply.error(Fuse::refuse("readdir", &error)),
        };
        let dots = [(ino.0, "."), (self.fs.parent(ino.0), "..")];
        for (place, (ino, name)) in dots.iter().enumerate().skip(offset as usize) {
            if reply.add(INodeNo(*ino), place as u64 + 1, fuser::FileType::Directory, name) {
                return reply.ok();
            }
        }
        let skip = (offset as usize).saturating_sub(dots.len());
        for (place, entry) in entries.iter().enumerate().skip(skip) {
            let next = (place + dots.len()) as u64 + 1;
            let is_folder = entry.kind == crate::pds::model::FileKind::Folder;
            let kind = file_type(is_folder, entry.is_link && self.fs.keeps_links());
            if reply.add(INodeNo(entry.ino), next, kind, &*entry.name) {
                break;
            }
        }
        reply.ok();
    }

    fn readdirplus(
        &self,
        _request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let entries = match self.fs.entries(handle.0, offset == 0) {
            Ok(entries) => entries,
            Err(error) => return reply.error(Fuse::refuse("readdirplus", &error)),
        };
        let valid_for = self.fs.attr_timeout();
        let dots = [(ino.0, "."), (self.fs.parent(ino.0), "..")];
        for (place, (ino, name)) in dots.iter().enumerate().skip(offset as usize) {
            // The kernel takes no reference for these two.
            let Some(stat) = self.fs.stat_cached(*ino) else { continue };
            let attr = file_attr(&stat, &self.defaults);
            if reply.add(INodeNo(*ino), place as u64 + 1, name, &valid_for, &attr, Generation(0)) {
                return reply.ok();
            }
        }
        let skip = (offset as usize).saturating_sub(dots.len());
        for (place, entry) in entries.iter().enumerate().skip(skip) {
            let Some(stat) = self.fs.stat_entry(entry) else { continue };
            let attr = file_attr(&stat, &self.defaults);
            let next = (place + dots.len()) as u64 + 1;
            self.fs.refer(entry.ino);
            if reply.add(INodeNo(entry.ino), next, &*entry.name, &valid_for, &attr, Generation(0)) {
                self.fs.forget(entry.ino, 1);
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.fs.close_dir(ino.0, handle.0);
        reply.ok();
    }

    fn fsyncdir(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _handle: FileHandle,
        _data: bool,
        reply: ReplyEmpty,
    ) {
        // Names are on the drive before the call that changed them returns.
        reply.ok();
    }

    fn statfs(&self, _request: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        let fs = Arc::clone(&self.fs);
        self.task(async move {
            match fs.space().await {
                Ok(drive) => {
                    let space = convert::space(&drive);
                    let names = MAX_NAME_BYTES as u32;
                    reply.statfs(space.blocks, space.free, space.free, 0, 0, space.unit, names, space.unit);
                }
                Err(error) => reply.error(Fuse::refuse("statfs", &error)),
            }
        });
    }

    fn setxattr(
        &self,
        request: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        let (fs, name, value, caller) =
            (Arc::clone(&self.fs), OsString::from(name), value.to_vec(), caller(request));
        self.task(async move {
            let done = async {
                let (name, flags) = (attributes::name_of(&name)?, SetFlags::from_bits(flags)?);
                fs.set_xattr(ino.0, name, &value, flags, caller).await
            };
            give_empty("setxattr", done.await, reply);
        });
    }

    fn getxattr(&self, _request: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let found = attributes::name_of(name).and_then(|name| self.fs.get_xattr(ino.0, name));
        match found {
            Ok(Get::Value(value)) => give_xattr("getxattr", Ok(value), size, reply),
            Err(error) => reply.error(Fuse::refuse("getxattr", &error)),
            Ok(Get::Fetch(fetch)) => {
                let fs = Arc::clone(&self.fs);
                self.task(async move {
                    let value = fs.fetch_xattr(ino.0, &fetch).await;
                    give_xattr("getxattr", value, size, reply);
                });
            }
        }
    }

    fn listxattr(&self, request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        give_xattr("listxattr", self.fs.list_xattrs(ino.0, caller(request)), size, reply);
    }

    fn removexattr(&self, request: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (fs, name, caller) = (Arc::clone(&self.fs), OsString::from(name), caller(request));
        self.task(async move {
            let done = async { fs.remove_xattr(ino.0, attributes::name_of(&name)?, caller).await };
            give_empty("removexattr", done.await, reply);
        });
    }
}
