//! Indexes over stretches of the log, by coordinate. All of them are derived: each can be deleted and
//! is built again from the log.
//!
//! A *part* covers consecutive positions of one segment. A sealed segment has one part in a mapped
//! file; the active segment has a series of them (runs) and a mutable tail in memory. All answer the
//! same questions, in local numbers: position minus the part's base.

mod blocks;
mod build;
pub(crate) mod directory;
mod file;
mod hash;
mod intersect;
mod merge;
mod offsets;
mod set;
mod sorter;
mod table;
mod tail;
mod tiers;
mod write;
mod zones;

use std::ops::Range;
use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::error::Result;
use crate::filter::{ClockRange, Filter, Pattern};
use crate::fs::Moment;
use crate::segment::Segment;

pub(crate) use build::{Scan, Scanned, follow_frames, index_past_damage, index_runs, is_plausible};
pub(crate) use file::{Extent, IndexFile, Stretch, Summary};
pub(crate) use hash::{id_hash, name_hash};
use intersect::AnyOf;
pub(crate) use merge::merge_parts;
pub(crate) use tail::{Keys, Numbers, Tail};
pub(crate) use tiers::due;
pub(crate) use zones::Zone;

/// Stands in an entity's postings for a version whose event is damaged.
pub(crate) const LOST: u32 = u32::MAX;
/// Events that share one entry of the zone map.
pub(crate) const ZONE_EVENTS: u32 = 256;
/// A tail of so many events becomes a run.
pub(crate) const RUN_MAX_EVENTS: u32 = 65_536;
/// A tail over so many bytes of log becomes a run.
pub(crate) const RUN_MAX_BYTES: u64 = 8 << 20;

/// The index of a stretch of the log.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    /// In memory: the active segment's newest stretch, or one whose file is not written yet.
    Tail(Arc<Tail>),
    /// In a file: a run, or a sealed segment's index.
    File(Arc<IndexFile>),
}

/// An entity's events within a part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EntityEntry {
    /// The part's own number of the entity.
    pub(crate) slot: u32,
    /// Version of its first event here.
    pub(crate) first_version: u64,
    /// Events here.
    pub(crate) count: u32,
    /// Position of its event before the first one here.
    pub(crate) previous: Option<u64>,
}

impl EntityEntry {
    /// Version of its last event here.
    pub(crate) fn last_version(&self) -> u64 {
        self.first_version + u64::from(self.count) - 1
    }
}

/// Events of a part that satisfy a filter: surely, or only if their record says so too.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    pub(crate) sure: RoaringBitmap,
    pub(crate) maybe: RoaringBitmap,
}

