//! One read at one head: a cursor that hands out packed batches, counts, or explains itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::batch::BatchBuilder;
use super::entities;
use super::plan::{Hit, Plan, matches_record};
use super::spec::{ReadSpec, Subject};
use crate::chain::Hash;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::follower::Follower;
use crate::shared::Shared;
use crate::view::{FoundRecord, View, record_of};

/// Bytes of the first batch and of the largest: a short answer is ready at once, a long one is
/// handed over in pieces that the other side decodes in about a millisecond.
const FIRST_BATCH: usize = 64 << 10;
const LARGEST_BATCH: usize = 1 << 20;

/// One read at one head. Each `next` hands out a packed batch.
#[derive(Debug)]
pub struct Read {
    shared: Arc<Shared>,
    /// Set where another process writes: the read begins with what it has published.
    follower: Option<Arc<Follower>>,
    spec: ReadSpec,
    running: Mutex<Option<Running>>,
    /// The view, kept for previous links of events that were handed out.
    view: Mutex<Option<View>>,
    end: AtomicU64,
    batch_bytes: AtomicUsize,
}

/// A read that has begun.
#[derive(Debug)]
struct Running {
    view: View,
    plan: Plan,
    filters: Vec<Filter>,
    left: u64,
    after_name: Option<String>,
    touched: u64,
    /// Events handed out.
    handed: u64,
    finished: bool,
    /// A part of the view was replaced since the plan was made.
    stale: bool,
    /// Damage that was met behind events that are handed out first.
    failure: Option<Error>,
}

/// How a read found its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The access path in words.
    pub plan: String,
    /// Records that were read.
    pub records_touched: u64,
}

impl Read {
    pub(crate) fn new(
        shared: Arc<Shared>,
        follower: Option<Arc<Follower>>,
        spec: ReadSpec,
    ) -> Self {
        Self {
            shared,
            follower,
            spec,
            running: Mutex::default(),
            view: Mutex::default(),
            end: AtomicU64::new(0),
            batch_bytes: AtomicUsize::new(FIRST_BATCH),
        }
    }

    /// Position of the head that bounds the read, once it has begun; `None` on an empty log.
    pub fn head(&self) -> Option<u64> {
        self.end.load(Ordering::Acquire).checked_sub(1)
    }

    /// The next packed batch; `None` at the end.
    pub fn next(&self) -> Result<Option<Vec<u8>>> {
        self.stepping(|read, running| {
            if let Subject::Entities { prefix, .. } = &read.spec.subject {
                return running.entities(prefix);
            }
            let limit = read.batch_bytes.load(Ordering::Relaxed);
            read.batch_bytes.store((limit * 4).min(LARGEST_BATCH), Ordering::Relaxed);
            running.batch(limit)
        })
    }

    /// How many events or entities there are.
    pub fn count(&self) -> Result<u64> {
        self.stepping(|read, running| {
            if let Subject::Entities { prefix, .. } = &read.spec.subject {
                return running.count_entities(prefix);
            }
            if let Some(count) = running.plan.count(&running.view)? {
                Ok(count.min(running.left))
            } else {
                let mut count = 0;
                while running.next_hit()?.is_some() {
                    count += 1;
                }
                Ok(count)
            }
        })
    }

    /// Runs the read without handing anything out, and says how it went.
    pub fn explain(&self) -> Result<Explanation> {
        self.stepping(|_, running| {
            let plan = running.plan.describe();
            while let Some(hit) = running.next_hit()? {
                // Those that had to be checked are counted already.
                running.touched += u64::from(!hit.check);
            }
            Ok(Explanation { plan, records_touched: running.touched })
        })
    }

    /// Ends the read: what is left of it is not found any more.
    pub fn cancel(&self) {
        // A step that runs on another thread ends by itself; waiting for it here could block.
        if let Some(mut running) = self.running.try_lock()
            && let Some(running) = &mut *running
        {
            running.finished = true;
            running.plan = Plan::Nothing;
        }
    }

    /// What an event of this read is linked to. Works after the store is closed.
    pub fn previous_link(&self, position: u64) -> Result<Hash> {
        let view = self.view.lock().clone().ok_or(Error::Closed)?;
        view.previous_link(position)
    }

    /// Runs a step of the read, starting it the first time. Where an index turns out to be damaged, it
    /// is built again, and the read goes on behind what it has handed out.
    fn stepping<T>(&self, step: impl Fn(&Self, &mut Running) -> Result<T>) -> Result<T> {
        self.shared.check_open()?;
        let mut guard = self.running.lock();
        loop {
            let result = match &mut *guard {
                Some(running) => running.start_over(&self.spec).and_then(|()| step(self, running)),
                empty => match self.begin() {
                    Ok(running) => step(self, empty.insert(running)),
                    Err(error) => Err(error),
                },
            };
            match result {
                Err(Error::StaleIndex { path }) => {
                    let fresh = self.shared.view();
                    let view = guard.as_ref().map_or(&fresh, |running| &running.view);
                    let rebuilt = self.shared.rebuild(view, &path)?;
                    if let (Some(running), Some(part)) = (&mut *guard, rebuilt) {
                        running.view = running.view.replacing(&path, &part);
                        running.stale = true;
                        *self.view.lock() = Some(running.view.clone());
                    }
                }
                Err(error) => {
                    if let Some(running) = &mut *guard {
                        running.finished = true;
                    }
                    return Err(self.shared.noting(error));
                }
                Ok(value) => return Ok(value),
            }
        }
    }

