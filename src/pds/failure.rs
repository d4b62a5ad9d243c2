//! What went wrong, as an [`Error`] in words for a person: refusals of the API (JSON or gateway headers),
//! refusals of the data side (XML), and failures of the network.
//!
//! [`kind_of`] is the only place where a code gets a meaning. It goes by the head of the code; the HTTP
//! status decides only when there is no code we know (section 20: the same refusal comes with different
//! statuses). A 404 without a code is *not* "not found": it is someone else's web server.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::code;
use super::model::text_of;
use super::retry::Cause;
use crate::error::{Error, Kind};

/// The most of the service's own words that goes into an error.
const MAX_MESSAGE_CHARS: usize = 300;
/// The longest pause a reply may ask for; more is taken as this.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// A failed request.
#[derive(Debug)]
pub(super) struct Failure {
    /// For the caller.
    pub(super) error: Error,
    /// Whether the service may have done what was asked although we do not know.
    pub(super) lost: bool,
    /// Why it may be worth repeating; `None` = it is not.
    pub(super) cause: Option<Cause>,
}

impl Failure {
    /// Not worth repeating, and certainly not done.
    pub(super) fn fatal(error: Error) -> Self {
        Failure { error, lost: false, cause: None }
    }

    /// A deadline passed; `lost` when the request had left.
    pub(super) fn timeout(op: &'static str, message: impl Into<String>, lost: bool) -> Self {
        Failure { error: Error::new(Kind::Timeout, op, message), lost, cause: Some(Cause::Network) }
    }

