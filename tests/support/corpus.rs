//! A folder of files as people have them, made on the spot: photos with EXIF and GPS, videos, sound, documents,
//! degenerate files, and names that break careless programs.
//!
//! Media come from ffmpeg, exiftool and heif-enc, so that our parsers meet what other programs write; what is
//! expected of them was given to those programs, not read back. About 2 MB, a few seconds. A missing program is
//! a failed test: `scripts/install-deps` installs them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One file of the corpus.
#[derive(Clone, Debug)]
pub struct Specimen {
    /// Where it is on the local disk.
    pub path: PathBuf,
    /// The name it shall have on the drive. The last part of `path`, except where the local disk cannot have it
    /// (names over 255 bytes).
    pub name: OsString,
    /// Its length in bytes.
    pub bytes_len: u64,
    /// What the drive has to find out about it.
    pub expect: Expect,
}

/// What is known about a specimen; `None` and empty where the test does not care.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// `mime_type`.
    pub mime: Option<&'static str>,
    /// `category`.
    pub category: Option<&'static str>,
    /// Pixels as displayed.
    pub width: Option<u64>,
    /// Pixels as displayed.
    pub height: Option<u64>,
    /// Degrees; the file may have kept them to no more than four decimals.
    pub lat_lon: Option<(f64, f64)>,
    /// `time` of the media metadata.
    pub time: Option<&'static str>,
    /// `code_name` of the first video stream.
    pub video_codec: Option<&'static str>,
    /// `code_name` of the first audio stream.
    pub audio_codec: Option<&'static str>,
    /// Seconds, to a tenth: encoders pad.
    pub duration: Option<f64>,
    /// EXIF tags and their values as text.
    pub exif: &'static [(&'static str, &'static str)],
}

const WEST_LAKE: (f64, f64) = (30.185453, 120.218522);
const SYDNEY: (f64, f64) = (-33.856784, 151.215297);

const PHOTO_TAGS: &[(&str, &str)] = &[
    ("Make", "Pdsfs"),
    ("Model", "Test Camera 1"),
    ("DateTimeOriginal", "2020:08:19 17:11:11"),
    ("OffsetTimeOriginal", "+08:00"),
    ("Orientation", "6"),
    ("ExposureTime", "1/250"),
    ("ImageDescription", "\u{897f}\u{6e56} West Lake"),
    ("GPSLatitudeRef", "North"),
    ("GPSLongitudeRef", "East"),
];

/// Makes the corpus in `dir`, which must exist.
///
/// # Panics
/// If a program is missing or fails.
pub fn make(dir: &Path) -> Vec<Specimen> {
    let groups: [fn(&Path) -> Vec<Specimen>; 5] = [pictures, videos, sounds, documents, names];
    std::thread::scope(|scope| {
        let groups = groups.map(|group| scope.spawn(move || group(dir)));
        groups.into_iter().flat_map(|group| group.join().expect("a group of the corpus")).collect()
    })
}

