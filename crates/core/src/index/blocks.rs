//! Files of checksummed blocks: what every derived file is made of. A header page, a body, and a table
//! with a CRC for each 4 KiB block of the body. A block is checked when it is first touched, so that
//! opening reads one page and a cold point read a few, however large the file is.
//!
//! Written once, front to back; never synced: after a power cut the CRCs say what of it is whole.

use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::checksum::Checksum;
use crate::codec::{Reader, put_u32, put_u64};
use crate::error::{AtPath, Error, Result};
use crate::fs::{File, Fs, Map, Moment, OpenMode, patience, read_all, read_exact_at};

/// Bytes with one CRC: a page, so that checking touches nothing that was not asked for.
pub(super) const BLOCK: usize = 4096;
/// CRCs in a block of the table; its last four bytes are its own.
const TABLE_ROWS: usize = BLOCK / 4 - 1;
/// Bytes of the header page that the file's kind may use.
const FIELDS_MAX: usize = BLOCK - 28;
/// Bytes written at once.
const WRITE_BYTES: usize = 256 << 10;
/// Bytes of a derived file that are read into memory where files cannot be mapped.
const COPY_MAX_BYTES: u64 = 16 << 30;

#[derive(Debug)]
enum Bytes {
    Mapped(Map),
    Owned(Vec<u8>),
}

impl Bytes {
    /// Fails if this thread must not wait, and touching a range could make it.
    #[inline]
    fn at_hand(&self, range: &Range<usize>) -> Result<()> {
        match self {
            Self::Mapped(map) => map.at_hand(range),
            Self::Owned(_) => Ok(()),
        }
    }

    /// Starts reading a range that will be read from start to end.
    fn ask_ahead(&self, range: &Range<usize>) {
        if let Self::Mapped(map) = self {
            map.ask_ahead(range.clone(), Moment::now());
        }
    }

    #[inline]
    fn get(&self, range: Range<usize>) -> Option<&[u8]> {
        match self {
            Self::Mapped(map) => map.get(range),
            Self::Owned(bytes) => bytes.get(range),
        }
    }
}

/// An open file of blocks.
#[derive(Debug)]
pub(super) struct Blocks {
    path: PathBuf,
    bytes: Bytes,
    checksum: Checksum,
    /// Bytes of the body.
    length: usize,
    /// A bit for each block of the body, then of the table, whose CRC held.
    checked: Box<[AtomicU64]>,
}

