//! A frame: one commit group of appends on disk. Header, definitions of strings, records, CRC.
//!
//! Invariant: nothing of a frame is believed before its header's CRC, and nothing of its body is
//! published before every CRC in it held. docs/format.md has the layout for strangers.

use crate::checksum::Checksum;
use crate::codec::{Reader, patch, put_u32, put_u64};
use crate::limits::FRAME_MAX_BYTES;

/// Bytes of a frame's header.
pub(crate) const HEADER_LEN: usize = 36;
/// Bytes of the CRC at a frame's end.
pub(crate) const TRAILER_LEN: usize = 4;
/// Bytes of the consensus block behind the header, if the flag is set.
pub(crate) const CONSENSUS_LEN: usize = 24;
/// Frames start at multiples of this.
pub(crate) const ALIGNMENT: u64 = 8;
/// Bytes of the definitions' length, if the flag is set.
pub(crate) const DEFINITIONS_LENGTH_LEN: usize = 4;
/// Bytes before a definition's text: CRC and length.
pub(crate) const DEFINITION_HEADER_LEN: usize = 6;

/// Flag: a consensus block (term, leader) follows the header.
pub(crate) const FLAG_CONSENSUS: u8 = 1;
/// Flag: definitions of strings stand before the records, behind their length in bytes (u32).
pub(crate) const FLAG_DEFINITIONS: u8 = 2;
/// All flags of format 1; a frame with another one is not of this format.
const FLAGS_KNOWN: u8 = FLAG_CONSENSUS | FLAG_DEFINITIONS;

/// Bit of the kind: who does not know the kind must refuse the store.
pub(crate) const KIND_CRITICAL: u8 = 0x80;

/// What a frame holds. Reserved for what later versions write: 3 no-op, 4 delete, 5 undelete, 6 store
/// metadata, 7 snapshot, 8 consumer, 9 Raft, 10 rewind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind(pub(crate) u8);

impl Kind {
    /// Events. The only kind that takes positions.
    pub(crate) const EVENTS: Self = Self(1 | KIND_CRITICAL);
    /// The last frame of a sealed segment.
    pub(crate) const SEAL: Self = Self(2 | KIND_CRITICAL);

    /// Whether a reader of format 1 may pass over a frame of this kind.
    pub(crate) fn can_be_skipped(self) -> bool {
        self.0 & KIND_CRITICAL == 0
    }
}

/// A frame's header, without its CRC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Bytes of the whole frame, from the header to the CRC at its end; a multiple of 8.
    pub(crate) length: u32,
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    /// Position of the first event; for other kinds, of the next event to come.
    pub(crate) base: u64,
    /// Events in the frame.
    pub(crate) count: u32,
    /// Bytes of this segment that were synced when the frame was built.
    pub(crate) durable_upto: u32,
    /// Microseconds since 1970.
    pub(crate) recorded_us: u64,
}

impl FrameHeader {
    pub(crate) fn encode(&self, checksum: &Checksum, offset: u64) -> [u8; HEADER_LEN] {
        let mut out = Vec::with_capacity(HEADER_LEN);
        put_u32(&mut out, self.length);
        out.extend_from_slice(&[self.kind.0, self.flags, 0, 0]);
        put_u64(&mut out, self.base);
        put_u32(&mut out, self.count);
        put_u32(&mut out, self.durable_upto);
        put_u64(&mut out, self.recorded_us);
        let crc = checksum.of(offset, &out);
        put_u32(&mut out, crc);
        let mut header = [0; HEADER_LEN];
        patch(&mut header, 0, &out);
        header
    }

    /// Whether it is worth computing a CRC to know: a length that can be one, and zeros where they have to be.
    #[inline]
    pub(crate) fn may_be(bytes: &[u8; HEADER_LEN]) -> bool {
        let length = u64::from(crate::codec::u32_at(bytes, 0));
        length != 0
            && length.is_multiple_of(ALIGNMENT)
            && length <= FRAME_MAX_BYTES
            && crate::codec::u16_at(bytes, 6) == 0
    }

