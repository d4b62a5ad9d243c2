//! Search, scan, walk, lists by a client's key, the check before create (9.3 to 9.9).

use std::time::Duration;

use serde_json::{Value, json};

use super::server_support::{Bed, id};

fn names(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap();
    items.iter().map(|file| file["name"].as_str().unwrap().to_owned()).collect()
}

/// Every page of a list; gives the names.
fn all(bed: &Bed, path: &str, mut body: Value) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let page = bed.expect(200, path, body.clone());
        found.extend(names(&page));
        assert!(found.len() < 1000, "an endless list");
        match page["next_marker"].as_str().unwrap() {
            "" => return found,
            marker => body["marker"] = marker.into(),
        }
    }
}

struct Drive {
    bed: Bed,
    photos: String,
    deep: String,
}

/// `/photos/{a.jpg,B.JPG}`, `/photos/deep/{c.mp4,it's "é" 100%.txt}`, `/d.tar.gz`, `/noext`, one minute apart
/// from 2026 on, as far as the server's clock goes.
fn drive() -> Drive {
    let bed = Bed::new();
    let photos = bed.mkdir("root", "photos");
    let deep = bed.mkdir(&photos, "deep");
    for (parent, name, size, extra) in [
        (
            photos.as_str(),
            "a.jpg",
            3000,
            json!({"description": "Sunset at the beach", "labels": ["sea", "red"]}),
        ),
        (&photos, "B.JPG", 10, json!({"hidden": true, "custom_field_1": "x"})),
        (&deep, "c.mp4", 2000, json!({"user_tags": [{"key": "k", "value": "v"}, {"key": "other"}]})),
        (&deep, "it's \"é\" 100%.txt", 5, json!({"local_modified_at": "2020-05-05T00:00:00Z"})),
        ("root", "d.tar.gz", 2000, json!({"user_tags": [{"key": "k", "value": "w"}]})),
        ("root", "noext", 0, json!({"custom_index_key": "starred_yes"})),
    ] {
        let mut body = extra;
        body["parent_file_id"] = parent.into();
        body["name"] = name.into();
        bed.write_as(body, &vec![7; size]);
        bed.server.advance_clock(Duration::from_secs(60));
    }
    Drive { bed, photos, deep }
}

impl Drive {
    fn search(&self, query: &str) -> Vec<String> {
        all(&self.bed, "/v2/file/search", json!({"query": query, "order_by": "name ASC"}))
    }
}

