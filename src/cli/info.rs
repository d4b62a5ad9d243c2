//! `pdsfs info PATH`: everything known about one file of a mounted drive.
//!
//! It reads the mount's own extended attributes (`user.pds.json` and those of this machine), so it needs
//! neither the daemon's address nor a token, and shows exactly what `getfattr` would. For a file whose bytes
//! are not on the drive yet there is no File object: the page then says where the upload stands.
//!
//! [`render`] is a pure function; [`run`] gathers and prints.

pub(super) mod human;
mod page;
mod sections;
#[cfg(test)]
mod tests;

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;

use jiff::tz::TimeZone;
use rustix::io::Errno;
use serde_json::{Map, Value, json};

use crate::error::{Error, Kind, Result};
use crate::fs::xattr::MAX_VALUE_BYTES;
use crate::fs::xattr::table;

/// What is known about the file beside its File object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extra {
    /// As the user may type it.
    pub path: String,
    /// The last part of the path.
    pub visible_name: String,
    /// From `stat`.
    pub is_folder: bool,
    /// `st_size` in bytes.
    pub size_bytes: u64,
    /// A word of `user.pds.state`.
    pub state: String,
    /// Bytes on this machine; `None` for folders.
    pub cached_bytes: Option<u64>,
    /// Bytes sent and bytes in all.
    pub upload_progress: Option<(u64, u64)>,
    /// Why the last upload failed, or empty.
    pub upload_error: String,
    /// Seconds since the service said what the File object says.
    pub cache_age_seconds: Option<u64>,
}

/// How a page looks.
#[derive(Clone, Debug)]
pub struct Style {
    /// Colour and weight by terminal codes.
    pub color: bool,
    /// Columns to wrap at; 0 = never.
    pub width: usize,
    /// The clock that times are shown on.
    pub zone: TimeZone,
}

impl Default for Style {
    /// Plain text, not wrapped, UTC: what a program reading it wants.
    fn default() -> Self {
        Style { color: false, width: 0, zone: TimeZone::UTC }
    }
}

/// The page of one file for a person. `json` is the value of `user.pds.json`, or `Null` when there is none.
pub fn render(json: &Value, extra: &Extra, style: &Style) -> String {
    sections::page(json, extra, style).render(style)
}

