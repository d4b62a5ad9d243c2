//! Folders, renames, removals and times: done once, or not at all.

use std::time::{Duration, SystemTime};

use pdsfs::server::FaultAction::{self, *};

use crate::server_support::noise;
use crate::support::disk::{Disk, Errno};
use crate::support::drive::Remote;
use crate::{ENDLESSLY, Scene};

/// A change of names.
struct Change {
    /// Calls it may make.
    routes: &'static [&'static str],
    make: fn(&Scene) -> Result<(), Errno>,
    /// What is there afterwards.
    after: &'static [&'static str],
}

/// The drive has "a", "b", "d" and "d/c" before.
const BEFORE: [&str; 4] = ["a", "b", "d", "d/c"];

const CHANGES: [Change; 8] = [
    Change {
        routes: &["create", "get"],
        make: |scene| scene.client().make_dir("new"),
        after: &["a", "b", "d", "d/c", "new"],
    },
    Change {
        routes: &["update"],
        make: |scene| scene.client().rename("a", "e"),
        after: &["b", "d", "d/c", "e"],
    },
    Change {
        routes: &["move"],
        make: |scene| scene.client().rename("a", "d/a"),
        after: &["b", "d", "d/a", "d/c"],
    },
    Change {
        routes: &["move", "update"],
        make: |scene| scene.client().rename("a", "d/e"),
        after: &["b", "d", "d/c", "d/e"],
    },
    Change {
        routes: &["create", "get", "delete"],
        make: |scene| scene.client().rename("a", "b"),
        after: &["b", "d", "d/c"],
    },
    Change {
        routes: &["update"],
        make: |scene| scene.client().rename("d", "e"),
        after: &["a", "b", "e", "e/c"],
    },
    Change {
        routes: &["recyclebin/trash"],
        make: |scene| scene.client().unlink("d/c"),
        after: &["a", "b", "d"],
    },
    Change {
        routes: &["update"],
        make: |scene| {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
            scene.client().set_modified("a", time)?;
            assert_eq!(scene.client().stat("a").unwrap().modified_at, time);
            Ok(())
        },
        after: &BEFORE,
    },
];

/// Makes a change while `action` happens. The names are those before or after, here and on the drive.
#[track_caller]
fn change_under(change: &Change, route: &'static str, action: &FaultAction, times: u32) -> Result<(), Errno> {
    let scene = Scene::new();
    for (number, name) in BEFORE.iter().enumerate() {
        match *name {
            "d" => scene.client().make_dir(name).unwrap(),
            _ => scene.client().put(name, &noise(number as u64, 5_000)).unwrap(),
        }
    }
    scene.order(route, action.clone(), times);
    let result = (change.make)(&scene);
    scene.heal();
    let drive = scene.drive();
    let names: Vec<&str> = drive.keys().map(String::as_str).collect();
    let case = format!("{route} {action:?} {times} times, to {:?}: {result:?}", change.after);
    if result.is_ok() {
        assert_eq!(names, change.after, "{case}");
    } else {
        assert!(names == BEFORE || names == change.after || is_between(&names, change), "{case}: {names:?}");
    }
    for (path, remote) in &drive {
        match remote {
            Remote::Folder => assert!(scene.client().stat(path).unwrap().is_dir, "{case}: {path}"),
            Remote::File { .. } => {
                let here = Remote::of(&scene.client().get(path).unwrap());
                assert_eq!(here, *remote, "{case}: {path}");
            }
        }
    }
    let here: usize = scene.client().list("").unwrap().len();
    assert_eq!(here, names.iter().filter(|name| !name.contains('/')).count(), "{case}");
    result
}

/// A replaced file whose source could not be removed yet, or a file moved and not renamed yet: nothing is lost.
fn is_between(names: &[&str], change: &Change) -> bool {
    match change.routes {
        ["create", "get", "delete"] => names == ["a", "b", "d", "d/c"],
        ["move", "update"] => names == ["b", "d", "d/a", "d/c"],
        _ => false,
    }
}

#[test]
fn one_broken_request_is_not_noticed() {
    let broken = [
        Status(500, "InternalError", "broken"),
        Status(504, "D504TO", "too late"),
        CutBefore,
        CutBody,
        LostReply,
    ];
    for change in &CHANGES {
        for route in change.routes {
            for action in &broken {
                assert_eq!(change_under(change, route, action, 1), Ok(()), "{route} {action:?}");
            }
        }
    }
}

#[test]
fn what_stays_broken_is_an_errno_and_changes_nothing_by_half() {
    for change in &CHANGES {
        for (action, errno) in [
            (Status(500, "InternalError", "broken"), libc::EIO),
            (Status(403, "ForbiddenNoPermission.File", "no"), libc::EACCES),
            (NotJson, libc::EIO),
        ] {
            let result = change_under(change, change.routes[0], &action, ENDLESSLY);
            assert!(
                matches!(result, Ok(()) | Err(libc::EIO)) || result == Err(errno),
                "{action:?}: {result:?}"
            );
        }
    }
}
