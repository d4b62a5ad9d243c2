//! Something file-like: what a scenario needs of a filesystem, so that one body runs in process and on a
//! real mount.
//!
//! [`Direct`] calls `DriveFs` the way the kernel would, including the checks that the kernel makes itself;
//! [`Mounted`] goes through `/dev/fuse` with the standard library. Errors are errnos, because that is what
//! programs get. Nothing here waits without a bound.

use std::ffi::OsStr;
use std::io;
use std::os::fd::IntoRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use pdsfs::config::{
    DeletePolicy, FsOptions, Fsync, MinFree, MountOptions, XattrList, XattrMode, XattrReadonly,
};
use pdsfs::error::Error;
use pdsfs::fs::attr::{Defaults, attr};
use pdsfs::fs::change::NewAttr;
use pdsfs::fs::data::OpenMode;
use pdsfs::fs::{Caller, DriveFs, Stat};
use pdsfs::fuse::Session;
use pdsfs::mount::unmount::{How as UnmountHow, unmount};
use pdsfs::pds::{Credentials, Pds, PdsOptions};
use pdsfs::server::Server;
use pdsfs::tree::{Ino, ROOT};

/// An errno.
pub type Errno = i32;

/// The most any single call may take before it counts as hung.
const HUNG_AFTER: Duration = Duration::from_secs(60);
/// The most that may pass between the last close and everything being on the drive.
const SETTLED_AFTER: Duration = Duration::from_secs(10);

/// How to open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct How {
    pub read: bool,
    pub write: bool,
    pub append: bool,
    pub create: bool,
    pub exclusive: bool,
    pub truncate: bool,
}

impl How {
    pub const READ: How =
        How { read: true, write: false, append: false, create: false, exclusive: false, truncate: false };
    pub const EDIT: How = How { write: true, ..How::READ };
    pub const NEW: How = How { create: true, truncate: true, ..How::EDIT };
    pub const ADD: How = How { append: true, create: true, ..How::EDIT };
}

/// What `stat` says, as far as scenarios look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    pub is_dir: bool,
    pub size: u64,
    pub modified_at: SystemTime,
}

/// A filesystem. Paths are relative to its root, which is `""`.
pub trait Disk: Sized {
    type File: FileLike;
    fn open(&self, path: &str, how: How) -> Result<Self::File, Errno>;
    fn make_dir(&self, path: &str) -> Result<(), Errno>;
    fn remove_dir(&self, path: &str) -> Result<(), Errno>;
    fn unlink(&self, path: &str) -> Result<(), Errno>;
    fn rename(&self, from: &str, to: &str) -> Result<(), Errno>;
    fn truncate(&self, path: &str, len: u64) -> Result<(), Errno>;
    fn set_modified(&self, path: &str, time: SystemTime) -> Result<(), Errno>;
    fn stat(&self, path: &str) -> Result<Facts, Errno>;
    /// Names and whether each is a folder, in order of name.
    fn list(&self, path: &str) -> Result<Vec<(String, bool)>, Errno>;
    /// The filesystem behind it.
    fn fs(&self) -> &Arc<DriveFs>;
    /// Ends it and opens it again on the same local directories.
    fn remount(self) -> Self;

