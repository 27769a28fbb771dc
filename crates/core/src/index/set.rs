//! Sets of a part's local numbers as they stand in a file: few as they are, many as a bitmap.

use roaring::RoaringBitmap;

use super::intersect::{Set, Words, put_bit};
use crate::codec::{Reader, put_varint, u16_at, u32_at, u64_at};

/// So many are not worth a bitmap.
const FEW: u64 = 16;

/// The portable format of roaring bitmaps, without runs: this number, the count of containers, for each its
/// key and its number of values less one, for each its place, then the containers.
const WITHOUT_RUNS: u32 = 12_346;
const DESCRIPTOR: usize = 4;
/// A container of more values has a bit for each that is possible.
const LIST_MAX: usize = 4096;
const BITS_BYTES: usize = 8192;

/// Appends a set.
pub(super) fn put(out: &mut Vec<u8>, set: &RoaringBitmap) {
    if set.len() > FEW {
        out.push(0);
        // Writing into a vector cannot fail.
        let _ = set.serialize_into(out);
        return;
    }
    out.push(1);
    let mut last = 0;
    for local in set {
        put_varint(out, u64::from(local - last));
        last = local;
    }
}

/// A stored set.
pub(super) fn read(stored: &[u8]) -> RoaringBitmap {
    if let Some((0, bytes)) = stored.split_first() {
        // The blocks' CRCs held, so this is what was serialized: it needs no other check.
        return RoaringBitmap::deserialize_unchecked_from(bytes).unwrap_or_default();
    }
    let mut set = RoaringBitmap::new();
    add(stored, 0, &mut set);
    set
}

/// Adds a stored set, each number raised by `shift`.
pub(super) fn add(stored: &[u8], shift: u32, set: &mut RoaringBitmap) {
    let Some((kind, bytes)) = stored.split_first() else { return };
    if *kind == 0 {
        let bitmap = read(stored);
        if shift == 0 {
            *set |= bitmap;
        } else {
            bitmap.into_iter().for_each(|local| raise(set, local.wrapping_add(shift)));
        }
        return;
    }
    let mut reader = Reader::new(bytes);
    let mut last = shift;
    while let Some(step) = reader.varint() {
        last = last.wrapping_add(step as u32);
        raise(set, last);
    }
}

/// Adds a number that mostly is the highest of the set: then nothing has to be searched.
fn raise(set: &mut RoaringBitmap, number: u32) {
    if set.try_push(number).is_err() {
        set.insert(number);
    }
}

/// A set as it is in a file, read where it stands.
#[derive(Debug)]
pub(super) struct Stored<'a> {
    /// From the count of containers on.
    bytes: &'a [u8],
}

/// A set that stands in a file.
pub(super) fn stored(value: &[u8]) -> Set<'_> {
    match value.split_first() {
        Some((0, bytes)) if u32_at(bytes, 0) == WITHOUT_RUNS => {
            Set::Stored(Stored { bytes: bytes.get(4..).unwrap_or_default() })
        }
        _ => Set::Held(read(value)),
    }
}

impl Stored<'_> {
    fn containers(&self) -> usize {
        u32_at(self.bytes, 0) as usize
    }

    fn key(&self, nth: usize) -> u16 {
        u16_at(self.bytes, 4 + nth * DESCRIPTOR)
    }

    /// The number of a chunk's container. There are few of them, and most often one for each chunk.
    fn find(&self, chunk: u16) -> Option<usize> {
        let count = self.containers();
        let guess = usize::from(chunk);
        if guess < count && self.key(guess) == chunk {
            return Some(guess);
        }
        let (mut low, mut high) = (0, count.min(guess));
        while low < high {
            let middle = low.midpoint(high);
            if self.key(middle) < chunk {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (low < count && self.key(low) == chunk).then_some(low)
    }

    fn values(&self, nth: usize) -> usize {
        usize::from(u16_at(self.bytes, 4 + nth * DESCRIPTOR + 2)) + 1
    }

    /// How many events are in the set.
    pub(super) fn len(&self) -> u64 {
        (0..self.containers()).map(|nth| self.values(nth) as u64).sum()
    }

    /// How many of a chunk's events are in the set.
    pub(super) fn count(&self, chunk: u16) -> u64 {
        self.find(chunk).map_or(0, |nth| self.values(nth) as u64)
    }

    /// Sets the bits of those.
    pub(super) fn put(&self, chunk: u16, words: &mut Words) {
        let Some(nth) = self.find(chunk) else { return };
        let values = self.values(nth);
        // Places count from the number that tells the format.
        let at = u32_at(self.bytes, 4 + self.containers() * DESCRIPTOR + nth * 4) as usize;
        let rest = at.checked_sub(4).and_then(|at| self.bytes.get(at..)).unwrap_or_default();
        if values <= LIST_MAX {
            let list = rest.get(..values * 2).unwrap_or_default();
            for value in list.chunks_exact(2) {
                put_bit(words, u16_at(value, 0));
            }
        } else {
            let bits = rest.get(..BITS_BYTES).unwrap_or_default();
            for (word, bits) in words.iter_mut().zip(bits.chunks_exact(8)) {
                *word |= u64_at(bits, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::index::intersect::{AnyOf, count, count_all, intersection};

    /// Sparse, dense and clustered ones, over some chunks.
    fn numbers() -> impl Strategy<Value = RoaringBitmap> {
        let some = proptest::collection::btree_set(0_u32..300_000, 0..40)
            .prop_map(|numbers| numbers.into_iter().collect::<RoaringBitmap>());
        let dense = (1_u32..40, 0_u32..300_000, 0_u32..200_000).prop_map(|(step, from, length)| {
            (from..from + length).step_by(step as usize).collect::<RoaringBitmap>()
        });
        prop_oneof![some, dense]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn stored_sets_intersect_like_those_in_memory(
            coordinates in proptest::collection::vec(
                proptest::collection::vec((numbers(), any::<bool>()), 1..4), 0..4),
            (start, length) in (0_u32..320_000, 0_u32..320_000),
        ) {
            let range = start..start + length;
            let mut wanted = RoaringBitmap::new();
            wanted.insert_range(range.clone());
            let mut values = Vec::new();
            for sets in &coordinates {
                let mut any = RoaringBitmap::new();
                for (numbers, _) in sets {
                    any |= numbers;
                    let mut value = Vec::new();
                    put(&mut value, numbers);
                    values.push(value);
                }
                wanted &= any;
            }
            let mut values = values.iter();
            let mut all = Vec::new();
            for sets in &coordinates {
                let mut any = AnyOf::default();
                for (numbers, held) in sets {
                    let value = values.next().unwrap();
                    any.push(if *held { Set::Held(numbers.clone()) } else { stored(value) });
                }
                all.push(any);
            }
            prop_assert_eq!(count(&all, range.clone()), wanted.len());
            if let Some(len) = count_all(&all) {
                prop_assert_eq!(len, count(&all, 0..u32::MAX));
            }
            // By their values: what is made of bits has another container than `wanted` at exactly 4096 of them.
            prop_assert!(intersection(&all, range).iter().eq(wanted.iter()));
        }
    }
}
