//! Several clients and handles of one drive, story by story, in process and on real mounts.

use std::path::Path;
use std::time::{Duration, Instant};

use pdsfs::server::{Fault, FaultAction};

use crate::server_support::{Bed, noise};
use crate::support::disk::{Direct, Disk, FileLike, How, Mounted, Tuning, can_mount};
use crate::support::drive::{Remote, everything};

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

    fn client<D: Disk>(&self, name: &str) -> D {
        self.client_as(name, Tuning { attr_timeout: Duration::ZERO, ..Tuning::default() })
    }

    fn client_as<D: Disk>(&self, name: &str, tuning: Tuning) -> D {
        D::new(&self.bed.server, &self.local.path().join(Path::new(name)), tuning)
    }

    /// Asserts that the drive has these files and nothing else.
    #[track_caller]
    fn holds(&self, wanted: &[(&str, &[u8])]) {
        let mut found = everything(&|path, body| self.bed.expect(200, path, body));
        for (path, bytes) in wanted {
            assert_eq!(found.remove(*path), Some(Remote::of(bytes)), "{path}");
        }
        assert!(found.is_empty(), "also there: {found:?}");
    }

    /// The one name in the root that is none of `known`.
    #[track_caller]
    fn other_name(&self, known: &[&str]) -> String {
        let names = self.bed.names("root");
        let others: Vec<&String> = names.iter().filter(|name| !known.contains(&name.as_str())).collect();
        assert_eq!(others.len(), 1, "{names:?}");
        others[0].clone()
    }
}

