//! The writer: groups, failing disks, panics, many callers.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use common::watched::{Operation, WatchedFs, Watcher};
use common::{all, append, event, expecting, small, verify};
use parking_lot::Mutex;
use tetralog_core::fs::{Fs, MemoryFs, OpenMode};
use tetralog_core::{
    AppendOptions, Durability, Error, Expected, NewEvent, Outcome, OutcomeSink, Store,
    StoreOptions, SubmissionBuilder, SystemHost, Written,
};

/// What a faulty disk does.
#[derive(Debug, Default)]
struct Faults {
    syncs_fail: AtomicBool,
    writes_fail: AtomicBool,
    full: AtomicBool,
    /// Filling a segment with zeros fails with this errno, unless it is 0.
    zeros_fail: AtomicI32,
    /// Segments that were removed.
    removed: Mutex<Vec<PathBuf>>,
    slow_indexes: AtomicBool,
    no_indexes: AtomicBool,
    syncs: AtomicU64,
    last_writer: Mutex<Option<ThreadId>>,
    /// Zeros written into segments; those of each beyond its last sync, and the most that one had.
    zeros: AtomicU64,
    zeros_unsynced: Mutex<BTreeMap<PathBuf, u64>>,
    zeros_unsynced_max: AtomicU64,
    /// While it is shut, syncs of segments do not return.
    gate: Gate,
}

#[derive(Debug, Default)]
struct Gate {
    shut: Mutex<bool>,
    changed: parking_lot::Condvar,
}

impl Gate {
    fn set(&self, shut: bool) {
        *self.shut.lock() = shut;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut shut = self.shut.lock();
        while *shut {
            self.changed.wait(&mut shut);
        }
    }
}

impl Watcher for Faults {
    fn before(&self, path: &Path, operation: Operation<'_>) -> io::Result<()> {
        let is_set = |fault: &AtomicBool| fault.load(Ordering::SeqCst);
        let ends = |ending: &str| path.extension().is_some_and(|own| own == ending);
        match operation {
            Operation::Open(_) if ends("tmp") => {
                if is_set(&self.slow_indexes) {
                    std::thread::sleep(Duration::from_millis(50));
                }
                let index = !path.ends_with("MANIFEST.tmp");
                if index && is_set(&self.no_indexes) { Err(disk_full()) } else { Ok(()) }
            }
            Operation::Write(bytes) if ends("seg") => self.write(path, bytes),
            Operation::Sync if ends("seg") => {
                self.syncs.fetch_add(1, Ordering::SeqCst);
                self.gate.pass();
                self.zeros_unsynced.lock().remove(path);
                if is_set(&self.syncs_fail) { Err(media_error()) } else { Ok(()) }
            }
            Operation::Remove if ends("seg") => {
                self.removed.lock().push(path.to_owned());
                Ok(())
            }
            Operation::Allocate if is_set(&self.full) => Err(disk_full()),
            _ => Ok(()),
        }
    }
}

impl Faults {
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if self.writes_fail.load(Ordering::SeqCst) {
            return Err(media_error());
        }
        *self.last_writer.lock() = Some(std::thread::current().id());
        if bytes.iter().all(|byte| *byte == 0) {
            match self.zeros_fail.load(Ordering::SeqCst) {
                0 => {}
                errno => return Err(io::Error::from_raw_os_error(errno)),
            }
            let length = bytes.len() as u64;
            let mut unsynced = self.zeros_unsynced.lock();
            let own = unsynced.entry(path.to_owned()).or_default();
            *own += length;
            self.zeros_unsynced_max.fetch_max(*own, Ordering::SeqCst);
            self.zeros.fetch_add(length, Ordering::SeqCst);
        }
        Ok(())
    }
}

fn disk_full() -> io::Error {
    io::Error::from_raw_os_error(28)
}

fn media_error() -> io::Error {
    io::Error::from_raw_os_error(5)
}

fn faulty(options: StoreOptions) -> (Store, Arc<Faults>, Arc<MemoryFs>) {
    let inner = Arc::new(MemoryFs::default());
    let fs = Arc::new(WatchedFs::new(Arc::clone(&inner), Faults::default()));
    let faults = Arc::clone(&fs.watcher);
    let store = Store::open_with(fs, Arc::new(SystemHost), "/store".into(), options).unwrap();
    (store, faults, inner)
}

