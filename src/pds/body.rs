//! A part on its way: bytes of a local file, streamed with an exact length.

use std::sync::Arc;

/// `len` bytes of an open local file from `offset`. Can be sent again at will.
#[derive(Clone, Debug)]
pub struct PartBody {
    /// Open for reading; its position is not used.
    pub file: Arc<std::fs::File>,
    /// First byte.
    pub offset: u64,
    /// Bytes; 0 for the one part of an empty file.
    pub len: u64,
}