    /// The header, if its CRC holds and its length can be one.
    pub(crate) fn decode(
        bytes: &[u8; HEADER_LEN],
        checksum: &Checksum,
        offset: u64,
    ) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let body = reader.take(HEADER_LEN - 4)?;
        if reader.u32()? != checksum.of(offset, body) {
            return None;
        }
        let mut reader = Reader::new(body);
        let length = reader.u32()?;
        let kind = Kind(reader.u8()?);
        let flags = reader.u8()?;
        let zero = reader.u16()?;
        let header = Self {
            length,
            kind,
            flags,
            base: reader.u64()?,
            count: reader.u32()?,
            durable_upto: reader.u32()?,
            recorded_us: reader.u64()?,
        };
        let possible = zero == 0
            && (header.kind != Kind::EVENTS || header.count > 0)
            && u64::from(header.durable_upto) <= offset
            && u64::from(length).is_multiple_of(ALIGNMENT)
            && u64::from(length) <= FRAME_MAX_BYTES
            && length as usize >= header.body_start() + TRAILER_LEN;
        possible.then_some(header)
    }

    /// Why this version must not touch a store with a whole frame of this kind.
    pub(crate) fn unknown(&self) -> Option<String> {
        let known = matches!(self.kind, Kind::EVENTS | Kind::SEAL) || self.kind.can_be_skipped();
        if known && self.flags & !FLAGS_KNOWN == 0 {
            return None;
        }
        Some(format!(
            "a frame is of kind 0x{:02x} with flags 0x{:02x}, which this version does not know: open the \
             store with a newer version",
            self.kind.0, self.flags
        ))
    }

    /// Offset within the frame of the definitions, or of what comes where there are none.
    pub(crate) fn body_start(&self) -> usize {
        let consensus = if self.flags & FLAG_CONSENSUS == 0 { 0 } else { CONSENSUS_LEN };
        let length = if self.flags & FLAG_DEFINITIONS == 0 { 0 } else { DEFINITIONS_LENGTH_LEN };
        HEADER_LEN + consensus + length
    }
}

/// Where the parts of a frame are, after every CRC in it held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checked {
    header: FrameHeader,
    offset: u64,
    records_start: usize,
    records_end: usize,
}

/// A frame whose every CRC held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) header: FrameHeader,
    /// Offset within the segment.
    pub(crate) offset: u64,
    bytes: &'a [u8],
    records_start: usize,
    records_end: usize,
}

impl Checked {
    /// Checks all of a frame that starts at `bytes`; extra bytes behind it are ignored. The reason
    /// says what did not hold.
    pub(crate) fn check(
        bytes: &[u8],
        checksum: &Checksum,
        offset: u64,
    ) -> Result<Self, &'static str> {
        let header = bytes.first_chunk::<HEADER_LEN>().ok_or("the frame's header is cut off")?;
        let header = FrameHeader::decode(header, checksum, offset)
            .ok_or("the frame's header does not match its CRC")?;
        let bytes = bytes.get(..header.length as usize).ok_or("the frame is cut off")?;
        let start =
            records_start(&header, bytes).ok_or("the frame's definitions do not fit into it")?;
        let end = check_body(&header, bytes, start, checksum, offset)?;
        Ok(Self { header, offset, records_start: start, records_end: end })
    }

    /// The frame over the bytes that were checked.
    pub(crate) fn over(self, bytes: &[u8]) -> Frame<'_> {
        Frame {
            header: self.header,
            offset: self.offset,
            bytes: bytes.get(..self.header.length as usize).unwrap_or(bytes),
            records_start: self.records_start,
            records_end: self.records_end,
        }
    }
}

fn records_start(header: &FrameHeader, bytes: &[u8]) -> Option<usize> {
    let mut start = header.body_start();
    if header.flags & FLAG_DEFINITIONS != 0 {
        let length = Reader::new(bytes.get(start - DEFINITIONS_LENGTH_LEN..)?).u32()?;
        start = start.checked_add(length as usize)?;
    }
    (start + TRAILER_LEN <= bytes.len()).then_some(start)
}

