//! One read at one head: a cursor that hands out packed batches, counts, or explains itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::batch::{BatchBuilder, packing};
use super::entities::{self, Names};
use super::fetch::{self, Fetch};
use super::interrupt::Interrupt;
use super::known::Known;
use super::passed::Passed;
use super::plan::{Hit, Plan, matches_found, matches_record};
use super::recent::RecentLinks;
use super::spec::{Order, ReadSpec, Subject};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::follower::Follower;
use crate::fs::patience;
use crate::shared::Shared;
use crate::view::{EntityHead, View};

/// Bytes of the first batch and of the largest: what comes first takes about as long as going to another
/// thread and back, and a long answer is handed over in pieces that the other side decodes in about a
/// millisecond.
const FIRST_BATCH: usize = 256 << 10;
const LARGEST_BATCH: usize = 1 << 20;
/// What a thread that must not wait takes on: so many events of an answer, so many strings of filters, or
/// a log of so many events, whatever is asked of it.
const SMALL_ANSWER: u64 = 128;
const FEW_STRINGS: usize = 64;
const SMALL_LOG: u64 = 4096;
/// Rows of a batch of entities.
const ENTITIES_PER_BATCH: u64 = 1024;
/// Hits between two looks at whether the read was cancelled.
const HITS_PER_LOOK: u64 = 1024;

/// One read at one head. Each `next` hands out a packed batch.
#[derive(Debug)]
pub struct Read {
    shared: Arc<Shared>,
    /// Set where another process writes: the read begins with what it has published.
    follower: Option<Arc<Follower>>,
    spec: ReadSpec,
    running: Mutex<Option<Running>>,
    batch_bytes: AtomicUsize,
    /// Whether batches have previous links, from the next one on.
    previous_links: AtomicBool,
    interrupt: Interrupt,
}