    fn begin(&self) -> Result<Running> {
        if let Some(follower) = &self.follower {
            follower.refresh(&self.shared)?;
        }
        let view = self.shared.view();
        let head = view.end();
        let view = match self.spec.as_of {
            Some(end) if end > head => {
                let (position, head) = (end - 1, head.checked_sub(1));
                return Err(Error::PositionAhead { position, head });
            }
            Some(end) => view.cut(end),
            None => view,
        };
        let running = Running::new(&self.spec, view)?;
        self.end.store(running.view.end(), Ordering::Release);
        *self.view.lock() = Some(running.view.clone());
        Ok(running)
    }
}

impl Running {
    fn new(spec: &ReadSpec, view: View) -> Result<Self> {
        let filters = match &spec.subject {
            Subject::Query(filters) => filters.clone(),
            _ => Vec::new(),
        };
        let after_name = match &spec.subject {
            Subject::Entities { after, .. } => after.clone(),
            _ => None,
        };
        Ok(Self {
            plan: Plan::new(spec, &view)?,
            view,
            filters,
            left: spec.limit.unwrap_or(u64::MAX),
            after_name,
            touched: 0,
            handed: 0,
            finished: false,
            stale: false,
            failure: None,
        })
    }

    /// After a part was replaced: plans anew and goes to where the read was. A plan that has returned an
    /// error is never stepped again: it may have consumed what it failed on.
    fn start_over(&mut self, spec: &ReadSpec) -> Result<()> {
        if !self.stale {
            return Ok(());
        }
        let mut again = Self::new(spec, self.view.clone())?;
        for _ in 0..self.handed {
            again.next_hit()?;
        }
        again.handed = self.handed;
        again.finished = self.finished;
        if let Subject::Entities { .. } = &spec.subject {
            again.after_name.clone_from(&self.after_name);
            again.left = self.left;
        }
        *self = again;
        Ok(())
    }

    /// The next event within the limit.
    fn next_hit(&mut self) -> Result<Option<Hit>> {
        if self.left == 0 {
            return Ok(None);
        }
        while let Some(hit) = self.plan.next(&self.view)? {
            if hit.check {
                self.touched += 1;
                let Some(part) = self.view.parts().get(hit.part) else {
                    continue;
                };
                if !matches_record(part, hit.local, &self.filters)? {
                    continue;
                }
            }
            self.left -= 1;
            return Ok(Some(hit));
        }
        Ok(None)
    }

    fn batch(&mut self, limit: usize) -> Result<Option<Vec<u8>>> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        if self.finished {
            return Ok(None);
        }
        let mut batch = BatchBuilder::new(false);
        let mut frame = None;
        let mut count = 0;
        while batch.length() < limit {
            let hit = match self.next_hit() {
                // What was found before the damage is handed out first.
                Err(error @ Error::Corrupt { .. }) if !batch.is_empty() => {
                    self.failure = Some(error);
                    break;
                }
                hit => hit?,
            };
            let Some(hit) = hit else {
                self.finished = true;
                break;
            };
            let Some(part) = self.view.parts().get(hit.part) else {
                continue;
            };
            let found = match record_of(part, hit.local) {
                Err(error @ Error::Corrupt { .. }) if !batch.is_empty() => {
                    self.failure = Some(error);
                    break;
                }
                found => found?,
            };
            push(&mut batch, &found, part.base() + u64::from(hit.local), &mut frame)?;
            count += 1;
        }
        self.handed += count;
        Ok((!batch.is_empty()).then(|| batch.finish()))
    }

    fn entities(&mut self, prefix: &str) -> Result<Option<Vec<u8>>> {
        while !self.finished && self.left > 0 {
            let mut page = entities::page(&self.view, prefix, self.after_name.as_deref())?;
            page.rows.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left -= page.rows.len() as u64;
            self.finished = page.next_after.is_none();
            self.after_name = page.next_after;
            if !page.rows.is_empty() {
                return Ok(Some(entities::pack(&page.rows)));
            }
        }
        Ok(None)
    }

    fn count_entities(&mut self, prefix: &str) -> Result<u64> {
        let mut count = 0;
        loop {
            let page = entities::page(&self.view, prefix, self.after_name.as_deref())?;
            count += page.rows.len() as u64;
            self.after_name = page.next_after;
            if self.after_name.is_none() || count >= self.left {
                return Ok(count.min(self.left));
            }
        }
    }
}

/// Adds a found record to a batch. `frame` remembers the last frame's time: neighbours share it.
fn push(
    batch: &mut BatchBuilder,
    found: &FoundRecord<'_>,
    position: u64,
    frame: &mut Option<(u64, u64, u64)>,
) -> Result<()> {
    let record = found.parse()?;
    let at = found.offset.saturating_sub(u64::from(record.distance));
    let number = found.segment.header.number;
    let recorded_us = match *frame {
        Some((segment, offset, time)) if segment == number && offset == at => time,
        _ => {
            let time = found.segment.recorded_us(found.offset, record.distance)?;
            *frame = Some((number, at, time));
            time
        }
    };
    batch.push(found.segment, &record, position, recorded_us, None)
}

/// A batch of one event, with its previous link, so that it needs nothing else ever after.
pub(crate) fn single(view: &View, position: u64) -> Result<Vec<u8>> {
    let found = view.record(position)?;
    let record = found.parse()?;
    let recorded_us = found.segment.recorded_us(found.offset, record.distance)?;
    let previous = view.previous_link(position)?;
    let mut batch = BatchBuilder::new(true);
    batch.push(found.segment, &record, position, recorded_us, Some(&previous))?;
    Ok(batch.finish())
}
