//! What a file was before, from the command line.

use crate::support::{Mount, Said};

fn versions(m: &Mount, arguments: &[&str]) -> Said {
    Said::of("versions", &mut m.pdsfs([&["versions"], arguments].concat()))
}

/// Number, size and mark of each, newest first.
fn listed(m: &Mount, path: &str) -> Vec<(String, String, String)> {
    let rows = versions(m, &["ls", path]).quiet();
    let row = |line: &str| {
        let field = |at| line.split('\t').nth(at).unwrap().to_owned();
        (field(0), field(2), field(3))
    };
    rows.lines().map(row).collect()
}

#[test]
fn an_earlier_version_is_listed_read_kept_and_restored() {
    let m = Mount::new();
    // More than one piece of a transfer.
    m.file("disk/big", 9_000_000);
    m.quiet("cp disk/big mnt/f; echo second > mnt/f; : > mnt/f; echo fourth > mnt/f");
    let row = |number: &str, size: &str, mark: &str| (number.to_owned(), size.to_owned(), mark.to_owned());
    let rows = listed(&m, "mnt/f");
    let big = rows.iter().find(|(_, size, _)| size == "9000000").expect("the first is there").0.clone();
    let second = rows.iter().find(|(number, size, _)| size == "7" && *number != rows[0].0).unwrap().0.clone();
    assert_eq!((rows[0].1.as_str(), rows[0].2.as_str()), ("7", "latest"), "{rows:?}");

    m.quiet(
        &format!("$PDSFS versions cat mnt/f {big} | cmp - disk/big")
            .replace("$PDSFS", m.program().to_str().unwrap()),
    );
    assert_eq!(versions(&m, &["cat", "mnt/f", &second]).quiet(), "second\n");
    versions(&m, &["cat", "mnt/f", "999"]).failed(3, &["no version \"999\""]);
    versions(&m, &["restore", "mnt/f", &rows[0].0]).failed(2, &["is this version already"]);

    versions(&m, &["keep", "mnt/f", &big, "--description", "as\nsent"]).quiet();
    assert!(listed(&m, "mnt/f").contains(&row(&big, "9000000", "kept")));
    assert!(versions(&m, &["ls", "mnt/f"]).quiet().contains("as\\nsent"));
    versions(&m, &["keep", "--undo", "mnt/f", &big]).quiet();
    assert!(listed(&m, "mnt/f").contains(&row(&big, "9000000", "-")));

    // Seen at once, also by who has read the file before.
    m.quiet("test \"$(cat mnt/f)\" = fourth");
    versions(&m, &["restore", "mnt/f", &big]).quiet();
    m.quiet("cmp mnt/f disk/big; test $(stat -c %s mnt/f) = 9000000");
    assert_eq!(listed(&m, "mnt/f").len(), rows.len() + 1);
    m.quiet("echo next > mnt/f; test \"$(cat mnt/f)\" = next; test \"$(ls mnt)\" = f");
    m.quiet("mkdir mnt/d");
    versions(&m, &["ls", "mnt/d"]).failed(1, &["a folder has no versions"]);
}

#[test]
fn a_file_that_is_being_written_is_not_restored() {
    let m = Mount::new();
    m.quiet("echo first > mnt/f; echo second > mnt/f");
    let first = listed(&m, "mnt/f").last().unwrap().0.clone();
    let program = m.program().to_str().unwrap().to_owned();
    let script = format!("exec 3>>mnt/f; echo more >&3; {program} versions restore mnt/f {first}");
    m.sh(&script).failed(7, &["it is being written"]);
    m.quiet("test \"$(cat mnt/f | xargs)\" = 'second more'");
}
