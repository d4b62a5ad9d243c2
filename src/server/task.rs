//! Background work: what a large folder needs after the answer 202 (pds-api.md 14.1, 19.3 rule 15).
//!
//! A task is a row, written in the transaction of the request, so that it outlives a killed process: whoever
//! starts the store next does it again from its beginning. Every kind of work may therefore be done over. One
//! runner does one task after another, in steps that leave the writer of the store to others in between.
//!
//! **Limbo.** A tree that is half copied or half deleted hangs below no folder: the parent of its top is
//! [`LIMBO`], and its top counts as trashed, so nobody finds it. A copy leaves limbo whole, in one step; whatever
//! is in limbo without a task that works on it is rubbish, and the housekeeper removes it.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Service;
use super::api::{bin, change};
use super::archive;
use super::clock::iso;
use super::entry::{self, Entry, LIMBO};
use super::feed::{self, Op};
use super::reply::{ApiError, ApiResult};

/// Entries that one step works on: some 10 ms.
const STEP: usize = 200;
/// Finished tasks, and archives with them, are kept for a day.
const KEPT_MS: i64 = 24 * 3600 * 1000;

/// What is to be done. Validated when it was asked for; the world may be another one when it is done.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Work {
    /// Into the recycle bin.
    Trash {
        /// The drive.
        drive: i64,
        /// The top.
        file_id: String,
    },
    /// Out of the recycle bin.
    Restore {
        /// The drive.
        drive: i64,
        /// The top.
        file_id: String,
    },
    /// For good.
    Delete {
        /// Row number of the top.
        top: i64,
    },
    /// A copy of a folder.
    Copy(Copying),
    /// The whole recycle bin, for good.
    Clear {
        /// The drive.
        drive: i64,
    },
    /// Files and folders in one zip.
    Archive {
        /// The drive.
        drive: i64,
        /// What goes in.
        files: Vec<String>,
        /// Name of the zip.
        name: String,
    },
}

/// A copy to be made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Copying {
    /// Drive of the original.
    pub drive: i64,
    /// The original.
    pub file_id: String,
    /// Drive of the copy.
    pub to_drive: i64,
    /// Folder of the copy.
    pub to_parent: String,
    /// Name of the copy, before `auto_rename`.
    pub name: String,
    /// Whether another name is found when that one is taken.
    pub auto_rename: bool,
    /// Id of the copy, which the caller knows already.
    pub new_id: String,
}

impl Work {
    fn name(&self) -> &'static str {
        match self {
            Work::Trash { .. } => "trash",
            Work::Restore { .. } => "restore",
            Work::Delete { .. } => "delete",
            Work::Copy(_) => "copy",
            Work::Clear { .. } => "clear_recyclebin",
            Work::Archive { .. } => "archive",
        }
    }
}

/// Whether an operation on this entry is large enough for a task.
pub fn is_large(service: &Service, c: &Connection, entry: &Entry) -> ApiResult<bool> {
    let most = i64::from(service.options.async_entries);
    Ok(entry.folder && entry::count_tree(c, entry.seq, most.saturating_add(1))? > most)
}

/// Records a task; gives its id. The runner is woken after the commit by [`Service::wake_tasks`].
pub fn start(service: &Service, c: &Connection, user: &str, work: &Work) -> ApiResult<String> {
    let id = new_id(service);
    let text = serde_json::to_string(work).map_err(|error| ApiError::internal("record the task", error))?;
    let sql = "INSERT INTO task (id, user, kind, work_json, state, created_at) VALUES (?1, ?2, ?3, ?4, 'Running', ?5)";
    c.prepare_cached(sql)?.execute(params![id, user, work.name(), text, service.clock.now_ms()])?;
    Ok(id)
}

