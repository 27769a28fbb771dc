//! A commit group under construction: the definitions and records of the next frame.

use hashbrown::{HashMap, HashSet};

use crate::chain::Hash;
use crate::checksum::Checksum;
use crate::codec::{put_u32, u32_at};
use crate::frame::{
    ALIGNMENT, DEFINITION_HEADER_LEN, DEFINITIONS_LENGTH_LEN, FLAG_DEFINITIONS, FrameHeader,
    HEADER_LEN, Kind, TRAILER_LEN, put_definition,
};
use crate::record::{self, NewRecord};
use crate::submission::Append;

/// Strings that the writer remembers as defined in the active segment. When there are more, it
/// forgets them all and defines again what comes: readers do not care.
const MAX_STRINGS: usize = 65_536;

/// Where the strings of the active segment are defined.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    offsets: HashMap<Box<str>, u32>,
}

impl Dictionary {
    /// Makes room; only between groups.
    pub(super) fn trim(&mut self) {
        if self.offsets.len() > MAX_STRINGS {
            self.offsets.clear();
        }
    }

    pub(super) fn clear(&mut self) {
        self.offsets.clear();
    }
}

/// A place to return to if an append does not fit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    definitions: usize,
    records: usize,
    planned: usize,
    defined: usize,
}

impl Mark {
    /// Whether it stands before the group's first event.
    pub(super) fn is_first(self) -> bool {
        self.planned == 0
    }
}

/// An event that has its place in the group; its link comes when the frame is finished.
#[derive(Debug, Clone, Copy)]
struct Planned {
    /// Where its record starts among the group's records.
    start: usize,
    slot: u32,
    digest: Hash,
}

/// The next frame.
#[derive(Debug)]
pub(super) struct Group {
    /// Offset of the frame in the segment.
    pub(super) offset: u64,
    /// Position of its first event.
    pub(super) base: u64,
    pub(super) recorded_us: u64,
    definitions: Vec<u8>,
    records: Vec<u8>,
    planned: Vec<Planned>,
    /// Strings defined by this group, in order, so that they can be taken back.
    defined: Vec<Box<str>>,
}

/// A finished frame and where its records are.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) bytes: Vec<u8>,
    pub(super) record_offsets: Vec<u32>,
}

impl Group {
    pub(super) fn new(offset: u64, base: u64, recorded_us: u64) -> Self {
        Self {
            offset,
            base,
            recorded_us,
            definitions: Vec::new(),
            records: Vec::new(),
            planned: Vec::new(),
            defined: Vec::new(),
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.planned.len() as u64
    }

    pub(super) fn is_empty(&self) -> bool {
        self.planned.is_empty()
    }

    /// Bytes of the frame as it stands.
    pub(super) fn length(&self) -> u64 {
        let definitions = match self.definitions.len() {
            0 => 0,
            length => DEFINITIONS_LENGTH_LEN + length,
        };
        let body = definitions + self.records.len();
        ((HEADER_LEN + body + TRAILER_LEN) as u64).next_multiple_of(ALIGNMENT)
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            definitions: self.definitions.len(),
            records: self.records.len(),
            planned: self.planned.len(),
            defined: self.defined.len(),
        }
    }

    /// Forgets what came after a mark.
    pub(super) fn roll_back(&mut self, mark: Mark, dictionary: &mut Dictionary) {
        self.definitions.truncate(mark.definitions);
        self.records.truncate(mark.records);
        self.planned.truncate(mark.planned);
        for text in self.defined.drain(mark.defined..) {
            dictionary.offsets.remove(&text);
        }
    }

    /// The reference of a string, defining it if the segment does not have it yet.
    pub(super) fn define(
        &mut self,
        text: &str,
        dictionary: &mut Dictionary,
        checksum: &Checksum,
    ) -> u32 {
        if text.is_empty() {
            return 0;
        }
        if let Some(offset) = dictionary.offsets.get(text) {
            return *offset;
        }
        let offset =
            self.offset + (HEADER_LEN + DEFINITIONS_LENGTH_LEN + self.definitions.len()) as u64;
        put_definition(&mut self.definitions, text, checksum, offset);
        dictionary.offsets.insert(text.into(), offset as u32);
        self.defined.push(text.into());
        offset as u32
    }

    /// Adds an event.
    pub(super) fn push(&mut self, record: &NewRecord<'_>, slot: u32, digest: Hash) {
        let start = self.records.len();
        record.encode(&mut self.records);
        self.planned.push(Planned { start, slot, digest });
    }

    /// Ends the append whose last event was pushed.
    pub(super) fn end_append(&mut self) {
        if let Some(last) = self.planned.last() {
            record::mark_end(self.records.get_mut(last.start..).unwrap_or_default());
        }
    }

    /// Assembles the frame: links in order, then every CRC. `link` advances an entity's chain.
    pub(super) fn finish(
        &mut self,
        checksum: &Checksum,
        durable_upto: u64,
        mut link: impl FnMut(u32, &Hash) -> Hash,
    ) -> Finished {
        let length = self.length();
        let header = FrameHeader {
            length: length as u32,
            kind: Kind::EVENTS,
            flags: if self.definitions.is_empty() { 0 } else { FLAG_DEFINITIONS },
            base: self.base,
            count: self.planned.len() as u32,
            durable_upto: durable_upto as u32,
            recorded_us: self.recorded_us,
        };
        let mut bytes = Vec::with_capacity(length as usize);
        bytes.extend_from_slice(&header.encode(checksum, self.offset));
        if !self.definitions.is_empty() {
            put_u32(&mut bytes, self.definitions.len() as u32);
            bytes.extend_from_slice(&self.definitions);
        }
        let mut crc = checksum.at(self.offset);
        crc.update(&bytes);
        let records_start = bytes.len();
        bytes.extend_from_slice(&self.records);
        let mut record_offsets = Vec::with_capacity(self.planned.len());
        for planned in &self.planned {
            let start = records_start + planned.start;
            let end = start + u32_at(&bytes, start + 4) as usize;
            let offset = self.offset + start as u64;
            let link = link(planned.slot, &planned.digest);
            let own = bytes.get_mut(start..end).unwrap_or_default();
            let record_crc = record::finish(own, &link, checksum, self.offset, offset);
            crc.update(&record_crc.to_le_bytes());
            record_offsets.push(offset as u32);
        }
        let padding = length as usize - TRAILER_LEN - bytes.len();
        bytes.resize(bytes.len() + padding, 0);
        crc.update(bytes.get(bytes.len() - padding..).unwrap_or_default());
        put_u32(&mut bytes, crc.finalize());
        debug_assert!(
            crate::frame::Checked::check(&bytes, checksum, self.offset).is_ok(),
            "a finished frame reads back whole"
        );
        Finished { bytes, record_offsets }
    }

    /// An upper bound of the frame that the group's one append could need in a fresh segment.
    pub(super) fn bound(&self, append: &Append<'_>) -> u64 {
        let mut strings = HashSet::new();
        let mut references = 0;
        for event in &append.events {
            strings.extend([event.entity, event.fact, event.scope, event.content_type]);
            strings.extend(&event.tags);
            references += 4 + event.tags.len();
        }
        let definitions: usize =
            strings.iter().map(|text| DEFINITION_HEADER_LEN + text.len()).sum();
        // In another segment a reference may take up to five bytes where it took one here.
        let records = self.records.len() + references * 4;
        let fixed = HEADER_LEN + DEFINITIONS_LENGTH_LEN + TRAILER_LEN;
        ((fixed + definitions + records) as u64).next_multiple_of(ALIGNMENT)
    }
}
