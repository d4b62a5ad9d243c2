//! Keeps the import rules of `src/lib.rs` true: reads the paths in every file under `src/`.
//!
//! Not a parser: a line counts as code unless it starts with `//`, and `crate::x`, `crate::{x, y}` and
//! enough `super::` count as an import of `x`. That is how imports are written here.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Which module may import which. Downwards only; `tree`, `write` and `read` meet in `fs`; `server` and
/// `pds` share nothing but the wire.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("cli", &["mount", "server", "fs::xattr", "pds", "config", "error"]),
    ("mount", &["fuse", "fs", "pds", "config", "error"]),
    ("fuse", &["fs", "tree", "pds", "config", "error"]),
    ("fs", &["tree", "write", "read", "content", "budget", "pds", "config", "error"]),
    ("tree", &["content", "pds", "config", "error"]),
    ("write", &["content", "budget", "pds", "config", "error"]),
    ("read", &["content", "budget", "pds", "config", "error"]),
    ("content", &["pds::model", "config", "error"]),
    ("budget", &["config", "error"]),
    ("pds", &["config", "error"]),
    ("server", &["config", "error"]),
    ("config", &["error"]),
    ("error", &[]),
];

/// Crates with one door: only these modules may name them.
const DOORS: &[(&str, &[&str])] = &[
    ("fuser", &["fuse", "mount"]),
    ("reqwest", &["pds"]),
    ("axum", &["server"]),
    ("hyper", &["server"]),
    ("hyper_util", &["server"]),
    ("rusqlite", &["server", "write", "tree", "content"]),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
];

/// Where errno numbers are written; everybody else says what an error means.
const ERRNO_FILE: &str = "src/error.rs";

/// A file that is longer has stopped answering one question.
const MAX_LINES: usize = 800;

/// A file of the crate.
struct Source {
    /// From the crate's root: `src/fs/xattr/list.rs`.
    path: String,
    /// Its module: `["fs", "xattr", "list"]`; `["main"]`, `["lib"]` for the roots.
    module: Vec<String>,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
        let module = inner.split('/').filter(|part| *part != "mod").map(str::to_owned).collect();
        Source { path: path.to_owned(), module, text: text.to_owned() }
    }

    fn top(&self) -> &str {
        &self.module[0]
    }

    /// Lines of code with their numbers, counted from 1.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(index, line)| (index + 1, line.trim_start()));
        lines.filter(|(_, line)| !line.starts_with("//"))
    }

    /// What the file names from the crate's root on: `tree::names::MAX_NAME_BYTES`.
    fn imports(&self) -> BTreeSet<String> {
        let code: Vec<&str> = self.code().map(|(_, line)| line).collect();
        let code = code.join("\n");
        let climb = "super::".repeat(self.module.len());
        let mut found = BTreeSet::new();
        for root in ["crate::", "pdsfs::", climb.as_str()] {
            for (at, _) in code.match_indices(root) {
                let before = code[..at].chars().next_back();
                if before.is_none_or(|c| !c.is_alphanumeric() && c != '_') {
                    collect("", &code[at + root.len()..], &mut found);
                }
            }
        }
        if self.top() != "main" && self.top() != "lib" {
            // `super::super::x` of the crate's own names only: an inline module climbs once more.
            found.retain(|path| is_module(path.split("::").next().unwrap()));
        }
        found
    }
}

/// Adds the paths that `rest` begins with, below `prefix`: one, or each of a `{...}`. Returns what follows.
fn collect<'a>(prefix: &str, rest: &'a str, found: &mut BTreeSet<String>) -> &'a str {
    if let Some(mut rest) = rest.strip_prefix('{') {
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            let after = if rest.starts_with('}') { rest } else { collect(prefix, rest, found) };
            if after.len() == rest.len() {
                return rest.strip_prefix('}').unwrap_or(rest);
            }
            rest = after;
        }
    }
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}::{name}") };
    match rest.strip_prefix("::") {
        Some(rest) if !rest.starts_with('<') => collect(&path, rest, found),
        _ => {
            if !name.is_empty() {
                found.insert(path);
            }
            rest
        }
    }
}

fn is_module(name: &str) -> bool {
    MAY_IMPORT.iter().any(|(module, _)| *module == name)
}

