//! Putting a changed byte right where checksums prove which it is. What comes out is whole by every CRC in
//! it; whether the links of its events hold, the caller finds out by verifying.

use super::syndrome::{Flip, changed_bytes, changed_in_crc};
use crate::checksum::Checksum;
use crate::codec::u32_at;
use crate::frame::{
    Checked, DEFINITIONS_LENGTH_LEN, FLAG_DEFINITIONS, FrameHeader, HEADER_LEN, Kind, TRAILER_LEN,
};
use crate::record;

/// Changed bytes of one frame that are put right.
const FLIPS_MAX: usize = 4;
/// Ways to put a frame right that are tried.
const WAYS_MAX: usize = 16;

/// Bytes that end with a plain CRC over all before it: the manifest, or a header page.
pub(super) fn plain(bytes: &[u8]) -> Vec<Vec<u8>> {
    let Some((fields, crc)) = bytes.split_last_chunk::<4>() else { return Vec::new() };
    let syndrome = crc32fast::hash(fields) ^ u32::from_le_bytes(*crc);
    let own = changed_in_crc(syndrome).map(|flip| Flip { at: fields.len() + flip.at, ..flip });
    let flips = own.into_iter().chain(changed_bytes(syndrome, fields.len()));
    flips.take(WAYS_MAX).map(|flip| flipped(bytes, flip)).collect()
}

/// The ways in which a few changed bytes of a frame can be put right so that all of it is whole. `bytes` may
/// go on behind the frame.
pub(super) fn frame(bytes: &[u8], checksum: &Checksum, offset: u64) -> Vec<Vec<u8>> {
    let mut ways = Vec::new();
    collect(bytes, checksum, offset, FLIPS_MAX, &mut ways);
    ways
}

fn collect(
    bytes: &[u8],
    checksum: &Checksum,
    offset: u64,
    flips_left: usize,
    ways: &mut Vec<Vec<u8>>,
) {
    if ways.len() >= WAYS_MAX {
        return;
    }
    if let Ok(checked) = Checked::check(bytes, checksum, offset) {
        let length = checked.over(bytes).header.length as usize;
        let whole = bytes.get(..length).unwrap_or_default().to_vec();
        if !ways.contains(&whole) {
            ways.push(whole);
        }
        return;
    }
    if flips_left == 0 {
        return;
    }
    let header = bytes.first_chunk().and_then(|head| FrameHeader::decode(head, checksum, offset));
    let own = header.and_then(|header| bytes.get(..header.length as usize));
    let bytes = own.unwrap_or(bytes);
    for flip in first_fault(bytes, checksum, offset) {
        collect(&flipped(bytes, flip), checksum, offset, flips_left - 1, ways);
    }
}

/// What may be wrong with the first thing in a frame whose CRC does not hold.
fn first_fault(bytes: &[u8], checksum: &Checksum, offset: u64) -> Vec<Flip> {
    let Some(head) = bytes.first_chunk::<HEADER_LEN>() else { return Vec::new() };
    let Some(header) = FrameHeader::decode(head, checksum, offset) else {
        let fields = HEADER_LEN - 4;
        let syndrome =
            checksum.of(offset, head.get(..fields).unwrap_or_default()) ^ u32_at(head, fields);
        return flips(syndrome, 0..fields, fields);
    };
    let Some(bytes) = bytes.get(..header.length as usize) else { return Vec::new() };
    let start = header.body_start();
    let definitions = if header.flags & FLAG_DEFINITIONS == 0 {
        0
    } else {
        u32_at(bytes, start - DEFINITIONS_LENGTH_LEN) as usize
    };
    let end = bytes.len() - TRAILER_LEN;
    let Some(records) = start.checked_add(definitions).filter(|records| *records <= end) else {
        return definitions_flips(bytes, start, checksum, offset);
    };
    let mut crc = checksum.at(offset);
    crc.update(bytes.get(..records).unwrap_or_default());
    let mut at = records;
    let count = if header.kind == Kind::EVENTS { header.count } else { 0 };
    for nth in 0..count {
        let Some(record) = record_at(bytes, at, checksum, offset) else {
            let rest = bytes.get(at..end).unwrap_or_default();
            let mut found = record_flips(rest, checksum, offset + at as u64, at);
            if nth == 0 && definitions > 0 {
                found.extend(definitions_flips(bytes, start, checksum, offset));
            }
            return found;
        };
        crc.update(record.get(..4).unwrap_or_default());
        at += record.len();
    }
    // All records hold: what is wrong stands before them, between them and the CRC, or is the CRC.
    let padding = bytes.get(at..end).unwrap_or_default();
    crc.update(padding);
    let syndrome = crc.finalize() ^ u32_at(bytes, end);
    let crcs = 4 * count as usize;
    let own = changed_in_crc(syndrome).map(|flip| Flip { at: end + flip.at, ..flip });
    let covered = changed_bytes(syndrome, records + crcs + padding.len()).filter_map(|flip| {
        let place = match flip.at {
            before if before < records => before,
            behind => at + behind.checked_sub(records + crcs)?,
        };
        Some(Flip { at: place, ..flip })
    });
    own.into_iter().chain(covered).collect()
}

