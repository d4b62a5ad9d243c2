//! The hashes of the service (pds-api.md 4.4), in forms that can be stored, resumed and combined.
//!
//! [`Sha1State`] is SHA-1 in the middle of a stream: five chaining words, the number of bytes taken in, and
//! the bytes of a block that is not full yet. With an empty tail it is exactly the service's
//! `parallel_sha1_ctx`. [`crc64_combine`] gives the CRC of two pieces from the CRCs of each, so that no byte
//! is read twice.

use sha1::digest::block_api::{Buffer, CoreProxy};
use sha1::digest::common::hazmat::SerializableState;
use sha1::{Digest, Sha1, block_api::Sha1Core};

/// SHA-1's chaining words before any byte.
const SHA1_START: [u32; 5] = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0];
/// SHA-1 works on blocks of this many bytes; every context lies on such a boundary.
pub const SHA1_BLOCK_BYTES: u64 = 64;
/// CRC-64/XZ: ECMA-182, bits reversed.
const CRC64_POLYNOMIAL: u64 = 0xC96C_5795_D787_0F42;

/// SHA-1 after some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sha1State {
    /// The chaining variables a..e after the last full block.
    pub h: [u32; 5],
    /// Bytes taken in so far, the tail included.
    pub len: u64,
    /// The bytes after the last full block: fewer than 64.
    tail: Vec<u8>,
}

impl Sha1State {
    /// Before the first byte.
    pub fn start() -> Self {
        Sha1State { h: SHA1_START, len: 0, tail: Vec::new() }
    }

    /// A context as a client states it; `None` unless `len` is a multiple of 64.
    pub fn at_block(h: [u32; 5], len: u64) -> Option<Self> {
        len.is_multiple_of(SHA1_BLOCK_BYTES).then_some(Sha1State { h, len, tail: Vec::new() })
    }

    /// What a hasher has taken in.
    pub fn of(hasher: Sha1) -> Self {
        let (core, buffer) = hasher.decompose();
        let bytes = core.serialize();
        let word = |i: usize| u32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
        let mut blocks = [0; 8];
        blocks.copy_from_slice(&bytes[20..28]);
        let tail = buffer.get_data().to_vec();
        Sha1State {
            h: [word(0), word(4), word(8), word(12), word(16)],
            len: u64::from_le_bytes(blocks) * SHA1_BLOCK_BYTES + tail.len() as u64,
            tail,
        }
    }

    /// A hasher that goes on from here.
    pub fn hasher(&self) -> Sha1 {
        let mut bytes = sha1::digest::common::hazmat::SerializedState::<Sha1Core>::default();
        for (word, place) in self.h.iter().zip(bytes.chunks_exact_mut(4)) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let blocks = (self.len - self.tail.len() as u64) / SHA1_BLOCK_BYTES;
        bytes[20..28].copy_from_slice(&blocks.to_le_bytes());
        let core = Sha1Core::deserialize(&bytes).unwrap_or_default();
        let mut hasher = Sha1::compose(core, Buffer::<Sha1Core>::default());
        hasher.update(&self.tail);
        hasher
    }

    /// The hash, if no byte follows.
    pub fn finish(&self) -> [u8; 20] {
        self.hasher().finalize().into()
    }

    /// Bytes to store: the words (big-endian), the length, the tail.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.h.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.extend_from_slice(&self.len.to_be_bytes());
        bytes.extend_from_slice(&self.tail);
        bytes
    }

    /// The inverse of [`Sha1State::to_bytes`]; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.split_at_checked(20)?;
        let (len, tail) = rest.split_at_checked(8)?;
        let mut h = [0; 5];
        for (word, chunk) in h.iter_mut().zip(words.chunks_exact(4)) {
            *word = u32::from_be_bytes(chunk.try_into().ok()?);
        }
        let len = u64::from_be_bytes(len.try_into().ok()?);
        (len % SHA1_BLOCK_BYTES == tail.len() as u64).then(|| Sha1State { h, len, tail: tail.to_vec() })
    }
}

