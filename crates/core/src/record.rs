//! A record: one event inside a frame, with a CRC of its own, so that a point read checks one record.

use crate::chain::{Hash, MetadataKind};
use crate::checksum::Checksum;
use crate::codec::{Reader, patch, put_varint, u32_at};
use crate::limits::CLOCK_MAX_BYTES;

/// Offset of the link: at a fixed place, so that it is filled in last and read without parsing.
pub(crate) const LINK_AT: usize = 8;
/// Offset of the distance to the frame's start, whose header has the recorded time.
const DISTANCE_AT: usize = LINK_AT + 32;
/// Bytes that [`glance`] looks at: up to the reference to the entity, and with it.
pub(crate) const GLANCE_LEN: usize = FIXED_LEN + 5;
/// Offset of the flags.
const FLAGS_AT: usize = DISTANCE_AT + 4;
/// CRC, length, link, distance, flags: what every record has at least.
const FIXED_LEN: usize = FLAGS_AT + 1;

/// Bytes of the smallest record: four references, version, back, clock length, id.
pub(crate) const MIN_LEN: usize = FIXED_LEN + 4 + 1 + 1 + 1 + 16;

/// Most bytes of a record up to the distance to the entity's previous event: four references, the
/// version and that distance behind what is fixed.
pub(crate) const MAX_LEN_TO_BACK: usize = FIXED_LEN + 4 * 5 + 2 * 10;

/// Flag: the last record of its append.
const FLAG_END: u8 = 1;
/// Flag: the caller gave the id.
const FLAG_GIVEN_ID: u8 = 2;
/// Flag: the store made the clock.
const FLAG_STORE_CLOCK: u8 = 4;
/// Flag: tags follow the id.
const FLAG_TAGS: u8 = 8;
/// Shift of the two bits that hold the metadata's kind.
const METADATA_SHIFT: u32 = 4;
const FLAGS_KNOWN: u8 = 0x3f;

/// A record as it stands on disk. Strings are offsets of their definitions in the same segment; 0 is
/// the empty string.
#[derive(Debug, Clone)]
pub(crate) struct Record<'a> {
    pub(crate) link: &'a Hash,
    /// Bytes from the frame's start to this record's.
    pub(crate) distance: u32,
    pub(crate) ends_append: bool,
    pub(crate) given_id: bool,
    pub(crate) store_clock: bool,
    pub(crate) entity: u32,
    pub(crate) fact: u32,
    pub(crate) scope: u32,
    pub(crate) content_type: u32,
    pub(crate) version: u64,
    /// How many positions before this one the entity's previous event stands; 0 for the first.
    pub(crate) back: u64,
    pub(crate) clock: &'a [u8],
    /// Where in the record the id stands.
    pub(crate) id_at: u8,
    pub(crate) id: &'a [u8; 16],
    tags: &'a [u8],
    pub(crate) tag_count: u8,
    pub(crate) metadata_kind: MetadataKind,
    pub(crate) metadata: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// The record at the start of `bytes` by its own length field, if that fits.
#[inline]
pub(crate) fn bounded(bytes: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(bytes);
    reader.u32()?;
    let length = reader.u32()? as usize;
    if length < FIXED_LEN { None } else { bytes.get(..length) }
}

/// What the first bytes of a record say, unchecked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Glance {
    pub(crate) length: u32,
    pub(crate) distance: u32,
    /// Where the entity's name is defined.
    pub(crate) entity: u32,
}

/// Looks at the record at the start of `bytes`.
#[inline]
pub(crate) fn glance(bytes: &[u8]) -> Glance {
    let mut rest = Reader::new(bytes.get(FIXED_LEN..).unwrap_or_default());
    let entity = reference(&mut rest).unwrap_or_default();
    Glance { length: u32_at(bytes, 4), distance: u32_at(bytes, DISTANCE_AT), entity }
}

