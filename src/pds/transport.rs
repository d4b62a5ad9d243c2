//! One request after the other on warm connections: client, permits, and the whole life of a metadata call.
//!
//! ```text
//!   call ── gate open? ── token ── permit ── POST ── bounded reply ──> Reply
//!     ^                     |                  |
//!     |                     +── 401: read the token again, once
//!     +──── pause (retry::plan; a 429 closes the gate for everyone) ──+
//! ```
//!
//! Invariants: the permit is held while a request is under way and not while pausing; every wait ends at
//! the call's deadline; a failure says whether the service may have acted all the same (`lost`), because
//! only the caller knows how to find out.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue};
use reqwest::Url;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::PdsOptions;
use super::auth::{Auth, Token};
use super::body::Buffers;
use super::failure::{self, Failure};
use super::lease;
use super::rate::Rate;
use super::retry::{self, Cause, Gate, Limits};
use crate::error::{Error, Kind, Result};

/// A reply larger than this is not a reply. A full page of listings with all fields is below 1 MiB.
const MAX_REPLY_BYTES: usize = 32 * 1024 * 1024;
/// The most of an error document that is read.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;
/// Idle connections are dropped before the other side (60 s at OSS) does it under a request.
const IDLE_FOR: Duration = Duration::from_secs(50);
/// The longest that one "slow down" keeps everyone waiting.
const LONGEST_GATE: Duration = Duration::from_secs(30);

/// Connections, permits, token and pauses of one drive.
pub(super) struct Transport {
    pub(super) options: PdsOptions,
    pub(super) http: reqwest::Client,
    pub(super) buffers: Arc<Buffers>,
    /// How fast parts may leave.
    pub(super) upload_rate: Option<Arc<Rate>>,
    /// This service has been seen to take `new_name` in a move, which is not in its documentation (10.2).
    pub(super) renames_on_move: AtomicBool,
    endpoint: Url,
    auth: Auth,
    gate: Gate,
    /// Of the data side, which is another service.
    data_gate: Gate,
    metadata: Semaphore,
    data: Arc<Semaphore>,
}

/// A metadata request.
pub(super) struct Call<'a> {
    /// What we are doing, for errors.
    pub(super) op: &'static str,
    /// What we are doing it to, for errors.
    pub(super) subject: &'a str,
    /// `file/get`: what follows `/v2/`.
    pub(super) path: &'static str,
    /// The JSON object to send.
    pub(super) body: Value,
    /// Whether the request may be repeated when the service may have acted on it.
    pub(super) repeatable: bool,
    /// The longest wait for one reply; the whole call may take [`PdsOptions::op_timeout`] more.
    pub(super) reply_within: Option<Duration>,
}

impl<'a> Call<'a> {
    /// A call that may be repeated although the service may have acted on it, as all but `copy` may.
    pub(super) fn new(op: &'static str, subject: &'a str, path: &'static str, body: Value) -> Self {
        Call { op, subject, path, body, repeatable: true, reply_within: None }
    }
}

/// A successful reply.
pub(super) struct Reply {
    /// The JSON; `Null` when there was no body.
    pub(super) value: Value,
    /// The service's clock.
    pub(super) server_now: SystemTime,
    /// An earlier try of this call may have been acted upon, its reply lost.
    pub(super) repeated: bool,
}

impl Transport {
    pub(super) fn new(options: PdsOptions) -> Result<Self> {
        let endpoint = endpoint(&options.endpoint)?;
        let connections = options.connections.max(1);
        Ok(Transport {
            http: http_client(&options, &endpoint)?,
            buffers: Arc::new(Buffers::new(2 * connections)),
            upload_rate: Rate::new(options.upload_rate).map(Arc::new),
            renames_on_move: AtomicBool::new(false),
            endpoint,
            auth: Auth::new(options.credentials.clone())?,
            gate: Gate::default(),
            data_gate: Gate::default(),
            metadata: Semaphore::new(connections),
            data: Arc::new(Semaphore::new(connections)),
            options,
        })
    }

