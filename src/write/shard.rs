//! The shards of a draft: which are sealed, and the hash state between them.
//!
//! The contiguous prefix of a file is hashed once, as it grows, shard by shard. At each boundary the state of
//! SHA-1 and CRC-64 is kept, so that a shard's midstate context (pds-api.md 4.4) is known the moment it is
//! sealed, and rewriting a shard costs only that one and those after it.
//!
//! Pure: bytes are hashed elsewhere and come back as a [`Hashed`].

use std::fs::File;
use std::ops::Range;

use sha1::Digest as _;
use sha1::Sha1;
use sha1::digest::common::hazmat::SerializableState;

use crate::content::read_or_zero;
use crate::error::Result;
use crate::pds::Sha1Context;

/// Most parts a file may have here; the service's limit is 10,000 (4.5).
pub const MAX_PARTS: u64 = 9_000;

/// Bytes read at once while hashing: stays in the second-level cache.
const HASH_CHUNK_BYTES: usize = 256 * 1024;

/// The hash state after a file's first `len` bytes.
#[derive(Clone, Default)]
pub struct Prefix {
    sha1: Sha1,
    crc: crc64fast::Digest,
    len: u64,
}

impl Prefix {
    fn update(&mut self, bytes: &[u8]) {
        self.sha1.update(bytes);
        self.crc.write(bytes);
        self.len += bytes.len() as u64;
    }

    /// CRC-64/XZ of the prefix.
    pub fn crc64(&self) -> u64 {
        self.crc.sum64()
    }

    /// Upper-case hex SHA-1 of the prefix.
    pub fn sha1_hex(&self) -> String {
        self.sha1.clone().finalize().iter().map(|byte| format!("{byte:02X}")).collect()
    }

    /// The midstate for a part that starts here. Only whole 64-byte blocks have one, which shard
    /// boundaries are.
    pub fn context(&self) -> Sha1Context {
        debug_assert_eq!(self.len % 64, 0, "a shard boundary is a multiple of 64");
        let state = self.sha1.serialize();
        let word = |i: usize| {
            u32::from_le_bytes([state[4 * i], state[4 * i + 1], state[4 * i + 2], state[4 * i + 3]])
        };
        Sha1Context { h: [word(0), word(1), word(2), word(3), word(4)], part_offset: self.len }
    }
}

/// A shard that was hashed.
pub struct Hashed {
    after: Prefix,
    crc64: u64,
}

impl Hashed {
    /// CRC-64/XZ of the bytes that were hashed.
    pub fn crc64(&self) -> u64 {
        self.crc64
    }
}

/// Hashes `range` of `file`, going on from `before`. Blocks on the disk and the processor.
///
/// # Errors
/// The local disk cannot be read.
pub fn hash(file: &File, range: Range<u64>, before: Prefix) -> Result<Hashed> {
    let mut after = before;
    let mut crc = crc64fast::Digest::new();
    let mut buffer = vec![0; HASH_CHUNK_BYTES.min((range.end - range.start) as usize)];
    let mut at = range.start;
    while at < range.end {
        let len = (range.end - at).min(buffer.len() as u64) as usize;
        read_or_zero(file, &mut buffer[..len], at)?;
        after.update(&buffer[..len]);
        crc.write(&buffer[..len]);
        at += len as u64;
    }
    Ok(Hashed { after, crc64: crc.sum64() })
}

/// The sealed shards of a draft.
pub struct Shards {
    shard_len: u64,
    /// State before each shard; one more than there are sealed shards.
    marks: Vec<Prefix>,
    /// CRC-64 of each sealed shard.
    crcs: Vec<u64>,
}

impl Shards {
    /// No shards yet, of `shard_len` bytes each, rounded up to a multiple of 64.
    pub fn new(shard_len: u64) -> Self {
        Shards {
            shard_len: shard_len.max(1).next_multiple_of(64),
            marks: vec![Prefix::default()],
            crcs: Vec::new(),
        }
    }

    /// Bytes of each shard but the last.
    pub fn shard_len(&self) -> u64 {
        self.shard_len
    }

    /// How many shards are sealed.
    pub fn sealed(&self) -> usize {
        self.crcs.len()
    }

    /// Whether the sealed shards are the whole of a file of `size` bytes. An empty file is one empty shard.
    pub fn are_all(&self, size: u64) -> bool {
        self.sealed() > 0 && self.end().len == size
    }

    /// The bytes of shard `index`, which must be sealed.
    pub fn range(&self, index: usize) -> Range<u64> {
        self.marks[index].len..self.marks[index + 1].len
    }

    /// The CRC-64 of shard `index`, which must be sealed.
    pub fn crc64(&self, index: usize) -> u64 {
        self.crcs[index]
    }

    /// The hash state before shard `index`, which must be sealed or the next to be.
    pub fn before(&self, index: usize) -> &Prefix {
        &self.marks[index]
    }

    /// The hash state after all sealed shards.
    pub fn end(&self) -> &Prefix {
        &self.marks[self.crcs.len()]
    }

