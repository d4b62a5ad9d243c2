//! The attributes of a node, from what the tree and the local copy know. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::MountOptions;
use crate::tree::{Facts, Ino};

/// What `stat` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    /// Inode.
    pub ino: Ino,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Whether it is a symbolic link.
    pub is_link: bool,
    /// Bytes.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Names it has; 0 once unlinked.
    pub links: u32,
    /// Last access.
    pub accessed_at: SystemTime,
    /// Last modification of the content.
    pub modified_at: SystemTime,
    /// Last change of anything.
    pub changed_at: SystemTime,
    /// Birth.
    pub created_at: SystemTime,
}

/// Owner and mode of what does not say otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bits taken away.
    pub umask: u32,
    /// Shown for the root, which the service gives no times for.
    pub mounted_at: SystemTime,
}

impl Defaults {
    /// As the mount was asked for.
    pub fn new(options: &MountOptions) -> Self {
        Defaults { uid: options.uid, gid: options.gid, umask: options.umask, mounted_at: SystemTime::now() }
    }
}

/// Content that is newer than the drive's.
#[derive(Clone, Copy, Debug)]
pub struct Newer {
    /// Bytes.
    pub size: u64,
    /// Last write or explicit time.
    pub modified_at: SystemTime,
    /// Last write.
    pub written_at: SystemTime,
}

/// What `stat` shows for `node`. Modification is the client's time as the drive keeps it, else the drive's
/// own (pds-api.md 4.3); birth likewise.
pub fn attr(node: &Facts, newer: Option<Newer>, defaults: &Defaults) -> Attr {
    let modified_at = newer
        .map(|newer| newer.modified_at)
        .or(node.local.modified_at)
        .or(node.modified_at)
        .unwrap_or(defaults.mounted_at);
    let changed_here = node.local.changed_at.max(newer.map(|newer| newer.written_at));
    let changed_at = changed_here.or(node.changed_at).unwrap_or(defaults.mounted_at);
    // Nobody looks at the mode of a link, and everybody shows it like this.
    let link_mode = node.is_link.then_some(0o777);
    let usual = if node.is_folder() { 0o777 } else { 0o666 };
    Attr {
        ino: node.ino,
        is_folder: node.is_folder(),
        is_link: node.is_link,
        size: newer.map_or(node.size, |newer| newer.size),
        mode: link_mode.or(node.local.mode).or(node.mode).unwrap_or(usual & !defaults.umask) & 0o7777,
        uid: node.local.uid.or(node.uid).unwrap_or(defaults.uid),
        gid: node.local.gid.or(node.gid).unwrap_or(defaults.gid),
        links: match (node.linked, node.is_folder()) {
            (false, _) => 0,
            (true, true) => 2,
            (true, false) => 1,
        },
        accessed_at: node.local.accessed_at.unwrap_or(modified_at),
        modified_at,
        changed_at,
        created_at: node.created_at.unwrap_or(defaults.mounted_at),
    }
}

/// Reads a time of the service (4.3); `None` for an empty or odd one.
pub fn parse_time(text: &str) -> Option<SystemTime> {
    text.parse::<jiff::Timestamp>().ok().map(SystemTime::from)
}

/// Spells a time the way the service does: UTC, whole milliseconds, downwards (4.3).
pub fn format_time(time: SystemTime) -> String {
    let timestamp = jiff::Timestamp::try_from(to_millis(time)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{timestamp:.3}")
}

/// A time as the service will give it back: whole milliseconds, downwards.
pub fn to_millis(time: SystemTime) -> SystemTime {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => UNIX_EPOCH + Duration::from_millis(since.as_millis().try_into().unwrap_or(u64::MAX)),
        Err(before) => {
            let millis: u64 = before.duration().as_nanos().div_ceil(1_000_000).try_into().unwrap_or(u64::MAX);
            UNIX_EPOCH.checked_sub(Duration::from_millis(millis)).unwrap_or(UNIX_EPOCH)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_round_trip_in_milliseconds() {
        for nanos in [0u64, 1, 999_999, 1_700_000_000_123_456_789] {
            let time = to_millis(UNIX_EPOCH + Duration::from_nanos(nanos));
            assert_eq!(parse_time(&format_time(time)), Some(time));
        }
        let before = to_millis(UNIX_EPOCH - Duration::from_micros(1_500));
        assert_eq!(parse_time(&format_time(before)), Some(before));
        assert_eq!(before, UNIX_EPOCH - Duration::from_millis(2));
    }

    #[test]
    fn the_spelling_is_the_services() {
        let time = parse_time("2019-08-20T06:51:27.292Z").unwrap();
        assert_eq!(format_time(time), "2019-08-20T06:51:27.292Z");
        assert_eq!(format_time(UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
        assert_eq!(parse_time(""), None);
    }
}
