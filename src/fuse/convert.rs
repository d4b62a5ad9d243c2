//! Between the kernel's values and ours. Pure.

use std::time::SystemTime;

use fuser::{FileAttr, FileType, INodeNo, TimeOrNow};

use crate::error::{Error, Kind, Result};
use crate::fs::Stat;
use crate::fs::attr::{Defaults, attr, to_millis};
use crate::fs::data::OpenMode;
use crate::fs::space::{Allocate, Seek};
use crate::pds::model::Drive;

/// Units of `df`.
const SPACE_UNIT_BYTES: u64 = 4096;
/// What an unlimited drive shows as free: large, and far from any overflow.
const UNLIMITED_FREE_BYTES: u64 = 1 << 50;
/// What programs should read and write at once (`st_blksize`): a whole request of the kernel.
const PREFERRED_IO_BYTES: u32 = 1024 * 1024;

/// What `stat` shows, as the kernel takes it.
pub fn file_attr(stat: &Stat, defaults: &Defaults) -> FileAttr {
    let attr = attr(&stat.node, stat.newer, defaults);
    FileAttr {
        ino: INodeNo(attr.ino),
        size: attr.size,
        blocks: attr.size.div_ceil(512),
        atime: attr.accessed_at,
        mtime: attr.modified_at,
        ctime: attr.changed_at,
        crtime: attr.created_at,
        kind: file_type(attr.is_folder, attr.is_link),
        perm: attr.mode as u16,
        nlink: attr.links,
        uid: attr.uid,
        gid: attr.gid,
        rdev: 0,
        blksize: PREFERRED_IO_BYTES,
        flags: 0,
    }
}

/// The attributes of an entry that is not there.
pub fn nothing() -> FileAttr {
    let never = SystemTime::UNIX_EPOCH;
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: never,
        mtime: never,
        ctime: never,
        crtime: never,
        kind: FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    }
}

/// File, directory or symbolic link.
pub fn file_type(is_folder: bool, is_link: bool) -> FileType {
    match (is_folder, is_link) {
        (true, _) => FileType::Directory,
        (false, true) => FileType::Symlink,
        (false, false) => FileType::RegularFile,
    }
}

/// The flags of open(2).
pub fn open_mode(flags: i32) -> OpenMode {
    let access = flags & libc::O_ACCMODE;
    OpenMode {
        read: access != libc::O_WRONLY,
        write: access != libc::O_RDONLY,
        truncate: flags & libc::O_TRUNC != 0,
        append: flags & libc::O_APPEND != 0,
        exclusive: flags & libc::O_EXCL != 0,
    }
}

/// The mode of fallocate(2).
///
/// # Errors
/// [`Kind::Unsupported`] for what moves bytes.
pub fn fallocate(mode: i32) -> Result<Allocate> {
    let keep_size = mode & libc::FALLOC_FL_KEEP_SIZE != 0;
    match mode & !libc::FALLOC_FL_KEEP_SIZE {
        0 => Ok(Allocate::Reserve { keep_size }),
        libc::FALLOC_FL_PUNCH_HOLE if keep_size => Ok(Allocate::PunchHole),
        libc::FALLOC_FL_ZERO_RANGE => Ok(Allocate::Zero { keep_size }),
        _ => Err(Error::new(Kind::Unsupported, "fallocate", "a drive's files cannot be spliced")),
    }
}

/// Offset and whence of lseek(2), as far as the kernel asks.
///
/// # Errors
/// [`Kind::PastEnd`] for negative offsets, [`Kind::Invalid`].
pub fn seek(offset: i64, whence: i32) -> Result<(u64, Seek)> {
    let what = match whence {
        libc::SEEK_DATA => Seek::Data,
        libc::SEEK_HOLE => Seek::Hole,
        _ => return Err(Error::new(Kind::Invalid, "seek", "the kernel asks for data and holes only")),
    };
    match u64::try_from(offset) {
        Ok(offset) => Ok((offset, what)),
        Err(_) => Err(Error::new(Kind::PastEnd, "seek", "there is nothing before a file")),
    }
}

/// A time, or now: in whole milliseconds, which the drive keeps without further ado.
pub fn time(time: TimeOrNow) -> SystemTime {
    match time {
        TimeOrNow::SpecificTime(time) => time,
        TimeOrNow::Now => to_millis(SystemTime::now()),
    }
}

/// Numbers of `df`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Units in all.
    pub blocks: u64,
    /// Units free.
    pub free: u64,
    /// Bytes per unit.
    pub unit: u32,
}

/// What `df` shows of a drive. An unlimited one is what is used and a PiB; a full one has nothing free.
pub fn space(drive: &Drive) -> Space {
    let total = drive.total_bytes.unwrap_or(drive.used_bytes.saturating_add(UNLIMITED_FREE_BYTES));
    let total = total.max(drive.used_bytes);
    Space {
        blocks: total / SPACE_UNIT_BYTES,
        free: (total - drive.used_bytes) / SPACE_UNIT_BYTES,
        unit: SPACE_UNIT_BYTES as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pds::model::DriveId;

    fn drive(total_bytes: Option<u64>, used_bytes: u64) -> Drive {
        Drive { id: DriveId::from("1"), name: String::new(), total_bytes, used_bytes, delta_enabled: None }
    }

    #[test]
    fn space_is_never_negative_or_nothing() {
        assert_eq!(space(&drive(Some(8192), 4096)).free, 1);
        assert_eq!(space(&drive(Some(8192), 9000)).free, 0);
        assert_eq!(space(&drive(None, 4096)).free, UNLIMITED_FREE_BYTES / SPACE_UNIT_BYTES);
    }

    #[test]
    fn open_flags() {
        let mode = open_mode(libc::O_WRONLY | libc::O_TRUNC);
        assert!(mode.write && mode.truncate && !mode.read && !mode.append);
        assert!(open_mode(libc::O_RDWR).read && open_mode(libc::O_RDWR).write);
    }
}
