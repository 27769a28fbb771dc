//! Judging an append and giving it its place: arguments and limits, then ids, then expected versions,
//! then the condition. Whatever the verdict, it counts only when what it rests on is released.

use super::group::Content;
use super::queue::Receipt;
use super::sequencer::{Sequencer, Verdict};
use crate::chain::{Digestible, GENESIS, MetadataKind, content_hash};
use crate::error::{Error, Expected, Result};
use crate::event::NewEvent;
use crate::frame::SEAL_LEN;
use crate::index::{Keys, Numbers};
use crate::limits::{FRAME_MAX_BYTES, POSITION_MAX};
use crate::submission::Append;
use crate::view::View;

/// A group that has so many bytes is closed, so that nobody waits for everybody.
const GROUP_BYTES: u64 = 4 << 20;
/// Events that are added to the tail under one lock.
const INDEXED_AT_ONCE: usize = 256;

impl Sequencer {
    /// Judges one append. Nothing of it stays behind unless the verdict is `Accepted`.
    pub(super) fn judge(&mut self, append: &Append<'_>) -> Result<Verdict> {
        if let Some(error) = self.shared.refuses_writes() {
            return Err(error);
        }
        if append.durability.is_some_and(|asked| asked < self.shared.options.durability) {
            return Err(Error::invalid(
                "options.durability",
                "is weaker than the store's; an append can only ask for more",
            ));
        }
        let given_ids = append.events.first().is_some_and(|event| event.id.is_some());
        if given_ids || !append.unless.is_empty() {
            self.index_group();
        }
        let view = self.inner_view();
        if given_ids {
            match self.find_duplicate(append, &view)? {
                Known::New => {}
                Known::Duplicate(receipt) => return Ok(Verdict::Settled(receipt)),
                Known::InGroup => return Ok(Verdict::CommitFirst),
            }
        }
        let slots = self.check_expected(append, &view)?;
        if let Conflict::Undecided = check_conditions(append, &view, self.group.base)? {
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
        let next = view.end() + append.events.len() as u64;
        if next > POSITION_MAX {
            return Err(Error::LimitExceeded {
                argument: "position".into(),
                unit: "events",
                limit: POSITION_MAX,
                actual: next,
            });
        }
        Ok(self.place(append, &slots))
    }

    /// The log with everything that was sequenced so far, also what no reader sees yet.
    fn inner_view(&self) -> View {
        View::new(self.shared.layout(), self.group.base + self.group.count(), false)
    }

    /// Whether an earlier append had the same ids.
    fn find_duplicate(&self, append: &Append<'_>, view: &View) -> Result<Known> {
        let group = &self.group;
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
        let named = append.expected_by_entity.iter();
        let named_slots = self.heads.slots(named.clone().map(|(entity, _)| *entity), &written)?;
        for ((entity, expected), slot) in named.zip(named_slots) {
            self.expect(entity, slot, *expected, 0, None)?;
        }
        let entities = append.events.iter().map(|event| event.entity);
        let slots = self.heads.slots(entities, &written)?;
        if let (Some(event), Some(expected)) = (append.events.first(), append.expected) {
            self.expect(event.entity, slots.first().copied().unwrap_or(0), expected, 0, None)?;
        }
        if append.events.iter().any(|event| event.expected.is_some()) {
            self.heads.start_counting();
            for (index, (event, slot)) in append.events.iter().zip(&slots).enumerate() {
                let added = self.heads.count(*slot);
                if let Some(expected) = event.expected {
                    self.expect(event.entity, *slot, expected, added, Some(index as u32))?;
                }
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

    /// Puts the append into the group, if there is room.
    fn place(&mut self, append: &Append<'_>, slots: &[u32]) -> Verdict {
        let mark = self.group.mark(&self.dictionary);
        let made = (self.ids.clone(), self.last_store_clock);
        let mut versions = Vec::with_capacity(append.events.len());
        for (event, slot) in append.events.iter().zip(slots) {
            versions.push(self.push(event, *slot));
        }
        self.group.end_append();
        let group = &mut self.group;
        let room = self.active_size.saturating_sub(SEAL_LEN + group.offset).min(FRAME_MAX_BYTES);
        let fits = group.length() <= room;
        if fits && (mark.is_first() || group.length() <= GROUP_BYTES) {
            let first = group.base + group.count() - versions.len() as u64;
            return Verdict::Accepted(receipt(append, first, versions, false));
        }
        let bound = group.bound(append);
        group.roll_back(mark, &mut self.dictionary, &mut self.heads);
        (self.ids, self.last_store_clock) = made;
        if mark.is_first() { Verdict::NeedsSegment(bound) } else { Verdict::CommitFirst }
    }

    /// Gives an event its place in the group, and returns its version.
    fn push(&mut self, event: &NewEvent<'_>, slot: u32) -> u64 {
        let made_clock;
        let clock = if let Some(clock) = event.clock {
            clock
        } else {
            made_clock = self.make_clock().to_be_bytes();
            &made_clock[..]
        };
        let whole = Digestible {
            entity: event.entity,
            version: self.heads.get(slot).next_version,
            fact: event.fact,
            scope: event.scope,
            clock,
            id: event.id.unwrap_or_else(|| self.make_id()),
            recorded_us: self.group.recorded_us,
            tags: &event.tags,
            content_type: event.content_type,
            metadata_kind: event.metadata_kind,
            metadata_hash: match event.metadata_kind {
                MetadataKind::None => GENESIS,
                _ => content_hash(event.metadata),
            },
            payload_hash: GENESIS,
        };
        let content = Content {
            given_id: event.id.is_some(),
            store_clock: event.clock.is_none(),
            metadata: event.metadata,
            payload: event.payload,
        };
        let (heads, dictionary) = (&mut self.heads, &mut self.dictionary);
        self.group.push(&whole, &content, slot, heads, dictionary, &self.active.checksum);
        whole.version
    }

    /// Tells the tail of the group's events that it does not know yet. Their offsets come when the
    /// frame is finished.
    pub(super) fn index_group(&mut self) {
        let (heads, dictionary, group) = (&mut self.heads, &mut self.dictionary, &self.group);
        let (segment, tail) = (&self.active, self.tail.base());
        let mut events = group.events(group.indexed).zip(group.base + group.indexed as u64..);
        let mut more = true;
        while more {
            // Readers get their turn now and then.
            let mut entries = self.tail.adding();
            more = false;
            for ((planned, record), position) in events.by_ref().take(INDEXED_AT_ONCE) {
                more = true;
                let tags = group.tags(planned, record.tag_count).iter();
                let tags: Vec<&str> = tags.map(|number| dictionary.text(*number)).collect();
                let keys = Keys {
                    entity: heads.entity(planned.slot),
                    fact: dictionary.text(planned.fact),
                    scope: dictionary.text(planned.scope),
                    clock: record.clock,
                    tags: &tags,
                    id: record.given_id.then_some(*record.id),
                    version: record.version,
                    previous: (record.back > 0).then(|| position - record.back),
                    store_clock: record.store_clock,
                };
                let known = Numbers {
                    entity: heads.indexed(planned.slot, tail),
                    fact: dictionary.fact_of(planned.fact, tail),
                    scope: dictionary.scope_of(planned.scope, tail),
                };
                let numbers = entries.add(segment, &keys, known, 0);
                if known.fact.is_none() || known.scope.is_none() {
                    let fact = (planned.fact, numbers.fact);
                    dictionary.note(tail, fact, (planned.scope, numbers.scope));
                }
                if known.entity.is_none() {
                    heads.set_indexed(planned.slot, tail, numbers.entity);
                }
            }
        }
        drop(events);
        self.group.indexed = self.group.count() as usize;
    }

    /// Strictly increasing, across restarts too.
    fn make_clock(&mut self) -> u64 {
        let now = self.group.recorded_us.saturating_mul(1000);
        self.last_store_clock = now.max(self.last_store_clock + 1);
        self.last_store_clock
    }

    fn make_id(&mut self) -> [u8; 16] {
        let host = &self.shared.host;
        self.ids.next(self.group.recorded_us / 1000, || {
            let mut seed = [0; 16];
            host.random(&mut seed);
            u128::from_le_bytes(seed)
        })
    }
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
fn check_conditions(append: &Append<'_>, view: &View, readable: u64) -> Result<Conflict> {
    for (index, condition) in append.unless.iter().enumerate() {
        if let Some(position) = condition.after.filter(|after| *after >= view.end()) {
            // Of another log, or of one that has lost its end: nothing could ever match.
            return Err(Error::PositionAhead { position, head: view.end().checked_sub(1) });
        }
        let from = condition.after.map_or(0, |after| after + 1);
        let found = crate::query::first_match(view, &condition.filters, from, readable)?;
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
