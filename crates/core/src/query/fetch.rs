//! Fetching the records of hits. Scattered ones are fetched a group at a time: all of a group are asked
//! for before the first one is read, so that waits for the disk, or for memory, overlap. Those of a scan
//! follow each other.

use std::ops::Range;

use super::batch::{BatchBuilder, Place, packing};
use super::known::{Frame, Known};
use super::passed::Passed;
use super::plan::Hit;
use super::recent::RecentLinks;
use crate::chain::{GENESIS, Hash};
use crate::error::{Error, Result};
use crate::frame::HEADER_LEN;
use crate::fs::{Moment, patience};
use crate::index::Part;
use crate::record::{self, Glance, Record};
use crate::segment::Segment;
use crate::view::{FoundRecord, View, record_at};

/// Hits of a group: what keeps a disk busy, and a short read short.
const GROUP: usize = 128;
/// What a record is assumed to take, until its length is known.
const RECORD_GUESS: u64 = 384;
/// What the definition of a name is assumed to take.
const NAME_GUESS: u64 = 64;
/// Bytes of a segment that a scan goes through without asking for each record.
const RUN: u64 = 64 << 10;
/// A scan asks for two pieces of this size when it comes to the last one that it asked for.
const PIECE: u64 = 2 << 20;

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
    /// Where a scan goes on.
    following: Option<Following>,
    /// What a scan need not check again.
    passed: Passed,
    /// A scan has asked for this segment up to this offset.
    asked: Option<(u32, u64)>,
}

/// The place behind a record: of the next one, if the frame has one.
#[derive(Debug, Clone, Copy)]
struct Following {
    part: usize,
    position: u64,
    offset: u64,
    /// Where the frame starts.
    start: u64,
    frame: Frame,
    /// Bytes of the record before it.
    length: u64,
}

impl Following {
    fn is(&self, part: usize, position: u64) -> bool {
        self.part == part && self.position == position && position < self.frame.end
    }
}

#[derive(Debug)]
struct Located {
    hit: Hit,
    /// `None` if the record is damaged.
    offset: Option<u32>,
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

    /// Finds out where the records of the group stand, and asks for them. Gives the damage before which the group
    /// ends, if there is some behind its first hit.
    pub(super) fn start(&mut self, view: &View, known: &Known) -> Result<Option<Error>> {
        let now = Moment::now();
        let may_wait = !patience::is_impatient();
        for Located { hit, .. } in &self.group {
            if let Some(part) = view.parts().get(hit.part) {
                part.expect_offset(hit.local, Some(now).filter(|_| may_wait));
            }
        }
        let mut damage = None;
        for (nth, located) in self.group.iter_mut().enumerate() {
            let Some(part) = view.parts().get(located.hit.part) else {
                continue;
            };
            located.offset = match part.offset(located.hit.local) {
                Err(error @ Error::Corrupt { .. }) if nth > 0 => {
                    damage = Some((nth, error));
                    break;
                }
                offset => offset?,
            };
            if let Some(offset) = located.offset.map(u64::from) {
                part.segment().warm(offset..offset + RECORD_GUESS, now, may_wait);
            }
        }
        let damage = damage.map(|(nth, error)| {
            self.group.truncate(nth);
            error
        });
        self.ask_for_rest(view, known, may_wait, now);
        Ok(damage)
    }

    /// Asks for what the first bytes of the records show to be needed too: the rest of a long one, and the
    /// header of its frame and the name of its entity unless they are known.
    fn ask_for_rest(&self, view: &View, known: &Known, may_wait: bool, now: Moment) {
        for (segment, offset) in self.places(view) {
            // What cannot be read is for whoever comes to that record: those before it are handed out first.
            let Ok(Some(Glance { length, distance, entity })) = segment.glance(offset) else {
                continue;
            };
            if !known.has_frame(segment, offset, distance) {
                segment.warm(frame_header(offset, distance), now, may_wait);
            }
            if !known.has_definition(segment, entity) {
                let name = u64::from(entity)..u64::from(entity) + NAME_GUESS;
                segment.warm(name, now, may_wait);
            }
            if may_wait {
                segment.ask_ahead(offset + RECORD_GUESS..offset + u64::from(length), now);
            }
        }
    }