    /// The right to have one data request under way. Waits for as long as it takes: every holder has
    /// deadlines of its own.
    pub(super) async fn data_permit(&self, op: &'static str) -> Result<OwnedSemaphorePermit> {
        let closed = |_| Error::new(Kind::Unavailable, op, "the client is shutting down");
        Arc::clone(&self.data).acquire_owned().await.map_err(closed)
    }

    /// Waits while a transfer has been told to slow down, or the data side fails. Ends: each closing is for
    /// half a minute at most, and not repeated for ever.
    pub(super) async fn pass_data_gate(&self) {
        while let Some(closed_for) = self.data_gate.closed_for(std::time::Instant::now()) {
            sleep(closed_for).await;
        }
    }

    /// No transfer begins for so long.
    pub(super) fn close_data_gate(&self, pause: Duration) {
        self.data_gate.close_until(std::time::Instant::now() + pause.min(LONGEST_GATE));
    }

    /// Makes a metadata call. On failure `lost` tells whether any try may have been acted upon.
    pub(super) async fn call(&self, call: Call<'_>) -> Result<Reply, Failure> {
        let started = Instant::now();
        let reply_within = call.reply_within.unwrap_or(self.options.op_timeout / 2);
        let budget = call.reply_within.unwrap_or_default() + self.options.op_timeout;
        let limits = Limits { retries: self.options.retries, budget };
        let deadline = started + budget;
        let body = Bytes::from(call.body.to_string());
        let (mut failures, mut lost, mut refused) = (0, false, None);
        loop {
            let name = |failure: Failure| failure.map(|error| error.on(call.subject));
            self.pass_gate(call.op, deadline).await.map_err(name)?;
            let token = match refused.take() {
                Some(token) => token,
                None => self.auth.token().await.map_err(Failure::fatal)?,
            };
            let failure = match self.attempt(&call, body.clone(), &token, deadline, reply_within).await {
                Ok((value, server_now)) => return Ok(Reply { value, server_now, repeated: lost }),
                Err(failure) => failure,
            };
            lost |= failure.lost;
            failures += 1;
            tracing::debug!(call = call.path, failures, error = %failure.error, "request failed");
            let failure = Failure { lost, ..name(failure) };
            if failure.error.kind() == Kind::Unauthenticated {
                refused = Some(self.other_token(&token, failure).await?);
                continue;
            }
            let pause = self.pause(&failure, &call, failures, started, limits);
            let Some(pause) = pause else { return Err(given_up(&call, failure, failures, started)) };
            sleep(pause).await;
        }
    }

    /// How long to pause before the next try; `None` = give up.
    fn pause(
        &self,
        failure: &Failure,
        call: &Call<'_>,
        failures: u32,
        started: Instant,
        limits: Limits,
    ) -> Option<Duration> {
        let cause = failure.cause?;
        if failure.lost && !call.repeatable {
            return None;
        }
        let pause = retry::plan(failures, started.elapsed(), cause, limits, retry::chance());
        if let Cause::Throttled(asked) = cause
            && let Some(closed_for) = pause.or(asked)
        {
            // Also when this call gives up: the others need not be told one by one.
            self.gate.close_until(std::time::Instant::now() + closed_for.min(LONGEST_GATE));
        }
        pause
    }

    /// The token after a refused one, or the refusal with advice. Each reading of the token is refused at
    /// most once, so this ends.
    async fn other_token(&self, refused: &Token, failure: Failure) -> Result<Token, Failure> {
        let code = failure.error.code().to_owned();
        let lost = failure.lost;
        match self.auth.refresh(refused).await {
            Ok(Some(token)) => Ok(token),
            Ok(None) => {
                let error = Error::new(Kind::Unauthenticated, "log in", self.auth.advice()).with_code(&code);
                Err(Failure { error, lost, cause: None })
            }
            Err(error) => Err(Failure { error, lost, cause: None }),
        }
    }

