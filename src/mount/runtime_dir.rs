//! Where a running mount can be found: a private folder with one socket per mountpoint.
//!
//! The socket's name follows from the mountpoint, so that `pdsfs umount` finds it without a registry. The
//! folder follows from the user; because environments differ between shells, services and `sudo`, a client
//! looks in every folder the mounting user could have chosen. A folder counts only when it belongs to that
//! user and nobody else may enter it: otherwise anyone could answer for the mount.

use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::config::paths::short_hash;
use crate::error::{Error, Kind, Result};

/// The longest path a unix socket can have (unix(7): `sun_path` less its zero).
const MAX_SOCKET_PATH: usize = 107;

/// The folders in which a mount of `uid` may have its socket, best first.
pub fn candidates(uid: u32) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if uid == 0 {
        folders.push(PathBuf::from("/run/pdsfs"));
    } else {
        let from_environment = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        folders.extend(from_environment.filter(|path| path.is_absolute()).map(|path| path.join("pdsfs")));
        folders.push(PathBuf::from(format!("/run/user/{uid}/pdsfs")));
    }
    folders.push(PathBuf::from(format!("/tmp/pdsfs-{uid}")));
    folders
}

/// The name of the socket of the mount at `mountpoint` (settled).
pub fn socket_name(mountpoint: &Path) -> String {
    format!("{}.sock", short_hash(&[mountpoint.as_os_str().as_encoded_bytes()]))
}

/// The sockets that may belong to the mount at `mountpoint` made by one of `uids`; all of them exist and
/// lie in a folder that only that user can write.
pub fn sockets_of(mountpoint: &Path, uids: &[u32]) -> Vec<PathBuf> {
    let name = socket_name(mountpoint);
    let folders =
        uids.iter().flat_map(|uid| candidates(*uid).into_iter().filter(|path| is_private(path, *uid)));
    folders.map(|folder| folder.join(&name)).filter(|socket| fs::symlink_metadata(socket).is_ok()).collect()
}

/// The right to be the mount at one mountpoint, as long as this lives.
#[derive(Debug)]
pub struct Place {
    socket: PathBuf,
    /// Held locked; the system lets go of it when the process ends, however it ends.
    _lock: File,
}

impl Place {
    /// Takes the place of `mountpoint` (settled) in this user's folder.
    ///
    /// # Errors
    /// [`Kind::Busy`] when another process has it, [`Kind::Local`] when no folder can be made.
    pub fn take(mountpoint: &Path) -> Result<Self> {
        let uid = rustix::process::geteuid().as_raw();
        Self::take_in(&candidates(uid), mountpoint, uid)
    }

    /// [`Place::take`] in the first of `folders` that works.
    ///
    /// # Errors
    /// As above.
    pub fn take_in(folders: &[PathBuf], mountpoint: &Path, uid: u32) -> Result<Self> {
        let name = socket_name(mountpoint);
        let fits = |folder: &&PathBuf| folder.join(&name).as_os_str().len() <= MAX_SOCKET_PATH;
        let folder =
            folders.iter().filter(fits).find(|folder| make_private(folder, uid)).ok_or_else(|| {
                let tried: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
                let message = format!("no private folder can be made at {}", tried.join(", "));
                Error::new(
                    Kind::Local(rustix::io::Errno::ACCESS.raw_os_error()),
                    "open control socket",
                    message,
                )
            })?;
        let socket = folder.join(&name);
        let lock = lock(&socket.with_extension("lock"), mountpoint)?;
        // With the lock in hand a socket here has no owner.
        match fs::remove_file(&socket) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("open control socket", error).on(socket.display()));
            }
            Ok(()) | Err(_) => {}
        }
        Ok(Place { socket, _lock: lock })
    }

    /// Where the socket goes.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The lock file stays: removing it could pull it from under the next owner.
        let _ = fs::remove_file(&self.socket);
    }
}

fn lock(path: &Path, mountpoint: &Path) -> Result<File> {
    let failed = |error| Error::io("lock mountpoint", error).on(path.display());
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            let message = "another pdsfs is mounting or serving there";
            Err(Error::new(Kind::Busy, "mount", message).on(super::table::printable(mountpoint)))
        }
        Err(fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn make_private(folder: &Path, uid: u32) -> bool {
    let made = fs::DirBuilder::new().mode(0o700).create(folder);
    if made.is_ok() {
        // The umask may have taken more than wanted.
        let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    }
    is_private(folder, uid)
}

fn is_private(folder: &Path, uid: u32) -> bool {
    fs::symlink_metadata(folder)
        .is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == uid && metadata.mode() & 0o077 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    #[test]
    fn one_mountpoint_has_one_owner_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let folders = [dir.path().join("run")];
        let place = Place::take_in(&folders, Path::new("/mnt/x"), uid()).unwrap();
        let error = Place::take_in(&folders, Path::new("/mnt/x"), uid()).unwrap_err();
        assert_eq!(error.kind(), Kind::Busy);
        assert!(Place::take_in(&folders, Path::new("/mnt/y"), uid()).is_ok());
        drop(place);
        assert!(Place::take_in(&folders, Path::new("/mnt/x"), uid()).is_ok());
    }

    #[test]
    fn a_folder_others_can_enter_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let (open, private) = (dir.path().join("open"), dir.path().join("private"));
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&private, &link).unwrap();
        let place =
            Place::take_in(&[open.clone(), link, private.clone()], Path::new("/mnt/x"), uid()).unwrap();
        assert!(place.socket().starts_with(&private));
        let error = Place::take_in(&[open], Path::new("/mnt/x"), uid()).unwrap_err();
        assert!(error.message().contains("open"), "{error}");
    }

    #[test]
    fn a_folder_too_deep_for_a_socket_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(100));
        let near = dir.path().join("near");
        let place = Place::take_in(&[deep, near.clone()], Path::new("/mnt/x"), uid()).unwrap();
        assert!(place.socket().starts_with(near));
    }

    #[test]
    fn a_user_is_looked_for_where_a_user_mounts() {
        assert!(candidates(0).contains(&PathBuf::from("/run/pdsfs")));
        assert!(candidates(1000).contains(&PathBuf::from("/run/user/1000/pdsfs")));
        assert!(candidates(1000).contains(&PathBuf::from("/tmp/pdsfs-1000")));
    }
}
