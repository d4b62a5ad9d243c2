//! What the embedded server knows about a file from its bytes and its name: the derived fields of the File
//! object (pds-api.md 4.6) and the media metadata the service's value-added feature computes (17.1, 17.2).
//!
//! The bytes decide before the name, the name before what the client declared. Every parser reads through a
//! [`view::View`], which hands out a bounded number of bytes and then fails, so a file of any size and any
//! content costs at most [`HEAD_LEN`] plus two times [`READ_LIMIT`] of reading, by `pread`: the file's own
//! position is neither used nor moved. Nothing here fails. A damaged file has fewer facts, never an error.
//!
//! - `kind`: MIME type, its extension, category.
//! - `image`: dimensions, EXIF tags, shooting time, GPS.
//! - `movie` (MP4, MOV, M4A), `matroska` (MKV, WebM), `audio` (MP3, FLAC, Ogg, WAV, AIFF...): each makes a
//!   `clip::Clip`, which knows how the service spells streams.
//!
//! Absent on purpose: everything that needs decoding or a model (labels, faces, addresses, scores), AVI, WMV,
//! FLV and MPEG streams, the samples of fragmented MP4.

mod audio;
mod clip;
mod image;
mod kind;
mod matroska;
mod movie;
mod view;

use std::fs::File;

use serde_json::Value;
use view::View;

/// How much of the beginning of a file the MIME type is recognised by, in bytes: enough for the office
/// formats, which show what they are some 6,000 bytes into their zip.
const HEAD_LEN: usize = 8 << 10;

/// The most one parser reads of one file, in bytes. The longest legitimate reading is the sample size table of
/// a video: 4 bytes a frame, so 19 hours at 60 frames a second.
const READ_LIMIT: u64 = 16 << 20;

/// What the bytes and the name tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// `image/jpeg`; `application/octet-stream` when nothing is known (pds-api.md 16.1).
    pub mime_type: String,
    /// The extension that goes with `mime_type`, without the dot, lower case; empty when there is none.
    pub mime_extension: String,
    /// `image`, `video`, `audio`, `doc`, `zip`, `app` or `others` (pds-api.md 4.6).
    pub category: &'static str,
    /// `image_media_metadata` (pds-api.md 17.1) of images. `width` and `height` are pixels as displayed: those
    /// of an image whose EXIF orientation is 5 to 8 are swapped with respect to how it is stored.
    pub image: Option<Value>,
    /// `video_media_metadata` (pds-api.md 17.2) of videos and of audio, which has only audio streams. `width`
    /// and `height` are as displayed here too: swapped for a rotation of 90 or 270 degrees.
    pub video: Option<Value>,
}

/// Describes the file `name`, which the client declared to be `content_type` (empty if it did not), whose
/// `size` bytes are in `blob`.
///
/// Never fails and never panics: damaged media simply has fewer facts. Reads at most 32 MiB and 8 KiB of
/// `blob`, however large it is and whatever it contains, and leaves its position alone. Blocks on the disk.
pub fn describe(name: &str, content_type: &str, blob: &File, size: u64) -> Facts {
    let view = |limit| View::new(blob, size, limit);
    let head = head(blob, size);
    let kind = kind::recognise(name, content_type, &head);
    let clip = match kind.mime_type.as_str() {
        "video/x-matroska" | "video/webm" | "audio/x-matroska" | "audio/webm" => {
            matroska::read(&mut view(READ_LIMIT))
        }
        _ if movie::is_movie(&head) && kind.category != "image" => movie::read(&mut view(READ_LIMIT)),
        _ if kind.category == "audio" => audio::read(view(READ_LIMIT)),
        _ => None,
    };
    let image = (kind.category == "image").then(|| image::read(&kind.mime_type, &view)).flatten();
    Facts {
        mime_type: kind.mime_type,
        mime_extension: kind.mime_extension,
        category: kind.category,
        image,
        video: clip.and_then(|clip| clip.to_json()),
    }
}

/// The same by the first bytes alone, without `image` and `video`.
pub fn recognise(name: &str, content_type: &str, blob: &File, size: u64) -> Facts {
    let kind = kind::recognise(name, content_type, &head(blob, size));
    Facts {
        mime_type: kind.mime_type,
        mime_extension: kind.mime_extension,
        category: kind.category,
        image: None,
        video: None,
    }
}

impl Facts {
    /// Whether a closer look may find more than [`recognise`] does.
    pub fn is_media(&self) -> bool {
        matches!(self.category, "image" | "video" | "audio")
    }
}

fn head(blob: &File, size: u64) -> Vec<u8> {
    let len = HEAD_LEN.min(size.try_into().unwrap_or(HEAD_LEN));
    View::new(blob, size, HEAD_LEN as u64).exactly(0, len).unwrap_or_default()
}

/// `lat,lon` in decimal degrees as the service prints it (pds-api.md 17.1), north and east positive. Nothing
/// for what is not on Earth, nor for 0,0, which cameras write when they have no fix.
fn location(latitude: f64, longitude: f64) -> Option<String> {
    let valid = latitude.abs() <= 90.0 && longitude.abs() <= 180.0 && (latitude != 0.0 || longitude != 0.0);
    valid.then(|| format!("{latitude:.6},{longitude:.6}"))
}

/// RFC 3339 in UTC with milliseconds (pds-api.md 4.3) of seconds since 1970; nothing for 1970 and before,
/// which is a clock that was never set, and beyond year 9999.
fn utc(seconds: i64) -> Option<String> {
    let at = jiff::Timestamp::from_second(seconds).ok()?;
    (seconds > 0).then(|| at.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string())
}

#[cfg(test)]
mod tests;
