//! The index of a stretch of the log in a file: written once, mapped, checked section by section on
//! first touch, so that opening reads one page however large it is.
//!
//! Private format: a file of another version, store, segment or stretch, or with a wrong CRC, is as
//! good as missing.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hashbrown::HashMap;
use roaring::RoaringBitmap;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

use super::tail::{Entries, Tail};
use super::{EntityEntry, ZONE_EVENTS};
use crate::codec::{Reader, patch, put_u32, put_u64, u32_at, u64_at};
use crate::error::{AtPath, Error, Result};
use crate::filter::Pattern;
use crate::frame::RunningHash;
use crate::fs::{Fs, Map, Moment, OpenMode, patience, read_all};
use crate::limits::{CLOCK_MAX_BYTES, SEGMENT_MAX_BYTES};
use crate::segment::Segment;

const MAGIC: [u8; 8] = *b"TETRAIDX";
const VERSION: u32 = 1;
const SECTIONS: usize = 10;
const SECTION_ROW: usize = 24;
const FIXED: usize = 152;
const HEADER_LEN: usize = FIXED + SECTIONS * SECTION_ROW + 4;
const ENTITY_ROW: usize = 32;
const NAMED_ROW: usize = 16;
const ZONE_ROW: usize = 2 + 2 * CLOCK_MAX_BYTES;
const NO_POSITION: u64 = u64::MAX;

/// Sections of the file, in order.
#[derive(Debug, Clone, Copy)]
enum Section {
    Offsets,
    Entities,
    EntityNames,
    EntitySlots,
    Postings,
    Facts,
    Scopes,
    Tags,
    Zones,
    Ids,
}

/// The stretch of a segment that a part covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// CRC of the frame that ends at `end`.
    pub(crate) last_frame_crc: u32,
}

/// The entity and id tables' hash: keyed by the segment's salt, so that nobody can choose names that
/// collide.
fn hash(segment: &Segment, parts: &[&[u8]]) -> u64 {
    let key = u64::from_le_bytes(segment.header.salt);
    let mut hasher = SipHasher13::new_with_keys(key, !key);
    for part in parts {
        hasher.write(part);
    }
    hasher.finish()
}

pub(super) fn id_hash(segment: &Segment, entity: &str, id: &[u8; 16]) -> u64 {
    hash(segment, &[id, entity.as_bytes()])
}

#[derive(Debug)]
enum Bytes {
    Mapped(Map),
    Owned(Vec<u8>),
}

impl Bytes {
    /// Whether this thread may touch a range now.
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

    fn get(&self, range: Range<usize>) -> Option<&[u8]> {
        match self {
            Self::Mapped(map) => map.get(range),
            Self::Owned(bytes) => bytes.get(range),
        }
    }
}

/// A part in a file.
#[derive(Debug)]
pub(crate) struct IndexFile {
    path: PathBuf,
    segment: Arc<Segment>,
    bytes: Bytes,
    base: u64,
    count: u32,
    extent: Extent,
    new_entities: u64,
    last_store_clock: u64,
    stretch: Stretch,
    sections: [(Range<usize>, u32); SECTIONS],
    /// A bit for each section whose CRC held.
    checked: AtomicU32,
}

/// What only the builder of the index knows of its stretch, kept so that opening needs no scan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    /// Recorded time of the last frame.
    pub(crate) recorded_us: u64,
    /// Frames from the segment's start on, the seal not counted.
    pub(crate) frames: u64,
    /// Running hash over these frames.
    pub(crate) running: RunningHash,
}

