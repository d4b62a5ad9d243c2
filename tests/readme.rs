//! The README's tables are those of the code: each stands between two marks and is compared, or written anew.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use pdsfs::cli::reference;
use pdsfs::fs::xattr::table;

const UPDATE: &str = "UPDATE_README=1 cargo test --test readme";

/// Compares what is between the marks of `name` with `wanted`; with `UPDATE_README` set, replaces it.
#[track_caller]
fn check(readme: &str, name: &str, wanted: &str) -> String {
    let (begin, end) = (format!("<!-- {name}:begin -->"), format!("<!-- {name}:end -->"));
    let marks = || format!("README.md has no {begin} before {end}");
    let (before, rest) = readme.split_once(&begin).unwrap_or_else(|| panic!("{}", marks()));
    let (shown, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{}", marks()));
    let wanted = format!("\n{wanted}");
    if std::env::var_os("UPDATE_README").is_none() {
        let line = shown.lines().zip(wanted.lines()).find(|(shown, wanted)| shown != wanted);
        assert!(
            shown == wanted,
            "the README's {name} differ from the code, first in {line:?}; to write them anew: {UPDATE}"
        );
    }
    format!("{before}{begin}{wanted}{end}{after}")
}

#[test]
fn the_readme_shows_attributes_options_and_exit_codes_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let written = check(&readme, "xattrs", &table::markdown());
    let written = check(&written, "options", &reference::options());
    let written = check(&written, "exit-codes", &reference::exit_codes());
    if written != readme {
        std::fs::write(&path, written).unwrap();
    }
}
