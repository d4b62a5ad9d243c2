//! Each row of the attribute table and each rule of listing, setting and removing, on File objects written
//! from the samples of pds-api.md sections 16 to 18.

mod any;
mod listing;
mod setting;
mod values;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::json;

use super::*;

/// A draft to which this tag was attached.
fn with_tag(key: &str, value: &str) -> NewAttributes {
    let user_tags = BTreeMap::from([(key.to_owned(), value.to_owned())]);
    NewAttributes { user_tags, ..NewAttributes::default() }
}

const SIGNED: &str = "https://data.example/o?x-oss-expires=1&x-oss-signature=abc";

static NOTHING: LazyLock<NewAttributes> = LazyLock::new(NewAttributes::default);

const STRANGER: Caller = Caller { is_creator_within_grace: false, has_listed: false, tool: Tool::Other };
const CREATOR: Caller = Caller { is_creator_within_grace: true, ..STRANGER };
const LISTER: Caller = Caller { has_listed: true, ..STRANGER };
const MIRROR: Caller = Caller { tool: Tool::Mirrors, ..LISTER };
const TAR: Caller = Caller { tool: Tool::Copies, ..STRANGER };

fn on_drive(visible_name: &str) -> Local<'_> {
    Local {
        visible_name,
        state: State::Clean,
        cached_bytes: 0,
        upload_progress: None,
        upload_error: None,
        cache_age: Duration::from_secs(12),
        committed: true,
        pending: &NOTHING,
        subtree: None,
        flat: None,
    }
}

fn draft<'a>(visible_name: &'a str, pending: &'a NewAttributes) -> Local<'a> {
    Local { state: State::Dirty, committed: false, pending, ..on_drive(visible_name) }
}

fn movie() -> File {
    File::from_value(json!({
        "domain_id": "bj1", "drive_id": "1", "file_id": "5d79206586bb5dd69fb34c349282718146c55da7",
        "parent_file_id": "root", "name": "1.mov", "type": "file", "status": "available",
        "file_extension": "mov", "mime_type": "video/quicktime", "mime_extension": "mov",
        "content_type": "application/octet-stream", "category": "video", "size": 1024,
        "crc64_hash": "3574582125365864400",
        "content_hash": "EA4942AA8761213890A5C386F88E6464D2C31CA3", "content_hash_name": "sha1",
        "revision_id": "40cb7794c929", "revision_version": 1,
        "upload_id": "C9DCFE5A82644AC7A02DB74C30C934A6", "hidden": false, "starred": false,
        "punish_flag": 0, "encrypt_mode": "none", "created_at": "2019-08-20T06:51:27.292Z",
        "updated_at": "2019-08-20T06:51:27.292Z", "local_modified_at": "2019-08-19T00:00:00.000Z",
        "user_tags": {"k": "v"}, "download_url": SIGNED,
        "video_media_metadata": {
            "width": 1920, "height": "1080", "time": "2020-01-02T03:04:05Z",
            "video_media_video_stream": [
                {"duration": "22.88", "bitrate": "108420", "code_name": "h264", "frame_count": "90", "fps": "25"},
                {"code_name": "mjpeg"}],
            "video_media_audio_stream": [
                {"duration": "22.90", "bit_rate": "129280", "code_name": "aac", "channels": 2}],
        },
    }))
    .unwrap()
}

fn photo() -> File {
    File::from_value(json!({
        "file_id": "p1", "name": "sunset.jpg", "type": "file", "size": 7, "category": "image",
        "labels": ["family", "a,b"], "description": "Sunset", "thumbnail": SIGNED,
        "thumbnail_urls": {"small": SIGNED}, "tomorrow": "new", "tomorrow_list": [1, {"link": SIGNED}],
        "user_tags": {
            "rating": "8", "xdg.origin.url": "https://example.org/a?token=1", "pdsfs.mode": "100755",
            "xattr.user.foo": "bar", "xattr.user.bin": "b64:__4", "xattr.user.pds.size": "1", "empty": "",
        },
        "image_media_metadata": {
            "time": "2020-08-19T17:11:11.000Z", "width": 4032, "height": 3024,
            "location": "30.185453,120.218522", "country": "China", "province": "Zhejiang",
            "city": "Hangzhou", "district": "", "township": null, "address_line": "1 Lake Road",
            "image_tags": [
                {"confidence": 0.9, "name": "lake"}, {"confidence": "0.6", "name": "sun"},
                {"confidence": 0.1, "name": "cat"}, {"name": "sure"}],
            "faces": "[{\"FaceId\":\"f1\",\"Age\":30}]",
            "faces_thumbnail": [{"face_id": "f1", "face_thumbnail": SIGNED}],
            "exif": "{\"Compression\":{\"value\":\"6\"},\"DateTime\":{\"value\":\"2020:08:19 17:11:11\"},\"Bare\":3}",
            "image_quality": {"overall_score": 0.78}, "someday": "soon",
        },
    }))
    .unwrap()
}