impl IndexFile {
    /// Opens the index of a stretch of `segment`; `None` if there is none that can be used.
    pub(crate) fn open(fs: &dyn Fs, path: &Path, segment: &Arc<Segment>) -> Option<Self> {
        let file = fs.open(path, OpenMode::Read).ok()?;
        let bytes = match file.map().ok()? {
            Some(map) => {
                map.publish(file.length().ok()?);
                Bytes::Mapped(map)
            }
            None => Bytes::Owned(read_all(&*file, SEGMENT_MAX_BYTES).ok()?),
        };
        let header = bytes.get(0..HEADER_LEN)?;
        let (fields, crc) = header.split_last_chunk::<4>()?;
        if crc32fast::hash(fields) != u32::from_le_bytes(*crc) {
            return None;
        }
        let mut reader = Reader::new(fields);
        let known = reader.array()? == MAGIC && reader.u32()? == VERSION;
        reader.u32()?;
        let ours = reader.array()? == segment.header.store_id
            && reader.u64()? == segment.header.number
            && reader.u64()? == segment.header.generation
            && reader.array()? == segment.header.salt;
        if !known || !ours {
            return None;
        }
        let (start, end) = (reader.u64()?, reader.u64()?);
        let extent = Extent { start, end, last_frame_crc: reader.u32()? };
        let count = reader.u32()?;
        let base = reader.u64()?;
        let new_entities = reader.u64()?;
        let last_store_clock = reader.u64()?;
        let stretch = Stretch {
            recorded_us: reader.u64()?,
            frames: reader.u64()?,
            running: RunningHash(reader.array()?),
        };
        let mut sections: [(Range<usize>, u32); SECTIONS] = Default::default();
        for section in &mut sections {
            let (start, length) = (reader.u64()? as usize, reader.u64()? as usize);
            *section = (start..start.checked_add(length)?, reader.u32()?);
            reader.u32()?;
            bytes.get(section.0.clone())?;
        }
        Some(Self {
            path: path.to_owned(),
            segment: Arc::clone(segment),
            bytes,
            base,
            count,
            extent,
            new_entities,
            last_store_clock,
            stretch,
            sections,
            checked: AtomicU32::new(0),
        })
    }

