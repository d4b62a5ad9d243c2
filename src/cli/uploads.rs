//! `pdsfs uploads` and `pdsfs flush`: files that are not on the drive yet, and what to do about them.

use std::path::{Path, PathBuf};

use clap::builder::BoolishValueParser;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::talk::Place;
use crate::config::value::show_bytes;
use crate::config::{Exit, Failure};
use crate::error::Error;
use crate::mount::protocol::Job;
use crate::mount::table::{self, Entry, printable};

/// Lists what is not on the drive yet; sends it again, gives it up, or gets it out.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  pdsfs uploads
  pdsfs uploads retry ~/pds
  pdsfs uploads export ~/pds/report.odt /tmp/report.odt
  pdsfs uploads discard ~/pds/report.odt"
)]
pub struct UploadsArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List them
    List(ListArgs),
    /// Send what failed again, now
    Retry(Below),
    /// Give up what was written to a file: a new one is gone, an old one is again what the drive has
    Discard(One),
    /// Copy a file that is not on the drive to another place
    Export(ExportArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// A folder below a mountpoint [default: all mounts]
    folder: Option<PathBuf>,
    /// For programs: one JSON object per file and line [default: off]
    #[arg(long, env = "PDSFS_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
}

#[derive(Debug, Args)]
struct Below {
    /// A file or folder below a mountpoint
    #[arg(default_value = ".")]
    path: PathBuf,
}

#[derive(Debug, Args)]
struct One {
    /// A file below a mountpoint, as `pdsfs uploads` shows it
    path: PathBuf,
}

#[derive(Debug, Args)]
struct ExportArgs {
    /// A file below a mountpoint, as `pdsfs uploads` shows it
    path: PathBuf,
    /// The file to be made; one that exists is not touched
    destination: PathBuf,
}

/// Sends what is not on the drive yet, and waits until it is there.
///
/// With `--write-mode back`, and after a close that failed, this is how to know that a file has arrived.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pdsfs flush ~/pds
  pdsfs flush ~/pds/film.mp4 && echo safe")]
pub struct FlushArgs {
    /// A file or folder below a mountpoint
    #[arg(default_value = ".")]
    path: PathBuf,
}

/// Runs `pdsfs uploads`.
///
/// # Errors
/// [`Exit::NotDurable`] when something is still not on the drive after `retry`; what the mount says.
pub fn run(args: &UploadsArgs) -> Result<(), Failure> {
    match &args.action {
        None => list(&args.list),
        Some(Action::List(args)) => list(args),
        Some(Action::Retry(below)) => send("uploads retry", &below.path, true),
        Some(Action::Discard(one)) => {
            let place = Place::of("uploads discard", &one.path)?;
            place.ask(Job::Discard { path: place.path.clone() }, |_| Ok(()))?;
            Ok(())
        }
        Some(Action::Export(args)) => export(args),
    }
}

/// Runs `pdsfs flush`.
///
/// # Errors
/// [`Exit::NotDurable`] when something is still not on the drive; what the mount says.
pub fn flush(args: &FlushArgs) -> Result<(), Failure> {
    send("flush", &args.path, false)
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let mounts: Vec<(Entry, String)> = match &args.folder {
        Some(folder) => {
            let place = Place::of("uploads", folder)?;
            vec![(place.mount().clone(), place.path)]
        }
        None => {
            table::read()?.into_iter().filter(Entry::is_ours).map(|entry| (entry, String::new())).collect()
        }
    };
    for (entry, under) in &mounts {
        let status = super::status::of(entry)?;
        let uploads = ["uploads", "recovering"].into_iter().flat_map(|key| status[key].as_array());
        for upload in uploads.flatten() {
            let path = upload["path"].as_str().unwrap_or_default();
            if Path::new(path).starts_with(under) {
                show(&entry.mountpoint.join(path), upload, args.json);
            }
        }
    }
    Ok(())
}

fn show(path: &Path, upload: &Value, json: bool) {
    if json {
        let (done, total) = (&upload["bytes_done"], &upload["bytes_total"]);
        say!(
            "{}",
            json!({ "path": path, "bytes_done": done, "bytes_total": total, "error": upload["error"] })
        );
        return;
    }
    let bytes = |key: &str| show_bytes(upload[key].as_u64().unwrap_or_default());
    let error = upload["error"].as_str().map_or(String::new(), |error| format!("  {error}"));
    say!("{}  {} of {} sent{error}", printable(path), bytes("bytes_done"), bytes("bytes_total"));
}

fn send(op: &'static str, path: &Path, failed: bool) -> Result<(), Failure> {
    let place = Place::of(op, path)?;
    let mut missing = Vec::new();
    let job = Job::Flush { under: place.path.clone(), failed };
    place.ask(job, |file| {
        if let (Some(path), Some(error)) = (file["path"].as_str(), file["error"].as_str()) {
            missing.push(format!("  {}: {error}", printable(&place.absolute(path))));
        }
        Ok(())
    })?;
    if missing.is_empty() {
        return Ok(());
    }
    let files =
        if missing.len() == 1 { "1 file is".to_owned() } else { format!("{} files are", missing.len()) };
    let lines = [vec![format!("{files} not on the drive; the data is kept here")], missing].concat();
    Err(Failure::new(Exit::NotDurable, lines.join("\n")))
}

fn export(args: &ExportArgs) -> Result<(), Failure> {
    let place = Place::of("uploads export", &args.path)?;
    let answer = place.ask(Job::Export { path: place.path.clone() }, |_| Ok(()))?;
    let (Some(content), Some(size)) = (answer["content"].as_str(), answer["size"].as_u64()) else {
        return Err(Failure::new(Exit::Other, "export: the mount answers something else"));
    };
    let failed = |error| Error::io("export", error).on(printable(&args.destination));
    let mut from = std::fs::File::open(content).map_err(failed)?;
    let mut to = std::fs::File::create_new(&args.destination).map_err(failed)?;
    std::io::copy(&mut from, &mut to)
        .and_then(|_| to.set_len(size))
        .and_then(|()| to.sync_all())
        .map_err(failed)?;
    Ok(())
}
