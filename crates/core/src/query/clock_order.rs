//! Reading in the order of clocks without holding the result: the next events in order are selected
//! into a bounded heap, visiting only zones that can hold them, again and again. Events that stand apart
//! from their zone come from the lists of those, which are in the order of clocks.
//!
//! Memory is bounded by the selection, whatever the log. Time is linear where clocks come roughly in
//! order, but for any number of events that stand apart: a pass visits the few zones that its events are
//! in. Where clocks have no order at all, every pass reads all events that match: n of them cost
//! n²/131,072 looks at records.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::vec::IntoIter;

use roaring::RoaringBitmap;

use super::interrupt::Interrupt;
use super::plan::{Hit, local_range, matches_found};
use super::spec::ReadSpec;
use crate::error::Result;
use crate::filter::{ClockRange, Filter};
use crate::index::Part;
use crate::view::{View, record_of};

/// Events selected in the first pass, so that the first of them come soon; then four times as many as
/// before, up to the most.
const FIRST_SELECTION: usize = 4096;
const SELECTION: usize = 131_072;

/// Bytes of a clock that needs no memory of its own: what the store makes has eight.
const SHORT: usize = 14;

/// A clock that is kept.
#[derive(Debug, Clone)]
enum Clock {
    Short { length: u8, bytes: [u8; SHORT] },
    Long(Box<[u8]>),
}

impl Clock {
    fn new(clock: &[u8]) -> Self {
        let mut bytes = [0; SHORT];
        match bytes.get_mut(..clock.len()) {
            Some(place) => {
                place.copy_from_slice(clock);
                Self::Short { length: clock.len() as u8, bytes }
            }
            None => Self::Long(clock.into()),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Short { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Self::Long(bytes) => bytes,
        }
    }
}

impl PartialEq for Clock {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Clock {}

impl PartialOrd for Clock {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Clock {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.bytes().cmp(other.bytes())
    }
}

/// A clock and a position: what events are sorted by.
type Key = (Clock, u64);

/// Enumerates events by clock, then position.
#[derive(Debug)]
pub(super) struct ClockOrder {
    filters: Vec<Filter>,
    backwards: bool,
    /// The last event handed out; selecting goes on after it.
    last: Option<Key>,
    /// Whether `last` itself is still wanted.
    inclusive: bool,
    /// Events that are wanted yet.
    left: u64,
    selected: IntoIter<(Key, Hit)>,
    /// Events to select in the next pass.
    most: usize,
    finished: bool,
    /// Records read to select.
    touched: u64,
    /// In the order of a pass: zones before this one, of this part, hold nothing that is to come.
    done: (usize, usize),
}

impl ClockOrder {
    pub(super) fn new(spec: &ReadSpec, filters: Vec<Filter>, view: &View) -> Result<Self> {
        let mut order = Self {
            filters,
            backwards: spec.backwards,
            last: None,
            inclusive: spec.from.is_some(),
            left: spec.limit.unwrap_or(u64::MAX),
            selected: Vec::new().into_iter(),
            most: FIRST_SELECTION,
            finished: false,
            touched: 0,
            done: (0, 0),
        };
        if let Some(position) = spec.from.or(spec.after) {
            if position >= view.end() {
                // No event, so no clock to start at.
                order.finished = true;
                return Ok(order);
            }
            let clock = view.with_record(position, |_, record| Ok(Clock::new(record.clock)))?;
            order.touched += 1;
            order.last = Some((clock, position));
        }
        Ok(order)
    }

    pub(super) fn filters(&self) -> &[Filter] {
        &self.filters
    }

    pub(super) fn touched(&self) -> u64 {
        self.touched
    }

    pub(super) fn next(&mut self, view: &View, interrupt: &Interrupt) -> Result<Option<Hit>> {
        loop {
            if let Some((key, hit)) = self.selected.next() {
                self.last = Some(key);
                self.inclusive = false;
                self.left = self.left.saturating_sub(1);
                return Ok(Some(hit));
            }
            if self.finished || self.left == 0 {
                return Ok(None);
            }
            self.select(view, interrupt)?;
        }
    }

