//! Tools that keep extended attributes, in both directions. Those of the drive (`user.pds.*`) are listed like any
//! other, no tool can tell that they cannot be set, and some call it a failure when setting fails: none may.
//!
//! The same rows run for root and for an ordinary user, because rsync and tar do more as root.

use crate::support::Mount;

/// Each row is a copy tool, in and out. `disk/in` has attributes of its own; `mnt/out` is on the drive with all the
/// drive says about it.
const TOOLS: &[(&str, &str, &str)] = &[
    ("cp", "cp disk/in mnt/cp", "cp mnt/out disk/cp"),
    ("cp -a", "cp -a disk/in mnt/cp-a", "cp -a mnt/out disk/cp-a"),
    (
        "cp --preserve=xattr",
        "cp --preserve=xattr disk/in mnt/cp-x",
        "cp --preserve=xattr mnt/out disk/cp-x",
    ),
    ("cp --preserve=all -r", "cp -r --preserve=all disk/tree mnt/cp-r", "cp -r --preserve=all mnt/tree disk/cp-r"),
    ("mv", "cp -a disk/in disk/mv; mv disk/mv mnt/mv", "cp -a mnt/out mnt/mv2; mv mnt/mv2 disk/mv2"),
    ("rsync -aX", "rsync -aX disk/in mnt/rsync", "rsync -aX mnt/out disk/rsync"),
    ("rsync -aX tree", "rsync -aX disk/tree/ mnt/rsynct/", "rsync -aX mnt/tree/ disk/rsynct/"),
    ("rsync -aX again", "rsync -aX disk/in mnt/rsync", "rsync -aX mnt/out disk/rsync"),
    ("rsync -aX tree again", "rsync -aX disk/tree/ mnt/rsynct/", "rsync -aX mnt/tree/ disk/rsynct/"),
    (
        "tar --xattrs",
        "mkdir mnt/tar; tar --xattrs -cf - -C disk in tree | tar --xattrs -xf - -C mnt/tar",
        "mkdir disk/tar; tar --xattrs -cf - -C mnt out tree | tar --xattrs -xf - -C disk/tar",
    ),
    (
        "shutil.copy2",
        "python3 -c 'import shutil; shutil.copy2(\"disk/in\", \"mnt/py\")'",
        "python3 -c 'import shutil; shutil.copy2(\"mnt/out\", \"disk/py\")'",
    ),
    (
        "shutil.copytree",
        "python3 -c 'import shutil; shutil.copytree(\"disk/tree\", \"mnt/pyt\")'",
        "python3 -c 'import shutil; shutil.copytree(\"mnt/tree\", \"disk/pyt\")'",
    ),
    (
        "back what came out",
        "cp --preserve=all disk/cp-x mnt/back-cp; rsync -aX disk/rsync mnt/back-rsync; mv disk/mv2 mnt/back-mv
         mkdir mnt/back-tar; tar --xattrs -cf - -C disk/tar . | tar --xattrs -xf - -C mnt/back-tar; rsync -aX disk/rsynct/ mnt/back-rsynct/
         python3 -c 'import shutil; shutil.copy2(\"disk/py\", \"mnt/back-py\")'",
        "rsync -aX mnt/back-rsynct/ disk/again/",
    ),
    (
        "within the drive",
        "cp -a mnt/out mnt/in-cp; rsync -aX mnt/out mnt/in-rsync; cp -r --preserve=all mnt/tree mnt/in-tree",
        "cp -a mnt/in-cp disk/in-cp",
    ),
];

