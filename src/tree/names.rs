//! From names on the drive to names in a directory, and back.
//!
//! The drive allows what a directory cannot show: two entries with one name, `.` and `..`, `/` and NUL
//! (pds-api.md 4.2). Shown names are derived from the names on the drive and nothing else, so they are the
//! same on every mount: of entries with one name the oldest keeps it, the others get ` (2)`, ` (3)` ... before
//! the extension, in the order of `created_at` and `file_id`.

use std::collections::HashSet;

use crate::error::{Error, Kind, Result};

/// Longest name the service takes, in bytes (4.5).
pub const MAX_NAME_BYTES: usize = 1024;

/// One entry of a listing, as far as its name goes.
pub struct Entry<'a> {
    /// The name on the drive.
    pub name: &'a str,
    /// Orders entries of one name.
    pub created_at: &'a str,
    /// Orders entries of one name and one age.
    pub id: &'a str,
}

/// The names to show for `entries`, in their order. All different.
pub fn assign(entries: &[Entry<'_>]) -> Vec<Box<str>> {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|&index| (entries[index].created_at, entries[index].id));
    let mut taken: HashSet<Box<str>> = HashSet::with_capacity(entries.len());
    let mut names: Vec<Option<Box<str>>> = vec![None; entries.len()];
    let mut doubles = Vec::new();
    for index in order {
        let name = escape(entries[index].name);
        if taken.insert(name.clone()) {
            names[index] = Some(name);
        } else {
            doubles.push((index, name));
        }
    }
    for (index, name) in doubles {
        let free = (2u64..).map(|number| numbered(&name, number)).find(|name| !taken.contains(name));
        let name = free.unwrap_or(name);
        taken.insert(name.clone());
        names[index] = Some(name);
    }
    names.into_iter().flatten().collect()
}

/// A name that no child has, for an entry that arrives in a directory already shown.
pub fn first_free(name: &str, is_taken: impl Fn(&str) -> bool) -> Box<str> {
    let shown = escape(name);
    if !is_taken(&shown) {
        return shown;
    }
    (2u64..).map(|number| numbered(&shown, number)).find(|name| !is_taken(name)).unwrap_or(shown)
}

/// What cannot be in a directory entry, as percent escapes.
fn escape(name: &str) -> Box<str> {
    match name {
        "" => "%".into(),
        "." => "%2E".into(),
        ".." => "%2E%2E".into(),
        _ if name.contains(['/', '\0']) => name.replace('/', "%2F").replace('\0', "%00").into(),
        _ => name.into(),
    }
}

/// `photo.jpg` -> `photo (2).jpg`; a leading dot is no extension.
fn numbered(name: &str, number: u64) -> Box<str> {
    with_note(name, &number.to_string()).into()
}

/// `photo.jpg` with `note` -> `photo (note).jpg`, cut so that it stays within [`MAX_NAME_BYTES`].
pub fn with_note(name: &str, note: &str) -> String {
    let (stem, extension) = match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= 32 => name.split_at(dot),
        _ => (name, ""),
    };
    let room = MAX_NAME_BYTES.saturating_sub(extension.len() + note.len() + 3);
    let mut cut = stem.len().min(room);
    while !stem.is_char_boundary(cut) {
        cut -= 1;
    }
    format!("{} ({note}){extension}", &stem[..cut])
}

/// Checks a name a program wants to create.
///
/// # Errors
/// [`Kind::NotUnicode`] and [`Kind::NameTooLong`]: the service takes 1 to 1,024 bytes of UTF-8 (4.2).
pub fn check(name: &std::ffi::OsStr) -> Result<&str> {
    if name.len() > MAX_NAME_BYTES {
        return Err(Error::new(
            Kind::NameTooLong,
            "use a name",
            "the drive takes names of at most 1,024 bytes",
        ));
    }
    name.to_str().ok_or_else(|| {
        Error::new(Kind::NotUnicode, "use a name", "the drive takes names in UTF-8 only").on(name.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(entries: &[(&str, &str, &str)]) -> Vec<String> {
        let entries: Vec<Entry> =
            entries.iter().map(|&(name, created_at, id)| Entry { name, created_at, id }).collect();
        assign(&entries).into_iter().map(String::from).collect()
    }

    #[test]
    fn the_oldest_keeps_its_name() {
        assert_eq!(
            shown(&[("a.jpg", "2020", "x"), ("a.jpg", "2019", "z"), ("a.jpg", "2020", "b")]),
            ["a (3).jpg", "a.jpg", "a (2).jpg"]
        );
    }

    #[test]
    fn a_suffix_never_takes_a_real_name() {
        assert_eq!(shown(&[("a", "1", "1"), ("a", "2", "2"), ("a (2)", "3", "3")]), ["a", "a (3)", "a (2)"]);
    }

    #[test]
    fn names_no_directory_can_show_are_escaped() {
        assert_eq!(
            shown(&[(".", "1", "1"), ("..", "1", "2"), ("a/b", "1", "3"), ("a\0", "1", "4"), ("", "1", "5")]),
            ["%2E", "%2E%2E", "a%2Fb", "a%00", "%"]
        );
    }

    #[test]
    fn notes_go_before_the_extension_and_fit() {
        assert_eq!(with_note("a.tar.gz", "2"), "a.tar (2).gz");
        assert_eq!(with_note(".profile", "2"), ".profile (2)");
        let long = "é".repeat(512);
        assert!(with_note(&long, "2").len() <= MAX_NAME_BYTES);
    }
}
