//! The index of a stretch of the log in a file: written once, mapped, checked block by block on first
//! touch, so that opening reads one page however large it is.
//!
//! Private format: a file of another version, store, segment or stretch, or with a wrong CRC, is as
//! good as missing.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::blocks::{BlockWriter, Blocks};
use super::hash::{self, id_hash};
use super::intersect::{AnyOf, Set};
use super::offsets;
use super::table::{self, Cursor, Entry, Table};
use super::zones::{self, Zone};
use super::{Asked, EntityEntry, set};
use crate::codec::{Reader, put_u32, put_u64, put_varint, u32_at, u64_at};
use crate::error::{Error, Result};
use crate::filter::{ClockRange, Pattern};
use crate::frame::RunningHash;
use crate::fs::{FirstTouch, Fs, Moment, patience};
use crate::segment::Segment;

const MAGIC: [u8; 8] = *b"TETRAIDX";
const VERSION: u32 = 5;
/// Bytes of a row of the id section: hash, local number.
pub(super) const ID_ROW: usize = 12;

/// The stretch of a segment that a part covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// CRC of the frame that ends at `end`.
    pub(crate) last_frame_crc: u32,
}

/// What only the builder of the index knows of its stretch, kept so that opening needs no scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Recorded time of the last frame.
    pub(crate) recorded_us: u64,
    /// Frames from the segment's start on, the seal not counted.
    pub(crate) frames: u64,
    /// Running hash over these frames.
    pub(crate) running: RunningHash,
}

/// Where each section stands in the file's body.
#[derive(Debug, Clone, Default)]
pub(super) struct Sections {
    pub(super) offsets: offsets::Place,
    pub(super) zones: zones::Place,
    /// Caller-given ids, sorted by hash.
    pub(super) ids: Range<usize>,
    /// A set: the events whose clocks stand apart from their zone's.
    pub(super) apart: Range<usize>,
    /// Name: first version, distance to the event before, count, local numbers.
    pub(super) entities: table::Place,
    /// Name: set.
    pub(super) facts: table::Place,
    pub(super) scopes: table::Place,
    pub(super) tags: table::Place,
    /// Clock of events that stand apart: set.
    pub(super) late: table::Place,
}

impl Sections {
    fn ranges(&mut self) -> impl Iterator<Item = &mut Range<usize>> {
        let tables =
            [&mut self.entities, &mut self.facts, &mut self.scopes, &mut self.tags, &mut self.late];
        let plain = [
            &mut self.offsets.rows,
            &mut self.zones.clocks,
            &mut self.zones.rows,
            &mut self.ids,
            &mut self.apart,
        ];
        let tables = tables
            .into_iter()
            .flat_map(|table::Place { entries, restarts, slots }| [entries, restarts, slots]);
        plain.into_iter().chain(tables)
    }
}

/// What can be known of an index without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) base: u64,
    pub(crate) count: u32,
    pub(crate) extent: Extent,
    pub(crate) new_entities: u64,
    pub(crate) last_store_clock: u64,
    pub(crate) stretch: Stretch,
}

/// What the header of an index says.
#[derive(Debug, Clone)]
pub(super) struct Header {
    pub(super) summary: Summary,
    pub(super) sections: Sections,
}

impl Summary {
    /// Position of the first event behind those of the index.
    pub(crate) fn next_position(&self) -> u64 {
        self.base + u64::from(self.count)
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_u32(out, self.extent.last_frame_crc);
        put_u32(out, self.count);
        let Stretch { recorded_us, frames, running } = self.stretch;
        let (start, end) = (self.extent.start, self.extent.end);
        let (entities, clock) = (self.new_entities, self.last_store_clock);
        for field in [start, end, self.base, entities, clock, recorded_us, frames] {
            put_u64(out, field);
        }
        out.extend_from_slice(&running.0);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let last_frame_crc = reader.u32()?;
        let count = reader.u32()?;
        let extent = Extent { start: reader.u64()?, end: reader.u64()?, last_frame_crc };
        let base = reader.u64()?;
        let (new_entities, last_store_clock) = (reader.u64()?, reader.u64()?);
        let (recorded_us, frames) = (reader.u64()?, reader.u64()?);
        let stretch = Stretch { recorded_us, frames, running: RunningHash(reader.array()?) };
        Some(Self { base, count, extent, new_entities, last_store_clock, stretch })
    }
}

