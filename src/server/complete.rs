//! `complete`: the parts of an upload become the content of a file (pds-api.md 8.6, 19.3 rule 10).
//!
//! No byte is read again: sizes add up, CRCs combine, and the SHA-1 of the whole is the state after the last
//! part, once every part is known to start where the one before it ended.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Value};
use sha1::{Digest, Sha1};

use super::Service;
use super::entry::{self, Content, Entry, NewEntry};
use super::feed::{self, Op};
use super::hash::{SHA1_BLOCK_BYTES, Sha1State, crc64_combine, upper_hex};
use super::media::Facts;
use super::reply::{ApiError, ApiResult};
use super::upload::{self, Part, Upload};
use super::view::{self, Fields};

/// `pre_hash` covers this many bytes at the start (4.4).
const PRE_HASH_BYTES: usize = 1024;
/// Piece in which a part aside is copied into place.
const COPY_BYTES: usize = 1 << 20;

/// What a client says about the whole.
pub struct Claim {
    /// The drive of the request.
    pub drive: i64,
    /// The file of the request.
    pub file_id: String,
    /// The upload.
    pub upload_id: String,
    /// CRC-64 of the whole.
    pub crc64: Option<u64>,
    /// Numbers of parts, and their ETags in upper-case digits; empty where not stated.
    pub etags: Vec<(u32, String)>,
}

/// What the parts amount to.
struct Whole {
    size: u64,
    crc64: u64,
    sha1: [u8; 20],
    pre_hash: [u8; 20],
}

/// Completes an upload and gives the File. Blocks. On failure the upload stays open.
pub fn complete(service: &Arc<Service>, claim: &Claim) -> ApiResult<Value> {
    let live = service.uploads.join(&claim.upload_id);
    let result = {
        let mut closed = live.gate.write().unwrap_or_else(PoisonError::into_inner);
        let result = if *closed { Err(ApiError::not_found("UploadId")) } else { run(service, claim) };
        *closed |= result.is_ok();
        result
    };
    drop(live);
    service.uploads.leave(&claim.upload_id);
    result
}

fn run(service: &Arc<Service>, claim: &Claim) -> ApiResult<Value> {
    let found = service.store.read(|c| {
        let found = upload::find(c, service, &claim.upload_id)?;
        found.map(|upload| upload.all_parts(c).map(|parts| (upload, parts))).transpose()
    })?;
    let (upload, parts) = found
        .filter(|(upload, _)| upload.drive == claim.drive && upload.file_id == claim.file_id)
        .ok_or_else(|| ApiError::not_found("UploadId"))?;
    let (size, crc64, sha1) = add_up(service, &upload, &parts, claim)?;
    service.store.read(|c| entry::require_room(c, upload.drive, size))?;
    let failed = |error: io::Error| ApiError::io("complete the upload", &error);
    let file = assemble(service, &upload, &parts, size).map_err(failed)?;
    let whole = Whole { size, crc64, sha1, pre_hash: pre_hash(&file).map_err(failed)? };
    let facts = service.first_facts(&upload.name, &upload.content_type, &file, size);
    let worker = service.clone();
    let file = service.store.write(move |c| commit(&worker, c, &upload, &whole, &facts));
    service.facts.notify_one();
    file
}