fn pictures(dir: &Path) -> Vec<Specimen> {
    let image = |mime, width, height| Expect {
        mime: Some(mime),
        category: Some("image"),
        width: Some(width),
        height: Some(height),
        ..Expect::default()
    };
    let picture = |name: &str, size: &str, extra: &[&str]| {
        let source = format!("testsrc2=s={size}");
        let path = dir.join(name);
        ffmpeg(&[&["-f", "lavfi", "-i", &source, "-frames:v", "1"], extra].concat(), &path);
        path
    };
    let photo = picture("photo.jpg", "1200x900", &["-q:v", "3"]);
    let mut tags: Vec<String> =
        PHOTO_TAGS.iter().map(|(tag, value)| format!("-EXIF:{tag}#={value}")).collect();
    tags.retain(|tag| !tag.contains("GPS"));
    tags.push("-SubSecTimeOriginal=250".into());
    exiftool(&photo, &[tags, gps(WEST_LAKE)].concat());
    let photo_facts = Expect {
        lat_lon: Some(WEST_LAKE),
        time: Some("2020-08-19T17:11:11.250+08:00"),
        exif: PHOTO_TAGS,
        ..image("image/jpeg", 900, 1200)
    };
    // HEIF readers turn by a box that the encoder does not write, and ignore the EXIF orientation.
    let (heic, avif) = (dir.join("photo.heic"), dir.join("photo.avif"));
    run("heif-enc", &["-q", "50", "-o"], &[&heic, &photo]);
    run("heif-enc", &["-A", "-q", "50", "-o"], &[&avif, &photo]);
    let unturned =
        |mime| Expect { mime: Some(mime), width: Some(1200), height: Some(900), ..photo_facts.clone() };

    let dated = ["-DateTimeOriginal=2021:02:03 04:05:06".to_owned()];
    let dated_facts =
        |image| Expect { time: Some("2021-02-03T04:05:06.000Z"), lat_lon: Some(SYDNEY), ..image };
    let (png, webp) = (picture("drawing.png", "64x48", &[]), picture("drawing.webp", "70x50", &[]));
    let tiff = picture("scan.tiff", "80x60", &[]);
    for path in [&png, &webp, &tiff] {
        exiftool(path, &[&dated[..], &gps(SYDNEY)].concat());
    }
    vec![
        specimen(photo, photo_facts.clone()),
        specimen(heic, unturned("image/heic")),
        specimen(avif, unturned("image/avif")),
        specimen(png, dated_facts(image("image/png", 64, 48))),
        specimen(webp, dated_facts(image("image/webp", 70, 50))),
        specimen(tiff, dated_facts(image("image/tiff", 80, 60))),
        specimen(picture("animation.gif", "32x44", &[]), image("image/gif", 32, 44)),
        specimen(picture("old.bmp", "38x36", &[]), image("image/bmp", 38, 36)),
        specimen(
            picture("a photo under a wrong name.txt", "16x24", &["-f", "mjpeg"]),
            image("image/jpeg", 16, 24),
        ),
    ]
}

fn videos(dir: &Path) -> Vec<Specimen> {
    let film = |mime| Expect {
        mime: Some(mime),
        category: Some("video"),
        width: Some(320),
        height: Some(240),
        time: Some("2021-05-06T07:08:09.000Z"),
        video_codec: Some("h264"),
        audio_codec: Some("aac"),
        duration: Some(2.0),
        ..Expect::default()
    };
    let sources = ["-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=2", "-f", "lavfi", "-i", "sine=440:d=2"];
    let made =
        ["-metadata", "creation_time=2021-05-06T07:08:09Z", "-metadata", "location=+30.185453+120.218522/"];
    let path = |name: &str| dir.join(name);
    let h264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"];
    ffmpeg(&[&sources[..], &h264, &made].concat(), &path("moov-at-the-end.mp4"));
    let original = path("moov-at-the-end.mp4");
    let copied = |name: &str, options: &[&str]| {
        let input = original.to_str().expect("an ordinary path");
        ffmpeg(&[&["-i", input, "-c", "copy"], &made[..], options].concat(), &path(name));
        path(name)
    };
    let fast = copied("faststart.mp4", &["-movflags", "+faststart"]);
    let mov = copied("IMG_0001.MOV", &[]);
    let turned = copied("portrait.mov", &["-metadata:s:v", "rotate=90"]);
    let keys = copied("keys.mov", &["-metadata", "location="]);
    exiftool(&keys, &[format!("-Keys:GPSCoordinates={}, {}, 12", SYDNEY.0, SYDNEY.1)]);
    let mkv = copied("film.mkv", &[]);
    let webm = path("clip.webm");
    let vp9 = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus"];
    ffmpeg(&[&sources[..], &vp9, &made].concat(), &webm);
    let at = |place, film| Expect { lat_lon: Some(place), ..film };
    vec![
        specimen(original.clone(), at(WEST_LAKE, film("video/mp4"))),
        specimen(fast, at(WEST_LAKE, film("video/mp4"))),
        specimen(mov, at(WEST_LAKE, film("video/quicktime"))),
        specimen(keys, at(SYDNEY, film("video/quicktime"))),
        specimen(
            turned,
            Expect { width: Some(240), height: Some(320), ..at(WEST_LAKE, film("video/quicktime")) },
        ),
        specimen(mkv, film("video/x-matroska")),
        specimen(webm, Expect { video_codec: Some("vp9"), audio_codec: Some("opus"), ..film("video/webm") }),
    ]
}

