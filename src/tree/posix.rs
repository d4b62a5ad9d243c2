//! What a drive has no place for, kept in user tags of the prefix `pdsfs.` (pds-api.md 10.6): permission
//! bits, owner, the part of a time below a millisecond, and where a symbolic link points.
//!
//! | tag | value |
//! |---|---|
//! | `pdsfs.mode` | permission bits in octal, `4755` |
//! | `pdsfs.owner` | `UID:GID` |
//! | `pdsfs.mtime` | `SECONDS.NANOSECONDS` since 1970; counts as long as the drive's own time is the same millisecond |
//! | `pdsfs.symlink` | the target, percent-encoded where a tag could not hold it |
//!
//! A value that makes no sense is as good as none. Pure.

use std::collections::BTreeMap;

use super::slot::{NO_TIME, Nanos, nanos};
use crate::pds::model::File;

/// Key of the permission bits.
const MODE: &str = "pdsfs.mode";
/// Key of the owner.
const OWNER: &str = "pdsfs.owner";
/// Key of the exact modification time.
const MTIME: &str = "pdsfs.mtime";
/// Key of a symbolic link's target.
const SYMLINK: &str = "pdsfs.symlink";

/// The longest encoded target: key and value of a tag are 2,000 bytes together (10.6).
pub const MAX_TARGET_BYTES: usize = 1_900;

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const NANOS_PER_MILLI: i64 = 1_000_000;

/// What the tags of a file say, or are to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Permission bits, 0 to 0o7777.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Exact modification time in nanoseconds since 1970.
    pub modified: Option<i64>,
    /// Where a symbolic link points.
    pub target: Option<Vec<u8>>,
}

impl Kept {
    /// What a File's tags say.
    pub fn of(file: &File) -> Self {
        let mut kept = Kept::default();
        for (key, value) in &file.own_tags {
            match &**key {
                MODE => kept.mode = u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o7777),
                OWNER => (kept.uid, kept.gid) = owner(value).unzip(),
                MTIME => kept.modified = exact(value, nanos(&file.local_modified_at)),
                SYMLINK => kept.target = decode(value),
                _ => {}
            }
        }
        kept
    }

    /// The tags to put. A time of whole milliseconds needs none: the drive keeps it.
    pub fn tags(&self) -> BTreeMap<String, String> {
        let mut tags = BTreeMap::new();
        if let Some(mode) = self.mode {
            tags.insert(MODE.to_owned(), format!("{mode:o}"));
        }
        if let (Some(uid), Some(gid)) = (self.uid, self.gid) {
            tags.insert(OWNER.to_owned(), format!("{uid}:{gid}"));
        }
        if let Some(time) = self.modified.filter(|time| time.rem_euclid(NANOS_PER_MILLI) != 0) {
            let (seconds, rest) = (time.div_euclid(NANOS_PER_SECOND), time.rem_euclid(NANOS_PER_SECOND));
            tags.insert(MTIME.to_owned(), format!("{seconds}.{rest:09}"));
        }
        if let Some(target) = &self.target {
            tags.insert(SYMLINK.to_owned(), encode(target));
        }
        tags
    }
}

fn owner(value: &str) -> Option<(u32, u32)> {
    let (uid, gid) = value.split_once(':')?;
    let number = |text: &str| text.parse().ok().filter(|number| *number != u32::MAX);
    Some((number(uid)?, number(gid)?))
}

/// The time, when the drive's own is the same millisecond: otherwise somebody set it since.
fn exact(value: &str, of_drive: Nanos) -> Option<i64> {
    let (seconds, rest) = value.split_once('.')?;
    let rest: i64 = rest.parse().ok().filter(|rest| (0..NANOS_PER_SECOND).contains(rest))?;
    let time = seconds.parse::<i64>().ok()?.checked_mul(NANOS_PER_SECOND)?.checked_add(rest)?;
    let millis = |time: i64| time.div_euclid(NANOS_PER_MILLI);
    (of_drive != NO_TIME && millis(time) == millis(of_drive)).then_some(time)
}

/// Any bytes as text without `#` and control characters.
pub fn encode(target: &[u8]) -> String {
    let mut text = String::with_capacity(target.len());
    for chunk in target.utf8_chunks() {
        for c in chunk.valid().chars() {
            if matches!(c, '%' | '#') || c.is_ascii_control() {
                text.push_str(&format!("%{:02X}", c as u32));
            } else {
                text.push(c);
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(after.get(..2)?, 16).ok()?);
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    (!bytes.is_empty()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn file(tags: &BTreeMap<String, String>, modified: &str) -> File {
        File::from_value(
            json!({"file_id": "f", "type": "file", "user_tags": tags, "local_modified_at": modified}),
        )
        .unwrap()
    }

    #[test]
    fn what_is_kept_comes_back() {
        let kept = Kept {
            mode: Some(0o4755),
            uid: Some(1000),
            gid: Some(0),
            modified: Some(1_700_000_000_123_456_789),
            target: Some(b"../a #1%\n\xff".to_vec()),
        };
        assert_eq!(Kept::of(&file(&kept.tags(), "2023-11-14T22:13:20.123Z")), kept);
        let later = Kept::of(&file(&kept.tags(), "2023-11-14T22:13:20.124Z"));
        assert_eq!(later.modified, None, "somebody else set another time");
    }

    #[test]
    fn nonsense_is_nothing() {
        let tags = [(MODE, "rwx"), (OWNER, "me:1"), (MTIME, "1.2.3"), (SYMLINK, "%zz"), ("pdsfs.more", "1")];
        let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        assert_eq!(Kept::of(&file(&tags, "")), Kept::default());
    }

    #[test]
    fn times_before_1970_and_whole_milliseconds() {
        let kept = Kept { modified: Some(-1), ..Kept::default() };
        assert_eq!(kept.tags()[MTIME], "-1.999999999");
        assert_eq!(Kept::of(&file(&kept.tags(), "1969-12-31T23:59:59.999Z")).modified, Some(-1));
        assert!(Kept { modified: Some(5_000_000), ..Kept::default() }.tags().is_empty());
    }
}
