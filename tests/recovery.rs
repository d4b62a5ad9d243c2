//! What a program was promised survives this process: fsync, failed closes, and what the next mount does.

#![allow(clippy::unwrap_used)]

#[path = "recovery/behind.rs"]
mod behind;
#[path = "recovery/rapid.rs"]
mod rapid;
#[path = "recovery/resume.rs"]
mod resume;

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pdsfs::config::{
    DEFAULT_CACHE_BYTES, DEFAULT_MEMORY_BYTES, DeletePolicy, FsOptions, Fsync, MinFree, OnConflict, Rapid,
    WriteMode, WritePolicy, XattrList, XattrMode, XattrReadonly,
};
use pdsfs::error::Kind;
use pdsfs::fs::data::OpenMode;
use pdsfs::fs::{Caller, DriveFs};
use pdsfs::pds::model::{DriveId, File, FileId};
use pdsfs::pds::{Credentials, Pds, PdsOptions, Secret};
use pdsfs::server::{Fault, FaultAction, Server, ServerOptions};
use pdsfs::tree::{Ino, ROOT};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const NEW: OpenMode = OpenMode { read: true, write: true, truncate: false, append: false, exclusive: false };
const ME: Caller = Caller { uid: 0, gid: 0, pid: 0 };
const PART_BYTES: u64 = 128 * 1024;

/// A drive, and local directories that outlive the filesystem over it.
struct Bed {
    server: Server,
    dir: TempDir,
    runtime: Runtime,
}

impl Bed {
    fn new() -> Self {
        Self::over(tempfile::tempdir().unwrap(), |_| {})
    }

    fn over(dir: TempDir, change: impl FnOnce(&mut ServerOptions)) -> Self {
        let mut options = ServerOptions::new(dir.path().join("data"));
        change(&mut options);
        let server = Server::start(options).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Bed { server, dir, runtime }
    }

    fn pds(&self) -> Pds {
        Pds::new(self.pds_options()).unwrap()
    }

    fn pds_options(&self) -> PdsOptions {
        let token = Credentials::Token(Secret::from(self.server.access_token()));
        PdsOptions {
            op_timeout: Duration::from_secs(5),
            retries: 2,
            ..PdsOptions::new(self.server.url(), DriveId::from(self.server.drive_id()), token)
        }
    }

    /// A filesystem over the drive, as a mount starts it.
    fn fs(&self) -> Arc<DriveFs> {
        self.fs_with(WritePolicy::default())
    }

    fn fs_with(&self, write: WritePolicy) -> Arc<DriveFs> {
        let options = FsOptions { write, ..options(self.dir.path()) };
        let fs = DriveFs::open(self.pds(), options, self.runtime.handle().clone()).unwrap();
        self.runtime.block_on(fs.check()).unwrap();
        fs
    }

    /// Writes a file and closes it.
    fn put(&self, fs: &Arc<DriveFs>, name: &str, bytes: &[u8]) -> Result<(), Kind> {
        let handle = self.write(fs, name, bytes);
        let closed = self.runtime.block_on(fs.flush(handle, ME)).map_err(|error| error.kind());
        fs.release(handle);
        closed
    }

    /// Reads a file of a folder as a program does.
    fn read(&self, fs: &Arc<DriveFs>, folder: Ino, name: &str) -> Vec<u8> {
        self.runtime.block_on(async {
            let stat = fs.lookup(folder, OsStr::new(name)).await.unwrap();
            let mode = OpenMode { write: false, ..NEW };
            let handle = fs.open_file(stat.node.ino, mode, ME).await.unwrap().handle;
            let size = stat.newer.map_or_else(|| stat.node.size, |newer| newer.size);
            let mut bytes = Vec::new();
            while (bytes.len() as u64) < size {
                bytes.extend(fs.read(handle, bytes.len() as u64, 1 << 20).await.unwrap().bytes);
            }
            fs.release(handle);
            bytes
        })
    }

