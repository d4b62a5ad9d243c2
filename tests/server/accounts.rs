//! Users, tokens, access keys and drives: who gets in, and who gets what (pds-api.md 2.3, 6, 7).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use pdsfs::server::Accounts;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::server_support::{Answer, Bed, send};

/// A key pair for these tests alone.
const PRIVATE_KEY: &str = include_str!("app_key.b64");
const PUBLIC_KEY: &str = include_str!("app_key.pub.pem");
const BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const CALLBACK: &str = "http://127.0.0.1:9/cb?x=1";

fn accounts() -> Accounts {
    let text = json!({
        "domain_id": "bj1",
        "users": [
            {"user_id": "alice", "password": "wonder<land>", "nick_name": "Alice", "total_size": 200_000},
            {"user_id": "bob", "password": "b", "email": "bob@example.com"},
            {"user_id": "eve", "password": "e", "status": "disabled"},
        ],
        "access_keys": [{"access_key_id": "AK", "access_key_secret": "SECRET"}],
        "apps": [
            {"client_id": "web", "name": "<Web> & {app}", "client_secret": "s3", "redirect_uris": [CALLBACK]},
            {"client_id": "jwt", "public_key": PUBLIC_KEY},
            {"client_id": "bare"},
        ],
    });
    Accounts::parse(&text.to_string()).unwrap()
}

fn bed() -> Bed {
    Bed::with(|options| options.accounts = accounts())
}

/// A form, without any token.
fn form(bed: &Bed, path: &str, fields: &[(&str, &str)]) -> Answer {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let headers = [("content-type", "application/x-www-form-urlencoded; charset=UTF-8")];
    send(bed.address(), "POST", path, &headers, body.as_bytes()).unwrap()
}

/// A call with this token.
fn call_as(bed: &Bed, token: &Value, path: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
    send(bed.address(), "POST", path, &[("authorization", &bearer)], body.to_string().as_bytes()).unwrap()
}

fn claims(user: &str) -> Value {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    json!({"iss": "jwt", "sub": user, "sub_type": "user", "aud": "bj1", "jti": unique(), "exp": now + 300,
        "iat": now - 300})
}

