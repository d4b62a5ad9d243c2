//! Lists: of a folder, of everything below one, by a key of the client's own, of a whole drive
//! (pds-api.md 9.3, 9.5 to 9.7).

use rusqlite::Connection;
use rusqlite::types::Value as SqlValue;
use serde_json::{Value, json};

use super::super::Service;
use super::super::clock::iso;
use super::super::entry::{self, Entry};
use super::super::reply::{ApiResult, Reply};
use super::super::search::{Sql, key_of};
use super::args::CATEGORIES;
use super::call::Call;
use super::page::{Listing, NOT_TRASHED, bad_marker, digest};
use super::read::fields;

/// What `scan` tells without being asked (9.5).
const SCAN_FIELDS: &[&str] = &[
    "file_id",
    "drive_id",
    "parent_file_id",
    "type",
    "created_at",
    "updated_at",
    "file_extension",
    "size",
    "starred",
    "status",
    "category",
];

/// Everything in the folder, and everything below that.
const BELOW: &str = "e.trashed_at IS NULL AND e.parent IN (
    WITH RECURSIVE top (seq) AS (
        SELECT ? UNION SELECT x.seq FROM entry x JOIN top ON x.parent = top.seq
        WHERE x.folder AND x.trashed_at IS NULL)
    SELECT seq FROM top)";

/// `file/list`.
pub fn list(call: &Call) -> ApiResult<Reply> {
    let (drive, parent_id) = (call.drive()?, call.args.id("parent_file_id")?);
    let uploading = call.args.choice("status", &["available", "uploading"])? == "uploading";
    let filter = Filter::parse(call)?;
    call.service.store.read(|c| {
        let parent = entry::live_folder(c, drive, parent_id, "parent_file_id")?;
        if uploading {
            return list_uploads(call, c, &parent, filter.limit);
        }
        let condition = Sql {
            text: "e.parent = ? AND e.trashed_at IS NULL".into(),
            values: vec![SqlValue::Integer(parent.seq)],
        };
        filter.reply(call, c, condition, "list")
    })
}

/// `file/walk`.
pub fn walk(call: &Call) -> ApiResult<Reply> {
    let (drive, parent_id) = (call.drive()?, call.args.id("parent_file_id")?);
    let filter = Filter::parse(call)?;
    let before = call.args.time("before_updated_at")?;
    call.service.store.read(|c| {
        let parent = entry::live_folder(c, drive, parent_id, "parent_file_id")?;
        let mut condition = Sql { text: BELOW.into(), values: vec![SqlValue::Integer(parent.seq)] };
        if let Some(before) = before {
            condition.text.push_str(" AND e.updated_at < ?");
            condition.values.push(SqlValue::Integer(before));
        }
        filter.reply(call, c, condition, "walk")
    })
}

/// `file/list_by_custom_index_key`.
pub fn list_by_custom_index_key(call: &Call) -> ApiResult<Reply> {
    let (drive, key) = (call.drive()?, call.args.required("custom_index_key")?);
    let filter = Filter::parse(call)?;
    call.service.store.read(|c| {
        let column = key_of("custom_index_key").unwrap_or("''");
        let condition = Sql {
            text: format!("+e.drive = ? AND {column} = ? AND {NOT_TRASHED}"),
            values: vec![SqlValue::Integer(drive), SqlValue::Text(key.to_owned()), SqlValue::Integer(drive)],
        };
        filter.reply(call, c, condition, "custom_index_key")
    })
}

/// `file/scan`: the whole drive but its root, in the order of ids, which is the order of the index by ids.
pub fn scan(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let (drive, limit, asked) = (call.drive()?, args.limit(100, 200)?, args.text("fields")?);
    let category = args.choice("category", CATEGORIES)?;
    let asked: Vec<&str> = asked.unwrap_or_default().split(',').map(str::trim).collect();
    let is_all = asked.contains(&"*");
    let fields = fields(args)?;
    let mut condition = Sql {
        text: format!("e.drive = ? AND e.parent != 0 AND {NOT_TRASHED}"),
        values: vec![SqlValue::Integer(drive), SqlValue::Integer(drive)],
    };
    only_category(&mut condition, category);
    let digest = digest(&json!(["scan", drive, category]));
    let mut listing =
        Listing { condition, order: vec![("e.file_id", false)], limit, after: None, lasting: true };
    listing.go_on(args, &digest)?;
    service.store.read(|c| {
        let page = listing.page(c)?;
        let mut items = page.files(call, c, fields)?;
        for item in items.iter_mut().filter_map(Value::as_object_mut).filter(|_| !is_all) {
            item.retain(|key, _| SCAN_FIELDS.contains(&key.as_str()) || is_asked(&asked, key));
        }
        Ok(Reply::ok(json!({"items": items, "next_marker": page.marker(&digest)})))
    })
}

/// Whether a list of fields asks for this one, also by the name of the feature behind it.
fn is_asked(asked: &[&str], key: &str) -> bool {
    let feature = match key {
        "download_url" => "url",
        "image_media_metadata" => "exif",
        "video_media_metadata" => "video_metadata",
        "dir_size_info" => "dir_size",
        _ => key,
    };
    asked.iter().any(|asked| *asked == key || *asked == feature)
}