/// The whole record at a place in a frame.
fn record_at<'a>(bytes: &'a [u8], at: usize, checksum: &Checksum, offset: u64) -> Option<&'a [u8]> {
    let rest = bytes.get(at..bytes.len() - TRAILER_LEN)?;
    record::bounded(rest).filter(|record| record::holds(record, checksum, offset + at as u64))
}

/// Changes of the definitions' length by which a record follows them.
fn definitions_flips(bytes: &[u8], start: usize, checksum: &Checksum, offset: u64) -> Vec<Flip> {
    let at = start - DEFINITIONS_LENGTH_LEN;
    let mut found = variants(at);
    found.retain(|flip| {
        let length = changed_u32(bytes, at, *flip) as usize;
        start.checked_add(length).is_some_and(|at| record_at(bytes, at, checksum, offset).is_some())
    });
    found
}

/// A u32 as a change of one of its bytes makes it.
fn changed_u32(bytes: &[u8], at: usize, flip: Flip) -> u32 {
    u32_at(bytes, at) ^ u32::from(flip.bits) << (8 * (flip.at - at))
}

/// What may be wrong with a record, whose bytes and more stand at `at` of the frame.
fn record_flips(rest: &[u8], checksum: &Checksum, place: u64, at: usize) -> Vec<Flip> {
    let mut found = Vec::new();
    if let Some((crc, body)) = record::bounded(rest).and_then(<[u8]>::split_first_chunk::<4>) {
        let syndrome = checksum.of(place, body) ^ u32::from_le_bytes(*crc);
        let own = changed_in_crc(syndrome).map(|flip| Flip { at: at + flip.at, ..flip });
        // Not in the length: with another length these would not be the bytes of the record.
        let inside = changed_bytes(syndrome, body.len()).filter(|flip| flip.at >= 4);
        found.extend(own);
        found.extend(inside.map(|flip| Flip { at: at + 4 + flip.at, ..flip }));
    }
    let holds = |flip: &Flip| {
        let length = changed_u32(rest, 4, Flip { at: flip.at - at, ..*flip }) as usize;
        rest.get(..length).filter(|record| record.len() >= record::MIN_LEN).is_some_and(|record| {
            let changed = flipped(record, Flip { at: flip.at - at, bits: flip.bits });
            record::holds(&changed, checksum, place)
        })
    };
    if rest.len() >= record::MIN_LEN {
        found.extend(variants(at + 4).into_iter().filter(holds));
    }
    found
}

/// Changes of the CRC behind `fields` bytes, or of one of these.
fn flips(syndrome: u32, fields: std::ops::Range<usize>, crc_at: usize) -> Vec<Flip> {
    let own = changed_in_crc(syndrome).map(|flip| Flip { at: crc_at + flip.at, ..flip });
    own.into_iter().chain(changed_bytes(syndrome, fields.len())).collect()
}

/// All changes of one byte of a u32.
fn variants(at: usize) -> Vec<Flip> {
    (at..at + 4).flat_map(|at| (1..=u8::MAX).map(move |bits| Flip { at, bits })).collect()
}

fn flipped(bytes: &[u8], flip: Flip) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let Some(byte) = bytes.get_mut(flip.at) {
        *byte ^= flip.bits;
    }
    bytes
}