fn sounds(dir: &Path) -> Vec<Specimen> {
    let table = [
        ("song.mp3", "audio/mpeg", "mp3"),
        ("song.wav", "audio/wav", "pcm_s16le"),
        ("song.flac", "audio/flac", "flac"),
        ("song.ogg", "audio/ogg", "vorbis"),
        ("song.opus", "audio/opus", "opus"),
        ("song.m4a", "audio/mp4", "aac"),
        ("song.aiff", "audio/aiff", "pcm_s16be"),
    ];
    let sound = |&(name, mime, codec): &(&str, _, _)| {
        let path = dir.join(name);
        let options = ["-f", "lavfi", "-i", "sine=440:d=2", "-ar", "48000", "-metadata", "title=A tone"];
        ffmpeg(&options, &path);
        let expect = Expect { audio_codec: Some(codec), duration: Some(2.0), ..kind(mime, "audio") };
        specimen(path, expect)
    };
    table.iter().map(sound).collect()
}

fn documents(dir: &Path) -> Vec<Specimen> {
    let random: Vec<u8> = (0u32..300_000).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let zip = zip("hello.txt", b"hello");
    let table: [(&str, &[u8], Expect); 10] = [
        ("paper.pdf", PDF, kind("application/pdf", "doc")),
        ("bundle.zip", &zip, kind("application/zip", "zip")),
        ("program.apk", &zip, kind("application/vnd.android.package-archive", "app")),
        ("empty.txt", b"", kind("text/plain", "doc")),
        ("empty", b"", kind("application/octet-stream", "others")),
        ("one byte.bin", b"\0", kind("application/octet-stream", "others")),
        ("notes.md", b"BMW is a car.\n", kind("text/markdown", "doc")),
        ("Makefile", b"all:\n\ttrue\n", kind("text/plain", "doc")),
        ("random.bin", &random, kind("application/octet-stream", "others")),
        ("broken.jpg", b"\xff\xd8\xff\xe1\xff\xffExif\0\0MM\0*\xff\xff\xff\xff", kind("image/jpeg", "image")),
    ];
    table.into_iter().map(|(name, bytes, expect)| written(dir, name, bytes, expect)).collect()
}

/// Names the service accepts and shells, archives and careless programs stumble over.
fn names(dir: &Path) -> Vec<Specimen> {
    let table = [
        "two  spaces.txt",
        " leading space.txt",
        "trailing space ",
        "single ' and double \" quotes.txt",
        "new\nline.txt",
        "tab\tand \u{1} control.txt",
        "-rf",
        "--help",
        "back\\slash*?[]<>|:&;$(true)`.txt",
        "\u{4e2d}\u{6587}\u{6587}\u{4ef6}.txt",
        "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} family \u{1f3d4}\u{fe0f}.txt",
        "\u{e9} composed.txt",
        "e\u{301} decomposed.txt",
        "\u{5d0}\u{5d1} right to left \u{202e}.txt",
        ".hidden",
        "...",
        "100%25.txt",
        "UPPER.TXT",
        "upper.txt",
    ];
    let mut specimens: Vec<_> = table
        .into_iter()
        .map(String::from)
        .chain([format!("{}.txt", "n".repeat(251)), format!("{}.txt", "\u{957f}".repeat(83) + "xx")])
        .map(|name| written(dir, &name, format!("the file {name:?}\n").as_bytes(), kind("text/plain", "doc")))
        .collect();
    // The local disk has at most 255 bytes; a drive has 1,024.
    let long = [format!("{}.txt", "m".repeat(1020)), format!("{}.txt", "\u{957f}".repeat(340))];
    for (number, name) in long.into_iter().enumerate() {
        assert_eq!(name.len(), 1024);
        let local = format!("content of long name {number}.txt");
        let content = format!("the file with the long name {number}\n");
        let specimen = written(dir, &local, content.as_bytes(), kind("text/plain", "doc"));
        specimens.push(Specimen { name: name.into(), ..specimen });
    }
    specimens
}

