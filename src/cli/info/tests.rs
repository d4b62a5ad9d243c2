//! Whole pages, compared as text.

use serde_json::json;

use super::*;

fn style() -> Style {
    Style { zone: TimeZone::fixed(jiff::tz::offset(8)), ..Style::default() }
}

fn extra(name: &str, size_bytes: u64, state: &str) -> Extra {
    Extra {
        path: format!("/mnt/pds/{name}"),
        visible_name: name.into(),
        size_bytes,
        state: state.into(),
        cached_bytes: Some(0),
        cache_age_seconds: Some(12),
        ..Extra::default()
    }
}

/// As the service sends it: EXIF and faces are texts holding JSON.
fn photo() -> Value {
    let exif = json!({
        "Make": {"value": "Apple"}, "Model": {"value": "iPhone 11"},
        "LensModel": {"value": "iPhone 11 back camera"}, "ExposureTime": {"value": "1/120"},
        "FNumber": {"value": "9/5"}, "ISOSpeedRatings": {"value": "64"}, "FocalLength": {"value": "17/4"},
        "Orientation": {"value": "1"}, "Empty": {"value": ""},
    });
    let mut file: Value = serde_json::from_str(
        r#"{
        "domain_id": "bj1", "drive_id": "1", "file_id": "5d79206586bb5dd69fb34c349282718146c55da7",
        "parent_file_id": "root", "name": "sunset.jpg", "type": "file", "status": "available",
        "file_extension": "jpg", "mime_type": "image/jpeg", "mime_extension": "jpg",
        "content_type": "application/octet-stream", "category": "image", "size": 3565158,
        "crc64_hash": "3574582125365864400",
        "content_hash": "EA4942AA8761213890A5C386F88E6464D2C31CA3", "content_hash_name": "sha1",
        "revision_id": "40cb7794c929", "revision_version": 2,
        "upload_id": "C9DCFE5A82644AC7A02DB74C30C934A6", "hidden": false, "starred": true,
        "punish_flag": 0, "encrypt_mode": "none", "created_at": "2019-08-20T06:51:27.292Z",
        "updated_at": "2019-08-20T06:51:27.292Z", "local_modified_at": "2019-08-19T00:00:00.000Z",
        "user_tags": {"k": "v", "value": "x", "xattr.user.foo": "b64:__4", "pdsfs.mode": "100755"},
        "labels": ["family", "2026"], "description": "Sunset\nat the lake",
        "thumbnail": "https://a.example/?Signature=x", "tomorrow": "new", "nothing": "", "empty": [],
        "image_media_metadata": {
            "time": "2020-08-19T09:11:11.000Z", "width": 4032, "height": 3024,
            "location": "30.185453,120.218522", "country": "China", "province": "Zhejiang",
            "city": "Hangzhou", "address_line": "1 Lake Road", "faces": "[{\"FaceId\":\"f1\"}]",
            "image_tags": [{"name": "lake", "confidence": 0.9}, {"name": "cat", "confidence": 0.1}],
            "image_quality": {"overall_score": 0.78}, "someday": "soon"
        }
    }"#,
    )
    .unwrap();
    file["image_media_metadata"]["exif"] = exif.to_string().into();
    file
}

const PHOTO_PAGE: &str = "\
sunset.jpg
Image \u{b7} /mnt/pds/sunset.jpg

File
  Size          3.4 MiB  (3,565,158 bytes)
  Type          image/jpeg
  Modified      Mon 19 Aug 2019, 08:00:00 +08:00  (2019-08-19T00:00:00.000Z)

Image
  Taken         Wed 19 Aug 2020, 17:11:11 +08:00  (2020-08-19T09:11:11.000Z)
  Dimensions    4032 \u{d7} 3024  (12.2 megapixels)
  Camera        Apple iPhone 11
  Lens          iPhone 11 back camera
  Exposure      1/120 s, f/1.8, ISO 64, 4.25 mm
  Place         Hangzhou, Zhejiang, China
  Address       1 Lake Road
  Coordinates   30.185453, 120.218522
  Shows         lake
  Faces         1
  Quality       78 %

Yours
  Description   Sunset
                at the lake
  Labels        family, 2026
  Starred       yes
  Tags          k = v
                value = x
  Attributes    user.foo = 2 bytes

Content
  SHA-1         EA4942AA8761213890A5C386F88E6464D2C31CA3
  CRC-64        3574582125365864400
  Revision      40cb7794c929  (version 2)
  Upload        C9DCFE5A82644AC7A02DB74C30C934A6

