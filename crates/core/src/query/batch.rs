//! Packed batches of events: fixed rows that are cheap to decode, each distinct string once, then the
//! bytes. One copy from the log; nothing in a batch points into mapped memory.

use hashbrown::HashMap;

use crate::chain::{Hash, MetadataKind};
use crate::codec::{put_u32, u32_at};
use crate::error::Result;
use crate::record::Record;
use crate::segment::Segment;

const HEADER_LEN: usize = 16;
const ROW_LEN: usize = 64;
const SYMBOL_LEN: usize = 8;
/// Flag: rows have previous links.
const FLAG_PREVIOUS_LINKS: u32 = 1;

/// Collects events into a packed batch.
#[derive(Debug)]
pub(crate) struct BatchBuilder {
    rows: Vec<Row>,
    data: Vec<u8>,
    /// Strings of the batch: place in `data` and length.
    symbols: Vec<(u32, u32)>,
    /// By segment and reference.
    by_reference: HashMap<(u64, u32), u32>,
    by_text: HashMap<Box<str>, u32>,
    previous_links: bool,
}

/// A row; offsets are relative to the data.
#[derive(Debug)]
struct Row {
    position: u64,
    version: u64,
    recorded_us: u64,
    symbols: [u32; 4],
    fixed: u32,
    payload: (u32, u32),
    metadata: (u32, u32),
    clock_len: u8,
    metadata_kind: MetadataKind,
    tag_count: u8,
}

