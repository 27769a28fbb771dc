//! Reading a segment frame by frame, in order, with read calls: what the device cannot read is damage here,
//! not a signal. Used by recovery, index building, verification and followers of a live writer.

use std::sync::Arc;

use super::{HEADER_PAGE, Segment};
use crate::error::{AtPath, Result};
use crate::frame::{ALIGNMENT, Checked, Frame, FrameHeader, HEADER_LEN};
use crate::fs::{UNREADABLE, UNREADABLE_BYTES, read_around};

/// Bytes read at once: little at first, because often there is but a frame or the log's end to be seen.
const FIRST_CHUNK: usize = 16 << 10;
const CHUNK: usize = 1 << 20;

/// What stands at the scanner's offset.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// A whole frame; the scanner moved behind it.
    Frame(Frame<'a>),
    /// Zeros: the log's end, or a hole in it.
    Zeros,
    /// Something that is no whole frame.
    Damaged(&'static str),
    /// The limit of the scan.
    Limit,
}

/// Reads frames from an offset up to a limit.
#[derive(Debug)]
pub(crate) struct Scanner {
    segment: Arc<Segment>,
    offset: u64,
    limit: u64,
    buffer: Vec<u8>,
    /// Bytes to read the next time.
    chunk: usize,
    /// Offset in the segment of the buffer's first byte.
    buffered_at: u64,
    /// Where the buffer had to be left zero, see [`read_around`].
    unreadable: Vec<u64>,
    met_unreadable: bool,
}

impl Scanner {
    pub(crate) fn new(segment: &Arc<Segment>, offset: u64, limit: u64) -> Self {
        debug_assert!(offset >= HEADER_PAGE);
        Self {
            segment: Arc::clone(segment),
            offset,
            limit,
            buffer: Vec::new(),
            chunk: FIRST_CHUNK,
            buffered_at: offset,
            unreadable: Vec::new(),
            met_unreadable: false,
        }
    }

    /// Where the next frame is looked for.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether the device could not read something of what was looked at so far.
    pub(crate) fn met_unreadable(&self) -> bool {
        self.met_unreadable
    }

    /// Goes to an offset at which a frame starts.
    pub(crate) fn seek(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// Looks at the current offset.
    pub(crate) fn next(&mut self) -> Result<Found<'_>> {
        let available = self.limit.saturating_sub(self.offset);
        if available < HEADER_LEN as u64 {
            return Ok(Found::Limit);
        }
        let (offset, checksum) = (self.offset, self.segment.checksum.clone());
        let head = self.fill(HEADER_LEN)?;
        let Some(head) = head.first_chunk::<HEADER_LEN>().copied() else {
            return Ok(Found::Damaged("the file ends within a frame's header"));
        };
        if head.iter().all(|byte| *byte == 0) && !self.is_unreadable(offset, HEADER_LEN) {
            return Ok(Found::Zeros);
        }
        let Some(header) = FrameHeader::decode(&head, &checksum, offset) else {
            let reason = "the frame's header does not match its CRC";
            return Ok(self.damaged(offset, HEADER_LEN, reason));
        };
        if u64::from(header.length) > available {
            return Ok(Found::Damaged("the frame reaches past the end of the segment"));
        }
        let length = header.length as usize;
        match Checked::check(self.fill_at(offset, length)?, &checksum, offset) {
            Err(reason) => Ok(self.damaged(offset, length, reason)),
            Ok(checked) => {
                self.offset += u64::from(header.length);
                Ok(Found::Frame(checked.over(self.fill_at(offset, length)?)))
            }
        }
    }

    /// Moves to the next offset at which a whole frame stands. False if there is none.
    pub(crate) fn resync(&mut self) -> Result<bool> {
        let checksum = self.segment.checksum.clone();
        let mut at = (self.offset + 1).next_multiple_of(ALIGNMENT);
        while at + HEADER_LEN as u64 <= self.limit {
            let window = (self.limit - at).min(CHUNK as u64) as usize;
            let bytes = self.fill_at(at, window)?;
            if bytes.len() < HEADER_LEN {
                break;
            }
            let mut candidates = Vec::new();
            let mut place = 0;
            while let Some(head) = bytes.get(place..).and_then(<[u8]>::first_chunk::<HEADER_LEN>) {
                if FrameHeader::may_be(head)
                    && FrameHeader::decode(head, &checksum, at + place as u64).is_some()
                {
                    candidates.push(at + place as u64);
                }
                place += ALIGNMENT as usize;
            }
            for candidate in candidates {
                self.offset = candidate;
                if matches!(self.next()?, Found::Frame(_)) {
                    self.offset = candidate;
                    return Ok(true);
                }
            }
            at += place as u64;
        }
        self.offset = self.limit;
        Ok(false)
    }

    /// A damage, for this reason unless it is that the device could not read all of the range.
    fn damaged(&self, offset: u64, length: usize, reason: &'static str) -> Found<'static> {
        Found::Damaged(if self.is_unreadable(offset, length) { UNREADABLE } else { reason })
    }

    fn is_unreadable(&self, offset: u64, length: usize) -> bool {
        let end = offset + length as u64;
        self.unreadable.iter().any(|at| *at < end && offset < at + UNREADABLE_BYTES)
    }

    /// The bytes at the current offset, at least `length` of them unless the file ends.
    fn fill(&mut self, length: usize) -> Result<&[u8]> {
        self.fill_at(self.offset, length)
    }

    fn fill_at(&mut self, offset: u64, length: usize) -> Result<&[u8]> {
        let start = offset.wrapping_sub(self.buffered_at) as usize;
        let buffered = offset >= self.buffered_at
            && start.checked_add(length).is_some_and(|end| end <= self.buffer.len());
        if !buffered {
            let left = self.limit.saturating_sub(offset);
            let wanted = (length.max(self.chunk) as u64).min(left) as usize;
            self.chunk = (self.chunk * 4).min(CHUNK);
            self.buffer.resize(wanted, 0);
            self.unreadable.clear();
            let file = self.segment.file()?;
            let read = read_around(file, &mut self.buffer, offset, &mut self.unreadable);
            self.buffer.truncate(read.at(&self.segment.path)?);
            if !self.unreadable.is_empty() {
                self.segment.avoid_map();
                self.met_unreadable = true;
            }
            self.buffered_at = offset;
        }
        let start = (offset - self.buffered_at) as usize;
        let end = (start + length).min(self.buffer.len());
        Ok(self.buffer.get(start..end).unwrap_or_default())
    }
}
