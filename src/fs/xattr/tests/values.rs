//! What setting and removing each of the settable attributes changes, and which values are refused.

use super::*;

fn set_on(file: Option<&File>, local: &Local<'_>, name: &str, value: &[u8]) -> Result<Change, i32> {
    set(file, local, &Options::default(), name, value, SetFlags::Any, STRANGER).map_err(|error| error.errno())
}

fn note(change: impl FnOnce(&mut Annotations)) -> Result<Change, i32> {
    let mut annotations = Annotations::default();
    change(&mut annotations);
    Ok(Change::Annotate(annotations))
}

fn labels(labels: &[&str]) -> Result<Change, i32> {
    note(|new| new.labels = Some(labels.iter().map(|&label| label.to_owned()).collect()))
}

fn time(text: &str) -> SystemTime {
    text.parse::<jiff::Timestamp>().unwrap().into()
}

#[test]
fn each_settable_attribute_is_set_by_its_own_call() {
    let file = photo();
    let tags = |put: &[(&str, &str)], delete: &[&str]| {
        let text = |it: &&str| (*it).to_owned();
        Ok(Change::Tags {
            put: put.iter().map(|(key, value)| (text(key), text(value))).collect(),
            delete: delete.iter().map(text).collect(),
        })
    };
    let long = "\u{e9}".repeat(1_024);
    let many = (0..100).map(|n| n.to_string()).collect::<Vec<_>>();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (name, value, expected) in [
        ("user.pds.description", "Lake", note(|new| new.description = Some("Lake".into()))),
        ("user.pds.description", &*long, note(|new| new.description = Some(long.clone()))),
        ("user.pds.description", &format!("{long}x"), Err(libc::ERANGE)),
        ("user.pds.description", "Sunset", Ok(Change::Ignore)),
        ("user.xdg.comment", "Lake", note(|new| new.description = Some("Lake".into()))),
        ("user.pds.labels", r#"["x", "y,z", "x"]"#, labels(&["x", "y,z"])),
        ("user.pds.labels", "x, y\nz,,", labels(&["x", "y", "z"])),
        ("user.pds.labels", "", labels(&[])),
        ("user.pds.labels", r#"["family","a,b"]"#, Ok(Change::Ignore)),
        ("user.pds.labels", "[1]", Err(libc::EINVAL)),
        ("user.pds.labels", r#"["x""#, Err(libc::EINVAL)),
        ("user.pds.labels", &"l".repeat(128), labels(&[&"l".repeat(128)])),
        ("user.pds.labels", &"l".repeat(129), Err(libc::ERANGE)),
        ("user.pds.labels", &many.join(","), labels(&many)),
        ("user.pds.labels", &format!("{},more", many.join(",")), Err(libc::ENOSPC)),
        ("user.xdg.tags", "x,y", labels(&["x", "y", "a,b"])),
        ("user.xdg.tags", "family", Ok(Change::Ignore)),
        ("user.xdg.tags", "", labels(&["a,b"])),
        ("user.pds.starred", "true", note(|new| new.starred = Some(true))),
        ("user.pds.starred", "Yes", note(|new| new.starred = Some(true))),
        ("user.pds.starred", "0", Ok(Change::Ignore)),
        ("user.pds.starred", "maybe", Err(libc::EINVAL)),
        ("user.pds.hidden", "1", note(|new| new.hidden = Some(true))),
        ("user.pds.user_meta", "{}", note(|new| new.user_meta = Some("{}".into()))),
        ("user.pds.custom_index_key", "k", note(|new| new.custom_index_key = Some("k".into()))),
        ("user.pds.custom_index_key", "", note(|new| new.custom_index_key = Some(String::new()))),
        ("user.pds.tag.k", "v", tags(&[("k", "v")], &[])),
        ("user.pds.tag.k", "", tags(&[("k", "")], &[])),
        ("user.pds.tag.empty", "", Ok(Change::Ignore)),
        ("user.pds.tag.rating", "8", Ok(Change::Ignore)),
        ("user.pds.tag.k", "a#b", Err(libc::EINVAL)),
        ("user.pds.tag.a#b", "v", Err(libc::EINVAL)),
        ("user.pds.tag.k", &"v".repeat(1_999), tags(&[("k", &"v".repeat(1_999))], &[])),
        ("user.pds.tag.k", &"v".repeat(2_000), Err(libc::ERANGE)),
        (
            "user.pds.user_tags",
            r#"{"rating":"8","new":1}"#,
            tags(
                &[("new", "1")],
                &["empty", "xattr.user.bin", "xattr.user.foo", "xattr.user.pds.size", "xdg.origin.url"],
            ),
        ),
        ("user.pds.user_tags", "[]", Err(libc::EINVAL)),
        ("user.pds.user_tags", r##"{"a":"#"}"##, Err(libc::EINVAL)),
        (
            "user.pds.local_modified_at",
            "2026-01-02T03:04:05Z",
            Ok(Change::ModifiedAt(time("2026-01-02T03:04:05Z"))),
        ),
        ("user.pds.local_modified_at", "yesterday", Err(libc::EINVAL)),
        ("user.pds.local_created_at", "2026-01-02T03:04:05Z", Err(libc::EPERM)),
        ("user.pds.refresh", "1", Ok(Change::Refresh)),
        ("user.pds.category", "video", Err(libc::EPERM)),
        ("user.pds.category", "image", Ok(Change::Ignore)),
    ] {
        assert_eq!(
            set_on(Some(&file), &on_drive("sunset.jpg"), name, value.as_bytes()),
            expected,
            "{name} {value}"
        );
    }
    for name in
        ["user.pds.description", "user.pds.labels", "user.pds.tag.k", "user.pds.user_meta", "user.xdg.tags"]
    {
        assert_eq!(set_on(Some(&file), &on_drive("sunset.jpg"), name, b"\xff"), Err(libc::EINVAL), "{name}");
    }
}

#[test]
fn what_is_set_on_a_draft_shows_at_once() {
    let pending = NewAttributes {
        local_created_at: Some("2026-01-02T03:04:05.000Z".into()),
        annotations: Annotations {
            labels: Some(vec!["a".into()]),
            description: Some("d".into()),
            ..Annotations::default()
        },
        ..with_tag("k", "v")
    };
    let local = draft("new", &pending);
    let names = list(None, &local, &Options::default()).unwrap();
    let attached =
        ["user.pds.description", "user.pds.labels", "user.xdg.tags", "user.xdg.comment", "user.pds.tag.k"];
    assert_eq!(names, attached);
    for (name, value) in [
        ("user.pds.labels", r#"["a"]"#),
        ("user.xdg.tags", "a"),
        ("user.pds.tag.k", "v"),
        ("user.pds.local_created_at", "2026-01-02T03:04:05.000Z"),
    ] {
        let answer = get(None, &local, &Options::default(), name).unwrap();
        assert_eq!(answer, Answer::Value(value.as_bytes().to_vec()), "{name}");
    }
    // The birth time goes out with `create`: it can be set as long as there is no file.
    let born = Ok(Change::CreatedAt(time("2025-01-01T00:00:00Z")));
    assert_eq!(set_on(None, &local, "user.pds.local_created_at", b"2025-01-01T00:00:00Z"), born);
    assert_eq!(set_on(None, &local, "user.pds.labels", b"a"), Ok(Change::Ignore));
}

/// rsync -X removes what the source does not have, and a plain disk has no labels.
#[test]
fn a_mirroring_tool_does_not_take_labels_away_but_its_own_attributes() {
    let file = photo();
    let local = on_drive("sunset.jpg");
    let removed = |name, caller| {
        remove(Some(&file), &local, &Options::default(), name, caller).map_err(|error| error.errno())
    };
    for (name, by_hand) in [
        ("user.pds.labels", labels(&[])),
        ("user.xdg.tags", labels(&["a,b"])),
        ("user.pds.description", note(|new| new.description = Some(String::new()))),
        ("user.pds.tag.rating", Ok(Change::Tags { put: BTreeMap::new(), delete: vec!["rating".into()] })),
    ] {
        assert_eq!(removed(name, MIRROR), Ok(Change::Ignore), "{name}");
        assert_eq!(removed(name, LISTER), by_hand, "{name}");
        assert_eq!(removed(name, STRANGER), by_hand, "{name}");
    }
    let own = Ok(Change::Tags { put: BTreeMap::new(), delete: vec!["xattr.user.foo".into()] });
    assert_eq!(removed("user.foo", MIRROR), own);
    assert_eq!(removed("user.pds.user_meta", STRANGER), Err(libc::ENODATA));
    assert_eq!(removed("user.pds.refresh", STRANGER), Err(libc::ENODATA));
}

#[test]
fn a_time_that_a_copy_tool_brings_along_is_not_this_files() {
    let file = movie();
    let local = on_drive("1.mov");
    for (caller, is_set) in [(STRANGER, true), (CREATOR, false), (LISTER, false), (TAR, false)] {
        let (name, value) = ("user.pds.local_modified_at", b"2026-01-02T03:04:05Z");
        let change =
            set(Some(&file), &local, &Options::default(), name, value, SetFlags::Any, caller).unwrap();
        assert_eq!(change != Change::Ignore, is_set, "{caller:?}");
    }
    let removed = remove(Some(&file), &local, &Options::default(), "user.pds.local_modified_at", STRANGER);
    assert_eq!(removed.unwrap_err().errno(), libc::EPERM);
}
