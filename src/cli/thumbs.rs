//! `pdsfs thumbs`: fills the desktop's thumbnail cache from the drive's own thumbnails.
//!
//! A file manager that finds no thumbnail reads the whole file to make one, which on a drive means downloading every
//! photo of a folder. The freedesktop Thumbnail Managing Standard says where it looks: a PNG file named by the MD5 of the
//! file's URI, with that URI and the file's modification time in its text.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, IsTerminal};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use md5::{Digest, Md5};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde_json::Value;

use super::talk::Place;
use crate::config::{Exit, Failure, paths};
use crate::error::{Error, Kind, Result};
use crate::mount::protocol::{Job, MAX_PATHS};
use crate::mount::table::printable;

/// Puts thumbnails where the desktop looks for them, made by the drive: no photo is downloaded for it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pdsfs thumbs ~/pds/Photos
  pdsfs thumbs --size x-large ~/pds/Photos/2026")]
pub struct ThumbsArgs {
    /// How large: 128, 256, 512 or 1024 pixels along the longer side
    #[arg(long, value_enum, default_value = "large")]
    size: Size,
    /// Also where there is one already [default: off]
    #[arg(long, env = "PDSFS_FORCE", value_parser = BoolishValueParser::new())]
    force: bool,
    /// Files, and folders with all in them, below a mountpoint
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

/// The sizes of the standard.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Size {
    Normal,
    Large,
    XLarge,
    XxLarge,
}

impl Size {
    /// The folder's name and the longest side.
    fn of(self) -> (&'static str, u32) {
        match self {
            Size::Normal => ("normal", 128),
            Size::Large => ("large", 256),
            Size::XLarge => ("x-large", 512),
            Size::XxLarge => ("xx-large", 1_024),
        }
    }
}

/// A file that is to have a thumbnail.
struct Wanted {
    path: PathBuf,
    uri: String,
    /// Seconds since 1970.
    modified: i64,
    size: u64,
    thumbnail: PathBuf,
}

#[derive(Default)]
struct Tally {
    made: u64,
    there: u64,
    none: u64,
    failed: u64,
}

/// Runs the command.
///
/// # Errors
/// [`Exit::Mountpoint`] for what is not on a mount; [`Exit::Temporary`] when some could not be fetched.
pub fn run(args: &ThumbsArgs) -> Result<(), Failure> {
    let (folder, pixels) = args.size.of();
    let cache = cache_folder(folder)?;
    let mut tally = Tally::default();
    let bar =
        if std::io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    for path in &args.paths {
        let place = Place::of("thumbs", path)?;
        let mut waiting: Vec<Wanted> = Vec::new();
        let mut folders = vec![place.absolute(&place.path)];
        while let Some(next) = folders.pop() {
            for path in files_and_folders(&next, &mut folders)? {
                let Some(wanted) = wanted(path, &cache)? else { continue };
                if !args.force && is_up_to_date(&wanted) {
                    tally.there += 1;
                    continue;
                }
                waiting.push(wanted);
                if waiting.len() == MAX_PATHS {
                    fetch(&place, &mut waiting, pixels, &mut tally)?;
                    bar.set_message(format!("{} made", tally.made));
                    bar.tick();
                }
            }
        }
        fetch(&place, &mut waiting, pixels, &mut tally)?;
    }
    bar.finish_and_clear();
    say!(
        "{} made, {} were there already, {} without a thumbnail on the drive",
        tally.made,
        tally.there,
        tally.none
    );
    if tally.failed > 0 {
        let message = format!("thumbs: {} could not be fetched, see above; try again", tally.failed);
        return Err(Failure::new(Exit::Temporary, message));
    }
    Ok(())
}

/// The folder of one size in the user's cache, private as the standard wants it.
fn cache_folder(size: &str) -> Result<PathBuf> {
    let ours = paths::Base::of_user()?.cache;
    let folder = ours.with_file_name("thumbnails").join(size);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(|error| Error::io("make folder", error).on(printable(&folder)))?;
    Ok(folder)
}

/// The files at a path: itself, or what a folder has in it. Folders in it go to `folders`.
fn files_and_folders(path: &Path, folders: &mut Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    let failed = |error| Error::io("read folder", error).on(printable(path));
    if !fs::symlink_metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        match entry.file_type().map_err(failed)? {
            kind if kind.is_dir() => folders.push(entry.path()),
            kind if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
    files.sort();
    Ok(files)
}

/// What a thumbnail of `path` is about; `None` for what is neither image nor video.
fn wanted(path: PathBuf, cache: &Path) -> Result<Option<Wanted>> {
    let mut category = [0; 64];
    let length = rustix::fs::getxattr(&path, "user.pds.category", &mut category).unwrap_or(0);
    if !matches!(category.get(..length), Some(b"image" | b"video")) {
        return Ok(None);
    }
    let about = match fs::metadata(&path) {
        Ok(about) => about,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("look at", error).on(printable(&path))),
    };
    let uri = uri(&path);
    let name = Md5::digest(uri.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let thumbnail = cache.join(format!("{name}.png"));
    Ok(Some(Wanted { path, uri, modified: about.mtime(), size: about.len(), thumbnail }))
}

/// The URI that desktops make of a path: these characters stay as they are.
fn uri(path: &Path) -> String {
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'!')
        .remove(b'$')
        .remove(b'&')
        .remove(b'\'')
        .remove(b'(')
        .remove(b')')
        .remove(b'*')
        .remove(b'+')
        .remove(b',')
        .remove(b'-')
        .remove(b'.')
        .remove(b'/')
        .remove(b':')
        .remove(b'=')
        .remove(b'@')
        .remove(b'_')
        .remove(b'~');
    format!("file://{}", percent_encode(path.as_os_str().as_bytes(), ESCAPED))
}

