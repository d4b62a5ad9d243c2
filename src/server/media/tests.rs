//! [`describe`] on files built here byte by byte, and on what damage makes of them. `tests/media.rs` has real
//! files, written by the programs people use.

use std::io::{Seek, SeekFrom, Write};

use serde_json::json;

use super::*;

fn blob(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn facts(name: &str, bytes: &[u8]) -> Facts {
    describe(name, "", &blob(bytes), bytes.len() as u64)
}

/// A tag of an EXIF block. Tags 0x8769 and 0x8825 are the directories of the camera and of GPS.
enum Entry {
    Ascii(u16, &'static str),
    Short(u16, u16),
    Rational(u16, Vec<(u32, u32)>),
    Undefined(u16, Vec<u8>),
    Directory(u16, Vec<Entry>),
}

fn directory(entries: &[Entry], at: usize) -> Vec<u8> {
    let mut table = Vec::from((entries.len() as u16).to_be_bytes());
    let mut data = Vec::new();
    let data_at = at + 2 + 12 * entries.len() + 4;
    for entry in entries {
        let (tag, kind, count, value) = match entry {
            Entry::Ascii(tag, text) => (tag, 2, text.len() + 1, [text.as_bytes(), b"\0"].concat()),
            Entry::Short(tag, value) => (tag, 3, 1, value.to_be_bytes().to_vec()),
            Entry::Rational(tag, parts) => {
                let bytes = parts.iter().flat_map(|(a, b)| [a.to_be_bytes(), b.to_be_bytes()].concat());
                (tag, 5, parts.len(), bytes.collect())
            }
            Entry::Undefined(tag, bytes) => (tag, 7, bytes.len(), bytes.clone()),
            Entry::Directory(tag, entries) => {
                let nested = directory(entries, data_at + data.len());
                table.extend([&tag.to_be_bytes()[..], &[0, 4, 0, 0, 0, 1]].concat());
                table.extend(((data_at + data.len()) as u32).to_be_bytes());
                data.extend(nested);
                continue;
            }
        };
        table.extend([tag.to_be_bytes(), u16::to_be_bytes(kind)].concat());
        table.extend((count as u32).to_be_bytes());
        if value.len() <= 4 {
            table.extend(value.iter().chain(&[0; 4]).take(4));
        } else {
            table.extend(((data_at + data.len()) as u32).to_be_bytes());
            data.extend(value);
        }
    }
    table.extend([0; 4]);
    table.extend(data);
    table
}

fn exif_block(entries: &[Entry]) -> Vec<u8> {
    [b"MM\0*\0\0\0\x08", &directory(entries, 8)[..]].concat()
}

/// A photo's tags, with that orientation.
fn photo_tags(orientation: u16) -> Vec<Entry> {
    vec![
        Entry::Ascii(0x10f, "Pds"),
        Entry::Short(0x112, orientation),
        Entry::Ascii(0x132, "2020:08:19 17:11:11"),
        Entry::Directory(
            0x8769,
            vec![
                Entry::Rational(0x829a, vec![(1, 250)]),
                Entry::Undefined(0x9000, b"0230".to_vec()),
                Entry::Ascii(0x9003, "2020:08:18 09:08:07"),
                Entry::Ascii(0x9011, "+08:00"),
                Entry::Undefined(0x9286, b"UNICODE\0\x4f\x60\x59\x7d".to_vec()),
                Entry::Ascii(0x9291, "25"),
                Entry::Undefined(0x927c, vec![1; 3000]),
                Entry::Short(0xfe00, 7),
            ],
        ),
        Entry::Directory(
            0x8825,
            vec![
                Entry::Ascii(1, "S"),
                Entry::Rational(2, vec![(30, 1), (11, 1), (7631, 1000)]),
                Entry::Ascii(3, "E"),
                Entry::Rational(4, vec![(120, 1), (13, 1), (6679, 1000)]),
            ],
        ),
    ]
}

/// A JPEG of 640 x 480, without pixels.
fn jpeg(exif: &[u8]) -> Vec<u8> {
    let segment =
        |code: u8, body: &[u8]| [&[0xff, code], &((body.len() + 2) as u16).to_be_bytes()[..], body].concat();
    let mut bytes = vec![0xff, 0xd8];
    if !exif.is_empty() {
        bytes.extend(segment(0xe1, &[b"Exif\0\0", exif].concat()));
    }
    bytes.extend(segment(0xc0, &[8, 1, 0xe0, 2, 0x80, 1, 1, 0x11, 0]));
    bytes.extend(segment(0xda, &[1, 1, 0, 0, 63, 0]));
    bytes.extend([0x12, 0xff, 0xd9]);
    bytes
}

fn boxed(kind: &[u8; 4], contents: &[u8]) -> Vec<u8> {
    [&((contents.len() + 8) as u32).to_be_bytes(), &kind[..], contents].concat()
}

/// Zeros of that length with these big-endian numbers at these places.
fn fields(len: usize, numbers: &[(usize, u32)]) -> Vec<u8> {
    let mut bytes = vec![0; len];
    for &(at, number) in numbers {
        bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
    }
    bytes
}

/// A `moov`: 1920 x 1080 H.264 turned by 90 degrees, 50 frames of 1,000 bytes in 2 s; AAC in mono.
fn moov() -> Vec<u8> {
    let mvhd = boxed(b"mvhd", &fields(100, &[(4, 3_700_000_000), (12, 1000), (16, 2000)]));
    let tkhd =
        boxed(b"tkhd", &fields(84, &[(44, 1 << 16), (52, (-1i32 << 16).cast_unsigned()), (72, 1 << 30)]));
    let mdhd = boxed(b"mdhd", &fields(24, &[(12, 12_800), (16, 25_600)]));
    let hdlr = |kind: &[u8; 4]| boxed(b"hdlr", &[&[0; 8], &kind[..], &[0; 13]].concat());
    let stsz = |sizes: &[u32]| {
        let table: Vec<u8> = sizes.iter().flat_map(|size| size.to_be_bytes()).collect();
        boxed(b"stsz", &[&fields(12, &[(8, sizes.len() as u32)]), &table[..]].concat())
    };
    let trak = |tkhd: &[u8], kind: &[u8; 4], entry: &[u8], sizes: &[u32]| {
        let stsd = boxed(b"stsd", &[&fields(8, &[(4, 1)]), entry].concat());
        let stbl = boxed(b"stbl", &[stsd, stsz(sizes)].concat());
        let mdia = boxed(b"mdia", &[mdhd.clone(), hdlr(kind), boxed(b"minf", &stbl)].concat());
        boxed(b"trak", &[tkhd, &mdia].concat())
    };
    let avc1 = boxed(b"avc1", &fields(78, &[(24, 1920 << 16 | 1080)]));
    let esds = b"\0\0\0\0\x03\x19\0\x01\0\x04\x11\x40\x15\0\0\0\0\0\0\0\0\0\0\0\x05\x02\x12\x08\x06\x01\x02";
    let mp4a = boxed(
        b"mp4a",
        &[fields(28, &[(16, 2 << 16 | 16), (24, 44_100 << 16)]), boxed(b"esds", esds)].concat(),
    );
    let udta = boxed(b"udta", &boxed(b"\xa9xyz", b"\0\x16\x15\xc7+30.185453+120.218522/"));
    let video = trak(&tkhd, b"vide", &avc1, &[1000; 50]);
    boxed(b"moov", &[mvhd, video, trak(&[], b"soun", &mp4a, &[250; 87]), udta].concat())
}

fn mp4() -> Vec<u8> {
    [boxed(b"ftyp", b"isom\0\0\x02\0isomavc1"), boxed(b"mdat", &[7; 100]), moov()].concat()
}

fn element(id: &[u8], contents: &[u8]) -> Vec<u8> {
    [id, &[0x40 | (contents.len() >> 8) as u8, contents.len() as u8], contents].concat()
}

fn webm() -> Vec<u8> {
    let info = [
        element(b"\x2a\xd7\xb1", &1_000_000u32.to_be_bytes()),
        element(b"\x44\x89", &1500f64.to_be_bytes()),
        element(b"\x44\x61", &(600_000_000 * 1_000_000_000u64).to_be_bytes()),
    ];
    let video = [
        element(b"\x83", &[1]),
        element(b"\x86", b"V_VP9"),
        element(b"\x23\xe3\x83", &40_000_000u32.to_be_bytes()),
        element(b"\xe0", &[element(b"\xb0", &[1, 0x40]), element(b"\xba", &[0xf0])].concat()),
    ];
    let audio = [
        element(b"\x83", &[2]),
        element(b"\x86", b"A_OPUS"),
        element(b"\xe1", &[element(b"\xb5", &48_000f32.to_be_bytes()), element(b"\x9f", &[2])].concat()),
    ];
    let tracks = [element(b"\xae", &video.concat()), element(b"\xae", &audio.concat())];
    let segment = [
        element(b"\xec", &[0; 200]),
        element(b"\x15\x49\xa9\x66", &info.concat()),
        element(b"\x16\x54\xae\x6b", &tracks.concat()),
        b"\x1f\x43\xb6\x75\x01\xff\xff\xff\xff\xff\xff\xff".to_vec(),
    ];
    let head = element(b"\x1a\x45\xdf\xa3", b"\x42\x82\x84webm");
    [&head, &b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff"[..], &segment.concat()].concat()
}

fn wav() -> Vec<u8> {
    let format = b"fmt \x10\0\0\0\x01\0\x02\0\x40\x1f\0\0\0\x7d\0\0\x04\0\x10\0";
    [b"RIFF\x24\x7d\0\0WAVE", &format[..], b"data\0\x7d\0\0", &[3; 32_000]].concat()
}

fn png(exif: &[u8]) -> Vec<u8> {
    let chunk =
        |kind: &[u8; 4], body: &[u8]| [&(body.len() as u32).to_be_bytes(), &kind[..], body, &[0; 4]].concat();
    let header = chunk(b"IHDR", b"\0\0\0\x07\0\0\0\x05\x08\x02\0\0\0");
    [
        &b"\x89PNG\r\n\x1a\n"[..],
        &header,
        &chunk(b"IDAT", &[1; 5000]),
        &chunk(b"eXIf", exif),
        &chunk(b"IEND", b""),
    ]
    .concat()
}

fn webp(exif: &[u8]) -> Vec<u8> {
    let chunk = |kind: &[u8; 4], body: &[u8]| {
        [kind, &(body.len() as u32).to_le_bytes()[..], body, &vec![0; body.len() % 2]].concat()
    };
    let header = chunk(b"VP8X", &[8, 0, 0, 0, 99, 0, 0, 49, 0, 0]);
    let body = [&b"WEBP"[..], &header, &chunk(b"VP8 ", &[1; 5001]), &chunk(b"EXIF", exif)].concat();
    chunk(b"RIFF", &body)
}

#[test]
fn a_photo_tells_everything_it_knows() {
    let facts = facts("IMG_1.JPG", &jpeg(&exif_block(&photo_tags(6))));
    assert_eq!((facts.mime_type.as_str(), facts.mime_extension.as_str()), ("image/jpeg", "jpg"));
    assert_eq!((facts.category, facts.video), ("image", None));
    let image = facts.image.unwrap();
    assert_eq!((&image["width"], &image["height"]), (&json!(480), &json!(640)), "turned");
    assert_eq!(image["time"], "2020-08-18T09:08:07.250+08:00");
    assert_eq!(image["location"], "-30.185453,120.218522");
    let exif: Value = serde_json::from_str(image["exif"].as_str().unwrap()).unwrap();
    let expected = json!({
        "Make": {"value": "Pds"},
        "Orientation": {"value": "6"},
        "DateTime": {"value": "2020:08:19 17:11:11"},
        "ExposureTime": {"value": "1/250"},
        "ExifVersion": {"value": "0230"},
        "DateTimeOriginal": {"value": "2020:08:18 09:08:07"},
        "OffsetTimeOriginal": {"value": "+08:00"},
        "SubSecTimeOriginal": {"value": "25"},
        "UserComment": {"value": "\u{4f60}\u{597d}"},
        "MakerNote": {"value": "(3000 bytes)"},
        "0xfe00": {"value": "7"},
        "GPSLatitudeRef": {"value": "South"},
        "GPSLatitude": {"value": "30deg 11' 7.631\""},
        "GPSLongitudeRef": {"value": "East"},
        "GPSLongitude": {"value": "120deg 13' 6.679\""},
    });
    assert_eq!(exif, expected);
}

#[test]
fn time_and_place_are_only_told_when_they_are_known() {
    let told = |entries: Vec<Entry>| {
        let image = facts("a.jpg", &jpeg(&exif_block(&entries))).image.unwrap();
        (image.get("time").cloned(), image.get("location").cloned())
    };
    let gps = |latitude: Vec<(u32, u32)>, longitude: Vec<(u32, u32)>| {
        vec![Entry::Directory(0x8825, vec![Entry::Rational(2, latitude), Entry::Rational(4, longitude)])]
    };
    assert_eq!(told(vec![Entry::Ascii(0x132, "2020:02:30 00:00:00")]), (None, None), "no such day");
    assert_eq!(told(vec![Entry::Ascii(0x132, "0000:00:00 00:00:00")]), (None, None));
    assert_eq!(told(vec![Entry::Ascii(0x132, "    :  :     :  :  ")]), (None, None));
    assert_eq!(told(vec![Entry::Short(0x132, 7)]), (None, None), "not text");
    assert_eq!(
        told(vec![Entry::Ascii(0x132, "2020:02:29 01:02:03")]).0,
        Some(json!("2020-02-29T01:02:03.000Z"))
    );
    assert_eq!(told(gps(vec![(0, 1); 3], vec![(0, 1); 3])).1, None, "no fix");
    assert_eq!(told(gps(vec![(0, 0); 3], vec![(0, 0); 3])).1, None);
    assert_eq!(told(gps(vec![(91, 1)], vec![(1, 1)])).1, None, "not on Earth");
    assert_eq!(told(gps(vec![], vec![(1, 1)])).1, None);
    assert_eq!(told(gps(vec![(12, 1), (30, 1), (0, 0)], vec![(7, 2)])).1, Some(json!("12.500000,3.500000")));
}

#[test]
fn exif_behind_the_pixels_of_png_and_webp_is_found() {
    let exif = exif_block(&photo_tags(8));
    let image = facts("a.png", &png(&exif)).image.unwrap();
    assert_eq!((&image["width"], &image["height"]), (&json!(5), &json!(7)), "turned");
    assert_eq!(image["location"], "-30.185453,120.218522");
    let image = facts("a.webp", &webp(&[b"Exif\0\0", &exif[..]].concat())).image.unwrap();
    assert_eq!((&image["width"], &image["height"]), (&json!(50), &json!(100)), "turned");
    assert_eq!(image["time"], "2020-08-18T09:08:07.250+08:00");
}

#[test]
fn a_hostile_exif_block_unfolds_to_a_bounded_string() {
    let mut block = exif_block(&[]);
    block.truncate(8);
    // Thousands of different tags, all of which are the same 20,000 bytes.
    block.extend(5000u16.to_be_bytes());
    for tag in 0..5000u16 {
        block.extend([tag.to_be_bytes(), [0, 2]].concat());
        block.extend([20_000u32.to_be_bytes(), 60_020u32.to_be_bytes()].concat());
    }
    block.extend([0; 14]);
    block.resize(100_000, b'x');
    let started = std::time::Instant::now();
    let image = facts("a.png", &png(&block)).image.unwrap();
    let exif = image["exif"].as_str().unwrap();
    assert!(exif.len() < 64 << 10 && exif.len() > 10_000, "{} after {:?}", exif.len(), started.elapsed());
    serde_json::from_str::<Value>(exif).unwrap();
}

#[test]
fn a_movie_tells_its_streams() {
    let facts = facts("a.mp4", &mp4());
    assert_eq!((facts.mime_type.as_str(), facts.category, facts.image), ("video/mp4", "video", None));
    let expected = json!({
        "width": 1080, "height": 1920, "duration": "2.000000",
        "time": "2021-03-31T01:46:40.000Z", "location": "30.185453,120.218522",
        "video_media_video_stream": [{"code_name": "h264", "duration": "2.000000", "bitrate": "200000",
            "frame_count": "50", "fps": "25", "rotate": "90"}],
        "video_media_audio_stream": [{"code_name": "aac", "duration": "2.000000", "bit_rate": "87000",
            "channels": 1, "channel_layout": "mono", "sample_rate": "44100"}],
    });
    assert_eq!(facts.video, Some(expected));
}

#[test]
fn the_place_is_found_in_all_three_spellings() {
    let ftyp = boxed(b"ftyp", b"mp42\0\0\0\0isom");
    let place = |contents: &[u8]| {
        let movie =
            [&ftyp, &boxed(b"moov", &[&moov()[8..moov().len() - 42], contents].concat())[..]].concat();
        facts("a.mp4", &movie).video.unwrap().get("location").cloned()
    };
    assert_eq!(place(&[]), None);
    let numbers = [120u32 << 16 | 1 << 15, (-30i32 << 16).cast_unsigned(), 0].map(u32::to_be_bytes).concat();
    let loci = boxed(b"loci", &[&[0; 6], &b"West Lake\0\0"[..], &numbers].concat());
    assert_eq!(place(&boxed(b"udta", &loci)), Some(json!("-30.000000,120.500000")));
    let key = boxed(b"mdta", b"com.apple.quicktime.location.ISO6709");
    let keys = boxed(b"keys", &[&[0, 0, 0, 0, 0, 0, 0, 2], &boxed(b"mdta", b"x")[..], &key].concat());
    let data = boxed(b"data", &[&[0, 0, 0, 1, 0, 0, 0, 0], &b"+1.5-2.25+3/"[..]].concat());
    let ilst = boxed(b"ilst", &boxed(&[0, 0, 0, 2], &data));
    let hdlr = boxed(b"hdlr", &[0; 25]);
    assert_eq!(
        place(&boxed(b"meta", &[&hdlr[..], &keys, &ilst].concat())),
        Some(json!("1.500000,-2.250000"))
    );
    let with_version = boxed(b"meta", &[&[0; 4], &hdlr[..], &keys, &ilst].concat());
    assert_eq!(place(&with_version), Some(json!("1.500000,-2.250000")));
}

#[test]
fn a_movie_larger_than_memory_is_read_at_its_end_only() {
    let (size, tail) = (9u64 << 30, moov());
    let mut file = blob(&boxed(b"ftyp", b"qt  \0\0\x02\0qt  "));
    let mdat = size - 20 - tail.len() as u64;
    file.write_all(&[&[0, 0, 0, 1], &b"mdat"[..], &mdat.to_be_bytes()].concat()).unwrap();
    file.seek(SeekFrom::Start(size - tail.len() as u64)).unwrap();
    file.write_all(&tail).unwrap();
    let at = file.stream_position().unwrap();
    let facts = describe("a.mov", "", &file, size);
    assert_eq!(facts.mime_type, "video/quicktime");
    assert_eq!(facts.video.unwrap()["duration"], "2.000000");
    assert_eq!(file.stream_position().unwrap(), at, "the position is the caller's");
    // The blob is longer than the revision: the moov is not part of it.
    assert_eq!(describe("a.mov", "", &file, size - tail.len() as u64).video, None);
}

#[test]
fn webm_and_sound_tell_their_streams() {
    let facts_of_webm = facts("a.webm", &webm());
    assert_eq!((facts_of_webm.mime_type.as_str(), facts_of_webm.category), ("video/webm", "video"));
    let expected = json!({
        "width": 320, "height": 240, "duration": "1.500000", "time": "2020-01-06T10:40:00.000Z",
        "video_media_video_stream": [{"code_name": "vp9", "duration": "1.500000", "fps": "25"}],
        "video_media_audio_stream": [{"code_name": "opus", "duration": "1.500000", "channels": 2,
            "channel_layout": "stereo", "sample_rate": "48000"}],
    });
    assert_eq!(facts_of_webm.video, Some(expected));
    let facts_of_wav = facts("a.wav", &wav());
    assert_eq!((facts_of_wav.mime_type.as_str(), facts_of_wav.category), ("audio/wav", "audio"));
    let expected = json!({
        "duration": "1.000000", "video_media_video_stream": [],
        "video_media_audio_stream": [{"code_name": "pcm_s16le", "duration": "1.000000", "bit_rate": "256000",
            "channels": 2, "channel_layout": "stereo", "sample_rate": "8000"}],
    });
    assert_eq!(facts_of_wav.video, Some(expected));
}

#[test]
fn absurd_lengths_and_counts_are_survived() {
    let mut table: Vec<(&str, Vec<u8>)> = vec![
        ("a.mp4", boxed(b"ftyp", b"isom\0\0\0\0")),
        ("a.mp4", [boxed(b"ftyp", b"isom\0\0\0\0"), vec![0, 0, 0, 0], b"moov".to_vec()].concat()),
        ("a.mp4", [boxed(b"ftyp", b"isom\0\0\0\0"), vec![0, 0, 0, 7], b"moov".to_vec()].concat()),
        (
            "a.mp4",
            [boxed(b"ftyp", b"isom\0\0\0\0"), b"\0\0\0\x01moov\xff\xff\xff\xff\xff\xff\xff\xff".to_vec()]
                .concat(),
        ),
        ("a.heic", b"\xff\xff\xff\xffftypheic\0\0\0\0mif1heic".to_vec()),
        (
            "a.heic",
            [boxed(b"ftyp", b"heic\0\0\0\0mif1heic"), b"\xff\xff\xff\xfemeta\0\0\0\0".to_vec()].concat(),
        ),
        ("a.webm", b"\x1a\x45\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xff".to_vec()),
        ("a.png", b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIHDR".to_vec()),
        ("a.jpg", b"\xff\xd8\xff\xe1\xff\xff".to_vec()),
        ("a.tif", b"II*\0\xff\xff\xff\xff".to_vec()),
        ("a.tif", b"II*\0\x08\0\0\0\xff\xff".to_vec()),
        ("a.webp", b"RIFF\xff\xff\xff\xffWEBPVP8X\xff\xff\xff\xff".to_vec()),
        ("a.gif", b"GIF89a\0".to_vec()),
        ("a.bmp", b"BM\0\0\0\0\0\0\0\0\0\0\0\0\x28\0\0\0\0\0\0\x80\0\0\0\x80\0\0".to_vec()),
        ("a.wav", b"RIFF\xff\xff\xff\xffWAVEfmt \xff\xff\xff\xff".to_vec()),
        ("a.flac", b"fLaC\xff\xff\xff\xff".to_vec()),
        ("a.mp3", b"ID3\x04\0\0\x7f\x7f\x7f\x7f".to_vec()),
        ("a.ogg", b"OggS\0\x02\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec()),
    ];
    // One sample size for four billion samples.
    let mut movie = mp4();
    let stsz = movie.windows(4).position(|window| window == b"stsz").unwrap();
    movie[stsz + 8..stsz + 16].copy_from_slice(&[0xff; 8]);
    table.push(("a.mp4", movie));
    for (name, bytes) in table {
        let facts = facts(name, &bytes);
        assert_eq!(facts.category, kind::recognise(name, "", &bytes).category, "{name}");
    }
}

/// `lofty` panics on Opus without channels.
#[test]
fn sound_that_panics_its_parser_is_survived() {
    let page = |sequence: u8, packet: &[u8]| {
        let header = [b"OggS\0\x02", &[0; 8][..], &[1, 0, 0, 0], &[sequence, 0, 0, 0], &[0; 4]].concat();
        [&header, &[1, packet.len() as u8][..], packet].concat()
    };
    let head = b"OpusHead\x01\0\0\0\x80\xbb\0\0\0\0\0";
    let tags = b"OpusTags\x01\0\0\0x\0\0\0\0";
    let facts = facts("a.opus", &[page(0, head), page(1, tags), page(2, &[0; 100])].concat());
    assert_eq!((facts.category, facts.video), ("audio", None));
}

/// Every prefix of every sample, and thousands of samples with a few bytes changed.
#[test]
fn damage_takes_facts_but_nothing_else() {
    use rand::{Rng, SeedableRng};
    let exif = exif_block(&photo_tags(6));
    let tiff = exif.clone();
    let samples = [
        ("a.jpg", jpeg(&exif)),
        ("a.png", png(&exif)),
        ("a.webp", webp(&exif)),
        ("a.tif", tiff),
        ("a.mp4", mp4()),
        ("a.webm", webm()),
        ("a.wav", wav()[..2000].to_vec()),
    ];
    let seed = std::env::var("PDSFS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let mut file = tempfile::tempfile().unwrap();
    let mut check = |name: &str, bytes: &[u8]| {
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(bytes).unwrap();
        describe(name, "", &file, bytes.len() as u64);
    };
    for (name, sample) in &samples {
        for len in 0..sample.len().min(4000) {
            check(name, &sample[..len]);
        }
        for _ in 0..1500 {
            let mut bytes = sample.clone();
            for _ in 0..random.random_range(1..=4) {
                let at = random.random_range(0..bytes.len().min(1500));
                bytes[at] =
                    *[0, 1, 0x7f, 0x80, 0xff, random.random()].get(random.random_range(0..6)).unwrap();
            }
            check(name, &bytes);
        }
    }
}
