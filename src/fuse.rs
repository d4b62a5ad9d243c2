//! Stub of the kernel adapter: an empty folder.
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, INodeNo, MountOption,
    ReplyAttr, ReplyDirectory, ReplyEntry, Request, SessionACL,
};

use crate::config::MountOptions;
use crate::error::{Error, Result};
use crate::fs::DriveFs;

/// Stub.
pub struct Session(Option<BackgroundSession>);

struct Empty(#[allow(dead_code)] Arc<DriveFs>, FileAttr);

impl Filesystem for Empty {
    fn getattr(&self, _req: &Request, _ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&Duration::from_secs(1), &self.1);
    }
    fn lookup(&self, _req: &Request, _parent: INodeNo, _name: &OsStr, reply: ReplyEntry) {
        reply.error(Errno::ENOENT);
    }
    fn readdir(&self, _r: &Request, _i: INodeNo, _fh: FileHandle, _o: u64, reply: ReplyDirectory) {
        reply.ok();
    }
}

/// Stub.
pub fn mount(fs: Arc<DriveFs>, mountpoint: &Path, options: &MountOptions) -> Result<Session> {
    let mut config = Config::default();
    config.mount_options =
        vec![MountOption::FSName(options.fsname.clone()), MountOption::CUSTOM("subtype=pdsfs".into())];
    if options.allow_other {
        config.acl = SessionACL::All;
    }
    let attr = FileAttr {
        ino: INodeNo::ROOT,
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: FileType::Directory,
        perm: 0o755,
        nlink: 2,
        uid: options.uid,
        gid: options.gid,
        rdev: 0,
        flags: 0,
        blksize: 512,
    };
    let session = fuser::Session::new(Empty(fs, attr), mountpoint, &config)
        .and_then(fuser::Session::spawn)
        .map_err(|error| Error::io("mount", error))?;
    Ok(Session(Some(session)))
}

impl Session {
    /// Stub.
    pub fn wait(&mut self) -> Result<()> {
        self.0.take().map_or(Ok(()), |session| session.join().map_err(|error| Error::io("wait", error)))
    }
}
