//! Reading in the order of clocks without holding the result: the next events in order are selected
//! into a bounded heap, visiting only zones that can hold them, again and again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::vec::IntoIter;

use super::plan::{Hit, local_range, matches_record};
use super::spec::ReadSpec;
use crate::error::Result;
use crate::filter::Filter;
use crate::index::ZONE_EVENTS;
use crate::view::{View, record_of};

/// Events selected in one pass.
const SELECTION: usize = 16_384;

/// A clock and a position: what events are sorted by.
type Key = (Vec<u8>, u64);

/// A zone that may hold events of the read.
#[derive(Debug)]
struct Zone {
    part: usize,
    first: u32,
    /// The zone's clock nearest to the start of reading: its smallest, or backwards its largest.
    near: Vec<u8>,
    /// The other end.
    far: Vec<u8>,
}

/// Enumerates events by clock, then position.
#[derive(Debug)]
pub(super) struct ClockOrder {
    filters: Vec<Filter>,
    backwards: bool,
    /// Zones, the nearest first.
    zones: Vec<Zone>,
    /// The last event handed out; selecting goes on after it.
    last: Option<Key>,
    /// Whether `last` itself is still wanted.
    inclusive: bool,
    selected: IntoIter<(Key, Hit)>,
    finished: bool,
}

impl ClockOrder {
    pub(super) fn new(spec: &ReadSpec, filters: Vec<Filter>, view: &View) -> Result<Self> {
        let mut order = Self {
            filters,
            backwards: spec.backwards,
            zones: Vec::new(),
            last: None,
            inclusive: spec.from.is_some(),
            selected: Vec::new().into_iter(),
            finished: false,
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
        order.collect_zones(view)?;
        Ok(order)
    }

    pub(super) fn filters(&self) -> &[Filter] {
        &self.filters
    }

    fn collect_zones(&mut self, view: &View) -> Result<()> {
        for (nth, part) in view.parts().iter().enumerate() {
            for zone in 0..part.count().div_ceil(ZONE_EVENTS) {
                if part.base() + u64::from(zone * ZONE_EVENTS) >= view.end() {
                    break;
                }
                let Some((min, max)) = part.zone(zone)? else {
                    continue;
                };
                let (near, far) = if self.backwards { (max, min) } else { (min, max) };
                self.zones.push(Zone { part: nth, first: zone * ZONE_EVENTS, near, far });
            }
        }
        let backwards = self.backwards;
        self.zones.sort_by(
            |a, b| {
                if backwards { b.near.cmp(&a.near) } else { a.near.cmp(&b.near) }
            },
        );
        Ok(())
    }

    pub(super) fn next(&mut self, view: &View) -> Result<Option<Hit>> {
        loop {
            if let Some((key, hit)) = self.selected.next() {
                self.last = Some(key);
                self.inclusive = false;
                return Ok(Some(hit));
            }
            if self.finished {
                return Ok(None);
            }
            self.select(view)?;
        }
    }

    /// Selects the next events in order.
    fn select(&mut self, view: &View) -> Result<()> {
        // An event whose clock is lost could stand anywhere in this order.
        if let Some(hole) = view.first_hole(0) {
            return Err(view.hole(hole));
        }
        let selected = if self.backwards {
            self.pass(view, |key| key, |key| key)?
        } else {
            self.pass(view, Reverse, |Reverse(key)| key)?
        };
        self.finished = selected.len() < SELECTION;
        self.selected = selected.into_iter();
        Ok(())
    }

    /// One pass over the zones. `rank` orders keys so that the greatest is the first to be read.
    fn pass<R: Ord>(
        &self,
        view: &View,
        rank: impl Fn(Key) -> R,
        unrank: impl Fn(R) -> Key,
    ) -> Result<Vec<(Key, Hit)>> {
        // The heap's top is the last in reading order of those kept: the one to give up first.
        let mut kept: BinaryHeap<(Reverse<R>, usize, u32)> = BinaryHeap::new();
        let last = self.last.clone().map(&rank);
        for zone in &self.zones {
            if let (true, Some((Reverse(worst), ..))) = (kept.len() == SELECTION, kept.peek())
                && rank((zone.near.clone(), self.extreme(true))) < *worst
            {
                break;
            }
            if last
                .as_ref()
                .is_some_and(|last| rank((zone.far.clone(), self.extreme(false))) > *last)
            {
                continue;
            }
            for (clock, position, local) in self.zone_events(view, zone)? {
                let key = rank((clock, position));
                let behind =
                    last.as_ref().is_none_or(|last| key < *last || self.inclusive && key == *last);
                if behind {
                    kept.push((Reverse(key), zone.part, local));
                    if kept.len() > SELECTION {
                        kept.pop();
                    }
                }
            }
        }
        let mut sorted = kept.into_vec();
        sorted.sort_by(|a, b| b.0.0.cmp(&a.0.0));
        Ok(sorted
            .into_iter()
            .map(|(Reverse(key), part, local)| (unrank(key), Hit { part, local, check: false }))
            .collect())
    }

    /// The position that makes a key the nearest, or the farthest, among those of one clock.
    fn extreme(&self, near: bool) -> u64 {
        if near == self.backwards { u64::MAX } else { 0 }
    }

    /// The events of a zone that match: clock, position and local number.
    fn zone_events(&self, view: &View, zone: &Zone) -> Result<Vec<(Vec<u8>, u64, u32)>> {
        let Some(part) = view.parts().get(zone.part) else {
            return Ok(Vec::new());
        };
        let start = part.base() + u64::from(zone.first);
        let positions = start..start + u64::from(ZONE_EVENTS);
        let Some(range) = local_range(view, zone.part, &positions) else {
            return Ok(Vec::new());
        };
        let found = part.candidates(&self.filters, range)?;
        let mut events = Vec::new();
        for local in &found.sure | &found.maybe {
            if found.maybe.contains(local) && !matches_record(part, local, &self.filters)? {
                continue;
            }
            let clock = record_of(part, local)?.parse()?.clock.to_vec();
            events.push((clock, part.base() + u64::from(local), local));
        }
        Ok(events)
    }
}
