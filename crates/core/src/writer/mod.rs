//! The writer: gives every append its place, writes and syncs groups of them, and releases their
//! outcomes in log order.
//!
//! Two threads take turns: while one syncs a group, the other builds and writes the next. A caller
//! that waits for its append does the work itself when nobody else is at it. So the state has two
//! locks, always taken in this order: that of the sequencer, which builds groups, and that of the
//! release. Who has built a group takes the second, writes, and gives up the first: so groups are
//! released in the order in which they were built, and what comes during a sync shares the next one.
//!
//! Invariant: an outcome is released only when all that it was judged against is released, and at the
//! durability that its append asked for. After one failed write or sync nothing is acknowledged.

mod announced;
mod delivery;
mod dictionary;
mod group;
mod heads;
mod judge;
mod queue;
mod release;
mod rotate;
mod sequencer;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::error::{Error, Result};
use crate::head::HeadPage;
use crate::keeper::Keeper;
use crate::shared::Shared;

use delivery::Delivery;
use queue::{Duty, Queue, Ticket, Work};
pub use queue::{Outcome, OutcomeSink, Receipt};
pub(crate) use release::{Durable, Reached};
use release::{Held, Release};
use sequencer::Sequencer;
pub(crate) use sequencer::Start;

/// Bytes of submissions that one thread takes at a time: enough for a large group, and the rest can be
/// built by the other one meanwhile.
const TURN_BYTES: usize = 1 << 20;

/// A group that has so many bytes is not kept open for what is announced: writing it takes long enough
/// for that to come together meanwhile.
const OPEN_BELOW_BYTES: u64 = 64 << 10;

/// The writer of a store that is open for writing.
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    keeper: Arc<Keeper>,
    durable: Arc<Durable>,
    sequencer: Mutex<Sequencer>,
    release: Mutex<Release>,
}

