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

/// What the system says, not pdsfs: no message of ours to look for.
const OF_THE_SYSTEM: &[&str] = &[
    "Transport endpoint is not connected",
    "Disk quota exceeded",
    "No space left on device",
    "Input/output error",
    "Stale file handle",
    "rsync -aX",
    "cannot create symbolic link: Operation not permitted",
];

#[test]
fn each_symptom_in_the_readme_is_a_message_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let messages = code_below(&root.join("src"));
    let (_, section) = readme.split_once("## Troubleshooting").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 10, "{rows:?}");
    for row in rows {
        let Some(symptom) = row.split('|').nth(1).and_then(|cell| cell.split('`').nth(1)) else { continue };
        let known = OF_THE_SYSTEM.iter().any(|words| symptom.starts_with(words));
        assert!(known || messages.contains(symptom), "nothing says {symptom:?} any more");
    }
}

/// All code below `folder`, with strings that go over several lines in one piece and variables as they are.
fn code_below(folder: &Path) -> String {
    let mut code = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            code.push_str(&code_below(&path));
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let mut pieces = text.split("\\\n");
        code.push_str(pieces.next().unwrap_or_default());
        pieces.for_each(|piece| code.push_str(piece.trim_start()));
    }
    code
}
