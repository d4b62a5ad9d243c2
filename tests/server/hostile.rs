//! Every endpoint against clients that send what they should not: wrong types, nothing, too much. Whatever comes,
//! the answer is the service's kind of error or a success, never a failure of the server.

use serde_json::{Value, json};

use super::server_support::{Bed, id, send};

/// Values no field of any endpoint expects all of.
fn odd_values() -> Vec<Value> {
    vec![
        json!(0),
        json!(-1),
        json!(u64::MAX),
        json!(""),
        json!("x"),
        json!("99999999999999999999"),
        json!("' OR 1=1 --"),
        json!("\u{0}"),
        json!("\u{202e}\u{feff}😀"),
        json!("x".repeat(5000)),
        json!([]),
        json!([7, "x", {}]),
        json!({}),
        json!({"file_id": {"file_id": []}}),
        json!([{"part_number": {}, "key": [], "value": {}, "id": null, "parallel_sha1_ctx": {"h": "x"}}]),
    ]
}

/// A good body of each endpoint for files; made anew for each try, since many change what is there.
fn bodies(bed: &Bed) -> Vec<(&'static str, Value)> {
    let folder = bed.mkdir("root", &format!("d{}", bed.names("root").len()));
    let file = bed.write(&folder, "f.txt", b"bytes");
    let (revision, file) = (file["revision_id"].clone(), id(&file));
    let upload = bed.create(&folder, "upload", 1);
    let tags = json!([{"key": "k", "value": "v"}]);
    let of_file = || json!({"drive_id": "1", "file_id": file});
    let with = |mut body: Value, extra: Value| {
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    let of_revision = || with(of_file(), json!({"revision_id": revision}));
    let of_upload = || json!({"drive_id": "1", "file_id": upload.file_id, "upload_id": upload.upload_id});
    let parts = json!([{"part_number": 1, "content_type": "", "content_md5": "", "etag": ""}]);
    let listed = json!({"drive_id": "1", "parent_file_id": folder, "limit": 10, "marker": "", "fields": "*",
        "order_by": "name", "order_direction": "ASC", "type": "file", "category": "doc", "starred": false,
        "status": "available", "url_expire_sec": 900, "before_updated_at": "2100-01-01T00:00:00Z",
        "thumbnail_processes": {}});
    let created = json!({"drive_id": "1", "parent_file_id": folder, "name": "n", "type": "file", "size": 5,
        "check_name_mode": "ignore", "file_id": "", "content_type": "text/plain", "part_info_list": parts,
        "parallel_upload": false, "pre_hash": "", "content_hash": "", "content_hash_name": "sha1",
        "description": "", "hidden": false, "user_tags": tags, "local_created_at": "", "labels": ["l"],
        "local_modified_at": "2020-01-01T00:00:00.000Z", "user_meta": "", "upload_type": "",
        "image_media_metadata": {}, "video_media_metadata": {}, "proof_version": "v1", "proof_code": ""});
    let batched = json!({"resource": "file", "requests": [
        {"id": "1", "method": "POST", "url": "/file/get", "headers": {}, "body": of_file()}]});
    vec![
        ("file/create", created.clone()),
        ("file/create_with_proof", created.clone()),
        ("file/create", with(created, json!({"type": "folder"}))),
        ("file/get_upload_url", with(of_upload(), json!({"part_info_list": parts}))),
        ("file/list_uploaded_parts", with(of_upload(), json!({"limit": 10, "part_number_marker": 0}))),
        ("file/complete", with(of_upload(), json!({"crc64_hash": "0", "part_info_list": []}))),
        (
            "file/get",
            with(
                of_file(),
                json!({"fields": "*", "url_expire_sec": 900, "revision_id": "",
            "thumbnail_processes": {"a": {"image_thumbnail_process": "image/resize,w_1"}},
            "image_thumbnail_process": "", "video_thumbnail_process": "", "image_url_process": ""}),
            ),
        ),
        ("file/get_by_path", json!({"drive_id": "1", "file_path": "/", "fields": "", "url_expire_sec": 900})),
        ("file/list", listed.clone()),
        ("file/walk", listed.clone()),
        ("file/scan", listed.clone()),
        ("file/list_by_custom_index_key", with(listed, json!({"custom_index_key": "k"}))),
        (
            "file/pre_create_check",
            json!({"drive_id": "1", "parent_file_id": folder, "name": "n", "type": "file"}),
        ),
        (
            "file/search",
            json!({"drive_id": "1", "query": "name = 'f'", "order_by": "name DESC", "limit": 10,
            "marker": "", "recursive": false, "return_total_count": true, "fields": "*"}),
        ),
        (
            "file/update",
            with(
                of_file(),
                json!({"name": "new", "check_name_mode": "refuse", "description": "",
            "hidden": false, "starred": true, "labels": ["l"], "local_modified_at": "",
            "custom_index_key": "", "custom_field_1": "", "user_meta": "", "category": "doc",
            "mime_type": "a/b", "ex_fields_info": {"k": 1}}),
            ),
        ),
        (
            "file/move",
            with(
                of_file(),
                json!({"to_parent_file_id": "root", "check_name_mode": "auto_rename",
            "new_name": "m", "auto_rename": true, "to_drive_id": "1"}),
            ),
        ),
        (
            "file/copy",
            with(
                of_file(),
                json!({"to_parent_file_id": "root", "to_drive_id": "1",
            "auto_rename": true, "new_name": "c"}),
            ),
        ),
        ("file/put_usertags", with(of_file(), json!({"user_tags": tags}))),
        ("file/delete_usertags", with(of_file(), json!({"key_list": ["k"]}))),
        ("file/get_last_cursor", json!({"drive_id": "1", "sync_root_id": folder})),
        ("file/list_delta", json!({"drive_id": "1", "cursor": "", "limit": 10, "sync_root_id": folder})),
        (
            "file/get_download_url",
            with(
                of_file(),
                json!({"expire_sec": 900, "file_name": "d",
            "revision_id": revision, "response_content_type": "text/plain"}),
            ),
        ),
        ("file/archive_files", json!({"drive_id": "1", "files": [{"file_id": file}], "name": "z"})),
        ("file/revision/list", with(of_file(), json!({"limit": 10, "marker": "", "fields": "*"}))),
        ("file/revision/get", with(of_revision(), json!({"url_expire_sec": 900, "fields": "*"}))),
        (
            "file/revision/update",
            with(of_revision(), json!({"keep_forever": true, "revision_description": "d"})),
        ),
        ("file/revision/restore", of_revision()),
        ("file/revision/delete", of_revision()),
        ("recyclebin/list", json!({"drive_id": "1", "limit": 10, "marker": "", "fields": "*"})),
        (
            "recyclebin/search_all",
            json!({"query": "name = 'f'", "order_by": "name", "limit": 10, "marker": ""}),
        ),
        ("async_task/get", json!({"async_task_id": "x"})),
        ("batch", batched),
        ("recyclebin/trash", with(of_file(), json!({"check_folder_empty": false}))),
        ("recyclebin/restore", of_file()),
        ("file/delete", with(of_file(), json!({"permanently": true, "check_folder_empty": false}))),
    ]
}

/// What may be answered: an API error in JSON, or a success.
fn check(bed: &Bed, path: &str, body: &Value, told: &str) {
    let answer = bed.call(&format!("/v2/{path}"), body);
    assert!(answer.status < 500, "{path} with {told}: {}", answer.text());
    if answer.status >= 400 {
        let (status, code) = answer.error();
        let message = answer.json()["message"].as_str().unwrap_or_default().to_owned();
        assert!(!code.is_empty() && !message.is_empty(), "{path} with {told}: {status} without words");
        assert!(!message.contains("SELECT") && message.len() < 7000, "{path} with {told}: {message}");
    }
    assert_eq!(answer.header("x-ca-request-id").len(), 32, "{path} with {told}");
}

#[test]
fn good_bodies_are_good() {
    let bed = Bed::new();
    for (path, body) in bodies(&bed) {
        let answer = bed.call(&format!("/v2/{path}"), &body);
        let expected: &[u16] = match path {
            // Nothing was uploaded; the only revision; not a task.
            "file/complete" | "file/revision/restore" | "file/revision/delete" => &[400],
            "async_task/get" => &[404],
            // What was asked for before moved it, or trashed it.
            _ => &[200, 201, 202, 204],
        };
        assert!(expected.contains(&answer.status), "{path}: {} {}", answer.status, answer.text());
    }
}

#[test]
fn odd_values_get_a_clear_answer() {
    let bed = Bed::new();
    let odd = odd_values();
    for (path, good) in bodies(&bed) {
        for field in good.as_object().unwrap().keys() {
            for value in &odd {
                let mut body = good.clone();
                body[field] = value.clone();
                check(&bed, path, &body, &format!("{field} = {value:.40}"));
            }
            let mut body = good.clone();
            body.as_object_mut().unwrap().remove(field);
            check(&bed, path, &body, &format!("no {field}"));
        }
        let mut body = good.clone();
        body["nobody_knows_this"] = json!({"deep": [1, {"er": null}]});
        check(&bed, path, &body, "an extra field");
    }
    assert_eq!(bed.file("root")["type"], "folder");
}

#[test]
fn what_is_required_is_missed_by_name() {
    let bed = Bed::new();
    for (path, fields) in [
        ("file/create", &["drive_id", "parent_file_id", "name", "type"][..]),
        ("file/get_upload_url", &["drive_id", "file_id", "upload_id", "part_info_list"]),
        ("file/list_uploaded_parts", &["drive_id", "file_id", "upload_id"]),
        ("file/complete", &["drive_id", "file_id", "upload_id"]),
        ("file/get", &["drive_id", "file_id"]),
        ("file/get_by_path", &["drive_id", "file_path"]),
        ("file/list", &["drive_id", "parent_file_id"]),
        ("file/walk", &["drive_id", "parent_file_id"]),
        ("file/scan", &["drive_id"]),
        ("file/search", &["drive_id", "query"]),
        ("file/pre_create_check", &["drive_id", "parent_file_id", "name", "type"]),
        ("file/list_by_custom_index_key", &["drive_id", "custom_index_key"]),
        ("file/update", &["drive_id", "file_id"]),
        ("file/move", &["drive_id", "file_id", "to_parent_file_id"]),
        ("file/copy", &["drive_id", "file_id", "to_parent_file_id"]),
        ("file/delete", &["drive_id", "file_id"]),
        ("file/put_usertags", &["drive_id", "file_id", "user_tags"]),
        ("file/delete_usertags", &["drive_id", "file_id", "key_list"]),
        ("recyclebin/trash", &["drive_id", "file_id"]),
        ("recyclebin/restore", &["drive_id", "file_id"]),
        ("recyclebin/list", &["drive_id"]),
        ("recyclebin/clear", &["drive_id"]),
        ("file/get_last_cursor", &["drive_id"]),
        ("file/list_delta", &["drive_id"]),
        ("file/get_download_url", &["drive_id", "file_id"]),
        ("file/archive_files", &["drive_id", "files"]),
        ("file/revision/list", &["drive_id", "file_id"]),
        ("file/revision/get", &["drive_id", "file_id", "revision_id"]),
        ("file/revision/restore", &["drive_id", "file_id", "revision_id"]),
        ("file/revision/delete", &["drive_id", "file_id", "revision_id"]),
        ("file/revision/update", &["drive_id", "file_id", "revision_id"]),
        ("async_task/get", &["async_task_id"]),
        ("batch", &["requests"]),
    ] {
        let good = bodies(&bed).into_iter().find(|(known, _)| *known == path);
        let good = good.map_or(json!({"drive_id": "1"}), |(_, body)| body);
        for field in fields {
            for absent in [None, Some(Value::Null)] {
                let mut body = good.clone();
                match absent {
                    None => drop(body.as_object_mut().unwrap().remove(*field)),
                    Some(null) => body[field] = null,
                }
                let name: String =
                    field.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
                let refused = bed.call(&format!("/v2/{path}"), &body).error();
                assert_eq!(refused, (400, format!("InvalidParameterMissing.{name}")), "{path}");
            }
        }
    }
}

#[test]
fn the_root_is_the_root_everywhere() {
    let bed = Bed::new();
    let file = id(&bed.write("root", "f", b""));
    let folder = bed.mkdir("root", "d");
    for (path, body, status) in [
        ("file/get", json!({"file_id": "root"}), 200),
        ("file/list", json!({"parent_file_id": "root"}), 200),
        ("file/copy", json!({"file_id": file, "to_parent_file_id": "root"}), 201),
        ("file/move", json!({"file_id": folder, "to_parent_file_id": "root"}), 200),
        ("file/get_last_cursor", json!({"sync_root_id": "root"}), 200),
        ("file/put_usertags", json!({"file_id": "root", "user_tags": [{"key": "a"}]}), 200),
        ("file/get_download_url", json!({"file_id": "root"}), 400),
        ("file/revision/list", json!({"file_id": "root"}), 400),
        ("file/update", json!({"file_id": "root", "name": "x"}), 403),
        ("file/move", json!({"file_id": "root", "to_parent_file_id": folder}), 403),
        ("file/copy", json!({"file_id": "root", "to_parent_file_id": folder}), 403),
        ("file/delete", json!({"file_id": "root"}), 403),
        ("recyclebin/trash", json!({"file_id": "root"}), 403),
        ("recyclebin/restore", json!({"file_id": "root"}), 404),
        (
            "file/create",
            json!({"parent_file_id": "root", "name": "x", "type": "file", "file_id": "root"}),
            404,
        ),
    ] {
        let mut body = body;
        body["drive_id"] = "1".into();
        let answer = bed.call(&format!("/v2/{path}"), &body);
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.text());
    }
}

#[test]
fn json_is_json_whatever_a_tool_calls_it() {
    let bed = Bed::new();
    for kind in ["application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8", ""] {
        let headers = [("authorization", "Bearer secret"), ("content-type", kind)];
        let body = br#"{"drive_id": "1", "file_id": "root"}"#;
        let answer = send(bed.address(), "POST", "/v2/file/get", &headers, body).unwrap();
        assert_eq!((answer.status, &answer.json()["type"]), (200, &json!("folder")), "{kind}");
    }
}
