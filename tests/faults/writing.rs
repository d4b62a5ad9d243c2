//! Creating, sending parts, completing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pdsfs::server::FaultAction::{self, *};

use crate::server_support::noise;
use crate::support::disk::{Disk, Errno, FileLike, How, Tuning};
use crate::support::drive::Remote;
use crate::{ENDLESSLY, Scene, impatient};

/// Five shards and a bit.
const LEN: usize = 21_000;

const ROUTES: [&str; 4] = ["create", "get_upload_url", "put_part", "complete"];

/// Writes "f" while `action` happens, which must leave it old or new; heals; tries again; and says how the
/// close went.
#[track_caller]
fn write_under(
    scene: &Scene,
    existing: bool,
    route: &'static str,
    action: &FaultAction,
    times: u32,
) -> Result<(), Errno> {
    let (old, new) = (noise(1, LEN - 3_000), noise(2, LEN));
    let case = format!("{route} {action:?} {times} times, existing: {existing}");
    if existing {
        scene.client().put("f", &old).unwrap();
    }
    scene.order(route, action.clone(), times);
    let result = scene.client().put("f", &new);
    let kept = scene.client().get("f");
    scene.heal();
    assert!(kept.as_ref() == Ok(&new), "{case}: what was written is not here");
    let drive = scene.drive();
    let allowed = [existing.then(|| Remote::of(&old)), Some(Remote::of(&new))];
    match result {
        Ok(()) => assert_eq!(drive.get("f"), allowed[1].as_ref(), "{case}"),
        Err(_) => assert!(allowed.contains(&drive.get("f").cloned()) || !existing, "{case}: {drive:?}"),
    }
    assert!(drive.len() <= 1, "{case}: {drive:?}");
    scene.drain();
    scene.agree(&[("f", &new)]);
    result
}

/// In parallel and in serial mode, for a new file and for one that exists.
#[track_caller]
fn everywhere(route: &'static str, action: &FaultAction, times: u32, allowed: &[Result<(), Errno>]) {
    for parallel in [true, false] {
        for existing in [false, true] {
            let scene = Scene::with(|options| options.parallel_upload = parallel);
            let result = write_under(&scene, existing, route, action, times);
            assert!(
                allowed.contains(&result),
                "{route} {action:?} {times} times, parallel: {parallel}, existing: {existing}: {result:?}"
            );
        }
    }
}

const BROKEN: [FaultAction; 6] = [
    Status(500, "InternalError", "broken"),
    Status(503, "ServiceUnavailable", "busy"),
    Status(504, "D504TO", "too late"),
    CutBefore,
    CutBody,
    LostReply,
];

#[test]
fn one_broken_request_is_not_noticed() {
    for route in ROUTES {
        for action in &BROKEN {
            everywhere(route, action, 1, &[Ok(())]);
        }
    }
}

#[test]
fn a_url_that_expires_between_two_shards_is_renewed() {
    everywhere("put_part", &ExpiredUrl, 1, &[Ok(())]);
}

#[test]
fn a_part_that_arrives_damaged_is_sent_again() {
    everywhere("put_part", &WrongCrc, 1, &[Ok(())]);
}

#[test]
fn a_completion_that_tells_another_crc_is_looked_into() {
    everywhere("complete", &WrongCrc, 1, &[Ok(())]);
}

#[test]
fn a_request_that_stays_broken_is_eio_and_the_data_is_kept() {
    for route in ["create", "put_part", "complete"] {
        for action in [&BROKEN[0], &CutBefore] {
            everywhere(route, action, ENDLESSLY, &[Err(libc::EIO)]);
        }
    }
}

#[test]
fn replies_that_never_arrive_end_in_eio_or_in_the_file() {
    for route in ["create", "put_part"] {
        everywhere(route, &LostReply, ENDLESSLY, &[Err(libc::EIO)]);
    }
    everywhere("complete", &LostReply, ENDLESSLY, &[Ok(())]);
}

#[test]
fn a_web_page_instead_of_a_reply_is_eio_at_worst() {
    for route in ["create", "complete"] {
        everywhere(route, &NotJson, 1, &[Ok(()), Err(libc::EIO)]);
        everywhere(route, &NotJson, ENDLESSLY, &[Ok(()), Err(libc::EIO)]);
    }
}

