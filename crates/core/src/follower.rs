//! A read-only opener that follows a live writer, in this or another process: it reads HEAD, then the
//! frames up to it. It locks nothing and writes nothing.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::fs::OpenMode;
use crate::head::{Head, HeadPage};
use crate::index::{IndexFile, Part, RUN_MAX_BYTES, RUN_MAX_EVENTS, Tail, index_frames};
use crate::segment::{HEADER_PAGE, Segment};
use crate::shared::Shared;
use crate::upkeep::load_directory;
use crate::writer::Start;

/// How far a follower is.
#[derive(Debug)]
struct Place {
    active: Arc<Segment>,
    tail: Arc<Tail>,
    offset: u64,
    next_position: u64,
    /// The active segment is sealed; its successor is not opened yet.
    sealed: bool,
    /// Damage ends the following.
    stopped: bool,
}

/// Follows a writer.
#[derive(Debug)]
pub(crate) struct Follower {
    boot_id: [u8; 16],
    /// Opened when there is one: a store that is just being made has none yet.
    page: Mutex<Option<HeadPage>>,
    place: Mutex<Place>,
}

impl Follower {
    pub(crate) fn new(boot_id: [u8; 16], start: Start) -> Self {
        let place = Place {
            active: start.active,
            tail: start.tail,
            offset: start.offset,
            next_position: start.next_position,
            sealed: start.sealed,
            stopped: false,
        };
        Self { boot_id, page: Mutex::default(), place: Mutex::new(place) }
    }

    fn head(&self, shared: &Shared) -> Option<Head> {
        let mut page = self.page.lock();
        if page.is_none() {
            *page = HeadPage::open(&*shared.fs, &shared.directory);
        }
        page.as_ref()?.read()
    }

    /// Takes up what the writer has published since.
    pub(crate) fn refresh(&self, shared: &Shared) -> Result<()> {
        let mut place = self.place.lock();
        let Some(head) = self.head(shared) else {
            return Ok(());
        };
        if place.stopped || head.store_id != shared.store_id || head.boot_id != self.boot_id {
            return Ok(());
        }
        while head.segment >= place.active.header.number {
            let live = head.segment == place.active.header.number;
            if place.sealed {
                if live {
                    break;
                }
                place.next_segment(shared)?;
                continue;
            }
            let limit = if live { head.offset } else { place.active.file_length()? };
            if place.offset >= limit {
                break;
            }
            let (active, tail) = (Arc::clone(&place.active), Arc::clone(&place.tail));
            let scanned = index_frames(&active, &tail, place.offset, limit, false)?;
            shared.report(&scanned.damage);
            place.offset = scanned.end;
            place.next_position = scanned.next_position;
            if let Some(reason) = scanned.stop {
                place.stopped = true;
                shared.report(&[active.damage(scanned.end, limit - scanned.end, reason)]);
                break;
            }
            if !scanned.sealed {
                break;
            }
            active.set_sealed();
            place.sealed = true;
        }
        let covered = place.offset - place.tail.extent().start;
        let full = place.tail.count() >= RUN_MAX_EVENTS || covered >= RUN_MAX_BYTES;
        if full && place.tail.count() > 0 {
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
        self.sealed = false;
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
        for (path, start) in [(segment.index_path(), HEADER_PAGE), (run, tail.extent().start)] {
            if let Some(file) = IndexFile::open(&*shared.fs, &path, segment, start) {
                shared.adopt(file);
                break;
            }
        }
    }
    load_directory(shared);
}
