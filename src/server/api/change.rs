//! Changing entries: update, move, copy, delete, user tags (pds-api.md 10).

use rusqlite::{Connection, params};
use serde_json::{Map, Value, json};

use super::super::Service;
use super::super::clock::iso;
use super::super::complete;
use super::super::entry::{self, Entry, NewEntry};
use super::super::feed::{self, Op};
use super::super::reply::{ApiError, ApiResult, Reply};
use super::super::view::{self, Fields};
use super::args::MAX_TAGS;
use super::call::Call;
use super::create::{NAME_MODES, Name, resolve_name};

/// The root is not for changing.
pub fn not_root(entry: &Entry) -> ApiResult<()> {
    match entry.parent {
        0 => Err(ApiError::new(403, "ForbiddenNoPermission.File", "The root folder cannot be changed.")),
        _ => Ok(()),
    }
}

/// `file/update`.
pub fn update(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let (drive, id) = (call.drive()?, args.required("file_id")?.to_owned());
    let mode = args.choice("check_name_mode", NAME_MODES)?;
    let name = args.value("name").map(|_| args.name("name").map(str::to_owned)).transpose()?;
    let fields = args.file_fields(true)?;
    let service = service.clone();
    service.clone().store.write(move |c| {
        let mut entry = entry::live(c, drive, &id)?;
        not_root(&entry)?;
        let name = match name.filter(|name| *name != entry.name) {
            None => None,
            Some(name) => {
                let parent = entry::by_seq(c, entry.parent)?;
                match resolve_name(&service, c, &parent, &name, mode, Some(&entry))? {
                    Name::Free(name) => Some(name),
                    Name::Taken(existing) => {
                        let mut file = view::file(&service, c, &existing, Fields::default().of_one())?;
                        file["exist"] = true.into();
                        return Ok(Reply::ok(file));
                    }
                }
            }
        };
        let op = if name.is_some() { Op::Rename } else { Op::Update };
        entry.meta.extend(fields);
        let sql = "UPDATE entry SET name = ?2, meta_json = ?3, updated_at = ?4 WHERE seq = ?1";
        let name = name.unwrap_or(entry.name);
        c.prepare_cached(sql)?.execute(params![
            entry.seq,
            name,
            entry::to_json(&entry.meta),
            service.clock.now_ms()
        ])?;
        let entry = entry::by_seq(c, entry.seq)?;
        feed::tell(&service, c, op, &entry)?;
        Ok(Reply::ok(view::file(&service, c, &entry, Fields::default().of_one())?))
    })
}

/// `file/move`, with the `new_name` of older deployments.
pub fn move_to(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let (drive, id) = (call.drive()?, args.required("file_id")?.to_owned());
    let to = args.required("to_parent_file_id")?.to_owned();
    if args.value("to_drive_id").is_some() {
        call.drive_of("to_drive_id")?;
    }
    let mut mode = args.choice("check_name_mode", NAME_MODES)?;
    if args.flag("auto_rename")? {
        mode = "auto_rename";
    }
    let new_name = match args.text("new_name")? {
        None | Some("") => None,
        Some(_) => Some(args.name("new_name")?.to_owned()),
    };
    let service = service.clone();
    service.clone().store.write(move |c| {
        let entry = entry::live(c, drive, &id)?;
        not_root(&entry)?;
        let folder = entry::live_folder(c, drive, &to, "to_parent_file_id")?;
        if entry::is_within(c, folder.seq, entry.seq)? {
            let why = "A folder cannot be moved into itself or below itself.";
            return Err(ApiError::invalid("to_parent_file_id", why));
        }
        let wanted = new_name.unwrap_or_else(|| entry.name.clone());
        let name = match resolve_name(&service, c, &folder, &wanted, mode, Some(&entry))? {
            Name::Free(name) => name,
            Name::Taken(existing) => return Ok(Reply::ok(moved(&service, &existing, true))),
        };
        let sql = "UPDATE entry SET parent = ?2, name = ?3, updated_at = ?4 WHERE seq = ?1";
        c.prepare_cached(sql)?.execute(params![entry.seq, folder.seq, name, service.clock.now_ms()])?;
        let after = entry::by_seq(c, entry.seq)?;
        if after.parent != entry.parent {
            feed::tell_move(&service, c, &after, &entry.parent_file_id)?;
        } else if after.name != entry.name {
            feed::tell(&service, c, Op::Rename, &after)?;
        }
        Ok(Reply::ok(moved(&service, &after, false)))
    })
}

fn moved(service: &Service, entry: &Entry, exist: bool) -> Value {
    json!({
        "domain_id": service.domain_id(),
        "drive_id": entry.drive.to_string(),
        "file_id": entry.file_id,
        "parent_file_id": entry.parent_file_id,
        "type": if entry.folder { "folder" } else { "file" },
        "exist": exist,
        "async_task_id": "",
        "file_name": entry.name,
        "revision_id": entry.content.as_ref().map_or("", |content| content.revision_id.as_str()),
        "updated_at": iso(entry.updated_at),
    })
}

