//! Misbehaviour to order: what networks, gateways and services do wrong, so that clients can be tested.
//!
//! A layer outside of every handler, which knows requests only by the name of their route: the verb for
//! `/v2/file/*` (`create`, `complete`, `list`...), `group/verb` for other groups (`drive/get`, `revision/list`,
//! `recyclebin/trash`), `put_part` and `get_object` for data URLs, `*` for every one. What only a handler can do
//! wrong travels with the request as a [`Quirk`].

pub mod spec;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use http::Method;
use http_body::{Frame, SizeHint};
use tokio::sync::watch;

use super::data::drain;
use super::http::Cut;
use super::reply::{ApiError, DataError};

/// Replies to be altered are at most this large; what is larger is cut short.
const MAX_ALTERED_BYTES: usize = 64 << 20;
/// A huge reply is this many times [`HUGE_PIECE`]: 128 MiB, more than any client should take in.
const HUGE_PIECES: usize = 128;
const HUGE_PIECE: &[u8] = &[b' '; 1 << 20];
/// A held request goes on by itself after this long, so that a test that forgot it ends.
const HELD_FOR: Duration = Duration::from_secs(60);

/// Something to go wrong.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The route's name; see the module.
    pub route: &'static str,
    /// What goes wrong.
    pub action: FaultAction,
    /// How many requests it happens to.
    pub times: u32,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultAction {
    /// The request is handled this much later.
    Delay(Duration),
    /// The request is handled once [`Faults::release`] is called; after a minute in any case.
    Hold,
    /// This status, code and message instead of handling it.
    Status(u16, &'static str, &'static str),
    /// The connection closes before anything happens.
    CutBefore,
    /// It is handled, but the connection closes in the middle of the reply's body.
    CutBody,
    /// It is handled, but the second half of the reply's body is held like a request by [`FaultAction::Hold`].
    StallBody,
    /// It is handled, but the connection closes without a reply.
    LostReply,
    /// It is handled, but one byte in the middle of the reply's body is another.
    WrongByte,
    /// It is handled, but the CRC-64 in the reply is wrong.
    WrongCrc,
    /// It is handled, but the reply is a web page.
    NotJson,
    /// It is handled, but the reply is 128 MiB of nothing.
    HugeReply,
    /// The URL counts as expired.
    ExpiredUrl,
    /// The server's disk is full.
    DiskFull,
    /// The drive is full.
    QuotaExhausted,
    /// 429, with headers that say when to come again, or without.
    Throttled(Option<Duration>),
    /// The gateway's own page of this status instead of handling it.
    Gateway(u16),
    /// The connection closes in the middle of the request's body, before anything happens.
    CutRequest,
    /// The connection closes after the request's body, before anything happens.
    CutAfter,
    /// Only the first half of the body is taken for the whole.
    ShortPut,
    /// It is handled differently.
    Quirk(Quirk),
}

/// What a handler does otherwise than usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quirk {
    /// Lists do not show what was made within this time.
    Stale(Duration),
    /// The feed does not tell what happened within this time.
    Delayed(Duration),
    /// Parallel uploads are refused.
    NoParallel,
    /// Files need a size at create.
    SizeRequired,
}

/// How often something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Until it is cleared.
    Always,
    /// For so many requests.
    Times(u32),
    /// For so many of a hundred requests, by a sequence that is the same in every run.
    Percent(u8),
}

/// A fault that waits for its requests.
#[derive(Clone, Debug)]
pub struct Ordered {
    route: String,
    action: FaultAction,
    when: When,
    words: String,
}

/// The faults ordered, and how often each route was asked.
#[derive(Debug, Default)]
pub struct Faults {
    state: Mutex<Script>,
    /// Bytes of contents handed to the network.
    sent: AtomicU64,
    /// How often held requests were released.
    releases: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Script {
    ordered: Vec<Ordered>,
    dice: u64,
    counts: HashMap<String, u64>,
    held: u64,
}

impl Faults {
    /// Orders a fault; faults for one route happen in the order they were added.
    pub fn add(&self, fault: Fault) {
        let words = format!("{} {:?}", fault.route, fault.action);
        let when = When::Times(fault.times);
        self.lock().ordered.push(Ordered {
            route: fault.route.to_owned(),
            action: fault.action,
            when,
            words,
        });
    }

