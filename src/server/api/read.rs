//! Reading metadata: get, get_by_path, list (pds-api.md 9.1 to 9.3).
//!
//! A page is found by the key of the entry before it, never by counting, so that page 1000 costs what page 1
//! does. The marker holds that key and a digest of the query; with another query it is refused.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::Connection;
use rusqlite::types::Value as SqlValue;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::Service;
use super::super::clock::iso;
use super::super::entry::{self, ENTRY_COLUMNS, ENTRY_TABLES, Entry};
use super::super::reply::{ApiError, ApiResult, Reply};
use super::super::view::{self, Fields};
use super::args::Args;
use super::call::Call;

/// Categories a list may be filtered by (4.6).
const CATEGORIES: &[&str] = &["", "image", "video", "audio", "doc", "zip", "app", "others"];

/// The fields a request asks for, and the life of the URLs among them.
pub fn fields(args: &Args) -> ApiResult<Fields> {
    let url_secs = match args.number("url_expire_sec")? {
        None | Some(0) => 0,
        Some(secs) if (10..=14_400).contains(&secs) => secs,
        Some(_) => return Err(ApiError::invalid("url_expire_sec", "It is 10 to 14400.")),
    };
    Ok(Fields { url_secs, ..Fields::parse(args.text("fields")?.unwrap_or_default()) })
}

/// `file/get`. A trashed file is described, with `trashed`.
pub fn get(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let (drive, id, fields) = (call.drive()?, args.required("file_id")?, fields(args)?.of_one());
    service.store.read(|c| {
        let entry = entry::get(c, drive, id)?;
        Ok(Reply::ok(view::file(service, c, &entry, fields)?))
    })
}

/// `file/get_by_path`.
pub fn get_by_path(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let (drive, path, fields) = (call.drive()?, args.required("file_path")?, fields(args)?.of_one());
    let names =
        path.strip_prefix('/').ok_or_else(|| ApiError::invalid("file_path", "It starts with a slash."))?;
    service.store.read(|c| {
        let mut entry = entry::get(c, drive, "root")?;
        for name in names.split('/').filter(|_| !names.is_empty()) {
            let child = entry::child(c, entry.seq, name)?;
            entry = child.ok_or_else(|| ApiError::not_found("File"))?;
        }
        Ok(Reply::ok(view::file(service, c, &entry, fields)?))
    })
}

/// `file/list`.
pub fn list(call: &Call) -> ApiResult<Reply> {
    let Call { service, args: _, .. } = call;
    let query = Query::parse(call)?;
    service.store.read(|c| {
        let parent = entry::live_folder(c, query.drive, &query.parent_id, "parent_file_id")?;
        if query.uploading {
            return uploading(service, c, &parent);
        }
        let (entries, next_marker) = query.page(c, parent.seq)?;
        let items: Vec<Value> = entries
            .iter()
            .map(|entry| view::file(service, c, entry, query.fields))
            .collect::<ApiResult<_>>()?;
        Ok(Reply::ok(json!({"items": items, "next_marker": next_marker, "punished_file_count": 0})))
    })
}

/// What a list was asked for.
struct Query {
    drive: i64,
    parent_id: String,
    limit: u64,
    column: &'static str,
    descending: bool,
    folder: Option<bool>,
    category: &'static str,
    starred: bool,
    uploading: bool,
    fields: Fields,
    digest: String,
    after: Option<(SqlValue, i64)>,
}

impl Query {
    fn parse(call: &Call) -> ApiResult<Query> {
        let args = &call.args;
        let column = args.choice("order_by", &["created_at", "updated_at", "size", "name"])?;
        let folder = match args.choice("type", &["all", "file", "folder"])? {
            "file" => Some(false),
            "folder" => Some(true),
            _ => None,
        };
        let mut query = Query {
            drive: call.drive()?,
            parent_id: args.required("parent_file_id")?.to_owned(),
            limit: args.limit(50, 200)?,
            column,
            descending: args.choice("order_direction", &["ASC", "DESC"])? == "DESC",
            folder,
            category: args.choice("category", CATEGORIES)?,
            starred: args.flag("starred")?,
            uploading: args.choice("status", &["available", "uploading"])? == "uploading",
            fields: fields(args)?,
            digest: String::new(),
            after: None,
        };
        let text = json!([
            query.drive,
            query.parent_id,
            query.column,
            query.descending,
            query.folder,
            query.category,
            query.starred
        ]);
        query.digest = URL_SAFE_NO_PAD.encode(&Sha256::digest(text.to_string())[..9]);
        if let Some(marker) = args.text("marker")?.filter(|marker| !marker.is_empty()) {
            let after = query.read_marker(marker);
            query.after = Some(after.ok_or_else(|| ApiError::invalid("marker", "It is not of this query."))?);
        }
        Ok(query)
    }