impl Blocks {
    /// Opens a file whose header page is whole and of this kind and version. Returns the fields of the
    /// kind too; `None` if there is no such file.
    pub(super) fn open(
        fs: &dyn Fs,
        path: &Path,
        magic: [u8; 8],
        salt: [u8; 8],
    ) -> Option<(Self, Vec<u8>)> {
        let file = fs.open(path, OpenMode::Read).ok()?;
        // Not through the map: what the device cannot read would end the process, each time it opens.
        let mut page = vec![0; BLOCK];
        read_exact_at(&*file, &mut page, 0).ok()?;
        let bytes = match file.map().ok()? {
            Some(map) => {
                map.publish(u64::MAX);
                Bytes::Mapped(map)
            }
            None => Bytes::Owned(read_all(&*file, COPY_MAX_BYTES).ok()?),
        };
        let checksum = Checksum::new(salt);
        let (content, crc) = page.split_last_chunk::<4>()?;
        if checksum.of(0, content) != u32::from_le_bytes(*crc) {
            return None;
        }
        let mut reader = Reader::new(content);
        if reader.array()? != magic {
            return None;
        }
        let length = usize::try_from(reader.u64()?).ok()?;
        let fields_length = reader.u32()? as usize;
        let fields = reader.take(fields_length)?.to_vec();
        let blocks = length.div_ceil(BLOCK);
        let tables = blocks.div_ceil(TABLE_ROWS);
        let end = blocks.checked_add(tables)?.checked_add(1)?.checked_mul(BLOCK)?;
        bytes.get(0..end)?;
        let checked = (0..(blocks + tables).div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Some((Self { path: path.to_owned(), bytes, checksum, length, checked }, fields))
    }

    /// Bytes of the body.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Bytes of the body, every block of them checked. All that is read of a derived file comes
    /// through here.
    #[inline]
    pub(super) fn get(&self, range: Range<usize>) -> Result<&[u8]> {
        if range.end > self.length || range.start > range.end {
            return Err(self.damaged());
        }
        if range.is_empty() {
            return Ok(&[]);
        }
        let place = BLOCK + range.start..BLOCK + range.end;
        self.bytes.at_hand(&place)?;
        let blocks = range.start / BLOCK..=(range.end - 1) / BLOCK;
        if !blocks.clone().all(|block| self.is_checked(block)) {
            self.check_all(blocks, &place)?;
        }
        self.bytes.get(place).ok_or_else(|| self.damaged())
    }

    /// Says that a range of the body will be read soon, so that waits for several of them overlap: for
    /// memory, and from `now` on a thread that may wait for the disk, for the disk.
    #[inline]
    pub(super) fn expect(&self, range: Range<usize>, now: Option<Moment>) {
        if let Bytes::Mapped(map) = &self.bytes {
            let place = BLOCK + range.start..BLOCK + range.end;
            map.prefetch(&place);
            if let Some(now) = now {
                map.ask_ahead(place, now);
            }
        }
    }

    #[inline]
    fn is_checked(&self, bit: usize) -> bool {
        self.checked
            .get(bit / 64)
            .is_some_and(|word| word.load(Ordering::Relaxed) & 1 << (bit % 64) != 0)
    }

    fn set_checked(&self, bit: usize) {
        if let Some(word) = self.checked.get(bit / 64) {
            word.fetch_or(1 << (bit % 64), Ordering::Relaxed);
        }
    }

    /// Checks those of some blocks that nobody touched before.
    #[cold]
    fn check_all(&self, blocks: RangeInclusive<usize>, place: &Range<usize>) -> Result<()> {
        self.bytes.ask_ahead(place);
        blocks.filter(|block| !self.is_checked(*block)).try_for_each(|block| self.check(block))
    }

    fn check(&self, block: usize) -> Result<()> {
        let stored = self.stored_crc(block)?;
        if stored != self.crc_of(1 + block, self.block(1 + block)?) {
            return Err(self.damaged());
        }
        self.set_checked(block);
        Ok(())
    }

    /// The CRC that the table has for a block of the body.
    fn stored_crc(&self, block: usize) -> Result<u32> {
        let blocks = self.length.div_ceil(BLOCK);
        let nth = block / TABLE_ROWS;
        let table = self.block(1 + blocks + nth)?;
        if !self.is_checked(blocks + nth) {
            let (rows, own) = table.split_last_chunk::<4>().ok_or_else(|| self.damaged())?;
            if self.crc_of(1 + blocks + nth, rows) != u32::from_le_bytes(*own) {
                return Err(self.damaged());
            }
            self.set_checked(blocks + nth);
        }
        Ok(crate::codec::u32_at(table, block % TABLE_ROWS * 4))
    }

    /// A block by its place in the file.
    fn block(&self, nth: usize) -> Result<&[u8]> {
        let place = nth * BLOCK..(nth + 1) * BLOCK;
        self.bytes.at_hand(&place)?;
        patience::spend(BLOCK)?;
        self.bytes.get(place).ok_or_else(|| self.damaged())
    }

    fn crc_of(&self, nth: usize, bytes: &[u8]) -> u32 {
        self.checksum.of((nth * BLOCK) as u64, bytes)
    }

    /// The error of a file that is not what it should be.
    pub(super) fn damaged(&self) -> Error {
        Error::StaleIndex { path: self.path.clone() }
    }
}

/// Writes a file of blocks, front to back. Memory is a buffer, and four bytes for each block.
#[derive(Debug)]
pub(super) struct BlockWriter<'a> {
    fs: &'a dyn Fs,
    path: PathBuf,
    temporary: PathBuf,
    file: Arc<dyn File>,
    checksum: Checksum,
    buffer: Vec<u8>,
    /// Bytes of the body that are written: whole blocks.
    written: usize,
    crcs: Vec<u32>,
    finished: bool,
}

/// A name of its own for a file that is needed while another is made: a run may be built again while its
/// merger is being written under its name.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    static NAMED: AtomicU64 = AtomicU64::new(0);
    path.with_extension(format!("{}.{ending}", NAMED.fetch_add(1, Ordering::Relaxed)))
}

impl<'a> BlockWriter<'a> {
    /// Begins a file beside `path`; it gets its name when it is finished.
    pub(super) fn create(fs: &'a dyn Fs, path: &Path, salt: [u8; 8]) -> Result<Self> {
        let temporary = beside(path, "tmp");
        let file = fs.open(&temporary, OpenMode::Create).at(&temporary)?;
        Ok(Self {
            fs,
            path: path.to_owned(),
            temporary,
            file,
            checksum: Checksum::new(salt),
            buffer: Vec::with_capacity(WRITE_BYTES + BLOCK),
            written: 0,
            crcs: Vec::new(),
            finished: false,
        })
    }