    /// Orders a fault in words: `create lost-reply 10%`; see [`spec`].
    ///
    /// # Errors
    /// A sentence about the word that makes no sense.
    pub fn order(&self, words: &str) -> Result<(), String> {
        self.lock().ordered.push(spec::parse(words)?);
        Ok(())
    }

    /// The faults that wait for requests.
    pub fn ordered(&self) -> Vec<String> {
        self.lock().ordered.iter().map(|ordered| ordered.words.clone()).collect()
    }

    /// Every route that was asked, and how often.
    pub fn counts(&self) -> std::collections::BTreeMap<String, u64> {
        self.lock().counts.clone().into_iter().collect()
    }

    /// Counts from zero again.
    pub fn reset_counts(&self) {
        self.lock().counts.clear();
    }

    /// Forgets the faults that have not happened.
    pub fn clear(&self) {
        self.lock().ordered.clear();
    }

    /// Lets every request go on that is held now.
    pub fn release(&self) {
        self.releases.send_modify(|count| *count += 1);
    }

    /// Requests that are held now.
    pub fn held(&self) -> u64 {
        self.lock().held
    }

    async fn hold(&self) {
        let mut releases = self.releases.subscribe();
        self.lock().held += 1;
        // The sender lives as long as the faults do, so this ends by a release or by the time.
        let _ = tokio::time::timeout(HELD_FOR, releases.changed()).await;
        self.lock().held -= 1;
    }

    /// Requests that came in for this route since the start, whatever became of them.
    pub fn count(&self, route: &str) -> u64 {
        let state = self.lock();
        match route {
            "*" => state.counts.values().sum(),
            route => state.counts.get(route).copied().unwrap_or(0),
        }
    }

