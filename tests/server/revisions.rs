//! Revisions, batches, and the feed of one folder (11, 13, 14.2).

use serde_json::{Value, json};

use super::server_support::{Bed, id};

/// A file with so many revisions, of 1, 2, 3... bytes; gives its id and theirs, newest first.
fn file_with(bed: &Bed, revisions: usize) -> (String, Vec<String>) {
    let file = id(&bed.write("root", "a.txt", b"1"));
    for len in 2..=revisions {
        overwrite(bed, &file, &vec![b'x'; len]);
    }
    let ids = list(bed, &file).iter().map(|item| item["revision_id"].as_str().unwrap().to_owned()).collect();
    (file, ids)
}

fn overwrite(bed: &Bed, file: &str, bytes: &[u8]) -> Value {
    bed.write_as(json!({"parent_file_id": "root", "name": "a.txt", "file_id": file}), bytes)
}

fn list(bed: &Bed, file: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut body = json!({"file_id": file, "limit": 3});
    loop {
        let page = bed.expect(200, "/v2/file/revision/list", body.clone());
        items.extend(page["items"].as_array().unwrap().clone());
        match page["next_marker"].as_str().unwrap() {
            "" => return items,
            marker => body["marker"] = marker.into(),
        }
    }
}

fn sizes(bed: &Bed, file: &str) -> Vec<u64> {
    list(bed, file).iter().map(|item| item["size"].as_u64().unwrap()).collect()
}

fn used(bed: &Bed) -> u64 {
    bed.expect(200, "/v2/drive/get", json!({}))["used_size"].as_u64().unwrap()
}

#[test]
fn the_list_is_newest_first_and_tells_what_each_is() {
    let bed = Bed::new();
    let (file, ids) = file_with(&bed, 7);
    assert_eq!(sizes(&bed, &file), [7, 6, 5, 4, 3, 2, 1]);
    let items = list(&bed, &file);
    let versions: Vec<&Value> = items.iter().map(|item| &item["revision_version"]).collect();
    assert_eq!(versions, [7, 6, 5, 4, 3, 2, 1]);
    let latest: Vec<bool> = items.iter().map(|item| item["is_latest_version"].as_bool().unwrap()).collect();
    assert_eq!(latest, [true, false, false, false, false, false, false]);
    assert_eq!(bed.file(&file)["revision_id"], ids[0]);
    assert!(items[0]["crc64_hash"].is_string() && items[0].get("creator_id").is_none());
    let all = bed.expect(200, "/v2/file/revision/list", json!({"file_id": file, "fields": "*"}));
    assert_eq!(all["items"][0]["creator_type"], "User");
    let one = bed.expect(200, "/v2/file/revision/get", json!({"file_id": file, "revision_id": ids[4]}));
    assert_eq!((&one["revision_name"], &one["file_extension"]), (&json!("a.txt"), &json!("txt")));
    assert_eq!(bed.get(one["download_url"].as_str().unwrap(), &[]).body, b"xxx");
}

#[test]
fn restoring_makes_a_new_revision_of_the_old_bytes() {
    let bed = Bed::new();
    let (file, ids) = file_with(&bed, 3);
    let cursor = bed.expect(200, "/v2/file/get_last_cursor", json!({}))["cursor"].clone();
    let restored =
        bed.expect(200, "/v2/file/revision/restore", json!({"file_id": file, "revision_id": ids[2]}));
    assert_eq!((&restored["revision_version"], &restored["size"]), (&json!(4), &json!(1)));
    assert_eq!(restored["is_latest_version"], true);
    assert!(!ids.contains(&restored["revision_id"].as_str().unwrap().to_owned()));
    assert_eq!(bed.get(restored["download_url"].as_str().unwrap(), &[]).body, b"1");
    assert_eq!((bed.read(&file), sizes(&bed, &file), used(&bed)), (b"1".to_vec(), vec![1, 3, 2, 1], 7));
    let delta = bed.expect(200, "/v2/file/list_delta", json!({"cursor": cursor}));
    assert_eq!((&delta["items"][0]["op"], id(&delta["items"][0])), (&json!("overwrite"), file.clone()));
    let latest = json!({"file_id": file, "revision_id": restored["revision_id"]});
    for path in ["/v2/file/revision/restore", "/v2/file/revision/delete"] {
        let refused = bed.refused(path, latest.clone());
        assert_eq!(refused, (400, "FileLatestRevisionCannotBeRestore".into()), "{path}");
    }
}