    /// Asks for the records that those of the group are linked to.
    pub(super) fn ask_for_previous(&self, view: &View) {
        let now = Moment::now();
        let may_wait = !patience::is_impatient();
        for Located { hit, offset } in &self.group {
            let (Some(part), Some(offset)) = (view.parts().get(hit.part), *offset) else {
                continue;
            };
            let position = part.base() + u64::from(hit.local);
            let back = part.segment().glance_back(u64::from(offset)).ok().flatten();
            let previous = back.and_then(|back| view.locate(position.checked_sub(back)?));
            let Some((part, local)) =
                previous.and_then(|(part, local)| view.parts().get(part).map(|part| (part, local)))
            else {
                continue;
            };
            if let Ok(Some(offset)) = part.offset(local).map(|offset| offset.map(u64::from)) {
                part.segment().warm(offset..offset + RECORD_GUESS, now, may_wait);
            }
        }
    }

    /// Where the records of the group stand.
    fn places<'a>(&self, view: &'a View) -> impl Iterator<Item = (&'a Segment, u64)> {
        self.group.iter().filter_map(|located| {
            let part = view.parts().get(located.hit.part)?;
            Some((&**part.segment(), u64::from(located.offset?)))
        })
    }

    /// The record of the group's next hit, if there is one.
    pub(super) fn next<'a>(
        &mut self,
        view: &'a View,
        known: &mut Known,
    ) -> Result<Option<Fetched<'a>>> {
        let Some(Located { hit, offset }) = self.group.get(self.next) else {
            return Ok(None);
        };
        self.next += 1;
        let Some(part) = view.parts().get(hit.part) else {
            return Ok(None);
        };
        fetched(part, *hit, *offset, known).map(Some)
    }

    /// Packs a scan's next hit. Within a frame it follows the one before, and no index is asked.
    pub(super) fn pack_stored(
        &mut self,
        view: &View,
        builder: &mut BatchBuilder,
        recent: Option<&mut RecentLinks>,
        hit: Hit,
    ) -> Result<()> {
        let part = view.parts().get(hit.part).ok_or_else(|| view.hole(view.end()))?;
        let (segment, position) = (part.segment(), part.base() + u64::from(hit.local));
        let offset = match self.following.take() {
            Some(next) if next.is(hit.part, position) => u32::try_from(next.offset).ok(),
            _ => part.offset(hit.local)?,
        };
        let may_wait = !patience::is_impatient();
        if let Some(offset) = offset.filter(|_| may_wait) {
            ask_for_next(&mut self.asked, segment, u64::from(offset));
        }
        let fetched = fetched(part, hit, offset, builder.known())?;
        let Fetched { found, frame, .. } = &fetched;
        let start = found.offset.saturating_sub(found.distance().into());
        fetched.pack(view, builder, recent, &self.passed)?;
        let length = found.bytes().len() as u64;
        let (part, position, frame) = (hit.part, position + 1, *frame);
        let offset = found.offset + length;
        self.following = Some(Following { part, position, offset, start, frame, length });
        Ok(())
    }

    /// Packs what follows a scan's hit in its frame: at most so many events, as far as the batch is below a
    /// limit and the records are whole. Whoever comes to the next one says what is wrong with it. Gives how many.
    pub(super) fn pack_following(
        &mut self,
        view: &View,
        builder: &mut BatchBuilder,
        mut recent: Option<&mut RecentLinks>,
        most: u64,
        limit: usize,
    ) -> u64 {
        let Some(Following { part, position, offset, start, frame, length }) = &mut self.following
        else {
            return 0;
        };
        let Some(segment) = view.parts().get(*part).map(Part::segment) else {
            return 0;
        };
        self.passed.enter(segment, *start, frame);
        // Where nothing is mapped, what does not fit would be copied in vain.
        if *length > RUN / 2 {
            return 0;
        }
        let most = most.min(frame.end.saturating_sub(*position));
        let length = most.saturating_mul(RECORD_GUESS).min(RUN).min(segment.end() - *offset);
        let Ok(Some(bytes)) = segment.bytes(*offset, length as usize) else {
            return 0;
        };
        let mut rest = &*bytes;
        let mut packed = 0;
        while packed < most && builder.length() < limit {
            let whole = record::bounded(rest)
                .filter(|bytes| record::holds(bytes, &segment.checksum, *offset))
                .and_then(|bytes| Record::parse(bytes).map(|record| (bytes, record)));
            let Some((bytes, record)) =
                whole.filter(|(_, record)| u64::from(record.distance) == *offset - *start)
            else {
                break;
            };
            let place = Place { position: *position, recorded_us: frame.recorded_us };
            let recent = recent.as_deref_mut();
            if pack(view, builder, recent, (segment, bytes, &record), place, &self.passed).is_err()
            {
                break;
            }
            packed += 1;
            *position += 1;
            *offset += bytes.len() as u64;
            rest = rest.get(bytes.len()..).unwrap_or_default();
        }
        packed
    }
}

