//! Appends on their way to the writer, and outcomes on their way back.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::announced::Announced;
use crate::error::{Error, Result};

/// Waking a sleeping thread takes tens of microseconds, and after an outcome the next append often
/// comes sooner than that: so one thread looks for it so long before it sleeps.
const SPIN: Duration = Duration::from_micros(100);
/// As long as the next append is announced: many callers take longer to make theirs.
const ANNOUNCED_SPIN: Duration = Duration::from_micros(300);

/// Memory kept for the bytes of coming submissions: fresh memory costs more than the copy into it.
const KEPT_BUFFERS: usize = 16;
const KEPT_BYTES: usize = 9 << 20;

/// Looking without sleeping makes sense only where others can work meanwhile. Asked once: the answer is
/// read from several files.
static SEVERAL_CORES: LazyLock<bool> =
    LazyLock::new(|| std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1));

/// What an append that was accepted got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Positions of the first and the last event; `None` for an empty append.
    pub positions: Option<(u64, u64)>,
    /// Versions of the first and the last event, each in its own entity.
    pub versions: Option<(u64, u64)>,
    /// Events.
    pub count: u32,
    /// Nothing was written: an earlier append had the same ids.
    pub duplicate: bool,
    /// The version of every event, if they are of several entities.
    pub each_version: Vec<u64>,
}

/// How an append ended.
pub type Outcome = Result<Receipt>;

/// Takes outcomes, in log order. Called by a thread that has the writer's work to do: must not block.
pub trait OutcomeSink: Send + Sync + std::fmt::Debug {
    /// A group's outcomes: the sequence number that came with the append, and how it ended.
    fn deliver(&self, outcomes: Vec<(u32, Outcome)>);

    /// Whether each delivery is answered by a submission, of nothing if there is nothing to append: then a
    /// group that is to be synced waits a moment for it.
    fn answers(&self) -> bool {
        false
    }
}

/// Packed appends and who wants to know.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) bytes: Vec<u8>,
    /// Sequence number and bytes of each append, or why it was refused at the door.
    pub(crate) appends: Vec<(u32, std::result::Result<std::ops::Range<usize>, Error>)>,
    pub(crate) sink: Arc<dyn OutcomeSink>,
}

/// What the writer is asked to do.
#[derive(Debug)]
pub(crate) enum Work {
    Append(Submission),
    /// Sync all that was submitted before.
    Sync(SyncRequest),
}

/// A request to sync. If it is dropped without an answer, because the writer is gone, the caller is
/// told so.
#[derive(Debug)]
pub(crate) struct SyncRequest(Arc<Ticket>);

impl SyncRequest {
    pub(crate) fn settle(&self, result: Result<()>) {
        self.0.settle(result);
    }
}

impl Drop for SyncRequest {
    fn drop(&mut self) {
        if !self.0.is_settled() {
            let reason = "the writer stopped unexpectedly".to_owned();
            self.0.settle(Err(Error::Poisoned { reason }));
        }
    }
}

/// A call that waits for the writer.
#[derive(Debug, Default)]
pub(crate) struct Ticket {
    done: Mutex<Option<Result<()>>>,
    changed: Condvar,
}

impl Ticket {
    fn settle(&self, result: Result<()>) {
        *self.done.lock() = Some(result);
        self.changed.notify_all();
    }

    fn is_settled(&self) -> bool {
        self.done.lock().is_some()
    }

    pub(crate) fn wait(&self) -> Result<()> {
        let mut done = self.done.lock();
        loop {
            match &*done {
                Some(result) => return result.clone(),
                None => self.changed.wait(&mut done),
            }
        }
    }
}

/// Why a thread of the writer was woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    /// Work was queued.
    Work,
    /// What is written has to be synced now.
    Sync,
}

#[derive(Debug, Default)]
struct State {
    work: VecDeque<Work>,
    pending_bytes: u64,
    pending_appends: u64,
    /// When what is written has to be synced at the latest.
    sync_at: Option<Instant>,
    closing: bool,
}

/// The queue before the writer. Bounded: what does not fit is refused, in its place in the order.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    buffers: Mutex<Vec<Vec<u8>>>,
    max_bytes: u64,
    announced: Announced,
    /// Somebody looks for work without sleeping, and need not be woken.
    spinning: AtomicBool,
    /// Somebody builds a group and will look here again before it is closed: nobody else need look for
    /// work, or be woken.
    attended: AtomicBool,
    /// There is work, or the queue closes.
    ready: AtomicBool,
}

