//! What the server answers: JSON for the API, XML for data URLs, and errors in both worlds.
//!
//! An [`ApiError`] is one of the service's dotted codes with its HTTP status (pds-api.md section 3);
//! a [`DataError`] is one of the object store's (8.4). Neither carries a URL or a token.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::clock::iso;

/// What an API handler gives.
pub type ApiResult<T = Reply> = std::result::Result<T, ApiError>;

/// A successful answer.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status, 2xx.
    pub status: u16,
    /// The JSON body; `None` with 204.
    pub body: Option<Value>,
}

impl Reply {
    /// 200 with a body.
    pub fn ok(body: Value) -> Self {
        Reply { status: 200, body: Some(body) }
    }

    /// 201 with a body.
    pub fn created(body: Value) -> Self {
        Reply { status: 201, body: Some(body) }
    }

    /// 204 without a body.
    pub fn empty() -> Self {
        Reply { status: 204, body: None }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        match self.body {
            Some(body) => (status, axum::Json(body)).into_response(),
            None => status.into_response(),
        }
    }
}

/// An error of the API: status, dotted code, message.
#[derive(Debug, Clone)]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// `NotFound.FileId`.
    pub code: String,
    /// A sentence.
    pub message: String,
    /// Further keys of the body, as in PreHashMatched (8.8).
    pub extra: Map<String, Value>,
}

impl ApiError {
    /// An error with this status, code and message.
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        ApiError { status, code: code.into(), message: message.into(), extra: Map::new() }
    }

    /// 404 `NotFound.{what}`.
    pub fn not_found(what: &str) -> Self {
        let resource = what.trim_end_matches("Id").to_ascii_lowercase();
        ApiError::new(
            404,
            format!("NotFound.{what}"),
            format!("The resource {resource} cannot be found. Please check."),
        )
    }

    /// 400 `InvalidParameter.{Field}` for a request field in `snake_case`, with the reason.
    pub fn invalid(field: &str, why: &str) -> Self {
        let message = format!("The input parameter {field} is not valid. {why}");
        ApiError::new(400, format!("InvalidParameter.{}", camel(field)), message)
    }

    /// 400 `InvalidParameterOutOfRange.{Field}`.
    pub fn out_of_range(field: &str, why: &str) -> Self {
        let message = format!("The input parameter {field} is outside the limits. {why}");
        ApiError::new(400, format!("InvalidParameterOutOfRange.{}", camel(field)), message)
    }

    /// 400 `InvalidParameterWrongFormat.{Field}`.
    pub fn wrong_format(field: &str, why: &str) -> Self {
        let message = format!("The input parameter {field} has an invalid format. {why}");
        ApiError::new(400, format!("InvalidParameterWrongFormat.{}", camel(field)), message)
    }

    /// 400 `InvalidParameterMissing.{Field}`.
    pub fn missing(field: &str) -> Self {
        let message = format!("The input parameter {field} is missing.");
        ApiError::new(400, format!("InvalidParameterMissing.{}", camel(field)), message)
    }

    /// 400 `InvalidParameterNotMatch.{Field}`.
    pub fn mismatch(field: &str, why: &str) -> Self {
        let message = format!("The input parameter {field} does not match. {why}");
        ApiError::new(400, format!("InvalidParameterNotMatch.{}", camel(field)), message)
    }

    /// 403 `ForbiddenNoPermission.{What}`.
    pub fn forbidden(what: &str) -> Self {
        let message = format!("No permission to access resource {}.", what.to_ascii_lowercase());
        ApiError::new(403, format!("ForbiddenNoPermission.{what}"), message)
    }

    /// 403 for a file that is in the recycle bin, itself or with a folder above it.
    pub fn trashed() -> Self {
        ApiError::new(403, "ForbiddenFileInTheRecycleBin", "The file is in the recycle bin.")
    }

    /// 403 for a drive without room.
    pub fn quota() -> Self {
        ApiError::new(403, "QuotaExhausted.Drive", "The drive has no room left for this file.")
    }

    /// 401 for a request without a good token.
    pub fn token() -> Self {
        ApiError::new(401, "AccessTokenInvalid", "AccessToken is invalid. ErrValidateTokenFailed")
    }

    /// 500; the cause goes to the log, not to the caller.
    pub fn internal(what: &str, cause: impl std::fmt::Display) -> Self {
        tracing::error!("{what}: {cause}");
        ApiError::new(500, "InternalError", format!("The server failed to {what}."))
    }

    /// The answer to a failed file operation of the server.
    pub fn io(what: &str, error: &std::io::Error) -> Self {
        if matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded) {
            return ApiError::disk_full();
        }
        ApiError::internal(what, error)
    }

    /// 500 for a server whose own disk is full.
    pub fn disk_full() -> Self {
        ApiError::new(500, "InternalError.DiskFull", "The server's disk is full.")
    }

    /// The body.
    pub fn body(&self) -> Value {
        let mut body = self.extra.clone();
        body.insert("code".into(), self.code.clone().into());
        body.insert("message".into(), self.message.clone().into());
        Value::Object(body)
    }
}

