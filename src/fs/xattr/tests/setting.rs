//! What setting and removing mean.

use super::*;

fn put_tag(key: &str, value: &str) -> Change {
    let put = BTreeMap::from([(key.to_owned(), value.to_owned())]);
    Change::Tags { put, delete: Vec::new() }
}

fn delete_tag(key: &str) -> Change {
    Change::Tags { put: BTreeMap::new(), delete: vec![key.to_owned()] }
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
        (Auto, &here, LISTER, "user.pds.size", Ok(Change::Ignore)),
        (Auto, &here, TAR, "user.pds.size", Ok(Change::Ignore)),
        (Auto, &here, STRANGER, "user.pds.size", Err(Kind::NotPermitted)),
        (Deny, &here, CREATOR, "user.pds.size", Err(Kind::NotPermitted)),
        (Deny, &here, LISTER, "user.pds.size", Err(Kind::NotPermitted)),
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
    let put = |key: &str, value: &str| Ok(put_tag(key, value));
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
        ("user.pds.tag.pdsfs.mode", b"v", Any, Err(Kind::NotPermitted)),
        ("user.mime_type", b"x", Any, Err(Kind::NotPermitted)),
    ] {
        let change = set(Some(&file), &local, &Options::default(), name, value, flags, STRANGER);
        assert_eq!(change.map_err(|e| e.kind()), expected, "{name} {flags:?}");
    }
    let removed =
        |name| remove(Some(&file), &local, &Options::default(), name, STRANGER).map_err(|e| e.kind());
    assert_eq!(removed("user.foo"), Ok(delete_tag("xattr.user.foo")));
    assert_eq!(removed("user.baloo.rating"), Ok(delete_tag("rating")));
    assert_eq!(removed("user.new"), Err(Kind::NoAttribute));
}

#[test]
fn what_is_pending_counts_for_flags_and_removal() {
    let pending = with_tag("xattr.user.foo", "bar");
    let local = draft("new", &pending);
    let options = Options::default();
    let set = |name, flags| set(None, &local, &options, name, b"v", flags, STRANGER).map_err(|e| e.kind());
    assert_eq!(set("user.foo", SetFlags::Create), Err(Kind::Exists));
    assert_eq!(set("user.new", SetFlags::Replace), Err(Kind::NoAttribute));
    let put = put_tag("xattr.user.new", "v");
    assert_eq!(set("user.new", SetFlags::Create), Ok(put));
    let removed = |name| remove(None, &local, &options, name, STRANGER).map_err(|e| e.kind());
    assert_eq!(removed("user.foo"), Ok(delete_tag("xattr.user.foo")));
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
