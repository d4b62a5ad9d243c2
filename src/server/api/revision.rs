//! Revisions of a file, newest first (pds-api.md 13).
//!
//! The newest is the file itself: it is neither restored nor deleted. Those kept forever do not count among the
//! ones a drive keeps.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};

use super::super::Service;
use super::super::clock::iso;
use super::super::complete::{self, drop_old_revisions};
use super::super::entry::{self, CONTENT_COLUMNS, Content, Entry};
use super::super::feed::{self, Op};
use super::super::hash::upper_hex;
use super::super::reply::{ApiError, ApiResult, Reply};
use super::args::{Args, MAX_DESCRIPTION_CHARS};
use super::call::Call;

/// Revisions of one file that are kept forever (13).
const MAX_KEPT_FOREVER: i64 = 50;

/// A revision of this entry, or `NotFound.RevisionId`.
pub fn find(c: &Connection, entry: i64, id: &str) -> ApiResult<Content> {
    let sql = format!("SELECT {CONTENT_COLUMNS} WHERE r.entry = ?1 AND r.id = ?2");
    let found =
        c.prepare_cached(&sql)?.query_row(params![entry, id], |row| Content::from_row(row, 0)).optional()?;
    found.ok_or_else(|| ApiError::not_found("RevisionId"))
}

/// `file/revision/get`.
pub fn get(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let secs = match args.number("url_expire_sec")? {
        None | Some(0) => 0,
        Some(secs) if (10..=86_400).contains(&secs) => secs,
        Some(_) => return Err(ApiError::invalid("url_expire_sec", "It is 10 to 86400.")),
    };
    let Named { drive, file_id, id } = Named::of(call)?;
    let shown = Shown::asked(args)?;
    service.store.read(|c| {
        let entry = entry::live(c, drive, &file_id)?;
        let content = find(c, entry.seq, &id)?;
        Ok(Reply::ok(describe(service, &entry, &content, Shown { url_secs: Some(secs), ..shown })))
    })
}

/// `file/revision/list`.
pub fn list(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let (drive, file_id, limit) = (call.drive()?, args.id("file_id")?, args.limit(50, 200)?);
    let shown = Shown::asked(args)?;
    let before = match args.text("marker")?.filter(|marker| !marker.is_empty()) {
        None => i64::MAX,
        Some(marker) => {
            marker.parse().map_err(|_| ApiError::invalid("marker", "It is not of this query."))?
        }
    };
    service.store.read(|c| {
        let entry = entry::live(c, drive, file_id)?;
        entry.content()?;
        let sql = format!(
            "SELECT {CONTENT_COLUMNS}
             WHERE r.entry = ?1 AND r.version < ?2 ORDER BY r.version DESC LIMIT ?3"
        );
        let mut statement = c.prepare_cached(&sql)?;
        let rows = statement.query_map(params![entry.seq, before, limit.cast_signed() + 1], |row| {
            Content::from_row(row, 0)
        })?;
        let mut contents: Vec<Content> = rows.collect::<rusqlite::Result<_>>()?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = contents.len() > limit;
        contents.truncate(limit);
        let next = contents.last().filter(|_| more).map_or(String::new(), |last| last.version.to_string());
        let items: Vec<Value> =
            contents.iter().map(|content| describe(service, &entry, content, shown)).collect();
        Ok(Reply::ok(json!({"items": items, "next_marker": next})))
    })
}

/// `file/revision/update`: whether it is kept, and words about it.
pub fn update(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let Named { drive, file_id, id } = Named::of(call)?;
    let keep = args.value("keep_forever").map(|_| args.flag("keep_forever")).transpose()?;
    let description = args.text("revision_description")?.map(str::to_owned);
    if description.as_ref().is_some_and(|text| text.chars().count() > MAX_DESCRIPTION_CHARS) {
        return Err(ApiError::invalid("revision_description", "It has more than 1024 characters."));
    }
    let service = service.clone();
    service.clone().store.write(move |c| {
        let entry = entry::live(c, drive, &file_id)?;
        let old = find(c, entry.seq, &id)?;
        let keep = keep.unwrap_or(old.keep_forever);
        if keep && !old.keep_forever {
            let sql = "SELECT count(*) FROM revision WHERE entry = ?1 AND keep_forever";
            let kept: i64 = c.prepare_cached(sql)?.query_row([entry.seq], |row| row.get(0))?;
            if kept >= MAX_KEPT_FOREVER {
                return Err(ApiError::out_of_range(
                    "keep_forever",
                    "A file has at most 50 revisions that are kept forever.",
                ));
            }
        }
        let sql = "UPDATE revision SET keep_forever = ?2, description = ?3, updated_at = ?4 WHERE seq = ?1";
        let description = description.as_ref().unwrap_or(&old.description);
        let now = service.clock.now_ms();
        c.prepare_cached(sql)?.execute(params![old.revision, keep, description, now])?;
        drop_old_revisions(&service, c, entry.seq, drive)?;
        service.wake_housekeeping();
        // Given up, it may have been one too many.
        let content = find(c, entry.seq, &id).unwrap_or(Content {
            keep_forever: keep,
            description: description.clone(),
            ..old
        });
        Ok(Reply::ok(describe(&service, &entry, &content, Shown::with_url())))
    })
}