    pub(super) fn map(mut self, change: impl FnOnce(Error) -> Error) -> Self {
        self.error = change(self.error);
        self
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// What a code means (3.2, 8.4, 19.1); by the status when the code is unknown or empty.
pub(super) fn kind_of(status: u16, code: &str) -> Kind {
    match code {
        code::EXPIRED | "RequestTimeout" => return Kind::Unavailable,
        code::PART_ALREADY_EXIST | code::PART_NOT_SEQUENTIAL => return Kind::Protocol,
        "InvalidResource.FileTypeFolder" => return Kind::IsDirectory,
        _ => {}
    }
    let head = code.split('.').next().unwrap_or_default();
    let starts = |prefix: &str| head.starts_with(prefix);
    match head {
        "AccessTokenInvalid"
        | "AccessTokenExpired"
        | "TokenExpired"
        | "ShareLinkTokenInvalid"
        | "InvalidAuthorization" => Kind::Unauthenticated,
        "TooManyRequests" | "QpsLimitExceed" | "ShouldRetry" => Kind::Throttled,
        "InternalError" | "ServiceUnavailable" | "D504TO" => Kind::Unavailable,
        "ForbiddenFileInTheRecycleBin" | code::NO_SUCH_KEY | code::NO_SUCH_UPLOAD => Kind::NotFound,
        "AccessDenied" => Kind::Denied,
        "StateConflict" => Kind::Busy,
        "InvalidParameterNotSupported" => Kind::Unsupported,
        "InvalidParameterNotMatch" | "InvalidDigest" | "BadDigest" => Kind::Corrupt,
        "EntityTooLarge" => Kind::TooLarge,
        "BadRequest" | "EntityTooSmall" => Kind::Invalid,
        "I404NF" | "SignatureDoesNotMatch" | "InvalidRange" => Kind::Protocol,
        _ if starts("NotFound") => Kind::NotFound,
        _ if starts("AlreadyExist") => Kind::Exists,
        _ if starts("QuotaExhausted") => Kind::Quota,
        _ if starts("Forbidden") => Kind::Denied,
        _ if starts("InvalidParameter") || starts("InvalidRe") || starts("InvalidPart") => Kind::Invalid,
        _ => kind_of_status(status, !code.is_empty()),
    }
}

fn kind_of_status(status: u16, has_code: bool) -> Kind {
    match status {
        401 => Kind::Unauthenticated,
        403 => Kind::Denied,
        408 | 407 => Kind::Unavailable,
        413 => Kind::TooLarge,
        429 => Kind::Throttled,
        500.. => Kind::Unavailable,
        404 if has_code => Kind::NotFound,
        409 if has_code => Kind::Exists,
        400..500 if has_code => Kind::Invalid,
        _ => Kind::Protocol,
    }
}

/// A refusal of the API: any status but 2xx.
pub(super) fn from_api(op: &'static str, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    let value: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let field = |name: &str| value.get(name).and_then(text_of).filter(|text| !text.is_empty());
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let code = field("code").or_else(|| header("x-ca-error-code")).unwrap_or_default();
    let said = field("message").or_else(|| header("x-ca-error-message")).unwrap_or_default();
    refusal(op, status, headers, &code, &said)
}

/// A refusal of the data side: XML with `<Code>` and `<Message>` (8.4).
pub(super) fn from_data(op: &'static str, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    let text = String::from_utf8_lossy(body);
    let said = element(&text, "Message").unwrap_or_default();
    let mut code = element(&text, "Code").unwrap_or_default();
    let expired =
        said.to_ascii_lowercase().contains("expired") || element(&text, "EC") == Some("0002-00000069");
    if code == "AccessDenied" && expired {
        code = code::EXPIRED;
    }
    refusal(op, status, headers, code, said)
}

/// A background task that failed (14.1).
pub(super) fn from_task(op: &'static str, code: &str, said: &str) -> Error {
    let kind = if code.is_empty() { Kind::Unavailable } else { kind_of(400, code) };
    let said = clean(said);
    let why = if said.is_empty() { "no reason given" } else { &said };
    Error::new(kind, op, format!("the service could not finish it: {why}")).with_code(&clean(code))
}

fn refusal(op: &'static str, status: StatusCode, headers: &HeaderMap, code: &str, said: &str) -> Failure {
    let kind = kind_of(status.as_u16(), code);
    let said = if kind == Kind::Unauthenticated { String::new() } else { clean(said) };
    let error = Error::new(kind, op, sentence(kind, status, &said)).with_code(&clean(code));
    let cause = match kind {
        Kind::Throttled => Some(Cause::Throttled(retry_after(headers))),
        Kind::Unavailable if code != code::EXPIRED => Some(Cause::Server),
        Kind::Busy => Some(Cause::Server),
        _ => None,
    };
    // A gateway that gave up waiting does not know what became of the request.
    Failure { error, lost: kind == Kind::Unavailable && status.is_server_error(), cause }
}

/// What to tell a person, `said` being the service's own words.
fn sentence(kind: Kind, status: StatusCode, said: &str) -> String {
    let ours = match kind {
        Kind::Quota => "the drive is full",
        Kind::Denied => "the service does not allow it",
        Kind::NotFound => "it is not on the drive",
        Kind::Exists => "the name is taken",
        Kind::IsDirectory => "it is a folder",
        Kind::Throttled => "the service asks to slow down",
        Kind::Unauthenticated => "the service does not accept the access token",
        Kind::Corrupt => "the service has other bytes than we sent",
        Kind::Unavailable => "the service has a problem",
        Kind::Unsupported => "the service does not support it",
        Kind::Protocol if said.is_empty() => {
            return format!(
                "the answer (HTTP {status}) does not look like a PDS endpoint: check the address and any proxy"
            );
        }
        Kind::Protocol if status == StatusCode::NOT_FOUND => "there is no PDS API at this address",
        _ => "the service refuses it",
    };
    match (said, kind) {
        ("", Kind::Unavailable | Kind::Invalid) => format!("{ours} (HTTP {status})"),
        ("", _) => ours.to_owned(),
        (said, _) => format!("{ours}: {said}"),
    }
}

/// `x-retry-after` in milliseconds (3.3), or `Retry-After` in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let asked = number("x-retry-after")
        .map(Duration::from_millis)
        .or_else(|| number("retry-after").map(Duration::from_secs))?;
    Some(asked.min(MAX_RETRY_AFTER))
}

/// The text of the first `<name>` element; enough for flat error documents.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim())
}