    /// Waits until the drive has everything.
    fn settle(&self) -> Result<(), String> {
        let until = Instant::now() + SETTLED_AFTER;
        loop {
            let status = self.fs().status();
            if status.dirty_files == 0 {
                return Ok(());
            }
            let failed = status.uploads.iter().find_map(|upload| upload.error.clone());
            if failed.is_some() || Instant::now() > until {
                return Err(format!("closed and never on the drive: {:?}", status.uploads));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Writes a whole file, as `cp` does.
    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), Errno> {
        let file = self.open(path, How::NEW)?;
        let written = bytes
            .chunks(64 * 1024)
            .enumerate()
            .try_for_each(|(number, chunk)| file.write_at(chunk, number as u64 * 64 * 1024));
        let closed = file.close();
        written.and(closed)
    }

    /// Reads a whole file.
    fn get(&self, path: &str) -> Result<Vec<u8>, Errno> {
        let file = self.open(path, How::READ)?;
        let mut bytes = Vec::new();
        let read = loop {
            match file.read_at(bytes.len() as u64, 64 * 1024) {
                Ok(piece) if piece.is_empty() => break Ok(()),
                Ok(piece) => bytes.extend(piece),
                Err(errno) => break Err(errno),
            }
        };
        let closed = file.close();
        read.and(closed).map(|()| bytes)
    }
}

/// An open file.
pub trait FileLike {
    /// At most `len` bytes, fewer only at the end.
    fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, Errno>;
    /// All of it. With append, `offset` means nothing.
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), Errno>;
    fn set_len(&self, len: u64) -> Result<(), Errno>;
    fn sync(&self) -> Result<(), Errno>;
    /// The result of the close, as a program sees it.
    fn close(self) -> Result<(), Errno>;
}

/// How patient and how large a client is.
#[derive(Clone, Debug)]
pub struct Tuning {
    pub attr_timeout: Duration,
    pub part_bytes: u64,
    pub cache_bytes: u64,
    pub upload_concurrency: usize,
    pub op_timeout: Duration,
    pub stall_timeout: Duration,
    pub retries: u32,
    pub fsync: Fsync,
}

impl Default for Tuning {
    /// Small in everything, so that files have many shards and the cache is always too small.
    fn default() -> Self {
        Tuning {
            attr_timeout: Duration::from_secs(1),
            part_bytes: 4096,
            cache_bytes: 64 * 1024,
            upload_concurrency: 3,
            op_timeout: Duration::from_secs(20),
            stall_timeout: Duration::from_secs(20),
            retries: 3,
            fsync: Fsync::Local,
        }
    }
}

/// Everything to open a client, and to open it again.
#[derive(Clone)]
struct Recipe {
    endpoint: String,
    token: String,
    drive_id: String,
    local: PathBuf,
    tuning: Tuning,
}

impl Recipe {
    fn open(&self, runtime: &tokio::runtime::Runtime) -> Arc<DriveFs> {
        let tuning = &self.tuning;
        let credentials = Credentials::Token(self.token.clone().into());
        let pds = PdsOptions {
            op_timeout: tuning.op_timeout,
            stall_timeout: tuning.stall_timeout,
            connect_timeout: tuning.op_timeout,
            retries: tuning.retries,
            ..PdsOptions::new(self.endpoint.clone(), self.drive_id.as_str().into(), credentials)
        };
        let options = FsOptions {
            cache_dir: self.local.join("cache"),
            state_dir: self.local.join("state"),
            cache_bytes: tuning.cache_bytes,
            min_free: MinFree::Bytes(0),
            attr_timeout: tuning.attr_timeout,
            part_bytes: tuning.part_bytes,
            transfers: 4,
            upload_concurrency: tuning.upload_concurrency,
            op_timeout: tuning.op_timeout,
            memory_bytes: 64 << 20,
            fsync: tuning.fsync,
            delete: DeletePolicy::Recycle,
            xattr: XattrMode::On,
            xattr_list: XattrList::Auto,
            xattr_readonly: XattrReadonly::Auto,
            xattr_urls: false,
            read_only: false,
            control: None,
        };
        let fs = DriveFs::open(Pds::new(pds).unwrap(), options, runtime.handle().clone()).unwrap();
        runtime.block_on(fs.check()).unwrap();
        fs.recover();
        fs
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn recipe(server: &Server, local: &Path, tuning: Tuning) -> Recipe {
    Recipe {
        endpoint: server.url().to_owned(),
        token: server.access_token().to_owned(),
        drive_id: server.drive_id().to_owned(),
        local: local.to_owned(),
        tuning,
    }
}

/// Lets `fs` finish and end, so that its directories can be opened again.
fn end(fs: Arc<DriveFs>, runtime: &tokio::runtime::Runtime) {
    let ended = runtime.block_on(async {
        tokio::time::timeout(HUNG_AFTER, async {
            fs.drain(Instant::now() + HUNG_AFTER / 2, |_| {}).await;
            fs.stop().await;
        })
        .await
    });
    ended.expect("the filesystem does not end");
    let until = Instant::now() + HUNG_AFTER;
    while Arc::strong_count(&fs) > 1 {
        assert!(Instant::now() < until, "somebody keeps the filesystem after it was stopped");
        std::thread::yield_now();
    }
}

/// `DriveFs` in this process.
pub struct Direct {
    fs: Arc<DriveFs>,
    recipe: Recipe,
    runtime: Arc<tokio::runtime::Runtime>,
}

/// An open file of [`Direct`].
pub struct DirectFile {
    fs: Arc<DriveFs>,
    runtime: Arc<tokio::runtime::Runtime>,
    handle: u64,
    ino: Ino,
    how: How,
}

fn caller() -> Caller {
    Caller { uid: 0, gid: 0, pid: std::process::id() }
}

fn errno(error: Error) -> Errno {
    error.errno()
}

impl Direct {
    /// A client of `server` with its local directories below `local`.
    pub fn new(server: &Server, local: &Path, tuning: Tuning) -> Direct {
        let (recipe, runtime) = (recipe(server, local, tuning), Arc::new(runtime()));
        Direct { fs: recipe.open(&runtime), recipe, runtime }
    }

    fn wait<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Errno> {
        wait(&self.runtime, work)
    }

    fn lookup(&self, parent: Ino, name: &str) -> Result<Stat, Errno> {
        let name = OsStr::new(name);
        match self.fs.lookup_now(parent, name) {
            Some(found) => found.map_err(errno),
            None => self.wait(self.fs.lookup(parent, name)),
        }
    }

    fn find(&self, path: &str) -> Result<Stat, Errno> {
        if path.is_empty() {
            return self.wait(self.fs.stat(ROOT));
        }
        let (parent, name) = self.place(path)?;
        self.lookup(parent, name)
    }

    /// The folder a path is in, and its last name.
    fn place<'p>(&self, path: &'p str) -> Result<(Ino, &'p str), Errno> {
        let Some((folder, name)) = path.rsplit_once('/') else { return Ok((ROOT, path)) };
        let folder = self.find(folder)?;
        if folder.node.is_folder() { Ok((folder.node.ino, name)) } else { Err(libc::ENOTDIR) }
    }

    fn opened(&self, handle: u64, ino: Ino, how: How) -> DirectFile {
        DirectFile { fs: Arc::clone(&self.fs), runtime: Arc::clone(&self.runtime), handle, ino, how }
    }
}

fn wait<T>(
    runtime: &tokio::runtime::Runtime,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Errno> {
    let bounded = runtime.block_on(async { tokio::time::timeout(HUNG_AFTER, work).await });
    bounded.expect("a call does not end").map_err(errno)
}

impl Disk for Direct {
    type File = DirectFile;

    fn open(&self, path: &str, how: How) -> Result<DirectFile, Errno> {
        let mode = OpenMode {
            read: how.read,
            write: how.write,
            truncate: how.truncate,
            append: how.append,
            exclusive: how.exclusive,
        };
        let (parent, name) = self.place(path)?;
        match self.lookup(parent, name) {
            Ok(_) if how.create && how.exclusive => Err(libc::EEXIST),
            Ok(stat) if stat.node.is_folder() => Err(libc::EISDIR),
            Ok(stat) => {
                let ino = stat.node.ino;
                let opened = match self.fs.open_now(ino, mode, caller()) {
                    Some(opened) => opened.map_err(errno),
                    None => self.wait(self.fs.open_file(ino, mode, caller())),
                };
                Ok(self.opened(opened?.handle, ino, how))
            }
            Err(libc::ENOENT) if how.create => {
                let (stat, opened) =
                    self.wait(self.fs.create(parent, OsStr::new(name), mode, 0o644, caller()))?;
                Ok(self.opened(opened.handle, stat.node.ino, how))
            }
            Err(errno) => Err(errno),
        }
    }

    fn make_dir(&self, path: &str) -> Result<(), Errno> {
        let (parent, name) = self.place(path)?;
        match self.lookup(parent, name) {
            Ok(_) => Err(libc::EEXIST),
            Err(libc::ENOENT) => {
                self.wait(self.fs.make_dir(parent, OsStr::new(name), 0o755, caller())).map(|_| ())
            }
            Err(errno) => Err(errno),
        }
    }

    fn remove_dir(&self, path: &str) -> Result<(), Errno> {
        let (parent, name) = self.place(path)?;
        self.wait(self.fs.remove_dir(parent, OsStr::new(name)))
    }

    fn unlink(&self, path: &str) -> Result<(), Errno> {
        let (parent, name) = self.place(path)?;
        self.wait(self.fs.unlink(parent, OsStr::new(name)))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), Errno> {
        let (parent, name) = self.place(from)?;
        let (new_parent, new_name) = self.place(to)?;
        self.lookup(parent, name)?;
        // What the kernel finds out from its own tree.
        if to.starts_with(&format!("{from}/")) {
            return Err(libc::EINVAL);
        }
        if from.starts_with(&format!("{to}/")) {
            return Err(libc::ENOTEMPTY);
        }
        let (name, new_name) = (OsStr::new(name), OsStr::new(new_name));
        self.wait(self.fs.rename(parent, name, new_parent, new_name, false))
    }

    fn truncate(&self, path: &str, len: u64) -> Result<(), Errno> {
        let stat = self.find(path)?;
        self.wait(self.fs.truncate(stat.node.ino, len, None))
    }

    fn set_modified(&self, path: &str, time: SystemTime) -> Result<(), Errno> {
        let stat = self.find(path)?;
        let new = NewAttr { modified_at: Some(time), ..NewAttr::default() };
        self.wait(self.fs.set_attr(stat.node.ino, new))
    }

    fn stat(&self, path: &str) -> Result<Facts, Errno> {
        let stat = self.find(path)?;
        let options = mount_options();
        let attr = attr(&stat.node, stat.newer, &Defaults::new(&options));
        Ok(Facts { is_dir: attr.is_folder, size: attr.size, modified_at: attr.modified_at })
    }

    fn list(&self, path: &str) -> Result<Vec<(String, bool)>, Errno> {
        let stat = self.find(path)?;
        if !stat.node.is_folder() {
            return Err(libc::ENOTDIR);
        }
        let ino = stat.node.ino;
        let handle = match self.fs.open_dir_now(ino) {
            Some(handle) => handle,
            None => self.wait(self.fs.open_dir(ino))?,
        };
        let entries = self.fs.entries(handle, true).map_err(errno)?;
        let stats = entries.iter().map(|entry| (entry.name.to_string(), self.fs.stat_entry(entry)));
        let mut names: Vec<(String, bool)> =
            stats.filter_map(|(name, stat)| Some((name, stat?.node.is_folder()))).collect();
        names.sort();
        self.fs.close_dir(ino, handle);
        Ok(names)
    }

    fn fs(&self) -> &Arc<DriveFs> {
        &self.fs
    }

    fn remount(self) -> Self {
        let Direct { fs, recipe, runtime } = self;
        end(fs, &runtime);
        Direct { fs: recipe.open(&runtime), recipe, runtime }
    }
}

impl FileLike for DirectFile {
    fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, Errno> {
        if !self.how.read {
            return Err(libc::EBADF);
        }
        let mut buffer = vec![0xEE; len];
        match self.fs.read_now(self.handle, &mut buffer, offset) {
            Some(Ok(count)) => {
                buffer.truncate(count);
                Ok(buffer)
            }
            Some(Err(error)) => Err(errno(error)),
            None => wait(&self.runtime, self.fs.read(self.handle, offset, len)),
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), Errno> {
        // Writes run on kernel threads, which are none of the runtime's.
        self.fs.write(self.handle, bytes, offset).map_err(errno)
    }

    fn set_len(&self, len: u64) -> Result<(), Errno> {
        if !self.how.write {
            return Err(libc::EINVAL);
        }
        wait(&self.runtime, self.fs.truncate(self.ino, len, Some(self.handle)))
    }

    fn sync(&self) -> Result<(), Errno> {
        wait(&self.runtime, self.fs.fsync(self.handle))
    }

    fn close(self) -> Result<(), Errno> {
        let closed = match self.fs.is_settled(self.handle) {
            true => Ok(()),
            false => wait(&self.runtime, self.fs.flush(self.handle, caller())),
        };
        self.fs.release(self.handle);
        closed
    }
}

/// A mount of this process, used through the kernel. Detached when dropped, also by a panic.
pub struct Mounted {
    fs: Option<Arc<DriveFs>>,
    session: Option<Session>,
    point: PathBuf,
    recipe: Recipe,
    runtime: Arc<tokio::runtime::Runtime>,
}

/// Whether this machine can mount. Says so when it cannot: nothing passes by silence.
pub fn can_mount() -> bool {
    let there = Path::new("/dev/fuse").exists();
    if !there {
        eprintln!("NOT TESTED: there is no /dev/fuse, so nothing was tried on a real mount");
    }
    there
}

fn mount_options() -> MountOptions {
    MountOptions {
        read_only: false,
        allow_other: false,
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        umask: 0o022,
        fsname: "pdsfs#test".to_owned(),
    }
}

impl Mounted {
    /// A mount of `server`'s drive with its local directories below `local`.
    pub fn new(server: &Server, local: &Path, tuning: Tuning) -> Mounted {
        let point = local.join("mnt");
        std::fs::create_dir_all(&point).unwrap();
        let (recipe, runtime) = (recipe(server, local, tuning), Arc::new(runtime()));
        let mut mounted = Mounted { fs: None, session: None, point, recipe, runtime };
        mounted.begin();
        mounted
    }

    fn begin(&mut self) {
        let fs = self.recipe.open(&self.runtime);
        let session = pdsfs::fuse::mount(Arc::clone(&fs), &self.point, &mount_options());
        self.session = Some(session.expect("mount"));
        self.fs = Some(fs);
    }

    /// Where it is mounted.
    pub fn point(&self) -> &Path {
        &self.point
    }

    fn path(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.point.clone() } else { self.point.join(path) }
    }

    fn detach(&mut self, how: UnmountHow) {
        let Some(mut session) = self.session.take() else { return };
        let detached = unmount(&self.point, how);
        if how == UnmountHow::Politely {
            detached.expect("unmount");
        }
        if std::thread::panicking() {
            // Whoever still has files open keeps the session alive; the process is about to end anyway.
            std::mem::forget(session);
        } else {
            session.wait().expect("the session's end");
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.detach(UnmountHow::Lazily);
        if let Some(fs) = self.fs.take().filter(|_| !std::thread::panicking()) {
            end(fs, &self.runtime);
        }
    }
}

fn raw(error: io::Error) -> Errno {
    error.raw_os_error().unwrap_or_else(|| panic!("not an error of the system: {error}"))
}

impl Disk for Mounted {
    type File = std::fs::File;

    fn open(&self, path: &str, how: How) -> Result<std::fs::File, Errno> {
        let mut options = std::fs::OpenOptions::new();
        options.read(how.read).write(how.write).append(how.append);
        // Not with the library's flags: it refuses combinations that the kernel takes.
        let flags =
            [(how.create, libc::O_CREAT), (how.exclusive, libc::O_EXCL), (how.truncate, libc::O_TRUNC)];
        options.custom_flags(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag).sum());
        options.open(self.path(path)).map_err(raw)
    }

    fn make_dir(&self, path: &str) -> Result<(), Errno> {
        std::fs::create_dir(self.path(path)).map_err(raw)
    }

    fn remove_dir(&self, path: &str) -> Result<(), Errno> {
        std::fs::remove_dir(self.path(path)).map_err(raw)
    }

    fn unlink(&self, path: &str) -> Result<(), Errno> {
        std::fs::remove_file(self.path(path)).map_err(raw)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), Errno> {
        std::fs::rename(self.path(from), self.path(to)).map_err(raw)
    }

    fn truncate(&self, path: &str, len: u64) -> Result<(), Errno> {
        truncate(&self.path(path), len)
    }

    fn set_modified(&self, path: &str, time: SystemTime) -> Result<(), Errno> {
        use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, utimensat};
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec {
                tv_sec: since.as_secs() as i64,
                tv_nsec: i64::from(since.subsec_nanos()),
            },
        };
        utimensat(CWD, self.path(path), &times, AtFlags::empty()).map_err(|errno| errno.raw_os_error())
    }

