//! The API client against a peer that misbehaves: every failure here is bytes on a real socket.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests.

mod scripted;

use std::collections::BTreeMap;
use std::time::Duration;

use pdsfs::error::{Error, Kind};
use pdsfs::pds::model::{DriveId, FileId, RevisionId, UploadId};
use pdsfs::pds::{
    Changed, CreateFile, Created, Credentials, DownloadUrl, Expect, NewAttributes, PartBody, PartRequest,
    PartUrl, Pds, PdsOptions, RangeBody, Secret, Update, UploadKey, code,
};
use scripted::{Request, Scripted, Step, bytes, lost, ok, refuse, slow_down, with_headers};
use serde_json::{Value, json};

fn file_json(change: Value) -> Value {
    let mut file = json!({"file_id": "f1", "drive_id": "1", "parent_file_id": "root", "name": "a.bin", "type": "file",
        "status": "available", "size": 9, "crc64_hash": "11051210869376104954", "revision_id": "r2"});
    if let (Value::Object(file), Value::Object(change)) = (&mut file, change) {
        file.extend(change);
    }
    file
}

fn id() -> FileId {
    FileId::from("f1")
}

fn lines(requests: &[Request]) -> Vec<&str> {
    requests.iter().map(Request::line).collect()
}

/// Nothing that is a secret, in anything a person or a log could see.
fn assert_discreet(error: &Error) {
    for text in [error.to_string(), format!("{error:?}")] {
        for secret in ["token-1", "hush", "Signature=", "?"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

// ---- metadata calls -------------------------------------------------------------------------------------

#[tokio::test]
async fn a_call_is_a_post_of_json_with_the_token() {
    let server = Scripted::start(|_| vec![ok(file_json(json!({})))]).await;
    let file = server.client().file(&id()).await.unwrap();
    assert_eq!((&*file.name, file.size), ("a.bin", 9));
    let requests = server.finish();
    assert_eq!(requests[0].line(), "POST /v2/file/get");
    assert_eq!(requests[0].header("authorization"), Some("Bearer token-1"));
    assert_eq!(requests[0].header("content-type"), Some("application/json"));
    assert_eq!(requests[0].json(), json!({"drive_id": "1", "file_id": "f1", "fields": "*"}));
}

#[tokio::test]
async fn trouble_passes_and_the_call_succeeds() {
    let troubles: Vec<(&str, Step)> = vec![
        ("lost reply", lost()),
        ("server error", refuse(500, "InternalError")),
        ("plain text of a gateway", Step::Answer(with_headers(502, &[], b"Bad Gateway"))),
        ("gateway timeout", Step::Answer(with_headers(504, &[("x-ca-error-code", "D504TO")], b""))),
        (
            "slow down",
            Step::Answer(with_headers(429, &[("x-retry-after", "5")], b"{\"code\":\"TooManyRequests\"}")),
        ),
        (
            "a body cut short",
            Step::Cut(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"file_id\"".to_vec()),
        ),
        ("a head cut short", Step::Cut(b"HTTP/1.1 200 OK\r\nContent-".to_vec())),
        ("not HTTP", Step::Cut(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec())),
    ];
    for (what, trouble) in troubles {
        let server = Scripted::start(|_| vec![trouble, ok(file_json(json!({})))]).await;
        let outcome = server.client().file(&id()).await;
        assert!(outcome.is_ok(), "{what}: {outcome:?}");
        assert_eq!(server.finish().len(), 2, "{what}");
    }
}

#[tokio::test]
async fn retries_end_and_the_error_tells_how_often() {
    let server = Scripted::start(|_| (0..4).map(|_| refuse(503, "ServiceUnavailable")).collect()).await;
    let error = server.client().file(&id()).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Unavailable, "ServiceUnavailable"));
    assert!(error.message().contains("after 4 tries"), "{error}");
    assert!(error.to_string().contains("\"f1\""), "{error}");
    server.finish();
}

#[tokio::test]
async fn a_pause_longer_than_the_call_may_take_is_not_waited_for() {
    let throttled = || Step::Answer(with_headers(429, &[("Retry-After", "3000")], b"{}"));
    let server = Scripted::start(|_| vec![throttled()]).await;
    let error = server.client().file(&id()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Throttled);
    server.finish();
}

#[tokio::test]
async fn the_pause_after_429_is_everyones() {
    // Longer than a call may take: so the second call fails without having been sent.
    let slow_down = Step::Answer(with_headers(429, &[("Retry-After", "3000")], b"{}"));
    let server = Scripted::start(|_| vec![slow_down]).await;
    let client = server.client();
    client.file(&id()).await.unwrap_err();
    let error = client.clone().drive().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Throttled);
    assert_eq!(server.finish().len(), 1);
}

