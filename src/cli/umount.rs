//! `pdsfs umount`: tells the process behind a mountpoint to finish, and waits until it has.
//!
//! The usual way is the control socket: the process sends what the drive does not have, unmounts, reports,
//! ends. Where nobody answers, the mountpoint itself decides: a dead one is cleaned up, a live one is
//! unmounted like any other filesystem (its process then drains on its own), a hanging one is left alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use indicatif::{ProgressBar, ProgressStyle};

use super::shell_word;
use crate::config::value::{duration, show_bytes};
use crate::config::{Exit, Failure, paths};
use crate::error::{Error, Kind};
use crate::mount::client::Client;
use crate::mount::mountpoint::{Answer, answer};
use crate::mount::protocol::{Progress, Reply, Request};
use crate::mount::table::{self, Entry, printable};
use crate::mount::unmount::{How, unmount};
use crate::mount::{busy, holders};

/// A mount says something at least every few seconds while it drains; this long a silence means it hangs.
const SILENCE: Duration = Duration::from_secs(20);
/// How long the process may take to end, and the kernel to forget the mount, after both said they will.
const GONE_WITHIN: Duration = Duration::from_secs(30);

/// Waits until everything written is on the drive, unmounts, and returns when the mount is gone.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pdsfs umount ~/pds
  pdsfs umount --drain-timeout 1h ~/pds
  pdsfs umount --now ~/pds      what is not on the drive yet is kept, and sent by the next mount")]
pub struct UmountArgs {
    /// The folder a drive is mounted on
    mountpoint: PathBuf,
    /// How long to wait for what is not on the drive yet [default: as the mount was started, 10m]
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "now")]
    drain_timeout: Option<Duration>,
    /// Do not wait for what is not on the drive yet [default: off]
    #[arg(long, env = "PDSFS_NOW", value_parser = BoolishValueParser::new())]
    now: bool,
}

/// Runs the command.
///
/// # Errors
/// [`Exit::NotDurable`] with what stayed on this machine, [`Exit::Mountpoint`] when it is in use or not a
/// mount of ours.
pub fn run(args: &UmountArgs) -> Result<(), Failure> {
    let path =
        paths::settle(&args.mountpoint).map_err(|error| refuse(&args.mountpoint, &error.to_string()))?;
    let entry = find(&path)?;
    // Typed inside the mount, this command would be in its own way.
    let _ = std::env::set_current_dir("/");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::io("start threads", error))?;
    let outcome = runtime.block_on(async {
        let own = rustix::process::geteuid().as_raw();
        let uids: Vec<u32> = entry.user_id.into_iter().chain([own]).collect();
        match Client::connect(&path, &uids).await {
            Ok(client) => by_request(client, args, &entry).await,
            Err(_) => by_force(&path, &entry).await,
        }
    });
    // A look at a hanging mount may still be under way.
    runtime.shutdown_background();
    outcome
}

fn find(path: &Path) -> Result<Entry, Failure> {
    match table::at(path)? {
        Some(entry) if entry.is_ours() => Ok(entry),
        Some(entry) => {
            let advice = if entry.is_fuse() { "fusermount3 -u" } else { "umount" };
            let message = format!(
                "{} ({}) is mounted there, not a drive of pdsfs. Use: {advice} {}",
                entry.source,
                entry.fstype,
                shell_word(&printable(path))
            );
            Err(refuse(path, &message))
        }
        None => Err(refuse(path, &not_mounted(path)?)),
    }
}

fn not_mounted(path: &Path) -> Result<String, Failure> {
    let mounts = table::read()?;
    let around = mounts.iter().rev().find(|entry| entry.is_ours() && path.starts_with(&entry.mountpoint));
    if let Some(around) = around {
        return Ok(format!(
            "it lies in a mount. Use: pdsfs umount {}",
            shell_word(&printable(&around.mountpoint))
        ));
    }
    let ours: Vec<String> =
        mounts.iter().filter(|entry| entry.is_ours()).map(|entry| printable(&entry.mountpoint)).collect();
    Ok(if ours.is_empty() {
        "nothing is mounted there, and no drive anywhere".to_owned()
    } else {
        format!("nothing is mounted there. Drives are mounted at: {}", ours.join(", "))
    })
}