/// Size, CRC-64 and SHA-1 of the whole, or what is wrong with the parts.
fn add_up(
    service: &Service,
    upload: &Upload,
    parts: &[Part],
    claim: &Claim,
) -> ApiResult<(u64, u64, [u8; 20])> {
    let Some(last) = parts.last() else {
        return Err(ApiError::invalid("part_info_list", "No part has been uploaded."));
    };
    for (number, etag) in &claim.etags {
        let stored = usize::try_from(number - 1).ok().and_then(|at| parts.get(at));
        let is_this =
            |part: &&Part| part.number == *number && (etag.is_empty() || upper_hex(&part.md5) == *etag);
        if stored.filter(is_this).is_none() {
            let why = format!("Part {number} was not uploaded with that etag.");
            return Err(ApiError::invalid("part_info_list", &why));
        }
    }
    let usual = parts[0].size;
    let (mut size, mut crc64, mut state) = (0, 0, Sha1State::start());
    for (number, part) in (1..).zip(parts) {
        if part.number != number {
            let why = format!("Part {number} is missing.");
            return Err(ApiError::invalid("part_info_list", &why));
        }
        if part.number != last.number && part.size < service.options.min_part_bytes {
            let why = format!("Part {number} is smaller than {} bytes.", service.options.min_part_bytes);
            return Err(ApiError::new(400, "InvalidParameterOutOfRange.PartSize", why));
        }
        if upload.parallel
            && (part.offset != size || !size.is_multiple_of(SHA1_BLOCK_BYTES) || part.before != state)
        {
            let why = format!("The context of part {number} is not the state after the bytes before it.");
            return Err(ApiError::invalid("parallel_sha1_ctx", &why));
        }
        if upload.parallel && (part.size > usual || (part.number != last.number && part.size != usual)) {
            let why = format!("Part {number} is not as large as part 1; only the last may be smaller.");
            return Err(ApiError::new(400, "InvalidParameterOutOfRange.PartSize", why));
        }
        size += part.size;
        crc64 = crc64_combine(crc64, part.crc64, part.size);
        state = part.after.clone();
    }
    if claim.crc64.is_some_and(|stated| stated != crc64) {
        return Err(ApiError::mismatch("crc64_hash", &format!("The parts have {crc64}.")));
    }
    if upload.size.is_some_and(|stated| stated != size) {
        return Err(ApiError::mismatch("size", &format!("The parts have {size} bytes.")));
    }
    Ok((size, crc64, state.finish()))
}

/// The upload's file with every part in its place and nothing behind them, durable.
fn assemble(service: &Service, upload: &Upload, parts: &[Part], size: u64) -> io::Result<File> {
    let file = service.store.open_staging(&upload.file)?;
    let mut changed = false;
    for part in parts {
        if let Some(aside) = &part.aside {
            copy_into(&service.store.open_blob(aside)?, &file, part)?;
            changed = true;
        }
    }
    let len = file.metadata()?.len();
    if len < size {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the bytes of a part are gone"));
    }
    if len > size {
        file.set_len(size)?;
        changed = true;
    }
    if changed {
        file.sync_all()?;
    }
    Ok(file)
}

fn copy_into(from: &File, to: &File, part: &Part) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    let mut done = 0;
    while done < part.size {
        let want = usize::try_from(part.size - done).unwrap_or(COPY_BYTES).min(COPY_BYTES);
        from.read_exact_at(&mut buffer[..want], done)?;
        to.write_all_at(&buffer[..want], part.offset + done)?;
        done += want as u64;
    }
    Ok(())
}

fn pre_hash(file: &File) -> io::Result<[u8; 20]> {
    let mut start = [0; PRE_HASH_BYTES];
    let mut len = 0;
    while len < start.len() {
        match file.read_at(&mut start[len..], len as u64)? {
            0 => break,
            read => len += read,
        }
    }
    Ok(Sha1::digest(&start[..len]).into())
}

