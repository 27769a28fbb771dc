//! Fetching the records of hits, a group at a time: all of a group are asked for before the first one
//! is read, so that waits for the disk, or for memory, overlap.

use std::ops::Range;

use super::batch::{BatchBuilder, Flags, Place};
use super::plan::Hit;
use super::read::packing;
use crate::chain::{GENESIS, Hash};
use crate::error::Result;
use crate::frame::HEADER_LEN;
use crate::fs::{Moment, patience};
use crate::record::Glance;
use crate::segment::Segment;
use crate::view::{FoundRecord, View, record_at};

/// Hits of a group: what keeps a disk busy, and a short read short.
const GROUP: usize = 128;
/// What a record is assumed to take, until its length is known.
const RECORD_GUESS: u64 = 512;
/// What of a record is brought into the processor's cache before it is read.
const PREFETCHED: u64 = 384;
/// What the definition of a name is assumed to take.
const NAME_GUESS: u64 = 64;
/// A scan asks for the log in pieces of this size, one ahead of the one it reads.
const PIECE: u64 = 2 << 20;
/// Bytes of the first allocation for a batch of one.
const SINGLE_BYTES: usize = 1024;

/// How the records of a read stand in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// One after another: a scan.
    AsStored,
    /// Anywhere.
    Scattered,
}

/// Hits on their way to a batch.
#[derive(Debug, Default)]
pub(super) struct Fetch {
    group: Vec<Located>,
    /// How many of the group are handed out.
    next: usize,
    frame: Option<Frame>,
    /// A scan has asked for this segment up to this offset.
    asked: Option<(u32, u64)>,
}

#[derive(Debug)]
struct Located {
    hit: Hit,
    /// `None` if the record is damaged.
    offset: Option<u32>,
}

/// The frame of the last record: neighbours share it.
#[derive(Debug, Clone, Copy)]
struct Frame {
    serial: u32,
    offset: u64,
    recorded_us: u64,
}

impl Fetch {
    pub(super) fn is_empty(&self) -> bool {
        self.next == self.group.len()
    }

    /// Whether the group can take more, if so many events are wanted yet.
    pub(super) fn has_room(&self, wanted: u64) -> bool {
        self.group.len() < GROUP && (self.group.len() as u64) < wanted
    }

    pub(super) fn clear(&mut self) {
        self.group.clear();
        self.next = 0;
    }

    pub(super) fn add(&mut self, hit: Hit) {
        self.group.push(Located { hit, offset: None });
    }

    /// Finds out where the records of the group stand, and asks for them.
    pub(super) fn start(&mut self, view: &View, order: Order) -> Result<()> {
        let now = Moment::now();
        let may_wait = !patience::is_impatient();
        if order == Order::Scattered {
            for Located { hit, .. } in &self.group {
                if let Some(part) = view.parts().get(hit.part) {
                    part.expect_offset(hit.local, Some(now).filter(|_| may_wait));
                }
            }
        }
        for located in &mut self.group {
            let Some(part) = view.parts().get(located.hit.part) else {
                continue;
            };
            located.offset = part.offset(located.hit.local)?;
            let Some(offset) = located.offset.map(u64::from) else {
                continue;
            };
            let (segment, range) = (part.segment(), offset..offset + RECORD_GUESS);
            match order {
                Order::AsStored => ask_for_next(&mut self.asked, segment, offset, now),
                Order::Scattered => {
                    segment.prefetch(&(offset..offset + PREFETCHED));
                    if may_wait {
                        segment.ask_ahead(range, now);
                    }
                }
            }
        }
        match order {
            Order::AsStored => Ok(()),
            Order::Scattered => self.ask_for_rest(view, may_wait, now),
        }
    }

    /// Asks for what the first bytes of the records show to be needed too: the rest of a long one, the
    /// header of its frame, and the name of its entity.
    fn ask_for_rest(&self, view: &View, may_wait: bool, now: Moment) -> Result<()> {
        for (segment, offset) in self.places(view) {
            let Some(Glance { length, distance, entity }) = segment.glance(offset)? else {
                continue;
            };
            let header = frame_header(offset, distance);
            let name = u64::from(entity)..u64::from(entity) + NAME_GUESS;
            segment.prefetch(&header);
            segment.prefetch(&name);
            if may_wait {
                segment.ask_ahead(header, now);
                segment.ask_ahead(name, now);
                segment.ask_ahead(offset + RECORD_GUESS..offset + u64::from(length), now);
            }
        }
        Ok(())
    }

