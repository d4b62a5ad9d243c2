//! `file/create`: folders at once, files as uploads or, when their bytes are known, at once too (8.1, 8.8, 8.9).

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Value, json};

use super::super::Service;
use super::super::clock::compact;
use super::super::complete::{self, NewContent};
use super::super::entry::{self, Entry, NewEntry};
use super::super::feed::{self, Op};
use super::super::hash::from_hex;
use super::super::media::Facts;
use super::super::reply::{ApiError, ApiResult, Reply};
use super::args::Args;
use super::call::Call;
use super::upload::{PartPlan, part_urls};

/// What happens when the name is taken (4.2).
pub const NAME_MODES: &[&str] = &["ignore", "auto_rename", "refuse"];
/// What the documentation calls the default (20).
const DEFAULT_CONTENT_TYPE: &str = "application/oct-stream";

/// What `create` was asked for.
struct Wanted {
    drive: i64,
    parent_id: String,
    name: String,
    mode: &'static str,
    meta: Map<String, Value>,
    tags: Map<String, Value>,
}

/// A file that `create` was asked for.
struct WantedFile {
    file_id: Option<String>,
    size: Option<u64>,
    content_type: String,
    parallel: bool,
    plan: Vec<PartPlan>,
}

/// Bytes the store has already.
struct Known {
    blob: i64,
    size: u64,
    facts: Facts,
}

/// `file/create`.
pub fn create(call: &Call) -> ApiResult<Reply> {
    create_by(call, None)
}

/// `file/create_with_proof`: known bytes are given only to who shows some of them.
pub fn create_with_proof(call: &Call) -> ApiResult<Reply> {
    let args = &call.args;
    if args.text("content_hash")?.is_none_or(str::is_empty) {
        return create_by(call, None);
    }
    match args.required("proof_version")? {
        "v1" => create_by(call, Some(args.text("proof_code")?.unwrap_or_default())),
        _ => Err(ApiError::invalid("proof_version", "It is v1.")),
    }
}

fn create_by(call: &Call, proof: Option<&str>) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let wanted = Wanted {
        drive: call.drive()?,
        parent_id: args.id("parent_file_id")?.to_owned(),
        name: args.name("name")?.to_owned(),
        mode: args.choice("check_name_mode", NAME_MODES)?,
        meta: args.file_fields(false)?,
        tags: args.tags()?,
    };
    args.required("type")?;
    match args.choice("type", &["file", "folder"])? {
        "folder" => create_folder(service, wanted),
        _ => create_file(call, wanted, proof),
    }
}

fn create_folder(service: &Arc<Service>, wanted: Wanted) -> ApiResult<Reply> {
    let service = service.clone();
    service.clone().store.write(move |c| {
        let parent = entry::live_folder(c, wanted.drive, &wanted.parent_id, "parent_file_id")?;
        let name = match resolve_name(&service, c, &parent, &wanted.name, wanted.mode, None)? {
            Name::Free(name) => name,
            Name::Taken(existing) => return Ok(Reply::created(existing_reply(&service, &existing))),
        };
        let new = NewEntry {
            drive: wanted.drive,
            file_id: &service.new_id(),
            parent: parent.seq,
            name: &name,
            folder: true,
            meta: &wanted.meta,
            tags: &wanted.tags,
            now: service.clock.now_ms(),
        };
        let entry = entry::by_seq(c, entry::insert(c, &new)?)?;
        feed::tell(&service, c, Op::Create, &entry)?;
        Ok(Reply::created(created_reply(
            &service,
            entry.drive,
            &entry.file_id,
            &parent.file_id,
            &name,
            "folder",
        )))
    })
}

fn create_file(call: &Call, wanted: Wanted, proof: Option<&str>) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let file = wanted_file(service, args)?;
    if let Some(size) = file.size {
        service.store.read(|c| entry::require_room(c, wanted.drive, size))?;
    }
    if let Some(error) = pre_hash_matches(service, &wanted, args)? {
        return Err(error);
    }
    let known = known_bytes(call, &wanted, &file, proof)?;
    let (is_rapid, worker) = (known.is_some(), service.clone());
    let reply = service.store.write(move |c| {
        let service = worker;
        let mut parent = entry::live_folder(c, wanted.drive, &wanted.parent_id, "parent_file_id")?;
        let target = file.file_id.as_deref().map(|id| overwritable(c, wanted.drive, id)).transpose()?;
        let name = match &target {
            // A new revision changes neither name nor place; whoever says others is not up to date.
            Some(target) => {
                parent = entry::by_seq(c, target.parent)?;
                Name::Free(target.name.clone())
            }
            None => resolve_name(&service, c, &parent, &wanted.name, wanted.mode, None)?,
        };
        let name = match name {
            Name::Free(name) => name,
            Name::Taken(existing) => return Ok(Reply::created(existing_reply(&service, &existing))),
        };
        let place = Place { parent: &parent, name: &name, target: target.as_ref() };
        match known {
            Some(known) => rapid(&service, c, &wanted, &file, &place, &known),
            None => start_upload(&service, c, &wanted, &file, &place),
        }
    });
    if is_rapid {
        service.facts.notify_one();
    }
    reply
}

