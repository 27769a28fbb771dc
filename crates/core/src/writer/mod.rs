//! The writer: one thread that gives every append its place, writes and syncs groups of them, and
//! releases their outcomes in log order.
//!
//! Invariant: an outcome is released only when all that it was judged against is released, and at the
//! durability that its append asked for. After one failed write or sync nothing is acknowledged.

mod group;
mod heads;
mod queue;
mod rotate;
mod sequence;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::chain::Digester;
use crate::error::{AtPath, Error, Result};
use crate::event::IdMaker;
use crate::frame::RunningHash;
use crate::head::{Head, HeadPage};
use crate::index::{RUN_MAX_BYTES, RUN_MAX_EVENTS, Stretch, Tail};
use crate::keeper::{Job, Keeper};
use crate::limits::{FRAME_MAX_BYTES, UNSYNCED_MAX_BYTES};
use crate::segment::{HEADER_PAGE, Segment};
use crate::shared::Shared;
use crate::submission::{Append, Durability};
use crate::view::View;

use group::{Dictionary, Group};
use heads::Heads;
pub(crate) use queue::Queue;
pub use queue::{Outcome, OutcomeSink, Receipt};
use queue::{Submission, Work};

/// How frames reach the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteMode {
    /// A write call for each group: cheaper where every group is synced.
    Write,
    /// Stores into a mapping: cheaper where syncs are rare.
    Map,
}

/// Where recovery leaves off and the writer goes on.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) active: Arc<Segment>,
    pub(crate) active_size: u64,
    /// End of the last frame.
    pub(crate) offset: u64,
    pub(crate) tail: Arc<Tail>,
    pub(crate) next_position: u64,
    pub(crate) recorded_us: u64,
    pub(crate) store_clock: u64,
    /// Frames of the active segment.
    pub(crate) frames: u64,
    pub(crate) running: RunningHash,
    /// The segment was sealed, but has no successor yet.
    pub(crate) sealed: bool,
}

/// How an append was judged.
enum Verdict {
    /// It has its place in the group.
    Accepted(Receipt),
    /// It is done without being written.
    Settled(Receipt),
    /// The group has to be committed before it can be judged or placed.
    CommitFirst,
    /// It needs a fresh segment with room for a frame of so many bytes.
    NeedsSegment(u64),
}

/// The state of the writer thread.
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    keeper: Arc<Keeper>,
    head_page: HeadPage,
    boot_id: [u8; 16],
    mode: WriteMode,
    active: Arc<Segment>,
    active_size: u64,
    offset: u64,
    durable_upto: u64,
    frames: u64,
    running: RunningHash,
    tail: Arc<Tail>,
    dictionary: Dictionary,
    heads: Heads,
    ids: IdMaker,
    digester: Digester,
    /// Position of the first event of the open group.
    next_position: u64,
    last_recorded_us: u64,
    last_store_clock: u64,
    unsynced_events: u64,
    unsynced_since: Option<Instant>,
    /// Something unsynced was appended with `Interval`.
    interval: bool,
    spare_requested: bool,
}

/// An append whose outcome is not delivered yet.
#[derive(Debug)]
struct Outstanding {
    sink: Arc<dyn OutcomeSink>,
    sequence: u32,
    bytes: u64,
}

/// A sink and the outcomes that are for it.
type SinkShare = (Arc<dyn OutcomeSink>, Vec<(u32, Outcome)>);

