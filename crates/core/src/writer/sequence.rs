//! Judging an append and giving it its place: arguments and limits, then ids, then expected versions,
//! then the condition. Whatever the verdict, it counts only when what it rests on is released.

use super::group::Group;
use super::queue::Receipt;
use super::{Verdict, Writer};
use crate::chain::{Digestible, GENESIS, MetadataKind, content_hash};
use crate::error::{Error, Expected, Result};
use crate::event::NewEvent;
use crate::frame::SEAL_LEN;
use crate::index::Keys;
use crate::limits::{FRAME_MAX_BYTES, POSITION_MAX};
use crate::record::NewRecord;
use crate::submission::Append;
use crate::view::View;

/// A group that has so many bytes is closed, so that nobody waits for everybody.
const GROUP_BYTES: u64 = 4 << 20;

impl Writer {
    /// Judges one append. Nothing of it stays behind unless the verdict is `Accepted`.
    pub(super) fn judge(&mut self, append: &Append<'_>, group: &mut Group) -> Result<Verdict> {
        if let Some(error) = self.shared.refuses_writes() {
            return Err(error);
        }
        if append.durability.is_some_and(|asked| asked < self.shared.options.durability) {
            return Err(Error::invalid(
                "options.durability",
                "is weaker than the store's; an append can only ask for more",
            ));
        }
        let view = self.inner_view(group);
        if append.events.first().is_some_and(|event| event.id.is_some()) {
            match self.find_duplicate(append, &view, group)? {
                Known::New => {}
                Known::Duplicate(receipt) => return Ok(Verdict::Settled(receipt)),
                Known::InGroup => return Ok(Verdict::CommitFirst),
            }
        }
        let slots = self.check_expected(append, &view)?;
        if let Conflict::Undecided = check_conditions(append, &view, group)? {
            return Ok(Verdict::CommitFirst);
        }
        if append.events.is_empty() {
            return Ok(Verdict::Settled(Receipt {
                positions: None,
                versions: None,
                count: 0,
                duplicate: false,
                each_version: Vec::new(),
            }));
        }
        if group.base + group.count() + append.events.len() as u64 > POSITION_MAX {
            return Err(Error::LimitExceeded {
                argument: "position".into(),
                unit: "events",
                limit: POSITION_MAX,
                actual: group.base + group.count() + append.events.len() as u64,
            });
        }
        Ok(self.place(append, &slots, group))
    }

    /// The log with everything that was sequenced so far, also what no reader sees yet.
    fn inner_view(&self, group: &Group) -> View {
        View::new(self.shared.layout(), group.base + group.count(), false)
    }