/// The CRC-64 of `first ++ second` from the CRC of each and the length of the second.
///
/// Appending n zero bytes multiplies the polynomial by x^(8n); the second CRC is then added.
pub fn crc64_combine(first: u64, second: u64, second_len: u64) -> u64 {
    let mut power = 1 << (63 - 8);
    let mut shift = 1 << 63;
    let mut bytes = second_len;
    while bytes > 0 {
        if bytes & 1 == 1 {
            shift = multiply(shift, power);
        }
        power = multiply(power, power);
        bytes >>= 1;
    }
    multiply(shift, first) ^ second
}

/// The product modulo the polynomial; bit 63 is x^0.
fn multiply(a: u64, mut b: u64) -> u64 {
    let mut product = 0;
    for bit in (0..64).rev() {
        if a >> bit & 1 == 1 {
            product ^= b;
        }
        b = if b & 1 == 1 { b >> 1 ^ CRC64_POLYNOMIAL } else { b >> 1 };
    }
    product
}

/// Upper-case hexadecimal, as the service prints hashes.
pub fn upper_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// Bytes from hexadecimal of either case; `None` if it is anything else.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits?;
    (digits.len() % 2 == 0).then(|| digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crc(bytes: &[u8]) -> u64 {
        let mut digest = crc64fast::Digest::new();
        digest.write(bytes);
        digest.sum64()
    }

    /// 4.4: lines test-0 to test-99, 789 bytes.
    fn vector() -> Vec<u8> {
        (0..100).map(|i| format!("test-{i}")).collect::<Vec<_>>().join("\n").into_bytes()
    }

    #[test]
    fn the_midstate_of_the_official_test_vector() {
        let content = vector();
        assert_eq!(content.len(), 789);
        let state = Sha1State::of(Sha1::new_with_prefix(&content[..768]));
        assert_eq!(state.h, [2781477636, 2167910136, 4107292220, 1153442652, 2872263382]);
        let resumed = Sha1State::at_block(state.h, 768).unwrap().hasher().chain_update(&content[768..]);
        assert_eq!(upper_hex(&Sha1State::of(resumed).finish()), "392AF61CCA9BC02502B0BB03B45ABD78601DD1DF");
    }

    #[test]
    fn a_state_survives_storage_at_every_length() {
        let content = vector();
        for len in 0..200 {
            let state = Sha1State::of(Sha1::new_with_prefix(&content[..len]));
            assert_eq!(state.len, len as u64);
            let state = Sha1State::from_bytes(&state.to_bytes()).unwrap();
            let whole: [u8; 20] = state.hasher().chain_update(&content[len..]).finalize().into();
            assert_eq!(upper_hex(&whole), "392AF61CCA9BC02502B0BB03B45ABD78601DD1DF");
        }
        assert_eq!(Sha1State::from_bytes(&[0; 27]), None);
        assert_eq!(Sha1State::from_bytes(&[0; 29]), None);
        assert_eq!(Sha1State::at_block(SHA1_START, 65), None);
    }

    #[test]
    fn the_start_is_the_hash_of_nothing() {
        assert_eq!(upper_hex(&Sha1State::start().finish()), "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709");
    }

    #[test]
    fn crc_values_of_the_fact_sheet() {
        assert_eq!(crc(b""), 0);
        assert_eq!(crc(b"abc"), 3231342946509354535);
        assert_eq!(crc(b"123456789"), 11051210869376104954);
        assert_eq!(crc(b"hello world"), 5981764153023615706);
    }

    #[test]
    fn combined_crcs_equal_the_crc_of_the_whole() {
        let content = vector();
        for split in 0..=content.len() {
            let (a, b) = content.split_at(split);
            assert_eq!(crc64_combine(crc(a), crc(b), b.len() as u64), crc(&content), "split at {split}");
        }
        let zeros = vec![0; 1 << 20];
        let whole = [b"x".as_slice(), &zeros].concat();
        assert_eq!(crc64_combine(crc(b"x"), crc(&zeros), 1 << 20), crc(&whole));
    }

    #[test]
    fn hexadecimal_both_ways() {
        assert_eq!(upper_hex(&[0, 171, 255]), "00ABFF");
        assert_eq!(from_hex("00abFF"), Some(vec![0, 171, 255]));
        assert_eq!(from_hex("0"), None);
        assert_eq!(from_hex("0g"), None);
        assert_eq!(from_hex("+1"), None);
    }
}
