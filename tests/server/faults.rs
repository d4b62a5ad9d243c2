//! Faults to order: each does what it says, as often as it says, and to no one else.

use pdsfs::server::{Fault, FaultAction};
use serde_json::json;

use super::server_support::{Bed, crc};

fn order(bed: &Bed, route: &'static str, action: FaultAction) {
    bed.server.faults().add(Fault { route, action, times: 1 });
}

#[test]
fn statuses_come_with_the_gateways_headers() {
    let bed = Bed::new();
    let list = json!({"drive_id": "1", "parent_file_id": "root"});
    order(&bed, "list", FaultAction::Status(429, "TooManyRequests", "slow down"));
    let answer = bed.call("/v2/file/list", &list);
    assert_eq!(answer.error(), (429, "TooManyRequests".into()));
    assert_eq!(answer.header("x-ca-error-code"), "TooManyRequests");
    order(&bed, "list", FaultAction::Status(504, "D504TO", "timeout"));
    let answer = bed.call("/v2/file/list", &list);
    assert_eq!((answer.status, answer.body.len(), answer.header("x-ca-error-code")), (504, 0, "D504TO"));
    assert_eq!(bed.call("/v2/file/list", &list).status, 200);
    assert_eq!(bed.server.faults().count("list"), 3);
}

#[test]
fn a_lost_reply_keeps_the_effect_and_a_cut_before_has_none() {
    let bed = Bed::new();
    let body = |name: &str| {
        json!({"drive_id": "1", "parent_file_id": "root", "name": name, "type": "folder"}).to_string()
    };
    order(&bed, "create", FaultAction::LostReply);
    assert!(bed.try_call("/v2/file/create", &body("kept")).is_none());
    order(&bed, "create", FaultAction::CutBefore);
    assert!(bed.try_call("/v2/file/create", &body("never")).is_none());
    assert_eq!(bed.names("root"), ["kept"]);
}

#[test]
fn replies_can_be_wrong() {
    let bed = Bed::new();
    let upload = bed.create("root", "a", 1);
    order(&bed, "put_part", FaultAction::WrongCrc);
    let stored = bed.put(&upload.urls[0], &[], b"abc");
    assert_eq!((stored.status, stored.header("x-oss-hash-crc64ecma")), (200, "1"));
    order(&bed, "complete", FaultAction::WrongCrc);
    let file = bed.expect(200, "/v2/file/complete", upload.body());
    assert_eq!((&file["crc64_hash"], &file["size"]), (&json!("1"), &json!(3)));
    assert_eq!(bed.file(&upload.file_id)["crc64_hash"], crc(b"abc").to_string());
    let get = json!({"drive_id": "1", "file_id": "root"});
    order(&bed, "get", FaultAction::NotJson);
    assert!(bed.call("/v2/file/get", &get).text().starts_with("<html>"));
    order(&bed, "get", FaultAction::CutBody);
    let answer = bed.call("/v2/file/get", &get);
    let announced: usize = answer.header("content-length").parse().unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, announced / 2));
    order(&bed, "get", FaultAction::HugeReply);
    assert!(bed.call("/v2/file/get", &get).body.len() > 100 << 20);
}

#[test]
fn data_urls_have_faults_too() {
    let bed = Bed::new();
    let upload = bed.create("root", "a", 1);
    order(&bed, "put_part", FaultAction::ExpiredUrl);
    assert_eq!(bed.put(&upload.urls[0], &[], &vec![0; 5 << 20]).xml_error(), (403, "AccessDenied".into()));
    order(&bed, "put_part", FaultAction::Status(503, "ServiceUnavailable", "later"));
    assert_eq!(bed.put(&upload.urls[0], &[], b"x").xml_error(), (503, "ServiceUnavailable".into()));
    assert_eq!(bed.put(&upload.urls[0], &[], &vec![7; 100_000]).status, 200);
    bed.expect(200, "/v2/file/complete", upload.body());
    order(&bed, "get_object", FaultAction::CutBody);
    let url = bed.download_url(&upload.file_id);
    let cut = bed.get(&url, &[]);
    assert_eq!((cut.status, cut.header("content-length"), cut.body.len()), (200, "100000", 50_000));
    order(&bed, "complete", FaultAction::QuotaExhausted);
    assert_eq!(bed.refused("/v2/file/complete", upload.body()), (403, "QuotaExhausted.Drive".into()));
    order(&bed, "complete", FaultAction::DiskFull);
    assert_eq!(bed.refused("/v2/file/complete", upload.body()), (500, "InternalError.DiskFull".into()));
    assert_eq!((bed.server.faults().count("put_part"), bed.server.faults().count("get_object")), (3, 1));
}
