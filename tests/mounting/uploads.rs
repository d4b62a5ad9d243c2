//! Files that are not on the drive yet, from the command line.

use crate::support::{Home, Mount, Said, Serve};

fn run(m: &Mount, arguments: &[&str]) -> Said {
    Said::of(&arguments.join(" "), &mut m.pdsfs(arguments))
}

#[test]
fn what_is_not_on_the_drive_is_listed_exported_discarded_and_sent() {
    let home = Home::new();
    let mut serve = Serve::new(&home);
    let address = serve.address();
    let impatient =
        ["--write-mode", "back", "--op-timeout", "2s", "--connect-timeout", "1s", "--retries", "0"];
    let m = Mount::at(home, &[&impatient[..], &serve.options()].concat());
    m.file("disk/big", 300_000);
    m.quiet("echo old > mnt/edited; mkdir mnt/folder");
    run(&m, &["flush", "mnt/edited"]).quiet();
    assert_eq!(run(&m, &["uploads", "mnt"]).quiet(), "");

    serve.kill();
    m.quiet("echo new > mnt/new; echo changed > mnt/edited; cp disk/big mnt/folder/big");
    let listed = run(&m, &["uploads", "list", "mnt"]).quiet();
    assert_eq!(listed.lines().count(), 3, "{listed}");
    assert_eq!(run(&m, &["uploads", "--json", "mnt/folder"]).quiet().lines().count(), 1);
    run(&m, &["flush", "mnt/folder"]).failed(6, &["1 file is not on the drive", "mnt/folder/big"]);
    run(&m, &["uploads", "retry", "mnt"]).failed(6, &["not on the drive"]);
    let status = run(&m, &["status", "mnt"]).quiet();
    assert!(status.contains("folder/big") && status.contains("error:"), "{status}");

    run(&m, &["uploads", "export", "mnt/folder/big", "disk/out"]).quiet();
    m.quiet("cmp disk/big disk/out");
    run(&m, &["uploads", "export", "mnt/folder/big", "disk/out"]).failed(1, &["File exists"]);
    run(&m, &["uploads", "discard", "mnt/new"]).quiet();
    run(&m, &["uploads", "discard", "mnt/edited"]).quiet();
    run(&m, &["uploads", "discard", "mnt/edited"]).failed(3, &["not on the drive"]);

    let serve = Serve::on(&m, &address, &[]);
    run(&m, &["flush", "mnt"]).quiet();
    assert_eq!(run(&m, &["uploads", "mnt"]).quiet(), "");
    m.quiet("test ! -e mnt/new; test \"$(cat mnt/edited)\" = old; cmp disk/big mnt/folder/big");
    m.remount();
    m.quiet("test ! -e mnt/new; test \"$(cat mnt/edited)\" = old; cmp disk/big mnt/folder/big");
    m.umount().quiet();
    drop(serve);
}