#[tokio::test]
async fn refusals_are_not_repeated() {
    let refusals = [
        (404, "NotFound.FileId", Kind::NotFound),
        (400, "NotFound.File", Kind::NotFound),
        (403, "ForbiddenNoPermission.File", Kind::Denied),
        (403, "ForbiddenFileInTheRecycleBin", Kind::NotFound),
        (400, "InvalidParameter.FileId", Kind::Invalid),
    ];
    for (status, code, kind) in refusals {
        let server = Scripted::start(|_| vec![refuse(status, code)]).await;
        let error = server.client().file(&id()).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (kind, code));
        assert_eq!(server.finish().len(), 1);
    }
}

#[tokio::test]
async fn replies_that_make_no_sense_are_clear_errors() {
    let html = || with_headers(200, &[("Content-Type", "text/html")], b"<!doctype html><p>Please log in");
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("a captive portal", html(), "does not look like a PDS endpoint"),
        ("someone else's 404", with_headers(404, &[], b"<html>nginx"), "does not look like a PDS endpoint"),
        (
            "a redirect",
            with_headers(302, &[("Location", "/login?hush")], b""),
            "does not look like a PDS endpoint",
        ),
        ("not JSON", bytes(200, "{\"file_id\": \"f1\", "), "not JSON"),
        ("not an object", bytes(200, "[1,2]"), "not an object"),
        ("nothing", bytes(200, ""), "not an object"),
        ("no file_id", bytes(200, "{\"name\":\"x\"}"), "without file_id"),
        ("binary", with_headers(200, &[], &[0xff; 64]), "not JSON"),
    ];
    for (what, answer, sentence) in cases {
        let server = Scripted::start(|_| vec![Step::Answer(answer)]).await;
        let error = server.client().file(&id()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol, "{what}: {error}");
        assert!(error.message().contains(sentence), "{what}: {error}");
        assert_discreet(&error);
        assert_eq!(server.finish().len(), 1, "{what}");
    }
}

#[tokio::test]
async fn wrong_types_never_panic() {
    let wrong = json!({"items": [{"file_id": {}, "size": "many"}], "next_marker": 7, "cursor": [], "parts": 1,
        "uploaded_parts": [{"part_number": -1}], "part_info_list": "x", "upload_id": {}, "file_id": 3, "url": 4,
        "drive_id": false, "has_more": "yes", "exist": "no"});
    let server = Scripted::start(|_| (0..8).map(|_| ok(wrong.clone())).collect()).await;
    let client = server.client();
    let kind = |error: Error| assert_eq!(error.kind(), Kind::Protocol, "{error}");
    kind(client.drive().await.unwrap_err());
    kind(client.list(&FileId::root(), "").await.unwrap_err());
    kind(client.download_url(&id(), &RevisionId::from("")).await.unwrap_err());
    kind(client.last_cursor().await.unwrap_err());
    kind(client.delta("c").await.unwrap_err());
    kind(client.create_file(&new_file()).await.unwrap_err());
    kind(client.part_urls(&key(), &parts(1)).await.unwrap_err());
    kind(client.uploaded_parts(&key()).await.unwrap_err());
    server.finish();
}

