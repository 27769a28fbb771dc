//! Going on in a fresh segment: seal in the old one, sync; header in the new one, sync.

use std::sync::Arc;

use super::release::{Held, Release};
use super::sequencer::Sequencer;
use crate::error::{AtPath, Error, Result};
use crate::frame::{self, FrameHeader, Kind, SEAL_LEN, Seal};
use crate::index::{Part, Tail};
use crate::keeper::{Job, Spare};
use crate::segment::{HEADER_PAGE, Segment, SegmentHeader};

/// Sizes climb by this factor up to the largest, so that a small store is small.
const GROWTH: u64 = 8;

/// Size of a segment that follows one of `size`.
pub(crate) fn size_after(size: u64, max: u64) -> u64 {
    size.saturating_mul(GROWTH).min(max)
}

impl Sequencer {
    pub(super) fn next_size(&self) -> u64 {
        size_after(self.active_size, self.shared.options.segment_max_bytes)
    }

    /// Makes a fresh segment active, with room for a frame of `bound` bytes. If there is no space, the
    /// old segment stays as it is; if a write fails, the store is poisoned.
    pub(super) fn rotate(&mut self, bound: u64, release: &mut Held<'_>) -> Result<()> {
        let release = release.get();
        // What was waited for may have failed: then nothing is written behind it.
        if let Some(error) = self.shared.poisoned() {
            return Err(error);
        }
        self.keeper.refuse_unwritten()?;
        let size = self.next_size().max(HEADER_PAGE + bound + SEAL_LEN);
        let spare = match self.keeper.spare(self.active.header.number + 1, size) {
            Ok(spare) => spare,
            Err(error) if error.is_shortage() => {
                self.spare_requested = false;
                return Err(error);
            }
            Err(error) => return Err(self.poison(&error, release)),
        };
        self.seal().map_err(|error| self.poison(&error, release))?;
        self.start_segment(&spare, release).map_err(|error| self.poison(&error, release))
    }

    /// Starts the segment behind one that is sealed already.
    pub(super) fn succeed(&mut self, bound: u64, release: &mut Held<'_>) -> Result<()> {
        self.keeper.refuse_unwritten()?;
        let size = self.next_size().max(HEADER_PAGE + bound + SEAL_LEN);
        let spare = self.keeper.spare(self.active.header.number + 1, size)?;
        self.start_segment(&spare, release.get())
    }

    fn poison(&self, error: &Error, release: &Release) -> Error {
        self.shared.poison(&error.to_string());
        release.store_head(false);
        self.shared.poisoned().unwrap_or(Error::Closed)
    }

    /// Writes the seal and syncs: from here on the segment is immutable.
    fn seal(&mut self) -> Result<()> {
        let seal = Seal {
            events: self.next_position - self.active.header.base_position,
            next_position: self.next_position,
            frames: self.frames,
            hash: self.running.0,
        };
        let header = FrameHeader {
            length: 0,
            kind: Kind::SEAL,
            flags: 0,
            base: self.next_position,
            count: 0,
            durable_upto: self.durable.synced_upto(&self.active) as u32,
            recorded_us: self.last_recorded_us,
        };
        let checksum = &self.active.checksum;
        let bytes = frame::build_plain(header, &seal.encode_body(), checksum, self.offset);
        let crc = bytes.last_chunk().map_or(0, |crc| u32::from_le_bytes(*crc));
        self.put(&bytes)?;
        self.tail.cover(self.offset, crc);
        self.durable.set_written(self.reached());
        self.durable.sync()?;
        self.active.set_sealed();
        Ok(())
    }

    fn start_segment(&mut self, spare: &Spare, release: &mut Release) -> Result<()> {
        let mut salt = [0; 8];
        self.shared.host.random(&mut salt);
        let header = SegmentHeader {
            store_id: self.shared.store_id,
            number: self.active.header.number + 1,
            generation: 1,
            base_position: self.next_position,
            base_log_index: self.active.header.base_log_index + self.frames + 1,
            salt,
            created_us: self.last_recorded_us,
            read_only: false,
        };
        let page = header.encode();
        spare.file.write_at(&page, 0).at(&spare.path)?;
        spare.file.sync().at(&spare.path)?;
        let segment = Arc::new(Segment::new(header, &page, &spare.path, Arc::clone(&spare.file))?);
        segment.advance(HEADER_PAGE);
        let tail = Arc::new(Tail::new(&segment, self.next_position, HEADER_PAGE));
        let sealed = std::mem::replace(&mut self.active, Arc::clone(&segment));
        self.tail = Arc::clone(&tail);
        self.shared.change_layout(|layout| {
            layout.segments.push(segment);
            layout.parts.push(Part::Tail(tail));
        });
        self.keeper.ask(Job::Seal { segment: sealed, stretch: self.stretch() });
        self.keeper.wait_for_backlog();
        self.active_size = spare.size;
        self.offset = HEADER_PAGE;
        self.frames = 0;
        self.running = self.active.first_hash()?;
        self.dictionary.clear();
        self.spare_requested = false;
        let reached = self.reached();
        self.durable.set_started(&reached);
        release.publish(reached);
        Ok(())
    }
}
