//! The data side: PUT of a part (8.4) and ranged GET (12.2) on signed URLs.
//!
//! The token is never sent here; the signature in the URL is the right to act. A transient failure is
//! tried again a few times on the same URL; a URL that has run out comes back as [`code::EXPIRED`],
//! because only the caller can ask for a new one.
//!
//! Nothing is believed: a part's CRC as stored is compared with the CRC of what left here, a range must
//! come with the status, position and length that were asked for.

use std::ops::Range;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, RANGE};
use http::{HeaderName, StatusCode};
use reqwest::Response;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, sleep_until, timeout};

use super::Pds;
use super::body::{FileBody, PartBody, Progress};
#[cfg(doc)]
use super::code;
use super::failure::{self, Failure};
use super::lease::{self, DownloadUrl, PartUrl};
use super::retry::{self, Cause, Limits};
use super::transport::{Transport, collect, refused};
use crate::error::{Error, Kind, Result};

/// Repetitions on one URL; beyond that the caller decides anew. Never more than the client's own number.
const RETRIES: u32 = 3;
/// The most of an error document that is read.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;
/// CRC-64/XZ of the object, on every reply of the data side (8.4, 12.2).
const CRC64: HeaderName = HeaderName::from_static("x-oss-hash-crc64ecma");

/// What the service said about a part it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartReceipt {
    /// CRC-64/XZ of what it stored, when it said so; equal to `sent_crc64` then.
    pub crc64: Option<u64>,
    /// MD5 in upper-case hex, without quotes, when it said so.
    pub etag: Option<String>,
    /// CRC-64/XZ of what was sent.
    pub sent_crc64: u64,
}

/// The bytes of one range, as they arrive. Holds one of the client's data connections until dropped, so
/// read it to the end or drop it; do not wait for another transfer in between.
pub struct RangeBody {
    response: Response,
    host: String,
    left: u64,
    stall_timeout: std::time::Duration,
    _permit: OwnedSemaphorePermit,
}

impl RangeBody {
    /// The next bytes; `None` after exactly as many as were asked for.
    ///
    /// # Errors
    /// [`Kind::Timeout`] after a silence of `stall_timeout`, [`Kind::Unavailable`] when the connection ends
    /// too soon, [`Kind::Protocol`] when there are more bytes than asked for. After an error the body is
    /// finished; ask for the rest with a new range.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        const OP: &str = "read";
        let silent = |_| Error::new(Kind::Timeout, OP, format!("{} stopped sending", self.host));
        let next = timeout(self.stall_timeout, self.response.chunk()).await.map_err(silent)?;
        match next.map_err(|error| failure::from_network(OP, &self.host, error).error)? {
            None if self.left == 0 => Ok(None),
            None => {
                let why = format!("{} ended the transfer {} bytes too soon", self.host, self.left);
                Err(Error::new(Kind::Unavailable, OP, why))
            }
            Some(bytes) => {
                let more =
                    || Error::new(Kind::Protocol, OP, format!("{} sent more than asked for", self.host));
                self.left = self.left.checked_sub(bytes.len() as u64).ok_or_else(more)?;
                Ok(Some(bytes))
            }
        }
    }

    /// Bytes still to come.
    pub fn left(&self) -> u64 {
        self.left
    }
}

impl Pds {
    /// Sends one part (8.4) with its exact length, and the `Content-Type` it was signed with.
    ///
    /// Repeats a few times on trouble with the network or a 5xx.
    ///
    /// # Errors
    /// By code: [`code::EXPIRED`] (get a new URL), [`code::PART_ALREADY_EXIST`] and
    /// [`code::PART_NOT_SEQUENTIAL`] (look at [`Pds::uploaded_parts`]), [`code::NO_SUCH_UPLOAD`].
    /// By kind: [`Kind::Corrupt`] when the service stored something else than was sent, [`Kind::Local`]
    /// when the local file cannot be read, [`Kind::Timeout`] after a silence of `stall_timeout`.
    pub async fn put_part(&self, url: &PartUrl, body: PartBody) -> Result<PartReceipt> {
        const OP: &str = "send part";
        let transport = &*self.transport;
        let named = |error: Error| error.on(format_args!("part {}", url.number));
        let mut tries = Tries::new(transport, OP);
        loop {
            transport.pass_data_gate().await;
            let permit = transport.data_permit(OP).await.map_err(named)?;
            let receipt = put(transport, url, body.clone()).await;
            drop(permit);
            match receipt {
                Ok(receipt) => return Ok(receipt),
                Err(failure) => tries.after(failure).await.map_err(named)?,
            }
        }
    }

