//! A read-only opener that follows a live writer, in this or another process: it reads HEAD, then the
//! frames up to it. It locks nothing and writes nothing.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{AtPath, Damage, Error, Result};
use crate::fs::{OpenMode, patience, residency};
use crate::head::{Head, HeadPage};
use crate::index::{IndexFile, Part, Scanned, Tail, follow_frames};
use crate::limits::POSITION_MAX;
use crate::segment::{HEADER_PAGE, HeaderPage, MISSING, Segment};
use crate::shared::Shared;
use crate::upkeep::load_directory;
use crate::writer::Start;

/// Bytes of new frames that are taken up by a thread that must not wait: a tenth of a millisecond.
const NEAR_BYTES: u64 = 64 << 10;

/// How far a follower is.
#[derive(Debug)]
struct Place {
    /// Opened when there is one: a store that is just being made has none yet.
    page: Option<HeadPage>,
    active: Arc<Segment>,
    tail: Arc<Tail>,
    offset: u64,
    next_position: u64,
    /// The active segment is sealed; its successor is not opened yet.
    sealed: bool,
    /// Damage ends the following.
    stopped: bool,
    /// Tails are complete that files of the writer may stand for.
    complete: bool,
}

/// Follows a writer.
#[derive(Debug)]
pub(crate) struct Follower {
    boot_id: [u8; 16],
    place: Mutex<Place>,
    /// Whether it can be known what is in memory. Where it cannot, any touch may wait for the disk.
    residency_told: bool,
}

impl Follower {
    /// A follower of the writer of HEAD, if there is that yet, from where opening left off.
    pub(crate) fn new(boot_id: [u8; 16], page: Option<HeadPage>, start: Start) -> Self {
        let place = Place {
            page,
            active: start.active,
            tail: start.tail,
            offset: start.offset,
            next_position: start.next_position,
            sealed: start.sealed,
            stopped: false,
            complete: false,
        };
        let residency_told = residency::is_told(&place.active.path);
        Self { boot_id, place: Mutex::new(place), residency_told }
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
        let Some(head) = place.head(shared) else {
            return Ok(());
        };
        if head.replaced {
            let reason = "the store has been repaired since it was opened: open it again";
            return Err(Error::format(&shared.directory, reason));
        }
        if place.stopped || head.store_id != shared.store_id || head.boot_id != self.boot_id {
            return Ok(());
        }
        if may_wait {
            place.take_up(shared, &head)?;
            if std::mem::take(&mut place.complete) {
                adopt_files(shared, &place.tail);
            }
        } else if place.is_near(&head) {
            patience::to_the_end(|| place.take_up(shared, &head))?;
        } else {
            return Err(Error::WouldWait);
        }
        let lost = if place.stopped { head.next_position.min(POSITION_MAX) } else { 0 };
        shared.publish(place.next_position.max(lost));
        shared.set_synced(place.next_position);
        Ok(())
    }
}

impl Place {
    fn head(&mut self, shared: &Shared) -> Option<Head> {
        if self.page.is_none() {
            self.page = HeadPage::open(&*shared.fs, &shared.directory);
        }
        self.page.as_ref()?.read()
    }

    /// Whether little has to be read to get to a head.
    fn is_near(&self, head: &Head) -> bool {
        let here = head.segment == self.active.header.number;
        here && head.offset <= self.offset + NEAR_BYTES
    }

    /// Reads the frames up to a head, in tails of a run's size: so they end where the writer's runs do, as far
    /// as both began at the same place.
    fn take_up(&mut self, shared: &Shared, head: &Head) -> Result<()> {
        while head.segment >= self.active.header.number {
            let live = head.segment == self.active.header.number;
            if self.sealed {
                if live {
                    break;
                }
                self.next_segment(shared, head)?;
                if self.stopped {
                    break;
                }
                continue;
            }
            let limit = if live { head.offset } else { self.active.file_length()? };
            if self.offset >= limit {
                break;
            }
            let scanned = self.index_up_to(limit)?;
            shared.report(&scanned.damage);
            self.offset = scanned.end;
            self.next_position = scanned.next_position;
            if let Some(reason) = scanned.stop {
                self.stopped = true;
                let mut damage = self.active.damage(scanned.end, limit - scanned.end, reason);
                damage.positions = self.lost_up_to(head);
                shared.report(&[damage]);
                break;
            }
            if scanned.sealed {
                self.active.set_sealed();
                self.sealed = true;
            } else if scanned.full {
                self.begin_tail(shared, self.offset);
            } else {
                break;
            }
        }
        Ok(())
    }

    /// Adds the frames up to a limit to the tail, until it has what is due to a run.
    fn index_up_to(&mut self, limit: u64) -> Result<Scanned> {
        let scanned = follow_frames(&self.active, &self.tail, self.offset, limit);
        if scanned.is_err() {
            // The tail keeps what was read before: the next try goes on behind it.
            self.offset = self.offset.max(self.tail.extent().end);
            self.next_position = self.tail.base() + u64::from(self.tail.count());
        }
        scanned
    }

    /// Begins another tail; the one before may be answered for by a file from now on.
    fn begin_tail(&mut self, shared: &Shared, offset: u64) {
        let tail = Arc::new(Tail::new(&self.active, self.next_position, offset));
        self.tail = Arc::clone(&tail);
        self.complete = true;
        shared.change_layout(|layout| layout.parts.push(Part::Tail(tail)));
    }

    /// What is published and was not taken up.
    fn lost_up_to(&self, head: &Head) -> Option<(u64, u64)> {
        (head.next_position > self.next_position)
            .then(|| (self.next_position, head.next_position - 1))
    }

    /// Ends the following before a segment that cannot be read.
    fn stop(&mut self, shared: &Shared, segment: u64, reason: &str, head: &Head) {
        self.stopped = true;
        shared.report(&[Damage {
            segment,
            offset: 0,
            length: HEADER_PAGE,
            reason: reason.to_owned(),
            positions: self.lost_up_to(head),
            entities: Vec::new(),
        }]);
    }

    /// Goes on in the next segment, which is in use.
    fn next_segment(&mut self, shared: &Shared, head: &Head) -> Result<()> {
        let number = self.active.header.number + 1;
        let path = shared.segment_path(number);
        let there = shared.fs.kind(&path).at(&path)?.is_some();
        let opened =
            there.then(|| Segment::open(&*shared.fs, &path, OpenMode::Read)).transpose()?;
        let segment = match opened {
            Some(Ok(segment)) => Arc::new(segment),
            Some(Err(HeaderPage::Newer(reason))) => return Err(Error::format(&path, reason)),
            None => {
                self.stop(shared, number, MISSING, head);
                return Ok(());
            }
            Some(Err(page)) => {
                self.stop(shared, number, page.reason(), head);
                return Ok(());
            }
        };
        segment.advance(HEADER_PAGE);
        self.active = Arc::clone(&segment);
        self.offset = HEADER_PAGE;
        self.sealed = false;
        shared.change_layout(|layout| layout.segments.push(segment));
        self.begin_tail(shared, HEADER_PAGE);
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
