//! Downloads: ranges with their quirks, headers, expiry (12, 19.3 rules 7 and 17).

use std::time::Duration;

use serde_json::json;

use super::server_support::{Bed, crc, id, noise, send, target};

// 12.2
#[test]
fn ranges_with_the_quirks_of_the_object_store() {
    let bed = Bed::new();
    let bytes = noise(31, 3_000_000);
    let file = bed.write("root", "a", &bytes);
    let url = bed.download_url(&id(&file));
    let size = bytes.len();
    let standard = ("x-oss-range-behavior", "standard");
    for (range, start, end) in [
        ("bytes=0-0".to_owned(), 0, 1),
        (format!("bytes=0-{}", size - 1), 0, size),
        ("bytes=1048575-1048577".to_owned(), 1_048_575, 1_048_578),
        (format!("bytes={}-", size - 5), size - 5, size),
        ("bytes=-7".to_owned(), size - 7, size),
    ] {
        for extra in [&[][..], &[standard]] {
            let answer = bed.get(&url, &[&[("range", range.as_str())], extra].concat());
            assert_eq!(answer.status, 206, "{range}");
            assert_eq!(answer.header("content-range"), format!("bytes {start}-{}/{size}", end - 1));
            assert_eq!(answer.header("x-oss-hash-crc64ecma"), crc(&bytes).to_string());
            assert!(answer.body == bytes[start..end], "{range}");
        }
    }
    for range in [format!("bytes=0-{size}"), format!("bytes={size}-"), format!("bytes={size}-{}", size + 1)] {
        let answer = bed.get(&url, &[("range", &range)]);
        assert_eq!((answer.status, answer.header("content-range")), (200, ""), "{range}");
        assert!(answer.body == bytes);
    }
    let clipped = bed.get(&url, &[("range", "bytes=2999999-9999999"), standard]);
    assert_eq!((clipped.status, clipped.body.len()), (206, 1));
    let beyond = bed.get(&url, &[("range", "bytes=3000000-"), standard]);
    assert_eq!(beyond.xml_error(), (416, "InvalidRange".into()));
    assert_eq!(bed.get(&url, &[("range", "bytes=0-1,5-6")]).status, 416);
}

#[test]
fn a_download_says_what_it_is() {
    let bed = Bed::new();
    let file = bed.write("root", "a \"b\" ü.txt", b"text");
    let url = bed.download_url(&id(&file));
    let answer = bed.get(&url, &[]);
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"text".as_slice()));
    for (name, value) in [
        ("content-length", "4"),
        ("accept-ranges", "bytes"),
        ("content-type", "text/plain"),
        ("content-disposition", "attachment; filename*=UTF-8''a%20%22b%22%20%C3%BC.txt"),
        ("server", "AliyunOSS"),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    assert!(answer.header("last-modified").ends_with("GMT"));
    assert!(!answer.header("x-oss-request-id").is_empty());
    let head = send(bed.address(), "HEAD", target(&url), &[], b"").unwrap();
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, "4", 0));
    assert_eq!(head.header("etag"), answer.header("etag"));
    let body = json!({"file_id": id(&file), "file_name": "x.bin", "response_content_type": "text/x-mine"});
    let reply = bed.expect(200, "/v2/file/get_download_url", body);
    assert_eq!((&reply["method"], &reply["size"]), (&json!("GET"), &json!(4)));
    assert_eq!(reply["crc64_hash"], file["crc64_hash"]);
    let answer = bed.get(reply["url"].as_str().unwrap(), &[]);
    assert_eq!(answer.header("content-type"), "text/x-mine");
    assert_eq!(answer.header("content-disposition"), "attachment; filename*=UTF-8''x.bin");
}

#[test]
fn urls_expire() {
    let bed = Bed::new();
    let file = bed.write("root", "a", b"text");
    let (get, upload) = (bed.download_url(&id(&file)), bed.create("root", "b", 1));
    bed.server.advance_clock(Duration::from_secs(890));
    assert_eq!(bed.get(&get, &[]).status, 200);
    bed.server.advance_clock(Duration::from_secs(20));
    for answer in [bed.get(&get, &[]), bed.put(&upload.urls[0], &[], b"x")] {
        assert_eq!(answer.xml_error(), (403, "AccessDenied".into()));
        assert!(answer.text().contains("Request has expired."));
        assert!(answer.text().contains("<EC>0002-00000069</EC>"));
        assert_eq!(answer.header("content-type"), "application/xml");
    }
    let again = bed.expect(
        200,
        "/v2/file/get_upload_url",
        upload.body_with("part_info_list", vec![json!({"part_number": 1})]),
    );
    assert_eq!(bed.put(again["part_info_list"][0]["upload_url"].as_str().unwrap(), &[], b"x").status, 200);
    let long =
        bed.expect(200, "/v2/file/get_download_url", json!({"file_id": id(&file), "expire_sec": 115_200}));
    bed.server.advance_clock(Duration::from_secs(115_000));
    assert_eq!(bed.get(long["url"].as_str().unwrap(), &[]).status, 200);
    let refused =
        bed.refused("/v2/file/get_download_url", json!({"file_id": id(&file), "expire_sec": 115_201}));
    assert_eq!(refused, (400, "InvalidParameter.ExpireSec".into()));
}

// 12.3
#[test]
fn the_download_endpoint_redirects() {
    let bed = Bed::new();
    let file = bed.write("root", "a", b"text");
    let path = format!("/v2/file/download?drive_id=1&file_id={}", id(&file));
    let answer = send(bed.address(), "GET", &path, &[("authorization", "Bearer secret")], b"").unwrap();
    assert_eq!(answer.status, 302);
    assert_eq!(bed.get(answer.header("location"), &[]).body, b"text");
    assert_eq!(send(bed.address(), "GET", &path, &[], b"").unwrap().status, 401);
}

#[test]
fn what_cannot_be_downloaded() {
    let bed = Bed::new();
    let folder = bed.mkdir("root", "f");
    let file = bed.write(&folder, "a", b"text");
    let url = bed.download_url(&id(&file));
    let refused = |id: &str| bed.refused("/v2/file/get_download_url", json!({"file_id": id}));
    assert_eq!(refused(&folder), (400, "InvalidResource.FileTypeFolder".into()));
    assert_eq!(refused("nobody"), (404, "NotFound.FileId".into()));
    bed.expect(204, "/v2/recyclebin/trash", json!({"file_id": folder}));
    assert_eq!(refused(&id(&file)), (403, "ForbiddenFileInTheRecycleBin".into()));
    bed.finish(&bed.expect(202, "/v2/recyclebin/clear", json!({})));
    assert_eq!(bed.get(&url, &[]).xml_error(), (404, "NoSuchKey".into()));
}

#[test]
fn signed_urls_start_with_the_public_url() {
    let bed = Bed::with(|options| options.public_url = Some("https://drive.example/pds/".into()));
    let upload = bed.create("root", "a", 1);
    let path = upload.urls[0].strip_prefix("https://drive.example/pds/").unwrap();
    let answer = send(bed.address(), "PUT", &format!("/{path}"), &[], b"x").unwrap();
    assert_eq!(answer.status, 200);
    assert!(bed.server.url().starts_with("http://127.0.0.1:"));
}
