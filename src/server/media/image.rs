//! Pictures: dimensions, EXIF tags, shooting time and place, as `image_media_metadata` (pds-api.md 17.1).
//!
//! `imagesize` gives the stored dimensions, `kamadak-exif` the tags. Both are kept from reading whole files:
//! the EXIF block of PNG and WebP, which may lie behind all pixels, is found here by stepping over chunks, and
//! no block over [`MOST_EXIF`] is looked at. That also bounds what a block can unfold to, because a hostile
//! one points thousands of tags at the same bytes: tags are taken until [`MOST_TAGS`] or [`MOST_UNFOLDED`].
//!
//! Values are printed the way the service prints them: text and whole numbers plainly, fractions as `1/250`,
//! lists separated by spaces, coordinates as `30deg 11' 7.631"`, hemispheres as words.

use std::io::{BufReader, Read};

use exif::{Context, DateTime, Exif, Field, In, Rational, Tag, Value as Exposed};
use serde_json::{Map, Value, json};

use super::view::{View, number};
use super::{READ_LIMIT, location};

/// The largest EXIF block looked at, and how much of a TIFF (which is one EXIF block, pixels and all), in
/// bytes. JPEG cannot hold more than 64 KiB of it.
const MOST_EXIF: usize = 1 << 20;

/// Cameras write some hundred tags.
const MOST_TAGS: usize = 512;

/// How many bytes of values are unfolded before the remaining tags are left out.
const MOST_UNFOLDED: usize = 4 << 20;

/// The longest value shown, in characters; longer text is cut.
const LONGEST_VALUE: usize = 1024;

/// The longest `exif` string, in bytes: it has to fit into one extended attribute of Linux, 64 KiB.
const LONGEST_EXIF: usize = 48 << 10;

/// The longest list of numbers shown; longer ones (maker notes, tone curves) show their length only.
const LONGEST_LIST: usize = 64;

/// More chunks than this in a PNG or WebP, and we stop looking for EXIF.
const MOST_CHUNKS: usize = 100_000;

/// `image_media_metadata` of an image of this type, or nothing if not even its dimensions can be read.
pub(super) fn read<'a>(mime_type: &str, view: &dyn Fn(u64) -> View<'a>) -> Option<Value> {
    let exif = read_exif(mime_type, view);
    let size = dimensions(mime_type, view(READ_LIMIT), exif.as_ref());
    let mut object = Map::new();
    if let Some((width, height)) = size {
        object.insert("width".into(), width.into());
        object.insert("height".into(), height.into());
    }
    if let Some(exif) = &exif {
        let tags = tags(exif);
        if !tags.is_empty() {
            object.insert("exif".into(), Value::String(Value::Object(tags).to_string()));
        }
        object.extend(shot_at(exif).map(|time| ("time".into(), time.into())));
        object.extend(place(exif).map(|place| ("location".into(), place.into())));
    }
    (!object.is_empty()).then_some(Value::Object(object))
}

/// Width and height as displayed.
fn dimensions(mime_type: &str, view: View<'_>, exif: Option<&Exif>) -> Option<(u64, u64)> {
    let stored = known_to_imagesize(mime_type)
        .then(|| imagesize::reader_size(BufReader::with_capacity(4096, view)).ok())
        .flatten()
        .map(|size| (size.width as u64, size.height as u64))
        .or_else(|| Some((whole(exif?, Tag::ImageWidth)?, whole(exif?, Tag::ImageLength)?)));
    let (width, height) = stored.filter(|&(width, height)| width > 0 && height > 0)?;
    // HEIF turns by a property of its own, which imagesize applies; its EXIF orientation repeats that.
    let turned = !matches!(mime_type, "image/heic" | "image/heif" | "image/avif")
        && exif.and_then(|exif| whole(exif, Tag::Orientation)).is_some_and(|turn| (5..=8).contains(&turn));
    Some(if turned { (height, width) } else { (width, height) })
}

/// The types whose readers in `imagesize` are used; it knows more, among them formats without a signature.
fn known_to_imagesize(mime_type: &str) -> bool {
    let name = mime_type.trim_start_matches("image/").trim_start_matches("x-");
    matches!(
        name,
        "jpeg"
            | "png"
            | "gif"
            | "webp"
            | "bmp"
            | "tiff"
            | "heic"
            | "heif"
            | "avif"
            | "jxl"
            | "icon"
            | "vnd.microsoft.icon"
            | "vnd.adobe.photoshop"
            | "canon-cr2"
            | "adobe-dng"
            | "nikon-nef"
            | "sony-arw"
    )
}

