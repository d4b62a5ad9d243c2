//! `pdsfs find QUERY`: files by what the drive knows about them, as paths of this machine.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;
use serde_json::{Value, json};

use super::info::human;
use super::talk::Place;
use crate::config::Failure;
use crate::mount::protocol::Job;
use crate::mount::table::printable;

/// Finds files by the drive's own search: name, kind, size, times, labels, tags, hash.
///
/// The query is sent to the drive, so no folder is read. The drive's search may lag some seconds behind, and does
/// not see the recycle bin.
#[derive(Debug, Args)]
#[command(after_help = "\
Queries:
  text    name = 'a.jpg'   name match 'holiday'   name prefix 'IMG_'
  kind    type = 'file'   category = 'image'   file_extension in ['jpg', 'png']
  number  size > 1048576
  time    created_at >= '2026-01-01T00:00:00'   (UTC)
  yes/no  starred = true   hidden = false
  and, or, not, ( ) join them

Examples:
  pdsfs find \"category = 'image' and created_at >= '2026-01-01T00:00:00'\"
  pdsfs find \"name match 'holiday' and size > 1048576\" ~/pds/Photos
  pdsfs find -0 \"starred = true\" ~/pds | xargs -0 -r cp -t /tmp/best")]
pub struct FindArgs {
    /// In the drive's query language, see below
    query: String,
    /// Only in this folder, and below it
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    limit: u64,
    /// Size and time beside each path [default: off]
    #[arg(short, long)]
    long: bool,
    /// For `xargs -0`: a zero byte after each path instead of a new line [default: off]
    #[arg(short = '0', long, conflicts_with_all = ["long", "json"])]
    print0: bool,
    /// For programs: one JSON object per file and line [default: off]
    #[arg(long, env = "PDSFS_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// [`crate::config::Exit::Usage`] for a query that is none; what the mount says.
pub fn run(args: &FindArgs) -> Result<(), Failure> {
    let place = Place::of("find", &args.folder)?;
    let job = Job::Find { query: args.query.clone(), under: place.path.clone(), limit: args.limit };
    place.ask(job, |found| {
        show(args, &place, &found);
        Ok(())
    })?;
    Ok(())
}

fn show(args: &FindArgs, place: &Place, found: &Value) {
    let text = |key: &str| found[key].as_str().unwrap_or_default();
    let path = place.absolute(text("path"));
    let size = found["size"].as_u64().unwrap_or_default();
    if args.json {
        let folder = found["folder"].as_bool().unwrap_or_default();
        say!("{}", json!({ "path": path, "size": size, "modified": text("modified"), "folder": folder }));
    } else if args.print0 {
        use std::io::Write as _;
        use std::os::unix::ffi::OsStrExt as _;
        // Somebody who closed the other end of the pipe does not want to know.
        let mut out = std::io::stdout();
        let _ = out.write_all(path.as_os_str().as_bytes()).and_then(|()| out.write_all(b"\0"));
    } else if args.long {
        say!("{:>10}  {:<20.20}  {}", human::bytes(size), text("modified"), printable(&path));
    } else {
        say!("{}", printable(&path));
    }
}
