//! The media corpus on a real mount: in by `cp`, out by `cp`, the same bits; everything the drive found out about each
//! file as extended attributes and in `pdsfs info`; and the names that break careless programs.

#![allow(clippy::unwrap_used)] // Also in the helpers of tests.

mod support;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::Value;
use support::corpus::{self, Specimen};
use support::mount::Said;
use support::{Mount, crc64, sha1_hex_upper};

/// `user.pds.NAME` of a file, through the kernel.
fn attribute(path: &Path, name: &str) -> Option<String> {
    let value = xattr::get(path, format!("user.pds.{name}"))
        .unwrap_or_else(|error| panic!("{name} of {path:?}: {error}"));
    value.map(|value| String::from_utf8(value).unwrap())
}

#[test]
fn the_corpus_comes_and_goes_bit_for_bit_and_is_described() {
    let m = Mount::new();
    let specimens = corpus::make(&m.path("disk"));
    for specimen in &specimens {
        let mut cp = m.command("cp");
        Said::of("cp in", cp.arg("--").arg(&specimen.path).arg(m.on(&specimen.name))).quiet();
    }
    let mut wrong: Vec<String> = specimens.iter().flat_map(|specimen| complaints(&m, specimen)).collect();
    m.remount();
    let mut listed: Vec<OsString> =
        fs::read_dir(m.path("mnt")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let mut expected: Vec<OsString> = specimens.iter().map(|specimen| specimen.name.clone()).collect();
    listed.sort();
    expected.sort();
    assert_eq!(listed, expected);
    wrong.extend(specimens.iter().flat_map(|specimen| complaints(&m, specimen)));
    for specimen in &specimens {
        wrong.extend(page_complaints(&m, specimen));
        let mut cp = m.command("cp");
        Said::of("cp out", cp.arg("--").arg(m.on(&specimen.name)).arg(m.path("out"))).quiet();
        Said::of("cmp", m.command("cmp").arg("--").arg(m.path("out")).arg(&specimen.path)).quiet();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Everything the attributes of a specimen say that is not as expected.
fn complaints(m: &Mount, specimen: &Specimen) -> Vec<String> {
    let path = m.on(&specimen.name);
    let bytes = fs::read(&specimen.path).unwrap();
    let (expect, sha1) = (&specimen.expect, sha1_hex_upper(&bytes));
    let get = |name: &str| attribute(&path, name);
    let mut wrong = Vec::new();
    let mut check = |name: &str, found: Option<String>, expected: Option<String>| {
        if found != expected {
            wrong.push(format!("{:?}: {name} is {found:?} and not {expected:?}", specimen.name));
        }
    };
    check("size", get("size"), Some(bytes.len().to_string()));
    check("content_hash", get("content_hash"), Some(sha1.clone()));
    check("content_hash_name", get("content_hash_name"), Some("sha1".into()));
    check("crc64_hash", get("crc64_hash"), Some(crc64(&bytes).to_string()));
    check("type", get("type"), Some("file".into()));
    check("name", get("name"), Some(specimen.name.to_str().unwrap().to_owned()));
    let alias =
        xattr::get(&path, "user.checksum.sha1").unwrap().map(|value| String::from_utf8(value).unwrap());
    check("user.checksum.sha1", alias, Some(sha1.to_lowercase()));
    if let Some(mime) = expect.mime {
        check("mime_type", get("mime_type"), Some(mime.into()));
    }
    if let Some(category) = expect.category {
        check("category", get("category"), Some(category.into()));
    }
    let media = if expect.category == Some("image") { "image" } else { "video" };
    for (name, number) in [("width", expect.width), ("height", expect.height)] {
        check(name, get(&format!("{media}.{name}")), number.map(|number| number.to_string()));
    }
    check("time", get(&format!("{media}.time")), expect.time.map(str::to_owned));
    check("video codec", get("video.stream.0.codec"), expect.video_codec.map(str::to_owned));
    check("audio codec", get("video.audio.0.codec"), expect.audio_codec.map(str::to_owned));
    let near = |place: &(f64, f64)| {
        let found = get(&format!("{media}.location")).unwrap_or_default();
        let (latitude, longitude) = found.split_once(',').unwrap_or_default();
        let close =
            |text: &str, value: f64| text.parse::<f64>().is_ok_and(|found| (found - value).abs() < 1e-4);
        close(latitude, place.0) && close(longitude, place.1)
    };
    check(
        "has a place",
        get(&format!("{media}.location")).map(|_| String::new()),
        expect.lat_lon.map(|_| String::new()),
    );
    check("place", Some(expect.lat_lon.as_ref().is_none_or(near).to_string()), Some("true".into()));
    let seconds = get("video.duration").map(|text| text.parse::<f64>().unwrap());
    let right = match (seconds, expect.duration) {
        (Some(found), Some(expected)) => (found - expected).abs() < 0.1,
        (found, expected) => found == expected,
    };
    check("duration", Some(right.to_string()), Some("true".into()));
    for (tag, value) in expect.exif {
        check(tag, get(&format!("image.exif.{tag}")), Some((*value).into()));
    }
    wrong.extend(list_complaints(&path));
    wrong
}

/// What is listed can be read, and fits where copy tools put it (users get ENOSPC on ext4 otherwise).
fn list_complaints(path: &Path) -> Vec<String> {
    let names: Vec<OsString> = xattr::list(path).unwrap().collect();
    let mut bytes_len = 0;
    let mut wrong = Vec::new();
    for name in &names {
        match xattr::get(path, name) {
            Ok(Some(value)) => bytes_len += name.len() + value.len(),
            other => wrong.push(format!("{path:?}: {name:?} is listed and reads as {other:?}")),
        }
    }
    if bytes_len > 3000 || names.len() < 15 {
        wrong.push(format!("{path:?}: {} attributes of {bytes_len} bytes are listed", names.len()));
    }
    wrong
}

/// What `pdsfs info` says that is not as expected.
fn page_complaints(m: &Mount, specimen: &Specimen) -> Vec<String> {
    let path = m.on(&specimen.name);
    let bytes = fs::read(&specimen.path).unwrap();
    let (sha1, name) = (sha1_hex_upper(&bytes), specimen.name.to_str().unwrap());
    let json = Said::of("info --json", m.pdsfs(["info", "--json"]).arg("--").arg(&path)).quiet();
    let json: Value = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{name:?}: {error}: {json}"));
    let mut wrong = Vec::new();
    for (key, expected) in [
        ("name", Value::from(name)),
        ("content_hash", sha1.clone().into()),
        ("crc64_hash", crc64(&bytes).to_string().into()),
        ("size", bytes.len().into()),
        ("type", "file".into()),
    ] {
        if json[key] != expected {
            wrong.push(format!("{name:?}: info --json has {key} {:?} and not {expected:?}", json[key]));
        }
    }
    if json["local"]["path"] != path.to_str().unwrap() || json["local"]["size"] != bytes.len() {
        wrong.push(format!("{name:?}: info --json has local {:?}", json["local"]));
    }
    let page = Said::of("info", m.pdsfs(["info"]).arg("--").arg(&path)).quiet();
    let expect = &specimen.expect;
    let dimensions =
        expect.width.zip(expect.height).map(|(width, height)| [width.to_string(), height.to_string()]);
    let mut parts = vec![sha1, crc64(&bytes).to_string()];
    parts.extend(expect.mime.map(str::to_owned));
    parts.extend(dimensions.into_iter().flatten());
    parts.extend(expect.video_codec.into_iter().chain(expect.audio_codec).map(str::to_owned));
    for part in parts {
        if !page.to_lowercase().contains(&part.to_lowercase()) {
            wrong.push(format!("{name:?}: {part:?} is not in the page:\n{page}"));
        }
    }
    if page.chars().any(|c| c.is_control() && c != '\n') || page.contains("http://") {
        wrong.push(format!("{name:?}: the page has control characters or a URL:\n{page:?}"));
    }
    wrong
}

#[test]
fn what_a_person_types_about_a_photo() {
    let m = Mount::new();
    corpus::make(&m.path("disk"));
    m.quiet("cp disk/photo.jpg disk/faststart.mp4 mnt/");
    let dump = m.quiet("getfattr -d mnt/photo.jpg");
    for line in [
        "user.pds.image.width=\"900\"",
        "user.pds.image.height=\"1200\"",
        "user.pds.mime_type=\"image/jpeg\"",
        "user.pds.image.location=\"30.18",
    ] {
        assert!(dump.contains(line), "{line} is missing in:\n{dump}");
    }
    assert!(!dump.contains("://"), "a signed URL is listed:\n{dump}");
    assert_eq!(m.quiet("getfattr --only-values -n user.pds.image.exif.Model mnt/photo.jpg"), "Test Camera 1");
    m.sh("getfattr -n user.pds.image.exif.NoSuchTag mnt/photo.jpg").failed(1, &["No such attribute"]);
    m.sh("getfattr -n user.pds.download_url mnt/photo.jpg").failed(1, &["No such attribute"]);
    let everything: Value =
        serde_json::from_str(&m.quiet("getfattr --only-values -n user.pds.json mnt/photo.jpg")).unwrap();
    assert_eq!(everything["image_media_metadata"]["width"], 900);
    let page = Said::of("info", &mut m.pdsfs(["info", "mnt/photo.jpg"])).quiet();
    for part in ["photo.jpg", "900", "1200", "Test Camera 1", "2020", "30.18", "120.21", "\u{897f}\u{6e56}"] {
        assert!(page.contains(part), "{part} is missing in:\n{page}");
    }
    let page = Said::of("info", &mut m.pdsfs(["info", "mnt/faststart.mp4"])).quiet();
    for part in ["h264", "aac", "320", "240"] {
        assert!(page.contains(part), "{part} is missing in:\n{page}");
    }
    let page = Said::of("info", &mut m.pdsfs(["info", "mnt"])).quiet();
    assert!(page.contains("folder") || page.contains("Folder"), "{page}");
    Said::of("info", &mut m.pdsfs(["info", "mnt/none"])).failed(3, &["pdsfs: ", "no such file"]);
    Said::of("info", &mut m.pdsfs(["info", "disk/photo.jpg"])).failed(2, &["pdsfs: ", "not on a drive"]);
}

#[test]
fn urls_are_shown_only_when_asked_for() {
    let m = Mount::with(&["--xattr-urls"]);
    m.file("disk/a", 70_000);
    m.quiet("cp disk/a mnt/a");
    m.remount();
    let url = m.quiet("getfattr --only-values -n user.pds.download_url mnt/a");
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    // Whoever has it can fetch the file, with nothing but curl.
    m.quiet(&format!("curl -sf '{url}' | cmp - disk/a"));
    m.quiet("cp -a mnt/a disk/b; ! getfattr -d disk/b | grep http");
}

#[test]
fn names_at_the_limits() {
    let m = Mount::new();
    let name = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    for length in [255, 256, 1023, 1024] {
        fs::write(m.on(name(&vec![b'n'; length])), length.to_string()).unwrap();
        fs::create_dir(m.on(name(&vec![b'd'; length]))).unwrap();
    }
    // 1,024 bytes as 341 characters and one byte.
    let chinese = OsString::from("\u{957f}".repeat(341) + "x");
    fs::write(m.on(&chinese), "chinese").unwrap();
    let errno = |result: std::io::Result<()>| result.unwrap_err().raw_os_error().unwrap();
    const ENAMETOOLONG: i32 = 36;
    const EILSEQ: i32 = 84;
    let too_long = m.on(name(&[b'x'; 1025]));
    for result in [
        fs::write(&too_long, "x"),
        fs::create_dir(&too_long),
        fs::rename(m.on(&chinese), &too_long),
        fs::metadata(&too_long).map(drop),
    ] {
        assert_eq!(errno(result), ENAMETOOLONG);
    }
    for bytes in [&b"latin1 \xe9"[..], b"\xff", b"cut \xe4\xb8"] {
        let path = m.on(name(bytes));
        assert_eq!(errno(fs::write(&path, "x")), EILSEQ, "{bytes:?}");
        assert_eq!(errno(fs::create_dir(&path)), EILSEQ, "{bytes:?}");
        assert_eq!(errno(fs::rename(m.on(&chinese), &path)), EILSEQ, "{bytes:?}");
        assert_eq!(errno(fs::metadata(&path).map(drop)), 2, "{bytes:?} cannot be there");
    }
    m.remount();
    for length in [255, 256, 1023, 1024] {
        assert_eq!(fs::read_to_string(m.on(name(&vec![b'n'; length]))).unwrap(), length.to_string());
        fs::remove_dir(m.on(name(&vec![b'd'; length]))).unwrap();
    }
    assert_eq!(fs::read_to_string(m.on(&chinese)).unwrap(), "chinese");
    m.sh("cp disk/../mnt/n* disk/").failed(1, &["File name too long"]);
    m.quiet("rm mnt/*; test -z \"$(ls -A mnt)\"");
}

#[test]
fn names_that_look_alike_are_different_files() {
    let m = Mount::new();
    let names = [
        "a",
        "A",
        "\u{e9}",
        "e\u{301}",
        "a ",
        " a",
        "a.",
        ".a",
        "a\u{200b}",
        "\u{fe0f}a",
        "...",
        "a\\",
        "a\n",
        "~a",
        "#a",
        "a%2Fb",
        "a?b",
        "a*b",
    ];
    for name in names {
        fs::write(m.on(name), name).unwrap();
    }
    m.remount();
    for name in names {
        assert_eq!(fs::read_to_string(m.on(name)).unwrap(), name, "{name:?}");
    }
    assert_eq!(fs::read_dir(m.path("mnt")).unwrap().count(), names.len());
}
