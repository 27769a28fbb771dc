//! A store over many processes and openings: what was handed over, and what was promised.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use tetralog_core::fs::DiskFs;
use tetralog_core::{BatchEvent, Error, Store};

use super::Findings;
use super::line::Line;
use super::process::{Booted, Process, Task, public_files};
use crate::check::{Found, check};
use crate::numbers::Numbers;
use crate::promise::{Promise, Promised, Witness};
use crate::workload::{History, Session, Workload};

/// Appends that show that appending goes on.
const APPENDS_AFTER: u64 = 4;

/// A store, as those see it who use it.
#[derive(Debug)]
pub struct Life {
    /// What is done to it.
    pub workload: &'static Workload,
    /// Decides what.
    pub seed: u64,
    /// Decides when.
    pub numbers: Numbers,
    /// The boot that the machine is in.
    pub boot: u64,
    /// All that may have been handed over.
    pub history: History,
    /// All that was promised.
    pub promised: Promised,
    sessions: u64,
}

/// Notes what this process is told.
#[derive(Debug, Default)]
pub struct Notes {
    /// Promises, in order.
    pub promises: Mutex<Vec<Promise>>,
    /// Failures, in order.
    pub failures: Mutex<Vec<(Option<u64>, Error)>>,
}

impl Witness for Notes {
    fn promise(&self, promise: Promise) {
        self.promises.lock().push(promise);
    }

    fn failed(&self, append: Option<u64>, error: &Error) {
        self.failures.lock().push((append, error.clone()));
    }
}

impl Life {
    /// A store that is not there yet.
    pub fn new(workload: &'static Workload, seed: u64) -> Self {
        let (history, promised) = (History::default(), Promised::default());
        let numbers = Numbers::branch(seed, 0);
        Self { workload, seed, numbers, boot: 0, history, promised, sessions: 0 }
    }

    /// Starts a process that appends; with it what it was asked to do.
    pub fn start(&mut self, directory: &Path) -> Result<(Process, Task), String> {
        self.sessions += 1;
        let task = Task {
            directory: directory.to_owned(),
            workload: self.workload,
            seed: self.seed,
            session: self.sessions,
            from: self.history.next_number(),
            boot: self.boot,
        };
        Ok((Process::start(&task)?, task))
    }

    /// Takes up what a process has told; returns its failures.
    pub fn take(&mut self, task: &Task, lines: Vec<Line>) -> Vec<String> {
        let (mut handed, mut failures) = (task.from, Vec::new());
        for line in lines {
            match line {
                Line::Handed(number) => handed = number,
                Line::Promised(promise) => self.promised.add(&promise),
                Line::Failed(message) => failures.push(message),
            }
        }
        // Its steps follow from its task.
        let (mut planned, mut numbers) = (History::starting_at(task.from), task.numbers());
        while planned.next_number() < handed {
            planned.plan(task.workload, task.seed, &mut numbers);
        }
        self.history.0.extend(planned.0.drain(task.from as usize..));
        failures
    }

    /// Opens it in this process.
    pub fn open(&self, directory: &Path, notes: &Notes) -> Result<Store, String> {
        let (fs, host) = (Arc::new(DiskFs), Arc::new(Booted(self.boot)));
        let opened = self.workload.open_at(fs, host, directory.to_owned(), notes);
        opened.map_err(|error| format!("opening: {error}"))
    }

    /// Does some steps in this process.
    pub fn go_on(&mut self, store: &Store, notes: &Arc<Notes>, steps: u64) {
        self.with_session(store, notes, |session, numbers| {
            (0..steps).for_each(|_| session.step(numbers));
        });
    }

    /// Appends so often in this process, one at a time.
    pub fn append(&mut self, store: &Store, notes: &Arc<Notes>, appends: u64) {
        self.with_session(store, notes, |session, numbers| {
            (0..appends).for_each(|_| session.append(numbers));
        });
    }

    fn with_session(
        &mut self,
        store: &Store,
        notes: &Arc<Notes>,
        act: impl FnOnce(&mut Session<'_>, &mut Numbers),
    ) {
        let witness = Arc::clone(notes) as Arc<dyn Witness>;
        let history = std::mem::take(&mut self.history);
        let (workload, seed) = (self.workload, self.seed);
        let mut session = Session { workload, witness, store, seed, history };
        act(&mut session, &mut self.numbers);
        self.history = session.history;
        for promise in notes.promises.lock().drain(..) {
            self.promised.add(&promise);
        }
    }

    /// Checks an open store: it has all that is required of it, and shows what it shows for good.
    pub fn check(
        &mut self,
        store: &Store,
        required: &Promised,
    ) -> Result<(Vec<BatchEvent>, Found), String> {
        let (events, found) = check(store, &self.history, required, &mut self.numbers)?;
        let next = self.history.next_number();
        self.promised.add(&Promise::Settled { found: found.clone(), next });
        Ok((events, found))
    }

    /// Settles what is found on a device that was mounted again, and counts it.
    pub fn settle_device(
        &mut self,
        directory: &Path,
        findings: &mut Findings,
    ) -> Result<(), String> {
        let required = self.promised.clone();
        let events = self.settle(directory, &required)?;
        findings.count("events found", events.len() as u64);
        findings.count("appends acknowledged as durable", required.durable.len() as u64);
        Ok(())
    }

    /// Opens the store after something went wrong with it: what is required is there, a second opening
    /// changes nothing, and appending goes on. Returns the events that the first opening found.
    pub fn settle(
        &mut self,
        directory: &Path,
        required: &Promised,
    ) -> Result<Vec<BatchEvent>, String> {
        let notes = Arc::new(Notes::default());
        let store = self.open(directory, &notes)?;
        let (events, _) = self.check(&store, required)?;
        close(&store)?;
        drop(store);
        let before = public_files(directory)?;
        let store = self.open(directory, &notes)?;
        if !store.recovery().clean || store.recovery().torn_bytes > 0 {
            return Err(format!("opening again is not clean: {:?}", store.recovery()));
        }
        let (again, _) = self.check(&store, required)?;
        if again != events || public_files(directory)? != before {
            return Err("opening again changes something".to_owned());
        }
        self.append(&store, &notes, APPENDS_AFTER);
        if let Some((_, error)) = notes.failures.lock().first() {
            return Err(format!("appending again: {error}"));
        }
        close(&store)?;
        self.promised.add(&Promise::Synced);
        drop(store);
        let store = self.open(directory, &notes)?;
        let required = self.promised.without_power_cut();
        self.check(&store, &required)?;
        close(&store)?;
        Ok(events)
    }
}

/// Closes a store that nothing is wrong with.
pub fn close(store: &Store) -> Result<(), String> {
    store.close().map_err(|error| format!("closing: {error}"))
}