/// The distance in positions to the entity's previous event, of a record that starts with `bytes`,
/// unchecked.
#[inline]
pub(crate) fn glance_back(bytes: &[u8]) -> Option<u64> {
    let mut reader = Reader::new(bytes.get(FIXED_LEN..)?);
    for _ in 0..4 {
        reference(&mut reader)?;
    }
    reader.varint()?;
    reader.varint()
}

/// Whether a whole record matches its CRC.
#[inline]
pub(crate) fn holds(record: &[u8], checksum: &Checksum, offset: u64) -> bool {
    match record.split_first_chunk::<4>() {
        Some((crc, rest)) => u32::from_le_bytes(*crc) == checksum.of(offset, rest),
        None => false,
    }
}

impl<'a> Record<'a> {
    /// Parses a whole record whose CRC held.
    pub(crate) fn parse(record: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(record.get(LINK_AT..)?);
        let link = reader.take(32)?.first_chunk()?;
        let distance = reader.u32()?;
        let flags = reader.u8()?;
        (flags & !FLAGS_KNOWN == 0).then_some(())?;
        let entity = reference(&mut reader)?;
        let fact = reference(&mut reader)?;
        let scope = reference(&mut reader)?;
        let content_type = reference(&mut reader)?;
        let version = reader.varint()?;
        let back = reader.varint()?;
        let clock_len = usize::from(reader.u8()?);
        (clock_len <= CLOCK_MAX_BYTES).then_some(())?;
        let clock = reader.take(clock_len)?;
        // What stands before it takes 150 bytes at most.
        let id_at = u8::try_from(record.len() - reader.remaining()).ok()?;
        let id = reader.take(16)?.first_chunk()?;
        let (tags, tag_count) = if flags & FLAG_TAGS == 0 {
            (&[][..], 0)
        } else {
            let count = reader.u8()?;
            let start = reader.rest();
            for _ in 0..count {
                reference(&mut reader)?;
            }
            (start.get(..start.len() - reader.remaining())?, count)
        };
        let metadata_kind = MetadataKind::from_number(flags >> METADATA_SHIFT & 3)?;
        let metadata = if metadata_kind == MetadataKind::None {
            &[][..]
        } else {
            let len = reader.varint()?;
            reader.take(usize::try_from(len).ok()?)?
        };
        Some(Self {
            link,
            distance,
            ends_append: flags & FLAG_END != 0,
            given_id: flags & FLAG_GIVEN_ID != 0,
            store_clock: flags & FLAG_STORE_CLOCK != 0,
            entity,
            fact,
            scope,
            content_type,
            version,
            back,
            clock,
            id_at,
            id,
            tags,
            tag_count,
            metadata_kind,
            metadata,
            payload: reader.rest(),
        })
    }

    /// The tags' definitions.
    pub(crate) fn tags(&self) -> impl Iterator<Item = u32> + use<'a> {
        let mut reader = Reader::new(self.tags);
        std::iter::from_fn(move || reference(&mut reader))
    }
}

#[inline]
fn reference(reader: &mut Reader<'_>) -> Option<u32> {
    reader.varint().and_then(|offset| u32::try_from(offset).ok())
}

/// What the writer puts into a record; the link and the CRC come when the frame is finished.
#[derive(Debug)]
pub(crate) struct NewRecord<'a> {
    pub(crate) given_id: bool,
    pub(crate) store_clock: bool,
    pub(crate) entity: u32,
    pub(crate) fact: u32,
    pub(crate) scope: u32,
    pub(crate) content_type: u32,
    pub(crate) version: u64,
    pub(crate) back: u64,
    pub(crate) clock: &'a [u8],
    pub(crate) id: &'a [u8; 16],
    pub(crate) tags: &'a [u32],
    pub(crate) metadata_kind: MetadataKind,
    pub(crate) metadata: &'a [u8],
    pub(crate) payload: &'a [u8],
}

