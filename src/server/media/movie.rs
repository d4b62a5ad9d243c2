//! MP4, QuickTime and their relatives (ISO 14496-12): durations, streams, time and place from the `moov` box.
//!
//! A reader of our own, because those found either read every table into memory, believe its counts, or give
//! up on the whole file at the first box they do not expect; here a box that makes no sense is skipped and the
//! others still tell something. Only boxes named below are read, each up to a small bound; `mdat` is stepped
//! over, so a `moov` at the end of a file of any size costs the same. Of the per-sample tables only the sizes
//! are gone through, in slices, to know the bit rate.
//!
//! A box is `size: u32, type: 4 bytes`, with a 64-bit size after the type if `size` is 1, and reaches to the
//! end of its parent if `size` is 0. Boxes are cut at their parent's end, so nesting can only shrink.

use super::clip::{AudioStream, Clip, MOST_STREAMS, VideoStream};
use super::view::{View, number};
use super::{location, utc};

/// More boxes than this on one level, and the rest is ignored.
const MOST_BOXES: usize = 4096;

/// How much of a box with fixed fields is read, in bytes: the longest is a sample description with its codec
/// configuration.
const LONGEST_BOX: usize = 4096;

/// Seconds from 1904, where these files count from, to 1970.
const EPOCH: i64 = 2_082_844_800;

/// Whether these are the first bytes of such a file, whatever its brand. Old QuickTime has no `ftyp`.
pub(super) fn is_movie(head: &[u8]) -> bool {
    matches!(head.get(4..8), Some(b"ftyp" | b"moov" | b"mdat" | b"wide")) && head.len() >= 12
}

/// What the movie tells, or nothing if it has no `moov`.
pub(super) fn read(view: &mut View<'_>) -> Option<Clip> {
    let file = Span { start: 0, end: view.size() };
    let moov = file.child(view, b"moov")?;
    let mut clip = Clip::default();
    for (kind, span) in moov.children(view) {
        match &kind {
            b"mvhd" => movie_header(view, span, &mut clip),
            b"trak" if clip.video.len() + clip.audio.len() < MOST_STREAMS => track(view, span, &mut clip),
            b"udta" | b"meta" => clip.location = clip.location.take().or_else(|| place(view, &kind, span)),
            _ => {}
        }
    }
    let longest =
        clip.video.iter().map(|s| s.duration).chain(clip.audio.iter().map(|s| s.duration)).flatten();
    clip.duration = clip.duration.or(longest.reduce(f64::max));
    Some(clip)
}

/// The contents of a box: a range of the file.
#[derive(Clone, Copy)]
struct Span {
    start: u64,
    end: u64,
}

impl Span {
    /// The boxes in this one.
    fn children(self, view: &mut View<'_>) -> Vec<([u8; 4], Span)> {
        let mut children = Vec::new();
        let mut at = self.start;
        while let Some((kind, span)) = self.next(view, at).filter(|_| children.len() < MOST_BOXES) {
            children.push((kind, span));
            at = span.end;
        }
        children
    }

    /// The first box of that type in this one.
    fn child(self, view: &mut View<'_>, wanted: &[u8; 4]) -> Option<Span> {
        let mut at = self.start;
        for _ in 0..MOST_BOXES {
            let (kind, span) = self.next(view, at)?;
            if &kind == wanted {
                return Some(span);
            }
            at = span.end;
        }
        None
    }

    fn descend(self, view: &mut View<'_>, path: &[&[u8; 4]]) -> Option<Span> {
        path.iter().try_fold(self, |span, kind| span.child(view, kind))
    }

    /// The box that begins at `at`. Its end is always beyond `at`.
    fn next(self, view: &mut View<'_>, at: u64) -> Option<([u8; 4], Span)> {
        if at.checked_add(8)? > self.end {
            return None;
        }
        let header = view.exactly(at, 8)?;
        let kind = header.get(4..8)?.try_into().ok()?;
        let (header_len, len) = match number::<4>(&header, 0)? {
            0 => (8, self.end - at),
            1 => (16, number::<8>(&view.exactly(at + 8, 8)?, 0)?),
            len => (8, len),
        };
        if len < header_len {
            return None;
        }
        let end = at.saturating_add(len).min(self.end);
        Some((kind, Span { start: (at + header_len).min(end), end }))
    }