/// A read that has begun.
#[derive(Debug)]
struct Running {
    view: View,
    plan: Plan,
    filters: Vec<Filter>,
    /// Events or entities that are wanted yet.
    left: u64,
    /// Of a list of entities: where it stands.
    names: Option<Names>,
    after_name: Option<String>,
    /// Records read.
    touched: u64,
    /// Events handed out.
    handed: u64,
    /// Hits so far.
    hits: u64,
    fetch: Fetch,
    /// Of a read whose events come with previous links.
    recent: Option<RecentLinks>,
    finished: bool,
    /// A part of the view was replaced since the plan was made.
    stale: bool,
    /// Damage that was met behind events that are handed out first.
    failure: Option<Error>,
    interrupt: Interrupt,
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
            batch_bytes: AtomicUsize::new(FIRST_BATCH),
            previous_links: AtomicBool::new(false),
            interrupt: Interrupt::default(),
        }
    }

    /// The next packed batch; `None` behind the one that says it is the last.
    pub fn next(&self) -> Result<Option<Vec<u8>>> {
        self.next_into(Vec::new())
    }

    /// As [`Read::next`], packed into the memory of a buffer.
    pub fn next_into(&self, mut buffer: Vec<u8>) -> Result<Option<Vec<u8>>> {
        let limit = self.batch_bytes.load(Ordering::Relaxed);
        self.batch_bytes.store((limit * 4).min(LARGEST_BATCH), Ordering::Relaxed);
        self.stepping(|read, running| {
            if running.finished {
                return Ok(None);
            }
            if let Subject::Entities { prefix, .. } = &read.spec.subject {
                return running.entities(prefix).map(Some);
            }
            packing(|builder| {
                builder.begin(std::mem::take(&mut buffer), limit + limit / 8);
                running.fill(builder, limit, read.has_previous_links())?;
                Ok(Some(builder.finish(running.finished, running.view.end())))
            })
        })
    }

    /// Puts the first batch into `out`, on a thread that must neither wait for the disk nor work for long,
    /// and gives its length; `None` if that cannot be, and then the read has not begun.
    pub fn next_now(&self, out: &mut [u8]) -> Result<Option<usize>> {
        debug_assert!(self.running.lock().is_none(), "it is the first step or none");
        if !self.is_small() {
            return Ok(None);
        }
        let limit = FIRST_BATCH.min(out.len() / 2);
        let step = || {
            self.stepping(|read, running| {
                packing(|builder| {
                    builder.begin_own();
                    running.fill(builder, limit, read.has_previous_links())?;
                    let batch = builder.finish_own(running.finished, running.view.end());
                    let place = out.get_mut(..batch.len()).ok_or(Error::WouldWait)?;
                    place.copy_from_slice(batch);
                    Ok(batch.len())
                })
            })
        };
        match patience::without_waiting(step) {
            Err(Error::WouldWait) => {
                *self.running.lock() = None;
                Ok(None)
            }
            length => length.map(Some),
        }
    }

    /// Whether the last batch was handed out.
    pub fn has_ended(&self) -> bool {
        self.running.lock().as_ref().is_some_and(|running| running.finished)
    }

    /// Whether an answer may come at once, as far as the description tells.
    fn is_small(&self) -> bool {
        let most = self.spec.limit.unwrap_or(u64::MAX);
        match &self.spec.subject {
            Subject::Stream(_) => true,
            Subject::All => most.min(self.shared.published()) <= SMALL_ANSWER,
            Subject::Query(filters) => {
                let named = filters.iter().map(Filter::exact_strings).sum::<Option<usize>>();
                let narrow = named.is_some_and(|named| named <= FEW_STRINGS);
                let in_order = self.spec.order == Order::Position;
                (in_order && narrow && most <= SMALL_ANSWER) || self.shared.published() <= SMALL_LOG
            }
            Subject::Entities { .. } => false,
        }
    }

    fn has_previous_links(&self) -> bool {
        self.previous_links.load(Ordering::Relaxed)
    }

    /// From the next batch on, events come with their previous links.
    pub fn want_previous_links(&self) {
        self.previous_links.store(true, Ordering::Relaxed);
    }

    /// How many events or entities there are.
    pub fn count(&self) -> Result<u64> {
        self.stepping(|read, running| {
            if let Subject::Entities { prefix, .. } = &read.spec.subject {
                return running.count_entities(prefix);
            }
            if let Some(count) = running.plan.count(&running.view, &running.interrupt)? {
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

    /// How many there are, if the indexes say so at once; else another thread has to count.
    pub fn count_now(&self) -> Result<Option<u64>> {
        if self.follower.is_some() || matches!(self.spec.subject, Subject::Entities { .. }) {
            return Ok(None);
        }
        let counted = patience::without_waiting(|| {
            self.stepping(|_, running| {
                let count = running.plan.count(&running.view, &running.interrupt)?;
                Ok(count.map(|count| count.min(running.left)))
            })
        });
        match counted {
            Err(Error::WouldWait) => Ok(None),
            counted => counted,
        }
    }

    /// Runs the read without handing anything out, and says how it went.
    pub fn explain(&self) -> Result<Explanation> {
        self.stepping(|_, running| {
            while let Some(hit) = running.next_hit()? {
                // Those that had to be checked are counted already.
                running.touched += u64::from(!hit.check);
            }
            let plan = running.plan.describe();
            let records_touched = running.touched + running.plan.touched();
            Ok(Explanation { plan, records_touched })
        })
    }

    /// Ends the read: what is left of it is not found any more, and a step that runs on another thread
    /// gives up.
    pub fn cancel(&self) {
        self.interrupt.cancel();
        // Not waited for: a step that runs frees what it holds when the read is dropped.
        if let Some(mut running) = self.running.try_lock() {
            *running = None;
        }
    }

    /// Runs a step of the read, starting it the first time. Where an index turns out to be damaged, it
    /// is built again, and the read goes on behind what it has handed out.
    fn stepping<T>(&self, mut step: impl FnMut(&Self, &mut Running) -> Result<T>) -> Result<T> {
        self.shared.check_open()?;
        let mut guard = self.running.lock();
        self.interrupt.check()?;
        loop {
            let result = match &mut *guard {
                Some(running) => running.start_over(&self.spec).and_then(|()| step(self, running)),
                empty => match self.begin() {
                    Ok(running) => step(self, empty.insert(running)),
                    Err(error) => Err(error),
                },
            };
            match result {
                Err(Error::StaleIndex { .. }) if patience::is_impatient() => {
                    return Err(Error::WouldWait);
                }
                Err(Error::StaleIndex { path }) => {
                    let fresh = self.shared.view();
                    let view = guard.as_ref().map_or(&fresh, |running| &running.view);
                    self.shared.rebuild(view, &path, &self.interrupt)?;
                    if let Some(running) = &mut *guard {
                        // What is appended only has the same events at the same positions later.
                        running.view = self.shared.view().cut(running.view.end());
                        running.stale = true;
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
        Running::new(&self.spec, view, &self.interrupt)
    }
}

impl Running {
    fn new(spec: &ReadSpec, view: View, interrupt: &Interrupt) -> Result<Self> {
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
            names: None,
            after_name,
            touched: 0,
            handed: 0,
            hits: 0,
            fetch: Fetch::default(),
            recent: None,
            finished: false,
            stale: false,
            failure: None,
            interrupt: interrupt.clone(),
        })
    }

    /// After a part was replaced: plans anew and goes to where the read was. A plan that has returned an
    /// error is never stepped again: it may have consumed what it failed on.
    fn start_over(&mut self, spec: &ReadSpec) -> Result<()> {
        if !self.stale {
            return Ok(());
        }
        let mut again = Self::new(spec, self.view.clone(), &self.interrupt)?;
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

    /// The next event within the limit, its record looked at only if the index could not decide.
    fn next_hit(&mut self) -> Result<Option<Hit>> {
        if self.left == 0 {
            return Ok(None);
        }
        while let Some(hit) = self.next_candidate()? {
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

    fn next_candidate(&mut self) -> Result<Option<Hit>> {
        self.hits += 1;
        if self.hits.is_multiple_of(HITS_PER_LOOK) {
            self.interrupt.check()?;
        }
        self.plan.next(&self.view, &self.interrupt)
    }

    /// Fills a batch; the last one may be empty.
    fn fill(
        &mut self,
        builder: &mut BatchBuilder,
        limit: usize,
        previous_links: bool,
    ) -> Result<()> {
        let mut count = 0;
        let mut recent =
            previous_links.then(|| self.recent.take().unwrap_or_else(RecentLinks::new));
        while builder.length() < limit {
            match self.add_next(builder, recent.as_mut(), limit) {
                Ok(0) => {
                    self.finished = true;
                    break;
                }
                Ok(added) => count += added,
                // What was found before the damage is handed out first.
                Err(error @ Error::Corrupt { .. }) if count > 0 => {
                    self.fetch.clear();
                    self.failure = Some(error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        self.recent = recent;
        self.finished |= self.left == 0;
        self.handed += count;
        Ok(())
    }

    /// Adds the next events within the limits to a batch, and gives how many; 0 at the end.
    fn add_next(
        &mut self,
        builder: &mut BatchBuilder,
        recent: Option<&mut RecentLinks>,
        limit: usize,
    ) -> Result<u64> {
        if self.fetch.is_empty()
            && let Some(error) = self.failure.take()
        {
            return Err(error);
        }
        match self.plan.order() {
            _ if self.left == 0 => Ok(0),
            fetch::Order::AsStored => self.add_stored(builder, recent, limit),
            fetch::Order::Scattered => self.add_scattered(builder, recent),
        }
    }

    fn add_stored(
        &mut self,
        builder: &mut BatchBuilder,
        mut recent: Option<&mut RecentLinks>,
        limit: usize,
    ) -> Result<u64> {
        let Some(hit) = self.next_candidate()? else {
            return Ok(0);
        };
        self.fetch.pack_stored(&self.view, builder, recent.as_deref_mut(), hit)?;
        self.left -= 1;
        let most = self.left.min(self.plan.in_a_row());
        if most == 0 || patience::is_impatient() {
            return Ok(1);
        }
        let following = self.fetch.pack_following(&self.view, builder, recent, most, limit);
        self.plan.skip(following);
        self.left -= following;
        Ok(1 + following)
    }

    fn add_scattered(
        &mut self,
        builder: &mut BatchBuilder,
        mut recent: Option<&mut RecentLinks>,
    ) -> Result<u64> {
        loop {
            if self.fetch.is_empty() {
                if let Some(error) = self.failure.take() {
                    return Err(error);
                }
                self.look_ahead(builder.known(), recent.is_some())?;
            }
            let Some(fetched) = self.fetch.next(&self.view, builder.known())? else {
                return Ok(0);
            };
            if !fetched.check || matches_found(&fetched.found, &self.filters)? {
                let recent = recent.as_deref_mut();
                fetched.pack(&self.view, builder, recent, &Passed::default())?;
                self.left -= 1;
                return Ok(1);
            }
        }
    }

    /// Finds the next candidates and starts fetching their records.
    fn look_ahead(&mut self, known: &Known, previous_links: bool) -> Result<()> {
        self.fetch.clear();
        while self.fetch.has_room(self.left) {
            match self.next_candidate() {
                Ok(Some(hit)) => self.fetch.add(hit),
                Ok(None) => break,
                Err(error @ Error::Corrupt { .. }) if !self.fetch.is_empty() => {
                    self.failure = Some(error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        let damage = self.fetch.start(&self.view, known)?;
        self.failure = damage.or(self.failure.take());
        if previous_links {
            self.fetch.ask_for_previous(&self.view);
        }
        Ok(())
    }

    fn entities(&mut self, prefix: &str) -> Result<Vec<u8>> {
        let most = self.left.min(ENTITIES_PER_BATCH) as usize;
        let mut rows = Vec::new();
        while rows.len() < most
            && let Some(row) = self.next_entity(prefix)?
        {
            rows.push(row);
        }
        self.finished = rows.len() < most;
        self.left -= rows.len() as u64;
        self.finished |= self.left == 0;
        self.after_name = rows.last().map(|(name, _)| name.clone()).or(self.after_name.take());
        Ok(entities::pack(&rows, self.finished))
    }

    fn count_entities(&mut self, prefix: &str) -> Result<u64> {
        let mut count = 0;
        while count < self.left && self.next_entity(prefix)?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    fn next_entity(&mut self, prefix: &str) -> Result<Option<(String, EntityHead)>> {
        let names = match &mut self.names {
            Some(names) => names,
            empty => {
                let after = self.after_name.as_deref();
                empty.insert(Names::new(&self.view, prefix, after, self.left)?)
            }
        };
        names.next(&self.view, &self.interrupt)
    }
}
