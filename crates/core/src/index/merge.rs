//! Making the index of a sealed segment from those of its stretches, section by section: what is in
//! memory is a buffer, and the longest set or row of postings.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::blocks::{BlockWriter, beside};
use super::directory::Pace;
use super::file::{
    Contents, Extent, Header, IndexFile, Sections, Stretch, Summary, local_bytes, put_entity,
    put_local, salt,
};
use super::offsets::{self, OffsetWriter, Widest};
use super::set;
use super::table::{self, Entry, TableWriter};
use super::zones::{Zone, ZoneWriter};
use crate::error::Result;
use crate::fs::Fs;
use crate::segment::Segment;

/// Events or entries merged between two calls of the pace.
const PACE_EVENTS: u32 = 1 << 15;
const PACE_ENTRIES: usize = 1 << 12;

/// Writes one index for consecutive parts of a segment.
pub(crate) fn merge_parts(
    fs: &dyn Fs,
    path: &Path,
    segment: &Segment,
    parts: &[Arc<IndexFile>],
    stretch: Stretch,
    pace: Pace<'_>,
) -> Result<()> {
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return Ok(()) };
    let extent = Extent { start: first.extent().start, ..last.extent() };
    let count = parts.iter().map(|part| part.count()).sum();
    let mut merge = Merge {
        fs,
        path,
        segment,
        parts,
        base: first.base(),
        count,
        out: BlockWriter::create(fs, path, salt(segment, extent.start))?,
        pace,
    };
    let sections = merge.sections()?;
    let summary = Summary {
        base: first.base(),
        count,
        extent,
        new_entities: parts.iter().map(|part| part.new_entities()).sum(),
        last_store_clock: parts.iter().map(|part| part.last_store_clock()).max().unwrap_or(0),
        stretch,
    };
    Header { summary, sections }.finish(segment, merge.out)
}

struct Merge<'a> {
    fs: &'a dyn Fs,
    path: &'a Path,
    segment: &'a Segment,
    parts: &'a [Arc<IndexFile>],
    base: u64,
    count: u32,
    out: BlockWriter<'a>,
    pace: Pace<'a>,
}

/// The hash of an id, its part, its number there, and its event: lowest first.
type NextId = Reverse<(u64, usize, usize, u32)>;
/// Entries of one name, with the parts that they are from, in order.
type Same<'e> = [(usize, Entry<'e>)];

impl<'a> Merge<'a> {
    fn sections(&mut self) -> Result<Sections> {
        let mut sections = Sections { offsets: self.offsets()?, ..Sections::default() };
        self.zones(&mut sections)?;
        sections.ids = self.ids()?;
        sections.entities = self.entities()?;
        sections.facts = self.sets(|sections| &sections.facts)?;
        sections.scopes = self.sets(|sections| &sections.scopes)?;
        sections.tags = self.sets(|sections| &sections.tags)?;
        sections.late = self.sets(|sections| &sections.late)?;
        Ok(sections)
    }

    /// What a part's local numbers are raised by.
    fn shift(&self, part: usize) -> u32 {
        self.parts.get(part).map_or(0, |part| (part.base() - self.base) as u32)
    }

    fn offsets(&mut self) -> Result<offsets::Place> {
        let mut widest = Widest::default();
        self.each_offset(|_, offset| {
            widest.see(offset);
            Ok(())
        })?;
        let mut writer = OffsetWriter::new(&self.out, widest.bytes());
        self.each_offset(|out, offset| writer.push(out, offset))?;
        Ok(writer.finish(&self.out))
    }

