//! Attributes of other programs, kept on the drive as user tags.
//!
//! `user.NAME` becomes the tag `xattr.user.NAME`. A tag is text without `#` (pds-api.md 10.6), an attribute
//! is any bytes, so both sides are encoded reversibly: in keys `%`, `#` and control characters become
//! `%XX`; a value that a tag could not hold as it is becomes `b64:` and base64url. The empty value is
//! encoded too, because the service treats an empty text as absent.
//!
//! A tag whose key could not have come from here (`xattr.user.pds.size`, two spellings of one name) stays
//! an ordinary tag: nobody can forge the drive's own attributes with it.

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};

use super::table;

/// Prefix of the keys of tags that hold attributes.
pub const KEY_PREFIX: &str = "xattr.";

/// Prefix of the keys of tags in which pdsfs keeps modes, owners and link targets; hidden from lists.
pub const RESERVED_PREFIX: &str = "pdsfs.";

/// Key and value of one user tag together, in bytes (pds-api.md 4.5).
pub const MAX_TAG_BYTES: usize = 2_000;

/// User tags on one file (pds-api.md 4.5).
pub const MAX_TAGS: usize = 1_000;

const BASE64: &str = "b64:";

/// Attributes whose value lives in a tag of its own name, so that other tools of the drive see it.
const ALIASES: &[(&str, &str)] = &[
    ("user.baloo.rating", "rating"),
    ("user.xdg.origin.url", "xdg.origin.url"),
    ("user.xdg.referrer.url", "xdg.referrer.url"),
];

/// The tag that holds this attribute, or `None` when no tag does (the drive's own attributes).
pub fn key_of(name: &str) -> Option<String> {
    if let Some((_, key)) = ALIASES.iter().find(|(alias, _)| *alias == name) {
        return Some((*key).to_owned());
    }
    is_foreign(name).then(|| format!("{KEY_PREFIX}{}", percent_encode(name)))
}

/// The attribute this tag holds beside, or instead of, `user.pds.tag.KEY`.
pub fn name_of(key: &str) -> Option<String> {
    if let Some((alias, _)) = ALIASES.iter().find(|(_, tag)| *tag == key) {
        return Some((*alias).to_owned());
    }
    let name = percent_decode(key.strip_prefix(KEY_PREFIX)?)?;
    (is_foreign(&name) && percent_encode(&name) == key[KEY_PREFIX.len()..]).then_some(name)
}

/// Whether a name in `user.` belongs to another program.
pub fn is_foreign(name: &str) -> bool {
    name.len() > "user.".len()
        && name.starts_with("user.")
        && !name.starts_with("user.pds.")
        && !name.contains('\0')
        && table::find(name).row.name == "user.<NAME>"
}

/// Whether a name fits a pattern in which `*` stands for anything, also for nothing.
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, rest)) => name.strip_prefix(before).is_some_and(|tail| {
            tail.char_indices().map(|(at, _)| &tail[at..]).chain([""]).any(|tail| matches(rest, tail))
        }),
    }
}

/// The tag's value for an attribute's bytes.
pub fn encode(value: &[u8]) -> String {
    let plain = |text: &&str| {
        !text.is_empty()
            && !text.starts_with(BASE64)
            && !text.chars().any(|c| c == '#' || (c.is_control() && !matches!(c, '\t' | '\n' | '\r')))
    };
    match std::str::from_utf8(value).ok().filter(plain) {
        Some(text) => text.to_owned(),
        None => format!("{BASE64}{}", URL_SAFE_NO_PAD.encode(value)),
    }
}

/// The attribute's bytes for a tag's value. A text that only looks encoded is taken as it is.
pub fn decode(text: &str) -> Vec<u8> {
    let encoded = text.strip_prefix(BASE64);
    encoded
        .and_then(|code| URL_SAFE_NO_PAD.decode(code).or_else(|_| URL_SAFE.decode(code)).ok())
        .unwrap_or_else(|| text.as_bytes().to_vec())
}

fn percent_encode(name: &str) -> String {
    let mut key = String::with_capacity(name.len());
    for c in name.chars() {
        if matches!(c, '%' | '#') || c.is_ascii_control() {
            key.push_str(&format!("%{:02X}", c as u32));
        } else {
            key.push(c);
        }
    }
    key
}

fn percent_decode(key: &str) -> Option<String> {
    let mut name = String::with_capacity(key.len());
    let mut rest = key;
    while let Some((before, after)) = rest.split_once('%') {
        name.push_str(before);
        let byte = u8::from_str_radix(after.get(..2)?, 16).ok().filter(u8::is_ascii)?;
        name.push(byte as char);
        rest = &after[2..];
    }
    name.push_str(rest);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_value_survives() {
        for (value, text) in [
            (&b"plain"[..], "plain"),
            ("\u{4e2d}\u{6587}\nline".as_bytes(), "\u{4e2d}\u{6587}\nline"),
            (b"", "b64:"),
            (b"\xff\xfe", "b64:__4"),
            (b"a#b", "b64:YSNi"),
            (b"b64:x", "b64:YjY0Ong"),
            (b"nul\0", "b64:bnVsAA"),
        ] {
            assert_eq!(encode(value), text);
            assert_eq!(decode(text), value);
        }
        assert_eq!(decode("b64:__4="), b"\xff\xfe", "padding is accepted");
        assert_eq!(decode("b64:not base64!"), b"b64:not base64!");
    }

    #[test]
    fn every_byte_survives() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&all)), all);
        for byte in 0..=255u8 {
            let text = encode(&[byte]);
            assert_eq!(decode(&text), [byte]);
            assert!(!text.contains('#') && !text.is_empty());
        }
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name, fits) in [
            ("user.DOSATTRIB", "user.DOSATTRIB", true),
            ("user.DOSATTRIB", "user.DOSATTRIBS", false),
            ("user.com.apple.*", "user.com.apple.FinderInfo", true),
            ("user.com.apple.*", "user.com.apple.", true),
            ("user.com.apple.*", "user.com.app", false),
            ("user.*.x", "user.a.b.x", true),
            ("user.*.x", "user.x", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn names_and_keys() {
        for (name, key) in [
            ("user.foo", "xattr.user.foo"),
            ("user.pds", "xattr.user.pds"),
            ("user.a#b%c\n", "xattr.user.a%23b%25c%0A"),
            ("user.com.apple.FinderInfo", "xattr.user.com.apple.FinderInfo"),
            ("user.xdg.robots.index", "xattr.user.xdg.robots.index"),
            ("user.\u{6807}\u{7b7e}", "xattr.user.\u{6807}\u{7b7e}"),
            ("user.baloo.rating", "rating"),
            ("user.xdg.origin.url", "xdg.origin.url"),
        ] {
            assert_eq!(key_of(name).as_deref(), Some(key));
            assert_eq!(name_of(key).as_deref(), Some(name));
        }
    }

    #[test]
    fn the_drives_own_names_cannot_be_forged_by_a_tag() {
        for key in [
            "xattr.user.pds.size",
            "xattr.user.pds.",
            "xattr.user.mime_type",
            "xattr.user.checksum.sha1",
            "xattr.user.baloo.rating",
            "xattr.user.",
            "xattr.security.capability",
            "xattr.user.a%23b%2",
            "xattr.user.%61",
            "xattr.user.a%0a",
            "xattr.user.%C3%A4",
            "xattr.user.a%00",
            "plain",
        ] {
            assert_eq!(name_of(key), None, "{key}");
        }
        for name in ["user.pds.size", "user.mime_type", "user.", "user.pds.", "security.capability", "user"] {
            assert_eq!(key_of(name), None, "{name}");
        }
    }
}