impl Writer {
    /// Takes the log up where recovery left off.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        keeper: Arc<Keeper>,
        durable: Arc<Durable>,
        head_page: HeadPage,
        start: Start,
    ) -> Result<Self> {
        let queue = Arc::new(Queue::new(shared.options.max_in_flight_bytes));
        let release = Mutex::new(Release::new(
            Arc::clone(shared),
            Arc::clone(&queue),
            Arc::clone(&keeper),
            Arc::clone(&durable),
            head_page,
            start.reached(),
            start.clean,
        ));
        let (sealed, clean) = (start.sealed, start.clean);
        let mut sequencer = Sequencer::new(
            Arc::clone(shared),
            Arc::clone(&queue),
            Arc::clone(&keeper),
            Arc::clone(&durable),
            start,
        );
        if sealed {
            sequencer.complete_rotation(&mut Held::new(&release))?;
        }
        if !clean {
            release.lock().store_head(false);
        }
        Ok(Self {
            shared: Arc::clone(shared),
            queue,
            keeper,
            durable,
            sequencer: Mutex::new(sequencer),
            release,
        })
    }

    /// Starts the thread beside the writer's own.
    pub(crate) fn start_keeper(&self) -> Result<()> {
        self.keeper.start()
    }

    /// An empty buffer for packed appends.
    pub(crate) fn buffer(&self) -> Vec<u8> {
        self.queue.buffer()
    }

    /// Queues packed appends; `more` announces that others follow at once.
    pub(crate) fn submit(
        &self,
        bytes: Vec<u8>,
        sink: Arc<dyn OutcomeSink>,
        more: bool,
    ) -> Result<()> {
        if bytes.is_empty() {
            self.queue.announce(more);
            return Ok(());
        }
        let submission = self.queue.admit(bytes, sink)?;
        self.queue.push(Work::Append(submission), more)
    }

    /// As `submit`, for a caller that is going to wait: if nobody is at work, the outcome is there when
    /// this returns, without waking another thread.
    pub(crate) fn submit_and_help(&self, bytes: Vec<u8>, sink: Arc<dyn OutcomeSink>) -> Result<()> {
        let submission = self.queue.admit(bytes, sink)?;
        match self.sequencer.try_lock() {
            Some(sequencer) if self.queue.is_empty() => {
                let mut delivery = Delivery::default();
                delivery.owe_appends(&submission);
                self.queue.announce(false);
                self.turn(sequencer, [Work::Append(submission)].into(), &mut delivery);
                Ok(())
            }
            _ => self.queue.push(Work::Append(submission), false),
        }
    }

    /// Queues a request to sync all that was submitted before.
    pub(crate) fn sync(&self) -> Result<Arc<Ticket>> {
        self.queue.sync()
    }

    /// Appends and bytes that wait for their outcome.
    pub(crate) fn pending(&self) -> (u64, u64) {
        self.queue.pending()
    }

    /// Takes no more; what waits is still done.
    pub(crate) fn close(&self) {
        self.queue.close();
    }

    /// Works until the queue closes, on this thread and a second one; then finishes.
    pub(crate) fn run(&self) {
        std::thread::scope(|scope| {
            let second = std::thread::Builder::new().name("tetralog-writer2".into());
            // Without a second thread the first does all the work.
            let _ = second.spawn_scoped(scope, || self.work());
            self.work();
        });
        self.finish();
    }

    /// Leaves the log synced, and the keeper at its end, whatever comes of the first.
    pub(crate) fn finish(&self) {
        self.supervise(|| self.sequencer.lock().finish(&mut self.release.lock()));
        self.supervise(|| self.keeper.stop());
    }

    fn work(&self) {
        while let Some(duty) = self.queue.wait() {
            self.supervise(|| self.attend_to(duty));
        }
    }

    /// Takes a step of the writer. A panic in it poisons the store, so that nothing is acknowledged any
    /// more, and gives `None`; the thread lives on, to reject what comes.
    fn supervise<T>(&self, step: impl FnOnce() -> T) -> Option<T> {
        let done = catch_unwind(AssertUnwindSafe(step));
        if done.is_err() {
            self.shared.poison("the writer stopped unexpectedly");
        }
        done.ok()
    }

    fn attend_to(&self, duty: Duty) {
        match duty {
            Duty::Work => {
                let sequencer = self.sequencer.lock();
                let work = self.queue.pop(TURN_BYTES);
                if !work.is_empty() {
                    let mut delivery = Delivery::default();
                    delivery.owe(&work);
                    self.turn(sequencer, work, &mut delivery);
                }
            }
            Duty::Sync => {
                let _ = self.durable.sync();
                self.release.lock().store_head(false);
            }
        }
    }

    /// Puts into the group what else has come, and what is announced to come at once.
    fn take_along(
        &self,
        sequencer: &mut Sequencer,
        delivery: &mut Delivery,
        release: &mut Held<'_>,
    ) {
        while delivery.is_synced(&self.shared) && sequencer.is_below(OPEN_BELOW_BYTES) {
            self.queue.await_announced();
            let more = self.queue.pop(TURN_BYTES);
            if more.is_empty() {
                break;
            }
            delivery.owe(&more);
            sequencer.sequence(more, delivery, release);
            sequencer.prepare_group();
        }
        let last = self.queue.pop_last(TURN_BYTES);
        delivery.owe(&last);
        sequencer.sequence(last, delivery, release);
    }

    /// Does some work and releases it. A panic poisons the store and rejects what is owed, in its place
    /// in the order.
    fn turn(
        &self,
        mut sequencer: MutexGuard<'_, Sequencer>,
        work: VecDeque<Work>,
        delivery: &mut Delivery,
    ) {
        let mut release = Held::new(&self.release);
        self.queue.attend();
        let written = self.supervise(|| {
            sequencer.start_group();
            sequencer.sequence(work, delivery, &mut release);
            sequencer.prepare_group();
            // Here the sync of the group before may be waited for. What has come meanwhile goes along.
            release.get();
            self.take_along(&mut sequencer, delivery, &mut release);
            sequencer.write_group()
        });
        match &written {
            None => self.queue.leave(),
            // Before anybody else gets the sequencer, and writes behind what may be half there.
            Some(Err(error)) => self.shared.poison(&error.to_string()),
            Some(Ok(_)) => {}
        }
        let release = release.get();
        drop(sequencer);
        let released =
            written.and_then(|written| self.supervise(|| release.release(written, delivery)));
        if released.is_none() {
            let error = self.shared.poisoned().unwrap_or(Error::Closed);
            delivery.reject(&error, &self.queue);
            self.supervise(|| release.store_head(false));
        }
    }
}
