//! A file of the directory: rows sorted by hash, the first hash of each block of rows, and a filter.
//!
//! A lookup that finds nothing touches one cache line of the filter. One that finds something touches
//! one block of rows, and a line of the fences, which are a five-hundredth of the rows.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Family;
use super::filter::{self, FilterBuilder, LINE};
use crate::codec::{Reader, put_u32, put_u64, u64_at};
use crate::error::{Error, Result};
use crate::fs::{FirstTouch, Fs};
use crate::index::blocks::{BLOCK, BlockWriter, Blocks};
use crate::index::{Extent, hash};

const MAGIC: [u8; 8] = *b"TETRADIR";
const VERSION: u32 = 1;
/// Bytes read back at once to build the filter.
const READ_BACK: usize = 64 << 10;

/// What a file covers, and how it is told from one of another log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Coverage {
    /// Positions whose events are in the file.
    pub(crate) positions: Range<u64>,
    /// The segment that holds the last of them.
    pub(crate) segment: u64,
    /// End of the frame that holds it, and that frame's CRC.
    pub(crate) end: u64,
    pub(crate) last_frame_crc: u32,
}

impl Coverage {
    pub(crate) fn new(positions: Range<u64>, segment: u64, extent: Extent) -> Self {
        let Extent { end, last_frame_crc, .. } = extent;
        Self { positions, segment, end, last_frame_crc }
    }
}

/// An open file of the directory.
#[derive(Debug)]
pub(crate) struct DirectoryFile {
    store_id: [u8; 16],
    path: PathBuf,
    blocks: FirstTouch<Blocks>,
    /// Opens the file for the first who touches it.
    put_off: Option<Arc<dyn Fs>>,
    family: Family,
    coverage: Coverage,
    /// Rows.
    count: usize,
    fences_at: usize,
    filter_at: usize,
    /// Lines of the filter; none in a small file.
    lines: usize,
    /// A block turned out to be damaged: the parts answer instead, until the file is made again.
    damaged: AtomicBool,
}

fn salt(store_id: [u8; 16], family: Family, positions: &Range<u64>) -> [u8; 8] {
    hash::salt(store_id, &[family.words() as u64, positions.start, positions.end])
}

impl DirectoryFile {
    /// Opens the file of a family that covers these positions; `None` if there is none that is whole.
    pub(crate) fn open(
        fs: &dyn Fs,
        path: &Path,
        store_id: [u8; 16],
        family: Family,
        positions: Range<u64>,
    ) -> Option<Self> {
        let (blocks, coverage, count) = open_blocks(fs, path, store_id, family, positions)?;
        let file = Self::unopened(store_id, path, family, coverage, count)?;
        file.is_room_for(&blocks).then(|| Self { blocks: FirstTouch::opened(blocks), ..file })
    }

    /// A file of which the catalog has what it covers, and its number of rows. Whoever touches it first
    /// opens it.
    pub(crate) fn put_off(
        fs: &Arc<dyn Fs>,
        path: &Path,
        store_id: [u8; 16],
        family: Family,
        (coverage, count): (Coverage, usize),
    ) -> Option<Self> {
        let file = Self::unopened(store_id, path, family, coverage, count)?;
        Some(Self { put_off: Some(Arc::clone(fs)), ..file })
    }

    fn unopened(
        store_id: [u8; 16],
        path: &Path,
        family: Family,
        coverage: Coverage,
        count: usize,
    ) -> Option<Self> {
        let fences_at = count.checked_mul(family.row_bytes())?.checked_next_multiple_of(BLOCK)?;
        let fences = count.div_ceil(family.rows_per_block());
        let filter_at = fences_at.checked_add(fences * 8)?.checked_next_multiple_of(BLOCK)?;
        Some(Self {
            store_id,
            path: path.to_owned(),
            blocks: FirstTouch::put_off(),
            put_off: None,
            family,
            coverage,
            count,
            fences_at,
            filter_at,
            lines: filter::lines(count),
            damaged: AtomicBool::new(false),
        })
    }

    fn is_room_for(&self, blocks: &Blocks) -> bool {
        blocks.length() >= self.filter_at.saturating_add(self.lines * LINE)
    }

    #[inline]
    fn blocks(&self) -> Result<&Blocks> {
        self.blocks.get(|| self.open_put_off())
    }

