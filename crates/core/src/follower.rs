//! A read-only opener that follows a live writer, in this or another process: it reads HEAD, then the
//! frames up to it. It locks nothing and writes nothing.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::fs::{OpenMode, patience, residency};
use crate::head::{Head, HeadPage};
use crate::index::{IndexFile, Part, RUN_MAX_BYTES, RUN_MAX_EVENTS, Tail, index_frames};
use crate::segment::{HEADER_PAGE, Segment};
use crate::shared::Shared;
use crate::upkeep::load_directory;
use crate::writer::Start;

/// Bytes of new frames that are taken up by a thread that must not wait: a tenth of a millisecond.
const NEAR_BYTES: u64 = 64 << 10;

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
    /// Whether it can be known what is in memory. Where it cannot, any touch may wait for the disk.
    residency_told: bool,
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
        let residency_told = residency::is_told(&place.active.path);
        Self { boot_id, page: Mutex::default(), place: Mutex::new(place), residency_told }
    }

    fn head(&self, shared: &Shared) -> Option<Head> {
        let mut page = self.page.lock();
        if page.is_none() {
            *page = HeadPage::open(&*shared.fs, &shared.directory);
        }
        page.as_ref()?.read()
    }

    /// Takes up what the writer has published since. A thread that must not wait does so if that is
    /// little, and nobody else is at it.
    pub(crate) fn refresh(&self, shared: &Shared) -> Result<()> {
        let may_wait = !patience::is_impatient();
        let mut place = if may_wait {
            self.place.lock()
        } else if !self.residency_told {
            return Err(Error::WouldWait);
        } else {
            self.place.try_lock().ok_or(Error::WouldWait)?
        };
        let Some(head) = self.head(shared) else {
            return Ok(());
        };
        if place.stopped || head.store_id != shared.store_id || head.boot_id != self.boot_id {
            return Ok(());
        }
        if may_wait {
            place.take_up(shared, &head)?;
            place.begin_tail_if_full(shared);
        } else if place.is_near(&head) {
            patience::to_the_end(|| place.take_up(shared, &head))?;
        } else {
            return Err(Error::WouldWait);
        }
        shared.publish(place.next_position);
        shared.set_synced(place.next_position);
        Ok(())
    }
}

impl Place {
    /// Whether little has to be read to get to a head.
    fn is_near(&self, head: &Head) -> bool {
        let here = head.segment == self.active.header.number;
        here && !self.is_full() && head.offset <= self.offset + NEAR_BYTES
    }

    /// Whether the tail has what is due to a run.
    fn is_full(&self) -> bool {
        let covered = self.offset - self.tail.extent().start;
        let full = self.tail.count() >= RUN_MAX_EVENTS || covered >= RUN_MAX_BYTES;
        full && self.tail.count() > 0
    }

    /// Reads the frames up to a head.
    fn take_up(&mut self, shared: &Shared, head: &Head) -> Result<()> {
        while head.segment >= self.active.header.number {
            let live = head.segment == self.active.header.number;
            if self.sealed {
                if live {
                    break;
                }
                self.next_segment(shared)?;
                continue;
            }
            let limit = if live { head.offset } else { self.active.file_length()? };
            if self.offset >= limit {
                break;
            }
            let (active, tail) = (Arc::clone(&self.active), Arc::clone(&self.tail));
            let scanned = index_frames(&active, &tail, self.offset, limit, false)?;
            shared.report(&scanned.damage);
            self.offset = scanned.end;
            self.next_position = scanned.next_position;
            if let Some(reason) = scanned.stop {
                self.stopped = true;
                shared.report(&[active.damage(scanned.end, limit - scanned.end, reason)]);
                break;
            }
            if !scanned.sealed {
                break;
            }
            active.set_sealed();
            self.sealed = true;
        }
        Ok(())
    }

    fn begin_tail_if_full(&mut self, shared: &Shared) {
        if self.is_full() {
            let tail = Arc::new(Tail::new(&self.active, self.next_position, self.offset));
            self.tail = Arc::clone(&tail);
            shared.change_layout(|layout| layout.parts.push(Part::Tail(tail)));
            adopt_files(shared, &self.tail);
        }
    }

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
    let names = shared.fs.list(&shared.runs_directory()).unwrap_or_default();
    load_directory(shared, &names);
}
