//! Background tasks: large folders, the whole bin, archives (10, 12.5, 14.1, 19.3 rule 15).

use std::time::Duration;

use serde_json::{Value, json};

use super::server_support::{Bed, crc, id};

/// A server on which more than three entries are many, also for the next one on its data.
fn bed() -> Bed {
    Bed::with(|options| options.async_entries = 3)
}

/// `big/{a, sub/{b, c}}`: five entries, six bytes.
fn big(bed: &Bed) -> String {
    let big = bed.mkdir("root", "big");
    bed.write(&big, "a", b"aaa");
    let sub = bed.mkdir(&big, "sub");
    bed.write(&sub, "b", b"bb");
    bed.write(&sub, "c", b"c");
    big
}

/// Does it by a task, which succeeds; gives what was answered.
fn by_task(bed: &Bed, path: &str, body: Value) -> Value {
    let accepted = bed.expect(202, path, body);
    let task = bed.finish(&accepted);
    assert_eq!(task["state"], "Succeed", "{path}: {task}");
    assert_eq!(task["total_process"], task["consumed_process"]);
    accepted
}

fn below(bed: &Bed, folder: &str) -> Vec<String> {
    let walk = json!({"parent_file_id": folder, "limit": 200, "order_by": "name"});
    let page = bed.expect(200, "/v2/file/walk", walk);
    page["items"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap().to_owned()).collect()
}

fn used(bed: &Bed) -> u64 {
    bed.expect(200, "/v2/drive/get", json!({}))["used_size"].as_u64().unwrap()
}

fn ops(bed: &Bed, cursor: &Value) -> Vec<(String, String)> {
    let delta = bed.expect(200, "/v2/file/list_delta", json!({"cursor": cursor}));
    let items = delta["items"].as_array().unwrap();
    items.iter().map(|item| (item["op"].as_str().unwrap().to_owned(), id(item))).collect()
}

#[test]
fn large_folders_are_trashed_restored_copied_and_deleted_by_tasks() {
    let bed = bed();
    let big = big(&bed);
    let cursor = bed.expect(200, "/v2/file/get_last_cursor", json!({}))["cursor"].clone();
    let named = || json!({"file_id": big});
    let accepted = by_task(&bed, "/v2/recyclebin/trash", named());
    assert_eq!((id(&accepted), &accepted["drive_id"]), (big.clone(), &json!("1")));
    assert!(bed.names("root").is_empty());
    by_task(&bed, "/v2/recyclebin/restore", named());
    assert_eq!(below(&bed, &big), ["a", "b", "c", "sub"]);

    let to = json!({"file_id": big, "to_parent_file_id": "root", "auto_rename": true, "new_name": "big"});
    let copy = id(&by_task(&bed, "/v2/file/copy", to));
    assert_ne!(copy, big);
    assert!(bed.file(&copy)["name"].as_str().unwrap().starts_with("big_"));
    assert_eq!((below(&bed, &copy), used(&bed)), (below(&bed, &big), 12));

    by_task(&bed, "/v2/file/delete", named());
    assert_eq!(bed.refused("/v2/file/get", named()), (404, "NotFound.FileId".into()));
    assert_eq!((below(&bed, "root").len(), used(&bed)), (5, 6));
    let told = ops(&bed, &cursor);
    let expected = [("trash", &big), ("restore", &big), ("create", &copy), ("delete", &big)];
    assert_eq!(told, expected.map(|(op, id)| (op.to_owned(), id.clone())));
    bed.expect(204, "/v2/file/delete", json!({"file_id": id(&bed.write("root", "small", b""))}));
}

#[test]
fn a_task_tells_how_it_went() {
    let bed = bed();
    let task = bed.finish(&bed.expect(202, "/v2/recyclebin/trash", json!({"file_id": big(&bed)})));
    for (field, value) in [
        ("state", json!("Succeed")),
        ("status", json!("Succeed")),
        ("total_process", json!(5)),
        ("consumed_process", json!(5)),
        ("failed_process", json!(0)),
        ("error_code", json!("")),
        ("task_type", json!("trash")),
    ] {
        assert_eq!(task[field], value, "{field}");
    }
    assert_eq!(task["async_task_id"].as_str().unwrap().len(), 36);
    assert!(task["finished_at"].as_str() >= task["started_at"].as_str());
    assert!(task["started_at"].as_str() >= task["created_at"].as_str());
    let get = |id: Value| bed.call("/v2/async_task/get", &json!({"async_task_id": id})).error();
    assert_eq!(get(json!("nobody")), (404, "NotFound.AsyncTaskId".into()));
    assert_eq!(get(json!("")), (400, "InvalidParameterEmpty.AsyncTaskId".into()));
    assert_eq!(get(json!(null)), (400, "InvalidParameterMissing.AsyncTaskId".into()));
    let batch = json!({"resource": "async_task", "requests": [{"id": "1", "method": "POST",
        "url": "/async_task/get", "body": {"async_task_id": task["async_task_id"]}}]});
    assert_eq!(bed.call("/v2/batch", &batch).json()["responses"][0]["body"], task);
    bed.server.advance_clock(Duration::from_secs(24 * 3600 + 1));
    assert_eq!(get(task["async_task_id"].clone()).0, 404);
}

