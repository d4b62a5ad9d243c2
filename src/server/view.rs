//! Entries as File objects (pds-api.md section 16): which fields appear when, and how each is spelled.

use rusqlite::Connection;
use serde_json::{Map, Value, json};

use super::Service;
use super::clock::iso;
use super::entry::{Content, Entry, is_trashed};
use super::hash::upper_hex;
use super::reply::{ApiError, ApiResult};

/// The `fields` a request asks for (9.1, 9.3), and what its endpoint adds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fields {
    /// `image_media_metadata`.
    pub exif: bool,
    /// `video_media_metadata`.
    pub video: bool,
    /// `url` and `download_url`.
    pub url: bool,
    /// `user_tags`.
    pub tags: bool,
    /// Who made it and who changed it.
    pub people: bool,
    /// `dir_size_info` and the recursive size.
    pub dir_size: bool,
    /// `id_path`.
    pub id_path: bool,
    /// `name_path`.
    pub name_path: bool,
    /// What appears on complete and get only: `revision_version`, `upload_id`, `trashed`.
    pub single: bool,
    /// Life of the URLs in seconds; 0 for the server's default.
    pub url_secs: u64,
}

impl Fields {
    /// Understands `*` and comma lists; names nobody knows are ignored.
    pub fn parse(text: &str) -> Self {
        let mut fields = Fields::default();
        for name in text.split(',').map(str::trim) {
            match name {
                "*" => {
                    fields =
                        Fields { exif: true, video: true, url: true, tags: true, people: true, ..fields };
                }
                "exif" | "image_media_metadata" => fields.exif = true,
                "video_metadata" | "video_media_metadata" => fields.video = true,
                "url" | "download_url" => fields.url = true,
                "user_tags" => fields.tags = true,
                "dir_size" => fields.dir_size = true,
                "id_path" => fields.id_path = true,
                "name_path" => fields.name_path = true,
                _ => {}
            }
        }
        fields
    }

    /// What get, get_by_path and update answer beyond the fields asked for.
    #[must_use]
    pub fn of_one(self) -> Self {
        Fields { tags: true, single: true, ..self }
    }

    /// What `complete` answers: everything about the content.
    pub fn of_complete() -> Self {
        Fields { exif: true, video: true, url: true, people: true, ..Fields::default() }.of_one()
    }

    /// What a feed item keeps.
    pub fn of_feed() -> Self {
        Fields { exif: true, video: true, tags: true, ..Fields::default() }
    }
}

/// The File object of an entry.
pub fn file(service: &Service, c: &Connection, entry: &Entry, fields: Fields) -> ApiResult<Value> {
    let mut file = entry.meta.clone();
    let mut set = |key: &str, value: Value| {
        file.insert(key.to_owned(), value);
    };
    set("domain_id", service.domain_id().into());
    set("drive_id", entry.drive.to_string().into());
    set("file_id", entry.file_id.clone().into());
    set("parent_file_id", entry.parent_file_id.clone().into());
    set("name", entry.name.clone().into());
    set("type", if entry.folder { "folder" } else { "file" }.into());
    set("status", "available".into());
    set("created_at", iso(entry.created_at).into());
    set("updated_at", iso(entry.updated_at).into());
    set("encrypt_mode", "none".into());
    for flag in ["hidden", "starred"] {
        if !entry.meta.contains_key(flag) {
            set(flag, false.into());
        }
    }
    if fields.people {
        let owner = service.drives.owner(entry.drive);
        for key in ["creator", "last_modifier"] {
            set(&format!("{key}_type"), "User".into());
            set(&format!("{key}_id"), owner.clone().into());
            set(&format!("{key}_name"), owner.clone().into());
        }
    }
    if fields.tags && !entry.tags.is_empty() {
        set("user_tags", Value::Object(entry.tags.clone()));
    }
    match &entry.content {
        Some(content) => describe_content(service, &mut file, entry, content, fields)?,
        None => {
            file.insert("revision_id".into(), "".into());
        }
    }
    describe_place(service, c, &mut file, entry, fields)?;
    Ok(Value::Object(file))
}