/// Collects outcomes as they arrive.
#[derive(Debug, Default)]
struct Collector {
    outcomes: Mutex<Vec<(u32, Outcome)>>,
    changed: parking_lot::Condvar,
}

impl Collector {
    fn wait(&self, count: usize) -> Vec<(u32, Outcome)> {
        let mut outcomes = self.outcomes.lock();
        while outcomes.len() < count {
            self.changed.wait(&mut outcomes);
        }
        outcomes.clone()
    }
}

impl OutcomeSink for Collector {
    fn deliver(&self, outcomes: Vec<(u32, Outcome)>) {
        self.outcomes.lock().extend(outcomes);
        self.changed.notify_all();
    }
}

#[test]
fn a_failed_sync_poisons_the_store_and_nothing_is_acknowledged_after_it() {
    let (store, faults, inner) = faulty(small());
    append(&store, &[event("a", "f", b"1")]).unwrap();
    faults.syncs_fail.store(true, Ordering::SeqCst);
    let error = append(&store, &[event("a", "f", b"2")]).unwrap_err();
    assert_eq!(error.code(), "ERR_POISONED");
    assert_eq!(error.written(), Written::Unknown);
    faults.syncs_fail.store(false, Ordering::SeqCst);
    let syncs = faults.syncs.load(Ordering::SeqCst);
    assert_eq!(append(&store, &[event("b", "f", b"3")]).unwrap_err().code(), "ERR_POISONED");
    assert_eq!(store.sync().unwrap_err().code(), "ERR_POISONED");
    assert_eq!(faults.syncs.load(Ordering::SeqCst), syncs, "a failed sync is never tried again");
    assert_eq!(all(&store).unwrap().len(), 1, "what was not acknowledged is not seen");
    assert_eq!(store.close().unwrap_err().code(), "ERR_POISONED");
    let store = Store::open_with(inner, Arc::new(SystemHost), "/store".into(), small()).unwrap();
    assert!(store.damage().is_empty(), "{:?}", store.damage());
    assert!(!all(&store).unwrap().is_empty());
    append(&store, &[event("a", "f", b"4")]).unwrap();
    assert!(verify(&store).ok);
}

#[test]
fn a_failed_write_poisons_the_store() {
    let (store, faults, _) = faulty(small());
    faults.writes_fail.store(true, Ordering::SeqCst);
    assert_eq!(append(&store, &[event("a", "f", b"1")]).unwrap_err().code(), "ERR_POISONED");
    assert_eq!(store.head().unwrap(), None);
}

#[test]
fn every_outcome_of_a_failed_group_is_unknown_refusals_too() {
    let (store, faults, _) = faulty(small());
    faults.syncs_fail.store(true, Ordering::SeqCst);
    let mut submission = SubmissionBuilder::new();
    let none = AppendOptions { expected: Some(Expected::None), ..AppendOptions::default() };
    submission.push(1, &[event("a", "f", b"")], &none);
    submission.push(2, &[event("a", "f", b"")], &none);
    let sink = Arc::new(Collector::default());
    store.submit(submission.finish(), Arc::clone(&sink) as Arc<dyn OutcomeSink>, false).unwrap();
    for (_, outcome) in sink.wait(2) {
        assert_eq!(outcome.unwrap_err().code(), "ERR_POISONED");
    }
}

#[test]
fn a_refusal_never_arrives_before_the_event_it_is_about_can_be_read() {
    #[derive(Debug)]
    struct Checker(Arc<Store>, Arc<Collector>);
    impl OutcomeSink for Checker {
        fn deliver(&self, outcomes: Vec<(u32, Outcome)>) {
            for (_, outcome) in &outcomes {
                if let Err(Error::WrongExpectedVersion { actual, .. }) = outcome {
                    assert!(self.0.version("a").unwrap() >= *actual);
                }
            }
            self.1.deliver(outcomes);
        }
    }
    let store = Arc::new(Store::memory(small()).unwrap());
    let collector = Arc::new(Collector::default());
    let sink = Arc::new(Checker(Arc::clone(&store), Arc::clone(&collector)));
    let mut submission = SubmissionBuilder::new();
    for sequence in 0..100 {
        let none = AppendOptions { expected: Some(Expected::None), ..AppendOptions::default() };
        submission.push(sequence, &[event("a", "f", b"")], &none);
    }
    store.submit(submission.finish(), sink, false).unwrap();
    let outcomes = collector.wait(100);
    assert_eq!(outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).count(), 1);
    let order: Vec<u32> = outcomes.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(order, (0..100).collect::<Vec<u32>>(), "outcomes come in the order of the appends");
}

