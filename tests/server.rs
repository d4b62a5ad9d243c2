//! The embedded server as a client sees it: bytes on sockets, rule by rule (pds-api.md sections 12, 18, 19.3).

// Helpers of tests: a panic is how they say that the server is wrong.
#![allow(clippy::unwrap_used)]

mod server_support;

#[path = "server/accounts.rs"]
mod accounts;
#[path = "server/check.rs"]
mod check;
#[path = "server/control.rs"]
mod control;
#[path = "server/download.rs"]
mod download;
#[path = "server/durability.rs"]
mod durability;
#[path = "server/facts.rs"]
mod facts;
#[path = "server/faults.rs"]
mod faults;
#[path = "server/hostile.rs"]
mod hostile;
#[path = "server/revisions.rs"]
mod revisions;
#[path = "server/search.rs"]
mod search;
#[path = "server/several.rs"]
mod several;
#[path = "server/shares.rs"]
mod shares;
#[path = "server/slow.rs"]
mod slow;
#[path = "server/tasks.rs"]
mod tasks;
#[path = "server/thumbnails.rs"]
mod thumbnails;
#[path = "server/tree.rs"]
mod tree;
#[path = "server/uploads.rs"]
mod uploads;

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};
use server_support::{Bed, crc, id, md5, noise, raw, send, sha1, target};

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

#[test]
fn bodies_that_make_no_sense_are_refused_in_words() {
    let bed = Bed::new();
    let deep = format!("{{\"a\":{}", "[".repeat(200_000));
    for body in ["{", "[1]", "nonsense", "{\"drive_id\":\"\\ud800\"}", &deep] {
        let answer = bed.try_call("/v2/file/get", body).unwrap();
        assert_eq!(answer.error(), (400, "InvalidRequestJSONFormat".into()), "{body:.20}");
    }
    let token = [("authorization", "Bearer secret")];
    let answer = send(bed.address(), "POST", "/v2/file/get", &token, b"{\"drive_id\":\"\xff\"}").unwrap();
    assert_eq!(answer.error(), (400, "InvalidRequestJSONFormat".into()));
    for (body, code) in [
        (json!({}), "InvalidParameterMissing.DriveId"),
        (json!({"drive_id": "1"}), "InvalidParameterMissing.FileId"),
        (json!({"drive_id": "1", "file_id": ["x"]}), "InvalidParameter.FileId"),
        (json!({"drive_id": "1", "file_id": ""}), "InvalidParameterEmpty.FileId"),
        (json!({"drive_id": "' OR 1=1", "file_id": "root"}), "InvalidParameter.DriveId"),
        (json!({"drive_id": "1", "file_id": "root", "url_expire_sec": 9}), "InvalidParameter.UrlExpireSec"),
    ] {
        assert_eq!(bed.call("/v2/file/get", &body).error(), (400, code.into()), "{body}");
    }
    assert_eq!(
        bed.call("/v2/file/get", &json!({"drive_id": "9", "file_id": "root"})).error().1,
        "NotFound.DriveId"
    );
}

#[test]
fn a_huge_body_is_refused_and_the_server_lives_on() {
    let bed = Bed::new();
    let huge = format!("{{\"x\":\"{}\"}}", "x".repeat(9 << 20));
    let answer = bed.try_call("/v2/file/get", &huge);
    // Refused while it still comes: the answer may get lost, the refusal not.
    assert!(answer.is_none_or(|answer| answer.status == 413));
    let announced = b"POST /v2/file/get HTTP/1.1\r\nhost: x\r\nauthorization: Bearer secret\r\n\
        connection: close\r\ncontent-length: 99999999999\r\n\r\n";
    let mut stream = TcpStream::connect(bed.address()).unwrap();
    stream.write_all(announced).unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");
    let headers = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    assert!(raw(bed.address(), headers.as_bytes()).is_none_or(|answer| answer.status >= 400));
    assert!(raw(bed.address(), b"\x16\x03\x01\x02\x00\x01 hello\r\n\r\n").is_none_or(|a| a.status == 400));
    assert_eq!(bed.file("root")["type"], "folder");
}

