//! Packed batches of events: fixed rows that are cheap to decode, each distinct string once, then the
//! bytes. One copy from the log; nothing in a batch points into mapped memory.

use crate::chain::{Hash, MetadataKind};
use crate::codec::{patch, put_f64, put_u32, u32_at};
use crate::error::Result;
use crate::record::Record;
use crate::segment::Segment;

/// Count, symbols, flags, offsets of rows and symbols, the head of the read.
const HEADER_LEN: usize = 32;
const ROW_LEN: usize = 64;
/// A symbol's key, offset and length.
const SYMBOL_LEN: usize = 16;
/// Flag: rows have previous links.
const FLAG_PREVIOUS_LINKS: u32 = 1;
/// Flag: the read ends with this batch.
pub(super) const FLAG_LAST: u32 = 2;

/// Serials of segments that fit, beside an offset, into a number that JavaScript holds exactly.
const KEYED_SERIALS: u32 = 1 << 21;

/// Packs events into batches, one after another, keeping its buffers and what it knows of strings.
///
/// A batch is a header, the bytes of the events, their rows and the symbols: what has a fixed size
/// comes last, so that the bytes are copied once, from the log to where they are handed over.
#[derive(Debug)]
pub(crate) struct BatchBuilder {
    /// Header and bytes.
    out: Vec<u8>,
    rows: Vec<u8>,
    symbols: Symbols,
    /// Symbols of the tags of the event that is being added.
    tags: Vec<u32>,
}

impl BatchBuilder {
    pub(crate) fn new() -> Self {
        Self { out: Vec::new(), rows: Vec::new(), symbols: Symbols::new(), tags: Vec::new() }
    }

    /// Begins a batch that is expected to become so long, in the memory of a buffer.
    pub(crate) fn begin(&mut self, buffer: Vec<u8>, expected: usize) {
        self.rows.clear();
        self.symbols.forget();
        self.out = buffer;
        self.out.clear();
        self.out.reserve(expected);
        self.out.resize(HEADER_LEN, 0);
    }

    /// Bytes of the batch so far.
    pub(crate) fn length(&self) -> usize {
        self.out.len() + self.rows.len() + self.symbols.rows.len()
    }

    /// Adds an event.
    pub(crate) fn push(
        &mut self,
        segment: &Segment,
        record: &Record<'_>,
        event: &Place<'_>,
    ) -> Result<()> {
        let out = &mut self.out;
        let symbols = [
            self.symbols.number(out, segment, record.entity)?,
            self.symbols.number(out, segment, record.fact)?,
            self.symbols.number(out, segment, record.scope)?,
            self.symbols.number(out, segment, record.content_type)?,
        ];
        self.tags.clear();
        for tag in record.tags() {
            // Collected, because the text of a new symbol goes to where their numbers are going to be.
            self.tags.push(self.symbols.number(out, segment, tag)?);
        }
        let fixed = out.len() as u32;
        for tag in &self.tags {
            put_u32(out, *tag);
        }
        out.extend_from_slice(record.link);
        if let Some(link) = event.previous_link {
            out.extend_from_slice(link);
        }
        out.extend_from_slice(record.id);
        out.extend_from_slice(record.clock);
        let metadata = out.len() as u32;
        out.extend_from_slice(record.metadata);
        let payload = out.len() as u32;
        out.extend_from_slice(record.payload);

        let row = &mut self.rows;
        row.reserve(ROW_LEN);
        for number in [event.position, record.version, event.recorded_us] {
            put_f64(row, number as f64);
        }
        for symbol in symbols {
            put_u32(row, symbol);
        }
        for number in
            [fixed, payload, record.payload.len() as u32, metadata, record.metadata.len() as u32]
        {
            put_u32(row, number);
        }
        let kind = record.metadata_kind.number();
        row.extend_from_slice(&[record.clock.len() as u8, kind, record.tag_count, 0]);
        Ok(())
    }

    /// The packed batch. `end` is that of the read.
    pub(crate) fn finish(&mut self, flags: Flags, end: u64) -> Vec<u8> {
        let mut out = std::mem::take(&mut self.out);
        out.resize(out.len().next_multiple_of(8), 0);
        let rows_at = out.len();
        out.extend_from_slice(&self.rows);
        let symbols_at = out.len();
        out.extend_from_slice(&self.symbols.rows);
        let count = self.rows.len() / ROW_LEN;
        let words = [count, self.symbols.count(), flags.bits() as usize, rows_at, symbols_at];
        for (nth, word) in words.into_iter().enumerate() {
            patch(&mut out, nth * 4, &(word as u32).to_le_bytes());
        }
        // The head: -1 of an empty log.
        patch(&mut out, 24, &(end as f64 - 1.0).to_le_bytes());
        out
    }
}

/// What the record itself does not say of an event.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) position: u64,
    pub(crate) recorded_us: u64,
    /// Given for all events of a batch or for none.
    pub(crate) previous_link: Option<&'a Hash>,
}

