//! What is cached is found again, is true, and stays within its bounds.

use std::time::{Duration, Instant};

use pdsfs::config::MinFree;
use pdsfs::content::store::{Limits, Store};
use pdsfs::server::FaultAction::CutBefore;

use crate::support::disk::{Direct, Disk, FileLike, How, Tuning};
use crate::{ENDLESSLY, KIB, MIB, Scene, roomy};

#[test]
fn what_was_read_and_written_is_here_after_a_remount() {
    let scene = Scene::new();
    let read = scene.file("read", 3 * MIB);
    let written = crate::noise(7, MIB);
    assert!(scene.client().get("read").unwrap() == read);
    scene.client().put("written", &written).unwrap();
    scene.quiet();
    let (requests, scene) = (scene.requests(), scene.remount());
    // Also the metadata come from the drive; not a byte of content does.
    scene.order(CutBefore, ENDLESSLY);
    assert!(scene.client().get("read").unwrap() == read);
    assert!(scene.client().get("written").unwrap() == written);
    assert_eq!(scene.requests(), requests);
}

#[test]
fn a_part_is_found_again_and_the_rest_is_fetched() {
    let scene = Scene::new();
    let bytes = scene.file("f", 8 * MIB);
    let file = scene.client().open("f", How::READ).unwrap();
    file.read_at(2 * MIB as u64, MIB).unwrap();
    file.close().unwrap();
    scene.quiet();
    let scene = scene.remount();
    assert!(scene.client().get("f").unwrap() == bytes);
    scene.quiet();
    assert_eq!(scene.bytes_sent(), bytes.len() as u64);
}

#[test]
fn what_changed_between_two_mounts_is_not_served_from_the_cache() {
    let scene = Scene::new();
    let old = scene.file("f", 300 * KIB);
    assert!(scene.client().get("f").unwrap() == old);
    let scene = scene.remount_after(|scene| {
        let new = crate::noise(99, 300 * KIB);
        let file = scene.bed.names("root");
        assert_eq!(file, ["f"]);
        let other = Direct::new(&scene.bed.server, &scene.local.path().join("other"), roomy());
        other.put("f", &new).unwrap();
    });
    assert!(scene.client().get("f").unwrap() == crate::noise(99, 300 * KIB));
}

#[test]
fn the_cache_stays_within_its_size_and_what_is_read_again_and_again_stays_in_it() {
    let size = 16 * MIB as u64;
    let scene = Scene::with(Tuning { cache_bytes: size, ..roomy() });
    let loved = scene.file("loved", 200 * KIB);
    for number in 0..12 {
        let bytes = scene.file(&format!("film{number}"), 4 * MIB + number);
        assert!(scene.client().get(&format!("film{number}")).unwrap() == bytes);
        assert!(scene.client().get("loved").unwrap() == loved);
        let cached = scene.client().fs().status().cached_bytes;
        assert!(cached <= size + size / 32, "{cached} bytes are cached");
    }
    scene.order(CutBefore, ENDLESSLY);
    assert!(scene.client().get("loved").unwrap() == loved);
}

#[test]
fn a_smaller_cache_than_before_is_shrunk() {
    let scene = Scene::new();
    for number in 0..4 {
        scene.file(&format!("f{number}"), 4 * MIB + number);
        scene.client().get(&format!("f{number}")).unwrap();
    }
    let scene = scene.remount_as(Tuning { cache_bytes: 8 * MIB as u64, ..roomy() });
    scene.file("new", 100);
    scene.client().get("new").unwrap();
    assert!(scene.client().fs().status().cached_bytes <= 8 * MIB as u64);
}

#[test]
fn a_second_mount_with_the_same_directories_is_refused_with_a_reason() {
    let scene = Scene::new();
    let local = scene.local.path().join("client");
    let limits = Limits { cache_bytes: 1, min_free: MinFree::Bytes(0) };
    let second = Store::open(&local.join("cache"), &scene.local.path().join("other"), limits);
    let error = second.err().unwrap();
    assert!(error.to_string().contains("another pdsfs works with this directory"), "{error}");
}

#[test]
fn reading_past_a_full_cache_goes_on() {
    let scene = Scene::with(Tuning { cache_bytes: 256 * KIB as u64, ..roomy() });
    let bytes = scene.file("f", 6 * MIB);
    let begun = Instant::now();
    assert!(scene.client().get("f").unwrap() == bytes);
    assert!(begun.elapsed() < Duration::from_secs(60));
    assert!(scene.bytes_sent() < 2 * bytes.len() as u64, "{} bytes", scene.bytes_sent());
}
