//! Takes a mount away: as root by system call, as a user through `fusermount3`.
//!
//! *Politely* fails with [`Kind::Busy`] while a program is inside; *lazily* detaches the mountpoint at once
//! and lets programs that are inside keep what they have open. Neither waits for data: draining is the
//! caller's.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use super::table;
use crate::error::{Error, Kind, Result};

/// The helpers that unmount for a user, best first.
const HELPERS: [&str; 2] = ["fusermount3", "fusermount"];

/// How to take it away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Only when nobody is inside.
    Politely,
    /// At once; programs that are inside keep their open files.
    Lazily,
}

/// Unmounts the topmost mount at `mountpoint` (settled).
///
/// # Errors
/// [`Kind::Busy`] when a program is inside, [`Kind::NotFound`] when nothing is mounted there,
/// [`Kind::NotPermitted`] when it is somebody else's or no helper is installed.
pub fn unmount(mountpoint: &Path, how: How) -> Result<()> {
    let mut flags = UnmountFlags::NOFOLLOW;
    if how == How::Lazily {
        flags |= UnmountFlags::DETACH;
    }
    match rustix::mount::unmount(mountpoint, flags) {
        Ok(()) => Ok(()),
        Err(Errno::PERM) => by_helper(mountpoint, how),
        Err(errno) => Err(explain(mountpoint, errno)),
    }
}

fn explain(mountpoint: &Path, errno: Errno) -> Error {
    let (kind, message) = match errno {
        Errno::BUSY => (Kind::Busy, "a program is using it".to_owned()),
        Errno::INVAL | Errno::NOENT => (Kind::NotFound, "nothing is mounted there".to_owned()),
        other => (Kind::Local(other.raw_os_error()), std::io::Error::from(other).to_string()),
    };
    Error::new(kind, "unmount", message).on(table::printable(mountpoint))
}

fn by_helper(mountpoint: &Path, how: How) -> Result<()> {
    let Some(output) = run_helper(mountpoint, how)? else {
        let message = "an ordinary user needs fusermount3 for this. Install the package fuse3";
        return Err(Error::new(Kind::NotPermitted, "unmount", message).on(table::printable(mountpoint)));
    };
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let kind = if words.contains("busy") {
        Kind::Busy
    } else if words.contains("not found in") {
        Kind::NotFound
    } else {
        Kind::NotPermitted
    };
    let message = if kind == Kind::Busy { "a program is using it".to_owned() } else { words };
    Err(Error::new(kind, "unmount", message).on(table::printable(mountpoint)))
}

fn run_helper(mountpoint: &Path, how: How) -> Result<Option<Output>> {
    for helper in HELPERS {
        let mut command = Command::new(helper);
        command.arg("-u");
        if how == How::Lazily {
            command.arg("-z");
        }
        // The sentences are matched above: keep them in English.
        command.arg("--").arg(mountpoint).env("LC_ALL", "C").stdin(Stdio::null());
        match command.output() {
            Ok(output) => return Ok(Some(output)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("run fusermount3", error)),
        }
    }
    Ok(None)
}

/// Whether a helper for users is installed.
pub fn has_helper() -> bool {
    let directories = std::env::var_os("PATH").unwrap_or_default();
    let found = |helper: &&str| std::env::split_paths(&directories).any(|dir| dir.join(helper).is_file());
    HELPERS.iter().any(found)
}
