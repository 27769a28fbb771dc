//! The log as it stands at one moment: what a read sees, whatever is appended meanwhile.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use crate::chain::{GENESIS, Hash};
use crate::error::{Damage, Error, Result};
use crate::index::directory;
use crate::index::{EntityEntry, IndexFile, LOST, Part, id_hash, name_hash};
use crate::record::Record;
use crate::segment::Segment;
use crate::shared::Layout;

/// Bytes of a record that are brought into the processor's cache before it is read.
const EXPECTED_BYTES: u64 = 384;

/// The newest event of an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntityHead {
    pub(crate) version: u64,
    pub(crate) position: u64,
}

/// The log up to a position.
#[derive(Debug, Clone)]
pub(crate) struct View {
    layout: Arc<Layout>,
    /// First position that is not seen.
    end: u64,
    /// Some of it is damaged: what would be passed over has to be looked for.
    damaged: bool,
}

impl View {
    pub(crate) fn new(layout: Arc<Layout>, end: u64, damaged: bool) -> Self {
        Self { layout, end, damaged }
    }

    /// The same log, cut earlier.
    pub(crate) fn cut(&self, end: u64) -> Self {
        Self { layout: Arc::clone(&self.layout), end: self.end.min(end), damaged: self.damaged }
    }

    /// The index file of a path, if the view holds it.
    pub(crate) fn index_file(&self, path: &Path) -> Option<Arc<IndexFile>> {
        self.parts().iter().find_map(|part| match part {
            Part::File(file) if file.path() == path => Some(Arc::clone(file)),
            _ => None,
        })
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// The first lost position from one on, within the view.
    pub(crate) fn first_hole(&self, from: u64) -> Option<u64> {
        if !self.damaged {
            return None;
        }
        let gap = self.gaps().into_iter().find(|(_, last)| *last >= from);
        let gap = gap.map(|(first, _)| first.max(from));
        let hole = self.parts().iter().find_map(|part| {
            let mut holes = part.holes().into_iter().map(|local| part.base() + u64::from(local));
            holes.find(|position| *position >= from)
        });
        let first = gap.into_iter().chain(hole).min()?;
        (first < self.end).then_some(first)
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.layout.parts
    }

    pub(crate) fn segments(&self) -> &[Arc<Segment>] {
        &self.layout.segments
    }

    /// Number of the part that holds a position, and the local number there.
    pub(crate) fn locate(&self, position: u64) -> Option<(usize, u32)> {
        if position >= self.end {
            return None;
        }
        let after = self.parts().partition_point(|part| part.base() <= position);
        let nth = after.checked_sub(1)?;
        let part = self.parts().get(nth)?;
        let local = u32::try_from(position - part.base()).ok()?;
        (local < part.count()).then_some((nth, local))
    }

    /// The record at a position.
    pub(crate) fn record(&self, position: u64) -> Result<FoundRecord<'_>> {
        let part = self
            .locate(position)
            .and_then(|(nth, local)| self.parts().get(nth).map(|part| (part, local)));
        let Some((part, local)) = part else {
            return Err(self.hole(position));
        };
        record_of(part, local)
    }

