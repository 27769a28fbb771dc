//! BLAKE3 over many short inputs side by side, one in each lane of the vector registers: about five
//! times as fast as one after another. The results are those of the plain functions.
//!
//! The library keeps the function that does it for its own benchmarks (`blake3::platform`), so its
//! version is pinned, and the tests compare with its stable interface.

use blake3::IncrementCounter;
use blake3::platform::{MAX_SIMD_DEGREE, Platform, words_from_le_bytes_32};

use super::{DIGEST_CONTEXT, Hash, content_hash};

/// Bytes of a BLAKE3 block.
pub(crate) const BLOCK: usize = 64;
/// Inputs that are hashed at once at most.
pub(crate) const LANES: usize = MAX_SIMD_DEGREE;
/// Blocks of a chunk: a longer input is a tree, which has no place in a lane.
const CHUNK_BLOCKS: usize = 16;

/// BLAKE3's initial value, the key of plain hashing (BLAKE3 specification, section 2.2).
const IV: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];
// Domain flags of a compression (BLAKE3 specification, table 3).
const CHUNK_START: u8 = 1;
const CHUNK_END: u8 = 1 << 1;
const ROOT: u8 = 1 << 3;
const DERIVE_KEY_MATERIAL: u8 = 1 << 6;

/// What the inputs are hashed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Plain BLAKE3: payloads and links.
    Plain,
    /// Digests of events, in derive-key mode.
    Digest,
}

/// Inputs of one length that wait until every lane has one.
type Waiting<'a> = Vec<(usize, &'a [u8])>;

/// Hashes side by side.
#[derive(Debug)]
pub(crate) struct Lanes {
    platform: Platform,
    digest_key: [u32; 8],
}

impl Default for Lanes {
    fn default() -> Self {
        let key = blake3::hazmat::hash_derive_key_context(DIGEST_CONTEXT);
        Self { platform: Platform::detect(), digest_key: words_from_le_bytes_32(&key) }
    }
}