#[test]
fn names_are_opaque_within_their_limits() {
    let bed = Bed::new();
    let longest = "é".repeat(512);
    let mut names =
        vec!["a\nb", "\"q\" 'q'", "😀 中文", " ", "..", ".", "a\\b", "%2F", "\u{7f}\u{1}", "e\u{301}", "é"];
    names.push(&longest);
    for name in &names {
        let file =
            bed.write_as(json!({"parent_file_id": "root", "name": name, "check_name_mode": "refuse"}), b"x");
        assert_eq!(file["name"], **name);
        assert_eq!(bed.read(&id(&file)), b"x");
    }
    let mut sorted: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    sorted.sort();
    assert_eq!(bed.names("root"), sorted);
    for bad in ["", "a/b", "/", "a\0b", &"n".repeat(1025), &"é".repeat(513)] {
        for kind in ["file", "folder"] {
            let body = json!({"parent_file_id": "root", "name": bad, "type": kind});
            let (status, code) = bed.refused("/v2/file/create", body);
            assert!(status == 400 && code.starts_with("InvalidParameter"), "{bad:?}: {code}");
        }
    }
    assert_eq!(bed.names("root").len(), names.len());
}

#[test]
fn a_tampered_data_url_is_refused() {
    let bed = Bed::new();
    let file = bed.write("root", "a", b"mine");
    let other = bed.write("root", "b", b"other");
    let url = bed.download_url(&id(&file));
    let signed = target(&url);
    let other_path = format!("/data/r/{}", other["revision_id"].as_str().unwrap());
    let query = signed.split_once('?').unwrap().1;
    for tampered in [
        format!("{other_path}?{query}"),
        format!("{signed}&x-oss-process=image/resize"),
        signed.replacen("x-oss-expires=", "x-oss-expires=9", 1),
        signed.replacen("/data/r/", "/data/r/..%2f", 1),
        signed.replacen("/data/r/", "/data/r/../r/", 1),
        signed.split('?').next().unwrap().to_owned(),
        "/data/r/..%2f..%2fpds.db".to_owned(),
        "/data/r/%ff?x-oss-signature=AAAA".to_owned(),
    ] {
        let answer = send(bed.address(), "GET", &tampered, &[], b"").unwrap();
        assert!([403, 404].contains(&answer.status), "{tampered}: {}", answer.status);
        assert!(!answer.text().contains("mine") && !answer.text().contains("other"), "{tampered}");
    }
    assert_eq!(bed.get(&url, &[("authorization", "Bearer secret")]).status, 400);
    let put = bed.create("root", "c", 1).urls.remove(0);
    assert_eq!(bed.get(&put, &[]).status, 404);
    assert_eq!(bed.put(&put, &[("authorization", "Bearer secret")], b"x").status, 400);
}

#[test]
fn drive_and_user_are_there() {
    let bed = Bed::new();
    bed.write("root", "a", b"12345");
    let drive = bed.expect(200, "/v2/drive/get", json!({}));
    assert_eq!(
        (&drive["drive_id"], &drive["used_size"], &drive["total_size"]),
        (&json!("1"), &json!(5), &json!(-1))
    );
    let all = bed.expect(200, "/v2/drive/list_my_drives", json!({"limit": 100}));
    assert_eq!(all["items"], json!([drive]));
    assert_eq!(bed.expect(200, "/v2/drive/get_default_drive", json!({})), drive);
    assert_eq!(bed.expect(200, "/v2/user/get", json!({}))["default_drive_id"], "1");
    assert_eq!(bed.server.drive_id(), "1");
}

#[test]
fn a_batch_answers_each_child() {
    let bed = Bed::new();
    let file = id(&bed.write("root", "a", b"1"));
    let child =
        |n: &str, url: &str, body: Value| json!({"id": n, "method": "POST", "url": url, "body": body});
    let reply = bed.expect(
        200,
        "/v2/batch",
        json!({"resource": "file", "requests": [
            child("1", "/file/get", json!({"drive_id": "1", "file_id": file})),
            child("2", "/recyclebin/trash", json!({"drive_id": "1", "file_id": file})),
            child("3", "/file/get", json!({"drive_id": "1", "file_id": "gone"})),
            child("4", "/file/list", json!({"drive_id": "1", "parent_file_id": "root"})),
        ]}),
    );
    let by_id =
        |n: &str| reply["responses"].as_array().unwrap().iter().find(|r| r["id"] == n).unwrap().clone();
    assert_eq!((&by_id("1")["status"], &by_id("1")["body"]["name"]), (&json!(200), &json!("a")));
    assert_eq!((&by_id("2")["status"], by_id("2").get("body")), (&json!(204), None));
    assert_eq!(
        (&by_id("3")["status"], &by_id("3")["body"]["code"]),
        (&json!(404), &json!("NotFound.FileId"))
    );
    assert_eq!(by_id("4")["status"], 400);
    assert_eq!(bed.refused("/v2/batch", json!({"requests": []})).0, 400);
    let same = json!({"requests": [child("1", "/file/get", json!({})), child("1", "/file/get", json!({}))]});
    assert_eq!(bed.refused("/v2/batch", same).0, 400);
}