#[test]
fn a_reply_without_end_is_eio_at_worst() {
    let scene = Scene::new();
    let result = write_under(&scene, true, "create", &HugeReply, ENDLESSLY);
    assert_eq!(result, Err(libc::EIO));
    let result = write_under(&Scene::new(), true, "complete", &HugeReply, 1);
    assert!([Ok(()), Err(libc::EIO)].contains(&result), "{result:?}");
}

#[test]
fn parts_that_always_arrive_damaged_are_eio() {
    everywhere("put_part", &WrongCrc, ENDLESSLY, &[Err(libc::EIO)]);
}

#[test]
fn urls_that_always_are_expired_are_eio() {
    everywhere("put_part", &ExpiredUrl, ENDLESSLY, &[Err(libc::EIO)]);
}

#[test]
fn a_full_drive_is_edquot_at_close() {
    for route in ["create", "complete"] {
        everywhere(route, &QuotaExhausted, ENDLESSLY, &[Err(libc::EDQUOT)]);
    }
}

#[test]
fn a_drive_that_really_is_full_is_edquot_and_keeps_the_old_file() {
    let scene = Scene::with(|options| options.drive_total_bytes = Some(50_000));
    scene.client().put("f", &noise(1, 30_000)).unwrap();
    assert_eq!(scene.client().put("f", &noise(2, 60_000)), Err(libc::EDQUOT));
    assert_eq!(scene.drive()["f"], Remote::of(&noise(1, 30_000)));
    assert_eq!(scene.client().put("g", &noise(3, 40_000)), Err(libc::EDQUOT));
    assert_eq!(scene.client().put("h", &noise(4, 5_000)), Ok(()));
    // Room is made: what was kept goes there.
    scene.client().put("f", b"small").unwrap();
    scene.client().unlink("g").unwrap();
    scene.drain();
    scene.agree(&[("f", b"small"), ("h", &noise(4, 5_000))]);
}

#[test]
fn no_right_to_write_is_eacces() {
    let action = Status(403, "ForbiddenNoPermission.File", "no permission");
    for route in ["create", "complete"] {
        everywhere(route, &action, ENDLESSLY, &[Err(libc::EACCES)]);
    }
}

#[test]
fn a_token_refused_in_the_middle_of_a_copy_is_eacces() {
    let refused = Status(401, "AccessTokenInvalid", "not valid");
    for route in ["create", "get_upload_url", "complete"] {
        let scene = Scene::with(|options| options.parallel_upload = false);
        let new = noise(2, 200_000);
        let file = scene.client().open("f", How::NEW).unwrap();
        file.write_at(&new[..100_000], 0).unwrap();
        scene.order(route, refused.clone(), ENDLESSLY);
        file.write_at(&new[100_000..], 100_000).unwrap();
        let closed = file.close();
        scene.heal();
        // What was streamed before may not have needed this call any more.
        assert!(
            closed == Err(libc::EACCES) || (closed == Ok(()) && route == "create"),
            "{route}: {closed:?}"
        );
        assert!(scene.client().get("f").unwrap() == new);
        scene.drain();
        scene.agree(&[("f", &new)]);
    }
}

#[test]
fn asked_to_slow_down_once_it_waits() {
    let action = Status(429, "TooManyRequests", "slow down");
    let scene = Scene::new();
    assert_eq!(write_under(&scene, true, "complete", &action, 1), Ok(()));
}

#[test]
fn asked_to_slow_down_for_ever_is_eio() {
    let action = Status(429, "TooManyRequests", "slow down");
    let scene = Scene::new();
    assert_eq!(write_under(&scene, true, "create", &action, ENDLESSLY), Err(libc::EIO));
}

#[test]
fn a_servers_full_disk_is_no_success() {
    for route in ["create", "complete"] {
        let scene = Scene::new();
        let result = write_under(&scene, true, route, &DiskFull, ENDLESSLY);
        assert!(matches!(result, Err(libc::EIO | libc::EDQUOT)), "{route}: {result:?}");
    }
}