    /// Waits until `done`, which must come to pass.
    #[track_caller]
    fn soon(&self, what: &str, done: impl Fn() -> bool) {
        let until = Instant::now() + Duration::from_secs(60);
        while !done() {
            assert!(Instant::now() < until, "never: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends a filesystem the way a killed process ends: nothing is brought to the drive any more.
    fn kill(&self, fs: Arc<DriveFs>) {
        self.runtime.block_on(fs.stop());
        assert_eq!(Arc::strong_count(&fs), 1, "something still uses the filesystem");
    }

    /// Writes a file through a handle that stays open.
    fn write(&self, fs: &Arc<DriveFs>, name: &str, bytes: &[u8]) -> u64 {
        let created = self.runtime.block_on(fs.create(ROOT, OsStr::new(name), NEW, 0o644, ME));
        let handle = created.unwrap().1.handle;
        fs.write(handle, bytes, 0).unwrap();
        handle
    }

    fn files(&self) -> Vec<File> {
        self.runtime.block_on(async { self.pds().list(&FileId::root(), "").await.unwrap().files })
    }

    /// Brings what an earlier run left to the drive.
    fn recover(&self, fs: &Arc<DriveFs>) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let report = self.runtime.block_on(fs.drain(deadline, |_| {}));
        report.incomplete.into_iter().map(|(path, error)| format!("{path}: {error}")).collect()
    }
}

fn options(dir: &Path) -> FsOptions {
    FsOptions {
        cache_dir: dir.join("cache"),
        state_dir: dir.join("state"),
        cache_bytes: DEFAULT_CACHE_BYTES,
        min_free: MinFree::Bytes(0),
        attr_timeout: Duration::ZERO,
        poll_interval: Duration::from_secs(15),
        posix_metadata: true,
        part_bytes: PART_BYTES,
        transfers: 2,
        upload_concurrency: 2,
        op_timeout: Duration::from_secs(5),
        memory_bytes: DEFAULT_MEMORY_BYTES,
        fsync: Fsync::Local,
        write: WritePolicy::default(),
        delete: DeletePolicy::Recycle,
        xattr: XattrMode::On,
        xattr_list: XattrList::Auto,
        xattr_readonly: XattrReadonly::Auto,
        xattr_urls: false,
        xattr_drop: Vec::new(),
        read_only: false,
        control: None,
    }
}

fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

fn crc64(bytes: &[u8]) -> u64 {
    let mut crc = crc64fast::Digest::new();
    crc.write(bytes);
    crc.sum64()
}

#[test]
fn what_was_synced_reaches_the_drive_after_a_kill() {
    let bed = Bed::new();
    let bytes = noise(3 * PART_BYTES as usize + 17);
    let fs = bed.fs();
    let handle = bed.write(&fs, "synced", &bytes);
    bed.runtime.block_on(fs.fsync(handle)).unwrap();
    bed.kill(fs);
    assert!(bed.files().is_empty(), "fsync completes nothing");

    assert!(bed.recover(&bed.fs()).is_empty());
    let files = bed.files();
    assert_eq!(files.len(), 1);
    assert_eq!((&*files[0].name, files[0].crc64), ("synced", Some(crc64(&bytes))));
    assert!(std::fs::read_dir(bed.dir.path().join("state/drafts")).unwrap().next().is_none());
}

/// The process cannot be looked at, so nobody knows whether another close will come.
#[test]
fn emptying_survives_a_kill_after_the_close() {
    let bed = Bed::new();
    let fs = bed.fs();
    bed.put(&fs, "emptied", b"old").unwrap();
    let stat = bed.runtime.block_on(fs.lookup(ROOT, OsStr::new("emptied"))).unwrap();
    let mode = OpenMode { truncate: true, ..NEW };
    let handle = bed.runtime.block_on(fs.open_file(stat.node.ino, mode, ME)).unwrap().handle;
    bed.runtime.block_on(fs.flush(handle, ME)).unwrap();
    bed.kill(fs);

    assert!(bed.recover(&bed.fs()).is_empty());
    assert_eq!(bed.files()[0].size, 0);
}

#[test]
fn what_was_not_promised_leaves_nothing_behind() {
    let bed = Bed::new();
    let fs = bed.fs();
    bed.write(&fs, "half", &noise(2 * PART_BYTES as usize));
    bed.kill(fs);
    let fs = bed.fs();
    assert!(bed.recover(&fs).is_empty());
    assert!(bed.files().is_empty());
    assert!(std::fs::read_dir(bed.dir.path().join("state/drafts")).unwrap().next().is_none());
}

#[test]
fn a_failed_close_keeps_the_data_and_the_next_mount_brings_it_home() {
    let bed = Bed::new();
    let bytes = noise(1000);
    let fs = bed.fs();
    let handle = bed.write(&fs, "full", &bytes);
    bed.server.faults().add(Fault { route: "create", action: FaultAction::QuotaExhausted, times: 1 });
    let error = bed.runtime.block_on(fs.flush(handle, ME)).unwrap_err();
    assert_eq!(error.kind(), Kind::Quota);
    assert_eq!(fs.status().uploads[0].path, "full");
    bed.kill(fs);

    let fs = bed.fs();
    assert_eq!(fs.status().uploads[0].path, "full");
    assert!(bed.recover(&fs).is_empty());
    assert_eq!(bed.files()[0].crc64, Some(crc64(&bytes)));
    assert!(fs.status().uploads.is_empty());
}

#[test]
fn a_completion_the_killed_process_never_heard_of_is_not_repeated() {
    let bed = Bed::new();
    let bytes = noise(5000);
    let fs = bed.fs();
    let handle = bed.write(&fs, "twice", &bytes);
    bed.runtime.block_on(fs.fsync(handle)).unwrap();
    bed.kill(fs);
    // The drive has it, and the journal does not know: as after a kill between the two.
    let journal = bed.dir.path().join("state/journal.db");
    let drafts = bed.dir.path().join("state/drafts");
    let keep = bed.dir.path().join("keep");
    std::fs::create_dir(&keep).unwrap();
    std::fs::copy(&journal, keep.join("journal.db")).unwrap();
    let draft = std::fs::read_dir(&drafts).unwrap().next().unwrap().unwrap();
    std::fs::copy(draft.path(), keep.join(draft.file_name())).unwrap();
    let fs = bed.fs();
    assert!(bed.recover(&fs).is_empty());
    bed.kill(fs);
    std::fs::copy(keep.join("journal.db"), &journal).unwrap();
    std::fs::copy(keep.join(draft.file_name()), draft.path()).unwrap();

    let fs = bed.fs();
    assert_eq!(fs.status().recovering.len(), 1);
    assert!(bed.recover(&fs).is_empty());
    let names: Vec<String> = bed.files().iter().map(|file| file.name.to_string()).collect();
    assert_eq!(names, ["twice"]);
}

#[test]
fn a_file_taken_by_another_meanwhile_is_kept_beside_it() {
    let bed = Bed::new();
    let fs = bed.fs();
    let handle = bed.write(&fs, "note.txt", b"ours");
    bed.runtime.block_on(fs.fsync(handle)).unwrap();
    bed.kill(fs);
    let other = bed.dir.path().join("other");
    let second = DriveFs::open(bed.pds(), options(&other), bed.runtime.handle().clone()).unwrap();
    bed.runtime.block_on(second.check()).unwrap();
    let handle = bed.write(&second, "note.txt", b"theirs");
    bed.runtime.block_on(second.flush(handle, ME)).unwrap();

    assert!(bed.recover(&bed.fs()).is_empty());
    let files = bed.files();
    let sizes: Vec<u64> = files.iter().map(|file| file.size).collect();
    assert_eq!(sizes.len(), 2, "{files:?}");
    let ours = files.iter().find(|file| file.size == 4).unwrap();
    assert!(ours.name.starts_with("note (conflict ") && ours.name.ends_with(").txt"), "{}", ours.name);
}

#[test]
fn a_removed_file_does_not_come_back() {
    let bed = Bed::new();
    let fs = bed.fs();
    let handle = bed.write(&fs, "gone", b"bytes");
    bed.runtime.block_on(fs.fsync(handle)).unwrap();
    bed.runtime.block_on(fs.unlink(ROOT, OsStr::new("gone"))).unwrap();
    fs.release(handle);
    bed.kill(fs);
    let fs = bed.fs();
    assert!(fs.status().recovering.is_empty());
    assert!(bed.recover(&fs).is_empty());
    assert!(bed.files().is_empty());
}

#[test]
fn what_others_remove_while_it_is_written_here_is_on_the_drive_after_close() {
    let bed = Bed::new();
    let fs = bed.fs();
    let handle = bed.write(&fs, "shared", b"first");
    bed.runtime.block_on(fs.flush(handle, ME)).unwrap();
    fs.write(handle, b"second", 0).unwrap();
    bed.runtime.block_on(bed.pds().trash(&bed.files()[0].id)).unwrap();
    // The news comes with the next look at anything.
    assert!(bed.runtime.block_on(fs.lookup(ROOT, OsStr::new("shared"))).is_err());

    bed.runtime.block_on(fs.flush(handle, ME)).unwrap();
    fs.release(handle);
    let files = bed.files();
    assert_eq!(files.len(), 1);
    assert_eq!((&*files[0].name, files[0].crc64), ("shared", Some(crc64(b"second"))));
    assert!(bed.runtime.block_on(fs.lookup(ROOT, OsStr::new("shared"))).is_ok());
}
