//! Each row of the attribute table and each rule of listing, setting and removing, on File objects written
//! from the samples of pds-api.md sections 16 to 18.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;

const SIGNED: &str = "https://data.example/o?x-oss-expires=1&x-oss-signature=abc";

static NOTHING: BTreeMap<String, Vec<u8>> = BTreeMap::new();

const STRANGER: Caller = Caller { is_creator_within_grace: false };
const CREATOR: Caller = Caller { is_creator_within_grace: true };

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
    }
}

fn draft<'a>(visible_name: &'a str, pending: &'a BTreeMap<String, Vec<u8>>) -> Local<'a> {
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
fn the_list_shows_what_people_look_for_in_a_stable_order() {
    assert_eq!(
        names(&photo(), "sunset.jpg", ListPolicy::Auto),
        [
            "user.pds.file_id",
            "user.pds.type",
            "user.pds.category",
            "user.pds.size",
            "user.pds.description",
            "user.pds.labels",
            "user.pds.image.width",
            "user.pds.image.height",
            "user.pds.image.time",
            "user.pds.image.location",
            "user.pds.image.country",
            "user.pds.image.province",
            "user.pds.image.city",
            "user.pds.image.address_line",
            "user.pds.image.quality",
            "user.pds.image.labels",
            "user.xdg.tags",
            "user.xdg.comment",
            "user.baloo.rating",
            "user.xdg.origin.url",
            "user.pds.tag.empty",
            "user.pds.tag.rating",
            "user.pds.tag.xattr.user.pds.size",
            "user.pds.tag.xdg.origin.url",
            "user.pds.image.someday",
            "user.pds.tomorrow",
            "user.bin",
            "user.foo",
        ]
    );
    assert_eq!(
        names(&photo(), "sunset.jpg", ListPolicy::User),
        [
            "user.pds.description",
            "user.pds.labels",
            "user.xdg.tags",
            "user.xdg.comment",
            "user.baloo.rating",
            "user.xdg.origin.url",
            "user.pds.tag.empty",
            "user.pds.tag.rating",
            "user.pds.tag.xattr.user.pds.size",
            "user.pds.tag.xdg.origin.url",
            "user.bin",
            "user.foo",
        ]
    );
    assert!(names(&photo(), "sunset.jpg", ListPolicy::None).is_empty());
}

#[test]
fn a_name_is_listed_when_it_differs_and_a_state_when_it_matters() {
    let name = "user.pds.name".to_owned();
    assert!(!names(&photo(), "sunset.jpg", ListPolicy::Auto).contains(&name));
    assert!(names(&photo(), "sunset (2).jpg", ListPolicy::Auto).contains(&name));
    for (state, listed) in [(State::Clean, false), (State::Cached, false), (State::Partial, true)] {
        let local = Local { state, ..on_drive("sunset.jpg") };
        let names = list(Some(&photo()), &local, &Options::default()).unwrap();
        assert_eq!(names.contains(&"user.pds.state".to_owned()), listed, "{state:?}");
    }
}

#[test]
fn all_lists_whatever_get_answers() {
    let names = names(&photo(), "sunset.jpg", ListPolicy::All);
    for name in ["user.pds.json", "user.pds.image.exif.DateTime", "user.pds.state", "user.pds.user_tags"] {
        assert!(names.contains(&name.to_owned()), "{name}");
    }
    for name in &names {
        assert!(value(&photo(), name).is_some(), "{name}");
    }
    assert!(!names.contains(&"user.pds.thumbnail".to_owned()));
}

#[test]
fn the_list_keeps_to_its_budget_but_shows_other_programs_data() {
    let long = "x".repeat(513);
    let tags: BTreeMap<String, String> = (0..100)
        .map(|n| (format!("key{n:03}"), "v".repeat(40)))
        .chain([("xattr.user.big".to_owned(), "y".repeat(1500))])
        .collect();
    let file = File::from_value(json!({
        "file_id": "f", "type": "file", "description": long, "user_meta": "m".repeat(512), "user_tags": tags,
    }));
    let file = file.unwrap();
    let names = names(&file, "f", ListPolicy::Auto);
    let has = |name: &str| names.iter().any(|it| it == name);
    assert!(has("user.big") && has("user.pds.user_meta") && has("user.pds.tag.key000"));
    assert!(!has("user.pds.description") && !has("user.pds.tag.key099"));
    assert!(value(&file, "user.pds.description").is_some(), "it is still there by name");
    let total: usize = names.iter().map(|name| name.len() + value(&file, name).unwrap().len()).sum();
    assert!(total <= list::BUDGET_BYTES, "{total}");
    assert!(total > list::BUDGET_BYTES - 100, "the budget is used: {total}");
}

#[test]
fn the_list_never_exceeds_what_the_kernel_takes() {
    let tags: BTreeMap<String, String> =
        (0..1000).map(|n| (format!("xattr.user.{n:0>200}"), "v".into())).collect();
    let file = File::from_value(json!({"file_id": "f", "type": "file", "user_tags": tags})).unwrap();
    for policy in [ListPolicy::Auto, ListPolicy::All] {
        let bytes = encode_list(&names(&file, "f", policy));
        assert!(reply(&bytes, u32::MAX).is_ok());
        assert!(bytes.len() > 60_000);
    }
}

#[test]
fn a_new_file_has_only_what_was_set() {
    let pending = BTreeMap::from([("user.foo".to_owned(), b"\xff".to_vec())]);
    let local = Local {
        state: State::Uploading,
        upload_progress: Some((1, 2)),
        upload_error: Some("the drive is full"),
        ..draft("new", &pending)
    };
    let options = Options::default();
    assert_eq!(list(None, &local, &options).unwrap(), ["user.foo"]);
    for (name, expected) in [
        ("user.foo", Some(&b"\xff"[..])),
        ("user.pds.state", Some(b"uploading")),
        ("user.pds.upload_progress", Some(b"1/2")),
        ("user.pds.upload_error", Some(b"the drive is full")),
        ("user.pds.size", None),
        ("user.pds.json", None),
        ("user.pds.cache_age", None),
        ("user.mime_type", None),
    ] {
        let answer = get(None, &local, &options, name).ok();
        assert_eq!(answer, expected.map(|value| Answer::Value(value.to_vec())), "{name}");
    }
}

#[test]
fn newer_bytes_here_hide_what_was_found_in_the_old_ones() {
    let file = File::from_value({
        let mut json = photo().json();
        for (key, value) in movie().json().as_object().unwrap() {
            json.as_object_mut().unwrap().entry(key).or_insert(value.clone());
        }
        json
    });
    let file = file.unwrap();
    let local = draft("sunset.jpg", &NOTHING);
    let options = Options::default();
    let get = |name: &str| get(Some(&file), &local, &options, name);
    for name in [
        "user.pds.file_id",
        "user.pds.drive_id",
        "user.pds.created_at",
        "user.pds.description",
        "user.pds.labels",
        "user.pds.tag.rating",
        "user.xdg.comment",
        "user.foo",
        "user.pds.state",
    ] {
        assert!(get(name).is_ok(), "{name}");
    }
    for name in [
        "user.pds.size",
        "user.pds.content_hash",
        "user.pds.crc64_hash",
        "user.pds.revision_id",
        "user.pds.mime_type",
        "user.pds.local_modified_at",
        "user.pds.image.width",
        "user.pds.image.exif.DateTime",
        "user.pds.image.someday",
        "user.pds.image_media_metadata",
        "user.pds.video.duration",
        "user.pds.json",
        "user.pds.tomorrow",
        "user.mime_type",
        "user.checksum.sha1",
        "user.checksum.crc64",
    ] {
        assert_eq!(get(name).unwrap_err().kind(), Kind::NoAttribute, "{name}");
    }
    assert_eq!(
        list(Some(&file), &local, &options).unwrap(),
        ["user.baloo.rating", "user.xdg.origin.url", "user.bin", "user.foo"]
    );
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

/// A step of a copy tool on the attribute `user.pds.file_id`, which the source brought along.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Before the content is on the drive.
    WhileWriting,
    /// After close, by the process that created the file.
    AfterClose,
    /// By a process that did not create it.
    ByAStranger,
}

/// users-want.md C5: what each tool does, and that it succeeds under `auto` and where it fails otherwise.
#[test]
fn copy_tools_succeed_and_people_are_told() {
    use ReadonlyPolicy::{Auto, Deny, Ignore};
    use Step::{AfterClose, ByAStranger, WhileWriting};
    let file = movie();
    let attempt = |policy, step: Step, value: &[u8]| {
        let options = Options { readonly: policy, ..Options::default() };
        let (file, local, caller) = match step {
            WhileWriting => (None, draft("1.mov", &NOTHING), STRANGER),
            AfterClose => (Some(&file), on_drive("1.mov"), CREATOR),
            ByAStranger => (Some(&file), on_drive("1.mov"), STRANGER),
        };
        set(file, &local, &options, "user.pds.file_id", value, SetFlags::Any, caller).map_err(|e| e.kind())
    };
    let eperm = Err(Kind::NotPermitted);
    let (same, other) = (&b"5d79206586bb5dd69fb34c349282718146c55da7"[..], &b"older"[..]);
    for (tool, step, value, auto) in [
        ("cp -a, cp --preserve=xattr, mv, rsync -aX in", WhileWriting, other, Ok(Change::Ignore)),
        ("tar --xattrs, Python copy2 in", AfterClose, other, Ok(Change::Ignore)),
        ("rsync -aX again, same value", ByAStranger, same, Ok(Change::Ignore)),
        ("rsync -aX again, older value", ByAStranger, other, eperm.clone()),
        ("setfattr", ByAStranger, other, eperm.clone()),
    ] {
        assert_eq!(attempt(Auto, step, value), auto, "auto: {tool}");
        assert_eq!(attempt(Deny, step, value), eperm, "deny: {tool}");
        assert_eq!(attempt(Ignore, step, value), Ok(Change::Ignore), "ignore: {tool}");
    }
    assert_eq!(policy::CREATOR_GRACE, Duration::from_secs(60));
}

#[test]
fn removing_the_drives_own_follows_the_same_rule() {
    use ReadonlyPolicy::{Auto, Deny, Ignore};
    let file = movie();
    let (here, writing) = (on_drive("1.mov"), draft("1.mov", &NOTHING));
    let nothing_there = Err(Kind::NoAttribute);
    for (policy, local, caller, name, expected) in [
        (Auto, &writing, STRANGER, "user.pds.file_id", Ok(Change::Ignore)),
        (Auto, &writing, STRANGER, "user.pds.size", Ok(Change::Ignore)),
        (Auto, &here, CREATOR, "user.pds.size", Ok(Change::Ignore)),
        (Auto, &here, STRANGER, "user.pds.size", Err(Kind::NotPermitted)),
        (Deny, &here, CREATOR, "user.pds.size", Err(Kind::NotPermitted)),
        (Ignore, &here, STRANGER, "user.pds.size", Ok(Change::Ignore)),
        (Auto, &here, STRANGER, "user.pds.description", nothing_there.clone()),
        (Auto, &here, CREATOR, "user.pds.description", nothing_there.clone()),
        (Ignore, &here, STRANGER, "user.pds.description", nothing_there),
    ] {
        let options = Options { readonly: policy, ..Options::default() };
        let removed = remove(Some(&file), local, &options, name, caller).map_err(|e| e.kind());
        assert_eq!(removed, expected, "{policy:?} {name} {caller:?}");
    }
}

#[test]
fn other_programs_attributes_are_kept_as_tags() {
    let file = photo();
    let local = on_drive("sunset.jpg");
    let put = |key: &str, value: &str| Ok(Change::PutTag { key: key.into(), value: value.into() });
    use SetFlags::{Any, Create, Replace};
    for (name, value, flags, expected) in [
        ("user.new", &b"v"[..], Any, put("xattr.user.new", "v")),
        ("user.new", b"", Any, put("xattr.user.new", "b64:")),
        ("user.new", b"\xff\xfe", Create, put("xattr.user.new", "b64:__4")),
        ("user.a#b", b"v", Any, put("xattr.user.a%23b", "v")),
        ("user.new", b"v", Replace, Err(Kind::NoAttribute)),
        ("user.foo", b"v", Create, Err(Kind::Exists)),
        ("user.foo", b"bar", Create, Err(Kind::Exists)),
        ("user.foo", b"v", Replace, put("xattr.user.foo", "v")),
        ("user.foo", b"bar", Any, Ok(Change::Ignore)),
        ("user.bin", b"\xff\xfe", Any, Ok(Change::Ignore)),
        ("user.baloo.rating", b"10", Any, put("rating", "10")),
        ("user.baloo.rating", b"11", Any, Err(Kind::Invalid)),
        ("user.baloo.rating", b"good", Any, Err(Kind::Invalid)),
        ("user.xdg.referrer.url", b"https://a/", Any, put("xdg.referrer.url", "https://a/")),
        ("user.xdg.referrer.url", b"https://a/#b", Any, put("xdg.referrer.url", "b64:aHR0cHM6Ly9hLyNi")),
        ("user.pds.tag.k", b"v", Any, Err(Kind::NotPermitted)),
        ("user.pds.labels", b"[]", Any, Err(Kind::NotPermitted)),
        ("user.xdg.tags", b"family", Any, Ok(Change::Ignore)),
        ("user.xdg.tags", b"x", Any, Err(Kind::NotPermitted)),
        ("user.mime_type", b"x", Any, Err(Kind::NotPermitted)),
    ] {
        let change = set(Some(&file), &local, &Options::default(), name, value, flags, STRANGER);
        assert_eq!(change.map_err(|e| e.kind()), expected, "{name} {flags:?}");
    }
    let removed =
        |name| remove(Some(&file), &local, &Options::default(), name, STRANGER).map_err(|e| e.kind());
    assert_eq!(removed("user.foo"), Ok(Change::DeleteTag { key: "xattr.user.foo".into() }));
    assert_eq!(removed("user.baloo.rating"), Ok(Change::DeleteTag { key: "rating".into() }));
    assert_eq!(removed("user.new"), Err(Kind::NoAttribute));
}

#[test]
fn what_is_pending_counts_for_flags_and_removal() {
    let pending = BTreeMap::from([("user.foo".to_owned(), b"bar".to_vec())]);
    let local = draft("new", &pending);
    let options = Options::default();
    let set = |name, flags| set(None, &local, &options, name, b"v", flags, STRANGER).map_err(|e| e.kind());
    assert_eq!(set("user.foo", SetFlags::Create), Err(Kind::Exists));
    assert_eq!(set("user.new", SetFlags::Replace), Err(Kind::NoAttribute));
    let put = Change::PutTag { key: "xattr.user.new".into(), value: "v".into() };
    assert_eq!(set("user.new", SetFlags::Create), Ok(put));
    let removed = |name| remove(None, &local, &options, name, STRANGER).map_err(|e| e.kind());
    assert_eq!(removed("user.foo"), Ok(Change::DeleteTag { key: "xattr.user.foo".into() }));
    assert_eq!(removed("user.gone"), Err(Kind::NoAttribute));
}

#[test]
fn a_tag_has_limits() {
    let file = photo();
    let local = on_drive("sunset.jpg");
    let set = |file: &File, name: &str, length: usize| {
        let value = vec![b'v'; length];
        set(Some(file), &local, &Options::default(), name, &value, SetFlags::Any, STRANGER)
            .map(|_| ())
            .map_err(|e| e.errno())
    };
    let room = foreign::MAX_TAG_BYTES - "xattr.user.new".len();
    assert_eq!(set(&file, "user.new", room), Ok(()));
    assert_eq!(set(&file, "user.new", room + 1), Err(libc::ERANGE));
    let name = format!("user.{}", "n".repeat(251));
    assert_eq!(set(&file, &name[..255], 1), Ok(()));
    assert_eq!(set(&file, &name, 1), Err(libc::ERANGE));
    let tags: BTreeMap<String, &str> = (0..1000).map(|n| (format!("xattr.user.{n}"), "v")).collect();
    let full = File::from_value(json!({"file_id": "f", "type": "file", "user_tags": tags})).unwrap();
    assert_eq!(set(&full, "user.new", 1), Err(libc::ENOSPC));
    assert_eq!(set(&full, "user.7", 2), Ok(()), "an existing one can still change");
}

#[test]
fn a_read_only_feature_treats_all_attributes_as_the_drives() {
    let options = Options { mode: Mode::ReadOnly, ..Options::default() };
    let (file, local) = (photo(), on_drive("sunset.jpg"));
    let set = |caller| set(Some(&file), &local, &options, "user.foo", b"v", SetFlags::Any, caller);
    assert_eq!(set(STRANGER).unwrap_err().kind(), Kind::NotPermitted);
    assert_eq!(set(CREATOR).unwrap(), Change::Ignore);
}

#[test]
fn flags_from_the_system_call() {
    for (bits, expected) in [
        (0, Some(SetFlags::Any)),
        (libc::XATTR_CREATE, Some(SetFlags::Create)),
        (libc::XATTR_REPLACE, Some(SetFlags::Replace)),
        (libc::XATTR_CREATE | libc::XATTR_REPLACE, None),
        (8, None),
    ] {
        assert_eq!(SetFlags::from_bits(bits).ok(), expected, "{bits}");
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