On the drive
  File id       5d79206586bb5dd69fb34c349282718146c55da7
  Folder id     root
  Drive         1
  Domain        bj1
  Created       Tue 20 Aug 2019, 14:51:27 +08:00  (2019-08-20T06:51:27.292Z)
  Changed       Tue 20 Aug 2019, 14:51:27 +08:00  (2019-08-20T06:51:27.292Z)

On this machine
  State         on the drive, some bytes here too  (partial)
  Bytes here    256.0 KiB of 3.4 MiB
  As of         12 seconds ago

More
  tomorrow       new
  image.someday  soon

EXIF
  Orientation   1
";

#[test]
fn the_page_of_a_photo() {
    let here = Extra { cached_bytes: Some(262_144), ..extra("sunset.jpg", 3_565_158, "partial") };
    assert_eq!(render(&photo(), &here, &style()), PHOTO_PAGE);
}

#[test]
fn the_page_of_a_video_whose_name_differs_here() {
    let video = json!({
        "drive_id": "1", "file_id": "f2", "parent_file_id": "root", "name": "1.mov", "type": "file",
        "mime_type": "video/quicktime", "content_type": "video/mp4", "category": "video", "size": 1024,
        "punish_flag": 2, "video_media_metadata": {
            "width": 1920, "height": "1080", "time": "2006-01-02T15:04:05.000Z07:00",
            "video_media_video_stream": [
                {"duration": "3722.88", "bitrate": "4108420", "code_name": "h264", "frame_count": "93072",
                    "fps": "25"},
                {"code_name": "mjpeg"}],
            "video_media_audio_stream": [
                {"bit_rate": "129280", "code_name": "aac", "channels": 2, "sample_rate": "44100"}],
        },
    });
    let page = "\
1 (2).mov
Video \u{b7} /mnt/pds/1 (2).mov

File
  Size          1.0 KiB  (1,024 bytes)
  Type          video/quicktime
  Declared as   video/mp4

Video
  Duration      1:02:03  (3722.88 s)
  Dimensions    1920 \u{d7} 1080
  Taken         2006-01-02T15:04:05.000Z07:00
  Video 1       h264, 4.1 Mbit/s, 25 frames/s, 93,072 frames
  Video 2       mjpeg
  Audio         aac, 129 kbit/s, 2 channels, 44.1 kHz

On the drive
  Name          1.mov
  File id       f2
  Folder id     root
  Drive         1

On this machine
  State         on the drive, no bytes here  (clean)
  As of         12 seconds ago

More
  punish_flag   2
";
    assert_eq!(render(&video, &extra("1 (2).mov", 1024, "clean"), &style()), page);
}

#[test]
fn the_page_of_a_folder() {
    let folder = json!({
        "drive_id": "40636", "domain_id": "bj29", "file_id": "60f5", "name": "folder", "type": "folder",
        "created_at": "2021-07-19T11:45:36.127Z", "updated_at": "2021-07-19T11:45:36.127Z",
        "hidden": false, "starred": false, "status": "available", "parent_file_id": "root",
        "encrypt_mode": "none", "revision_id": "", "size": 2048,
        "dir_size_info": {"dir_count": 1, "file_count": 1204},
    });
    let here = Extra { is_folder: true, cached_bytes: None, ..extra("folder", 0, "clean") };
    let page = "\
folder
Folder \u{b7} /mnt/pds/folder

Folder
  Size          2.0 KiB  (2,048 bytes)
  Contains      1,204 files, 1 folder

On the drive
  File id       60f5
  Folder id     root
  Drive         40636
  Domain        bj29
  Created       Mon 19 Jul 2021, 19:45:36 +08:00  (2021-07-19T11:45:36.127Z)
  Changed       Mon 19 Jul 2021, 19:45:36 +08:00  (2021-07-19T11:45:36.127Z)

On this machine
  State         on the drive  (clean)
  As of         12 seconds ago
";
    assert_eq!(render(&folder, &here, &style()), page);
}

#[test]
fn the_page_of_an_empty_file() {
    let file = json!({
        "file_id": "f3", "name": "empty.txt", "type": "file", "category": "doc", "size": 0,
        "crc64_hash": "0", "content_hash": "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709",
        "content_hash_name": "sha1", "image_media_metadata": {}, "video_media_metadata": null,
        "user_tags": {}, "labels": "",
    });
    let page = "\
empty.txt
Document \u{b7} /mnt/pds/empty.txt

File
  Size          0 bytes

Content
  SHA-1         DA39A3EE5E6B4B0D3255BFEF95601890AFD80709
  CRC-64        0

On the drive
  File id       f3

On this machine
  State         on the drive, all bytes here too  (cached)
  As of         12 seconds ago
";
    assert_eq!(render(&file, &extra("empty.txt", 0, "cached"), &style()), page);
}

