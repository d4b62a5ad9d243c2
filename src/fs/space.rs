//! Space and holes of files: what `fallocate` and `lseek` ask for.

use std::ops::Range;
use std::sync::atomic::Ordering;

use super::DriveFs;
use super::body::Stage;
use super::data::MAX_FILE_BYTES;
use crate::error::{Error, Kind, Result};
use crate::write::Draft;

/// What `fallocate` is to do with a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocate {
    /// Room for it, zeros where nothing was written.
    Reserve {
        /// Also when it reaches behind the end: the size stays.
        keep_size: bool,
    },
    /// Zeros that take no space; the size stays.
    PunchHole,
    /// Zeros.
    Zero {
        /// Also when it reaches behind the end: the size stays.
        keep_size: bool,
    },
}

/// What `lseek` looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// A byte that may be other than zero.
    Data,
    /// A hole; the end of a file is one.
    Hole,
}

impl DriveFs {
    /// Reserves or clears a range of a file. Space is reserved on the local disk; the drive knows no such thing.
    ///
    /// # Errors
    /// [`Kind::BadHandle`], [`Kind::NoSpace`], [`Kind::TooLarge`].
    pub fn fallocate(&self, number: u64, how: Allocate, range: Range<u64>) -> Result<()> {
        let handle = self.handle(number, "fallocate")?;
        if !handle.writable {
            return Err(Error::new(Kind::BadHandle, "fallocate", "the file is open for reading only"));
        }
        if range.end > MAX_FILE_BYTES {
            return Err(Error::new(Kind::TooLarge, "fallocate", "the drive takes files of at most 48.8 TiB"));
        }
        let body = &handle.body;
        let keeps_size =
            matches!(how, Allocate::Reserve { keep_size: true } | Allocate::Zero { keep_size: true });
        let size = body.source().1;
        let grows = how != Allocate::PunchHole && !keeps_size && range.end > size;
        let clears = matches!(how, Allocate::PunchHole | Allocate::Zero { .. }) && range.start < size;
        if matches!(how, Allocate::Reserve { .. })
            && let Stage::Draft { draft, .. } = body.stage()
        {
            draft.content().reserve(range.clone())?;
        }
        if !grows && !clears {
            return Ok(());
        }
        handle.changed.store(true, Ordering::Relaxed);
        handle.wrote.store(true, Ordering::Relaxed);
        let change = |draft: &Draft| {
            let cleared = !clears || draft.zero(range.clone())?;
            let grown = !grows || draft.size() >= range.end || draft.truncate(range.end)?;
            Ok((cleared && grown).then_some(()))
        };
        body.change(&self.store, &self.writer, || self.placement(body.ino), change)
    }

    /// Where the next data or hole begins, from `offset` on. Bytes that are not on this machine are data.
    ///
    /// # Errors
    /// [`Kind::PastEnd`] when there is none, [`Kind::BadHandle`].
    pub fn seek(&self, number: u64, offset: u64, what: Seek) -> Result<u64> {
        let handle = self.handle(number, "seek")?;
        let (content, size, _) = handle.body.source();
        let found = match what {
            _ if offset >= size => None,
            Seek::Data => content.next_data(offset, size),
            Seek::Hole => Some(content.next_hole(offset, size)),
        };
        found.ok_or_else(|| Error::new(Kind::PastEnd, "seek", "there is nothing behind this offset"))
    }
}