    fn each_offset(
        &mut self,
        mut each: impl FnMut(&mut BlockWriter<'a>, u32) -> Result<()>,
    ) -> Result<()> {
        for part in self.parts {
            let Contents { blocks, sections } = part.contents()?;
            for local in 0..part.count() {
                let offset = sections.offsets.offset(blocks, local)?;
                each(&mut self.out, offset)?;
                if local % PACE_EVENTS == 0 {
                    (self.pace)()?;
                }
            }
        }
        Ok(())
    }

    fn zones(&mut self, sections: &mut Sections) -> Result<()> {
        let mut writer = ZoneWriter::new(&self.out);
        let mut apart = RoaringBitmap::new();
        for (nth, part) in self.parts.iter().enumerate() {
            let shift = self.shift(nth);
            for zone in part.zones(0..part.count())? {
                let events = zone.events.start + shift..zone.events.end + shift;
                writer.push(&mut self.out, &Zone { events, ..zone })?;
            }
            apart.extend(part.apart()?.into_iter().map(|local| local + shift));
        }
        sections.zones = writer.finish(&mut self.out)?;
        let mut value = Vec::new();
        set::put(&mut value, &apart);
        let start = self.out.position();
        self.out.push(&value)?;
        sections.apart = start..self.out.position();
        Ok(())
    }

    fn ids(&mut self) -> Result<Range<usize>> {
        self.out.pad(8)?;
        let start = self.out.position();
        let next = |part: usize, nth: usize| -> Result<Option<NextId>> {
            let Some(file) = self.parts.get(part) else { return Ok(None) };
            if nth >= file.id_count()? {
                return Ok(None);
            }
            let (hash, local) = file.id_row(nth)?;
            Ok(Some(Reverse((hash, part, nth, local))))
        };
        let mut heap = BinaryHeap::new();
        for part in 0..self.parts.len() {
            heap.extend(next(part, 0)?);
        }
        let mut rows = 0_usize;
        while let Some(Reverse((hash, part, nth, local))) = heap.pop() {
            self.out.push(&hash.to_le_bytes())?;
            self.out.push(&(local + self.shift(part)).to_le_bytes())?;
            heap.extend(next(part, nth + 1)?);
            rows += 1;
            if rows.is_multiple_of(PACE_ENTRIES) {
                (self.pace)()?;
            }
        }
        Ok(start..self.out.position())
    }

    fn entities(&mut self) -> Result<table::Place> {
        let (base, bytes) = (self.base, local_bytes(self.count));
        let shifts: Vec<u32> = (0..self.parts.len()).map(|nth| self.shift(nth)).collect();
        let parts = self.parts;
        self.table(
            |sections| &sections.entities,
            |same, value| {
                let mut locals = Vec::new();
                let mut whole = None;
                for (nth, entry) in same {
                    let (Some(part), Some(shift)) = (parts.get(*nth), shifts.get(*nth)) else {
                        continue;
                    };
                    let (entity, own) = part.entity_of(entry)?;
                    let whole = whole.get_or_insert(super::EntityEntry { count: 0, ..entity });
                    whole.count += entity.count;
                    part.each_local(own, |local| put_local(&mut locals, local + shift, bytes));
                }
                if let Some(entity) = &whole {
                    put_entity(value, base, entity);
                }
                value.extend_from_slice(&locals);
                Ok(())
            },
        )
    }

    fn sets(&mut self, choose: fn(&Sections) -> &table::Place) -> Result<table::Place> {
        let shifts: Vec<u32> = (0..self.parts.len()).map(|nth| self.shift(nth)).collect();
        self.table(choose, |same, value| {
            let mut numbers = RoaringBitmap::new();
            for (nth, entry) in same {
                set::add(entry.value, shifts.get(*nth).copied().unwrap_or(0), &mut numbers);
            }
            set::put(value, &numbers);
            Ok(())
        })
    }

    /// Merges the parts' tables; `combine` makes one value of those of a name.
    fn table(
        &mut self,
        choose: fn(&Sections) -> &table::Place,
        mut combine: impl FnMut(&Same<'a>, &mut Vec<u8>) -> Result<()>,
    ) -> Result<table::Place> {
        let spill = beside(self.path, "sort");
        let store_id = self.segment.header.store_id;
        let mut table = TableWriter::new(self.fs, &spill, store_id, &self.out);
        let all = self.parts.iter().map(|part| part.table(choose).map(|table| table.all()));
        let mut cursors = all.collect::<Result<Vec<_>>>()?;
        let mut heap = BinaryHeap::new();
        let mut firsts: Vec<Option<Entry<'a>>> = Vec::new();
        for (nth, cursor) in cursors.iter_mut().enumerate() {
            let first = cursor.next()?;
            heap.extend(first.as_ref().map(|entry| Reverse((entry.name, nth))));
            firsts.push(first);
        }
        let (mut same, mut value) = (Vec::new(), Vec::new());
        let mut entries = 0_usize;
        while let Some(Reverse((name, _))) = heap.peek().copied() {
            same.clear();
            while let Some(Reverse((_, nth))) = heap.peek().copied().filter(|top| top.0.0 == name) {
                heap.pop();
                let (Some(first), Some(cursor)) = (firsts.get_mut(nth), cursors.get_mut(nth))
                else {
                    continue;
                };
                let next = cursor.next()?;
                heap.extend(next.as_ref().map(|entry| Reverse((entry.name, nth))));
                same.extend(std::mem::replace(first, next).map(|entry| (nth, entry)));
                entries += 1;
                if entries.is_multiple_of(PACE_ENTRIES) {
                    (self.pace)()?;
                }
            }
            value.clear();
            combine(&same, &mut value)?;
            table.push(&mut self.out, name, &value)?;
        }
        table.finish(&mut self.out)
    }
}
