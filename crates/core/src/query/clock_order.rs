//! Reading in the order of clocks without holding the result: the next events in order are selected
//! into a bounded heap, visiting only zones that can hold them, again and again.
//!
//! Memory is bounded by the selection, whatever the log. Time is linear where clocks come roughly in
//! order, for then a pass visits the few zones that its events are in. Where they do not, every pass
//! reads all events that match: n of them cost n²/65,536 looks at records.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::vec::IntoIter;

use roaring::RoaringBitmap;

use super::interrupt::Interrupt;
use super::plan::{Hit, local_range, matches_found};
use super::spec::ReadSpec;
use crate::error::Result;
use crate::filter::Filter;
use crate::index::{Part, ZONE_EVENTS};
use crate::view::{View, record_of};

/// Most events selected in one pass.
const SELECTION: usize = 65_536;

/// A clock and a position: what events are sorted by.
type Key = (Vec<u8>, u64);

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
    finished: bool,
    /// In the order of a pass: zones before this one, of this part, hold nothing that is to come.
    done: (usize, u32),
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
            finished: false,
            done: (0, 0),
        };
        if let Some(position) = spec.from.or(spec.after) {
            if position >= view.end() {
                // No event, so no clock to start at.
                order.finished = true;
                return Ok(order);
            }
            let clock = view.with_record(position, |_, record| Ok(record.clock.to_vec()))?;
            order.last = Some((clock, position));
        }
        Ok(order)
    }

    pub(super) fn filters(&self) -> &[Filter] {
        &self.filters
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
        let most = usize::try_from(self.left).unwrap_or(SELECTION).min(SELECTION);
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

impl<'a, R: Ord, F: Fn(Key) -> R> Pass<'a, R, F> {
    fn new(order: &'a mut ClockOrder, most: usize, rank: F) -> Self {
        let last = order.last.clone().map(&rank);
        Self { order, most, rank, last, kept: BinaryHeap::new(), at_start: true }
    }

    /// Visits the parts in reading order: where clocks come in order too, what is found first is kept.
    fn run(mut self, view: &View, interrupt: &Interrupt) -> Result<Self> {
        let count = view.parts().len();
        for visited in self.order.done.0..count {
            let nth = if self.order.backwards { count - 1 - visited } else { visited };
            if let Some(part) = view.parts().get(nth) {
                self.visit(view, interrupt, visited, nth, part)?;
            }
        }
        Ok(self)
    }

    fn visit(
        &mut self,
        view: &View,
        interrupt: &Interrupt,
        visited: usize,
        nth: usize,
        part: &Part,
    ) -> Result<()> {
        let Some(range) = local_range(view, nth, &(0..view.end())) else {
            return Ok(());
        };
        let zones = range.end.div_ceil(ZONE_EVENTS);
        let skip = if self.order.done.0 == visited { self.order.done.1 } else { 0 };
        let mut found = None;
        for turn in skip..zones {
            interrupt.check()?;
            let zone = if self.order.backwards { zones - 1 - turn } else { turn };
            let Some((min, max)) = part.zone(zone)? else {
                continue;
            };
            let (near, far) = if self.order.backwards { (max, min) } else { (min, max) };
            if self.is_done(far) {
                if self.at_start {
                    self.order.done = (visited, turn + 1);
                }
                continue;
            }
            self.at_start = false;
            if self.is_too_late(near) {
                continue;
            }
            let found = match &mut found {
                Some(found) => found,
                empty => {
                    let candidates = part.candidates(&self.order.filters, range.clone())?;
                    let all = &candidates.sure | &candidates.maybe;
                    empty.insert((all, candidates.maybe))
                }
            };
            self.add_zone(part, nth, zone, found)?;
        }
        Ok(())
    }

    /// Whether all that is in a zone was handed out, by its clock farthest in reading order.
    fn is_done(&self, far: Vec<u8>) -> bool {
        let far = (self.rank)((far, self.extreme(false)));
        self.last.as_ref().is_some_and(|last| far > *last)
    }

    /// Whether enough is kept that comes before all that is in a zone, by its clock nearest in reading
    /// order.
    fn is_too_late(&self, near: Vec<u8>) -> bool {
        let near = (self.rank)((near, self.extreme(true)));
        let worst = self.kept.peek().filter(|_| self.kept.len() == self.most);
        worst.is_some_and(|(Reverse(worst), ..)| near < *worst)
    }

    /// The position that makes a key the nearest, or the farthest, among those of one clock.
    fn extreme(&self, near: bool) -> u64 {
        if near == self.order.backwards { u64::MAX } else { 0 }
    }

    /// Keeps the events of a zone that match and are among the next ones.
    fn add_zone(
        &mut self,
        part: &Part,
        nth: usize,
        zone: u32,
        (all, maybe): &(RoaringBitmap, RoaringBitmap),
    ) -> Result<()> {
        for local in all.range(zone * ZONE_EVENTS..(zone + 1) * ZONE_EVENTS) {
            let record = record_of(part, local)?;
            if maybe.contains(local) && !matches_found(&record, &self.order.filters)? {
                continue;
            }
            let clock = record.parse()?.clock.to_vec();
            let key = (self.rank)((clock, part.base() + u64::from(local)));
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
        Ok(())
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