#[test]
fn a_deleted_revision_is_gone_and_gives_its_room_back() {
    let bed = Bed::new();
    let (file, ids) = file_with(&bed, 3);
    let url = bed.expect(200, "/v2/file/revision/get", json!({"file_id": file, "revision_id": ids[1]}))
        ["download_url"]
        .clone();
    let named = json!({"file_id": file, "revision_id": ids[1]});
    bed.expect(204, "/v2/file/revision/delete", named.clone());
    assert_eq!((sizes(&bed, &file), used(&bed)), (vec![3, 1], 4));
    for path in ["get", "delete", "restore", "update"] {
        let refused = bed.refused(&format!("/v2/file/revision/{path}"), named.clone());
        assert_eq!(refused, (404, "NotFound.RevisionId".into()), "{path}");
    }
    assert_eq!(bed.get(url.as_str().unwrap(), &[]).xml_error(), (404, "NoSuchKey".into()));
    assert_eq!(overwrite(&bed, &file, b"four")["revision_version"], 4);
}

#[test]
fn revisions_kept_forever_outlive_the_others() {
    let bed = Bed::with(|options| options.keep_revisions = 2);
    let (file, ids) = file_with(&bed, 2);
    let update = |revision: &str, keep: bool| {
        let body = json!({"drive_id": "1", "file_id": file, "revision_id": revision, "keep_forever": keep,
            "revision_description": "good"});
        bed.call("/v2/file/revision/update", &body)
    };
    let kept = update(&ids[1], true).json();
    assert_eq!((&kept["keep_forever"], &kept["revision_description"]), (&json!(true), &json!("good")));
    for len in 3..6 {
        overwrite(&bed, &file, &vec![b'x'; len]);
    }
    assert_eq!(sizes(&bed, &file), [5, 4, 1]);
    let kept = bed.expect(200, "/v2/file/revision/get", json!({"file_id": file, "revision_id": ids[1]}));
    assert_eq!((&kept["keep_forever"], &kept["revision_description"]), (&json!(true), &json!("good")));
    let given_up = update(&ids[1], false).json();
    assert_eq!(given_up["keep_forever"], false);
    assert_eq!((sizes(&bed, &file), used(&bed)), (vec![5, 4], 9));
    let long = json!({"file_id": file, "revision_id": list(&bed, &file)[0]["revision_id"],
        "revision_description": "é".repeat(1025)});
    assert_eq!(
        bed.refused("/v2/file/revision/update", long),
        (400, "InvalidParameter.RevisionDescription".into())
    );
}

#[test]
fn fifty_revisions_may_be_kept_forever() {
    let bed = Bed::with(|options| options.keep_revisions = 999);
    let (file, _) = file_with(&bed, 1);
    for at in 0..51 {
        // Known bytes: no upload.
        let content = json!({"parent_file_id": "root", "name": "a.txt", "file_id": file, "size": 1,
            "type": "file", "content_hash": super::sha1(b"1"), "content_hash_name": "sha1"});
        let made = bed.expect(201, "/v2/file/create", content);
        let body = json!({"file_id": file, "revision_id": made["revision_id"], "keep_forever": true});
        if at < 50 {
            bed.expect(200, "/v2/file/revision/update", body);
        } else {
            let refused = bed.refused("/v2/file/revision/update", body);
            assert_eq!(refused, (400, "InvalidParameterOutOfRange.KeepForever".into()));
        }
    }
}

#[test]
fn revision_calls_check_what_they_are_given() {
    let bed = Bed::new();
    let (file, ids) = file_with(&bed, 2);
    let folder = bed.mkdir("root", "f");
    for (path, body, code) in [
        ("list", json!({"file_id": folder}), "InvalidResource.FileTypeFolder"),
        ("list", json!({"file_id": file, "limit": 201}), "InvalidParameter.Limit"),
        ("list", json!({"file_id": file, "marker": "x"}), "InvalidParameter.Marker"),
        ("list", json!({}), "InvalidParameterMissing.FileId"),
        ("get", json!({"file_id": file}), "InvalidParameterMissing.RevisionId"),
        ("get", json!({"file_id": folder, "revision_id": ids[0]}), "NotFound.RevisionId"),
        (
            "get",
            json!({"file_id": file, "revision_id": ids[0], "url_expire_sec": 9}),
            "InvalidParameter.UrlExpireSec",
        ),
        ("get", json!({"file_id": "gone", "revision_id": ids[0]}), "NotFound.FileId"),
        (
            "update",
            json!({"file_id": file, "revision_id": ids[0], "keep_forever": 1}),
            "InvalidParameter.KeepForever",
        ),
        ("restore", json!({"file_id": file, "revision_id": null}), "InvalidParameterMissing.RevisionId"),
        ("delete", json!({"file_id": file, "revision_id": ""}), "InvalidParameterEmpty.RevisionId"),
    ] {
        assert_eq!(bed.refused(&format!("/v2/file/revision/{path}"), body.clone()).1, code, "{path} {body}");
    }
    bed.expect(204, "/v2/recyclebin/trash", json!({"file_id": file}));
    let trashed = bed.refused("/v2/file/revision/list", json!({"file_id": file}));
    assert_eq!(trashed, (403, "ForbiddenFileInTheRecycleBin".into()));
}