/// Checks every CRC of the body; returns where the records end.
fn check_body(
    header: &FrameHeader,
    bytes: &[u8],
    start: usize,
    checksum: &Checksum,
    offset: u64,
) -> Result<usize, &'static str> {
    let end = bytes.len() - TRAILER_LEN;
    let mut crc = checksum.at(offset);
    crc.update(bytes.get(..start).unwrap_or_default());
    let mut at = start;
    if header.kind == Kind::EVENTS {
        for _ in 0..header.count {
            let rest = bytes.get(at..end).unwrap_or_default();
            let record = crate::record::bounded(rest).ok_or("a record does not fit its frame")?;
            if !crate::record::holds(record, checksum, offset + at as u64) {
                return Err("a record does not match its CRC");
            }
            crc.update(record.first_chunk::<4>().map_or(&[][..], |crc| &crc[..]));
            at += record.len();
        }
    }
    // Between the records and the CRC: the body of other kinds, or padding. All of it counts.
    crc.update(bytes.get(at..end).unwrap_or_default());
    let held = crc.finalize() == crate::codec::u32_at(bytes, end);
    if held { Ok(at) } else { Err("the frame does not match its CRC") }
}

impl<'a> Frame<'a> {
    /// The CRC at the frame's end.
    pub(crate) fn crc(&self) -> u32 {
        crate::codec::u32_at(self.bytes, self.bytes.len() - TRAILER_LEN)
    }

    /// The header as it stands on disk, then the CRC: what the seal's running hash covers.
    pub(crate) fn fingerprint(&self) -> ([u8; HEADER_LEN], u32) {
        (self.bytes.first_chunk().copied().unwrap_or([0; HEADER_LEN]), self.crc())
    }

    /// Offset behind the frame within the segment.
    pub(crate) fn end(&self) -> u64 {
        self.offset + u64::from(self.header.length)
    }

    /// Body of a frame that is not of events.
    pub(crate) fn body(&self) -> &'a [u8] {
        self.bytes.get(self.records_start..self.bytes.len() - TRAILER_LEN).unwrap_or_default()
    }

    /// The records: offset within the segment, and bytes.
    pub(crate) fn records(&self) -> impl Iterator<Item = (u64, &'a [u8])> + use<'a> {
        let bytes = self.bytes.get(..self.records_end).unwrap_or_default();
        let base = self.offset;
        let mut at = self.records_start;
        std::iter::from_fn(move || {
            let record = crate::record::bounded(bytes.get(at..)?)?;
            let offset = base + at as u64;
            at += record.len();
            Some((offset, record))
        })
    }
}

/// The seal's running hash over the frames of a segment, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RunningHash(pub(crate) [u8; 32]);

impl RunningHash {
    /// Before the first frame: BLAKE3 of the segment's header page.
    pub(crate) fn start(header_page: &[u8]) -> Self {
        Self(blake3::hash(header_page).into())
    }

    /// BLAKE3 over the hash so far, the frame's header and its CRC.
    pub(crate) fn add(&mut self, (header, crc): ([u8; HEADER_LEN], u32)) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0).update(&header).update(&crc.to_le_bytes());
        self.0 = hasher.finalize().into();
    }
}

/// What a seal says about its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seal {
    /// Events in the segment.
    pub(crate) events: u64,
    /// Position of the next event, in the next segment.
    pub(crate) next_position: u64,
    /// Frames before the seal.
    pub(crate) frames: u64,
    /// Running hash over them.
    pub(crate) hash: [u8; 32],
}

/// Bytes of a whole seal frame: header, body, CRC, padded.
pub(crate) const SEAL_LEN: u64 = (HEADER_LEN as u64 + 56 + 4).next_multiple_of(ALIGNMENT);

