//! What a file holds: sparse, and cheap to copy.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

const PAGE: u64 = 4096;

/// The bytes of a file. Pages that are missing are zeros.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    length: u64,
    pages: BTreeMap<u64, Arc<[u8]>>,
}

/// Bytes that are written. Most of what an engine writes to prepare a file is zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bytes {
    /// So many zeros.
    Zeros(u64),
    /// These.
    These(Arc<[u8]>),
}

impl Bytes {
    /// A copy of what is handed to a write.
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.iter().all(|byte| *byte == 0) {
            return Self::Zeros(bytes.len() as u64);
        }
        Self::These(bytes.into())
    }

    /// How many.
    pub fn length(&self) -> u64 {
        match self {
            Self::Zeros(length) => *length,
            Self::These(bytes) => bytes.len() as u64,
        }
    }

    /// A part of them.
    #[must_use]
    pub fn part(&self, range: Range<u64>) -> Self {
        match self {
            Self::Zeros(_) => Self::Zeros(range.end - range.start),
            Self::These(bytes) => {
                Self::of(bytes.get(range.start as usize..range.end as usize).unwrap_or_default())
            }
        }
    }
}

impl Content {
    /// Its length.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Makes it longer, if it is shorter.
    pub fn grow(&mut self, length: u64) {
        self.length = self.length.max(length);
    }

    /// Forgets everything.
    pub fn empty(&mut self) {
        *self = Self::default();
    }

    /// Reads what lies below the length.
    pub fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let end = (offset + buffer.len() as u64).min(self.length);
        let count = end.saturating_sub(offset) as usize;
        for (page, within, done) in pieces(offset, count as u64) {
            let place = &mut buffer[done as usize..][..within.end - within.start];
            match self.pages.get(&page) {
                Some(bytes) => place.copy_from_slice(&bytes[within]),
                None => place.fill(0),
            }
        }
        count
    }

    /// Puts bytes in their place. What lies beyond the length is seen once the file is that long.
    pub fn write(&mut self, bytes: &Bytes, offset: u64) {
        match bytes {
            Bytes::Zeros(length) => self.zero(offset..offset + length),
            Bytes::These(bytes) => {
                for (page, within, done) in pieces(offset, bytes.len() as u64) {
                    let length = within.end - within.start;
                    let own = self.pages.entry(page).or_insert_with(|| [0; PAGE as usize].into());
                    Arc::make_mut(own)[within].copy_from_slice(&bytes[done as usize..][..length]);
                }
            }
        }
    }

    /// Makes a range zeros.
    pub fn zero(&mut self, range: Range<u64>) {
        let (first, last) = (range.start / PAGE, range.end.div_ceil(PAGE));
        let touched: Vec<u64> = self.pages.range(first..last).map(|(page, _)| *page).collect();
        for page in touched {
            let start = range.start.max(page * PAGE) - page * PAGE;
            let end = range.end.min((page + 1) * PAGE) - page * PAGE;
            if start == 0 && end == PAGE {
                self.pages.remove(&page);
            } else if let Some(own) = self.pages.get_mut(&page) {
                Arc::make_mut(own)[start as usize..end as usize].fill(0);
            }
        }
    }

    /// Whether nothing but zeros was ever put there.
    pub fn is_untouched(&self, range: Range<u64>) -> bool {
        self.pages.range(range.start / PAGE..range.end.div_ceil(PAGE)).next().is_none()
    }

    /// All of it.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.length as usize];
        self.read(&mut bytes, 0);
        bytes
    }
}

/// The pages of a stretch: their number, the range within, and how much comes before.
fn pieces(offset: u64, length: u64) -> impl Iterator<Item = (u64, Range<usize>, u64)> {
    let end = offset + length;
    let mut at = offset;
    std::iter::from_fn(move || {
        let page = at / PAGE;
        let (from, to) = (at, end.min((page + 1) * PAGE));
        at = to;
        let within = (from - page * PAGE) as usize..(to - page * PAGE) as usize;
        (from < to).then_some((page, within, from - offset))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_rest_is_zeros() {
        let mut content = Content::default();
        content.grow(10_000);
        content.write(&Bytes::of(&[7; 5000]), 4000);
        content.zero(4090..4200);
        let bytes = content.bytes();
        let wanted = |at: usize| (4000..9000).contains(&at) && !(4090..4200).contains(&at);
        assert!((0..10_000).all(|at| bytes[at] == if wanted(at) { 7 } else { 0 }));
        assert!(content.is_untouched(12_288..20_000));
        assert!(!content.is_untouched(4096..4097));
    }
}
