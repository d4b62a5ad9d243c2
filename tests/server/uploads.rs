//! Uploads: order, replacement, contexts, sizes, checks (8, 19.3 rules 3 to 11).

use serde_json::{Value, json};

use super::PART;
use super::server_support::{Bed, Upload, context, crc, id, noise, sha1, urls};

fn parallel(bed: &Bed, name: &str, parts: &[Value]) -> Upload {
    bed.create_as(
        json!({"parent_file_id": "root", "name": name, "parallel_upload": true, "part_info_list": parts}),
    )
}

/// Equal parts with their true contexts.
fn plan(bytes: &[u8], part: usize) -> Vec<Value> {
    let starts = (0..bytes.len()).step_by(part);
    (1..)
        .zip(starts)
        .map(|(number, start)| json!({"part_number": number, "parallel_sha1_ctx": context(&bytes[..start])}))
        .collect()
}

#[test]
fn parts_arrive_in_any_order_in_parallel_mode() {
    let bed = Bed::new();
    let bytes = noise(2, 4 * PART + 777);
    let upload = parallel(&bed, "p", &plan(&bytes, PART));
    let chunks: Vec<&[u8]> = bytes.chunks(PART).collect();
    for at in [4, 1, 3, 0, 2] {
        assert_eq!(bed.put(&upload.urls[at], &[], chunks[at]).status, 200);
    }
    let file = bed.expect(200, "/v2/file/complete", upload.body());
    assert_eq!(file["content_hash"], sha1(&bytes));
    assert_eq!(file["crc64_hash"], crc(&bytes).to_string());
    assert_eq!(bed.read(&upload.file_id), bytes);
}

// 4.4
#[test]
fn the_official_test_vector_of_midstates() {
    let bed = Bed::with(|options| options.min_part_bytes = 1);
    let content = (0..100).map(|i| format!("test-{i}")).collect::<Vec<_>>().join("\n").into_bytes();
    let h = [2781477636u32, 2167910136, 4107292220, 1153442652, 2872263382];
    let parts = [
        json!({"part_number": 1, "parallel_sha1_ctx": {"h": [], "part_offset": 0}}),
        json!({"part_number": 2, "parallel_sha1_ctx": {"h": h, "part_offset": 768}}),
    ];
    let upload = parallel(&bed, "t", &parts);
    assert_eq!(bed.put(&upload.urls[1], &[], &content[768..]).status, 200);
    assert_eq!(bed.put(&upload.urls[0], &[], &content[..768]).status, 200);
    let file = bed.expect(200, "/v2/file/complete", upload.body());
    assert_eq!(file["content_hash"], "392AF61CCA9BC02502B0BB03B45ABD78601DD1DF");
}

#[test]
fn serial_parts_come_in_order_and_once() {
    let bed = Bed::new();
    let bytes = noise(3, 2 * PART);
    let upload = bed.create("root", "s", 3);
    assert_eq!(bed.put(&upload.urls[1], &[], &bytes[PART..]).xml_error(), (400, "PartNotSequential".into()));
    assert_eq!(bed.put(&upload.urls[0], &[], &bytes[..PART]).status, 200);
    let again = bed.put(&upload.urls[0], &[], b"something else");
    assert_eq!(again.xml_error(), (409, "PartAlreadyExist".into()));
    assert!(again.text().contains("<PartNumber>1</PartNumber>"));
    assert_eq!(bed.put(&upload.urls[2], &[], b"x").xml_error(), (400, "PartNotSequential".into()));
    assert_eq!(bed.put(&upload.urls[1], &[], &bytes[PART..]).status, 200);
    let file = bed.expect(200, "/v2/file/complete", upload.body());
    assert_eq!(file["content_hash"], sha1(&bytes));
}

#[test]
fn serial_parts_may_have_any_length() {
    let bed = Bed::with(|options| options.min_part_bytes = 1);
    let bytes = noise(4, 1000);
    let upload = bed.create("root", "s", 5);
    for (url, range) in upload.urls.iter().zip([0..1, 1..64, 64..65, 65..999, 999..1000]) {
        assert_eq!(bed.put(url, &[], &bytes[range]).status, 200);
    }
    let file = bed.expect(200, "/v2/file/complete", upload.body_with("crc64_hash", crc(&bytes).to_string()));
    assert_eq!(file["content_hash"], sha1(&bytes));
    assert_eq!(bed.read(&upload.file_id), bytes);
}

