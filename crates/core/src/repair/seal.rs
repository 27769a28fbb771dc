//! The seal of a segment, computed again from its frames.

use std::sync::Arc;

use crate::error::Result;
use crate::frame::{FrameHeader, Kind, SEAL_LEN, Seal, build_plain};
use crate::segment::{Found, HEADER_PAGE, Scanner, Segment, SegmentHeader};

/// The seal that belongs at an offset, if the next segment goes on exactly where the frames before the offset
/// end: then none of them is missing.
pub(super) fn missing(
    segment: &Arc<Segment>,
    offset: u64,
    next: &SegmentHeader,
) -> Result<Option<Vec<u8>>> {
    let mut running = segment.first_hash()?;
    let (mut frames, mut position, mut recorded_us) = (0, segment.header.base_position, 0);
    let mut scanner = Scanner::new(segment, HEADER_PAGE, offset);
    while let Found::Frame(frame) = scanner.next()? {
        running.add(frame.fingerprint());
        frames += 1;
        position = frame.header.base + u64::from(frame.header.count);
        recorded_us = frame.header.recorded_us;
    }
    let follows = scanner.offset() == offset
        && next.number == segment.header.number + 1
        && next.base_position == position
        && next.base_log_index == segment.header.base_log_index + frames + 1;
    if !follows || offset + SEAL_LEN > segment.file_length()? {
        return Ok(None);
    }
    let events = position - segment.header.base_position;
    let seal = Seal { events, next_position: position, frames, hash: running.0 };
    let header = FrameHeader {
        length: 0,
        kind: Kind::SEAL,
        flags: 0,
        base: position,
        count: 0,
        durable_upto: u32::try_from(offset).unwrap_or(0),
        recorded_us,
    };
    Ok(Some(build_plain(header, &seal.encode_body(), &segment.checksum, offset)))
}