    /// A section's bytes; its CRC is checked the first time.
    fn section(&self, section: Section) -> Result<&[u8]> {
        let damaged = || Error::StaleIndex { path: self.path.clone() };
        let (range, crc) = self.sections.get(section as usize).ok_or_else(damaged)?;
        let bytes = self.bytes.get(range.clone()).ok_or_else(damaged)?;
        self.bytes.at_hand(range)?;
        let bit = 1 << section as u32;
        if self.checked.load(Ordering::Relaxed) & bit == 0 {
            patience::spend(range.len())?;
            self.bytes.ask_ahead(range);
            if crc32fast::hash(bytes) != *crc {
                return Err(damaged());
            }
            self.checked.fetch_or(bit, Ordering::Relaxed);
        }
        Ok(bytes)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn extent(&self) -> Extent {
        self.extent
    }

    pub(crate) fn new_entities(&self) -> u64 {
        self.new_entities
    }

    pub(crate) fn last_store_clock(&self) -> u64 {
        self.last_store_clock
    }

    pub(crate) fn stretch(&self) -> Stretch {
        self.stretch
    }

    pub(crate) fn offset(&self, local: u32) -> Result<Option<u32>> {
        let offset = u32_at(self.section(Section::Offsets)?, local as usize * 4);
        Ok(Some(offset).filter(|offset| *offset != 0))
    }

    pub(crate) fn entity(&self, name: &str) -> Result<Option<EntityEntry>> {
        let slots = self.section(Section::EntitySlots)?;
        if slots.is_empty() {
            return Ok(None);
        }
        let mask = (slots.len() / 4).wrapping_sub(1);
        let mut at = hash(&self.segment, &[name.as_bytes()]) as usize;
        for _ in 0..=mask {
            let ordinal = match u32_at(slots, (at & mask) * 4) {
                0 => return Ok(None),
                stored => stored - 1,
            };
            if self.entity_name(ordinal)? == name.as_bytes() {
                return self.entity_row(ordinal).map(Some);
            }
            at = at.wrapping_add(1);
        }
        Ok(None)
    }

    fn entity_count(&self) -> Result<u32> {
        Ok((self.section(Section::Entities)?.len() / ENTITY_ROW) as u32)
    }

    fn entity_name(&self, ordinal: u32) -> Result<&[u8]> {
        let rows = self.section(Section::Entities)?;
        let at = ordinal as usize * ENTITY_ROW;
        let (start, length) = (u32_at(rows, at) as usize, u32_at(rows, at + 4) as usize);
        Ok(self.section(Section::EntityNames)?.get(start..start + length).unwrap_or_default())
    }

    fn entity_row(&self, ordinal: u32) -> Result<EntityEntry> {
        let rows = self.section(Section::Entities)?;
        let at = ordinal as usize * ENTITY_ROW;
        Ok(EntityEntry {
            slot: ordinal,
            first_version: u64_at(rows, at + 8),
            previous: Some(u64_at(rows, at + 16)).filter(|position| *position != NO_POSITION),
            count: u32_at(rows, at + 28),
        })
    }

    fn postings(&self, ordinal: u32) -> Result<impl Iterator<Item = u32>> {
        let at = ordinal as usize * ENTITY_ROW;
        let rows = self.section(Section::Entities)?;
        let (start, count) = (u32_at(rows, at + 24) as usize, u32_at(rows, at + 28) as usize);
        let bytes = self.section(Section::Postings)?;
        let own = bytes.get(start * 4..(start + count) * 4).unwrap_or_default();
        Ok(own.chunks_exact(4).map(|chunk| u32_at(chunk, 0)))
    }

    pub(crate) fn posting(&self, entry: &EntityEntry, nth: u32) -> Result<Option<u32>> {
        if nth >= entry.count {
            return Ok(None);
        }
        let at = entry.slot as usize * ENTITY_ROW;
        let start = u32_at(self.section(Section::Entities)?, at + 24) as usize;
        Ok(Some(u32_at(self.section(Section::Postings)?, (start + nth as usize) * 4)))
    }

    /// The first entity whose name is not below `name`.
    fn lower_bound(&self, name: &[u8]) -> Result<u32> {
        let (mut low, mut high) = (0, self.entity_count()?);
        while low < high {
            let middle = low.midpoint(high);
            if self.entity_name(middle)? < name {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    pub(crate) fn names(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        let start = after.filter(|after| *after > prefix).unwrap_or(prefix);
        let mut names = Vec::new();
        for ordinal in self.lower_bound(start.as_bytes())?..self.entity_count()? {
            let name = self.entity_name(ordinal)?;
            if !name.starts_with(prefix.as_bytes()) || names.len() == limit {
                break;
            }
            if after.is_none_or(|after| name > after.as_bytes()) {
                names.push(String::from_utf8_lossy(name).into_owned());
            }
        }
        Ok(names)
    }

    pub(crate) fn with_entities(&self, patterns: &[Pattern]) -> Result<RoaringBitmap> {
        let mut hits = RoaringBitmap::new();
        for pattern in patterns {
            if let Pattern::Exact(name) = pattern {
                if let Some(entry) = self.entity(name)? {
                    hits.extend(self.postings(entry.slot)?);
                }
                continue;
            }
            let prefix = pattern.prefix().as_bytes();
            for ordinal in self.lower_bound(prefix)?..self.entity_count()? {
                let name = self.entity_name(ordinal)?;
                if !name.starts_with(prefix) {
                    break;
                }
                if std::str::from_utf8(name).is_ok_and(|name| pattern.matches(name)) {
                    hits.extend(self.postings(ordinal)?);
                }
            }
        }
        Ok(hits)
    }

    pub(crate) fn with_id(&self, entity: &str, id: &[u8; 16]) -> Result<Vec<u32>> {
        let slots = self.section(Section::Ids)?;
        if slots.is_empty() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        let mask = (slots.len() / 8).wrapping_sub(1);
        let hash = id_hash(&self.segment, entity, id);
        let mut at = hash as usize;
        while let Some(stored) = slots.get((at & mask) * 8..(at & mask) * 8 + 8) {
            let (fingerprint, local) = (u32_at(stored, 0), u32_at(stored, 4));
            if local == 0 {
                break;
            }
            if fingerprint == (hash >> 32) as u32 {
                found.push(local - 1);
            }
            at = at.wrapping_add(1);
        }
        Ok(found)
    }

    pub(crate) fn zone(&self, zone: u32) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        let at = zone as usize * ZONE_ROW;
        let Some(row) = self.section(Section::Zones)?.get(at..at + ZONE_ROW) else {
            return Ok(None);
        };
        let mut reader = Reader::new(row);
        Ok((|| {
            let (min, max) = (usize::from(reader.u8()?), usize::from(reader.u8()?));
            let (low, high) = (reader.take(CLOCK_MAX_BYTES)?, reader.take(CLOCK_MAX_BYTES)?);
            Some((low.get(..min)?.to_vec(), high.get(..max)?.to_vec()))
        })())
    }

    pub(crate) fn with_facts(&self, facts: &[String]) -> Result<RoaringBitmap> {
        let table = Named::new(self.section(Section::Facts)?);
        let mut hits = RoaringBitmap::new();
        for fact in facts {
            hits |= table.exact(fact.as_bytes());
        }
        Ok(hits)
    }

    pub(crate) fn with_scopes(&self, patterns: &[Pattern]) -> Result<RoaringBitmap> {
        let table = Named::new(self.section(Section::Scopes)?);
        let mut hits = RoaringBitmap::new();
        for pattern in patterns {
            match pattern {
                Pattern::Exact(scope) => hits |= table.exact(scope.as_bytes()),
                Pattern::Prefix(_) | Pattern::Below(_) => table.matching(pattern, &mut hits),
            }
        }
        Ok(hits)
    }

    pub(crate) fn with_tag(&self, tag: &str) -> Result<RoaringBitmap> {
        Ok(Named::new(self.section(Section::Tags)?).exact(tag.as_bytes()))
    }
}

/// A sorted table of names with a bitmap each: count, rows, then names and bitmaps.
#[derive(Debug, Clone, Copy)]
struct Named<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> Named<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, count: u32_at(bytes, 0) as usize }
    }

