//! The README's table of extended attributes is the one in the code.

use std::path::Path;

use pdsfs::fs::xattr::table;

const BEGIN: &str = "<!-- xattrs:begin -->";
const END: &str = "<!-- xattrs:end -->";
const UPDATE: &str = "UPDATE_README=1 cargo test --test readme_xattrs";

#[test]
fn the_readme_shows_the_attributes_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("README.md has no xattrs:begin mark");
    let (shown, after) = rest.split_once(END).expect("README.md has no xattrs:end mark");
    let wanted = format!("\n{}", table::markdown());
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
        return;
    }
    let line = shown.lines().zip(wanted.lines()).find(|(shown, wanted)| shown != wanted);
    assert!(
        shown == wanted,
        "the README's attributes differ from src/fs/xattr/table.rs, first in {line:?}; to write them anew: {UPDATE}"
    );
}