    /// The next shard to hash: a full one as soon as `prefix_end` passes it, the short last one only when
    /// the size is final.
    pub fn next(&self, prefix_end: u64, final_size: Option<u64>) -> Option<Range<u64>> {
        let start = self.end().len;
        let full = start + self.shard_len;
        match final_size {
            Some(size) if self.are_all(size) => None,
            Some(size) => Some(start..full.min(size)),
            None => (prefix_end >= full).then_some(start..full),
        }
    }

    /// Seals the next shard.
    pub fn seal(&mut self, hashed: Hashed) {
        self.marks.push(hashed.after);
        self.crcs.push(hashed.crc64);
    }

    /// Bytes from `offset` on changed: unseals every shard that is not wholly before it. A short last shard
    /// is unsealed also by growth behind it. Says whether any was.
    pub fn rewind(&mut self, offset: u64) -> bool {
        let keep = self.crcs.len().min((offset / self.shard_len) as usize);
        let changed = keep < self.crcs.len();
        self.crcs.truncate(keep);
        self.marks.truncate(keep + 1);
        changed
    }

    /// Whether a file of `size` bytes would have too many parts.
    pub fn are_too_many_for(&self, size: u64) -> bool {
        size.div_ceil(self.shard_len) > MAX_PARTS
    }

    /// Starts again with shards long enough for a file of `size` bytes, and room to grow.
    pub fn restart_for(&mut self, size: u64) {
        *self = Shards::new((size / MAX_PARTS + 1).max(self.shard_len) * 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn seal_all(shards: &mut Shards, file: &File, size: u64) {
        while let Some(range) = shards.next(size, Some(size)) {
            let before = shards.end().clone();
            shards.seal(hash(file, range, before).unwrap());
        }
    }

    #[test]
    fn the_midstate_is_the_one_the_service_publishes() {
        let content: Vec<String> = (0..100).map(|i| format!("test-{i}")).collect();
        let content = content.join("\n").into_bytes();
        let mut shards = Shards::new(768);
        seal_all(&mut shards, &file(&content), content.len() as u64);
        let context = shards.before(1).context();
        assert_eq!(context.part_offset, 768);
        assert_eq!(context.h, [2781477636, 2167910136, 4107292220, 1153442652, 2872263382]);
        assert_eq!(shards.end().sha1_hex(), "392AF61CCA9BC02502B0BB03B45ABD78601DD1DF");
    }

    #[test]
    fn the_checksum_is_the_one_the_service_publishes() {
        for (text, crc) in
            [("", 0), ("123456789", 11051210869376104954), ("hello world", 5981764153023615706)]
        {
            let mut shards = Shards::new(64);
            seal_all(&mut shards, &file(text.as_bytes()), text.len() as u64);
            assert_eq!(shards.end().crc64(), crc);
            assert_eq!(shards.crc64(0), crc);
        }
    }

    #[test]
    fn sizes_around_a_shard() {
        for (size, count) in [(0, 1), (1, 1), (63, 1), (64, 1), (65, 2), (128, 2), (129, 3)] {
            let mut shards = Shards::new(64);
            seal_all(&mut shards, &file(&vec![1; size]), size as u64);
            assert_eq!(shards.sealed(), count, "size {size}");
            assert!(shards.are_all(size as u64));
        }
    }

    #[test]
    fn a_shard_is_sealed_when_the_prefix_passed_it() {
        let shards = Shards::new(64);
        assert_eq!(shards.next(63, None), None);
        assert_eq!(shards.next(64, None), Some(0..64));
        assert_eq!(shards.next(0, Some(10)), Some(0..10));
    }

    #[test]
    fn rewinding_gives_the_hash_of_the_new_bytes() {
        let mut bytes = vec![1; 300];
        let mut shards = Shards::new(64);
        seal_all(&mut shards, &file(&bytes), 300);
        bytes[130] = 9;
        assert!(shards.rewind(130));
        assert_eq!(shards.sealed(), 2);
        seal_all(&mut shards, &file(&bytes), 300);
        let mut fresh = Shards::new(64);
        seal_all(&mut fresh, &file(&bytes), 300);
        assert_eq!(shards.end().sha1_hex(), fresh.end().sha1_hex());
        assert_eq!(shards.end().crc64(), fresh.end().crc64());
        assert!(!shards.rewind(512));
    }

    #[test]
    fn growth_unseals_the_short_last_shard() {
        let mut shards = Shards::new(64);
        seal_all(&mut shards, &file(&[1; 70]), 70);
        assert!(shards.rewind(70));
        assert_eq!(shards.sealed(), 1);
    }

    #[test]
    fn huge_files_get_longer_shards() {
        let mut shards = Shards::new(64);
        assert!(shards.are_too_many_for(64 * 9_000 + 1));
        shards.restart_for(64 * 9_001);
        assert!(!shards.are_too_many_for(64 * 9_001 * 2));
        assert_eq!(shards.shard_len() % 64, 0);
    }
}
