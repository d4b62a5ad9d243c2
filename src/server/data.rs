//! Data URLs: signed PUTs of parts, signed GETs of contents (pds-api.md 8.4, 12.2).
//!
//! Bodies move in chunks of [`CHUNK_BYTES`]. While one chunk of an upload is hashed and written on a blocking
//! thread, the next is read from the socket; while one of a download is sent, the next is read from disk.
//! So a request holds two chunks of memory, and a client that stalls holds no thread.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{StreamExt, stream};
use rusqlite::OptionalExtension;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::Service;
use super::entry::Content;
use super::hash::{Sha1State, from_hex, upper_hex};
use super::http::Limits;
use super::process;
use super::reply::{ApiError, ApiResult, DataError};
use super::sign::{Grant, Query};
use super::upload::{MAX_PART_NUMBER, PartTicket, PartWriter};

/// Large enough that handing it to a thread costs nothing beside hashing it (1 ms).
const CHUNK_BYTES: usize = 1 << 20;
/// Of a refused request this much is read and thrown away, so that the answer is not lost to a reset.
const MAX_DRAIN_BYTES: usize = 64 << 20;
/// And for this long.
const DRAIN_WAIT: Duration = Duration::from_secs(30);

/// The code of a sender that stands still.
const TOO_SLOW: &str = "RequestTimeout";

/// `PUT /data/u/{upload}`: a part.
pub async fn put_part(State(service): State<Arc<Service>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut body = body.into_data_stream();
    let result = match check_put(&service, &parts) {
        Ok(put) => receive(service, put, &mut body).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(response) => response,
        // Who is too slow for the body is too slow for the rest of it.
        Err(error) if error.code == TOO_SLOW => error.into_response(),
        Err(error) => {
            drain_stream(body).await;
            error.into_response()
        }
    }
}

/// A part that may come.
struct Put {
    ticket: PartTicket,
    len: Option<u64>,
}

fn check_put(service: &Service, parts: &axum::http::request::Parts) -> Result<Put, DataError> {
    let content_type = text(&parts.headers, header::CONTENT_TYPE.as_str());
    let content_md5 = text(&parts.headers, "content-md5");
    let query = verify(service, parts, "PUT", content_type, content_md5)?;
    let upload_id = parts.uri.path().trim_start_matches("/data/u/").to_owned();
    let number = query.value("partNumber").and_then(|text| text.parse().ok());
    let number = number.filter(|number| (1..=MAX_PART_NUMBER).contains(number));
    let number = number.ok_or_else(|| DataError::new(400, "InvalidArgument", "partNumber is 1 to 10000."))?;
    let context = query.value("x-pds-sha1-ctx").and_then(parse_context);
    let content_md5 = (!content_md5.is_empty())
        .then(|| STANDARD.decode(content_md5).ok().filter(|md5| md5.len() == 16))
        .map(|md5| md5.ok_or_else(|| DataError::new(400, "InvalidDigest", "The Content-MD5 is not valid.")))
        .transpose()?;
    let len = text(&parts.headers, header::CONTENT_LENGTH.as_str()).parse().ok();
    Ok(Put { ticket: PartTicket { upload_id, number, context, content_md5 }, len })
}

/// A context as it travels in a part URL.
pub fn print_context(context: &Sha1State) -> String {
    let words: String = context.h.iter().map(|word| format!("{word:08x}")).collect();
    format!("{words}.{}", context.len)
}

fn parse_context(text: &str) -> Option<Sha1State> {
    let (words, len) = text.split_once('.')?;
    let bytes = from_hex(words).filter(|bytes| bytes.len() == 20)?;
    let mut h = [0; 5];
    for (word, chunk) in h.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_be_bytes(chunk.try_into().ok()?);
    }
    Sha1State::at_block(h, len.parse().ok()?)
}