    /// How many events match, where they are all wanted and the indexes alone know it.
    pub(super) fn count(&self, view: &View, interrupt: &Interrupt) -> Result<Option<u64>> {
        if self.finished {
            return Ok(Some(0));
        }
        if self.last.is_some() {
            return Ok(None);
        }
        let mut count = 0;
        for nth in 0..view.parts().len() {
            interrupt.check()?;
            let (Some(part), Some(range)) =
                (view.parts().get(nth), local_range(view, nth, &(0..view.end())))
            else {
                continue;
            };
            let Some(found) = part.count_matches(&self.filters, range)? else {
                return Ok(None);
            };
            count += found;
        }
        Ok(Some(count))
    }

    /// Selects the next events in order.
    fn select(&mut self, view: &View, interrupt: &Interrupt) -> Result<()> {
        // An event whose clock is lost could stand anywhere in this order.
        if let Some(hole) = view.first_hole(0) {
            return Err(view.hole(hole));
        }
        let most = usize::try_from(self.left).unwrap_or(self.most).min(self.most);
        self.most = (self.most * 4).min(SELECTION);
        let selected = if self.backwards {
            Pass::new(self, most, |key| key).run(view, interrupt)?.into_hits(|key| key)
        } else {
            Pass::new(self, most, Reverse).run(view, interrupt)?.into_hits(|Reverse(key)| key)
        };
        self.finished = selected.len() < most;
        self.selected = selected.into_iter();
        Ok(())
    }
}

/// One pass over the zones. `rank` orders keys so that the greatest is the first to be read.
struct Pass<'a, R, F> {
    order: &'a mut ClockOrder,
    most: usize,
    rank: F,
    last: Option<R>,
    /// The top is the last in reading order of those kept: the one to give up first.
    kept: BinaryHeap<(Reverse<R>, usize, u32)>,
    /// Whether every zone so far holds nothing that is to come.
    at_start: bool,
}

/// The events of a part that match, once they are needed.
struct Matches {
    all: RoaringBitmap,
    /// Those of them whose record has to be looked at.
    maybe: RoaringBitmap,
    /// Those that no zone counts.
    apart: RoaringBitmap,
}

impl Matches {
    fn find(part: &Part, filters: &[Filter], range: Range<u32>) -> Result<Self> {
        let found = part.candidates(filters, range)?;
        Ok(Self { all: &found.sure | &found.maybe, maybe: found.maybe, apart: part.apart()? })
    }
}

/// A part of a pass.
struct Visited<'v> {
    nth: usize,
    part: &'v Part,
    range: Range<u32>,
    matches: Option<Matches>,
}

impl Visited<'_> {
    fn matches(&mut self, filters: &[Filter]) -> Result<&Matches> {
        match &mut self.matches {
            Some(matches) => Ok(matches),
            empty => Ok(empty.insert(Matches::find(self.part, filters, self.range.clone())?)),
        }
    }
}

impl<'a, R: Ord, F: Fn(Key) -> R> Pass<'a, R, F> {
    fn new(order: &'a mut ClockOrder, most: usize, rank: F) -> Self {
        let last = order.last.clone().map(&rank);
        Self { order, most, rank, last, kept: BinaryHeap::new(), at_start: true }
    }

    /// Visits the parts in reading order: where clocks come in order too, what is found first is kept.
    fn run(mut self, view: &View, interrupt: &Interrupt) -> Result<Self> {
        let count = view.parts().len();
        for turn in 0..count {
            let nth = if self.order.backwards { count - 1 - turn } else { turn };
            let (Some(part), Some(range)) =
                (view.parts().get(nth), local_range(view, nth, &(0..view.end())))
            else {
                continue;
            };
            let mut visited = Visited { nth, part, range, matches: None };
            if turn >= self.order.done.0 {
                self.visit_zones(&mut visited, turn, interrupt)?;
            }
            self.visit_late(&mut visited, interrupt)?;
        }
        Ok(self)
    }

    fn visit_zones(
        &mut self,
        visited: &mut Visited<'_>,
        part_turn: usize,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let mut zones = visited.part.zones(visited.range.clone())?;
        if self.order.backwards {
            zones.reverse();
        }
        let skip = if self.order.done.0 == part_turn { self.order.done.1 } else { 0 };
        for (turn, zone) in zones.iter().enumerate().skip(skip) {
            interrupt.check()?;
            let (near, far) =
                if self.order.backwards { (&zone.max, &zone.min) } else { (&zone.min, &zone.max) };
            if self.is_done(far) {
                if self.at_start {
                    self.order.done = (part_turn, turn + 1);
                }
                continue;
            }
            self.at_start = false;
            if !self.is_too_late(near) {
                self.add_zone(visited, zone.events.clone())?;
            }
        }
        Ok(())
    }

