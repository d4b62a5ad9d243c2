//! Lists, changes, the bin, tags, the feed (9, 10, 11, 19.3 rules 4, 5, 12 to 14).

use std::time::Duration;

use serde_json::{Value, json};

use super::server_support::{Bed, id};

/// Every page of a list; gives the names.
fn pages(bed: &Bed, mut body: Value) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let page = bed.expect(200, "/v2/file/list", body.clone());
        names.extend(
            page["items"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap().to_owned()),
        );
        assert!(names.len() < 1000, "an endless list");
        match page["next_marker"].as_str().unwrap() {
            "" => return names,
            marker => body["marker"] = marker.into(),
        }
    }
}

/// Files and folders in order of creation, a millisecond apart: sizes and names have other orders.
fn populate(bed: &Bed) -> Vec<String> {
    let names = ["m", "b.jpg", "z", "a.mp4", "M", "k.jpg", "é"];
    for (at, name) in names.iter().enumerate() {
        if at % 3 == 2 {
            bed.mkdir("root", name);
        } else {
            bed.write("root", name, &vec![0; (at * 37) % 11]);
        }
        bed.server.advance_clock(Duration::from_millis(1));
    }
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn lists_have_orders_filters_and_pages() {
    let bed = Bed::new();
    let created = populate(&bed);
    let mut named = created.clone();
    named.sort();
    for limit in [1, 2, 3, 100] {
        let list = |extra: Value| {
            let mut body = json!({"parent_file_id": "root", "limit": limit});
            body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            pages(&bed, body)
        };
        assert_eq!(list(json!({})), created);
        assert_eq!(list(json!({"order_by": "name", "order_direction": "ASC"})), named);
        let reversed: Vec<String> = named.iter().rev().cloned().collect();
        assert_eq!(list(json!({"order_by": "name", "order_direction": "DESC"})), reversed);
        assert_eq!(
            list(json!({"order_by": "size", "type": "file"})),
            ["m", "b.jpg", "a.mp4", "M", "é"].map(sized).concat_sorted()
        );
        assert_eq!(list(json!({"type": "folder"})), ["z", "k.jpg"]);
        assert_eq!(list(json!({"category": "video"})), ["a.mp4"]);
        assert_eq!(
            list(json!({"order_by": "updated_at", "order_direction": "DESC", "category": "image"})),
            ["b.jpg"]
        );
    }
}

/// A name with the size that [`populate`] gave it.
fn sized(name: &str) -> (usize, &str) {
    let at = ["m", "b.jpg", "z", "a.mp4", "M", "k.jpg", "é"].iter().position(|known| *known == name).unwrap();
    ((at * 37) % 11, name)
}

trait BySize {
    fn concat_sorted(self) -> Vec<String>;
}

impl<const N: usize> BySize for [(usize, &str); N] {
    fn concat_sorted(mut self) -> Vec<String> {
        self.sort_by_key(|(size, _)| *size);
        self.iter().map(|(_, name)| (*name).to_owned()).collect()
    }
}

#[test]
fn lists_refuse_what_does_not_fit() {
    let bed = Bed::new();
    let file = id(&bed.write("root", "a", b""));
    bed.write("root", "b", b"");
    for (body, code) in [
        (json!({"parent_file_id": "root", "limit": 201}), (400, "InvalidParameter.Limit")),
        (json!({"parent_file_id": "root", "limit": "many"}), (400, "InvalidParameter.Limit")),
        (json!({"parent_file_id": "root", "marker": "x"}), (400, "InvalidParameter.Marker")),
        (json!({"parent_file_id": "root", "order_by": "color"}), (400, "InvalidParameter.OrderBy")),
        (json!({"parent_file_id": file}), (400, "InvalidParameter.ParentFileId")),
        (json!({"parent_file_id": "nobody"}), (404, "NotFound.FileId")),
    ] {
        assert_eq!(bed.refused("/v2/file/list", body), (code.0, code.1.into()));
    }
    let page = bed.expect(200, "/v2/file/list", json!({"parent_file_id": "root", "limit": 1}));
    let other = json!({"parent_file_id": "root", "order_by": "name", "marker": page["next_marker"]});
    assert_eq!(bed.refused("/v2/file/list", other), (400, "InvalidParameter.Marker".into()));
}

#[test]
fn fields_decide_what_a_list_shows() {
    let bed = Bed::new();
    let tags = json!([{"key": "k", "value": "v"}]);
    let folder = bed.mkdir("root", "f");
    let file = bed.write_as(json!({"parent_file_id": folder, "name": "a", "user_tags": tags}), b"12");
    bed.mkdir(&folder, "g");
    let list = |fields: &str| {
        let page = bed.expect(200, "/v2/file/list", json!({"parent_file_id": folder, "fields": fields}));
        page["items"][0].clone()
    };
    assert!(list("").get("user_tags").is_none() && list("").get("url").is_none());
    assert_eq!(list("user_tags")["user_tags"], json!({"k": "v"}));
    assert_eq!(list("*")["user_tags"], json!({"k": "v"}));
    assert_eq!(bed.get(list("url")["url"].as_str().unwrap(), &[]).body, b"12");
    assert_eq!(list("id_path,name_path")["name_path"], "/f/a");
    assert_eq!(list("id_path")["id_path"], format!("root/{folder}/{}", id(&file)));
    let sized = bed.expect(200, "/v2/file/get", json!({"file_id": "root", "fields": "dir_size"}));
    assert_eq!(sized["dir_size_info"], json!({"dir_count": 2, "file_count": 1}));
    assert_eq!(sized["size"], 2);
    let root = bed.file("root");
    assert_eq!(
        (&root["name"], &root["type"], &root["parent_file_id"]),
        (&json!("Default"), &json!("folder"), &json!(""))
    );
    let uploading = bed.create(&folder, "later", 1);
    let page = bed.expect(200, "/v2/file/list", json!({"parent_file_id": folder, "status": "uploading"}));
    assert_eq!((page["items"].as_array().unwrap().len(), id(&page["items"][0])), (1, uploading.file_id));
}

#[test]
fn paths_lead_to_files() {
    let bed = Bed::new();
    let deep = bed.mkdir(&bed.mkdir("root", "a"), "b c");
    let file = bed.write(&deep, "d", b"");
    let by_path = |path: &str| bed.call("/v2/file/get_by_path", &json!({"drive_id": "1", "file_path": path}));
    assert_eq!(by_path("/a/b c/d").json()["file_id"], file["file_id"]);
    assert_eq!(by_path("/").json()["file_id"], "root");
    for missing in ["/a/x", "/x/b c/d", "/a/b c/d/e", "/a//b c", "/a/b c/D"] {
        assert_eq!(by_path(missing).error(), (404, "NotFound.File".into()), "{missing}");
    }
    assert_eq!(by_path("a").error(), (400, "InvalidParameter.FilePath".into()));
}

// 4.2, 19.3 rule 5
#[test]
fn the_three_name_modes() {
    let bed = Bed::new();
    let make = |name: &str, kind: &str, mode: &str| {
        let body = json!({"parent_file_id": "root", "name": name, "type": kind, "check_name_mode": mode});
        bed.expect(201, "/v2/file/create", body)
    };
    let first = bed.write("root", "a.b.txt", b"");
    let hit = make("a.b.txt", "folder", "refuse");
    assert_eq!((&hit["exist"], &hit["type"], id(&hit)), (&json!(true), &json!("file"), id(&first)));
    let renamed = make("a.b.txt", "folder", "auto_rename")["file_name"].as_str().unwrap().to_owned();
    let stamp = renamed.strip_prefix("a.b_").unwrap().strip_suffix(".txt").unwrap();
    assert!(stamp.len() == 15 && stamp.as_bytes()[8] == b'_', "{renamed}");
    let again = make("a.b.txt", "folder", "auto_rename")["file_name"].as_str().unwrap().to_owned();
    assert_ne!(again, renamed);
    assert_eq!(make("a.b.txt", "folder", "ignore")["file_name"], "a.b.txt");
    assert_eq!(make("A.B.TXT", "folder", "refuse")["file_name"], "A.B.TXT");
    let body =
        json!({"parent_file_id": "root", "name": "x", "type": "folder", "check_name_mode": "overwrite"});
    assert_eq!(bed.refused("/v2/file/create", body), (400, "InvalidParameter.CheckNameMode".into()));
    let body = json!({"parent_file_id": id(&first), "name": "x", "type": "folder"});
    assert_eq!(bed.refused("/v2/file/create", body), (400, "InvalidParameter.ParentFileId".into()));
}

#[test]
fn update_changes_fields_and_name_but_no_content() {
    let bed = Bed::new();
    let file = bed.write_as(
        json!({"parent_file_id": "root", "name": "a", "local_created_at": "2020-01-01T00:00:00Z"}),
        b"x",
    );
    bed.write("root", "taken", b"");
    bed.server.advance_clock(Duration::from_secs(1));
    let update = |extra: Value| {
        let mut body = json!({"drive_id": "1", "file_id": file["file_id"]});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        bed.call("/v2/file/update", &body)
    };
    let changed = update(
        json!({"name": "n.txt", "description": "text\0with nul", "starred": true, "labels": ["b", "a"],
        "local_modified_at": "2021-01-01T00:00:00.5Z", "local_created_at": "1999-01-01T00:00:00Z", "hidden": true}),
    );
    let changed = changed.json();
    for (field, value) in [
        ("name", json!("n.txt")),
        ("file_extension", json!("txt")),
        ("description", json!("text\0with nul")),
        ("starred", json!(true)),
        ("hidden", json!(true)),
        ("labels", json!(["b", "a"])),
        ("local_modified_at", json!("2021-01-01T00:00:00.5Z")),
        ("local_created_at", json!("2020-01-01T00:00:00Z")),
        ("revision_id", file["revision_id"].clone()),
        ("created_at", file["created_at"].clone()),
    ] {
        assert_eq!(changed[field], value, "{field}");
    }
    assert!(changed["updated_at"].as_str() > file["updated_at"].as_str());
    let hit = update(json!({"name": "taken", "check_name_mode": "refuse"})).json();
    assert_eq!((&hit["exist"], &hit["name"]), (&json!(true), &json!("taken")));
    assert_ne!(hit["file_id"], file["file_id"]);
    // Its own name is not taken.
    assert!(update(json!({"name": "n.txt", "check_name_mode": "refuse"})).json().get("exist").is_none());
    for (bad, code) in [
        (json!({"name": "a/b"}), "InvalidParameter.Name"),
        (json!({"labels": vec!["x"; 101]}), "InvalidParameter.Labels"),
        (json!({"labels": ["x".repeat(129)]}), "InvalidParameter.Labels"),
        (json!({"labels": "x"}), "InvalidParameter.Labels"),
        (json!({"description": "x".repeat(1025)}), "InvalidParameter.Description"),
        (json!({"hidden": 1}), "InvalidParameter.Hidden"),
    ] {
        assert_eq!(update(bad).error(), (400, code.into()));
    }
    assert_eq!(bed.refused("/v2/file/update", json!({"file_id": "root", "name": "x"})).0, 403);
}

#[test]
fn moving() {
    let bed = Bed::new();
    let (a, b) = (bed.mkdir("root", "a"), bed.mkdir("root", "b"));
    let inner = bed.mkdir(&a, "inner");
    let file = id(&bed.write(&inner, "f", b"x"));
    let taken = id(&bed.write(&b, "f", b"y"));
    let move_to = |id: &str, to: &str, extra: Value| {
        let mut body = json!({"drive_id": "1", "file_id": id, "to_parent_file_id": to});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        bed.call("/v2/file/move", &body)
    };
    for into in [&a, &inner] {
        assert_eq!(move_to(&a, into, json!({})).error(), (400, "InvalidParameter.ToParentFileId".into()));
    }
    let hit = move_to(&file, &b, json!({"check_name_mode": "refuse"})).json();
    assert_eq!((&hit["exist"], id(&hit)), (&json!(true), taken));
    let moved = move_to(&file, &b, json!({"new_name": "g", "check_name_mode": "refuse"})).json();
    assert_eq!(
        (&moved["exist"], &moved["file_name"], id(&moved)),
        (&json!(false), &json!("g"), file.clone())
    );
    assert_eq!(moved["async_task_id"], "");
    assert_eq!((bed.names(&inner), bed.names(&b)), (vec![], vec!["f".to_owned(), "g".into()]));
    assert_eq!(move_to(&inner, "root", json!({})).status, 200);
    assert_eq!(bed.file(&inner)["parent_file_id"], "root");
    let renamed = move_to(&file, &b, json!({"new_name": "f", "auto_rename": true})).json();
    assert!(renamed["file_name"].as_str().unwrap().starts_with("f_"));
    assert_eq!(move_to(&file, "nobody", json!({})).error().0, 404);
    assert_eq!(move_to(&file, &file, json!({})).error().0, 400);
    assert_eq!(move_to("root", &a, json!({})).error().0, 403);
}

#[test]
fn copying_moves_no_bytes() {
    let bed = Bed::new();
    let a = bed.mkdir("root", "a");
    let tags = json!([{"key": "k", "value": "v"}]);
    let file = bed.write_as(json!({"parent_file_id": a, "name": "f", "user_tags": tags}), b"content");
    bed.mkdir(&a, "sub");
    let before = super::uploads::blobs(&bed);
    let copy = bed.expect(
        201,
        "/v2/file/copy",
        json!({"file_id": id(&file), "to_parent_file_id": "root", "new_name": "g"}),
    );
    assert_ne!(copy["file_id"], file["file_id"]);
    let copied = bed.file(&id(&copy));
    assert_eq!((&copied["name"], &copied["content_hash"]), (&json!("g"), &file["content_hash"]));
    assert_ne!(copied["revision_id"], file["revision_id"]);
    assert_eq!(copied["user_tags"], json!({"k": "v"}));
    let tree = bed.expect(
        201,
        "/v2/file/copy",
        json!({"file_id": a, "to_parent_file_id": "root", "auto_rename": true}),
    );
    assert_eq!(bed.names(&id(&tree)), ["f", "sub"]);
    let below = json!({"file_id": a, "to_parent_file_id": a});
    assert_eq!(bed.refused("/v2/file/copy", below), (400, "InvalidParameter.ToParentFileId".into()));
    assert_eq!(super::uploads::blobs(&bed), before);
    bed.expect(204, "/v2/file/delete", json!({"file_id": id(&file)}));
    assert_eq!(bed.read(&id(&copy)), b"content");
}

// 10.5, 19.3 rule 14
#[test]
fn the_recycle_bin() {
    let bed = Bed::new();
    let folder = bed.mkdir("root", "f");
    let file = id(&bed.write(&folder, "a", b"x"));
    let full = json!({"file_id": folder, "check_folder_empty": true});
    assert_eq!(bed.refused("/v2/recyclebin/trash", full).0, 409);
    bed.expect(204, "/v2/recyclebin/trash", json!({"file_id": folder}));
    let code = (403, "ForbiddenFileInTheRecycleBin".to_owned());
    assert_eq!(bed.names("root"), [""; 0]);
    assert_eq!(bed.refused("/v2/file/list", json!({"parent_file_id": folder})), code);
    assert_eq!(bed.refused("/v2/recyclebin/trash", json!({"file_id": folder})), code);
    assert_eq!(bed.refused("/v2/file/update", json!({"file_id": file, "name": "b"})), code);
    let create = json!({"parent_file_id": folder, "name": "b", "type": "file"});
    assert_eq!(bed.refused("/v2/file/create", create), code);
    assert_eq!((&bed.file(&file)["trashed"], &bed.file(&folder)["trashed"]), (&json!(true), &json!(true)));
    let bin = bed.expect(200, "/v2/recyclebin/list", json!({}));
    assert_eq!(bin["items"].as_array().unwrap().len(), 1);
    assert_eq!(id(&bin["items"][0]), folder);
    assert!(bin["items"][0]["auto_delete_left_sec"].as_i64().unwrap() > 0);
    bed.expect(204, "/v2/recyclebin/restore", json!({"file_id": folder}));
    assert_eq!((bed.names("root"), bed.names(&folder)), (vec!["f".to_owned()], vec!["a".to_owned()]));
    assert_eq!(bed.refused("/v2/recyclebin/restore", json!({"file_id": folder})).0, 404);
}

#[test]
fn restoring_when_the_old_place_is_gone() {
    let bed = Bed::new();
    let folder = bed.mkdir(&bed.mkdir("root", "outer"), "f");
    let (one, two) = (id(&bed.write(&folder, "one", b"1")), id(&bed.write(&folder, "two", b"2")));
    for file in [&one, &two, &folder] {
        bed.expect(204, "/v2/recyclebin/trash", json!({"file_id": file}));
    }
    // Its folder is in the bin: a folder of that name is made.
    bed.expect(204, "/v2/recyclebin/restore", json!({"file_id": one}));
    let path = json!({"file_path": "/outer/f/one"});
    assert_eq!(id(&bed.expect(200, "/v2/file/get_by_path", path)), one);
    bed.expect(204, "/v2/file/delete", json!({"file_id": folder}));
    // Its folder is gone for good: the root takes it.
    bed.expect(204, "/v2/recyclebin/restore", json!({"file_id": two}));
    let path = json!({"file_path": "/two"});
    assert_eq!(id(&bed.expect(200, "/v2/file/get_by_path", path)), two);
}

#[test]
fn deleting_is_for_good() {
    let bed = Bed::new();
    let folder = bed.mkdir("root", "f");
    let file = id(&bed.write(&folder, "a", b"x"));
    let full = json!({"file_id": folder, "check_folder_empty": true});
    assert_eq!(bed.refused("/v2/file/delete", full).0, 409);
    bed.expect(204, "/v2/file/delete", json!({"file_id": folder, "permanently": true}));
    for gone in [&folder, &file] {
        assert_eq!(bed.refused("/v2/file/get", json!({"file_id": gone})), (404, "NotFound.FileId".into()));
    }
    assert_eq!(bed.expect(200, "/v2/drive/get", json!({}))["used_size"], 0);
    assert_eq!(bed.refused("/v2/file/delete", json!({"file_id": "root"})).0, 403);
    bed.server.advance_clock(Duration::ZERO);
    assert_eq!(super::uploads::blobs(&bed), 0);
}

#[test]
fn the_bin_empties_itself_and_on_request() {
    let bed = Bed::with(|options| options.recycle_secs = 100);
    let trash = |name: &str| {
        let file = id(&bed.write("root", name, name.as_bytes()));
        bed.expect(204, "/v2/recyclebin/trash", json!({"file_id": file}));
    };
    let binned = || bed.expect(200, "/v2/recyclebin/list", json!({}))["items"].as_array().unwrap().len();
    trash("a");
    bed.server.advance_clock(Duration::from_secs(60));
    trash("b");
    assert_eq!(binned(), 2);
    bed.server.advance_clock(Duration::from_secs(60));
    assert_eq!(binned(), 1);
    let cleared = bed.finish(&bed.expect(202, "/v2/recyclebin/clear", json!({})));
    assert_eq!((&cleared["state"], binned()), (&json!("Succeed"), 0));
}

#[test]
fn uploads_into_a_folder_that_goes_away_fail() {
    let bed = Bed::new();
    let folder = bed.mkdir("root", "f");
    let upload = bed.create(&folder, "a", 1);
    assert_eq!(bed.put(&upload.urls[0], &[], b"x").status, 200);
    bed.expect(204, "/v2/recyclebin/trash", json!({"file_id": folder}));
    assert_eq!(bed.refused("/v2/file/complete", upload.body()).0, 403);
    bed.expect(204, "/v2/recyclebin/restore", json!({"file_id": folder}));
    bed.expect(200, "/v2/file/complete", upload.body());
    let late = bed.create(&folder, "b", 1);
    assert_eq!(bed.put(&late.urls[0], &[], b"x").status, 200);
    bed.expect(204, "/v2/file/delete", json!({"file_id": folder}));
    assert_eq!(bed.refused("/v2/file/complete", late.body()), (404, "NotFound.ParentFileId".into()));
}

// 10.6
#[test]
fn tags_merge_and_go() {
    let bed = Bed::new();
    let folder = bed.mkdir("root", "f");
    let put = |tags: Value| {
        bed.call("/v2/file/put_usertags", &json!({"drive_id": "1", "file_id": folder, "user_tags": tags}))
    };
    assert_eq!(
        put(json!([{"key": "a", "value": "1"}, {"key": "b", "value": "\n\"é\""}])).json(),
        json!({"file_id": folder})
    );
    put(json!([{"key": "a", "value": "2"}, {"key": "c"}]));
    let tags = || bed.expect(200, "/v2/file/get", json!({"file_id": folder}))["user_tags"].clone();
    assert_eq!(tags(), json!({"a": "2", "b": "\n\"é\"", "c": ""}));
    bed.expect(204, "/v2/file/delete_usertags", json!({"file_id": folder, "key_list": ["a", "nothing"]}));
    assert_eq!(tags(), json!({"b": "\n\"é\"", "c": ""}));
    for bad in
        [json!([]), json!([{"key": "a#b", "value": ""}]), json!([{"key": "a", "value": "x".repeat(2000)}])]
    {
        assert_eq!(put(bad).status, 400);
    }
    let many: Vec<Value> = (0..999).map(|n| json!({"key": n.to_string(), "value": ""})).collect();
    assert_eq!(put(json!(many)).error(), (400, "InvalidParameter.UserTags".into()));
}

// 11, 19.3 rule 13
#[test]
fn the_feed_tells_each_change_once() {
    let bed = Bed::new();
    let start = bed.expect(200, "/v2/file/get_last_cursor", json!({}))["cursor"].clone();
    let folder = bed.mkdir("root", "f");
    let file = id(&bed.write(&folder, "a", b"1"));
    bed.write_as(json!({"parent_file_id": folder, "name": "a", "file_id": file}), b"2");
    bed.expect(200, "/v2/file/update", json!({"file_id": file, "name": "b"}));
    bed.expect(200, "/v2/file/update", json!({"file_id": file, "starred": true}));
    bed.expect(200, "/v2/file/move", json!({"file_id": file, "to_parent_file_id": "root"}));
    bed.expect(204, "/v2/recyclebin/trash", json!({"file_id": folder}));
    bed.expect(204, "/v2/recyclebin/restore", json!({"file_id": folder}));
    bed.expect(204, "/v2/file/delete", json!({"file_id": folder}));
    let mut items = Vec::new();
    let mut cursor = start.clone();
    loop {
        let page = bed.expect(200, "/v2/file/list_delta", json!({"cursor": cursor, "limit": 4}));
        items.extend(page["items"].as_array().unwrap().clone());
        cursor = page["cursor"].clone();
        if page["has_more"] == false {
            break;
        }
    }
    let told: Vec<(String, String)> =
        items.iter().map(|item| (item["op"].as_str().unwrap().to_owned(), id(item))).collect();
    let expected = [
        ("create", &folder),
        ("create", &file),
        ("overwrite", &file),
        ("rename", &file),
        ("update", &file),
        ("move", &file),
        ("trash", &folder),
        ("restore", &folder),
        ("delete", &folder),
    ]
    .map(|(op, id)| (op.to_owned(), id.clone()));
    assert_eq!(told, expected);
    assert_eq!(items[3]["file"]["name"], "b");
    let moved = &items[5]["file"];
    assert_eq!((&moved["src_parent_file_id"], &moved["parent_file_id"]), (&json!(folder), &json!("root")));
    let again = bed.expect(200, "/v2/file/list_delta", json!({"cursor": cursor}));
    assert_eq!((&again["items"], &again["cursor"], &again["has_more"]), (&json!([]), &cursor, &json!(false)));
    let all = bed.expect(200, "/v2/file/list_delta", json!({}));
    assert_eq!(all["items"].as_array().unwrap().len(), expected.len());
    let other = Bed::new().expect(200, "/v2/file/get_last_cursor", json!({}))["cursor"].clone();
    for bad in [json!("x"), json!("NWQ1Yjk4"), other] {
        let refused = bed.refused("/v2/file/list_delta", json!({"cursor": bad}));
        assert_eq!(refused, (404, "NotFound.Cursor".into()));
    }
}
