//! What a mount does for the commands that talk to it: each [`Job`] is a call of the core.
//!
//! A job tells what it finds piece by piece through [`Items`] and ends with an answer. It is dropped when its
//! client hangs up, so it must be safe to stop at any wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::control::{Items, Work};
use super::protocol::Job;
use crate::config::{Exit, Failure};
use crate::fs::DriveFs;
use crate::fs::wait::WaitFor;

/// Nobody waits longer than this for one file.
const LONGEST_WAIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// What does the jobs of a mount of `fs`.
pub fn of(fs: &Arc<DriveFs>) -> Arc<dyn Fn(Job, Items) -> Work + Send + Sync> {
    let fs = Arc::clone(fs);
    Arc::new(move |job, items| {
        let fs = Arc::clone(&fs);
        Box::pin(async move { run(&fs, job, &items).await })
    })
}

async fn run(fs: &Arc<DriveFs>, job: Job, items: &Items) -> Result<Value, Failure> {
    match job {
        Job::Find { query, under, limit } => {
            let found = fs.find(&query, &under, limit, items).await?;
            Ok(json!({ "found": found }))
        }
        Job::Thumbnails { paths, pixels } => {
            fs.thumbnails(paths, pixels, items).await;
            Ok(Value::Null)
        }
        Job::TrashList => {
            fs.trash_list(items).await?;
            Ok(Value::Null)
        }
        Job::TrashEnd { ids, restore } => {
            fs.trash_end(&ids, restore, items).await?;
            Ok(Value::Null)
        }
        Job::Watch { under } => {
            fs.watch(&under, items).await?;
            Ok(Value::Null)
        }
        Job::Usage { path } => Ok(fs.usage(&path, items).await?),
        Job::Versions { path } => {
            fs.versions(&path, items).await?;
            Ok(Value::Null)
        }
        Job::VersionRead { file, revision, size, start } => {
            fs.read_version(&file, &revision, size, start, items).await?;
            Ok(Value::Null)
        }
        Job::VersionRestore { path, revision } => {
            fs.restore_version(&path, &revision).await?;
            Ok(Value::Null)
        }
        Job::VersionKeep { path, revision, keep, description } => {
            fs.keep_version(&path, &revision, keep, description.as_deref()).await?;
            Ok(Value::Null)
        }
        Job::Cache { clear } => {
            let fs = Arc::clone(fs);
            // Walks over all contents and their local files.
            let cache = tokio::task::spawn_blocking(move || {
                let freed = if clear { fs.clear_cache() } else { 0 };
                (freed, fs.cached())
            });
            let (freed, cached) =
                cache.await.map_err(|_| Failure::new(Exit::Other, "cache: it was interrupted"))?;
            Ok(json!({ "bytes": cached.bytes, "files": cached.files, "limit": cached.limit, "freed": freed }))
        }
        Job::Wait { path, media, seconds } => {
            let what = if media { WaitFor::Media } else { WaitFor::Uploaded };
            let long = Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
            fs.wait_for(&path, what, Instant::now() + long).await?;
            Ok(Value::Null)
        }
        Job::Flush { under, failed } => {
            let (sent, missing) = fs.flush_below(&under, failed, items).await;
            Ok(json!({ "sent": sent, "missing": missing }))
        }
        Job::Discard { path } => {
            fs.discard_upload(&path).await?;
            Ok(Value::Null)
        }
        Job::Export { path } => {
            let (content, size) = fs.export_upload(&path).await?;
            let content = content.to_str().ok_or_else(|| {
                Failure::new(Exit::Other, "export: the state directory has a name that is not UTF-8")
            })?;
            Ok(json!({ "content": content, "size": size }))
        }
    }
}
