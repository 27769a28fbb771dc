//! Building an index from the log itself: after a crash, for a sealed segment, or because a derived
//! file is missing or damaged.

use std::sync::Arc;

use super::tail::{Tail, keys_of};
use crate::error::{Damage, Error, Result};
use crate::frame::{Frame, Kind, RunningHash};
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
    /// What is there instead of a frame.
    pub(crate) stop: Option<&'static str>,
    /// Damage that was passed over.
    pub(crate) damage: Vec<Damage>,
}

/// Reads frames from `start` on and adds their events to a tail, until the log ends or something
/// is no frame. With `past_damage` it goes on at the next whole frame, leaving holes.
pub(crate) fn index_frames(
    segment: &Arc<Segment>,
    tail: &Tail,
    start: u64,
    limit: u64,
    past_damage: bool,
    mut running: Option<&mut RunningHash>,
) -> Result<Scanned> {
    let mut scanner = Scanner::new(segment, start, limit);
    let mut sum = Scanned {
        end: start,
        next_position: tail.base() + u64::from(tail.count()),
        recorded_us: 0,
        durable_upto: 0,
        frames: 0,
        sealed: false,
        stop: None,
        damage: Vec::new(),
    };
    loop {
        let reason = match scanner.next()? {
            Found::Frame(frame) => match add_frame(segment, tail, &frame, &mut sum)? {
                Ok(()) => {
                    if let Some(running) = running.as_deref_mut().filter(|_| !sum.sealed) {
                        running.add(frame.fingerprint());
                    }
                    if sum.sealed {
                        return Ok(sum);
                    }
                    continue;
                }
                Err(reason) => reason,
            },
            Found::Zeros => "zeros where a frame is expected",
            Found::Damaged(reason) => reason,
            Found::Limit => return Ok(sum),
        };
        sum.stop = Some(reason);
        if !past_damage {
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
