//! `pdsfs wait`: for scripts that need what happens after a copy.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::talk::Place;
use crate::config::{Failure, value};
use crate::mount::protocol::Job;

/// Waits until files are on the drive, or until the drive knows what is in them.
///
/// With `--write-mode through` a file is on the drive when it has been closed. Facts about images and videos come a
/// moment later.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cp *.jpg ~/pds/ && pdsfs wait --media ~/pds/*.jpg
  pdsfs wait --uploaded --timeout 10m ~/pds/film.mp4")]
pub struct WaitArgs {
    /// Until images and videos have been looked at: size, camera, place, streams [default: off]
    #[arg(long, conflicts_with = "uploaded")]
    media: bool,
    /// Until the content is complete on the drive [default: on]
    #[arg(long)]
    uploaded: bool,
    /// How long at most
    #[arg(long, value_name = "TIME", value_parser = value::duration, default_value = "60s")]
    timeout: Duration,
    /// Files below a mountpoint
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// [`crate::config::Exit::Temporary`] when the time is up; what an upload failed with.
pub fn run(args: &WaitArgs) -> Result<(), Failure> {
    let began_at = std::time::Instant::now();
    for path in &args.paths {
        let place = Place::of("wait", path)?;
        let left = args.timeout.saturating_sub(began_at.elapsed());
        let job = Job::Wait { path: place.path.clone(), media: args.media, seconds: left.as_secs_f64() };
        place.ask(job, |_| Ok(()))?;
    }
    Ok(())
}
