//! Parts and ranges against a peer that misbehaves: what is really on the wire, and every way a transfer ends.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

mod scripted;

use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use pdsfs::error::{Error, Kind};
use pdsfs::pds::model::{FileId, RevisionId, UploadId};
use pdsfs::pds::{DownloadUrl, PartBody, PartRequest, PartUrl, Pds, PdsOptions, UploadKey, code, is_expired};
use scripted::{Scripted, Step, lost, ok, refuse_xml, with_headers};
use serde_json::json;

fn bytes_of(len: usize) -> Vec<u8> {
    (0..len as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn crc(bytes: &[u8]) -> u64 {
    let mut digest = crc64fast::Digest::new();
    digest.write(bytes);
    digest.sum64()
}

fn body(bytes: &[u8]) -> PartBody {
    let file = tempfile::tempfile().unwrap();
    // Not at the start, so that the offset matters.
    file.write_all_at(b"before", 0).unwrap();
    file.write_all_at(bytes, 6).unwrap();
    file.write_all_at(b"after", 6 + bytes.len() as u64).unwrap();
    PartBody { file: Arc::new(file), offset: 6, len: bytes.len() as u64 }
}

/// What the service says about a part.
fn stored(crc64: u64) -> Step {
    let crc64 = crc64.to_string();
    Step::Answer(with_headers(200, &[("ETag", "\"ab12\""), ("x-oss-hash-crc64ecma", &*crc64)], b""))
}

/// A peer that first gives a part URL of its own, and that URL.
async fn part_server(content_type: &str, steps: Vec<Step>) -> (Scripted, PartUrl) {
    let server = Scripted::start(|base| {
        let url = format!("{base}/bucket/key?partNumber=3&Signature=hush");
        let item = json!({"part_number": 3, "upload_url": url, "content_type": content_type});
        let mut script = vec![ok(json!({"part_info_list": [item]}))];
        script.extend(steps);
        script
    })
    .await;
    let key = UploadKey { file: FileId::from("f1"), upload: UploadId::from("u1") };
    let asked = [PartRequest { number: 3, sha1_context: None }];
    let url = server.client().part_urls(&key, &asked).await.unwrap().remove(0);
    (server, url)
}

/// A peer that first gives a download URL of its own, and that URL.
async fn range_server(crc64: u64, steps: Vec<Step>) -> (Scripted, DownloadUrl) {
    let server = Scripted::start(|base| {
        let url = format!("{base}/bucket/key?Signature=hush");
        let mut script = vec![ok(json!({"url": url, "size": 100, "crc64_hash": crc64.to_string()}))];
        script.extend(steps);
        script
    })
    .await;
    let url = server.client().download_url(&FileId::from("f1"), &RevisionId::from("r1")).await.unwrap();
    assert_eq!((url.size, url.crc64), (Some(100), Some(crc64)));
    (server, url)
}

fn short_stall(server: &Scripted) -> Pds {
    let stall_timeout = Duration::from_millis(300);
    Pds::new(PdsOptions { stall_timeout, retries: 0, ..server.options() }).unwrap()
}

fn assert_discreet(error: &Error) {
    for text in [error.to_string(), format!("{error:?}")] {
        for secret in ["token-1", "hush", "Signature=", "?"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[tokio::test]
async fn a_broken_connection_does_not_tell_the_url() {
    let (server, url) = part_server("", vec![lost()]).await;
    let error = short_stall(&server).put_part(&url, body(b"abc")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_discreet(&error);
    let (server, url) = range_server(7, vec![lost()]).await;
    let error = short_stall(&server).get_range(&url, 0..9, 100).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_discreet(&error);
}

// ---- parts ----------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_part_is_sent_with_its_length_its_type_and_no_token() {
    for (content_type, len) in [("", 700_001), ("image/jpeg", 65_536), ("", 0)] {
        let bytes = bytes_of(len);
        let (server, url) = part_server(content_type, vec![stored(crc(&bytes))]).await;
        let receipt = server.client().put_part(&url, body(&bytes)).await.unwrap();
        assert_eq!((receipt.crc64, receipt.sent_crc64), (Some(crc(&bytes)), crc(&bytes)));
        assert_eq!(receipt.etag.as_deref(), Some("AB12"));
        let put = server.finish().remove(1);
        assert_eq!(put.line(), "PUT /bucket/key?partNumber=3&Signature=hush");
        assert_eq!(put.header("content-length"), Some(&*len.to_string()));
        assert_eq!(put.header("content-type"), Some(content_type).filter(|text| !text.is_empty()));
        for absent in ["authorization", "transfer-encoding", "expect", "referer", "content-md5"] {
            assert_eq!(put.header(absent), None, "{}", put.head);
        }
        assert!(put.body == bytes, "the body differs");
    }
}

#[tokio::test]
async fn a_part_is_sent_again_after_transient_trouble() {
    let bytes = bytes_of(300_000);
    let trouble = vec![
        lost(),
        refuse_xml(503, "ServiceUnavailable", "busy"),
        Step::Answer(with_headers(504, &[], b"")),
    ];
    let (server, url) = part_server("", trouble.into_iter().chain([stored(crc(&bytes))]).collect()).await;
    server.client().put_part(&url, body(&bytes)).await.unwrap();
    for put in &server.finish()[1..] {
        assert!(put.body == bytes, "each try sends all of it");
    }
}

#[tokio::test]
async fn refusals_of_a_part_are_recognisable_and_not_repeated() {
    let cases = [
        (403, "AccessDenied", "Request has expired.", code::EXPIRED, Kind::Unavailable),
        (403, "AccessDenied", "IP Control Policy", "AccessDenied", Kind::Denied),
        (409, "PartAlreadyExist", "you can't overwrite", code::PART_ALREADY_EXIST, Kind::Protocol),
        (400, "PartNotSequential", "no", code::PART_NOT_SEQUENTIAL, Kind::Protocol),
        (404, "NoSuchUpload", "gone", code::NO_SUCH_UPLOAD, Kind::NotFound),
        (403, "SignatureDoesNotMatch", "no", "SignatureDoesNotMatch", Kind::Protocol),
    ];
    for (status, xml_code, message, code, kind) in cases {
        let (server, url) = part_server("", vec![refuse_xml(status, xml_code, message)]).await;
        let error = server.client().put_part(&url, body(b"abc")).await.unwrap_err();
        assert_eq!((error.code(), error.kind()), (code, kind));
        assert_eq!(is_expired(&error), code == code::EXPIRED);
        assert!(error.to_string().contains("part 3"), "{error}");
        assert_discreet(&error);
        server.finish();
    }
}

#[tokio::test]
async fn a_part_stored_differently_is_corrupt() {
    let (server, url) = part_server("", vec![stored(1)]).await;
    let error = server.client().put_part(&url, body(b"abc")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    server.finish();
}

#[tokio::test]
async fn a_refusal_before_the_body_is_heard() {
    let expired = b"<Error><Code>AccessDenied</Code><Message>Request has expired.</Message></Error>";
    let (server, url) = part_server("", vec![Step::Early(with_headers(403, &[], expired))]).await;
    let error = server.client().put_part(&url, body(&bytes_of(8 << 20))).await.unwrap_err();
    assert!(is_expired(&error), "{error}");
}

#[tokio::test]
async fn a_success_before_the_body_is_not_believed() {
    let (server, url) = part_server("", vec![Step::Early(with_headers(200, &[], b""))]).await;
    let error = server.client().put_part(&url, body(&bytes_of(64 << 20))).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol, "{error}");
}

#[tokio::test]
async fn a_local_file_that_is_too_short_is_a_local_error() {
    let (server, url) = part_server("", Vec::new()).await;
    let mut short = body(&bytes_of(300_000));
    short.len += 6;
    let error = server.client().put_part(&url, short).await.unwrap_err();
    assert!(matches!(error.kind(), Kind::Local(_)), "{error:?}");
}

#[tokio::test]
async fn a_part_nobody_reads_or_acknowledges_times_out() {
    for silence in [Step::Stall(Vec::new()), Step::Deaf] {
        let (server, url) = part_server("", vec![silence]).await;
        let error = short_stall(&server).put_part(&url, body(&bytes_of(32 << 20))).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Timeout, "{error}");
        assert_discreet(&error);
    }
}

// ---- ranges ---------------------------------------------------------------------------------------------

async fn all(client: &Pds, url: &DownloadUrl, range: std::ops::Range<u64>) -> Result<Vec<u8>, Error> {
    let mut body = client.get_range(url, range, 100).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = body.chunk().await? {
        bytes.extend_from_slice(&chunk);
    }
    assert_eq!(body.left(), 0);
    Ok(bytes)
}

fn partial(content_range: &str, body: &[u8]) -> Vec<u8> {
    with_headers(206, &[("Content-Range", content_range), ("x-oss-hash-crc64ecma", "7")], body)
}

#[tokio::test]
async fn a_range_is_asked_for_exactly_and_clamped() {
    let bytes = bytes_of(100);
    let answers = vec![
        Step::Answer(partial("bytes 10-19/100", &bytes[10..20])),
        Step::Answer(partial("bytes 90-99/100", &bytes[90..])),
        Step::Answer(with_headers(200, &[], &bytes)),
    ];
    let (server, url) = range_server(7, answers).await;
    let client = server.client();
    assert_eq!(all(&client, &url, 10..20).await.unwrap(), &bytes[10..20]);
    assert_eq!(all(&client, &url, 90..1000).await.unwrap(), &bytes[90..]);
    assert_eq!(all(&client, &url, 0..100).await.unwrap(), bytes);
    assert_eq!(all(&client, &url, 100..200).await.unwrap_err().kind(), Kind::Invalid);
    let requests = server.finish();
    assert_eq!(requests[1].line(), "GET /bucket/key?Signature=hush");
    let ranges: Vec<_> = requests[1..].iter().map(|request| request.header("range").unwrap()).collect();
    assert_eq!(ranges, ["bytes=10-19", "bytes=90-99", "bytes=0-99"]);
    assert_eq!(requests[1].header("authorization"), None);
}

#[tokio::test]
async fn an_answer_that_is_not_the_range_is_refused() {
    let ten = bytes_of(10);
    let answers = [
        ("the whole object", with_headers(200, &[], &bytes_of(100))),
        ("the right length of no range", with_headers(200, &[], &ten)),
        ("another range", partial("bytes 0-9/100", &ten)),
        ("another object", partial("bytes 10-19/101", &ten)),
        ("another length", partial("bytes 10-19/100", &bytes_of(11))),
        ("no range", with_headers(206, &[], &ten)),
        ("a redirect", with_headers(302, &[("Location", "http://127.0.0.1:1/")], b"")),
        ("range refused", with_headers(416, &[], b"<Error><Code>InvalidRange</Code></Error>")),
    ];
    for (what, answer) in answers {
        let (server, url) = range_server(7, vec![Step::Answer(answer)]).await;
        let error = server.client().get_range(&url, 10..20, 100).await.err().unwrap();
        assert_eq!(error.kind(), Kind::Protocol, "{what}: {error}");
        assert_discreet(&error);
        server.finish();
    }
    let (server, url) = range_server(8, vec![Step::Answer(partial("bytes 10-19/100", &ten))]).await;
    assert_eq!(server.client().get_range(&url, 10..20, 100).await.err().unwrap().kind(), Kind::Corrupt);
}

#[tokio::test]
async fn a_range_is_never_silently_short_or_long() {
    let ten = bytes_of(10);
    let cut = b"HTTP/1.1 206 P\r\nContent-Range: bytes 10-19/100\r\nContent-Length: 10\r\n\r\nabc".to_vec();
    let unmeasured = |body: &[u8]| {
        let mut answer =
            b"HTTP/1.1 206 P\r\nContent-Range: bytes 10-19/100\r\nConnection: close\r\n\r\n".to_vec();
        answer.extend_from_slice(body);
        answer
    };
    for (what, answer, kind) in [
        ("cut", cut, Kind::Unavailable),
        ("short", unmeasured(&ten[..9]), Kind::Unavailable),
        ("long", unmeasured(&bytes_of(11)), Kind::Protocol),
    ] {
        let (server, url) = range_server(7, vec![Step::Cut(answer)]).await;
        let error = all(&server.client(), &url, 10..20).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{what}: {error}");
        assert_discreet(&error);
        server.finish();
    }
}

#[tokio::test]
async fn a_silent_transfer_times_out() {
    let begun = b"HTTP/1.1 206 P\r\nContent-Range: bytes 10-19/100\r\nContent-Length: 10\r\n\r\nabc".to_vec();
    for silence in [Step::Stall(Vec::new()), Step::Stall(begun)] {
        let (server, url) = range_server(7, vec![silence]).await;
        let error = all(&short_stall(&server), &url, 10..20).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Timeout, "{error}");
        server.finish();
    }
}

#[tokio::test]
async fn an_expired_or_missing_object_is_recognisable() {
    let (server, url) = range_server(7, vec![refuse_xml(403, "AccessDenied", "Request has expired.")]).await;
    let error = server.client().get_range(&url, 0..9, 100).await.err().unwrap();
    assert!(is_expired(&error), "{error}");
    let (server2, url) = range_server(7, vec![refuse_xml(404, "NoSuchKey", "gone")]).await;
    let error = server2.client().get_range(&url, 0..9, 100).await.err().unwrap();
    assert_eq!((error.kind(), error.code()), (Kind::NotFound, code::NO_SUCH_KEY));
    server.finish();
    server2.finish();
}

#[tokio::test]
async fn a_range_is_asked_for_again_after_transient_trouble() {
    let ten = bytes_of(10);
    let steps =
        vec![lost(), refuse_xml(500, "InternalError", "no"), Step::Answer(partial("bytes 10-19/100", &ten))];
    let (server, url) = range_server(7, steps).await;
    assert_eq!(all(&server.client(), &url, 10..20).await.unwrap(), ten);
    server.finish();
}

#[tokio::test]
async fn metadata_does_not_queue_behind_data() {
    let begun = b"HTTP/1.1 206 P\r\nContent-Range: bytes 10-19/100\r\nContent-Length: 10\r\n\r\nabc".to_vec();
    let drive = ok(json!({"drive_id": "1", "total_size": 10, "used_size": 1}));
    let (server, url) = range_server(7, vec![Step::Stall(begun), drive]).await;
    let client = Pds::new(PdsOptions { connections: 1, ..server.options() }).unwrap();
    let held = client.get_range(&url, 10..20, 100).await.unwrap();
    assert_eq!(client.drive().await.unwrap().used_bytes, 1);
    drop(held);
    server.finish();
}
