//! Requests signed with an AccessKey: `ACS3-HMAC-SHA256`, and the older `acs ID:SIGNATURE` (pds-api.md 2.3).
//!
//! Both sign the method, the path, the query and headers. The newer one covers the body by
//! `x-acs-content-sha256`; the older one covers it only where `content-md5` is sent. A request is good for
//! [`MAX_SKEW_SECS`] around its time, and once per nonce.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::super::hash::from_hex;
use super::super::reply::{ApiError, ApiResult};
use super::register::Accounts;

/// How far the time of a request may be from ours.
pub const MAX_SKEW_SECS: i64 = 900;
/// Headers a new signature must cover.
const MUST_SIGN: &[&str] = &["host", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce"];

/// What of a request is signed, beside its headers.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// `POST`.
    pub method: &'a str,
    /// As sent.
    pub path: &'a str,
    /// As sent, without the question mark.
    pub query: &'a str,
}

/// A request whose signature is good if its body is what was signed and its nonce is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRequest {
    /// The key and its nonce.
    pub nonce: String,
    /// Seconds since 1970, as the request says.
    pub at: i64,
    body: BodyDigest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum BodyDigest {
    None,
    Md5(Vec<u8>),
    Sha256(Vec<u8>),
}

impl SignedRequest {
    /// Whether this is the body that was signed.
    pub fn covers(&self, body: &[u8]) -> bool {
        match &self.body {
            BodyDigest::None => true,
            BodyDigest::Md5(md5) => md5::Md5::digest(body)[..] == md5[..],
            BodyDigest::Sha256(sha256) => Sha256::digest(body)[..] == sha256[..],
        }
    }
}

/// 403 `InvalidAuthorization`.
pub fn refused(why: &str) -> ApiError {
    ApiError::new(403, "InvalidAuthorization", format!("The authorization is not valid. {why}"))
}

/// Checks the `Authorization` of a request; `None` when it is not of a kind with an AccessKey.
pub fn verify(
    accounts: &Accounts,
    authorization: &str,
    target: Target<'_>,
    headers: &HeaderMap,
    now: i64,
) -> Option<ApiResult<SignedRequest>> {
    if let Some(rest) = authorization.strip_prefix("ACS3-HMAC-SHA256 ") {
        return Some(verify_new(accounts, rest, target, headers, now));
    }
    authorization.strip_prefix("acs ").map(|rest| verify_old(accounts, rest, target, headers, now))
}

fn verify_new(
    accounts: &Accounts,
    parameters: &str,
    target: Target<'_>,
    headers: &HeaderMap,
    now: i64,
) -> ApiResult<SignedRequest> {
    let parameter = |name: &str| {
        let found = parameters.split(',').find_map(|one| one.trim().strip_prefix(name)?.strip_prefix('='));
        found.ok_or_else(|| refused(&format!("{name} is missing.")))
    };
    let (id, signed) = (parameter("Credential")?, parameter("SignedHeaders")?);
    let signature =
        from_hex(parameter("Signature")?).ok_or_else(|| refused("Signature is not hexadecimal."))?;
    let key = accounts.key(id).ok_or_else(|| refused("The AccessKey is not known."))?;
    let names: Vec<&str> = signed.split(';').collect();
    if let Some(name) = MUST_SIGN.iter().find(|name| !names.contains(name)) {
        return Err(refused(&format!("{name} is not among the signed headers.")));
    }
    let digest = one(headers, "x-acs-content-sha256");
    let mut canonical = format!("{}\n{}\n{}\n", target.method, target.path, canonical_query(target.query));
    for name in &names {
        canonical.push_str(&format!("{name}:{}\n", one(headers, name)));
    }
    canonical.push_str(&format!("\n{signed}\n{digest}"));
    let text = format!("ACS3-HMAC-SHA256\n{}", super::super::hex(&Sha256::digest(canonical.as_bytes())));
    let mut mac = Hmac::<Sha256>::new_from_slice(key.access_key_secret.as_bytes())
        .map_err(|error| ApiError::internal("check a signature", error))?;
    mac.update(text.as_bytes());
    mac.verify_slice(&signature).map_err(|_| refused("The signature does not match."))?;
    let at = one(headers, "x-acs-date").parse::<jiff::Timestamp>();
    let at = at.map_err(|_| refused("x-acs-date is no time."))?.as_second();
    let sha256 = from_hex(&digest).filter(|digest| digest.len() == 32);
    let sha256 = sha256.ok_or_else(|| refused("x-acs-content-sha256 is no SHA-256."))?;
    finish(headers, id, at, now, BodyDigest::Sha256(sha256))
}