async fn receive(service: Arc<Service>, put: Put, body: &mut BodyDataStream) -> Result<Response, DataError> {
    let Put { ticket, len } = put;
    let wait = service.options.limits.progress;
    let mut work = spawn_blocking(move || PartWriter::begin(&service, ticket, len));
    let part = loop {
        let chunk = read_chunk(body, wait).await;
        let mut writer = work.await.map_err(lost_thread)??;
        let chunk = chunk?;
        if chunk.is_empty() {
            break spawn_blocking(move || writer.finish(len)).await.map_err(lost_thread)??;
        }
        work = spawn_blocking(move || writer.absorb(&chunk).map(|()| writer));
    };
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    put_header(headers, "etag", &part.etag());
    put_header(headers, "x-oss-hash-crc64ecma", &part.crc64.to_string());
    put_header(headers, "content-length", "0");
    Ok(response)
}

/// The next pieces of a body, about a chunk of them; none at the end. Each `wait` brings
/// [`Limits::PROGRESS_BYTES`] or the end. The time in which the server does not read is not the sender's.
async fn read_chunk(body: &mut BodyDataStream, wait: Duration) -> Result<Vec<Bytes>, DataError> {
    let (mut pieces, mut len) = (Vec::new(), 0);
    let (mut due, mut due_len) = (Instant::now() + wait, Limits::PROGRESS_BYTES);
    while len < CHUNK_BYTES {
        match tokio::time::timeout_at(due, body.next()).await {
            Ok(Some(Ok(piece))) => {
                len += piece.len();
                pieces.push(piece);
                if len >= due_len {
                    (due, due_len) = (Instant::now() + wait, len + Limits::PROGRESS_BYTES);
                }
            }
            Ok(None) => break,
            Ok(Some(Err(error))) => {
                tracing::debug!("part: {error}");
                return Err(DataError::new(
                    400,
                    "IncompleteBody",
                    "The body ended before its announced length.",
                ));
            }
            Err(_) => {
                let message =
                    "Your socket connection to the server was not read from within the timeout period.";
                return Err(DataError::new(400, TOO_SLOW, message));
            }
        }
    }
    // Empty pieces are nothing; nothing means the end.
    Ok(if len == 0 { Vec::new() } else { pieces })
}