#[test]
fn a_server_that_wants_the_size_or_takes_parts_one_by_one_gets_it_so() {
    for (parallel, size) in [(true, true), (false, false), (false, true)] {
        let scene = Scene::with(|options| {
            options.parallel_upload = parallel;
            options.require_size = size;
        });
        let bytes = noise(1, 300_000);
        scene.client().put("f", &bytes).unwrap();
        scene.client().put("empty", b"").unwrap();
        let file = scene.client().open("f", How::EDIT).unwrap();
        file.write_at(b"changed", 150_000).unwrap();
        file.close().unwrap();
        let changed = [&bytes[..150_000], b"changed", &bytes[150_007..]].concat();
        scene.agree(&[("f", &changed), ("empty", b"")]);
    }
}

#[test]
fn uploads_and_urls_that_died_of_age_while_a_file_was_open_are_made_anew() {
    for (parallel, age) in [(true, 3600), (false, 3600), (true, 11 * 24 * 3600), (false, 11 * 24 * 3600)] {
        let scene = Scene::with(|options| options.parallel_upload = parallel);
        let new = noise(2, 100_000);
        let file = scene.client().open("f", How::NEW).unwrap();
        file.write_at(&new[..50_000], 0).unwrap();
        let faults = scene.bed.server.faults();
        scene.soon("a part has left", || faults.count("put_part") > 0);
        scene.bed.server.advance_clock(Duration::from_secs(age));
        file.write_at(&new[50_000..], 50_000).unwrap();
        assert_eq!(file.close(), Ok(()), "parallel: {parallel}, after {age} s");
        scene.agree(&[("f", &new)]);
    }
}

#[test]
fn a_failed_close_is_made_good_by_the_next_write() {
    let scene = Scene::new();
    scene.order("complete", Status(500, "InternalError", "broken"), ENDLESSLY);
    let file = scene.client().open("f", How::NEW).unwrap();
    file.write_at(&noise(1, LEN), 0).unwrap();
    assert_eq!(file.close(), Err(libc::EIO));
    scene.heal();
    let file = scene.client().open("f", How::EDIT).unwrap();
    file.write_at(b"more", LEN as u64).unwrap();
    assert_eq!(file.close(), Ok(()));
    scene.agree(&[("f", &[noise(1, LEN), b"more".to_vec()].concat())]);
}

#[test]
fn a_failed_close_is_made_good_by_the_next_mount() {
    let mut scene = Scene::new();
    let new = noise(1, LEN);
    scene.order("create", Status(403, "ForbiddenNoPermission.File", "no permission"), ENDLESSLY);
    assert_eq!(scene.client().put("f", &new), Err(libc::EACCES));
    scene.client = scene.client.take().map(Disk::remount);
    assert_eq!(scene.drive(), Default::default());
    scene.heal();
    scene.client = scene.client.take().map(Disk::remount);
    scene.soon("it is on the drive", || scene.drive().contains_key("f"));
    scene.drain();
    scene.agree(&[("f", &new)]);
}

#[test]
fn a_failed_close_of_a_removed_file_is_forgotten() {
    let scene = Scene::new();
    scene.order("create", Status(403, "ForbiddenNoPermission.File", "no permission"), ENDLESSLY);
    assert_eq!(scene.client().put("f", &noise(1, LEN)), Err(libc::EACCES));
    scene.client().unlink("f").unwrap();
    scene.heal();
    scene.drain();
    scene.agree(&[]);
}

/// A program that appends asks how long the file is: seen shorter for a moment, its next bytes would go over others.
#[test]
fn nobody_sees_a_growing_file_shrink_while_it_is_completed() {
    let scene = Scene::with_tuning(Tuning { attr_timeout: Duration::from_secs(3600), ..impatient() });
    let client = scene.client();
    client.put("f", b"").unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = || {
            let mut largest = 0;
            while !done.load(Ordering::Relaxed) {
                let size = client.stat("f").unwrap().size;
                assert!(size >= largest, "{size} after {largest}");
                largest = size;
            }
        };
        let watchers = [scope.spawn(watch), scope.spawn(watch)];
        let grow = |n: u64| {
            let file = client.open("f", How::EDIT)?;
            file.write_at(b"x", n)?;
            file.close()
        };
        let grown = (0..200).try_for_each(grow);
        done.store(true, Ordering::Relaxed);
        grown.unwrap();
        for watcher in watchers {
            watcher.join().unwrap();
        }
    });
}