fn on_its_way() -> Extra {
    Extra {
        upload_progress: Some((16 << 20, 50 << 20)),
        upload_error: "the drive is full".into(),
        cached_bytes: Some(50 << 20),
        cache_age_seconds: None,
        ..extra("new.bin", 50 << 20, "uploading")
    }
}

#[test]
fn a_file_on_its_way_says_how_far_it_is() {
    let page = "\
new.bin
File \u{b7} /mnt/pds/new.bin

File
  Size          50.0 MiB  (52,428,800 bytes)

On this machine
  State         not on the drive yet, being uploaded  (uploading)
  Bytes here    50.0 MiB
  Sent          16.0 MiB of 50.0 MiB  (32 %)
  Problem       the drive is full
";
    assert_eq!(render(&Value::Null, &on_its_way(), &style()), page);
}

#[test]
fn programs_get_the_object_and_what_is_local() {
    let text = as_program_output(json!({"file_id": "f"}), &on_its_way());
    let value: Value = serde_json::from_str(&text).unwrap();
    assert!(text.ends_with("}\n"));
    assert_eq!(value["file_id"], "f");
    assert_eq!(
        value["local"],
        json!({
            "path": "/mnt/pds/new.bin", "visible_name": "new.bin", "size": 52_428_800, "state": "uploading",
            "cached_bytes": 52_428_800, "upload_progress": {"sent": 16_777_216, "total": 52_428_800},
            "upload_error": "the drive is full",
        })
    );
}

#[test]
fn a_name_cannot_play_tricks_on_the_terminal() {
    let file = json!({
        "file_id": "f", "name": "a\u{1b}[31m", "description": "b\u{1b}]0;x\u{7}\nsecond line",
        "user_tags": {"k\n": "v\u{1b}"}, "tomorrow\u{1b}": "x\n",
    });
    let text = render(&file, &extra("a\u{1b}[31m", 1, "clean"), &style());
    assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{text}");
    assert!(text.contains("second line") && text.contains("k\\n = v\\u{1b}"), "{text}");
}

#[test]
fn a_path_outside_any_mount_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let error = run(folder.path(), false).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.to_string().contains("pdsfs mount"), "{error}");
    assert_eq!(run(&folder.path().join("none"), true).unwrap_err().kind(), Kind::NotFound);
}

/// The attributes of a mount, put by hand on a local file.
#[test]
fn what_a_mount_shows_is_gathered() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let put = |name: &str, value: &str| {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(file.path(), format!("user.pds.{name}"), value.as_bytes(), flags)
    };
    if put("state", "uploading") == Err(Errno::OPNOTSUPP) {
        eprintln!("NOT TESTED: {} keeps no user attributes", file.path().display());
        return;
    }
    let (json, before) = gather(file.path()).unwrap();
    assert_eq!((json, before.upload_progress, before.cached_bytes), (Value::Null, None, None));
    put("cached_bytes", "5").unwrap();
    put("upload_progress", "1/5").unwrap();
    put("json", r#"{"file_id":"f"}"#).unwrap();
    let (json, extra) = gather(file.path()).unwrap();
    assert_eq!(json["file_id"], "f");
    assert_eq!((extra.state.as_str(), extra.cached_bytes), ("uploading", Some(5)));
    assert_eq!(extra.upload_progress, Some((1, 5)));
    put("json", "{").unwrap();
    assert_eq!(gather(file.path()).unwrap_err().kind(), Kind::Protocol);
}

#[test]
fn whoever_made_and_changed_it_is_named_once() {
    let file = json!({
        "file_id": "f", "type": "file", "creator_type": "User", "creator_id": "u1", "creator_name": "Li",
        "last_modifier_type": "Application", "last_modifier_id": "sync", "last_modifier_name": "sync",
    });
    let page = render(&file, &extra("f", 1, "clean"), &style());
    let line =
        |label: &str| page.lines().find(|line| line.trim().starts_with(label)).unwrap_or_default().to_owned();
    assert!(line("Created by").ends_with("  Li (u1)"), "{page}");
    assert!(line("Changed by").ends_with("  Application sync"), "{page}");
    assert!(!page.contains("creator"), "{page}");
}