/// Asks until `done`, which must come to pass soon.
#[track_caller]
fn soon(what: &str, done: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Each story in process and on real mounts.
macro_rules! stories {
    ($($story:ident),* $(,)?) => {
        mod in_process {
            $(#[test] fn $story() { super::$story::<super::Direct>(&super::Scene::new()); })*
        }
        mod on_real_mounts {
            $(#[test] fn $story() {
                if super::can_mount() {
                    super::$story::<super::Mounted>(&super::Scene::new());
                }
            })*
        }
    };
}

stories![
    changes_of_another_client_are_seen_at_once_when_nothing_is_trusted,
    changes_of_another_client_are_seen_after_a_while,
    two_writers_of_one_file_are_both_kept,
    two_creators_of_one_name_are_both_kept,
    a_file_deleted_elsewhere_while_it_is_written_comes_back,
    a_file_renamed_elsewhere_while_it_is_written_keeps_its_new_name,
    an_open_file_stays_what_it_was_when_it_is_replaced_elsewhere,
    an_open_file_stays_readable_when_it_is_removed,
    the_last_of_several_handles_to_close_completes_the_file,
    a_late_reply_to_an_old_read_does_not_bring_old_bytes_back,
    a_read_that_the_cache_cannot_hold_ends,
];

fn changes_of_another_client_are_seen_at_once_when_nothing_is_trusted<D: Disk>(scene: &Scene) {
    let (here, there): (D, D) = (scene.client("here"), scene.client("there"));
    let (first, second) = (noise(1, 20_000), noise(2, 9_000));
    here.put("a", &first).unwrap();
    assert_eq!(there.get("a").unwrap(), first);
    there.put("a", &second).unwrap();
    assert_eq!(here.stat("a").unwrap().size, 9_000);
    assert_eq!(here.stat("a").unwrap().modified_at, there.stat("a").unwrap().modified_at);
    assert_eq!(here.get("a").unwrap(), second);
    here.make_dir("d").unwrap();
    there.rename("a", "d/b").unwrap();
    assert_eq!(here.stat("a"), Err(libc::ENOENT));
    assert_eq!(here.list("d").unwrap(), [("b".to_owned(), false)]);
    assert_eq!(here.get("d/b").unwrap(), second);
    here.unlink("d/b").unwrap();
    there.remove_dir("d").unwrap();
    assert_eq!(here.list("").unwrap(), []);
    scene.holds(&[]);
}

fn changes_of_another_client_are_seen_after_a_while<D: Disk>(scene: &Scene) {
    let tuning = Tuning { attr_timeout: Duration::from_millis(300), ..Tuning::default() };
    let here: D = scene.client_as("here", tuning);
    let there: D = scene.client("there");
    let (first, second) = (noise(1, 20_000), noise(2, 9_000));
    here.put("a", &first).unwrap();
    here.put("b", &first).unwrap();
    there.put("a", &second).unwrap();
    there.unlink("b").unwrap();
    there.put("c", &second).unwrap();
    soon("the new size", || here.stat("a").unwrap().size == 9_000);
    soon("the removal", || here.stat("b") == Err(libc::ENOENT));
    soon("the new file", || here.stat("c").is_ok());
    assert_eq!(here.get("a").unwrap(), second);
    assert_eq!(here.get("c").unwrap(), second);
}

fn two_writers_of_one_file_are_both_kept<D: Disk>(scene: &Scene) {
    let (here, there): (D, D) = (scene.client("here"), scene.client("there"));
    let base = noise(1, 30_000);
    here.put("a.txt", &base).unwrap();
    let (ours, theirs) = (here.open("a.txt", How::EDIT).unwrap(), there.open("a.txt", How::EDIT).unwrap());
    ours.write_at(b"ours", 5_000).unwrap();
    theirs.write_at(b"theirs", 10_000).unwrap();
    theirs.close().unwrap();
    ours.close().unwrap();
    let with = |bytes: &[u8], at: usize| [&base[..at], bytes, &base[at + bytes.len()..]].concat();
    let kept = scene.other_name(&["a.txt"]);
    assert!(kept.starts_with("a (conflict ") && kept.ends_with(").txt"), "{kept}");
    let (ours, theirs) = (with(b"ours", 5_000), with(b"theirs", 10_000));
    scene.holds(&[("a.txt", &theirs), (&kept, &ours)]);
    for client in [&here, &there] {
        assert_eq!(client.get("a.txt").unwrap(), theirs);
        assert_eq!(client.get(&kept).unwrap(), ours);
        assert_eq!(client.list("").unwrap().len(), 2);
    }
}

fn two_creators_of_one_name_are_both_kept<D: Disk>(scene: &Scene) {
    let (here, there): (D, D) = (scene.client("here"), scene.client("there"));
    let (first, second) = (noise(1, 20_000), noise(2, 9_000));
    let (ours, theirs) = (here.open("a", How::NEW).unwrap(), there.open("a", How::NEW).unwrap());
    ours.write_at(&first, 0).unwrap();
    theirs.write_at(&second, 0).unwrap();
    ours.close().unwrap();
    theirs.close().unwrap();
    let kept = scene.other_name(&["a"]);
    scene.holds(&[("a", &first), (&kept, &second)]);
    for client in [&here, &there] {
        assert_eq!(client.get("a").unwrap(), first);
        assert_eq!(client.get(&kept).unwrap(), second);
        assert_eq!(client.list("").unwrap().len(), 2);
    }
}

fn a_file_deleted_elsewhere_while_it_is_written_comes_back<D: Disk>(scene: &Scene) {
    let (here, there): (D, D) = (scene.client("here"), scene.client("there"));
    let base = noise(1, 30_000);
    let wanted = [b"ours", &base[4..]].concat();
    // What is known here of the removal, and when, makes no difference.
    for (name, written_first, heard) in [("a", true, false), ("b", true, true), ("c", false, true)] {
        here.put(name, &base).unwrap();
        let ours = here.open(name, How::EDIT).unwrap();
        if written_first {
            ours.write_at(b"ours", 0).unwrap();
        }
        there.unlink(name).unwrap();
        if heard {
            assert_eq!(here.list("").unwrap().contains(&(name.to_owned(), false)), false);
        }
        if !written_first {
            ours.write_at(b"ours", 0).unwrap();
        }
        ours.close().unwrap();
        assert_eq!(here.get(name).unwrap(), wanted, "{name}");
        assert_eq!(there.get(name).unwrap(), wanted, "{name}");
    }
    scene.holds(&[("a", &wanted), ("b", &wanted), ("c", &wanted)]);
}

fn a_file_renamed_elsewhere_while_it_is_written_keeps_its_new_name<D: Disk>(scene: &Scene) {
    let (here, there): (D, D) = (scene.client("here"), scene.client("there"));
    let base = noise(1, 30_000);
    let wanted = [b"ours", &base[4..]].concat();
    here.make_dir("known").unwrap();
    there.make_dir("new").unwrap();
    let moves = ["a", "known/a", "new/a"].map(|to| [(to, false), (to, true)]);
    for (number, (to, heard)) in moves.into_iter().flatten().enumerate() {
        let (name, to) = (format!("{number}"), format!("{to}{number}"));
        here.put(&name, &base).unwrap();
        let ours = here.open(&name, How::EDIT).unwrap();
        ours.write_at(b"ours", 0).unwrap();
        there.rename(&name, &to).unwrap();
        if heard {
            assert_eq!(here.stat(&name), Err(libc::ENOENT));
        }
        ours.close().unwrap();
        for client in [&there, &here] {
            assert_eq!(client.get(&to).unwrap(), wanted, "{to}");
            assert_eq!(client.stat(&name), Err(libc::ENOENT));
        }
    }
    for client in [&there, &here] {
        for (folder, entries) in [("", 4), ("known", 2), ("new", 2)] {
            assert_eq!(client.list(folder).unwrap().len(), entries, "{folder}");
        }
    }
}

fn an_open_file_stays_what_it_was_when_it_is_replaced_elsewhere<D: Disk>(scene: &Scene) {
    let tuning = Tuning { attr_timeout: Duration::ZERO, part_bytes: 64 * 1024, ..Tuning::default() };
    let here: D = scene.client_as("here", tuning.clone());
    let there: D = scene.client_as("there", tuning);
    let (before, after) = (noise(1, 3 << 20), noise(2, 3 << 20));
    there.put("a", &before).unwrap();
    let old = here.open("a", How::READ).unwrap();
    assert_eq!(old.read_at(0, 4096).unwrap(), before[..4096]);
    there.put("a", &after).unwrap();
    let new = here.open("a", How::READ).unwrap();
    for at in (0..3 << 20).step_by(256 * 1024) {
        assert!(
            old.read_at(at as u64, 4096).unwrap() == before[at..at + 4096],
            "the old one changed at {at}"
        );
        assert!(new.read_at(at as u64, 4096).unwrap() == after[at..at + 4096], "the new one is old at {at}");
    }
    for at in (0..3 << 20).step_by(64 * 1024) {
        assert!(new.read_at(at as u64, 4096).unwrap() == after[at..at + 4096], "the new one is old at {at}");
    }
    old.close().unwrap();
    assert!(here.get("a").unwrap() == after, "what the old one read is still there");
    new.close().unwrap();
    assert!(here.get("a").unwrap() == after);
}

fn an_open_file_stays_readable_when_it_is_removed<D: Disk>(scene: &Scene) {
    let (here, there): (D, D) = (scene.client("here"), scene.client("there"));
    let bytes = noise(1, 500_000);
    for name in ["here", "there"] {
        there.put(name, &bytes).unwrap();
        let open = here.open(name, How::READ).unwrap();
        assert_eq!(open.read_at(0, 100).unwrap(), bytes[..100]);
        if name == "here" {
            here.unlink(name).unwrap()
        } else {
            there.unlink(name).unwrap()
        }
        assert_eq!(here.stat(name), Err(libc::ENOENT));
        assert!(open.read_at(400_000, 50_000).unwrap() == bytes[400_000..450_000]);
        open.close().unwrap();
    }
    scene.holds(&[]);
}

fn the_last_of_several_handles_to_close_completes_the_file<D: Disk>(scene: &Scene) {
    let here: D = scene.client("here");
    let bytes = noise(1, 20_000);
    here.put("a", &bytes).unwrap();
    let idle = here.open("a", How::EDIT).unwrap();
    here.truncate("a", 12_345).unwrap();
    idle.close().unwrap();
    here.settle().unwrap();
    scene.holds(&[("a", &bytes[..12_345])]);
}

/// A read is under way while the file is overwritten, completed, and evicted: what the drive then answers is
/// of the revision before.
fn a_late_reply_to_an_old_read_does_not_bring_old_bytes_back<D: Disk>(scene: &Scene)
where
    D::File: Send,
{
    let (here, there): (D, D) = (scene.client("here"), scene.client("there"));
    let (before, after) = (noise(1, 60_000), noise(2, 60_000));
    there.put("a", &before).unwrap();
    there.put("other", &noise(3, 300_000)).unwrap();
    let faults = scene.bed.server.faults();
    let writer = here.open("a", How::EDIT).unwrap();
    std::thread::scope(|scope| {
        faults.add(Fault { route: "get_object", action: FaultAction::Hold, times: 1 });
        let reader = here.open("a", How::READ).unwrap();
        let reading = scope.spawn(move || {
            let read = reader.read_at(0, 4096);
            (reader, read)
        });
        soon("the read waits", || faults.held() == 1);
        writer.write_at(&after, 0).unwrap();
        writer.sync().unwrap();
        writer.close().unwrap();
        // More than the cache holds: "a" must go.
        here.get("other").unwrap();
        faults.release();
        let (reader, read) = reading.join().unwrap();
        let read = read.unwrap();
        assert!(read == before[..4096] || read == after[..4096]);
        reader.close().unwrap();
    });
    assert!(here.get("a").unwrap() == after, "the old bytes are back");
    scene.holds(&[("a", &after), ("other", &noise(3, 300_000))]);
}

fn a_read_that_the_cache_cannot_hold_ends<D: Disk>(scene: &Scene) {
    let here: D = scene.client_as("here", Tuning { cache_bytes: 8 * 1024, ..Tuning::default() });
    let there: D = scene.client("there");
    let bytes = noise(1, 600_000);
    there.put("a", &bytes).unwrap();
    let open = here.open("a", How::READ).unwrap();
    match open.read_at(100_000, 400_000) {
        Ok(read) => assert!(read == bytes[100_000..500_000]),
        Err(errno) => assert_eq!(errno, libc::ENOSPC),
    }
    open.close().unwrap();
}
