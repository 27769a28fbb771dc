//! A commit group under construction: the definitions and records of the next frame.

use hashbrown::HashSet;

use super::dictionary::{Dictionary, EMPTY};
use super::heads::Heads;
use crate::chain::{BLOCK, Digestible, Hash, LANES, Lanes, PAYLOAD_HASH_AT, link_block};
use crate::checksum::Checksum;
use crate::codec::{patch, put_u32, u32_at};
use crate::frame::{
    ALIGNMENT, DEFINITION_HEADER_LEN, DEFINITIONS_LENGTH_LEN, FLAG_DEFINITIONS, FrameHeader,
    HEADER_LEN, Kind, TRAILER_LEN, put_definition,
};
use crate::record::{self, NewRecord, Record};
use crate::submission::Append;

/// Buffers that grew beyond this are given back after the group.
const KEPT_BYTES: usize = 8 << 20;

/// A place to return to if an append does not fit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    definitions: usize,
    records: usize,
    encodings: usize,
    planned: usize,
    tags: usize,
    strings: usize,
}

impl Mark {
    /// Whether it stands before the group's first event.
    pub(super) fn is_first(self) -> bool {
        self.planned == 0
    }
}

/// An event that has its place in the group; digest and link come when the frame is finished.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planned {
    /// Where its record starts among the group's records.
    start: usize,
    payload_len: usize,
    /// Where its canonical encoding starts.
    encoding: usize,
    /// The entity's slot, and its head before this event.
    pub(super) slot: u32,
    before: (u64, u64),
    /// Numbers of strings in the dictionary.
    pub(super) fact: u32,
    pub(super) scope: u32,
    tags: usize,
}

/// The next frame. Its buffers are used again for the one after it.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Offset of the frame in the segment.
    pub(super) offset: u64,
    /// Position of its first event.
    pub(super) base: u64,
    pub(super) recorded_us: u64,
    definitions: Vec<u8>,
    records: Vec<u8>,
    /// The canonical encodings of the events, their payloads' hashes still zero.
    encodings: Vec<u8>,
    planned: Vec<Planned>,
    /// Dictionary numbers of the events' tags.
    tags: Vec<u32>,
    /// Links of the first events: those that are hashed already.
    links: Vec<Hash>,
    /// Events that the tail knows already.
    pub(super) indexed: usize,
    /// The finished frame, and where its records are.
    frame: Vec<u8>,
    record_offsets: Vec<u32>,
}