#[test]
fn a_task_that_fails_says_why_and_leaves_nothing_behind() {
    let bed = Bed::with(|options| {
        options.async_entries = 3;
        options.drive_total_bytes = Some(10);
    });
    let big = big(&bed);
    let accepted = bed.expect(202, "/v2/file/copy", json!({"file_id": big, "to_parent_file_id": "root"}));
    let task = bed.finish(&accepted);
    assert_eq!((&task["state"], &task["error_code"]), (&json!("Failed"), &json!("QuotaExhausted.Drive")));
    assert_eq!((&task["err_code"], task["error_message"].as_str().unwrap().is_empty()), (&json!(403), false));
    assert_eq!((bed.names("root"), used(&bed)), (vec!["big".to_owned()], 6));
    assert_eq!(bed.refused("/v2/file/get", json!({"file_id": id(&accepted)})).0, 404);
}

#[test]
fn what_a_large_folder_must_not_is_refused_at_once() {
    let bed = bed();
    let big = big(&bed);
    let full = json!({"file_id": big, "check_folder_empty": true});
    for path in ["/v2/recyclebin/trash", "/v2/file/delete"] {
        assert_eq!(bed.refused(path, full.clone()).0, 409, "{path}");
    }
    for (body, code) in [
        (json!({"file_id": big, "to_parent_file_id": big}), "InvalidParameter.ToParentFileId"),
        (json!({"file_id": big, "to_parent_file_id": "gone"}), "NotFound.FileId"),
        (json!({"file_id": "root", "to_parent_file_id": big}), "ForbiddenNoPermission.File"),
        (json!({"file_id": big, "to_parent_file_id": "root", "to_drive_id": "7"}), "NotFound.DriveId"),
    ] {
        assert_eq!(bed.refused("/v2/file/copy", body).1, code);
    }
    assert_eq!(bed.refused("/v2/file/delete", json!({"file_id": "root"})).0, 403);
}

#[test]
fn a_stopped_server_ends_its_tasks_when_it_comes_back() {
    let bed = bed();
    let folder = bed.mkdir("root", "many");
    for n in 0..30 {
        let sub = bed.mkdir(&folder, &n.to_string());
        bed.write(&sub, "f", b"x");
    }
    let copy = bed.expect(202, "/v2/file/copy", json!({"file_id": folder, "to_parent_file_id": "root"}));
    let delete = bed.expect(202, "/v2/file/delete", json!({"file_id": folder}));
    // Wherever it is stopped, again and again.
    let bed = (0..4).fold(bed, |bed, _| bed.restart());
    assert_eq!(bed.finish(&copy)["state"], "Succeed");
    assert_eq!(bed.finish(&delete)["state"], "Succeed");
    let left = bed.expect(200, "/v2/file/get", json!({"file_id": "root", "fields": "dir_size"}));
    assert_eq!(left["dir_size_info"], json!({"dir_count": 31, "file_count": 30}));
    assert_eq!((bed.names("root"), used(&bed)), (vec!["many".to_owned()], 30));
    // All copies share one blob; what the copy left half done, if anything, is gone.
    bed.server.advance_clock(Duration::ZERO);
    assert_eq!(super::uploads::blobs(&bed), 1);
}

#[test]
fn what_a_killed_task_leaves_is_no_damage_and_goes_away() {
    let bed = bed();
    let big = big(&bed);
    let Bed { server, dir } = bed;
    server.stop();
    // A delete was killed when the top was out of its folder and one of the files was erased.
    let store = rusqlite::Connection::open(dir.path().join("pds.db")).unwrap();
    store
        .execute_batch(&format!(
            "UPDATE entry SET parent = -1, trashed_at = 0 WHERE file_id = '{big}';
             DELETE FROM revision WHERE entry = (SELECT seq FROM entry WHERE name = 'c');
             DELETE FROM entry WHERE name = 'c';
             INSERT INTO doomed SELECT file, 0 FROM blob WHERE size = 1;
             DELETE FROM blob WHERE size = 1;
             UPDATE drive SET used_bytes = 5"
        ))
        .unwrap();
    drop(store);
    let verdict = pdsfs::server::check::check(dir.path()).unwrap();
    assert!(verdict.damage.is_empty(), "{:?}", verdict.damage);
    let bed = Bed::on(dir);
    assert_eq!(bed.refused("/v2/file/get", json!({"file_id": big})).0, 404);
    assert_eq!(bed.expect(200, "/v2/recyclebin/list", json!({}))["items"], json!([]));
    bed.server.advance_clock(Duration::ZERO);
    assert_eq!((used(&bed), below(&bed, "root")), (0, Vec::new()));
    assert_eq!(super::uploads::blobs(&bed), 0);
}

