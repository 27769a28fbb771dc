//! A blocked Bloom filter: a hash has all its bits in one cache line, and the lines are in the order of
//! the hashes, so that a filter of any size is written front to back.

use crate::codec::u64_at;
use crate::error::Result;
use crate::index::hash::scaled;

/// Bytes of a line.
pub(super) const LINE: usize = 64;
/// Hashes for each line: ten bits each.
const HASHES_PER_LINE: usize = LINE * 8 / 10;
/// Bits set for each hash: about one of a hundred other hashes passes.
const BITS: u32 = 6;
/// A file with fewer rows needs no filter: a lookup costs about the same.
const ROWS_MIN: usize = 64;

/// Lines of the filter for so many hashes.
pub(super) fn lines(count: usize) -> usize {
    if count < ROWS_MIN { 0 } else { count.div_ceil(HASHES_PER_LINE) }
}

/// The line of a hash.
pub(super) fn line_of(hash: u64, lines: usize) -> usize {
    scaled(hash, lines)
}

/// The places of a hash's bits within its line.
fn bits_of(hash: u64) -> impl Iterator<Item = usize> {
    // The line took the upper bits; multiplying spreads the lower ones over the word.
    let mixed = (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = mixed ^ mixed >> 29;
    (0..BITS).map(move |nth| (mixed >> (nth * 9)) as usize % (LINE * 8))
}

/// Whether a hash may be among those of its line.
pub(super) fn may_have(line: &[u8], hash: u64) -> bool {
    bits_of(hash).all(|bit| u64_at(line, bit / 64 * 8) >> (bit % 64) & 1 == 1)
}

/// Builds a filter from hashes in ascending order, line by line.
#[derive(Debug)]
pub(super) struct FilterBuilder {
    lines: usize,
    /// The line that is being filled.
    current: usize,
    words: [u64; LINE / 8],
}

impl FilterBuilder {
    pub(super) fn new(lines: usize) -> Self {
        Self { lines, current: 0, words: [0; LINE / 8] }
    }

    pub(super) fn lines(&self) -> usize {
        self.lines
    }

    pub(super) fn add(
        &mut self,
        hash: u64,
        mut put: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        while self.current < line_of(hash, self.lines) {
            self.put_line(&mut put)?;
        }
        for bit in bits_of(hash) {
            if let Some(word) = self.words.get_mut(bit / 64) {
                *word |= 1 << (bit % 64);
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self, mut put: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        while self.current < self.lines {
            self.put_line(&mut put)?;
        }
        Ok(())
    }

    fn put_line(&mut self, put: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let words = std::mem::take(&mut self.words);
        self.current += 1;
        words.iter().try_for_each(|word| put(&word.to_le_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(n: u64) -> u64 {
        let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ n >> 31
    }

    #[test]
    fn what_was_added_passes_and_little_else() {
        let mut hashes: Vec<u64> = (1..=50_000).map(mixed).collect();
        hashes.sort_unstable();
        let count = lines(hashes.len());
        let mut bytes = Vec::new();
        let mut builder = FilterBuilder::new(count);
        let mut put = |line: &[u8]| {
            bytes.extend_from_slice(line);
            Ok(())
        };
        for hash in &hashes {
            builder.add(*hash, &mut put).unwrap();
        }
        builder.finish(&mut put).unwrap();
        assert_eq!(bytes.len(), count * LINE);
        let passes = |hash| {
            let at = line_of(hash, count) * LINE;
            may_have(&bytes[at..at + LINE], hash)
        };
        assert!(hashes.iter().all(|hash| passes(*hash)));
        let strangers = (50_001..=150_000).filter(|n| passes(mixed(*n))).count();
        assert!(strangers < 2_500, "{strangers} of 100,000 pass");
    }
}
