//! One segment of the log: a file of frames. Reading by offset, with every CRC checked.

mod header;
mod scan;

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::checksum::Checksum;
use crate::codec::u32_at;
use crate::error::{AtPath, Damage, Error, Result};
use crate::frame::{DEFINITION_HEADER_LEN, FrameHeader, HEADER_LEN, RunningHash};
use crate::fs::{
    File, FirstTouch, Fs, Map, Moment, OpenMode, UNREADABLE, is_unreadable, patience, read_exact_at,
};
use crate::limits::{ENTITY_MAX_BYTES, FRAME_MAX_BYTES};
use crate::record::{self, Glance, LINK_AT};

pub(crate) use header::{FORMAT, HEADER_PAGE, HeaderPage, SegmentHeader};
pub(crate) use scan::{Found, Scanner};

/// Name of a segment's file. Generation 1 is the one that was appended; later ones rewrite it.
pub(crate) fn file_name(number: u64, generation: u64) -> String {
    if generation == 1 {
        format!("{number:010}.seg")
    } else {
        format!("{number:010}.{generation}.seg")
    }
}

/// Why a segment cannot be read at all.
pub(crate) const MISSING: &str = "the segment's file is missing";
pub(crate) const ELSEWHERE: &str = "the file belongs to another store or place";
pub(crate) const NO_HEADER: &str = "the header page is empty";

/// What a record takes mostly: so much is looked up at once, and a longer one again.
const SHORT_RECORD: u64 = 384;

/// Gives every segment that this process opens a number of its own, from 1 on: 0 is none.
static OPENED: AtomicU32 = AtomicU32::new(1);

/// An open segment. Shared by the writer and all readers.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    /// No other segment that this process opened has it, of whatever store: with an offset it names a
    /// string for as long as the process lives.
    pub(crate) serial: u32,
    pub(crate) path: PathBuf,
    pub(crate) checksum: Checksum,
    opened: FirstTouch<Opened>,
    /// How the file is opened by the first who touches it.
    put_off: Option<PutOff>,
    /// Bytes that hold whole frames; grows while the segment is active.
    end: AtomicU64,
    sealed: AtomicBool,
    /// The file became shorter than it was when it was mapped, or the device cannot read all of it: touching
    /// that in the map would end the process.
    avoids_map: AtomicBool,
}

/// Reads what stands where a header page should.
fn read_header(file: &dyn File, path: &Path) -> Result<(HeaderPage, Vec<u8>)> {
    let mut page = vec![0; HEADER_PAGE as usize];
    let read = match file.read_at(&mut page, 0) {
        Err(error) if is_unreadable(&error) => {
            return Ok((HeaderPage::Damaged(UNREADABLE), page));
        }
        read => read.at(path)?,
    };
    let header = if read < page.len() {
        HeaderPage::Damaged("the file is shorter than its header page")
    } else {
        SegmentHeader::decode(&page)
    };
    Ok((header, page))
}

/// A segment's file.
#[derive(Debug)]
struct Opened {
    /// The seal's running hash before the first frame.
    first_hash: RunningHash,
    file: Arc<dyn File>,
    map: Option<Map>,
}

#[derive(Debug)]
struct PutOff {
    fs: Arc<dyn Fs>,
    /// What is lost if the file cannot be read.
    positions: Range<u64>,
}

impl Opened {
    fn new(page: &[u8], path: &Path, file: Arc<dyn File>) -> Result<Self> {
        let map = file.map().at(path)?;
        Ok(Self { first_hash: RunningHash::start(page), file, map })
    }
}

impl Segment {
    /// Opens a segment's file and reads its header page. `Ok(Err(page))` if there is no usable header.
    pub(crate) fn open(
        fs: &dyn Fs,
        path: &Path,
        mode: OpenMode,
    ) -> Result<std::result::Result<Self, HeaderPage>> {
        let file = fs.open(path, mode).at(path)?;
        match read_header(&*file, path)? {
            (HeaderPage::Whole(header), page) => Ok(Ok(Self::new(header, &page, path, file)?)),
            (other, _) => Ok(Err(other)),
        }
    }

