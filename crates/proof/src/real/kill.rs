//! A process is killed while it appends and another one reads.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use tetralog_core::{Batch, BatchEvent, ReadSpec, Store, StoreOptions, Subject};

use super::Findings;
use super::life::Life;

/// Kills in the life of a store.
const KILLS: u64 = 10;
/// A process is killed before it has told so many lines.
const LINES: u64 = 150;
/// How long a process may take to get as far as it is to get.
const PATIENCE: Duration = Duration::from_secs(5);

/// Kills a process a few times while it appends to a store.
pub fn kill(life: &mut Life, directory: &Path, findings: &mut Findings) -> Result<(), String> {
    let mut seen: Vec<BatchEvent> = Vec::new();
    for nth in 1..=KILLS {
        let now = kill_once(life, directory, findings)?;
        findings.count("events seen by a reader beside it", now.len() as u64);
        let (longer, shorter) = if now.len() > seen.len() { (now, seen) } else { (seen, now) };
        if !longer.starts_with(&shorter) {
            return Err("two readers saw different events at a position".to_owned());
        }
        seen = longer;
        // What one kill leaves may also be found by the process of the next, and its recovery be killed.
        if nth < KILLS && life.numbers.percent(30) {
            findings.count("kills of what a kill had left", 1);
            continue;
        }
        let required = life.promised.without_power_cut();
        let events = life.settle(directory, &required)?;
        if !events.starts_with(&seen) {
            return Err(format!("a reader saw {} events, which are not all there", seen.len()));
        }
        findings.count("events found", events.len() as u64);
        findings.count("appends acknowledged", required.acknowledged.len() as u64);
    }
    Ok(())
}

/// Returns what a reader has seen.
fn kill_once(
    life: &mut Life,
    directory: &Path,
    findings: &mut Findings,
) -> Result<Vec<BatchEvent>, String> {
    let followed = life.numbers.percent(70);
    let reader = followed.then(|| Reader::start(directory));
    let (mut process, task) = life.start(directory)?;
    if life.numbers.percent(25) {
        // While the store is made or opened, maybe.
        sleep(Duration::from_micros(life.numbers.below(8000)));
    } else {
        process.hear(1 + life.numbers.below(LINES), PATIENCE);
        sleep(Duration::from_micros(life.numbers.below(2000)));
    }
    let lines = process.kill()?;
    findings.count("kills", 1);
    let failures = life.take(&task, lines);
    let seen = reader.map_or(Ok(Vec::new()), Reader::stop)?;
    match failures.first() {
        Some(failure) => Err(format!("appending: {failure}")),
        None => Ok(seen),
    }
}

/// Reads a store beside its writer.
struct Reader {
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<BatchEvent>, String>>,
}

impl Reader {
    fn start(directory: &Path) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let (directory, own) = (directory.to_owned(), Arc::clone(&stopped));
        let thread = spawn(move || follow(&directory, &own));
        Self { stopped, thread }
    }

    /// All that it has seen.
    fn stop(self) -> Result<Vec<BatchEvent>, String> {
        self.stopped.store(true, Ordering::Release);
        self.thread.join().map_err(|_| "a panic of the reader".to_owned())?
    }
}

/// Reads on and on: what was seen before is not read again.
fn follow(directory: &Path, stopped: &AtomicBool) -> Result<Vec<BatchEvent>, String> {
    let mut seen: Vec<BatchEvent> = Vec::new();
    let Some(store) = open(directory, stopped)? else { return Ok(seen) };
    let told = |error| format!("reading beside a writer: {error}");
    loop {
        // Once more after the writer is gone.
        let last = stopped.load(Ordering::Acquire);
        let after = seen.last().map(|event| event.position);
        let read = store.read(ReadSpec { after, ..ReadSpec::new(Subject::All) }).map_err(told)?;
        while let Some(batch) = read.next().map_err(told)? {
            let events = Batch::new(batch).events(&store.source());
            seen.extend(events.map_err(told)?);
        }
        if last {
            return Ok(seen);
        }
    }
}

/// Opens the store as soon as there is one.
fn open(directory: &Path, stopped: &AtomicBool) -> Result<Option<Store>, String> {
    loop {
        let last = stopped.load(Ordering::Acquire);
        let options = StoreOptions { read_only: true, ..StoreOptions::default() };
        match Store::open(directory, options) {
            Ok(store) => return Ok(Some(store)),
            Err(error) if !["ERR_IO", "ERR_FORMAT"].contains(&error.code()) => {
                return Err(format!("opening beside a writer: {error}"));
            }
            Err(_) if last => return Ok(None),
            Err(_) => sleep(Duration::from_millis(1)),
        }
    }
}
