//! The control endpoint, and faults ordered in words.

use std::io::{Read, Write};
use std::net::TcpStream;

use pdsfs::server::Accounts;
use serde_json::{Value, json};

use super::server_support::{Answer, Bed, crc, send, sha1};

fn control(bed: &Bed, verb: &str, body: &Value) -> Answer {
    bed.call(&format!("/control/{verb}"), body)
}

/// Orders one fault instead of whatever was ordered.
#[track_caller]
fn order(bed: &Bed, words: &str) {
    let answer = control(bed, "faults", &json!({"clear": true, "add": [words]}));
    assert_eq!(answer.json()["faults"], json!([words]), "{}", answer.text());
}

fn list(bed: &Bed) -> Answer {
    bed.call("/v2/file/list", &json!({"drive_id": "1", "parent_file_id": "root"}))
}

#[test]
fn control_needs_the_servers_own_token() {
    let accounts = r#"{"users": [{"user_id": "root", "password": "p", "role": "superadmin"}],
        "apps": [{"client_id": "a", "redirect_uris": ["http://h/"]}]}"#;
    let bed = Bed::with(|options| options.accounts = Accounts::parse(accounts).unwrap());
    for headers in [&[][..], &[("authorization", "Bearer x")]] {
        let answer = send(bed.address(), "POST", "/control/clock", headers, b"{}").unwrap();
        assert_eq!(answer.error(), (401, "AccessTokenInvalid".into()));
    }
    // A superadmin's token is not the server's.
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let query = "client_id=a&redirect_uri=http%3A%2F%2Fh%2F&response_type=code&login_type=default\
        &user_name=root&password=p";
    let code = send(bed.address(), "POST", "/v2/oauth/authorize", &form, query.as_bytes()).unwrap();
    let code = code.header("location").split_once("code=").unwrap().1.to_owned();
    let trade = format!("grant_type=code&client_id=a&redirect_uri=http%3A%2F%2Fh%2F&code={code}");
    let token = send(bed.address(), "POST", "/v2/oauth/token", &form, trade.as_bytes()).unwrap().json();
    let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
    let answer = send(bed.address(), "POST", "/control/clock", &[("authorization", &bearer)], b"{}").unwrap();
    assert_eq!(answer.error(), (403, "Forbidden".into()));
    assert_eq!(control(&bed, "explode", &json!({})).error(), (404, "NotFound.Verb".into()));
    let get =
        send(bed.address(), "GET", "/control/clock", &[("authorization", "Bearer secret")], b"").unwrap();
    assert_eq!(get.error(), (404, "I404NF".into()));
}

#[test]
fn time_moves_by_order() {
    let bed = Bed::new();
    let now = control(&bed, "clock", &json!({})).json()["now"].as_str().unwrap().to_owned();
    let upload = bed.create("root", "a", 1);
    let later =
        control(&bed, "clock", &json!({"advance_secs": 901})).json()["now"].as_str().unwrap().to_owned();
    assert!(later > now, "{now} {later}");
    assert_eq!(bed.put(&upload.urls[0], &[], b"abc").xml_error(), (403, "AccessDenied".into()));
    assert!(bed.expect(200, "/v2/file/list_uploaded_parts", upload.body())["uploaded_parts"].is_array());
    control(&bed, "clock", &json!({"advance_secs": 10 * 24 * 3600}));
    assert_eq!(bed.refused("/v2/file/list_uploaded_parts", upload.body()).1, "NotFound.UploadId");
    for wrong in [json!(-1), json!("soon"), json!(u64::MAX)] {
        let answer = control(&bed, "clock", &json!({"advance_secs": wrong}));
        assert_eq!(answer.error(), (400, "InvalidParameter.AdvanceSecs".into()));
    }
}

#[test]
fn requests_are_counted_by_route() {
    let bed = Bed::new();
    list(&bed);
    list(&bed);
    bed.call("/v2/nonsense", &json!({}));
    let counts = control(&bed, "counters", &json!({"reset": true})).json();
    assert_eq!(counts["counts"], json!({"list": 2, "unknown": 1}));
    list(&bed);
    assert_eq!(control(&bed, "counters", &json!({})).json()["counts"], json!({"list": 1}));
}

