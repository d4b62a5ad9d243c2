//! Stub of the filesystem core.
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use crate::config::FsOptions;
use crate::error::{Error, Kind, Result};
use crate::pds::Pds;

/// Stub.
pub struct DriveFs {
    options: FsOptions,
    pds: Pds,
}
/// Stub.
pub struct Progress {
    /// Stub.
    pub files: u64,
    /// Stub.
    pub bytes_done: u64,
    /// Stub.
    pub bytes_total: u64,
}
/// Stub.
#[derive(Default)]
pub struct DrainReport {
    /// Stub.
    pub incomplete: Vec<(String, Error)>,
}
/// Stub.
#[derive(Serialize)]
pub struct Status {
    /// Stub.
    pub dirty_files: u64,
    /// Stub.
    pub cache_dir: String,
}
impl DriveFs {
    /// Stub.
    pub fn open(pds: Pds, options: FsOptions, _runtime: tokio::runtime::Handle) -> Result<Arc<Self>> {
        Ok(Arc::new(DriveFs { options, pds }))
    }
    /// Stub.
    pub async fn check(&self) -> Result<()> {
        let url = self.pds.endpoint().trim_start_matches("http://");
        match tokio::net::TcpStream::connect(url.trim_end_matches('/')).await {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::new(Kind::Unavailable, "drive/get", error.to_string())),
        }
    }
    /// Stub.
    pub async fn drain(&self, deadline: Instant, progress: impl Fn(Progress)) -> DrainReport {
        let Ok(wanted) = std::env::var("PDSFS_STUB_DIRTY") else { return DrainReport::default() };
        progress(Progress { files: 1, bytes_done: 1, bytes_total: 2 });
        tokio::time::sleep_until(deadline.into()).await;
        DrainReport { incomplete: vec![(wanted, Error::new(Kind::Quota, "complete", "the drive is full"))] }
    }
    /// Stub.
    pub fn status(&self) -> Status {
        Status { dirty_files: 0, cache_dir: self.options.cache_dir.display().to_string() }
    }
}
