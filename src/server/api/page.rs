//! Pages of entries, the same way for every endpoint that lists some.
//!
//! A page is found by the keys of the entry before it, never by counting, so that page 1000 costs what page 1
//! does, and an entry that stays where it is in the order is listed exactly once whatever happens to others.
//! A marker holds those keys and a digest of the query; with another query it is refused (19.3 rule 12).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, Row};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::entry::{ENTRY_COLUMNS, ENTRY_TABLES, Entry};
use super::super::reply::{ApiError, ApiResult};
use super::super::search::Sql;
use super::super::view::Fields;
use super::args::Args;
use super::call::Call;
use super::read;

/// Number of columns in [`ENTRY_COLUMNS`]; the keys come after them.
const KEYS_AT: usize = 31;

/// An entry, and where it is in the order.
type Keys = Vec<SqlValue>;

/// What to list.
pub struct Listing {
    /// Which entries, over [`ENTRY_TABLES`].
    pub condition: Sql,
    /// SQL that is never NULL, and whether downwards. The row number comes last by itself.
    pub order: Vec<(&'static str, bool)>,
    /// Entries of a page.
    pub limit: u64,
    /// The keys of the last entry of the page before.
    pub after: Option<Keys>,
    /// Whether the SQL is worth keeping: not if a client made it up.
    pub lasting: bool,
}

/// A page.
pub struct Page {
    /// Its entries.
    pub entries: Vec<Entry>,
    /// The keys of the last one, if more follow.
    pub next: Option<Keys>,
}

impl Page {
    /// The entries as File objects.
    pub fn files(&self, call: &Call, c: &Connection, fields: Fields) -> ApiResult<Vec<Value>> {
        read::files(call, c, &self.entries, fields)
    }

    /// The marker of the next page; empty after the last.
    pub fn marker(&self, digest: &str) -> String {
        self.next.as_ref().map_or(String::new(), |keys| {
            URL_SAFE_NO_PAD.encode(json!([digest, keys_to_json(keys)]).to_string())
        })
    }
}

impl Listing {
    /// Fetches the page.
    pub fn page(&self, c: &Connection) -> ApiResult<Page> {
        let mut sql = format!("SELECT {ENTRY_COLUMNS}");
        let order = self.whole_order();
        for (key, _) in &order {
            sql.push_str(&format!(", {key}"));
        }
        sql.push_str(&format!(" FROM {ENTRY_TABLES} WHERE {}", self.condition.text));
        let mut values = self.condition.values.clone();
        if let Some(after) = &self.after {
            sql.push_str(" AND ");
            after_keys(&order, after, &mut sql, &mut values);
        }
        let order: Vec<String> =
            order.iter().map(|(key, down)| format!("{key} {}", if *down { "DESC" } else { "ASC" })).collect();
        sql.push_str(&format!(" ORDER BY {} LIMIT ?", order.join(", ")));
        values.push(SqlValue::Integer((self.limit + 1).cast_signed()));
        let read = |row: &Row<'_>| {
            let keys =
                (0..order.len()).map(|at| row.get(KEYS_AT + at)).collect::<rusqlite::Result<Keys>>()?;
            Ok((Entry::from_row(row)?, keys))
        };
        let values = rusqlite::params_from_iter(values);
        let rows: rusqlite::Result<Vec<(Entry, Keys)>> = if self.lasting {
            c.prepare_cached(&sql)?.query_map(values, read)?.collect()
        } else {
            c.prepare(&sql)?.query_map(values, read)?.collect()
        };
        let (mut entries, mut keys): (Vec<Entry>, Vec<Keys>) = rows?.into_iter().unzip();
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = entries.len() > limit;
        entries.truncate(limit);
        keys.truncate(limit);
        Ok(Page { entries, next: keys.pop().filter(|_| more) })
    }

    /// How many there are in all pages.
    pub fn count(&self, c: &Connection) -> ApiResult<i64> {
        let sql = format!("SELECT count(*) FROM {ENTRY_TABLES} WHERE {}", self.condition.text);
        let values = rusqlite::params_from_iter(self.condition.values.iter());
        Ok(c.prepare(&sql)?.query_row(values, |row| row.get(0))?)
    }

    fn whole_order(&self) -> Vec<(&'static str, bool)> {
        let last = self.order.last().is_some_and(|(_, down)| *down);
        self.order.iter().copied().chain([("e.seq", last)]).collect()
    }

    /// Whether these can be keys of this order.
    fn fits(&self, keys: &Keys) -> bool {
        keys.len() == self.order.len() + 1
    }

