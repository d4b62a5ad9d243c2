//! `file/search` and `recyclebin/search_all` (pds-api.md 9.4, 10.5).
//!
//! A marker stands for the whole search: with it the query of the request is ignored, as documented.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::types::Value as SqlValue;
use serde_json::{Value, json};

use super::super::entry::LIMBO;
use super::super::reply::{ApiError, ApiResult, Reply};
use super::super::search::{self, ORDER_FIELDS, Sql, key_of};
use super::call::Call;
use super::page::{Listing, NOT_TRASHED, bad_marker, keys_from_json, keys_to_json};
use super::read::fields;

/// Characters of a query, and of an order (4.5).
const MAX_QUERY_CHARS: usize = 4096;
const MAX_ORDER_CHARS: usize = 128;
/// Drives of one search.
const MAX_DRIVES: usize = 100;

/// Where to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Drive,
    Bin,
}

/// `file/search`: never sees the recycle bin.
pub fn search(call: &Call) -> ApiResult<Reply> {
    let drives = drives(call)?;
    let asked = match read_marker(call, Place::Drive, &drives)? {
        Some(asked) => asked,
        None => {
            call.args.required("query")?;
            Asked::parse(call)?
        }
    };
    asked.reply(call, Place::Drive, &drives)
}

/// `recyclebin/search_all`: the bins of all drives of the caller; an empty query finds everything.
pub fn search_bins(call: &Call) -> ApiResult<Reply> {
    let drives = call.own_drives()?;
    let asked = match read_marker(call, Place::Bin, &drives)? {
        Some(asked) => asked,
        None => Asked::parse(call)?,
    };
    asked.reply(call, Place::Bin, &drives)
}

/// `drive_id`, or the `drive_id_list` of the guide.
fn drives(call: &Call) -> ApiResult<Vec<i64>> {
    let list = call.args.array("drive_id_list")?;
    if list.is_empty() || call.args.value("drive_id").is_some() {
        return Ok(vec![call.drive()?]);
    }
    if list.len() > MAX_DRIVES {
        return Err(ApiError::invalid("drive_id_list", "It has more than 100 entries."));
    }
    let mut drives: Vec<i64> =
        list.iter().map(|id| call.drive_in("drive_id_list", id)).collect::<ApiResult<_>>()?;
    drives.sort_unstable();
    drives.dedup();
    Ok(drives)
}

/// What was asked for, in the client's words.
struct Asked {
    query: String,
    order_by: String,
    recursive: bool,
    after: Option<Vec<SqlValue>>,
}

impl Asked {
    fn parse(call: &Call) -> ApiResult<Asked> {
        let args = &call.args;
        let query = args.text("query")?.unwrap_or_default();
        if query.chars().count() > MAX_QUERY_CHARS {
            return Err(ApiError::invalid("query", "It has more than 4096 characters."));
        }
        let order_by = args.text("order_by")?.unwrap_or_default();
        if order_by.chars().count() > MAX_ORDER_CHARS {
            return Err(ApiError::invalid("order_by", "It has more than 128 characters."));
        }
        let recursive = args.flag("recursive")?;
        Ok(Asked { query: query.to_owned(), order_by: order_by.to_owned(), recursive, after: None })
    }

    fn reply(self, call: &Call, place: Place, drives: &[i64]) -> ApiResult<Reply> {
        let Call { service, args, .. } = call;
        let fields = fields(args)?;
        let listing = Listing {
            condition: self.condition(place, drives)?,
            order: order(&self.order_by)?,
            limit: args.limit(50, 100)?,
            after: self.after,
            lasting: false,
        };
        if listing.after.as_ref().is_some_and(|after| after.len() != listing.order.len() + 1) {
            return Err(bad_marker());
        }
        let count = args.flag("return_total_count")?;
        service.store.read(|c| {
            let page = listing.page(c)?;
            let marker = page.next.as_ref().map_or(String::new(), |keys| {
                let parts = json!([
                    place == Place::Bin,
                    drives,
                    self.query,
                    self.order_by,
                    self.recursive,
                    keys_to_json(keys)
                ]);
                URL_SAFE_NO_PAD.encode(parts.to_string())
            });
            let mut body = json!({"items": page.files(call, c, fields)?, "next_marker": marker});
            if count {
                body["total_count"] = listing.count(c)?.into();
            }
            Ok(Reply::ok(body))
        })
    }

