//! Who keeps a mount busy: processes with their working directory, root, program or an open file in it.
//!
//! Scans `/proc` as far as the caller may look: a user sees their own processes, root sees all. Links are
//! read, never followed, so a mount that hangs does not hang the scan.

use std::fs;
use std::path::{Path, PathBuf};

/// At most this many are named; the message is for a person.
const MAX_HOLDERS: usize = 5;

/// A process inside a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// Its short name.
    pub name: String,
    /// What it has there: its working directory, or an open file.
    pub path: PathBuf,
}

/// The processes inside `mountpoint` (settled), this one left out, at most five.
pub fn find(mountpoint: &Path) -> Vec<Holder> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| *pid != std::process::id())
        .filter_map(|pid| holder(pid, mountpoint))
        .take(MAX_HOLDERS)
        .collect()
}

/// `vim (pid 12, /mnt/a.txt), bash (pid 7, /mnt)`; empty when nobody was seen.
pub fn describe(holders: &[Holder]) -> String {
    let one = |holder: &Holder| {
        format!("{} (pid {}, {})", holder.name, holder.pid, super::table::printable(&holder.path))
    };
    holders.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn holder(pid: u32, mountpoint: &Path) -> Option<Holder> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let path = inside(&process, mountpoint)?;
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    Some(Holder { pid, name: name.trim().chars().filter(|c| !c.is_control()).collect(), path })
}

fn inside(process: &Path, mountpoint: &Path) -> Option<PathBuf> {
    let single = ["cwd", "root", "exe"].into_iter().map(|link| process.join(link));
    let open = fs::read_dir(process.join("fd")).into_iter().flatten().filter_map(|fd| Some(fd.ok()?.path()));
    single
        .chain(open)
        .filter_map(|link| fs::read_link(link).ok())
        .find(|target| target.starts_with(mountpoint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_is_found_by_its_open_file() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let file = fs::File::create(dir.join("held")).unwrap();
        // `cat` waits for its input and holds the file as its output.
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(file).spawn().unwrap();
        let holders = find(&dir);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(holders.len(), 1, "{holders:?}");
        assert_eq!(holders[0].pid, child.id());
        assert_eq!(holders[0].path, dir.join("held"));
        assert!(describe(&holders).contains("held"));
    }
}
