//! The offsets of a part's records in a file. They rise, so that sixty-four share their first in full,
//! and each has its distance from it in as few bytes as the farthest needs: two, where events are
//! smaller than a kibibyte.

use std::ops::Range;

use super::blocks::{BlockWriter, Blocks};
use crate::codec::u32_at;
use crate::error::Result;

/// Events that share their first offset.
const GROUP: u32 = 64;

/// Where the offsets stand in a file's body.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    pub(super) rows: Range<usize>,
    /// Bytes of a distance.
    pub(super) width: usize,
}

/// Bytes of a group whose distances have so many.
fn group_bytes(width: usize) -> usize {
    4 + GROUP as usize * width
}

impl Place {
    /// The offset of an event that the part has.
    pub(super) fn offset(&self, blocks: &Blocks, local: u32) -> Result<u32> {
        let bytes = blocks.get(self.group_of(local)..self.place_of(local).end)?;
        let distance = bytes.iter().rev().take(self.width);
        let distance = distance.fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        Ok(u32_at(bytes, 0).wrapping_add(distance))
    }

    /// Where an event's group begins.
    fn group_of(&self, local: u32) -> usize {
        self.rows.start + (local / GROUP) as usize * group_bytes(self.width)
    }

    /// Where an event's distance stands.
    pub(super) fn place_of(&self, local: u32) -> Range<usize> {
        let at = self.group_of(local) + 4 + (local % GROUP) as usize * self.width;
        at..at + self.width
    }
}

/// The bytes that distances need, found out in a pass before they are written.
#[derive(Debug, Default)]
pub(super) struct Widest {
    count: u32,
    first: u32,
    distance: u32,
}

impl Widest {
    pub(super) fn see(&mut self, offset: u32) {
        if self.count.is_multiple_of(GROUP) {
            self.first = offset;
        }
        self.count += 1;
        self.distance = self.distance.max(offset.wrapping_sub(self.first));
    }

    pub(super) fn bytes(&self) -> usize {
        (4 - self.distance.leading_zeros() as usize / 8).max(1)
    }
}

/// Writes offsets.
#[derive(Debug)]
pub(super) struct OffsetWriter {
    start: usize,
    width: usize,
    count: u32,
    first: u32,
}

impl OffsetWriter {
    pub(super) fn new(out: &BlockWriter<'_>, width: usize) -> Self {
        Self { start: out.position(), width, count: 0, first: 0 }
    }

    pub(super) fn push(&mut self, out: &mut BlockWriter<'_>, offset: u32) -> Result<()> {
        if self.count.is_multiple_of(GROUP) {
            self.first = offset;
            out.push(&offset.to_le_bytes())?;
        }
        self.count += 1;
        let distance = offset.wrapping_sub(self.first).to_le_bytes();
        out.push(distance.get(..self.width).unwrap_or_default())
    }

    pub(super) fn finish(self, out: &BlockWriter<'_>) -> Place {
        Place { rows: self.start..out.position(), width: self.width }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::fs::MemoryFs;

    #[test]
    fn offsets_read_back_however_far_they_lie_apart() {
        let fs = MemoryFs::default();
        let path = Path::new("/offsets");
        for (step, width) in [(3, 1), (344, 2), (20_000, 3), (4_000_000, 4)] {
            let offsets: Vec<u32> = (0..1000).map(|n| 4096 + n * step).collect();
            let mut widest = Widest::default();
            for offset in &offsets {
                widest.see(*offset);
            }
            assert_eq!(widest.bytes(), width);
            let mut out = BlockWriter::create(&fs, path, [1; 8]).unwrap();
            let mut writer = OffsetWriter::new(&out, width);
            for offset in &offsets {
                writer.push(&mut out, *offset).unwrap();
            }
            let place = writer.finish(&out);
            out.finish(*b"OFFSETS!", &[]).unwrap();
            let (blocks, _) = Blocks::open(&fs, path, *b"OFFSETS!", [1; 8]).unwrap();
            for (local, offset) in (0..).zip(&offsets) {
                assert_eq!(place.offset(&blocks, local).unwrap(), *offset);
            }
        }
    }
}