    /// Bytes of the body so far.
    pub(super) fn position(&self) -> usize {
        self.written + self.buffer.len()
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    /// Where the file will be.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Fills the current block with zeros: what comes next starts a block.
    pub(super) fn align(&mut self) -> Result<()> {
        self.pad(BLOCK)
    }

    /// Adds zeros up to a multiple of a divisor of the block.
    pub(super) fn pad(&mut self, multiple: usize) -> Result<()> {
        let padded = self.buffer.len().next_multiple_of(multiple);
        self.buffer.resize(padded, 0);
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    /// Reads back what was written before: whole blocks only.
    pub(super) fn read_back(&mut self, buffer: &mut [u8], at: usize) -> Result<()> {
        self.flush()?;
        read_exact_at(&*self.file, buffer, (BLOCK + at) as u64).at(&self.temporary)
    }

    /// Writes the whole blocks of the buffer.
    fn flush(&mut self) -> Result<()> {
        let whole = self.buffer.len() / BLOCK * BLOCK;
        let at = BLOCK + self.written;
        let ready = self.buffer.get(..whole).unwrap_or_default();
        for (nth, block) in ready.chunks_exact(BLOCK).enumerate() {
            self.crcs.push(self.checksum.of((at + nth * BLOCK) as u64, block));
        }
        self.file.write_at(ready, at as u64).at(&self.temporary)?;
        self.buffer.drain(..whole);
        self.written += whole;
        Ok(())
    }

    /// Completes the file: the rest of the body, the table, the header page, the name.
    pub(super) fn finish(mut self, magic: [u8; 8], fields: &[u8]) -> Result<()> {
        debug_assert!(fields.len() <= FIELDS_MAX);
        let length = self.position();
        self.align()?;
        self.flush()?;
        let mut at = BLOCK + self.written;
        for rows in self.crcs.chunks(TABLE_ROWS) {
            let mut block = Vec::with_capacity(BLOCK);
            for crc in rows {
                put_u32(&mut block, *crc);
            }
            self.put_sealed(block, at)?;
            at += BLOCK;
        }
        let mut header = Vec::with_capacity(BLOCK);
        header.extend_from_slice(&magic);
        put_u64(&mut header, length as u64);
        put_u32(&mut header, fields.len() as u32);
        header.extend_from_slice(fields);
        self.put_sealed(header, 0)?;
        self.fs.rename(&self.temporary, &self.path).at(&self.path)?;
        self.finished = true;
        Ok(())
    }

    /// Writes a block that ends with its own CRC.
    fn put_sealed(&self, mut block: Vec<u8>, at: usize) -> Result<()> {
        block.resize(BLOCK - 4, 0);
        let crc = self.checksum.of(at as u64, &block);
        put_u32(&mut block, crc);
        self.file.write_at(&block, at as u64).at(&self.temporary)
    }
}

impl Drop for BlockWriter<'_> {
    /// A file that was not finished is of no use.
    fn drop(&mut self) {
        if !self.finished {
            let _ = self.fs.remove(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::MemoryFs;

    const MAGIC: [u8; 8] = *b"TESTFILE";
    const SALT: [u8; 8] = [7; 8];

    fn written(fs: &dyn Fs, path: &Path, body: &[u8]) {
        let mut writer = BlockWriter::create(fs, path, SALT).unwrap();
        for piece in body.chunks(1000) {
            writer.push(piece).unwrap();
        }
        writer.finish(MAGIC, b"fields").unwrap();
    }

    fn body(length: usize) -> Vec<u8> {
        (0..length).map(|n| ((n * 31) >> 3) as u8).collect()
    }

    #[test]
    fn a_body_of_any_length_reads_back() {
        let fs = MemoryFs::default();
        let path = Path::new("/file");
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 300 << 10, (TABLE_ROWS + 2) * BLOCK] {
            let body = body(length);
            written(&fs, path, &body);
            let (blocks, fields) = Blocks::open(&fs, path, MAGIC, SALT).unwrap();
            assert_eq!(fields, b"fields");
            assert_eq!(blocks.get(0..length).unwrap(), body);
            assert!(blocks.get(0..length + 1).is_err());
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed_by_whoever_touches_its_block_and_nobody_else() {
        let fs = MemoryFs::default();
        let path = Path::new("/file");
        let body = body(5 * BLOCK);
        written(&fs, path, &body);
        let file = fs.open(path, OpenMode::Write).unwrap();
        let at = (BLOCK + 2 * BLOCK + 17) as u64;
        file.write_at(&[body[2 * BLOCK + 17] ^ 4], at).unwrap();
        let (blocks, _) = Blocks::open(&fs, path, MAGIC, SALT).unwrap();
        assert_eq!(blocks.get(0..2 * BLOCK).unwrap(), &body[..2 * BLOCK]);
        assert!(blocks.get(2 * BLOCK..2 * BLOCK + 1).is_err());
        assert!(blocks.get(3 * BLOCK..5 * BLOCK).is_ok());
        file.write_at(&[!0], (6 * BLOCK) as u64).unwrap();
        let (blocks, _) = Blocks::open(&fs, path, MAGIC, SALT).unwrap();
        assert!(blocks.get(0..1).is_err(), "the table is checked too");
        file.write_at(&[!0], 9).unwrap();
        assert!(Blocks::open(&fs, path, MAGIC, SALT).is_none());
    }

    #[test]
    fn a_file_under_another_salt_or_cut_short_is_none() {
        let fs = MemoryFs::default();
        let path = Path::new("/file");
        written(&fs, path, &body(2 * BLOCK));
        assert!(Blocks::open(&fs, path, MAGIC, [8; 8]).is_none());
        assert!(Blocks::open(&fs, path, *b"OTHERONE", SALT).is_none());
        let file = fs.open(path, OpenMode::Write).unwrap();
        file.release((3 * BLOCK) as u64..(4 * BLOCK) as u64).unwrap();
        assert!(Blocks::open(&fs, path, MAGIC, SALT).is_none());
    }
}
