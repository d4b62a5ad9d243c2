//! `DriveFs` called the way the kernel would, in this process.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use pdsfs::error::Error;
use pdsfs::fs::attr::{Defaults, attr};
use pdsfs::fs::change::NewAttr;
use pdsfs::fs::data::OpenMode;
use pdsfs::fs::{Caller, DriveFs, Stat};
use pdsfs::server::Server;
use pdsfs::tree::{Ino, ROOT};

use super::{
    Disk, Errno, Facts, FileLike, HUNG_AFTER, How, Recipe, Tuning, end, mount_options, recipe, runtime,
};

/// `DriveFs` in this process.
pub struct Direct {
    fs: Arc<DriveFs>,
    recipe: Recipe,
    runtime: Arc<tokio::runtime::Runtime>,
}

/// A [`Direct`] that was ended and can go on.
pub struct Off {
    recipe: Recipe,
    runtime: Arc<tokio::runtime::Runtime>,
}

impl Off {
    /// Opens it again on the same local directories.
    pub fn on(self) -> Direct {
        let Off { recipe, runtime } = self;
        Direct { fs: recipe.open(&runtime), recipe, runtime }
    }
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

impl Direct {
    /// Ends it for a while.
    pub fn off(self) -> Off {
        let Direct { fs, recipe, runtime } = self;
        end(fs, &runtime);
        Off { recipe, runtime }
    }

    /// The inode number of a path.
    pub fn inode(&self, path: &str) -> u64 {
        self.find(path).unwrap().node.ino
    }

    /// Tries everything that is not on the drive once more.
    pub fn drain(&self, until: std::time::Instant) -> pdsfs::fs::DrainReport {
        self.runtime.block_on(self.fs.drain(until, |_| {}))
    }
}

impl Direct {
    /// Ends it, so that its directories can be opened again.
    pub fn end(self) {
        end(self.fs, &self.runtime);
    }
}

impl Disk for Direct {
    type File = DirectFile;

    fn new(server: &Server, local: &Path, tuning: Tuning) -> Direct {
        let (recipe, runtime) = (recipe(server, local, tuning), Arc::new(runtime()));
        Direct { fs: recipe.open(&runtime), recipe, runtime }
    }

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
        self.off().on()
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
            None => wait(&self.runtime, self.fs.read(self.handle, offset, len)).map(|read| read.bytes),
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
