//! Endpoints: a table from paths to functions, and the way from an HTTP request to one of them.
//!
//! A handler is a plain function of the service and the request's arguments. It runs on a blocking thread, may
//! be called by `batch`, and knows nothing of HTTP but its status.

mod args;
mod batch;
mod bin;
mod call;
mod change;
mod create;
mod download;
mod drive;
mod list;
mod page;
mod read;
mod revision;
mod search;
mod sync;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use tokio::sync::Semaphore;

use self::args::Args;
use self::call::Call;
use super::Service;
use super::account::{Caller, LOCAL_USER, Role};
use super::data;
use super::fault::{self, Faults};
use super::reply::{ApiError, ApiResult, Reply, no_such_route};

/// The largest request body: 10,000 parts with their contexts come to 2 MB, 1000 user tags as well.
const MAX_BODY_BYTES: usize = 8 << 20;
/// The time a request body may take.
const BODY_WAIT: Duration = Duration::from_secs(30);
/// Requests whose bodies are read and worked on at once; bounds their memory together with the size.
const MAX_IN_WORK: usize = 64;

/// A handler.
type Endpoint = fn(&Call) -> ApiResult<Reply>;

/// Every POST endpoint (pds-api.md section 5).
const ENDPOINTS: &[(&str, Endpoint)] = &[
    ("/v2/drive/get", drive::get),
    ("/v2/drive/get_default_drive", drive::get_default),
    ("/v2/drive/list_my_drives", drive::list),
    ("/v2/user/get", drive::user),
    ("/v2/file/create", create::create),
    ("/v2/file/get_upload_url", upload::get_upload_url),
    ("/v2/file/list_uploaded_parts", upload::list_uploaded_parts),
    ("/v2/file/complete", upload::complete),
    ("/v2/file/get", read::get),
    ("/v2/file/get_by_path", read::get_by_path),
    ("/v2/file/list", list::list),
    ("/v2/file/walk", list::walk),
    ("/v2/file/scan", list::scan),
    ("/v2/file/list_by_custom_index_key", list::list_by_custom_index_key),
    ("/v2/file/pre_create_check", list::pre_create_check),
    ("/v2/file/search", search::search),
    ("/v2/file/update", change::update),
    ("/v2/file/move", change::move_to),
    ("/v2/file/copy", change::copy),
    ("/v2/file/delete", change::delete),
    ("/v2/file/put_usertags", change::put_tags),
    ("/v2/file/delete_usertags", change::delete_tags),
    ("/v2/recyclebin/trash", bin::trash),
    ("/v2/recyclebin/restore", bin::restore),
    ("/v2/recyclebin/list", bin::list),
    ("/v2/recyclebin/search_all", search::search_bins),
    ("/v2/recyclebin/clear", bin::clear),
    ("/v2/file/get_last_cursor", sync::get_last_cursor),
    ("/v2/file/list_delta", sync::list_delta),
    ("/v2/file/get_download_url", download::get_download_url),
    ("/v2/file/revision/list", revision::list),
    ("/v2/file/revision/get", revision::get),
    ("/v2/file/revision/update", revision::update),
    ("/v2/file/revision/restore", revision::restore),
    ("/v2/file/revision/delete", revision::delete),
    ("/v2/batch", batch::batch),
];

/// The handler of a path.
fn endpoint(path: &str) -> Option<Endpoint> {
    ENDPOINTS.iter().find(|(known, _)| *known == path).map(|(_, endpoint)| *endpoint)
}

/// Whether a POST to this path is served.
pub fn is_route(path: &str) -> bool {
    endpoint(path).is_some()
}

/// What handlers of HTTP need.
#[derive(Clone)]
struct Front {
    service: Arc<Service>,
    in_work: Arc<Semaphore>,
}