/// `GET` and `HEAD /data/r/{revision}`: a content.
pub async fn get_object(State(service): State<Arc<Service>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match send(service, &parts).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn send(service: Arc<Service>, parts: &axum::http::request::Parts) -> Result<Response, DataError> {
    let query = verify(&service, parts, "GET", "", "")?;
    let id = parts.uri.path().trim_start_matches("/data/r/").to_owned();
    if let Some(process) = query.value(process::PARAMETER) {
        return picture(service, id, process, parts.method != Method::HEAD).await;
    }
    let range = text(&parts.headers, header::RANGE.as_str()).to_owned();
    let standard = text(&parts.headers, "x-oss-range-behavior") == "standard";
    let with_body = parts.method != Method::HEAD;
    let found = spawn_blocking(move || {
        let content = service.store.read(|c| find_revision(c, &id))?.ok_or_else(DataError::no_such_key)?;
        let span = Span::of(&range, content.size, standard)?;
        if !with_body {
            return Ok((content, span, Body::empty()));
        }
        let failed = |error: io::Error| DataError::io("read the object", &error);
        let file = service.store.open_blob(&content.file).map_err(failed)?;
        // A small answer is read right here instead of by a thread of its own.
        let body = match usize::try_from(span.len()) {
            Ok(len) if len <= CHUNK_BYTES => Body::from(read_at(&file, span.start, len).map_err(failed)?),
            _ => stream_file(file, span),
        };
        Ok::<_, DataError>((content, span, body))
    });
    let (content, span, body) = found.await.map_err(lost_thread)??;
    let mut response = Response::new(body);
    describe(response.headers_mut(), &content, &query);
    put_header(response.headers_mut(), "content-length", &span.len().to_string());
    if span.partial {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let text = format!("bytes {}-{}/{}", span.start, span.end - 1, content.size);
        put_header(response.headers_mut(), "content-range", &text);
    }
    Ok(response)
}

/// A picture made from a content, whole.
async fn picture(
    service: Arc<Service>,
    id: String,
    process: &str,
    with_body: bool,
) -> Result<Response, DataError> {
    let finder = service.clone();
    let content = spawn_blocking(move || finder.store.read(|c| find_revision(c, &id)));
    let content = content.await.map_err(lost_thread)??.ok_or_else(DataError::no_such_key)?;
    let blob = service.store.blob_path(&content.file);
    let made = service.studio.make(process, &content.mime_type, &blob, content.size).await?;
    let len = made.bytes.len().to_string();
    let mut response = Response::new(if with_body { Body::from(made.bytes) } else { Body::empty() });
    put_header(response.headers_mut(), "content-type", made.mime_type);
    put_header(response.headers_mut(), "content-length", &len);
    Ok(response)
}

fn read_at(file: &File, start: u64, len: usize) -> io::Result<Bytes> {
    let mut chunk = vec![0; len];
    file.read_exact_at(&mut chunk, start).map(|()| Bytes::from(chunk))
}

fn find_revision(c: &rusqlite::Connection, id: &str) -> ApiResult<Option<Content>> {
    let sql =
        "SELECT r.seq, r.id, r.version, r.name, r.upload_id, r.content_type, r.mime_type, r.mime_extension,
            r.category, r.image_json, r.video_json, r.created_at, r.updated_at, r.keep_forever, r.description,
            b.file, b.sha1, b.size, b.crc64
        FROM revision r JOIN blob b ON b.id = r.blob WHERE r.id = ?1";
    Ok(c.prepare_cached(sql)?.query_row([id], |row| Content::from_row(row, 0)).optional()?)
}

fn describe(headers: &mut HeaderMap, content: &Content, query: &Query) {
    put_header(headers, "etag", &format!("\"{}\"", upper_hex(&content.sha1[..16.min(content.sha1.len())])));
    put_header(headers, "accept-ranges", "bytes");
    put_header(headers, "x-oss-hash-crc64ecma", &content.crc64.to_string());
    put_header(headers, "x-oss-object-type", "Multipart");
    let changed = u64::try_from(content.created_at).unwrap_or(0);
    let changed = std::time::UNIX_EPOCH + Duration::from_millis(changed);
    put_header(headers, "last-modified", &httpdate::fmt_http_date(changed));
    put_header(headers, "content-type", query.value("response-content-type").unwrap_or(&content.mime_type));
    if let Some(disposition) = query.value("response-content-disposition") {
        put_header(headers, "content-disposition", disposition);
    }
}

/// The bytes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: u64,
    end: u64,
    partial: bool,
}

impl Span {
    fn len(self) -> u64 {
        self.end - self.start
    }

    /// What the object store makes of a `Range` header (12.2): by default a range that does not fit is
    /// ignored and the whole object comes; with the standard behaviour it is clipped or refused.
    fn of(header: &str, size: u64, standard: bool) -> Result<Span, DataError> {
        let whole = Span { start: 0, end: size, partial: false };
        let unsatisfiable = || {
            let message = "The requested range cannot be satisfied.";
            DataError::new(416, "InvalidRange", message).with("ActualObjectSize", size.to_string())
        };
        let Some(range) = header.strip_prefix("bytes=") else { return Ok(whole) };
        if range.contains(',') {
            return Err(unsatisfiable());
        }
        let Some((start, end)) = range.split_once('-') else { return Ok(whole) };
        let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok());
        let (Some(start), Some(end)) = (number(start), number(end)) else { return Ok(whole) };
        let (start, end) = match (start, end) {
            (None, None) => return Ok(whole),
            (None, Some(last)) if last > 0 && last <= size => (size - last, size),
            (None, Some(last)) if standard && last > 0 && size > 0 => (0, size),
            (Some(start), Some(end)) if end < start => return Ok(whole),
            (Some(start), Some(end)) if end < size => (start, end + 1),
            (Some(start), Some(_)) if standard && start < size => (start, size),
            (Some(start), None) if start < size => (start, size),
            _ if standard => return Err(unsatisfiable()),
            _ => return Ok(whole),
        };
        Ok(Span { start, end, partial: true })
    }
}

/// The bytes of a span, read one chunk ahead of what is being sent.
fn stream_file(file: File, span: Span) -> Body {
    let file = Arc::new(file);
    let starts = (span.start..span.end).step_by(CHUNK_BYTES);
    let chunks = stream::iter(starts).map(move |start| {
        let file = file.clone();
        let len = usize::try_from(span.end - start).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let read = spawn_blocking(move || read_at(&file, start, len));
        async move { read.await.unwrap_or_else(|error| Err(io::Error::other(error))) }
    });
    Body::from_stream(chunks.buffered(2))
}

