//! What a mount does for the commands that talk to it: each [`Job`] is a call of the core.
//!
//! A job tells what it finds piece by piece through [`Items`] and ends with an answer. It is dropped when its
//! client hangs up, so it must be safe to stop at any wait.

use std::sync::Arc;

use serde_json::{Value, json};

use super::control::{Items, Work};
use super::protocol::Job;
use crate::config::Failure;
use crate::fs::DriveFs;

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
    }
}
