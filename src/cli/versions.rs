//! `pdsfs versions`: what a file was before.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::builder::BoolishValueParser;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::talk::Place;
use crate::config::{Exit, Failure};
use crate::mount::protocol::Job;

/// A piece that did not come whole is asked for again this many times.
const TRIES: u32 = 4;

/// Lists the versions of a file that the drive keeps, reads one, goes back to one, or keeps one for good.
#[derive(Debug, Args)]
#[command(after_help = "\
A version is named by its number or id, as `pdsfs versions ls` shows them.

Examples:
  pdsfs versions ls ~/pds/report.odt
  pdsfs versions cat ~/pds/report.odt 3 > /tmp/report-3.odt
  pdsfs versions restore ~/pds/report.odt 3
  pdsfs versions keep ~/pds/report.odt 3 --description 'as sent'")]
pub struct VersionsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show them, newest first: number, time, size, `latest` or `kept`, id and description, with tabs between
    Ls {
        /// A file below a mountpoint
        path: PathBuf,
        /// For programs: one JSON object per version and line [default: off]
        #[arg(long, env = "PDSFS_JSON", value_parser = BoolishValueParser::new())]
        json: bool,
    },
    /// Write the bytes of one to standard output
    Cat(Named),
    /// Make an earlier one the file's content again; nothing is lost, it becomes the newest version
    Restore(Named),
    /// Keep one for good: the drive does not drop it to make room for newer ones
    Keep {
        #[command(flatten)]
        named: Named,
        /// Words about it, at most 1,024 characters
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// No longer [default: off]
        #[arg(long)]
        undo: bool,
    },
}

#[derive(Debug, Args)]
struct Named {
    /// A file below a mountpoint
    path: PathBuf,
    /// Its number or id
    version: String,
}

/// Runs the command.
///
/// # Errors
/// [`Exit::NotFound`] for a version that is not there; what the mount says.
pub fn run(args: &VersionsArgs) -> Result<(), Failure> {
    match &args.action {
        Action::Ls { path, json } => {
            let place = Place::of("versions", path)?;
            place.ask(Job::Versions { path: place.path.clone() }, |one| {
                show(&place, &one, *json);
                Ok(())
            })?;
            Ok(())
        }
        Action::Cat(named) => cat(&Version::of(named)?),
        Action::Restore(named) => {
            let version = Version::of(named)?;
            if version.facts["latest"] == true {
                return Err(Failure::new(Exit::Usage, "versions: the file is this version already"));
            }
            let revision = version.text("revision");
            version
                .place
                .ask(Job::VersionRestore { path: version.place.path.clone(), revision }, |_| Ok(()))?;
            Ok(())
        }
        Action::Keep { named, description, undo } => {
            let version = Version::of(named)?;
            let job = Job::VersionKeep {
                path: version.place.path.clone(),
                revision: version.text("revision"),
                keep: !undo,
                description: description.clone(),
            };
            version.place.ask(job, |_| Ok(()))?;
            Ok(())
        }
    }
}

fn show(place: &Place, one: &Value, as_json: bool) {
    let text = |key: &str| one[key].as_str().unwrap_or_default();
    if as_json {
        let path: &Path = &place.absolute(&place.path);
        say!(
            "{}",
            json!({
                "path": path, "version": one["version"], "id": text("revision"), "created_at": text("created_at"),
                "size": one["size"], "latest": one["latest"], "kept": one["kept"], "description": text("description"),
            })
        );
        return;
    }
    let mark = match (one["latest"] == true, one["kept"] == true) {
        (true, true) => "latest,kept",
        (true, false) => "latest",
        (false, true) => "kept",
        (false, false) => "-",
    };
    // Words with a line break must not look like two versions.
    let words = text("description").escape_debug().to_string();
    let line = format!(
        "{}\t{}\t{}\t{mark}\t{}\t{words}",
        one["version"],
        text("created_at"),
        one["size"],
        text("revision")
    );
    say!("{}", line.trim_end());
}

/// A version that somebody named.
struct Version {
    place: Place,
    /// As the mount tells it.
    facts: Value,
}

impl Version {
    fn of(named: &Named) -> Result<Self, Failure> {
        let place = Place::of("versions", &named.path)?;
        let mut found = None;
        place.ask(Job::Versions { path: place.path.clone() }, |one| {
            if is_called(&one, &named.version) {
                found.get_or_insert(one);
            }
            Ok(())
        })?;
        match found {
            Some(facts) => Ok(Version { place, facts }),
            None => {
                let message = format!("versions: the drive keeps no version {:?} of it", named.version);
                Err(Failure::new(Exit::NotFound, message))
            }
        }
    }

    fn text(&self, key: &str) -> String {
        self.facts[key].as_str().unwrap_or_default().to_owned()
    }
}

/// Ids are long, and no id is a small number.
fn is_called(one: &Value, name: &str) -> bool {
    one["revision"].as_str() == Some(name) || one["version"].as_u64().is_some_and(|it| it.to_string() == name)
}

/// Piece by piece, so that a reader who pauses holds up no transfer; what was written is the version only if
/// this returns `Ok`.
fn cat(version: &Version) -> Result<(), Failure> {
    let size = version.facts["size"].as_u64().unwrap_or_default();
    let (mut at, mut digest, mut out) = (0, crc64fast::Digest::new(), std::io::stdout().lock());
    while at < size {
        let piece = piece(version, size, at)?;
        digest.write(&piece);
        if let Err(error) = out.write_all(&piece) {
            return written(error);
        }
        at += piece.len() as u64;
    }
    if let Err(error) = out.flush() {
        return written(error);
    }
    match version.facts["crc64"].as_u64() {
        Some(crc64) if crc64 != digest.sum64() => {
            let message = "versions: what came is not this version (the CRC-64 differs); do not use it";
            Err(Failure::new(Exit::Other, message))
        }
        _ => Ok(()),
    }
}

/// Somebody who closed the other end of the pipe does not want to know.
fn written(error: std::io::Error) -> Result<(), Failure> {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(Failure::new(Exit::Other, format!("versions: write: {error}"))),
    }
}

fn piece(version: &Version, size: u64, start: u64) -> Result<Vec<u8>, Failure> {
    let mut tries = 0;
    loop {
        tries += 1;
        let mut bytes = Vec::new();
        let job =
            Job::VersionRead { file: version.text("file"), revision: version.text("revision"), size, start };
        let done = version.place.ask(job, |item| {
            let text = item["bytes"].as_str().unwrap_or_default();
            let more = STANDARD.decode(text).map_err(|error| Failure::new(Exit::Other, error.to_string()))?;
            bytes.extend(more);
            Ok(())
        });
        match done {
            Ok(_) if !bytes.is_empty() => return Ok(bytes),
            Ok(_) => return Err(Failure::new(Exit::Other, "versions: it ended too soon")),
            Err(failure) if failure.exit() == Exit::Temporary && tries < TRIES => {}
            Err(failure) => return Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_called_by_its_number_or_id() {
        let one = json!({ "revision": "6503", "version": 3 });
        assert!(is_called(&one, "3") && is_called(&one, "6503"));
        assert!(!is_called(&one, "03") && !is_called(&one, "65"));
    }
}
