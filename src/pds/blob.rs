//! The data side: PUT of a part (8.4) and ranged GET (12.2) on signed URLs.

use std::ops::Range;

use bytes::Bytes;

use super::Pds;
use super::body::PartBody;
use super::lease::{DownloadUrl, PartUrl};
use crate::error::{Error, Kind, Result};

/// What the service said about a part it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartReceipt {
    /// CRC-64/XZ of what it stored, when it said so; equal to `sent_crc64` then.
    pub crc64: Option<u64>,
    /// MD5 in upper-case hex, without quotes, when it said so.
    pub etag: Option<String>,
    /// CRC-64/XZ of what was sent.
    pub sent_crc64: u64,
}

/// The bytes of one range.
pub struct RangeBody {
    _private: (),
}

impl RangeBody {
    /// The next bytes; `None` after exactly as many as were asked for.
    ///
    /// # Errors
    /// Timeout after a silence, Unavailable when cut short, Protocol when there is more than asked for.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        Err(Error::new(Kind::Unsupported, "read", "not built yet"))
    }
}

impl Pds {
    /// Sends one part (8.4).
    pub async fn put_part(&self, url: &PartUrl, body: PartBody) -> Result<PartReceipt> {
        let _ = (url, body);
        Err(Error::new(Kind::Unsupported, "send part", "not built yet"))
    }

    /// Reads `range` of an object of `total` bytes (12.2).
    pub async fn get_range(&self, url: &DownloadUrl, range: Range<u64>, total: u64) -> Result<RangeBody> {
        let _ = (url, range, total);
        Err(Error::new(Kind::Unsupported, "read", "not built yet"))
    }
}