impl Lanes {
    /// [`content_hash`] of every input.
    pub(crate) fn contents<'a>(&self, inputs: impl Iterator<Item = &'a [u8]>) -> Vec<Hash> {
        self.many(Mode::Plain, inputs, content_hash)
    }

    /// The digests of canonical encodings.
    pub(crate) fn digests<'a>(&self, encodings: impl Iterator<Item = &'a [u8]>) -> Vec<Hash> {
        self.many(Mode::Digest, encodings, |encoding| blake3::derive_key(DIGEST_CONTEXT, encoding))
    }

    /// The links of events of different entities: BLAKE3 of blocks of a previous link and a digest.
    pub(crate) fn links(&self, blocks: &[[u8; BLOCK]], out: &mut Vec<Hash>) {
        for blocks in blocks.chunks(LANES) {
            let mut lanes = [&[0; BLOCK]; LANES];
            for (lane, block) in lanes.iter_mut().zip(blocks) {
                *lane = block;
            }
            let lanes = lanes.get(..blocks.len()).unwrap_or_default();
            out.extend_from_slice(hashes(&self.compress(Mode::Plain, lanes), blocks.len()));
        }
    }

    /// Inputs of whole blocks up to a chunk go into lanes, those of one length together; `alone`
    /// hashes the others.
    fn many<'a>(
        &self,
        mode: Mode,
        inputs: impl Iterator<Item = &'a [u8]>,
        alone: impl Fn(&[u8]) -> Hash,
    ) -> Vec<Hash> {
        let mut waiting: [Waiting<'a>; CHUNK_BLOCKS] = Default::default();
        let mut out = Vec::with_capacity(inputs.size_hint().0);
        for input in inputs {
            let blocks = input.len() / BLOCK;
            let whole = input.len().is_multiple_of(BLOCK);
            let lanes = blocks.checked_sub(1).and_then(|nth| waiting.get_mut(nth));
            if let Some(lanes) = lanes.filter(|_| whole) {
                lanes.push((out.len(), input));
                out.push([0; 32]);
                if lanes.len() == LANES {
                    self.flush(mode, blocks, lanes, &mut out);
                }
            } else {
                out.push(alone(input));
            }
        }
        for (nth, lanes) in waiting.iter_mut().enumerate() {
            match lanes.as_slice() {
                [] => {}
                [(place, input)] => {
                    if let Some(slot) = out.get_mut(*place) {
                        *slot = alone(input);
                    }
                }
                _ => self.flush(mode, nth + 1, lanes, &mut out),
            }
        }
        out
    }

    /// Hashes the inputs that wait, each of so many blocks, into their places.
    fn flush(&self, mode: Mode, blocks: usize, waiting: &mut Waiting<'_>, out: &mut [Hash]) {
        let hashed = match blocks {
            1 => self.gather::<64>(mode, waiting),
            2 => self.gather::<128>(mode, waiting),
            3 => self.gather::<192>(mode, waiting),
            4 => self.gather::<256>(mode, waiting),
            5 => self.gather::<320>(mode, waiting),
            6 => self.gather::<384>(mode, waiting),
            7 => self.gather::<448>(mode, waiting),
            8 => self.gather::<512>(mode, waiting),
            9 => self.gather::<576>(mode, waiting),
            10 => self.gather::<640>(mode, waiting),
            11 => self.gather::<704>(mode, waiting),
            12 => self.gather::<768>(mode, waiting),
            13 => self.gather::<832>(mode, waiting),
            14 => self.gather::<896>(mode, waiting),
            15 => self.gather::<960>(mode, waiting),
            _ => self.gather::<1024>(mode, waiting),
        };
        for ((place, _), hash) in waiting.iter().zip(hashes(&hashed, waiting.len())) {
            if let Some(slot) = out.get_mut(*place) {
                *slot = *hash;
            }
        }
        waiting.clear();
    }

    fn gather<const N: usize>(&self, mode: Mode, waiting: &Waiting<'_>) -> Output {
        let mut lanes = [&[0; N]; LANES];
        for (lane, (_, input)) in lanes.iter_mut().zip(waiting) {
            if let Some(input) = input.first_chunk() {
                *lane = input;
            }
        }
        self.compress(mode, lanes.get(..waiting.len()).unwrap_or_default())
    }

    fn compress<const N: usize>(&self, mode: Mode, lanes: &[&[u8; N]]) -> Output {
        let mut out = [0; LANES * 32];
        let (key, flags) = match mode {
            Mode::Plain => (&IV, 0),
            Mode::Digest => (&self.digest_key, DERIVE_KEY_MATERIAL),
        };
        let last = CHUNK_END | ROOT;
        let counter = IncrementCounter::No;
        self.platform.hash_many(lanes, key, 0, counter, flags, CHUNK_START, last, &mut out);
        out
    }
}

type Output = [u8; LANES * 32];

fn hashes(output: &Output, count: usize) -> &[Hash] {
    let (hashes, _) = output.as_chunks::<32>();
    hashes.get(..count).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn inputs() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let whole = (0..20_usize).prop_map(|blocks| blocks * BLOCK);
        let length = prop_oneof![whole, 0..1500_usize];
        let input = (length, any::<u8>()).prop_map(|(n, seed)| {
            (0..n).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed)).collect()
        });
        proptest::collection::vec(input, 0..60)
    }

    proptest! {
        #[test]
        fn side_by_side_gives_what_one_by_one_gives(inputs in inputs()) {
            let lanes = Lanes::default();
            let slices = || inputs.iter().map(Vec::as_slice);
            let contents: Vec<Hash> = slices().map(content_hash).collect();
            prop_assert_eq!(lanes.contents(slices()), contents);
            let derive = |input| blake3::derive_key(DIGEST_CONTEXT, input);
            let digests: Vec<Hash> = slices().map(derive).collect();
            prop_assert_eq!(lanes.digests(slices()), digests);
        }

        #[test]
        fn links_side_by_side_are_links(pairs in proptest::collection::vec(any::<(Hash, Hash)>(), 0..40)) {
            let blocks: Vec<[u8; BLOCK]> =
                pairs.iter().map(|(previous, digest)| super::super::link_block(previous, digest)).collect();
            let mut links = Vec::new();
            Lanes::default().links(&blocks, &mut links);
            let expected: Vec<Hash> =
                pairs.iter().map(|(previous, digest)| super::super::link(previous, digest)).collect();
            prop_assert_eq!(links, expected);
        }
    }
}
