//! The index of the newest stretch of the log, in memory. Grows event by event until it becomes a run.
//!
//! The writer adds events before they are durable; readers stay below the watermark, so what they ask
//! of a tail is cut by position, not by the tail.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use hashbrown::HashMap;
use parking_lot::{RwLock, RwLockWriteGuard};
use roaring::{MultiOps, RoaringBitmap};

use super::hash::id_hash;
use super::{Asked, EntityEntry, Extent, LOST, Stretch, ZONE_EVENTS, Zone};
use crate::error::Result;
use crate::filter::Pattern;
use crate::names::Names;
use crate::record::Record;
use crate::segment::Segment;

/// What the index keeps of an event.
#[derive(Debug)]
pub(crate) struct Keys<'a> {
    pub(crate) entity: &'a str,
    pub(crate) fact: &'a str,
    pub(crate) scope: &'a str,
    pub(crate) clock: &'a [u8],
    pub(crate) tags: &'a [&'a str],
    /// The id, if the caller gave it.
    pub(crate) id: Option<[u8; 16]>,
    pub(crate) version: u64,
    /// Position of the entity's previous event.
    pub(crate) previous: Option<u64>,
    /// Whether the store made the clock.
    pub(crate) store_clock: bool,
}

/// Reads a record's strings and hands its keys to `use_keys`.
pub(crate) fn keys_of(
    segment: &Segment,
    record: &Record<'_>,
    position: u64,
    use_keys: impl FnOnce(&Keys<'_>),
) -> Result<()> {
    let tags = record.tags().map(|tag| segment.string(tag)).collect::<Result<Vec<_>>>()?;
    let tags: Vec<&str> = tags.iter().map(AsRef::as_ref).collect();
    use_keys(&Keys {
        entity: &segment.string(record.entity)?,
        fact: &segment.string(record.fact)?,
        scope: &segment.string(record.scope)?,
        clock: record.clock,
        tags: &tags,
        id: record.given_id.then_some(*record.id),
        version: record.version,
        previous: position.checked_sub(record.back).filter(|_| record.back > 0),
        store_clock: record.store_clock,
    });
    Ok(())
}

/// Numbers that an event's names have in a tail, as far as they are known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Numbers {
    pub(crate) entity: Option<u32>,
    pub(crate) fact: Option<u32>,
    pub(crate) scope: Option<u32>,
}

/// An entity of a tail.
#[derive(Debug)]
pub(super) struct TailEntity {
    pub(super) first_version: u64,
    pub(super) previous: Option<u64>,
    pub(super) postings: Vec<u32>,
}

impl TailEntity {
    fn whole(&self) -> impl Iterator<Item = u32> {
        self.postings.iter().copied().filter(|local| *local != LOST)
    }
}

/// The state of a tail.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// Offset of each record; 0 where the record is damaged.
    pub(super) offsets: Vec<u32>,
    pub(super) entities: Names<TailEntity>,
    pub(super) facts: Names<RoaringBitmap>,
    pub(super) scopes: Names<RoaringBitmap>,
    pub(super) tags: Names<RoaringBitmap>,
    pub(super) zones: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) ids: HashMap<u64, Vec<u32>>,
    holes: RoaringBitmap,
    pub(super) last_store_clock: u64,
    pub(super) new_entities: u64,
    pub(super) end: u64,
    pub(super) last_frame_crc: u32,
}

/// A part in memory.
#[derive(Debug)]
pub(crate) struct Tail {
    segment: Arc<Segment>,
    base: u64,
    start: u64,
    /// Set when the tail grows no more.
    stretch: OnceLock<Stretch>,
    pub(super) entries: RwLock<Entries>,
}

impl Tail {
    /// An empty tail for what comes at `start` of a segment, from position `base`.
    pub(crate) fn new(segment: &Arc<Segment>, base: u64, start: u64) -> Self {
        let entries = Entries { end: start, ..Entries::default() };
        let (segment, stretch) = (Arc::clone(segment), OnceLock::new());
        Self { segment, base, start, stretch, entries: RwLock::new(entries) }
    }

    /// Declares that nothing will be added any more.
    pub(crate) fn finish(&self, stretch: Stretch) {
        let _ = self.stretch.set(stretch);
    }

    /// Whether it covers anything: events, or frames without some.
    pub(crate) fn is_worth_keeping(&self) -> bool {
        self.count() > 0 || self.extent().end > self.start
    }

    /// What its builder knows of the stretch, once nothing is added any more.
    pub(crate) fn stretch(&self) -> Option<Stretch> {
        self.stretch.get().copied()
    }

