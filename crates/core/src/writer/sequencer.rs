//! The sequencer: judges appends, gives them their places in the log, and writes them in groups.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::delivery::Delivery;
use super::dictionary::Dictionary;
use super::group::Group;
use super::heads::Heads;
use super::queue::{Outcome, Queue, Receipt, Submission, Work};
use super::release::{Durable, Held, Reached, Release};
use crate::chain::Lanes;
use crate::error::{AtPath, Error, Result};
use crate::event::IdMaker;
use crate::frame::RunningHash;
use crate::index::{Part, RUN_MAX_BYTES, RUN_MAX_EVENTS, Stretch, Tail};
use crate::keeper::{Job, Keeper};
use crate::limits::{FRAME_MAX_BYTES, UNSYNCED_MAX_BYTES};
use crate::progress::Unobserved;
use crate::segment::{HEADER_PAGE, Segment};
use crate::shared::Shared;
use crate::submission::{Append, Durability};
use crate::view::View;

/// A larger frame is written by a call, whatever the mode: touching its pages one by one costs more.
const STORED_MAX_BYTES: usize = 16 << 10;

/// Where frames are larger on average, writing them into zeros saves less than writing the zeros costs.
const ZEROS_BELOW_BYTES: u64 = 64 << 10;
/// A tail of so many events becomes a run when the store is closed: reading fewer again costs the next
/// opening a fifth of a millisecond.
const CLOSING_RUN_EVENTS: u32 = 256;

/// What a closed store keeps ahead of its log: enough for the first appends after it is opened again.
const KEPT_ZEROS: u64 = 256 << 10;

/// How frames reach the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteMode {
    /// A write call for each group: cheaper where every group is synced.
    Write,
    /// Stores into a mapping: cheaper where syncs are rare and groups are small.
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
    /// HEAD says that the store was closed in order.
    pub(crate) clean: bool,
}

impl Start {
    /// How far the log is.
    pub(crate) fn reached(&self) -> Reached {
        let segment = Arc::clone(&self.active);
        Reached { segment, offset: self.offset, next_position: self.next_position }
    }

    /// Whether there is something to do before anything is appended.
    pub(crate) fn is_unsettled(&self) -> bool {
        !self.clean || self.tail.count() >= CLOSING_RUN_EVENTS
    }
}

/// How an append was judged.
pub(super) enum Verdict {
    /// It has its place in the group.
    Accepted(Receipt),
    /// It is done without being written.
    Settled(Receipt),
    /// The group has to be committed before it can be judged or placed.
    CommitFirst,
    /// It needs a fresh segment with room for a frame of so many bytes.
    NeedsSegment(u64),
}

/// What became of the log in this store's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Opened only.
    Opened,
    /// Ready to be written to, which opening leaves to the first append.
    Begun,
    /// Left as it stays: who was admitted before the store was closed may come too late.
    Finished,
}

/// Gives appends their places. One thread at a time has it.
#[derive(Debug)]
pub(super) struct Sequencer {
    pub(super) shared: Arc<Shared>,
    queue: Arc<Queue>,
    pub(super) keeper: Arc<Keeper>,
    pub(super) durable: Arc<Durable>,
    mode: WriteMode,
    pub(super) active: Arc<Segment>,
    pub(super) active_size: u64,
    pub(super) offset: u64,
    pub(super) frames: u64,
    pub(super) running: RunningHash,
    pub(super) tail: Arc<Tail>,
    /// The group under construction.
    pub(super) group: Group,
    pub(super) dictionary: Dictionary,
    pub(super) heads: Heads,
    pub(super) ids: IdMaker,
    lanes: Lanes,
    /// Position of the first event of the open group.
    pub(super) next_position: u64,
    pub(super) last_recorded_us: u64,
    pub(super) last_store_clock: u64,
    stage: Stage,
    /// Something was appended with `Interval` in a store that asks for less.
    interval: bool,
    pub(super) spare_requested: bool,
}

impl Sequencer {
    pub(super) fn new(
        shared: Arc<Shared>,
        queue: Arc<Queue>,
        keeper: Arc<Keeper>,
        durable: Arc<Durable>,
        start: Start,
    ) -> Self {
        let relaxed = shared.options.durability != Durability::Sync;
        let mapped = relaxed && shared.fs.keeps_allocations(&shared.directory);
        Self {
            mode: if mapped { WriteMode::Map } else { WriteMode::Write },
            queue,
            keeper,
            durable,
            active: start.active,
            active_size: start.active_size,
            offset: start.offset,
            frames: start.frames,
            running: start.running,
            tail: start.tail,
            group: Group::default(),
            dictionary: Dictionary::default(),
            heads: Heads::default(),
            ids: IdMaker::new(),
            lanes: Lanes::default(),
            next_position: start.next_position,
            last_recorded_us: start.recorded_us,
            last_store_clock: start.store_clock,
            stage: Stage::Opened,
            interval: false,
            spare_requested: false,
            shared,
        }
    }

