//! Zones: runs of consecutive events with the range of their clocks, and which of them stand apart.
//!
//! Late is judged within a zone. The longest row of clocks that do not fall is taken for the zone's own
//! time; what lies further outside of it than it is long stands apart, unless that is half of the zone:
//! then there is no such time. So one clock in 2099 makes nothing else late, and neither does a night
//! without events.

use std::ops::Range;

use super::blocks::{BlockWriter, Blocks};
use crate::codec::{Reader, u32_at, u64_at};
use crate::error::Result;

const ROW: usize = 8;
/// Bytes of a row's clocks at most: two lengths, two clocks.
const CLOCKS_MAX: usize = 2 * (1 + crate::limits::CLOCK_MAX_BYTES);

/// Consecutive events of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Zone {
    /// Local numbers.
    pub(crate) events: Range<u32>,
    /// Smallest and largest clock of those that do not stand apart.
    pub(crate) min: Vec<u8>,
    pub(crate) max: Vec<u8>,
}

impl Zone {
    /// The zone of these clocks, and which of them stand apart; `None` of no clocks.
    pub(super) fn judge(first: u32, clocks: &[&[u8]]) -> Option<(Self, Vec<u32>)> {
        let (min, max) = (clocks.iter().min()?.to_vec(), clocks.iter().max()?.to_vec());
        let events = first..first + clocks.len() as u32;
        let whole = Self { events: events.clone(), min, max };
        if clocks.is_sorted() {
            return Some((whole, Vec::new()));
        }
        let (low, high) = own_time(clocks, &whole);
        let apart = |clock: &[u8]| {
            let at = scalar(clock, &whole);
            at < low.saturating_sub(high - low) || at > high.saturating_add(high - low)
        };
        let locals: Vec<u32> = events
            .clone()
            .zip(clocks)
            .filter(|(_, clock)| apart(clock))
            .map(|(local, _)| local)
            .collect();
        if locals.is_empty() || locals.len() * 2 > clocks.len() {
            return Some((whole, Vec::new()));
        }
        let own = || clocks.iter().filter(|clock| !apart(clock));
        let (min, max) = (own().min()?.to_vec(), own().max()?.to_vec());
        Some((Self { events, min, max }, locals))
    }
}

/// A clock as a number that keeps the order, as far as eight bytes behind what all have in common go.
fn scalar(clock: &[u8], whole: &Zone) -> u64 {
    let common = whole.min.iter().zip(&whole.max).take_while(|(a, b)| a == b).count();
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(clock.iter().skip(common)) {
        *to = *from;
    }
    u64::from_be_bytes(bytes)
}

/// The ends of the longest row of clocks that do not fall, as numbers. An eighth at each end does not
/// count: a clock that is far too low fits in before any row.
fn own_time(clocks: &[&[u8]], whole: &Zone) -> (u64, u64) {
    let numbers: Vec<u64> = clocks.iter().map(|clock| scalar(clock, whole)).collect();
    // For each length: the lowest number that a row of that length ends with, and its place.
    let mut rows: Vec<(u64, usize)> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(numbers.len());
    for (place, number) in numbers.iter().enumerate() {
        let length = rows.partition_point(|(last, _)| last <= number);
        before.push(length.checked_sub(1).and_then(|at| rows.get(at)).map(|row| row.1));
        match rows.get_mut(length) {
            Some(row) => *row = (*number, place),
            None => rows.push((*number, place)),
        }
    }
    let last = rows.last().map(|row| row.1);
    let back = std::iter::successors(last, |place| before.get(*place).copied().flatten());
    let falling: Vec<u64> = back.filter_map(|place| numbers.get(place).copied()).collect();
    let at = |nth: usize| falling.get(nth).copied().unwrap_or(0);
    let trim = falling.len() / 8;
    (at(falling.len().saturating_sub(1 + trim)), at(trim))
}

/// Where the zones stand in a file's body.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    pub(super) clocks: Range<usize>,
    pub(super) rows: Range<usize>,
}

impl Place {
    /// How many zones there are.
    pub(super) fn count(&self) -> usize {
        self.rows.len() / ROW
    }

