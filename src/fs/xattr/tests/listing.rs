//! What is listed, and what is hidden while newer bytes wait for their upload.

use super::*;

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
    let pending = with_tag("xattr.user.foo", "b64:_w");
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
        [
            "user.pds.description",
            "user.pds.labels",
            "user.pds.starred",
            "user.pds.hidden",
            "user.xdg.tags",
            "user.xdg.comment",
            "user.baloo.rating",
            "user.xdg.origin.url",
            "user.pds.tag.empty",
            "user.pds.tag.rating",
            "user.pds.tag.xattr.user.pds.size",
            "user.pds.tag.xdg.origin.url",
            "user.bin",
            "user.foo"
        ]
    );
}

#[test]
fn a_photo_lists_what_its_camera_wrote_and_hides_the_rest() {
    let exif = r#"{"Make":{"value":"SONY"},"FNumber":{"value":"2.8"},"MakerNote":{"value":"(3000 bytes)"}}"#;
    let file = File::from_value(json!({
        "file_id": "f", "type": "file", "image_media_metadata": {"width": 1, "exif": exif},
    }))
    .unwrap();
    let names = names(&file, "a.jpg", ListPolicy::Auto);
    assert!(names.iter().any(|name| name == "user.pds.image.exif.Make"), "{names:?}");
    assert!(names.iter().any(|name| name == "user.pds.image.exif.FNumber"), "{names:?}");
    assert!(
        !names.iter().any(|name| name.ends_with("MakerNote") || name.ends_with("image.exif")),
        "{names:?}"
    );
}