    /// The first bytes of the contents, at most [`LONGEST_BOX`].
    fn bytes(self, view: &mut View<'_>) -> Option<Vec<u8>> {
        let len = usize::try_from(self.end - self.start).unwrap_or(LONGEST_BOX).min(LONGEST_BOX);
        view.up_to(self.start, len)
    }
}

/// `mvhd`: when it was made, how long it is.
fn movie_header(view: &mut View<'_>, span: Span, clip: &mut Clip) {
    let Some(bytes) = span.bytes(view) else { return };
    clip.duration = duration(&bytes);
    let created = if bytes.first() == Some(&1) { number::<8>(&bytes, 4) } else { number::<4>(&bytes, 4) };
    // Some recorders count from 1970. Nothing was filmed digitally before that.
    let created = created.and_then(|created| i64::try_from(created).ok());
    clip.time = created.and_then(|at| utc(if at > EPOCH { at - EPOCH } else { at }));
}

/// Seconds, from an `mvhd` or `mdhd`, which begin alike. All ones and zero mean unknown.
fn duration(bytes: &[u8]) -> Option<f64> {
    let (scale, units, unknown) = match bytes.first()? {
        1 => (number::<4>(bytes, 20)?, number::<8>(bytes, 24)?, u64::MAX),
        _ => (number::<4>(bytes, 12)?, number::<4>(bytes, 16)?, u64::from(u32::MAX)),
    };
    (scale > 0 && units > 0 && units != unknown).then(|| units as f64 / scale as f64)
}

/// `trak`: one stream, if it is one of sound or moving pictures.
fn track(view: &mut View<'_>, trak: Span, clip: &mut Clip) {
    let Some(media) = trak.child(view, b"mdia") else { return };
    let handler = media.child(view, b"hdlr").and_then(|span| span.bytes(view)).unwrap_or_default();
    let header = media.child(view, b"mdhd").and_then(|span| span.bytes(view)).unwrap_or_default();
    let Some(table) = media.descend(view, &[b"minf", b"stbl"]) else { return };
    let Some(entry) = table.child(view, b"stsd").and_then(|span| span.bytes(view)) else { return };
    let Some(entry) = entry.get(8..).filter(|entry| entry.len() >= 16) else { return };
    let duration = duration(&header);
    let samples = samples(view, table).unwrap_or_default();
    match handler.get(8..12) {
        Some(b"vide") => {
            let header = trak.child(view, b"tkhd").and_then(|span| span.bytes(view)).unwrap_or_default();
            clip.video.push(video(entry, &header, duration, samples));
        }
        Some(b"soun") => clip.audio.push(audio(entry, duration, samples)),
        _ => {}
    }
}

/// How many samples a track has and how many bytes they are.
#[derive(Clone, Copy, Default)]
struct Samples {
    count: u64,
    bytes: Option<u64>,
}

impl Samples {
    /// Bits per second.
    fn bit_rate(self, duration: Option<f64>) -> Option<u64> {
        let rate = self.bytes? as f64 * 8.0 / duration?;
        (rate >= 1.0).then_some(rate as u64)
    }
}

/// `stsz`: one size for all samples, or a table of them.
fn samples(view: &mut View<'_>, table: Span) -> Option<Samples> {
    /// Bytes of the table read at a time; a multiple of one entry.
    const SLICE: u64 = 64 << 10;
    let span = table.child(view, b"stsz")?;
    let header = view.exactly(span.start, 12)?;
    let (each, count) = (number::<4>(&header, 4)?, number::<4>(&header, 8)?);
    if each > 0 {
        return Some(Samples { count, bytes: Some(each * count) });
    }
    let start = span.start + 12;
    let end = start.saturating_add(4 * count).min(span.end);
    let count = end.saturating_sub(start) / 4;
    let (mut at, mut bytes) = (start, Some(0));
    while at < start + 4 * count {
        let len = SLICE.min(start + 4 * count - at);
        let Some(slice) = view.exactly(at, len as usize) else {
            bytes = None;
            break;
        };
        let sum: u64 = (0..slice.len()).step_by(4).filter_map(|at| number::<4>(&slice, at)).sum();
        bytes = bytes.map(|bytes| bytes + sum);
        at += len;
    }
    Some(Samples { count, bytes })
}