#[test]
fn an_empty_file_is_one_empty_part() {
    let bed = Bed::new();
    let upload = bed.create("root", "empty", 1);
    assert_eq!(
        bed.refused("/v2/file/complete", upload.body()),
        (400, "InvalidParameter.PartInfoList".into())
    );
    assert_eq!(bed.put(&upload.urls[0], &[], b"").header("etag"), "\"D41D8CD98F00B204E9800998ECF8427E\"");
    let file = bed.expect(200, "/v2/file/complete", upload.body_with("crc64_hash", "0"));
    assert_eq!((&file["size"], &file["crc64_hash"]), (&json!(0), &json!("0")));
    assert_eq!(file["content_hash"], "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709");
    assert_eq!(bed.read(&upload.file_id), b"");
}

#[test]
fn a_parallel_part_may_be_replaced_until_complete() {
    let bed = Bed::new();
    let bytes = noise(5, 2 * PART);
    let upload = parallel(&bed, "r", &plan(&bytes, PART));
    let wrong = noise(6, PART);
    assert_eq!(bed.put(&upload.urls[0], &[], &wrong).status, 200);
    assert_eq!(bed.put(&upload.urls[1], &[], &bytes[PART..]).status, 200);
    let code = (400, "InvalidParameter.ParallelSha1Ctx".to_owned());
    assert_eq!(bed.refused("/v2/file/complete", upload.body()), code);
    for attempt in 0..3 {
        assert_eq!(
            bed.put(&upload.urls[0], &[], if attempt == 1 { &wrong } else { &bytes[..PART] }).status,
            200
        );
    }
    let file = bed.expect(200, "/v2/file/complete", upload.body());
    assert_eq!(file["content_hash"], sha1(&bytes));
    assert_eq!(bed.read(&upload.file_id), bytes);
}

/// A part too long lies over the next one. That is found, and what was stored there is whole afterwards.
#[test]
fn overlapping_parts_are_found_and_corrupt_nothing() {
    let bed = Bed::new();
    let bytes = noise(7, 3 * PART);
    let upload = parallel(&bed, "o", &plan(&bytes, PART));
    assert_eq!(bed.put(&upload.urls[1], &[], &bytes[PART..2 * PART]).status, 200);
    assert_eq!(bed.put(&upload.urls[2], &[], &bytes[2 * PART..]).status, 200);
    assert_eq!(bed.put(&upload.urls[0], &[], &noise(8, 3 * PART)).status, 200);
    let code = (400, "InvalidParameter.ParallelSha1Ctx".to_owned());
    assert_eq!(bed.refused("/v2/file/complete", upload.body()), code);
    assert_eq!(bed.put(&upload.urls[0], &[], &bytes[..PART]).status, 200);
    bed.expect(200, "/v2/file/complete", upload.body_with("crc64_hash", crc(&bytes).to_string()));
    assert_eq!(bed.read(&upload.file_id), bytes);
}

#[test]
fn a_context_that_is_not_the_true_midstate_is_refused_at_complete() {
    let bed = Bed::new();
    let bytes = noise(9, 2 * PART);
    let other = noise(10, 2 * PART);
    let mut parts = plan(&bytes, PART);
    parts[1]["parallel_sha1_ctx"] = context(&other[..PART]);
    let upload = parallel(&bed, "c", &parts);
    assert_eq!(bed.put(&upload.urls[0], &[], &bytes[..PART]).status, 200);
    assert_eq!(bed.put(&upload.urls[1], &[], &bytes[PART..]).status, 200);
    let code = (400, "InvalidParameter.ParallelSha1Ctx".to_owned());
    assert_eq!(bed.refused("/v2/file/complete", upload.body()), code);
    // With the true context the upload goes on.
    let list = upload.body_with("part_info_list", vec![plan(&bytes, PART).remove(1)]);
    let url = urls(&bed.expect(200, "/v2/file/get_upload_url", list)).remove(0);
    assert_eq!(bed.put(&url, &[], &bytes[PART..]).status, 200);
    assert_eq!(bed.expect(200, "/v2/file/complete", upload.body())["content_hash"], sha1(&bytes));
}

