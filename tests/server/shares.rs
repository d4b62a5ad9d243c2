//! Share links: who has one sees what is shared and nothing else (pds-api.md 15).

use std::time::Duration;

use serde_json::{Value, json};

use super::server_support::{Answer, Bed, id, send};

fn share(bed: &Bed, body: Value) -> String {
    bed.expect(201, "/v2/share_link/create", body)["share_id"].as_str().unwrap().to_owned()
}

/// A call without any token.
fn anonymous(bed: &Bed, path: &str, body: &Value) -> Answer {
    send(bed.address(), "POST", path, &[], body.to_string().as_bytes()).unwrap()
}

fn token(bed: &Bed, share: &str, password: &str) -> String {
    let answer =
        anonymous(bed, "/v2/share_link/get_share_token", &json!({"share_id": share, "share_pwd": password}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["share_token"].as_str().unwrap().to_owned()
}

/// A call with a share's token alone.
fn visit(bed: &Bed, token: &str, share: &str, path: &str, mut body: Value) -> Answer {
    body["share_id"] = share.into();
    send(bed.address(), "POST", path, &[("x-share-token", token)], body.to_string().as_bytes()).unwrap()
}

#[test]
fn a_share_opens_what_is_in_it_and_nothing_else() {
    let bed = Bed::new();
    let (open, shut) = (bed.mkdir("root", "open"), bed.mkdir("root", "shut"));
    let inside = id(&bed.write(&open, "inside", b"in"));
    let outside = id(&bed.write(&shut, "outside", b"out"));
    let link = share(&bed, json!({"file_id_list": [open], "share_pwd": "pass", "share_name": "n"}));
    let wrong = json!({"share_id": link, "share_pwd": "x"});
    let refused = anonymous(&bed, "/v2/share_link/get_share_token", &wrong).error();
    assert_eq!(refused, (400, "InvalidResource.SharePwd".into()));
    let token = token(&bed, &link, "pass");
    let ask = |path: &str, body: Value| visit(&bed, &token, &link, path, body);
    let root = ask("/v2/file/list", json!({"parent_file_id": "root"})).json();
    assert_eq!((root["items"].as_array().unwrap().len(), &root["items"][0]["file_id"]), (1, &json!(open)));
    let list = ask("/v2/file/list", json!({"parent_file_id": open, "drive_id": "999"})).json();
    assert_eq!(list["items"][0]["file_id"], inside);
    assert_eq!(ask("/v2/file/get", json!({"file_id": inside})).json()["name"], "inside");
    let url = ask("/v2/file/get_download_url", json!({"file_id": inside})).json();
    assert_eq!(bed.get(url["url"].as_str().unwrap(), &[]).body, b"in");
    let forbidden = (403, "ForbiddenNoPermission.File".to_owned());
    for (path, body) in [
        ("/v2/file/get", json!({"file_id": outside})),
        ("/v2/file/get", json!({"file_id": "root"})),
        ("/v2/file/get_download_url", json!({"file_id": outside})),
        ("/v2/file/list", json!({"parent_file_id": shut})),
    ] {
        assert_eq!(ask(path, body.clone()).error(), forbidden, "{path} {body}");
    }
    for path in [
        "/v2/file/delete",
        "/v2/file/update",
        "/v2/file/move",
        "/v2/batch",
        "/v2/file/search",
        "/v2/file/scan",
        "/v2/file/get_by_path",
        "/v2/file/create",
        "/v2/file/complete",
        "/v2/drive/get",
        "/v2/share_link/cancel",
    ] {
        let answer = ask(path, json!({"file_id": inside, "parent_file_id": open}));
        assert_eq!(answer.error(), (403, "ForbiddenNoPermission.ShareLink".into()), "{path}");
    }
    // Moved out, it is out.
    bed.expect(200, "/v2/file/move", json!({"file_id": inside, "to_parent_file_id": shut}));
    assert_eq!(ask("/v2/file/get", json!({"file_id": inside})).error(), forbidden);
    let seen = bed.expect(200, "/v2/share_link/get", json!({"share_id": link}));
    assert_eq!((&seen["access_count"], &seen["download_count"]), (&json!(1), &json!(1)));
}

#[test]
fn tokens_of_shares_end_and_are_for_one_share() {
    let bed = Bed::new();
    let file = id(&bed.write("root", "a", b"abc"));
    let (one, other) =
        (share(&bed, json!({"file_id_list": [file]})), share(&bed, json!({"share_all_files": true})));
    let good = token(&bed, &one, "");
    let get = |token: &str, link: &str| visit(&bed, token, link, "/v2/file/get", json!({"file_id": file}));
    let invalid = (401, "ShareLinkTokenInvalid".to_owned());
    assert_eq!(get(&good, &one).status, 200);
    assert_eq!(get(&good, &other).error(), invalid);
    assert_eq!(get("nonsense", &one).error(), invalid);
    assert_eq!(get(bed.server.access_token(), &one).error(), invalid);
    // A share's token is no access token.
    let bearer = format!("Bearer {good}");
    let answer = send(bed.address(), "POST", "/v2/user/get", &[("authorization", &bearer)], b"{}").unwrap();
    assert_eq!(answer.error().0, 401);
    bed.server.advance_clock(Duration::from_secs(7201));
    assert_eq!(get(&good, &one).error(), invalid);
    let good = token(&bed, &one, "");
    bed.expect(204, "/v2/share_link/cancel", json!({"share_id": one}));
    assert_eq!(get(&good, &one).error(), invalid);
    let body = json!({"share_id": one});
    assert_eq!(anonymous(&bed, "/v2/share_link/get_share_token", &body).error().1, "NotFound.ShareLink");
    // Expired, disabled.
    let good = token(&bed, &other, "");
    bed.expect(
        200,
        "/v2/share_link/update",
        json!({"share_id": other, "expiration": "2020-01-01T00:00:00Z"}),
    );
    assert_eq!(get(&good, &other).error(), (403, "ShareLink.Expired".into()));
    let body = json!({"share_id": other});
    assert_eq!(anonymous(&bed, "/v2/share_link/get_by_anonymous", &body).error().1, "ShareLink.Expired");
    bed.expect(
        200,
        "/v2/share_link/update",
        json!({"share_id": other, "expiration": "", "status": "disabled"}),
    );
    assert_eq!(get(&good, &other).error().0, 403);
}

#[test]
fn a_share_can_take_in_files_and_keep_bytes_to_itself() {
    let bed = Bed::new();
    let folder = bed.mkdir("root", "inbox");
    let file = id(&bed.write(&folder, "a", b"abc"));
    let link = share(&bed, json!({"file_id_list": [folder], "creatable": true, "disable_download": true}));
    let token = token(&bed, &link, "");
    let ask = |path: &str, body: Value| visit(&bed, &token, &link, path, body);
    let create = json!({"parent_file_id": folder, "name": "new", "type": "file"});
    let made = ask("/v2/file/create", create.clone()).json();
    bed.put(made["part_info_list"][0]["upload_url"].as_str().unwrap(), &[], b"new");
    let upload = json!({"file_id": made["file_id"], "upload_id": made["upload_id"]});
    let done = ask("/v2/file/complete", upload).json();
    assert_eq!((&done["size"], done.get("download_url")), (&json!(3), None));
    let list = ask("/v2/file/list", json!({"parent_file_id": folder, "fields": "*"})).json();
    assert!(list["items"].as_array().unwrap().iter().all(|file| file.get("url").is_none()), "{list}");
    for (path, body) in [
        ("/v2/file/get_download_url", json!({"file_id": file})),
        ("/v2/file/create", json!({"parent_file_id": "root", "name": "n", "type": "file"})),
        ("/v2/file/create", json!({"parent_file_id": folder, "name": "n", "type": "file", "file_id": file})),
    ] {
        assert_eq!(ask(path, body).error().0, 403, "{path}");
    }
    let other = bed.create("root", "theirs", 1);
    assert_eq!(ask("/v2/file/complete", other.body()).error().0, 403);
}

#[test]
fn shares_are_managed_by_whose_they_are() {
    let bed = Bed::new();
    let file = id(&bed.write("root", "a", b"abc"));
    let link = share(&bed, json!({"file_id_list": [file], "share_pwd": "p", "description": "d"}));
    let public = anonymous(&bed, "/v2/share_link/get_by_anonymous", &json!({"share_id": link})).json();
    assert_eq!((&public["has_pwd"], public.get("share_pwd")), (&json!(true), None));
    let seen = bed.expect(
        200,
        "/v2/share_link/update",
        json!({"share_id": link, "share_pwd": "", "share_name": "x"}),
    );
    assert_eq!(
        (&seen["share_name"], &seen["share_pwd"], &seen["description"]),
        (&json!("x"), &json!(""), &json!("d"))
    );
    let all = bed.expect(200, "/v2/share_link/list", json!({"limit": 1}));
    assert_eq!((&all["items"][0]["share_id"], &all["next_marker"]), (&json!(link), &json!("")));
    for (body, code) in [
        (json!({}), "InvalidParameterMissing.FileIdList"),
        (json!({"file_id_list": ["nothing"]}), "NotFound.FileId"),
        (json!({"file_id_list": vec!["x"; 101]}), "InvalidParameter.FileIdList"),
        (json!({"file_id_list": [file], "share_pwd": "a b"}), "InvalidParameter.SharePwd"),
        (json!({"file_id_list": [file], "share_name": "n".repeat(129)}), "InvalidParameter.ShareName"),
        (json!({"file_id_list": [file], "expiration": "soon"}), "InvalidParameter.Expiration"),
    ] {
        assert_eq!(bed.refused("/v2/share_link/create", body.clone()).1, code, "{body}");
    }
    let body = json!({"share_id": link, "expire_sec": 7201});
    assert_eq!(
        anonymous(&bed, "/v2/share_link/get_share_token", &body).error().1,
        "InvalidParameter.ExpireSec"
    );
    assert_eq!(anonymous(&bed, "/v2/share_link/get", &body).error().0, 401);
}
