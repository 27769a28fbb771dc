//! Long work shows itself: how far it is, and a way to give it up.

use std::cell::Cell;
use std::fmt::Debug;
use std::ops::ControlFlow;

use crate::error::{Error, Result};

/// Bytes between two reports.
const REPORT_BYTES: u64 = 1 << 20;

/// How far opening a store is with reading what no index covers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OpenProgress {
    /// Events indexed.
    pub events: u64,
    /// Bytes of log read.
    pub bytes: u64,
    /// Share of the work that is done, from 0 to 1, as far as it can be told beforehand.
    pub share: f64,
}

/// Told how far opening a store is.
pub trait Progress: Debug {
    /// Called about once a mebibyte, on the thread that opens. `Break` gives the opening up: it fails
    /// with [`Error::Cancelled`], and the log is as it was.
    fn progress(&self, progress: OpenProgress) -> ControlFlow<()>;
}

/// Nobody is told.
#[derive(Debug, Clone, Copy)]
pub struct Unobserved;

impl Progress for Unobserved {
    fn progress(&self, _progress: OpenProgress) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Counts long work and reports it.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    observer: &'a dyn Progress,
    /// Bytes that are expected to be read.
    total: Cell<u64>,
    events: Cell<u64>,
    bytes: Cell<u64>,
    reported: Cell<u64>,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(observer: &'a dyn Progress) -> Self {
        let zero = || Cell::new(0);
        Self { observer, total: zero(), events: zero(), bytes: zero(), reported: zero() }
    }

    /// Work that nobody watches.
    pub(crate) fn nobody() -> Self {
        Self::new(&Unobserved)
    }

    /// Declares how many bytes are to come.
    pub(crate) fn expect(&self, bytes: u64) {
        self.total.set(self.total.get() + bytes);
    }

    /// Counts what was done.
    pub(crate) fn advance(&self, events: u64, bytes: u64) -> Result<()> {
        self.events.set(self.events.get() + events);
        self.bytes.set(self.bytes.get() + bytes);
        if self.bytes.get() - self.reported.get() < REPORT_BYTES {
            return Ok(());
        }
        self.report()
    }

    /// Tells how far the work is, and asks whether to go on.
    pub(crate) fn report(&self) -> Result<()> {
        let (events, bytes) = (self.events.get(), self.bytes.get());
        self.reported.set(bytes);
        let total = self.total.get().max(bytes).max(1);
        let share = bytes as f64 / total as f64;
        match self.observer.progress(OpenProgress { events, bytes, share }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Cancelled),
        }
    }
}