#[test]
fn every_field_and_operator_finds_what_it_should() {
    let drive = drive();
    let txt = "it's \"é\" 100%.txt";
    for (query, found) in [
        ("name = 'a.jpg'", &["a.jpg"][..]),
        ("name = 'A.jpg'", &[]),
        (r#"name = "it's \"é\" 100%.txt""#, &[txt]),
        ("name prefix 'd'", &["d.tar.gz", "deep"]),
        ("name prefix ''", &["B.JPG", "a.jpg", "c.mp4", "d.tar.gz", "deep", txt, "noext", "photos"]),
        ("name match 'jpg'", &["B.JPG", "a.jpg"]),
        ("name match 'TAR gz'", &["d.tar.gz"]),
        ("name match '100%'", &[txt]),
        ("name match '%'", &[txt]),
        ("name match '_'", &[]),
        ("description match 'SUN beach'", &["a.jpg"]),
        ("description match 'sun mountain'", &[]),
        ("type = 'folder'", &["deep", "photos"]),
        ("category = 'image'", &["B.JPG", "a.jpg"]),
        ("category in ['video', 'zip']", &["c.mp4", "d.tar.gz"]),
        ("file_extension = 'jpg'", &["B.JPG", "a.jpg"]),
        ("file_extension in ['gz','mp4']", &["c.mp4", "d.tar.gz"]),
        ("file_extension = '' and type = 'file'", &["noext"]),
        ("size > 2000", &["a.jpg"]),
        ("size >= 2000 and size <= 2000", &["c.mp4", "d.tar.gz"]),
        ("size < 10 and type = 'file'", &[txt, "noext"]),
        ("size in [10, 5]", &["B.JPG", txt]),
        ("hidden = true", &["B.JPG"]),
        ("starred = true", &[]),
        ("status = 'uploading'", &[]),
        ("labels = 'sea'", &["a.jpg"]),
        ("labels in ['blue', 'red']", &["a.jpg"]),
        ("not labels = 'sea' and category = 'image'", &["B.JPG"]),
        ("user_tags = 'k'", &["c.mp4", "d.tar.gz"]),
        ("user_tags = 'k#w'", &["d.tar.gz"]),
        ("user_tags in ['k#v', 'k#w']", &["c.mp4", "d.tar.gz"]),
        ("user_tags.k = 'v'", &["c.mp4"]),
        ("user_tags.other = ''", &["c.mp4"]),
        ("custom_field_1 = 'x'", &["B.JPG"]),
        ("local_modified_at < '2021-01-01T00:00:00' and local_modified_at > '2020-01-01T00:00:00'", &[txt]),
        ("created_at < '2019-01-14T00:00:00'", &[]),
        ("updated_at > '2019-01-14T00:00:00' and name = 'noext'", &["noext"]),
        ("size > 1024 and hidden = false and not file_extension = 'mp4'", &["a.jpg", "d.tar.gz"]),
        ("name='a.jpg' or name='noext' and size=1", &["a.jpg"]),
        ("(name='a.jpg' or name='noext') and size=0", &["noext"]),
        ("content_hash = 'da39a3ee5e6b4b0d3255bfef95601890afd80709'", &["noext"]),
        ("parent_file_id = 'root'", &["d.tar.gz", "noext", "photos"]),
        ("parent_file_id = 'nobody'", &[]),
    ] {
        assert_eq!(drive.search(query), found, "{query}");
    }
    let below = |folder: &str, recursive: bool| {
        let query = format!("parent_file_id = '{folder}' and type = 'file'");
        let body = json!({"query": query, "recursive": recursive, "order_by": "name"});
        all(&drive.bed, "/v2/file/search", body)
    };
    assert_eq!(below(&drive.photos, false), ["B.JPG", "a.jpg"]);
    assert_eq!(below(&drive.photos, true), ["B.JPG", "a.jpg", "c.mp4", txt]);
    assert_eq!(below(&drive.deep, true), ["c.mp4", txt]);
    assert_eq!(below("root", true).len(), 6);
}

#[test]
fn a_long_query_is_no_deep_one() {
    let drive = drive();
    let long = vec!["size=1"; 400].join(" or ") + " or size=3000";
    assert_eq!(drive.search(&long), ["a.jpg"]);
    let many: Vec<String> = (0..800).map(|n| n.to_string()).collect();
    let query = format!("size in [{}]", many.join(","));
    assert_eq!(drive.search(&query), ["B.JPG", "deep", "it's \"é\" 100%.txt", "noext", "photos"]);
    let nested = format!("{}size=3000{}", "(".repeat(99), ")".repeat(99));
    assert_eq!(drive.search(&nested), ["a.jpg"]);
}

#[test]
fn pages_have_an_order_a_marker_and_a_count() {
    let drive = drive();
    let by_created =
        ["photos", "deep", "a.jpg", "B.JPG", "c.mp4", "it's \"é\" 100%.txt", "d.tar.gz", "noext"];
    for limit in [1, 3, 100] {
        let pages = |order: &str| {
            all(
                &drive.bed,
                "/v2/file/search",
                json!({"query": "size >= 0", "order_by": order, "limit": limit}),
            )
        };
        assert_eq!(pages(""), by_created);
        let reversed: Vec<&str> = by_created.iter().rev().copied().collect();
        assert_eq!(pages("created_at DESC"), reversed);
        assert_eq!(
            pages("type desc, size DESC, name ASC"),
            ["deep", "photos", "a.jpg", "c.mp4", "d.tar.gz", "B.JPG", "it's \"é\" 100%.txt", "noext"]
        );
        assert_eq!(pages("image_overall_score DESC, custom_field_1 DESC, name").first().unwrap(), "B.JPG");
    }
    let first = drive.bed.expect(
        200,
        "/v2/file/search",
        json!({"query": "type = 'file'", "order_by": "name", "limit": 2, "return_total_count": true}),
    );
    assert_eq!((names(&first), &first["total_count"]), (vec!["B.JPG".to_owned(), "a.jpg".into()], &json!(6)));
    // With a marker, the query of the request is ignored; files that come or go elsewhere change nothing.
    drive.bed.write("root", "a.first", b"");
    let marker = &first["next_marker"];
    let second = drive.bed.expect(200, "/v2/file/search", json!({"query": "nonsense", "marker": marker}));
    assert_eq!(names(&second)[..2], ["c.mp4", "d.tar.gz"]);
    assert!(second.get("total_count").is_none());
    for (body, code) in [
        (json!({}), "InvalidParameterMissing.Query"),
        (json!({"query": ""}), "InvalidParameterEmpty.Query"),
        (json!({"query": 7}), "InvalidParameter.Query"),
        (json!({"query": " "}), "InvalidParameter.Query"),
        (json!({"query": format!("name = '{}'", "x".repeat(4096))}), "InvalidParameter.Query"),
        (json!({"query": "size = 1", "limit": 101}), "InvalidParameter.Limit"),
        (json!({"query": "size = 1", "order_by": "colour"}), "InvalidParameter.OrderBy"),
        (json!({"query": "size = 1", "order_by": "name ".repeat(30)}), "InvalidParameter.OrderBy"),
        (json!({"query": "size = 1", "marker": "x"}), "InvalidParameter.Marker"),
        (json!({"query": "size = 1", "recursive": "yes"}), "InvalidParameter.Recursive"),
        (json!({"query": "size = 1", "drive_id_list": ["7"], "drive_id": null}), "NotFound.DriveId"),
    ] {
        let mut body = body;
        if body.get("drive_id").is_none() {
            body["drive_id"] = "1".into();
        }
        assert_eq!(drive.bed.call("/v2/file/search", &body).error().1, code, "{body:.60}");
    }
    let listed = json!({"query": "size = 10", "drive_id_list": ["1", "1"]});
    assert_eq!(names(&drive.bed.call("/v2/file/search", &listed).json()), ["B.JPG"]);
}

#[test]
fn mistakes_in_a_query_are_shown_by_column() {
    let bed = Bed::new();
    let answer = bed.call("/v2/file/search", &json!({"drive_id": "1", "query": "size > 1 and nmae = 'é'"}));
    assert_eq!(answer.error(), (400, "InvalidParameter.Query".into()));
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("Column 14: there is no field `nmae`."), "{message}");
}