async fn by_request(mut client: Client, args: &UmountArgs, entry: &Entry) -> Result<(), Failure> {
    let process = client.watch_process();
    let pid = client.pid();
    let wait = if args.now { Some(Duration::ZERO) } else { args.drain_timeout };
    let lost = |error: Error| lost(entry, pid, &error);
    client
        .ask(&Request::Umount { drain_timeout: wait.map(|wait| wait.as_secs_f64()) })
        .await
        .map_err(lost)?;
    let shown = Shown::new();
    let report = loop {
        match client.reply(SILENCE).await.map_err(lost)? {
            Reply::Progress(progress) => shown.update(progress),
            Reply::Done(report) => break report,
            Reply::Failed(failure) => return Err(failure),
            Reply::Status(_) | Reply::Item(_) | Reply::Alive | Reply::Answer(_) => {}
        }
    };
    shown.clear();
    if let Some(process) = process
        && !process.wait(GONE_WITHIN).await
    {
        complain!("pdsfs: the process of the mount is still busy ending");
    }
    gone(entry).await?;
    report.failure().map_or(Ok(()), Err)
}

async fn by_force(path: &Path, entry: &Entry) -> Result<(), Failure> {
    let refused = |error: Error| match error.kind() {
        Kind::Busy => busy(&error, &holders::describe(&holders::find(path))),
        _ => Failure::at(Exit::Mountpoint, &error),
    };
    match answer(path) {
        Answer::Stale => {
            unmount(path, How::Lazily).map_err(refused)?;
            complain!(
                "pdsfs: {:?} was left over by a pdsfs that was killed; cleaned it up. \
                 What it had not sent yet is kept and sent at the next mount",
                printable(path)
            );
        }
        Answer::Alive => {
            unmount(path, How::Politely).map_err(refused)?;
            complain!("pdsfs: its process could not be asked; it sends what is left on its own. See its log");
        }
        Answer::Silent => {
            let message = format!(
                "its process hangs. End that process, or take the mount away with: fusermount3 -uz {}",
                shell_word(&printable(path))
            );
            return Err(refuse(path, &message));
        }
    }
    gone(entry).await
}

/// Waits until the kernel's list does not have this mount any more.
async fn gone(entry: &Entry) -> Result<(), Failure> {
    let still_there =
        || table::read().map(|mounts| mounts.iter().any(|mount| mount.id == entry.id && mount.is_ours()));
    let gone = async {
        while still_there()? {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok::<(), Error>(())
    };
    match tokio::time::timeout(GONE_WITHIN, gone).await {
        Ok(gone) => Ok(gone?),
        Err(_) => Err(refuse(&entry.mountpoint, "it was unmounted and is still there. See its log")),
    }
}

/// The process stopped talking in the middle.
fn lost(entry: &Entry, pid: Option<i32>, error: &Error) -> Failure {
    let process = pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
    let message = format!(
        "{}. Is its process{process} still there? If it hangs, end it, and: pdsfs umount {}",
        error.message(),
        shell_word(&printable(&entry.mountpoint))
    );
    Failure::new(Exit::Temporary, format!("umount {:?}: {message}", printable(&entry.mountpoint)))
}

fn refuse(path: &Path, message: &str) -> Failure {
    Failure::new(Exit::Mountpoint, format!("umount {:?}: {message}", printable(path)))
}

/// The progress line; nothing unless standard error is a terminal.
struct Shown(ProgressBar);

impl Shown {
    fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        Shown(bar)
    }

    fn update(&self, progress: Progress) {
        if progress.files == 0 {
            self.0.set_message("unmounting");
            self.0.tick();
            return;
        }
        let files =
            if progress.files == 1 { "1 file".to_owned() } else { format!("{} files", progress.files) };
        self.0.set_message(format!(
            "waiting for {files}: {} of {} sent (Ctrl-C leaves it mounted)",
            show_bytes(progress.bytes_done),
            show_bytes(progress.bytes_total)
        ));
        self.0.tick();
    }

    fn clear(&self) {
        self.0.finish_and_clear();
    }
}