    /// The number of the zone that holds an event.
    pub(super) fn holding(&self, blocks: &Blocks, local: u32) -> Result<usize> {
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = low.midpoint(high);
            let at = self.rows.start + middle * ROW;
            if u32_at(blocks.get(at..at + 4)?, 0) <= local {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low.saturating_sub(1))
    }

    /// The n-th zone of a part with `events` events.
    pub(super) fn zone(&self, blocks: &Blocks, nth: usize, events: u32) -> Result<Zone> {
        let at = self.rows.start + nth * ROW;
        let row = u64_at(blocks.get(at..at + ROW)?, 0);
        let end = if nth + 1 < self.count() {
            u32_at(blocks.get(at + ROW..at + ROW + 4)?, 0)
        } else {
            events
        };
        let start = self.clocks.start + (row >> 32) as usize;
        let bytes = blocks.get(start..(start + CLOCKS_MAX).min(self.clocks.end))?;
        let mut reader = Reader::new(bytes);
        let mut clock = || {
            let length = usize::from(reader.u8()?);
            reader.take(length).map(<[u8]>::to_vec)
        };
        let read = (|| Some((clock()?, clock()?)))();
        let (min, max) = read.ok_or_else(|| blocks.damaged())?;
        Ok(Zone { events: row as u32..end, min, max })
    }
}

/// Writes zones.
#[derive(Debug)]
pub(super) struct ZoneWriter {
    start: usize,
    rows: Vec<u64>,
}

impl ZoneWriter {
    pub(super) fn new(out: &BlockWriter<'_>) -> Self {
        Self { start: out.position(), rows: Vec::new() }
    }

    pub(super) fn push(&mut self, out: &mut BlockWriter<'_>, zone: &Zone) -> Result<()> {
        let at = (out.position() - self.start) as u64;
        self.rows.push(at << 32 | u64::from(zone.events.start));
        for clock in [&zone.min, &zone.max] {
            out.push(&[clock.len() as u8])?;
            out.push(clock)?;
        }
        Ok(())
    }

    pub(super) fn finish(self, out: &mut BlockWriter<'_>) -> Result<Place> {
        let clocks = self.start..out.position();
        out.pad(8)?;
        let rows = out.position();
        self.rows.iter().try_for_each(|row| out.push(&row.to_le_bytes()))?;
        Ok(Place { clocks, rows: rows..out.position() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(clocks: &[u64]) -> (Zone, Vec<u32>) {
        let clocks: Vec<[u8; 8]> = clocks.iter().map(|clock| clock.to_be_bytes()).collect();
        let clocks: Vec<&[u8]> = clocks.iter().map(|clock| &clock[..]).collect();
        Zone::judge(0, &clocks).unwrap()
    }

    fn bytes(clock: u64) -> Vec<u8> {
        clock.to_be_bytes().to_vec()
    }

    #[test]
    fn one_clock_far_ahead_stands_apart_and_makes_nothing_late() {
        let mut clocks: Vec<u64> = (1000..1256).collect();
        clocks[17] = 4_000_000;
        let (zone, apart) = judge(&clocks);
        assert_eq!(apart, [17]);
        assert_eq!((zone.min, zone.max), (bytes(1000), bytes(1255)));
    }

    #[test]
    fn late_events_stand_apart_up_to_half_of_a_zone() {
        let clocks: Vec<u64> =
            (0..256).map(|n| if n % 3 == 1 { n + 1 } else { 1_000_000 + n }).collect();
        let (zone, apart) = judge(&clocks);
        assert_eq!(apart, (0..256).filter(|n| n % 3 == 1).collect::<Vec<_>>());
        assert_eq!(zone.min, bytes(1_000_000));
    }

    #[test]
    fn a_pause_between_events_makes_nothing_late() {
        let clocks: Vec<u64> = (0..256).map(|n| if n < 40 { n } else { 1_000_000 + n }).collect();
        assert!(judge(&clocks).1.is_empty());
        let mut clocks = clocks;
        clocks.swap(3, 4);
        assert!(judge(&clocks).1.is_empty());
    }

    #[test]
    fn clocks_without_order_stay_together() {
        let clocks: Vec<u64> =
            (0..256).map(|n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        assert!(judge(&clocks).1.is_empty());
    }
}