fn commit(
    service: &Service,
    c: &Connection,
    upload: &Upload,
    whole: &Whole,
    facts: &Facts,
) -> ApiResult<Value> {
    if upload::find(c, service, &upload.id)?.is_none() {
        return Err(ApiError::not_found("UploadId"));
    }
    let (blob, is_new) = keep_blob(c, upload, whole)?;
    let content = NewContent {
        blob,
        size: whole.size,
        name: &upload.name,
        upload_id: &upload.id,
        content_type: &upload.content_type,
        facts,
    };
    let parse = |text: &str| -> ApiResult<Map<String, Value>> {
        serde_json::from_str(text).map_err(|error| ApiError::internal("read the upload", error))
    };
    let (meta, tags) = (parse(&upload.meta_json)?, parse(&upload.tags_json)?);
    let entry = match upload.overwrites {
        Some(seq) => overwrite(service, c, seq, &meta, &tags, &content)?,
        None => {
            let new = NewEntry {
                drive: upload.drive,
                file_id: &upload.file_id,
                parent: upload.parent,
                name: &upload.name,
                folder: false,
                meta: &meta,
                tags: &tags,
                now: service.clock.now_ms(),
            };
            create(service, c, &new, &content)?
        }
    };
    upload.forget(c, is_new)?;
    service.wake_housekeeping();
    view::file(service, c, &entry, Fields::of_complete())
}

/// The row of these bytes; `true` when it is new and owns the upload's file.
fn keep_blob(c: &Connection, upload: &Upload, whole: &Whole) -> ApiResult<(i64, bool)> {
    let size = whole.size.cast_signed();
    let sql = "SELECT id FROM blob WHERE sha1 = ?1 AND size = ?2";
    let known = c.prepare_cached(sql)?.query_row(params![whole.sha1, size], |row| row.get(0)).optional()?;
    if let Some(blob) = known {
        return Ok((blob, false));
    }
    let sql = "INSERT INTO blob (file, sha1, size, crc64, pre_hash) VALUES (?1, ?2, ?3, ?4, ?5)";
    c.prepare_cached(sql)?.execute(params![
        upload.file,
        whole.sha1,
        size,
        whole.crc64.cast_signed(),
        whole.pre_hash
    ])?;
    Ok((c.last_insert_rowid(), true))
}

/// A content about to become a revision.
pub struct NewContent<'a> {
    /// Row number of the bytes.
    pub blob: i64,
    /// Their length.
    pub size: u64,
    /// The name of the file.
    pub name: &'a str,
    /// The upload it comes from, or empty.
    pub upload_id: &'a str,
    /// As declared.
    pub content_type: &'a str,
    /// As derived.
    pub facts: &'a Facts,
}

/// Inserts a file with its first revision and tells the feed.
pub fn create(
    service: &Service,
    c: &Connection,
    new: &NewEntry<'_>,
    content: &NewContent<'_>,
) -> ApiResult<Entry> {
    let parent = entry::by_seq(c, new.parent).map_err(|_| ApiError::not_found("ParentFileId"))?;
    if entry::is_trashed(c, parent.seq)? {
        return Err(ApiError::trashed());
    }
    entry::require_room(c, new.drive, content.size)?;
    let seq = entry::insert(c, new)?;
    add_revision(service, c, seq, new.drive, content)?;
    let entry = entry::by_seq(c, seq)?;
    feed::tell(service, c, Op::Create, &entry)?;
    Ok(entry)
}

/// Gives a file a new revision and tells the feed. Fields given replace the old ones, tags are merged (20).
pub fn overwrite(
    service: &Service,
    c: &Connection,
    seq: i64,
    meta: &Map<String, Value>,
    tags: &Map<String, Value>,
    content: &NewContent<'_>,
) -> ApiResult<Entry> {
    let mut old = entry::by_seq(c, seq)?;
    if entry::is_trashed(c, seq)? {
        return Err(ApiError::trashed());
    }
    entry::require_room(c, old.drive, content.size)?;
    old.meta.extend(meta.clone());
    old.tags.extend(tags.clone());
    let sql = "UPDATE entry SET meta_json = ?2, tags_json = ?3 WHERE seq = ?1";
    c.prepare_cached(sql)?.execute(params![seq, entry::to_json(&old.meta), entry::to_json(&old.tags)])?;
    add_revision(service, c, seq, old.drive, content)?;
    let entry = entry::by_seq(c, seq)?;
    feed::tell(service, c, Op::Overwrite, &entry)?;
    Ok(entry)
}