impl NewRecord<'_> {
    /// Appends the record, with zeros in place of CRC, link and distance.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; FLAGS_AT]);
        let mut flags = self.metadata_kind.number() << METADATA_SHIFT;
        for (set, flag) in [
            (self.given_id, FLAG_GIVEN_ID),
            (self.store_clock, FLAG_STORE_CLOCK),
            (!self.tags.is_empty(), FLAG_TAGS),
        ] {
            flags |= if set { flag } else { 0 };
        }
        out.push(flags);
        for reference in [self.entity, self.fact, self.scope, self.content_type] {
            put_varint(out, u64::from(reference));
        }
        put_varint(out, self.version);
        put_varint(out, self.back);
        out.push(self.clock.len() as u8);
        out.extend_from_slice(self.clock);
        out.extend_from_slice(self.id);
        if !self.tags.is_empty() {
            out.push(self.tags.len() as u8);
            for tag in self.tags {
                put_varint(out, u64::from(*tag));
            }
        }
        if self.metadata_kind != MetadataKind::None {
            put_varint(out, self.metadata.len() as u64);
            out.extend_from_slice(self.metadata);
        }
        out.extend_from_slice(self.payload);
        let length = (out.len() - start) as u32;
        patch(out, start + 4, &length.to_le_bytes());
    }
}

/// Marks an encoded record as the last one of its append.
pub(crate) fn mark_end(record: &mut [u8]) {
    if let Some(flags) = record.get_mut(FLAGS_AT) {
        *flags |= FLAG_END;
    }
}

/// Fills in link, distance and CRC of an encoded record at its final place.
pub(crate) fn finish(
    record: &mut [u8],
    link: &Hash,
    checksum: &Checksum,
    frame_offset: u64,
    offset: u64,
) -> u32 {
    patch(record, LINK_AT, link);
    patch(record, DISTANCE_AT, &((offset - frame_offset) as u32).to_le_bytes());
    let crc = checksum.of(offset, record.get(4..).unwrap_or_default());
    patch(record, 0, &crc.to_le_bytes());
    crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(any::<u8>(), 0..64)
    }

    proptest! {
        #[test]
        fn a_record_reads_back_as_written(
            clock in bytes(),
            metadata in bytes(),
            payload in bytes(),
            tags in proptest::collection::vec(1..u32::MAX, 0..64),
            references: [u32; 4],
            version in 0..1_u64 << 53,
            back in 0..1_u64 << 53,
            id: [u8; 16],
            flags: [bool; 3],
        ) {
            let kind = if metadata.is_empty() { MetadataKind::None } else { MetadataKind::Bytes };
            let mut out = Vec::new();
            NewRecord {
                given_id: flags[0],
                store_clock: flags[1],
                entity: references[0],
                fact: references[1],
                scope: references[2],
                content_type: references[3],
                version,
                back,
                clock: &clock,
                id: &id,
                tags: &tags,
                metadata_kind: kind,
                metadata: &metadata,
                payload: &payload,
            }
            .encode(&mut out);
            if flags[2] {
                mark_end(&mut out);
            }
            let checksum = Checksum::new([9; 8]);
            finish(&mut out, &[5; 32], &checksum, 4096, 5000);
            prop_assert!(holds(&out, &checksum, 5000));
            prop_assert!(!holds(&out, &checksum, 5008));
            prop_assert_eq!(bounded(&out).map(<[u8]>::len), Some(out.len()));
            let record = Record::parse(&out).unwrap();
            prop_assert_eq!(
                (record.given_id, record.store_clock, record.ends_append),
                (flags[0], flags[1], flags[2])
            );
            let read = [record.entity, record.fact, record.scope, record.content_type];
            prop_assert_eq!(read, references);
            prop_assert_eq!((record.version, record.back), (version, back));
            prop_assert_eq!((record.link, record.distance), (&[5; 32], 904));
            prop_assert_eq!((record.clock, record.id), (&clock[..], &id));
            prop_assert_eq!(record.tags().collect::<Vec<_>>(), tags);
            prop_assert_eq!((record.metadata, record.payload), (&metadata[..], &payload[..]));
        }

        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = bounded(&bytes);
            let _ = Record::parse(&bytes);
        }
    }
}
