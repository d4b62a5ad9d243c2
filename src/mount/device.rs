//! Whether this machine lets this user mount a FUSE filesystem, asked before anything is started.
//!
//! Each answer is a sentence with what to do. What can only be found out by mounting (a container without
//! the capability) is translated by [`refused`].

use std::fs::OpenOptions;
use std::path::Path;

use super::{table, unmount};
use crate::config::{Exit, Failure, MountOptions};
use crate::error::{Error, Kind};

const DEVICE: &str = "/dev/fuse";
const FUSE_CONF: &str = "/etc/fuse.conf";
const CONTAINER_HINT: &str = "In a container, start it with --device /dev/fuse --cap-add SYS_ADMIN";

/// Fails with [`Exit::Fuse`] and what to do when mounting cannot work here.
///
/// # Errors
/// See above.
pub fn check(options: &MountOptions) -> Result<(), Failure> {
    check_device(Path::new(DEVICE))?;
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    if !unmount::has_helper() {
        return Err(fuse(
            "an ordinary user needs fusermount3, and it is not installed. \
             Install the package fuse3 (apt install fuse3, dnf install fuse3, apk add fuse3), or mount as root",
        ));
    }
    if options.allow_other {
        check_allow_other(&std::fs::read_to_string(FUSE_CONF).unwrap_or_default())?;
    }
    Ok(())
}

fn check_device(device: &Path) -> Result<(), Failure> {
    let Err(error) = OpenOptions::new().read(true).write(true).open(device) else { return Ok(()) };
    let shown = device.display();
    Err(match error.kind() {
        std::io::ErrorKind::NotFound => {
            fuse(&format!("this machine has no {shown}. Load it with: modprobe fuse. {CONTAINER_HINT}"))
        }
        std::io::ErrorKind::PermissionDenied => fuse(&format!(
            "no right to open {shown}. As root: chmod 666 {shown}, or add this user to its group. {CONTAINER_HINT}"
        )),
        _ => fuse(&format!("cannot open {shown}: {error}. Load it with: modprobe fuse. {CONTAINER_HINT}")),
    })
}

fn check_allow_other(fuse_conf: &str) -> Result<(), Failure> {
    if fuse_conf.lines().any(|line| line.trim() == "user_allow_other") {
        return Ok(());
    }
    Err(fuse(&format!(
        "--allow-other is not permitted for ordinary users here. \
         Add the line user_allow_other to {FUSE_CONF}, or mount without --allow-other"
    )))
}

/// The failure of a mount that the kernel or fusermount3 refused with `error`.
pub fn refused(mountpoint: &Path, error: &Error) -> Failure {
    let shown = table::printable(mountpoint);
    match error.kind() {
        Kind::Busy | Kind::NotDirectory | Kind::NotFound | Kind::Exists => {
            Failure::at(Exit::Mountpoint, error)
        }
        _ => Failure::new(
            Exit::Fuse,
            format!("mount {shown:?}: {}. No right to mount? {CONTAINER_HINT}", error.message().trim_end()),
        ),
    }
}

fn fuse(message: &str) -> Failure {
    Failure::new(Exit::Fuse, format!("mount: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_device_names_itself_and_the_way_out() {
        let failure = check_device(Path::new("/nowhere/fuse")).unwrap_err();
        assert_eq!(failure.exit(), Exit::Fuse);
        assert!(
            failure.message().contains("/nowhere/fuse") && failure.message().contains("modprobe"),
            "{failure}"
        );
    }

    #[test]
    fn allow_other_needs_its_line_and_not_its_comment() {
        assert!(check_allow_other("user_allow_other\n").is_ok());
        let failure = check_allow_other("#user_allow_other\nmount_max = 7\n").unwrap_err();
        assert!(failure.message().contains("/etc/fuse.conf"), "{failure}");
    }

    #[test]
    fn a_busy_mountpoint_is_not_a_missing_fuse() {
        let busy = Error::new(Kind::Busy, "mount", "in use");
        assert_eq!(refused(Path::new("/x"), &busy).exit(), Exit::Mountpoint);
        let denied = Error::new(Kind::NotPermitted, "mount", "Operation not permitted");
        assert_eq!(refused(Path::new("/x"), &denied).exit(), Exit::Fuse);
    }
}
