//! The two hashes of pds-api.md 4.4, for comparing what the drive says with the bytes. Nothing of the crate is
//! used, so that a mistake there cannot hide here.

use sha1::{Digest, Sha1};

/// CRC-64/XZ: the polynomial of ECMA-182, reflected, starting from and finished with all ones.
pub fn crc64(bytes: &[u8]) -> u64 {
    !crc64_update(!0, bytes)
}

/// One step of [`crc64`] for content that comes in pieces: starts at `!0`, is inverted at the end.
pub fn crc64_update(state: u64, bytes: &[u8]) -> u64 {
    static TABLE: [u64; 256] = table();
    bytes.iter().fold(state, |state, byte| TABLE[usize::from(state as u8 ^ byte)] ^ state >> 8)
}

const fn table() -> [u64; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let (mut entry, mut bit) = (index as u64, 0);
        while bit < 8 {
            entry = if entry & 1 == 1 { entry >> 1 ^ 0xC96C_5795_D787_0F42 } else { entry >> 1 };
            bit += 1;
        }
        table[index] = entry;
        index += 1;
    }
    table
}

/// SHA-1 in upper-case hexadecimal, as `content_hash` has it.
pub fn sha1_hex_upper(bytes: &[u8]) -> String {
    Sha1::digest(bytes).iter().map(|byte| format!("{byte:02X}")).collect()
}
