//! One entity's events, part by part, without asking parts that the entity is not in.

use std::ops::Range;

use super::plan::Hit;
use crate::error::{Error, Result};
use crate::index::{EntityEntry, LOST, Part};
use crate::view::View;

/// Events whose places are looked up together.
const AT_ONCE: u32 = 256;

/// Enumerates an entity's events by version.
#[derive(Debug)]
pub(super) struct Stream {
    entity: String,
    versions: Range<u64>,
    backwards: bool,
    holders: Holders,
    /// Forwards: the parts that are to come, the next one last, or why one cannot be asked.
    collected: Option<Vec<Result<(usize, EntityEntry)>>>,
    current: Option<Postings>,
    /// The version that has to come next.
    expected: Option<u64>,
    /// Positions of the events handed out first and last.
    first: Option<u64>,
    last: Option<u64>,
}

/// Events of the entity in a part that are wanted yet.
#[derive(Debug)]
struct Postings {
    part: usize,
    entry: EntityEntry,
    events: Range<u32>,
    /// Local numbers of the next ones, the first of them last.
    ahead: Vec<u32>,
}

impl Postings {
    /// The version and the local number of the next event.
    fn next(&mut self, index: &Part, backwards: bool) -> Result<Option<(u64, u32)>> {
        if self.ahead.is_empty() && !self.events.is_empty() {
            self.look_ahead(index, backwards)?;
        }
        let nth = if backwards { self.events.next_back() } else { self.events.next() };
        let version = nth.map(|nth| self.entry.first_version + u64::from(nth));
        Ok(version.zip(self.ahead.pop()))
    }

    fn look_ahead(&mut self, index: &Part, backwards: bool) -> Result<()> {
        let Range { start, end } = self.events;
        if backwards {
            let start = start.max(end.saturating_sub(AT_ONCE));
            self.ahead = index.postings(&self.entry, start..end)?;
        } else {
            let end = end.min(start.saturating_add(AT_ONCE));
            self.ahead = index.postings(&self.entry, start..end)?;
            self.ahead.reverse();
        }
        Ok(())
    }
}

/// The parts that hold an entity, from the newest to the oldest. Each says where the entity's event
/// before its own stands, so that none between is asked.
#[derive(Debug)]
struct Holders {
    /// Parts from here on are done with.
    below: usize,
    /// Position of the newest event that is not in them, where that is known.
    previous: Option<u64>,
}

impl Holders {
    fn next(&mut self, view: &View, entity: &str) -> Result<Option<(usize, EntityEntry)>> {
        if let Some((part, _)) = self.previous.take().and_then(|position| view.locate(position)) {
            self.below = self.below.min(part + 1);
        }
        while let Some(part) = self.below.checked_sub(1) {
            self.below = part;
            let index = view.parts().get(part).filter(|index| index.base() < view.end());
            let Some(index) = index else {
                continue;
            };
            if let Some(entry) = index.entity(entity)? {
                match entry.previous {
                    // What lies between could be damaged, and then the entity is in it as a hole.
                    Some(_) if view.is_damaged() => {}
                    Some(position) => self.previous = Some(position),
                    None => self.below = 0,
                }
                return Ok(Some((part, entry)));
            }
        }
        Ok(None)
    }
}

impl Stream {
    pub(super) fn new(entity: String, versions: Range<u64>, backwards: bool, view: &View) -> Self {
        Self {
            entity,
            expected: Some(versions.start).filter(|_| !backwards),
            versions,
            backwards,
            holders: Holders { below: view.parts().len(), previous: None },
            collected: None,
            current: None,
            first: None,
            last: None,
        }
    }

    pub(super) fn next(&mut self, view: &View) -> Result<Option<Hit>> {
        loop {
            if let Some(postings) = &mut self.current
                && let Some(index) = view.parts().get(postings.part)
                && let Some((version, local)) = postings.next(index, self.backwards)?
            {
                if local == LOST || self.expected.is_some_and(|expected| expected != version) {
                    return Err(self.lost(view, version));
                }
                let part = postings.part;
                let next = if self.backwards { version.checked_sub(1) } else { Some(version + 1) };
                self.expected = next;
                self.last = Some(index.base() + u64::from(local));
                self.first = self.first.or(self.last);
                return Ok(Some(Hit { part, local, check: false }));
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
        let hole = if self.backwards {
            view.last_hole(self.last.unwrap_or(view.end()))
        } else {
            view.first_hole(self.last.map_or(0, |last| last + 1))
        };
        let mut error = view.hole(hole.or_else(|| view.first_hole(0)).unwrap_or(0));
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
            let Some((part, entry)) = self.next_holder(view)? else {
                return Ok(false);
            };
            let Some(index) = view.parts().get(part) else {
                return Ok(false);
            };
            let seen = view.seen(index, &entry)?;
            let low = self.versions.start.saturating_sub(entry.first_version);
            let high = self.versions.end.saturating_sub(entry.first_version).min(u64::from(seen));
            if low < high {
                let events = low as u32..high as u32;
                self.current = Some(Postings { part, entry, events, ahead: Vec::new() });
                return Ok(true);
            }
            let beyond = if self.backwards {
                entry.last_version() < self.versions.start
            } else {
                entry.first_version >= self.versions.end
            };
            if beyond {
                return Ok(false);
            }
        }
    }

    /// The next part that holds the entity, in reading order. Forwards, those of the window are looked
    /// up from the newest on first.
    fn next_holder(&mut self, view: &View) -> Result<Option<(usize, EntityEntry)>> {
        if self.backwards {
            return self.holders.next(view, &self.entity);
        }
        if self.collected.is_none() {
            let mut collected = Vec::new();
            loop {
                match self.holders.next(view, &self.entity) {
                    Ok(Some(holder)) => collected.push(Ok(holder)),
                    Ok(None) => break,
                    // The events before the damage come first.
                    Err(error @ Error::Corrupt { .. }) => collected.push(Err(error)),
                    Err(error) => return Err(error),
                }
                let reached =
                    |(_, entry): &(_, EntityEntry)| entry.first_version <= self.versions.start;
                if collected.last().is_some_and(|last| last.as_ref().is_ok_and(reached)) {
                    break;
                }
            }
            self.collected = Some(collected);
        }
        self.collected.as_mut().and_then(Vec::pop).transpose()
    }

    /// How many events there are, on an undamaged log: versions are dense, so the newest one says it.
    pub(super) fn count(&mut self, view: &View) -> Result<u64> {
        while let Some((part, entry)) = self.holders.next(view, &self.entity)? {
            let Some(index) = view.parts().get(part) else {
                break;
            };
            let seen = u64::from(view.seen(index, &entry)?);
            if seen > 0 {
                let end = self.versions.end.min(entry.first_version + seen);
                return Ok(end.saturating_sub(self.versions.start));
            }
        }
        Ok(0)
    }
}