#[test]
fn contexts_are_required_and_checked_in_parallel_mode() {
    let bed = Bed::new();
    for bad in [
        json!([{"part_number": 2}]),
        json!([{"part_number": 2, "parallel_sha1_ctx": {"h": [1, 2, 3, 4, 5], "part_offset": 100}}]),
        json!([{"part_number": 2, "parallel_sha1_ctx": {"h": [1, 2, 3], "part_offset": 128}}]),
    ] {
        let body = json!({"parent_file_id": "root", "name": "x", "type": "file", "parallel_upload": true,
            "part_info_list": bad});
        assert_eq!(bed.refused("/v2/file/create", body), (400, "InvalidParameter.ParallelSha1Ctx".into()));
    }
    for bad in [json!([{"part_number": 0}]), json!([{"part_number": 10001}]), json!([{}])] {
        let body = json!({"parent_file_id": "root", "name": "x", "type": "file", "part_info_list": bad});
        assert_eq!(bed.refused("/v2/file/create", body), (400, "InvalidParameter.PartNumber".into()));
    }
}

#[test]
fn complete_checks_parts_crc_and_size_and_leaves_the_upload_open() {
    let bed = Bed::new();
    let bytes = noise(11, PART);
    let upload = bed.create_as(json!({"parent_file_id": "root", "name": "a", "size": PART,
        "part_info_list": [{"part_number": 1}, {"part_number": 2}]}));
    assert_eq!(bed.put(&upload.urls[0], &[], &bytes[..PART - 1]).status, 200);
    assert_eq!(
        bed.refused("/v2/file/complete", upload.body()),
        (400, "InvalidParameterNotMatch.Size".into())
    );
    assert_eq!(bed.put(&upload.urls[1], &[], &bytes[PART - 1..]).status, 200);
    // Part 1 is one byte too small to be followed by another.
    let code = (400, "InvalidParameterOutOfRange.PartSize".to_owned());
    assert_eq!(bed.refused("/v2/file/complete", upload.body()), code);

    let upload = bed.create("root", "b", 1);
    assert_eq!(bed.put(&upload.urls[0], &[], &bytes).status, 200);
    let wrong = upload.body_with("crc64_hash", (crc(&bytes) ^ 1).to_string());
    assert_eq!(bed.refused("/v2/file/complete", wrong), (400, "InvalidParameterNotMatch.Crc64Hash".into()));
    let nonsense = upload.body_with("crc64_hash", "zero");
    assert_eq!(bed.refused("/v2/file/complete", nonsense), (400, "InvalidParameter.Crc64Hash".into()));
    assert_eq!(bed.names("root"), [""; 0]);
    bed.expect(200, "/v2/file/complete", upload.body_with("crc64_hash", crc(&bytes)));

    let parts = plan(&noise(12, 3 * PART), PART);
    let upload = parallel(&bed, "gap", &parts);
    for at in [0, 2] {
        assert_eq!(
            bed.put(&upload.urls[at], &[], &noise(12, 3 * PART)[at * PART..(at + 1) * PART]).status,
            200
        );
    }
    assert_eq!(
        bed.refused("/v2/file/complete", upload.body()),
        (400, "InvalidParameter.PartInfoList".into())
    );
}

#[test]
fn parts_are_listed_page_by_page() {
    let bed = Bed::with(|options| options.min_part_bytes = 1);
    let upload = bed.create("root", "a", 5);
    for (at, url) in upload.urls.iter().enumerate() {
        assert_eq!(bed.put(url, &[], &noise(1, at + 1)).status, 200);
    }
    let mut seen = Vec::new();
    let mut marker = String::new();
    loop {
        let mut body = upload.body_with("limit", 2);
        body["part_number_marker"] = marker.clone().into();
        let page = bed.expect(200, "/v2/file/list_uploaded_parts", body);
        assert_eq!(page["parallel_upload"], false);
        for part in page["uploaded_parts"].as_array().unwrap() {
            seen.push((part["part_number"].as_u64().unwrap(), part["part_size"].as_u64().unwrap()));
            assert!(part["etag"].as_str().unwrap().starts_with('"'));
        }
        marker = page["next_part_number_marker"].as_str().unwrap().to_owned();
        if marker.is_empty() {
            break;
        }
    }
    assert_eq!(seen, [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]);
}