#[test]
fn any_field_of_a_file_can_be_set_and_the_feed_tells() {
    let bed = Bed::new();
    let id = bed.write("root", "a.txt", b"abc")["file_id"].as_str().unwrap().to_owned();
    let cursor = bed.expect(200, "/v2/file/get_last_cursor", json!({}))["cursor"].clone();
    let faces = json!({"image_tags": [{"name": "cat", "confidence": 0.9}], "faces": [{"group_id": "g"}]});
    let fields = json!({"image_media_metadata": faces, "labels": ["cat"], "punish_flag": 3, "starred": true});
    let set = json!({"drive_id": "1", "file_id": id, "fields": fields});
    let file = control(&bed, "set_fields", &set).json();
    assert_eq!((&file["image_media_metadata"], &file["punish_flag"]), (&faces, &json!(3)));
    let delta = bed.expect(200, "/v2/file/list_delta", json!({"cursor": cursor}));
    assert_eq!(
        (&delta["items"][0]["op"], &delta["items"][0]["file"]["labels"]),
        (&json!("update"), &json!(["cat"]))
    );
    assert_eq!(delta["items"][0]["file"]["image_media_metadata"], faces);
    // Seen where it is asked for.
    let plain = bed.expect(200, "/v2/file/list", json!({"parent_file_id": "root"}));
    assert!(plain["items"][0].get("image_media_metadata").is_none());
    assert_eq!(bed.file(&id)["image_media_metadata"], faces);
    let unset = json!({"drive_id": "1", "file_id": id, "fields": {"image_media_metadata": null}});
    assert!(control(&bed, "set_fields", &unset).json().get("image_media_metadata").is_none());
    for (fields, code) in
        [(json!({"size": 9}), "InvalidParameter.Fields"), (json!(7), "InvalidParameterMissing.Fields")]
    {
        let body = json!({"drive_id": "1", "file_id": id, "fields": fields});
        assert_eq!(control(&bed, "set_fields", &body).error(), (400, code.into()));
    }
}

#[test]
fn words_that_are_no_fault_change_nothing() {
    let bed = Bed::new();
    order(&bed, "list 500 always");
    let answer = control(&bed, "faults", &json!({"clear": true, "add": ["get 502", "list explode"]}));
    assert_eq!(answer.error().1, "InvalidParameter.Add");
    assert!(answer.text().contains("\\\"explode\\\" is no fault"), "{}", answer.text());
    assert_eq!(control(&bed, "faults", &json!({})).json()["faults"], json!(["list 500 always"]));
    assert_eq!(list(&bed).status, 500);
    control(&bed, "faults", &json!({"clear": true}));
    assert_eq!(list(&bed).status, 200);
}

#[test]
fn throttling_and_gateways_look_as_they_do() {
    let bed = Bed::new();
    order(&bed, "list 429 once");
    let answer = list(&bed);
    assert_eq!(
        (answer.error().0, answer.header("x-retry-after"), answer.header("retry-after")),
        (429, "", "")
    );
    assert_eq!(list(&bed).status, 200);
    order(&bed, "* 429 retry-after 1500ms 2 times");
    let answer = list(&bed);
    assert_eq!((answer.header("x-retry-after"), answer.header("retry-after")), ("1500", "2"));
    for (status, code) in
        [(500, "InternalError"), (502, "D502BG"), (503, "ServiceUnavailable"), (504, "D504TO")]
    {
        order(&bed, &format!("list {status} once"));
        let answer = list(&bed);
        assert_eq!((answer.status, answer.header("x-ca-error-code")), (status, code));
        assert_eq!(answer.header("content-type"), "text/html");
        assert!(answer.text().starts_with("<html>") && answer.header("x-ca-request-id").len() == 32);
    }
    // By a sequence that is the same in every run.
    order(&bed, "list 503 30%");
    let failed = (0..100).filter(|_| list(&bed).status == 503).count();
    assert!((15..=45).contains(&failed), "{failed}");
}

