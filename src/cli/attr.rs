//! `pdsfs attr`: a file's extended attributes for people without attr tools, in shorter words and with reasons.
//!
//! It makes the system calls that `getfattr` and `setfattr` make, so it sees and does exactly what they do. Why a value
//! was refused is found out here, with the code that refused it in the mount.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::builder::BoolishValueParser;
use clap::{Args, Subcommand};
use rustix::fs::XattrFlags;
use rustix::io::Errno;
use serde_json::{Map, Value};

use super::info::human::visible;
use crate::config::{Exit, Failure};
use crate::fs::xattr::flatten::{PREFIX, Urls, flatten};
use crate::fs::xattr::{MAX_VALUE_BYTES, foreign, table, writable};
use crate::mount::table::printable;

/// Shows and changes what is attached to files: labels, descriptions, tags, and all that the drive knows.
///
/// A NAME is an attribute's full name, or its end: `labels` is `user.pds.labels`, `xdg.tags` is `user.xdg.tags`. The
/// README lists all of them; `pdsfs attr ls` shows those of a file.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Examples:
  pdsfs attr ls ~/pds/photo.jpg
  pdsfs attr set labels 'lake, summer' ~/pds/*.jpg
  pdsfs attr set description 'Sunset at the lake' ~/pds/photo.jpg
  pdsfs attr set tag.project house ~/pds/plans
  pdsfs attr get image.location ~/pds/*.jpg
  pdsfs attr rm labels ~/pds/photo.jpg"
)]
pub struct AttrArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the attributes of a file or folder
    #[command(alias = "list")]
    Ls {
        /// Also those that are not listed, such as every EXIF tag [default: off]
        #[arg(short, long)]
        all: bool,
        /// For programs: one JSON object of names and values [default: off]
        #[arg(long, env = "PDSFS_JSON", value_parser = BoolishValueParser::new())]
        json: bool,
        /// A file or folder below a mountpoint
        path: PathBuf,
    },
    /// Print the value of an attribute
    Get {
        /// Its name
        name: String,
        /// Files and folders below a mountpoint
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Give an attribute a value
    Set {
        /// Its name
        name: String,
        /// The value, as the README's column "Settable" describes it
        value: String,
        /// Files and folders below a mountpoint
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Take an attribute away
    #[command(alias = "remove")]
    Rm {
        /// Its name
        name: String,
        /// Files and folders below a mountpoint
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
}

/// Runs the command.
///
/// # Errors
/// What the mount refuses, and why. Of several paths all are tried; the first failure is told at the end.
pub fn run(args: &AttrArgs) -> Result<(), Failure> {
    match &args.action {
        Action::Ls { all, json, path } => show(path, *all, *json),
        Action::Get { name, paths } => {
            let name = full_name(name);
            let several = paths.len() > 1;
            each(paths, |path| {
                let value = read(path, &name).map_err(|errno| why(errno, path, &name, None))?;
                let mut out = std::io::stdout();
                // Somebody who closed the other end of the pipe does not want to know.
                let _ = if several { write!(out, "{}\t", printable(path)) } else { Ok(()) };
                let _ = out.write_all(&value).and_then(|()| out.write_all(b"\n"));
                Ok(())
            })
        }
        Action::Set { name, value, paths } => {
            let name = full_name(name);
            each(paths, |path| {
                rustix::fs::setxattr(path, &*name, value.as_bytes(), XattrFlags::empty())
                    .map_err(|errno| why(errno, path, &name, Some(value.as_bytes())))
            })
        }
        Action::Rm { name, paths } => {
            let name = full_name(name);
            each(paths, |path| {
                rustix::fs::removexattr(path, &*name).map_err(|errno| why(errno, path, &name, None))
            })
        }
    }
}

/// Tries all; the failures but the last are told at once.
fn each(paths: &[PathBuf], mut act: impl FnMut(&Path) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut failed: Option<Failure> = None;
    for path in paths {
        if let Err(failure) = act(path)
            && let Some(earlier) = failed.replace(failure)
        {
            complain!("pdsfs: {earlier}");
        }
    }
    failed.map_or(Ok(()), Err)
}

/// The attribute a person means.
fn full_name(name: &str) -> String {
    if name.starts_with("user.") {
        return name.to_owned();
    }
    let alias = format!("user.{name}");
    // A name of another program that has a row of its own, such as `xdg.tags` or `mime_type`.
    let is_known = |name: &str| !table::find(name).row.name.contains('<');
    let own = format!("{PREFIX}{name}");
    if is_known(&alias) && !is_known(&own) { alias } else { own }
}

fn show(path: &Path, all: bool, json: bool) -> Result<(), Failure> {
    let failed = |errno| why(errno, path, "", None);
    let mut found: Vec<(String, Vec<u8>)> = Vec::new();
    for name in names(path).map_err(failed)? {
        match read(path, &name) {
            Ok(value) => found.push((name, value)),
            // Removed between the two calls.
            Err(Errno::NODATA) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    if all && let Ok(text) = read(path, &format!("{PREFIX}json")) {
        let object: Map<String, Value> = serde_json::from_slice(&text).unwrap_or_default();
        for attribute in flatten(&object, Urls::Strip, None) {
            if !found.iter().any(|(name, _)| *name == attribute.name) {
                found.push((attribute.name, attribute.value));
            }
        }
    }
    if json {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let object: Map<String, Value> =
            found.iter().map(|(name, value)| (name.clone(), text(value).into())).collect();
        say!("{}", Value::Object(object));
        return Ok(());
    }
    let width = found.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in &found {
        let value = match std::str::from_utf8(value) {
            Ok(text) => visible(text),
            Err(_) => format!("({} bytes that are not text)", value.len()),
        };
        say!("{name:<width$}  {value}");
    }
    Ok(())
}

fn names(path: &Path) -> Result<Vec<String>, Errno> {
    let mut buffer = vec![0; MAX_VALUE_BYTES];
    let length = rustix::fs::listxattr(path, buffer.as_mut_slice())?;
    let names = buffer.get(..length).unwrap_or_default().split(|byte| *byte == 0);
    Ok(names.filter(|name| !name.is_empty()).map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

fn read(path: &Path, name: &str) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; MAX_VALUE_BYTES];
    let length = rustix::fs::getxattr(path, name, buffer.as_mut_slice())?;
    buffer.truncate(length);
    Ok(buffer)
}

/// An errno in words. `value` is what was to be set.
fn why(errno: Errno, path: &Path, name: &str, value: Option<&[u8]>) -> Failure {
    let (exit, reason) = match errno {
        Errno::NODATA => (Exit::NotFound, "it has no such attribute".to_owned()),
        Errno::NOENT | Errno::NOTDIR => (Exit::NotFound, "there is no such file or folder".to_owned()),
        Errno::PERM => (Exit::Other, "this attribute belongs to the drive and cannot be changed".to_owned()),
        Errno::OPNOTSUPP => {
            let reason =
                "it takes no such attribute. Is it below a mountpoint of pdsfs, and not that itself?";
            (Exit::Other, reason.to_owned())
        }
        Errno::INVAL | Errno::RANGE | Errno::NOSPC => (Exit::Usage, refusal(name, value)),
        other => {
            return Failure::from(crate::error::Error::io("use attribute", other.into()).on(path.display()));
        }
    };
    let what = if name.is_empty() { String::new() } else { format!("{name}: ") };
    Failure::new(exit, format!("attr {:?}: {what}{reason}", printable(path)))
}

/// Why a value is refused, as the code says that refuses it.
fn refusal(name: &str, value: Option<&[u8]>) -> String {
    let checked = writable::change(name, &writable::keeper_of(name), value, &Map::new());
    match checked {
        Err(error) => error.message().to_owned(),
        Ok(_) if foreign::is_foreign(name) => "the drive cannot keep it".to_owned(),
        Ok(_) => "the drive does not take this value".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_those_of_the_drive_and_of_well_known_aliases() {
        for (short, full) in [
            ("labels", "user.pds.labels"),
            ("mime_type", "user.pds.mime_type"),
            ("xdg.tags", "user.xdg.tags"),
            ("baloo.rating", "user.baloo.rating"),
            ("checksum.sha1", "user.checksum.sha1"),
            ("tag.project", "user.pds.tag.project"),
            ("image.exif.Make", "user.pds.image.exif.Make"),
            ("tomorrow", "user.pds.tomorrow"),
            ("user.mine", "user.mine"),
        ] {
            assert_eq!(full_name(short), full);
        }
    }

    #[test]
    fn a_refusal_says_what_would_do() {
        assert_eq!(refusal("user.pds.starred", Some(b"maybe")), "this is true or false");
        assert!(refusal("user.pds.labels", Some(b"[1]")).contains("words with commas between"));
        assert!(refusal("user.pds.tag.k", Some(&[b'v'; 2000])).contains("2,000 bytes"));
    }
}
