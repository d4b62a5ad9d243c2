//! `batch`: up to a hundred calls in one (pds-api.md 14.2).

use serde_json::{Map, Value, json};

use super::super::reply::{ApiError, ApiResult, Reply};
use super::args::Args;
use super::call::Call;
use super::endpoint;

const MAX_CHILDREN: usize = 100;
/// What may be a child, of what there is. Not create, complete, list.
const ALLOWED: &[&str] = &[
    "/file/get",
    "/file/update",
    "/file/search",
    "/file/pre_create_check",
    "/file/copy",
    "/file/move",
    "/file/delete",
    "/file/get_download_url",
    "/recyclebin/trash",
    "/recyclebin/restore",
    "/file/put_usertags",
    "/file/delete_usertags",
    "/drive/get",
    "/user/get",
    "/async_task/get",
];
/// What a batch may say it is about.
const RESOURCES: &[&str] = &["", "file", "drive", "user", "group", "membership", "share_link", "async_task"];

/// `batch`. Children fail one by one; the whole is 200.
pub fn batch(call: &Call) -> ApiResult<Reply> {
    let Call { service: _, args, .. } = call;
    let children = args.array("requests")?;
    args.choice("resource", RESOURCES)?;
    if args.value("requests").is_none() {
        return Err(ApiError::missing("requests"));
    }
    if !(1..=MAX_CHILDREN).contains(&children.len()) {
        return Err(ApiError::invalid("requests", "It has 1 to 100 entries."));
    }
    let mut ids: Vec<&str> = children.iter().filter_map(|child| child["id"].as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() != children.len() {
        return Err(ApiError::invalid("requests", "Each entry has an id of its own."));
    }
    let responses: Vec<Value> = children.iter().map(|child| answer(call, child)).collect();
    Ok(Reply::ok(json!({"responses": responses})))
}

fn answer(call: &Call, child: &Value) -> Value {
    let (status, body) = match run(call, child) {
        Ok(reply) => (reply.status, reply.body),
        Err(error) => (error.status, Some(error.body())),
    };
    let mut response = Map::new();
    response.insert("id".into(), child["id"].clone());
    response.insert("status".into(), status.into());
    response.extend(body.map(|body| ("body".to_owned(), body)));
    Value::Object(response)
}

fn run(call: &Call, child: &Value) -> ApiResult<Reply> {
    let url = child["url"].as_str().unwrap_or_default();
    let known = ALLOWED.contains(&url).then(|| endpoint(&format!("/v2{url}"))).flatten();
    let method = child["method"].as_str().unwrap_or("POST");
    if !method.eq_ignore_ascii_case("POST") {
        return Err(ApiError::invalid("method", "It is POST."));
    }
    let endpoint = known.ok_or_else(|| ApiError::invalid("url", "It cannot be part of a batch."))?;
    let body = match &child["body"] {
        Value::Object(body) => body.clone(),
        Value::Null => Map::new(),
        _ => return Err(ApiError::invalid("body", "It is an object.")),
    };
    endpoint(&call.child(Args::from_object(body)))
}
