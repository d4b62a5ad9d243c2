//! Pictures made from contents on download: the object store's `x-oss-process` (pds-api.md 12.4).
//!
//! ```text
//! image/resize,m_fill,h_128,w_128,limit_0/format,jpg     picture: decode, turn upright, resize, encode
//! video/snapshot,t_1000,f_jpg,w_0,h_0,m_fast             frame: one picture of a video, by ffmpeg
//! ```
//!
//! The process is a parameter of the signed URL, so nobody can order another one. Nothing is kept: a picture is
//! made anew for each request, [`MOST_AT_ONCE`] of them at a time, the others wait. What a hostile file can
//! cost is bounded by [`MOST_SOURCE_BYTES`] and [`MOST_DECODED_BYTES`], and for videos by a deadline.

mod frame;
mod picture;
mod resize;

use std::path::Path;

use axum::body::Bytes;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use self::frame::Snapshot;
use self::picture::Recipe;
use super::reply::{ApiError, DataError};

/// The parameter of a signed URL.
pub const PARAMETER: &str = "x-oss-process";
/// Pictures that are made at the same time: each may need twice [`MOST_DECODED_BYTES`] of memory.
const MOST_AT_ONCE: usize = 2;
/// The object store processes no larger images either, in bytes.
const MOST_SOURCE_BYTES: u64 = 20 << 20;
/// The most pixels of an image that is decoded.
const MOST_PIXELS: u64 = 64 << 20;
/// The most bytes of a decoded image: 8 bits of four channels. It is there twice while it is turned.
const MOST_DECODED_BYTES: u64 = 4 * MOST_PIXELS;

/// A picture that was made.
pub struct Made {
    /// Its MIME type.
    pub mime_type: &'static str,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Makes pictures, a few at a time.
pub struct Studio {
    turns: Semaphore,
}

impl Default for Studio {
    fn default() -> Self {
        Studio { turns: Semaphore::new(MOST_AT_ONCE) }
    }
}

/// What is wanted.
#[derive(Debug, PartialEq)]
enum Process {
    Picture(Recipe),
    Frame(Snapshot),
}

impl Process {
    fn parse(text: &str) -> Result<Process, String> {
        let mut actions = text.split('/');
        match actions.next() {
            Some("image") => Recipe::parse(actions).map(Process::Picture),
            Some("video") => Snapshot::parse(actions).map(Process::Frame),
            _ => Err(format!("{text:?} is neither image/... nor video/...")),
        }
    }
}

impl Studio {
    /// Makes what `process` says of the `size` bytes in `blob`, which are of type `mime_type`.
    ///
    /// # Errors
    /// 400 for a process that is not understood and for contents that cannot be processed.
    pub async fn make(
        &self,
        process: &str,
        mime_type: &str,
        blob: &Path,
        size: u64,
    ) -> Result<Made, DataError> {
        let process = Process::parse(process).map_err(|why| DataError::new(400, "InvalidArgument", why))?;
        let _turn = self.turns.acquire().await.map_err(|error| ApiError::internal("take turns", error))?;
        match process {
            Process::Frame(snapshot) => snapshot.make(mime_type, blob).await,
            Process::Picture(recipe) => {
                let format = picture::format_of(mime_type).ok_or_else(not_supported)?;
                if size > MOST_SOURCE_BYTES {
                    let message = "The image exceeds the maximum size of 20 MB.";
                    return Err(DataError::new(400, "ImageTooLarge", message));
                }
                let blob = blob.to_owned();
                // A decoder that panics on a damaged image ends its own thread's work only.
                let work = spawn_blocking(move || recipe.make(format, &blob));
                work.await.unwrap_or_else(|_| Err(damaged()))
            }
        }
    }
}

/// Whether a picture can be made of a content of this type, and with which of the two processes.
pub fn kind_of(mime_type: &str) -> Option<Kind> {
    if picture::format_of(mime_type).is_some() {
        return Some(Kind::Image);
    }
    (frame::is_readable(mime_type) && frame::program().is_some()).then_some(Kind::Video)
}

/// What a picture is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `image/...`.
    Image,
    /// `video/snapshot`.
    Video,
}

fn not_supported() -> DataError {
    DataError::new(400, "BadRequest", "This format is not supported.")
}

fn damaged() -> DataError {
    DataError::new(400, "ImageDamage", "The image file may be damaged.")
}

/// `key_value` parameters of an action; those without a value are flags.
fn parameters(action: &str) -> impl Iterator<Item = (&str, &str)> {
    action.split(',').skip(1).map(|parameter| parameter.split_once('_').unwrap_or((parameter, "")))
}

/// A whole number within a range.
fn number<T: std::str::FromStr + PartialOrd>(key: &str, text: &str, least: T, most: T) -> Result<T, String> {
    let number = text.parse().ok().filter(|number| *number >= least && *number <= most);
    number.ok_or_else(|| format!("The value {text:?} of parameter {key} is invalid."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_defaults_are_understood() {
        for text in [
            "image/resize,m_fill,h_128,w_128,limit_0",
            "image/resize,w_480/auto-orient,1/quality,q_80/format,png",
            "video/snapshot,t_1000,f_jpg,w_0,h_0,m_fast,ar_auto",
        ] {
            Process::parse(text).unwrap();
        }
        for text in [
            "",
            "image",
            "image/resize",
            "image/explode",
            "audio/play",
            "video/resize,w_1",
            "image/resize,w_x",
        ] {
            Process::parse(text).unwrap_err();
        }
    }
}
