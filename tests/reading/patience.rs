//! Seeks, servers that do not answer, and who waits for whom.

use std::time::{Duration, Instant};

use pdsfs::server::FaultAction::{Hold, Status};

use crate::support::disk::{Disk, FileLike, How, Mounted, Tuning, can_mount};
use crate::{ENDLESSLY, KIB, MIB, Scene, roomy};

#[test]
fn a_seek_ends_what_was_fetched_ahead() {
    let scene = Scene::new();
    let bytes = scene.file("f", 48 * MIB);
    let file = scene.client().open("f", How::READ).unwrap();
    for at in 0..4 {
        file.read_at((at * MIB) as u64, MIB).unwrap();
    }
    scene.quiet();
    scene.order(Hold, ENDLESSLY);
    // Here already; it only moves the window on.
    for at in 4..7 {
        assert!(file.read_at((at * MIB) as u64, MIB).unwrap() == bytes[at * MIB..(at + 1) * MIB]);
    }
    scene.soon("more is fetched ahead", || scene.bed.server.faults().held() > 0);
    scene.bed.server.faults().clear();
    let sent = scene.bytes_sent();
    assert!(file.read_at(40 * MIB as u64, 4096).unwrap() == bytes[40 * MIB..40 * MIB + 4096]);
    // Although the server still holds their requests.
    scene.quiet();
    assert_eq!(scene.bytes_sent() - sent, 4096);
    scene.bed.server.faults().release();
    file.close().unwrap();
}

#[test]
fn what_someone_waits_for_does_not_queue_behind_what_is_fetched_ahead() {
    let scene = Scene::with(Tuning { connections: 4, ..roomy() });
    let (film, other) = (scene.file("film", 48 * MIB), scene.file("other", 300 * KIB));
    let file = scene.client().open("film", How::READ).unwrap();
    for at in 0..8 {
        file.read_at((at * MIB) as u64, MIB).unwrap();
    }
    scene.quiet();
    scene.order(Hold, ENDLESSLY);
    for at in 8..15 {
        file.read_at((at * MIB) as u64, MIB).unwrap();
    }
    scene.soon("much is fetched ahead", || scene.bed.server.faults().held() >= 2);
    scene.bed.server.faults().clear();
    assert!(scene.client().get("other").unwrap() == other);
    // A read of what is queued itself does not wait in the queue either.
    scene.bed.server.faults().release();
    assert!(file.read_at(0, film.len()).unwrap() == film);
    file.close().unwrap();
}

#[test]
fn names_and_attributes_do_not_queue_behind_data() {
    let scene = Scene::with(Tuning { connections: 2, ..roomy() });
    let files: Vec<Vec<u8>> =
        (0..6).map(|number| scene.file(&format!("f{number}"), 200 * KIB + number)).collect();
    scene.order(Hold, ENDLESSLY);
    std::thread::scope(|scope| {
        for (number, bytes) in files.iter().enumerate() {
            let client = scene.client();
            scope.spawn(move || assert!(client.get(&format!("f{number}")).unwrap() == *bytes));
        }
        scene.soon("all connections wait", || scene.bed.server.faults().held() == 2);
        scene.bed.write("root", "new", b"new");
        assert_eq!(scene.client().stat("new").unwrap().size, 3);
        scene.client().make_dir("folder").unwrap();
        assert_eq!(scene.client().list("").unwrap().len(), 8);
        scene.bed.server.faults().clear();
        scene.bed.server.faults().release();
    });
}

#[test]
fn a_server_that_sends_nothing_is_a_timeout_and_the_next_read_begins_anew() {
    let scene = Scene::with(Tuning { op_timeout: Duration::from_secs(2), ..roomy() });
    let bytes = scene.file("f", 300 * KIB);
    let file = scene.client().open("f", How::READ).unwrap();
    assert!(file.read_at(0, 4096).unwrap() == bytes[..4096]);
    scene.order(Hold, ENDLESSLY);
    assert_eq!(file.read_at(100_000, 10), Err(libc::ETIMEDOUT));
    assert!(file.read_at(0, 4096).unwrap() == bytes[..4096], "what is here is still served");
    scene.bed.server.faults().clear();
    // The first request still hangs.
    assert!(scene.bed.server.faults().held() > 0);
    assert!(file.read_at(0, bytes.len()).unwrap() == bytes);
    scene.bed.server.faults().release();
    file.close().unwrap();
}

#[test]
fn one_transfer_told_to_slow_down_is_enough_for_all() {
    let scene = Scene::new();
    let bytes = scene.file("f", 4 * MIB);
    let file = scene.client().open("f", How::READ).unwrap();
    scene.order(Status(429, "TooManyRequests", "slow down"), 1);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let (file, bytes) = (&file, &bytes);
        let read = move |at: usize| assert!(file.read_at(at as u64, 4096).unwrap() == bytes[at..at + 4096]);
        scope.spawn(move || read(0));
        scene.soon("it is told", || scene.requests() > 0 && begun.elapsed() > Duration::from_millis(100));
        for at in 1..8 {
            scope.spawn(move || read(at * at * 70 * KIB));
        }
    });
    // Asked again after the pause, the others not before.
    assert_eq!(scene.requests(), 9);
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    file.close().unwrap();
}

#[test]
fn buffers_stay_within_the_memory_limit() {
    let scene = Scene::with(Tuning { memory_bytes: 2 * MIB as u64, ..roomy() });
    let bytes = scene.file("f", 48 * MIB);
    let files: Vec<_> = (0..100).map(|_| scene.client().open("f", How::READ).unwrap()).collect();
    std::thread::scope(|scope| {
        for (thread, files) in files.chunks(25).enumerate() {
            let bytes = &bytes;
            scope.spawn(move || {
                for (number, file) in files.iter().enumerate() {
                    let at = (thread * 25 + number) * 450 * KIB;
                    assert!(file.read_at(at as u64, 300 * KIB).unwrap() == bytes[at..at + 300 * KIB]);
                }
            });
        }
        let until = Instant::now() + Duration::from_secs(40);
        while scene.bytes_sent() < 20 * MIB as u64 {
            assert!(Instant::now() < until);
            assert!(scene.client().fs().status().memory_bytes <= MIB as u64);
        }
    });
    scene.quiet();
    scene.soon("all memory comes back", || scene.client().fs().status().memory_bytes == 0);
}

/// A failing test must not look like a hang: what it has open on a mount is let go of.
#[test]
fn a_test_that_fails_with_files_open_on_a_mount_ends() {
    if !can_mount() {
        return;
    }
    let failing = std::thread::spawn(|| {
        let scene = Scene::new();
        // Closed after the mount is gone.
        let mut open = Vec::new();
        let client = Mounted::new(&scene.bed.server, &scene.local.path().join("mounted"), roomy());
        let file = client.open("new", How::NEW).unwrap();
        file.write_at(b"never closed", 0).unwrap();
        open.push(file);
        panic!("this test fails on purpose");
    });
    let deadline = Instant::now() + Duration::from_secs(50);
    while !failing.is_finished() {
        assert!(Instant::now() < deadline, "a failing test hangs");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(failing.join().is_err());
}
