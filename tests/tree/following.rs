//! The index and the change feed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use pdsfs::server::{Fault, FaultAction};
use serde_json::json;

use crate::server_support::id;
use crate::support::disk::{Direct, Disk, Mounted, Tuning, can_mount};
use crate::{Scene, soon};

/// Everything below a folder, with inode numbers.
fn walk(client: &Direct, path: &str, found: &mut Vec<(String, u64)>) {
    for (name, is_dir) in client.list(path).unwrap() {
        let path = if path.is_empty() { name } else { format!("{path}/{name}") };
        found.push((path.clone(), client.inode(&path)));
        if is_dir {
            walk(client, &path, found);
        }
    }
}

#[test]
fn after_a_restart_everything_known_costs_one_poll() {
    let scene = Scene::new();
    for folder in ["a", "b", "c"] {
        let folder = id(&scene.bed.expect(
            201,
            "/v2/file/create",
            json!({"parent_file_id": "root", "name": folder, "type": "folder", "check_name_mode": "refuse"}),
        ));
        for name in ["x", "y"] {
            scene.bed.write(&folder, name, name.as_bytes());
        }
    }
    let client: Direct = scene.client("client", Scene::trusting());
    client.put("own", b"mine").unwrap();
    client.make_dir("c/new").unwrap();
    let mut before = Vec::new();
    walk(&client, "", &mut before);
    assert_eq!(before.len(), 11);
    let (lists, gets) = (scene.count("list"), scene.count("get"));
    let polls = scene.count("list_delta");
    let client = client.remount();
    let mut after = Vec::new();
    walk(&client, "", &mut after);
    assert_eq!(after, before);
    assert_eq!((scene.count("list"), scene.count("get")), (lists, gets));
    assert_eq!(scene.count("list_delta"), polls + 1);
    assert_eq!(client.get("a/x").unwrap(), b"x");
    assert_eq!(client.get("own").unwrap(), b"mine");
}

#[test]
fn what_others_did_while_nothing_was_mounted_is_seen() {
    let scene = Scene::new();
    let client: Direct = scene.client("client", Scene::trusting());
    for name in ["changed", "removed", "kept"] {
        client.put(name, name.as_bytes()).unwrap();
    }
    client.make_dir("d").unwrap();
    client.put("d/inside", b"1").unwrap();
    let other: Direct = scene.client("other", Tuning { attr_timeout: Duration::ZERO, ..Tuning::default() });
    let client = client.off();
    other.put("changed", b"longer than before").unwrap();
    other.unlink("removed").unwrap();
    other.rename("d", "e").unwrap();
    other.put("e/more", b"2").unwrap();
    let client = client.on();
    let names: Vec<String> = client.list("").unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["changed", "e", "kept"]);
    assert_eq!(client.get("changed").unwrap(), b"longer than before");
    assert_eq!(client.list("e").unwrap().len(), 2);
}

#[test]
fn a_cursor_that_the_drive_lost_costs_listings_and_nothing_else() {
    let scene = Scene::new();
    let client: Direct = scene.client("client", Scene::trusting());
    client.put("a", b"a").unwrap();
    client.put("gone", b"a").unwrap();
    let inode = client.inode("a");
    let client = client.off();
    let other: Direct = scene.client("other", Tuning { attr_timeout: Duration::ZERO, ..Tuning::default() });
    other.unlink("gone").unwrap();
    let action = FaultAction::Status(404, "NotFound.Cursor", "cursor is not exist");
    scene.bed.server.faults().add(Fault { route: "list_delta", action, times: 1 });
    let client = client.on();
    assert_eq!(client.list("").unwrap(), [("a".to_owned(), false)]);
    assert_eq!(client.inode("a"), inode);
}

