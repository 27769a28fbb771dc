//! Finding the events of a read: which way to enumerate them in order.

use std::ops::Range;

use super::clock_order::ClockOrder;
use super::fetch;
use super::interrupt::Interrupt;
use super::search::{Search, coordinates};
use super::spec::{Order, ReadSpec, Subject};
use super::stream::Stream;
use crate::error::Result;
use crate::filter::Filter;
use crate::index::Part;
use crate::view::{FoundRecord, View};

/// An event that was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    pub(super) part: usize,
    pub(super) local: u32,
    /// The index could not decide: the record has to match the filters.
    pub(super) check: bool,
}

/// Enumerates the events of a read, in reading order.
#[derive(Debug)]
pub(super) enum Plan {
    /// Names of entities, which are no events: the parts' sorted names are merged.
    Names,
    /// Every event of a window.
    Everything(Everything),
    /// One entity's postings.
    Stream(Stream),
    /// Events that match filters, part by part.
    Search(Search),
    /// By clock.
    Clock(Box<ClockOrder>),
}

impl Plan {
    pub(super) fn new(spec: &ReadSpec, view: &View) -> Result<Self> {
        let positions = window(spec, view.end());
        let backwards = spec.backwards;
        Ok(match &spec.subject {
            Subject::Entities { .. } => Self::Names,
            Subject::Stream(entity) => {
                let versions = window(spec, u64::MAX);
                Self::Stream(Stream::new(entity.clone(), versions, backwards, view))
            }
            Subject::Query(filters) if spec.order == Order::Clock => {
                Self::Clock(Box::new(ClockOrder::new(spec, filters.clone(), view)?))
            }
            Subject::Query(filters) if !filters.is_empty() => {
                Self::Search(Search::new(filters.clone(), positions, backwards, view))
            }
            Subject::All | Subject::Query(_) => {
                Self::Everything(Everything { positions, backwards, part: None })
            }
        })
    }

    /// The next event.
    pub(super) fn next(&mut self, view: &View, interrupt: &Interrupt) -> Result<Option<Hit>> {
        match self {
            Self::Names => Ok(None),
            Self::Everything(everything) => everything.next(view),
            Self::Stream(stream) => stream.next(view),
            Self::Search(search) => search.next(view, interrupt),
            Self::Clock(order) => order.next(view, interrupt),
        }
    }

    /// How many events are left, where the index alone knows it.
    pub(super) fn count(&mut self, view: &View, interrupt: &Interrupt) -> Result<Option<u64>> {
        if view.is_damaged() {
            return match self {
                Self::Everything(everything) => everything.refuse_lost(view).map(|()| None),
                _ => Ok(None),
            };
        }
        match self {
            Self::Names => Ok(Some(0)),
            Self::Everything(everything) => {
                let Range { start, end } = everything.positions;
                Ok(Some(end.saturating_sub(start)))
            }
            Self::Stream(stream) => stream.count(view).map(Some),
            Self::Search(search) => search.count(view, interrupt),
            Self::Clock(order) => order.count(view, interrupt),
        }
    }

    /// How many events come next one after another in a part.
    pub(super) fn in_a_row(&self) -> u64 {
        match self {
            Self::Everything(everything) => everything.in_a_row(),
            _ => 0,
        }
    }

    /// Passes over so many of them.
    pub(super) fn skip(&mut self, count: u64) {
        if let Self::Everything(everything) = self {
            everything.positions.start += count;
        }
    }

    /// How the records of the events stand in the log.
    pub(super) fn order(&self) -> fetch::Order {
        match self {
            Self::Everything(Everything { backwards: false, .. }) => fetch::Order::AsStored,
            _ => fetch::Order::Scattered,
        }
    }

    /// Records read so far to find events, and in what order.
    pub(super) fn touched(&self) -> u64 {
        match self {
            Self::Clock(order) => order.touched(),
            _ => 0,
        }
    }

    /// In words. Of a search it tells how the parts were searched so far, so it is asked at the end.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Names => "names of entities, merged from all parts".into(),
            Self::Everything(everything) if everything.backwards => {
                "the log from its end, event by event".into()
            }
            Self::Everything(_) => "the log in order, event by event".into(),
            Self::Stream(_) => "postings of one entity".into(),
            Self::Search(search) => search.describe(),
            Self::Clock(order) => {
                let by = coordinates(order.filters());
                format!("zone map in order of clocks, bitmaps of {by}")
            }
        }
    }
}

/// Every event of a window of positions.
#[derive(Debug)]
pub(super) struct Everything {
    positions: Range<u64>,
    backwards: bool,
    /// The part that is being read, and its positions.
    part: Option<(usize, Range<u64>)>,
}

