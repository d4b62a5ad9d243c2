//! Logins: access tokens that expire, refresh tokens that are good once, codes of the consent page, and what
//! must not be used twice (pds-api.md 2.4, 6).
//!
//! An access token is a sealed text that names its session and its end, so most bad ones are refused without
//! a look at the store. The session's row says whether it still is one, and the user's row what they may do now.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::super::reply::{ApiError, ApiResult};
use super::super::sign::Signer;
use super::{Caller, Role};

/// Life of an access token in seconds (2.4).
pub const ACCESS_SECS: i64 = 7200;
/// Life of a refresh token in seconds: 30 days.
pub const REFRESH_SECS: i64 = 30 * 24 * 3600;
/// Life of a code in seconds.
const CODE_SECS: i64 = 600;
/// Codes that may wait to be used.
const MAX_CODES: usize = 1000;
/// Nonces and assertion ids that are remembered; beyond that new ones are refused rather than old ones forgotten.
const MAX_USED: usize = 100_000;
/// Purpose of a sealed access token.
const PURPOSE: &str = "access";

/// A fresh pair of tokens.
#[derive(Clone)]
pub struct Tokens {
    /// For `Authorization: Bearer`.
    pub access: String,
    /// Good once.
    pub refresh: String,
    /// When the access token ends, in seconds since 1970.
    pub expires_at: i64,
}

/// An access token whose seal is good and which has not expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    session: String,
}

impl Ticket {
    /// Reads a token; what is not one of ours is `None`.
    ///
    /// # Errors
    /// `AccessTokenExpired` for one that was good.
    pub fn open(signer: &Signer, token: &str, now: i64) -> Option<ApiResult<Ticket>> {
        let text = signer.unseal(PURPOSE, token)?;
        let (session, rest) = text.split_once(' ')?;
        let expires_at: i64 = rest.split(' ').next()?.parse().ok()?;
        if now >= expires_at {
            let message = "AccessToken is invalid. The token has expired.";
            return Some(Err(ApiError::new(401, "AccessTokenExpired", message)));
        }
        Some(Ok(Ticket { session: session.to_owned() }))
    }

    /// Who it speaks for now.
    pub fn caller(&self, c: &Connection) -> ApiResult<Caller> {
        let sql = "SELECT s.user, s.role, u.role, u.enabled FROM session s LEFT JOIN user u ON u.id = s.user
            WHERE s.id = ?1";
        type Row = (String, String, Option<String>, Option<bool>);
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
        let found: Option<Row> = c.prepare_cached(sql)?.query_row([&self.session], row).optional()?;
        let (user_id, given, role, enabled) = found.ok_or_else(ApiError::token)?;
        if !user_id.is_empty() && enabled != Some(true) {
            return Err(ApiError::token());
        }
        let role = role.as_deref().unwrap_or(&given);
        Ok(Caller { user_id, role: Role::parse(role).unwrap_or(Role::User) })
    }
}

/// Who asks for tokens, and when.
#[derive(Clone, Copy)]
pub struct Issue<'a> {
    /// The server's seal.
    pub signer: &'a Signer,
    /// 32 random bytes, never used before.
    pub random: &'a [u8; 32],
    /// The application.
    pub app: &'a str,
    /// Seconds since 1970.
    pub now: i64,
}

/// Starts a session.
pub fn start(c: &Connection, issue: Issue<'_>, caller: &Caller) -> ApiResult<Tokens> {
    let id = super::super::hex(&issue.random[..8]);
    let tokens = tokens(issue, &id);
    let sql = "INSERT INTO session (id, user, app, role, refresh_hash, refresh_expires_at, created_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    c.prepare_cached(sql)?.execute(params![
        id,
        caller.user_id,
        issue.app,
        caller.role.name(),
        hash(&tokens.refresh),
        issue.now + REFRESH_SECS,
        issue.now,
    ])?;
    Ok(tokens)
}

/// Trades a refresh token for new tokens; the old one is dead from then on.
///
/// # Errors
/// `InvalidParameter.RefreshToken` for one that is not good or was used, `RefreshTokenExpired`.
pub fn refresh(c: &Connection, issue: Issue<'_>, token: &str) -> ApiResult<(String, Tokens)> {
    let (id, expires_at) = find(c, issue.app, token)?;
    if issue.now >= expires_at {
        return Err(ApiError::new(401, "RefreshTokenExpired", "The refresh token has expired."));
    }
    let tokens = tokens(issue, &id);
    let sql = "UPDATE session SET refresh_hash = ?2, refresh_expires_at = ?3 WHERE id = ?1";
    c.prepare_cached(sql)?.execute(params![id, hash(&tokens.refresh), issue.now + REFRESH_SECS])?;
    Ok((id, tokens))
}