#[test]
fn a_drive_without_a_feed_is_listed_again() {
    let scene = Scene::new();
    let action = FaultAction::Status(403, "ForbiddenNoPermission", "no feed");
    scene.bed.server.faults().add(Fault { route: "get_last_cursor", action, times: 1_000_000 });
    let tuning = Tuning { attr_timeout: Duration::ZERO, ..Scene::trusting() };
    let client: Direct = scene.client("client", tuning.clone());
    let other: Direct = scene.client("other", tuning);
    other.put("a", b"1").unwrap();
    assert_eq!(client.get("a").unwrap(), b"1");
    let client = client.off();
    other.rename("a", "b").unwrap();
    let client = client.on();
    assert_eq!(client.list("").unwrap(), [("b".to_owned(), false)]);
    assert_eq!(client.get("b").unwrap(), b"1");
}

#[test]
fn the_kernel_hears_of_what_others_do() {
    if !can_mount() {
        return;
    }
    let scene = Scene::new();
    let other: Direct = scene.client("other", Tuning { attr_timeout: Duration::ZERO, ..Tuning::default() });
    for name in ["changed", "removed", "renamed"] {
        other.put(name, b"1").unwrap();
    }
    other.make_dir("d").unwrap();
    other.put("d/inside", b"1").unwrap();
    let client: Mounted = scene.client("client", Scene::trusting());
    let at = |name: &str| fs::metadata(client.point().join(name));
    let names = ["changed", "removed", "renamed", "d/inside"];
    assert!(names.iter().all(|name| at(name).is_ok()));
    // Nothing asks the drive but the follower: what is known is trusted for minutes.
    let lists = scene.count("list");
    other.put("changed", b"22").unwrap();
    other.unlink("removed").unwrap();
    other.rename("renamed", "new name").unwrap();
    other.rename("d", "e").unwrap();
    soon("a new size", || at("changed").is_ok_and(|metadata| metadata.len() == 2));
    soon("a removal", || at("removed").is_err());
    soon("a rename", || at("renamed").is_err() && at("new name").is_ok());
    soon("a folder's rename", || at("d/inside").is_err() && at("e/inside").is_ok());
    assert_eq!(fs::read(client.point().join("changed")).unwrap(), b"22");
    assert_eq!(scene.count("list"), lists, "the feed alone tells it");
}

#[test]
fn who_opens_a_file_sees_the_size_that_it_has() {
    if !can_mount() {
        return;
    }
    let scene = Scene::new();
    let tuning = Tuning { attr_timeout: Duration::ZERO, ..Tuning::default() };
    let other: Direct = scene.client("other", tuning.clone());
    other.put("f", b"").unwrap();
    // Long kernel timeouts need some trust: every open is later than this.
    let trust = Duration::from_millis(1);
    let tuning = Tuning { attr_timeout: trust, poll_interval: Duration::from_secs(600), ..tuning };
    let client: Mounted = scene.client("client", tuning);
    let path = client.point().join("f");
    for len in 1..50usize {
        other.put("f", &vec![7; len]).unwrap();
        std::thread::sleep(trust * 2);
        let file = fs::File::open(&path).unwrap();
        assert_eq!(file.metadata().unwrap().size(), len as u64);
        assert_eq!(fs::read(&path).unwrap().len(), len);
    }
}

#[test]
fn a_program_that_walks_finds_the_next_folders_listed() {
    if !can_mount() {
        return;
    }
    let scene = Scene::new();
    let other: Direct = scene.client("other", Tuning { attr_timeout: Duration::ZERO, ..Tuning::default() });
    for number in 0..10 {
        other.make_dir(&format!("d{number}")).unwrap();
    }
    let client: Mounted = scene.client("client", Scene::trusting());
    let lists = scene.count("list");
    fs::read_dir(client.point()).unwrap().for_each(drop);
    fs::read_dir(client.point().join("d0")).unwrap().for_each(drop);
    soon("all folders are listed", || scene.count("list") == lists + 10);
    for number in 0..10 {
        fs::read_dir(client.point().join(format!("d{number}"))).unwrap().for_each(drop);
    }
    assert_eq!(scene.count("list"), lists + 10);
}
