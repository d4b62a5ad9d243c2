//! What is cached, as people see and steer it.

use super::DriveFs;

impl DriveFs {
    /// Gives back all clean bytes that are not pinned. How many that were.
    pub fn clear_cache(&self) -> u64 {
        self.store.clear(None)
    }
}