/// Checks the signature of a request. Headers of another kind of authentication are refused (8.4).
fn verify(
    service: &Service,
    parts: &axum::http::request::Parts,
    method: &str,
    content_type: &str,
    content_md5: &str,
) -> Result<Query, DataError> {
    if parts.headers.contains_key(header::AUTHORIZATION) {
        let message = "The URL is signed; an Authorization header must not come with it.";
        return Err(DataError::new(400, "InvalidArgument", message));
    }
    let grant = Grant { method, path: parts.uri.path(), content_type, content_md5 };
    service.signer.verify(grant, parts.uri.query().unwrap_or_default(), service.clock.now_ms())
}

/// `Content-Disposition` of a download under this name.
pub fn attachment(name: &str) -> String {
    let mut header = "attachment; filename*=UTF-8''".to_owned();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            header.push(char::from(byte));
        } else {
            header.push_str(&format!("%{byte:02X}"));
        }
    }
    header
}

/// Reads and throws away a body, within bounds; one that announces more than them is not begun.
pub async fn drain(body: Body) {
    drain_stream(body.into_data_stream()).await;
}

async fn drain_stream(mut body: BodyDataStream) {
    if http_body::Body::size_hint(&body).lower() > MAX_DRAIN_BYTES as u64 {
        return;
    }
    let mut left = MAX_DRAIN_BYTES;
    let end = Instant::now() + DRAIN_WAIT;
    while left > 0 {
        match tokio::time::timeout_at(end, body.next()).await {
            Ok(Some(Ok(piece))) => left = left.saturating_sub(piece.len()),
            _ => return,
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Sets a header; a value that is none (a content type with a newline) is left out.
fn put_header(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn lost_thread(error: tokio::task::JoinError) -> DataError {
    ApiError::internal("finish its work", error).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(header: &str, size: u64, standard: bool) -> Result<(u64, u64, bool), u16> {
        Span::of(header, size, standard).map(|s| (s.start, s.end, s.partial)).map_err(|e| e.status)
    }

    #[test]
    fn ranges_as_the_object_store_takes_them() {
        let whole = Ok((0, 10, false));
        for (header, default, standard) in [
            ("", whole, whole),
            ("bytes=0-9", Ok((0, 10, true)), Ok((0, 10, true))),
            ("bytes=3-3", Ok((3, 4, true)), Ok((3, 4, true))),
            ("bytes=3-", Ok((3, 10, true)), Ok((3, 10, true))),
            ("bytes=-3", Ok((7, 10, true)), Ok((7, 10, true))),
            ("bytes=5-10", whole, Ok((5, 10, true))),
            ("bytes=10-12", whole, Err(416)),
            ("bytes=10-", whole, Err(416)),
            ("bytes=-11", whole, Ok((0, 10, true))),
            ("bytes=-0", whole, Err(416)),
            ("bytes=5-4", whole, whole),
            ("bytes=0-1,3-4", Err(416), Err(416)),
            ("bytes=a-b", whole, whole),
            ("bytes=-", whole, whole),
            ("lines=0-1", whole, whole),
        ] {
            assert_eq!(span(header, 10, false), default, "{header}");
            assert_eq!(span(header, 10, true), standard, "{header} standard");
        }
        assert_eq!(span("bytes=0-0", 0, false), Ok((0, 0, false)));
        assert_eq!(span("bytes=0-", 0, true), Err(416));
    }

    #[test]
    fn contexts_travel_in_urls() {
        let context = Sha1State::at_block([1, 2, 3, 4, u32::MAX], 768).unwrap();
        assert_eq!(parse_context(&print_context(&context)), Some(context));
        assert_eq!(parse_context("00.64"), None);
    }

    #[test]
    fn every_name_fits_a_header() {
        assert_eq!(attachment("a\n\"é"), "attachment; filename*=UTF-8''a%0A%22%C3%A9");
    }
}