/// Another text with each call.
fn unique() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("n{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

fn sign(header: &Value, claims: &Value) -> String {
    let der = STANDARD.decode(PRIVATE_KEY.split_whitespace().collect::<String>()).unwrap();
    let key = RsaKeyPair::from_pkcs8(&der).unwrap();
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encode(header), encode(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn assert_jwt(bed: &Bed, claims: &Value) -> Answer {
    let assertion = sign(&json!({"alg": "RS256", "typ": "JWT"}), claims);
    form(bed, "/v2/oauth/token", &[("grant_type", BEARER), ("client_id", "jwt"), ("assertion", &assertion)])
}

/// Tokens of a user, by assertion.
fn login(bed: &Bed, user: &str) -> Value {
    let answer = assert_jwt(bed, &claims(user));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn an_assertion_becomes_a_token_of_its_user() {
    let bed = bed();
    let token = login(&bed, "alice");
    for (field, value) in [
        ("token_type", json!("Bearer")),
        ("expires_in", json!(7200)),
        ("user_id", json!("alice")),
        ("nick_name", json!("Alice")),
        ("role", json!("user")),
        ("domain_id", json!("bj1")),
    ] {
        assert_eq!(token[field], value, "{field}");
    }
    assert!(token["expire_time"].as_str().unwrap().ends_with('Z'));
    let user = call_as(&bed, &token, "/v2/user/get", &json!({})).json();
    assert_eq!((&user["user_id"], &user["domain_id"]), (&json!("alice"), &json!("bj1")));
    let drive = call_as(&bed, &token, "/v2/drive/get_default_drive", &json!({})).json();
    assert_eq!(drive["drive_id"], token["default_drive_id"]);
    assert_eq!((&drive["owner"], &drive["total_size"]), (&json!("alice"), &json!(200_000)));
    // The service itself is the administrator.
    let mut service = claims("bj1");
    service["sub_type"] = "service".into();
    let token = assert_jwt(&bed, &service).json();
    assert_eq!((&token["role"], &token["user_id"]), (&json!("superadmin"), &json!("")));
    assert_eq!(call_as(&bed, &token, "/v2/user/get", &json!({})).error().1, "InvalidParameterMissing.UserId");
    let bob = call_as(&bed, &token, "/v2/user/get", &json!({"user_id": "bob"})).json();
    assert_eq!(bob["email"], "bob@example.com");
}

#[test]
fn assertions_that_are_not_good_are_refused() {
    let bed = bed();
    let invalid = (400, "InvalidParameter.Assertion".to_owned());
    let once = claims("alice");
    assert_eq!(assert_jwt(&bed, &once).status, 200);
    assert_eq!(assert_jwt(&bed, &once).error(), invalid, "used before");
    for (key, value) in [("iss", "web"), ("aud", "other"), ("sub_type", "service"), ("exp", "1")] {
        let mut claims = claims("alice");
        claims[key] = value.into();
        assert_eq!(assert_jwt(&bed, &claims).error(), invalid, "{key}");
    }
    let try_token = |app: &str, token: &str| {
        form(&bed, "/v2/oauth/token", &[("grant_type", BEARER), ("client_id", app), ("assertion", token)])
            .error()
    };
    let good = sign(&json!({"alg": "RS256"}), &claims("alice"));
    let (text, signature) = good.rsplit_once('.').unwrap();
    let forged = URL_SAFE_NO_PAD.encode(claims("bob").to_string());
    let header = text.split_once('.').unwrap().0;
    let unsigned = format!("{}.{forged}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#));
    for wrong in
        [format!("{header}.{forged}.{signature}"), unsigned, format!("{text}."), "x".into(), "..".into()]
    {
        assert_eq!(try_token("jwt", &wrong), invalid, "{wrong}");
    }
    assert_eq!(try_token("bare", &good), invalid, "no key is registered");
    assert_eq!(try_token("nobody", &good), (404, "NotFound.App".into()));
    assert_eq!(assert_jwt(&bed, &claims("eve")).error(), (403, "Forbidden".into()));
    assert_eq!(assert_jwt(&bed, &claims("carol")).error(), (404, "NotFound.User".into()));
    let mut carol = claims("carol");
    carol["auto_create"] = true.into();
    let token = assert_jwt(&bed, &carol).json();
    let list = json!({"drive_id": token["default_drive_id"], "parent_file_id": "root"});
    assert_eq!(call_as(&bed, &token, "/v2/file/list", &list).json()["items"], json!([]));
}

#[test]
fn refresh_tokens_are_good_once() {
    let bed = bed();
    let first = login(&bed, "alice");
    let refresh = |token: &Value| {
        let token = token["refresh_token"].as_str().unwrap();
        form(
            &bed,
            "/v2/oauth/token",
            &[("grant_type", "refresh_token"), ("client_id", "jwt"), ("refresh_token", token)],
        )
    };
    let used = (400, "InvalidParameter.RefreshToken".to_owned());
    let second = refresh(&first).json();
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert_ne!(first["access_token"], second["access_token"]);
    assert_eq!(second["user_id"], "alice");
    assert_eq!(refresh(&first).error(), used);
    let body = |token: &Value| {
        json!({"app_id": "jwt", "grant_type": "refresh_token", "refresh_token": token["refresh_token"]})
            .to_string()
    };
    let json_call = |path: &str, body: &str| send(bed.address(), "POST", path, &[], body.as_bytes()).unwrap();
    let third = json_call("/v2/account/token", &body(&second)).json();
    assert_eq!(call_as(&bed, &third, "/v2/user/get", &json!({})).status, 200);
    // Another app cannot use it.
    let other = body(&third).replace("\"jwt\"", "\"bare\"");
    assert_eq!(json_call("/v2/account/token", &other).error(), used);
    assert_eq!(json_call("/v2/account/revoke", &body(&third)).status, 204);
    assert_eq!(json_call("/v2/account/token", &body(&third)).error(), used);
    assert_eq!(call_as(&bed, &third, "/v2/user/get", &json!({})).error(), (401, "AccessTokenInvalid".into()));
    assert_eq!(json_call("/v2/account/token", "{}").error().1, "InvalidParameterMissing.AppId");
}

#[test]
fn tokens_end_in_time_and_outlive_a_restart() {
    let bed = bed();
    let token = login(&bed, "alice");
    let get = |bed: &Bed, token: &Value| call_as(bed, token, "/v2/user/get", &json!({}));
    let refresh = |bed: &Bed, token: &Value| {
        let token = token["refresh_token"].as_str().unwrap();
        form(
            bed,
            "/v2/oauth/token",
            &[("grant_type", "refresh_token"), ("client_id", "jwt"), ("refresh_token", token)],
        )
    };
    let Bed { server, dir } = bed;
    server.stop();
    let mut options = pdsfs::server::ServerOptions::new(dir.path());
    options.accounts = accounts();
    let bed = Bed { server: pdsfs::server::Server::start(options).unwrap(), dir };
    assert_eq!(get(&bed, &token).status, 200);
    bed.server.advance_clock(Duration::from_secs(7201));
    assert_eq!(get(&bed, &token).error(), (401, "AccessTokenExpired".into()));
    let token = refresh(&bed, &token).json();
    assert_eq!(get(&bed, &token).status, 200);
    bed.server.advance_clock(Duration::from_secs(30 * 24 * 3600));
    assert_eq!(refresh(&bed, &token).error(), (401, "RefreshTokenExpired".into()));
    bed.server.advance_clock(Duration::from_secs(7201));
    assert_eq!(refresh(&bed, &token).error(), (400, "InvalidParameter.RefreshToken".into()));
}

fn authorize(changes: &[(&str, &str)]) -> String {
    let mut query = vec![
        ("client_id", "web"),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("login_type", "default"),
        ("state", "a&b\"><script>"),
    ];
    query.retain(|(key, _)| changes.iter().all(|(changed, _)| changed != key));
    query.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
    form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish()
}

/// Answers the consent page.
fn consent(bed: &Bed, fields: &[(&str, &str)]) -> Answer {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let body = authorize(fields);
    send(bed.address(), "POST", "/v2/oauth/authorize", &headers, body.as_bytes()).unwrap()
}

fn code_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 302, "{}", answer.text());
    let location = answer.header("location");
    assert!(location.starts_with(&format!("{CALLBACK}&code=")), "{location}");
    assert!(location.ends_with("&state=a%26b%22%3E%3Cscript%3E"), "{location}");
    location.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned()
}

#[test]
fn the_consent_page_gives_a_code_to_registered_addresses_alone() {
    let bed = bed();
    let get =
        |query: &str| send(bed.address(), "GET", &format!("/v2/oauth/authorize?{query}"), &[], b"").unwrap();
    let page = get(&authorize(&[]));
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    let text = page.text();
    assert!(
        text.contains("<b>&lt;Web&gt; &amp; &#123;app&#125;</b>") && !text.contains("<script>"),
        "{text}"
    );
    for (change, code) in [
        (("client_id", "other"), "NotFound.App"),
        (("client_id", ""), "InvalidParameterMissing.ClientId"),
        (("redirect_uri", "http://evil/"), "InvalidParameter.RedirectUri"),
        (("response_type", "token"), "InvalidParameter.ResponseType"),
        (("login_type", ""), "InvalidParameterMissing.LoginType"),
        (("login_type", "x"), "InvalidParameter.LoginType"),
    ] {
        assert_eq!(get(&authorize(&[change])).error().1, code);
        let answer = consent(&bed, &[change, ("user_name", "alice"), ("password", "wonder<land>")]);
        assert_eq!((answer.error().1.as_str(), answer.header("location")), (code, ""));
    }
    let denied = consent(&bed, &[("answer", "deny")]);
    assert!(denied.header("location").contains("error=access_denied&state="));
    for (user, password) in [("alice", "x"), ("nobody", ""), ("nobody", "x"), ("eve", "e"), ("local", "x")] {
        let again = consent(&bed, &[("user_name", user), ("password", password)]);
        assert!(again.status >= 400 && again.text().contains("role=\"alert\""), "{user}: {}", again.status);
    }
    code_of(&consent(&bed, &[("user_name", "local"), ("password", "secret")]));
    let code = code_of(&consent(&bed, &[("user_name", "alice"), ("password", "wonder<land>")]));
    let trade = |code: &str, uri: &str, secret: &str| {
        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", "web"),
            ("client_secret", secret),
            ("code", code),
            ("redirect_uri", uri),
        ];
        form(&bed, "/v2/oauth/token", &fields)
    };
    assert_eq!(trade(&code, CALLBACK, "wrong").error(), (403, "Forbidden".into()));
    assert_eq!(trade(&code, CALLBACK, "s3").json()["user_id"], "alice");
    assert_eq!(trade(&code, CALLBACK, "s3").error(), (400, "InvalidParameter.Code".into()));
    let code = code_of(&consent(&bed, &[("user_name", "alice"), ("password", "wonder<land>")]));
    assert_eq!(trade(&code, "http://127.0.0.1:9/other", "s3").error().1, "InvalidParameter.Code");
    let code = code_of(&consent(&bed, &[("user_name", "alice"), ("password", "wonder<land>")]));
    bed.server.advance_clock(Duration::from_secs(601));
    assert_eq!(trade(&code, CALLBACK, "s3").error().1, "InvalidParameter.Code");
    let answer = form(&bed, "/v2/oauth/token", &[("grant_type", "password"), ("client_id", "bare")]);
    assert_eq!(answer.error(), (400, "InvalidParameter.GrantType".into()));
}

/// `ACS3-HMAC-SHA256` for a body, with changes to what is sent after signing.
fn signed_new(
    bed: &Bed,
    secret: &str,
    body: &[u8],
    sent: &[u8],
    change: Option<(&str, &str)>,
    date: &str,
) -> Answer {
    let host = bed.address().to_string();
    let digest = hex(&Sha256::digest(body));
    let nonce = unique();
    let mut headers = vec![
        ("content-type", "application/json; charset=utf-8"),
        ("host", host.as_str()),
        ("x-acs-content-sha256", digest.as_str()),
        ("x-acs-date", date),
        ("x-acs-signature-nonce", nonce.as_str()),
    ];
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let names = names.join(";");
    let canonical = format!("POST\n/v2/drive/list\na=%20%2A&b=~\n{lines}\n{names}\n{digest}");
    let text = format!("ACS3-HMAC-SHA256\n{}", hex(&Sha256::digest(canonical.as_bytes())));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    let signature = hex(&mac.finalize().into_bytes());
    let authorization = format!("ACS3-HMAC-SHA256 Credential=AK,SignedHeaders={names},Signature={signature}");
    headers.remove(1);
    headers.push(("authorization", &authorization));
    for (name, value) in &mut headers {
        if let Some(change) = change.filter(|change| change.0 == *name) {
            *value = change.1;
        }
    }
    send(bed.address(), "POST", "/v2/drive/list?b=~&a=+*", &headers, sent).unwrap()
}

/// `acs ID:SIGNATURE`.
fn signed_old(bed: &Bed, secret: &str, nonce: &str, date: &str, path: &str) -> Answer {
    let mut headers = vec![
        ("accept", "application/json"),
        ("content-type", "application/json; charset=utf-8"),
        ("date", date),
        ("x-acs-signature-method", "HMAC-SHA1"),
        ("x-acs-signature-nonce", nonce),
        ("x-acs-signature-version", "1.0"),
        ("x-acs-version", "2022-03-01"),
    ];
    let acs: String = headers[3..].iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let text =
        format!("POST\napplication/json\n\napplication/json; charset=utf-8\n{date}\n{acs}/v2/drive/list");
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    let authorization = format!("acs AK:{}", STANDARD.encode(mac.finalize().into_bytes()));
    headers.push(("authorization", &authorization));
    send(bed.address(), "POST", path, &headers, b"{}").unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn access_keys_sign_in_both_forms() {
    let bed = bed();
    let refused = (403, "InvalidAuthorization".to_owned());
    let now = jiff::Timestamp::now();
    let date = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let late = (now + Duration::from_secs(1000)).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let answer = signed_new(&bed, "SECRET", b"{}", b"{}", None, &date);
    assert_eq!(answer.status, 200, "{}", answer.text());
    // The administrator sees the drives of all: local, alice, bob, eve.
    assert_eq!(answer.json()["items"].as_array().unwrap().len(), 4);
    assert_eq!(signed_new(&bed, "WRONG", b"{}", b"{}", None, &date).error(), refused);
    assert_eq!(signed_new(&bed, "SECRET", b"{}", b"{ }", None, &date).error(), refused);
    assert_eq!(signed_new(&bed, "SECRET", b"{}", b"{}", None, &late).error(), refused);
    for change in
        [("x-acs-date", "2020-01-01T00:00:00Z"), ("x-acs-signature-nonce", "another"), ("content-type", "x")]
    {
        assert_eq!(signed_new(&bed, "SECRET", b"{}", b"{}", Some(change), &date).error(), refused);
    }
    let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let late = (now + Duration::from_secs(1000)).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let answer = signed_old(&bed, "SECRET", "once", &date, "/v2/drive/list");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(signed_old(&bed, "SECRET", "once", &date, "/v2/drive/list").error(), refused, "used before");
    assert_eq!(signed_old(&bed, "WRONG", "two", &date, "/v2/drive/list").error(), refused);
    assert_eq!(signed_old(&bed, "SECRET", "three", &late, "/v2/drive/list").error(), refused);
    assert_eq!(signed_old(&bed, "SECRET", "four", &date, "/v2/drive/search").error(), refused);
    assert_eq!(signed_old(&bed, "SECRET", "five", &date, "/v2/drive/list?a=b").error(), refused);
}

#[test]
fn nobody_gets_into_anothers_drive() {
    let bed = bed();
    let (alice, bob) = (login(&bed, "alice"), login(&bed, "bob"));
    let (hers, his) = (&alice["default_drive_id"], &bob["default_drive_id"]);
    assert_ne!(hers, his);
    let folder = json!({"drive_id": hers, "parent_file_id": "root", "name": "diary", "type": "folder"});
    let made = call_as(&bed, &alice, "/v2/file/create", &folder).json();
    let file = json!({"drive_id": hers, "file_id": made["file_id"], "parent_file_id": "root"});
    let forbidden = (403, "ForbiddenNoPermission.Drive".to_owned());
    for path in [
        "/v2/file/get",
        "/v2/file/list",
        "/v2/file/delete",
        "/v2/recyclebin/trash",
        "/v2/drive/get",
        "/v2/file/list_delta",
        "/v2/file/get_last_cursor",
        "/v2/recyclebin/clear",
    ] {
        assert_eq!(call_as(&bed, &bob, path, &file).error(), forbidden, "{path}");
    }
    let child = json!({"requests": [{"id": "1", "url": "/file/get", "body": file}]});
    let batch = call_as(&bed, &bob, "/v2/batch", &child).json();
    assert_eq!(batch["responses"][0]["status"], 403);
    // Her id in his drive is nothing.
    let mixed = json!({"drive_id": his, "file_id": made["file_id"]});
    assert_eq!(call_as(&bed, &bob, "/v2/file/get", &mixed).error(), (404, "NotFound.FileId".into()));
    for path in ["/v2/drive/list", "/v2/drive/search", "/v2/drive/create", "/v2/drive/delete"] {
        assert_eq!(call_as(&bed, &bob, path, &json!({})).error(), (403, "Forbidden".into()), "{path}");
    }
    assert_eq!(call_as(&bed, &bob, "/v2/user/get", &json!({"user_id": "alice"})).error().0, 403);
    let mine = call_as(&bed, &alice, "/v2/drive/list_my_drives", &json!({})).json();
    assert_eq!((mine["items"].as_array().unwrap().len(), &mine["items"][0]["drive_id"]), (1, hers));
    let grown = json!({"drive_id": hers, "total_size": -1});
    assert_eq!(call_as(&bed, &alice, "/v2/drive/update", &grown).error(), (403, "Forbidden".into()));
    let named = json!({"drive_id": hers, "drive_name": "Alice's", "description": "d"});
    assert_eq!(call_as(&bed, &alice, "/v2/drive/update", &named).json()["drive_name"], "Alice's");
}

#[test]
fn drives_are_made_changed_filled_and_removed() {
    let bed = bed();
    let new = |extra: Value| {
        let mut body = json!({"drive_name": "Photos", "owner": "bob", "owner_type": "user"});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        bed.call("/v2/drive/create", &body)
    };
    let made = new(json!({"total_size": 1000, "description": "d"}));
    assert_eq!(made.status, 201);
    let id = made.json()["drive_id"].clone();
    let drive = |id: &Value| bed.call("/v2/drive/get", &json!({"drive_id": id}));
    let now = drive(&id).json();
    for (field, value) in [
        ("drive_name", json!("Photos")),
        ("owner", json!("bob")),
        ("total_size", json!(1000)),
        ("used_size", json!(0)),
        ("status", json!("enabled")),
        ("creator", json!("local")),
    ] {
        assert_eq!(now[field], value, "{field}");
    }
    for (extra, code) in [
        (json!({"owner": "nobody"}), "NotFound.User"),
        (json!({"owner_type": "group"}), "NotFound.Group"),
        (json!({"owner_type": "x"}), "InvalidParameter.OwnerType"),
        (json!({"drive_name": "n".repeat(129)}), "InvalidParameter.DriveName"),
        (json!({"drive_name": ""}), "InvalidParameterEmpty.DriveName"),
        (json!({"total_size": -2}), "InvalidParameter.TotalSize"),
        (json!({"status": "x"}), "InvalidParameter.Status"),
        (json!({"drive_type": "large"}), "InvalidParameterNotSupported.DriveType"),
    ] {
        assert_eq!(new(extra.clone()).error().1, code, "{extra}");
    }
    // Its size is enforced, and its use is true, drive by drive.
    let create = json!({"drive_id": id, "parent_file_id": "root", "name": "a", "type": "file"});
    let upload = bed.call("/v2/file/create", &create).json();
    bed.put(upload["part_info_list"][0]["upload_url"].as_str().unwrap(), &[], &[7; 700]);
    let complete = json!({"drive_id": id, "file_id": upload["file_id"], "upload_id": upload["upload_id"]});
    assert_eq!(bed.call("/v2/file/complete", &complete).status, 200);
    assert_eq!(drive(&id).json()["used_size"], 700);
    assert_eq!(drive(&json!("1")).json()["used_size"], 0);
    let more = json!({"drive_id": id, "parent_file_id": "root", "name": "b", "type": "file", "size": 301});
    assert_eq!(bed.call("/v2/file/create", &more).error(), (403, "QuotaExhausted.Drive".into()));
    let grown = bed.call("/v2/drive/update", &json!({"drive_id": id, "total_size": 1001, "drive_name": "P"}));
    assert_eq!((&grown.json()["total_size"], &grown.json()["drive_name"]), (&json!(1001), &json!("P")));
    assert_eq!(bed.call("/v2/file/create", &more).status, 201);
    // The same bytes in another drive outlive it.
    bed.write("root", "kept", &[7; 700]);

    let off = bed.call("/v2/drive/update", &json!({"drive_id": id, "status": "disabled"}));
    assert_eq!(off.json()["status"], "disabled");
    let list = json!({"drive_id": id, "parent_file_id": "root"});
    assert_eq!(bed.call("/v2/file/list", &list).error(), (403, "ForbiddenDriveNotValid".into()));
    assert_eq!(drive(&id).json()["status"], "disabled");
    let found = bed.call("/v2/drive/search", &json!({"drive_name": "P", "owner": "bob"})).json();
    assert_eq!((found["items"].as_array().unwrap().len(), &found["items"][0]["drive_id"]), (1, &id));

    let delete = |body: Value| bed.call("/v2/drive/delete", &body);
    assert_eq!(delete(json!({"drive_id": id})).error(), (409, "StateConflict.DriveNotEmpty".into()));
    assert_eq!(delete(json!({"drive_id": id, "force": true})).status, 204);
    assert_eq!(drive(&id).error(), (404, "NotFound.DriveId".into()));
    let kept = bed.call("/v2/file/get_by_path", &json!({"drive_id": "1", "file_path": "/kept"})).json();
    assert_eq!(bed.read(kept["file_id"].as_str().unwrap()), [7; 700]);
    assert_eq!(delete(json!({"drive_id": "1", "force": true})).error().0, 403);
    // Pages.
    let first = bed.call("/v2/drive/list", &json!({"limit": 3})).json();
    let next = json!({"limit": 3, "marker": first["next_marker"]});
    let second = bed.call("/v2/drive/list", &next).json();
    assert_eq!((first["items"].as_array().unwrap().len(), second["items"].as_array().unwrap().len()), (3, 1));
    assert_eq!(second["next_marker"], "");
}

#[test]
fn the_domain_describes_itself() {
    let bed = bed();
    bed.write("root", "a", b"abc");
    let domain = bed.call("/v2/domain/get", &json!({"domain_id": "bj1", "get_quota_used": true})).json();
    assert_eq!(
        (&domain["domain_id"], &domain["status"], &domain["used_size"], &domain["size_quota_used"]),
        (&json!("bj1"), &json!(1), &json!(3), &json!(3))
    );
    assert_eq!(bed.call("/v2/domain/get", &json!({})).json()["data_hash_name"], "sha1");
    assert_eq!(
        bed.call("/v2/domain/get", &json!({"domain_id": "x"})).error(),
        (404, "NotFound.Domain".into())
    );
    let quota = bed.call("/v2/domain/get_quota", &json!({})).json();
    assert_eq!((&quota["size_used"], &quota["user_count_used"]), (&json!(3), &json!(4)));
}
