//! What is cached, from the command line.

use crate::support::{Mount, Said};

fn cache(m: &Mount, action: &str) -> String {
    Said::of("cache", &mut m.pdsfs(["cache", action, "mnt"])).quiet()
}

#[test]
fn what_is_cached_is_told_and_given_back() {
    let m = Mount::with(&["--cache-size", "1GiB"]);
    m.file("disk/a", 3 << 20);
    m.quiet("cp disk/a mnt/a; cmp disk/a mnt/a");
    assert_eq!(cache(&m, "status"), "3.0 MiB of 1 file cached, 1.0 GiB at most\n");
    assert_eq!(cache(&m, "clear"), "3.0 MiB given back\n");
    assert_eq!(cache(&m, "status"), "0 B of 0 files cached, 1.0 GiB at most\n");
    m.quiet("cmp disk/a mnt/a");
}