#[test]
fn the_signed_content_type_and_md5_bind_the_put() {
    let bed = Bed::new();
    let upload = bed.create("root", "a", 1);
    let typed = [("content-type", "application/octet-stream")];
    assert_eq!(bed.put(&upload.urls[0], &typed, b"x").xml_error(), (403, "SignatureDoesNotMatch".into()));
    assert_eq!(bed.put(&upload.urls[0], &[("content-type", "")], b"x").status, 200);

    let part = json!([{"part_number": 1, "content_type": "image/png"}]);
    let upload = bed.create_as(json!({"parent_file_id": "root", "name": "b", "part_info_list": part}));
    assert_eq!(bed.put(&upload.urls[0], &[], b"x").xml_error().1, "SignatureDoesNotMatch");
    assert_eq!(bed.put(&upload.urls[0], &[("content-type", "image/png")], b"x").status, 200);

    // MD5 of "x".
    let part = json!([{"part_number": 1, "content_md5": "ndTkYSaMgDT1yFZOFVxnpg=="}]);
    let upload = bed.create_as(json!({"parent_file_id": "root", "name": "c", "part_info_list": part}));
    assert_eq!(bed.put(&upload.urls[0], &[], b"x").xml_error().1, "SignatureDoesNotMatch");
    let header = [("content-md5", "ndTkYSaMgDT1yFZOFVxnpg==")];
    assert_eq!(bed.put(&upload.urls[0], &header, b"y").xml_error(), (400, "BadDigest".into()));
    let listed = bed.expect(200, "/v2/file/list_uploaded_parts", upload.body());
    assert_eq!(listed["uploaded_parts"], json!([]));
    assert_eq!(bed.put(&upload.urls[0], &header, b"x").status, 200);
}

#[test]
fn a_cut_part_is_not_stored() {
    use std::io::{Read, Write};
    let bed = Bed::new();
    let upload = bed.create("root", "a", 1);
    let head = format!(
        "PUT {} HTTP/1.1\r\nhost: x\r\ncontent-length: 4000000\r\n\r\n",
        super::target(&upload.urls[0])
    );
    let mut stream = std::net::TcpStream::connect(bed.address()).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&noise(1, 3_000_000)).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    // The answer says that the server is done with what came.
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    let listed = bed.expect(200, "/v2/file/list_uploaded_parts", upload.body());
    assert_eq!(listed["uploaded_parts"], json!([]));
    let bytes = noise(2, 1000);
    assert_eq!(bed.put(&upload.urls[0], &[], &bytes).status, 200);
    bed.expect(200, "/v2/file/complete", upload.body_with("crc64_hash", crc(&bytes).to_string()));
    assert_eq!(bed.read(&upload.file_id), bytes);
    let stored = blob_paths(&bed);
    assert_eq!(stored.iter().map(|path| path.metadata().unwrap().len()).collect::<Vec<_>>(), [1000]);
}

/// Two requests send the same part at once, with other bytes. The second is stored; the first must not write
/// over it, whenever its bytes come.
#[test]
fn requests_for_the_same_part_do_not_mix() {
    use std::io::{Read, Write};
    let bed = Bed::new();
    let bytes = noise(23, 3 << 20);
    let upload = bed.create("root", "a", 1);
    let head = format!(
        "PUT {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        super::target(&upload.urls[0]),
        bytes.len()
    );
    let mut slow = std::net::TcpStream::connect(bed.address()).unwrap();
    slow.write_all(head.as_bytes()).unwrap();
    let mut go = [0; 25];
    slow.read_exact(&mut go).unwrap();
    assert_eq!(&go, b"HTTP/1.1 100 Continue\r\n\r\n");
    slow.write_all(&noise(24, 2 << 20)).unwrap();
    assert_eq!(bed.put(&upload.urls[0], &[], &bytes).status, 200);
    slow.write_all(&noise(25, 1 << 20)).unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 409"), "{answer}");
    bed.expect(200, "/v2/file/complete", upload.body_with("crc64_hash", crc(&bytes).to_string()));
    assert!(bed.read(&upload.file_id) == bytes);
    bed.server.advance_clock(std::time::Duration::ZERO);
    assert_eq!(blobs(&bed), 1);
}

#[test]
fn a_request_still_in_flight_cannot_touch_a_completed_file() {
    use std::io::{Read, Write};
    let bed = Bed::new();
    let bytes = noise(21, 300_000);
    let upload = bed.create("root", "a", 1);
    let head = format!(
        "PUT {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 300000\r\n\r\n",
        super::target(&upload.urls[0])
    );
    let mut slow = std::net::TcpStream::connect(bed.address()).unwrap();
    slow.write_all(head.as_bytes()).unwrap();
    slow.write_all(&noise(22, 100_000)).unwrap();
    assert_eq!(bed.put(&upload.urls[0], &[], &bytes).status, 200);
    bed.expect(200, "/v2/file/complete", upload.body_with("crc64_hash", crc(&bytes).to_string()));
    slow.write_all(&noise(22, 200_000)).unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404") || answer.starts_with("HTTP/1.1 409"), "{answer}");
    assert_eq!(bed.read(&upload.file_id), bytes);
}

