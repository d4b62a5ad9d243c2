//! Fetching: bytes are right or there is an errno, and the handle goes on afterwards.

use std::time::Duration;

use pdsfs::server::FaultAction::{self, *};

use crate::server_support::noise;
use crate::support::disk::{Disk, Errno, FileLike, How};
use crate::{ENDLESSLY, Scene};

const LEN: usize = 700_000;

/// Reads a file nobody has cached while `action` happens; heals; reads it again through the same handle.
#[track_caller]
fn read_under(scene: &Scene, route: &'static str, action: &FaultAction, times: u32) -> Result<(), Errno> {
    let bytes = noise(1, LEN);
    scene.another("writer").put("f", &bytes).unwrap();
    let file = scene.client().open("f", How::READ).unwrap();
    scene.order(route, action.clone(), times);
    let read = file.read_at(100, 300_000);
    scene.heal();
    if let Ok(read) = &read {
        assert!(*read == bytes[100..300_100], "{route} {action:?}: other bytes than were written");
    }
    let again = file.read_at(0, LEN).unwrap();
    assert!(again == bytes, "{route} {action:?}: other bytes than were written, afterwards");
    file.close().unwrap();
    read.map(|_| ())
}

#[test]
fn one_broken_reply_is_not_noticed() {
    let broken = [
        Status(500, "InternalError", "broken"),
        Status(503, "ServiceUnavailable", "busy"),
        Status(504, "D504TO", "too late"),
        CutBefore,
        CutBody,
        LostReply,
        ExpiredUrl,
    ];
    for action in &broken {
        assert_eq!(read_under(&Scene::new(), "get_object", action, 1), Ok(()), "{action:?}");
    }
    for action in &broken[..6] {
        assert_eq!(read_under(&Scene::new(), "get_download_url", action, 1), Ok(()), "{action:?}");
    }
}

#[test]
fn replies_that_stay_broken_are_eio() {
    for action in [Status(500, "InternalError", "broken"), CutBefore, LostReply, ExpiredUrl] {
        let result = read_under(&Scene::new(), "get_object", &action, ENDLESSLY);
        assert_eq!(result, Err(libc::EIO), "{action:?}");
    }
}

/// Each try brings half of what is left, so a read may even end well.
#[test]
fn replies_that_are_always_cut_bring_right_bytes_or_eio() {
    let result = read_under(&Scene::new(), "get_object", &CutBody, ENDLESSLY);
    assert!(matches!(result, Ok(()) | Err(libc::EIO)), "{result:?}");
}

#[test]
fn a_web_page_or_a_flood_is_never_taken_for_the_file() {
    for action in [NotJson, HugeReply] {
        for times in [1, ENDLESSLY] {
            for route in ["get_object", "get_download_url"] {
                let result = read_under(&Scene::new(), route, &action, times);
                assert!(matches!(result, Ok(()) | Err(libc::EIO)), "{route} {action:?}: {result:?}");
            }
        }
    }
}

/// A small file is asked for whole, where the service may answer without saying which range it is.
#[test]
fn a_web_page_is_not_taken_for_a_small_file() {
    for (action, times) in [(NotJson, 1), (NotJson, ENDLESSLY), (HugeReply, 1)] {
        let scene = Scene::new();
        for len in [30, 5_000] {
            let bytes = noise(1, len);
            scene.another(&format!("writer{len}")).put("f", &bytes).unwrap();
            let file = scene.client().open("f", How::READ).unwrap();
            scene.order("get_object", action.clone(), times);
            let read = file.read_at(0, len);
            scene.heal();
            assert!(read.is_err() || read == Ok(bytes.clone()), "{action:?} {times} times: a page was read");
            assert!(file.read_at(0, len).unwrap() == bytes, "{action:?} {times} times: a page was kept");
            file.close().unwrap();
        }
    }
}

#[test]
fn an_object_of_another_crc_is_eio() {
    let result = read_under(&Scene::new(), "get_object", &WrongCrc, ENDLESSLY);
    assert_eq!(result, Err(libc::EIO));
}

#[test]
fn no_right_to_read_is_eacces() {
    let action = Status(403, "ForbiddenNoPermission.File", "no permission");
    assert_eq!(read_under(&Scene::new(), "get_download_url", &action, ENDLESSLY), Err(libc::EACCES));
}

#[test]
fn a_token_refused_in_the_middle_is_eacces() {
    let action = Status(401, "AccessTokenExpired", "expired");
    assert_eq!(read_under(&Scene::new(), "get_download_url", &action, ENDLESSLY), Err(libc::EACCES));
}

#[test]
fn a_download_url_that_died_of_age_is_renewed() {
    let scene = Scene::new();
    let bytes = noise(1, 2 << 20);
    scene.another("writer").put("f", &bytes).unwrap();
    let file = scene.client().open("f", How::READ).unwrap();
    for at in (0..2 << 20).step_by(300_000) {
        let len = 4096.min(bytes.len() - at);
        assert!(file.read_at(at as u64, len).unwrap() == bytes[at..at + len]);
        scene.bed.server.advance_clock(Duration::from_secs(3600));
    }
    file.close().unwrap();
}

#[test]
fn what_is_changed_while_it_cannot_be_fetched_stays_and_completes_later() {
    let scene = Scene::new();
    let bytes = noise(1, 100_000);
    scene.another("writer").put("f", &bytes).unwrap();
    let file = scene.client().open("f", How::EDIT).unwrap();
    scene.order("get_object", CutBefore, ENDLESSLY);
    file.write_at(b"changed", 50_000).unwrap();
    assert_eq!(file.close(), Err(libc::EIO));
    scene.heal();
    scene.drain();
    scene.agree(&[("f", &[&bytes[..50_000], b"changed", &bytes[50_007..]].concat())]);
}