    fn stat(&self, path: &str) -> Result<Facts, Errno> {
        let stat = std::fs::symlink_metadata(self.path(path)).map_err(raw)?;
        Ok(Facts { is_dir: stat.is_dir(), size: stat.len(), modified_at: stat.modified().unwrap() })
    }

    fn list(&self, path: &str) -> Result<Vec<(String, bool)>, Errno> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.path(path)).map_err(raw)? {
            let entry = entry.map_err(raw)?;
            names.push((entry.file_name().into_string().unwrap(), entry.file_type().map_err(raw)?.is_dir()));
        }
        names.sort();
        Ok(names)
    }

    fn fs(&self) -> &Arc<DriveFs> {
        self.fs.as_ref().expect("mounted")
    }

    fn remount(mut self) -> Self {
        self.detach(UnmountHow::Politely);
        if let Some(fs) = self.fs.take() {
            end(fs, &self.runtime);
        }
        self.begin();
        self
    }
}

impl FileLike for std::fs::File {
    fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>, Errno> {
        let mut buffer = vec![0xEE; len];
        let mut done = 0;
        while done < len {
            match FileExt::read_at(self, &mut buffer[done..], offset + done as u64).map_err(raw)? {
                0 => break,
                count => done += count,
            }
        }
        buffer.truncate(done);
        Ok(buffer)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), Errno> {
        self.write_all_at(bytes, offset).map_err(raw)
    }

    fn set_len(&self, len: u64) -> Result<(), Errno> {
        std::fs::File::set_len(self, len).map_err(raw)
    }

    fn sync(&self) -> Result<(), Errno> {
        self.sync_all().map_err(raw)
    }

    fn close(self) -> Result<(), Errno> {
        close(self)
    }
}

/// truncate(2): by path, with no descriptor.
#[allow(unsafe_code)]
fn truncate(path: &Path, len: u64) -> Result<(), Errno> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the path is a string with its end, which lives until the call returns.
    let result = unsafe { libc::truncate(path.as_ptr(), len as libc::off_t) };
    if result == 0 { Ok(()) } else { Err(raw(io::Error::last_os_error())) }
}

/// The library's own close cannot tell how it went.
#[allow(unsafe_code)]
fn close(file: std::fs::File) -> Result<(), Errno> {
    let descriptor = file.into_raw_fd();
    // SAFETY: the descriptor was taken out of its owner, so nobody else closes it.
    let result = unsafe { libc::close(descriptor) };
    if result == 0 { Ok(()) } else { Err(raw(io::Error::last_os_error())) }
}
