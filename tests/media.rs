//! What the embedded server finds out about real files, written by ffmpeg, exiftool and heif-enc.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use pdsfs::server::media::{Facts, describe};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use support::corpus::{self, Specimen};
use support::{crc64, sha1_hex_upper};

/// The corpus, made once for all tests here.
fn corpus() -> &'static [Specimen] {
    static CORPUS: OnceLock<Vec<Specimen>> = OnceLock::new();
    CORPUS.get_or_init(|| {
        // Under the build directory and made anew by each run, because nothing runs after the last test.
        let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("media");
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        corpus::make(&dir)
    })
}

#[test]
fn real_files_tell_what_was_put_into_them() {
    let corpus = corpus();
    let total: u64 = corpus.iter().map(|specimen| specimen.bytes_len).sum();
    assert!(corpus.len() >= 50 && total < 30 << 20, "{} files of {total} bytes", corpus.len());
    let wrong: Vec<_> = corpus.iter().flat_map(complaints).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Hundreds of damaged versions of each real file: no parser may stop the server.
#[test]
fn damaged_real_files_are_described_too() {
    let seed = std::env::var("PDSFS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    println!("PDSFS_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for specimen in corpus() {
        if matches!(specimen.expect.category, Some("image" | "video" | "audio")) {
            let bytes = std::fs::read(&specimen.path).unwrap();
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(&bytes, 0).unwrap();
            for _ in 0..300 {
                damage_and_describe(&file, specimen.name.to_str().unwrap(), &bytes, &mut random);
            }
        }
    }
}

/// Changes a few bytes near one end of the file, where headers are, maybe cuts it, and repairs it afterwards.
fn damage_and_describe(file: &File, name: &str, bytes: &[u8], random: &mut StdRng) {
    let len = bytes.len().min(2000);
    let from = if random.random() { 0 } else { bytes.len() - len };
    let whole = &bytes[from..from + len];
    let mut part = whole.to_vec();
    for _ in 0..random.random_range(1..=5) {
        let at = random.random_range(0..len);
        part[at] = [0, 1, 0x7f, 0x80, 0xff, random.random()][random.random_range(0..6)];
    }
    let size = if random.random_ratio(1, 4) { random.random_range(0..=bytes.len()) } else { bytes.len() };
    file.write_all_at(&part, from as u64).unwrap();
    describe(name, "", file, size as u64);
    file.write_all_at(whole, from as u64).unwrap();
}

/// Everything about a specimen that is not as expected.
fn complaints(specimen: &Specimen) -> Vec<String> {
    let name = specimen.name.to_str().unwrap();
    let facts = describe(name, "", &File::open(&specimen.path).unwrap(), specimen.bytes_len);
    let expect = &specimen.expect;
    let media = facts.image.as_ref().or(facts.video.as_ref()).cloned().unwrap_or_default();
    let mut wrong = Vec::new();
    let mut check = |what: &str, is_right: bool| {
        if !is_right {
            wrong.push(format!("{name:?}: {what} of {facts:#?}\nexpected {expect:#?}"));
        }
    };
    check("mime type", expect.mime.is_none_or(|mime| facts.mime_type == mime));
    check("category", expect.category.is_none_or(|category| facts.category == category));
    check("width", media.get("width").and_then(Value::as_u64) == expect.width);
    check("height", media.get("height").and_then(Value::as_u64) == expect.height);
    check("time", media.get("time").and_then(Value::as_str) == expect.time);
    check("location", near(media.get("location"), expect.lat_lon));
    check("duration", lasts(media.get("duration"), expect.duration));
    check("video codec", codec(&facts, "video_media_video_stream") == expect.video_codec);
    check("audio codec", codec(&facts, "video_media_audio_stream") == expect.audio_codec);
    let exif = media.get("exif").and_then(Value::as_str).unwrap_or("{}");
    let exif: Value = serde_json::from_str(exif).unwrap();
    for (tag, value) in expect.exif {
        check(tag, exif[tag]["value"] == **value);
    }
    wrong
}

fn near(location: Option<&Value>, expected: Option<(f64, f64)>) -> bool {
    let Some((latitude, longitude)) = expected else { return location.is_none() };
    let parts = location.and_then(Value::as_str).and_then(|text| text.split_once(','));
    parts.is_some_and(|(lat, lon)| {
        let close =
            |text: &str, value: f64| text.parse::<f64>().is_ok_and(|found| (found - value).abs() < 1e-4);
        close(lat, latitude) && close(lon, longitude)
    })
}

fn lasts(duration: Option<&Value>, expected: Option<f64>) -> bool {
    let found = duration.and_then(Value::as_str).and_then(|text| text.parse::<f64>().ok());
    match (found, expected) {
        (Some(found), Some(expected)) => (found - expected).abs() < 0.1,
        (found, expected) => found == expected,
    }
}

fn codec<'a>(facts: &'a Facts, streams: &str) -> Option<&'a str> {
    facts.video.as_ref()?.get(streams)?.get(0)?.get("code_name")?.as_str()
}

/// The samples of pds-api.md 4.4.
#[test]
fn the_hashes_that_tests_compare_with_are_right() {
    assert_eq!(crc64(b""), 0);
    assert_eq!(crc64(b"123456789"), 11051210869376104954);
    assert_eq!(crc64(b"hello world"), 5981764153023615706);
    assert_eq!(sha1_hex_upper(b""), "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709");
}
