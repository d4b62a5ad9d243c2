//! The kernel's list of mounts, as far as we ask it: what is mounted at a path, and is it ours?
//!
//! Reads `/proc/self/mountinfo` (proc(5)), which never touches the mounted filesystem itself: it answers
//! also when that one hangs or its process is gone. Paths in it escape blank, tab, newline and backslash
//! in octal.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::config::SUBTYPE;
use crate::error::{Error, Result};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Tells two mounts at the same place apart, unique while mounted.
    pub id: u64,
    /// Where it is mounted.
    pub mountpoint: PathBuf,
    /// The filesystem type: `ext4`, `fuse.pdsfs`.
    pub fstype: String,
    /// What is mounted: a device, or for us `pdsfs#` and the source.
    pub source: String,
    /// Who mounted it, when the filesystem says so (FUSE does).
    pub user_id: Option<u32>,
    /// `major:minor` of its device.
    pub device: String,
}

impl Entry {
    /// Whether a `pdsfs` mounted it.
    pub fn is_ours(&self) -> bool {
        let by_type = self.fstype.strip_prefix("fuse.").is_some_and(|subtype| subtype == SUBTYPE);
        let by_name =
            self.source.strip_prefix(SUBTYPE).is_some_and(|rest| rest.is_empty() || rest.starts_with('#'));
        by_type || (self.fstype == "fuse" && by_name)
    }

    /// Whether it is any FUSE filesystem.
    pub fn is_fuse(&self) -> bool {
        self.fstype == "fuse" || self.fstype.starts_with("fuse.")
    }
}

/// All mounts this process can see, in the order they were made.
///
/// # Errors
/// When /proc cannot be read.
pub fn read() -> Result<Vec<Entry>> {
    let text =
        std::fs::read("/proc/self/mountinfo").map_err(|error| Error::io("read list of mounts", error))?;
    Ok(parse(&text))
}

/// The mount on top at exactly `path` (settled), which is what a program sees there.
///
/// # Errors
/// When /proc cannot be read.
pub fn at(path: &Path) -> Result<Option<Entry>> {
    Ok(read()?.into_iter().rev().find(|entry| entry.mountpoint == path))
}

/// The entries of a mountinfo text. Lines that do not look like one are skipped.
pub fn parse(text: &[u8]) -> Vec<Entry> {
    text.split(|byte| *byte == b'\n').filter_map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<Entry> {
    // 36 35 98:0 /root /mountpoint rw,noatime master:1 - ext3 /dev/root rw,errors=continue
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let dash = 6 + fields.get(6..)?.iter().position(|field| *field == b"-")?;
    let text = |field: &[u8]| String::from_utf8_lossy(&unescape(field)).into_owned();
    let options = text(fields.get(dash + 3)?);
    Some(Entry {
        id: text(fields.first()?).parse().ok()?,
        mountpoint: PathBuf::from(OsString::from_vec(unescape(fields.get(4)?))),
        fstype: text(fields.get(dash + 1)?),
        source: text(fields.get(dash + 2)?),
        user_id: options.split(',').find_map(|option| option.strip_prefix("user_id=")?.parse().ok()),
        device: text(fields.get(2)?),
    })
}

/// Undoes `\ooo`.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let octal = (byte == b'\\').then(|| tail.get(..3).and_then(octal_byte)).flatten();
        match octal {
            Some(value) => {
                out.push(value);
                rest = &tail[3..];
            }
            None => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    out
}

fn octal_byte(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

/// Whether `path` may appear in a message as it is; control characters would rewrite a terminal's line.
pub fn printable(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n\
        80 22 0:51 / /mnt/my\\040photos\\011\\134 rw,nosuid,nodev,relatime shared:4 master:1 - fuse.pdsfs pdsfs#local:/d rw,user_id=1000,group_id=1000\n\
        81 22 0:52 / /mnt/s rw - fuse.sshfs me@host: rw,user_id=0,group_id=0\n\
        nonsense\n\
        82 80 0:53 / /mnt/my\\040photos\\011\\134 rw - tmpfs none rw\n\
        83 22 0:54 / /mnt/f rw - fuse pdsfs#x rw,user_id=7,group_id=0\n\
        84 22 0:55 / /mnt/g rw - fuse pdsfsx rw,user_id=7\n";

    #[test]
    fn lines_are_read_with_and_without_optional_fields() {
        let entries = parse(SAMPLE.as_bytes());
        assert_eq!(entries.len(), 6);
        assert_eq!(entries[1].mountpoint, Path::new("/mnt/my photos\t\\"));
        assert_eq!(entries[1].fstype, "fuse.pdsfs");
        assert_eq!(entries[1].source, "pdsfs#local:/d");
        assert_eq!(entries[1].user_id, Some(1000));
        assert_eq!(entries[1].device, "0:51");
        assert_eq!(entries[3].id, 82);
        assert_eq!(entries[0].user_id, None);
    }

    #[test]
    fn ours_are_known_by_type_or_by_name() {
        let ours: Vec<bool> = parse(SAMPLE.as_bytes()).iter().map(Entry::is_ours).collect();
        assert_eq!(ours, [false, true, false, false, true, false]);
        let fuse: Vec<bool> = parse(SAMPLE.as_bytes()).iter().map(Entry::is_fuse).collect();
        assert_eq!(fuse, [false, true, true, false, true, true]);
    }

    #[test]
    fn broken_escapes_stay_as_they_are() {
        assert_eq!(unescape(b"a\\04"), b"a\\04");
        assert_eq!(unescape(b"a\\999b"), b"a\\999b");
        assert_eq!(unescape(b"\\346\\227\\245"), "日".as_bytes());
        assert_eq!(unescape(b"\\777"), b"\\777");
    }

    #[test]
    fn the_real_list_has_a_root() {
        assert!(at(Path::new("/")).unwrap().is_some());
    }
}
