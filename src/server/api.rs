//! Endpoints: a table from paths to functions, and the way from an HTTP request to one of them.
//!
//! A handler is a plain function of the service and the request's arguments. It runs on a blocking thread, may
//! be called by `batch`, and knows nothing of HTTP but its status.

mod args;
mod auth;
mod batch;
pub mod bin;
mod call;
pub mod change;
pub mod consent;
mod control;
mod create;
mod domain;
mod download;
mod drive;
mod list;
mod oauth;
mod page;
mod proof;
mod read;
mod revision;
mod search;
mod share;
mod sync;
mod task;
mod upload;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use futures_util::StreamExt;
use tokio::sync::{Semaphore, SemaphorePermit};

pub use self::args::Args;
use self::auth::Credential;
use self::call::Call;
use self::proof::ProofSeed;
use super::Service;
use super::data;
use super::fault::{self, Faults, Quirk};
use super::reply::{ApiError, ApiResult, Reply, no_such_route};

/// The largest request body: 10,000 parts with their contexts come to 2 MB, 1000 user tags as well.
const MAX_BODY_BYTES: usize = 8 << 20;
/// Bodies up to this size need no turn while they come, so that slow senders of large ones hold up no others;
/// as many come at once as there are connections.
const SMALL_BODY_BYTES: usize = 64 << 10;
/// Larger bodies that come and are worked on at once; bounds their memory together with the size.
const MAX_LARGE_BODIES: usize = 32;
/// Requests that are worked on at once.
const MAX_IN_WORK: usize = 64;

/// What a form says its type is.
const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// Where a share token comes (2.3).
const SHARE_TOKEN: &str = "x-share-token";

/// A handler.
type Endpoint = fn(&Call) -> ApiResult<Reply>;

/// Every POST endpoint (pds-api.md section 5).
const ENDPOINTS: &[(&str, Endpoint)] = &[
    ("/v2/drive/get", drive::get),
    ("/v2/drive/get_default_drive", drive::get_default),
    ("/v2/drive/list_my_drives", drive::list_mine),
    ("/v2/drive/list_my_group_drive", drive::list_my_group),
    ("/v2/drive/list", drive::list),
    ("/v2/drive/search", drive::search),
    ("/v2/drive/create", drive::create),
    ("/v2/drive/update", drive::update),
    ("/v2/drive/delete", drive::delete),
    ("/v2/domain/get", domain::get),
    ("/v2/domain/get_quota", domain::get_quota),
    ("/v2/user/get", domain::user),
    ("/v2/file/create", create::create),
    ("/v2/file/create_with_proof", create::create_with_proof),
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
    ("/v2/recyclebin/clear_all", bin::clear_all),
    ("/v2/file/archive_files", task::archive_files),
    ("/v2/async_task/get", task::get),
    ("/v2/file/get_last_cursor", sync::get_last_cursor),
    ("/v2/file/list_delta", sync::list_delta),
    ("/v2/file/get_download_url", download::get_download_url),
    ("/v2/file/revision/list", revision::list),
    ("/v2/file/revision/get", revision::get),
    ("/v2/file/revision/update", revision::update),
    ("/v2/file/revision/restore", revision::restore),
    ("/v2/file/revision/delete", revision::delete),
    ("/v2/batch", batch::batch),
    ("/v2/share_link/create", share::create),
    ("/v2/share_link/get", share::get),
    ("/v2/share_link/list", share::list),
    ("/v2/share_link/update", share::update),
    ("/v2/share_link/cancel", share::cancel),
];

/// Endpoints that need no token: they give one.
const ANONYMOUS: &[(&str, Endpoint)] = &[
    ("/v2/oauth/token", oauth::token),
    ("/v2/account/token", oauth::account_token),
    ("/v2/account/revoke", oauth::revoke),
    ("/v2/share_link/get_by_anonymous", share::get_by_anonymous),
    ("/v2/share_link/get_share_token", share::get_share_token),
];

/// The handler of a path.
fn endpoint(path: &str) -> Option<Endpoint> {
    ENDPOINTS.iter().chain(ANONYMOUS).find(|(known, _)| *known == path).map(|(_, endpoint)| *endpoint)
}

/// Whether a POST to this path is served.
pub fn is_route(path: &str) -> bool {
    endpoint(path).is_some()
}

fn is_anonymous(path: &str) -> bool {
    ANONYMOUS.iter().any(|(known, _)| *known == path)
}

/// What handlers of HTTP need.
#[derive(Clone)]
struct Front {
    service: Arc<Service>,
    in_work: Arc<Semaphore>,
    large_bodies: Arc<Semaphore>,
    faults: Arc<Faults>,
}

