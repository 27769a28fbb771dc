//! Building an index from the log itself: after a crash, for a sealed segment, or because a derived
//! file is missing or damaged.

use std::ops::Range;
use std::sync::Arc;

use super::tail::{Tail, keys_of};
use super::{RUN_MAX_BYTES, RUN_MAX_EVENTS, Stretch};
use crate::error::{Damage, Error, Result};
use crate::frame::{Frame, Kind, RunningHash};
use crate::progress::Watch;
use crate::record::Record;
use crate::segment::{Found, Scanner, Segment};

/// What a scan over frames found.
#[derive(Debug)]
pub(crate) struct Scanned {
    /// Where it stopped: behind the last whole frame, or behind the seal.
    pub(crate) end: u64,
    /// Position of the next event.
    pub(crate) next_position: u64,
    /// Recorded time of the last frame.
    pub(crate) recorded_us: u64,
    /// Highest `durable upto` of any frame.
    pub(crate) durable_upto: u64,
    /// Frames seen, the seal not counted.
    pub(crate) frames: u64,
    /// Whether the last frame is a seal.
    pub(crate) sealed: bool,
    /// It stopped because the tail has a run's size.
    pub(crate) full: bool,
    /// What is there instead of a frame.
    pub(crate) stop: Option<&'static str>,
    /// Damage that was passed over.
    pub(crate) damage: Vec<Damage>,
}

/// Frames that are to be indexed.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    pub(crate) segment: &'a Arc<Segment>,
    /// Where the first frame stands, and its position.
    pub(crate) start: u64,
    pub(crate) base: u64,
    /// Where to stop.
    pub(crate) limit: u64,
    /// Go on at the next whole frame where something is no frame, leaving holes.
    pub(crate) past_damage: bool,
    /// What is known of the frames before the first.
    pub(crate) before: Stretch,
    pub(crate) watch: &'a Watch<'a>,
}

/// What a scan in runs leaves: the last tail, which is not full.
#[derive(Debug)]
pub(crate) struct Indexed {
    pub(crate) tail: Arc<Tail>,
    pub(crate) scanned: Scanned,
    /// What is known of all frames now.
    pub(crate) stretch: Stretch,
}

/// Reads whole frames of a log that goes on, from `start` up to a limit, or until the tail that they are added
/// to has what is due to a run.
pub(crate) fn follow_frames(
    segment: &Arc<Segment>,
    tail: &Tail,
    start: u64,
    limit: u64,
) -> Result<Scanned> {
    let room = RUN_MAX_BYTES.saturating_sub(start - tail.extent().start);
    add_frames(segment, tail, start..limit, false, (RUN_MAX_EVENTS, room))
}

/// Reads frames from `start` up to a limit and adds their events to a tail. Where something is no frame it
/// goes on at the next whole one, leaving holes.
pub(crate) fn index_past_damage(
    segment: &Arc<Segment>,
    tail: &Tail,
    start: u64,
    limit: u64,
) -> Result<Scanned> {
    add_frames(segment, tail, start..limit, true, (u32::MAX, u64::MAX))
}

fn add_frames(
    segment: &Arc<Segment>,
    tail: &Tail,
    offsets: Range<u64>,
    past_damage: bool,
    (max_events, max_bytes): (u32, u64),
) -> Result<Scanned> {
    let Range { start, end: limit } = offsets;
    let before = Stretch { recorded_us: 0, frames: 0, running: segment.first_hash()? };
    let base = tail.base() + u64::from(tail.count());
    let watch = Watch::nobody();
    let scan = Scan { segment, start, base, limit, past_damage, before, watch: &watch };
    scan.frames(tail, start, &mut segment.first_hash()?.clone(), max_events, max_bytes)
}

/// Reads frames and indexes them in tails of a run's size, so that memory stays bounded: each that is
/// full goes to `full`, with how much of the segment the frames so far prove to be durable.
pub(crate) fn index_runs(scan: &Scan<'_>, full: &mut dyn FnMut(Arc<Tail>, u64)) -> Result<Indexed> {
    let mut stretch = scan.before;
    let mut sum = Scanned::none(scan.start, scan.base);
    loop {
        let tail = Arc::new(Tail::new(scan.segment, sum.next_position, sum.end));
        let running = &mut stretch.running;
        let run = scan.frames(&tail, sum.end, running, RUN_MAX_EVENTS, RUN_MAX_BYTES)?;
        stretch.recorded_us = stretch.recorded_us.max(run.recorded_us);
        stretch.frames += run.frames;
        let complete = run.full;
        sum.add(run);
        if !complete {
            return Ok(Indexed { tail, scanned: sum, stretch });
        }
        tail.finish(stretch);
        full(tail, sum.durable_upto);
    }
}

impl Scanned {
    fn none(end: u64, next_position: u64) -> Self {
        Self {
            end,
            next_position,
            recorded_us: 0,
            durable_upto: 0,
            frames: 0,
            sealed: false,
            full: false,
            stop: None,
            damage: Vec::new(),
        }
    }

