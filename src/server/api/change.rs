//! Changing entries: update, move, copy, delete, user tags (pds-api.md 10).

use rusqlite::{Connection, params};
use serde_json::{Map, Value, json};

use super::super::Service;
use super::super::clock::iso;
use super::super::complete;
use super::super::entry::{self, Entry, NewEntry};
use super::super::feed::{self, Op};
use super::super::reply::{ApiError, ApiResult, Reply};
use super::super::task::{self, Copying, Work};
use super::super::view::{self, Fields};
use super::args::MAX_TAGS;
use super::bin;
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
    let (drive, id) = (call.drive()?, args.id("file_id")?.to_owned());
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
    let (drive, id) = (call.drive()?, args.id("file_id")?.to_owned());
    let to = args.id("to_parent_file_id")?.to_owned();
    if to_drive(call)?.is_some_and(|to| to != drive) {
        let why = "The input parameter to_drive_id is not supported: files are not moved between drives.";
        return Err(ApiError::new(400, "InvalidParameterNotSupported.ToDriveId", why));
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

/// `file/copy`: no bytes move. Small folders are copied at once.
pub fn copy(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let (drive, id) = (call.drive()?, args.id("file_id")?.to_owned());
    let to = args.id("to_parent_file_id")?.to_owned();
    let to_drive = to_drive(call)?.unwrap_or(drive);
    let auto_rename = args.flag("auto_rename")?;
    let new_name = match args.text("new_name")? {
        None | Some("") => None,
        Some(_) => Some(args.name("new_name")?.to_owned()),
    };
    let user = call.caller.user_id.clone();
    let service = service.clone();
    bin::change(call, move |c| {
        let source = entry::live(c, drive, &id)?;
        not_root(&source)?;
        let folder = entry::live_folder(c, to_drive, &to, "to_parent_file_id")?;
        if entry::is_within(c, folder.seq, source.seq)? {
            let why = "A folder cannot be copied into itself or below itself.";
            return Err(ApiError::invalid("to_parent_file_id", why));
        }
        let name = new_name.unwrap_or_else(|| source.name.clone());
        let new_id = service.new_id();
        if task::is_large(&service, c, &source)? {
            let copying = Copying { drive, file_id: id, to_drive, to_parent: to, name, auto_rename, new_id };
            let copy = Entry { drive: to_drive, file_id: copying.new_id.clone(), ..source };
            return bin::accepted(&service, c, &user, &copy, &Work::Copy(copying));
        }
        let name = copy_name(&service, c, &folder, &name, auto_rename)?;
        let place = CopyPlace { drive: to_drive, parent: folder.seq, name: &name, id: &new_id };
        let copied = copy_one(&service, c, &source, &place)?;
        let mut open = vec![(source.seq, copied)];
        while let Some((from, to)) = open.pop() {
            open.extend(copy_children(&service, c, &entry::children(c, from)?, to_drive, to)?);
        }
        let copy = entry::by_seq(c, copied)?;
        feed::tell(&service, c, Op::Create, &copy)?;
        Ok(Reply::created(json!({
            "domain_id": service.domain_id(),
            "drive_id": copy.drive.to_string(),
            "file_id": copy.file_id,
            "parent_file_id": copy.parent_file_id,
            "file_name": copy.name,
            "async_task_id": "",
        })))
    })
}

/// `to_drive_id`, if it is given.
fn to_drive(call: &Call) -> ApiResult<Option<i64>> {
    match call.args.value("to_drive_id") {
        None => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(_) => call.drive_of("to_drive_id").map(Some),
    }
}

/// The name of a copy in a folder.
pub fn copy_name(
    service: &Service,
    c: &Connection,
    folder: &Entry,
    name: &str,
    auto_rename: bool,
) -> ApiResult<String> {
    let mode = if auto_rename { "auto_rename" } else { "ignore" };
    match resolve_name(service, c, folder, name, mode, None)? {
        Name::Free(name) => Ok(name),
        Name::Taken(existing) => Ok(existing.name),
    }
}

/// Where a copy goes.
pub struct CopyPlace<'a> {
    /// The drive.
    pub drive: i64,
    /// Row number of the folder.
    pub parent: i64,
    /// Its name there.
    pub name: &'a str,
    /// Its id.
    pub id: &'a str,
}

/// Copies one entry, without what is below it; gives the row number of the copy.
pub fn copy_one(service: &Service, c: &Connection, source: &Entry, place: &CopyPlace<'_>) -> ApiResult<i64> {
    let new = NewEntry {
        drive: place.drive,
        file_id: place.id,
        parent: place.parent,
        name: place.name,
        folder: source.folder,
        meta: &source.meta,
        tags: &source.tags,
        now: service.clock.now_ms(),
    };
    let seq = entry::insert(c, &new)?;
    if let Some(content) = &source.content {
        entry::require_room(c, place.drive, content.size)?;
        complete::repeat_revision(service, c, content, &entry::by_seq(c, seq)?, place.name)?;
    }
    Ok(seq)
}

/// Copies entries into the copy of their folder; gives each folder among them with its copy. Whoever is gone
/// meanwhile is left out.
pub fn copy_children(
    service: &Service,
    c: &Connection,
    children: &[i64],
    drive: i64,
    to: i64,
) -> ApiResult<Vec<(i64, i64)>> {
    let mut folders = Vec::new();
    for child in children {
        let Ok(child) = entry::by_seq(c, *child) else { continue };
        let place = CopyPlace { drive, parent: to, name: &child.name, id: &service.new_id() };
        let copied = copy_one(service, c, &child, &place)?;
        if child.folder {
            folders.push((child.seq, copied));
        }
    }
    Ok(folders)
}

/// `file/delete`: for good, with everything below.
pub fn delete(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let (drive, id) = (call.drive()?, args.id("file_id")?.to_owned());
    let only_empty = args.flag("check_folder_empty")?;
    let user = call.caller.user_id.clone();
    let work = service.clone();
    let reply = bin::change(call, move |c| {
        let entry = entry::get(c, drive, &id)?;
        not_root(&entry)?;
        if only_empty {
            require_empty(c, &entry)?;
        }
        if task::is_large(&work, c, &entry)? {
            return bin::accepted(&work, c, &user, &entry, &Work::Delete { top: entry.seq });
        }
        entry::erase(c, &entry)?;
        feed::tell_delete(c, &entry)?;
        Ok(Reply::empty())
    })?;
    service.wake_housekeeping();
    Ok(reply)
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
    if keys.len() > MAX_TAGS {
        return Err(ApiError::invalid("key_list", "It has more than 1000 entries."));
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
    let (drive, id) = (call.drive()?, args.id("file_id")?.to_owned());
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