fn describe_content(
    service: &Service,
    file: &mut Map<String, Value>,
    entry: &Entry,
    content: &Content,
    fields: Fields,
) -> ApiResult<()> {
    let mut set = |key: &str, value: Value| {
        // What an administrator has set on the file stays.
        file.entry(key.to_owned()).or_insert(value);
    };
    set("file_extension", entry.extension().to_lowercase().into());
    set("mime_type", content.mime_type.clone().into());
    set("mime_extension", content.mime_extension.clone().into());
    set("content_type", content.content_type.clone().into());
    set("category", content.category.clone().into());
    set("size", content.size.into());
    set("crc64_hash", content.crc64.to_string().into());
    set("content_hash", upper_hex(&content.sha1).into());
    set("content_hash_name", "sha1".into());
    set("revision_id", content.revision_id.clone().into());
    set("punish_flag", 0.into());
    if fields.single {
        set("revision_version", content.version.into());
        set("upload_id", content.upload_id.clone().into());
    }
    if fields.url {
        let url = service.download_url(content, &entry.name, fields.url_secs);
        set("url", url.clone().into());
        set("download_url", url.into());
    }
    for (wanted, key, json) in [
        (fields.exif, "image_media_metadata", &content.image_json),
        (fields.video, "video_media_metadata", &content.video_json),
    ] {
        let by_hand = file.remove(key);
        if !wanted {
            continue;
        }
        let derived = json.as_deref().map(serde_json::from_str).transpose();
        let derived = derived.map_err(|e| ApiError::internal("read stored metadata", e))?;
        if let Some(value) = merged(derived, by_hand) {
            file.insert(key.to_owned(), value);
        }
    }
    Ok(())
}

/// What was derived from the bytes, with what an administrator has set over it.
fn merged(derived: Option<Value>, by_hand: Option<Value>) -> Option<Value> {
    match (derived, by_hand) {
        (Some(Value::Object(mut derived)), Some(Value::Object(by_hand))) => {
            derived.extend(by_hand);
            Some(Value::Object(derived))
        }
        (derived, by_hand) => by_hand.or(derived),
    }
}

fn describe_place(
    service: &Service,
    c: &Connection,
    file: &mut Map<String, Value>,
    entry: &Entry,
    fields: Fields,
) -> ApiResult<()> {
    if let Some(trashed_at) = entry.trashed_at {
        let kept_ms = i64::try_from(service.options.recycle_secs).unwrap_or(i64::MAX).saturating_mul(1000);
        let left_ms = trashed_at.saturating_add(kept_ms) - service.clock.now_ms();
        file.insert("trashed_at".into(), iso(trashed_at).into());
        file.insert("auto_delete_left_sec".into(), (left_ms / 1000).max(0).into());
        file.insert("origin_parent_file_id".into(), entry.parent_file_id.clone().into());
        file.insert("trashed".into(), true.into());
    } else if fields.single {
        file.insert("trashed".into(), is_trashed(c, entry.seq)?.into());
    }
    if fields.dir_size && entry.folder {
        let (folders, files, size) = totals(c, entry.seq)?;
        file.insert("dir_size_info".into(), json!({"dir_count": folders, "file_count": files}));
        file.insert("size".into(), size.into());
    }
    if fields.id_path || fields.name_path {
        let (ids, names) = paths(c, entry.seq)?;
        if fields.id_path {
            file.insert("id_path".into(), ids.into());
        }
        if fields.name_path {
            file.insert("name_path".into(), names.into());
        }
    }
    Ok(())
}

/// Folders, files and bytes below a folder, without what is trashed.
fn totals(c: &Connection, folder: i64) -> ApiResult<(i64, i64, i64)> {
    let sql = "WITH RECURSIVE down (seq, folder, size) AS (
            SELECT seq, folder, size FROM entry WHERE parent = ?1 AND trashed_at IS NULL
            UNION ALL SELECT e.seq, e.folder, e.size FROM entry e JOIN down ON e.parent = down.seq
            WHERE e.trashed_at IS NULL)
        SELECT coalesce(sum(folder), 0), coalesce(sum(1 - folder), 0), coalesce(sum(size), 0) FROM down";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    Ok(c.prepare_cached(sql)?.query_row([folder], row)?)
}

/// `root/id/id` and `/name/name`.
fn paths(c: &Connection, seq: i64) -> ApiResult<(String, String)> {
    let sql = "WITH RECURSIVE up (seq, parent, file_id, name, depth) AS (
            SELECT seq, parent, file_id, name, 0 FROM entry WHERE seq = ?1
            UNION ALL SELECT e.seq, e.parent, e.file_id, e.name, depth + 1 FROM entry e JOIN up ON e.seq = up.parent)
        SELECT file_id, name FROM up ORDER BY depth DESC";
    let mut statement = c.prepare_cached(sql)?;
    let steps: Vec<(String, String)> =
        statement.query_map([seq], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    let ids: Vec<&str> = steps.iter().map(|(id, _)| id.as_str()).collect();
    let names: String = steps.iter().skip(1).map(|(_, name)| format!("/{name}")).collect();
    Ok((ids.join("/"), if names.is_empty() { "/".to_owned() } else { names }))
}