impl Everything {
    fn next(&mut self, view: &View) -> Result<Option<Hit>> {
        let next = if self.backwards { self.positions.next_back() } else { self.positions.next() };
        let Some(position) = next else {
            return Ok(None);
        };
        if let Some((part, own)) = &self.part
            && own.contains(&position)
        {
            let local = (position - own.start) as u32;
            return Ok(Some(Hit { part: *part, local, check: false }));
        }
        let (part, local) = view.locate(position).ok_or_else(|| view.hole(position))?;
        self.part = view.parts().get(part).map(|index| {
            let base = index.base();
            (part, base..(base + u64::from(index.count())).min(view.end()))
        });
        Ok(Some(Hit { part, local, check: false }))
    }
}

impl Everything {
    fn in_a_row(&self) -> u64 {
        match &self.part {
            Some((_, own)) if !self.backwards => {
                self.positions.end.min(own.end).saturating_sub(self.positions.start)
            }
            _ => 0,
        }
    }

    /// Fails if an event that is to come is known to be lost.
    fn refuse_lost(&self, view: &View) -> Result<()> {
        let Range { start, end } = self.positions;
        match view.first_hole(start).filter(|hole| *hole < end) {
            Some(hole) => Err(view.hole(hole)),
            None => Ok(()),
        }
    }
}

/// The window of a read, below `end`. Both `from` and `after` are meant in reading order.
fn window(spec: &ReadSpec, end: u64) -> Range<u64> {
    if spec.backwards {
        let top = match (spec.from, spec.after) {
            (Some(from), _) => from.saturating_add(1),
            (None, Some(after)) => after,
            (None, None) => end,
        };
        0..top.min(end)
    } else {
        let start = match (spec.from, spec.after) {
            (Some(from), _) => from,
            (None, Some(after)) => after.saturating_add(1),
            (None, None) => 0,
        };
        start.min(end)..end
    }
}

/// The local numbers of a part that lie within positions; `None` if there are none.
pub(super) fn local_range(view: &View, part: usize, positions: &Range<u64>) -> Option<Range<u32>> {
    let part: &Part = view.parts().get(part)?;
    let (base, top) = (part.base(), part.base() + u64::from(part.count()));
    let start = positions.start.max(base);
    let end = positions.end.min(top).min(view.end());
    (start < end).then(|| (start - base) as u32..(end - base) as u32)
}

/// A position that is missing between a part, or the view's end, and the part before it, within the window. On a
/// damaged log nothing is passed over in silence.
pub(super) fn gap_beside(view: &View, part: usize, positions: &Range<u64>) -> Option<u64> {
    if !view.is_damaged() {
        return None;
    }
    let end = |part: &Part| part.base() + u64::from(part.count());
    let before = part.checked_sub(1).and_then(|part| view.parts().get(part)).map_or(0, end);
    let base = view.parts().get(part).map_or(view.end(), |part| part.base().min(view.end()));
    let first = before.max(positions.start);
    (first < base.min(positions.end)).then_some(first)
}

/// What the first event that matches is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FirstMatch {
    None,
    At(u64),
    /// It may be one whose record cannot be read yet.
    Undecided,
}

/// The first event from a position on that matches any filter. Records from `readable` on are not
/// written yet: where the index cannot decide about them, nobody can.
pub(crate) fn first_match(
    view: &View,
    filters: &[Filter],
    from: u64,
    readable: u64,
) -> Result<FirstMatch> {
    if filters.is_empty() {
        return Ok(FirstMatch::None);
    }
    let positions = from..view.end();
    let mut search = Search::new(filters.to_vec(), positions, false, view).by_index_alone();
    let interrupt = Interrupt::default();
    while let Some(hit) = search.next(view, &interrupt)? {
        let Some(part) = view.parts().get(hit.part) else {
            continue;
        };
        let position = part.base() + u64::from(hit.local);
        if hit.check {
            if position >= readable {
                return Ok(FirstMatch::Undecided);
            }
            if !matches_record(part, hit.local, filters)? {
                continue;
            }
        }
        return Ok(FirstMatch::At(position));
    }
    Ok(FirstMatch::None)
}

/// Whether an event's record satisfies any of the filters.
pub(super) fn matches_record(part: &Part, local: u32, filters: &[Filter]) -> Result<bool> {
    matches_found(&crate::view::record_of(part, local)?, filters)
}

/// As [`matches_record`], of a record that was read.
pub(super) fn matches_found(found: &FoundRecord<'_>, filters: &[Filter]) -> Result<bool> {
    let (segment, record) = (found.segment, found.parse()?);
    let tags = record.tags().map(|tag| segment.string(tag)).collect::<Result<Vec<_>>>()?;
    let event = crate::filter::Coordinates {
        entity: &segment.string(record.entity)?,
        fact: &segment.string(record.fact)?,
        scope: &segment.string(record.scope)?,
        clock: record.clock,
        tags: &tags,
    };
    Ok(filters.iter().any(|filter| filter.matches(&event)))
}
