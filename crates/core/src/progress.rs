//! Long work shows itself: how far it is, and a way to give it up.

use std::cell::Cell;
use std::fmt::Debug;
use std::ops::ControlFlow;

use parking_lot::Mutex;

use crate::error::{Error, Result};

/// Bytes between two reports.
const REPORT_BYTES: u64 = 1 << 20;

/// How far it is with reading the log for an index: on opening, what none covers, and later, that of one which turned
/// out to be damaged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OpenProgress {
    /// Events indexed.
    pub events: u64,
    /// Bytes of log read.
    pub bytes: u64,
    /// Share of the work that is done, from 0 to 1, as far as it can be told beforehand.
    pub share: f64,
}

/// Told how far long work is.
pub trait Progress: Debug {
    /// Called about once a mebibyte, on the thread that works. `Break` gives the work up: it fails with
    /// [`Error::Cancelled`], and the log is as it was.
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

/// How far work is that anybody may look at while somebody does it.
#[derive(Debug, Default)]
pub(crate) struct InSight(Mutex<Option<OpenProgress>>);

impl InSight {
    /// `None` while nobody is at it.
    pub(crate) fn look(&self) -> Option<OpenProgress> {
        *self.0.lock()
    }

    /// Shows the work that is reported to what this gives, until that is dropped; an observer of its own is told
    /// too.
    pub(crate) fn show<'a>(&'a self, observer: &'a dyn Progress) -> Shown<'a> {
        *self.0.lock() = Some(OpenProgress { events: 0, bytes: 0, share: 0.0 });
        Shown { in_sight: self, observer }
    }
}

/// Work that is shown.
#[derive(Debug)]
pub(crate) struct Shown<'a> {
    in_sight: &'a InSight,
    observer: &'a dyn Progress,
}

impl Progress for Shown<'_> {
    fn progress(&self, progress: OpenProgress) -> ControlFlow<()> {
        *self.in_sight.0.lock() = Some(progress);
        self.observer.progress(progress)
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        *self.in_sight.0.lock() = None;
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