impl Header {
    /// Completes a file with it.
    pub(super) fn finish(mut self, segment: &Segment, out: BlockWriter<'_>) -> Result<()> {
        let mut fields = Vec::with_capacity(512);
        put_u32(&mut fields, VERSION);
        put_u32(&mut fields, self.sections.offsets.width as u32);
        put_u64(&mut fields, segment.header.generation);
        self.summary.put(&mut fields);
        for range in self.sections.ranges() {
            put_u64(&mut fields, range.start as u64);
            put_u64(&mut fields, range.end as u64);
        }
        out.finish(MAGIC, &fields)
    }

    fn decode(segment: &Segment, fields: &[u8], length: usize) -> Option<Self> {
        let mut reader = Reader::new(fields);
        if reader.u32()? != VERSION {
            return None;
        }
        let width = (reader.u32()? as usize).clamp(1, 4);
        if reader.u64()? != segment.header.generation {
            return None;
        }
        let summary = Summary::read(&mut reader)?;
        let mut sections = Sections::default();
        sections.offsets.width = width;
        for range in sections.ranges() {
            *range = usize::try_from(reader.u64()?).ok()?..usize::try_from(reader.u64()?).ok()?;
            if range.start > range.end || range.end > length {
                return None;
            }
        }
        Some(Self { summary, sections })
    }
}

/// The salt of the CRCs of the index of a stretch.
pub(super) fn salt(segment: &Segment, start: u64) -> [u8; 8] {
    let own = u64::from_le_bytes(segment.header.salt);
    hash::salt(segment.header.store_id, &[segment.header.number, own, start])
}

/// Bytes of a local number in a part with so many events.
pub(super) fn local_bytes(count: u32) -> usize {
    (4 - count.saturating_sub(1).leading_zeros() as usize / 8).max(1)
}

/// Appends an entity's value without its local numbers.
pub(super) fn put_entity(out: &mut Vec<u8>, base: u64, entry: &EntityEntry) {
    put_varint(out, entry.first_version);
    put_varint(out, entry.previous.map_or(0, |previous| base.saturating_sub(previous)));
    put_varint(out, u64::from(entry.count));
}

/// Appends a local number of an entity.
pub(super) fn put_local(out: &mut Vec<u8>, local: u32, bytes: usize) {
    out.extend(local.to_le_bytes().iter().take(bytes));
}

/// A part in a file.
#[derive(Debug)]
pub(crate) struct IndexFile {
    segment: Arc<Segment>,
    path: PathBuf,
    summary: Summary,
    contents: FirstTouch<Contents>,
    /// Opens the file for the first who touches it.
    put_off: Option<Arc<dyn Fs>>,
}

/// What an open file has.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) blocks: Blocks,
    pub(super) sections: Sections,
}

impl IndexFile {
    /// Opens the index of the stretch of `segment` that begins at `start`; `None` if there is none
    /// that can be used.
    pub(crate) fn open(
        fs: &dyn Fs,
        path: &Path,
        segment: &Arc<Segment>,
        start: u64,
    ) -> Option<Self> {
        let (summary, contents) = Contents::open(fs, path, segment, start)?;
        Some(Self {
            segment: Arc::clone(segment),
            path: path.to_owned(),
            summary,
            contents: FirstTouch::opened(contents),
            put_off: None,
        })
    }

    /// The index of a sealed segment of which the catalog has the summary. Whoever touches it first opens
    /// the file, and checks what opening it now would check.
    pub(crate) fn put_off(fs: &Arc<dyn Fs>, segment: &Arc<Segment>, summary: Summary) -> Self {
        Self {
            segment: Arc::clone(segment),
            path: segment.index_path(),
            summary,
            contents: FirstTouch::put_off(),
            put_off: Some(Arc::clone(fs)),
        }
    }

