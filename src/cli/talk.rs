//! Asking a mount to do something: which mount, what path in it, and reading its answer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::config::{Exit, Failure, paths};
use crate::error::{Error, Kind, Result};
use crate::mount::client::Client;
use crate::mount::protocol::{Job, Reply, Request};
use crate::mount::table::{self, Entry, printable};

/// A mount at work says so every 5 s; one that is silent for longer hangs.
const SIGN_OF_LIFE_WITHIN: Duration = Duration::from_secs(30);

/// A place in a mounted drive.
#[derive(Debug)]
pub struct Place {
    entry: Entry,
    /// Below the mountpoint, `/` between names; empty for the mountpoint itself.
    pub path: String,
}

impl Place {
    /// The place at `path`, for the command `op`.
    ///
    /// # Errors
    /// [`Exit::Mountpoint`] when no drive is mounted there.
    pub fn of(op: &'static str, path: &Path) -> Result<Self, Failure> {
        let settled = paths::settle(path)
            .map_err(|error| Failure::new(Exit::NotFound, format!("{op} {:?}: {error}", printable(path))))?;
        let Some(entry) = innermost(&settled)? else {
            let message = format!("{op} {:?}: no drive is mounted there", printable(path));
            return Err(Failure::new(Exit::Mountpoint, message));
        };
        let inside = settled.strip_prefix(&entry.mountpoint).unwrap_or(Path::new(""));
        let Some(inside) = inside.to_str() else {
            let message = format!("{op} {:?}: names on a drive are UTF-8", printable(path));
            return Err(Failure::new(Exit::NotFound, message));
        };
        Ok(Place { path: inside.to_owned(), entry })
    }

    /// The mount it is in.
    pub fn mount(&self) -> &Entry {
        &self.entry
    }

    /// Where in the system something at `path` below the mountpoint is.
    pub fn absolute(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.entry.mountpoint.clone() } else { self.entry.mountpoint.join(path) }
    }

    /// Has the mount do a job; `each` sees the pieces of its result as they come. The rest of the result.
    ///
    /// # Errors
    /// What the mount says; [`Exit::Temporary`] when it does not answer.
    pub fn ask(&self, job: Job, each: impl FnMut(Value) -> Result<(), Failure>) -> Result<Value, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::io("start threads", error))?;
        let outcome = runtime.block_on(self.converse(job, each));
        runtime.shutdown_background();
        outcome
    }

    async fn converse(
        &self,
        job: Job,
        mut each: impl FnMut(Value) -> Result<(), Failure>,
    ) -> Result<Value, Failure> {
        let mut client = connect(&self.entry).await?;
        client.ask(&Request::Do(job)).await?;
        loop {
            match client.reply(SIGN_OF_LIFE_WITHIN).await? {
                Reply::Item(piece) => each(piece)?,
                Reply::Alive => {}
                Reply::Answer(answer) => return Ok(answer),
                Reply::Failed(failure) => return Err(failure),
                Reply::Status(_) | Reply::Progress(_) | Reply::Done(_) => {
                    let error = Error::new(Kind::Protocol, "talk to mount", "it answers something else");
                    return Err(error.into());
                }
            }
        }
    }
}

/// Connects to the process behind a mount.
///
/// # Errors
/// [`Exit::Temporary`] when it does not answer.
pub async fn connect(entry: &Entry) -> Result<Client, Failure> {
    let own = rustix::process::geteuid().as_raw();
    let uids: Vec<u32> = entry.user_id.into_iter().chain([own]).collect();
    Ok(Client::connect(&entry.mountpoint, &uids).await?)
}

/// The mount of ours that a settled path is in: the innermost, and of several at one place the one on top.
pub fn innermost(path: &Path) -> Result<Option<Entry>> {
    let around =
        table::read()?.into_iter().filter(|entry| entry.is_ours() && path.starts_with(&entry.mountpoint));
    Ok(around.max_by_key(|entry| entry.mountpoint.components().count()))
}