#[tokio::test]
async fn a_reply_has_a_largest_size() {
    // 33 MiB of one string, in a reply that says nothing about its length.
    let mut answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\"".to_vec();
    answer.resize(answer.len() + 33 * 1024 * 1024, b'x');
    let server = Scripted::start(|_| vec![Step::Cut(answer)]).await;
    let error = server.client().file(&id()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol);
    assert!(error.message().contains("larger than"), "{error}");
}

#[tokio::test]
async fn silence_ends_at_the_deadline() {
    for silence in
        [Step::Stall(Vec::new()), Step::Stall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_vec())]
    {
        let server = Scripted::start(|_| vec![silence]).await;
        let options = PdsOptions { op_timeout: Duration::from_millis(200), retries: 0, ..server.options() };
        let error = Pds::new(options).unwrap().file(&id()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Timeout, "{error}");
        assert!(error.message().contains("does not answer"), "{error}");
    }
}

#[tokio::test]
async fn an_address_nobody_listens_at_is_named() {
    // Bound and not listening: nobody else can have the port, and connecting is refused.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let endpoint = format!("http://{}", socket.local_addr().unwrap());
    let credentials = Credentials::Token(Secret::from("token-1"));
    let options = PdsOptions { retries: 0, ..PdsOptions::new(endpoint, DriveId::from("1"), credentials) };
    let error = Pds::new(options).unwrap().drive().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert!(error.message().contains("cannot connect to 127.0.0.1:"), "{error}");
}

/// Compiles only if every call can be made from a task of its own.
#[test]
fn every_call_can_be_spawned() {
    fn sendable<T: Send>(_: impl FnOnce(&'static Pds, &'static FileId) -> T) {}
    sendable(|pds, _| pds.drive());
    sendable(|pds, _| pds.my_drives());
    sendable(|pds, id| pds.list(id, ""));
    sendable(|pds, id| pds.file(id));
    sendable(|pds, id| pds.create_folder(id, "", leak::<NewAttributes>()));
    sendable(|pds, _| pds.create_file(leak::<CreateFile>()));
    sendable(|pds, _| pds.part_urls(leak::<UploadKey>(), &[]));
    sendable(|pds, _| pds.put_part(leak::<PartUrl>(), PartBody::clone(leak::<PartBody>())));
    sendable(|pds, _| pds.uploaded_parts(leak::<UploadKey>()));
    sendable(|pds, _| pds.complete(leak::<UploadKey>(), expect()));
    sendable(|pds, id| pds.update(id, leak::<Update>()));
    sendable(|pds, id| pds.move_file(id, id, None));
    sendable(|pds, id| pds.copy(id, id, None));
    sendable(|pds, id| pds.trash(id));
    sendable(|pds, id| pds.delete(id));
    sendable(|pds, id| pds.put_tags(id, leak::<BTreeMap<String, String>>()));
    sendable(|pds, id| pds.delete_tags(id, &[]));
    sendable(|pds, id| pds.download_url(id, leak::<RevisionId>()));
    sendable(|pds, _| pds.get_range(leak::<DownloadUrl>(), 0..1, 1));
    sendable(|_, _| async { leak_mut::<RangeBody>().chunk().await });
    sendable(|pds, _| pds.last_cursor());
    sendable(|pds, _| pds.delta(""));

    fn leak<T>() -> &'static T {
        unreachable!("never called")
    }
    fn leak_mut<T>() -> &'static mut T {
        unreachable!("never called")
    }
}

