//! Finding the events of a read: the cheapest way to enumerate them in order, part by part, so that
//! nothing but the current part's candidates is ever held.

use std::ops::Range;

use roaring::RoaringBitmap;
use roaring::bitmap::IntoIter;

use super::clock_order::ClockOrder;
use super::spec::{Order, ReadSpec, Subject};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::index::{EntityEntry, LOST, Part};
use crate::view::View;

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
    /// Nothing can match.
    Nothing,
    /// Every event of a range of positions.
    Range { positions: Range<u64>, backwards: bool },
    /// One entity's postings.
    Stream(Stream),
    /// Bitmaps, part by part.
    Bitmaps(Bitmaps),
    /// By clock.
    Clock(Box<ClockOrder>),
}

impl Plan {
    pub(super) fn new(spec: &ReadSpec, view: &View) -> Result<Self> {
        let window = window(spec, view.end());
        let backwards = spec.backwards;
        Ok(match &spec.subject {
            Subject::Entities { .. } => Self::Nothing,
            Subject::Stream(entity) => {
                let versions = self::window(spec, u64::MAX);
                Self::Stream(Stream::new(entity.clone(), versions, backwards, view))
            }
            Subject::Query(filters) if spec.order == Order::Clock => {
                Self::Clock(Box::new(ClockOrder::new(spec, filters.clone(), view)?))
            }
            Subject::Query(filters) if !filters.is_empty() => {
                Self::Bitmaps(Bitmaps::new(filters.clone(), window, backwards, view))
            }
            Subject::All | Subject::Query(_) => Self::Range { positions: window, backwards },
        })
    }

    /// The next event.
    pub(super) fn next(&mut self, view: &View) -> Result<Option<Hit>> {
        match self {
            Self::Nothing => Ok(None),
            Self::Range { positions, backwards } => {
                let position = if *backwards { positions.next_back() } else { positions.next() };
                let Some(position) = position else {
                    return Ok(None);
                };
                let (part, local) = view.locate(position).ok_or_else(|| view.hole(position))?;
                Ok(Some(Hit { part, local, check: false }))
            }
            Self::Stream(stream) => stream.next(view),
            Self::Bitmaps(bitmaps) => bitmaps.next(view),
            Self::Clock(order) => order.next(view),
        }
    }

    /// How many events are left, where the index alone knows it.
    pub(super) fn count(&mut self, view: &View) -> Result<Option<u64>> {
        if view.is_damaged() {
            return Ok(None);
        }
        match self {
            Self::Nothing => Ok(Some(0)),
            Self::Range { positions, .. } => {
                Ok(Some(positions.end.saturating_sub(positions.start)))
            }
            Self::Stream(stream) => stream.count(view).map(Some),
            Self::Bitmaps(bitmaps) => bitmaps.count(view),
            Self::Clock(_) => Ok(None),
        }
    }

    /// Whether events come as they stand in the log.
    pub(super) fn is_sequential(&self) -> bool {
        matches!(self, Self::Range { backwards: false, .. })
    }

    /// In words.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Nothing => "nothing can match".into(),
            Self::Range { positions, .. } => {
                format!("positions {} to {} in order", positions.start, positions.end)
            }
            Self::Stream(_) => "postings of one entity".into(),
            Self::Bitmaps(bitmaps) => format!("bitmaps of {}", coordinates(&bitmaps.filters)),
            Self::Clock(order) => {
                let by = coordinates(order.filters());
                format!("zone map in order of clocks, bitmaps of {by}")
            }
        }
    }
}