    /// Runs `read` on the parsed record at a position.
    pub(crate) fn with_record<T>(
        &self,
        position: u64,
        read: impl FnOnce(&Segment, &Record<'_>) -> Result<T>,
    ) -> Result<T> {
        let found = self.record(position)?;
        read(found.segment, &found.parse()?)
    }

    /// An entity's newest event. Files of the directory answer for what they cover, parts for the
    /// rest, newest first.
    pub(crate) fn head_of(&self, entity: &str) -> Result<Option<EntityHead>> {
        let Some(store_id) = self.store_id() else { return Ok(None) };
        let hash = name_hash(store_id, entity.as_bytes());
        let mut upto = self.end;
        while upto > 0 {
            if let Some(file) = self.layout.heads.covering(upto - 1) {
                match directory::head(file, hash) {
                    // It is given up: ask again.
                    Err(Error::StaleIndex { .. }) => continue,
                    Err(error) => return Err(error),
                    Ok(None) => upto = file.positions().start,
                    Ok(Some((position, version))) if position < self.end => {
                        return Ok(Some(EntityHead { version, position }));
                    }
                    Ok(Some((position, _))) => return self.head_before(entity, position),
                }
                continue;
            }
            let Some(part) = self.part_before(upto) else { break };
            if let Some(entry) = part.entity(entity)?
                && let Some(head) = self.head_in(part, &entry)?
            {
                return Ok(Some(head));
            }
            upto = part.base();
        }
        Ok(None)
    }

    /// Says that the heads of entities will be asked for soon. What a lookup needs next is known only from
    /// what it needs first, so all of them are taken a step at a time.
    pub(crate) fn expect_heads(&self, entities: &[&str]) {
        let Some(store_id) = self.store_id() else { return };
        let files = self.layout.heads.files();
        let hash_of = |entity: &&str| name_hash(store_id, entity.as_bytes())[0];
        let hashes: Vec<u64> = entities.iter().map(hash_of).collect();
        for hash in &hashes {
            for file in files {
                file.expect(*hash);
            }
        }
        let newest = |hash: &u64| files.iter().rev().find(|file| file.expect_fences(*hash));
        let found: Vec<_> = hashes.iter().map(newest).collect();
        for (hash, file) in hashes.iter().zip(found) {
            if let Some(file) = file {
                file.expect_row(*hash);
            }
        }
    }

    /// Says that the links at positions will be asked for soon.
    pub(crate) fn expect_links(&self, positions: impl Iterator<Item = u64> + Clone) {
        let located = positions.filter_map(|position| {
            let (nth, local) = self.locate(position)?;
            Some((self.parts().get(nth)?, local))
        });
        located.clone().for_each(|(part, local)| part.expect_offset(local, None));
        for (part, local) in located {
            if let Ok(Some(offset)) = part.offset(local) {
                part.segment().prefetch(&(u64::from(offset)..u64::from(offset) + EXPECTED_BYTES));
            }
        }
    }

    fn store_id(&self) -> Option<[u8; 16]> {
        self.segments().first().map(|segment| segment.header.store_id)
    }

    /// The last part that begins before a position.
    fn part_before(&self, position: u64) -> Option<&Part> {
        let after = self.parts().partition_point(|part| part.base() < position);
        self.parts().get(after.checked_sub(1)?)
    }

    /// The newest event that the view sees of an entity that has one at a position behind it.
    fn head_before(&self, entity: &str, position: u64) -> Result<Option<EntityHead>> {
        for found in self.parts_of(entity, position) {
            let (nth, entry) = found?;
            if let Some(part) = self.parts().get(nth)
                && let Some(head) = self.head_in(part, &entry)?
            {
                return Ok(Some(head));
            }
        }
        Ok(None)
    }

    /// The parts that hold an entity, newest first, from the one with the entity's event at `position`
    /// on: their numbers in [`View::parts`], and the entity's entry there.
    ///
    /// Each entry says where the entity's event before it is, so only parts that hold the entity are
    /// asked, however many others lie between. Start from [`View::head_of`]; or from any position that
    /// is known to be the entity's, also one behind the view's end (then cut what is found there by
    /// [`View::seen`]). An error ends the walk: it is met where an index is damaged, or where the part
    /// with the event before is missing or does not know the entity, which only happens on a damaged
    /// log.
    pub(crate) fn parts_of<'a>(
        &'a self,
        entity: &'a str,
        position: u64,
    ) -> impl Iterator<Item = Result<(usize, EntityEntry)>> + use<'a> {
        let mut next = Some(position);
        std::iter::from_fn(move || {
            let position = next.take()?;
            let found = self.part_of(entity, position);
            if let Ok((_, entry)) = &found {
                next = entry.previous;
            }
            Some(found)
        })
    }

    fn part_of(&self, entity: &str, position: u64) -> Result<(usize, EntityEntry)> {
        let after = self.parts().partition_point(|part| part.base() <= position);
        let nth = after.checked_sub(1).ok_or_else(|| self.hole(position))?;
        let part = self.parts().get(nth).ok_or_else(|| self.hole(position))?;
        let entry = part.entity(entity)?.ok_or_else(|| self.hole(position))?;
        Ok((nth, entry))
    }

    /// The newest event of an entity within a part, as far as the view sees.
    pub(crate) fn head_in(&self, part: &Part, entry: &EntityEntry) -> Result<Option<EntityHead>> {
        let seen = self.seen(part, entry)?;
        let Some(nth) = seen.checked_sub(1) else {
            return Ok(None);
        };
        let local = part.posting(entry, nth)?.unwrap_or_default();
        let version = entry.first_version + u64::from(nth);
        Ok(Some(EntityHead { version, position: part.base() + u64::from(local) }))
    }

    /// How many of an entity's events in a part the view sees.
    pub(crate) fn seen(&self, part: &Part, entry: &EntityEntry) -> Result<u32> {
        let (mut low, mut high) = (0, entry.count);
        if part.base() + u64::from(part.count()) <= self.end {
            return Ok(high);
        }
        while low < high {
            let middle = low.midpoint(high);
            let local = next_whole(part, entry, middle)?;
            if part.base() + u64::from(local) < self.end {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Position of the event of an entity that was given an id. Files of the directory answer for what
    /// they cover, parts for the rest.
    pub(crate) fn find_id(&self, entity: &str, id: &[u8; 16]) -> Result<Option<u64>> {
        let Some(store_id) = self.store_id() else { return Ok(None) };
        let hash = id_hash(store_id, entity, id);
        let mut upto = self.end;
        while upto > 0 {
            let found = if let Some(file) = self.layout.ids.covering(upto - 1) {
                match directory::positions_of(file, hash) {
                    // It is given up: ask again.
                    Err(Error::StaleIndex { .. }) => continue,
                    found => {
                        upto = file.positions().start;
                        found?
                    }
                }
            } else {
                let Some(part) = self.part_before(upto) else { break };
                upto = part.base();
                let locals = part.with_id(entity, id)?;
                locals.into_iter().map(|local| part.base() + u64::from(local)).collect()
            };
            for position in found.into_iter().filter(|position| *position < self.end) {
                let same = self.with_record(position, |segment, record| {
                    Ok(record.id == id && segment.string(record.entity)? == entity)
                })?;
                if same {
                    return Ok(Some(position));
                }
            }
        }
        Ok(None)
    }

    pub(crate) fn link_at(&self, position: u64) -> Result<Hash> {
        self.with_record(position, |_, record| Ok(*record.link))
    }

    /// What the event at a position is linked to.
    pub(crate) fn previous_link(&self, position: u64) -> Result<Hash> {
        let back = self.with_record(position, |_, record| Ok(record.back))?;
        if back == 0 {
            return Ok(GENESIS);
        }
        let previous = position.checked_sub(back).ok_or_else(|| self.hole(position))?;
        self.link_at(previous)
    }

    /// The error for a position whose record is lost: names all lost positions from there on.
    pub(crate) fn hole(&self, position: u64) -> Error {
        let last = self.whole_from(position + 1) - 1;
        let damage = Damage {
            segment: self.segment_of(position),
            offset: 0,
            length: 0,
            reason: "the events are damaged or missing".to_owned(),
            positions: Some((position, last)),
            entities: Vec::new(),
        };
        Error::Corrupt { damage: vec![damage] }
    }

    /// The first position from one on that is not lost, or the view's end.
    fn whole_from(&self, position: u64) -> u64 {
        let mut next = position;
        while next < self.end {
            let Some((nth, local)) = self.locate(next) else {
                let behind = self.parts().iter().map(Part::base).find(|base| *base > next);
                next = behind.unwrap_or(self.end).min(self.end);
                continue;
            };
            let holes = self.parts().get(nth).map(Part::holes).unwrap_or_default();
            let lost = (local..=u32::MAX).take_while(|local| holes.contains(*local)).count();
            if lost == 0 {
                break;
            }
            next += lost as u64;
        }
        next.min(self.end).max(position)
    }

    /// The last lost position before one.
    pub(crate) fn last_hole(&self, before: u64) -> Option<u64> {
        let gaps = self.gaps().into_iter().map(|(first, last)| first..last + 1);
        let holes = self.parts().iter().flat_map(|part| {
            let base = part.base();
            part.holes().into_iter().map(move |local| base + u64::from(local)).map(|at| at..at + 1)
        });
        let lost = gaps.chain(holes).filter(|lost| lost.start < before);
        lost.map(|lost| lost.end.min(before) - 1).max()
    }

    /// The segment that holds a position, or should: the one before the next that is there.
    fn segment_of(&self, position: u64) -> u64 {
        let after = self.segments().partition_point(|s| s.header.base_position <= position);
        let own = after.checked_sub(1).and_then(|nth| self.segments().get(nth));
        let next = self.segments().get(after).map(|next| next.header.number);
        match (own, next) {
            (Some(own), _) if self.covers(own, position) => own.header.number,
            (_, Some(next)) => next - 1,
            (Some(own), None) => own.header.number,
            (None, None) => 0,
        }
    }

    fn covers(&self, segment: &Segment, position: u64) -> bool {
        self.parts().iter().any(|part| {
            part.segment().header.number == segment.header.number
                && (part.base()..part.base() + u64::from(part.count())).contains(&position)
        })
    }

    /// Positions between two neighbouring parts that no part covers.
    pub(crate) fn gaps(&self) -> Vec<(u64, u64)> {
        let ends = self.parts().iter().map(|part| part.base() + u64::from(part.count()));
        let bases = self.parts().iter().map(|part| part.base().min(self.end)).chain([self.end]);
        let gaps = [0].into_iter().chain(ends).zip(bases);
        gaps.filter(|(end, base)| end < base).map(|(end, base)| (end, base - 1)).collect()
    }
}

/// Local number of an entity's first whole event in a part, from the n-th on.
fn next_whole(part: &Part, entry: &EntityEntry, nth: u32) -> Result<u32> {
    for nth in nth..entry.count {
        match part.posting(entry, nth)? {
            Some(LOST) => {}
            Some(local) => return Ok(local),
            None => break,
        }
    }
    Ok(u32::MAX)
}

/// A record in its segment, its CRC checked.
#[derive(Debug)]
pub(crate) struct FoundRecord<'a> {
    pub(crate) segment: &'a Segment,
    pub(crate) offset: u64,
    bytes: Cow<'a, [u8]>,
}

impl FoundRecord<'_> {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes from the start of its frame to the record.
    #[inline]
    pub(crate) fn distance(&self) -> u32 {
        crate::record::glance(&self.bytes).distance
    }

    #[inline]
    pub(crate) fn parse(&self) -> Result<Record<'_>> {
        Record::parse(&self.bytes).ok_or_else(|| {
            self.segment.damaged(self.offset, self.bytes.len() as u64, "a record cannot be parsed")
        })
    }
}

/// The record with a local number of a part.
pub(crate) fn record_of(part: &Part, local: u32) -> Result<FoundRecord<'_>> {
    record_at(part, local, part.offset(local)?)
}

/// As [`record_of`], where the part was asked for the record's offset before.
pub(crate) fn record_at(part: &Part, local: u32, offset: Option<u32>) -> Result<FoundRecord<'_>> {
    let segment: &Segment = part.segment();
    let position = part.base() + u64::from(local);
    let lost = |mut error: Error| {
        if let Error::Corrupt { damage } = &mut error {
            for one in damage.iter_mut().filter(|one| one.positions.is_none()) {
                one.positions = Some((position, position));
            }
        }
        error
    };
    match offset {
        Some(offset) => {
            let offset = u64::from(offset);
            let bytes = segment.record(offset).map_err(lost)?;
            Ok(FoundRecord { segment, offset, bytes })
        }
        None => Err(lost(segment.damaged(0, 0, "the event's record is damaged"))),
    }
}
