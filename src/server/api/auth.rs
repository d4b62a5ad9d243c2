//! Who makes a request: the server's own token, a session's token, or an AccessKey's signature (pds-api.md 2.3).
//!
//! In two steps. What needs only the head is checked before the body is read, so that whoever has no
//! credential makes us read nothing; what needs the store or the body comes after.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::super::Service;
use super::super::account::key::{self, MAX_SKEW_SECS, SignedRequest, Target};
use super::super::account::session::Ticket;
use super::super::account::{self, Caller, LOCAL_USER, Role};
use super::super::reply::{ApiError, ApiResult};

/// What the head of a request shows.
pub enum Credential {
    /// Nothing, where nothing is needed.
    None,
    /// The server's own token.
    Own,
    /// A token of a session that may have ended.
    Session(Ticket),
    /// A signature that may be for another body.
    Signed(SignedRequest),
}

impl Credential {
    /// Checks the head.
    pub fn of(service: &Service, parts: &Parts) -> ApiResult<Credential> {
        let sent = text(&parts.headers).ok_or_else(ApiError::token)?;
        let now = service.clock.now_secs();
        let target = Target {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
        };
        if let Some(signed) = key::verify(&service.accounts, sent, target, &parts.headers, now) {
            return signed.map(Credential::Signed);
        }
        let token = sent.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let (_, token) = token.ok_or_else(ApiError::token)?;
        let token = token.trim();
        if account::same(token.as_bytes(), service.access_token.as_bytes()) {
            return Ok(Credential::Own);
        }
        let ticket = Ticket::open(&service.signer, token, now).ok_or_else(ApiError::token)?;
        ticket.map(Credential::Session)
    }

    /// Checks the rest. Blocks.
    pub fn settle(self, service: &Service, body: &[u8]) -> ApiResult<Caller> {
        match self {
            Credential::None => Ok(Caller::anonymous()),
            Credential::Own => Ok(Caller { user_id: LOCAL_USER.to_owned(), role: Role::SuperAdmin }),
            Credential::Session(ticket) => service.store.read(|c| ticket.caller(c)),
            Credential::Signed(signed) => {
                if !signed.covers(body) {
                    return Err(key::refused("The body is not what was signed."));
                }
                let (now, ends) = (service.clock.now_secs(), signed.at + MAX_SKEW_SECS + 1);
                if !service.pending.first_use(signed.nonce, ends, now) {
                    return Err(key::refused("The nonce was used before."));
                }
                Ok(Caller::service())
            }
        }
    }
}

fn text(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()
}
