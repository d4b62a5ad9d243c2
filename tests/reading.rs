//! What reading costs and how it behaves: requests and bytes are counted at the server, and faults are
//! ordered there.

#![allow(clippy::unwrap_used)] // Also in the helpers of tests.

#[path = "reading/cache.rs"]
mod cache;
#[path = "reading/cost.rs"]
mod cost;
#[path = "reading/integrity.rs"]
mod integrity;
#[path = "reading/patience.rs"]
mod patience;
#[allow(dead_code)]
mod server_support;
mod support;

use std::time::{Duration, Instant};

use pdsfs::server::{Fault, FaultAction};
use server_support::{Bed, noise};
use support::disk::{Direct, Disk, Tuning};

/// So often that nobody outlasts it.
const ENDLESSLY: u32 = 1_000_000;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A drive and a client with room for everything.
struct Scene {
    client: Option<Direct>,
    bed: Bed,
    local: tempfile::TempDir,
}

fn roomy() -> Tuning {
    Tuning {
        attr_timeout: Duration::ZERO,
        cache_bytes: 1 << 30,
        part_bytes: 1 << 20,
        op_timeout: Duration::from_secs(60),
        stall_timeout: Duration::from_secs(60),
        ..Tuning::default()
    }
}

impl Scene {
    fn new() -> Self {
        Scene::with(roomy())
    }

    fn with(tuning: Tuning) -> Self {
        let bed = Bed::with(|options| options.min_part_bytes = 64);
        let local = tempfile::tempdir().unwrap();
        let client = Some(Direct::new(&bed.server, &local.path().join("client"), tuning));
        Scene { client, bed, local }
    }

    /// Ends the client and begins another on the same directories.
    fn remount(self) -> Self {
        self.remount_after(|_| {})
    }

    fn remount_after(self, meanwhile: impl FnOnce(&Self)) -> Self {
        meanwhile(&self);
        let Scene { client, bed, local } = self;
        Scene { client: client.map(Disk::remount), bed, local }
    }

    fn remount_as(mut self, tuning: Tuning) -> Self {
        if let Some(client) = self.client.take() {
            client.end();
        }
        self.client = Some(Direct::new(&self.bed.server, &self.local.path().join("client"), tuning));
        self
    }

    fn client(&self) -> &Direct {
        self.client.as_ref().unwrap()
    }

    /// A file of noise that the client knows nothing of.
    fn file(&self, name: &str, len: usize) -> Vec<u8> {
        let bytes = noise(len as u64, len);
        self.bed.write("root", name, &bytes);
        bytes
    }

    fn order(&self, action: FaultAction, times: u32) {
        self.bed.server.faults().add(Fault { route: "get_object", action, times });
    }

    /// Asks until `done`, which must come to pass.
    #[track_caller]
    fn soon(&self, what: &str, done: impl Fn() -> bool) {
        let until = Instant::now() + Duration::from_secs(40);
        while !done() {
            assert!(Instant::now() < until, "never: {what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until nothing is being fetched.
    #[track_caller]
    fn quiet(&self) {
        self.soon("fetches end", || self.client().fs().status().fetches == 0);
    }

    fn requests(&self) -> u64 {
        self.bed.server.faults().count("get_object")
    }

    fn leases(&self) -> u64 {
        self.bed.server.faults().count("get_download_url")
    }

    fn bytes_sent(&self) -> u64 {
        self.bed.server.faults().bytes_sent()
    }
}
