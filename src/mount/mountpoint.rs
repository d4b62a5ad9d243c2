//! Makes sure that a path can be mounted on, and repairs what a killed process left there.
//!
//! The list of mounts is asked first, because it answers also when the thing mounted does not. Only a
//! `pdsfs` mount whose process is gone is ever taken away; everything else that is in the way is named and
//! left alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::{Access, AtFlags, StatxFlags};
use rustix::io::Errno;

use super::table::{self, printable};
use super::unmount::{self, How};
use crate::config::{Exit, Failure, paths};

/// Stale mounts can be stacked when a repair was interrupted; more than this is no accident.
const MAX_STALE: usize = 8;
/// How long a mounted filesystem may take to answer before it counts as hanging.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A path that can be mounted on.
#[derive(Debug)]
pub struct Mountpoint {
    path: PathBuf,
    notes: Vec<String>,
    /// The folder is ours to remove again unless the mount comes to be.
    created: bool,
}

/// What a mounted path answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Something, also "no permission".
    Alive,
    /// "Transport endpoint is not connected": its process is gone.
    Stale,
    /// Nothing in time.
    Silent,
}

impl Mountpoint {
    /// Checks `path`, creates it when missing, repairs it when stale. `apart` are the folders that must
    /// not overlap with it, with what they are; they are settled. `over_files` permits a folder that is
    /// not empty, and a mount of another kind below.
    ///
    /// # Errors
    /// [`Exit::Mountpoint`] with what is in the way and what to do.
    pub fn prepare(path: &Path, apart: &[(&str, &Path)], over_files: bool) -> Result<Self, Failure> {
        let settled = paths::settle(path).map_err(|error| in_the_way(path, &error.to_string()))?;
        for (what, other) in apart {
            if paths::overlap(&settled, other) {
                let message =
                    format!("it overlaps with the {what} {:?}. Choose another place", printable(other));
                return Err(in_the_way(&settled, &message));
            }
        }
        let mut mountpoint = Mountpoint { path: settled, notes: Vec::new(), created: false };
        mountpoint.clear_mounts(over_files)?;
        mountpoint.ensure_folder()?;
        mountpoint.check_folder(over_files)?;
        Ok(mountpoint)
    }

    /// The path, settled.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was done to it, in sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The mount exists: the folder stays.
    pub fn keep(&mut self) {
        self.created = false;
    }

    fn clear_mounts(&mut self, over_files: bool) -> Result<(), Failure> {
        for _ in 0..MAX_STALE {
            let Some(entry) = table::at(&self.path)? else { return Ok(()) };
            let answer = if entry.is_fuse() { answer(&self.path) } else { Answer::Alive };
            match (entry.is_ours(), answer) {
                (true, Answer::Stale) => self.repair()?,
                (false, Answer::Alive) if over_files && !entry.is_fuse() => return Ok(()),
                (ours, answer) => return Err(occupied(&entry, ours, answer)),
            }
        }
        Err(in_the_way(&self.path, "stale mounts keep coming back there"))
    }

    fn repair(&mut self) -> Result<(), Failure> {
        unmount::unmount(&self.path, How::Lazily).map_err(|error| Failure::at(Exit::Mountpoint, &error))?;
        self.notes.push(format!(
            "{:?} was left over by a pdsfs that was killed; unmounted it and mounted anew",
            printable(&self.path)
        ));
        Ok(())
    }

    fn ensure_folder(&mut self) -> Result<(), Failure> {
        match fs::metadata(&self.path) {
            Ok(metadata) if metadata.is_dir() => Ok(()),
            Ok(_) => Err(in_the_way(
                &self.path,
                "it is not a folder. Name a folder, or a path that does not exist",
            )),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(&self.path)
                    .map_err(|error| in_the_way(&self.path, &format!("cannot create it: {error}")))?;
                self.created = true;
                Ok(())
            }
            Err(error) => Err(in_the_way(&self.path, &error.to_string())),
        }
    }

    fn check_folder(&self, over_files: bool) -> Result<(), Failure> {
        let user = !rustix::process::geteuid().is_root();
        if user && rustix::fs::access(&self.path, Access::WRITE_OK).is_err() {
            // fusermount3 insists, and its own words do not tell why.
            return Err(in_the_way(
                &self.path,
                "no right to write there. Choose a folder that belongs to you",
            ));
        }
        let mut entries =
            fs::read_dir(&self.path).map_err(|error| in_the_way(&self.path, &error.to_string()))?;
        if !over_files && entries.next().is_some() {
            let message = "the folder is not empty, its files would be hidden. \
                           Choose an empty folder, or add --allow-non-empty";
            return Err(in_the_way(&self.path, message));
        }
        Ok(())
    }
}