fn is_up_to_date(wanted: &Wanted) -> bool {
    let read = || -> Option<bool> {
        let decoder = png::Decoder::new(BufReader::new(File::open(&wanted.thumbnail).ok()?));
        let reader = decoder.read_info().ok()?;
        let texts = &reader.info().uncompressed_latin1_text;
        let text = |key: &str| texts.iter().find(|text| text.keyword == key).map(|text| text.text.as_str());
        Some(text("Thumb::MTime")? == wanted.modified.to_string() && text("Thumb::URI")? == wanted.uri)
    };
    read().unwrap_or(false)
}

/// Has the mount fetch what is waiting, and puts it in its place.
fn fetch(place: &Place, waiting: &mut Vec<Wanted>, pixels: u32, tally: &mut Tally) -> Result<(), Failure> {
    let root = place.absolute("");
    let inside = |wanted: &Wanted| wanted.path.strip_prefix(&root).ok()?.to_str().map(str::to_owned);
    let paths: Vec<String> = waiting.iter().filter_map(inside).collect();
    if paths.is_empty() {
        return Ok(());
    }
    place.ask(Job::Thumbnails { paths, pixels }, |item| {
        let path = item["path"].as_str().unwrap_or_default();
        let Some(wanted) = waiting.iter().find(|wanted| inside(wanted).as_deref() == Some(path)) else {
            return Ok(());
        };
        match (&item["picture"], item["error"].as_str()) {
            (_, Some(error)) => {
                complain!("pdsfs: {error}");
                tally.failed += 1;
            }
            (Value::String(picture), None) => match keep(wanted, picture) {
                Ok(()) => tally.made += 1,
                // A picture that nobody can read is no reason to leave out the others.
                Err(error) if error.kind() == Kind::Protocol => {
                    complain!("pdsfs: {error}");
                    tally.failed += 1;
                }
                Err(error) => return Err(error.into()),
            },
            _ => tally.none += 1,
        }
        Ok(())
    })?;
    waiting.clear();
    Ok(())
}

/// Writes a thumbnail as the standard wants it: a PNG with texts, private, and there in one step.
fn keep(wanted: &Wanted, picture: &str) -> Result<()> {
    let unreadable = |why: String| {
        Error::new(Kind::Protocol, "make thumbnail", format!("the drive sent no picture: {why}"))
            .on(printable(&wanted.path))
    };
    let bytes = STANDARD.decode(picture).map_err(|error| unreadable(error.to_string()))?;
    let pixels = image::load_from_memory(&bytes).map_err(|error| unreadable(error.to_string()))?.into_rgba8();
    let failed = |error| Error::io("write thumbnail", error).on(printable(&wanted.thumbnail));
    let folder = wanted.thumbnail.parent().unwrap_or(Path::new("."));
    let file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o600)).map_err(failed)?;
    let mut encoder = png::Encoder::new(BufWriter::new(file.as_file()), pixels.width(), pixels.height());
    encoder.set_color(png::ColorType::Rgba);
    let mut write = || -> Result<(), png::EncodingError> {
        for (key, text) in [
            ("Thumb::URI", wanted.uri.clone()),
            ("Thumb::MTime", wanted.modified.to_string()),
            ("Thumb::Size", wanted.size.to_string()),
            ("Software", "pdsfs".to_owned()),
        ] {
            encoder.add_text_chunk(key.to_owned(), text)?;
        }
        Ok(())
    };
    let encoding = |error: png::EncodingError| failed(std::io::Error::other(error));
    write().map_err(encoding)?;
    let mut writer = encoder.write_header().map_err(encoding)?;
    writer.write_image_data(pixels.as_raw()).map_err(encoding)?;
    writer.finish().map_err(encoding)?;
    file.persist(&wanted.thumbnail).map_err(|error| failed(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_spelled_as_desktops_do() {
        assert_eq!(uri(Path::new("/home/me/a b.jpg")), "file:///home/me/a%20b.jpg");
        assert_eq!(uri(Path::new("/x/\u{e9};#%?[1]~!'()")), "file:///x/%C3%A9%3B%23%25%3F%5B1%5D~!'()");
    }
}
