//! A real mount of this process, used with the standard library.

use std::io;
use std::os::fd::IntoRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use pdsfs::fs::DriveFs;
use pdsfs::fuse::Session;
use pdsfs::mount::unmount::{How as UnmountHow, unmount};
use pdsfs::server::Server;
use rustix::mount::UnmountFlags;

use super::{
    Disk, Errno, Facts, FileLike, HUNG_AFTER, How, Recipe, Tuning, end, mount_options, recipe, runtime,
};

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

impl Mounted {
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
        if std::thread::panicking() {
            // Ends the connection: whoever still has a file open gets an error at once, instead of an answer that may
            // never come. Root may; for others the runtime stays, which answers.
            let _ = rustix::mount::unmount(&self.point, UnmountFlags::FORCE | UnmountFlags::DETACH);
            let _ = unmount(&self.point, UnmountHow::Lazily);
            std::mem::forget((session, Arc::clone(&self.runtime)));
            return;
        }
        let detached = unmount(&self.point, how);
        if how == UnmountHow::Politely {
            detached.expect("unmount");
        }
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || tell.send(session.wait()));
        let Ok(ended) = told.recv_timeout(HUNG_AFTER) else {
            // What closes those files while the test fails is still answered.
            std::mem::forget(Arc::clone(&self.runtime));
            panic!("the session does not end: files are still open on {:?}", self.point);
        };
        ended.expect("the session's end");
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

    fn new(server: &Server, local: &Path, tuning: Tuning) -> Mounted {
        let point = local.join("mnt");
        std::fs::create_dir_all(&point).unwrap();
        let (recipe, runtime) = (recipe(server, local, tuning), Arc::new(runtime()));
        let mut mounted = Mounted { fs: None, session: None, point, recipe, runtime };
        mounted.begin();
        mounted
    }

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
