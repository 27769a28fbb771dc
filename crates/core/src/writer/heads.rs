//! The heads of entities that the writer met lately: version, position and link of the newest event.

use crate::chain::{GENESIS, Hash};
use crate::error::{Expected, Result};
use crate::names::Names;
use crate::view::{EntityHead, View};

/// Entities kept in memory. When there are more, all are forgotten and asked of the index again.
const MAX_ENTITIES: usize = 131_072;
/// Bytes that their names may have, so that long ones cannot take a hundred mebibytes.
const MAX_NAME_BYTES: usize = 8 << 20;

/// Entities that are asked of the index together.
const ASKED_AT_ONCE: usize = 64;

/// The newest event of an entity, as the writer sees it: also events that are not durable yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct WriterHead {
    /// Version of the next event.
    pub(super) next_version: u64,
    /// Position of the newest event; without meaning if there is none.
    pub(super) position: u64,
    /// Link of the newest event whose frame is finished.
    pub(super) link: Hash,
}

impl WriterHead {
    const NONE: Self = Self { next_version: 0, position: 0, link: GENESIS };

    pub(super) fn satisfies(&self, expected: Expected, added: u64) -> bool {
        let next = self.next_version + added;
        match expected {
            Expected::Any => true,
            Expected::None => next == 0,
            Expected::Exists => next > 0,
            Expected::Version(version) => next == version + 1,
        }
    }
}

/// What the writer knows of an entity.
#[derive(Debug)]
struct Known {
    head: WriterHead,
    /// Where its name is defined, and in which epoch of the dictionary.
    defined: (u64, u32),
    /// Its slot in the tail that begins at a position.
    indexed: (u64, Option<u32>),
    /// Events counted of it, and in which counting.
    counted: (u64, u64),
}

/// The cache of heads. A slot is a number that stays valid while a group is built.
#[derive(Debug, Default)]
pub(super) struct Heads {
    known: Names<Known>,
    counting: u64,
}

impl Heads {
    /// Makes room. Only between groups: slots become invalid.
    pub(super) fn trim(&mut self) {
        if self.known.len() > MAX_ENTITIES || self.known.bytes() > MAX_NAME_BYTES {
            self.known.clear();
        }
    }

    /// The slots of entities; asks the index for those that are not known.
    pub(super) fn slots<'a>(
        &mut self,
        entities: impl Iterator<Item = &'a str>,
        written: &View,
    ) -> Result<Vec<u32>> {
        let mut unknown = Vec::new();
        let mut slots: Vec<u32> = Vec::with_capacity(entities.size_hint().0);
        for (nth, entity) in entities.enumerate() {
            slots.push(self.known.find(entity).unwrap_or_else(|| {
                unknown.push((nth, entity));
                0
            }));
        }
        for asked in unknown.chunks(ASKED_AT_ONCE) {
            self.ask(asked, &mut slots, written)?;
        }
        Ok(slots)
    }

    /// Asks the index for some entities. What is read of it lies far apart in memory, so all of one kind is
    /// said to be needed before the first is.
    fn ask(&mut self, asked: &[(usize, &str)], slots: &mut [u32], written: &View) -> Result<()> {
        let names: Vec<&str> = asked.iter().map(|(_, entity)| *entity).collect();
        if names.len() > 1 {
            written.expect_heads(&names);
        }
        let heads =
            names.iter().map(|entity| written.head_of(entity)).collect::<Result<Vec<_>>>()?;
        if names.len() > 1 {
            written.expect_links(heads.iter().flatten().map(|head| head.position));
        }
        for ((nth, entity), head) in asked.iter().zip(heads) {
            let slot = match self.known.find(entity) {
                Some(slot) => slot,
                None => self.learn(entity, head, written)?,
            };
            if let Some(place) = slots.get_mut(*nth) {
                *place = slot;
            }
        }
        Ok(())
    }

    fn learn(&mut self, entity: &str, head: Option<EntityHead>, written: &View) -> Result<u32> {
        let head = match head {
            Some(head) => WriterHead {
                next_version: head.version + 1,
                position: head.position,
                link: written.link_at(head.position)?,
            },
            None => WriterHead::NONE,
        };
        let known = Known { head, defined: (0, 0), indexed: (0, None), counted: (0, 0) };
        Ok(self.known.insert(entity, known))
    }

    pub(super) fn entity(&self, slot: u32) -> &str {
        self.known.name(slot)
    }

    pub(super) fn get(&self, slot: u32) -> WriterHead {
        self.known.get(slot).map_or(WriterHead::NONE, |known| known.head)
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut WriterHead> {
        self.known.get_mut(slot).map(|known| &mut known.head)
    }

    /// Starts to count the events of an append, entity by entity.
    pub(super) fn start_counting(&mut self) {
        self.counting += 1;
    }

    /// Counts an event of an entity; returns how many were counted before it.
    pub(super) fn count(&mut self, slot: u32) -> u64 {
        let counting = self.counting;
        let Some(known) = self.known.get_mut(slot) else {
            return 0;
        };
        let before = if known.counted.0 == counting { known.counted.1 } else { 0 };
        known.counted = (counting, before + 1);
        before
    }

    /// Where the entity's name is defined, if it is in this epoch of the dictionary.
    pub(super) fn defined(&self, slot: u32, epoch: u64) -> Option<u32> {
        let (of, offset) = self.known.get(slot)?.defined;
        (of == epoch).then_some(offset)
    }

    /// Notes where the entity's name is defined; epoch 0 is none.
    pub(super) fn set_defined(&mut self, slot: u32, epoch: u64, offset: u32) {
        if let Some(known) = self.known.get_mut(slot) {
            known.defined = (epoch, offset);
        }
    }

    /// The entity's slot in the tail that begins at a position, if it is known.
    pub(super) fn indexed(&self, slot: u32, tail: u64) -> Option<u32> {
        let (of, place) = self.known.get(slot)?.indexed;
        place.filter(|_| of == tail)
    }

    pub(super) fn set_indexed(&mut self, slot: u32, tail: u64, place: Option<u32>) {
        if let Some(known) = self.known.get_mut(slot) {
            known.indexed = (tail, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        Known { head: WriterHead::NONE, defined: (0, 0), indexed: (0, None), counted: (0, 0) }
    }

    #[test]
    fn entities_with_long_names_are_forgotten_by_their_bytes() {
        let mut heads = Heads::default();
        let long = "x".repeat(1000);
        let mut most = 0;
        for nth in 0..20_000 {
            heads.known.insert(&format!("{long}{nth}"), known());
            heads.trim();
            most = most.max(heads.known.bytes());
        }
        assert!(most > MAX_NAME_BYTES / 2 && most <= MAX_NAME_BYTES);
    }
}