    /// Waits while someone has been told to slow down.
    async fn pass_gate(&self, op: &'static str, deadline: Instant) -> Result<(), Failure> {
        while let Some(closed_for) = self.gate.closed_for(std::time::Instant::now()) {
            let opens_at = Instant::now() + closed_for;
            if opens_at >= deadline {
                let error = Error::new(Kind::Throttled, op, "the service asks to slow down");
                return Err(Failure::fatal(error));
            }
            sleep_until(opens_at).await;
        }
        Ok(())
    }

    async fn attempt(
        &self,
        call: &Call<'_>,
        body: Bytes,
        token: &Token,
        deadline: Instant,
        reply_within: Duration,
    ) -> Result<(Value, SystemTime), Failure> {
        let busy = |_| Failure::timeout(call.op, "too many requests are waiting for the service", false);
        let permit = timeout_at(deadline, self.metadata.acquire()).await.map_err(busy)?;
        let _permit = permit.map_err(|_| {
            Failure::fatal(Error::new(Kind::Unavailable, call.op, "the client is shutting down"))
        })?;
        let reply_by = deadline.min(Instant::now() + reply_within);
        let exchange = self.exchange(call, body, token);
        match timeout_at(reply_by, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let message = format!("{} does not answer", lease::host(&self.endpoint));
                Err(Failure::timeout(call.op, message, true))
            }
        }
    }

    async fn exchange(
        &self,
        call: &Call<'_>,
        body: Bytes,
        token: &Token,
    ) -> Result<(Value, SystemTime), Failure> {
        let host = lease::host(&self.endpoint);
        let mut url = self.endpoint.clone();
        url.set_path(&format!("{}/v2/{}", self.endpoint.path().trim_end_matches('/'), call.path));
        let response = self
            .http
            .post(url)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(AUTHORIZATION, bearer(token)?)
            .body(body)
            .send()
            .await
            .map_err(|error| failure::from_network(call.op, &host, error))?;
        let status = response.status();
        let headers = response.headers().clone();
        if !status.is_success() {
            let body = collect(call.op, &host, response, MAX_REFUSAL_BYTES).await;
            let refusal = |body: &[u8]| failure::from_api(call.op, status, &headers, body);
            return Err(refused(body, refusal));
        }
        let body = collect(call.op, &host, response, MAX_REPLY_BYTES).await?;
        let value = json(call.op, &body).map_err(|error| Failure { error, lost: true, cause: None })?;
        Ok((value, server_now(&headers)))
    }
}