    fn open_put_off(&self) -> Result<Blocks> {
        let opened = self.put_off.as_ref().and_then(|fs| {
            let positions = self.positions().clone();
            open_blocks(&**fs, &self.path, self.store_id, self.family, positions)
        });
        let same = opened.filter(|(blocks, coverage, count)| {
            *coverage == self.coverage && *count == self.count && self.is_room_for(blocks)
        });
        let (blocks, ..) = same.ok_or_else(|| Error::StaleIndex { path: self.path.clone() })?;
        Ok(blocks)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    pub(crate) fn positions(&self) -> &Range<u64> {
        &self.coverage.positions
    }

    /// Rows.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// From now on nothing is asked of the file.
    pub(crate) fn give_up(&self) {
        self.damaged.store(true, Ordering::Relaxed);
    }

    /// The words of a row, as far as `W` goes.
    pub(super) fn row<const W: usize>(&self, nth: usize) -> Result<[u64; W]> {
        let at = nth * self.family.row_bytes();
        let bytes = self.blocks()?.get(at..at + W * 8)?;
        Ok(std::array::from_fn(|word| u64_at(bytes, word * 8)))
    }

    /// The rows of a block; none behind the last.
    pub(super) fn rows(&self, block: usize) -> Result<&[u8]> {
        let end = self.count * self.family.row_bytes();
        let start = (block * BLOCK).min(end);
        self.blocks()?.get(start..(start + BLOCK).min(end))
    }

    /// Hands over the rows that start with a hash, until `each` has enough.
    pub(super) fn find<const W: usize>(
        &self,
        hash: u64,
        mut each: impl FnMut([u64; W]) -> bool,
    ) -> Result<()> {
        if self.count == 0 || !self.may_have(hash)? {
            return Ok(());
        }
        for nth in self.lower_bound(hash)?..self.count {
            let row = self.row::<W>(nth)?;
            if row.first() != Some(&hash) || each(row) {
                break;
            }
        }
        Ok(())
    }

    /// Says that a hash will be looked for soon: its line of the filter will be needed.
    pub(crate) fn expect(&self, hash: u64) {
        if let Some(blocks) = self.blocks.if_open().filter(|_| self.lines > 0) {
            let at = self.filter_at + filter::line_of(hash, self.lines) * LINE;
            blocks.expect(at..at + LINE, None);
        }
    }

    /// Then, that fences near the hash will be, unless the filter says that it is not here.
    pub(crate) fn expect_fences(&self, hash: u64) -> bool {
        let may_have = self.count > 0 && self.may_have(hash).unwrap_or_default();
        if let Some(blocks) = self.blocks.if_open().filter(|_| may_have) {
            let end = self.fences_at + self.count.div_ceil(self.family.rows_per_block()) * 8;
            let guess = hash::scaled(hash, end - self.fences_at);
            let near = self.fences_at + guess.saturating_sub(LINE);
            blocks.expect(near..(near + 3 * LINE).min(end), None);
        }
        may_have
    }

    /// Then, that its row will be.
    pub(crate) fn expect_row(&self, hash: u64) {
        if let (Some(blocks), Ok((rows, guess))) = (self.blocks.if_open(), self.guess(hash))
            && !rows.is_empty()
        {
            let at = (rows.start + guess) * self.family.row_bytes();
            blocks.expect(at..at + self.family.row_bytes(), None);
        }
    }

    fn may_have(&self, hash: u64) -> Result<bool> {
        if self.lines == 0 {
            return Ok(true);
        }
        let at = self.filter_at + filter::line_of(hash, self.lines) * LINE;
        Ok(filter::may_have(self.blocks()?.get(at..at + LINE)?, hash))
    }

    /// The first row that is not below a hash.
    fn lower_bound(&self, hash: u64) -> Result<usize> {
        let (rows, guess) = self.guess(hash)?;
        let row = |nth: usize| Ok(self.row::<1>(rows.start + nth)?[0]);
        Ok(rows.start + hash::first_near(rows.len(), guess, hash, row)?)
    }

    /// The rows of the block that a hash falls into, and which of them it should be. None if it is below all.
    fn guess(&self, hash: u64) -> Result<(Range<usize>, usize)> {
        let per_block = self.family.rows_per_block();
        let fences = self.count.div_ceil(per_block);
        let next = hash::first_from(fences, hash, |nth| self.fence(nth))?;
        let Some(block) = next.checked_sub(1) else { return Ok((0..0, 0)) };
        let start = block * per_block;
        let rows = start..self.count.min(start + per_block);
        let (low, high) =
            (self.fence(block)?, if next < fences { self.fence(next)? } else { u64::MAX });
        // Hashes are uniform between two fences too; their upper bits are enough for a guess.
        let (share, width) = (hash.saturating_sub(low) >> 16, high.saturating_sub(low) >> 16);
        let guess = (share * rows.len() as u64 / width.max(1)) as usize;
        let last = rows.len().saturating_sub(1);
        Ok((rows, guess.min(last)))
    }

    fn fence(&self, nth: usize) -> Result<u64> {
        let at = self.fences_at + nth * 8;
        Ok(u64_at(self.blocks()?.get(at..at + 8)?, 0))
    }
}

/// Opens the blocks of a file: them, what it covers, and its number of rows.
fn open_blocks(
    fs: &dyn Fs,
    path: &Path,
    store_id: [u8; 16],
    family: Family,
    positions: Range<u64>,
) -> Option<(Blocks, Coverage, usize)> {
    let salt = salt(store_id, family, &positions);
    let (blocks, fields) = Blocks::open(fs, path, MAGIC, salt)?;
    let mut reader = Reader::new(&fields);
    if reader.u32()? != VERSION {
        return None;
    }
    let last_frame_crc = reader.u32()?;
    let (segment, end) = (reader.u64()?, reader.u64()?);
    let count = usize::try_from(reader.u64()?).ok()?;
    Some((blocks, Coverage { positions, segment, end, last_frame_crc }, count))
}

/// Writes a file of the directory from rows in ascending order.
#[derive(Debug)]
pub(super) struct DirectoryWriter<'a> {
    out: BlockWriter<'a>,
    family: Family,
    positions: Range<u64>,
    count: usize,
    fences: Vec<u64>,
}