// ---- tokens ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_token_file_is_read_again_when_the_token_is_refused() {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "old\n").unwrap();
    let path = token.path().to_owned();
    let renew = Box::new(move || std::fs::write(path, "new\n").unwrap());
    let refusal = Box::new(refuse(401, "AccessTokenExpired"));
    let server = Scripted::start(|_| {
        vec![Step::Meanwhile(renew, refusal), ok(file_json(json!({}))), ok(file_json(json!({})))]
    })
    .await;
    let credentials = Credentials::TokenFile(token.path().to_owned());
    let client = Pds::new(PdsOptions { credentials, ..server.options() }).unwrap();
    client.file(&id()).await.unwrap();
    client.file(&id()).await.unwrap();
    let sent: Vec<_> =
        server.finish().iter().map(|request| request.header("authorization").unwrap().to_owned()).collect();
    assert_eq!(sent, ["Bearer old", "Bearer new", "Bearer new"]);
}

#[tokio::test]
async fn a_token_nobody_renews_is_an_error_that_says_what_to_do() {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "token-1").unwrap();
    let file = Credentials::TokenFile(token.path().to_owned());
    for (credentials, advice) in
        [(file, "write a new one"), (Credentials::Token(Secret::from("token-1")), "--token-file")]
    {
        let server = Scripted::start(|_| vec![refuse(401, "AccessTokenInvalid")]).await;
        let error =
            Pds::new(PdsOptions { credentials, ..server.options() }).unwrap().drive().await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (Kind::Unauthenticated, "AccessTokenInvalid"));
        assert!(error.message().contains(advice), "{error}");
        assert_discreet(&error);
        server.finish();
    }
}

#[tokio::test]
async fn a_new_token_that_is_refused_too_is_an_error() {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "old").unwrap();
    let path = token.path().to_owned();
    let renew = Box::new(move || std::fs::write(path, "new").unwrap());
    let refusal = || refuse(401, "AccessTokenInvalid");
    let server = Scripted::start(|_| vec![Step::Meanwhile(renew, Box::new(refusal())), refusal()]).await;
    let credentials = Credentials::TokenFile(token.path().to_owned());
    let client = Pds::new(PdsOptions { credentials, ..server.options() }).unwrap();
    assert_eq!(client.drive().await.unwrap_err().kind(), Kind::Unauthenticated);
    server.finish();
}

// ---- upload ---------------------------------------------------------------------------------------------

fn new_file() -> CreateFile {
    CreateFile {
        parent: FileId::root(),
        name: "a.bin".to_owned(),
        overwrite: None,
        size: Some(9),
        content_hash: None,
        parallel: false,
        parts: parts(1),
        content_type: None,
        attributes: NewAttributes::default(),
    }
}

fn parts(count: u32) -> Vec<PartRequest> {
    (1..=count).map(|number| PartRequest { number, sha1_context: None }).collect()
}

fn key() -> UploadKey {
    UploadKey { file: id(), upload: UploadId::from("u1") }
}

fn expect() -> Expect {
    Expect {
        crc64: 11_051_210_869_376_104_954,
        size: 9,
        sha1: None,
        base_revision: Some(RevisionId::from("r1")),
    }
}

#[tokio::test]
async fn a_folder_found_after_a_lost_reply_is_ours_and_otherwise_it_is_not() {
    let folder =
        |exist: bool| ok(json!({"file_id": "d", "type": "folder", "file_name": "docs", "exist": exist}));
    let file = ok(json!({"file_id": "d", "type": "file", "exist": true}));
    let cases = [
        (vec![folder(false)], "made"),
        (vec![lost(), folder(true)], "made"),
        (vec![slow_down(), folder(true)], "exists"),
        (vec![folder(true)], "exists"),
        (vec![lost(), file], "exists"),
    ];
    for (steps, outcome) in cases {
        let server = Scripted::start(|_| steps).await;
        let created = server.client().create_folder(&FileId::root(), "docs", &NewAttributes::default()).await;
        match created.unwrap() {
            Created::Folder(id) => assert_eq!((id.as_str(), outcome), ("d", "made")),
            Created::Exists(existing) => assert_eq!((existing.id.as_str(), outcome), ("d", "exists")),
            other => panic!("{other:?}"),
        }
        server.finish();
    }
}

