//! What is cached, as people see and steer it.

use super::DriveFs;

/// How much of the drive is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cached {
    /// Bytes that are on the drive too.
    pub bytes: u64,
    /// Revisions of which something is here.
    pub files: u64,
    /// Bytes there may be.
    pub limit: u64,
}

impl DriveFs {
    /// How much of the drive is here.
    pub fn cached(&self) -> Cached {
        Cached {
            bytes: self.store.cached_bytes(),
            files: self.store.cached_files(),
            limit: self.store.limits().cache_bytes,
        }
    }

    /// Gives back all clean bytes that are not pinned. How many that were. Does local disk I/O.
    pub fn clear_cache(&self) -> u64 {
        self.store.clear(None)
    }
}