    /// Takes the `marker` of the arguments, which must be one of [`Page::marker`] with this digest.
    pub fn go_on(&mut self, args: &Args, digest: &str) -> ApiResult<()> {
        let Some(marker) = args.text("marker")?.filter(|marker| !marker.is_empty()) else { return Ok(()) };
        let keys = read_marker(marker, digest).filter(|keys| self.fits(keys));
        self.after = Some(keys.ok_or_else(bad_marker)?);
        Ok(())
    }
}

/// 400 for a marker we did not give.
pub fn bad_marker() -> ApiError {
    ApiError::invalid("marker", "It is not of this query.")
}

/// A short text that is the same for the same query.
pub fn digest(query: &Value) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(query.to_string())[..9])
}

fn read_marker(marker: &str, digest: &str) -> Option<Keys> {
    let text = URL_SAFE_NO_PAD.decode(marker).ok()?;
    let value: Value = serde_json::from_slice(&text).ok()?;
    if value[0].as_str()? != digest {
        return None;
    }
    keys_from_json(&value[1])
}

/// "Comes after these keys" in this order.
fn after_keys(
    order: &[(&'static str, bool)],
    after: &[SqlValue],
    sql: &mut String,
    values: &mut Vec<SqlValue>,
) {
    let sign = |down: bool| if down { "<" } else { ">" };
    let down = order.first().is_some_and(|(_, down)| *down);
    if order.iter().all(|(_, other)| *other == down) {
        // One comparison, which an index can answer.
        let keys: Vec<&str> = order.iter().map(|(key, _)| *key).collect();
        let places = vec!["?"; keys.len()].join(", ");
        sql.push_str(&format!("({}) {} ({places})", keys.join(", "), sign(down)));
        values.extend(after.iter().cloned());
        return;
    }
    sql.push('(');
    for (at, (key, down)) in order.iter().enumerate() {
        let equal: String = order[..at].iter().map(|(key, _)| format!("{key} = ? AND ")).collect();
        let or = if at == 0 { "" } else { " OR " };
        sql.push_str(&format!("{or}({equal}{key} {} ?)", sign(*down)));
        values.extend(after[..=at].iter().cloned());
    }
    sql.push(')');
}

/// Keys as JSON; a real number as its bits, so that it comes back the same.
pub fn keys_to_json(keys: &[SqlValue]) -> Value {
    keys.iter()
        .map(|key| match key {
            SqlValue::Integer(number) => json!(number),
            SqlValue::Text(text) => json!(text),
            SqlValue::Real(number) => json!({"bits": number.to_bits()}),
            SqlValue::Null | SqlValue::Blob(_) => Value::Null,
        })
        .collect()
}

/// The reverse of [`keys_to_json`].
pub fn keys_from_json(value: &Value) -> Option<Keys> {
    let one = |value: &Value| match value {
        Value::Number(number) => number.as_i64().map(SqlValue::Integer),
        Value::String(text) => Some(SqlValue::Text(text.clone())),
        Value::Object(real) => real.get("bits")?.as_u64().map(f64::from_bits).map(SqlValue::Real),
        _ => None,
    };
    value.as_array()?.iter().map(one).collect()
}

/// Neither in the recycle bin nor below something that is. One `?`: the drive.
pub const NOT_TRASHED: &str = "e.trashed_at IS NULL AND e.seq NOT IN (
    WITH RECURSIVE hidden (seq) AS (
        SELECT seq FROM entry WHERE drive = ? AND trashed_at IS NOT NULL
        UNION SELECT x.seq FROM entry x JOIN hidden h ON x.parent = h.seq)
    SELECT seq FROM hidden)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_a_marker() {
        let keys = vec![SqlValue::Text("é".into()), SqlValue::Real(0.1 + 0.2), SqlValue::Integer(-7)];
        let page = Page { entries: Vec::new(), next: Some(keys.clone()) };
        let marker = page.marker("digest");
        assert_eq!(read_marker(&marker, "digest"), Some(keys));
        assert_eq!(read_marker(&marker, "other"), None);
        assert_eq!(read_marker("x", "digest"), None);
    }

    #[test]
    fn orders_that_differ_are_compared_key_by_key() {
        let (mut sql, mut values) = (String::new(), Vec::new());
        let after = [SqlValue::Integer(1), SqlValue::Integer(2)];
        after_keys(&[("a", true), ("b", false)], &after, &mut sql, &mut values);
        assert_eq!(sql, "((a < ?) OR (a = ? AND b > ?))");
        assert_eq!(values, [1, 1, 2].map(SqlValue::Integer));
    }
}
