//! Packed batches of events: the records as they stand in the log, and a row for each that says where
//! its fields are. One copy from the log; nothing in a batch points into mapped memory.

use parking_lot::Mutex;

use super::known::Known;
use super::passed::Passed;
use super::source::Source;
use crate::chain::{Hash, MetadataKind};
use crate::codec::{Reader, patch, u32_at};
use crate::error::Result;
use crate::record::{self, Record};
use crate::segment::Segment;

/// Count, flags, offset of the rows, four bytes of nothing, the head of the read.
const HEADER_LEN: usize = 24;
const HEAD_AT: usize = 16;
const ROW_LEN: usize = 64;
/// Flag: the links that the events follow stand behind the rows.
const FLAG_PREVIOUS_LINKS: u32 = 1;
/// Flag: the read ends with this batch.
pub(super) const FLAG_LAST: u32 = 2;

/// Memory that a builder keeps from one short batch to the next.
const KEPT: usize = 128 << 10;

/// Packs events into batches, one after another, keeping its buffers and what it knows of the log.
///
/// A batch is a header, the records, their rows and previous links: what has a fixed size comes last,
/// so that the records are copied once, from the log to where they are handed over.
///
/// Strings are not in it. A row refers to them as the record does, and [`Source`] gives the text: the
/// other side asks once for each string that is looked at, and scans meet the same ones over and over.
/// That a definition is whole is checked here, so that asking does not fail later.
#[derive(Debug)]
pub(crate) struct BatchBuilder {
    /// Header and records.
    out: Vec<u8>,
    rows: Vec<u8>,
    previous_links: Vec<u8>,
    known: Known,
}

/// Builders that nobody packs with at the moment, the warmest last: a scan whose steps run on one thread after
/// another shall meet what it knows.
static IDLE: Mutex<Vec<BatchBuilder>> = Mutex::new(Vec::new());

/// Runs `pack` with a batch builder. There are as many as threads have ever packed at once.
pub(super) fn packing<T>(pack: impl FnOnce(&mut BatchBuilder) -> T) -> T {
    let idle = IDLE.lock().pop();
    let mut builder = idle.unwrap_or_else(BatchBuilder::new);
    let packed = pack(&mut builder);
    IDLE.lock().push(builder);
    packed
}

impl BatchBuilder {
    fn new() -> Self {
        Self { out: Vec::new(), rows: Vec::new(), previous_links: Vec::new(), known: Known::new() }
    }

    /// Begins a batch that is expected to become so long, in the memory of a buffer.
    pub(crate) fn begin(&mut self, buffer: Vec<u8>, expected: usize) {
        self.rows.clear();
        self.previous_links.clear();
        self.out = buffer;
        self.out.clear();
        self.out.reserve(expected);
        self.out.resize(HEADER_LEN, 0);
    }

    /// Begins a short batch, in memory that the builder keeps.
    pub(crate) fn begin_own(&mut self) {
        let own = std::mem::take(&mut self.out);
        self.begin(if own.capacity() > KEPT { Vec::new() } else { own }, 0);
    }

    /// What the records that it packed had in common.
    pub(super) fn known(&mut self) -> &mut Known {
        &mut self.known
    }

    /// Bytes of the batch so far.
    #[inline]
    pub(crate) fn length(&self) -> usize {
        self.out.len() + self.rows.len() + self.previous_links.len()
    }

    /// Adds an event, whose record has these bytes. Definitions that were `passed` are not checked again.
    #[inline]
    pub(super) fn push(
        &mut self,
        segment: &Segment,
        bytes: &[u8],
        record: &Record<'_>,
        place: Place,
        passed: &Passed,
    ) -> Result<()> {
        let strings = [record.entity, record.fact, record.scope, record.content_type];
        let passed = passed.of(segment);
        for reference in strings.into_iter().chain(record.tags()) {
            if !passed.contains(&reference) {
                self.known.check_definition(segment, reference)?;
            }
        }
        let start = self.out.len();
        self.out.extend_from_slice(bytes);
        let payload = self.out.len() - record.payload.len();
        let mut row = Row::default();
        for number in [place.position, record.version, place.recorded_us] {
            row.put((number as f64).to_le_bytes());
        }
        row.put(segment.serial.to_le_bytes());
        for reference in strings {
            row.put(reference.to_le_bytes());
        }
        for number in [start, payload, record.payload.len(), record.metadata.len()] {
            row.put((number as u32).to_le_bytes());
        }
        let kind = record.metadata_kind.number();
        row.put([record.id_at, record.clock.len() as u8, kind, record.tag_count]);
        self.rows.extend_from_slice(&row.bytes);
        Ok(())
    }

    /// Adds the link that the event added last follows: zeros if there is none, or if it is damaged. Given for all
    /// events of a batch or for none.
    pub(crate) fn push_previous_link(&mut self, link: &Hash) {
        self.previous_links.extend_from_slice(link);
    }

    /// The packed batch. `end` is that of the read.
    pub(crate) fn finish(&mut self, last: bool, end: u64) -> Vec<u8> {
        self.complete(last, end);
        std::mem::take(&mut self.out)
    }

    /// The packed batch, whose memory the builder keeps.
    pub(crate) fn finish_own(&mut self, last: bool, end: u64) -> &[u8] {
        self.complete(last, end);
        &self.out
    }

