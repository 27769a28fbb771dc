//! What many records have in common, remembered once it was read and checked: what is published does not
//! change. Tables of a fixed size, by a hash; what another one displaced is read again.

use crate::error::Result;
use crate::frame::FLAG_DEFINITIONS;
use crate::segment::Segment;
use crate::view::FoundRecord;

/// Definitions and frames that are remembered; powers of two.
const DEFINITIONS: usize = 1 << 15;
const FRAMES: usize = 1 << 12;

/// The definitions and the frames that records referred to.
#[derive(Debug)]
pub(super) struct Known {
    /// Definitions that were found to be whole. 0 where none is.
    definitions: Box<[u64]>,
    /// By where they start.
    frames: Box<[(u64, Frame)]>,
}

/// What the header of a record's frame says.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Frame {
    /// Position of the first event that is not in it.
    pub(super) end: u64,
    pub(super) recorded_us: u64,
    /// Its bytes.
    pub(super) length: u32,
    pub(super) has_definitions: bool,
}

impl Known {
    pub(super) fn new() -> Self {
        Self {
            definitions: vec![0; DEFINITIONS].into(),
            frames: vec![(0, Frame::default()); FRAMES].into(),
        }
    }

    /// Whether the definition of a string was found to be whole.
    pub(super) fn has_definition(&self, segment: &Segment, reference: u32) -> bool {
        let key = key(segment, reference.into());
        self.definitions.get(slot(key, DEFINITIONS)) == Some(&key)
    }

    /// Checks the definition of a string when it is met first.
    #[inline]
    pub(super) fn check_definition(&mut self, segment: &Segment, reference: u32) -> Result<()> {
        let key = key(segment, reference.into());
        match self.definitions.get_mut(slot(key, DEFINITIONS)) {
            Some(known) if *known != key && reference != 0 => {
                segment.string(reference)?;
                *known = key;
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the header was read of the frame whose record stands so many bytes behind its start.
    pub(super) fn has_frame(&self, segment: &Segment, offset: u64, distance: u32) -> bool {
        let key = key(segment, offset.saturating_sub(distance.into()));
        self.frames.get(slot(key, FRAMES)).is_some_and(|(known, _)| *known == key)
    }

    /// The frame of a record.
    #[inline]
    pub(super) fn frame_of(&mut self, found: &FoundRecord<'_>) -> Result<Frame> {
        let (segment, distance) = (found.segment, found.distance());
        let key = key(segment, found.offset.saturating_sub(distance.into()));
        match self.frames.get_mut(slot(key, FRAMES)) {
            Some((known, frame)) if *known == key => Ok(*frame),
            place => {
                let header = segment.frame_of(found.offset, distance)?;
                let frame = Frame {
                    end: header.base + u64::from(header.count),
                    recorded_us: header.recorded_us,
                    length: header.length,
                    has_definitions: header.flags & FLAG_DEFINITIONS != 0,
                };
                if let Some(place) = place {
                    *place = (key, frame);
                }
                Ok(frame)
            }
        }
    }
}

/// Names a place in a segment as long as the process lives: offsets of records and strings have 32 bits.
#[inline]
fn key(segment: &Segment, offset: u64) -> u64 {
    u64::from(segment.serial) << 32 | offset & u64::from(u32::MAX)
}

/// The place of a key in a table of so many.
#[inline]
fn slot(key: u64, count: usize) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & (count - 1)
}