    /// Adds the next event.
    pub(crate) fn add(&self, keys: &Keys<'_>, offset: u32) {
        self.entries.write().add(&self.segment, keys, Numbers::default(), offset);
    }

    /// For adding several events. Their records' offsets may come later, by [`Tail::place`].
    pub(crate) fn adding(&self) -> RwLockWriteGuard<'_, Entries> {
        self.entries.write()
    }

    /// Adds positions whose records are damaged.
    pub(crate) fn add_hole(&self, count: u64) {
        let mut entries = self.entries.write();
        let first = entries.offsets.len();
        let length = first + count as usize;
        entries.holes.insert_range(first as u32..length as u32);
        entries.offsets.resize(length, 0);
        let zones = length.div_ceil(ZONE_EVENTS as usize);
        // A zone with an unknown clock could be anything: it overlaps every range.
        entries.zones.resize(zones, (Vec::new(), vec![0xff; 64]));
    }

    /// Sets the offsets of the records from a local number on.
    pub(crate) fn place(&self, first: u32, offsets: &[u32]) {
        let mut entries = self.entries.write();
        for (slot, offset) in entries.offsets.iter_mut().skip(first as usize).zip(offsets) {
            *slot = *offset;
        }
    }

    /// Declares the segment covered up to a frame's end.
    pub(crate) fn cover(&self, end: u64, frame_crc: u32) {
        let mut entries = self.entries.write();
        entries.end = end;
        entries.last_frame_crc = frame_crc;
    }

    /// Local numbers of damaged events.
    pub(crate) fn holes(&self) -> RoaringBitmap {
        self.entries.read().holes.clone()
    }

    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    pub(crate) fn count(&self) -> u32 {
        self.entries.read().offsets.len() as u32
    }

    pub(crate) fn extent(&self) -> Extent {
        let entries = self.entries.read();
        Extent { start: self.start, end: entries.end, last_frame_crc: entries.last_frame_crc }
    }

    pub(crate) fn offset(&self, local: u32) -> Option<u32> {
        let offset = self.entries.read().offsets.get(local as usize).copied();
        offset.filter(|offset| *offset != 0)
    }

    pub(crate) fn entity(&self, name: &str) -> Option<EntityEntry> {
        let entries = self.entries.read();
        entries.entities.find(name).and_then(|slot| {
            let entity = entries.entities.get(slot)?;
            Some(EntityEntry {
                slot,
                first_version: entity.first_version,
                count: entity.postings.len() as u32,
                previous: entity.previous,
            })
        })
    }

    pub(crate) fn posting(&self, entry: &EntityEntry, nth: u32) -> Option<u32> {
        let entries = self.entries.read();
        let entity = entries.entities.get(entry.slot);
        entity.and_then(|entity| entity.postings.get(nth as usize).copied())
    }

    pub(crate) fn postings(&self, entry: &EntityEntry, events: Range<u32>) -> Vec<u32> {
        let entries = self.entries.read();
        let entity = entries.entities.get(entry.slot);
        let events = events.start as usize..events.end as usize;
        entity
            .and_then(|entity| entity.postings.get(events))
            .map(<[u32]>::to_vec)
            .unwrap_or_default()
    }

    pub(crate) fn names(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        let entries = self.entries.read();
        let wanted = |name: &&str| name.starts_with(prefix) && after.is_none_or(|a| *name > a);
        let mut names: Vec<&str> =
            entries.entities.iter().map(|(name, _)| name).filter(wanted).collect();
        names.sort_unstable();
        names.truncate(limit);
        names.into_iter().map(str::to_owned).collect()
    }

    pub(crate) fn with_id(&self, entity: &str, id: &[u8; 16]) -> Vec<u32> {
        let hash = id_hash(self.segment.header.store_id, entity, id);
        self.entries.read().ids.get(&hash).cloned().unwrap_or_default()
    }

    pub(crate) fn zones(&self, events: Range<u32>) -> Vec<Zone> {
        let entries = self.entries.read();
        let count = entries.offsets.len() as u32;
        let first = events.start / ZONE_EVENTS;
        let starts = (first * ZONE_EVENTS..count.min(events.end)).step_by(ZONE_EVENTS as usize);
        let zone = |(start, (min, max)): (u32, &(Vec<u8>, Vec<u8>))| Zone {
            events: start..count.min(start + ZONE_EVENTS),
            min: min.clone(),
            max: max.clone(),
        };
        starts.zip(entries.zones.iter().skip(first as usize)).map(zone).collect()
    }

    pub(crate) fn new_entities(&self) -> u64 {
        self.entries.read().new_entities
    }

    pub(crate) fn last_store_clock(&self) -> u64 {
        self.entries.read().last_store_clock
    }

    /// The events that have what is asked for of one coordinate.
    pub(super) fn with(&self, asked: &Asked<'_>) -> RoaringBitmap {
        let entries = self.entries.read();
        let any_of = |sets: &Names<RoaringBitmap>, names: &[String]| {
            names.iter().filter_map(|name| sets.value(name)).union()
        };
        match asked {
            Asked::Entity(patterns) => entries.with_entities(patterns),
            Asked::Tags(tags) => any_of(&entries.tags, tags),
            Asked::Fact(facts) => any_of(&entries.facts, facts),
            Asked::Scope(patterns) => {
                let wanted = |scope: &str| patterns.iter().any(|pattern| pattern.matches(scope));
                entries.scopes.iter().filter(|(scope, _)| wanted(scope)).map(|(_, set)| set).union()
            }
        }
    }
}

