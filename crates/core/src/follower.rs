//! A read-only opener that follows a live writer, in this or another process: it reads HEAD, then the
//! frames up to it. It locks nothing and writes nothing.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::fs::OpenMode;
use crate::head::HeadPage;
use crate::index::{IndexFile, Part, RUN_MAX_EVENTS, Tail, index_frames};
use crate::segment::{HEADER_PAGE, Segment};
use crate::shared::Shared;

/// How far a follower is.
#[derive(Debug)]
struct Place {
    active: Arc<Segment>,
    tail: Arc<Tail>,
    offset: u64,
    next_position: u64,
    /// Damage ends the following.
    stopped: bool,
}

/// Follows a writer.
#[derive(Debug)]
pub(crate) struct Follower {
    page: HeadPage,
    boot_id: [u8; 16],
    place: Mutex<Place>,
}

impl Follower {
    pub(crate) fn new(
        page: HeadPage,
        boot_id: [u8; 16],
        active: Arc<Segment>,
        tail: Arc<Tail>,
        offset: u64,
        next_position: u64,
    ) -> Self {
        let place = Place { active, tail, offset, next_position, stopped: false };
        Self { page, boot_id, place: Mutex::new(place) }
    }

    /// Takes up what the writer has published since.
    pub(crate) fn refresh(&self, shared: &Shared) -> Result<()> {
        let mut place = self.place.lock();
        let Some(head) = self.page.read() else {
            return Ok(());
        };
        if place.stopped || head.store_id != shared.store_id || head.boot_id != self.boot_id {
            return Ok(());
        }
        while head.segment >= place.active.header.number {
            let live = head.segment == place.active.header.number;
            let limit = if live { head.offset } else { place.active.file_length()? };
            if place.offset >= limit {
                break;
            }
            let (active, tail) = (Arc::clone(&place.active), Arc::clone(&place.tail));
            let scanned = index_frames(&active, &tail, place.offset, limit, false, None)?;
            place.offset = scanned.end;
            place.next_position = scanned.next_position;
            if let Some(reason) = scanned.stop {
                place.stopped = true;
                shared.report(&[active.damage(scanned.end, limit - scanned.end, reason)]);
                break;
            }
            if scanned.sealed {
                active.set_sealed();
                place.next_segment(shared)?;
            } else {
                break;
            }
        }
        if place.tail.count() >= RUN_MAX_EVENTS {
            let tail = Arc::new(Tail::new(&place.active, place.next_position, place.offset));
            place.tail = Arc::clone(&tail);
            shared.change_layout(|layout| layout.parts.push(Part::Tail(tail)));
            adopt_files(shared, &place.tail);
        }
        shared.publish(place.next_position);
        shared.set_synced(place.next_position);
        Ok(())
    }
}

impl Place {
    fn next_segment(&mut self, shared: &Shared) -> Result<()> {
        let path = shared.segment_path(self.active.header.number + 1);
        let segment = match Segment::open(&*shared.fs, &path, OpenMode::Read)? {
            Ok(segment) => Arc::new(segment),
            Err(page) => {
                let reason = format!("the next segment cannot be followed: {page:?}");
                return Err(Error::Format { path, reason });
            }
        };
        segment.advance(HEADER_PAGE);
        let tail = Arc::new(Tail::new(&segment, self.next_position, HEADER_PAGE));
        self.active = Arc::clone(&segment);
        self.tail = Arc::clone(&tail);
        self.offset = HEADER_PAGE;
        shared.change_layout(|layout| {
            layout.segments.push(segment);
            layout.parts.push(Part::Tail(tail));
        });
        adopt_files(shared, &self.tail);
        Ok(())
    }
}

/// Lets index files that the writer has made meanwhile answer instead of tails in memory.
fn adopt_files(shared: &Shared, current: &Arc<Tail>) {
    for part in &shared.layout().parts {
        let Part::Tail(tail) = part else { continue };
        if Arc::ptr_eq(tail, current) {
            continue;
        }
        let segment = tail.segment();
        let run = shared.run_path(segment.header.number, tail.extent().start);
        for path in [segment.index_path(), run] {
            if let Some(file) = IndexFile::open(&*shared.fs, &path, segment) {
                shared.adopt(file);
                break;
            }
        }
    }
}