fn read_exif<'a>(mime_type: &str, view: &dyn Fn(u64) -> View<'a>) -> Option<Exif> {
    let mut reader = exif::Reader::new();
    reader.continue_on_error(true);
    let mut file = view(READ_LIMIT);
    let start = file.up_to(0, 4)?;
    let block = match (mime_type, start.as_slice()) {
        ("image/png", _) => png_block(&mut file)?,
        ("image/webp", _) => webp_block(&mut file)?,
        (_, b"II*\0" | b"MM\0*") => {
            let mut block = Vec::new();
            file.take(MOST_EXIF as u64).read_to_end(&mut block).ok()?;
            block
        }
        ("image/jpeg" | "image/heic" | "image/heif" | "image/avif", _) => {
            let mut file = BufReader::new(view(MOST_EXIF as u64));
            return whole_or_part(reader.read_from_container(&mut file));
        }
        _ => return None,
    };
    whole_or_part(reader.read_raw(block))
}

/// What could be read of damaged EXIF is as good as the rest.
fn whole_or_part(result: Result<Exif, exif::Error>) -> Option<Exif> {
    result.or_else(|error| error.distill_partial_result(|_| ())).ok()
}

/// The contents of the `eXIf` chunk (PNG 1.5 extensions, 3.7).
fn png_block(file: &mut View<'_>) -> Option<Vec<u8>> {
    let mut at = 8;
    for _ in 0..MOST_CHUNKS {
        let header = file.exactly(at, 8)?;
        let len = number::<4>(&header, 0)?;
        if header.ends_with(b"eXIf") {
            return block(file, at + 8, len);
        }
        at = at.checked_add(12 + len)?;
    }
    None
}

/// The contents of the `EXIF` chunk of the RIFF container.
fn webp_block(file: &mut View<'_>) -> Option<Vec<u8>> {
    let mut at = 12;
    for _ in 0..MOST_CHUNKS {
        let header = file.exactly(at, 8)?;
        let len = u64::from(u32::from_le_bytes(header.get(4..8)?.try_into().ok()?));
        if header.starts_with(b"EXIF") {
            return block(file, at + 8, len);
        }
        at = at.checked_add(8 + len + len % 2)?;
    }
    None
}

fn block(file: &mut View<'_>, at: u64, len: u64) -> Option<Vec<u8>> {
    let len = usize::try_from(len).ok().filter(|len| *len <= MOST_EXIF)?;
    let bytes = file.exactly(at, len)?;
    // Some writers keep the marker that only JPEG needs.
    Some(bytes.strip_prefix(b"Exif\0\0").map(<[u8]>::to_vec).unwrap_or(bytes))
}

fn whole(exif: &Exif, tag: Tag) -> Option<u64> {
    exif.get_field(tag, In::PRIMARY)?.value.get_uint(0).map(u64::from)
}

/// `{"Make":{"value":"..."}}`: the tags of the picture, then what only its thumbnail has.
fn tags(exif: &Exif) -> Map<String, Value> {
    let mut tags = Map::new();
    let (mut unfolded, mut length) = (0, 2);
    for field in exif.fields().take(MOST_TAGS).filter(|field| field.ifd_num.index() <= 1) {
        unfolded += unfolded_len(&field.value);
        let name = tag_name(field.tag);
        if let Some(value) = print(field, exif.little_endian()).filter(|_| !tags.contains_key(&name)) {
            let value = json!({ "value": value });
            length += name.len() + value.to_string().len() + 4;
            if length > LONGEST_EXIF {
                break;
            }
            tags.insert(name, value);
        }
        if unfolded > MOST_UNFOLDED {
            break;
        }
    }
    tags
}