    /// Reads `range` of an object of `total` bytes (12.2). The end is clamped to `total`, because the
    /// service answers a range beyond it with the whole object.
    ///
    /// # Errors
    /// By code: [`code::EXPIRED`] (get a new URL), [`code::NO_SUCH_KEY`] (the revision is gone).
    /// By kind: [`Kind::Invalid`] for an empty range, [`Kind::Protocol`] when the answer is not the range,
    /// [`Kind::Corrupt`] when the object has another CRC than the URL was given for.
    pub async fn get_range(&self, url: &DownloadUrl, range: Range<u64>, total: u64) -> Result<RangeBody> {
        const OP: &str = "read";
        let range = range.start..range.end.min(total);
        if range.is_empty() {
            return Err(Error::new(Kind::Invalid, OP, "an empty range cannot be asked for"));
        }
        let transport = &*self.transport;
        let mut tries = Tries::new(transport, OP);
        loop {
            transport.pass_data_gate().await;
            match open_range(transport, url, &range, total).await {
                Ok(body) => return Ok(body),
                Err(failure) => tries.after(failure).await?,
            }
        }
    }
}

/// Tries on the same URL, within the number that suits one transfer. Time is bounded by tries: each ends by
/// its stall deadline, and a part on a slow line may take long.
pub(super) struct Tries<'a> {
    transport: &'a Transport,
    op: &'static str,
    started: Instant,
    failures: u32,
}

impl<'a> Tries<'a> {
    pub(super) fn new(transport: &'a Transport, op: &'static str) -> Self {
        Tries { transport, op, started: Instant::now(), failures: 0 }
    }

    /// Waits before the next try, or gives the error back when there should be none.
    pub(super) async fn after(&mut self, failure: Failure) -> Result<()> {
        let options = &self.transport.options;
        let limits = Limits { retries: RETRIES.min(options.retries), budget: std::time::Duration::MAX };
        self.failures += 1;
        tracing::debug!(op = self.op, failures = self.failures, error = %failure.error, "transfer failed");
        let pause = failure.cause.and_then(|cause| {
            retry::plan(self.failures, self.started.elapsed(), cause, limits, retry::chance())
        });
        if let Some(Cause::Server | Cause::Throttled(_)) = failure.cause {
            // The others need not be told one by one.
            self.transport.close_data_gate(pause.unwrap_or_default());
        }
        let Some(pause) = pause.filter(|pause| *pause <= options.stall_timeout) else {
            return Err(failure.error);
        };
        sleep(pause).await;
        Ok(())
    }
}

async fn open_range(
    transport: &Transport,
    url: &DownloadUrl,
    range: &Range<u64>,
    total: u64,
) -> Result<RangeBody, Failure> {
    const OP: &str = "read";
    let permit = transport.data_permit(OP).await.map_err(Failure::fatal)?;
    let host = lease::host(&url.url);
    let asked = HeaderValue::from_str(&format!("bytes={}-{}", range.start, range.end - 1))
        .map_err(|_| Failure::fatal(Error::new(Kind::Invalid, OP, "not a range")))?;
    let request = transport.http.get(url.url.clone()).header(RANGE, asked).send();
    let response = timeout(transport.options.stall_timeout, request)
        .await
        .map_err(|_| Failure::timeout(OP, format!("{host} does not answer"), false))?
        .map_err(|error| failure::from_network(OP, &host, error))?;
    let response = accepted(transport, OP, &host, response).await?;
    check_range(&response, range, total, url.crc64).map_err(Failure::fatal)?;
    let left = range.end - range.start;
    let stall_timeout = transport.options.stall_timeout;
    Ok(RangeBody { response, host, left, stall_timeout, _permit: permit })
}

async fn put(transport: &Transport, url: &PartUrl, body: PartBody) -> Result<PartReceipt, Failure> {
    const OP: &str = "send part";
    let host = lease::host(&url.url);
    let len = body.len;
    let (body, progress) = FileBody::new(body, transport.buffers.clone(), transport.upload_rate.clone());
    let mut request = transport.http.put(url.url.clone()).header(CONTENT_LENGTH, len);
    if !url.content_type.is_empty() {
        let value = HeaderValue::from_str(&url.content_type).map_err(|_| {
            Failure::fatal(Error::new(Kind::Protocol, OP, "the part's content type is no header"))
        })?;
        request = request.header(CONTENT_TYPE, value);
    }
    let sending = request.body(reqwest::Body::wrap(body)).send();
    let response = tokio::select! {
        response = sending => response,
        () = silence(&progress, transport.options.stall_timeout) => {
            return Err(Failure::timeout(OP, format!("{host} takes no more bytes and does not answer"), true));
        }
    };
    let sent = progress.outcome();
    if let Some(Err(error)) = sent {
        return Err(Failure::fatal(Error::io(OP, error)));
    }
    let response = response.map_err(|error| failure::from_network(OP, &host, error))?;
    let response = accepted(transport, OP, &host, response).await?;
    let Some(Ok(sent_crc64)) = sent else {
        let why = format!("{host} took the part before it was sent in full");
        return Err(Failure::fatal(Error::new(Kind::Protocol, OP, why)));
    };
    receipt(response.headers(), sent_crc64).map_err(Failure::fatal)
}