fn video(entry: &[u8], header: &[u8], duration: Option<f64>, samples: Samples) -> VideoStream {
    let rate = duration.map(|duration| samples.count as f64 / duration);
    VideoStream {
        width: number::<2>(entry, 32).unwrap_or(0),
        height: number::<2>(entry, 34).unwrap_or(0),
        rotate: rotation(header).unwrap_or(0),
        codec: codec(&entry[4..8]),
        duration,
        bit_rate: samples.bit_rate(duration),
        frames: Some(samples.count).filter(|count| *count > 0),
        fps: rate,
    }
}

/// Degrees clockwise, from the matrix of `tkhd`: `a b u c d v x y w`, of which a, b, c, d are 16.16 numbers.
fn rotation(header: &[u8]) -> Option<u16> {
    let matrix = if header.first()? == &1 { 52 } else { 40 };
    let element =
        |at: usize| number::<4>(header, matrix + at).map(|bits| (bits as u32).cast_signed().signum());
    match (element(0)?, element(4)?, element(12)?, element(16)?) {
        (0, 1, -1, 0) => Some(90),
        (-1, 0, 0, -1) => Some(180),
        (0, -1, 1, 0) => Some(270),
        _ => Some(0),
    }
}

fn audio(entry: &[u8], duration: Option<f64>, samples: Samples) -> AudioStream {
    let version = number::<2>(entry, 16);
    let (mut channels, mut sample_rate) =
        (number::<2>(entry, 24), number::<4>(entry, 32).map(|rate| rate >> 16));
    if version == Some(2) {
        sample_rate = number::<8>(entry, 40).map(|bits| f64::from_bits(bits) as u64);
        channels = number::<4>(entry, 48);
    }
    let mut stream =
        AudioStream { codec: codec(&entry[4..8]), duration, channels, sample_rate, bit_rate: None };
    if let Some(details) = elementary(entry).filter(|_| &entry[4..8] == b"mp4a") {
        stream.codec = details.codec.to_owned();
        stream.channels = details.channels.or(stream.channels);
    }
    // Old QuickTime calls every sample of PCM one byte long, whatever it is.
    let bits = number::<2>(entry, 26).filter(|_| stream.codec.starts_with("pcm_"));
    let pcm = bits.and_then(|bits| stream.channels?.checked_mul(stream.sample_rate?)?.checked_mul(bits));
    stream.bit_rate = pcm.filter(|rate| *rate > 0).or_else(|| samples.bit_rate(duration));
    stream
}

/// What the `esds` box of an `mp4a` entry says (ISO 14496-1, 7.2.6).
struct Elementary {
    codec: &'static str,
    channels: Option<u64>,
}

/// Looks for `esds` anywhere in the entry: QuickTime puts it one box deeper than MP4.
fn elementary(entry: &[u8]) -> Option<Elementary> {
    let at = entry.windows(4).position(|window| window == b"esds")?;
    let (stream, flags) = descriptor(entry.get(at + 8..)?, 3).and_then(|body| Some((body, *body.get(2)?)))?;
    let url_len = stream.get(3).map_or(0, |len| usize::from(*len) + 1);
    let optional = [(0x80, 2), (0x40, url_len), (0x20, 2)];
    let skip: usize = optional.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, len)| len).sum();
    let config = descriptor(stream.get(3 + skip..)?, 4)?;
    let codec = match config.first()? {
        0x69 | 0x6b => "mp3",
        0xa5 => "ac3",
        0xa9 => "dts",
        0xdd => "vorbis",
        _ => "aac",
    };
    // AudioSpecificConfig: 5 bits of object type, 4 of frequency, 4 of channels, unless either is escaped.
    let specific =
        config.get(13..).and_then(|rest| descriptor(rest, 5)).and_then(|bits| number::<2>(bits, 0));
    let plain = specific.filter(|bits| bits >> 11 != 31 && bits >> 7 & 15 != 15);
    let channels = match plain.map(|bits| bits >> 3 & 15) {
        Some(7) => Some(8),
        Some(channels @ 1..=6) => Some(channels),
        _ => None,
    };
    Some(Elementary { codec, channels: channels.filter(|_| codec == "aac") })
}