/// `file/copy`: no bytes move. Folders are copied at once.
pub fn copy(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let (drive, id) = (call.drive()?, args.required("file_id")?.to_owned());
    let to = args.required("to_parent_file_id")?.to_owned();
    if args.value("to_drive_id").is_some() {
        call.drive_of("to_drive_id")?;
    }
    let mode = if args.flag("auto_rename")? { "auto_rename" } else { "ignore" };
    let new_name = match args.text("new_name")? {
        None | Some("") => None,
        Some(_) => Some(args.name("new_name")?.to_owned()),
    };
    let service = service.clone();
    service.clone().store.write(move |c| {
        let source = entry::live(c, drive, &id)?;
        not_root(&source)?;
        let folder = entry::live_folder(c, drive, &to, "to_parent_file_id")?;
        if entry::is_within(c, folder.seq, source.seq)? {
            let why = "A folder cannot be copied into itself or below itself.";
            return Err(ApiError::invalid("to_parent_file_id", why));
        }
        let wanted = new_name.unwrap_or_else(|| source.name.clone());
        let name = match resolve_name(&service, c, &folder, &wanted, mode, None)? {
            Name::Free(name) => name,
            Name::Taken(existing) => existing.name,
        };
        let copy = copy_tree(&service, c, &source, folder.seq, &name)?;
        feed::tell(&service, c, Op::Create, &copy)?;
        Ok(Reply::created(json!({
            "domain_id": service.domain_id(),
            "drive_id": drive.to_string(),
            "file_id": copy.file_id,
            "parent_file_id": copy.parent_file_id,
            "file_name": copy.name,
            "async_task_id": "",
        })))
    })
}

/// Copies an entry and everything below it; depth is bounded by work kept in a list, not by the stack.
fn copy_tree(service: &Service, c: &Connection, top: &Entry, folder: i64, name: &str) -> ApiResult<Entry> {
    let copied = copy_one(service, c, top, folder, name)?;
    let mut open = vec![(top.seq, copied)];
    while let Some((from, to)) = open.pop() {
        let mut statement =
            c.prepare_cached("SELECT seq FROM entry WHERE parent = ?1 AND trashed_at IS NULL")?;
        let children: Vec<i64> =
            statement.query_map([from], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        for child in children {
            let child = entry::by_seq(c, child)?;
            open.push((child.seq, copy_one(service, c, &child, to, &child.name)?));
        }
    }
    entry::by_seq(c, copied)
}

fn copy_one(service: &Service, c: &Connection, source: &Entry, folder: i64, name: &str) -> ApiResult<i64> {
    let new = NewEntry {
        drive: source.drive,
        file_id: &service.new_id(),
        parent: folder,
        name,
        folder: source.folder,
        meta: &source.meta,
        tags: &source.tags,
        now: service.clock.now_ms(),
    };
    let seq = entry::insert(c, &new)?;
    if let Some(content) = &source.content {
        entry::require_room(c, source.drive, content.size)?;
        complete::repeat_revision(service, c, content, &entry::by_seq(c, seq)?, name)?;
    }
    Ok(seq)
}

/// `file/delete`: for good, with everything below.
pub fn delete(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let (drive, id) = (call.drive()?, args.required("file_id")?.to_owned());
    let only_empty = args.flag("check_folder_empty")?;
    service.store.write(move |c| {
        let entry = entry::get(c, drive, &id)?;
        not_root(&entry)?;
        if only_empty {
            require_empty(c, &entry)?;
        }
        entry::erase(c, &entry)?;
        feed::tell_delete(c, &entry)
    })?;
    service.wake_housekeeping();
    Ok(Reply::empty())
}

/// `check_folder_empty` of older deployments.
pub fn require_empty(c: &Connection, entry: &Entry) -> ApiResult<()> {
    let sql = "SELECT EXISTS (SELECT 1 FROM entry WHERE parent = ?1 AND trashed_at IS NULL)";
    let full: bool = c.prepare_cached(sql)?.query_row([entry.seq], |row| row.get(0))?;
    if full {
        return Err(ApiError::new(409, "StateConflict.FolderNotEmpty", "The folder is not empty."));
    }
    Ok(())
}

/// `file/put_usertags`: merges.
pub fn put_tags(call: &Call) -> ApiResult<Reply> {
    let Call { service: _, args, .. } = call;
    let tags = args.tags()?;
    if tags.is_empty() {
        return Err(ApiError::missing("user_tags"));
    }
    let id = change_tags(call, move |old| {
        old.extend(tags);
        if old.len() > MAX_TAGS {
            return Err(ApiError::invalid("user_tags", "A file has at most 1000 tags."));
        }
        Ok(())
    })?;
    Ok(Reply::ok(json!({"file_id": id})))
}

/// `file/delete_usertags`: keys that are not there are no error.
pub fn delete_tags(call: &Call) -> ApiResult<Reply> {
    let Call { service: _, args, .. } = call;
    let keys: Option<Vec<String>> =
        args.array("key_list")?.iter().map(|key| key.as_str().map(str::to_owned)).collect();
    let keys = keys.ok_or_else(|| ApiError::invalid("key_list", "It has strings."))?;
    if keys.is_empty() {
        return Err(ApiError::missing("key_list"));
    }
    change_tags(call, move |old| {
        old.retain(|key, _| !keys.contains(key));
        Ok(())
    })?;
    Ok(Reply::empty())
}

fn change_tags(
    call: &Call,
    change: impl FnOnce(&mut Map<String, Value>) -> ApiResult<()> + Send + 'static,
) -> ApiResult<String> {
    let Call { service, args, .. } = call;
    let (drive, id) = (call.drive()?, args.required("file_id")?.to_owned());
    let service = service.clone();
    service.clone().store.write(move |c| {
        let mut entry = entry::live(c, drive, &id)?;
        change(&mut entry.tags)?;
        let sql = "UPDATE entry SET tags_json = ?2, updated_at = ?3 WHERE seq = ?1";
        let now = service.clock.now_ms();
        c.prepare_cached(sql)?.execute(params![entry.seq, entry::to_json(&entry.tags), now])?;
        feed::tell(&service, c, Op::Update, &entry::by_seq(c, entry.seq)?)?;
        Ok(id)
    })
}