#[test]
fn fields_and_the_bin() {
    let drive = drive();
    let search = |query: &str| {
        drive.bed.expect(
            200,
            "/v2/file/search",
            json!({"query": query, "fields": "id_path,name_path,dir_size"}),
        )
    };
    let found = search("name = 'c.mp4'")["items"][0].clone();
    assert_eq!(found["name_path"], "/photos/deep/c.mp4");
    assert_eq!(found["id_path"], format!("root/{}/{}/{}", drive.photos, drive.deep, id(&found)));
    let folder = search("name = 'photos'")["items"][0].clone();
    assert_eq!(folder["dir_size_info"], json!({"dir_count": 1, "file_count": 4}));
    assert_eq!(folder["size"], 5015);
    let bin = |query: &str| {
        let mut found = names(&drive.bed.call("/v2/recyclebin/search_all", &json!({"query": query})).json());
        found.sort();
        found
    };
    assert_eq!(bin(""), [""; 0]);
    drive.bed.expect(204, "/v2/recyclebin/trash", json!({"file_id": drive.deep}));
    let noext = id(&search("name = 'noext'")["items"][0]);
    drive.bed.expect(204, "/v2/recyclebin/trash", json!({"file_id": noext}));
    assert_eq!(drive.search("size >= 0"), ["B.JPG", "a.jpg", "d.tar.gz", "photos"]);
    assert_eq!(drive.search(&format!("parent_file_id = '{}'", drive.deep)), [""; 0]);
    assert_eq!(bin(""), ["deep", "noext"]);
    assert_eq!(bin("type = 'folder'"), ["deep"]);
    let refused = drive.bed.call("/v2/recyclebin/search_all", &json!({"query": "x"}));
    assert_eq!(refused.error(), (400, "InvalidParameter.Query".into()));
}

#[test]
fn a_scan_tells_the_whole_drive_once() {
    let drive = drive();
    let scan = |body: Value| drive.bed.expect(200, "/v2/file/scan", body);
    let first = scan(json!({"limit": 3}));
    let item = first["items"][0].as_object().unwrap();
    assert!(item.contains_key("file_id") && item.contains_key("size") | (item["type"] == "folder"));
    assert!(!item.contains_key("name") && !item.contains_key("revision_id"), "{item:?}");
    let mut found = all(&drive.bed, "/v2/file/scan", json!({"limit": 3, "fields": "*"}));
    found.sort();
    let mut whole = drive.search("size >= 0");
    whole.sort();
    assert_eq!(found, whole);
    assert_eq!(all(&drive.bed, "/v2/file/scan", json!({"category": "video", "fields": "name"})), ["c.mp4"]);
    let named = scan(json!({"fields": "name,url", "category": "video"}));
    assert!(named["items"][0].get("download_url").is_some() && named["items"][0].get("user_tags").is_none());
    let marker = json!({"marker": first["next_marker"], "category": "image"});
    assert_eq!(drive.bed.refused("/v2/file/scan", marker), (400, "InvalidParameter.Marker".into()));
    assert_eq!(
        drive.bed.refused("/v2/file/scan", json!({"limit": 201})),
        (400, "InvalidParameter.Limit".into())
    );
    drive.bed.expect(204, "/v2/recyclebin/trash", json!({"file_id": drive.photos}));
    assert_eq!(scan(json!({}))["items"].as_array().unwrap().len(), 2);
}