// 8.9
#[test]
fn overwriting_keeps_the_id_and_the_old_content_until_complete() {
    let bed = Bed::new();
    let tags = json!([{"key": "k", "value": "1"}]);
    let old = bed.write_as(
        json!({"parent_file_id": "root", "name": "a", "description": "d", "user_tags": tags}),
        b"old content",
    );
    let old_url = bed.download_url(&id(&old));
    let upload = bed.create_as(json!({"parent_file_id": "root", "name": "a", "file_id": id(&old),
        "check_name_mode": "refuse", "local_modified_at": "2026-01-01T00:00:00.000Z"}));
    assert_eq!(upload.file_id, id(&old));
    assert_eq!(bed.put(&upload.urls[0], &[], b"new").status, 200);
    assert_eq!(bed.read(&id(&old)), b"old content");
    let new = bed.expect(200, "/v2/file/complete", upload.body());
    assert_ne!(new["revision_id"], old["revision_id"]);
    assert_eq!((&new["revision_version"], &new["size"]), (&json!(2), &json!(3)));
    assert_eq!((&new["created_at"], &new["description"]), (&old["created_at"], &json!("d")));
    assert_eq!(new["user_tags"], json!({"k": "1"}));
    assert_eq!(bed.read(&id(&old)), b"new");
    // One revision, one object: the old URL still gives the old bytes.
    assert_eq!(bed.get(&old_url, &[]).body, b"old content");
    let revisions = bed.expect(200, "/v2/file/revision/list", json!({"file_id": id(&old)}));
    let versions: Vec<_> =
        revisions["items"].as_array().unwrap().iter().map(|r| r["revision_version"].clone()).collect();
    assert_eq!(versions, [2, 1]);
    let first = json!({"file_id": id(&old), "revision_id": old["revision_id"]});
    let first = bed.expect(200, "/v2/file/revision/get", first);
    assert_eq!(bed.get(first["download_url"].as_str().unwrap(), &[]).body, b"old content");
    assert_eq!(bed.names("root"), ["a"]);
    for missing in [json!("nobody"), json!("root")] {
        let body = json!({"parent_file_id": "root", "name": "a", "type": "file", "file_id": missing});
        assert_eq!(bed.refused("/v2/file/create", body), (404, "NotFound.FileId".into()));
    }
}

#[test]
fn old_revisions_and_their_bytes_go() {
    let bed = Bed::with(|options| options.keep_revisions = 2);
    let first = bed.write("root", "a", b"1");
    for content in [b"22".as_slice(), b"333"] {
        bed.write_as(json!({"parent_file_id": "root", "name": "a", "file_id": id(&first)}), content);
    }
    let revisions = bed.expect(200, "/v2/file/revision/list", json!({"file_id": id(&first)}));
    assert_eq!(revisions["items"].as_array().unwrap().len(), 2);
    assert_eq!(bed.expect(200, "/v2/drive/get", json!({}))["used_size"], 5);
    let gone = json!({"file_id": id(&first), "revision_id": first["revision_id"]});
    assert_eq!(bed.refused("/v2/file/revision/get", gone), (404, "NotFound.RevisionId".into()));
}

// 8.8
#[test]
fn known_content_needs_no_upload() {
    let bed = Bed::new();
    let bytes = noise(13, 5000);
    bed.write("root", "a", &bytes);
    let body = json!({"parent_file_id": "root", "name": "b.png", "type": "file", "size": 5000,
        "content_hash": sha1(&bytes), "content_hash_name": "sha1"});
    let made = bed.expect(201, "/v2/file/create", body.clone());
    assert_eq!((&made["rapid_upload"], made.get("upload_id")), (&json!(true), None));
    assert_eq!(bed.read(&id(&made)), bytes);
    assert_eq!(bed.file(&id(&made))["mime_type"], "image/png");
    let mut other_size = body.clone();
    other_size["size"] = 5001.into();
    assert_eq!(bed.expect(201, "/v2/file/create", other_size)["rapid_upload"], false);
    let pre = json!({"parent_file_id": "root", "name": "c", "type": "file", "size": 9, "pre_hash": sha1(&bytes[..1024])});
    assert_eq!(bed.refused("/v2/file/create", pre.clone()), (409, "PreHashMatched".into()));
    let mut unknown = pre;
    unknown["pre_hash"] = sha1(b"unknown").into();
    assert_eq!(bed.expect(201, "/v2/file/create", unknown)["rapid_upload"], false);
    // The bytes go with the last file that has them.
    let all = bed.expect(200, "/v2/file/list", json!({"parent_file_id": "root"}));
    for file in all["items"].as_array().unwrap() {
        bed.expect(204, "/v2/file/delete", json!({"file_id": file["file_id"]}));
    }
    assert_eq!(bed.expect(201, "/v2/file/create", body)["rapid_upload"], false);
}