/// The whole server as a router.
pub fn router(service: Arc<Service>, faults: Arc<Faults>) -> Router {
    let front = Front { service: service.clone(), in_work: Arc::new(Semaphore::new(MAX_IN_WORK)) };
    let api = Router::new()
        .route("/v2/file/download", get(redirect))
        .route("/v2/{*path}", post(call))
        .with_state(front);
    let data = Router::new()
        .route("/data/u/{upload}", put(data::put_part))
        .route("/data/r/{revision}", get(data::get_object).head(data::get_object))
        .with_state(service);
    api.merge(data)
        .fallback(async || no_such_route())
        .method_not_allowed_fallback(async || no_such_route())
        .layer(middleware::from_fn_with_state(faults, fault::layer))
        .layer(middleware::from_fn(identify))
}

/// Gives every answer an id, under the names of the gateway and of the object store.
async fn identify(request: Request, next: Next) -> Response {
    let is_data = request.uri().path().starts_with("/data/");
    let id = super::random(16).map(|bytes| super::hash::upper_hex(&bytes)).unwrap_or_default();
    let mut response = next.run(request).await;
    if let Ok(id) = HeaderValue::from_str(&id) {
        let headers = response.headers_mut();
        if is_data {
            headers.insert("x-oss-request-id", id.clone());
            headers.insert("server", HeaderValue::from_static("AliyunOSS"));
        }
        headers.insert("x-ca-request-id", id);
    }
    response
}

/// `POST /v2/*`.
async fn call(State(front): State<Front>, request: Request) -> Response {
    let Some(endpoint) = endpoint(request.uri().path()) else {
        data::drain(request.into_body()).await;
        return no_such_route();
    };
    let caller = match authorize(&front.service, request.headers()) {
        Ok(caller) => caller,
        Err(error) => {
            data::drain(request.into_body()).await;
            return error.into_response();
        }
    };
    answer(front, endpoint, caller, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn answer(front: Front, endpoint: Endpoint, caller: Caller, request: Request) -> ApiResult<Response> {
    let _turn = front.in_work.acquire().await.map_err(|e| ApiError::internal("take requests", e))?;
    let too_large =
        || ApiError::new(413, "InvalidParameterOutOfRange.Body", "The request body is too large.");
    if request.body().size_hint().lower() > MAX_BODY_BYTES as u64 {
        data::drain(request.into_body()).await;
        return Err(too_large());
    }
    let body = axum::body::to_bytes(request.into_body(), MAX_BODY_BYTES);
    let body = tokio::time::timeout(BODY_WAIT, body)
        .await
        .map_err(|_| ApiError::new(408, "RequestTimeout", "The request body did not come in time."))?
        .map_err(|_| too_large())?;
    let service = front.service;
    // Parsing and printing JSON belongs there too: a page of a list is 200 KB.
    let work = move || {
        let call = Call { service, caller, args: Args::parse(&body)? };
        Ok(endpoint(&call)?.into_response())
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::internal("finish its work", error))?
}

/// `GET /v2/file/download` (12.3).
async fn redirect(State(front): State<Front>, request: Request) -> Response {
    let caller = match authorize(&front.service, request.headers()) {
        Ok(caller) => caller,
        Err(error) => return error.into_response(),
    };
    let args = Args::from_query(request.uri().query().unwrap_or_default());
    let call = Call { service: front.service, caller, args };
    let url = tokio::task::spawn_blocking(move || download::location(&call)).await;
    match url {
        Ok(Ok(url)) => match HeaderValue::from_str(&url) {
            Ok(url) => (axum::http::StatusCode::FOUND, [("location", url)]).into_response(),
            Err(error) => ApiError::internal("make the URL", error).into_response(),
        },
        Ok(Err(error)) => error.into_response(),
        Err(error) => ApiError::internal("finish its work", error).into_response(),
    }
}

/// Checks the bearer token, in time that tells nothing about it.
fn authorize(service: &Service, headers: &HeaderMap) -> ApiResult<Caller> {
    let sent = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let sent = sent.ok_or_else(ApiError::token)?;
    let (sent, ours) = (sent.as_bytes(), service.access_token.as_bytes());
    let differences =
        sent.iter().zip(ours).fold(sent.len() ^ ours.len(), |all, (a, b)| all | usize::from(a ^ b));
    if differences == 0 {
        Ok(Caller { user_id: LOCAL_USER.to_owned(), role: Role::SuperAdmin })
    } else {
        Err(ApiError::token())
    }
}
