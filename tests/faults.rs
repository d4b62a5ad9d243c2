//! Every fault of the server against the paths that write, read and name files.
//!
//! After each fault a file is old or new, never mixed; the drive has exactly one entry of its name; the
//! program got the errno of the table in `error`; and what could not be brought to the drive is still here,
//! and is brought there once the fault is gone.

#![allow(clippy::unwrap_used)] // Also in the helpers of tests.

#[path = "faults/disk.rs"]
mod disk;
#[path = "faults/names.rs"]
mod names;
#[path = "faults/outage.rs"]
mod outage;
#[path = "faults/reading.rs"]
mod reading;
#[allow(dead_code)]
mod server_support;
mod support;
#[path = "faults/writing.rs"]
mod writing;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pdsfs::server::{Fault, FaultAction, ServerOptions};
use server_support::Bed;
use support::disk::{Direct, Disk, Tuning};
use support::drive::{Remote, everything};

/// So often that nobody outlasts it.
const ENDLESSLY: u32 = 1_000_000;

/// A drive and a client of little patience.
struct Scene {
    client: Option<Direct>,
    bed: Bed,
    local: tempfile::TempDir,
}

/// Little patience: a fault that does not end is given up within a second or two.
fn impatient() -> Tuning {
    Tuning {
        attr_timeout: Duration::ZERO,
        cache_bytes: 1 << 20,
        op_timeout: Duration::from_secs(5),
        stall_timeout: Duration::from_secs(2),
        retries: 1,
        ..Tuning::default()
    }
}

impl Scene {
    fn new() -> Self {
        Scene::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut ServerOptions)) -> Self {
        let bed = Bed::with(|options| {
            options.min_part_bytes = 64;
            change(options);
        });
        let local = tempfile::tempdir().unwrap();
        let client = Some(Direct::new(&bed.server, &local.path().join("client"), impatient()));
        Scene { client, bed, local }
    }

    /// A client that is not as hasty as the others.
    fn with_tuning(tuning: Tuning) -> Self {
        let mut scene = Scene::new();
        scene.client = Some(Direct::new(&scene.bed.server, &scene.local.path().join("tuned"), tuning));
        scene
    }

    fn client(&self) -> &Direct {
        self.client.as_ref().unwrap()
    }

    /// Another client, to which nothing is known and nothing goes wrong before the faults are ordered.
    fn another(&self, name: &str) -> Direct {
        Direct::new(&self.bed.server, &self.local.path().join(name), impatient())
    }

    fn order(&self, route: &'static str, action: FaultAction, times: u32) {
        self.bed.server.faults().add(Fault { route, action, times });
    }

    /// Nothing goes wrong any more.
    fn heal(&self) {
        self.bed.server.faults().clear();
    }

    /// Asks until `done`, which must come to pass.
    #[track_caller]
    fn soon(&self, what: &str, done: impl Fn() -> bool) {
        let until = Instant::now() + Duration::from_secs(30);
        while !done() {
            assert!(Instant::now() < until, "never: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What the drive has. One entry per name, or it panics.
    fn drive(&self) -> BTreeMap<String, Remote> {
        everything(&|path, body| self.bed.expect(200, path, body))
    }

    /// Tries again what failed, which must work now.
    #[track_caller]
    fn drain(&self) {
        let report = self.client().drain(Instant::now() + Duration::from_secs(30));
        assert!(report.incomplete.is_empty(), "{:?}", report.incomplete);
        assert_eq!(self.client().fs().status().dirty_files, 0);
    }

    /// The client and the drive have exactly these files.
    #[track_caller]
    fn agree(&self, wanted: &[(&str, &[u8])]) {
        let files: BTreeMap<String, Remote> =
            wanted.iter().map(|(path, bytes)| ((*path).to_owned(), Remote::of(bytes))).collect();
        assert_eq!(self.drive(), files);
        for (path, bytes) in wanted {
            assert!(self.client().get(path).unwrap() == *bytes, "{path} is other here than on the drive");
        }
        assert_eq!(self.client().list("").unwrap().len(), wanted.len());
    }
}
