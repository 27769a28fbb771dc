//! Outcomes on their way, in the order of the appends.

use std::collections::VecDeque;
use std::sync::Arc;

use super::queue::{Outcome, OutcomeSink, Queue, Submission, SyncRequest, Work};
use crate::error::Error;
use crate::shared::Shared;
use crate::submission::Durability;

/// An append whose outcome is not handed over yet.
#[derive(Debug)]
struct Outstanding {
    sink: Arc<dyn OutcomeSink>,
    sequence: u32,
    bytes: u64,
}

/// A sink and the outcomes that are for it.
type SinkShare = (Arc<dyn OutcomeSink>, Vec<(u32, Outcome)>);

/// What is owed for the work that a thread has taken, and what of it is decided.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    outstanding: VecDeque<Outstanding>,
    decided: Vec<Outcome>,
    /// Calls that wait for the sync of what was decided.
    requests: Vec<SyncRequest>,
    /// What was decided has to be synced before it is handed over.
    pub(super) sync: bool,
}

impl Delivery {
    /// Notes who waits for what, before any of it is worked on.
    pub(super) fn owe(&mut self, work: &VecDeque<Work>) {
        for one in work {
            if let Work::Append(submission) = one {
                self.owe_appends(submission);
            }
        }
    }

    pub(super) fn owe_appends(&mut self, submission: &Submission) {
        for (sequence, append) in &submission.appends {
            let bytes = append.as_ref().map_or(0, |range| range.len() as u64);
            let sink = Arc::clone(&submission.sink);
            self.outstanding.push_back(Outstanding { sink, sequence: *sequence, bytes });
        }
    }

    /// The outcome of the next append, once what it rests on is released.
    pub(super) fn decide(&mut self, outcome: Outcome) {
        self.decided.push(outcome);
    }

    pub(super) fn request(&mut self, request: SyncRequest) {
        self.sync = true;
        self.requests.push(request);
    }

    /// Whether what is decided so far has to be synced before it is handed over.
    pub(super) fn is_synced(&self, shared: &Shared) -> bool {
        self.sync || shared.options.durability == Durability::Sync
    }

    /// Hands over what was decided: in order, each sink's together.
    pub(super) fn release(&mut self, queue: &Queue) {
        if self.outstanding.iter().take(self.decided.len()).any(|one| one.sink.answers()) {
            queue.announce(true);
        }
        let mut current: Option<SinkShare> = None;
        let (mut appends, mut bytes) = (0, 0);
        for outcome in self.decided.drain(..) {
            let Some(one) = self.outstanding.pop_front() else {
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
        queue.settled(appends, bytes);
        if let Some((sink, outcomes)) = current {
            sink.deliver(outcomes);
        }
        for request in self.requests.drain(..) {
            request.settle(Ok(()));
        }
        self.sync = false;
    }

    /// Turns everything that was decided into one error.
    pub(super) fn reject_decided(&mut self, error: &Error, queue: &Queue) {
        for outcome in &mut self.decided {
            *outcome = Err(error.clone());
        }
        for request in self.requests.drain(..) {
            request.settle(Err(error.clone()));
        }
        self.release(queue);
    }

    /// Rejects everything that is owed.
    pub(super) fn reject(&mut self, error: &Error, queue: &Queue) {
        self.decided.clear();
        self.decided.resize(self.outstanding.len(), Err(error.clone()));
        self.reject_decided(error, queue);
    }
}
