//! CRC-64/XZ of what was fetched, in whatever order it came: each run of bytes has its own, and runs that
//! touch are joined without looking at their bytes again. When one run is the whole file, it can be compared
//! with what the drive says.

use std::collections::BTreeMap;
use std::ops::Range;

/// The reflected polynomial of CRC-64/XZ.
const POLYNOMIAL: u64 = 0xC96C_5795_D787_0F42;
/// More runs than this is a random reader, who will not read the whole file soon.
const MAX_RUNS: usize = 4096;

/// The runs. See the module's documentation.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    /// start -> end and CRC
    runs: BTreeMap<u64, (u64, u64)>,
}

/// The CRC of chunks that follow each other.
pub fn crc64<B: AsRef<[u8]>>(chunks: &[B]) -> u64 {
    let mut digest = crc64fast::Digest::new();
    chunks.iter().for_each(|chunk| digest.write(chunk.as_ref()));
    digest.sum64()
}

impl Runs {
    /// Adds bytes with their CRC. What overlaps with a run is left out: whose bytes are kept is not known here.
    pub fn add(&mut self, range: Range<u64>, crc: u64) {
        if range.is_empty() || self.runs.len() >= MAX_RUNS {
            return;
        }
        let (mut start, mut end, mut crc) = (range.start, range.end, crc);
        let before = self.runs.range(..end).next_back().map(|(&start, &run)| (start, run));
        if let Some((before, (before_end, before_crc))) = before {
            if before_end > start {
                return;
            }
            if before_end == start {
                crc = combine(before_crc, crc, end - start);
                start = before;
            }
        }
        if let Some((after_end, after_crc)) = self.runs.remove(&end) {
            crc = combine(crc, after_crc, after_end - end);
            end = after_end;
        }
        self.runs.insert(start, (end, crc));
    }

    /// These bytes are no longer there.
    pub fn remove(&mut self, range: Range<u64>) {
        self.runs.retain(|&start, &mut (end, _)| end <= range.start || range.end <= start);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.runs.clear();
    }

    /// The CRC of the whole file of `len` bytes, if all of it is one run.
    pub fn whole(&self, len: u64) -> Option<u64> {
        self.runs.get(&0).filter(|(end, _)| *end == len).map(|(_, crc)| *crc)
    }
}

/// The CRC of two pieces from the CRC of each and the length of the second: appending n zero bytes multiplies
/// the polynomial by x^(8n), the second CRC is then added.
fn combine(first: u64, second: u64, second_len: u64) -> u64 {
    // Bit 63 is x^0, bit 55 is x^8.
    let (mut power, mut factor, mut left) = (1 << 55, 1 << 63, second_len);
    while left > 0 {
        if left & 1 == 1 {
            factor = multiply(factor, power);
        }
        power = multiply(power, power);
        left >>= 1;
    }
    multiply(factor, first) ^ second
}

fn multiply(a: u64, b: u64) -> u64 {
    let (mut product, mut b) = (0, b);
    for bit in (0..64).rev() {
        // Without branches: the bits are as good as random.
        product ^= b & 0_u64.wrapping_sub(a >> bit & 1);
        b = (b >> 1) ^ (POLYNOMIAL & 0_u64.wrapping_sub(b & 1));
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::seq::SliceRandom;
    use rand::{Rng, SeedableRng};

    #[test]
    fn runs_in_any_order_make_the_crc_of_the_whole() {
        let seed = getrandom::u64().unwrap();
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        for _ in 0..50 {
            let bytes: Vec<u8> = (0..rng.random_range(1..5000)).map(|_| rng.random()).collect();
            let mut cuts: Vec<usize> =
                (0..rng.random_range(0..20)).map(|_| rng.random_range(0..=bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut pieces: Vec<Range<usize>> = cuts.windows(2).map(|pair| pair[0]..pair[1]).collect();
            pieces.shuffle(&mut rng);
            let mut runs = Runs::default();
            for piece in pieces {
                runs.add(piece.start as u64..piece.end as u64, crc64(&[&bytes[piece]]));
            }
            assert_eq!(runs.whole(bytes.len() as u64), Some(crc64(&[&bytes])));
        }
    }

    #[test]
    fn what_is_gone_or_came_twice_does_not_count() {
        let mut runs = Runs::default();
        runs.add(0..3, crc64(&[b"abc"]));
        runs.add(2..5, crc64(&[b"cde"]));
        assert_eq!((runs.whole(3), runs.whole(5)), (Some(crc64(&[b"abc"])), None));
        runs.remove(1..2);
        assert_eq!(runs.whole(3), None);
        runs.add(0..3, crc64(&[b"abc"]));
        runs.clear();
        assert_eq!(runs.whole(3), None);
    }
}