    fn complete(&mut self, last: bool, end: u64) {
        let out = &mut self.out;
        out.resize(out.len().next_multiple_of(8), 0);
        let rows_at = out.len();
        out.extend_from_slice(&self.rows);
        out.extend_from_slice(&self.previous_links);
        let links = if self.previous_links.is_empty() { 0 } else { FLAG_PREVIOUS_LINKS };
        let flags = links | if last { FLAG_LAST } else { 0 };
        let words = [(self.rows.len() / ROW_LEN) as u32, flags, rows_at as u32];
        for (nth, word) in words.into_iter().enumerate() {
            patch(out, nth * 4, &word.to_le_bytes());
        }
        // The head: -1 of an empty log.
        patch(out, HEAD_AT, &(end as f64 - 1.0).to_le_bytes());
    }
}

/// A row under construction: its length is known, so that nothing grows while it is written.
struct Row {
    bytes: [u8; ROW_LEN],
    at: usize,
}

impl Default for Row {
    fn default() -> Self {
        Self { bytes: [0; ROW_LEN], at: 0 }
    }
}

impl Row {
    #[inline]
    fn put<const N: usize>(&mut self, field: [u8; N]) {
        patch(&mut self.bytes, self.at, &field);
        self.at += N;
    }
}

/// What the record itself does not say of an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) position: u64,
    pub(crate) recorded_us: u64,
}

/// A packed batch, read from Rust.
#[derive(Debug, Clone)]
pub struct Batch {
    bytes: Vec<u8>,
}

/// One event of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchEvent {
    /// Place in the log.
    pub position: u64,
    /// Place within the entity.
    pub version: u64,
    /// Microseconds since 1970.
    pub recorded_us: u64,
    /// Who.
    pub entity: String,
    /// What.
    pub fact: String,
    /// Where.
    pub scope: String,
    /// When.
    pub clock: Vec<u8>,
    /// The event's id.
    pub id: [u8; 16],
    /// Sorted bytewise.
    pub tags: Vec<String>,
    /// Empty if there is no payload.
    pub content_type: String,
    /// Kind of the metadata.
    pub metadata_kind: MetadataKind,
    /// Metadata.
    pub metadata: Vec<u8>,
    /// Payload.
    pub payload: Vec<u8>,
    /// The event's chain hash.
    pub link: Hash,
}

impl Batch {
    /// Wraps packed bytes as [`crate::Store::read`] hands them out.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// Events in the batch.
    pub fn len(&self) -> usize {
        u32_at(&self.bytes, 0) as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the read ends with it.
    pub fn is_last(&self) -> bool {
        self.flags() & FLAG_LAST != 0
    }

    /// Decodes every event; fewer than [`Batch::len`] if this is no batch. `source` is that of the store that
    /// it was read from.
    pub fn events(&self, source: &Source) -> Result<Vec<BatchEvent>> {
        let events: Result<Vec<_>> =
            (0..self.len()).map_while(|nth| self.event(nth, source).transpose()).collect();
        debug_assert!(
            events.as_ref().is_ok_and(|events| events.len() == self.len()) || events.is_err()
        );
        events
    }

    /// The n-th event's previous link, if the batch has previous links. Zeros where it is damaged.
    pub fn previous_link(&self, nth: usize) -> Option<Hash> {
        if self.flags() & FLAG_PREVIOUS_LINKS == 0 {
            return None;
        }
        let at = self.row(self.len()) + nth * size_of::<Hash>();
        self.bytes.get(at..)?.first_chunk().copied()
    }

    fn flags(&self) -> u32 {
        u32_at(&self.bytes, 4)
    }

    /// Where the n-th row stands.
    fn row(&self, nth: usize) -> usize {
        u32_at(&self.bytes, 8) as usize + nth * ROW_LEN
    }

    fn event(&self, nth: usize, source: &Source) -> Result<Option<BatchEvent>> {
        let Some((position, recorded_us, record)) = self.parsed(nth) else {
            return Ok(None);
        };
        let text = |reference| source.text(position, reference);
        Ok(Some(BatchEvent {
            position,
            version: record.version,
            recorded_us,
            entity: text(record.entity)?,
            fact: text(record.fact)?,
            scope: text(record.scope)?,
            content_type: text(record.content_type)?,
            clock: record.clock.to_vec(),
            id: *record.id,
            tags: record.tags().map(text).collect::<Result<_>>()?,
            metadata_kind: record.metadata_kind,
            payload: record.payload.to_vec(),
            metadata: record.metadata.to_vec(),
            link: *record.link,
        }))
    }

    /// Position, time and record of the n-th event.
    fn parsed(&self, nth: usize) -> Option<(u64, u64, Record<'_>)> {
        let mut row = Reader::new(self.bytes.get(self.row(nth)..)?);
        let position = crate::submission::position(row.f64()?)?;
        let _version = row.f64()?;
        let recorded_us = crate::submission::position(row.f64()?)?;
        let _references = row.take(5 * 4)?;
        let record = record::bounded(self.bytes.get(row.u32()? as usize..)?)?;
        Some((position, recorded_us, Record::parse(record)?))
    }
}
