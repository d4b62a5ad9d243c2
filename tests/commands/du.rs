//! How much is where, from the command line.

use crate::support::{Mount, Said};

#[test]
fn sizes_and_counts_are_those_of_what_is_there() {
    let m = Mount::new();
    m.quiet("mkdir -p mnt/a/b/c mnt/empty mnt/z; printf 12345 > mnt/top; printf 123 > mnt/a/x");
    m.quiet("printf 1234567 > mnt/a/b/c/y; : > mnt/z/nothing; seq 100 | sed 's,^,mnt/z/,' | xargs touch");
    let du = |arguments: &[&str]| Said::of("du", &mut m.pdsfs([&["du"], arguments].concat())).quiet();
    let expected = [("10", "2", "2", "mnt/a"), ("0", "0", "0", "mnt/empty"), ("0", "101", "0", "mnt/z")];
    let row = |(bytes, files, folders, path): (&str, &str, &str, &str)| {
        format!("{bytes}\t{files}\t{folders}\t{}\n", m.path(path).display())
    };
    let whole: String = expected.into_iter().chain([("15", "104", "5", "mnt")]).map(row).collect();
    assert_eq!(du(&["-b", "mnt"]), whole);
    // Nothing is known of the drive.
    m.remount();
    assert_eq!(du(&["-b", "mnt"]), whole);
    assert_eq!(du(&["mnt/top"]), format!("5 bytes\t1\t0\t{}\n", m.path("mnt/top").display()));
    let last = du(&["--json", "mnt/a"]).lines().last().unwrap().to_owned();
    assert!(last.contains("\"bytes\":10") && last.contains("\"files\":2"), "{last}");
    // What is written and not on the drive yet counts.
    m.quiet(&format!(
        "exec 3> mnt/empty/new; printf 1234 >&3; {} du -b mnt/empty | grep -q ^4",
        m.program().display()
    ));
    Said::of("du", &mut m.pdsfs(["du", "mnt/none"])).failed(3, &[]);
}