    #[inline]
    pub(super) fn contents(&self) -> Result<&Contents> {
        self.contents.get(|| self.open_put_off())
    }

    fn open_put_off(&self) -> Result<Contents> {
        let fs = self.put_off.as_ref().ok_or_else(|| self.damaged())?;
        let start = self.summary.extent.start;
        let opened = Contents::open(&**fs, &self.path, &self.segment, start);
        let (summary, contents) = opened.ok_or_else(|| self.damaged())?;
        if summary != self.summary || !self.is_of_the_log()? {
            return Err(self.damaged());
        }
        Ok(contents)
    }

    /// Whether the frame that the index ends with is still there.
    pub(crate) fn is_of_the_log(&self) -> Result<bool> {
        let Extent { end, last_frame_crc, .. } = self.summary.extent;
        self.segment.has_frame_end(end, last_frame_crc)
    }

    /// The error of a file that is not what it should be.
    fn damaged(&self) -> Error {
        Error::StaleIndex { path: self.path.clone() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file is the one index of its segment.
    pub(crate) fn is_of_whole_segment(&self) -> bool {
        self.path.extension().is_some_and(|ending| ending == "idx")
    }

    pub(crate) fn summary(&self) -> &Summary {
        &self.summary
    }

    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    pub(crate) fn base(&self) -> u64 {
        self.summary.base
    }

    pub(crate) fn count(&self) -> u32 {
        self.summary.count
    }

    pub(crate) fn extent(&self) -> Extent {
        self.summary.extent
    }

    pub(crate) fn new_entities(&self) -> u64 {
        self.summary.new_entities
    }

    pub(crate) fn last_store_clock(&self) -> u64 {
        self.summary.last_store_clock
    }

    pub(crate) fn stretch(&self) -> Stretch {
        self.summary.stretch
    }

    pub(super) fn table(
        &self,
        choose: impl FnOnce(&Sections) -> &table::Place,
    ) -> Result<Table<'_>> {
        let Contents { blocks, sections } = self.contents()?;
        Ok(Table::new(blocks, choose(sections), self.segment.header.store_id))
    }

    /// Says that a record's offset will be asked for soon. `now` is given if the disk may be asked.
    pub(crate) fn expect_offset(&self, local: u32, now: Option<Moment>) {
        if let Some(Contents { blocks, sections }) = self.contents.if_open() {
            blocks.expect(sections.offsets.place_of(local), now);
        }
    }

    pub(crate) fn offset(&self, local: u32) -> Result<Option<u32>> {
        if local >= self.summary.count {
            return Ok(None);
        }
        let Contents { blocks, sections } = self.contents()?;
        let offset = sections.offsets.offset(blocks, local)?;
        Ok(Some(offset).filter(|offset| *offset != 0))
    }

    pub(crate) fn entity(&self, name: &str) -> Result<Option<EntityEntry>> {
        let found = self.table(|sections| &sections.entities)?.exact(name.as_bytes())?;
        found.map(|entry| self.entity_of(&entry).map(|(entity, _)| entity)).transpose()
    }

    /// An entity's entry, and its local numbers as they are stored.
    pub(super) fn entity_of<'a>(&self, entry: &Entry<'a>) -> Result<(EntityEntry, &'a [u8])> {
        let mut reader = Reader::new(entry.value);
        let numbers = (|| Some((reader.varint()?, reader.varint()?, reader.varint()?)))();
        let (first_version, back, count) = numbers.ok_or_else(|| self.damaged())?;
        let previous = self.summary.base.checked_sub(back).filter(|_| back > 0);
        let entity = EntityEntry { slot: entry.at, first_version, count: count as u32, previous };
        Ok((entity, reader.rest()))
    }

    fn local_at(&self, locals: &[u8], nth: u32) -> Option<u32> {
        let bytes = local_bytes(self.summary.count);
        let at = nth as usize * bytes;
        let stored = locals.get(at..at + bytes)?;
        Some(stored.iter().rev().fold(0, |local, byte| local << 8 | u32::from(*byte)))
    }