impl Queue {
    pub(crate) fn new(max_bytes: u64) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            buffers: Mutex::default(),
            max_bytes,
            announced: Announced::default(),
            spinning: AtomicBool::new(false),
            attended: AtomicBool::new(false),
            ready: AtomicBool::new(false),
        }
    }

    /// An empty buffer for a submission.
    pub(super) fn buffer(&self) -> Vec<u8> {
        self.buffers.lock().pop().unwrap_or_default()
    }

    /// Takes a submission's buffer back.
    pub(super) fn give_back(&self, mut buffer: Vec<u8>) {
        let mut buffers = self.buffers.lock();
        let kept: usize = buffers.iter().map(Vec::capacity).sum();
        if buffers.len() < KEPT_BUFFERS && kept + buffer.capacity() <= KEPT_BYTES {
            buffer.clear();
            buffers.push(buffer);
        }
    }

    /// Takes packed appends at the door: counts them, and refuses what is too much.
    pub(crate) fn admit(&self, bytes: Vec<u8>, sink: Arc<dyn OutcomeSink>) -> Result<Submission> {
        let parts = crate::submission::split(&bytes)
            .ok_or_else(|| Error::invalid("submission", "is malformed"))?;
        let mut state = self.state.lock();
        if state.closing {
            return Err(Error::Closed);
        }
        let mut appends = Vec::with_capacity(parts.len());
        for (sequence, range) in parts {
            let length = range.len() as u64;
            // One append is always taken, however large: the limits of an append are for the writer.
            if state.pending_bytes > 0 && state.pending_bytes + length > self.max_bytes {
                let pending_bytes = state.pending_bytes;
                appends.push((sequence, Err(Error::Overloaded { pending_bytes })));
            } else {
                state.pending_bytes += length;
                appends.push((sequence, Ok(range)));
            }
            state.pending_appends += 1;
        }
        Ok(Submission { bytes, appends, sink })
    }

    /// Queues work; `more` announces that other work follows at once.
    pub(crate) fn push(&self, work: Work, more: bool) -> Result<()> {
        let mut state = self.state.lock();
        if state.closing {
            return Err(Error::Closed);
        }
        state.work.push_back(work);
        self.announced.set(more);
        self.ready.store(true, Ordering::Release);
        drop(state);
        if !self.spinning.load(Ordering::Acquire) && !self.attended.load(Ordering::Acquire) {
            self.changed.notify_one();
        }
        Ok(())
    }

    pub(crate) fn sync(&self) -> Result<Arc<Ticket>> {
        let ticket = Arc::new(Ticket::default());
        self.push(Work::Sync(SyncRequest(Arc::clone(&ticket))), false)?;
        Ok(ticket)
    }

    /// Waits for something to do; `None` when the queue closes and has nothing left. A sync that is due goes
    /// before work, of which there may always be more.
    pub(super) fn wait(&self) -> Option<Duty> {
        self.spin();
        let mut state = self.state.lock();
        loop {
            if state.sync_at.is_some_and(|due| due <= Instant::now()) {
                state.sync_at = None;
                return Some(Duty::Sync);
            }
            if !state.work.is_empty() {
                return Some(Duty::Work);
            }
            if state.closing {
                return None;
            }
            match state.sync_at {
                None => self.changed.wait(&mut state),
                Some(due) => drop(self.changed.wait_until(&mut state, due)),
            }
        }
    }

    /// Says whether more work follows at once.
    pub(super) fn announce(&self, more: bool) {
        self.announced.set(more);
    }

    /// Waits a moment for work that is announced. What has come then is for `pop`.
    pub(super) fn await_announced(&self) {
        let is_ready = || self.ready.load(Ordering::Acquire);
        if *SEVERAL_CORES && !is_ready() && self.announced.is_credible() {
            self.announced.wait(is_ready);
        }
    }

    fn spin(&self) {
        if !*SEVERAL_CORES || self.spinning.swap(true, Ordering::AcqRel) {
            return;
        }
        let start = Instant::now();
        let is_over = || {
            let longest = if self.announced.is_set() { ANNOUNCED_SPIN } else { SPIN };
            self.ready.load(Ordering::Acquire)
                || self.attended.load(Ordering::Acquire)
                || start.elapsed() >= longest
        };
        while !is_over() {
            std::thread::yield_now();
        }
        // Work that comes from here on wakes somebody; what came before is seen under the lock.
        self.spinning.store(false, Ordering::Release);
    }

    /// Says that this thread is going to pop until `pop_last`.
    pub(super) fn attend(&self) {
        self.attended.store(true, Ordering::Release);
    }

    /// This thread pops no more; what has come is for another one.
    pub(super) fn leave(&self) {
        self.attended.store(false, Ordering::Release);
        if !self.is_empty() {
            self.changed.notify_one();
        }
    }

    /// As `pop`, for the last time: what is left, and what comes from here on, is for another thread.
    pub(super) fn pop_last(&self, most_bytes: usize) -> VecDeque<Work> {
        // As in `spin`: what came before this is seen under the lock.
        self.attended.store(false, Ordering::Release);
        let taken = self.pop(most_bytes);
        if self.ready.load(Ordering::Acquire) {
            self.changed.notify_one();
        }
        taken
    }

    /// Takes work in order, up to about so many bytes.
    pub(super) fn pop(&self, most_bytes: usize) -> VecDeque<Work> {
        let mut state = self.state.lock();
        let mut taken = VecDeque::new();
        let mut bytes = 0;
        while bytes < most_bytes
            && let Some(work) = state.work.pop_front()
        {
            if let Work::Append(submission) = &work {
                bytes += submission.bytes.len();
            }
            taken.push_back(work);
        }
        if state.work.is_empty() {
            self.ready.store(state.closing, Ordering::Release);
        }
        taken
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().work.is_empty()
    }

    /// Has somebody sync what is written, at the latest then.
    pub(super) fn sync_by(&self, due: Instant) {
        let mut state = self.state.lock();
        if state.sync_at.is_none_or(|at| due < at) {
            state.sync_at = Some(due);
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Notes that an append has its outcome.
    pub(super) fn settled(&self, appends: u64, bytes: u64) {
        let mut state = self.state.lock();
        state.pending_appends = state.pending_appends.saturating_sub(appends);
        state.pending_bytes = state.pending_bytes.saturating_sub(bytes);
    }

    /// Appends and bytes that wait for their outcome.
    pub(crate) fn pending(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.pending_appends, state.pending_bytes)
    }

    /// Takes no more; what waits is still done.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closing = true;
        self.ready.store(true, Ordering::Release);
        drop(state);
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_that_is_due_does_not_wait_for_the_queue_to_be_empty() {
        let queue = Queue::new(1 << 20);
        let ticket = queue.sync().unwrap();
        queue.sync_by(Instant::now());
        assert!(matches!(queue.wait(), Some(Duty::Sync)));
        assert!(matches!(queue.wait(), Some(Duty::Work)), "each that is due is done once");
        queue.close();
        drop(ticket);
    }
}