/// The memory a value takes, in bytes and roughly.
fn unfolded_len(value: &Exposed) -> usize {
    match value {
        Exposed::Ascii(texts) => texts.iter().map(|text| 24 + text.len()).sum(),
        Exposed::Byte(bytes) | Exposed::Undefined(bytes, _) => bytes.len(),
        Exposed::SByte(numbers) => numbers.len(),
        Exposed::Short(numbers) => 2 * numbers.len(),
        Exposed::SShort(numbers) => 2 * numbers.len(),
        Exposed::Long(numbers) => 4 * numbers.len(),
        Exposed::SLong(numbers) => 4 * numbers.len(),
        Exposed::Float(numbers) => 4 * numbers.len(),
        Exposed::Double(numbers) => 8 * numbers.len(),
        Exposed::Rational(numbers) => 8 * numbers.len(),
        Exposed::SRational(numbers) => 8 * numbers.len(),
        Exposed::Unknown(..) => 0,
    }
}

/// The name of the EXIF standard, or the number of a tag that is not in it.
fn tag_name(tag: Tag) -> String {
    match tag.description() {
        Some(_) => tag.to_string(),
        None => format!("0x{:04x}", tag.number()),
    }
}

/// A value as plain text, or nothing if it is empty.
fn print(field: &Field, little_endian: bool) -> Option<String> {
    let text = match (&field.value, field.tag) {
        (Exposed::Ascii(texts), _) if field.tag.context() == Context::Gps && texts.len() == 1 => {
            hemisphere(field.tag, &texts[0]).map_or_else(|| clean(&texts[0]), str::to_owned)
        }
        (Exposed::Ascii(texts), _) => {
            let texts: Vec<_> = texts.iter().take(LONGEST_LIST).map(|text| clean(text)).collect();
            texts.join(" ").trim_end().to_owned()
        }
        (
            Exposed::Rational(parts),
            Tag::GPSLatitude | Tag::GPSLongitude | Tag::GPSDestLatitude | Tag::GPSDestLongitude,
        ) => sexagesimal(parts),
        (
            Exposed::Undefined(bytes, _),
            Tag::UserComment | Tag::GPSProcessingMethod | Tag::GPSAreaInformation,
        ) => comment(bytes, little_endian),
        (Exposed::Undefined(bytes, _), _) => opaque(bytes),
        (Exposed::Byte(numbers), _) => list(numbers),
        (Exposed::SByte(numbers), _) => list(numbers),
        (Exposed::Short(numbers), _) => list(numbers),
        (Exposed::SShort(numbers), _) => list(numbers),
        (Exposed::Long(numbers), _) => list(numbers),
        (Exposed::SLong(numbers), _) => list(numbers),
        (Exposed::Float(numbers), _) => list(numbers),
        (Exposed::Double(numbers), _) => list(numbers),
        (Exposed::Rational(numbers), _) => list(numbers),
        (Exposed::SRational(numbers), _) => list(numbers),
        (Exposed::Unknown(..), _) => String::new(),
    };
    let text: String = text.chars().take(LONGEST_VALUE).collect();
    (!text.is_empty()).then_some(text)
}

/// Text without padding and control characters; EXIF says ASCII, cameras write UTF-8.
fn clean(bytes: &[u8]) -> String {
    let text = &bytes[..bytes.len().min(4 * LONGEST_VALUE)];
    let text: String =
        String::from_utf8_lossy(text).chars().filter(|c| !c.is_control() || *c == '\n').collect();
    text.trim().to_owned()
}

fn list(numbers: &[impl ToString]) -> String {
    if numbers.len() > LONGEST_LIST {
        return format!("({} values)", numbers.len());
    }
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Bytes of no declared type: text if they read as text (`0230`), numbers if there are few.
fn opaque(bytes: &[u8]) -> String {
    let unpadded = bytes.iter().rposition(|byte| *byte != 0).map_or(&bytes[..0], |last| &bytes[..=last]);
    if !unpadded.is_empty() && unpadded.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
        return clean(unpadded);
    }
    if bytes.len() > LONGEST_LIST { format!("({} bytes)", bytes.len()) } else { list(bytes) }
}

/// Text after eight bytes that name its character code (EXIF 2.3, 4.6.5, UserComment).
fn comment(bytes: &[u8], little_endian: bool) -> String {
    let Some((code, text)) = bytes.split_at_checked(8) else { return opaque(bytes) };
    match code {
        b"ASCII\0\0\0" | b"\0\0\0\0\0\0\0\0" => clean(text),
        b"UNICODE\0" => {
            let unit = |pair: &[u8]| match (pair, little_endian) {
                (&[low, high], true) | (&[high, low], false) => u16::from_be_bytes([high, low]),
                _ => 0,
            };
            let units: Vec<u16> = text.chunks_exact(2).take(LONGEST_VALUE).map(unit).collect();
            clean(String::from_utf16_lossy(&units).as_bytes())
        }
        _ => opaque(bytes),
    }
}

