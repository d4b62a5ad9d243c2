//! The recycle bin from the command line.

use crate::support::{Mount, Said};

fn trash(m: &Mount, arguments: &[&str]) -> Said {
    Said::of("trash", &mut m.pdsfs([&["trash"], arguments].concat()))
}

#[test]
fn what_was_removed_is_listed_restored_and_deleted() {
    let m = Mount::new();
    m.quiet("mkdir mnt/d; echo a > mnt/d/a; echo b > mnt/b; echo c > mnt/c; rm mnt/d/a mnt/b mnt/c");
    let listed = trash(&m, &["ls", "mnt"]).quiet();
    let mut names: Vec<&str> = listed.lines().filter_map(|line| line.split('\t').nth(3)).collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "b", "c"]);
    trash(&m, &["restore", "mnt", "a"]).quiet();
    m.quiet("test $(cat mnt/d/a) = a");
    trash(&m, &["rm", "mnt", "b"]).quiet();
    trash(&m, &["restore", "mnt", "b"]).failed(3, &["is not in the recycle bin"]);
    trash(&m, &["empty", "mnt/d"]).quiet();
    assert_eq!(trash(&m, &["ls", "mnt"]).quiet(), "");
    m.quiet("test \"$(ls mnt | xargs)\" = d");
}
