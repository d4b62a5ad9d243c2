//! The directories of a drive on this machine.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::error::{Error, Kind, Result};

/// Makes a directory that is ours alone, with those above it.
pub(super) fn make_dir(dir: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| Error::io("create a directory", error).on(dir.display()))
}

/// Takes the lock of a directory for the life of the returned file.
pub(super) fn own(dir: &Path) -> Result<File> {
    let path = dir.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| Error::io("open a lock file", error).on(path.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::new(
            Kind::Busy,
            "use",
            "another pdsfs works with this directory: unmount it first, or give --cache-dir and --state-dir",
        )
        .on(dir.display())),
        Err(errno) => Err(Error::io("lock", errno.into()).on(path.display())),
    }
}

/// Deletes a local file; what is not there need not go.
pub(super) fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::debug!(%error, path = %path.display(), "a local content file could not be removed");
    }
}