fn coordinates(filters: &[Filter]) -> String {
    let all: Vec<String> = filters
        .iter()
        .map(|filter| {
            let given = [
                ("entity", filter.entity.is_some()),
                ("tags", filter.tags_all.is_some() || filter.tags_any.is_some()),
                ("scope", filter.scope.is_some()),
                ("fact", filter.fact.is_some()),
                ("clock zones", filter.clock.is_some()),
            ];
            let names: Vec<&str> =
                given.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
            if names.is_empty() { "everything".into() } else { names.join(" and ") }
        })
        .collect();
    if all.is_empty() { "everything".into() } else { all.join(", or of ") }
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

/// One entity's events, part by part.
#[derive(Debug)]
pub(super) struct Stream {
    entity: String,
    versions: Range<u64>,
    /// Parts that are not asked yet.
    parts: Range<usize>,
    backwards: bool,
    current: Option<(usize, EntityEntry, Range<u32>)>,
    /// The version that has to come next.
    expected: Option<u64>,
    /// Positions of the events handed out first and last.
    first: Option<u64>,
    last: Option<u64>,
}

impl Stream {
    fn new(entity: String, versions: Range<u64>, backwards: bool, view: &View) -> Self {
        let expected = Some(versions.start).filter(|_| !backwards);
        let parts = 0..view.parts().len();
        Self {
            entity,
            versions,
            parts,
            backwards,
            current: None,
            expected,
            first: None,
            last: None,
        }
    }

    fn next(&mut self, view: &View) -> Result<Option<Hit>> {
        loop {
            if let Some((part, entry, range)) = &mut self.current {
                let nth = if self.backwards { range.next_back() } else { range.next() };
                if let (Some(nth), Some(index)) = (nth, view.parts().get(*part)) {
                    let local = index.posting(entry, nth)?.unwrap_or_default();
                    let version = entry.first_version + u64::from(nth);
                    if local == LOST || self.expected.is_some_and(|expected| expected != version) {
                        return Err(self.lost(view, version));
                    }
                    let next =
                        if self.backwards { version.checked_sub(1) } else { Some(version + 1) };
                    self.expected = next;
                    self.last = Some(index.base() + u64::from(local));
                    self.first = self.first.or(self.last);
                    return Ok(Some(Hit { part: *part, local, check: false }));
                }
            }
            if !self.next_part(view)? {
                return self.end(view);
            }
        }
    }

    /// The end of the stream, unless events that belong to it may be among damaged ones.
    fn end(&self, view: &View) -> Result<Option<Hit>> {
        let wanted = if self.backwards {
            let open = self.versions.end == u64::MAX;
            let newer = open && view.first_hole(self.first.unwrap_or(0)).is_some();
            let older = self.expected.is_some_and(|next| next >= self.versions.start)
                && self.last.is_some_and(|last| view.first_hole(0).is_some_and(|hole| hole < last));
            newer || older
        } else {
            self.expected.is_none_or(|next| next < self.versions.end)
                && view.first_hole(self.last.unwrap_or(0)).is_some()
        };
        if wanted { Err(self.lost(view, self.expected.unwrap_or(0))) } else { Ok(None) }
    }

    /// The error for a version that cannot be read.
    fn lost(&self, view: &View, version: u64) -> Error {
        let mut error = view.hole(view.first_hole(0).unwrap_or(0));
        if let Error::Corrupt { damage } = &mut error {
            for one in damage {
                one.reason = format!("version {version} of an entity is damaged or missing");
                one.entities = vec![self.entity.clone()];
            }
        }
        error
    }

    /// Goes to the next part that holds events of the window.
    fn next_part(&mut self, view: &View) -> Result<bool> {
        loop {
            let part = if self.backwards { self.parts.next_back() } else { self.parts.next() };
            let Some(part) = part else { return Ok(false) };
            let Some(index) = view.parts().get(part).filter(|index| index.base() < view.end())
            else {
                continue;
            };
            let Some(entry) = index.entity(&self.entity)? else {
                continue;
            };
            if entry.first_version >= self.versions.end {
                if self.backwards {
                    continue;
                }
                return Ok(false);
            }
            let seen = view.seen(index, &entry)?;
            let low = self.versions.start.saturating_sub(entry.first_version);
            let high = (self.versions.end - entry.first_version).min(u64::from(seen));
            if self.backwards && entry.previous.is_none() {
                // The entity began here: no earlier part has any of it.
                self.parts.end = self.parts.start;
            }
            if low < high {
                self.current = Some((part, entry, low as u32..high as u32));
                return Ok(true);
            }
            if self.backwards && entry.last_version() < self.versions.start {
                return Ok(false);
            }
        }
    }

    fn count(&mut self, view: &View) -> Result<u64> {
        let mut count = 0;
        while self.next_part(view)? {
            count += self.current.as_ref().map_or(0, |(_, _, range)| range.len() as u64);
        }
        Ok(count)
    }
}

/// A query's events, part by part.
pub(super) struct Bitmaps {
    filters: Vec<Filter>,
    positions: Range<u64>,
    parts: Range<usize>,
    backwards: bool,
    current: Option<(usize, IntoIter, RoaringBitmap)>,
}

impl std::fmt::Debug for Bitmaps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bitmaps").field("filters", &self.filters).finish_non_exhaustive()
    }
}

impl Bitmaps {
    fn new(filters: Vec<Filter>, positions: Range<u64>, backwards: bool, view: &View) -> Self {
        Self { filters, positions, parts: 0..view.parts().len(), backwards, current: None }
    }

    fn next(&mut self, view: &View) -> Result<Option<Hit>> {
        loop {
            if let Some((part, hits, maybe)) = &mut self.current {
                let local = if self.backwards { hits.next_back() } else { hits.next() };
                if let Some(local) = local {
                    let check = maybe.contains(local);
                    return Ok(Some(Hit { part: *part, local, check }));
                }
            }
            let part = if self.backwards { self.parts.next_back() } else { self.parts.next() };
            let Some(part) = part else { return Ok(None) };
            if let Some(gap) = gap_beside(view, part, &self.positions) {
                return Err(view.hole(gap));
            }
            let Some(range) = local_range(view, part, &self.positions) else {
                continue;
            };
            let Some(index) = view.parts().get(part) else {
                continue;
            };
            let found = index.candidates(&self.filters, range)?;
            let all = &found.sure | &found.maybe;
            self.current = Some((part, all.into_iter(), found.maybe));
        }
    }

    fn count(&self, view: &View) -> Result<Option<u64>> {
        let mut count = 0;
        for part in self.parts.clone() {
            let Some(range) = local_range(view, part, &self.positions) else {
                continue;
            };
            let Some(index) = view.parts().get(part) else {
                continue;
            };
            let found = index.candidates(&self.filters, range)?;
            if !found.maybe.is_empty() {
                return Ok(None);
            }
            count += found.sure.len();
        }
        Ok(Some(count))
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

/// A position that is missing between a part and the one before it, within the window. On a damaged
/// log nothing is passed over in silence.
fn gap_beside(view: &View, part: usize, positions: &Range<u64>) -> Option<u64> {
    if !view.is_damaged() {
        return None;
    }
    let end = |part: &Part| part.base() + u64::from(part.count());
    let before = part.checked_sub(1).and_then(|part| view.parts().get(part)).map_or(0, end);
    let base = view.parts().get(part)?.base().min(view.end());
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
    let mut bitmaps = Bitmaps::new(filters.to_vec(), positions, false, view);
    while let Some(hit) = bitmaps.next(view)? {
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
    let found = crate::view::record_of(part, local)?;
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