    fn condition(&self, place: Place, drives: &[i64]) -> ApiResult<Sql> {
        let place_sql = match place {
            Place::Drive => format!("e.parent != 0 AND {NOT_TRASHED}"),
            Place::Bin => format!("e.trashed_at IS NOT NULL AND e.parent != {LIMBO}"),
        };
        let mut condition = Sql::default();
        for (at, drive) in drives.iter().enumerate() {
            condition.text.push_str(if at == 0 { "(" } else { " OR " });
            // The plus keeps SQLite from walking the index by ids, which visits the rows in another order.
            condition.text.push_str(&format!("(+e.drive = ? AND {place_sql})"));
            condition.values.push(SqlValue::Integer(*drive));
            if place == Place::Drive {
                condition.values.push(SqlValue::Integer(*drive));
            }
        }
        condition.text.push_str(if drives.is_empty() { "0" } else { ")" });
        if !self.query.trim().is_empty() || place == Place::Drive {
            let expr = search::parse(&self.query).map_err(|error| {
                let why = format!("Column {}: {}.", error.column, error.message);
                ApiError::invalid("query", &why)
            })?;
            let query = search::compile(&expr, self.recursive, drives);
            condition.text.push_str(&format!(" AND ({})", query.text));
            condition.values.extend(query.values);
        }
        Ok(condition)
    }
}

/// `field ASC|DESC, …`; `created_at` by default.
fn order(text: &str) -> ApiResult<Vec<(&'static str, bool)>> {
    if text.trim().is_empty() {
        return Ok(vec![("e.created_at", false)]);
    }
    let wrong = |why: String| ApiError::invalid("order_by", &why);
    let mut order: Vec<(&'static str, bool)> = Vec::new();
    for part in text.split(',') {
        let mut words = part.split_whitespace();
        let field = words.next().unwrap_or_default();
        let known = ORDER_FIELDS.iter().find(|known| **known == field).and_then(|known| key_of(known));
        let key = known.ok_or_else(|| {
            wrong(format!("There is no order by {field:?}, but by {}.", ORDER_FIELDS.join(", ")))
        })?;
        let down = match words.next().map(str::to_ascii_uppercase).as_deref() {
            None | Some("ASC") => false,
            Some("DESC") => true,
            Some(_) => return Err(wrong(format!("After {field} comes ASC or DESC."))),
        };
        if let Some(extra) = words.next() {
            return Err(wrong(format!("{extra:?} does not belong there.")));
        }
        if !order.iter().any(|(other, _)| *other == key) {
            order.push((key, down));
        }
    }
    Ok(order)
}

/// The search a marker stands for.
fn read_marker(call: &Call, place: Place, drives: &[i64]) -> ApiResult<Option<Asked>> {
    let Some(marker) = call.args.text("marker")?.filter(|marker| !marker.is_empty()) else { return Ok(None) };
    let read = || -> Option<Asked> {
        let text = URL_SAFE_NO_PAD.decode(marker).ok()?;
        let value: Value = serde_json::from_slice(&text).ok()?;
        let of_this = value[0] == (place == Place::Bin) && value[1] == json!(drives);
        of_this.then_some(())?;
        Some(Asked {
            query: value[2].as_str()?.to_owned(),
            order_by: value[3].as_str()?.to_owned(),
            recursive: value[4].as_bool()?,
            after: Some(keys_from_json(&value[5])?),
        })
    };
    let asked = read().filter(|asked| {
        asked.query.chars().count() <= MAX_QUERY_CHARS && asked.order_by.chars().count() <= MAX_ORDER_CHARS
    });
    asked.map(Some).ok_or_else(bad_marker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_have_fields_and_directions() {
        assert_eq!(order("").unwrap(), [("e.created_at", false)]);
        let two = order(" name DESC,size  asc, name").unwrap();
        assert_eq!(two, [("e.name", true), ("e.size", false)]);
        for wrong in ["color", "name UP", "name ASC DESC", "name,", ",", "parent_file_id"] {
            assert_eq!(order(wrong).unwrap_err().code, "InvalidParameter.OrderBy", "{wrong}");
        }
    }
}