fn wanted_file(service: &Service, args: &Args) -> ApiResult<WantedFile> {
    let parallel = args.flag("parallel_upload")?;
    if parallel && !service.options.parallel_upload {
        return Err(ApiError::new(
            400,
            "InvalidParameterNotSupported.ParallelUpload",
            "The input parameter parallel_upload is not supported.",
        ));
    }
    let size = args.number("size")?;
    if size.is_none() && service.options.require_size {
        return Err(ApiError::missing("size"));
    }
    let mut plan = PartPlan::list(args.array("part_info_list")?, parallel)?;
    if plan.is_empty() {
        plan.push(PartPlan::first());
    }
    if !PartPlan::is_contiguous(&plan) {
        return Err(ApiError::invalid("part_info_list", "Its part numbers are 1, 2, 3 and so on."));
    }
    let content_type = args.text("content_type")?.unwrap_or_default();
    let content_type = if content_type.is_empty() { DEFAULT_CONTENT_TYPE } else { content_type };
    let file_id = match args.text("file_id")? {
        None | Some("") => None,
        Some(_) => Some(args.id("file_id")?.to_owned()),
    };
    Ok(WantedFile { file_id, size, content_type: content_type.to_owned(), parallel, plan })
}

/// The file that gets a new revision.
fn overwritable(c: &Connection, drive: i64, id: &str) -> ApiResult<Entry> {
    let entry = entry::find(c, drive, id)?.filter(|entry| !entry.folder);
    let entry = entry.ok_or_else(|| ApiError::not_found("FileId"))?;
    if entry::is_trashed(c, entry.seq)? { Err(ApiError::not_found("FileId")) } else { Ok(entry) }
}

/// A name that can be used, or the entry that has it.
pub enum Name {
    /// Use this one.
    Free(String),
    /// `refuse` hit this one.
    Taken(Box<Entry>),
}

/// Applies a `check_name_mode` in a folder; `own` is an entry that may keep its name.
pub fn resolve_name(
    service: &Service,
    c: &Connection,
    folder: &Entry,
    name: &str,
    mode: &str,
    own: Option<&Entry>,
) -> ApiResult<Name> {
    let taken = |name: &str| -> ApiResult<Option<Entry>> {
        let found = entry::child(c, folder.seq, name)?;
        Ok(found.filter(|found| own.is_none_or(|own| own.seq != found.seq)))
    };
    match (mode, taken(name)?) {
        ("refuse", Some(existing)) => Ok(Name::Taken(Box::new(existing))),
        ("auto_rename", Some(_)) => {
            let stamp = compact(service.clock.now_ms());
            let (stem, extension) = match name.rsplit_once('.') {
                Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
                _ => (name, String::new()),
            };
            let mut renamed = format!("{stem}_{stamp}{extension}");
            let mut counter = 1;
            while taken(&renamed)?.is_some() {
                counter += 1;
                renamed = format!("{stem}_{stamp}_{counter}{extension}");
            }
            if renamed.len() > 1024 {
                return Err(ApiError::invalid("name", "With the time in it, it has more than 1024 bytes."));
            }
            Ok(Name::Free(renamed))
        }
        _ => Ok(Name::Free(name.to_owned())),
    }
}

/// 409 of 8.8 when some content starts with these 1024 bytes.
fn pre_hash_matches(service: &Service, wanted: &Wanted, args: &Args) -> ApiResult<Option<ApiError>> {
    let has_content_hash = args.text("content_hash")?.is_some_and(|hash| !hash.is_empty());
    let Some(text) = args.text("pre_hash")?.filter(|hash| !hash.is_empty() && !has_content_hash) else {
        return Ok(None);
    };
    let hash = sha1_of("pre_hash", text)?;
    let known: bool = service.store.read(|c| {
        let sql = "SELECT EXISTS (SELECT 1 FROM blob WHERE pre_hash = ?1)";
        Ok(c.prepare_cached(sql)?.query_row([hash], |row| row.get(0))?)
    })?;
    Ok(known.then(|| {
        let mut error = ApiError::new(409, "PreHashMatched", "Pre hash matched.");
        error.extra.insert("pre_hash".into(), text.into());
        error.extra.insert("file_name".into(), wanted.name.clone().into());
        error.extra.insert("parent_file_id".into(), wanted.parent_id.clone().into());
        error
    }))
}