#[test]
fn an_uploading_name_blocks_no_one_and_duplicates_are_legal() {
    let bed = Bed::new();
    let refuse = json!({"parent_file_id": "root", "name": "a", "check_name_mode": "refuse"});
    let one = bed.create_as(refuse.clone());
    let two = bed.create_as(refuse.clone());
    for upload in [&one, &two] {
        assert_eq!(bed.put(&upload.urls[0], &[], upload.file_id.as_bytes()).status, 200);
        bed.expect(200, "/v2/file/complete", upload.body());
    }
    assert_eq!(bed.names("root"), ["a", "a"]);
    let mut body = refuse;
    body["type"] = "file".into();
    let hit = bed.expect(201, "/v2/file/create", body);
    assert_eq!((&hit["exist"], id(&hit), hit.get("upload_id")), (&json!(true), one.file_id, None));
}

#[test]
fn unfinished_uploads_end_after_ten_days() {
    let bed = Bed::new();
    let upload = bed.create("root", "a", 1);
    assert_eq!(bed.put(&upload.urls[0], &[], b"x").status, 200);
    let day = std::time::Duration::from_secs(24 * 3600);
    bed.server.advance_clock(day * 9);
    bed.expect(200, "/v2/file/list_uploaded_parts", upload.body());
    bed.server.advance_clock(day * 2);
    assert_eq!(bed.refused("/v2/file/complete", upload.body()), (404, "NotFound.UploadId".into()));
    assert_eq!(blobs(&bed), 0);
}

/// How many files of bytes are in the store.
pub fn blobs(bed: &Bed) -> usize {
    blob_paths(bed).len()
}

fn blob_paths(bed: &Bed) -> Vec<std::path::PathBuf> {
    let folders = std::fs::read_dir(bed.dir.path().join("blobs")).unwrap();
    folders
        .flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .collect()
}

#[test]
fn options_that_make_the_server_stricter() {
    let bed = Bed::with(|options| {
        options.parallel_upload = false;
        options.require_size = true;
    });
    let body =
        json!({"parent_file_id": "root", "name": "a", "type": "file", "parallel_upload": true, "size": 1});
    let code = (400, "InvalidParameterNotSupported.ParallelUpload".to_owned());
    assert_eq!(bed.refused("/v2/file/create", body), code);
    let body = json!({"parent_file_id": "root", "name": "a", "type": "file"});
    assert_eq!(bed.refused("/v2/file/create", body), (400, "InvalidParameterMissing.Size".into()));
}

#[test]
fn without_md5_etags_a_stated_md5_is_still_checked() {
    let bed = Bed::with(|options| options.md5_etags = false);
    let part = json!([{"part_number": 1, "content_md5": "ndTkYSaMgDT1yFZOFVxnpg=="}]);
    let upload = bed.create_as(json!({"parent_file_id": "root", "name": "a", "part_info_list": part}));
    let header = [("content-md5", "ndTkYSaMgDT1yFZOFVxnpg==")];
    assert_eq!(bed.put(&upload.urls[0], &header, b"y").xml_error(), (400, "BadDigest".into()));
    assert_eq!(bed.put(&upload.urls[0], &header, b"x").status, 200);
    let other = bed.create("root", "b", 1);
    let etag = bed.put(&other.urls[0], &[], b"x").header("etag").to_owned();
    assert!(etag.len() == 34 && etag != "\"9DD4E461268C8034F5C8564E155C67A6\"", "{etag}");
}

#[test]
fn a_full_drive_says_so_at_create_and_at_complete() {
    let bed = Bed::with(|options| options.drive_total_bytes = Some(1000));
    let code = (403, "QuotaExhausted.Drive".to_owned());
    let body = json!({"parent_file_id": "root", "name": "a", "type": "file", "size": 1001});
    assert_eq!(bed.refused("/v2/file/create", body), code);
    let kept = bed.write("root", "b", &noise(1, 600));
    let upload = bed.create("root", "c", 1);
    assert_eq!(bed.put(&upload.urls[0], &[], &noise(2, 401)).status, 200);
    assert_eq!(bed.refused("/v2/file/complete", upload.body()), code);
    assert_eq!(bed.names("root"), ["b"]);
    bed.expect(204, "/v2/file/delete", json!({"file_id": id(&kept)}));
    bed.expect(200, "/v2/file/complete", upload.body());
    let drive = bed.expect(200, "/v2/drive/get", json!({}));
    assert_eq!((&drive["total_size"], &drive["used_size"]), (&json!(1000), &json!(401)));
}