#[tokio::test]
async fn creating_a_file_ends_in_every_way_the_service_has() {
    let upload = |base: &str, exist: bool| {
        ok(json!({"file_id": "f1", "upload_id": "u1", "file_name": "a.bin", "type": "file", "exist": exist,
            "part_info_list": [{"part_number": 1, "upload_url": format!("{base}/p?Signature=hush"), "content_type": ""}]}))
    };
    // An upload, also when the first reply was lost.
    let server = Scripted::start(|base| vec![lost(), upload(base, false)]).await;
    let created = server.client().create_file(&new_file()).await.unwrap();
    let Created::Upload { key: made, urls, final_name } = created else { panic!("{created:?}") };
    assert_eq!((made, urls.len(), &*final_name), (key(), 1, "a.bin"));
    assert!(!format!("{urls:?}").contains("hush"));
    server.finish();

    // The name is taken.
    let server =
        Scripted::start(|_| vec![ok(json!({"file_id": "x", "type": "folder", "exist": true}))]).await;
    let created = server.client().create_file(&new_file()).await.unwrap();
    assert!(matches!(&created, Created::Exists(existing) if existing.id.as_str() == "x"), "{created:?}");

    // The name is taken, says a deployment that answers with an error and not with who has it.
    let check = ok(json!({"result_code": "NameCheckFailed.ExistSameNameFile",
        "name_check_result": {"exist_file_id": "x", "exist_file_type": "folder"}}));
    let server = Scripted::start(|_| vec![refuse(409, "AlreadyExist.File"), check]).await;
    let created = server.client().create_file(&new_file()).await.unwrap();
    assert!(matches!(&created, Created::Exists(existing) if existing.id.as_str() == "x"), "{created:?}");
    server.finish();

    // The name check trips over the very file that is overwritten.
    let server =
        Scripted::start(|base| vec![ok(json!({"file_id": "f1", "exist": true})), upload(base, true)]).await;
    let overwrite = CreateFile { overwrite: Some(id()), ..new_file() };
    let created = server.client().create_file(&overwrite).await.unwrap();
    assert!(matches!(created, Created::Upload { .. }), "{created:?}");
    let modes: Vec<_> =
        server.finish().iter().map(|request| request.json()["check_name_mode"].clone()).collect();
    assert_eq!(modes, ["refuse", "ignore"]);

    // The service has the bytes; also when that reply was lost.
    let hash = "F7C3BC1D808E04732ADF679965CCC34CA7AE3441";
    let rapid = ok(json!({"file_id": "f1", "rapid_upload": true, "revision_id": "r2"}));
    let found = ok(file_json(json!({"content_hash": hash})));
    for steps in
        [vec![rapid], vec![lost(), ok(json!({"file_id": "f1", "type": "file", "exist": true})), found]]
    {
        let server = Scripted::start(|_| steps).await;
        let request = CreateFile { content_hash: Some(hash.to_owned()), ..new_file() };
        let created = server.client().create_file(&request).await.unwrap();
        assert!(
            matches!(&created, Created::Rapid { revision, .. } if revision.as_str() == "r2"),
            "{created:?}"
        );
        server.finish();
    }

    // No parallel mode here.
    let server = Scripted::start(|_| vec![refuse(400, code::PARALLEL_REFUSED)]).await;
    let error = server.client().create_file(&new_file()).await.unwrap_err();
    assert_eq!(error.code(), code::PARALLEL_REFUSED);
}

#[tokio::test]
async fn part_urls_come_in_the_order_asked_or_not_at_all() {
    let item = |number: u32| json!({"part_number": number, "upload_url": format!("http://h/{number}")});
    let server = Scripted::start(|_| {
        vec![
            ok(json!({"part_info_list": [item(2), item(7)]})),
            ok(json!({"part_info_list": [item(2)]})),
            ok(json!({"part_info_list": [{"part_number": 2, "upload_url": "ftp://h/"}]})),
        ]
    })
    .await;
    let asked = [7, 2].map(|number| PartRequest { number, sha1_context: None });
    let urls = server.client().part_urls(&key(), &asked).await.unwrap();
    assert_eq!(urls.iter().map(|url| url.number).collect::<Vec<_>>(), [7, 2]);
    for _ in 0..2 {
        assert_eq!(server.client().part_urls(&key(), &asked).await.unwrap_err().kind(), Kind::Protocol);
    }
}

