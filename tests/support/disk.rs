//! Something file-like: what a scenario needs of a filesystem, so that one body runs in process and on a
//! real mount.
//!
//! [`Direct`] calls `DriveFs` the way the kernel would, including the checks that the kernel makes itself;
//! [`Mounted`] goes through `/dev/fuse` with the standard library. Errors are errnos, because that is what
//! programs get. Nothing here waits without a bound.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use pdsfs::config::{
    DeletePolicy, FsOptions, Fsync, MinFree, MountOptions, WritePolicy, XattrList, XattrMode, XattrReadonly,
};
use pdsfs::fs::DriveFs;
use pdsfs::pds::{Credentials, Pds, PdsOptions};
use pdsfs::server::Server;

mod direct;
mod mounted;

pub use direct::Direct;
pub use mounted::{Mounted, can_mount};

/// An errno.
pub type Errno = i32;

/// The most any single call may take before it counts as hung.
const HUNG_AFTER: Duration = Duration::from_secs(60);
/// The most that may pass between the last close and everything being on the drive.
const SETTLED_AFTER: Duration = Duration::from_secs(60);

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
    /// A client of `server` with its local directories below `local`.
    fn new(server: &Server, local: &Path, tuning: Tuning) -> Self;
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
    pub poll_interval: Duration,
    pub part_bytes: u64,
    pub cache_bytes: u64,
    pub upload_concurrency: usize,
    pub op_timeout: Duration,
    pub stall_timeout: Duration,
    pub retries: u32,
    pub fsync: Fsync,
    pub memory_bytes: u64,
    pub connections: usize,
    pub write: WritePolicy,
}

impl Default for Tuning {
    /// Small in everything, so that files have many shards and the cache is always too small.
    fn default() -> Self {
        Tuning {
            attr_timeout: Duration::from_secs(1),
            poll_interval: Duration::from_secs(15),
            part_bytes: 4096,
            cache_bytes: 64 * 1024,
            upload_concurrency: 3,
            op_timeout: Duration::from_secs(20),
            stall_timeout: Duration::from_secs(20),
            retries: 3,
            fsync: Fsync::Local,
            memory_bytes: 64 << 20,
            connections: 16,
            write: WritePolicy::default(),
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
            connections: tuning.connections,
            ..PdsOptions::new(self.endpoint.clone(), self.drive_id.as_str().into(), credentials)
        };
        let options = FsOptions {
            cache_dir: self.local.join("cache"),
            state_dir: self.local.join("state"),
            cache_bytes: tuning.cache_bytes,
            min_free: MinFree::Bytes(0),
            attr_timeout: tuning.attr_timeout,
            poll_interval: tuning.poll_interval,
            posix_metadata: true,
            part_bytes: tuning.part_bytes,
            transfers: 4,
            upload_concurrency: tuning.upload_concurrency,
            op_timeout: tuning.op_timeout,
            memory_bytes: tuning.memory_bytes,
            fsync: tuning.fsync,
            write: tuning.write,
            delete: DeletePolicy::Recycle,
            xattr: XattrMode::On,
            xattr_list: XattrList::Auto,
            xattr_readonly: XattrReadonly::Auto,
            xattr_urls: false,
            xattr_drop: Vec::new(),
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