/// What a filter asks for of one coordinate: any of some names.
#[derive(Debug)]
enum Asked<'f> {
    Entity(&'f [Pattern]),
    Tags(&'f [String]),
    Fact(&'f [String]),
    Scope(&'f [Pattern]),
}

impl<'f> Asked<'f> {
    /// What a filter asks for, what is cheapest to look up first. Patterns of entities come last: all that
    /// match are gone through.
    fn of(filter: &'f Filter) -> impl Iterator<Item = Self> {
        let entity = filter.entity.as_deref();
        let named = entity.filter(|patterns| patterns.iter().all(Pattern::is_exact));
        let vague = entity.filter(|_| named.is_none());
        let every_tag = filter.tags_all.iter().flat_map(|tags| match tags.as_slice() {
            // An empty list matches nothing.
            [] => vec![Self::Tags(&[])],
            tags => tags.iter().map(|tag| Self::Tags(std::slice::from_ref(tag))).collect(),
        });
        let named = named.map(Self::Entity).into_iter();
        named
            .chain(every_tag)
            .chain(filter.tags_any.as_deref().map(Self::Tags))
            .chain(filter.fact.as_deref().map(Self::Fact))
            .chain(filter.scope.as_deref().map(Self::Scope))
            .chain(vague.map(Self::Entity))
    }
}

macro_rules! either {
    ($self:expr, $part:ident => $call:expr) => {
        match $self {
            Part::Tail($part) => $call,
            Part::File($part) => $call,
        }
    };
}

/// As `either`, where only a file can turn out to be damaged.
macro_rules! answer {
    ($self:expr, $part:ident => $call:expr) => {
        match $self {
            Part::Tail($part) => Ok($call),
            Part::File($part) => $call,
        }
    };
}

impl Part {
    pub(crate) fn segment(&self) -> &Arc<Segment> {
        either!(self, part => part.segment())
    }

    /// Position of local number 0.
    pub(crate) fn base(&self) -> u64 {
        either!(self, part => part.base())
    }

    /// Events in the part. A tail's count grows.
    pub(crate) fn count(&self) -> u32 {
        either!(self, part => part.count())
    }

    /// Bytes of the segment that the part covers.
    pub(crate) fn extent(&self) -> Extent {
        either!(self, part => part.extent())
    }

    /// Says that a record's offset will be asked for soon. `now` is given if the disk may be asked.
    pub(crate) fn expect_offset(&self, local: u32, now: Option<Moment>) {
        if let Self::File(file) = self {
            file.expect_offset(local, now);
        }
    }

    /// Offset of a record in the segment; `None` for a position whose record is damaged.
    pub(crate) fn offset(&self, local: u32) -> Result<Option<u32>> {
        answer!(self, part => part.offset(local))
    }

    /// An entity's events here.
    pub(crate) fn entity(&self, name: &str) -> Result<Option<EntityEntry>> {
        answer!(self, part => part.entity(name))
    }

    /// Local number of an entity's n-th event here.
    pub(crate) fn posting(&self, entry: &EntityEntry, nth: u32) -> Result<Option<u32>> {
        answer!(self, part => part.posting(entry, nth))
    }

    /// Local numbers of some of an entity's events here, in their order.
    pub(crate) fn postings(&self, entry: &EntityEntry, events: Range<u32>) -> Result<Vec<u32>> {
        answer!(self, part => part.postings(entry, events))
    }

    /// Entities in bytewise order: those that start with `prefix` and come after `after`.
    pub(crate) fn names(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        answer!(self, part => part.names(prefix, after, limit))
    }

    /// Local numbers of events that may have a given id.
    pub(crate) fn with_id(&self, entity: &str, id: &[u8; 16]) -> Result<Vec<u32>> {
        answer!(self, part => part.with_id(entity, id))
    }

    /// The zones that hold any of these events, in order: runs of consecutive events with the range of
    /// their clocks. Events that stand apart from their zone are not in that range, and come by
    /// [`Part::each_late`] instead. So events in the order of their clocks are a merge of two lists:
    /// zones by their smallest clock, without the events of [`Part::apart`], and late events.
    pub(crate) fn zones(&self, events: Range<u32>) -> Result<Vec<Zone>> {
        answer!(self, part => part.zones(events))
    }

    /// Local numbers of the events that stand apart from their zones.
    pub(crate) fn apart(&self) -> Result<RoaringBitmap> {
        match self {
            // A tail is small enough: its zones hold all their events.
            Self::Tail(_) => Ok(RoaringBitmap::new()),
            Self::File(file) => file.apart(),
        }
    }

    /// Hands over the events within a range of clocks that stand apart from their zones, by clock and
    /// then in their order, as long as `each` wants more.
    pub(crate) fn each_late(
        &self,
        range: &ClockRange,
        each: impl FnMut(&[u8], u32) -> bool,
    ) -> Result<()> {
        match self {
            Self::Tail(_) => Ok(()),
            Self::File(file) => file.each_late(range, each),
        }
    }

    /// Entities whose first event is here.
    pub(crate) fn new_entities(&self) -> u64 {
        either!(self, part => part.new_entities())
    }

    /// Largest clock here that the store made, as nanoseconds since 1970.
    pub(crate) fn last_store_clock(&self) -> u64 {
        either!(self, part => part.last_store_clock())
    }

    /// Events whose records are damaged: any of them may satisfy any filter. Only a part in memory has
    /// some, because an index of damaged frames is never written.
    pub(crate) fn holes(&self) -> RoaringBitmap {
        match self {
            Self::Tail(tail) => tail.holes(),
            Self::File(_) => RoaringBitmap::new(),
        }
    }

    /// The events that have what is asked for of one coordinate.
    fn with(&self, asked: &Asked<'_>) -> Result<AnyOf<'_>> {
        match self {
            Self::Tail(tail) => Ok(tail.with(asked).into()),
            Self::File(file) => file.with(asked),
        }
    }

    /// How many events in `range` satisfy any of the filters; `None` if the index alone cannot say.
    pub(crate) fn count_matches(
        &self,
        filters: &[Filter],
        range: Range<u32>,
    ) -> Result<Option<u64>> {
        if let [filter] = filters
            && filter.clock.is_none()
            && self.holes().is_empty()
        {
            let Some(coordinates) = self.coordinates(filter)? else { return Ok(Some(0)) };
            let known = intersect::count_all(&coordinates).filter(|_| range == (0..self.count()));
            return Ok(Some(known.unwrap_or_else(|| intersect::count(&coordinates, range))));
        }
        let found = self.candidates(filters, range)?;
        Ok(found.maybe.is_empty().then(|| found.sure.len()))
    }

    /// The events in `range` that satisfy any of the filters. No filters at all: every event.
    pub(crate) fn candidates(&self, filters: &[Filter], range: Range<u32>) -> Result<Candidates> {
        let mut all = Candidates::default();
        if filters.is_empty() {
            all.sure.insert_range(range);
            return Ok(all);
        }
        for filter in filters {
            let one = self.conjunction(filter, &range)?;
            all.sure |= one.sure;
            all.maybe |= one.maybe;
        }
        let mut holes = self.holes();
        if !holes.is_empty() {
            holes.remove_range(0..range.start);
            holes.remove_range(range.end..);
            all.maybe |= holes;
        }
        all.maybe -= &all.sure;
        Ok(all)
    }

    /// The events that a filter's coordinates have in common.
    fn conjunction(&self, filter: &Filter, range: &Range<u32>) -> Result<Candidates> {
        let Some(coordinates) = self.coordinates(filter)? else {
            return Ok(Candidates::default());
        };
        let hits = intersect::intersection(&coordinates, range.clone());
        match filter.clock.as_ref().filter(|_| !hits.is_empty()) {
            Some(clock) => self.by_clock(hits, clock),
            None => Ok(Candidates { sure: hits, maybe: RoaringBitmap::new() }),
        }
    }

    /// The sets of each coordinate that a filter asks for, but for its clock. `None` if no event can have
    /// them all: the first coordinate without any ends the search.
    fn coordinates(&self, filter: &Filter) -> Result<Option<Vec<AnyOf<'_>>>> {
        let mut all = Vec::new();
        for asked in Asked::of(filter) {
            let sets = self.with(&asked)?;
            if sets.is_empty() {
                return Ok(None);
            }
            all.push(sets);
        }
        Ok(Some(all))
    }

    /// Divides by the zone map: zones wholly within the range, and zones at its edges. Events that
    /// stand apart from their zones are known by their own clocks.
    fn by_clock(&self, hits: RoaringBitmap, clock: &ClockRange) -> Result<Candidates> {
        let mut within = RoaringBitmap::new();
        let mut edge = RoaringBitmap::new();
        let (Some(first), Some(last)) = (hits.min(), hits.max()) else {
            return Ok(Candidates::default());
        };
        for zone in self.zones(first..last.saturating_add(1))? {
            if clock.contains(&zone.min) && clock.contains(&zone.max) {
                within.insert_range(zone.events);
            } else if clock.overlaps(&zone.min, &zone.max) {
                edge.insert_range(zone.events);
            }
        }
        let apart = self.apart()?;
        if !apart.is_empty() {
            within -= &apart;
            edge -= &apart;
            self.each_late(clock, |_, local| {
                within.insert(local);
                true
            })?;
        }
        Ok(Candidates { sure: &hits & within, maybe: hits & edge })
    }
}