impl From<rusqlite::Error> for ApiError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => ApiError::disk_full(),
            _ => ApiError::internal("use its database", error),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, axum::Json(self.body())).into_response()
    }
}

/// An error of a data URL: the object store's XML.
#[derive(Debug, Clone)]
pub struct DataError {
    /// HTTP status.
    pub status: u16,
    /// The object store's word for it.
    pub code: &'static str,
    message: String,
    /// Further elements, already in order.
    extra: Vec<(&'static str, String)>,
}

impl DataError {
    /// An error with this status, code and message.
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        DataError { status, code, message: message.into(), extra: Vec::new() }
    }

    /// Adds an element.
    #[must_use]
    pub fn with(mut self, element: &'static str, text: impl Into<String>) -> Self {
        self.extra.push((element, text.into()));
        self
    }

    /// The URL was good once.
    pub fn expired(expires_ms: i64, now_ms: i64) -> Self {
        DataError::new(403, "AccessDenied", "Request has expired.")
            .with("Expires", iso(expires_ms))
            .with("ServerTime", iso(now_ms))
            .with("EC", "0002-00000069")
    }

    /// The URL has no signature.
    pub fn unsigned() -> Self {
        DataError::new(403, "AccessDenied", "You have no right to access this object.")
    }

    /// The request is not what was signed.
    pub fn bad_signature() -> Self {
        let message = "The request signature we calculated does not match the signature you provided.";
        DataError::new(403, "SignatureDoesNotMatch", message).with("EC", "0002-00000001")
    }

    /// The upload is completed, expired, or never was.
    pub fn no_such_upload() -> Self {
        let message = "The specified upload does not exist. The upload ID may be invalid, or the upload may have \
                       been aborted or completed.";
        DataError::new(404, "NoSuchUpload", message).with("EC", "0042-00000002")
    }

    /// The object is gone.
    pub fn no_such_key() -> Self {
        DataError::new(404, "NoSuchKey", "The specified key does not exist.")
    }

    /// A file operation of the server failed.
    pub fn io(what: &str, error: &std::io::Error) -> Self {
        ApiError::io(what, error).into()
    }
}

impl From<ApiError> for DataError {
    fn from(error: ApiError) -> Self {
        match error.status {
            404 => DataError::no_such_key(),
            _ => DataError::new(error.status, "InternalError", error.message),
        }
    }
}

impl IntoResponse for DataError {
    fn into_response(self) -> Response {
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>\n");
        let code = ("Code", self.code.to_owned());
        for (element, text) in [code, ("Message", self.message)].into_iter().chain(self.extra) {
            xml.push_str(&format!("  <{element}>{}</{element}>\n", xml_text(&text)));
        }
        xml.push_str("</Error>\n");
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Body::from(xml)).into_response();
        let xml_type = HeaderValue::from_static("application/xml");
        response.headers_mut().insert(header::CONTENT_TYPE, xml_type);
        response
    }
}

fn xml_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `parent_file_id` as codes spell it: `ParentFileId`.
pub fn camel(field: &str) -> String {
    let mut name = String::with_capacity(field.len());
    for word in field.split('_') {
        let mut letters = word.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}

/// The gateway's answer to a path or method it does not know (2.2).
pub fn no_such_route() -> Response {
    let body = json!({"code": "I404NF", "message": "API not found"});
    let mut response = (StatusCode::NOT_FOUND, axum::Json(body)).into_response();
    response.headers_mut().insert("x-ca-error-code", HeaderValue::from_static("I404NF"));
    response.headers_mut().insert("x-ca-error-message", HeaderValue::from_static("API not found"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_name_the_field() {
        assert_eq!(ApiError::invalid("parent_file_id", "").code, "InvalidParameter.ParentFileId");
        assert_eq!(ApiError::mismatch("crc64_hash", "").code, "InvalidParameterNotMatch.Crc64Hash");
        let missing = ApiError::not_found("FileId");
        assert_eq!(missing.message, "The resource file cannot be found. Please check.");
    }
}