fn matrix(m: &Mount) {
    m.file("disk/in", 5000);
    m.file("disk/tree/a", 300);
    m.file("disk/tree/sub/b", 70_000);
    m.quiet(
        "for f in disk/in disk/tree disk/tree/a disk/tree/sub; do setfattr -n user.mine -v 'of mine' $f; done
         cp disk/in mnt/out; cp -r disk/tree mnt/tree",
    );
    // The drive's attributes are all there: the tools have something to fail over.
    m.remount();
    let listed = m.quiet("getfattr -d mnt/out mnt/tree/a mnt/tree");
    assert_eq!(listed.matches("user.pds.file_id=").count(), 3, "{listed}");
    let mut failures = Vec::new();
    for (tool, to_drive, from_drive) in TOOLS {
        for script in [to_drive, from_drive] {
            let said = m.sh(script);
            if said.code != Some(0) || !said.err.is_empty() {
                failures.push(format!("{tool}: {said}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    m.remount();
    m.quiet(
        "for f in cp cp-a cp-x mv rsync tar/in py back-cp back-rsync back-mv back-tar/out back-py in-cp; do cmp disk/in mnt/$f; done
         for f in cp-r rsynct tar/tree pyt in-tree back-tar/tree back-rsynct; do diff -r disk/tree mnt/$f; done
         for f in cp cp-a cp-x rsync tar/out py in-cp; do cmp disk/in disk/$f; done
         for f in cp-r rsynct tar/tree pyt again; do diff -r disk/tree disk/$f; done",
    );
}

#[test]
fn every_tool_is_quiet_for_whoever_runs_the_tests() {
    matrix(&Mount::new());
}

#[test]
fn every_tool_is_quiet_for_an_ordinary_user() {
    matrix(&Mount::of_user());
}

#[test]
fn attributes_of_other_programs_survive_the_way_in_and_out() {
    let m = Mount::new();
    m.quiet("echo x > disk/in; setfattr -n user.mine -v 'of mine' disk/in; setfattr -n user.bytes -v 0x00ff10 disk/in");
    m.quiet("cp --preserve=xattr disk/in mnt/cp; rsync -aX disk/in mnt/rsync; tar --xattrs -cf - -C disk in | tar --xattrs -xf - -C mnt
         python3 -c 'import shutil; shutil.copy2(\"disk/in\", \"mnt/py\")'; cp -a disk/in disk/m; mv disk/m mnt/mv");
    m.remount();
    for name in ["cp", "rsync", "in", "py", "mv"] {
        m.quiet(&format!("cp -a mnt/{name} disk/out-{name}"));
        for place in [format!("mnt/{name}"), format!("disk/out-{name}")] {
            assert_eq!(
                m.quiet(&format!("getfattr --only-values -n user.mine {place}")),
                "of mine",
                "{place}"
            );
            let bytes =
                m.quiet(&format!("getfattr -e hex --only-values -n user.bytes {place} | od -An -tx1"));
            assert_eq!(bytes.trim(), "00 ff 10", "{place}");
        }
    }
}

#[test]
fn rsync_with_attributes_finds_nothing_to_do_the_second_time() {
    let m = Mount::new();
    m.file("disk/t/a", 300);
    m.file("disk/t/sub/b", 70_000);
    m.quiet("setfattr -n user.mine -v 1 disk/t/a; rsync -aX mnt/ disk/none/; rsync -a disk/t mnt/");
    m.remount();
    // Out: the second run compares the drive's attributes with what it wrote to the local disk.
    m.quiet("rsync -aX mnt/t/ disk/out/");
    assert_eq!(m.quiet("rsync -aX --out-format=%n mnt/t/ disk/out/"), "");
    // In, as the brief of a backup: content is not sent again.
    m.quiet("rsync -aX disk/out/ mnt/again/");
    let second = m.quiet("rsync -aX --stats disk/out/ mnt/again/");
    assert!(second.contains("Number of regular files transferred: 0"), "{second}");
}

#[test]
fn a_person_who_sets_what_cannot_be_set_is_told() {
    let m = Mount::new();
    m.quiet("echo x > mnt/f");
    m.remount();
    for script in [
        "setfattr -n user.pds.file_id -v other mnt/f",
        "setfattr -x user.pds.size mnt/f",
        "setfattr -n user.checksum.sha1 -v 00 mnt/f",
    ] {
        m.sh(script).failed(1, &["Operation not permitted"]);
    }
    m.sh("setfattr -n trusted.x -v 1 mnt/f").failed(1, &["Operation not supported"]);
    m.sh("getfattr -n user.pds.no_such mnt/f").failed(1, &["No such attribute"]);
    m.quiet("setfattr -n user.rating -v 5 mnt/f; setfattr -x user.rating mnt/f; setfattr -n user.pds.type -v file mnt/f");
    m.sh("setfattr -x user.rating mnt/f").failed(1, &["No such attribute"]);
}

#[test]
fn rsync_of_an_older_copy_is_quiet_too() {
    let m = Mount::new();
    m.file("disk/new/a", 300);
    m.file("disk/new/sub/b", 70_000);
    // A copy of what was once on the drive, with all that was said about it then.
    m.quiet("mkdir mnt/t; cp -r disk/new/* mnt/t/; rsync -aX mnt/t/ disk/old/; rm -r mnt/t");
    m.quiet("mkdir mnt/t; echo other > mnt/t/a; cp -r disk/new/sub mnt/t/");
    m.remount();
    for options in ["-aX", "-aX --inplace --no-whole-file", "-aX --checksum"] {
        m.quiet(&format!("touch -d @1000000000 mnt/t/a; rsync {options} disk/old/ mnt/t/"));
        m.quiet("cmp disk/new/a mnt/t/a; cmp disk/new/sub/b mnt/t/sub/b");
        m.quiet("echo changed >> mnt/t/a");
    }
}
