//! How far a scan has come in a segment.

use std::ops::Range;

use super::known::Frame;
use crate::segment::Segment;

/// The frames of a segment that a scan has passed one after another. The definitions in them were checked
/// as it came to each frame, so the records behind need not look for those that they refer to.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// Serial number of the segment; 0 is none.
    serial: u32,
    offsets: Range<u32>,
    /// The frame that was come to last and has a damaged definition: by serial number and offset.
    refused: (u32, u32),
}

impl Passed {
    /// Offsets in a segment between which all definitions are whole.
    #[inline]
    pub(super) fn of(&self, segment: &Segment) -> Range<u32> {
        if self.serial == segment.serial { self.offsets.clone() } else { 0..0 }
    }

    /// Comes to the frame that starts at an offset. One with a damaged definition is not passed: whether that
    /// is needed is for each record to say.
    #[inline]
    pub(super) fn enter(&mut self, segment: &Segment, start: u64, frame: &Frame) {
        let end = start + u64::from(frame.length);
        let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(end)) else {
            return;
        };
        let passed = self.of(segment);
        if passed.contains(&start) || self.refused == (segment.serial, start) {
            return;
        }
        if frame.has_definitions && segment.check_definitions(start).is_err() {
            self.refused = (segment.serial, start);
            return;
        }
        self.serial = segment.serial;
        self.offsets = if passed.end == start { passed.start..end } else { start..end };
    }
}