    /// A sealed segment of which everything is known but its bytes. Whoever touches it first opens the file,
    /// and checks what opening it now would check.
    pub(crate) fn put_off(
        fs: &Arc<dyn Fs>,
        path: PathBuf,
        header: SegmentHeader,
        next_position: u64,
        end: u64,
    ) -> Self {
        let positions = header.base_position..next_position;
        let put_off = Some(PutOff { fs: Arc::clone(fs), positions });
        Self {
            put_off,
            end: AtomicU64::new(end),
            sealed: AtomicBool::new(true),
            ..Self::unopened(header, path)
        }
    }

    fn unopened(header: SegmentHeader, path: PathBuf) -> Self {
        Self {
            checksum: Checksum::new(header.salt),
            header,
            serial: OPENED.fetch_add(1, Ordering::Relaxed),
            path,
            opened: FirstTouch::put_off(),
            put_off: None,
            end: AtomicU64::new(HEADER_PAGE),
            sealed: AtomicBool::new(false),
            avoids_map: AtomicBool::new(false),
        }
    }

    /// Wraps an open file whose header is known.
    pub(crate) fn new(
        header: SegmentHeader,
        page: &[u8],
        path: &Path,
        file: Arc<dyn File>,
    ) -> Result<Self> {
        let opened = FirstTouch::opened(Opened::new(page, path, file)?);
        Ok(Self { opened, ..Self::unopened(header, path.to_owned()) })
    }

    #[inline]
    fn opened(&self) -> Result<&Opened> {
        self.opened.get(|| self.open_put_off())
    }

    fn open_put_off(&self) -> Result<Opened> {
        let Some(PutOff { fs, positions }) = &self.put_off else {
            return Err(self.damaged(0, 0, "the segment is not open"));
        };
        let lost = |reason: &str| {
            let mut damage = self.damage(0, HEADER_PAGE, reason);
            damage.positions = positions.end.checked_sub(1).map(|last| (positions.start, last));
            Error::Corrupt { damage: vec![damage] }
        };
        if fs.kind(&self.path).at(&self.path)?.is_none() {
            return Err(lost(MISSING));
        }
        let file = fs.open(&self.path, OpenMode::Read).at(&self.path)?;
        let page = match read_header(&*file, &self.path)? {
            (HeaderPage::Whole(header), page) if header == self.header => page,
            (HeaderPage::Newer(reason), _) => return Err(Error::format(&self.path, reason)),
            (page, _) => return Err(lost(page.reason())),
        };
        let opened = Opened::new(&page, &self.path, file)?;
        if let Some(map) = &opened.map {
            map.publish(self.end());
        }
        Ok(opened)
    }

    /// The mapped file, where it is open.
    fn map(&self) -> Option<&Map> {
        self.opened.if_open().and_then(|opened| opened.map.as_ref())
    }

    pub(crate) fn file(&self) -> Result<&dyn File> {
        Ok(&*self.opened()?.file)
    }

    /// The seal's running hash before the first frame.
    pub(crate) fn first_hash(&self) -> Result<RunningHash> {
        Ok(self.opened()?.first_hash)
    }

    /// Whether a frame with this CRC ends at an offset.
    pub(crate) fn has_frame_end(&self, end: u64, crc: u32) -> Result<bool> {
        let file = self.file()?;
        let mut stored = [0; 4];
        Ok(end >= 4
            && read_exact_at(file, &mut stored, end - 4).is_ok()
            && u32::from_le_bytes(stored) == crc)
    }