/// Prints what is known about the file at `path`: a page, or with `as_json` the File object with a member
/// `local` for this machine.
///
/// # Errors
/// [`Kind::NotFound`] when there is no such file, [`Kind::Invalid`] when it is not on a pdsfs mount,
/// [`Kind::Unavailable`] when the mount is dead, [`Kind::Denied`] without the right to look.
pub fn run(path: &Path, as_json: bool) -> Result<()> {
    let (file, extra) = gather(path)?;
    let text =
        if as_json { as_program_output(file, &extra) } else { render(&file, &extra, &terminal_style()) };
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Error::io("print", error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The File object with `local` in it, indented, ended by a newline.
fn as_program_output(file: Value, extra: &Extra) -> String {
    let mut object = match file {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    let mut local = json!({
        "path": extra.path, "visible_name": extra.visible_name, "size": extra.size_bytes, "state": extra.state,
    });
    for (key, value) in [("cached_bytes", extra.cached_bytes), ("cache_age", extra.cache_age_seconds)] {
        if let Some(value) = value {
            local[key] = value.into();
        }
    }
    if let Some((sent, total)) = extra.upload_progress {
        local["upload_progress"] = json!({"sent": sent, "total": total});
    }
    if !extra.upload_error.is_empty() {
        local["upload_error"] = extra.upload_error.as_str().into();
    }
    object.insert("local".into(), local);
    format!("{:#}\n", Value::Object(object))
}

fn gather(path: &Path) -> Result<(Value, Extra)> {
    let Some(state) = attribute(path, "state")? else {
        return Err(not_mounted(path));
    };
    let stat = std::fs::metadata(path).map_err(|error| Error::io("look at", error).on(path.display()))?;
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let name = full.file_name().map_or_else(|| full.to_string_lossy(), |name| name.to_string_lossy());
    let number = |name| -> Result<Option<u64>> {
        Ok(attribute(path, name)?.and_then(|text: String| text.parse().ok()))
    };
    let progress = attribute(path, "upload_progress")?.unwrap_or_default();
    let progress = progress.split_once('/').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    let extra = Extra {
        path: full.to_string_lossy().into_owned(),
        visible_name: name.into_owned(),
        is_folder: stat.is_dir(),
        size_bytes: stat.len(),
        state,
        cached_bytes: number("cached_bytes")?,
        upload_progress: progress,
        upload_error: attribute(path, "upload_error")?.unwrap_or_default(),
        cache_age_seconds: number("cache_age")?,
    };
    Ok((file_object(path)?, extra))
}

/// `user.pds.json`, or `Null` when the drive does not describe these bytes yet. An object too long for one
/// attribute is put together from the others.
fn file_object(path: &Path) -> Result<Value> {
    match read(path, "user.pds.json") {
        Ok(text) => serde_json::from_str(&text).map_err(|error| {
            Error::new(Kind::Protocol, "read user.pds.json", "it is not JSON")
                .on(path.display())
                .caused_by(error)
        }),
        Err(Errno::NODATA) => Ok(Value::Null),
        Err(Errno::TOOBIG) => {
            let fields = table::rows().filter(|row| row.name.strip_prefix("user.pds.") == Some(row.source));
            let found = fields.filter_map(|row| Some((row.source.to_owned(), read(path, row.name).ok()?)));
            Ok(Value::Object(found.map(|(key, text)| (key, parse_or_text(text))).collect()))
        }
        Err(errno) => Err(explain(errno, path)),
    }
}

/// Collections come back as what they are, words as texts.
fn parse_or_text(text: String) -> Value {
    let is_json = text.starts_with(['{', '[']);
    let parsed = is_json.then(|| serde_json::from_str(&text).ok()).flatten();
    parsed.unwrap_or(Value::String(text))
}

/// `user.pds.NAME`; `None` when it does not exist.
fn attribute(path: &Path, name: &str) -> Result<Option<String>> {
    match read(path, &format!("user.pds.{name}")) {
        Ok(text) => Ok(Some(text)),
        Err(Errno::NODATA) => Ok(None),
        Err(errno) => Err(explain(errno, path)),
    }
}

fn read(path: &Path, name: &str) -> Result<String, Errno> {
    let mut buffer = vec![0; MAX_VALUE_BYTES];
    let length = rustix::fs::getxattr(path, name, buffer.as_mut_slice())?;
    buffer.truncate(length);
    Ok(String::from_utf8_lossy(&buffer).into_owned())
}

fn explain(errno: Errno, path: &Path) -> Error {
    let (kind, message) = match errno {
        Errno::NOENT => (Kind::NotFound, "there is no such file or folder"),
        Errno::NOTDIR => (Kind::NotFound, "a part of this path is not a folder"),
        Errno::OPNOTSUPP => return not_mounted(path),
        Errno::ACCESS | Errno::PERM => (Kind::Denied, "you have no right to look at it"),
        Errno::NOTCONN | Errno::CONNABORTED => (
            Kind::Unavailable,
            "the mount is dead, its process was killed; mount again at the same place with `pdsfs mount`",
        ),
        other => return Error::io("look at", other.into()).on(path.display()),
    };
    Error::new(kind, "look at", message).on(path.display())
}

fn not_mounted(path: &Path) -> Error {
    let message = "this is not on a drive mounted by pdsfs (or that mount has --xattr=off); mount one with \
        `pdsfs mount MOUNTPOINT` and give a path below MOUNTPOINT";
    Error::new(Kind::Invalid, "look at", message).on(path.display())
}

fn terminal_style() -> Style {
    let out = std::io::stdout();
    let is_terminal = out.is_terminal();
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let size = rustix::termios::tcgetwinsize(&out).ok().filter(|_| is_terminal);
    Style {
        color: is_terminal && !no_color && !is_dumb,
        width: size.map_or(0, |size| usize::from(size.ws_col)),
        zone: TimeZone::system(),
    }
}
