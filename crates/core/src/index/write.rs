//! Writing a tail's index to a file.

use std::borrow::Cow;
use std::path::Path;

use roaring::RoaringBitmap;

use super::blocks::{BlockWriter, beside};
use super::file::{Header, Sections, Stretch, Summary, local_bytes, put_entity, put_local, salt};
use super::offsets::{self, OffsetWriter, Widest};
use super::table::{self, TableWriter};
use super::tail::{Entries, Tail, TailEntity};
use super::zones::{Zone, ZoneWriter};
use super::{EntityEntry, ZONE_EVENTS, set};
use crate::error::Result;
use crate::fs::Fs;
use crate::names::Names;
use crate::record::Record;
use crate::segment::Segment;

/// What is being written to.
struct Target<'a> {
    fs: &'a dyn Fs,
    path: &'a Path,
    store_id: [u8; 16],
    out: BlockWriter<'a>,
}

impl Tail {
    /// Writes the tail's index to a file, replacing what is there. Not synced: after a power cut its
    /// CRCs tell whether it is whole. Clocks are read from the records, so that appends need not keep
    /// them.
    pub(crate) fn write(&self, fs: &dyn Fs, path: &Path, stretch: Stretch) -> Result<()> {
        let extent = self.extent();
        let segment = self.segment();
        let store_id = segment.header.store_id;
        let out = BlockWriter::create(fs, path, salt(segment, extent.start))?;
        let mut target = Target { fs, path, store_id, out };
        let entries = self.entries.read();
        let mut sections = Sections { offsets: target.offsets(&entries)?, ..Sections::default() };
        target.clocks(segment, &entries, &mut sections)?;
        target.ids(&entries, &mut sections)?;
        sections.entities = target.entities(self.base(), &entries)?;
        sections.facts = target.sets(&entries.facts)?;
        sections.scopes = target.sets(&entries.scopes)?;
        sections.tags = target.sets(&entries.tags)?;
        let summary = Summary {
            base: self.base(),
            count: entries.offsets.len() as u32,
            extent,
            new_entities: entries.new_entities,
            last_store_clock: entries.last_store_clock,
            stretch,
        };
        Header { summary, sections }.finish(segment, target.out)
    }
}

impl<'a> Target<'a> {
    fn table(&self) -> TableWriter<'a> {
        TableWriter::new(self.fs, &beside(self.path, "sort"), self.store_id, &self.out)
    }

    fn offsets(&mut self, entries: &Entries) -> Result<offsets::Place> {
        let mut widest = Widest::default();
        entries.offsets.iter().for_each(|offset| widest.see(*offset));
        let mut writer = OffsetWriter::new(&self.out, widest.bytes());
        entries.offsets.iter().try_for_each(|offset| writer.push(&mut self.out, *offset))?;
        Ok(writer.finish(&self.out))
    }

    /// Zones, and the events that stand apart from theirs.
    fn clocks(
        &mut self,
        segment: &Segment,
        entries: &Entries,
        sections: &mut Sections,
    ) -> Result<()> {
        let mut writer = ZoneWriter::new(&self.out);
        let mut late = Vec::new();
        let mut first = 0;
        for offsets in entries.offsets.chunks(ZONE_EVENTS as usize) {
            let records = offsets.iter().map(|offset| segment.record(u64::from(*offset)));
            let records = records.collect::<Result<Vec<Cow<'_, [u8]>>>>()?;
            let clocks = records.iter().zip(offsets).map(|(bytes, offset)| {
                let clock = Record::parse(bytes).map(|record| record.clock);
                let length = bytes.len() as u64;
                let reason = "a record cannot be parsed";
                clock.ok_or_else(|| segment.damaged(u64::from(*offset), length, reason))
            });
            let clocks = clocks.collect::<Result<Vec<&[u8]>>>()?;
            if let Some((zone, apart)) = Zone::judge(first, &clocks) {
                writer.push(&mut self.out, &zone)?;
                let clock = |local: u32| clocks.get((local - first) as usize).copied();
                late.extend(
                    apart.into_iter().filter_map(|local| Some((clock(local)?.to_vec(), local))),
                );
            }
            first += offsets.len() as u32;
        }
        sections.zones = writer.finish(&mut self.out)?;
        let mut value = Vec::new();
        set::put(&mut value, &late.iter().map(|(_, local)| *local).collect());
        let start = self.out.position();
        self.out.push(&value)?;
        sections.apart = start..self.out.position();
        late.sort_unstable();
        let mut table = self.table();
        for same in late.chunk_by(|(a, _), (b, _)| a == b) {
            let Some((clock, _)) = same.first() else { continue };
            value.clear();
            set::put(&mut value, &same.iter().map(|(_, local)| *local).collect());
            table.push(&mut self.out, clock, &value)?;
        }
        sections.late = table.finish(&mut self.out)?;
        Ok(())
    }

    fn ids(&mut self, entries: &Entries, sections: &mut Sections) -> Result<()> {
        let mut rows: Vec<(u64, u32)> = entries
            .ids
            .iter()
            .flat_map(|(hash, locals)| locals.iter().map(|local| (*hash, *local)))
            .collect();
        rows.sort_unstable();
        self.out.pad(8)?;
        let start = self.out.position();
        for (hash, local) in rows {
            self.out.push(&hash.to_le_bytes())?;
            self.out.push(&local.to_le_bytes())?;
        }
        sections.ids = start..self.out.position();
        Ok(())
    }

    fn entities(&mut self, base: u64, entries: &Entries) -> Result<table::Place> {
        let mut sorted: Vec<(&str, &TailEntity)> = entries.entities.iter().collect();
        sorted.sort_unstable_by_key(|(name, _)| *name);
        let bytes = local_bytes(entries.offsets.len() as u32);
        let mut table = self.table();
        let mut value = Vec::new();
        for (name, entity) in sorted {
            value.clear();
            let entry = EntityEntry {
                slot: 0,
                first_version: entity.first_version,
                count: entity.postings.len() as u32,
                previous: entity.previous,
            };
            put_entity(&mut value, base, &entry);
            entity.postings.iter().for_each(|local| put_local(&mut value, *local, bytes));
            table.push(&mut self.out, name.as_bytes(), &value)?;
        }
        table.finish(&mut self.out)
    }

    fn sets(&mut self, sets: &Names<RoaringBitmap>) -> Result<table::Place> {
        let mut sorted: Vec<_> = sets.iter().collect();
        sorted.sort_unstable_by_key(|(name, _)| *name);
        let mut table = self.table();
        let mut value = Vec::new();
        for (name, numbers) in sorted {
            value.clear();
            set::put(&mut value, numbers);
            table.push(&mut self.out, name.as_bytes(), &value)?;
        }
        table.finish(&mut self.out)
    }
}