fn verify_old(
    accounts: &Accounts,
    rest: &str,
    target: Target<'_>,
    headers: &HeaderMap,
    now: i64,
) -> ApiResult<SignedRequest> {
    let (id, signature) = rest.split_once(':').ok_or_else(|| refused("It is not acs ID:SIGNATURE."))?;
    let signature = STANDARD.decode(signature).map_err(|_| refused("The signature is not base64."))?;
    let key = accounts.key(id).ok_or_else(|| refused("The AccessKey is not known."))?;
    if one(headers, "x-acs-signature-method") != "HMAC-SHA1"
        || one(headers, "x-acs-signature-version") != "1.0"
    {
        return Err(refused("x-acs-signature-method is HMAC-SHA1 and x-acs-signature-version 1.0."));
    }
    let mut text = format!("{}\n", target.method);
    for name in ["accept", "content-md5", "content-type", "date"] {
        text.push_str(&one(headers, name));
        text.push('\n');
    }
    let mut names: Vec<&str> =
        headers.keys().map(|name| name.as_str()).filter(|name| name.starts_with("x-acs-")).collect();
    names.sort_unstable();
    for name in names {
        text.push_str(&format!("{name}:{}\n", one(headers, name)));
    }
    text.push_str(&plain_resource(target));
    let mut mac = Hmac::<Sha1>::new_from_slice(key.access_key_secret.as_bytes())
        .map_err(|error| ApiError::internal("check a signature", error))?;
    mac.update(text.as_bytes());
    mac.verify_slice(&signature).map_err(|_| refused("The signature does not match."))?;
    let at = httpdate::parse_http_date(&one(headers, "date")).map_err(|_| refused("date is no time."))?;
    let at = at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    let body = match one(headers, "content-md5") {
        md5 if md5.is_empty() => BodyDigest::None,
        md5 => BodyDigest::Md5(STANDARD.decode(md5).map_err(|_| refused("content-md5 is not base64."))?),
    };
    finish(headers, id, i64::try_from(at).unwrap_or(i64::MAX), now, body)
}

fn finish(headers: &HeaderMap, id: &str, at: i64, now: i64, body: BodyDigest) -> ApiResult<SignedRequest> {
    if at.abs_diff(now) > MAX_SKEW_SECS.unsigned_abs() {
        return Err(refused("The time of the request is too far from the server's."));
    }
    let nonce = one(headers, "x-acs-signature-nonce");
    if nonce.is_empty() || nonce.len() > 256 {
        return Err(refused("x-acs-signature-nonce is missing or longer than 256 bytes."));
    }
    Ok(SignedRequest { nonce: format!("{id}:{nonce}"), at, body })
}

/// A header's value, trimmed; several of a name joined as they are signed.
fn one(headers: &HeaderMap, name: &str) -> String {
    let mut values: Vec<&str> =
        headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default().trim()).collect();
    values.sort_unstable();
    values.join(",")
}

/// Decoded, sorted, encoded again as RFC 3986 has it.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> =
        form_urlencoded::parse(query.as_bytes()).map(|(key, value)| (encode(&key), encode(&value))).collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join("&")
}

fn plain_resource(target: Target<'_>) -> String {
    let mut pairs: Vec<(String, String)> =
        form_urlencoded::parse(target.query.as_bytes()).into_owned().collect();
    pairs.sort();
    let mut resource = target.path.to_owned();
    for (index, (key, value)) in pairs.iter().enumerate() {
        resource.push(if index == 0 { '?' } else { '&' });
        resource.push_str(key);
        if !value.is_empty() {
            resource.push('=');
            resource.push_str(value);
        }
    }
    resource
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
