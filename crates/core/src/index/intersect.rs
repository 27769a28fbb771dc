//! Intersecting the sets of several coordinates, 65,536 events at a time: in as many bits, which stay in
//! the processor's nearest cache. Sets in files are read as they stand there.

use std::ops::Range;

use roaring::RoaringBitmap;

use super::set::Stored;

/// Events of a chunk, as a power of two, and the words that have a bit for each.
const CHUNK_BITS: u32 = 16;
const WORDS: usize = (1 << CHUNK_BITS) / 64;

/// A bit for each event of a chunk.
pub(super) type Words = [u64; WORDS];

/// A set of events of a part.
#[derive(Debug)]
pub(super) enum Set<'a> {
    Stored(Stored<'a>),
    Held(RoaringBitmap),
}

impl Set<'_> {
    /// How many events of a chunk are in it.
    fn count(&self, chunk: u16) -> u64 {
        match self {
            Self::Stored(stored) => stored.count(chunk),
            Self::Held(set) => set.range_cardinality(locals(chunk)),
        }
    }

    /// Sets the bits of those.
    fn put(&self, chunk: u16, words: &mut Words) {
        match self {
            Self::Stored(stored) => stored.put(chunk, words),
            Self::Held(set) => {
                for local in set.range(locals(chunk)) {
                    put_bit(words, local as u16);
                }
            }
        }
    }
}

#[inline]
pub(super) fn put_bit(words: &mut Words, local: u16) {
    if let Some(word) = words.get_mut(usize::from(local >> 6)) {
        *word |= 1 << (local & 63);
    }
}

/// The local numbers of a chunk.
fn locals(chunk: u16) -> std::ops::RangeInclusive<u32> {
    let first = u32::from(chunk) << CHUNK_BITS;
    first..=first | u32::from(u16::MAX)
}

/// Sets of one coordinate: an event has to be in any of them.
#[derive(Debug, Default)]
pub(super) struct AnyOf<'a> {
    sets: Vec<Set<'a>>,
}

impl<'a> AnyOf<'a> {
    pub(super) fn push(&mut self, set: Set<'a>) {
        self.sets.push(set);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// How many events of a chunk are in the sets, at most.
    fn count(&self, chunk: u16) -> u64 {
        self.sets.iter().map(|set| set.count(chunk)).sum()
    }

    fn put(&self, chunk: u16, words: &mut Words) {
        self.sets.iter().for_each(|set| set.put(chunk, words));
    }
}

impl From<RoaringBitmap> for AnyOf<'_> {
    fn from(set: RoaringBitmap) -> Self {
        let sets = if set.is_empty() { Vec::new() } else { vec![Set::Held(set)] };
        Self { sets }
    }
}

/// Hands over the events of a range that all coordinates have, chunk by chunk: the local number of a
/// chunk's first event, and its bits. Passes over chunks without any.
pub(super) fn intersect(
    coordinates: &[AnyOf<'_>],
    range: Range<u32>,
    mut each: impl FnMut(u32, &Words),
) {
    let Some(last) = range.end.checked_sub(1).filter(|last| *last >= range.start) else { return };
    let (mut all, mut other) = ([0; WORDS], [0; WORDS]);
    for chunk in (range.start >> CHUNK_BITS) as u16..=(last >> CHUNK_BITS) as u16 {
        let mut rarest_first: Vec<(u64, &AnyOf<'_>)> =
            coordinates.iter().map(|coordinate| (coordinate.count(chunk), coordinate)).collect();
        rarest_first.sort_unstable_by_key(|(count, _)| *count);
        let mut rest = rarest_first.into_iter();
        match rest.next() {
            Some((0, _)) => continue,
            Some((_, rarest)) => {
                all.fill(0);
                rarest.put(chunk, &mut all);
            }
            None => all.fill(u64::MAX),
        }
        for (_, coordinate) in rest {
            other.fill(0);
            coordinate.put(chunk, &mut other);
            all.iter_mut().zip(&other).for_each(|(word, other)| *word &= other);
        }
        let first = u32::from(chunk) << CHUNK_BITS;
        cut(&mut all, range.start.max(first) - first..=(last - first).min(u32::from(u16::MAX)));
        each(first, &all);
    }
}

/// Clears the bits outside of a range.
fn cut(words: &mut Words, range: std::ops::RangeInclusive<u32>) {
    let (start, end) = (*range.start() as usize, *range.end() as usize);
    words.iter_mut().take(start / 64).for_each(|word| *word = 0);
    words.iter_mut().skip(end / 64 + 1).for_each(|word| *word = 0);
    if let Some(word) = words.get_mut(start / 64) {
        *word &= u64::MAX << (start % 64);
    }
    if let Some(word) = words.get_mut(end / 64) {
        *word &= u64::MAX >> (63 - end % 64);
    }
}

/// The events that all coordinates have.
pub(super) fn intersection(coordinates: &[AnyOf<'_>], range: Range<u32>) -> RoaringBitmap {
    let mut hits = RoaringBitmap::new();
    intersect(coordinates, range, |first, words| {
        let bytes = words.map(u64::to_le_bytes);
        hits |= RoaringBitmap::from_lsb0_bytes(first, bytes.as_flattened());
    });
    hits
}

/// How many events a part has in one set: what is known without looking at its events.
pub(super) fn count_all(coordinates: &[AnyOf<'_>]) -> Option<u64> {
    match coordinates {
        [AnyOf { sets }] if sets.len() == 1 => sets.first().map(|set| match set {
            Set::Stored(stored) => stored.len(),
            Set::Held(set) => set.len(),
        }),
        _ => None,
    }
}

/// How many events all coordinates have.
pub(super) fn count(coordinates: &[AnyOf<'_>], range: Range<u32>) -> u64 {
    let mut count = 0;
    intersect(coordinates, range, |_, words| {
        count += words.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
    });
    count
}
