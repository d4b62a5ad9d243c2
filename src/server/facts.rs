//! What is found out about images, videos and music after they are there (pds-api.md 17.1, 17.2).
//!
//! `complete` stores the type of a content and does not look further; its revision is marked as due. A worker
//! reads what is due, a few at a time, and stores what it finds; an `update` in the feed says so. The mark is in
//! the store, so nothing is forgotten when the server ends in between.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rusqlite::{Connection, params};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::Service;
use super::entry;
use super::feed::{self, Op};
use super::media;
use super::reply::ApiResult;

/// Contents looked at between two looks into the store; they are written in one transaction.
const BATCH: i64 = 32;

/// A content that is due.
struct Due {
    revision: i64,
    name: String,
    content_type: String,
    file: String,
    size: u64,
}

/// What was found in it.
struct Found {
    revision: i64,
    image: Option<Value>,
    video: Option<Value>,
}

/// Looks at everything that is due. Blocks.
pub fn find_all(service: &Arc<Service>, stopped: &CancellationToken) -> ApiResult<()> {
    loop {
        let due = service.store.read(list)?;
        if due.is_empty() {
            return Ok(());
        }
        let mut all = Vec::new();
        for one in due {
            if stopped.is_cancelled() {
                break;
            }
            all.push(find(service, &one));
        }
        let worker = service.clone();
        service.store.write(move |c| all.iter().try_for_each(|found| store(&worker, c, found)))?;
        if stopped.is_cancelled() {
            return Ok(());
        }
    }
}

fn list(c: &Connection) -> ApiResult<Vec<Due>> {
    let sql =
        "SELECT r.seq, r.name, r.content_type, b.file, b.size FROM revision r JOIN blob b ON b.id = r.blob
        WHERE r.facts_due = 1 ORDER BY r.seq LIMIT ?1";
    let mut statement = c.prepare_cached(sql)?;
    let rows = statement.query_map([BATCH], |row| {
        Ok(Due {
            revision: row.get(0)?,
            name: row.get(1)?,
            content_type: row.get(2)?,
            file: row.get(3)?,
            size: row.get::<_, i64>(4)?.cast_unsigned(),
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Whatever a content does to its parser, there is an answer: it must not be looked at for ever.
fn find(service: &Service, due: &Due) -> Found {
    let look = || {
        let file = service.store.open_blob(&due.file).ok()?;
        Some(media::describe(&due.name, &due.content_type, &file, due.size))
    };
    let facts = catch_unwind(AssertUnwindSafe(look)).ok().flatten();
    let (image, video) = facts.map_or((None, None), |facts| (facts.image, facts.video));
    Found { revision: due.revision, image, video }
}

fn store(service: &Service, c: &Connection, found: &Found) -> ApiResult<()> {
    let json = |value: &Option<Value>| value.as_ref().map(Value::to_string);
    let sql = "UPDATE revision SET facts_due = 0, image_json = ?2, video_json = ?3 WHERE seq = ?1";
    let changed =
        c.prepare_cached(sql)?.execute(params![found.revision, json(&found.image), json(&found.video)])?;
    if changed == 0 || (found.image.is_none() && found.video.is_none()) {
        return Ok(());
    }
    // It may have been overwritten or thrown away meanwhile.
    let sql = "SELECT seq FROM entry WHERE revision = ?1";
    let mut statement = c.prepare_cached(sql)?;
    let entries: Vec<i64> =
        statement.query_map([found.revision], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for seq in entries {
        if !entry::is_trashed(c, seq)? {
            feed::tell(service, c, Op::Update, &entry::by_seq(c, seq)?)?;
        }
    }
    Ok(())
}
