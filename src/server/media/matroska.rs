//! Matroska and WebM (RFC 9559): durations and streams from the `Info` and `Tracks` elements.
//!
//! A reader of our own, because the small crates for it stop the program, or allocate what a length field
//! asks for, on damaged files. Elements are stepped over by their size until both are found or the media data
//! (the first `Cluster`) begins; recorders write them before it.
//!
//! An element is `id, size, contents`; both numbers tell their length by leading zero bits (RFC 8794). A size
//! of all ones means "until the parent ends".

use super::clip::{AudioStream, Clip, MOST_STREAMS, VideoStream};
use super::utc;
use super::view::{View, number};

const SEGMENT: u64 = 0x1853_8067;
const CLUSTER: u64 = 0x1f43_b675;
const INFO: u64 = 0x1549_a966;
const TRACKS: u64 = 0x1654_ae6b;
const TRACK: u64 = 0xae;

/// Elements looked at on one level.
const MOST_ELEMENTS: usize = 4096;

/// Seconds from 1970 to 2001, where `DateUTC` counts from.
const EPOCH: i64 = 978_307_200;

/// What the file tells, or nothing if it has no `Segment`.
pub(super) fn read(view: &mut View<'_>) -> Option<Clip> {
    let file = Element { id: 0, start: 0, end: view.size() };
    let segment = file.children(view).into_iter().find(|element| element.id == SEGMENT)?;
    let mut clip = Clip::default();
    for element in segment.children(view) {
        match element.id {
            INFO => info(view, element, &mut clip),
            TRACKS => {
                for track in element.children(view).into_iter().filter(|track| track.id == TRACK) {
                    if clip.video.len() + clip.audio.len() < MOST_STREAMS {
                        stream(view, track, &mut clip);
                    }
                }
            }
            _ => {}
        }
    }
    let duration = clip.duration;
    clip.video.iter_mut().for_each(|stream| stream.duration = duration);
    clip.audio.iter_mut().for_each(|stream| stream.duration = duration);
    Some(clip)
}

/// An element: a range of the file, without its own header.
#[derive(Clone, Copy)]
struct Element {
    id: u64,
    start: u64,
    end: u64,
}

impl Element {
    /// The elements in this one, up to the first `Cluster`.
    fn children(self, view: &mut View<'_>) -> Vec<Element> {
        let mut children: Vec<Element> = Vec::new();
        let mut at = self.start;
        while let Some(child) = self.next(view, at) {
            if child.id == CLUSTER || children.len() >= MOST_ELEMENTS {
                break;
            }
            children.push(child);
            at = child.end;
        }
        children
    }

    /// The element that begins at `at`. Its end is always beyond `at`.
    fn next(self, view: &mut View<'_>, at: u64) -> Option<Element> {
        if at >= self.end {
            return None;
        }
        // An identifier has up to four bytes, a size up to eight.
        let header = view.up_to(at, 12)?;
        let id_len = header.first()?.leading_zeros() as usize + 1;
        let size_len = header.get(id_len)?.leading_zeros() as usize + 1;
        let (id, size) = (header.get(..id_len)?, header.get(id_len..id_len + size_len)?);
        if id_len > 4 || size_len > 8 {
            return None;
        }
        let whole = size.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let mask = (1 << (7 * size_len)) - 1;
        let start = (at + (id_len + size_len) as u64).min(self.end);
        let end =
            if whole & mask == mask { self.end } else { start.saturating_add(whole & mask).min(self.end) };
        Some(Element { id: id.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)), start, end })
    }

    fn bytes(self, view: &mut View<'_>) -> Option<Vec<u8>> {
        let len = usize::try_from(self.end - self.start).ok().filter(|len| *len <= 256)?;
        view.exactly(self.start, len)
    }

    fn unsigned(self, view: &mut View<'_>) -> Option<u64> {
        let bytes = self.bytes(view).filter(|bytes| bytes.len() <= 8)?;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn float(self, view: &mut View<'_>) -> Option<f64> {
        let bytes = self.bytes(view)?;
        match bytes.len() {
            4 => Some(f32::from_bits(number::<4>(&bytes, 0)? as u32).into()),
            8 => Some(f64::from_bits(number::<8>(&bytes, 0)?)),
            _ => None,
        }
    }
}