/// `Authorization`, marked so that nothing prints it.
fn bearer(token: &Token) -> Result<HeaderValue, Failure> {
    let text = format!("Bearer {}", token.secret.expose());
    let mut value = HeaderValue::from_str(&text).map_err(|_| {
        Failure::fatal(Error::new(Kind::Unauthenticated, "log in", "the access token cannot be sent"))
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Where the API is.
fn endpoint(text: &str) -> Result<Url> {
    let invalid = |why: String| Error::new(Kind::Invalid, "use the endpoint", why).on(text);
    let example = "write it like https://bj1.api.aliyunpds.com";
    let url = Url::parse(text.trim()).map_err(|error| invalid(format!("not a URL ({error}): {example}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(invalid(format!("only http and https are spoken here: {example}")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let why = "no user or password belongs into the endpoint: use --token-file".to_owned();
        return Err(Error::new(Kind::Invalid, "use the endpoint", why));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid(format!("nothing belongs after the host: {example}")));
    }
    Ok(url)
}

fn http_client(options: &PdsOptions, endpoint: &Url) -> Result<reqwest::Client> {
    // Fails only when the process has a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("pdsfs/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .http1_only()
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        .connect_timeout(options.connect_timeout)
        .pool_idle_timeout(IDLE_FOR)
        .pool_max_idle_per_host(2 * options.connections.max(1));
    if is_loopback(endpoint) {
        // The server in this process or on this machine; its signed URLs are here too.
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| {
        Error::new(Kind::Invalid, "start the HTTP client", error.to_string()).caused_by(error.without_url())
    })
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The body of a reply, if it is no longer than `limit`.
pub(super) async fn collect(
    op: &'static str,
    host: &str,
    mut response: reqwest::Response,
    limit: usize,
) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failure::from_network(op, host, error))? {
        if body.len() + chunk.len() > limit {
            let error =
                Error::new(Kind::Protocol, op, format!("the reply of {host} is larger than {limit} bytes"));
            return Err(Failure { error, lost: true, cause: None });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A refusal by its document. One that was cut on the way, and does not say by its head what it is, is a
/// failure of the network.
pub(super) fn refused(body: Result<Vec<u8>, Failure>, refusal: impl Fn(&[u8]) -> Failure) -> Failure {
    match body {
        Ok(body) => refusal(&body),
        Err(cut) => {
            let failure = refusal(b"");
            let is_known = failure.cause.is_some() || !failure.error.code().is_empty();
            if is_known || cut.cause.is_none() { failure } else { cut }
        }
    }
}

/// The JSON of a successful reply; `Null` for none.
fn json(op: &'static str, body: &[u8]) -> Result<Value> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Null);
    }
    serde_json::from_slice(body).map_err(|error| {
        let page = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<');
        let message = if page {
            "a web page came back: this does not look like a PDS endpoint; check the address, any proxy, and \
             whether the network wants a login"
        } else {
            "the reply is not JSON: this does not look like a PDS endpoint"
        };
        Error::new(Kind::Protocol, op, message).caused_by(error)
    })
}

/// The service's clock, or ours when it does not tell.
fn server_now(headers: &HeaderMap) -> SystemTime {
    let date = headers.get(DATE).and_then(|date| date.to_str().ok());
    date.and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or_else(SystemTime::now)
}

/// The last failure, with how long it took to accept it.
fn given_up(call: &Call<'_>, failure: Failure, tries: u32, started: Instant) -> Failure {
    if tries < 2 {
        return failure;
    }
    let seconds = started.elapsed().as_secs_f64();
    failure.map(|error| {
        let message = format!("{}; gave up after {tries} tries in {seconds:.1} s", error.message());
        Error::new(error.kind(), call.op, message).on(call.subject).with_code(error.code()).caused_by(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_is_checked_with_a_clear_sentence() {
        for good in ["https://bj1.api.aliyunpds.com", "http://127.0.0.1:8080/", "http://[::1]:1/prefix"] {
            assert!(endpoint(good).is_ok(), "{good}");
        }
        for bad in ["bj1.api.aliyunpds.com", "", "ftp://h", "http://", "https://h/?a=b", "localhost:8080"] {
            let error = endpoint(bad).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid, "{bad}");
            assert!(error.message().contains("https://bj1.api"), "{error}");
        }
        let error = endpoint("https://me:hush@h").unwrap_err();
        assert!(!error.to_string().contains("hush"), "{error}");
    }

    #[test]
    fn loopback_is_recognised() {
        for (url, here) in [
            ("http://127.0.0.1:1", true),
            ("http://127.8.8.8", true),
            ("http://[::1]:2", true),
            ("http://localhost", true),
            ("http://localhost.example.com", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), here, "{url}");
        }
    }

    #[test]
    fn no_body_is_null_and_a_web_page_is_no_reply() {
        assert_eq!(json("get", b" \r\n").unwrap(), Value::Null);
        assert!(json("get", b"\n<!DOCTYPE html>").unwrap_err().message().contains("web page"));
        assert!(json("get", b"{\"a\":").unwrap_err().message().contains("not JSON"));
        // Deeper than any parser should follow.
        assert_eq!(json("get", "[".repeat(100_000).as_bytes()).unwrap_err().kind(), Kind::Protocol);
    }
}