    /// Bytes of file contents that were sent since the start, those of broken transfers included.
    pub fn bytes_sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    fn take(&self, route: &str) -> Option<FaultAction> {
        let mut state = self.lock();
        *state.counts.entry(route.to_owned()).or_default() += 1;
        let Script { ordered, dice, .. } = &mut *state;
        let hit = |fault: &mut Ordered| {
            let it_is = (fault.route == route || fault.route == "*")
                && match &mut fault.when {
                    When::Always => true,
                    When::Times(0) => false,
                    When::Times(left) => {
                        *left -= 1;
                        true
                    }
                    When::Percent(percent) => roll(dice) < u64::from(*percent),
                };
            it_is.then(|| fault.action.clone())
        };
        let action = ordered.iter_mut().find_map(hit);
        ordered.retain(|fault| fault.when != When::Times(0));
        action
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Script> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 0 to 99, by SplitMix64.
fn roll(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)) % 100
}

/// Whether requests can have this name.
fn is_known(route: &str) -> bool {
    ["*", "put_part", "get_object", "download", "unknown"].contains(&route)
        || super::api::is_route(&format!("/v2/{route}"))
        || super::api::is_route(&format!("/v2/file/{route}"))
}

/// The name of a request's route. Paths nobody serves share one name, so that counting stays bounded.
fn route(method: &Method, path: &str) -> String {
    if path.starts_with("/data/") {
        return if *method == Method::PUT { "put_part" } else { "get_object" }.to_owned();
    }
    let name = path.strip_prefix("/v2/").unwrap_or("");
    let name = name.strip_prefix("file/").unwrap_or(name);
    let known = super::api::is_route(path) || path == "/v2/file/download";
    if known { name.to_owned() } else { "unknown".to_owned() }
}

/// The layer.
pub async fn layer(State(faults): State<Arc<Faults>>, request: Request, next: Next) -> Response {
    // What orders faults has none itself.
    if request.uri().path().starts_with("/control/") {
        return next.run(request).await;
    }
    let is_data = request.uri().path().starts_with("/data/");
    let route = route(request.method(), request.uri().path());
    let response = match faults.take(&route) {
        None => next.run(request).await,
        Some(action) => misbehave(&faults, &route, action, request, next, is_data).await,
    };
    if route != "get_object" {
        return response;
    }
    let (parts, body) = response.into_parts();
    Response::from_parts(parts, Body::new(Counted { body, faults }))
}

/// A body whose bytes are counted as they leave.
struct Counted {
    body: Body,
    faults: Arc<Faults>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            let len = frame.data_ref().map_or(0, |data| data.len() as u64);
            self.faults.sent.fetch_add(len, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

async fn misbehave(
    faults: &Arc<Faults>,
    route: &str,
    action: FaultAction,
    request: Request,
    next: Next,
    is_data: bool,
) -> Response {
    tracing::debug!("fault on {route}: {action:?}");
    match action {
        FaultAction::Delay(time) => {
            tokio::time::sleep(time).await;
            next.run(request).await
        }
        FaultAction::Hold => {
            faults.hold().await;
            next.run(request).await
        }
        FaultAction::Throttled(after) => throttle(request, after, is_data).await,
        FaultAction::Gateway(status) => gateway(request, status).await,
        FaultAction::CutRequest => {
            read_half(request).await;
            cut()
        }
        FaultAction::CutAfter => {
            drain(request.into_body()).await;
            cut()
        }
        FaultAction::ShortPut => next.run(first_half(request)).await,
        FaultAction::Quirk(quirk) => {
            let mut request = request;
            request.extensions_mut().insert(quirk);
            next.run(request).await
        }
        FaultAction::Status(status, code, message) => refuse(request, status, code, message, is_data).await,
        FaultAction::ExpiredUrl => {
            drain(request.into_body()).await;
            DataError::expired(0, 1).into_response()
        }
        FaultAction::DiskFull => refuse_with(request, ApiError::disk_full(), is_data).await,
        FaultAction::QuotaExhausted => refuse_with(request, ApiError::quota(), is_data).await,
        FaultAction::CutBefore => cut(),
        FaultAction::LostReply => {
            let _ = next.run(request).await;
            cut()
        }
        FaultAction::StallBody => stall_body(Arc::clone(faults), next.run(request).await),
        FaultAction::CutBody => cut_body(next.run(request).await).await,
        FaultAction::WrongByte => wrong_byte(next.run(request).await),
        FaultAction::WrongCrc => wrong_crc(next.run(request).await).await,
        FaultAction::NotJson => {
            let page = "<html><body>Sign in to this network</body></html>";
            replace_body(answer(next, request, is_data).await, Body::from(page), "text/html")
        }
        FaultAction::HugeReply => {
            let start = stream::once(async { Bytes::from_static(b"{\"items\":[") });
            let pieces = stream::repeat(Bytes::from_static(HUGE_PIECE)).take(HUGE_PIECES);
            let body = Body::from_stream(start.chain(pieces).map(Ok::<_, std::io::Error>));
            replace_body(answer(next, request, is_data).await, body, "application/json")
        }
    }
}

fn cut() -> Response {
    let mut response = StatusCode::OK.into_response();
    response.extensions_mut().insert(Cut);
    response
}

/// As the gateway does: code and message in headers too, and a body only where it would have one.
async fn refuse(
    request: Request,
    status: u16,
    code: &'static str,
    message: &'static str,
    is_data: bool,
) -> Response {
    drain(request.into_body()).await;
    let mut response = match status {
        502 => (StatusCode::BAD_GATEWAY, "Bad Gateway").into_response(),
        504 => StatusCode::GATEWAY_TIMEOUT.into_response(),
        _ if is_data => DataError::new(status, code, message).into_response(),
        _ => ApiError::new(status, code, message).into_response(),
    };
    response.headers_mut().insert("x-ca-error-code", HeaderValue::from_static(code));
    response.headers_mut().insert("x-ca-error-message", HeaderValue::from_static(message));
    response
}

async fn throttle(request: Request, after: Option<Duration>, is_data: bool) -> Response {
    let mut response = refuse(request, 429, "TooManyRequests", "Too many requests.", is_data).await;
    if let Some(after) = after {
        // 3.3: milliseconds; the common header has whole seconds.
        let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        response.headers_mut().insert("x-retry-after", HeaderValue::from(millis));
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(millis.div_ceil(1000)));
    }
    response
}

/// The page of a gateway that got no answer from the service.
async fn gateway(request: Request, status: u16) -> Response {
    drain(request.into_body()).await;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let (code, message) = match status.as_u16() {
        504 => ("D504TO", "timeout"),
        503 => ("ServiceUnavailable", "service unavailable"),
        502 => ("D502BG", "bad gateway"),
        _ => ("InternalError", "internal error"),
    };
    let title = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
    let page = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n\
         <hr><center>gateway</center>\r\n</body>\r\n</html>\r\n"
    );
    let headers = [("content-type", "text/html"), ("x-ca-error-code", code), ("x-ca-error-message", message)];
    (status, headers, page).into_response()
}

/// Reads until half of what the request announces has come.
async fn read_half(request: Request) {
    let mut left = announced(request.headers()).unwrap_or(0) / 2;
    let mut body = request.into_body().into_data_stream();
    while left > 0 {
        match tokio::time::timeout(HELD_FOR, body.next()).await {
            Ok(Some(Ok(piece))) => left = left.saturating_sub(piece.len() as u64),
            _ => return,
        }
    }
}

/// The request as if it had ended, and had been announced, at its half. The rest is read and thrown away.
fn first_half(request: Request) -> Request {
    let (mut parts, body) = request.into_parts();
    let half = announced(&parts.headers).unwrap_or(0) / 2;
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(half));
    let keep = stream::unfold((body.into_data_stream(), half), |(mut body, left)| async move {
        if left == 0 {
            while let Some(Ok(_)) = body.next().await {}
            return None;
        }
        let piece = body.next().await?;
        let want = usize::try_from(left).unwrap_or(usize::MAX);
        let piece = piece.map(|piece| piece.slice(..piece.len().min(want)));
        let left = left - piece.as_ref().map_or(left, |piece| piece.len() as u64);
        Some((piece, (body, left)))
    });
    Request::from_parts(parts, Body::from_stream(keep.fuse()))
}