/// `file/revision/restore`: the old content becomes a new revision, the newest.
pub fn restore(call: &Call) -> ApiResult<Reply> {
    let Named { drive, file_id, id } = Named::of(call)?;
    let service = call.service.clone();
    service.clone().store.write(move |c| {
        let entry = entry::live(c, drive, &file_id)?;
        let old = find(c, entry.seq, &id)?;
        not_latest(&entry, &old)?;
        entry::require_room(c, drive, old.size)?;
        complete::repeat_revision(&service, c, &old, &entry, &entry.name)?;
        let entry = entry::by_seq(c, entry.seq)?;
        feed::tell(&service, c, Op::Overwrite, &entry)?;
        service.wake_housekeeping();
        Ok(Reply::ok(describe(&service, &entry, entry.content()?, Shown::with_url())))
    })
}

/// `file/revision/delete`.
pub fn delete(call: &Call) -> ApiResult<Reply> {
    let Named { drive, file_id, id } = Named::of(call)?;
    let service = &call.service;
    service.store.write(move |c| {
        let entry = entry::live(c, drive, &file_id)?;
        let old = find(c, entry.seq, &id)?;
        not_latest(&entry, &old)?;
        entry::erase_revision(c, drive, old.revision)
    })?;
    service.wake_housekeeping();
    Ok(Reply::empty())
}

/// The revision a request names.
struct Named {
    drive: i64,
    file_id: String,
    id: String,
}

impl Named {
    fn of(call: &Call) -> ApiResult<Named> {
        let (drive, file_id) = (call.drive()?, call.args.id("file_id")?.to_owned());
        Ok(Named { drive, file_id, id: call.args.required("revision_id")?.to_owned() })
    }
}

fn not_latest(entry: &Entry, content: &Content) -> ApiResult<()> {
    if entry.content()?.revision != content.revision {
        return Ok(());
    }
    let why = "The latest revision is the file itself; it cannot be restored or deleted.";
    Err(ApiError::new(400, "FileLatestRevisionCannotBeRestore", why))
}

/// What is told of a revision beyond itself.
#[derive(Clone, Copy, Default)]
struct Shown {
    /// URLs with this life; 0 for the server's default.
    url_secs: Option<u64>,
    /// Who made it.
    people: bool,
}

impl Shown {
    fn asked(args: &Args) -> ApiResult<Shown> {
        let fields = args.text("fields")?.unwrap_or_default();
        let asks =
            |name: &str| fields.split(',').any(|field| matches!(field.trim(), "*") || field.trim() == name);
        Ok(Shown { url_secs: asks("url").then_some(0), people: asks("creator") })
    }

    fn with_url() -> Shown {
        Shown { url_secs: Some(0), people: true }
    }
}

fn describe(service: &Service, entry: &Entry, content: &Content, shown: Shown) -> Value {
    let is_latest = entry.content.as_ref().is_some_and(|current| current.revision == content.revision);
    let mut revision = json!({
        "domain_id": service.domain_id(),
        "drive_id": entry.drive.to_string(),
        "file_id": entry.file_id,
        "revision_id": content.revision_id,
        "revision_name": content.name,
        "revision_version": content.version,
        "size": content.size,
        "file_extension": content.name.rsplit_once('.').map_or("", |(_, extension)| extension).to_lowercase(),
        "created_at": iso(content.created_at),
        "updated_at": iso(content.updated_at),
        "keep_forever": content.keep_forever,
        "revision_description": content.description,
        "is_latest_version": is_latest,
        "crc64_hash": content.crc64.to_string(),
        "content_hash": upper_hex(&content.sha1),
        "content_hash_name": "sha1",
    });
    if let Some(secs) = shown.url_secs {
        let url = service.download_url(content, &entry.name, secs);
        revision["url"] = url.clone().into();
        revision["download_url"] = url.into();
    }
    if shown.people {
        let owner = service.drives.owner(entry.drive);
        revision["creator_id"] = owner.clone().into();
        revision["creator_name"] = owner.into();
        revision["creator_type"] = "User".into();
    }
    revision
}