fn hemisphere(tag: Tag, text: &[u8]) -> Option<&'static str> {
    let is_reference = matches!(
        tag,
        Tag::GPSLatitudeRef | Tag::GPSLongitudeRef | Tag::GPSDestLatitudeRef | Tag::GPSDestLongitudeRef
    );
    match text.first().filter(|_| is_reference)? {
        b'N' => Some("North"),
        b'S' => Some("South"),
        b'E' => Some("East"),
        b'W' => Some("West"),
        _ => None,
    }
}

/// `30deg 11' 7.631"`.
fn sexagesimal(parts: &[Rational]) -> String {
    let mut text = String::new();
    for (part, unit) in parts.iter().filter(|part| part.denom != 0).zip(["deg ", "' ", "\" "]) {
        let number = format!("{:.3}", part.to_f64());
        text.push_str(number.trim_end_matches('0').trim_end_matches('.'));
        text.push_str(unit);
    }
    text.trim_end().to_owned()
}

/// When the picture was taken: RFC 3339 with milliseconds. EXIF has local time, often without its offset from
/// UTC; it is then given as if it were UTC, as the service does.
fn shot_at(exif: &Exif) -> Option<String> {
    [
        (Tag::DateTimeOriginal, Tag::OffsetTimeOriginal, Tag::SubSecTimeOriginal),
        (Tag::DateTimeDigitized, Tag::OffsetTimeDigitized, Tag::SubSecTimeDigitized),
        (Tag::DateTime, Tag::OffsetTime, Tag::SubSecTime),
    ]
    .into_iter()
    .find_map(|(time, offset, fraction)| {
        let mut at = DateTime::from_ascii(ascii(exif, time)?).ok()?;
        // Blank or malformed refinements leave the time as it is.
        let _ = ascii(exif, fraction).map(|text| at.parse_subsec(text));
        let _ = ascii(exif, offset).map(|text| at.parse_offset(text));
        rfc3339(&at)
    })
}

fn ascii(exif: &Exif, tag: Tag) -> Option<&[u8]> {
    match &exif.get_field(tag, In::PRIMARY)?.value {
        Exposed::Ascii(texts) => texts.first().map(Vec::as_slice),
        _ => None,
    }
}

fn rfc3339(at: &DateTime) -> Option<String> {
    let small = |number: u8| i8::try_from(number).ok();
    let date = jiff::civil::Date::new(i16::try_from(at.year).ok()?, small(at.month)?, small(at.day)?).ok()?;
    let time = jiff::civil::Time::new(small(at.hour)?, small(at.minute)?, small(at.second)?, 0).ok()?;
    let offset = match at.offset.filter(|minutes| minutes.abs() <= 14 * 60) {
        None | Some(0) => "Z".to_owned(),
        Some(minutes) => {
            let sign = if minutes < 0 { '-' } else { '+' };
            format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
        }
    };
    (date.year() > 0).then(|| format!("{date}T{time}.{:03}{offset}", at.nanosecond.unwrap_or(0) / 1_000_000))
}

/// Where it was taken.
fn place(exif: &Exif) -> Option<String> {
    let latitude = degrees(exif, Tag::GPSLatitude, Tag::GPSLatitudeRef, b'S')?;
    location(latitude, degrees(exif, Tag::GPSLongitude, Tag::GPSLongitudeRef, b'W')?)
}

fn degrees(exif: &Exif, tag: Tag, reference: Tag, negative: u8) -> Option<f64> {
    let Exposed::Rational(parts) = &exif.get_field(tag, In::PRIMARY)?.value else { return None };
    if parts.first()?.denom == 0 {
        return None;
    }
    let units = [1.0, 60.0, 3600.0];
    let parts = parts.iter().zip(units).filter(|(part, _)| part.denom != 0);
    let degrees: f64 = parts.map(|(part, unit)| part.to_f64() / unit).sum();
    let is_negative = ascii(exif, reference).is_some_and(|text| text.first() == Some(&negative));
    Some(if is_negative { -degrees } else { degrees })
}