async fn refuse_with(request: Request, error: ApiError, is_data: bool) -> Response {
    drain(request.into_body()).await;
    if is_data { DataError::from(error).into_response() } else { error.into_response() }
}

/// The answer whose body will be another. Whoever answers instead of the data side knows nothing of ranges
/// and checksums.
async fn answer(next: Next, request: Request, is_data: bool) -> Response {
    let response = next.run(request).await;
    if is_data { StatusCode::OK.into_response() } else { response }
}

fn replace_body(response: Response, body: Body, content_type: &'static str) -> Response {
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    Response::from_parts(parts, body)
}

/// The head as it was, the length as announced, half of the bytes, then nothing.
async fn cut_body(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let len = announced(&parts.headers).or_else(|| body.size_hint().exact()).unwrap_or(0);
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(len));
    let half = stream::unfold((body.into_data_stream(), len / 2), |(mut body, left)| async move {
        if left == 0 {
            // Lets the connection send what it has before it fails.
            tokio::task::yield_now().await;
            return Some((Err(axum::Error::new(std::io::Error::other("cut as ordered"))), (body, 0)));
        }
        let piece = body.next().await?;
        let piece =
            piece.map(|piece| piece.slice(..piece.len().min(usize::try_from(left).unwrap_or(usize::MAX))));
        let left = left - piece.as_ref().map_or(left, |piece| piece.len() as u64);
        Some((piece, (body, left)))
    });
    Response::from_parts(parts, Body::from_stream(half))
}