#[test]
fn a_full_disk_refuses_appends_and_harms_nothing() {
    let (store, faults, inner) = faulty(small());
    let payload = vec![1; 300_000];
    append(&store, &[event("a", "f", &payload)]).unwrap();
    faults.full.store(true, Ordering::SeqCst);
    let mut written = 1;
    let error = loop {
        match append(&store, &[event("a", "f", &payload)]) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), "ERR_DISK_FULL");
    assert_eq!(error.written(), Written::No);
    assert_eq!(all(&store).unwrap().len(), written, "reads go on");
    append(&store, &[event("a", "f", b"small still fits")]).unwrap();
    faults.full.store(false, Ordering::SeqCst);
    append(&store, &[event("a", "f", &payload)]).unwrap();
    store.close().unwrap();
    let store = Store::open_with(inner, Arc::new(SystemHost), "/store".into(), small()).unwrap();
    assert_eq!(all(&store).unwrap().len(), written + 2);
    assert!(verify(&store).ok);
}

#[test]
fn expected_versions_serialize_concurrent_callers() {
    let store = Arc::new(Store::memory(small()).unwrap());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let store = Arc::clone(&store);
            std::thread::spawn(move || {
                let mut wins = 0;
                while wins < 50 {
                    let seen = store.version("counter").unwrap();
                    let expected = seen.map_or(Expected::None, Expected::Version);
                    match expecting(&store, &[event("counter", "increased", b"")], expected) {
                        Ok(receipt) => {
                            let next = seen.map_or(0, |version| version + 1);
                            assert_eq!(receipt.versions, Some((next, next)));
                            wins += 1;
                        }
                        Err(Error::WrongExpectedVersion { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(store.version("counter").unwrap(), Some(199));
    let versions: Vec<u64> = all(&store).unwrap().iter().map(|e| e.version).collect();
    assert_eq!(versions, (0..200).collect::<Vec<u64>>());
}

#[test]
fn too_much_in_flight_is_refused_in_its_place() {
    let options = StoreOptions { max_in_flight_bytes: 1 << 20, ..small() };
    let store = Store::memory(options).unwrap();
    let payload = vec![0; 400_000];
    let mut submission = SubmissionBuilder::new();
    for sequence in 0..5 {
        submission.push(sequence, &[event("a", "f", &payload)], &AppendOptions::default());
    }
    let sink = Arc::new(Collector::default());
    store.submit(submission.finish(), Arc::clone(&sink) as Arc<dyn OutcomeSink>, false).unwrap();
    let outcomes = sink.wait(5);
    let codes: Vec<Option<&str>> =
        outcomes.iter().map(|(_, o)| o.as_ref().err().map(Error::code)).collect();
    assert_eq!(codes[..2], [None, None]);
    assert_eq!(codes[2..], [Some("ERR_OVERLOADED"); 3]);
    assert_eq!(all(&store).unwrap().len(), 2);
}

#[test]
fn a_frame_larger_than_a_segment_gets_one_of_its_own() {
    let store = Store::memory(small()).unwrap();
    append(&store, &[event("a", "f", b"before")]).unwrap();
    let payload = vec![9; 5 << 20];
    append(&store, &[event("a", "f", &payload), event("b", "f", &payload)]).unwrap();
    append(&store, &[event("a", "f", b"after")]).unwrap();
    let events = all(&store).unwrap();
    assert_eq!(events.len(), 4);
    assert_eq!(events[2].payload, payload);
    assert!(verify(&store).ok);
}

#[test]
fn an_append_larger_than_a_frame_is_refused_with_nothing_written() {
    let options = StoreOptions { max_payload_bytes: 48 << 20, ..small() };
    let store = Store::memory(options).unwrap();
    let payload = vec![9; 33 << 20];
    let error = append(&store, &[event("a", "f", &payload), event("b", "f", &payload)]);
    assert_eq!(error.unwrap_err().code(), "ERR_LIMIT_EXCEEDED");
    assert_eq!(store.head().unwrap(), None);
    let receipt = append(&store, &[event("a", "f", b"next")]).unwrap();
    assert_eq!(receipt.versions, Some((0, 0)));
}

#[test]
fn relaxed_appends_are_synced_by_time_by_count_and_on_request() {
    let options = StoreOptions {
        durability: Durability::Interval,
        fsync_interval_ms: 20,
        fsync_event_count: 10,
        ..small()
    };
    let (store, _, _) = faulty(options);
    append(&store, &[event("a", "f", b"")]).unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while store.stats().unwrap().synced_position != Some(0) {
        assert!(Instant::now() < deadline, "the timer syncs");
        std::thread::sleep(Duration::from_millis(5));
    }
    let lazy = StoreOptions { durability: Durability::None, ..small() };
    let (store, _, _) = faulty(lazy);
    append(&store, &[event("a", "f", b"")]).unwrap();
    assert_eq!(store.stats().unwrap().synced_position, None);
    let strict = AppendOptions { durability: Some(Durability::Sync), ..AppendOptions::default() };
    store.append(&[event("a", "f", b"")], &strict).unwrap();
    assert_eq!(store.stats().unwrap().synced_position, Some(1));
    append(&store, &[event("a", "f", b"")]).unwrap();
    store.sync().unwrap();
    assert_eq!(store.stats().unwrap().synced_position, Some(2));
    let payload = vec![0; 1 << 20];
    for _ in 0..20 {
        append(&store, &[event("a", "f", &payload)]).unwrap();
    }
    assert!(store.stats().unwrap().synced_position > Some(2), "never far beyond the last sync");
}

/// A queued request for a spare was carried out after the writer had made the file itself, and
/// emptied the segment that was active by then.
#[test]
fn a_late_spare_never_touches_a_segment_in_use() {
    let options = StoreOptions { durability: Durability::None, ..small() };
    let (store, faults, inner) = faulty(options.clone());
    faults.slow_indexes.store(true, Ordering::SeqCst);
    let payload = vec![7; 50_000];
    for _ in 0..150 {
        append(&store, &[event("a", "f", &payload)]).unwrap();
    }
    store.close().unwrap();
    let store = Store::open_with(inner, Arc::new(SystemHost), "/store".into(), options).unwrap();
    assert!(store.damage().is_empty(), "{:?}", store.damage());
    assert_eq!(all(&store).unwrap().len(), 150);
    assert!(verify(&store).ok);
}

/// A segment's worth of zeros was handed to the device at once, and every sync of the log behind it
/// took a tenth of a second.
#[test]
fn a_spare_is_filled_with_zeros_a_little_at_a_time() {
    let size = 8 << 20;
    let (store, faults, _) = faulty(StoreOptions { segment_max_bytes: size, ..small() });
    let payload = vec![7; 10_000];
    for _ in 0..80 {
        append(&store, &[event("a", "f", &payload)]).unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while faults.zeros.load(Ordering::SeqCst) < size {
        assert!(Instant::now() < deadline, "the spare is never filled");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(faults.zeros_unsynced_max.load(Ordering::SeqCst) <= 1 << 20);
}

/// What the disk has of it cannot be told any more, and later syncs may not tell either.
#[test]
fn a_spare_that_could_not_be_filled_is_never_used() {
    let payload = vec![7; 10_000];
    for (error, goes_on) in [(disk_full(), true), (media_error(), false)] {
        let (store, faults, _) = faulty(small());
        faults.zeros_fail.store(error.raw_os_error().unwrap(), Ordering::SeqCst);
        let mut appended = 0;
        let deadline = Instant::now() + Duration::from_secs(10);
        let failed = loop {
            assert!(Instant::now() < deadline, "no spare is ever filled");
            match append(&store, &[event("a", "f", &payload)]) {
                Ok(_) => appended += 1,
                Err(error) => break Some(error),
            }
            if !faults.removed.lock().is_empty() && appended > 250 {
                break None;
            }
        };
        assert_eq!(failed.is_none(), goes_on, "{failed:?}");
        assert!(failed.is_none_or(|error| error.code() == "ERR_POISONED"));
        assert!(!faults.removed.lock().is_empty());
        assert_eq!(all(&store).unwrap().len(), appended);
    }
}

#[test]
fn an_id_can_follow_events_without_ids_across_reopening() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let store = Store::open(&path, small()).unwrap();
    let payload = vec![1; 400_000];
    for _ in 0..6 {
        append(&store, &[event("a", "f", &payload)]).unwrap();
    }
    store.close().unwrap();
    let store = Store::open(&path, small()).unwrap();
    let with_id = NewEvent { id: Some([1; 16]), ..event("a", "f", b"") };
    assert!(!append(&store, std::slice::from_ref(&with_id)).unwrap().duplicate);
    assert!(append(&store, &[with_id]).unwrap().duplicate);
}

#[test]
fn a_large_append_of_few_strings_fits_whatever_the_active_segment() {
    let store = Store::memory(small()).unwrap();
    let entity = "e".repeat(512);
    let scope = "s".repeat(512);
    let one = NewEvent { scope: &scope, ..event(&entity, "f", b"") };
    let receipt = append(&store, &vec![one; 65_536]).unwrap();
    assert_eq!(receipt.count, 65_536);
}

fn submit_one(store: &Store, sequence: u32, sink: &Arc<Collector>) {
    let mut submission = SubmissionBuilder::new();
    submission.push(sequence, &[event("a", "f", b"")], &AppendOptions::default());
    store.submit(submission.finish(), Arc::clone(sink) as Arc<dyn OutcomeSink>, false).unwrap();
}

/// Submits one event and returns when its sync has begun, and cannot end.
fn submit_and_hold_its_sync(store: &Store, faults: &Faults, sink: &Arc<Collector>) {
    faults.gate.set(true);
    let before = faults.syncs.load(Ordering::SeqCst);
    submit_one(store, 0, sink);
    let deadline = Instant::now() + Duration::from_secs(10);
    while faults.syncs.load(Ordering::SeqCst) == before {
        assert!(Instant::now() < deadline, "the append is never synced");
        std::thread::yield_now();
    }
}

#[test]
fn what_comes_while_a_group_is_synced_shares_the_next_sync() {
    let (store, faults, _) = faulty(small());
    let sink = Arc::new(Collector::default());
    submit_and_hold_its_sync(&store, &faults, &sink);
    let before = faults.syncs.load(Ordering::SeqCst);
    for sequence in 1..=10 {
        submit_one(&store, sequence, &sink);
    }
    assert!(sink.outcomes.lock().is_empty(), "nothing is acknowledged before it is synced");
    assert_eq!(store.head().unwrap(), None, "nor is it seen");
    faults.gate.set(false);
    let order: Vec<u32> = sink.wait(11).iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(order, (0..=10).collect::<Vec<u32>>());
    assert_eq!(faults.syncs.load(Ordering::SeqCst), before + 1);
    assert_eq!(store.head().unwrap(), Some(10));
}

#[test]
fn a_reader_beside_the_writer_sees_nothing_that_is_not_acknowledged_yet() {
    let (store, faults, inner) = faulty(small());
    append(&store, &[event("a", "f", b"")]).unwrap();
    let open_reader = || {
        let options = StoreOptions { read_only: true, ..small() };
        let fs = Arc::clone(&inner) as Arc<dyn Fs>;
        Store::open_with(fs, Arc::new(SystemHost), "/store".into(), options).unwrap()
    };
    let reader = open_reader();
    let sink = Arc::new(Collector::default());
    submit_and_hold_its_sync(&store, &faults, &sink);
    assert_eq!(reader.head().unwrap(), Some(0), "by one that follows");
    assert_eq!(open_reader().head().unwrap(), Some(0), "by one that is opened now");
    faults.gate.set(false);
    sink.wait(1);
    assert_eq!(reader.head().unwrap(), Some(1));
}

#[test]
fn what_is_announced_and_does_not_come_holds_nothing_up() {
    let (store, _, _) = faulty(small());
    let sink = Arc::new(Collector::default());
    for sequence in 0..20 {
        let mut submission = SubmissionBuilder::new();
        submission.push(sequence, &[event("a", "f", b"")], &AppendOptions::default());
        let own = Arc::clone(&sink) as Arc<dyn OutcomeSink>;
        store.submit(submission.finish(), own, true).unwrap();
        sink.wait(sequence as usize + 1);
    }
    assert_eq!(store.head().unwrap(), Some(19));
}

#[test]
fn an_empty_submission_has_no_outcome_and_is_refused_by_nobody() {
    let store = Store::memory(small()).unwrap();
    let sink = Arc::new(Collector::default());
    for more in [true, false] {
        store.submit(Vec::new(), Arc::clone(&sink) as Arc<dyn OutcomeSink>, more).unwrap();
    }
    append(&store, &[event("a", "f", b"")]).unwrap();
    assert!(sink.outcomes.lock().is_empty());
}

#[test]
fn callers_who_append_again_when_they_are_answered_stay_together() {
    /// Has another thread append again for each caller that is answered.
    #[derive(Debug)]
    struct Callers(std::sync::mpsc::Sender<Vec<u32>>);
    impl OutcomeSink for Callers {
        fn deliver(&self, outcomes: Vec<(u32, Outcome)>) {
            let _ = self.0.send(outcomes.into_iter().map(|(caller, _)| caller).collect());
        }
        fn answers(&self) -> bool {
            true
        }
    }
    const CALLERS: u32 = 8;
    const ROUNDS: u32 = 200;
    let (store, faults, _) = faulty(small());
    let (outcomes, answered) = std::sync::mpsc::channel();
    let sink: Arc<dyn OutcomeSink> = Arc::new(Callers(outcomes));
    let submit = |callers: &[u32]| {
        let mut submission = SubmissionBuilder::new();
        for caller in callers {
            submission.push(*caller, &[event("a", "f", b"")], &AppendOptions::default());
        }
        store.submit(submission.finish(), Arc::clone(&sink), false).unwrap();
    };
    let before = faults.syncs.load(Ordering::SeqCst);
    (0..CALLERS).for_each(|caller| submit(&[caller]));
    let mut done = 0;
    while done < CALLERS * ROUNDS {
        let callers = answered.recv_timeout(Duration::from_secs(10)).unwrap();
        done += callers.len() as u32;
        submit(&callers);
    }
    let syncs = faults.syncs.load(Ordering::SeqCst) - before;
    assert!(syncs <= u64::from(CALLERS * ROUNDS) / 2, "{syncs} syncs for {done} appends");
    store.close().unwrap();
}

#[test]
fn a_failed_sync_rejects_what_was_built_meanwhile() {
    let (store, faults, _) = faulty(small());
    let sink = Arc::new(Collector::default());
    submit_and_hold_its_sync(&store, &faults, &sink);
    submit_one(&store, 1, &sink);
    faults.syncs_fail.store(true, Ordering::SeqCst);
    faults.gate.set(false);
    for (nth, (sequence, outcome)) in sink.wait(2).into_iter().enumerate() {
        assert_eq!((sequence as usize, outcome.unwrap_err().code()), (nth, "ERR_POISONED"));
    }
    assert_eq!(store.head().unwrap(), None);
}

#[test]
fn a_rotation_that_has_waited_for_a_failed_sync_writes_no_seal() {
    let (store, faults, inner) = faulty(small());
    let log = || {
        let file = inner.open(Path::new("/store/segments/0000000001.seg"), OpenMode::Read).unwrap();
        let mut bytes = vec![0; file.length().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        bytes
    };
    let sink = Arc::new(Collector::default());
    submit_and_hold_its_sync(&store, &faults, &sink);
    let before = log();
    let mut submission = SubmissionBuilder::new();
    submission.push(1, &[event("b", "f", &vec![7; 2 << 20])], &AppendOptions::default());
    let own = Arc::clone(&sink) as Arc<dyn OutcomeSink>;
    store.submit(submission.finish(), own, false).unwrap();
    // Until it needs the next segment, and waits.
    std::thread::sleep(Duration::from_millis(200));
    faults.syncs_fail.store(true, Ordering::SeqCst);
    faults.gate.set(false);
    for (_, outcome) in sink.wait(2) {
        assert_eq!(outcome.unwrap_err().code(), "ERR_POISONED");
    }
    assert!(log() == before, "nothing is written behind what may not be there");
}

#[test]
fn a_relaxed_append_does_not_wait_for_a_sync_beside_it() {
    let options =
        StoreOptions { durability: Durability::Interval, fsync_event_count: 1, ..small() };
    let (store, faults, _) = faulty(options);
    faults.gate.set(true);
    for _ in 0..10 {
        append(&store, &[event("a", "f", b"")]).unwrap();
    }
    assert_eq!(store.head().unwrap(), Some(9));
    assert_eq!(store.stats().unwrap().synced_position, None);
    faults.gate.set(false);
    store.sync().unwrap();
    assert_eq!(store.stats().unwrap().synced_position, Some(9));
}

#[test]
fn a_waiting_caller_does_the_work_itself_when_nobody_is_at_it() {
    let (store, faults, _) = faulty(small());
    // The threads may still be looking for work; they never take what is not queued.
    append(&store, &[event("a", "f", b"")]).unwrap();
    assert_eq!(*faults.last_writer.lock(), Some(std::thread::current().id()));
}

#[test]
fn callers_that_wait_and_callers_that_do_not_keep_one_order() {
    let store = Arc::new(Store::memory(small()).unwrap());
    let sink = Arc::new(Collector::default());
    let waiting = {
        let store = Arc::clone(&store);
        std::thread::spawn(move || {
            for nth in 0..500 {
                let receipt = append(&store, &[event("w", "f", b"")]).unwrap();
                assert_eq!(receipt.versions, Some((nth, nth)));
            }
        })
    };
    for sequence in 0..500 {
        let mut submission = SubmissionBuilder::new();
        submission.push(sequence, &[event("s", "f", b"")], &AppendOptions::default());
        store
            .submit(submission.finish(), Arc::clone(&sink) as Arc<dyn OutcomeSink>, false)
            .unwrap();
    }
    let outcomes = sink.wait(500);
    waiting.join().unwrap();
    for (nth, (sequence, outcome)) in outcomes.into_iter().enumerate() {
        assert_eq!(sequence as usize, nth);
        assert_eq!(outcome.unwrap().versions, Some((nth as u64, nth as u64)));
    }
    assert_eq!(all(&store).unwrap().len(), 1000);
    assert!(verify(&store).ok);
}

#[test]
fn where_no_index_can_be_written_memory_stays_bounded_and_appends_go_on_once_there_is_space() {
    let (store, faults, inner) = faulty(small());
    faults.no_indexes.store(true, Ordering::SeqCst);
    let payload = vec![7; 100_000];
    let append_one = || append(&store, &[event("a", "f", &payload)]);
    let (mut appended, mut refused) = (0, None);
    while refused.is_none() && appended < 400 {
        match append_one() {
            Ok(_) => appended += 1,
            Err(error) => refused = Some(error),
        }
    }
    assert!(matches!(refused, Some(Error::DiskFull { .. })), "{refused:?}");
    assert!((80..160).contains(&appended), "{appended} were kept in memory");
    assert_eq!(all(&store).unwrap().len(), appended);
    faults.no_indexes.store(false, Ordering::SeqCst);
    let deadline = Instant::now() + Duration::from_secs(10);
    while append_one().is_err() {
        assert!(Instant::now() < deadline, "it is tried again");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(all(&store).unwrap().len(), appended + 1);
    store.close().unwrap();
    let indexes = inner.list(Path::new("/store/segments")).unwrap();
    assert!(indexes.iter().filter(|name| name.contains(".idx")).count() > 8, "{indexes:?}");
}

/// The seal of a segment that was sealed in the middle of a verification was reported missing.
#[test]
fn a_store_that_is_verified_while_it_rotates_is_whole() {
    let store = Arc::new(Store::memory(small()).unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let appending = {
        let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
        std::thread::spawn(move || {
            let payload = vec![7; 20_000];
            while !stop.load(Ordering::SeqCst) {
                append(&store, &[event("a", "f", &payload)]).unwrap();
            }
        })
    };
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        let report = verify(&store);
        assert!(report.ok, "{report:?}");
    }
    stop.store(true, Ordering::SeqCst);
    appending.join().unwrap();
    assert!(!store.is_read_only());
}