    /// Makes what is written durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file()?.sync().at(&self.path)
    }

    /// Bytes that hold whole frames.
    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Declares the bytes below `end` written for good.
    pub(crate) fn advance(&self, end: u64) {
        if let Some(map) = self.map() {
            map.publish(end);
        }
        self.end.fetch_max(end, Ordering::Release);
    }

    /// Where the index of the segment is, once it is sealed.
    pub(crate) fn index_path(&self) -> PathBuf {
        self.path.with_extension("idx")
    }

    /// Length of the file, used or not.
    pub(crate) fn file_length(&self) -> Result<u64> {
        self.file()?.length().at(&self.path)
    }

    /// Looks whether somebody has cut the file, if it is open: from then on it is read by read calls.
    pub(crate) fn look_for_cut(&self) -> Result<()> {
        if let Some(opened) = self.opened.if_open()
            && opened.file.length().at(&self.path)? < self.end()
        {
            self.avoid_map();
        }
        Ok(())
    }

    /// From now on it is read by read calls.
    pub(crate) fn avoid_map(&self) {
        self.avoids_map.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    pub(crate) fn set_sealed(&self) {
        self.sealed.store(true, Ordering::Release);
    }

    /// Bytes of a range below the end: from the map, or copied.
    pub(crate) fn bytes(&self, offset: u64, length: usize) -> Result<Option<Cow<'_, [u8]>>> {
        let Some(end) = offset.checked_add(length as u64).filter(|end| *end <= self.end()) else {
            return Ok(None);
        };
        if let Some(map) = &self.opened()?.map
            && !self.avoids_map.load(Ordering::Relaxed)
        {
            let range = offset as usize..end as usize;
            map.ready(&range)?;
            return Ok(map.get(range).map(Cow::Borrowed));
        }
        patience::spend(length)?;
        let mut copy = vec![0; length];
        match read_exact_at(self.file()?, &mut copy, offset) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) if is_unreadable(&error) => {
                Err(self.damaged(offset, length as u64, UNREADABLE))
            }
            read => read.at(&self.path).map(|()| Some(Cow::Owned(copy))),
        }
    }

    /// Starts reading a range from the disk, if it is not in memory, without waiting for it.
    pub(crate) fn ask_ahead(&self, range: Range<u64>, now: Moment) {
        if let Some(map) = self.map() {
            map.ask_ahead(range.start as usize..range.end as usize, now);
        }
    }

    /// Asks for a range that will be touched soon: the memory, or if `may_wait`, the disk.
    #[inline]
    pub(crate) fn warm(&self, range: Range<u64>, now: Moment, may_wait: bool) {
        if let Some(map) = self.map() {
            map.warm(range.start as usize..range.end as usize, now, may_wait);
        }
    }

    /// Starts bringing a range from memory into the processor's cache.
    #[inline]
    pub(crate) fn prefetch(&self, range: &Range<u64>) {
        if let Some(map) = self.map() {
            map.prefetch(&(range.start as usize..range.end as usize));
        }
    }

    /// What the first bytes of the record at an offset say. Nothing is checked, so it is good for asking
    /// ahead only.
    pub(crate) fn glance(&self, offset: u64) -> Result<Option<Glance>> {
        let head = self.bytes(offset, record::GLANCE_LEN)?;
        Ok(head.map(|head| record::glance(&head)))
    }

    /// How many positions before the event of the record at an offset the entity's previous one stands;
    /// unchecked too.
    pub(crate) fn glance_back(&self, offset: u64) -> Result<Option<u64>> {
        let length = record::MAX_LEN_TO_BACK.min(self.end().saturating_sub(offset) as usize);
        let head = self.bytes(offset, length)?;
        Ok(head.and_then(|head| record::glance_back(&head)).filter(|back| *back > 0))
    }

    /// The whole record at an offset, its CRC checked.
    pub(crate) fn record(&self, offset: u64) -> Result<Cow<'_, [u8]>> {
        let damaged = |reason| self.damaged(offset, LINK_AT as u64, reason);
        let most = self.end().saturating_sub(offset).min(SHORT_RECORD) as usize;
        let head = self
            .bytes(offset, most.max(LINK_AT))?
            .ok_or_else(|| damaged("a record stands past the end of the segment"))?;
        let length = u32_at(&head, 4) as usize;
        if length < LINK_AT || length as u64 > FRAME_MAX_BYTES {
            return Err(damaged("a record's length cannot be one"));
        }
        let bytes = match head {
            Cow::Borrowed(head) if length <= head.len() => head.get(..length).map(Cow::Borrowed),
            _ => self.bytes(offset, length)?,
        }
        .ok_or_else(|| damaged("a record reaches past the end of the segment"))?;
        if record::holds(&bytes, &self.checksum, offset) {
            Ok(bytes)
        } else {
            Err(damaged("a record does not match its CRC"))
        }
    }

    /// The header of the frame that starts `distance` bytes before a record.
    pub(crate) fn frame_of(&self, offset: u64, distance: u32) -> Result<FrameHeader> {
        let damaged = || self.damaged(offset, LINK_AT as u64, "a record's frame cannot be found");
        let at = offset.checked_sub(u64::from(distance)).ok_or_else(damaged)?;
        let bytes = self.bytes(at, HEADER_LEN)?.ok_or_else(damaged)?;
        let header = bytes.first_chunk().ok_or_else(damaged)?;
        FrameHeader::decode(header, &self.checksum, at).ok_or_else(|| {
            self.damaged(at, HEADER_LEN as u64, "a frame's header does not match its CRC")
        })
    }

    /// Checks the definitions of the frame that starts at an offset, which has some: all that stands in front of
    /// its first record.
    pub(crate) fn check_definitions(&self, start: u32) -> Result<()> {
        let damaged = || self.damaged(u64::from(start), 0, "a frame's definitions cannot be found");
        let header = self.frame_of(u64::from(start), 0)?;
        let mut at = start + header.body_start() as u32;
        let length = self.bytes(u64::from(at) - 4, 4)?.ok_or_else(damaged)?;
        let end = at.checked_add(u32_at(&length, 0)).ok_or_else(damaged)?;
        while at < end {
            let text = self.string(at)?;
            at += (DEFINITION_HEADER_LEN + text.len()) as u32;
        }
        // The length has no CRC of its own; the first record knows how far from the frame's start it is.
        let first = self.glance(u64::from(end))?;
        if at == end && first.is_some_and(|first| first.distance == end - start) {
            Ok(())
        } else {
            Err(damaged())
        }
    }

    /// The string whose definition stands at an offset; 0 is the empty string.
    pub(crate) fn string(&self, reference: u32) -> Result<Cow<'_, str>> {
        if reference == 0 {
            return Ok(Cow::Borrowed(""));
        }
        let offset = u64::from(reference);
        let damaged = |reason| self.damaged(offset, DEFINITION_HEADER_LEN as u64, reason);
        let head = self
            .bytes(offset, DEFINITION_HEADER_LEN)?
            .ok_or_else(|| damaged("a string stands past the end of the segment"))?;
        let length = usize::from(
            head.get(4..).and_then(<[u8]>::first_chunk).map_or(0, |b| u16::from_le_bytes(*b)),
        );
        if length == 0 || length > ENTITY_MAX_BYTES {
            return Err(damaged("a string's length cannot be one"));
        }
        let bytes = self
            .bytes(offset, DEFINITION_HEADER_LEN + length)?
            .ok_or_else(|| damaged("a string reaches past the end of the segment"))?;
        let stored = u32_at(&bytes, 0);
        if stored != self.checksum.of(offset, bytes.get(4..).unwrap_or_default()) {
            return Err(damaged("a string does not match its CRC"));
        }
        let text = match bytes {
            Cow::Borrowed(bytes) => {
                let text = bytes.get(DEFINITION_HEADER_LEN..).unwrap_or_default();
                std::str::from_utf8(text).ok().map(Cow::Borrowed)
            }
            Cow::Owned(mut bytes) => {
                bytes.drain(..DEFINITION_HEADER_LEN);
                String::from_utf8(bytes).ok().map(Cow::Owned)
            }
        };
        text.ok_or_else(|| damaged("a string is not UTF-8"))
    }

    /// A damage of this segment as an error.
    pub(crate) fn damaged(&self, offset: u64, length: u64, reason: &str) -> Error {
        Error::Corrupt { damage: vec![self.damage(offset, length, reason)] }
    }

    pub(crate) fn damage(&self, offset: u64, length: u64, reason: &str) -> Damage {
        Damage {
            segment: self.header.number,
            offset,
            length,
            reason: reason.to_owned(),
            positions: None,
            entities: Vec::new(),
        }
    }
}