    fn row(&self, nth: usize) -> (&'a [u8], &'a [u8]) {
        let at = 4 + nth * NAMED_ROW;
        let piece = |at| {
            let (start, length) = (u32_at(self.bytes, at) as usize, u32_at(self.bytes, at + 4));
            self.bytes.get(start..start + length as usize).unwrap_or_default()
        };
        (piece(at), piece(at + 8))
    }

    fn lower_bound(&self, name: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            if self.row(middle).0 < name {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn exact(&self, name: &[u8]) -> RoaringBitmap {
        let nth = self.lower_bound(name);
        let (found, bitmap) = self.row(nth);
        if nth < self.count && found == name { bitmap_from(bitmap) } else { RoaringBitmap::new() }
    }

    /// The names that match stand together, behind those below their common prefix.
    fn matching(&self, pattern: &Pattern, hits: &mut RoaringBitmap) {
        let prefix = pattern.prefix().as_bytes();
        for nth in self.lower_bound(prefix)..self.count {
            let (name, bitmap) = self.row(nth);
            if !name.starts_with(prefix) {
                break;
            }
            if std::str::from_utf8(name).is_ok_and(|name| pattern.matches(name)) {
                *hits |= bitmap_from(bitmap);
            }
        }
    }

    fn build(map: &HashMap<Box<str>, RoaringBitmap>) -> Vec<u8> {
        let mut names: Vec<_> = map.iter().collect();
        names.sort_unstable_by(|a, b| a.0.cmp(b.0));
        let mut out = vec![0; 4 + names.len() * NAMED_ROW];
        patch(&mut out, 0, &(names.len() as u32).to_le_bytes());
        for (nth, (name, bitmap)) in names.into_iter().enumerate() {
            let start = out.len();
            out.extend_from_slice(name.as_bytes());
            let bitmap_start = out.len();
            // Writing into a vector cannot fail.
            let _ = bitmap.serialize_into(&mut out);
            let row = [start, name.len(), bitmap_start, out.len() - bitmap_start];
            for (field, value) in row.into_iter().enumerate() {
                let at = 4 + nth * NAMED_ROW + field * 4;
                patch(&mut out, at, &(value as u32).to_le_bytes());
            }
        }
        out
    }
}

fn bitmap_from(bytes: &[u8]) -> RoaringBitmap {
    // The section's CRC held, so this is what was serialized.
    RoaringBitmap::deserialize_from(bytes).unwrap_or_default()
}

impl Tail {
    /// Writes the tail's index to a file, replacing what is there. Not synced: after a power cut its
    /// CRCs tell whether it is whole.
    pub(crate) fn write(&self, fs: &dyn Fs, path: &Path, stretch: Stretch) -> Result<()> {
        let bytes = self.serialize(stretch);
        let temporary = path.with_extension("tmp");
        let file = fs.open(&temporary, OpenMode::Create).at(&temporary)?;
        file.write_at(&bytes, 0).at(&temporary)?;
        fs.rename(&temporary, path).at(path)
    }

    fn serialize(&self, stretch: Stretch) -> Vec<u8> {
        let extent = self.extent();
        let entries = self.entries.read();
        let mut out = vec![0; HEADER_LEN];
        let mut rows = Vec::new();
        let (entities, names, slots, postings) = serialize_entities(self.segment(), &entries);
        let sections = [
            entries.offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect(),
            entities,
            names,
            slots,
            postings,
            Named::build(&entries.facts),
            Named::build(&entries.scopes),
            Named::build(&entries.tags),
            serialize_zones(&entries),
            serialize_ids(&entries),
        ];
        for section in sections {
            put_u64(&mut rows, out.len() as u64);
            put_u64(&mut rows, section.len() as u64);
            put_u32(&mut rows, crc32fast::hash(&section));
            put_u32(&mut rows, 0);
            out.extend_from_slice(&section);
        }
        let header = &self.segment().header;
        let mut fixed = Vec::with_capacity(HEADER_LEN);
        fixed.extend_from_slice(&MAGIC);
        put_u32(&mut fixed, VERSION);
        put_u32(&mut fixed, 0);
        fixed.extend_from_slice(&header.store_id);
        put_u64(&mut fixed, header.number);
        put_u64(&mut fixed, header.generation);
        fixed.extend_from_slice(&header.salt);
        put_u64(&mut fixed, extent.start);
        put_u64(&mut fixed, extent.end);
        put_u32(&mut fixed, extent.last_frame_crc);
        put_u32(&mut fixed, entries.offsets.len() as u32);
        put_u64(&mut fixed, self.base());
        put_u64(&mut fixed, entries.new_entities);
        put_u64(&mut fixed, entries.last_store_clock);
        put_u64(&mut fixed, stretch.recorded_us);
        put_u64(&mut fixed, stretch.frames);
        fixed.extend_from_slice(&stretch.running.0);
        debug_assert_eq!(fixed.len(), FIXED);
        fixed.extend_from_slice(&rows);
        let crc = crc32fast::hash(&fixed);
        put_u32(&mut fixed, crc);
        patch(&mut out, 0, &fixed);
        out
    }
}

/// Rows sorted by name, the names, a hash table of row numbers, and all postings.
fn serialize_entities(
    segment: &Segment,
    entries: &Entries,
) -> (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>) {
    let mut sorted: Vec<_> = entries.entities.iter().collect();
    sorted.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let (mut rows, mut names, mut postings) = (Vec::new(), Vec::new(), Vec::new());
    let capacity = (sorted.len() * 2).next_power_of_two();
    let mut slots = vec![0_u8; capacity * 4];
    for (ordinal, entity) in sorted.into_iter().enumerate() {
        put_u32(&mut rows, names.len() as u32);
        put_u32(&mut rows, entity.name.len() as u32);
        put_u64(&mut rows, entity.first_version);
        put_u64(&mut rows, entity.previous.unwrap_or(NO_POSITION));
        put_u32(&mut rows, (postings.len() / 4) as u32);
        put_u32(&mut rows, entity.postings.len() as u32);
        names.extend_from_slice(entity.name.as_bytes());
        postings.extend(entity.postings.iter().flat_map(|local| local.to_le_bytes()));
        let mut at = hash(segment, &[entity.name.as_bytes()]) as usize & (capacity - 1);
        while u32_at(&slots, at * 4) != 0 {
            at = (at + 1) & (capacity - 1);
        }
        patch(&mut slots, at * 4, &(ordinal as u32 + 1).to_le_bytes());
    }
    (rows, names, slots, postings)
}

fn serialize_zones(entries: &Entries) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.zones.len() * ZONE_ROW);
    for (min, max) in &entries.zones {
        out.extend_from_slice(&[min.len() as u8, max.len() as u8]);
        for clock in [min, max] {
            out.extend_from_slice(clock);
            out.resize(out.len() + CLOCK_MAX_BYTES - clock.len(), 0);
        }
    }
    debug_assert_eq!(entries.zones.len(), entries.offsets.len().div_ceil(ZONE_EVENTS as usize));
    out
}

/// An open-addressing table of fingerprint and local number plus one; half empty.
fn serialize_ids(entries: &Entries) -> Vec<u8> {
    let count: usize = entries.ids.values().map(Vec::len).sum();
    if count == 0 {
        return Vec::new();
    }
    let capacity = (count * 2).next_power_of_two();
    let mut out = vec![0_u8; capacity * 8];
    for (hash, locals) in &entries.ids {
        for local in locals {
            let mut at = *hash as usize & (capacity - 1);
            while u32_at(&out, at * 8 + 4) != 0 {
                at = (at + 1) & (capacity - 1);
            }
            patch(&mut out, at * 8, &((hash >> 32) as u32).to_le_bytes());
            patch(&mut out, at * 8 + 4, &(local + 1).to_le_bytes());
        }
    }
    out
}
