//! `pdsfs trash`: the drive's recycle bin.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::talk::Place;
use crate::config::{Exit, Failure};
use crate::mount::protocol::Job;

/// Entries told to the mount at once: a request line has an end.
const AT_ONCE: usize = 20;

/// Lists what is in the recycle bin of a mounted drive, brings it back, or deletes it for good.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pdsfs trash ls ~/pds
  pdsfs trash restore ~/pds report.odt
  pdsfs trash empty ~/pds")]
pub struct TrashArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show what is in it: id, time, size and name, with tabs between
    Ls {
        /// A mountpoint, or anything below
        place: PathBuf,
    },
    /// Bring entries back to where they were
    Restore {
        /// A mountpoint, or anything below
        place: PathBuf,
        /// Names, or ids of `pdsfs trash ls`
        #[arg(required = true)]
        entries: Vec<String>,
    },
    /// Delete entries for good
    Rm {
        /// A mountpoint, or anything below
        place: PathBuf,
        /// Names, or ids of `pdsfs trash ls`
        #[arg(required = true)]
        entries: Vec<String>,
    },
    /// Delete everything in it for good
    Empty {
        /// A mountpoint, or anything below
        place: PathBuf,
    },
}

/// Runs the command.
///
/// # Errors
/// [`Exit::NotFound`] for a name that is not there, [`Exit::Usage`] for one that several entries have.
pub fn run(args: &TrashArgs) -> Result<(), Failure> {
    match &args.action {
        Action::Ls { place } => {
            let place = Place::of("trash", place)?;
            place.ask(Job::TrashList, |entry| {
                let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
                // A name with a line break must not look like two entries.
                let name = text("name").escape_debug().to_string();
                let slash = if entry["folder"] == true { "/" } else { "" };
                say!("{}\t{}\t{}\t{name}{slash}", text("id"), text("trashed_at"), entry["size"]);
                Ok(())
            })?;
            Ok(())
        }
        Action::Restore { place, entries } => end(&Place::of("trash", place)?, Some(entries), true),
        Action::Rm { place, entries } => end(&Place::of("trash", place)?, Some(entries), false),
        Action::Empty { place } => end(&Place::of("trash", place)?, None, false),
    }
}

/// Restores or deletes the entries called `wanted`, or all.
fn end(place: &Place, wanted: Option<&Vec<String>>, restore: bool) -> Result<(), Failure> {
    let mut known: Vec<(String, String)> = Vec::new();
    place.ask(Job::TrashList, |entry| {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        known.push((text("id"), text("name")));
        Ok(())
    })?;
    let ids = match wanted {
        None => known.into_iter().map(|(id, _)| id).collect(),
        Some(wanted) => {
            wanted.iter().map(|one| find(&known, one)).collect::<Result<Vec<String>, Failure>>()?
        }
    };
    let mut failed = Vec::new();
    for ids in ids.chunks(AT_ONCE) {
        place.ask(Job::TrashEnd { ids: ids.to_vec(), restore }, |one| {
            if let Value::String(error) = &one["error"] {
                failed.push(format!("{}: {error}", one["id"].as_str().unwrap_or_default()));
            }
            Ok(())
        })?;
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(Exit::Other, format!("trash: {}", failed.join("\n  "))))
    }
}

/// The id of the entry with this id or this name.
fn find(known: &[(String, String)], wanted: &str) -> Result<String, Failure> {
    if let Some((id, _)) = known.iter().find(|(id, _)| id == wanted) {
        return Ok(id.clone());
    }
    let mut named = known.iter().filter(|(_, name)| name == wanted);
    match (named.next(), named.next()) {
        (Some((id, _)), None) => Ok(id.clone()),
        (None, _) => {
            Err(Failure::new(Exit::NotFound, format!("trash: {wanted:?} is not in the recycle bin")))
        }
        (Some(_), Some(_)) => {
            let message =
                format!("trash: several entries are called {wanted:?}. Give the id of one: pdsfs trash ls");
            Err(Failure::new(Exit::Usage, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_named_by_its_id_or_by_a_name_that_no_other_has() {
        let known = [("1", "a"), ("2", "b"), ("3", "b"), ("4", "1")]
            .map(|(id, name)| (id.to_owned(), name.to_owned()));
        assert_eq!(find(&known, "a").unwrap(), "1");
        assert_eq!(find(&known, "1").unwrap(), "1", "an id comes first");
        assert_eq!(find(&known, "b").unwrap_err().exit(), Exit::Usage);
        assert_eq!(find(&known, "c").unwrap_err().exit(), Exit::NotFound);
    }
}