/// Ends when nothing has moved for `longest`.
async fn silence(progress: &Progress, longest: std::time::Duration) {
    loop {
        let ends_at = progress.moved_at() + longest;
        if ends_at <= Instant::now() {
            return;
        }
        sleep_until(ends_at.into()).await;
    }
}

/// The response if it is a success, else what the XML says.
pub(super) async fn accepted(
    transport: &Transport,
    op: &'static str,
    host: &str,
    response: Response,
) -> Result<Response, Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let headers = response.headers().clone();
    let body = timeout(transport.options.stall_timeout, collect(op, host, response, MAX_REFUSAL_BYTES)).await;
    Err(refused(body.unwrap_or_else(|_| Ok(Vec::new())), |body| {
        failure::from_data(op, status, &headers, body)
    }))
}

fn receipt(headers: &HeaderMap, sent_crc64: u64) -> Result<PartReceipt> {
    let crc64 = number(headers, &CRC64);
    if crc64.is_some_and(|stored| stored != sent_crc64) {
        let why = "the service stored other bytes than were sent (the CRC-64 differs)";
        return Err(Error::new(Kind::Corrupt, "send part", why));
    }
    let etag =
        headers.get(ETAG).and_then(|etag| etag.to_str().ok()).map(unquoted).filter(|etag| !etag.is_empty());
    Ok(PartReceipt { crc64, etag, sent_crc64 })
}

/// An ETag without its quotes, in upper case.
pub(super) fn unquoted(etag: &str) -> String {
    etag.trim().trim_matches('"').to_ascii_uppercase()
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// Whether the response is the range asked for, of the object asked for.
fn check_range(response: &Response, range: &Range<u64>, total: u64, crc64: Option<u64>) -> Result<()> {
    let headers = response.headers();
    let content_range = headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let right = match response.status() {
        StatusCode::PARTIAL_CONTENT => content_range.is_some_and(|text| is_range(text, range, total)),
        StatusCode::OK => *range == (0..total),
        _ => false,
    };
    // Whoever sends a whole object without saying how long it is may be somebody else's web server.
    let len = number(headers, &CONTENT_LENGTH);
    let len_right = match response.status() {
        StatusCode::OK => len == Some(total),
        _ => len.is_none_or(|len| len == range.end - range.start),
    };
    if !right || !len_right {
        let got = content_range.map_or_else(|| "no range".to_owned(), |text| text.chars().take(80).collect());
        let why = format!(
            "asked for bytes {}-{} of {total}, the answer (HTTP {}) has {got}",
            range.start,
            range.end - 1,
            response.status().as_u16()
        );
        return Err(Error::new(Kind::Protocol, "read", why));
    }
    match (number(headers, &CRC64), crc64) {
        (Some(theirs), Some(ours)) if theirs != ours => Err(Error::new(
            Kind::Corrupt,
            "read",
            "the download URL leads to another content than it was given for",
        )),
        _ => Ok(()),
    }
}

/// Whether `bytes a-b/total` is exactly `range` of `total` bytes.
fn is_range(text: &str, range: &Range<u64>, total: u64) -> bool {
    let parse = || {
        let (span, all) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = span.split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?, all.parse::<u64>().ok()?))
    };
    parse() == Some((range.start, range.end - 1, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_must_be_the_one_asked_for() {
        assert!(is_range("bytes 5-9/20", &(5..10), 20));
        for other in
            ["bytes 5-9/21", "bytes 5-8/20", "bytes 0-9/20", "bytes */20", "5-9/20", "bytes 5-9/*", ""]
        {
            assert!(!is_range(other, &(5..10), 20), "{other}");
        }
    }

    #[test]
    fn a_receipt_is_compared_with_what_was_sent() {
        let mut headers = HeaderMap::new();
        headers.insert(ETAG, "\"ab12\"".parse().unwrap());
        assert_eq!(
            receipt(&headers, 7).unwrap(),
            PartReceipt { crc64: None, etag: Some("AB12".to_owned()), sent_crc64: 7 }
        );
        headers.insert(CRC64, "7".parse().unwrap());
        assert_eq!(receipt(&headers, 7).unwrap().crc64, Some(7));
        assert_eq!(receipt(&headers, 8).unwrap_err().kind(), Kind::Corrupt);
    }
}