/// The service's words, fit for a log: one line, bounded, and nothing after a `?` of a URL.
fn clean(text: &str) -> String {
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .map(|word| match word.split_once('?') {
            Some((before, _)) if word.contains("://") => before,
            _ => word,
        })
        .collect();
    words.join(" ").chars().take(MAX_MESSAGE_CHARS).collect()
}

/// A failure below HTTP. `host` is named; the URL is not.
pub(super) fn from_network(op: &'static str, host: &str, error: reqwest::Error) -> Failure {
    let connecting = error.is_connect();
    let timeout = error.is_timeout();
    let error = error.without_url();
    let (why, hopeless) = root_cause(&error);
    let (kind, message) = match (connecting, timeout) {
        (true, true) => {
            (Kind::Timeout, format!("{host} does not answer: is the address right, is there a network?"))
        }
        (true, false) => (Kind::Unavailable, format!("cannot connect to {host}: {why}")),
        (false, true) => (Kind::Timeout, format!("{host} stopped answering")),
        (false, false) => (Kind::Unavailable, format!("the connection to {host} broke: {why}")),
    };
    let cause = (!hopeless && !error.is_builder()).then_some(Cause::Network);
    Failure { error: Error::new(kind, op, message).caused_by(error), lost: !connecting, cause }
}