impl<'a> DirectoryWriter<'a> {
    pub(super) fn create(
        fs: &'a dyn Fs,
        path: &Path,
        store_id: [u8; 16],
        family: Family,
        positions: Range<u64>,
    ) -> Result<Self> {
        let out = BlockWriter::create(fs, path, salt(store_id, family, &positions))?;
        Ok(Self { out, family, positions, count: 0, fences: Vec::new() })
    }

    pub(super) fn push<const W: usize>(&mut self, row: [u64; W]) -> Result<()> {
        debug_assert_eq!(W, self.family.words());
        if self.count.is_multiple_of(self.family.rows_per_block()) {
            self.fences.extend(row.first());
        }
        self.count += 1;
        self.out.push(row.map(u64::to_le_bytes).as_flattened())
    }

    pub(super) fn finish(mut self, coverage: &Coverage) -> Result<()> {
        debug_assert_eq!(coverage.positions, self.positions);
        self.out.align()?;
        let fences = std::mem::take(&mut self.fences);
        fences.iter().try_for_each(|fence| self.out.push(&fence.to_le_bytes()))?;
        self.out.align()?;
        self.put_filter()?;
        let mut fields = Vec::new();
        put_u32(&mut fields, VERSION);
        put_u32(&mut fields, coverage.last_frame_crc);
        put_u64(&mut fields, coverage.segment);
        put_u64(&mut fields, coverage.end);
        put_u64(&mut fields, self.count as u64);
        self.out.finish(MAGIC, &fields)
    }

    /// Reads the rows back, now that their number is known: the filter's lines are in their order.
    fn put_filter(&mut self) -> Result<()> {
        let row_bytes = self.family.row_bytes();
        let end = self.count * row_bytes;
        let mut builder = FilterBuilder::new(filter::lines(self.count));
        let mut buffer = vec![0; READ_BACK.min(end)];
        let mut at = 0;
        while at < end && builder.lines() > 0 {
            let piece = buffer.get_mut(..READ_BACK.min(end - at)).unwrap_or_default();
            self.out.read_back(piece, at)?;
            for row in piece.chunks_exact(row_bytes) {
                builder.add(u64_at(row, 0), |line| self.out.push(line))?;
            }
            at += piece.len();
        }
        builder.finish(|line| self.out.push(line))
    }
}
