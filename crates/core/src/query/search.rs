//! A query's events, part by part: of each part the cheapest access, so that nothing but the current
//! part's candidates is ever held.

use std::ops::Range;
use std::vec;

use roaring::RoaringBitmap;
use roaring::bitmap;

use super::interrupt::Interrupt;
use super::plan::{Hit, gap_beside, local_range};
use crate::error::Result;
use crate::filter::{Filter, Pattern};
use crate::index::{EntityEntry, LOST, Part};
use crate::view::View;

/// Events of named entities in a part that are rather looked at one by one than searched for in the
/// bitmaps of the other coordinates.
const FEW_EVENTS: u32 = 64;

/// Enumerates the events that match any of the filters.
pub(super) struct Search {
    filters: Vec<Filter>,
    positions: Range<u64>,
    /// Parts that are not searched yet.
    parts: Range<usize>,
    backwards: bool,
    /// Most events of named entities that are looked at one by one.
    few: u32,
    current: Option<(usize, Found)>,
    used: Used,
}

/// Parts by how they were searched.
#[derive(Debug, Default, Clone, Copy)]
struct Used {
    bitmaps: u64,
    postings: u64,
}

/// Candidates of a part.
enum Found {
    Bitmap {
        hits: bitmap::IntoIter,
        maybe: RoaringBitmap,
    },
    /// Every one to be checked, unless the entity is all that the filters ask for.
    Postings {
        hits: vec::IntoIter<u32>,
        check: bool,
    },
}

impl Found {
    fn next(&mut self, backwards: bool) -> Option<(u32, bool)> {
        match self {
            Self::Bitmap { hits, maybe } => {
                let local = if backwards { hits.next_back() } else { hits.next() }?;
                Some((local, maybe.contains(local)))
            }
            Self::Postings { hits, check } => {
                let local = if backwards { hits.next_back() } else { hits.next() }?;
                Some((local, *check))
            }
        }
    }
}

impl std::fmt::Debug for Search {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Search").field("filters", &self.filters).finish_non_exhaustive()
    }
}

impl Search {
    pub(super) fn new(
        filters: Vec<Filter>,
        positions: Range<u64>,
        backwards: bool,
        view: &View,
    ) -> Self {
        // The last one has no events: it stands for what may be lost behind the others.
        let parts = 0..view.parts().len() + 1;
        let (few, used) = (FEW_EVENTS, Used::default());
        Self { filters, positions, parts, backwards, few, current: None, used }
    }

    /// Leaves to records only what the indexes cannot decide, however many candidates they go through.
    pub(super) fn by_index_alone(mut self) -> Self {
        self.few = 0;
        self
    }

    pub(super) fn next(&mut self, view: &View, interrupt: &Interrupt) -> Result<Option<Hit>> {
        loop {
            if let Some((part, found)) = &mut self.current
                && let Some((local, check)) = found.next(self.backwards)
            {
                return Ok(Some(Hit { part: *part, local, check }));
            }
            interrupt.check()?;
            let part = if self.backwards { self.parts.next_back() } else { self.parts.next() };
            let Some(part) = part else { return Ok(None) };
            if let Some(gap) = gap_beside(view, part, &self.positions) {
                return Err(view.hole(gap));
            }
            let (Some(range), Some(index)) =
                (local_range(view, part, &self.positions), view.parts().get(part))
            else {
                continue;
            };
            self.current = Some((part, self.search(index, range)?));
        }
    }

    fn search(&mut self, part: &Part, range: Range<u32>) -> Result<Found> {
        if let [filter] = self.filters.as_slice()
            && let Some(hits) = few_events(part, filter, &range, self.few)?
        {
            self.used.postings += 1;
            let rest = Filter { entity: None, ..filter.clone() };
            let check = rest != Filter::default();
            return Ok(Found::Postings { hits: hits.into_iter(), check });
        }
        self.used.bitmaps += 1;
        let found = part.candidates(&self.filters, range)?;
        let hits = (&found.sure | &found.maybe).into_iter();
        Ok(Found::Bitmap { hits, maybe: found.maybe })
    }

    /// How many events match, where the indexes alone know it.
    pub(super) fn count(&self, view: &View, interrupt: &Interrupt) -> Result<Option<u64>> {
        let mut count = 0;
        for part in self.parts.clone() {
            interrupt.check()?;
            let (Some(range), Some(index)) =
                (local_range(view, part, &self.positions), view.parts().get(part))
            else {
                continue;
            };
            let Some(found) = index.count_matches(&self.filters, range)? else {
                return Ok(None);
            };
            count += found;
        }
        Ok(Some(count))
    }

    /// In words: what has been used so far.
    pub(super) fn describe(&self) -> String {
        let by = coordinates(&self.filters);
        let mut used = Vec::new();
        if self.used.postings > 0 {
            used.push(format!(
                "postings of entities, the rest checked on their records, in {} parts",
                self.used.postings
            ));
        }
        if self.used.bitmaps > 0 || used.is_empty() {
            used.push(format!("bitmaps of {by} in {} parts", self.used.bitmaps));
        }
        used.join("; ")
    }
}

/// The events of the entities that a filter names, if it names them and they have few in the range.
fn few_events(
    part: &Part,
    filter: &Filter,
    range: &Range<u32>,
    few: u32,
) -> Result<Option<Vec<u32>>> {
    let Some(patterns) = &filter.entity else {
        return Ok(None);
    };
    // A damaged event could be any entity's: bitmaps know of it.
    if patterns.len() > few as usize || !part.holes().is_empty() {
        return Ok(None);
    }
    let mut entries: Vec<EntityEntry> = Vec::new();
    for pattern in patterns {
        let Pattern::Exact(name) = pattern else {
            return Ok(None);
        };
        entries.extend(part.entity(name)?);
    }
    if entries.iter().map(|entry| entry.count).fold(0, u32::saturating_add) > few {
        return Ok(None);
    }
    let mut hits = Vec::new();
    for entry in &entries {
        hits.extend(part.postings(entry, 0..entry.count)?);
    }
    hits.retain(|local| *local != LOST && range.contains(local));
    hits.sort_unstable();
    hits.dedup();
    Ok(Some(hits))
}

/// The coordinates that filters ask for, in words.
pub(super) fn coordinates(filters: &[Filter]) -> String {
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