/// A UUID (4.1).
fn new_id(service: &Service) -> String {
    let hex = super::hex(&service.unique(16));
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// A task as its row has it.
pub struct Task {
    /// `async_task_id`.
    pub id: String,
    /// Who asked for it.
    pub user: String,
    work: String,
    /// Row number of an archive's content.
    result: Option<i64>,
    body: Value,
}

const COLUMNS: &str = "id, user, work_json, result, kind, state, total, consumed, error_status, error_code, \
     error_message, created_at, started_at, finished_at";

impl Task {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Task> {
        let (id, user, work): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let time = |at| -> rusqlite::Result<String> {
            Ok(row.get::<_, Option<i64>>(at)?.map_or(String::new(), iso))
        };
        let (state, total, consumed): (String, i64, i64) = (row.get(5)?, row.get(6)?, row.get(7)?);
        let failed = state == "Failed";
        let message: String = row.get(10)?;
        let body = json!({
            "async_task_id": id,
            "state": state,
            "status": state,
            "task_type": row.get::<_, String>(4)?,
            "category": "file",
            "total_process": total,
            "consumed_process": consumed,
            "failed_process": if failed { total.saturating_sub(consumed).max(1) } else { 0 },
            "skipped_process": 0,
            "punished_file_count": 0,
            "err_code": row.get::<_, i64>(8)?,
            "error_code": row.get::<_, String>(9)?,
            "error_message": message,
            "message": message,
            "created_at": time(11)?,
            "started_at": time(12)?,
            "finished_at": time(13)?,
            "url": "",
        });
        Ok(Task { id, user, work, result: row.get(3)?, body })
    }

    /// As `async_task/get` tells it.
    pub fn describe(mut self, service: &Service, c: &Connection) -> ApiResult<Value> {
        if let Some(content) = self.result.map(|seq| archive::content(c, seq)).transpose()? {
            let url = service.download_url(&content, &content.name, 0);
            self.body["url"] = url.clone().into();
            self.body["archive_file_result"] =
                json!({"url": url, "size": content.size, "crc64_hash": content.crc64.to_string()});
        }
        Ok(self.body)
    }
}

/// The task with this id.
pub fn find(c: &Connection, id: &str) -> ApiResult<Option<Task>> {
    let sql = format!("SELECT {COLUMNS} FROM task WHERE id = ?1");
    Ok(c.prepare_cached(&sql)?.query_row([id], Task::from_row).optional()?)
}

/// Does tasks, the oldest first, until there are none or `stopped`. Blocks.
pub fn run_all(service: &Arc<Service>, stopped: &CancellationToken) -> ApiResult<()> {
    let sql = format!("SELECT {COLUMNS} FROM task WHERE state = 'Running' ORDER BY created_at, id LIMIT 1");
    while !stopped.is_cancelled() {
        let next = service
            .store
            .read(|c| Ok(c.prepare_cached(&sql)?.query_row([], Task::from_row).optional()?))?;
        let Some(task) = next else { return Ok(()) };
        let runner = Runner { service, stopped, id: task.id };
        runner.note(
            "UPDATE task SET started_at = coalesce(started_at, ?2), total = 0, consumed = 0 WHERE id = ?1",
        )?;
        let work =
            serde_json::from_str(&task.work).map_err(|error| ApiError::internal("read the task", error));
        let outcome = work.and_then(|work| runner.run(&work));
        if !stopped.is_cancelled() {
            runner.end(outcome.err())?;
        }
    }
    Ok(())
}

/// Forgets tasks that ended long ago, with their archives.
pub fn forget_old(service: &Service) -> ApiResult<()> {
    let limit = service.clock.now_ms().saturating_sub(KEPT_MS);
    let old: Vec<(String, Option<i64>)> = service.store.read(|c| {
        let mut statement = c.prepare_cached("SELECT id, result FROM task WHERE finished_at <= ?1")?;
        let rows = statement.query_map([limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    })?;
    if old.is_empty() {
        return Ok(());
    }
    service.store.write(move |c| {
        for (id, result) in &old {
            let gone = c.prepare_cached("DELETE FROM task WHERE id = ?1")?.execute([id])?;
            if let Some(revision) = result.filter(|_| gone == 1) {
                archive::erase(c, revision)?;
            }
        }
        Ok(())
    })
}

/// Removes trees in limbo that no task works on.
pub fn sweep_limbo(service: &Arc<Service>) -> ApiResult<()> {
    let tops: Vec<i64> = service.store.read(|c| {
        let sql = "SELECT seq FROM entry WHERE parent = ?1
            AND NOT EXISTS (SELECT 1 FROM task WHERE state = 'Running')";
        Ok(c.prepare_cached(sql)?.query_map([LIMBO], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
    })?;
    for top in tops {
        erase_tree(service, top, |_| Ok(true))?;
    }
    Ok(())
}

/// Erases a tree in limbo, the deepest first, step by step. `each` is told how many are gone with each step, and
/// says whether to go on.
fn erase_tree(service: &Service, top: i64, mut each: impl FnMut(usize) -> ApiResult<bool>) -> ApiResult<()> {
    let mut all = service.store.read(|c| entry::tree(c, top))?;
    while !all.is_empty() {
        let step = all.split_off(all.len().saturating_sub(STEP));
        let gone = step.len();
        service.store.write(move |c| step.iter().rev().try_for_each(|seq| entry::erase_one(c, *seq)))?;
        service.wake_housekeeping();
        if !each(gone)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Removes an entry for good: at once for everybody who looks, step by step from the store.
pub fn erase_gradually(service: &Service, top: i64) -> ApiResult<()> {
    let found = service.store.write(move |c| into_limbo(c, top))?;
    if found { erase_tree(service, top, |_| Ok(true)) } else { Ok(()) }
}

/// Tells the feed that an entry is deleted and takes it out of its folder. `false` when it is no longer there.
fn into_limbo(c: &Connection, top: i64) -> ApiResult<bool> {
    let Ok(entry) = entry::by_seq(c, top) else { return Ok(false) };
    if entry.parent != LIMBO {
        feed::tell_delete(c, &entry)?;
        let sql = "UPDATE entry SET parent = ?2, trashed_at = coalesce(trashed_at, 0) WHERE seq = ?1";
        c.prepare_cached(sql)?.execute([top, LIMBO])?;
    }
    Ok(true)
}

/// One task being done.
struct Runner<'a> {
    service: &'a Arc<Service>,
    stopped: &'a CancellationToken,
    id: String,
}

impl Runner<'_> {
    fn run(&self, work: &Work) -> ApiResult<()> {
        match work {
            Work::Trash { drive, file_id } => {
                let (drive, id, service) = (*drive, file_id.clone(), self.service.clone());
                let top = self.service.store.write(move |c| match entry::get(c, drive, &id)? {
                    // An earlier start did it.
                    entry if entry.trashed_at.is_some() => Ok(entry.seq),
                    _ => bin::trash_entry(&service, c, drive, &id),
                })?;
                self.count(top)
            }
            Work::Restore { drive, file_id } => {
                let (drive, id, service) = (*drive, file_id.clone(), self.service.clone());
                let top = self.service.store.write(move |c| match entry::get(c, drive, &id)? {
                    entry if entry.trashed_at.is_none() => Ok(entry.seq),
                    _ => bin::restore_entry(&service, c, drive, &id),
                })?;
                self.count(top)
            }
            Work::Delete { top } => self.delete(*top),
            Work::Copy(copying) => self.copy(copying),
            Work::Clear { drive } => {
                let all = self.service.store.read(|c| bin::all(c, *drive))?;
                all.into_iter().try_for_each(|top| self.delete(top))
            }
            Work::Archive { drive, files, name } => {
                let go_on = || !self.stopped.is_cancelled();
                let made =
                    archive::make(self.service, *drive, files, name, &go_on, &|total| self.total(total))?;
                let Some(made) = made else { return Ok(()) };
                let id = self.id.clone();
                let service = self.service.clone();
                self.service.store.write(move |c| {
                    let revision = archive::keep(&service, c, &made)?;
                    let sql = "UPDATE task SET result = ?2, consumed = total WHERE id = ?1";
                    c.prepare_cached(sql)?.execute(params![id, revision])?;
                    Ok(())
                })
            }
        }
    }

    /// Deletes a tree; done already if it is gone.
    fn delete(&self, top: i64) -> ApiResult<()> {
        if !self.service.store.write(move |c| into_limbo(c, top))? {
            return Ok(());
        }
        let total = self.service.store.read(|c| entry::count_tree(c, top, i64::MAX))?;
        self.total(total)?;
        erase_tree(self.service, top, |gone| self.progress(gone).map(|()| !self.stopped.is_cancelled()))
    }

    fn copy(&self, copying: &Copying) -> ApiResult<()> {
        if self.service.store.read(|c| entry::find(c, copying.to_drive, &copying.new_id))?.is_some() {
            // An earlier start did it.
            return Ok(());
        }
        // What an earlier start left.
        let find = |c: &Connection| entry::find_in_limbo(c, copying.to_drive, &copying.new_id);
        if let Some(left) = self.service.store.read(find)? {
            erase_tree(self.service, left, |_| Ok(!self.stopped.is_cancelled()))?;
        }
        let made = self.copy_into_limbo(copying);
        let outcome = match made {
            Ok(true) => {
                let (service, copying) = (self.service.clone(), copying.clone());
                self.service.store.write(move |c| attach(&service, c, &copying))
            }
            Ok(false) => return Ok(()),
            Err(error) => Err(error),
        };
        if outcome.is_err()
            && let Some(left) = self.service.store.read(find)?
        {
            erase_tree(self.service, left, |_| Ok(true))?;
        }
        outcome
    }

    /// Copies the tree step by step; `false` when it was stopped.
    fn copy_into_limbo(&self, copying: &Copying) -> ApiResult<bool> {
        let source = self.service.store.read(|c| entry::live(c, copying.drive, &copying.file_id))?;
        self.total(self.service.store.read(|c| entry::count_tree(c, source.seq, i64::MAX))?)?;
        let (service, to) = (self.service.clone(), copying.clone());
        let from = source.clone();
        let top = self.service.store.write(move |c| {
            let place =
                change::CopyPlace { drive: to.to_drive, parent: LIMBO, name: &to.name, id: &to.new_id };
            let seq = change::copy_one(&service, c, &from, &place)?;
            c.prepare_cached("UPDATE entry SET trashed_at = 0 WHERE seq = ?1")?.execute([seq])?;
            Ok(seq)
        })?;
        let mut open = vec![(source.seq, top)];
        while let Some((from, to)) = open.pop() {
            let children = self.service.store.read(|c| entry::children(c, from))?;
            for step in children.chunks(STEP) {
                if self.stopped.is_cancelled() {
                    return Ok(false);
                }
                let (service, drive, step) = (self.service.clone(), copying.to_drive, step.to_vec());
                let done = step.len();
                let made = self
                    .service
                    .store
                    .write(move |c| change::copy_children(&service, c, &step, drive, to))?;
                open.extend(made);
                self.progress(done)?;
            }
        }
        Ok(true)
    }

    /// Everything in the tree counts as done.
    fn count(&self, top: i64) -> ApiResult<()> {
        let total = self.service.store.read(|c| entry::count_tree(c, top, i64::MAX))?;
        self.total(total)?;
        self.note("UPDATE task SET consumed = total WHERE id = ?1 AND ?2 > 0")
    }

    fn total(&self, more: i64) -> ApiResult<()> {
        let id = self.id.clone();
        self.service.store.write(move |c| {
            c.prepare_cached("UPDATE task SET total = total + ?2 WHERE id = ?1")?
                .execute(params![id, more])?;
            Ok(())
        })
    }

    fn progress(&self, done: usize) -> ApiResult<()> {
        let id = self.id.clone();
        let done = i64::try_from(done).unwrap_or(0);
        self.service.store.write(move |c| {
            let sql = "UPDATE task SET consumed = min(consumed + ?2, total) WHERE id = ?1";
            c.prepare_cached(sql)?.execute(params![id, done])?;
            Ok(())
        })
    }

    /// Runs SQL with the task's id and the time.
    fn note(&self, sql: &'static str) -> ApiResult<()> {
        let (id, now) = (self.id.clone(), self.service.clock.now_ms());
        self.service.store.write(move |c| {
            c.prepare_cached(sql)?.execute(params![id, now])?;
            Ok(())
        })
    }

    fn end(&self, failure: Option<ApiError>) -> ApiResult<()> {
        let Some(error) = failure else {
            return self
                .note("UPDATE task SET state = 'Succeed', consumed = total, finished_at = ?2 WHERE id = ?1");
        };
        let (id, now) = (self.id.clone(), self.service.clock.now_ms());
        self.service.store.write(move |c| {
            let sql =
                "UPDATE task SET state = 'Failed', finished_at = ?2, error_status = ?3, error_code = ?4,
                error_message = ?5 WHERE id = ?1";
            c.prepare_cached(sql)?.execute(params![id, now, error.status, error.code, error.message])?;
            Ok(())
        })
    }
}

/// The copy leaves limbo for its folder.
fn attach(service: &Service, c: &Connection, copying: &Copying) -> ApiResult<()> {
    let folder = entry::live_folder(c, copying.to_drive, &copying.to_parent, "to_parent_file_id")?;
    let top = entry::find_in_limbo(c, copying.to_drive, &copying.new_id)?;
    let top = top.ok_or_else(|| ApiError::not_found("FileId"))?;
    let name = change::copy_name(service, c, &folder, &copying.name, copying.auto_rename)?;
    let sql = "UPDATE entry SET parent = ?2, name = ?3, trashed_at = NULL WHERE seq = ?1";
    c.prepare_cached(sql)?.execute(params![top, folder.seq, name])?;
    feed::tell(service, c, Op::Create, &entry::by_seq(c, top)?)
}