/// The contents of the descriptor that `bytes` begin with, if it has that tag. Its length comes in up to four
/// groups of seven bits.
fn descriptor(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let mut len = 0;
    for (at, byte) in bytes.iter().enumerate().skip(1).take(4) {
        len = len << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            let body = bytes.get(at + 1..).filter(|_| bytes[0] == tag)?;
            return Some(&body[..len.min(body.len())]);
        }
    }
    None
}

/// The codec by the name that FFmpeg has for it; four-character codes not listed are given as they are.
fn codec(code: &[u8]) -> String {
    let name = match code {
        b"avc1" | b"avc3" => "h264",
        b"hvc1" | b"hev1" | b"dvh1" | b"dvhe" => "hevc",
        b"av01" => "av1",
        b"vp08" => "vp8",
        b"vp09" => "vp9",
        b"mp4v" => "mpeg4",
        b"s263" | b"h263" => "h263",
        b"jpeg" | b"mjpa" | b"mjpb" => "mjpeg",
        b"apch" | b"apcn" | b"apcs" | b"apco" | b"ap4h" | b"ap4x" => "prores",
        b"mp4a" => "aac",
        b".mp3" | b"ms\0\x55" => "mp3",
        b"ac-3" => "ac3",
        b"ec-3" => "eac3",
        b"alac" => "alac",
        b"fLaC" => "flac",
        b"Opus" => "opus",
        b"samr" => "amr_nb",
        b"sawb" => "amr_wb",
        b"sowt" => "pcm_s16le",
        b"twos" => "pcm_s16be",
        b"in24" => "pcm_s24be",
        b"in32" => "pcm_s32be",
        b"fl32" => "pcm_f32be",
        b"lpcm" | b"ipcm" => "pcm_s16le",
        b"ulaw" => "pcm_mulaw",
        b"alaw" => "pcm_alaw",
        other => return String::from_utf8_lossy(other).chars().filter(|c| !c.is_control()).collect(),
    };
    name.to_owned()
}

/// Where it was filmed: `©xyz` or `loci` in `udta`, or the QuickTime key in `meta`.
fn place(view: &mut View<'_>, kind: &[u8; 4], span: Span) -> Option<String> {
    if kind == b"meta" {
        let text = quicktime_key(view, span, b"com.apple.quicktime.location.ISO6709")?;
        return iso6709(std::str::from_utf8(&text).ok()?);
    }
    if let Some(loci) = span.child(view, b"loci") {
        return three_gpp(&loci.bytes(view)?);
    }
    let bytes = span.child(view, b"\xa9xyz")?.bytes(view)?;
    let len = usize::try_from(number::<2>(&bytes, 0)?).ok()?;
    let text = bytes.get(4..)?;
    iso6709(std::str::from_utf8(&text[..len.min(text.len())]).ok()?)
}

/// `loci` (3GPP TS 26.244, 8.2.11): after version and language a name in UTF-8 or UTF-16, a role, then
/// longitude and latitude as 16.16 numbers.
fn three_gpp(bytes: &[u8]) -> Option<String> {
    let name = bytes.get(6..)?;
    let name_len = if name.starts_with(b"\xfe\xff") {
        2 * name.chunks_exact(2).position(|unit| unit == [0, 0])? + 2
    } else {
        name.iter().position(|byte| *byte == 0)? + 1
    };
    let degrees = |at| number::<4>(name, at).map(|bits| f64::from((bits as u32).cast_signed()) / 65536.0);
    location(degrees(name_len + 5)?, degrees(name_len + 1)?)
}