    /// Whether an earlier append had the same ids.
    fn find_duplicate(&self, append: &Append<'_>, view: &View, group: &Group) -> Result<Known> {
        let in_group = |event: &NewEvent<'_>, id: &[u8; 16]| {
            // Records of the open group cannot be read back: a possible hit is judged after it.
            let locals = self.tail.with_id(event.entity, id);
            locals.iter().any(|local| self.tail.base() + u64::from(*local) >= group.base)
        };
        let written = view.cut(group.base);
        let mut found = Vec::with_capacity(append.events.len());
        for event in &append.events {
            let id = event.id.unwrap_or_default();
            if !group.is_empty() && in_group(event, &id) {
                return Ok(Known::InGroup);
            }
            found.push(written.find_id(event.entity, &id)?);
        }
        let Some(known) = found.iter().position(Option::is_some) else {
            return Ok(Known::New);
        };
        let first = found.first().copied().flatten();
        let in_order = |first: u64| {
            found.iter().enumerate().all(|(i, position)| *position == Some(first + i as u64))
        };
        let Some(first) = first.filter(|first| in_order(*first)) else {
            let event = append.events.get(known);
            return Err(Error::IdConflict {
                entity: event.map(|event| event.entity.to_owned()).unwrap_or_default(),
                id: event.and_then(|event| event.id).unwrap_or_default(),
                index: known as u32,
            });
        };
        let versions = (first..first + found.len() as u64)
            .map(|position| written.with_record(position, |_, record| Ok(record.version)))
            .collect::<Result<Vec<u64>>>()?;
        Ok(Known::Duplicate(receipt(append, first, versions, true)))
    }

    /// Checks every expectation; returns the head slot of each event's entity.
    fn check_expected(&mut self, append: &Append<'_>, view: &View) -> Result<Vec<u32>> {
        // The group's own events are in the heads already; the index is asked below them.
        let written = view.cut(self.next_position);
        for (entity, expected) in &append.expected_by_entity {
            let slot = self.heads.slot(entity, &written)?;
            self.expect(entity, slot, *expected, 0, None)?;
        }
        let mut slots = Vec::with_capacity(append.events.len());
        for event in &append.events {
            slots.push(self.heads.slot(event.entity, &written)?);
        }
        if let (Some(event), Some(expected)) = (append.events.first(), append.expected) {
            self.expect(event.entity, slots.first().copied().unwrap_or(0), expected, 0, None)?;
        }
        if append.events.iter().any(|event| event.expected.is_some()) {
            let mut earlier = hashbrown::HashMap::new();
            for (index, (event, slot)) in append.events.iter().zip(&slots).enumerate() {
                let added = earlier.entry(*slot).or_insert(0);
                if let Some(expected) = event.expected {
                    self.expect(event.entity, *slot, expected, *added, Some(index as u32))?;
                }
                *added += 1;
            }
        }
        Ok(slots)
    }

    fn expect(
        &self,
        entity: &str,
        slot: u32,
        expected: Expected,
        added: u64,
        index: Option<u32>,
    ) -> Result<()> {
        let head = self.heads.get(slot);
        if head.satisfies(expected, added) {
            return Ok(());
        }
        let actual = (head.next_version + added).checked_sub(1);
        Err(Error::WrongExpectedVersion { entity: entity.to_owned(), expected, actual, index })
    }

    /// Encodes the append into the group, if there is room.
    fn place(&mut self, append: &Append<'_>, slots: &[u32], group: &mut Group) -> Verdict {
        let mark = group.mark();
        let made = (self.ids.clone(), self.last_store_clock);
        let before: Vec<_> = slots.iter().map(|slot| (*slot, self.heads.get(*slot))).collect();
        let mut placed = Vec::with_capacity(append.events.len());
        for (event, slot) in append.events.iter().zip(slots) {
            placed.push(self.encode(event, *slot, group));
        }
        group.end_append();
        let room = self.active_size.saturating_sub(SEAL_LEN + group.offset).min(FRAME_MAX_BYTES);
        let fits = group.length() <= room;
        if fits && (mark.is_first() || group.length() <= GROUP_BYTES) {
            self.index(append, &placed);
            let versions = placed.iter().map(|event| event.version).collect();
            let first = group.base + group.count() - placed.len() as u64;
            return Verdict::Accepted(receipt(append, first, versions, false));
        }
        let bound = group.bound(append);
        group.roll_back(mark, &mut self.dictionary);
        (self.ids, self.last_store_clock) = made;
        for (slot, head) in before.into_iter().rev() {
            if let Some(place) = self.heads.get_mut(slot) {
                *place = head;
            }
        }
        if mark.is_first() { Verdict::NeedsSegment(bound) } else { Verdict::CommitFirst }
    }

    fn encode(&mut self, event: &NewEvent<'_>, slot: u32, group: &mut Group) -> Placed {
        let position = group.base + group.count();
        let head = self.heads.get(slot);
        let previous = (head.next_version > 0).then_some(head.position);
        let checksum = self.active.checksum.clone();
        let made_clock;
        let clock = if let Some(clock) = event.clock {
            clock
        } else {
            made_clock = self.make_clock(group).to_be_bytes();
            &made_clock[..]
        };
        let id = event.id.unwrap_or_else(|| self.make_id(group));
        let mut define = |text: &str| group.define(text, &mut self.dictionary, &checksum);
        let tags: Vec<u32> = event.tags.iter().map(|tag| define(tag)).collect();
        let record = NewRecord {
            given_id: event.id.is_some(),
            store_clock: event.clock.is_none(),
            entity: define(event.entity),
            fact: define(event.fact),
            scope: define(event.scope),
            content_type: define(event.content_type),
            version: head.next_version,
            back: previous.map_or(0, |previous| position - previous),
            clock,
            id: &id,
            tags: &tags,
            metadata_kind: event.metadata_kind,
            metadata: event.metadata,
            payload: event.payload,
        };
        let digest = self.digester.digest(&Digestible {
            entity: event.entity,
            version: head.next_version,
            fact: event.fact,
            scope: event.scope,
            clock,
            id,
            recorded_us: group.recorded_us,
            tags: &event.tags,
            content_type: event.content_type,
            metadata_kind: event.metadata_kind,
            metadata_hash: match event.metadata_kind {
                MetadataKind::None => GENESIS,
                _ => content_hash(event.metadata),
            },
            payload_hash: content_hash(event.payload),
        });
        group.push(&record, slot, digest);
        if let Some(head) = self.heads.get_mut(slot) {
            head.next_version += 1;
            head.position = position;
        }
        let mut kept_clock = [0; 64];
        crate::codec::patch(&mut kept_clock, 0, clock);
        let version = head.next_version;
        Placed { version, previous, clock: kept_clock, clock_len: clock.len() as u8 }
    }

    /// Adds the append's events to the tail: later appends of the group are judged against them.
    fn index(&mut self, append: &Append<'_>, placed: &[Placed]) {
        for (event, placed) in append.events.iter().zip(placed) {
            self.tail.add(
                &Keys {
                    entity: event.entity,
                    fact: event.fact,
                    scope: event.scope,
                    clock: placed.clock.get(..usize::from(placed.clock_len)).unwrap_or_default(),
                    tags: &event.tags,
                    id: event.id,
                    version: placed.version,
                    previous: placed.previous,
                    store_clock: event.clock.is_none(),
                },
                0,
            );
        }
    }

    /// Strictly increasing, across restarts too.
    fn make_clock(&mut self, group: &Group) -> u64 {
        let now = group.recorded_us.saturating_mul(1000);
        self.last_store_clock = now.max(self.last_store_clock + 1);
        self.last_store_clock
    }

    fn make_id(&mut self, group: &Group) -> [u8; 16] {
        let host = &self.shared.host;
        self.ids.next(group.recorded_us / 1000, || {
            let mut seed = [0; 16];
            host.random(&mut seed);
            u128::from_le_bytes(seed)
        })
    }
}