// 8.8
#[test]
fn known_content_with_a_proof() {
    let bed = Bed::new();
    let bytes = noise(8, 1000);
    bed.write("root", "a", &bytes);
    let create = |extra: Value| {
        let mut body = json!({"drive_id": "1", "parent_file_id": "root", "name": "b", "type": "file",
            "size": bytes.len(), "content_hash": sha1(&bytes), "content_hash_name": "sha1"});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        bed.call("/v2/file/create_with_proof", &body)
    };
    // The first 16 digits of the MD5 of the token, which is `secret`, modulo the size.
    let offset = (0x5ebe_2294_ecd0_e0f0_u64 % 1000) as usize;
    let proof = base64(&bytes[offset..(offset + 8).min(1000)]);
    let good = create(json!({"proof_version": "v1", "proof_code": proof}));
    assert_eq!((good.status, &good.json()["rapid_upload"]), (201, &json!(true)));
    for wrong in [json!("AAAAAAAAAAA="), json!(""), json!(null)] {
        let refused = create(json!({"proof_version": "v1", "proof_code": wrong}));
        assert_eq!(refused.error(), (400, "InvalidRapidProof".into()));
    }
    assert_eq!(create(json!({})).error(), (400, "InvalidParameterMissing.ProofVersion".into()));
    let version = create(json!({"proof_version": "v2", "proof_code": proof}));
    assert_eq!(version.error(), (400, "InvalidParameter.ProofVersion".into()));
    // Bytes that nobody has need no proof: they come.
    let other =
        create(json!({"proof_version": "v1", "proof_code": "", "content_hash": sha1(b"new"), "size": 3}));
    assert_eq!((other.status, &other.json()["rapid_upload"]), (201, &json!(false)));
    let none = create(json!({"content_hash": ""}));
    assert_eq!((none.status, &none.json()["rapid_upload"]), (201, &json!(false)));
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn create_wants_parts_from_one_on() {
    let bed = Bed::new();
    let create = |parts: Value| {
        let body = json!({"drive_id": "1", "parent_file_id": "root", "name": "a", "type": "file",
            "part_info_list": parts});
        bed.call("/v2/file/create", &body)
    };
    for good in [json!([]), json!(null), json!([{"part_number": 2}, {"part_number": 1}])] {
        assert_eq!(create(good).status, 201);
    }
    for (bad, field) in [
        (json!([{"part_number": 2}]), "PartInfoList"),
        (json!([{"part_number": 1}, {"part_number": 1}]), "PartInfoList"),
        (json!([{"part_number": 1}, {"part_number": 3}]), "PartInfoList"),
        (json!([{"part_number": 0}]), "PartNumber"),
        (json!([{"part_number": 10_001}]), "PartNumber"),
        (json!([{"part_number": "1"}]), "PartNumber"),
        (json!([{"part_number": null}]), "PartNumber"),
        (json!([7]), "PartNumber"),
        (json!([{"part_number": 1, "content_type": 7}]), "ContentType"),
        (json!({"part_number": 1}), "PartInfoList"),
        (json!((1..=10_001).map(|n| json!({"part_number": n})).collect::<Vec<_>>()), "PartInfoList"),
    ] {
        assert_eq!(create(bad).error(), (400, format!("InvalidParameter.{field}")));
    }
}

#[test]
fn complete_checks_the_etags_it_is_told() {
    let bed = Bed::new();
    let upload = bed.create("root", "a", 1);
    let etag = bed.put(&upload.urls[0], &[], b"x").header("etag").to_owned();
    for bad in [
        json!([{"part_number": 1, "etag": "\"00\""}]),
        json!([{"part_number": 1, "etag": etag}, {"part_number": 2, "etag": etag}]),
        json!([{"part_number": 2}]),
    ] {
        let refused = bed.refused("/v2/file/complete", upload.body_with("part_info_list", bad));
        assert_eq!(refused, (400, "InvalidParameter.PartInfoList".into()));
    }
    let good = json!([{"part_number": 1, "etag": etag.trim_matches('"').to_lowercase()}]);
    bed.expect(200, "/v2/file/complete", upload.body_with("part_info_list", good));
}

// 8.7
#[test]
fn parts_of_a_parallel_upload_are_equal_but_for_the_last() {
    let bed = Bed::new();
    let bytes = noise(9, 3 * PART);
    // (lengths of the parts, whether they may be)
    for (lens, good) in [
        (vec![PART, PART, PART], true),
        (vec![PART, PART, 5], true),
        (vec![PART, PART + 64, 64], false),
        (vec![PART, PART, PART + 64], false),
        (vec![PART + 64, PART, 64], false),
    ] {
        let starts: Vec<usize> = (0..lens.len()).map(|at| lens[..at].iter().sum()).collect();
        let bytes = [&bytes[..], &bytes[..64]].concat();
        let parts: Vec<Value> = (1..)
            .zip(&starts)
            .map(|(n, at)| json!({"part_number": n, "parallel_sha1_ctx": context(&bytes[..*at])}))
            .collect();
        let upload = bed.create_as(
            json!({"parent_file_id": "root", "name": "p", "parallel_upload": true, "part_info_list": parts}),
        );
        for ((url, at), len) in upload.urls.iter().zip(&starts).zip(&lens) {
            assert_eq!(bed.put(url, &[], &bytes[*at..at + len]).status, 200);
        }
        if good {
            let file = bed.expect(200, "/v2/file/complete", upload.body());
            assert_eq!(file["content_hash"], sha1(&bytes[..lens.iter().sum()]));
        } else {
            let refused = bed.refused("/v2/file/complete", upload.body());
            assert_eq!(refused, (400, "InvalidParameterOutOfRange.PartSize".into()), "{lens:?}");
        }
    }
}

#[test]
fn a_new_revision_stays_where_the_file_is() {
    let bed = Bed::new();
    let folder = bed.mkdir("root", "f");
    let file = id(&bed.write("root", "a.txt", b"old"));
    bed.write(&folder, "taken", b"");
    let body = json!({"drive_id": "1", "parent_file_id": folder, "name": "taken", "type": "file", "file_id": file,
        "check_name_mode": "refuse"});
    let reply = bed.call("/v2/file/create", &body).json();
    assert_eq!((&reply["file_name"], &reply["parent_file_id"]), (&json!("a.txt"), &json!("root")));
    let upload = Upload::of(&reply);
    assert_eq!(bed.put(&upload.urls[0], &[], b"new").status, 200);
    let done = bed.expect(200, "/v2/file/complete", upload.body());
    assert_eq!((id(&done), &done["name"], &done["parent_file_id"]), (file, &json!("a.txt"), &json!("root")));
}

#[test]
fn an_upload_that_needed_no_bytes_is_known_by_its_file() {
    let bed = Bed::new();
    let file = id(&bed.write("root", "a", b"x"));
    let body = json!({"file_id": file, "part_info_list": [{"part_number": 1}]});
    assert_eq!(bed.refused("/v2/file/get_upload_url", body), (409, "AlreadyExist.File".into()));
    let body = json!({"file_id": "gone", "part_info_list": [{"part_number": 1}]});
    assert_eq!(
        bed.refused("/v2/file/get_upload_url", body),
        (400, "InvalidParameterMissing.UploadId".into())
    );
    let body = json!({"file_id": file, "upload_id": "gone", "part_info_list": [{"part_number": 1}]});
    assert_eq!(bed.refused("/v2/file/get_upload_url", body), (404, "NotFound.UploadId".into()));
}

#[test]
fn revisions_end_after_days() {
    let bed = Bed::with(|options| options.revision_days = 10);
    let day = std::time::Duration::from_secs(24 * 3600);
    let file = id(&bed.write("root", "a", b"one"));
    let revision = bed.file(&file)["revision_id"].clone();
    for bytes in [&b"two"[..], b"three"] {
        bed.write_as(json!({"parent_file_id": "root", "name": "a", "file_id": file}), bytes);
        bed.server.advance_clock(day * 6);
    }
    let count = || {
        let list = bed.expect(200, "/v2/file/revision/list", json!({"file_id": file}));
        list["items"].as_array().unwrap().len()
    };
    // The first was replaced 12 days ago, the second 6.
    assert_eq!(count(), 2);
    assert_eq!(
        bed.refused("/v2/file/revision/get", json!({"file_id": file, "revision_id": revision})).0,
        404
    );
    bed.server.advance_clock(day * 5);
    assert_eq!((count(), bed.read(&file)), (1, b"three".to_vec()));
    bed.server.advance_clock(day * 50);
    assert_eq!((count(), blobs(&bed)), (1, 1));
}
