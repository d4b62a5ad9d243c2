//! Bytes and requests per byte that a program reads.

use std::sync::Barrier;

use pdsfs::server::FaultAction;

use crate::support::disk::{Disk, FileLike, How};
use crate::{ENDLESSLY, KIB, MIB, Scene};

/// Reads as `reads` says, checks every byte, and gives bytes fetched by bytes read.
#[track_caller]
fn amplification(len: usize, reads: impl Iterator<Item = (usize, usize)>) -> f64 {
    let scene = Scene::new();
    let bytes = scene.file("f", len);
    let file = scene.client().open("f", How::READ).unwrap();
    let mut read = 0;
    for (at, len) in reads {
        let got = file.read_at(at as u64, len).unwrap();
        assert!(got == bytes[at..(at + len).min(bytes.len())], "other bytes at {at}");
        read += got.len();
    }
    scene.quiet();
    file.close().unwrap();
    scene.bytes_sent() as f64 / read as f64
}

#[test]
fn a_sequential_reader_gets_each_byte_once_in_few_requests() {
    let scene = Scene::new();
    let bytes = scene.file("f", 24 * MIB + 77);
    assert!(scene.client().get("f").unwrap() == bytes);
    scene.quiet();
    assert_eq!(scene.bytes_sent(), bytes.len() as u64);
    assert!(scene.requests() <= 40, "{} requests", scene.requests());
    assert_eq!(scene.leases(), 1);
}

#[test]
fn what_was_read_is_not_fetched_again() {
    let scene = Scene::new();
    let bytes = scene.file("f", 3 * MIB);
    assert!(scene.client().get("f").unwrap() == bytes);
    scene.quiet();
    let requests = scene.requests();
    assert!(scene.client().get("f").unwrap() == bytes);
    assert_eq!(scene.requests(), requests);
}

#[test]
fn random_reads_cost_what_they_read() {
    let mut place = 1_usize;
    let places = std::iter::repeat_with(move || {
        place = place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (place >> 20) % (24 * MIB / 4096) * 4096
    });
    let cost = amplification(24 * MIB, places.take(300).map(|at| (at, 4096)));
    assert!(cost < 1.1, "{cost}");
}

#[test]
fn a_media_scanner_costs_at_most_half_more_than_it_reads() {
    let head = (0..6).map(|at| (at * 32 * KIB, 32 * KIB));
    let tail = [(24 * MIB - 128 * KIB, 128 * KIB), (24 * MIB - 256 * KIB, 64 * KIB)];
    let jumps =
        [6, 12, 18].into_iter().flat_map(|at| (0..3).map(move |n| (at * MIB + n * 64 * KIB, 64 * KIB)));
    let cost = amplification(24 * MIB, head.chain(tail).chain(jumps));
    assert!(cost <= 1.5, "{cost}");
}

#[test]
fn backward_and_strided_reads_are_fetched_ahead_and_once() {
    let backward = amplification(16 * MIB, (0..256).rev().map(|at| (at * 64 * KIB, 64 * KIB)));
    assert!(backward <= 1.01, "{backward}");
    let strided = amplification(30 * MIB, (0..30).map(|at| (at * MIB, 16 * KIB)));
    assert!(strided <= 1.5, "{strided}");
}

#[test]
fn two_tracks_of_one_file_are_two_streams() {
    let scene = Scene::new();
    let bytes = scene.file("f", 32 * MIB);
    let file = scene.client().open("f", How::READ).unwrap();
    for at in 0..128 {
        for track in [0, 16 * MIB] {
            let at = track + at * 128 * KIB;
            assert!(file.read_at(at as u64, 128 * KIB).unwrap() == bytes[at..at + 128 * KIB]);
        }
    }
    scene.quiet();
    // 256 reads; the windows are given up once, when the second track begins.
    assert!(scene.requests() < 80, "{} requests", scene.requests());
    assert!(scene.bytes_sent() <= 34 * MIB as u64, "{} bytes", scene.bytes_sent());
    file.close().unwrap();
}

#[test]
fn many_readers_of_one_place_cost_one_request() {
    let scene = Scene::new();
    let bytes = scene.file("f", 2 * MIB);
    let file = scene.client().open("f", How::READ).unwrap();
    scene.order(FaultAction::Hold, 1);
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                assert!(file.read_at(MIB as u64, 100 * KIB).unwrap() == bytes[MIB..MIB + 100 * KIB]);
            });
        }
        scene.soon("the request arrives", || scene.bed.server.faults().held() == 1);
        scene.bed.server.faults().release();
    });
    assert_eq!((scene.requests(), scene.leases()), (1, 1));
    file.close().unwrap();
}

#[test]
fn a_small_file_costs_one_request_and_a_lease_that_lasts() {
    let scene = Scene::new();
    let bytes = scene.file("f", 100 * KIB);
    let file = scene.client().open("f", How::READ).unwrap();
    assert!(file.read_at(70_000, 10).unwrap() == bytes[70_000..70_010]);
    assert!(file.read_at(0, 100 * KIB).unwrap() == bytes);
    file.close().unwrap();
    assert_eq!((scene.requests(), scene.leases()), (1, 1));
}

#[test]
fn a_reader_is_answered_as_soon_as_its_bytes_are_here() {
    let scene = Scene::new();
    let bytes = scene.file("f", 16 * MIB);
    let file = scene.client().open("f", How::READ).unwrap();
    assert!(file.read_at(0, 2 * MIB).unwrap() == bytes[..2 * MIB]);
    scene.quiet();
    // One request for the read and a window; it ends with less than the window.
    scene.order(FaultAction::StallBody, ENDLESSLY);
    assert!(file.read_at(2 * MIB as u64, 100 * KIB).unwrap() == bytes[2 * MIB..2 * MIB + 100 * KIB]);
    scene.soon("the rest is held", || scene.bed.server.faults().held() == 1);
    scene.bed.server.faults().clear();
    scene.bed.server.faults().release();
    assert!(file.read_at(0, bytes.len()).unwrap() == bytes);
    file.close().unwrap();
}
