//! Appends on their way to the writer, and outcomes on their way back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, Result};

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

/// Takes outcomes, in log order. Called by the writer thread: must not block.
pub trait OutcomeSink: Send + Sync + std::fmt::Debug {
    /// A group's outcomes: the sequence number that came with the append, and how it ended.
    fn deliver(&self, outcomes: Vec<(u32, Outcome)>);
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

#[derive(Debug, Default)]
struct State {
    work: VecDeque<Work>,
    pending_bytes: u64,
    pending_appends: u64,
    closing: bool,
}

/// The queue before the writer. Bounded: what does not fit is refused, in its place in the order.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    max_bytes: u64,
}

impl Queue {
    pub(crate) fn new(max_bytes: u64) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), max_bytes }
    }

    /// Hands packed appends to the writer.
    pub(crate) fn submit(&self, bytes: Vec<u8>, sink: Arc<dyn OutcomeSink>) -> Result<()> {
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
        state.work.push_back(Work::Append(Submission { bytes, appends, sink }));
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    pub(crate) fn sync(&self) -> Result<Arc<Ticket>> {
        let ticket = Arc::new(Ticket::default());
        let mut state = self.state.lock();
        if state.closing {
            return Err(Error::Closed);
        }
        state.work.push_back(Work::Sync(SyncRequest(Arc::clone(&ticket))));
        drop(state);
        self.changed.notify_one();
        Ok(ticket)
    }

    /// Takes all that waits. Sleeps until there is something, the deadline passes (an empty answer),
    /// or the queue closes (`None`).
    pub(crate) fn take(&self, deadline: Option<Instant>) -> Option<VecDeque<Work>> {
        let mut state = self.state.lock();
        loop {
            if !state.work.is_empty() {
                return Some(std::mem::take(&mut state.work));
            }
            if state.closing {
                return None;
            }
            match deadline {
                None => self.changed.wait(&mut state),
                Some(deadline) => {
                    if self.changed.wait_until(&mut state, deadline).timed_out() {
                        return Some(std::mem::take(&mut state.work));
                    }
                }
            }
        }
    }

    /// Notes that an append has its outcome.
    pub(crate) fn settled(&self, appends: u64, bytes: u64) {
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
        self.state.lock().closing = true;
        self.changed.notify_all();
    }
}
