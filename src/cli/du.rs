//! `pdsfs du PATH`: how much is where.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;
use serde_json::{Value, json};

use super::info::human;
use super::talk::Place;
use crate::config::Failure;
use crate::mount::protocol::Job;
use crate::mount::table::printable;

/// Shows how much is below a folder, and below each folder in it: size, files, folders and path, with tabs between.
///
/// Counted is what the mount knows of the drive; folders nobody has looked into yet are listed, many at a time, and no
/// file is opened. Sizes are the files' own.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pdsfs du ~/pds/Photos
  pdsfs du --json ~/pds | jq -s 'sort_by(.bytes)'")]
pub struct DuArgs {
    /// A file or folder below a mountpoint
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Sizes as exact numbers of bytes [default: off]
    #[arg(short, long)]
    bytes: bool,
    /// For programs: one JSON object per line, the whole as the last one [default: off]
    #[arg(long, env = "PDSFS_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// What the mount says; a part is not shown as the whole.
pub fn run(args: &DuArgs) -> Result<(), Failure> {
    let place = Place::of("du", &args.path)?;
    let total = place.ask(Job::Usage { path: place.path.clone() }, |part| {
        show(args, &place, &part);
        Ok(())
    })?;
    show(args, &place, &total);
    Ok(())
}

fn show(args: &DuArgs, place: &Place, usage: &Value) {
    let path = place.absolute(usage["path"].as_str().unwrap_or_default());
    let bytes = usage["bytes"].as_u64().unwrap_or_default();
    let (files, folders) = (&usage["files"], &usage["folders"]);
    if args.json {
        say!("{}", json!({ "path": path, "bytes": bytes, "files": files, "folders": folders }));
    } else {
        let size = if args.bytes { bytes.to_string() } else { human::bytes(bytes) };
        say!("{size}\t{files}\t{folders}\t{}", printable(&path));
    }
}