    fn marker(&self, last: &Entry) -> String {
        let key = match self.column {
            "name" => json!(last.name),
            "size" => json!(last.content.as_ref().map_or(0, |content| content.size)),
            "updated_at" => json!(last.updated_at),
            _ => json!(last.created_at),
        };
        URL_SAFE_NO_PAD.encode(json!([self.digest, key, last.seq]).to_string())
    }

    fn read_marker(&self, marker: &str) -> Option<(SqlValue, i64)> {
        let text = URL_SAFE_NO_PAD.decode(marker).ok()?;
        let value: Value = serde_json::from_slice(&text).ok()?;
        if value[0].as_str()? != self.digest {
            return None;
        }
        let key = match &value[1] {
            Value::String(name) if self.column == "name" => SqlValue::Text(name.clone()),
            key if self.column != "name" => SqlValue::Integer(key.as_i64()?),
            _ => return None,
        };
        Some((key, value[2].as_i64()?))
    }

    fn page(&self, c: &Connection, parent: i64) -> ApiResult<(Vec<Entry>, String)> {
        let (compare, direction) = if self.descending { ("<", "DESC") } else { (">", "ASC") };
        let column = self.column;
        let mut sql =
            format!("SELECT {ENTRY_COLUMNS} FROM {ENTRY_TABLES} WHERE e.parent = ? AND e.trashed_at IS NULL");
        let mut values = vec![SqlValue::Integer(parent)];
        if let Some((key, seq)) = &self.after {
            sql.push_str(&format!(" AND (e.{column}, e.seq) {compare} (?, ?)"));
            values.extend([key.clone(), SqlValue::Integer(*seq)]);
        }
        if let Some(folder) = self.folder {
            sql.push_str(" AND e.folder = ?");
            values.push(SqlValue::Integer(folder.into()));
        }
        if !self.category.is_empty() {
            sql.push_str(" AND r.category = ?");
            values.push(SqlValue::Text(self.category.to_owned()));
        }
        if self.starred {
            sql.push_str(" AND json_extract(e.meta_json, '$.starred')");
        }
        sql.push_str(&format!(" ORDER BY e.{column} {direction}, e.seq {direction} LIMIT ?"));
        values.push(SqlValue::Integer((self.limit + 1).cast_signed()));
        let mut statement = c.prepare_cached(&sql)?;
        let rows = statement.query_map(rusqlite::params_from_iter(values), Entry::from_row)?;
        let mut entries: Vec<Entry> = rows.collect::<rusqlite::Result<_>>()?;
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = entries.len() > limit;
        entries.truncate(limit);
        let marker = entries.last().filter(|_| more).map_or(String::new(), |last| self.marker(last));
        Ok((entries, marker))
    }
}

/// The uploads that are not complete, as a list with `status: uploading` shows them. One page of 200.
fn uploading(service: &Service, c: &Connection, parent: &Entry) -> ApiResult<Reply> {
    let sql = "SELECT file_id, name, id, created_at FROM upload WHERE parent = ?1 AND created_at > ?2
        ORDER BY created_at LIMIT 200";
    let mut statement = c.prepare_cached(sql)?;
    let items = statement.query_map([parent.seq, service.oldest_upload_ms()], |row| {
        let (file_id, name, upload): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let created_at = iso(row.get(3)?);
        Ok(json!({"domain_id": service.domain_id(), "drive_id": parent.drive.to_string(), "file_id": file_id,
            "parent_file_id": parent.file_id, "name": name, "type": "file", "status": "uploading",
            "upload_id": upload, "created_at": created_at, "updated_at": created_at}))
    })?;
    let items: Vec<Value> = items.collect::<rusqlite::Result<_>>()?;
    Ok(Reply::ok(json!({"items": items, "next_marker": ""})))
}