/// What every list has: filters, an order, a page.
struct Filter {
    limit: u64,
    column: &'static str,
    descending: bool,
    kind: &'static str,
    category: &'static str,
    starred: Option<bool>,
}

impl Filter {
    fn parse(call: &Call) -> ApiResult<Filter> {
        let args = &call.args;
        let order = args.choice("order_by", &["created_at", "updated_at", "size", "name"])?;
        Ok(Filter {
            limit: args.limit(50, 200)?,
            column: key_of(order).unwrap_or("e.created_at"),
            descending: args.choice("order_direction", &["ASC", "DESC"])? == "DESC",
            kind: args.choice("type", &["all", "file", "folder"])?,
            category: args.choice("category", CATEGORIES)?,
            starred: args.value("starred").map(|_| args.flag("starred")).transpose()?,
        })
    }

    fn reply(&self, call: &Call, c: &Connection, mut condition: Sql, what: &str) -> ApiResult<Reply> {
        if self.kind != "all" {
            condition.text.push_str(" AND e.folder = ?");
            condition.values.push(SqlValue::Integer((self.kind == "folder").into()));
        }
        only_category(&mut condition, self.category);
        if let Some(starred) = self.starred {
            condition.text.push_str(&format!(" AND {} = ?", key_of("starred").unwrap_or("0")));
            condition.values.push(SqlValue::Integer(starred.into()));
        }
        let keys: Vec<String> = condition.values.iter().map(|value| format!("{value:?}")).collect();
        let digest = digest(&json!([what, condition.text, keys, self.column, self.descending]));
        let fields = fields(&call.args)?;
        let mut listing = Listing {
            condition,
            order: vec![(self.column, self.descending)],
            limit: self.limit,
            after: None,
            lasting: true,
        };
        listing.go_on(&call.args, &digest)?;
        let page = listing.page(c)?;
        Ok(Reply::ok(json!({
            "items": page.files(call, c, fields)?,
            "next_marker": page.marker(&digest),
            "punished_file_count": 0,
        })))
    }
}

fn only_category(condition: &mut Sql, category: &str) {
    if !category.is_empty() {
        condition.text.push_str(&format!(" AND {} = ?", key_of("category").unwrap_or("''")));
        condition.values.push(SqlValue::Text(category.to_owned()));
    }
}

/// The uploads that are not complete, as a list with `status: uploading` shows them, oldest first.
fn list_uploads(call: &Call, c: &Connection, parent: &Entry, limit: u64) -> ApiResult<Reply> {
    let service: &Service = &call.service;
    let (at, id) = match call.args.text("marker")?.filter(|marker| !marker.is_empty()) {
        None => (service.oldest_upload_ms(), String::new()),
        Some(marker) => {
            let (at, id) = marker.split_once('.').ok_or_else(bad_marker)?;
            (at.parse().map_err(|_| bad_marker())?, id.to_owned())
        }
    };
    let sql = "SELECT file_id, name, id, created_at, size, content_type FROM upload
        WHERE parent = ?1 AND created_at > ?2 AND (created_at, id) > (?3, ?4) ORDER BY created_at, id LIMIT ?5";
    let mut statement = c.prepare_cached(sql)?;
    let oldest = service.oldest_upload_ms();
    let values = rusqlite::params![parent.seq, oldest, at, id, (limit + 1).cast_signed()];
    let rows = statement.query_map(values, |row| {
        let (file_id, name, upload): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (created_at, size): (i64, Option<i64>) = (row.get(3)?, row.get(4)?);
        let content_type: String = row.get(5)?;
        let file = json!({"domain_id": service.domain_id(), "drive_id": parent.drive.to_string(),
            "file_id": file_id, "parent_file_id": parent.file_id, "name": name, "type": "file",
            "status": "uploading", "upload_id": upload, "size": size.unwrap_or(0),
            "content_type": content_type, "hidden": false, "starred": false,
            "created_at": iso(created_at), "updated_at": iso(created_at)});
        Ok((file, format!("{created_at}.{upload}")))
    })?;
    let mut items: Vec<(Value, String)> = rows.collect::<rusqlite::Result<_>>()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map_or(String::new(), |(_, marker)| marker.clone());
    let items: Vec<Value> = items.into_iter().map(|(file, _)| file).collect();
    Ok(Reply::ok(json!({"items": items, "next_marker": next})))
}

/// `file/pre_create_check` (9.8): 200 also when the name is taken.
pub fn pre_create_check(call: &Call) -> ApiResult<Reply> {
    let args = &call.args;
    let (drive, parent_id) = (call.drive()?, args.id("parent_file_id")?);
    let name = args.name("name")?;
    args.required("type")?;
    args.choice("type", &["file", "folder"])?;
    call.service.store.read(|c| {
        let parent = entry::live_folder(c, drive, parent_id, "parent_file_id")?;
        let found = entry::child(c, parent.seq, name)?;
        Ok(Reply::ok(match found {
            None => json!({"result_code": "success"}),
            Some(entry) => json!({
                "result_code": "NameCheckFailed.ExistSameNameFile",
                "name_check_result": {
                    "exist_file_id": entry.file_id,
                    "exist_file_type": if entry.folder { "folder" } else { "file" },
                },
            }),
        }))
    })
}