impl Seal {
    pub(crate) fn encode_body(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(56);
        put_u64(&mut out, self.events);
        put_u64(&mut out, self.next_position);
        put_u64(&mut out, self.frames);
        out.extend_from_slice(&self.hash);
        out
    }

    pub(crate) fn decode(frame: &Frame<'_>) -> Option<Self> {
        let mut reader = Reader::new(frame.body());
        (frame.header.kind == Kind::SEAL).then_some(())?;
        Some(Self {
            events: reader.u64()?,
            next_position: reader.u64()?,
            frames: reader.u64()?,
            hash: reader.array()?,
        })
    }
}

/// Builds a whole frame that holds no events.
pub(crate) fn build_plain(
    mut header: FrameHeader,
    body: &[u8],
    checksum: &Checksum,
    offset: u64,
) -> Vec<u8> {
    let length =
        (HEADER_LEN as u64 + body.len() as u64 + TRAILER_LEN as u64).next_multiple_of(ALIGNMENT);
    header.length = length as u32;
    let mut out = Vec::with_capacity(length as usize);
    out.extend_from_slice(&header.encode(checksum, offset));
    out.extend_from_slice(body);
    out.resize(length as usize - TRAILER_LEN, 0);
    let crc = checksum.of(offset, &out);
    put_u32(&mut out, crc);
    out
}

/// Appends a definition of a string to a frame under construction; `offset` is its place in the segment.
pub(crate) fn put_definition(out: &mut Vec<u8>, text: &str, checksum: &Checksum, offset: u64) {
    let start = out.len();
    put_u32(out, 0);
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    let crc = checksum.of(offset, out.get(start + 4..).unwrap_or_default());
    patch(out, start, &crc.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(body: &[u8], salt: [u8; 8], offset: u64) -> Vec<u8> {
        let header = FrameHeader {
            length: 0,
            kind: Kind(0x10),
            flags: 0,
            base: 7,
            count: 0,
            durable_upto: 64,
            recorded_us: 9,
        };
        build_plain(header, body, &Checksum::new(salt), offset)
    }

    #[test]
    fn a_whole_frame_passes_at_its_place_only() {
        let bytes = plain(b"body", [1; 8], 4096);
        let checksum = Checksum::new([1; 8]);
        let checked = Checked::check(&bytes, &checksum, 4096).unwrap();
        assert_eq!(checked.over(&bytes).end(), 4096 + bytes.len() as u64);
        assert!(Checked::check(&bytes, &checksum, 4104).is_err(), "another offset");
        assert!(Checked::check(&bytes, &Checksum::new([2; 8]), 4096).is_err(), "another segment");
    }

    #[test]
    fn a_seal_reads_back_as_written() {
        let seal = Seal { events: 3, next_position: 9, frames: 2, hash: [4; 32] };
        let header = FrameHeader {
            length: 0,
            kind: Kind::SEAL,
            flags: 0,
            base: 9,
            count: 0,
            durable_upto: 0,
            recorded_us: 1,
        };
        let checksum = Checksum::new([0; 8]);
        let bytes = build_plain(header, &seal.encode_body(), &checksum, 4096);
        assert_eq!(bytes.len() as u64, SEAL_LEN);
        let frame = Checked::check(&bytes, &checksum, 4096).unwrap().over(&bytes);
        assert_eq!(Seal::decode(&frame), Some(seal));
    }

    proptest! {
        #[test]
        fn any_flipped_bit_of_a_frame_is_noticed(
            body in proptest::collection::vec(any::<u8>(), 0..200),
            at: proptest::sample::Index,
            bit in 0..8_u32,
        ) {
            let mut bytes = plain(&body, [3; 8], 64);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(Checked::check(&bytes, &Checksum::new([3; 8]), 64).is_err());
        }

        #[test]
        fn random_bytes_are_no_frame_and_no_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            prop_assert!(Checked::check(&bytes, &Checksum::new([3; 8]), 64).is_err());
        }
    }
}