    /// Asks for the records that those of the group are linked to.
    pub(super) fn ask_for_previous(&self, view: &View) -> Result<()> {
        for Located { hit, offset } in &self.group {
            let (Some(part), Some(offset)) = (view.parts().get(hit.part), *offset) else {
                continue;
            };
            let position = part.base() + u64::from(hit.local);
            let back = part.segment().glance_back(u64::from(offset))?;
            let previous = back.and_then(|back| view.locate(position.checked_sub(back)?));
            let Some((part, local)) =
                previous.and_then(|(part, local)| view.parts().get(part).map(|part| (part, local)))
            else {
                continue;
            };
            if let Some(offset) = part.offset(local)?.map(u64::from) {
                part.segment().prefetch(&(offset..offset + PREFETCHED));
            }
        }
        Ok(())
    }

    /// Where the records of the group stand.
    fn places<'a>(&self, view: &'a View) -> impl Iterator<Item = (&'a Segment, u64)> {
        self.group.iter().filter_map(|located| {
            let part = view.parts().get(located.hit.part)?;
            Some((&**part.segment(), u64::from(located.offset?)))
        })
    }

    /// The record of the group's next hit, if there is one.
    pub(super) fn next<'a>(&mut self, view: &'a View) -> Result<Option<Fetched<'a>>> {
        let Some(Located { hit, offset }) = self.group.get(self.next) else {
            return Ok(None);
        };
        self.next += 1;
        let Some(part) = view.parts().get(hit.part) else {
            return Ok(None);
        };
        let found = record_at(part, hit.local, *offset)?;
        let position = part.base() + u64::from(hit.local);
        Ok(Some(Fetched { found, position, check: hit.check }))
    }

    /// Adds a fetched record to a batch.
    pub(super) fn pack(
        &mut self,
        view: &View,
        fetched: &Fetched<'_>,
        builder: &mut BatchBuilder,
        previous_links: bool,
    ) -> Result<()> {
        let Fetched { found, position, .. } = fetched;
        push(builder, view, found, *position, &mut self.frame, previous_links)
    }
}

/// A record that a hit led to.
pub(super) struct Fetched<'a> {
    pub(super) found: FoundRecord<'a>,
    pub(super) position: u64,
    /// The index could not decide: the record has to match the filters.
    pub(super) check: bool,
}

fn frame_header(offset: u64, distance: u32) -> Range<u64> {
    let start = offset.saturating_sub(u64::from(distance));
    start..start + HEADER_LEN as u64
}

/// Asks for the next pieces of a segment, when a scan comes to the last one that was asked for.
fn ask_for_next(asked: &mut Option<(u32, u64)>, segment: &Segment, offset: u64, now: Moment) {
    let upto = match *asked {
        Some((serial, upto)) if serial == segment.serial => upto,
        _ => offset,
    };
    if offset + PIECE > upto {
        let start = upto.max(offset);
        let end = start + 2 * PIECE;
        segment.ask_ahead(start..end, now);
        *asked = Some((segment.serial, end));
    }
}

/// Adds a record to a batch.
fn push(
    builder: &mut BatchBuilder,
    view: &View,
    found: &FoundRecord<'_>,
    position: u64,
    frame: &mut Option<Frame>,
    previous_links: bool,
) -> Result<()> {
    let record = found.parse()?;
    let link;
    let mut event = Place { position, recorded_us: 0, previous_link: None };
    event.recorded_us = recorded_us(frame, found, record.distance)?;
    if previous_links {
        link = previous_link(view, position, record.back)?;
        event.previous_link = Some(&link);
    }
    builder.push(found.segment, &record, &event)
}

fn recorded_us(frame: &mut Option<Frame>, found: &FoundRecord<'_>, distance: u32) -> Result<u64> {
    let serial = found.segment.serial;
    let offset = found.offset.saturating_sub(u64::from(distance));
    match *frame {
        Some(last) if last.offset == offset && last.serial == serial => Ok(last.recorded_us),
        _ => {
            let recorded_us = found.segment.recorded_us(found.offset, distance)?;
            *frame = Some(Frame { serial, offset, recorded_us });
            Ok(recorded_us)
        }
    }
}

/// The link of the event that stands `back` positions before one, of the same entity.
fn previous_link(view: &View, position: u64, back: u64) -> Result<Hash> {
    if back == 0 {
        return Ok(GENESIS);
    }
    view.link_at(position.checked_sub(back).ok_or_else(|| view.hole(position))?)
}

/// A batch of one event.
pub(crate) fn single(view: &View, position: u64) -> Result<Vec<u8>> {
    packing(|builder| {
        builder.begin(Vec::new(), SINGLE_BYTES);
        push(builder, view, &view.record(position)?, position, &mut None, false)?;
        Ok(builder.finish(Flags { previous_links: false, last: true }, view.end()))
    })
}
