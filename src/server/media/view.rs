//! A bounded, positioned window on a file: what every parser here reads through.
//!
//! Invariants: never reads past `size` (a blob may be longer than the revision it belongs to), never more than
//! `limit` bytes in total, never moves the file's own position. Exceeding the limit is an error, not an end of
//! file, so that no parser takes a cut file for a whole one.

use std::fs::File;
use std::io::{Error, Read, Result, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

/// See the module.
pub(super) struct View<'a> {
    file: &'a File,
    size: u64,
    /// Where the next `read` starts; may be beyond `size`.
    at: u64,
    /// How many more bytes may be read.
    left: u64,
}

impl<'a> View<'a> {
    /// The first `size` bytes of `file`, of which at most `limit` will be read.
    pub fn new(file: &'a File, size: u64, limit: u64) -> Self {
        View { file, size, at: 0, left: limit }
    }

    /// The size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Exactly `len` bytes at `at`, or nothing: past the end, over the limit, or unreadable. The caller bounds
    /// `len`; nothing is allocated for bytes that do not exist.
    pub fn exactly(&mut self, at: u64, len: usize) -> Option<Vec<u8>> {
        let wanted = u64::try_from(len).ok()?;
        if at.checked_add(wanted)? > self.size || wanted > self.left {
            return None;
        }
        self.left -= wanted;
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, at).ok()?;
        Some(bytes)
    }

    /// Up to `len` bytes at `at`, fewer where the file ends.
    pub fn up_to(&mut self, at: u64, len: usize) -> Option<Vec<u8>> {
        let there = self.size.saturating_sub(at);
        self.exactly(at, len.min(usize::try_from(there).unwrap_or(len)))
    }
}

impl Read for View<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        let there = self.size.saturating_sub(self.at);
        if there == 0 || buf.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            return Err(Error::other("a media parser reached its reading limit"));
        }
        let len = there.min(self.left).min(buf.len() as u64);
        let read = self.file.read_at(&mut buf[..len as usize], self.at)?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

impl Seek for View<'_> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(delta) => self.size.checked_add_signed(delta),
            SeekFrom::Current(delta) => self.at.checked_add_signed(delta),
        };
        self.at = target.ok_or_else(|| Error::other("seek outside of the file"))?;
        Ok(self.at)
    }
}

/// The big-endian number in the `N` bytes of `bytes` at `at`.
pub(super) fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(N)?)?;
    Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_ends_at_its_size_and_fails_at_its_limit() {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, b"0123456789").unwrap();
        let mut view = View::new(&file, 6, 8);
        let mut text = String::new();
        view.read_to_string(&mut text).unwrap();
        assert_eq!(text, "012345");
        assert_eq!(view.seek(SeekFrom::Start(100)).unwrap(), 100);
        assert_eq!(view.read(&mut [0; 4]).unwrap(), 0);
        assert_eq!(view.exactly(5, 2), None, "beyond the size");
        assert_eq!(view.exactly(u64::MAX, 2), None);
        assert_eq!(view.exactly(4, 2).unwrap(), b"45");
        view.seek(SeekFrom::Start(0)).unwrap();
        view.read(&mut [0; 4]).unwrap_err();
        assert_eq!(view.exactly(0, 1), None, "over the limit");
    }

    #[test]
    fn numbers_are_big_endian_and_never_out_of_bounds() {
        assert_eq!(number::<3>(&[0, 1, 2, 3], 1), Some(0x010203));
        assert_eq!(number::<4>(&[0, 1, 2, 3], 1), None);
        assert_eq!(number::<8>(&[0; 4], usize::MAX), None);
    }
}