/// Outcomes on their way, in the order of the appends.
#[derive(Debug, Default)]
struct Delivery {
    outstanding: VecDeque<Outstanding>,
    decided: Vec<Outcome>,
    /// An append of the group asked for a sync.
    sync: bool,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        queue: Arc<Queue>,
        keeper: Arc<Keeper>,
        head_page: HeadPage,
        start: Start,
    ) -> Self {
        let relaxed = shared.options.durability != Durability::Sync;
        let mapped = relaxed && shared.fs.keeps_allocations(&shared.directory);
        Self {
            boot_id: shared.host.boot_id(),
            mode: if mapped { WriteMode::Map } else { WriteMode::Write },
            head_page,
            queue,
            keeper,
            active: start.active,
            active_size: start.active_size,
            offset: start.offset,
            durable_upto: start.offset,
            frames: start.frames,
            running: start.running,
            tail: start.tail,
            dictionary: Dictionary::default(),
            heads: Heads::default(),
            ids: IdMaker::new(),
            digester: Digester::default(),
            next_position: start.next_position,
            last_recorded_us: start.recorded_us,
            last_store_clock: start.store_clock,
            unsynced_events: 0,
            unsynced_since: None,
            interval: false,
            spare_requested: false,
            shared,
        }
    }

    /// Completes a rotation that was cut short between seal and successor.
    pub(crate) fn complete_rotation(&mut self) -> Result<()> {
        self.active.set_sealed();
        self.succeed(HEADER_PAGE)
    }

    /// Works until the queue closes. A panic poisons the store and rejects all that waits.
    pub(crate) fn run(mut self) {
        let mut delivery = Delivery::default();
        let worked = catch_unwind(AssertUnwindSafe(|| self.work(&mut delivery)));
        if worked.is_err() {
            self.shared.poison("the writer stopped unexpectedly");
            self.reject(&mut delivery);
            self.queue.close();
            while let Some(work) = self.queue.take(None) {
                enlist(&work, &mut delivery);
                self.reject(&mut delivery);
            }
        }
    }

    fn work(&mut self, delivery: &mut Delivery) {
        self.store_head(false);
        while let Some(work) = self.queue.take(self.sync_deadline()) {
            enlist(&work, delivery);
            for one in work {
                match one {
                    Work::Append(submission) => self.appends(&submission, delivery),
                    Work::Sync(ticket) => {
                        let synced = self.sync_now();
                        ticket.settle(synced);
                    }
                }
            }
            if self.sync_deadline().is_some_and(|deadline| deadline <= Instant::now()) {
                let _ = self.sync_now();
            }
        }
        if self.sync_now().is_ok() {
            self.store_head(true);
            let _ = self.head_page.sync();
            // Opening allocates it again; what comes next stays filled with zeros.
            let unused = (self.offset + UNSYNCED_MAX_BYTES).min(self.active_size);
            let _ = self.active.file().release(unused..self.active_size);
        }
    }

    /// Judges the appends of a submission and commits them in groups.
    fn appends(&mut self, submission: &Submission, delivery: &mut Delivery) {
        let mut group = self.open_group();
        for (_, append) in &submission.appends {
            let outcome = match append {
                Ok(range) => {
                    let bytes = submission.bytes.get(range.clone()).unwrap_or_default();
                    self.append(bytes, &mut group, delivery)
                }
                Err(error) => Err(error.clone()),
            };
            delivery.decided.push(outcome);
        }
        self.commit(&mut group, delivery);
    }

    fn append(&mut self, bytes: &[u8], group: &mut Group, delivery: &mut Delivery) -> Outcome {
        let append = Append::decode(bytes, self.shared.options.max_payload_bytes)?;
        loop {
            if let Some(error) = self.shared.poisoned() {
                return Err(error);
            }
            let verdict = match self.judge(&append, group) {
                Err(Error::StaleIndex { path }) => {
                    let view = View::new(self.shared.layout(), u64::MAX, false);
                    self.shared.rebuild(&view, &path)?;
                    continue;
                }
                other => other.map_err(|error| self.shared.noting(error))?,
            };
            match verdict {
                Verdict::Accepted(receipt) | Verdict::Settled(receipt) => {
                    delivery.sync |= append.durability == Some(Durability::Sync);
                    self.interval |= append.durability == Some(Durability::Interval);
                    return Ok(receipt);
                }
                Verdict::CommitFirst => self.commit(group, delivery),
                Verdict::NeedsSegment(bound) => {
                    if bound > FRAME_MAX_BYTES {
                        let (limit, actual) = (FRAME_MAX_BYTES, bound);
                        return Err(Error::LimitExceeded {
                            argument: "events".into(),
                            unit: "bytes",
                            limit,
                            actual,
                        });
                    }
                    self.rotate(bound)?;
                    *group = self.open_group();
                }
            }
        }
    }

    fn open_group(&mut self) -> Group {
        self.heads.trim();
        self.dictionary.trim();
        let now = self.shared.host.unix_ns() / 1000;
        self.last_recorded_us = self.last_recorded_us.max(now);
        Group::new(self.offset, self.next_position, self.last_recorded_us)
    }

    /// Writes the group, syncs if that is asked for, publishes it, and releases the outcomes.
    fn commit(&mut self, group: &mut Group, delivery: &mut Delivery) {
        let sync = delivery.sync || self.shared.options.durability == Durability::Sync;
        let mut written = match self.shared.poisoned() {
            Some(error) => Err(error),
            None => self.write(group),
        };
        if written.is_ok() && sync && self.unsynced_bytes() > 0 {
            written = self.sync();
        }
        match written {
            Ok(()) => {
                self.publish();
                self.deliver(delivery);
                self.after_commit();
            }
            Err(error) => {
                self.shared.poison(&error.to_string());
                self.store_head(false);
                self.reject_decided(delivery);
            }
        }
        delivery.sync = false;
        *group = self.open_group();
    }

    fn write(&mut self, group: &mut Group) -> Result<()> {
        if group.is_empty() {
            return Ok(());
        }
        if self.unsynced_bytes() > 0 && self.unsynced_bytes() + group.length() > UNSYNCED_MAX_BYTES
        {
            self.sync()?;
        }
        let heads = &mut self.heads;
        let finished = group.finish(&self.active.checksum, self.durable_upto, |slot, digest| {
            heads.get_mut(slot).map_or(*digest, |head| {
                head.link = crate::chain::link(&head.link, digest);
                head.link
            })
        });
        self.put(&finished.bytes)?;
        let first = (group.base - self.tail.base()) as u32;
        self.tail.place(first, finished.record_offsets.into_iter());
        self.count_frame(&finished.bytes);
        self.next_position += group.count();
        self.unsynced_events += group.count();
        self.unsynced_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Writes a whole frame at the end of the active segment.
    fn put(&mut self, frame: &[u8]) -> Result<()> {
        let file = self.active.file();
        match self.mode {
            WriteMode::Write => file.write_at(frame, self.offset),
            WriteMode::Map => file.store(frame, self.offset),
        }
        .at(&self.active.path)?;
        self.offset += frame.len() as u64;
        self.active.advance(self.offset);
        Ok(())
    }

    fn count_frame(&mut self, frame: &[u8]) {
        let header = frame.first_chunk().copied().unwrap_or([0; crate::frame::HEADER_LEN]);
        let crc = frame.last_chunk().map_or(0, |crc| u32::from_le_bytes(*crc));
        self.running.add((header, crc));
        self.frames += 1;
        self.tail.cover(self.offset, crc);
    }

    fn unsynced_bytes(&self) -> u64 {
        self.offset - self.durable_upto
    }

    fn sync(&mut self) -> Result<()> {
        self.active.file().sync().at(&self.active.path)?;
        self.durable_upto = self.offset;
        self.unsynced_events = 0;
        self.unsynced_since = None;
        self.interval = false;
        self.shared.set_synced(self.next_position);
        Ok(())
    }

    /// Syncs what is written, outside of a group.
    fn sync_now(&mut self) -> Result<()> {
        if let Some(error) = self.shared.poisoned() {
            return Err(error);
        }
        if self.unsynced_bytes() == 0 {
            return Ok(());
        }
        let synced = self.sync().map_err(|error| {
            self.shared.poison(&error.to_string());
            self.shared.poisoned().unwrap_or(error)
        });
        self.store_head(false);
        synced
    }

    fn publish(&mut self) {
        self.store_head(false);
        self.shared.publish(self.next_position);
    }

    /// Says in HEAD how far the log is. A HEAD that cannot be stored only delays other processes.
    fn store_head(&self, clean: bool) {
        let poisoned = self.shared.poisoned().is_some();
        let _ = self.head_page.store(&Head {
            store_id: self.shared.store_id,
            boot_id: self.boot_id,
            segment: self.active.header.number,
            offset: if poisoned { self.durable_upto } else { self.offset },
            next_position: if poisoned { self.shared.synced() } else { self.next_position },
            durable_upto: self.durable_upto,
            manifest_generation: self.keeper.manifest_generation(),
            clean,
            poisoned,
        });
    }

    /// When what is written must be synced at the latest.
    fn sync_deadline(&self) -> Option<Instant> {
        let interval = self.interval || self.shared.options.durability == Durability::Interval;
        let since = self.unsynced_since.filter(|_| interval && self.shared.poisoned().is_none())?;
        if self.unsynced_events >= self.shared.options.fsync_event_count {
            return Some(since);
        }
        Some(since + Duration::from_millis(self.shared.options.fsync_interval_ms))
    }

    /// Chores that must not delay an acknowledgement: timers, runs, the next segment.
    fn after_commit(&mut self) {
        if self.sync_deadline().is_some_and(|deadline| deadline <= Instant::now()) {
            let _ = self.sync_now();
        }
        let covered = self.offset - self.tail.extent().start;
        if self.tail.count() >= RUN_MAX_EVENTS || covered >= RUN_MAX_BYTES && self.tail.count() > 0
        {
            self.start_run();
        }
        if !self.spare_requested && self.offset > self.active_size / 2 {
            self.spare_requested = true;
            self.keeper
                .ask(Job::Spare { number: self.active.header.number + 1, size: self.next_size() });
        }
    }

    /// Hands the tail to the keeper, to become a run, and goes on with an empty one.
    fn start_run(&mut self) {
        let tail = Arc::new(Tail::new(&self.active, self.next_position, self.offset));
        let full = std::mem::replace(&mut self.tail, Arc::clone(&tail));
        let part = crate::index::Part::Tail(tail);
        self.shared.change_layout(|layout| layout.parts.push(part));
        self.keeper.ask(Job::Run { tail: full, stretch: self.stretch() });
        self.keeper.wait_for_backlog();
    }

    fn stretch(&self) -> Stretch {
        Stretch { recorded_us: self.last_recorded_us, frames: self.frames, running: self.running }
    }

    /// Hands the decided outcomes to their sinks, in order, each sink's together.
    fn deliver(&self, delivery: &mut Delivery) {
        let mut current: Option<SinkShare> = None;
        let (mut appends, mut bytes) = (0, 0);
        for outcome in delivery.decided.drain(..) {
            let Some(one) = delivery.outstanding.pop_front() else {
                break;
            };
            appends += 1;
            bytes += one.bytes;
            match &mut current {
                Some((sink, outcomes)) if Arc::ptr_eq(sink, &one.sink) => {
                    outcomes.push((one.sequence, outcome));
                }
                _ => {
                    if let Some((sink, outcomes)) = current.take() {
                        sink.deliver(outcomes);
                    }
                    current = Some((one.sink, vec![(one.sequence, outcome)]));
                }
            }
        }
        self.queue.settled(appends, bytes);
        if let Some((sink, outcomes)) = current {
            sink.deliver(outcomes);
        }
    }

    /// Turns every decided outcome into the error of a poisoned store.
    fn reject_decided(&self, delivery: &mut Delivery) {
        let error = self.shared.poisoned().unwrap_or(Error::Closed);
        for outcome in &mut delivery.decided {
            *outcome = Err(error.clone());
        }
        self.deliver(delivery);
    }

    /// Rejects everything that has no outcome yet.
    fn reject(&self, delivery: &mut Delivery) {
        delivery.decided.clear();
        let error = self.shared.poisoned().unwrap_or(Error::Closed);
        delivery.decided.resize(delivery.outstanding.len(), Err(error));
        self.deliver(delivery);
    }
}

/// Notes who waits for what, before any of it is worked on.
fn enlist(work: &VecDeque<Work>, delivery: &mut Delivery) {
    for one in work {
        let Work::Append(submission) = one else {
            continue;
        };
        for (sequence, append) in &submission.appends {
            let bytes = append.as_ref().map_or(0, |range| range.len() as u64);
            let sink = Arc::clone(&submission.sink);
            delivery.outstanding.push_back(Outstanding { sink, sequence: *sequence, bytes });
        }
    }
}