    /// The local numbers of an entity, one after the other.
    pub(super) fn each_local(&self, locals: &[u8], each: impl FnMut(u32)) {
        let bytes = local_bytes(self.summary.count);
        let number = |stored: &[u8]| {
            stored.iter().rev().fold(0, |local, byte| local << 8 | u32::from(*byte))
        };
        locals.chunks_exact(bytes).map(number).for_each(each);
    }

    pub(crate) fn posting(&self, entry: &EntityEntry, nth: u32) -> Result<Option<u32>> {
        let found = self.table(|sections| &sections.entities)?.at(entry.slot)?;
        let (_, locals) = self.entity_of(&found)?;
        Ok(self.local_at(locals, nth))
    }

    /// The local numbers of some of an entity's events.
    pub(crate) fn postings(&self, entry: &EntityEntry, events: Range<u32>) -> Result<Vec<u32>> {
        let found = self.table(|sections| &sections.entities)?.at(entry.slot)?;
        let (_, locals) = self.entity_of(&found)?;
        let bytes = local_bytes(self.summary.count);
        let stored = locals.get(events.start as usize * bytes..events.end as usize * bytes);
        let stored = stored.ok_or_else(|| self.damaged())?;
        let mut postings = Vec::with_capacity(events.len());
        self.each_local(stored, |local| postings.push(local));
        Ok(postings)
    }

    /// Every entity with its newest event: name, version, local number.
    pub(super) fn each_entity(
        &self,
        mut each: impl FnMut(&[u8], u64, u32) -> Result<()>,
    ) -> Result<()> {
        let mut cursor = self.table(|sections| &sections.entities)?.all();
        while let Some(entry) = cursor.next()? {
            let (entity, locals) = self.entity_of(&entry)?;
            if let Some(nth) = entity.count.checked_sub(1) {
                let local = self.local_at(locals, nth).ok_or_else(|| self.damaged())?;
                each(entry.name, entity.last_version(), local)?;
            }
        }
        Ok(())
    }

    /// Ids in the part.
    pub(super) fn id_count(&self) -> Result<usize> {
        Ok(self.contents()?.sections.ids.len() / ID_ROW)
    }

    /// The n-th caller-given id, by hash: hash and local number.
    pub(super) fn id_row(&self, nth: usize) -> Result<(u64, u32)> {
        let Contents { blocks, sections } = self.contents()?;
        let at = sections.ids.start + nth * ID_ROW;
        let row = blocks.get(at..at + ID_ROW)?;
        Ok((u64_at(row, 0), u32_at(row, 8)))
    }

    pub(crate) fn with_id(&self, entity: &str, id: &[u8; 16]) -> Result<Vec<u32>> {
        let count = self.id_count()?;
        let wanted = id_hash(self.segment.header.store_id, entity, id);
        let mut found = Vec::new();
        for nth in hash::first_from(count, wanted, |nth| Ok(self.id_row(nth)?.0))?..count {
            let (hash, local) = self.id_row(nth)?;
            if hash != wanted {
                break;
            }
            found.push(local);
        }
        Ok(found)
    }

    pub(crate) fn names(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        let start = after.filter(|after| *after > prefix).unwrap_or(prefix);
        let mut cursor = self.table(|sections| &sections.entities)?.from(start.as_bytes())?;
        let mut names = Vec::new();
        while let Some(entry) = cursor.next()?.filter(|_| names.len() < limit) {
            if !entry.name.starts_with(prefix.as_bytes()) {
                break;
            }
            if after.is_none_or(|after| entry.name > after.as_bytes()) {
                names.push(String::from_utf8_lossy(entry.name).into_owned());
            }
        }
        Ok(names)
    }

    fn with_entities(&self, patterns: &[Pattern]) -> Result<RoaringBitmap> {
        let mut hits = RoaringBitmap::new();
        each_match(self.table(|sections| &sections.entities)?, patterns, |entry| {
            let (entity, locals) = self.entity_of(entry)?;
            hits.extend((0..entity.count).filter_map(|nth| self.local_at(locals, nth)));
            Ok(())
        })?;
        Ok(hits)
    }

