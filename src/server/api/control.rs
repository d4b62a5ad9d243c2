//! `POST /control/VERB`: what tests and administrators of this server may do and clients of the service cannot.
//!
//! Loopback only, and with the server's own token: a page in a browser on this machine reaches loopback too.
//! Nothing here is part of the service's API.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;
use serde_json::{Map, Value, json};

use super::super::Service;
use super::super::clock::iso;
use super::super::entry;
use super::super::fault::Faults;
use super::super::feed::{self, Op};
use super::super::reply::{ApiError, ApiResult, Reply};
use super::super::view::{self, Fields};
use super::args::Args;
use super::auth::Credential;

/// The furthest that one call moves the clock: ten years.
const MAX_ADVANCE_SECS: u64 = 10 * 365 * 24 * 3600;
/// Fields that say which entry it is, where, and what its bytes are; nobody sets them.
const FIXED: &[&str] = &[
    "domain_id",
    "drive_id",
    "file_id",
    "parent_file_id",
    "name",
    "type",
    "created_at",
    "updated_at",
    "trashed",
    "size",
    "revision_id",
    "revision_version",
    "upload_id",
    "crc64_hash",
    "content_hash",
    "content_hash_name",
    "user_tags",
];

/// Whether the head of a request may control the server.
pub fn admit(service: &Service, parts: &Parts) -> ApiResult<()> {
    let peer = parts.extensions.get::<SocketAddr>();
    if !peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback()) {
        return Err(ApiError::new(403, "Forbidden", "This server is controlled from its own machine alone."));
    }
    match Credential::of(service, parts)? {
        Credential::Own => Ok(()),
        _ => Err(ApiError::new(403, "Forbidden", "This needs the server's own token.")),
    }
}

/// Does what a verb says. Blocks.
pub fn run(service: &Arc<Service>, faults: &Faults, verb: &str, args: &Args) -> ApiResult<Reply> {
    let reply = match verb {
        "clock" => clock(service, args)?,
        "counters" => {
            let counts = json!({"counts": faults.counts(), "bytes_sent": faults.bytes_sent()});
            if args.flag("reset")? {
                faults.reset_counts();
            }
            counts
        }
        "faults" => order(faults, args)?,
        "set_fields" => set_fields(service, args)?,
        _ => return Err(ApiError::not_found("Verb")),
    };
    Ok(Reply::ok(reply))
}

/// `advance_secs`: moves time forwards and does at once what has become due.
fn clock(service: &Arc<Service>, args: &Args) -> ApiResult<Value> {
    if let Some(secs) = args.number("advance_secs")? {
        if secs > MAX_ADVANCE_SECS {
            return Err(ApiError::invalid("advance_secs", "It is ten years at most."));
        }
        service.clock.advance(Duration::from_secs(secs));
        service.housekeep();
    }
    Ok(json!({"now": iso(service.clock.now_ms())}))
}

/// `clear` forgets what was ordered, `release` lets held requests go on, `add` orders more: all or none of it.
fn order(faults: &Faults, args: &Args) -> ApiResult<Value> {
    let added: Option<Vec<&str>> = args.array("add")?.iter().map(Value::as_str).collect();
    let added = added.ok_or_else(|| ApiError::invalid("add", "It has strings."))?;
    for words in &added {
        super::super::fault::spec::parse(words).map_err(|why| ApiError::invalid("add", &why))?;
    }
    if args.flag("clear")? {
        faults.clear();
    }
    if args.flag("release")? {
        faults.release();
    }
    for words in added {
        faults.order(words).map_err(|why| ApiError::invalid("add", &why))?;
    }
    Ok(json!({"faults": faults.ordered(), "held": faults.held()}))
}

/// `fields`: sets any field of a File that does not say what it is; null takes one back.
fn set_fields(service: &Arc<Service>, args: &Args) -> ApiResult<Value> {
    let drive = args.drive_number("drive_id")?;
    let id = args.required("file_id")?.to_owned();
    let Some(Value::Object(fields)) = args.value("fields") else {
        return Err(ApiError::missing("fields"));
    };
    if let Some(fixed) = fields.keys().find(|key| FIXED.contains(&key.as_str())) {
        return Err(ApiError::invalid("fields", &format!("{fixed} cannot be set.")));
    }
    let (service, fields): (_, Map<String, Value>) = (service.clone(), fields.clone());
    service.clone().store.write(move |c| {
        let mut entry = entry::live(c, drive, &id)?;
        for (key, value) in fields {
            if value.is_null() {
                entry.meta.remove(&key);
            } else {
                entry.meta.insert(key, value);
            }
        }
        let sql = "UPDATE entry SET meta_json = ?2, updated_at = ?3 WHERE seq = ?1";
        let now = service.clock.now_ms();
        c.prepare_cached(sql)?.execute(rusqlite::params![entry.seq, entry::to_json(&entry.meta), now])?;
        let entry = entry::by_seq(c, entry.seq)?;
        feed::tell(&service, c, Op::Update, &entry)?;
        view::file(&service, c, &entry, Fields::of_complete())
    })
}
