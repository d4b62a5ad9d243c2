//! `pdsfs watch`: what changes on the drive, as it happens.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;
use serde_json::{Value, json};

use super::talk::Place;
use crate::config::{Exit, Failure};
use crate::mount::protocol::Job;
use crate::mount::table::printable;

/// Prints what changes on the drive as it happens, by whomever: change and path, with a tab between, and the path it had
/// before.
///
/// Programs cannot be told of other machines' changes through the kernel; this tells them. The first line says that
/// it begins.
#[derive(Debug, Args)]
#[command(after_help = "\
Changes:
  created changed attributes renamed moved trashed deleted restored other
  watching   it begins
  rescan     some were missed: anything below may have changed

Examples:
  pdsfs watch ~/pds/Inbox
  pdsfs watch --json ~/pds | jq --unbuffered -r 'select(.change == \"created\").path'")]
pub struct WatchArgs {
    /// Only this file, or what is below this folder
    #[arg(default_value = ".")]
    path: PathBuf,
    /// For programs: one JSON object per change and line [default: off]
    #[arg(long, env = "PDSFS_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
}

/// Runs the command, until it is interrupted, the drive is unmounted or nobody reads its output.
///
/// # Errors
/// The drive has no change feed; the mount does not answer.
pub fn run(args: &WatchArgs) -> Result<(), Failure> {
    let place = Place::of("watch", &args.path)?;
    let mut is_read = true;
    let done = place.ask(Job::Watch { under: place.path.clone() }, |change| {
        is_read = writeln!(std::io::stdout(), "{}", line(args, &place, &change)).is_ok();
        if is_read { Ok(()) } else { Err(Failure::new(Exit::Other, "watch: nobody reads what it prints")) }
    });
    match done {
        Err(failure) if is_read => Err(failure),
        _ => Ok(()),
    }
}

fn line(args: &WatchArgs, place: &Place, change: &Value) -> String {
    let path = |key: &str| change[key].as_str().map(|path| place.absolute(path));
    let word = change["change"].as_str().unwrap_or("other");
    if args.json {
        let mut line = json!({ "change": word });
        for key in ["path", "from"] {
            if let Some(path) = path(key) {
                line[key] = json!(path);
            }
        }
        for key in ["folder", "id"] {
            if !change[key].is_null() {
                line[key] = change[key].clone();
            }
        }
        return line.to_string();
    }
    let paths = ["path", "from"].into_iter().filter_map(path);
    paths.fold(word.to_owned(), |line, path| format!("{line}\t{}", printable(&path)))
}