impl BatchBuilder {
    pub(crate) fn new(previous_links: bool) -> Self {
        Self {
            rows: Vec::new(),
            data: Vec::new(),
            symbols: Vec::new(),
            by_reference: HashMap::new(),
            by_text: HashMap::new(),
            previous_links,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes of the batch so far.
    pub(crate) fn length(&self) -> usize {
        HEADER_LEN + self.rows.len() * ROW_LEN + self.symbols.len() * SYMBOL_LEN + self.data.len()
    }

    /// Adds an event.
    pub(crate) fn push(
        &mut self,
        segment: &Segment,
        record: &Record<'_>,
        position: u64,
        recorded_us: u64,
        previous_link: Option<&Hash>,
    ) -> Result<()> {
        let symbols = [
            self.symbol(segment, record.entity)?,
            self.symbol(segment, record.fact)?,
            self.symbol(segment, record.scope)?,
            self.symbol(segment, record.content_type)?,
        ];
        let mut tags = Vec::new();
        for tag in record.tags() {
            tags.push(self.symbol(segment, tag)?);
        }
        self.data.resize(self.data.len().next_multiple_of(4), 0);
        let fixed = self.data.len() as u32;
        for tag in tags {
            put_u32(&mut self.data, tag);
        }
        self.data.extend_from_slice(record.link);
        if let Some(link) = previous_link {
            self.data.extend_from_slice(link);
        }
        self.data.extend_from_slice(record.id);
        self.data.extend_from_slice(record.clock);
        let metadata = self.put(record.metadata);
        let payload = self.put(record.payload);
        self.rows.push(Row {
            position,
            version: record.version,
            recorded_us,
            symbols,
            fixed,
            payload,
            metadata,
            clock_len: record.clock.len() as u8,
            metadata_kind: record.metadata_kind,
            tag_count: record.tag_count,
        });
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> (u32, u32) {
        let start = self.data.len() as u32;
        self.data.extend_from_slice(bytes);
        (start, bytes.len() as u32)
    }

    /// The batch's number of a string.
    fn symbol(&mut self, segment: &Segment, reference: u32) -> Result<u32> {
        let key = (segment.header.number, reference);
        if let Some(symbol) = self.by_reference.get(&key) {
            return Ok(*symbol);
        }
        let text = segment.string(reference)?;
        let symbol = if let Some(symbol) = self.by_text.get(&*text) {
            *symbol
        } else {
            let symbol = self.symbols.len() as u32;
            let place = self.put(text.as_bytes());
            self.symbols.push(place);
            self.by_text.insert((&*text).into(), symbol);
            symbol
        };
        self.by_reference.insert(key, symbol);
        Ok(symbol)
    }

    /// The packed batch.
    pub(crate) fn finish(self) -> Vec<u8> {
        let data_start = HEADER_LEN + self.rows.len() * ROW_LEN + self.symbols.len() * SYMBOL_LEN;
        let base = data_start as u32;
        let mut out = Vec::with_capacity(data_start + self.data.len());
        put_u32(&mut out, self.rows.len() as u32);
        put_u32(&mut out, self.symbols.len() as u32);
        put_u32(&mut out, if self.previous_links { FLAG_PREVIOUS_LINKS } else { 0 });
        put_u32(&mut out, 0);
        for row in &self.rows {
            for number in [row.position, row.version, row.recorded_us] {
                crate::codec::put_f64(&mut out, number as f64);
            }
            for symbol in row.symbols {
                put_u32(&mut out, symbol);
            }
            put_u32(&mut out, base + row.fixed);
            put_u32(&mut out, base + row.payload.0);
            put_u32(&mut out, row.payload.1);
            put_u32(&mut out, base + row.metadata.0);
            put_u32(&mut out, row.metadata.1);
            let kind = row.metadata_kind.number();
            out.extend_from_slice(&[row.clock_len, kind, row.tag_count, 0]);
        }
        for (start, length) in &self.symbols {
            put_u32(&mut out, base + start);
            put_u32(&mut out, *length);
        }
        out.extend_from_slice(&self.data);
        out
    }
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

    /// Decodes every event.
    pub fn events(&self) -> Vec<BatchEvent> {
        (0..self.len()).filter_map(|nth| self.event(nth)).collect()
    }

    fn event(&self, nth: usize) -> Option<BatchEvent> {
        let row = HEADER_LEN + nth * ROW_LEN;
        let number = |at: usize| {
            let bytes = self.bytes.get(row + at..)?.first_chunk()?;
            crate::submission::position(f64::from_le_bytes(*bytes))
        };
        let field = |at: usize| u32_at(&self.bytes, row + at) as usize;
        let piece = |at: usize, len: usize| self.bytes.get(at..at + len);
        let [clock_len, kind, tag_count, _] = *self.bytes.get(row + 60..)?.first_chunk()?;
        let links = if u32_at(&self.bytes, 8) & FLAG_PREVIOUS_LINKS == 0 { 32 } else { 64 };
        let tags_at = field(40);
        let link_at = tags_at + usize::from(tag_count) * 4;
        let id_at = link_at + links;
        Some(BatchEvent {
            position: number(0)?,
            version: number(8)?,
            recorded_us: number(16)?,
            entity: self.symbol(field(24))?,
            fact: self.symbol(field(28))?,
            scope: self.symbol(field(32))?,
            content_type: self.symbol(field(36))?,
            clock: piece(id_at + 16, usize::from(clock_len))?.to_vec(),
            id: *piece(id_at, 16)?.first_chunk()?,
            tags: (0..usize::from(tag_count))
                .map(|tag| self.symbol(u32_at(&self.bytes, tags_at + tag * 4) as usize))
                .collect::<Option<_>>()?,
            metadata_kind: MetadataKind::from_number(kind)?,
            payload: piece(field(44), field(48))?.to_vec(),
            metadata: piece(field(52), field(56))?.to_vec(),
            link: *piece(link_at, 32)?.first_chunk()?,
        })
    }

    fn symbol(&self, nth: usize) -> Option<String> {
        let at = HEADER_LEN + self.len() * ROW_LEN + nth * SYMBOL_LEN;
        let (start, length) = (u32_at(&self.bytes, at), u32_at(&self.bytes, at + 4));
        let text = self.bytes.get(start as usize..(start + length) as usize)?;
        std::str::from_utf8(text).ok().map(str::to_owned)
    }
}
