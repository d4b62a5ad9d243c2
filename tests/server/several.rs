//! Several drives at once, and pages of what changes while it is listed.

use serde_json::{Value, json};

use super::server_support::{Bed, id};

/// A second drive of this size; gives its id.
fn second(bed: &Bed, total: i64) -> String {
    let body = json!({"drive_name": "second", "owner": "local", "owner_type": "user", "total_size": total});
    let answer = bed.call("/v2/drive/create", &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["drive_id"].as_str().unwrap().to_owned()
}

fn on(bed: &Bed, drive: &str, path: &str, mut body: Value) -> (u16, Value) {
    body["drive_id"] = drive.into();
    let answer = bed.call(path, &body);
    (answer.status, if answer.body.is_empty() { Value::Null } else { answer.json() })
}

fn names(items: &Value) -> Vec<String> {
    let items = items.as_array().unwrap();
    items.iter().map(|file| file["name"].as_str().unwrap().to_owned()).collect()
}

fn used(bed: &Bed, drive: &str) -> u64 {
    on(bed, drive, "/v2/drive/get", json!({})).1["used_size"].as_u64().unwrap()
}

#[test]
fn copies_go_from_drive_to_drive_and_moves_do_not() {
    let bed = Bed::with(|options| options.async_entries = 3);
    let other = second(&bed, 10);
    let folder = bed.mkdir("root", "f");
    let file = id(&bed.write(&folder, "a", b"12345"));
    let to = |file: &str| json!({"file_id": file, "to_parent_file_id": "root", "to_drive_id": other});
    let (status, copy) = on(&bed, "1", "/v2/file/copy", to(&folder));
    assert_eq!((status, &copy["drive_id"]), (201, &json!(other)));
    let (_, page) = on(&bed, &other, "/v2/file/list", json!({"parent_file_id": copy["file_id"]}));
    assert_eq!((names(&page["items"]), used(&bed, &other), used(&bed, "1")), (vec!["a".to_owned()], 5, 5));
    let copied = page["items"][0]["file_id"].clone();
    let (_, url) = on(&bed, &other, "/v2/file/get_download_url", json!({"file_id": copied}));
    assert_eq!(bed.get(url["url"].as_str().unwrap(), &[]).body, b"12345");
    assert_eq!(on(&bed, "1", "/v2/file/get", json!({"file_id": copied})).0, 404);

    // The size of the target counts, for a task too.
    let big = bed.mkdir("root", "big");
    for n in 0..4 {
        bed.write(&big, &n.to_string(), b"xx");
    }
    let (status, accepted) = on(&bed, "1", "/v2/file/copy", to(&big));
    assert_eq!(status, 202);
    assert_eq!(bed.finish(&accepted)["error_code"], "QuotaExhausted.Drive");
    assert_eq!(used(&bed, &other), 5);
    let small = json!({"file_id": file, "to_parent_file_id": "root", "to_drive_id": other});
    assert_eq!(on(&bed, "1", "/v2/file/copy", small.clone()).0, 201);
    assert_eq!(on(&bed, "1", "/v2/file/copy", small.clone()).1["code"], "QuotaExhausted.Drive");
    let (status, refused) = on(&bed, "1", "/v2/file/move", small);
    assert_eq!((status, &refused["code"]), (400, &json!("InvalidParameterNotSupported.ToDriveId")));
    let same = json!({"file_id": file, "to_parent_file_id": "root", "to_drive_id": "1"});
    assert_eq!(on(&bed, "1", "/v2/file/move", same).0, 200);
}

#[test]
fn feeds_searches_and_bins_keep_drives_apart() {
    let bed = Bed::new();
    let other = second(&bed, -1);
    let make = |drive: &str, name: &str| {
        let body = json!({"parent_file_id": "root", "name": name, "type": "folder"});
        on(&bed, drive, "/v2/file/create", body).1["file_id"].as_str().unwrap().to_owned()
    };
    let (mine, theirs) = (make("1", "mine"), make(&other, "theirs"));
    for drive in ["1", &other] {
        let (_, delta) = on(&bed, drive, "/v2/file/list_delta", json!({}));
        assert_eq!((delta["items"].as_array().unwrap().len(), &delta["has_more"]), (1, &json!(false)));
        let (_, found) = on(&bed, drive, "/v2/file/search", json!({"query": "parent_file_id = 'root'"}));
        assert_eq!(names(&found["items"]), [if drive == "1" { "mine" } else { "theirs" }]);
    }
    let both =
        json!({"drive_id_list": ["1", other], "query": "type = 'folder'", "order_by": "name", "limit": 1});
    let first = bed.call("/v2/file/search", &both).json();
    assert_eq!(names(&first["items"]), ["mine"]);
    let next = json!({"drive_id_list": [other, "1"], "marker": first["next_marker"]});
    assert_eq!(names(&bed.call("/v2/file/search", &next).json()["items"]), ["theirs"]);
    let (status, _) = on(&bed, &other, "/v2/file/search", json!({"marker": first["next_marker"]}));
    assert_eq!(status, 400);
    assert_eq!(on(&bed, "1", "/v2/file/get", json!({"file_id": theirs})).0, 404);
    let cursor = on(&bed, "1", "/v2/file/get_last_cursor", json!({})).1["cursor"].clone();
    assert_eq!(
        on(&bed, &other, "/v2/file/list_delta", json!({"cursor": cursor})).1["code"],
        "NotFound.Cursor"
    );

    assert_eq!(on(&bed, "1", "/v2/recyclebin/trash", json!({"file_id": mine})).0, 204);
    assert_eq!(on(&bed, &other, "/v2/recyclebin/trash", json!({"file_id": theirs})).0, 204);
    let all = bed.call("/v2/recyclebin/search_all", &json!({"query": "", "order_by": "name"})).json();
    assert_eq!(names(&all["items"]), ["mine", "theirs"]);
    let items = bed.call("/v2/recyclebin/clear_all", &json!({})).json()["items"].clone();
    for item in items.as_array().unwrap() {
        assert_eq!(bed.finish(item)["state"], "Succeed");
    }
    assert_eq!(items.as_array().unwrap().len(), 2);
    let all = bed.call("/v2/recyclebin/search_all", &json!({"query": ""})).json();
    assert_eq!(all["items"], json!([]));
}

#[test]
fn what_stays_is_listed_once_while_others_come_and_go() {
    let bed = Bed::new();
    for n in 0..20 {
        bed.mkdir("root", &format!("stays {n:02}"));
    }
    for path in ["/v2/file/list", "/v2/file/walk"] {
        for direction in ["ASC", "DESC"] {
            let mut goes = bed.mkdir("root", "goes");
            let mut body = json!({"parent_file_id": "root", "order_by": "name", "order_direction": direction,
                "limit": 3});
            let mut seen = Vec::new();
            for round in 0.. {
                let page = bed.expect(200, path, body.clone());
                seen.extend(names(&page["items"]));
                assert!(round < 100, "an endless list");
                if page["next_marker"] == "" {
                    break;
                }
                body["marker"] = page["next_marker"].clone();
                // The last one listed goes away, and others come before and after.
                bed.expect(204, "/v2/file/delete", json!({"file_id": goes}));
                goes = bed.mkdir("root", &format!("stays {:02} goes", (round * 7) % 20));
            }
            bed.expect(204, "/v2/file/delete", json!({"file_id": goes}));
            let mut stays: Vec<String> = seen.into_iter().filter(|name| !name.contains("goes")).collect();
            stays.sort();
            let expected: Vec<String> = (0..20).map(|n| format!("stays {n:02}")).collect();
            assert_eq!(stays, expected, "{path} {direction}");
        }
    }
}