#[tokio::test]
async fn the_list_of_parts_is_read_to_its_end() {
    let part = |number: u32| json!({"part_number": number, "part_size": 100, "etag": "\"aB\""});
    let server = Scripted::start(|_| {
        vec![
            ok(json!({"uploaded_parts": [part(2), part(1)], "next_part_number_marker": "2"})),
            ok(json!({"uploaded_parts": [part(3)], "next_part_number_marker": "0"})),
        ]
    })
    .await;
    let listed = server.client().uploaded_parts(&key()).await.unwrap();
    assert_eq!(
        listed.iter().map(|part| (part.number, part.len)).collect::<Vec<_>>(),
        [(1, 100), (2, 100), (3, 100)]
    );
    assert_eq!(listed[0].etag.as_deref(), Some("AB"));
    let requests = server.finish();
    assert_eq!(requests[0].json().get("part_number_marker"), None);
    assert_eq!(requests[1].json()["part_number_marker"], 2);

    let server = Scripted::start(|_| {
        vec![
            ok(json!({"uploaded_parts": [part(1)], "next_part_number_marker": "1"})),
            ok(json!({"uploaded_parts": [part(1)], "next_part_number_marker": "1"})),
        ]
    })
    .await;
    assert_eq!(server.client().uploaded_parts(&key()).await.unwrap_err().kind(), Kind::Protocol);
}

