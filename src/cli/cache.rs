//! `pdsfs cache`: the copies of the drive's content on this machine.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::info::human::thousands;
use super::talk::Place;
use crate::config::{Failure, value};
use crate::mount::protocol::Job;

/// Shows how much of a mounted drive is on this machine, or gives it back.
///
/// What is not on the drive yet is no cache, and stays.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pdsfs cache status ~/pds
  pdsfs cache clear ~/pds")]
pub struct CacheArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show how much is here
    Status {
        /// A mountpoint, or anything below
        place: PathBuf,
    },
    /// Give everything back that is on the drive
    Clear {
        /// A mountpoint, or anything below
        place: PathBuf,
    },
}

/// Runs the command.
///
/// # Errors
/// What the mount says.
pub fn run(args: &CacheArgs) -> Result<(), Failure> {
    let (place, clear) = match &args.action {
        Action::Status { place } => (place, false),
        Action::Clear { place } => (place, true),
    };
    let answer = Place::of("cache", place)?.ask(Job::Cache { clear }, |_| Ok(()))?;
    let size = |key: &str| value::show_bytes(answer[key].as_u64().unwrap_or(0));
    if clear {
        say!("{} given back", size("freed"));
    } else {
        let files = answer["files"].as_u64().unwrap_or(0);
        let of = if files == 1 { "1 file".to_owned() } else { format!("{} files", thousands(files)) };
        say!("{} of {of} cached, {} at most", size("bytes"), size("limit"));
    }
    Ok(())
}
