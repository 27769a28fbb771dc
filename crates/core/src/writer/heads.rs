//! The heads of entities that the writer met lately: version, position and link of the newest event.

use crate::chain::{GENESIS, Hash};
use crate::error::{Expected, Result};
use crate::names::Names;
use crate::view::View;

/// Entities kept in memory. When there are more, all are forgotten and asked of the index again.
const MAX_ENTITIES: usize = 131_072;

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
        if self.known.len() > MAX_ENTITIES {
            self.known.clear();
        }
    }

    /// The slot of an entity; asks the index the first time.
    pub(super) fn slot(&mut self, entity: &str, written: &View) -> Result<u32> {
        if let Some(slot) = self.known.find(entity) {
            return Ok(slot);
        }
        let head = match written.head_of(entity)? {
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
