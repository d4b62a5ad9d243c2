//! The tree beside the drive: what is known survives a restart, and what others change is seen.
#![allow(clippy::unwrap_used)] // Also in the helpers of tests.

#[allow(dead_code)]
mod server_support;
mod support;

#[path = "tree/following.rs"]
mod following;

use std::path::Path;
use std::time::{Duration, Instant};

use server_support::Bed;
use support::disk::{Disk, Tuning};

/// A drive and local directories for its clients.
struct Scene {
    bed: Bed,
    local: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let bed = Bed::with(|options| options.min_part_bytes = 64);
        Scene { bed, local: tempfile::tempdir().unwrap() }
    }

    /// A client that trusts what it knows, and asks often what others did.
    fn trusting() -> Tuning {
        Tuning {
            attr_timeout: Duration::from_secs(600),
            poll_interval: Duration::from_millis(100),
            cache_bytes: 1 << 20,
            ..Tuning::default()
        }
    }

    fn client<D: Disk>(&self, name: &str, tuning: Tuning) -> D {
        D::new(&self.bed.server, &self.local.path().join(Path::new(name)), tuning)
    }

    /// Requests for a route so far.
    fn count(&self, route: &str) -> u64 {
        self.bed.server.faults().count(route)
    }
}

/// Asks until `done`, which must come to pass.
#[track_caller]
fn soon(what: &str, done: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
