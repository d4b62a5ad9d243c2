//! The embedded server as a client sees it: bytes on sockets, rule by rule (pds-api.md sections 12, 18, 19.3).

mod server_support;

#[path = "server/uploads.rs"]
mod uploads;

use serde_json::{Value, json};
use server_support::{Bed, crc, id, md5, noise, send, sha1};

/// The smallest part that may be followed by another.
const PART: usize = 102_400;

// 18.1
#[test]
fn a_folder_is_made_once_under_refuse() {
    let bed = Bed::new();
    let body =
        json!({"parent_file_id": "root", "name": "docs", "type": "folder", "check_name_mode": "refuse"});
    let made = bed.expect(201, "/v2/file/create", body.clone());
    assert_eq!(made["file_name"], "docs");
    assert_eq!(made["parent_file_id"], "root");
    assert_eq!(made["type"], "folder");
    assert!(made.get("exist").is_none() && made.get("upload_id").is_none());
    let file_id = id(&made);
    assert!(file_id.len() == 40 && file_id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
    let again = bed.expect(201, "/v2/file/create", body);
    assert_eq!((id(&again), &again["exist"]), (file_id, &Value::Bool(true)));
}

// 18.2, 18.3
#[test]
fn two_parts_in_series_become_a_file() {
    let bed = Bed::new();
    let bytes = noise(1, PART + 1000);
    let upload = bed.create_as(json!({
        "parent_file_id": "root", "name": "a.MOV", "size": bytes.len(), "check_name_mode": "refuse",
        "content_type": "video/quicktime", "local_modified_at": "2026-01-02T03:04:05.000Z",
        "local_created_at": "2025-01-02T03:04:05Z", "description": "d", "hidden": true, "labels": ["l"],
        "user_tags": [{"key": "k", "value": "v"}],
        "part_info_list": [{"part_number": 1}, {"part_number": 2}],
    }));
    assert_eq!(upload.upload_id.len(), 32);
    let (one, two) = bytes.split_at(PART);
    let stored = bed.put(&upload.urls[0], &[], one);
    assert_eq!(stored.status, 200, "{}", stored.text());
    assert_eq!(stored.header("etag"), format!("\"{}\"", md5(one)));
    assert_eq!(stored.header("x-oss-hash-crc64ecma"), crc(one).to_string());
    assert_eq!(stored.header("content-length"), "0");
    assert_eq!(bed.refused("/v2/file/get", json!({"file_id": upload.file_id})).0, 404);
    assert_eq!(bed.names("root"), [""; 0]);
    assert_eq!(bed.put(&upload.urls[1], &[], two).status, 200);

    let file = bed.expect(200, "/v2/file/complete", upload.body_with("crc64_hash", crc(&bytes).to_string()));
    for (field, value) in [
        ("file_id", json!(upload.file_id)),
        ("drive_id", json!("1")),
        ("parent_file_id", json!("root")),
        ("name", json!("a.MOV")),
        ("type", json!("file")),
        ("status", json!("available")),
        ("file_extension", json!("mov")),
        ("content_type", json!("video/quicktime")),
        ("category", json!("video")),
        ("size", json!(bytes.len())),
        ("crc64_hash", json!(crc(&bytes).to_string())),
        ("content_hash", json!(sha1(&bytes))),
        ("content_hash_name", json!("sha1")),
        ("upload_id", json!(upload.upload_id)),
        ("revision_version", json!(1)),
        ("hidden", json!(true)),
        ("starred", json!(false)),
        ("description", json!("d")),
        ("labels", json!(["l"])),
        ("local_modified_at", json!("2026-01-02T03:04:05.000Z")),
        ("local_created_at", json!("2025-01-02T03:04:05Z")),
        ("user_tags", json!({"k": "v"})),
        ("trashed", json!(false)),
    ] {
        assert_eq!(file[field], value, "{field}");
    }
    assert_eq!(bed.names("root"), ["a.MOV"]);
    assert_eq!(bed.read(&upload.file_id), bytes);
    assert_eq!(bed.refused("/v2/file/complete", upload.body()), (404, "NotFound.UploadId".into()));
    assert_eq!(bed.refused("/v2/file/list_uploaded_parts", upload.body()), (404, "NotFound.UploadId".into()));
    assert_eq!(bed.put(&upload.urls[1], &[], two).xml_error(), (404, "NoSuchUpload".into()));
}

#[test]
fn every_call_needs_the_token() {
    let bed = Bed::new();
    for headers in [
        &[][..],
        &[("authorization", "Bearer wrong!")],
        &[("authorization", "Bearer secre")],
        &[("authorization", "Bearer secrets")],
        &[("authorization", "Basic secret")],
        &[("authorization", "secret")],
    ] {
        for path in ["/v2/file/list", "/v2/user/get", "/v2/batch"] {
            let answer = send(bed.address(), "POST", path, headers, b"{}").unwrap();
            assert_eq!(answer.error(), (401, "AccessTokenInvalid".into()), "{headers:?}");
        }
    }
    let answer =
        send(bed.address(), "POST", "/v2/user/get", &[("authorization", "bearer secret")], b"").unwrap();
    assert_eq!(answer.status, 200);
}

#[test]
fn unknown_routes_answer_as_the_gateway_does() {
    let bed = Bed::new();
    let token = [("authorization", "Bearer secret")];
    for (method, path) in [
        ("POST", "/v2/file/nonsense"),
        ("POST", "/v3/file/get"),
        ("POST", "/"),
        ("GET", "/v2/file/get"),
        ("DELETE", "/data/u/x"),
        ("POST", "/v2/file/../file/get"),
        ("POST", "//v2/file/get"),
    ] {
        let answer = send(bed.address(), method, path, &token, b"").unwrap();
        assert_eq!(answer.error(), (404, "I404NF".into()), "{method} {path}");
        assert_eq!(answer.header("x-ca-request-id").len(), 32);
    }
}