/// The value of a QuickTime metadata key: `keys` lists the names, `ilst` has boxes whose type is the number of
/// the name, counted from 1, with the value in their `data` box after eight bytes of type and language.
fn quicktime_key(view: &mut View<'_>, meta: Span, key: &[u8]) -> Option<Vec<u8>> {
    // In MP4, but not in QuickTime, `meta` begins with four bytes of version and flags.
    let start = view.exactly(meta.start, 8)?;
    let meta = if start.ends_with(b"hdlr") { meta } else { Span { start: meta.start + 4, ..meta } };
    let keys = meta.child(view, b"keys")?;
    let names = Span { start: keys.start.checked_add(8)?.min(keys.end), ..keys };
    let mut number_of_key = None;
    for (at, (_, name)) in names.children(view).into_iter().enumerate() {
        if name.end - name.start == key.len() as u64 && name.bytes(view)? == key {
            number_of_key = u32::try_from(at + 1).ok();
            break;
        }
    }
    let value = meta.descend(view, &[b"ilst", &number_of_key?.to_be_bytes(), b"data"])?.bytes(view)?;
    value.get(8..).map(<[u8]>::to_vec)
}

/// `+30.1854+120.2185+012.3/`: latitude, longitude, and maybe altitude, each with its sign.
fn iso6709(text: &str) -> Option<String> {
    let starts: Vec<_> = text.match_indices(['+', '-']).map(|(at, _)| at).take(3).collect();
    let (&latitude, &longitude) = (starts.first()?, starts.get(1)?);
    let rest = &text[longitude..];
    let end = rest[1..].find(|c: char| c != '.' && !c.is_ascii_digit()).map_or(rest.len(), |end| end + 1);
    location(angle(&text[latitude..longitude], 2)?, angle(&rest[..end], 3)?)
}

/// Degrees of `+DD.D`, `+DDMM.M` or `+DDMMSS.S`; the degrees have that many digits.
fn angle(text: &str, digits: usize) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    let size = value.abs();
    let whole = text.trim_start_matches(['+', '-']).find('.').unwrap_or(text.len() - 1);
    let degrees = match whole.checked_sub(digits) {
        Some(2) => (size / 100.0).floor() + size % 100.0 / 60.0,
        Some(4) => {
            (size / 10_000.0).floor() + (size % 10_000.0 / 100.0).floor() / 60.0 + size % 100.0 / 3600.0
        }
        _ => size,
    };
    Some(degrees.copysign(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_the_three_forms_of_iso_6709() {
        assert_eq!(iso6709("+30.185453+120.218522/").as_deref(), Some("30.185453,120.218522"));
        assert_eq!(iso6709("-33.8568+151.2153+012.5/").as_deref(), Some("-33.856800,151.215300"));
        assert_eq!(iso6709("+4012.22-07500.25/").as_deref(), Some("40.203667,-75.004167"));
        assert_eq!(iso6709("+401213.1-0750015.1+2.79/").as_deref(), Some("40.203639,-75.004194"));
        for nonsense in ["", "+", "+1", "/", "+0.0+0.0/", "+91+10/", "+1e5+2/", "+\u{e9}+\u{e9}", "+1+\u{e9}"]
        {
            assert_eq!(iso6709(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn the_matrix_tells_the_rotation() {
        let header = |a: i32, b: i32, c: i32, d: i32| {
            let mut bytes = vec![0; 40];
            for element in [a, b, 0, c, d, 0, 0, 0, 0x4000_0000] {
                bytes.extend(element.to_be_bytes());
            }
            bytes
        };
        let one = 1 << 16;
        assert_eq!(rotation(&header(one, 0, 0, one)), Some(0));
        assert_eq!(rotation(&header(0, one, -one, 0)), Some(90));
        assert_eq!(rotation(&header(-one, 0, 0, -one)), Some(180));
        assert_eq!(rotation(&header(0, -one, one, 0)), Some(270));
        assert_eq!(rotation(&[0; 20]), None);
    }

    #[test]
    fn descriptors_are_cut_at_their_bytes() {
        assert_eq!(descriptor(&[3, 2, 7, 8, 9], 3), Some(&[7, 8][..]));
        assert_eq!(descriptor(&[3, 0x80, 0x80, 0x80, 1, 7], 3), Some(&[7][..]));
        assert_eq!(descriptor(&[3, 0x7f, 7], 3), Some(&[7][..]));
        assert_eq!(descriptor(&[3, 0x80, 0x80, 0x80, 0x80, 1], 3), None);
        assert_eq!(descriptor(&[4, 0], 3), None);
        assert_eq!(descriptor(&[], 3), None);
    }
}