fn announced(headers: &header::HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The head and half of the bytes, the other half once it is released.
fn stall_body(faults: Arc<Faults>, response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let half = announced(&parts.headers).unwrap_or_else(|| body.size_hint().lower()) / 2;
    let pieces =
        stream::unfold((body.into_data_stream(), half, Bytes::new()), move |(mut body, left, rest)| {
            let faults = Arc::clone(&faults);
            async move {
                if !rest.is_empty() {
                    faults.hold().await;
                    return Some((Ok(rest), (body, 0, Bytes::new())));
                }
                let mut piece = match body.next().await? {
                    Ok(piece) => piece,
                    Err(error) => return Some((Err(error), (body, 0, Bytes::new()))),
                };
                let len = piece.len() as u64;
                if left == 0 || len <= left {
                    return Some((Ok(piece), (body, left.saturating_sub(len), Bytes::new())));
                }
                let rest = piece.split_off(usize::try_from(left).unwrap_or(usize::MAX));
                Some((Ok(piece), (body, 0, rest)))
            }
        });
    Response::from_parts(parts, Body::from_stream(pieces))
}

fn wrong_byte(response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let middle = announced(&parts.headers).unwrap_or_else(|| body.size_hint().lower()) / 2;
    let pieces = body.into_data_stream().scan(0_u64, move |at, piece| {
        let start = *at;
        let piece = piece.map(|piece| {
            *at += piece.len() as u64;
            let mut bytes = piece.to_vec();
            let place = middle.checked_sub(start).and_then(|place| usize::try_from(place).ok());
            if let Some(byte) = place.and_then(|place| bytes.get_mut(place)) {
                *byte ^= 1;
            }
            Bytes::from(bytes)
        });
        std::future::ready(Some(piece))
    });
    Response::from_parts(parts, Body::from_stream(pieces))
}

async fn wrong_crc(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let name = HeaderName::from_static("x-oss-hash-crc64ecma");
    if parts.headers.contains_key(&name) {
        parts.headers.insert(name, HeaderValue::from_static("1"));
        return Response::from_parts(parts, body);
    }
    let Ok(bytes) = axum::body::to_bytes(body, MAX_ALTERED_BYTES).await else { return cut() };
    let mut json: serde_json::Value = match serde_json::from_slice(&bytes) {
        Ok(json) => json,
        Err(_) => return Response::from_parts(parts, Body::from(bytes)),
    };
    if let Some(crc) = json.get_mut("crc64_hash") {
        *crc = "1".into();
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(json.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_happen_in_order_and_as_often_as_ordered() {
        let faults = Faults::default();
        faults.add(Fault { route: "list", action: FaultAction::CutBefore, times: 2 });
        faults.add(Fault { route: "*", action: FaultAction::NotJson, times: 1 });
        assert_eq!(faults.take("list"), Some(FaultAction::CutBefore));
        assert_eq!(faults.take("get"), Some(FaultAction::NotJson));
        assert_eq!(faults.take("list"), Some(FaultAction::CutBefore));
        assert_eq!(faults.take("list"), None);
        assert_eq!((faults.count("list"), faults.count("get"), faults.count("*")), (3, 1, 4));
    }

    #[test]
    fn routes_have_names() {
        assert_eq!(route(&Method::POST, "/v2/file/create"), "create");
        assert_eq!(route(&Method::POST, "/v2/drive/get"), "drive/get");
        assert_eq!(route(&Method::POST, "/v2/file/revision/list"), "revision/list");
        assert_eq!(route(&Method::PUT, "/data/u/1"), "put_part");
        assert_eq!(route(&Method::HEAD, "/data/r/1"), "get_object");
        assert_eq!(route(&Method::POST, "/v2/file/nonsense"), "unknown");
    }
}