/// Whether `path` is `allowed` or lies in it.
fn is_within(path: &str, allowed: &str) -> bool {
    path.strip_prefix(allowed).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Imports that `MAY_IMPORT` does not have.
fn wrong_imports(source: &Source) -> Vec<String> {
    let Some((_, allowed)) = MAY_IMPORT.iter().find(|(module, _)| *module == source.top()) else {
        return vec![format!("{}: the module {:?} has no place in MAY_IMPORT", source.path, source.top())];
    };
    let is_wrong = |path: &String| {
        !is_within(path, source.top()) && !allowed.iter().any(|allowed| is_within(path, allowed))
    };
    let wrong = source.imports().into_iter().filter(is_wrong);
    wrong.map(|path| format!("{}: must not import {path}", source.path)).collect()
}

/// Names of crates outside their door.
fn wrong_crates(source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, line) in source.code() {
        for (name, doors) in DOORS {
            let path = format!("{name}::");
            let is_named = line.match_indices(&path).any(|(at, _)| {
                line[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':')
            });
            if is_named && !doors.contains(&source.top()) {
                wrong.push(format!("{}:{number}: {name} belongs in {}", source.path, doors.join(", ")));
            }
        }
    }
    wrong
}

/// Numbers of errors outside `error.rs`; tests may name what they expect.
fn wrong_numbers(source: &Source) -> Vec<String> {
    let is_test = source.module.iter().any(|part| part == "tests");
    if source.path == ERRNO_FILE || is_test {
        return Vec::new();
    }
    let code = source.code().take_while(|(_, line)| *line != "#[cfg(test)]");
    let is_number = |line: &str| {
        line.match_indices("libc::E").any(|(at, start)| {
            line[at + start.len()..]
                .chars()
                .next()
                .is_some_and(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
        })
    };
    let wrong = code.filter(|(_, line)| is_number(line));
    wrong
        .map(|(number, _)| format!("{}:{number}: an errno number outside {ERRNO_FILE}", source.path))
        .collect()
}

fn too_long(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    if lines <= MAX_LINES {
        return Vec::new();
    }
    vec![format!("{}: {lines} lines, more than {MAX_LINES}", source.path)]
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn crate_sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = rust_files(&root.join("src"));
    let sources: Vec<Source> = files
        .iter()
        .map(|path| {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            Source::new(name, &fs::read_to_string(path).unwrap())
        })
        .filter(|source| source.path != "src/lib.rs")
        .collect();
    assert!(sources.len() > 50, "only {} files found", sources.len());
    sources
}

#[track_caller]
fn all_keep(rule: impl Fn(&Source) -> Vec<String>) {
    let wrong: Vec<String> = crate_sources().iter().flat_map(rule).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn imports_go_downwards() {
    all_keep(wrong_imports);
}

#[test]
fn each_foreign_crate_has_one_door() {
    all_keep(wrong_crates);
}

#[test]
fn errors_have_meanings_and_only_one_file_has_numbers() {
    all_keep(wrong_numbers);
}

#[test]
fn no_file_is_too_long() {
    all_keep(too_long);
}

/// The rules above pass by finding nothing: here is what they must find.
#[test]
fn a_broken_rule_is_found() {
    let text = "//! crate::mount in a comment\n\
        use crate::{config::Exit, server::{Server, sign}};\n\
        use super::super::read::window;\n\
        fn f() { crate::tree::g(); mycrate::fuse(); fuser::mount(); let _ = (libc::EIO, libc::EI); }\n\
        #[cfg(test)]\n\
        mod tests { const E: i32 = libc::EPERM; }\n";
    let source = Source::new("src/write/shard.rs", text);
    assert_eq!(
        wrong_imports(&source),
        [
            "src/write/shard.rs: must not import read::window",
            "src/write/shard.rs: must not import server::Server",
            "src/write/shard.rs: must not import server::sign",
            "src/write/shard.rs: must not import tree::g",
        ]
    );
    assert_eq!(wrong_crates(&source), ["src/write/shard.rs:4: fuser belongs in fuse, mount"]);
    assert_eq!(wrong_numbers(&source), ["src/write/shard.rs:4: an errno number outside src/error.rs"]);
    assert_eq!(wrong_imports(&Source::new("src/extra.rs", "")).len(), 1);
    assert_eq!(too_long(&Source::new("src/cli.rs", &"\n".repeat(801))).len(), 1);
    assert_eq!(wrong_imports(&Source::new("src/pds.rs", "use super::server::Server;")).len(), 1);
    assert_eq!(
        wrong_imports(&Source::new("src/content/store.rs", "use crate::pds::model::FileId;")).len(),
        0
    );
    assert_eq!(wrong_imports(&Source::new("src/content/store.rs", "use crate::pds::Pds;")).len(), 1);
}
