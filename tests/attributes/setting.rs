//! Each settable attribute: set, shown at once, kept by the drive, gone after removal.

use crate::support::Mount;

/// Name, value as it is set, value as it is shown then; what else shows it, and how; the value after removal, where
/// there is one.
type Row =
    (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)], Option<&'static str>);

const SETTABLE: &[Row] = &[
    ("user.pds.description", "Am See", "Am See", &[("user.xdg.comment", "Am See")], None),
    ("user.xdg.comment", "日本", "日本", &[("user.pds.description", "日本")], None),
    ("user.pds.labels", r#"["b","a,c"]"#, r#"["b","a,c"]"#, &[("user.xdg.tags", "b")], None),
    ("user.pds.labels", "one, two", r#"["one","two"]"#, &[("user.xdg.tags", "one,two")], None),
    ("user.xdg.tags", "x,y", "x,y", &[("user.pds.labels", r#"["x","y"]"#)], None),
    ("user.pds.starred", "yes", "true", &[], Some("false")),
    ("user.pds.hidden", "1", "true", &[], Some("false")),
    ("user.pds.user_meta", r#"{"app":1}"#, r#"{"app":1}"#, &[], None),
    ("user.pds.custom_index_key", "album-7", "album-7", &[], None),
    (
        "user.pds.tag.project",
        "lake house",
        "lake house",
        &[("user.pds.user_tags", r#"{"project":"lake house"}"#)],
        None,
    ),
    ("user.pds.user_tags", r#"{"a":"1","b":"2"}"#, r#"{"a":"1","b":"2"}"#, &[("user.pds.tag.b", "2")], None),
    ("user.baloo.rating", "8", "8", &[("user.pds.tag.rating", "8")], None),
    (
        "user.xdg.origin.url",
        "https://example.org/a?b=c",
        "https://example.org/a?b=c",
        &[("user.pds.tag.xdg.origin.url", "https://example.org/a?b=c")],
        None,
    ),
    ("user.mine", "my own", "my own", &[], None),
];

/// A value as one word of the shell.
fn word(text: &str) -> String {
    format!("'{text}'")
}

fn shown(m: &Mount, name: &str, path: &str) -> String {
    m.quiet(&format!("getfattr --only-values -n {name} {path}"))
}

fn matrix(kind: &str, make: &str) {
    let m = Mount::new();
    for (at, (name, value, now, others, _)) in SETTABLE.iter().enumerate() {
        let path = format!("mnt/{kind}{at}");
        m.quiet(&format!("{make} {path}; setfattr -n {name} -v {} {path}", word(value)));
        assert_eq!(shown(&m, name, &path), *now, "{name}");
        for (other, value) in *others {
            assert_eq!(shown(&m, other, &path), *value, "{other} after {name}");
        }
    }
    m.remount();
    for (at, (name, _, now, others, removed)) in SETTABLE.iter().enumerate() {
        let path = format!("mnt/{kind}{at}");
        assert_eq!(shown(&m, name, &path), *now, "{name} after a remount");
        m.quiet(&format!("setfattr -x {name} {path}"));
        let again = m.sh(&format!("getfattr --only-values -n {name} {path}"));
        assert_eq!(
            (again.out.as_str(), again.code),
            (removed.unwrap_or(""), Some(i32::from(removed.is_none())))
        );
        for (other, _) in *others {
            m.sh(&format!("getfattr -n {other} {path}")).failed(1, &["No such attribute"]);
        }
    }
}

#[test]
fn on_a_file_each_is_kept_by_the_drive() {
    matrix("file", "touch");
}

#[test]
fn on_a_folder_each_is_kept_by_the_drive() {
    matrix("folder", "mkdir");
}

/// Everything is set through the open file, before the drive has heard of it.
#[test]
fn on_a_file_being_written_each_is_there_when_it_is_closed() {
    let m = Mount::new();
    let mut program = String::from("import os\n");
    for (at, (name, value, now, ..)) in SETTABLE.iter().enumerate() {
        program.push_str(&format!(
            "f = os.open('mnt/{at}', os.O_CREAT | os.O_WRONLY)
os.write(f, b'content {at}')
os.setxattr(f, '{name}', '''{value}'''.encode())
assert os.getxattr(f, '{name}') == '''{now}'''.encode(), os.getxattr(f, '{name}')
os.close(f)
"
        ));
    }
    m.python(&program);
    for place in ["before", "after"] {
        for (at, (name, _, now, others, _)) in SETTABLE.iter().enumerate() {
            assert_eq!(shown(&m, name, &format!("mnt/{at}")), *now, "{name} {place}");
            for (other, value) in *others {
                assert_eq!(shown(&m, other, &format!("mnt/{at}")), *value, "{other} {place}");
            }
        }
        m.remount();
    }
}

#[test]
fn the_birth_time_can_be_given_before_close_and_times_after_it() {
    let m = Mount::new();
    m.python(
        "import os
f = os.open('mnt/f', os.O_CREAT | os.O_WRONLY)
os.setxattr(f, 'user.pds.local_created_at', b'2001-02-03T04:05:06Z')
os.close(f)",
    );
    m.remount();
    assert_eq!(shown(&m, "user.pds.local_created_at", "mnt/f"), "2001-02-03T04:05:06.000Z");
    m.quiet("setfattr -n user.pds.local_modified_at -v 2011-12-13T14:15:16Z mnt/f");
    crate::support::mount::until("stat shows it", || m.quiet("stat -c %Y mnt/f").trim() == "1323785716");
    m.remount();
    assert_eq!(m.quiet("stat -c %Y mnt/f").trim(), "1323785716");
    m.quiet("touch -d @1000000000 mnt/f");
    assert_eq!(shown(&m, "user.pds.local_modified_at", "mnt/f"), "2001-09-09T01:46:40.000Z");
}

#[test]
fn the_attr_program_and_python_set_and_remove_like_setfattr() {
    let m = Mount::new();
    m.quiet("echo x > mnt/f; attr -q -s pds.labels -V 'a,b' mnt/f; attr -q -s note -V hello mnt/f");
    assert_eq!(m.quiet("attr -q -g pds.labels mnt/f"), r#"["a","b"]"#);
    assert!(m.quiet("attr -l mnt/f").contains("Attribute \"note\""));
    m.quiet("attr -r note mnt/f; attr -r pds.labels mnt/f");
    m.sh("attr -q -g note mnt/f").failed(1, &["No data available"]);
    m.python(
        "import os
os.setxattr('mnt/f', 'user.bytes', bytes(range(256)))
assert os.getxattr('mnt/f', 'user.bytes') == bytes(range(256))
assert 'user.bytes' in os.listxattr('mnt/f')
os.setxattr('mnt/f', 'user.pds.labels', b'z', os.XATTR_CREATE)
os.setxattr('mnt/f', 'user.pds.labels', b'y', os.XATTR_REPLACE)
assert os.getxattr('mnt/f', 'user.xdg.tags') == b'y'
os.removexattr('mnt/f', 'user.pds.labels')
assert 'user.pds.labels' not in os.listxattr('mnt/f')",
    );
}

#[test]
fn what_is_attached_comes_back_with_an_exported_tree() {
    let m = Mount::new();
    m.file("disk/t/a", 300);
    m.quiet(
        "cp -r disk/t mnt/t; setfattr -n user.pds.labels -v 'x,y' mnt/t/a; setfattr -n user.xdg.comment -v note mnt/t
         setfattr -n user.pds.starred -v 1 mnt/t/a; setfattr -n user.pds.tag.k -v v mnt/t/a
         cp -a mnt/t disk/out; cp -a disk/out mnt/cp; rsync -aX disk/out/ mnt/rsync/
         mkdir mnt/tar; tar --xattrs -cf - -C disk/out . | tar --xattrs --xattrs-include='user.*' -xf - -C mnt/tar",
    );
    m.remount();
    for copy in ["cp", "rsync", "tar"] {
        assert_eq!(shown(&m, "user.pds.labels", &format!("mnt/{copy}/a")), r#"["x","y"]"#, "{copy}");
        assert_eq!(shown(&m, "user.pds.starred", &format!("mnt/{copy}/a")), "true", "{copy}");
        assert_eq!(shown(&m, "user.pds.tag.k", &format!("mnt/{copy}/a")), "v", "{copy}");
        assert_eq!(shown(&m, "user.xdg.comment", &format!("mnt/{copy}")), "note", "{copy}");
        let ids = m.quiet(&format!("getfattr --only-values -n user.pds.file_id mnt/t/a mnt/{copy}/a"));
        assert!(!ids.is_empty(), "{copy}");
    }
}

/// rsync -X makes the attributes of the target those of the source, and a plain disk has no labels.
#[test]
fn a_mirror_from_a_plain_disk_keeps_labels_and_drops_its_own() {
    let m = Mount::new();
    m.file("disk/t/a", 300);
    m.quiet("setfattr -n user.mine -v 1 disk/t/a; rsync -aX disk/t/ mnt/t/");
    m.quiet("setfattr -n user.pds.labels -v keep mnt/t/a; setfattr -n user.pds.description -v keep mnt/t/a");
    m.quiet("setfattr -x user.mine disk/t/a; rsync -aX disk/t/ mnt/t/");
    m.remount();
    assert_eq!(shown(&m, "user.pds.labels", "mnt/t/a"), r#"["keep"]"#);
    assert_eq!(shown(&m, "user.pds.description", "mnt/t/a"), "keep");
    m.sh("getfattr -n user.mine mnt/t/a").failed(1, &["No such attribute"]);
}

#[test]
fn what_was_attached_to_an_unfinished_file_survives_kill_9() {
    let m = Mount::new();
    m.python(
        "import os, subprocess
f = os.open('mnt/f', os.O_CREAT | os.O_WRONLY)
os.write(f, b'x' * 1000)
os.setxattr(f, 'user.pds.labels', b'kept')
os.setxattr(f, 'user.pds.starred', b'1')
os.setxattr(f, 'user.mine', b'mine')
os.fsync(f)
os.kill(int(open('daemon').read()), 9)"
            .replace("open('daemon').read()", &m.daemon().to_string())
            .as_str(),
    );
    m.mount().ok();
    crate::support::mount::until("it is on the drive", || {
        m.sh("getfattr --only-values -n user.pds.crc64_hash mnt/f").code == Some(0)
    });
    crate::support::mount::until("its labels are there", || {
        m.sh("getfattr --only-values -n user.pds.labels mnt/f").out == r#"["kept"]"#
    });
    assert_eq!(shown(&m, "user.pds.starred", "mnt/f"), "true");
    assert_eq!(shown(&m, "user.mine", "mnt/f"), "mine");
}

#[test]
fn refresh_asks_the_drive_anew() {
    let m = Mount::new();
    m.quiet("echo x > mnt/f; mkdir mnt/d; touch mnt/d/x");
    m.quiet("setfattr -n user.pds.refresh -v 1 mnt/f; setfattr -n user.pds.refresh -v now mnt/d; ls mnt/d");
    m.sh("getfattr -n user.pds.refresh mnt/f").failed(1, &["No such attribute"]);
    assert!(shown(&m, "user.pds.cache_age", "mnt/f").parse::<u64>().unwrap() < 60);
}