    /// Whether all that is in a zone was handed out, by its clock farthest in reading order.
    fn is_done(&self, far: &[u8]) -> bool {
        let far = (self.rank)((Clock::new(far), self.extreme(false)));
        self.last.as_ref().is_some_and(|last| far > *last)
    }

    /// Whether enough is kept that comes before all that has a clock or one farther in reading order.
    fn is_too_late(&self, near: &[u8]) -> bool {
        let near = (self.rank)((Clock::new(near), self.extreme(true)));
        let worst = self.kept.peek().filter(|_| self.kept.len() == self.most);
        worst.is_some_and(|(Reverse(worst), ..)| near < *worst)
    }

    /// The position that makes a key the nearest, or the farthest, among those of one clock.
    fn extreme(&self, near: bool) -> u64 {
        if near == self.order.backwards { u64::MAX } else { 0 }
    }

    /// Keeps the events of a zone that match and are among the next ones.
    fn add_zone(&mut self, visited: &mut Visited<'_>, events: Range<u32>) -> Result<()> {
        let (nth, part) = (visited.nth, visited.part);
        let matches = visited.matches(&self.order.filters)?;
        for local in matches.all.range(events).filter(|local| !matches.apart.contains(*local)) {
            let record = record_of(part, local)?;
            self.order.touched += 1;
            if matches.maybe.contains(local) && !matches_found(&record, &self.order.filters)? {
                continue;
            }
            let clock = Clock::new(record.parse()?.clock);
            self.keep((clock, part.base() + u64::from(local)), nth, local);
        }
        Ok(())
    }

    /// Keeps those of the events that stand apart that match and are among the next ones. Their list is
    /// in the order of clocks, and begins where the last pass ended.
    fn visit_late(&mut self, visited: &mut Visited<'_>, interrupt: &Interrupt) -> Result<()> {
        let last = self.order.last.as_ref().map(|(clock, _)| clock.bytes().to_vec());
        let to_come = if self.order.backwards {
            ClockRange { to: last, ..ClockRange::default() }
        } else {
            ClockRange { from: last, ..ClockRange::default() }
        };
        let part = visited.part;
        let mut failed = None;
        part.each_late(&to_come, |clock, local| {
            if self.is_too_late(clock) {
                return self.order.backwards;
            }
            let added = self.add_late(visited, clock, local, interrupt);
            failed = added.err();
            failed.is_none()
        })?;
        failed.map_or(Ok(()), Err)
    }

    fn add_late(
        &mut self,
        visited: &mut Visited<'_>,
        clock: &[u8],
        local: u32,
        interrupt: &Interrupt,
    ) -> Result<()> {
        interrupt.check()?;
        let (nth, part) = (visited.nth, visited.part);
        let matches = visited.matches(&self.order.filters)?;
        if !matches.all.contains(local) {
            return Ok(());
        }
        let check = matches.maybe.contains(local);
        self.order.touched += u64::from(check);
        if !check || matches_found(&record_of(part, local)?, &self.order.filters)? {
            self.keep((Clock::new(clock), part.base() + u64::from(local)), nth, local);
        }
        Ok(())
    }

    /// Keeps an event, if it is to come and among the next ones.
    fn keep(&mut self, key: Key, nth: usize, local: u32) {
        let key = (self.rank)(key);
        let behind = self
            .last
            .as_ref()
            .is_none_or(|last| key < *last || self.order.inclusive && key == *last);
        if behind {
            self.kept.push((Reverse(key), nth, local));
            if self.kept.len() > self.most {
                self.kept.pop();
            }
        }
    }

    /// What was kept, in reading order.
    fn into_hits(self, unrank: impl Fn(R) -> Key) -> Vec<(Key, Hit)> {
        let mut sorted = self.kept.into_vec();
        sorted.sort_by(|a, b| b.0.0.cmp(&a.0.0));
        sorted
            .into_iter()
            .map(|(Reverse(key), part, local)| (unrank(key), Hit { part, local, check: false }))
            .collect()
    }
}