    /// The events that have what is asked for of one coordinate.
    pub(super) fn with(&self, asked: &Asked<'_>) -> Result<AnyOf<'_>> {
        match asked {
            Asked::Entity(patterns) => Ok(self.with_entities(patterns)?.into()),
            Asked::Tags(tags) => any_of(self.table(|sections| &sections.tags)?, tags),
            Asked::Fact(facts) => any_of(self.table(|sections| &sections.facts)?, facts),
            Asked::Scope(patterns) => {
                let mut any = AnyOf::default();
                each_match(self.table(|sections| &sections.scopes)?, patterns, |entry| {
                    any.push(stored(entry.value)?);
                    Ok(())
                })?;
                Ok(any)
            }
        }
    }

    pub(crate) fn zones(&self, events: Range<u32>) -> Result<Vec<Zone>> {
        let Contents { blocks, sections } = self.contents()?;
        let place = &sections.zones;
        let mut zones = Vec::new();
        for nth in place.holding(blocks, events.start)?..place.count() {
            let zone = place.zone(blocks, nth, self.summary.count)?;
            if zone.events.start >= events.end {
                break;
            }
            zones.push(zone);
        }
        Ok(zones)
    }

    /// Local numbers of events that stand apart from their zones.
    pub(crate) fn apart(&self) -> Result<RoaringBitmap> {
        let Contents { blocks, sections } = self.contents()?;
        Ok(set::read(blocks.get(sections.apart.clone())?))
    }

    /// Hands over the events that stand apart, by clock and then in their order, as long as `each`
    /// wants more.
    pub(crate) fn each_late(
        &self,
        range: &ClockRange,
        mut each: impl FnMut(&[u8], u32) -> bool,
    ) -> Result<()> {
        let start = range.from.as_deref().unwrap_or_default();
        let mut cursor = self.table(|sections| &sections.late)?.from(start)?;
        while let Some(entry) = cursor.next()? {
            let above = range.to.as_deref().is_some_and(|to| entry.name > to)
                || range.before.as_deref().is_some_and(|before| entry.name >= before);
            let events = set::read(entry.value);
            if above || !events.into_iter().all(|local| each(entry.name, local)) {
                break;
            }
        }
        Ok(())
    }
}

impl Contents {
    fn open(fs: &dyn Fs, path: &Path, segment: &Segment, start: u64) -> Option<(Summary, Self)> {
        let (blocks, fields) = Blocks::open(fs, path, MAGIC, salt(segment, start))?;
        let Header { summary, sections } = Header::decode(segment, &fields, blocks.length())?;
        (summary.extent.start == start).then_some((summary, Self { blocks, sections }))
    }
}

/// The sets of names.
fn any_of<'a>(table: Table<'a>, names: &[String]) -> Result<AnyOf<'a>> {
    let mut any = AnyOf::default();
    for name in names {
        if let Some(entry) = table.exact(name.as_bytes())? {
            any.push(stored(entry.value)?);
        }
    }
    Ok(any)
}

/// A set that stands in the file, and that this thread is about to go through.
fn stored(value: &[u8]) -> Result<Set<'_>> {
    patience::spend(value.len())?;
    Ok(set::stored(value))
}

/// The entries whose names match: those below a common prefix stand together.
fn each_match<'a>(
    table: Table<'a>,
    patterns: &[Pattern],
    mut each: impl FnMut(&Entry<'a>) -> Result<()>,
) -> Result<()> {
    for pattern in patterns {
        if let Pattern::Exact(name) = pattern {
            table.exact(name.as_bytes())?.iter().try_for_each(&mut each)?;
            continue;
        }
        let prefix = pattern.prefix().as_bytes();
        let mut cursor: Cursor<'a> = table.from(prefix)?;
        while let Some(entry) = cursor.next()? {
            if !entry.name.starts_with(prefix) {
                break;
            }
            if std::str::from_utf8(entry.name).is_ok_and(|name| pattern.matches(name)) {
                each(&entry)?;
            }
        }
    }
    Ok(())
}