impl Entries {
    fn with_entities(&self, patterns: &[Pattern]) -> RoaringBitmap {
        let mut hits = RoaringBitmap::new();
        for pattern in patterns {
            if let Pattern::Exact(name) = pattern {
                let slot = self.entities.find(name);
                if let Some(entity) = slot.and_then(|slot| self.entities.get(slot)) {
                    hits.extend(entity.whole());
                }
            } else {
                let matching = self.entities.iter().filter(|(name, _)| pattern.matches(name));
                for (_, entity) in matching {
                    hits.extend(entity.whole());
                }
            }
        }
        hits
    }

    /// Adds the next event of the segment. Numbers of its names that are known already need not be
    /// looked up; returned are those that they have.
    pub(crate) fn add(
        &mut self,
        segment: &Segment,
        keys: &Keys<'_>,
        known: Numbers,
        offset: u32,
    ) -> Numbers {
        let local = self.offsets.len() as u32;
        self.offsets.push(offset);
        let slot = known.entity.unwrap_or_else(|| self.slot(keys));
        self.add_posting(slot, keys.version, local);
        let fact = push(&mut self.facts, keys.fact, known.fact, local);
        let scope = push(&mut self.scopes, keys.scope, known.scope, local);
        for tag in keys.tags {
            push(&mut self.tags, tag, None, local);
        }
        self.add_clock(keys, local);
        if let Some(id) = keys.id {
            let hash = id_hash(segment.header.store_id, keys.entity, &id);
            self.ids.entry(hash).or_default().push(local);
        }
        Numbers { entity: Some(slot), fact: Some(fact), scope: Some(scope) }
    }

    /// The slot of an event's entity, which is made if the event is its first here.
    fn slot(&mut self, keys: &Keys<'_>) -> u32 {
        if let Some(slot) = self.entities.find(keys.entity) {
            return slot;
        }
        self.new_entities += u64::from(keys.version == 0);
        let (first_version, previous) = (keys.version, keys.previous);
        self.entities
            .insert(keys.entity, TailEntity { first_version, previous, postings: Vec::new() })
    }

    fn add_posting(&mut self, slot: u32, version: u64, local: u32) {
        if let Some(entity) = self.entities.get_mut(slot) {
            // Versions are dense: those between are among the damaged events.
            let next = entity.first_version + entity.postings.len() as u64;
            let lost = version.saturating_sub(next).min(self.holes.len());
            entity.postings.extend((0..lost).map(|_| LOST));
            entity.postings.push(local);
        }
    }

    fn add_clock(&mut self, keys: &Keys<'_>, local: u32) {
        if keys.store_clock
            && let Some(bytes) = keys.clock.first_chunk()
        {
            self.last_store_clock = self.last_store_clock.max(u64::from_be_bytes(*bytes));
        }
        match self.zones.get_mut((local / ZONE_EVENTS) as usize) {
            None => self.zones.push((keys.clock.to_vec(), keys.clock.to_vec())),
            Some((min, max)) => {
                if keys.clock < min.as_slice() {
                    min.clear();
                    min.extend_from_slice(keys.clock);
                }
                if keys.clock > max.as_slice() {
                    max.clear();
                    max.extend_from_slice(keys.clock);
                }
            }
        }
    }
}

/// Adds an event to the set of a name; returns the name's number.
fn push(sets: &mut Names<RoaringBitmap>, name: &str, known: Option<u32>, local: u32) -> u32 {
    let number = known
        .or_else(|| sets.find(name))
        .unwrap_or_else(|| sets.insert(name, RoaringBitmap::new()));
    if let Some(set) = sets.get_mut(number) {
        // Local numbers only grow: nothing has to be searched.
        let _ = set.try_push(local);
    }
    number
}