#[tokio::test]
async fn complete_is_checked_and_a_lost_reply_is_settled_by_looking() {
    let done = || ok(file_json(json!({})));
    let dead = || refuse(404, "NotFound.UploadId");
    let old = || ok(file_json(json!({"revision_id": "r1"})));
    let absent = || refuse(404, "NotFound.FileId");
    type Outcome = Result<(), (Kind, &'static str)>;
    let cases: Vec<(&str, Vec<Step>, Outcome)> = vec![
        ("at once", vec![done()], Ok(())),
        ("lost, asked again, dead, there", vec![lost(), dead(), done()], Ok(())),
        ("gateway timeout, dead, there", vec![refuse(504, "D504TO"), dead(), done()], Ok(())),
        ("dead from the start, there", vec![dead(), done()], Ok(())),
        ("dead, not there", vec![dead(), absent()], Err((Kind::NotFound, code::UPLOAD_NOT_FOUND))),
        (
            "dead, still the old revision",
            vec![lost(), dead(), old()],
            Err((Kind::NotFound, code::UPLOAD_NOT_FOUND)),
        ),
        ("always lost, there", vec![lost(), lost(), lost(), lost(), done()], Ok(())),
        (
            "always lost, not there",
            vec![lost(), lost(), lost(), lost(), absent()],
            Err((Kind::Unavailable, "")),
        ),
        ("a reply that is no File, there", vec![Step::Answer(bytes(200, "{}")), done()], Ok(())),
        ("a web page, there", vec![Step::Answer(bytes(200, "<html>")), done()], Ok(())),
        ("drive full", vec![refuse(403, "QuotaExhausted.Drive")], Err((Kind::Quota, "QuotaExhausted.Drive"))),
        ("other size", vec![ok(file_json(json!({"size": 8})))], Err((Kind::Corrupt, ""))),
        ("other CRC", vec![ok(file_json(json!({"crc64_hash": "1"})))], Err((Kind::Corrupt, ""))),
        (
            "CRC refused",
            vec![refuse(400, "InvalidParameterNotMatch.Crc64Hash")],
            Err((Kind::Corrupt, "InvalidParameterNotMatch.Crc64Hash")),
        ),
    ];
    for (what, steps, outcome) in cases {
        let server = Scripted::start(|_| steps).await;
        let completed = server.client().complete(&key(), expect()).await;
        match (completed, outcome) {
            (Ok(file), Ok(())) => assert_eq!(file.revision.as_str(), "r2", "{what}"),
            (Err(error), Err(expected)) => {
                assert_eq!((error.kind(), error.code()), expected, "{what}: {error}")
            }
            (got, _) => panic!("{what}: {got:?}"),
        }
        server.finish();
    }
}

// ---- changes --------------------------------------------------------------------------------------------

fn rename() -> Update {
    Update { name: Some("b.bin".to_owned()), ..Update::default() }
}

fn exists_as(changed: Changed, other: &str) {
    assert!(matches!(&changed, Changed::Exists { id } if id.as_str() == other), "{changed:?}");
}

fn done_as(changed: Changed, name: &str) {
    assert!(matches!(&changed, Changed::Done(file) if *file.name == *name), "{changed:?}");
}

#[tokio::test]
async fn a_taken_name_is_told_in_both_dialects() {
    let server = Scripted::start(|_| vec![ok(file_json(json!({"file_id": "x", "exist": true})))]).await;
    exists_as(server.client().update(&id(), &rename()).await.unwrap(), "x");
    server.finish();

    let check = || ok(json!({"name_check_result": {"exist_file_id": "x", "exist_file_type": "file"}}));
    let get = || ok(file_json(json!({})));
    let server = Scripted::start(|_| vec![refuse(409, "AlreadyExist.File"), get(), check()]).await;
    exists_as(server.client().update(&id(), &rename()).await.unwrap(), "x");
    assert_eq!(server.finish()[2].json()["name"], "b.bin");

    let server = Scripted::start(|_| vec![refuse(409, "AlreadyExist.File"), get(), check()]).await;
    exists_as(server.client().move_file(&id(), &FileId::from("d"), None).await.unwrap(), "x");
    assert_eq!(server.finish()[2].json()["parent_file_id"], "d");

    // Nobody can say who it is: an honest error.
    let server =
        Scripted::start(|_| vec![refuse(409, "AlreadyExist.File"), get(), refuse(404, "I404NF")]).await;
    let error = server.client().update(&id(), &rename()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Exists);
}

#[tokio::test]
async fn a_change_whose_replies_are_all_lost_is_settled_by_looking() {
    let all_lost = |last: Value| {
        let mut steps: Vec<_> = (0..4).map(|_| lost()).collect();
        steps.push(ok(file_json(last)));
        steps
    };
    let server = Scripted::start(|_| all_lost(json!({"name": "b.bin"}))).await;
    done_as(server.client().update(&id(), &rename()).await.unwrap(), "b.bin");
    server.finish();

    let server = Scripted::start(|_| all_lost(json!({}))).await;
    let error = server.client().update(&id(), &rename()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    server.finish();

    let server = Scripted::start(|_| all_lost(json!({"parent_file_id": "d"}))).await;
    done_as(server.client().move_file(&id(), &FileId::from("d"), None).await.unwrap(), "a.bin");
    server.finish();

    let server = Scripted::start(|_| all_lost(json!({"parent_file_id": "elsewhere"}))).await;
    server.client().move_file(&id(), &FileId::from("d"), None).await.unwrap_err();
    server.finish();
}

#[tokio::test]
async fn moving_and_renaming_at_once_works_with_services_that_cannot() {
    let target = FileId::from("d");
    let moved = || ok(json!({"file_id": "f1", "exist": false, "async_task_id": ""}));
    let at = |parent: &str, name: &str| ok(file_json(json!({"parent_file_id": parent, "name": name})));
    // It can: seen once, believed from then on.
    let server =
        Scripted::start(|_| vec![at("root", "a.bin"), moved(), at("d", "b.bin"), moved(), at("d", "b.bin")])
            .await;
    let client = server.client();
    done_as(client.move_file(&id(), &target, Some("b.bin")).await.unwrap(), "b.bin");
    done_as(client.move_file(&id(), &target, Some("b.bin")).await.unwrap(), "b.bin");
    server.finish();
    // It ignores the name: a second call.
    let server =
        Scripted::start(|_| vec![at("root", "a.bin"), moved(), at("d", "a.bin"), at("d", "b.bin")]).await;
    done_as(server.client().move_file(&id(), &target, Some("b.bin")).await.unwrap(), "b.bin");
    assert_eq!(lines(&server.finish())[3], "POST /v2/file/update");
    // The name is taken there: back it goes.
    let taken = ok(file_json(json!({"file_id": "x", "exist": true})));
    let server = Scripted::start(|_| {
        vec![at("root", "a.bin"), moved(), at("d", "a.bin"), taken, moved(), at("root", "a.bin")]
    })
    .await;
    exists_as(server.client().move_file(&id(), &target, Some("b.bin")).await.unwrap(), "x");
    let requests = server.finish();
    assert_eq!(requests[4].json()["to_parent_file_id"], "root");
    // The old name is taken there, which says nothing about the new one.
    let other = ok(json!({"file_id": "x", "exist": true}));
    let named = ok(file_json(json!({"file_id": "x", "name": "a.bin"})));
    let server = Scripted::start(|_| vec![at("root", "a.bin"), other, named]).await;
    let error = server.client().move_file(&id(), &target, Some("b.bin")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    server.finish();
}

#[tokio::test]
async fn gone_after_a_lost_reply_is_success_and_otherwise_it_is_not() {
    let gone = || refuse(404, "NotFound.FileId");
    let none = || Step::Answer(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec());
    for (steps, done) in [
        (vec![none()], true),
        (vec![ok(json!({"async_task_id": ""}))], true),
        (vec![lost(), gone()], true),
        (vec![refuse(500, "InternalError"), gone()], true),
        (vec![gone()], false),
        (vec![slow_down(), gone()], false),
    ] {
        let count = steps.len();
        let server = Scripted::start(|_| steps).await;
        let outcome = server.client().trash(&id()).await;
        assert_eq!(outcome.is_ok(), done, "{outcome:?}");
        assert_eq!(server.finish().len(), count);
    }
}

#[tokio::test]
async fn a_background_task_is_waited_for() {
    let accepted = || Step::Answer(bytes(202, "{\"file_id\":\"f1\",\"async_task_id\":\"t\"}"));
    let state = |state: &str| ok(json!({"async_task_id": "t", "state": state}));
    let server = Scripted::start(|_| vec![accepted(), state("Running"), lost(), state("Succeed")]).await;
    server.client().delete(&id()).await.unwrap();
    let requests = server.finish();
    assert_eq!(requests[0].json()["permanently"], true);
    assert_eq!(lines(&requests)[3], "POST /v2/async_task/get");

    let failed = ok(json!({"state": "PartialSucceed", "error_code": "ForbiddenNoPermission.File",
        "error_message": "some are not yours"}));
    let server = Scripted::start(|_| vec![accepted(), failed]).await;
    let error = server.client().trash(&id()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.message().contains("some are not yours"), "{error}");
    server.finish();
}

#[tokio::test]
async fn a_copy_is_sent_once() {
    let server = Scripted::start(|_| vec![lost()]).await;
    let error = server.client().copy(&id(), &FileId::root(), None).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    server.finish();
    // Told to slow down it was not done, so it may be sent again.
    let server = Scripted::start(|_| {
        vec![slow_down(), Step::Answer(bytes(201, "{\"file_id\":\"copy\",\"async_task_id\":\"\"}"))]
    })
    .await;
    assert_eq!(server.client().copy(&id(), &FileId::root(), None).await.unwrap().as_str(), "copy");
    server.finish();
}