/// The whole server as a router.
pub fn router(service: Arc<Service>, faults: Arc<Faults>) -> Router {
    let front = Front {
        service: service.clone(),
        in_work: Arc::new(Semaphore::new(MAX_IN_WORK)),
        large_bodies: Arc::new(Semaphore::new(MAX_LARGE_BODIES)),
        faults: faults.clone(),
    };
    let api = Router::new()
        .route("/v2/file/download", get(redirect))
        .route("/control/{verb}", post(control))
        .route("/v2/oauth/authorize", get(show_consent).post(answer_consent))
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
    let (parts, body) = request.into_parts();
    let share_token = parts.headers.get(SHARE_TOKEN).and_then(|token| Some(token.to_str().ok()?.to_owned()));
    let is_signed_in = parts.headers.contains_key(AUTHORIZATION);
    let credential = match is_anonymous(parts.uri.path()) || (share_token.is_some() && !is_signed_in) {
        true => Ok(Credential::None),
        false => Credential::of(&front.service, &parts),
    };
    let credential = match credential {
        Ok(credential) => credential,
        Err(error) => {
            data::drain(body).await;
            return error.into_response();
        }
    };
    let proof = ProofSeed::of(&parts.headers);
    let quirk = parts.extensions.get::<Quirk>().copied();
    // Where forms are asked for (6.1). Elsewhere the body is JSON whatever it is called: tools like curl call all
    // they send a form.
    let is_form = parts.uri.path() == "/v2/oauth/token"
        && parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(FORM));
    let path = parts.uri.path().to_owned();
    let work = move |service: Arc<Service>, body: Bytes| {
        let caller = credential.settle(&service, &body)?;
        let args = match is_form {
            true => Args::from_query(&String::from_utf8_lossy(&body)),
            false => Args::parse(&body)?,
        };
        let call = Call { service, caller, args, proof, quirk };
        call.refuse()?;
        let by_share = share_token.filter(|_| !is_signed_in || call.args.value("share_id").is_some());
        let reply = match by_share {
            Some(token) if !is_anonymous(&path) => {
                share::visit(call.child(call.args.clone()), &path, &token, endpoint)
            }
            _ => endpoint(&call),
        };
        Ok(call.blur(reply?).into_response())
    };
    answer(front, body, work).await.unwrap_or_else(IntoResponse::into_response)
}

/// Reads a body within bounds of size and time and works on it on a blocking thread.
async fn answer(
    front: Front,
    body: Body,
    work: impl FnOnce(Arc<Service>, Bytes) -> ApiResult<Response> + Send + 'static,
) -> ApiResult<Response> {
    if body.size_hint().lower() > MAX_BODY_BYTES as u64 {
        data::drain(body).await;
        return Err(too_large());
    }
    let (body, _large) = tokio::time::timeout(front.service.options.limits.body, read_body(&front, body))
        .await
        .map_err(|_| ApiError::new(408, "RequestTimeout", "The request body did not come in time."))??;
    let _turn = front.in_work.acquire().await.map_err(|e| ApiError::internal("take requests", e))?;
    let service = front.service.clone();
    // Parsing and printing JSON belongs there too: a page of a list is 200 KB.
    tokio::task::spawn_blocking(move || work(service, body))
        .await
        .map_err(|error| ApiError::internal("finish its work", error))?
}

/// A whole body; with it a turn among the large ones, if it is large.
async fn read_body(front: &Front, body: Body) -> ApiResult<(Bytes, Option<SemaphorePermit<'_>>)> {
    let (mut stream, mut bytes, mut turn) = (body.into_data_stream(), Vec::new(), None);
    while let Some(piece) = stream.next().await {
        let piece = piece
            .map_err(|_| ApiError::new(400, "InvalidParameter.Body", "The request body ended too early."))?;
        let len = bytes.len().saturating_add(piece.len());
        if len > MAX_BODY_BYTES {
            return Err(too_large());
        }
        if len > SMALL_BODY_BYTES && turn.is_none() {
            let permit = front.large_bodies.acquire().await;
            turn = Some(permit.map_err(|error| ApiError::internal("take requests", error))?);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok((bytes.into(), turn))
}

fn too_large() -> ApiError {
    ApiError::new(413, "InvalidParameterOutOfRange.Body", "The request body is too large.")
}

/// `GET /v2/file/download` (12.3).
async fn redirect(State(front): State<Front>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let work = move |service: Arc<Service>, body: Bytes| {
        let caller = Credential::of(&service, &parts)?.settle(&service, &body)?;
        let args = Args::from_query(parts.uri.query().unwrap_or_default());
        let proof = ProofSeed::of(&parts.headers);
        let url = download::location(&Call { service, caller, args, proof, quirk: None })?;
        let url = HeaderValue::from_str(&url).map_err(|error| ApiError::internal("make the URL", error))?;
        Ok((StatusCode::FOUND, [(LOCATION, url)]).into_response())
    };
    answer(front, body, work).await.unwrap_or_else(IntoResponse::into_response)
}

/// `POST /control/{verb}`.
async fn control(State(front): State<Front>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if let Err(error) = control::admit(&front.service, &parts) {
        data::drain(body).await;
        return error.into_response();
    }
    let faults = front.faults.clone();
    let work = move |service: Arc<Service>, body: Bytes| {
        let verb = parts.uri.path().trim_start_matches("/control/");
        Ok(control::run(&service, &faults, verb, &Args::parse(&body)?)?.into_response())
    };
    answer(front, body, work).await.unwrap_or_else(IntoResponse::into_response)
}

/// `GET /v2/oauth/authorize`.
async fn show_consent(State(front): State<Front>, request: Request) -> Response {
    consent::show(&front.service, request.uri().query().unwrap_or_default())
}

/// `POST /v2/oauth/authorize`.
async fn answer_consent(State(front): State<Front>, request: Request) -> Response {
    let work = move |service: Arc<Service>, form: Bytes| Ok(consent::answer(&service, &form));
    answer(front, request.into_body(), work).await.unwrap_or_else(IntoResponse::into_response)
}