/// Ends the session of a refresh token, and with it its access tokens.
pub fn revoke(c: &Connection, app: &str, token: &str) -> ApiResult<()> {
    let (id, _) = find(c, app, token)?;
    c.prepare_cached("DELETE FROM session WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// Removes sessions that cannot be refreshed and whose access tokens have ended.
pub fn reap(c: &Connection, now: i64) -> ApiResult<()> {
    c.prepare_cached("DELETE FROM session WHERE refresh_expires_at <= ?1")?.execute([now - ACCESS_SECS])?;
    Ok(())
}

/// Whether there is something for [`reap`] to do.
pub fn any_dead(c: &Connection, now: i64) -> ApiResult<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM session WHERE refresh_expires_at <= ?1)";
    Ok(c.prepare_cached(sql)?.query_row([now - ACCESS_SECS], |row| row.get(0))?)
}

/// The caller of a session that was just refreshed.
pub fn caller(c: &Connection, id: &str) -> ApiResult<Caller> {
    Ticket { session: id.to_owned() }.caller(c)
}

fn find(c: &Connection, app: &str, token: &str) -> ApiResult<(String, i64)> {
    let unknown = || ApiError::invalid("refresh_token", "It is not good, or was used before.");
    let (id, _) = token.split_once('.').ok_or_else(unknown)?;
    let sql = "SELECT refresh_hash, refresh_expires_at FROM session WHERE id = ?1 AND app = ?2";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let found: Option<(Vec<u8>, i64)> = c.prepare_cached(sql)?.query_row([id, app], row).optional()?;
    let (expected, expires_at) = found.ok_or_else(unknown)?;
    if super::same(&expected, &hash(token)) { Ok((id.to_owned(), expires_at)) } else { Err(unknown()) }
}

fn tokens(issue: Issue<'_>, id: &str) -> Tokens {
    let expires_at = issue.now + ACCESS_SECS;
    // The random bytes make each token of a session another one.
    let nonce = super::super::hex(&issue.random[8..16]);
    let access = issue.signer.seal(PURPOSE, &format!("{id} {expires_at} {nonce}"));
    let refresh = format!("{id}.{}", super::super::hex(&issue.random[16..]));
    Tokens { access, refresh, expires_at }
}

fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

/// What a code of the consent page stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// Who agreed.
    pub user: String,
    /// To which application.
    pub app: String,
    /// Where the code was sent.
    pub redirect_uri: String,
}

/// Codes on their way, and nonces and assertions that were used. Lost at the end of the process: a code must then
/// be asked for again, and a nonce is too old by its time soon.
#[derive(Debug, Default)]
pub struct Pending {
    codes: Mutex<HashMap<String, (i64, Consent)>>,
    used: Mutex<HashMap<String, i64>>,
}

impl Pending {
    /// Keeps a code until it is used or too old.
    pub fn add_code(&self, code: String, consent: Consent, now: i64) -> ApiResult<()> {
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|_, (ends, _)| *ends > now);
        if codes.len() >= MAX_CODES {
            return Err(ApiError::new(429, "TooManyRequests", "Too many codes wait to be used."));
        }
        codes.insert(code, (now + CODE_SECS, consent));
        Ok(())
    }

    /// What a code stands for, once.
    pub fn take_code(&self, code: &str, now: i64) -> Option<Consent> {
        let (ends, consent) = self.codes.lock().unwrap_or_else(PoisonError::into_inner).remove(code)?;
        (ends > now).then_some(consent)
    }

    /// Whether this was not used before; from now on it was, until `ends`.
    pub fn first_use(&self, id: String, ends: i64, now: i64) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= MAX_USED {
            used.retain(|_, ends| *ends > now);
            if used.len() >= MAX_USED {
                return false;
            }
        }
        used.insert(id, ends).is_none_or(|ends| ends <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_good_once_and_not_for_long() {
        let pending = Pending::default();
        let consent = Consent { user: "u".into(), app: "a".into(), redirect_uri: "r".into() };
        pending.add_code("one".into(), consent.clone(), 0).unwrap();
        pending.add_code("two".into(), consent.clone(), 0).unwrap();
        assert_eq!(pending.take_code("one", CODE_SECS - 1), Some(consent));
        assert_eq!(pending.take_code("one", CODE_SECS - 1), None);
        assert_eq!(pending.take_code("two", CODE_SECS), None);
    }

    #[test]
    fn what_was_used_is_remembered_until_it_ends() {
        let pending = Pending::default();
        assert!(pending.first_use("n".into(), 10, 0));
        assert!(!pending.first_use("n".into(), 10, 9));
        assert!(pending.first_use("n".into(), 20, 10));
    }
}
