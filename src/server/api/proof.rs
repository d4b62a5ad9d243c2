//! Proof of possession (pds-api.md 8.8): a client that names bytes by their hash shows eight of them, at a place
//! that its access token decides, so that a hash alone is no key to other people's files.

use std::fs::File;
use std::os::unix::fs::FileExt;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

/// Bytes that are shown; fewer at the end of a file.
const SHOWN_BYTES: u64 = 8;

/// What a token makes of a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProofSeed(u64);

impl ProofSeed {
    /// The seed of the bearer token in these headers: the first 16 hexadecimal digits of its MD5.
    pub fn of(headers: &HeaderMap) -> ProofSeed {
        let sent = headers.get(AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
        let token = sent.split(|byte| *byte == b' ').next_back().unwrap_or_default();
        let digest: [u8; 16] = Md5::digest(token).into();
        let (head, _) = digest.split_at(8);
        ProofSeed(head.iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte)))
    }

    /// The proof for these bytes: nothing for no bytes, else Base64. `None` when they cannot be read.
    pub fn proof(self, bytes: &File, size: u64) -> Option<String> {
        if size == 0 {
            return Some(String::new());
        }
        let offset = self.0 % size;
        let mut shown = [0; SHOWN_BYTES as usize];
        let len = usize::try_from(SHOWN_BYTES.min(size - offset)).ok()?;
        bytes.read_exact_at(&mut shown[..len], offset).ok()?;
        Some(STANDARD.encode(&shown[..len]))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_token_decides_which_bytes_are_shown() {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, "Bearer secret".parse().unwrap());
        // md5 of "secret" is 5ebe2294ecd0e0f08eab7690d2a6ee69.
        assert_eq!(ProofSeed::of(&headers), ProofSeed(0x5ebe_2294_ecd0_e0f0));
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        // 0x5ebe2294ecd0e0f0 mod 10 is 4: six bytes are left.
        assert_eq!(ProofSeed(0x5ebe_2294_ecd0_e0f0).proof(&file, 10).unwrap(), STANDARD.encode("456789"));
        assert_eq!(ProofSeed(11).proof(&file, 10).unwrap(), STANDARD.encode("12345678"));
        assert_eq!(ProofSeed(11).proof(&file, 0).unwrap(), "");
        assert_eq!(ProofSeed(11).proof(&file, 20), None);
    }
}