#[test]
fn a_full_drive_restores_nothing() {
    let bed = Bed::with(|options| options.drive_total_bytes = Some(10));
    let (file, ids) = file_with(&bed, 4);
    let body = json!({"file_id": file, "revision_id": ids[3]});
    assert_eq!(bed.refused("/v2/file/revision/restore", body), (403, "QuotaExhausted.Drive".into()));
}

// 14.2
#[test]
fn a_batch_keeps_its_rules() {
    let bed = Bed::new();
    bed.write("root", "found", b"1");
    let child =
        |id: Value, url: &str, body: Value| json!({"id": id, "method": "POST", "url": url, "body": body});
    let batch =
        |children: Vec<Value>| bed.call("/v2/batch", &json!({"resource": "file", "requests": children}));
    let reply = batch(vec![
        child(json!("a"), "/file/search", json!({"drive_id": "1", "query": "name = 'found'"})),
        child(
            json!("b"),
            "/file/pre_create_check",
            json!({"drive_id": "1", "parent_file_id": "root", "name": "found", "type": "file"}),
        ),
        child(json!("c"), "/file/get", json!("no object")),
        json!({"id": "d", "url": "/drive/get", "body": {"drive_id": "1"}}),
        json!({"id": "e", "url": "/drive/get", "method": "GET", "body": {"drive_id": "1"}}),
        child(json!("f"), "/v2/file/get", json!({})),
        child(json!("g"), "/file/create", json!({})),
        child(json!("h"), "/batch", json!({})),
        json!({"id": "i"}),
    ])
    .json();
    let statuses: Vec<(String, u64)> = reply["responses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["id"].as_str().unwrap().to_owned(), r["status"].as_u64().unwrap()))
        .collect();
    let expected = [
        ("a", 200),
        ("b", 200),
        ("c", 400),
        ("d", 200),
        ("e", 400),
        ("f", 400),
        ("g", 400),
        ("h", 400),
        ("i", 400),
    ];
    assert_eq!(statuses, expected.map(|(id, status)| (id.to_owned(), status)));
    assert_eq!(reply["responses"][0]["body"]["items"][0]["name"], "found");
    let good = |n: usize| child(json!(n.to_string()), "/drive/get", json!({"drive_id": "1"}));
    assert_eq!(batch((0..100).map(good).collect()).status, 200);
    assert_eq!(batch((0..101).map(good).collect()).error(), (400, "InvalidParameter.Requests".into()));
    assert_eq!(batch(vec![child(json!(7), "/drive/get", json!({}))]).status, 400);
    assert_eq!(batch(vec![json!("x")]).status, 400);
    let resource = json!({"resource": "planet", "requests": [good(1)]});
    assert_eq!(bed.refused("/v2/batch", resource), (400, "InvalidParameter.Resource".into()));
}

// 11.2
#[test]
fn the_feed_of_one_folder_has_what_happened_in_it() {
    let bed = Bed::new();
    let (inside, outside) = (bed.mkdir("root", "in"), bed.mkdir("root", "out"));
    let deep = bed.mkdir(&inside, "deep");
    let start =
        bed.expect(200, "/v2/file/get_last_cursor", json!({"sync_root_id": inside}))["cursor"].clone();
    let near = id(&bed.write(&deep, "near", b""));
    let far = id(&bed.write(&outside, "far", b""));
    bed.write(&outside, "foreign", b"");
    bed.expect(200, "/v2/file/move", json!({"file_id": near, "to_parent_file_id": outside}));
    bed.expect(200, "/v2/file/update", json!({"file_id": far, "name": "further"}));
    bed.expect(200, "/v2/file/move", json!({"file_id": far, "to_parent_file_id": deep}));
    bed.expect(200, "/v2/file/update", json!({"file_id": inside, "starred": true}));
    let (mut told, mut cursor) = (Vec::new(), start);
    loop {
        let body = json!({"cursor": cursor, "limit": 1, "sync_root_id": inside});
        let page = bed.expect(200, "/v2/file/list_delta", body);
        told.extend(page["items"].as_array().unwrap().iter().map(|item| (item["op"].clone(), id(item))));
        cursor = page["cursor"].clone();
        if page["has_more"] == false {
            break;
        }
    }
    // Where a file is now counts, where it was then, and where it was moved from.
    let expected = [
        ("create", &near),
        ("create", &far),
        ("move", &near),
        ("rename", &far),
        ("move", &far),
        ("update", &inside),
    ];
    assert_eq!(told, expected.map(|(op, id)| (json!(op), id.clone())));
    for (path, body, code) in [
        ("get_last_cursor", json!({"sync_root_id": "gone"}), (404, "NotFound.FileId")),
        ("list_delta", json!({"sync_root_id": far}), (400, "InvalidParameter.SyncRootId")),
        ("list_delta", json!({"limit": 201}), (400, "InvalidParameter.Limit")),
    ] {
        assert_eq!(bed.refused(&format!("/v2/file/{path}"), body), (code.0, code.1.to_owned()));
    }
}