    /// Adds what the frames behind these gave.
    fn add(&mut self, next: Self) {
        let mut damage = std::mem::take(&mut self.damage);
        damage.extend(next.damage);
        *self = Self {
            recorded_us: self.recorded_us.max(next.recorded_us),
            durable_upto: self.durable_upto.max(next.durable_upto),
            frames: self.frames + next.frames,
            damage,
            ..next
        };
    }
}

impl Scan<'_> {
    /// Adds frames to a tail until it has so many events or covers so many bytes.
    fn frames(
        &self,
        tail: &Tail,
        start: u64,
        running: &mut RunningHash,
        max_events: u32,
        max_bytes: u64,
    ) -> Result<Scanned> {
        let segment = self.segment;
        segment.look_for_cut()?;
        let mut scanner = Scanner::new(segment, start, self.limit);
        let mut sum = Scanned::none(start, tail.base() + u64::from(tail.count()));
        loop {
            if tail.count() >= max_events || sum.end - start >= max_bytes && tail.count() > 0 {
                sum.full = true;
                return Ok(sum);
            }
            let (before, position) = (sum.end, sum.next_position);
            let reason = match scanner.next()? {
                Found::Frame(frame) => match add_frame(segment, tail, &frame, &mut sum)? {
                    Ok(()) => {
                        self.watch.advance(sum.next_position - position, sum.end - before)?;
                        if sum.sealed {
                            return Ok(sum);
                        }
                        running.add(frame.fingerprint());
                        continue;
                    }
                    Err(reason) => reason,
                },
                Found::Zeros => "zeros where a frame is expected",
                Found::Damaged(reason) => reason,
                Found::Limit => return Ok(sum),
            };
            sum.stop = Some(reason);
            if !self.past_damage {
                return Ok(sum);
            }
            let from = sum.end;
            scanner.seek(from);
            if !scanner.resync()? {
                return Ok(sum);
            }
            pass_over(segment, tail, &mut scanner, &mut sum, from, reason)?;
        }
    }
}

/// Leaves a hole up to the whole frame that the scanner stands before.
fn pass_over(
    segment: &Segment,
    tail: &Tail,
    scanner: &mut Scanner,
    sum: &mut Scanned,
    from: u64,
    reason: &str,
) -> Result<()> {
    let to = scanner.offset();
    let next = sum.next_position;
    let base = match scanner.next()? {
        Found::Frame(frame) => frame.header.base,
        _ => next,
    };
    scanner.seek(to);
    let mut damage = segment.damage(from, to - from, reason);
    if base > next && is_plausible(base - next, to - from) {
        damage.positions = Some((next, base - 1));
        tail.add_hole(base - next);
        sum.next_position = base;
    }
    sum.damage.push(damage);
    sum.end = to;
    sum.stop = None;
    Ok(())
}

/// Whether so many events can have stood in so many bytes. What a damaged or hostile file says of
/// positions is believed only as far as its size allows.
pub(crate) fn is_plausible(events: u64, bytes: u64) -> bool {
    events <= bytes / crate::record::MIN_LEN as u64
}

/// Adds a whole frame's events. The inner error says why it is not the next frame. What is whole, but
/// of a newer version, is neither damage nor a tear: the store is refused as it is.
fn add_frame(
    segment: &Segment,
    tail: &Tail,
    frame: &Frame<'_>,
    sum: &mut Scanned,
) -> Result<std::result::Result<(), &'static str>> {
    let header = &frame.header;
    if let Some(reason) = header.unknown() {
        return Err(Error::format(&segment.path, reason));
    }
    if header.base != sum.next_position {
        return Ok(Err("the frame's position does not follow the one before"));
    }
    segment.advance(frame.end());
    if header.kind == Kind::EVENTS {
        for (position, (offset, bytes)) in (header.base..).zip(frame.records()) {
            let record = Record::parse(bytes).ok_or_else(|| {
                let reason = "an event uses features that this version does not know";
                Error::format(&segment.path, reason)
            })?;
            let added = keys_of(segment, &record, position, |keys| {
                tail.add(keys, offset as u32);
            });
            match added {
                Ok(()) => {}
                Err(Error::Corrupt { .. }) => {
                    // One of its strings is damaged: only this event is lost.
                    let reason = "a string of the event is damaged";
                    let mut damage = segment.damage(offset, bytes.len() as u64, reason);
                    damage.positions = Some((position, position));
                    sum.damage.push(damage);
                    tail.add_hole(1);
                }
                Err(error) => return Err(error),
            }
        }
        sum.next_position += u64::from(header.count);
    }
    sum.sealed = header.kind == Kind::SEAL;
    sum.frames += u64::from(!sum.sealed);
    sum.end = frame.end();
    sum.recorded_us = sum.recorded_us.max(header.recorded_us);
    sum.durable_upto = sum.durable_upto.max(u64::from(header.durable_upto));
    tail.cover(frame.end(), frame.crc());
    Ok(Ok(()))
}