/// Makes a content the current revision of an entry.
pub fn add_revision(
    service: &Service,
    c: &Connection,
    entry: i64,
    drive: i64,
    content: &NewContent<'_>,
) -> ApiResult<()> {
    let now = service.clock.now_ms();
    let sql = "INSERT INTO revision (id, entry, version, blob, name, upload_id, content_type, mime_type,
            mime_extension, category, image_json, video_json, created_at, updated_at, facts_due)
        VALUES (?1, ?2, (SELECT coalesce(max(version), 0) + 1 FROM revision WHERE entry = ?2),
            ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12, ?13)";
    let json = |value: &Option<Value>| value.as_ref().map(Value::to_string);
    c.prepare_cached(sql)?.execute(params![
        service.new_id(),
        entry,
        content.blob,
        content.name,
        content.upload_id,
        content.content_type,
        content.facts.mime_type,
        content.facts.mime_extension,
        content.facts.category,
        json(&content.facts.image),
        json(&content.facts.video),
        now,
        !service.options.facts_at_once && content.facts.is_media(),
    ])?;
    make_current(service, c, entry, drive, content.size, now)
}

/// Makes an old content, of this entry or another, the current revision of an entry under a name.
pub fn repeat_revision(
    service: &Service,
    c: &Connection,
    old: &Content,
    entry: &Entry,
    name: &str,
) -> ApiResult<()> {
    let now = service.clock.now_ms();
    let sql = "INSERT INTO revision (id, entry, version, blob, name, upload_id, content_type, mime_type,
            mime_extension, category, image_json, video_json, created_at, updated_at, facts_due)
        SELECT ?1, ?2, (SELECT coalesce(max(version), 0) + 1 FROM revision WHERE entry = ?2),
            blob, ?3, upload_id, content_type, mime_type, mime_extension, category, image_json, video_json,
            ?4, ?4, facts_due
        FROM revision WHERE seq = ?5";
    c.prepare_cached(sql)?.execute(params![service.new_id(), entry.seq, name, now, old.revision])?;
    make_current(service, c, entry.seq, entry.drive, old.size, now)
}

/// The revision inserted last becomes the content of its entry.
fn make_current(
    service: &Service,
    c: &Connection,
    entry: i64,
    drive: i64,
    size: u64,
    now: i64,
) -> ApiResult<()> {
    let sql = "UPDATE entry SET revision = ?2, size = ?3, updated_at = ?4 WHERE seq = ?1";
    c.prepare_cached(sql)?.execute(params![entry, c.last_insert_rowid(), size.cast_signed(), now])?;
    entry::charge(c, drive, size.cast_signed())?;
    drop_old_revisions(service, c, entry, drive)
}

/// Removes revisions beyond the number kept, oldest first, never the newest nor those kept forever.
pub fn drop_old_revisions(service: &Service, c: &Connection, entry: i64, drive: i64) -> ApiResult<()> {
    let sql = "SELECT seq FROM revision WHERE entry = ?1 AND keep_forever = 0
            AND seq != (SELECT revision FROM entry WHERE seq = ?1) ORDER BY version DESC LIMIT -1 OFFSET ?2";
    let kept = service.options.keep_revisions.max(1) - 1;
    let mut statement = c.prepare_cached(sql)?;
    let old: Vec<i64> =
        statement.query_map(params![entry, kept], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for revision in old {
        entry::erase_revision(c, drive, revision)?;
    }
    Ok(())
}

/// Ends an upload that is too old.
pub fn abandon(service: &Arc<Service>, id: String) -> ApiResult<()> {
    let live = service.uploads.join(&id);
    let result = {
        let mut closed = live.gate.write().unwrap_or_else(PoisonError::into_inner);
        let wanted = id.clone();
        let result = service.store.write(move |c| match upload::find_any_age(c, &wanted)? {
            Some(upload) => upload.forget(c, false),
            None => Ok(()),
        });
        *closed |= result.is_ok();
        result
    };
    drop(live);
    service.uploads.leave(&id);
    result
}