/// The innermost reason, and whether trying again cannot help (a certificate nobody vouches for).
fn root_cause(error: &reqwest::Error) -> (String, bool) {
    let mut cause: &(dyn std::error::Error + 'static) = error;
    let mut hopeless = false;
    // Bounded only by the errors' own nesting, which is finite.
    loop {
        hopeless |= cause.is::<rustls::Error>();
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        match inner.map(|inner| inner as &(dyn std::error::Error + 'static)).or_else(|| cause.source()) {
            Some(next) => cause = next,
            None => return (clean(&cause.to_string()), hopeless),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_meanings_whatever_the_status() {
        let table = [
            (404, "NotFound.FileId", Kind::NotFound),
            (400, "NotFound.File", Kind::NotFound),
            (404, "NotFound.UploadId", Kind::NotFound),
            (500, "NotFound.UploadId", Kind::NotFound),
            (409, "AlreadyExist.File", Kind::Exists),
            (400, "AlreadyExist", Kind::Exists),
            (403, "ForbiddenNoPermission.File", Kind::Denied),
            (403, "ForbiddenDriveLocked", Kind::Denied),
            (403, "Forbidden", Kind::Denied),
            (403, "ForbiddenFileInTheRecycleBin", Kind::NotFound),
            (403, "QuotaExhausted.Drive", Kind::Quota),
            (409, "QuotaExhausted.Drive", Kind::Quota),
            (400, "InvalidParameter.ParentFileId", Kind::Invalid),
            (400, "InvalidParameterMissing.Name", Kind::Invalid),
            (400, "InvalidParameterNotSupported.ParallelUpload", Kind::Unsupported),
            (400, "InvalidParameterNotMatch.Crc64Hash", Kind::Corrupt),
            (400, "InvalidRequestJSONFormat", Kind::Invalid),
            (400, "InvalidResource.FileTypeFolder", Kind::IsDirectory),
            (400, "InvalidResource.Other", Kind::Invalid),
            (401, "AccessTokenInvalid", Kind::Unauthenticated),
            (400, "AccessTokenExpired", Kind::Unauthenticated),
            (403, "InvalidAuthorization", Kind::Unauthenticated),
            (429, "TooManyRequests", Kind::Throttled),
            (400, "QpsLimitExceed.Api", Kind::Throttled),
            (429, "Whatever", Kind::Throttled),
            (409, "StateConflict", Kind::Busy),
            (500, "InternalError", Kind::Unavailable),
            (504, "D504TO", Kind::Unavailable),
            (404, "I404NF", Kind::Protocol),
            (404, "NoSuchUpload", Kind::NotFound),
            (403, "SignatureDoesNotMatch", Kind::Protocol),
            (409, "PartAlreadyExist", Kind::Protocol),
            (418, "Novelty", Kind::Invalid),
            (404, "Novelty", Kind::NotFound),
            (503, "Novelty", Kind::Unavailable),
        ];
        for (status, code, kind) in table {
            assert_eq!(kind_of(status, code), kind, "{status} {code}");
        }
    }

    #[test]
    fn without_a_code_the_status_decides_and_404_is_not_not_found() {
        let table = [
            (302, Kind::Protocol),
            (400, Kind::Protocol),
            (401, Kind::Unauthenticated),
            (403, Kind::Denied),
            (404, Kind::Protocol),
            (405, Kind::Protocol),
            (429, Kind::Throttled),
            (500, Kind::Unavailable),
            (502, Kind::Unavailable),
        ];
        for (status, kind) in table {
            assert_eq!(kind_of(status, ""), kind, "{status}");
        }
    }

    fn api(status: u16, body: &str) -> Failure {
        from_api("list", StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
    }

    fn data(status: u16, body: &str) -> Failure {
        from_data("send part", StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn a_refusal_is_told_in_words_with_its_code() {
        let failure = api(404, r#"{"code":"NotFound.File","message":"The resource file cannot be found."}"#);
        let text = "list: it is not on the drive: The resource file cannot be found. (NotFound.File)";
        assert_eq!(failure.error.to_string(), text);
        assert_eq!(failure.cause, None);
        assert!(!failure.lost);
        let page = api(404, "<html>nginx</html>");
        assert!(page.error.message().contains("does not look like a PDS endpoint"), "{}", page.error);
    }

    #[test]
    fn gateway_errors_are_in_the_headers() {
        let mut headers = HeaderMap::new();
        headers.insert("x-ca-error-code", "D504TO".parse().unwrap());
        headers.insert("x-ca-error-message", "timeout".parse().unwrap());
        let failure = from_api("list", StatusCode::GATEWAY_TIMEOUT, &headers, b"");
        assert_eq!(failure.error.code(), "D504TO");
        assert_eq!(failure.cause, Some(Cause::Server));
        assert!(failure.lost);
    }

    #[test]
    fn a_pause_is_asked_in_milliseconds_or_seconds() {
        let asked = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            from_api("list", StatusCode::TOO_MANY_REQUESTS, &headers, b"").cause
        };
        let throttled = |millis| Some(Cause::Throttled(Some(Duration::from_millis(millis))));
        assert_eq!(asked("x-retry-after", "250"), throttled(250));
        assert_eq!(asked("retry-after", "2"), throttled(2000));
        assert_eq!(asked("retry-after", "18446744073709551615"), throttled(3_600_000));
        assert_eq!(asked("retry-after", "tomorrow"), Some(Cause::Throttled(None)));
    }

    #[test]
    fn a_wrong_path_in_the_endpoint_is_named() {
        let failure = api(404, r#"{"code":"I404NF","message":"API not found"}"#);
        assert_eq!(failure.error.message(), "there is no PDS API at this address: API not found");
    }

    #[test]
    fn the_data_side_speaks_xml() {
        let xml = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>\n<Message>Request has expired.</Message></Error>";
        let expired = data(403, xml);
        assert_eq!(expired.error.code(), code::EXPIRED);
        assert_eq!(expired.cause, None, "the same URL is not worth another try");
        let denied =
            data(403, "<Error><Code>AccessDenied</Code><Message>IP Control Policy</Message></Error>");
        assert_eq!((denied.error.kind(), denied.cause), (Kind::Denied, None));
        let again = data(409, "<Error><Code>PartAlreadyExist</Code><Message>no</Message></Error>");
        assert_eq!(again.error.code(), code::PART_ALREADY_EXIST);
        assert_eq!(data(503, "<Error><Code>cut").cause, Some(Cause::Server));
    }

    #[test]
    fn secrets_in_the_services_words_are_not_repeated() {
        let failure =
            api(400, r#"{"code":"BadRequest","message":"see https://h/p?Signature=hush now\n\u001b[1m"}"#);
        assert_eq!(failure.error.message(), "the service refuses it: see https://h/p now [1m");
        let failure = api(401, r#"{"code":"AccessTokenInvalid","message":"AccessToken eyJhush is invalid"}"#);
        assert!(!failure.error.to_string().contains("eyJ"));
    }
}