#[test]
fn a_walk_goes_below() {
    let drive = drive();
    let walk = |extra: Value| {
        let mut body = json!({"parent_file_id": drive.photos, "order_by": "name", "limit": 2});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        all(&drive.bed, "/v2/file/walk", body)
    };
    let txt = "it's \"é\" 100%.txt";
    assert_eq!(walk(json!({})), ["B.JPG", "a.jpg", "c.mp4", "deep", txt]);
    assert_eq!(walk(json!({"type": "file", "category": "video"})), ["c.mp4"]);
    assert_eq!(walk(json!({"before_updated_at": "2001-01-01T00:00:00Z"})), [""; 0]);
    let late = json!({"parent_file_id": drive.photos, "before_updated_at": "yesterday"});
    assert_eq!(
        drive.bed.refused("/v2/file/walk", late),
        (400, "InvalidParameterWrongFormat.BeforeUpdatedAt".into())
    );
    drive.bed.expect(204, "/v2/recyclebin/trash", json!({"file_id": drive.deep}));
    assert_eq!(walk(json!({})), ["B.JPG", "a.jpg"]);
    assert_eq!(drive.bed.refused("/v2/file/walk", json!({"parent_file_id": drive.deep})).0, 403);
}

#[test]
fn lists_by_a_key_of_the_client() {
    let drive = drive();
    let list = || {
        let body = json!({"custom_index_key": "starred_yes", "order_by": "name", "limit": 1});
        all(&drive.bed, "/v2/file/list_by_custom_index_key", body)
    };
    assert_eq!(list(), ["noext"]);
    for key in [json!("starred_yes"), json!("")] {
        let expected = if key == "" { vec!["noext"] } else { vec!["deep", "noext"] };
        let body = json!({"file_id": drive.deep, "custom_index_key": key});
        drive.bed.expect(200, "/v2/file/update", body);
        assert_eq!(list(), expected);
    }
    assert_eq!(
        drive.bed.refused("/v2/file/list_by_custom_index_key", json!({})),
        (400, "InvalidParameterMissing.CustomIndexKey".into())
    );
}

#[test]
fn a_name_can_be_checked_before_it_is_used() {
    let drive = drive();
    let check = |name: &str, kind: &str| {
        let body = json!({"parent_file_id": drive.photos, "name": name, "type": kind});
        drive.bed.expect(200, "/v2/file/pre_create_check", body)
    };
    assert_eq!(check("new", "file"), json!({"result_code": "success"}));
    for kind in ["file", "folder"] {
        let hit = check("deep", kind);
        assert_eq!(hit["result_code"], "NameCheckFailed.ExistSameNameFile");
        let result = json!({"exist_file_id": drive.deep, "exist_file_type": "folder"});
        assert_eq!(hit["name_check_result"], result);
    }
    for (body, code) in [
        (json!({"parent_file_id": "root", "name": "a/b", "type": "file"}), "InvalidParameter.Name"),
        (json!({"parent_file_id": "root", "name": "a"}), "InvalidParameterMissing.Type"),
        (json!({"parent_file_id": "root", "name": "a", "type": "link"}), "InvalidParameter.Type"),
        (json!({"parent_file_id": "x", "name": "a", "type": "file"}), "NotFound.FileId"),
    ] {
        assert_eq!(drive.bed.refused("/v2/file/pre_create_check", body).1, code);
    }
}

#[test]
fn unfinished_uploads_are_listed_in_pages() {
    let bed = Bed::new();
    for name in ["a", "b", "c"] {
        bed.create("root", name, 1);
    }
    let body = json!({"parent_file_id": "root", "status": "uploading", "limit": 2});
    let mut found = all(&bed, "/v2/file/list", body);
    found.sort();
    assert_eq!(found, ["a", "b", "c"]);
    bed.server.advance_clock(Duration::from_secs(10 * 24 * 3600 + 1));
    let body = json!({"parent_file_id": "root", "status": "uploading"});
    assert_eq!(names(&bed.expect(200, "/v2/file/list", body)), [""; 0]);
}

#[test]
fn a_file_is_shown_as_an_older_revision_has_it() {
    let bed = Bed::new();
    let first = bed.write("root", "a", b"one");
    bed.write_as(json!({"parent_file_id": "root", "name": "a", "file_id": id(&first)}), b"other");
    let body = json!({"file_id": id(&first), "revision_id": first["revision_id"]});
    let old = bed.expect(200, "/v2/file/get", body);
    assert_eq!((&old["size"], &old["content_hash"]), (&json!(3), &first["content_hash"]));
    let body = json!({"file_id": id(&first), "revision_id": "nobody"});
    assert_eq!(bed.refused("/v2/file/get", body), (404, "NotFound.RevisionId".into()));
}