fn folder() -> File {
    File::from_value(json!({
        "drive_id": "40636", "file_id": "60f5", "name": "folder", "type": "folder", "revision_id": "",
        "dir_size_info": {"dir_count": 0, "file_count": 12},
    }))
    .unwrap()
}

fn value(file: &File, name: &str) -> Option<String> {
    match get(Some(file), &on_drive(&file.name), &Options::default(), name) {
        Ok(Answer::Value(value)) => Some(String::from_utf8_lossy(&value).into_owned()),
        Ok(Answer::Fetch(_)) => panic!("{name} must not need a request"),
        Err(error) => {
            assert_eq!(error.kind(), Kind::NoAttribute, "{name}");
            None
        }
    }
}

#[test]
fn a_movie_has_these_values() {
    let file = movie();
    for (name, expected) in [
        ("file_id", "5d79206586bb5dd69fb34c349282718146c55da7"),
        ("drive_id", "1"),
        ("domain_id", "bj1"),
        ("parent_file_id", "root"),
        ("type", "file"),
        ("status", "available"),
        ("name", "1.mov"),
        ("category", "video"),
        ("revision_id", "40cb7794c929"),
        ("revision_version", "1"),
        ("upload_id", "C9DCFE5A82644AC7A02DB74C30C934A6"),
        ("size", "1024"),
        ("crc64_hash", "3574582125365864400"),
        ("content_hash", "EA4942AA8761213890A5C386F88E6464D2C31CA3"),
        ("content_hash_name", "sha1"),
        ("content_type", "application/octet-stream"),
        ("mime_type", "video/quicktime"),
        ("mime_extension", "mov"),
        ("file_extension", "mov"),
        ("created_at", "2019-08-20T06:51:27.292Z"),
        ("local_modified_at", "2019-08-19T00:00:00.000Z"),
        ("hidden", "false"),
        ("starred", "false"),
        ("punish_flag", "0"),
        ("encrypt_mode", "none"),
        ("tag.k", "v"),
        ("user_tags", r#"{"k":"v"}"#),
        ("video.width", "1920"),
        ("video.height", "1080"),
        ("video.time", "2020-01-02T03:04:05Z"),
        ("video.duration", "22.88"),
        ("video.stream.0.codec", "h264"),
        ("video.stream.0.bitrate", "108420"),
        ("video.stream.0.duration", "22.88"),
        ("video.stream.0.frame_count", "90"),
        ("video.stream.0.fps", "25"),
        ("video.stream.1.codec", "mjpeg"),
        ("video.audio.0.codec", "aac"),
        ("video.audio.0.bit_rate", "129280"),
        ("video.audio.0.duration", "22.90"),
        ("video.audio.0.channels", "2"),
        ("state", "clean"),
        ("cached_bytes", "0"),
        ("cache_age", "12"),
    ] {
        assert_eq!(value(&file, &format!("user.pds.{name}")).as_deref(), Some(expected), "{name}");
    }
    for (name, expected) in [
        ("user.mime_type", "video/quicktime"),
        ("user.checksum.sha1", "ea4942aa8761213890a5c386f88e6464d2c31ca3"),
        ("user.checksum.crc64", "3574582125365864400"),
    ] {
        assert_eq!(value(&file, name).as_deref(), Some(expected), "{name}");
    }
    for name in ["description", "labels", "download_url", "image.width", "upload_progress", "refresh", "pin"]
    {
        assert_eq!(value(&file, &format!("user.pds.{name}")), None, "{name}");
    }
}

#[test]
fn a_photo_has_these_values() {
    let file = photo();
    for (name, expected) in [
        ("image.width", "4032"),
        ("image.height", "3024"),
        ("image.time", "2020-08-19T17:11:11.000Z"),
        ("image.location", "30.185453,120.218522"),
        ("image.country", "China"),
        ("image.province", "Zhejiang"),
        ("image.city", "Hangzhou"),
        ("image.address_line", "1 Lake Road"),
        ("image.quality", "0.78"),
        ("image.labels", "lake,sun,sure"),
        ("image.exif.DateTime", "2020:08:19 17:11:11"),
        ("image.exif.Compression", "6"),
        ("image.exif.Bare", "3"),
        (
            "image.exif",
            r#"{"Compression":{"value":"6"},"DateTime":{"value":"2020:08:19 17:11:11"},"Bare":3}"#,
        ),
        ("image.faces", r#"[{"FaceId":"f1","Age":30}]"#),
        ("image.faces_thumbnail", r#"[{"face_id":"f1"}]"#),
        ("image.image_quality", r#"{"overall_score":0.78}"#),
        ("image.someday", "soon"),
        ("labels", r#"["family","a,b"]"#),
        ("description", "Sunset"),
        ("tomorrow", "new"),
        ("tomorrow_list", "[1]"),
        ("tag.rating", "8"),
        ("tag.empty", ""),
        ("tag.pdsfs.mode", "100755"),
        ("tag.xattr.user.pds.size", "1"),
        ("size", "7"),
    ] {
        assert_eq!(value(&file, &format!("user.pds.{name}")).as_deref(), Some(expected), "{name}");
    }
    for (name, expected) in [
        ("user.xdg.tags", "family"),
        ("user.xdg.comment", "Sunset"),
        ("user.baloo.rating", "8"),
        ("user.xdg.origin.url", "https://example.org/a?token=1"),
        ("user.foo", "bar"),
        ("user.bin", "\u{fffd}\u{fffd}"),
    ] {
        assert_eq!(value(&file, name).as_deref(), Some(expected), "{name}");
    }
    for name in ["image.district", "image.township", "thumbnail", "thumbnail_urls", "tag.xattr.user.foo"] {
        assert_eq!(value(&file, &format!("user.pds.{name}")), None, "{name}");
    }
}

#[test]
fn a_folder_has_counts_and_no_content() {
    let file = folder();
    assert_eq!(value(&file, "user.pds.dir.files").as_deref(), Some("12"));
    assert_eq!(value(&file, "user.pds.dir.subdirs").as_deref(), Some("0"));
    assert_eq!(value(&file, "user.pds.dir_size_info").as_deref(), Some(r#"{"dir_count":0,"file_count":12}"#));
    for name in ["user.pds.revision_id", "user.pds.cached_bytes", "user.pds.dir.rbytes"] {
        assert_eq!(value(&file, name), None, "{name}");
    }
    let known = Local { subtree: Some(Subtree { bytes: 5, files: 2, folders: 1 }), ..on_drive("folder") };
    let get = |name| get(Some(&file), &known, &Options::default(), name).unwrap();
    assert_eq!(get("user.pds.dir.rbytes"), Answer::Value(b"5".to_vec()));
    assert_eq!(get("user.pds.dir.rsubdirs"), Answer::Value(b"1".to_vec()));
}

#[test]
fn duration_falls_back_to_the_first_stream() {
    let with = |video: Value| {
        let file = File::from_value(json!({"file_id": "f", "type": "file", "video_media_metadata": video}));
        value(&file.unwrap(), "user.pds.video.duration")
    };
    let (video, audio) = (json!([{"duration": "2"}]), json!([{"duration": 3}]));
    assert_eq!(with(json!({"duration": "1", "video_media_video_stream": video})).as_deref(), Some("1"));
    assert_eq!(
        with(json!({"duration": "", "video_media_video_stream": video, "video_media_audio_stream": audio}))
            .as_deref(),
        Some("2")
    );
    assert_eq!(
        with(json!({"video_media_video_stream": [], "video_media_audio_stream": audio})).as_deref(),
        Some("3")
    );
    assert_eq!(with(json!({"width": 1})), None);
}

#[test]
fn no_attribute_shows_a_signed_url() {
    for file in [movie(), photo()] {
        let options = Options { list: ListPolicy::All, ..Options::default() };
        for name in list(Some(&file), &on_drive("other"), &options).unwrap() {
            let value = value(&file, &name).unwrap();
            assert!(!value.contains("signature"), "{name} = {value}");
        }
        assert!(value(&file, "user.pds.json").is_some());
    }
}

#[test]
fn links_that_people_wrote_stay() {
    let file = File::from_value(json!({
        "file_id": "f", "type": "file", "description": SIGNED, "user_tags": {"url": SIGNED},
        "image_media_metadata": {"description": SIGNED, "name": SIGNED, "url": SIGNED},
    }));
    let file = file.unwrap();
    assert_eq!(value(&file, "user.pds.description").as_deref(), Some(SIGNED));
    assert_eq!(value(&file, "user.pds.tag.url").as_deref(), Some(SIGNED));
    assert!(value(&file, "user.pds.json").unwrap().contains(SIGNED));
    for name in ["description", "name", "url"] {
        assert_eq!(value(&file, &format!("user.pds.image.{name}")), None, "{name}");
    }
    assert_eq!(value(&file, "user.pds.image_media_metadata"), None);
}

#[test]
fn urls_are_fetched_fresh_when_allowed() {
    let urls = Options { urls: true, ..Options::default() };
    let file = photo();
    let ask = |name: &str| get(Some(&file), &on_drive("sunset.jpg"), &urls, name);
    for (name, field) in [
        ("user.pds.thumbnail", "thumbnail"),
        ("user.pds.thumbnail_urls", "thumbnail_urls"),
        ("user.pds.download_url", "download_url"),
        ("user.pds.image.faces_thumbnail", "image_media_metadata"),
        ("user.pds.streams_info.video.url", "streams_info"),
        ("user.pds.tomorrow_list", "tomorrow_list"),
    ] {
        let fetch = FetchUrl { name: name.into(), field: field.into() };
        assert_eq!(ask(name).unwrap(), Answer::Fetch(fetch), "{name}");
    }
    assert!(matches!(ask("user.pds.json").unwrap(), Answer::Value(_)));
    assert!(matches!(ask("user.pds.size").unwrap(), Answer::Value(_)));

    let fetch = |name: &str| FetchUrl { name: name.into(), field: String::new() };
    assert_eq!(fetched(&file, &fetch("user.pds.thumbnail")).unwrap(), SIGNED.as_bytes());
    let faces = fetched(&file, &fetch("user.pds.image.faces_thumbnail")).unwrap();
    assert!(String::from_utf8(faces).unwrap().contains(SIGNED));
    assert_eq!(fetched(&file, &fetch("user.pds.url")).unwrap_err().kind(), Kind::NoAttribute);
}

#[test]
fn other_namespaces_are_answered_without_the_drive() {
    let file = photo();
    let local = on_drive("sunset.jpg");
    let options = Options::default();
    for (name, reading, writing) in [
        ("security.capability", Kind::NoAttribute, Kind::Unsupported),
        ("security.selinux", Kind::NoAttribute, Kind::Unsupported),
        ("system.posix_acl_access", Kind::Unsupported, Kind::Unsupported),
        ("system.posix_acl_default", Kind::Unsupported, Kind::Unsupported),
        ("trusted.overlay.opaque", Kind::Unsupported, Kind::Unsupported),
        ("nonsense", Kind::Unsupported, Kind::Unsupported),
        ("user.", Kind::NoAttribute, Kind::Invalid),
    ] {
        assert_eq!(get(Some(&file), &local, &options, name).unwrap_err().kind(), reading, "{name}");
        let set = set(Some(&file), &local, &options, name, b"v", SetFlags::Any, CREATOR);
        assert_eq!(set.unwrap_err().kind(), writing, "{name}");
        assert_eq!(remove(Some(&file), &local, &options, name, CREATOR).unwrap_err().kind(), writing);
    }
    assert_eq!(Kind::Unsupported.errno(), libc::ENOTSUP);
}

#[test]
fn off_means_not_supported_but_security_still_answers() {
    let off = Options { mode: Mode::Off, ..Options::default() };
    let (file, local) = (photo(), on_drive("sunset.jpg"));
    let kind = |name| get(Some(&file), &local, &off, name).unwrap_err().kind();
    assert_eq!(kind("user.pds.size"), Kind::Unsupported);
    assert_eq!(kind("security.capability"), Kind::NoAttribute);
    assert_eq!(list(Some(&file), &local, &off).unwrap_err().kind(), Kind::Unsupported);
    let set = set(Some(&file), &local, &off, "user.foo", b"v", SetFlags::Any, CREATOR);
    assert_eq!(set.unwrap_err().kind(), Kind::Unsupported);
}

fn names(file: &File, visible_name: &str, policy: ListPolicy) -> Vec<String> {
    let options = Options { list: policy, ..Options::default() };
    list(Some(file), &on_drive(visible_name), &options).unwrap()
}

#[test]
fn sizes_and_buffers() {
    assert_eq!(reply(b"abc", 0).unwrap(), Reply::Size(3));
    assert_eq!(reply(b"abc", 3).unwrap(), Reply::Data);
    assert_eq!(reply(b"", 0).unwrap(), Reply::Size(0));
    assert_eq!(reply(b"", 1).unwrap(), Reply::Data);
    assert_eq!(reply(b"abc", 2).unwrap_err().errno(), libc::ERANGE);
    assert!(reply(&vec![0; 65_536], 65_536).is_ok());
    for buffer in [0, 65_536, u32::MAX] {
        assert_eq!(reply(&vec![0; 65_537], buffer).unwrap_err().errno(), libc::E2BIG);
    }
}

/// Whatever the service sends: names are valid, and the list is what get answers.
#[test]
fn any_object_gives_valid_names_and_a_list_that_get_confirms() {
    for odd in [
        json!({"": 1, "a\0b": 2, "x".repeat(300): 3, "image.width": 4, "state": 5, "json": 6, "tag.k": 7}),
        json!({"image_media_metadata": "text", "video_media_metadata": [1], "user_tags": 3, "labels": {"a": 1}}),
        json!({"image_media_metadata": {"exif": "not json", "faces": 3, "image_tags": "x", "labels": "sent", "": 1}}),
        json!({"image_media_metadata": {"exif": {"A": {"value": null}, "B": {"value": [1]}, "": {"value": 1}}}}),
        json!({"video_media_metadata": {"video_media_video_stream": [1, null, {"code_name": 3}], "duration": null}}),
        json!({"user_tags": {"": "x", "a\0": "x", "y".repeat(300): "z", "xattr.user.a%00": "n"}}),
        json!({"dir_size_info": 3, "streams_info": [1], "size": "12", "name": 5, "url": {"a": SIGNED}}),
        json!({"description": "z".repeat(70_000), "tomorrow": {"a": "b".repeat(70_000)}}),
    ] {
        let mut odd = odd;
        odd["file_id"] = json!("f");
        let file = File::from_value(odd.clone()).unwrap();
        for policy in [ListPolicy::Auto, ListPolicy::All, ListPolicy::User] {
            for name in names(&file, "f", policy) {
                assert!(name.len() <= MAX_NAME_BYTES && !name.contains('\0') && name.starts_with("user."));
                let value =
                    value(&file, &name).unwrap_or_else(|| panic!("{name} is listed but absent: {odd}"));
                assert!(reply(value.as_bytes(), 0).is_ok(), "{name}");
            }
        }
    }
}

#[test]
fn the_services_own_fields_cannot_shadow_each_other() {
    let file = File::from_value(json!({
        "file_id": "f", "type": "file", "image.width": "forged", "state": "forged", "tag.k": "forged",
        "image_media_metadata": {"width": 5, "labels": "forged", "image_tags": [{"name": "lake"}]},
        "user_tags": {"k": "v"},
    }));
    let file = file.unwrap();
    let mut names = names(&file, "f", ListPolicy::All);
    names.sort();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "each name once: {names:?}");
    for (name, expected) in [
        ("user.pds.image.width", "5"),
        ("user.pds.state", "clean"),
        ("user.pds.tag.k", "v"),
        ("user.pds.image.labels", "lake"),
    ] {
        assert_eq!(value(&file, name).as_deref(), Some(expected), "{name}");
    }
}