#[inline]
fn fetched<'a>(
    part: &'a Part,
    hit: Hit,
    offset: Option<u32>,
    known: &mut Known,
) -> Result<Fetched<'a>> {
    let found = record_at(part, hit.local, offset)?;
    let position = part.base() + u64::from(hit.local);
    let frame = known.frame_of(&found)?;
    Ok(Fetched { found, position, frame, check: hit.check })
}

/// A record that a hit led to.
pub(super) struct Fetched<'a> {
    pub(super) found: FoundRecord<'a>,
    position: u64,
    frame: Frame,
    /// The index could not decide: the record has to match the filters.
    pub(super) check: bool,
}

impl Fetched<'_> {
    /// Adds the event to a batch.
    #[inline]
    pub(super) fn pack(
        &self,
        view: &View,
        builder: &mut BatchBuilder,
        recent: Option<&mut RecentLinks>,
        passed: &Passed,
    ) -> Result<()> {
        let Self { found, position, frame, .. } = self;
        let record = found.parse()?;
        let place = Place { position: *position, recorded_us: frame.recorded_us };
        pack(view, builder, recent, (found.segment, found.bytes(), &record), place, passed)
    }
}

/// Adds an event to a batch, with the link that it follows if links are remembered.
#[inline]
fn pack(
    view: &View,
    builder: &mut BatchBuilder,
    recent: Option<&mut RecentLinks>,
    (segment, bytes, record): (&Segment, &[u8], &Record<'_>),
    place: Place,
    passed: &Passed,
) -> Result<()> {
    let Some(recent) = recent else {
        return builder.push(segment, bytes, record, place, passed);
    };
    // An event before a damaged one is whole: whoever asks for the link it follows is told so.
    let link = match previous_link(view, place.position, record.back, recent) {
        Err(Error::Corrupt { .. }) => GENESIS,
        link => link?,
    };
    builder.push(segment, bytes, record, place, passed)?;
    builder.push_previous_link(&link);
    recent.add(place.position, record.link);
    Ok(())
}

fn frame_header(offset: u64, distance: u32) -> Range<u64> {
    let start = offset.saturating_sub(u64::from(distance));
    start..start + HEADER_LEN as u64
}

/// Asks for the next pieces of a segment, when a scan comes to the last one that was asked for.
#[inline]
fn ask_for_next(asked: &mut Option<(u32, u64)>, segment: &Segment, offset: u64) {
    let upto = match *asked {
        Some((serial, upto)) if serial == segment.serial => upto,
        _ => offset,
    };
    if offset + PIECE > upto {
        let start = upto.max(offset);
        let end = start + 2 * PIECE;
        segment.ask_ahead(start..end, Moment::now());
        *asked = Some((segment.serial, end));
    }
}

/// The link of the event that stands `back` positions before one, of the same entity.
fn previous_link(view: &View, position: u64, back: u64, recent: &RecentLinks) -> Result<Hash> {
    if back == 0 {
        return Ok(GENESIS);
    }
    let previous = position.checked_sub(back).ok_or_else(|| view.hole(position))?;
    recent.get(previous).map_or_else(|| view.link_at(previous), |link| Ok(*link))
}

/// Runs `take` on a batch of one event.
pub(crate) fn single<T>(view: &View, position: u64, take: impl FnOnce(&[u8]) -> T) -> Result<T> {
    packing(|builder| {
        builder.begin_own();
        let found = view.record(position)?;
        let frame = builder.known().frame_of(&found)?;
        Fetched { found, position, frame, check: false }.pack(
            view,
            builder,
            None,
            &Passed::default(),
        )?;
        Ok(take(builder.finish_own(true, view.end())))
    })
}