/// What an event got when it was placed.
#[derive(Debug)]
struct Placed {
    version: u64,
    previous: Option<u64>,
    clock: [u8; 64],
    clock_len: u8,
}

enum Known {
    New,
    Duplicate(Receipt),
    InGroup,
}

enum Conflict {
    No,
    Undecided,
}

/// Looks for an event that matches one of the conditions after its position.
fn check_conditions(append: &Append<'_>, view: &View, group: &Group) -> Result<Conflict> {
    for (index, condition) in append.unless.iter().enumerate() {
        let from = condition.after.map_or(0, |after| after + 1);
        let found = crate::query::first_match(view, &condition.filters, from, group.base)?;
        match found {
            crate::query::FirstMatch::None => {}
            crate::query::FirstMatch::Undecided => return Ok(Conflict::Undecided),
            crate::query::FirstMatch::At(position) => {
                return Err(Error::ConditionFailed { position, index: index as u32 });
            }
        }
    }
    Ok(Conflict::No)
}

fn receipt(append: &Append<'_>, first: u64, versions: Vec<u64>, duplicate: bool) -> Receipt {
    let count = versions.len() as u64;
    let ends = versions.first().copied().zip(versions.last().copied());
    let entity = append.events.first().map(|event| event.entity);
    let several = append.events.iter().any(|event| Some(event.entity) != entity);
    Receipt {
        positions: Some((first, first + count - 1)),
        versions: ends,
        count: count as u32,
        duplicate,
        each_version: if several { versions } else { Vec::new() },
    }
}