/// `Info`: how long it is, when it was made.
fn info(view: &mut View<'_>, info: Element, clip: &mut Clip) {
    // Nanoseconds a tick, unless the file says otherwise.
    let (mut scale, mut ticks) = (1_000_000, None);
    for element in info.children(view) {
        match element.id {
            0x2a_d7b1 => scale = element.unsigned(view).unwrap_or(scale),
            0x4489 => ticks = element.float(view),
            0x4461 => {
                let since_2001 =
                    element.unsigned(view).map(|nanoseconds| nanoseconds.cast_signed() / 1_000_000_000);
                clip.time = since_2001.and_then(|seconds| utc(seconds + EPOCH));
            }
            _ => {}
        }
    }
    clip.duration = ticks.map(|ticks| ticks * scale as f64 / 1e9);
}

/// `TrackEntry`: one stream, if it is one of sound or moving pictures.
fn stream(view: &mut View<'_>, track: Element, clip: &mut Clip) {
    let (mut kind, mut codec) = (None, String::new());
    let (mut video, mut audio) = (VideoStream::default(), AudioStream::default());
    for element in track.children(view) {
        match element.id {
            0x83 => kind = element.unsigned(view),
            0x86 => codec = element.bytes(view).map(|name| codec_name(&name)).unwrap_or_default(),
            0x23_e383 => {
                let frame = element.unsigned(view).filter(|nanoseconds| *nanoseconds > 0);
                video.fps = frame.map(|nanoseconds| 1e9 / nanoseconds as f64);
            }
            0xe0 => {
                for element in element.children(view) {
                    match element.id {
                        0xb0 => video.width = element.unsigned(view).unwrap_or(0),
                        0xba => video.height = element.unsigned(view).unwrap_or(0),
                        _ => {}
                    }
                }
            }
            0xe1 => {
                for element in element.children(view) {
                    match element.id {
                        0xb5 => audio.sample_rate = element.float(view).map(|hertz| hertz as u64),
                        0x9f => audio.channels = element.unsigned(view),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    match kind {
        Some(1) => clip.video.push(VideoStream { codec, ..video }),
        Some(2) => clip.audio.push(AudioStream { codec, ..audio }),
        _ => {}
    }
}

/// The codec by the name that FFmpeg has for it; others by their Matroska name, lower case.
fn codec_name(id: &[u8]) -> String {
    let id = String::from_utf8_lossy(id).trim_end_matches('\0').to_owned();
    let name = match id.as_str() {
        "V_MPEG4/ISO/AVC" => "h264",
        "V_MPEGH/ISO/HEVC" => "hevc",
        "V_MPEG4/ISO/ASP" | "V_MPEG4/ISO/SP" => "mpeg4",
        "V_MPEG2" => "mpeg2video",
        "A_MPEG/L3" => "mp3",
        "A_MPEG/L2" => "mp2",
        "A_PCM/INT/LIT" => "pcm_s16le",
        _ => {
            let bare = id.strip_prefix("V_").or_else(|| id.strip_prefix("A_")).unwrap_or(&id);
            let bare = if bare.starts_with("AAC") { "AAC" } else { bare };
            return bare.to_lowercase().chars().filter(|c| !c.is_control()).collect();
        }
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_have_their_usual_names() {
        let table: [(&[u8], &str); 5] = [
            (b"V_VP9", "vp9"),
            (b"A_OPUS", "opus"),
            (b"A_AAC/MPEG4/LC", "aac"),
            (b"V_AV1", "av1"),
            (b"X", "x"),
        ];
        for (id, name) in table {
            assert_eq!(codec_name(id), name);
        }
    }
}