#[test]
fn connections_are_cut_where_it_says() {
    let bed = Bed::new();
    let body = |name: &str| {
        json!({"drive_id": "1", "parent_file_id": "root", "name": name, "type": "folder"}).to_string()
    };
    for (words, made) in [
        ("create cut-before once", false),
        ("create cut-during once", false),
        ("create cut-after once", false),
        ("create lost-reply once", true),
        ("create cut-reply once", true),
    ] {
        order(&bed, words);
        let answer = bed.try_call("/v2/file/create", &body(words));
        let whole = answer.is_some_and(|answer| serde_json::from_slice::<Value>(&answer.body).is_ok());
        assert!(!whole, "{words}");
        assert_eq!(bed.names("root").contains(&words.to_owned()), made, "{words}");
    }
    // In the middle of a body: the second half is not waited for.
    let upload = bed.create("root", "f", 1);
    order(&bed, "put_part cut-during once");
    let target = super::server_support::target(&upload.urls[0]);
    let mut stream = TcpStream::connect(bed.address()).unwrap();
    stream
        .write_all(format!("PUT {target} HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n").as_bytes())
        .unwrap();
    stream.write_all(&[7; 60_000]).unwrap();
    let mut rest = Vec::new();
    assert!(stream.read_to_end(&mut rest).is_err() || rest.is_empty());
    assert_eq!(bed.expect(200, "/v2/file/list_uploaded_parts", upload.body())["uploaded_parts"], json!([]));
}

#[test]
fn a_short_put_is_accepted_and_tells_on_itself() {
    let bed = Bed::new();
    let upload = bed.create("root", "a", 1);
    order(&bed, "put_part short-put once");
    let stored = bed.put(&upload.urls[0], &[], b"abcdef");
    assert_eq!(
        (stored.status, stored.header("x-oss-hash-crc64ecma")),
        (200, crc(b"abc").to_string().as_str())
    );
    let parts = bed.expect(200, "/v2/file/list_uploaded_parts", upload.body());
    assert_eq!(parts["uploaded_parts"][0]["part_size"], 3);
    let whole = upload.body_with("crc64_hash", crc(b"abcdef").to_string());
    assert_eq!(bed.refused("/v2/file/complete", whole).1, "InvalidParameterNotMatch.Crc64Hash");
    assert_eq!(bed.expect(200, "/v2/file/complete", upload.body())["content_hash"], sha1(b"abc"));
}

#[test]
fn lists_and_the_feed_can_be_late() {
    let bed = Bed::new();
    let cursor = bed.expect(200, "/v2/file/get_last_cursor", json!({}))["cursor"].clone();
    bed.mkdir("root", "a");
    order(&bed, "list stale 1m");
    assert_eq!(bed.names("root"), [""; 0]);
    order(&bed, "list_delta delayed 1m");
    let delta = |cursor: &Value| bed.expect(200, "/v2/file/list_delta", json!({"cursor": cursor}));
    let late = delta(&cursor);
    assert_eq!((&late["items"], &late["has_more"]), (&json!([]), &json!(false)));
    control(&bed, "clock", &json!({"advance_secs": 61}));
    let told = delta(&late["cursor"]);
    assert_eq!(told["items"][0]["file"]["name"], "a");
    assert_eq!(delta(&told["cursor"])["items"], json!([]));
    order(&bed, "list stale 1m");
    assert_eq!(bed.names("root"), ["a"]);
    order(&bed, "list_delta lost-cursor once");
    assert_eq!(bed.refused("/v2/file/list_delta", json!({"cursor": cursor})).1, "NotFound.Cursor");
}

#[test]
fn create_refuses_what_it_is_told_to() {
    let bed = Bed::new();
    let file = |extra: Value| {
        let mut body = json!({"parent_file_id": "root", "name": "a", "type": "file"});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    order(&bed, "create no-parallel");
    let code = bed.refused("/v2/file/create", file(json!({"parallel_upload": true})));
    assert_eq!(code, (400, "InvalidParameterNotSupported.ParallelUpload".into()));
    bed.expect(201, "/v2/file/create", file(json!({})));
    order(&bed, "create size-required");
    assert_eq!(bed.refused("/v2/file/create", file(json!({}))).1, "InvalidParameterMissing.Size");
    bed.expect(201, "/v2/file/create", file(json!({"size": 3})));
    bed.mkdir("root", "folders need none");
    for (words, code) in
        [("create disk-full", "InternalError.DiskFull"), ("create quota", "QuotaExhausted.Drive")]
    {
        order(&bed, words);
        assert_eq!(bed.refused("/v2/file/create", file(json!({}))).1, code);
    }
}
