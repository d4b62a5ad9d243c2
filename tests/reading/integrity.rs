//! Bytes are those of one revision, and what the drive says of it holds for them; else there is an errno.

use std::time::Duration;

use pdsfs::server::FaultAction::WrongByte;
use serde_json::json;

use crate::support::disk::{Direct, Disk, FileLike, How, Mounted, Tuning, can_mount};
use crate::{KIB, MIB, Scene, noise, roomy};

/// Reads a whole file of which one byte comes wrong; then it comes right.
fn whole<D: Disk>(scene: &Scene, client: &D) {
    let bytes = scene.file("f", 9 * MIB);
    // The second request for content.
    scene.order(pdsfs::server::FaultAction::Delay(Duration::ZERO), 1);
    scene.order(WrongByte, 1);
    assert_eq!(client.get("f").map(|bytes| bytes.len()), Err(libc::EIO));
    // Nothing of it is kept, neither here nor in the kernel.
    assert!(client.get("f").unwrap() == bytes);
}

#[test]
fn a_file_with_a_wrong_byte_is_eio_and_right_the_next_time() {
    let scene = Scene::new();
    whole(&scene, scene.client());
}

#[test]
fn a_file_with_a_wrong_byte_is_eio_through_the_kernel_too() {
    if !can_mount() {
        return;
    }
    let scene = Scene::new();
    whole(&scene, &Mounted::new(&scene.bed.server, &scene.local.path().join("mounted"), roomy()));
}

#[test]
fn a_small_file_with_a_wrong_byte_is_never_seen() {
    let scene = Scene::new();
    let bytes = scene.file("f", 5000);
    scene.order(WrongByte, 1);
    let file = scene.client().open("f", How::READ).unwrap();
    assert_eq!(file.read_at(100, 10), Err(libc::EIO));
    file.close().unwrap();
    assert!(scene.client().get("f").unwrap() == bytes);
}

/// Who has a file open while another replaces it, and drops the earlier revision for `is_kept` not to hold.
fn replaced(is_kept: bool) {
    let scene = Scene::new();
    let old = scene.file("f", 3 * MIB);
    let file = scene.client().open("f", How::READ).unwrap();
    assert!(file.read_at(0, 100 * KIB).unwrap() == old[..100 * KIB]);
    scene.quiet();
    let other = Direct::new(&scene.bed.server, &scene.local.path().join("other"), roomy());
    let new = noise(99, 3 * MIB);
    other.put("f", &new).unwrap();
    if !is_kept {
        let id = scene.bed.expect(200, "/v2/file/list", json!({"parent_file_id": "root"}));
        let id = id["items"][0]["file_id"].clone();
        let all = scene.bed.expect(200, "/v2/file/revision/list", json!({"file_id": id}));
        let all = all["items"].as_array().unwrap();
        let eldest = all.iter().min_by_key(|revision| revision["revision_version"].as_u64()).unwrap();
        let body = json!({"file_id": id, "revision_id": eldest["revision_id"]});
        scene.bed.expect(204, "/v2/file/revision/delete", body);
    }
    // A new handle has the new bytes, the old one the old bytes or none.
    assert!(scene.client().get("f").unwrap() == new);
    assert!(file.read_at(0, 100 * KIB).unwrap() == old[..100 * KIB], "they are here");
    match is_kept {
        true => assert!(file.read_at(0, old.len()).unwrap() == old),
        false => assert_eq!(file.read_at(MIB as u64, 10), Err(libc::ESTALE)),
    }
    file.close().unwrap();
    assert!(scene.client().get("f").unwrap() == new);
}

#[test]
fn a_file_that_is_replaced_keeps_its_bytes_for_who_has_it_open() {
    replaced(true);
}

#[test]
fn bytes_that_the_drive_no_longer_has_are_estale_and_never_those_of_another_revision() {
    replaced(false);
}

#[test]
fn a_film_that_was_paused_for_an_hour_goes_on() {
    let scene = Scene::with(Tuning { cache_bytes: 2 * MIB as u64, ..roomy() });
    let bytes = scene.file("film", 12 * MIB);
    let file = scene.client().open("film", How::READ).unwrap();
    for at in 0..12 {
        assert!(file.read_at((at * MIB) as u64, MIB).unwrap() == bytes[at * MIB..(at + 1) * MIB]);
        scene.bed.server.advance_clock(Duration::from_secs(3601));
    }
    file.close().unwrap();
    assert!(scene.leases() >= 3, "{} leases", scene.leases());
}

#[test]
fn pages_of_the_same_revision_are_kept_by_the_kernel_and_others_are_not() {
    if !can_mount() {
        return;
    }
    let scene = Scene::new();
    let old = scene.file("f", 700 * KIB);
    let client = Mounted::new(&scene.bed.server, &scene.local.path().join("mounted"), roomy());
    assert!(client.get("f").unwrap() == old);
    // Only the kernel still has them.
    client.fs().clear_cache();
    let sent = scene.bytes_sent();
    assert!(client.get("f").unwrap() == old);
    assert_eq!(scene.bytes_sent(), sent);
    scene.client().put("f", &noise(5, 700 * KIB)).unwrap();
    assert!(client.get("f").unwrap() == noise(5, 700 * KIB));
}