fn kind(mime: &'static str, category: &'static str) -> Expect {
    Expect { mime: Some(mime), category: Some(category), ..Expect::default() }
}

fn written(dir: &Path, name: &str, bytes: &[u8], expect: Expect) -> Specimen {
    let path = dir.join(name);
    fs::write(&path, bytes).unwrap_or_else(|error| panic!("write {path:?}: {error}"));
    specimen(path, expect)
}

fn specimen(path: PathBuf, expect: Expect) -> Specimen {
    let bytes_len =
        fs::metadata(&path).unwrap_or_else(|error| panic!("{path:?} was not made: {error}")).len();
    let name = path.file_name().expect("a file").to_owned();
    Specimen { path, name, bytes_len, expect }
}

fn gps((latitude, longitude): (f64, f64)) -> Vec<String> {
    let reference = |value: f64, positive: &str, negative: &str| {
        if value < 0.0 { negative.to_owned() } else { positive.to_owned() }
    };
    vec![
        format!("-EXIF:GPSLatitude={}", latitude.abs()),
        format!("-EXIF:GPSLatitudeRef={}", reference(latitude, "N", "S")),
        format!("-EXIF:GPSLongitude={}", longitude.abs()),
        format!("-EXIF:GPSLongitudeRef={}", reference(longitude, "E", "W")),
    ]
}

fn ffmpeg(options: &[&str], output: &Path) {
    run("ffmpeg", &[&["-nostdin", "-v", "error", "-y", "-threads", "1"], options].concat(), &[output]);
}

fn exiftool(path: &Path, options: &[String]) {
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    run("exiftool", &[&["-q", "-overwrite_original"], &options[..]].concat(), &[path]);
}

fn run(program: &str, options: &[&str], paths: &[&Path]) {
    let output = Command::new(program).args(options).args(paths).output().unwrap_or_else(|error| {
        panic!("the media corpus needs {program} ({error}): run scripts/install-deps, which installs it")
    });
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {options:?} {paths:?} failed: {complaints}");
}

/// A zip with one stored file.
fn zip(name: &str, content: &[u8]) -> Vec<u8> {
    let (name_len, len) = ((name.len() as u16).to_le_bytes(), (content.len() as u32).to_le_bytes());
    let crc = crc32(content).to_le_bytes();
    // Version, flags, method, time and date, then what both headers share.
    let common = [&[20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0x50], &crc[..], &len, &len, &name_len, &[0, 0]].concat();
    let local = [b"PK\x03\x04", &common[..], name.as_bytes(), content].concat();
    let central = [b"PK\x01\x02\x14\0", &common[..], &[0; 14], name.as_bytes()].concat();
    let sizes = [(central.len() as u32).to_le_bytes(), (local.len() as u32).to_le_bytes()].concat();
    [&local[..], &central, b"PK\x05\x06\0\0\0\0\x01\0\x01\0", &sizes, &[0, 0]].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    };
    !bytes.iter().fold(!0, step)
}

/// One empty page.
const PDF: &[u8] = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n\
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n\
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n\
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>endobj\n\
trailer<</Root 1 0 R/Size 4>>\n%%EOF\n";