    /// Completes a rotation that was cut short between seal and successor.
    pub(super) fn complete_rotation(&mut self, release: &mut Held<'_>) -> Result<()> {
        self.active.set_sealed();
        self.succeed(HEADER_PAGE, release)
    }

    /// Judges the appends of some work and puts them into the group. What does not fit into one group is
    /// written and released; the last one is left open.
    pub(super) fn sequence(
        &mut self,
        work: VecDeque<Work>,
        delivery: &mut Delivery,
        release: &mut Held<'_>,
    ) {
        for one in work {
            match one {
                Work::Append(submission) => {
                    self.appends(&submission, delivery, release);
                    self.queue.give_back(submission.bytes);
                }
                Work::Sync(request) => delivery.request(request),
            }
        }
    }

    fn appends(
        &mut self,
        submission: &Submission,
        delivery: &mut Delivery,
        release: &mut Held<'_>,
    ) {
        for (_, append) in &submission.appends {
            let outcome = match append {
                Ok(range) => {
                    let bytes = submission.bytes.get(range.clone()).unwrap_or_default();
                    self.append(bytes, delivery, release)
                }
                Err(error) => Err(error.clone()),
            };
            delivery.decide(outcome);
        }
    }

    fn append(&mut self, bytes: &[u8], delivery: &mut Delivery, release: &mut Held<'_>) -> Outcome {
        let append = Append::decode(bytes, self.shared.options.max_payload_bytes)?;
        loop {
            if let Some(error) = self.shared.poisoned() {
                return Err(error);
            }
            if self.stage == Stage::Finished {
                return Err(Error::Closed);
            }
            self.begin(release)?;
            let verdict = match self.judge(&append) {
                Err(Error::StaleIndex { path }) => {
                    let view = View::new(self.shared.layout(), u64::MAX, false);
                    self.shared.rebuild(&view, &path, &Unobserved)?;
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
                Verdict::CommitFirst => self.commit(delivery, release),
                Verdict::NeedsSegment(bound) if bound > FRAME_MAX_BYTES => {
                    return Err(Error::LimitExceeded {
                        argument: "events".into(),
                        unit: "bytes",
                        limit: FRAME_MAX_BYTES,
                        actual: bound,
                    });
                }
                Verdict::NeedsSegment(bound) => {
                    self.rotate(bound, release)?;
                    self.start_group();
                }
            }
        }
    }

    /// Writes and releases the group in the middle of the work.
    fn commit(&mut self, delivery: &mut Delivery, release: &mut Held<'_>) {
        let release = release.get();
        let written = self.write_group();
        release.release(written, delivery);
        self.start_group();
    }

    /// Makes the log ready to be written to. Closing gave the segment's unused end back; where it is not
    /// to be had again, a full disk is met when the next segment is asked for, not in the middle of a
    /// write.
    fn begin(&mut self, release: &mut Held<'_>) -> Result<()> {
        if self.stage == Stage::Begun {
            return Ok(());
        }
        release.get().begin()?;
        if self.active.file()?.allocate(self.active_size).is_err() {
            self.active_size = self.offset;
        }
        self.stage = Stage::Begun;
        Ok(())
    }

    pub(super) fn start_group(&mut self) {
        self.heads.trim();
        self.dictionary.trim();
        let now = self.shared.host.unix_ns() / 1000;
        self.last_recorded_us = self.last_recorded_us.max(now);
        self.group.start(self.offset, self.next_position, self.last_recorded_us);
    }

    /// Whether the open group is smaller than that.
    pub(super) fn is_below(&self, bytes: u64) -> bool {
        self.group.length() < bytes
    }

    /// Does what is long about writing the group, and can be done before it is its turn to be written.
    pub(super) fn prepare_group(&mut self) {
        self.group.link(&self.lanes, &mut self.heads);
        self.index_group();
    }

    /// Writes the group; returns how far the log is then.
    pub(super) fn write_group(&mut self) -> Result<Reached> {
        if let Some(error) = self.shared.poisoned() {
            return Err(error);
        }
        if !self.group.is_empty() {
            let unsynced = self.unsynced_bytes();
            if unsynced > 0 && unsynced + self.group.length() > UNSYNCED_MAX_BYTES {
                self.durable.sync()?;
            }
            self.prepare_group();
            let durable_upto = self.durable.synced_upto(&self.active);
            self.group.finish(&self.active.checksum, durable_upto);
            let group = std::mem::take(&mut self.group);
            let put = self.put(group.frame());
            self.group = group;
            put?;
            let first = (self.group.base - self.tail.base()) as u32;
            self.tail.place(first, self.group.record_offsets());
            self.count_frame();
            self.next_position += self.group.count();
            self.durable.set_written(self.reached());
            self.after_write();
        }
        Ok(self.reached())
    }

    /// How far the log is.
    pub(super) fn reached(&self) -> Reached {
        let segment = Arc::clone(&self.active);
        Reached { segment, offset: self.offset, next_position: self.next_position }
    }

    /// Writes a whole frame at the end of the active segment.
    pub(super) fn put(&mut self, frame: &[u8]) -> Result<()> {
        let file = self.active.file()?;
        match self.mode {
            WriteMode::Map if frame.len() <= STORED_MAX_BYTES => file.store(frame, self.offset),
            _ => file.write_at(frame, self.offset),
        }
        .at(&self.active.path)?;
        self.offset += frame.len() as u64;
        self.active.advance(self.offset);
        Ok(())
    }

    fn count_frame(&mut self) {
        let frame = self.group.frame();
        let header = frame.first_chunk().copied().unwrap_or([0; crate::frame::HEADER_LEN]);
        let crc = frame.last_chunk().map_or(0, |crc| u32::from_le_bytes(*crc));
        self.running.add((header, crc));
        self.frames += 1;
        self.tail.cover(self.offset, crc);
    }

    fn unsynced_bytes(&self) -> u64 {
        self.offset - self.durable.synced_upto(&self.active)
    }

    /// Chores: the next sync, the next run, the next segment.
    fn after_write(&mut self) {
        self.ask_for_sync();
        let covered = self.offset - self.tail.extent().start;
        if self.tail.count() >= RUN_MAX_EVENTS || covered >= RUN_MAX_BYTES && self.tail.count() > 0
        {
            self.start_run();
        }
        if !self.spare_requested && self.offset > self.active_size / 2 {
            self.spare_requested = true;
            self.keeper.ask(Job::Spare {
                number: self.active.header.number + 1,
                size: self.next_size(),
                zeros: self.mode == WriteMode::Write
                    && self.offset / self.frames.max(1) < ZEROS_BELOW_BYTES,
            });
        }
    }

    /// What is not synced by the group itself is synced beside the building of later ones.
    fn ask_for_sync(&mut self) {
        let options = &self.shared.options;
        if options.durability == Durability::Sync {
            return;
        }
        let interval =
            std::mem::take(&mut self.interval) || options.durability == Durability::Interval;
        let events = self.next_position.saturating_sub(self.shared.synced());
        if self.unsynced_bytes() >= UNSYNCED_MAX_BYTES / 2
            || interval && events >= options.fsync_event_count
        {
            self.queue.sync_by(Instant::now());
        } else if interval {
            let within = Duration::from_millis(options.fsync_interval_ms);
            self.queue.sync_by(Instant::now() + within);
        }
    }

    /// Hands the tail to the keeper, to become a run, and goes on with an empty one.
    fn start_run(&mut self) {
        let tail = Arc::new(Tail::new(&self.active, self.next_position, self.offset));
        let full = std::mem::replace(&mut self.tail, Arc::clone(&tail));
        self.shared.change_layout(|layout| layout.parts.push(Part::Tail(tail)));
        self.keeper.ask(Job::Run { tail: full, stretch: self.stretch(), end: self.reached() });
        self.keeper.wait_for_backlog();
    }

    pub(super) fn stretch(&self) -> Stretch {
        Stretch { recorded_us: self.last_recorded_us, frames: self.frames, running: self.running }
    }

    /// Leaves the log synced, and says so in HEAD, and the next opening little to read again.
    pub(super) fn finish(&mut self, release: &mut Release) {
        let begun = std::mem::replace(&mut self.stage, Stage::Finished) == Stage::Begun;
        if self.durable.sync().is_err() {
            release.store_head(false);
            return;
        }
        if begun || !release.is_clean() {
            release.close();
        }
        if self.tail.count() >= CLOSING_RUN_EVENTS {
            self.start_run();
        }
        if begun {
            // The next append allocates it again; what comes next stays filled with zeros.
            let unused = (self.offset + KEPT_ZEROS).min(self.active_size);
            let _ = self.active.file().map(|file| file.release(unused..self.active_size));
        }
    }
}