/// What is to be known of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flags {
    pub(crate) previous_links: bool,
    pub(crate) last: bool,
}

impl Flags {
    fn bits(self) -> u32 {
        let links = if self.previous_links { FLAG_PREVIOUS_LINKS } else { 0 };
        links | if self.last { FLAG_LAST } else { 0 }
    }
}

/// Strings that are remembered by where they are defined; a power of two.
const KNOWN: usize = 1 << 15;

/// The strings of a batch. Where a string is defined names it; the same text defined twice is two
/// symbols, which costs less than looking for it would.
#[derive(Debug)]
struct Symbols {
    /// By a hash of the definition's place: the last one met, in this batch or an earlier one. What was
    /// displaced becomes a symbol again.
    known: Box<[Known]>,
    /// The batch under construction.
    batch: u32,
    /// Key, offset and length of each.
    rows: Vec<u8>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// The batch that it is a symbol of; 0 for none.
    batch: u32,
    serial: u32,
    reference: u32,
    symbol: u32,
    /// Bytes of the text, which was checked when it was met first.
    length: u32,
}

impl Symbols {
    fn new() -> Self {
        Self { known: vec![Known::default(); KNOWN].into(), batch: 1, rows: Vec::new() }
    }

    fn count(&self) -> usize {
        self.rows.len() / SYMBOL_LEN
    }

    /// Begins anew, for another batch.
    fn forget(&mut self) {
        self.rows.clear();
        self.batch = self.batch.wrapping_add(1);
        if self.batch == 0 {
            self.known.fill(Known::default());
            self.batch = 1;
        }
    }

    /// The batch's number of a string, which is put into `out` if it is new.
    #[inline]
    fn number(&mut self, out: &mut Vec<u8>, segment: &Segment, reference: u32) -> Result<u32> {
        let at = slot(segment.serial, reference);
        let known = self.known.get(at).filter(|known| {
            known.reference == reference && known.serial == segment.serial && known.batch != 0
        });
        match known.copied() {
            Some(known) if known.batch == self.batch => Ok(known.symbol),
            Some(known) => {
                let text = segment.string_again(reference, known.length)?;
                Ok(self.add(at, out, segment, reference, &text))
            }
            None => {
                let text = segment.string(reference)?;
                Ok(self.add(at, out, segment, reference, text.as_bytes()))
            }
        }
    }

    fn add(
        &mut self,
        at: usize,
        out: &mut Vec<u8>,
        segment: &Segment,
        reference: u32,
        text: &[u8],
    ) -> u32 {
        let symbol = self.count() as u32;
        put_f64(&mut self.rows, key(segment.serial, reference));
        put_u32(&mut self.rows, out.len() as u32);
        put_u32(&mut self.rows, text.len() as u32);
        out.extend_from_slice(text);
        if let Some(known) = self.known.get_mut(at) {
            let (batch, serial, length) = (self.batch, segment.serial, text.len() as u32);
            *known = Known { batch, serial, reference, symbol, length };
        }
        symbol
    }
}

fn slot(serial: u32, reference: u32) -> usize {
    let mixed = (reference ^ serial.rotate_left(24)).wrapping_mul(0x9e37_79b1);
    (mixed >> 17) as usize & (KNOWN - 1)
}

/// A number that stands for the string in this process, so that it is decoded once; 0 for none.
fn key(serial: u32, reference: u32) -> f64 {
    if serial < KEYED_SERIALS {
        (u64::from(serial) << 32 | u64::from(reference)) as f64
    } else {
        0.0
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

    /// Whether the read ends with it.
    pub fn is_last(&self) -> bool {
        u32_at(&self.bytes, 8) & FLAG_LAST != 0
    }

    /// Decodes every event.
    pub fn events(&self) -> Vec<BatchEvent> {
        (0..self.len()).filter_map(|nth| self.event(nth)).collect()
    }

    /// The n-th event's previous link, if the batch has previous links.
    pub fn previous_link(&self, nth: usize) -> Option<Hash> {
        if u32_at(&self.bytes, 8) & FLAG_PREVIOUS_LINKS == 0 {
            return None;
        }
        let row = u32_at(&self.bytes, 12) as usize + nth * ROW_LEN;
        let tags = usize::from(*self.bytes.get(row + 62)?);
        let at = u32_at(&self.bytes, row + 40) as usize + tags * 4 + size_of::<Hash>();
        self.bytes.get(at..)?.first_chunk().copied()
    }

    fn event(&self, nth: usize) -> Option<BatchEvent> {
        let row = u32_at(&self.bytes, 12) as usize + nth * ROW_LEN;
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
        let at = u32_at(&self.bytes, 16) as usize + nth * SYMBOL_LEN + 8;
        let (start, length) = (u32_at(&self.bytes, at), u32_at(&self.bytes, at + 4));
        let text = self.bytes.get(start as usize..(start + length) as usize)?;
        std::str::from_utf8(text).ok().map(str::to_owned)
    }
}