/// Bytes with this `content_hash` and `size`, if the store has them.
fn known_bytes(
    call: &Call,
    wanted: &Wanted,
    file: &WantedFile,
    proof: Option<&str>,
) -> ApiResult<Option<Known>> {
    let Call { service, args, .. } = call;
    let (Some(hash), Some(size)) = (args.text("content_hash")?.filter(|hash| !hash.is_empty()), file.size)
    else {
        return Ok(None);
    };
    if args.choice("content_hash_name", &["sha1", "sha256"])? == "sha256" {
        return Ok(None);
    }
    let hash = sha1_of("content_hash", hash)?;
    let found: Option<(i64, String)> = service.store.read(|c| {
        let sql = "SELECT id, file FROM blob WHERE sha1 = ?1 AND size = ?2";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        Ok(c.prepare_cached(sql)?.query_row(params![hash, size.cast_signed()], row).optional()?)
    })?;
    let Some((blob, path)) = found else { return Ok(None) };
    // Gone in this moment: as if we had never had it.
    let Ok(bytes) = service.store.open_blob(&path) else { return Ok(None) };
    if proof.is_some_and(|proof| call.proof.proof(&bytes, size).is_some_and(|expected| proof != expected)) {
        return Err(ApiError::new(400, "InvalidRapidProof", "The proof_code is wrong."));
    }
    let facts = service.first_facts(&wanted.name, &file.content_type, &bytes, size);
    Ok(Some(Known { blob, size, facts }))
}

fn sha1_of(field: &str, text: &str) -> ApiResult<Vec<u8>> {
    let hash = from_hex(text).filter(|hash| hash.len() == 20);
    hash.ok_or_else(|| ApiError::invalid(field, "It is the SHA-1 in 40 hexadecimal digits."))
}

/// Where the file goes.
struct Place<'a> {
    parent: &'a Entry,
    name: &'a str,
    target: Option<&'a Entry>,
}

/// The file is complete without an upload.
fn rapid(
    service: &Service,
    c: &Connection,
    wanted: &Wanted,
    file: &WantedFile,
    place: &Place<'_>,
    known: &Known,
) -> ApiResult<Reply> {
    let still: bool = c
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM blob WHERE id = ?1)")?
        .query_row([known.blob], |row| row.get(0))?;
    if !still {
        return start_upload(service, c, wanted, file, place);
    }
    let content = NewContent {
        blob: known.blob,
        size: known.size,
        name: place.name,
        upload_id: "",
        content_type: &file.content_type,
        facts: &known.facts,
    };
    let entry = match place.target {
        Some(target) => complete::overwrite(service, c, target.seq, &wanted.meta, &wanted.tags, &content)?,
        None => {
            let new = NewEntry {
                drive: wanted.drive,
                file_id: &service.new_id(),
                parent: place.parent.seq,
                name: place.name,
                folder: false,
                meta: &wanted.meta,
                tags: &wanted.tags,
                now: service.clock.now_ms(),
            };
            complete::create(service, c, &new, &content)?
        }
    };
    service.wake_housekeeping();
    let mut reply =
        created_reply(service, entry.drive, &entry.file_id, &entry.parent_file_id, &entry.name, "file");
    reply["rapid_upload"] = true.into();
    reply["status"] = "available".into();
    reply["revision_id"] = entry.content()?.revision_id.clone().into();
    Ok(Reply::created(reply))
}

fn start_upload(
    service: &Service,
    c: &Connection,
    wanted: &Wanted,
    file: &WantedFile,
    place: &Place<'_>,
) -> ApiResult<Reply> {
    let upload_id = service.new_upload_id();
    let file_id = place.target.map_or_else(|| service.new_id(), |target| target.file_id.clone());
    let sql =
        "INSERT INTO upload (id, drive, file_id, parent, name, overwrites, parallel, size, content_type,
            meta_json, tags_json, file, created_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    c.prepare_cached(sql)?.execute(params![
        upload_id,
        wanted.drive,
        file_id,
        place.parent.seq,
        place.name,
        place.target.map(|target| target.seq),
        file.parallel,
        file.size.map(u64::cast_signed),
        file.content_type,
        entry::to_json(&wanted.meta),
        entry::to_json(&wanted.tags),
        service.new_blob_name(),
        service.clock.now_ms(),
    ])?;
    let mut reply = created_reply(service, wanted.drive, &file_id, &place.parent.file_id, place.name, "file");
    reply["upload_id"] = upload_id.clone().into();
    reply["rapid_upload"] = false.into();
    reply["status"] = "uploading".into();
    reply["part_info_list"] = part_urls(service, &upload_id, &file.plan);
    Ok(Reply::created(reply))
}

fn created_reply(
    service: &Service,
    drive: i64,
    file_id: &str,
    parent_id: &str,
    name: &str,
    kind: &str,
) -> Value {
    json!({
        "domain_id": service.domain_id(),
        "drive_id": drive.to_string(),
        "file_id": file_id,
        "parent_file_id": parent_id,
        "type": kind,
        "file_name": name,
        "encrypt_mode": "none",
    })
}

/// The answer when `refuse` hit a sibling (19.3 rule 4).
fn existing_reply(service: &Service, existing: &Entry) -> Value {
    let kind = if existing.folder { "folder" } else { "file" };
    let mut reply = created_reply(
        service,
        existing.drive,
        &existing.file_id,
        &existing.parent_file_id,
        &existing.name,
        kind,
    );
    reply["exist"] = true.into();
    reply["status"] = "available".into();
    reply
}