#[test]
fn all_bins_are_searched_and_cleared() {
    let bed = bed();
    let big = big(&bed);
    let kept = id(&bed.write("root", "kept", b"1"));
    by_task(&bed, "/v2/recyclebin/trash", json!({"file_id": big}));
    bed.expect(204, "/v2/recyclebin/trash", json!({"file_id": kept}));
    bed.expect(204, "/v2/recyclebin/restore", json!({"file_id": kept}));
    let answer = bed.call("/v2/recyclebin/clear_all", &json!({}));
    assert_eq!(answer.status, 202);
    let items = answer.json()["items"].clone();
    assert_eq!((items.as_array().unwrap().len(), &items[0]["drive_id"]), (1, &json!("1")));
    assert_eq!(bed.finish(&items[0])["state"], "Succeed");
    assert_eq!((bed.names("root"), used(&bed)), (vec!["kept".to_owned()], 1));
    assert_eq!(bed.finish(&bed.expect(202, "/v2/recyclebin/clear", json!({})))["state"], "Succeed");
}

/// Names and bytes of the members of a zip whose members are not compressed.
fn unzip(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let number = |at: usize, len: usize| {
        bytes[at..at + len].iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
    };
    let end = bytes.len() - 22;
    assert_eq!(&bytes[end..end + 4], b"PK\x05\x06");
    let (count, mut at) = (number(end + 10, 2), number(end + 16, 4));
    let mut members = Vec::new();
    for _ in 0..count {
        assert_eq!(&bytes[at..at + 4], b"PK\x01\x02");
        let (size, name_len, extra_len) = (number(at + 24, 4), number(at + 28, 2), number(at + 30, 2));
        let name = String::from_utf8(bytes[at + 46..at + 46 + name_len].to_vec()).unwrap();
        let local = number(at + 42, 4);
        assert_eq!(&bytes[local..local + 4], b"PK\x03\x04");
        assert_eq!(number(local + 14, 4), number(at + 16, 4), "the CRC of {name}");
        let start = local + 30 + number(local + 26, 2) + number(local + 28, 2);
        members.push((name, bytes[start..start + size].to_vec()));
        at += 46 + name_len + extra_len;
    }
    members
}

#[test]
fn an_archive_has_everything_below_what_was_asked_for() {
    let bed = bed();
    let big = big(&bed);
    let file = id(&bed.write("root", "é.txt", b"123456789"));
    let twin = id(&bed.write("root", "é.txt", b"twin"));
    let before = used(&bed);
    let files = json!([{"file_id": big}, {"file_id": file}, {"file_id": twin}, {"file_id": file}]);
    let accepted = bed.expect(202, "/v2/file/archive_files", json!({"files": files, "name": "all"}));
    let task = bed.finish(&accepted);
    assert_eq!((&task["state"], &task["total_process"]), (&json!("Succeed"), &json!(7)), "{task}");
    let answer = bed.get(task["url"].as_str().unwrap(), &[]);
    assert!(answer.header("content-disposition").ends_with("all.zip"));
    assert_eq!(task["archive_file_result"]["size"], answer.body.len());
    assert_eq!(task["archive_file_result"]["crc64_hash"], crc(&answer.body).to_string());
    let members = unzip(&answer.body);
    let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    let expected = ["big/", "big/a", "big/sub/", "big/sub/b", "big/sub/c"];
    assert_eq!(names[..5], expected);
    assert_eq!(members[1].1, b"aaa");
    let mut twins: Vec<(&str, &[u8])> =
        members[5..].iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
    twins.sort_by_key(|(_, bytes)| bytes.len());
    assert_eq!(twins.iter().map(|(_, bytes)| *bytes).collect::<Vec<_>>(), [&b"twin"[..], b"123456789"]);
    let mut names = [twins[0].0, twins[1].0];
    names.sort_unstable();
    assert_eq!(names, ["é (2).txt", "é.txt"]);
    // 0xCBF43926 is the CRC-32 of 123456789.
    assert!(answer.body.windows(4).any(|bytes| bytes == 0xCBF4_3926_u32.to_le_bytes()));
    assert_eq!(used(&bed), before);
    let ids = bed.expect(202, "/v2/file/archive_files", json!({"file_ids": [file]}));
    assert_eq!(bed.finish(&ids)["state"], "Succeed");
    for (body, code) in [
        (json!({}), "InvalidParameterMissing.Files"),
        (json!({"files": [{"file_id": "gone"}]}), "NotFound.FileId"),
        (json!({"files": [{"id": file}]}), "InvalidParameter.Files"),
        (json!({"file_ids": [7]}), "InvalidParameter.FileIds"),
        (json!({"file_ids": [file], "name": "a/b"}), "InvalidParameter.Name"),
    ] {
        assert_eq!(bed.refused("/v2/file/archive_files", body).1, code);
    }
    let blobs = super::uploads::blobs(&bed);
    bed.server.advance_clock(Duration::from_secs(24 * 3600 + 1));
    assert_eq!(super::uploads::blobs(&bed), blobs - 2);
}