impl Drop for Mountpoint {
    fn drop(&mut self) {
        if self.created {
            // Fails when somebody put something there meanwhile, and then it shall stay.
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// Asks the filesystem mounted at `path` for a sign of life.
pub fn answer(path: &Path) -> Answer {
    let (sender, receiver) = mpsc::sync_channel(1);
    let asked = path.to_owned();
    // A filesystem that hangs keeps its caller; only a thread of its own can be left behind.
    let asking = std::thread::Builder::new().name("probe".into()).spawn(move || {
        let _ = sender.send(look(&asked).err());
    });
    if asking.is_err() {
        return Answer::Silent;
    }
    match receiver.recv_timeout(ANSWER_WITHIN) {
        // Aborted: it ended while it was asked.
        Ok(Some(Errno::NOTCONN | Errno::CONNABORTED)) => Answer::Stale,
        Ok(_) => Answer::Alive,
        Err(_) => Answer::Silent,
    }
}

/// Asks the filesystem for its root folder. An ordinary stat would be answered from the kernel's cache,
/// also for a process that is gone.
///
/// # Errors
/// As the filesystem answers; [`Errno::NOTCONN`] when its process is gone.
pub fn look(path: &Path) -> rustix::io::Result<()> {
    rustix::fs::statx(rustix::fs::CWD, path, AtFlags::STATX_FORCE_SYNC, StatxFlags::BASIC_STATS).map(drop)
}

fn occupied(entry: &table::Entry, ours: bool, answer: Answer) -> Failure {
    let path = printable(&entry.mountpoint);
    let what = if entry.source.is_empty() { &entry.fstype } else { &entry.source };
    let message = match (ours, answer) {
        (true, Answer::Silent) => {
            format!("{what} is mounted there and does not answer. Try: pdsfs umount {path:?}")
        }
        (true, _) => format!("{what} is already mounted there. Use it, or first: pdsfs umount {path:?}"),
        (false, Answer::Stale) => {
            format!("a dead mount of {} ({what}) is there. First: fusermount3 -uz {path:?}", entry.fstype)
        }
        (false, _) => format!("{what} ({}) is already mounted there. Choose another folder", entry.fstype),
    };
    in_the_way(&entry.mountpoint, &message)
}

fn in_the_way(path: &Path, message: &str) -> Failure {
    Failure::new(Exit::Mountpoint, format!("mount {:?}: {message}", printable(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        (dir, path)
    }

    fn refusal(path: &Path) -> String {
        let failure = Mountpoint::prepare(path, &[], false).unwrap_err();
        assert_eq!(failure.exit(), Exit::Mountpoint);
        failure.message().to_owned()
    }

    #[test]
    fn a_missing_folder_is_created_and_removed_again_if_nothing_comes_of_it() {
        let (_dir, root) = place();
        let path = root.join("new");
        let mountpoint = Mountpoint::prepare(&path, &[], false).unwrap();
        assert!(path.is_dir());
        drop(mountpoint);
        assert!(!path.exists());

        let mut kept = Mountpoint::prepare(&path, &[], false).unwrap();
        kept.keep();
        drop(kept);
        assert!(path.is_dir());
    }

    #[test]
    fn files_and_full_folders_are_refused_by_name() {
        let (_dir, root) = place();
        fs::write(root.join("file"), "x").unwrap();
        assert!(refusal(&root.join("file")).contains("not a folder"));
        assert!(refusal(&root.join("file/below")).contains("file/below"));
        assert!(refusal(&root).contains("--allow-non-empty"));
        assert!(Mountpoint::prepare(&root, &[], true).is_ok());
        assert!(root.is_dir());
    }

    #[test]
    fn something_else_mounted_there_is_named() {
        assert!(refusal(Path::new("/proc")).contains("proc"));
    }

    #[test]
    fn own_folders_are_kept_apart_in_both_directions() {
        let (_dir, root) = place();
        let apart = [("cache", root.as_path())];
        let inside = Mountpoint::prepare(&root.join("m"), &apart, false).unwrap_err();
        assert!(inside.message().contains("overlaps with the cache"), "{inside}");
        assert!(!root.join("m").exists());
        let below = root.join("m/cache");
        let apart = [("cache", below.as_path())];
        assert!(Mountpoint::prepare(&root.join("m"), &apart, false).is_err());
        assert!(Mountpoint::prepare(&root.join("n"), &apart, false).is_ok());
    }

    #[test]
    fn a_live_folder_answers() {
        let (_dir, root) = place();
        assert_eq!(answer(&root), Answer::Alive);
    }
}