impl Group {
    /// Starts the next group.
    pub(super) fn start(&mut self, offset: u64, base: u64, recorded_us: u64) {
        (self.offset, self.base, self.recorded_us) = (offset, base, recorded_us);
        self.indexed = 0;
        self.planned.clear();
        self.tags.clear();
        self.links.clear();
        self.record_offsets.clear();
        let buffers =
            [&mut self.definitions, &mut self.records, &mut self.encodings, &mut self.frame];
        for buffer in buffers {
            buffer.clear();
            buffer.shrink_to(KEPT_BYTES);
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

    pub(super) fn mark(&self, dictionary: &Dictionary) -> Mark {
        Mark {
            definitions: self.definitions.len(),
            records: self.records.len(),
            encodings: self.encodings.len(),
            planned: self.planned.len(),
            tags: self.tags.len(),
            strings: dictionary.len(),
        }
    }

    /// Forgets what came after a mark.
    pub(super) fn roll_back(&mut self, mark: Mark, dictionary: &mut Dictionary, heads: &mut Heads) {
        let kept = self.next_definition() - (self.definitions.len() - mark.definitions) as u64;
        for planned in self.planned.drain(mark.planned..).rev() {
            if let Some(head) = heads.get_mut(planned.slot) {
                (head.next_version, head.position) = planned.before;
            }
            let defined = heads.defined(planned.slot, dictionary.epoch());
            if defined.is_some_and(|offset| u64::from(offset) >= kept) {
                heads.set_defined(planned.slot, 0, 0);
            }
        }
        self.definitions.truncate(mark.definitions);
        self.records.truncate(mark.records);
        self.encodings.truncate(mark.encodings);
        self.tags.truncate(mark.tags);
        dictionary.truncate(mark.strings);
    }

    /// The dictionary's number of a string, defining it if the segment does not have it yet.
    pub(super) fn define(
        &mut self,
        text: &str,
        dictionary: &mut Dictionary,
        checksum: &Checksum,
    ) -> u32 {
        if text.is_empty() {
            return EMPTY;
        }
        if let Some(number) = dictionary.find(text) {
            return number;
        }
        let offset = self.next_definition();
        put_definition(&mut self.definitions, text, checksum, offset);
        dictionary.insert(text, offset as u32)
    }

    /// Where the entity in a slot is defined.
    fn define_entity(
        &mut self,
        slot: u32,
        heads: &mut Heads,
        dictionary: &Dictionary,
        checksum: &Checksum,
    ) -> u32 {
        if let Some(offset) = heads.defined(slot, dictionary.epoch()) {
            return offset;
        }
        let offset = self.next_definition();
        put_definition(&mut self.definitions, heads.entity(slot), checksum, offset);
        heads.set_defined(slot, dictionary.epoch(), offset as u32);
        offset as u32
    }

    /// Where the next definition comes to stand in the segment.
    fn next_definition(&self) -> u64 {
        self.offset + (HEADER_LEN + DEFINITIONS_LENGTH_LEN + self.definitions.len()) as u64
    }

    /// Adds an event of the entity in a slot, whose head is advanced. The event's payload hash is not
    /// looked at.
    pub(super) fn push(
        &mut self,
        event: &Digestible<'_>,
        content: &Content<'_>,
        slot: u32,
        heads: &mut Heads,
        dictionary: &mut Dictionary,
        checksum: &Checksum,
    ) {
        let head = heads.get(slot);
        let entity = self.define_entity(slot, heads, dictionary, checksum);
        let [fact, scope, content_type] = [event.fact, event.scope, event.content_type]
            .map(|text| self.define(text, dictionary, checksum));
        let tags = self.tags.len();
        for tag in event.tags {
            let number = self.define(tag, dictionary, checksum);
            self.tags.push(number);
        }
        let own_tags = self.tags.get(tags..).unwrap_or_default();
        let references: Vec<u32> = own_tags.iter().map(|tag| dictionary.reference(*tag)).collect();
        let position = self.base + self.count();
        let record = NewRecord {
            given_id: content.given_id,
            store_clock: content.store_clock,
            entity,
            fact: dictionary.reference(fact),
            scope: dictionary.reference(scope),
            content_type: dictionary.reference(content_type),
            version: event.version,
            back: if event.version > 0 { position - head.position } else { 0 },
            clock: event.clock,
            id: &event.id,
            tags: &references,
            metadata_kind: event.metadata_kind,
            metadata: content.metadata,
            payload: content.payload,
        };
        let start = self.records.len();
        record.encode(&mut self.records);
        let encoding = self.encodings.len();
        event.encode(&mut self.encodings);
        self.planned.push(Planned {
            start,
            payload_len: content.payload.len(),
            encoding,
            slot,
            before: (head.next_version, head.position),
            fact,
            scope,
            tags,
        });
        if let Some(head) = heads.get_mut(slot) {
            head.next_version += 1;
            head.position = position;
        }
    }

    /// Ends the append whose last event was pushed.
    pub(super) fn end_append(&mut self) {
        if let Some(last) = self.planned.last() {
            record::mark_end(self.records.get_mut(last.start..).unwrap_or_default());
        }
    }

    /// The events from a number on, and their records.
    pub(super) fn events(&self, from: usize) -> impl Iterator<Item = (&Planned, Record<'_>)> {
        self.planned.iter().skip(from).filter_map(|planned| {
            let record = record::bounded(self.records.get(planned.start..)?)?;
            Some((planned, Record::parse(record)?))
        })
    }

    /// Dictionary numbers of an event's tags.
    pub(super) fn tags(&self, planned: &Planned, count: u8) -> &[u32] {
        self.tags.get(planned.tags..planned.tags + usize::from(count)).unwrap_or_default()
    }

    /// Assembles the frame of events that are linked: their places, then every CRC.
    pub(super) fn finish(&mut self, checksum: &Checksum, durable_upto: u64) {
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
        let bytes = &mut self.frame;
        bytes.reserve(length as usize);
        bytes.extend_from_slice(&header.encode(checksum, self.offset));
        if !self.definitions.is_empty() {
            put_u32(bytes, self.definitions.len() as u32);
            bytes.extend_from_slice(&self.definitions);
        }
        let mut crc = checksum.at(self.offset);
        crc.update(bytes);
        let records_start = bytes.len();
        bytes.extend_from_slice(&self.records);
        for (planned, link) in self.planned.iter().zip(&self.links) {
            let start = records_start + planned.start;
            let end = start + u32_at(bytes, start + 4) as usize;
            let offset = self.offset + start as u64;
            let own = bytes.get_mut(start..end).unwrap_or_default();
            let record_crc = record::finish(own, link, checksum, self.offset, offset);
            crc.update(&record_crc.to_le_bytes());
            self.record_offsets.push(offset as u32);
        }
        let padding = length as usize - TRAILER_LEN - bytes.len();
        bytes.resize(bytes.len() + padding, 0);
        crc.update(bytes.get(bytes.len() - padding..).unwrap_or_default());
        put_u32(bytes, crc.finalize());
        debug_assert!(
            crate::frame::Checked::check(bytes, checksum, self.offset).is_ok(),
            "a finished frame reads back whole"
        );
    }

    /// The finished frame.
    pub(super) fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// Where the records of the finished frame are.
    pub(super) fn record_offsets(&self) -> &[u32] {
        &self.record_offsets
    }

    /// Links the events that are not linked yet; the heads get their new links. None of the digests depends on
    /// another event, so they are hashed side by side; so are links of different entities.
    pub(super) fn link(&mut self, lanes: &Lanes, heads: &mut Heads) {
        let planned = self.planned.get(self.links.len()..).unwrap_or_default();
        let payloads = planned.iter().map(|planned| {
            let record = record::bounded(self.records.get(planned.start..).unwrap_or_default());
            let record = record.unwrap_or_default();
            record.get(record.len() - planned.payload_len..).unwrap_or_default()
        });
        let contents = lanes.contents(payloads);
        for (planned, content) in planned.iter().zip(&contents) {
            patch(&mut self.encodings, planned.encoding + PAYLOAD_HASH_AT, content);
        }
        let ends = planned.iter().skip(1).map(|next| next.encoding);
        let encodings = planned.iter().zip(ends.chain([self.encodings.len()]));
        let digests =
            lanes.digests(encodings.map(|(planned, end)| {
                self.encodings.get(planned.encoding..end).unwrap_or_default()
            }));
        let links = &mut self.links;
        let mut slots: Vec<u32> = Vec::with_capacity(LANES);
        let mut blocks: Vec<[u8; BLOCK]> = Vec::with_capacity(LANES);
        for (planned, digest) in planned.iter().zip(&digests) {
            if slots.len() == LANES || slots.contains(&planned.slot) {
                link_lanes(lanes, heads, &mut slots, &mut blocks, links);
            }
            slots.push(planned.slot);
            blocks.push(link_block(&heads.get(planned.slot).link, digest));
        }
        link_lanes(lanes, heads, &mut slots, &mut blocks, links);
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

/// What a record has beyond what its digest names.
#[derive(Debug)]
pub(super) struct Content<'a> {
    pub(super) given_id: bool,
    pub(super) store_clock: bool,
    pub(super) metadata: &'a [u8],
    pub(super) payload: &'a [u8],
}

/// Links the events that wait, each of another entity, and advances the heads.
fn link_lanes(
    lanes: &Lanes,
    heads: &mut Heads,
    slots: &mut Vec<u32>,
    blocks: &mut Vec<[u8; BLOCK]>,
    links: &mut Vec<Hash>,
) {
    let first = links.len();
    lanes.links(blocks, links);
    for (slot, link) in slots.drain(..).zip(links.iter().skip(first)) {
        if let Some(head) = heads.get_mut(slot) {
            head.link = *link;
        }
    }
    blocks.clear();
}
