//! Heads, ids and candidates over many segments answer as a plain list would, whatever becomes of the
//! derived files in between: deleted, damaged, cut short, or left behind by a crash.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use common::{all, append, event, files, query, read, stream, verify};
use proptest::prelude::*;
use tetralog_core::{
    ClockRange, Durability, Error, Filter, NewEvent, OpenProgress, Order, Progress, ReadSpec,
    Store, StoreOptions, Subject,
};

const ENTITIES: u64 = 700;
const BATCH: u64 = 500;
const DERIVED: [&str; 4] = [".idx", ".run", ".heads", ".ids"];

/// A small generator of numbers (`SplitMix64`).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

#[derive(Debug, Clone)]
struct Known {
    entity: String,
    clock: u64,
    id: [u8; 16],
    version: u64,
}

fn options() -> StoreOptions {
    StoreOptions { durability: Durability::None, ..common::small() }
}

fn named(known: &Known) -> NewEvent<'_> {
    NewEvent { id: Some(known.id), ..event(&known.entity, "happened", &[9; 120]) }
}

/// Appends batches whose clocks mostly rise; some are late, and one is far ahead.
fn fill(store: &Store, log: &mut Vec<Known>, batches: u64, numbers: &mut Numbers) {
    for _ in 0..batches {
        let mut batch = Vec::new();
        for _ in 0..BATCH {
            let position = (log.len() + batch.len()) as u64;
            let entity = format!("entity:{}", numbers.below(ENTITIES));
            let known = log.iter().chain(&batch);
            let version = known.filter(|known: &&Known| known.entity == entity).count() as u64;
            let clock = match numbers.below(200) {
                0..10 => numbers.below(position + 1),
                10 => u64::MAX - position,
                _ => position * 10,
            };
            let id =
                (u128::from(position) << 64 | u128::from(numbers.below(1 << 60))).to_be_bytes();
            batch.push(Known { entity, clock, id, version });
        }
        let clocks: Vec<[u8; 8]> = batch.iter().map(|known| known.clock.to_be_bytes()).collect();
        let events: Vec<NewEvent<'_>> = batch
            .iter()
            .zip(&clocks)
            .map(|(known, clock)| NewEvent { clock: Some(clock), ..named(known) })
            .collect();
        append(store, &events).unwrap();
        log.extend(batch);
    }
}

/// The entities at a moment: name, version, position of the newest event.
fn heads(store: &Store, as_of: Option<u64>) -> Vec<(String, u64, u64)> {
    let subject = Subject::Entities { prefix: String::new(), after: None };
    let reading = store.read(ReadSpec { as_of, ..ReadSpec::new(subject) }).unwrap();
    let mut found = Vec::new();
    while let Some(page) = reading.next().unwrap() {
        let u32_at = |at: usize| u32::from_le_bytes(page[at..at + 4].try_into().unwrap()) as usize;
        let number = |at: usize| f64::from_le_bytes(page[at..at + 8].try_into().unwrap()) as i64;
        for row in (0..u32_at(0)).map(|nth| 8 + nth * 24) {
            let (start, length) = (u32_at(row + 16), u32_at(row + 20));
            let name = String::from_utf8(page[start..start + length].to_vec()).unwrap();
            found.push((name, number(row).cast_unsigned(), number(row + 8).cast_unsigned()));
        }
    }
    found
}

/// The same of the model.
fn newest(log: &[Known]) -> Vec<(String, u64, u64)> {
    let newest: BTreeMap<&str, (u64, u64)> =
        log.iter().zip(0..).map(|(known, at)| (&*known.entity, (known.version, at))).collect();
    newest.into_iter().map(|(name, (version, at))| (name.to_owned(), version, at)).collect()
}

fn check(store: &Store, log: &[Known], numbers: &mut Numbers) {
    assert!(store.damage().is_empty(), "{:?}", store.damage());
    for (name, version, _) in newest(log) {
        assert_eq!(store.version(&name).unwrap(), Some(version), "{name}");
        assert_eq!(store.version(&format!("no {name}")).unwrap(), None);
    }
    for end in [log.len() as u64, numbers.below(log.len() as u64) + 1] {
        assert_eq!(heads(store, Some(end)), newest(&log[..end as usize]), "as of {end}");
    }
    let name = format!("entity:{}", numbers.below(ENTITIES));
    let own: Vec<u64> =
        (0..log.len()).filter(|n| log[*n].entity == name).map(|n| n as u64).collect();
    let found: Vec<u64> = stream(store, &name).unwrap().iter().map(|e| e.position).collect();
    assert_eq!(found, own);
    let from = numbers.below(log.len() as u64 * 10);
    let to = from + numbers.below(5000);
    let within = |n: &usize| (from..=to).contains(&log[*n].clock);
    let wanted: Vec<u64> = (0..log.len()).filter(within).map(|n| n as u64).collect();
    let clock = ClockRange {
        from: Some(from.to_be_bytes().to_vec()),
        to: Some(to.to_be_bytes().to_vec()),
        before: None,
    };
    let filter = Filter { clock: Some(clock), ..Filter::default() };
    let found = query(store, vec![filter.clone()]).unwrap();
    assert_eq!(found.iter().map(|e| e.position).collect::<Vec<_>>(), wanted);
    let spec = ReadSpec { order: Order::Clock, ..ReadSpec::new(Subject::Query(vec![filter])) };
    let found: Vec<u64> = read(store, spec).unwrap().iter().map(|e| e.position).collect();
    let mut sorted = wanted;
    sorted.sort_by_key(|position| (log[*position as usize].clock, *position));
    assert_eq!(found, sorted);
    assert_eq!(store.stats().unwrap().entities, newest(log).len() as u64);
    assert_eq!(all(store).unwrap().len(), log.len());
}

/// An append that was made before is known, and one with a fresh id is not.
fn retry(store: &Store, log: &mut Vec<Known>, numbers: &mut Numbers) {
    for _ in 0..20 {
        let at = numbers.below(log.len() as u64) as usize;
        let receipt = append(store, &[named(&log[at])]).unwrap();
        assert!(receipt.duplicate);
        assert_eq!(receipt.positions, Some((at as u64, at as u64)));
    }
    let stranger = log[numbers.below(log.len() as u64) as usize].id;
    let entity = format!("stranger:{}", log.len());
    let known = Known { entity, clock: log.len() as u64 * 10, id: stranger, version: 0 };
    let clock = known.clock.to_be_bytes();
    let receipt = append(store, &[NewEvent { clock: Some(&clock), ..named(&known) }]).unwrap();
    assert!(!receipt.duplicate, "the same id in another entity is another event");
    assert_eq!(receipt.versions, Some((0, 0)));
    let again = append(store, &[named(&known)]).unwrap();
    assert_eq!((again.duplicate, again.positions), (true, receipt.positions));
    log.push(known);
}

#[expect(clippy::disallowed_methods, reason = "a test plays the part of the world")]
fn spoil(path: &Path, numbers: &mut Numbers) {
    let derived: Vec<PathBuf> = DERIVED.iter().flat_map(|ending| files(path, ending)).collect();
    for file in derived {
        let length = file.metadata().unwrap().len();
        match numbers.below(6) {
            0 => std::fs::remove_file(&file).unwrap(),
            1 | 2 => {
                let open = OpenOptions::new().read(true).write(true).open(&file).unwrap();
                for _ in 0..=numbers.below(4) {
                    let (at, mut byte) = (numbers.below(length), [0]);
                    open.read_exact_at(&mut byte, at).unwrap();
                    open.write_all_at(&[byte[0] ^ 1 << numbers.below(8)], at).unwrap();
                }
            }
            3 => {
                let open = OpenOptions::new().write(true).open(&file).unwrap();
                open.set_len(numbers.below(length)).unwrap();
            }
            _ => {}
        }
    }
    let stray = path.join("runs").join("0000000000000000-0000000000000007.tmp");
    std::fs::write(stray, b"unfinished").unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn the_indexes_answer_like_a_list_whatever_becomes_of_their_files(seed: u64) {
        let mut numbers = Numbers(seed);
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("store");
        let mut log = Vec::new();
        for _ in 0..5 {
            let store = Store::open(&path, options()).unwrap();
            let batches = 1 + numbers.below(10);
            fill(&store, &mut log, batches, &mut numbers);
            check(&store, &log, &mut numbers);
            retry(&store, &mut log, &mut numbers);
            store.close().unwrap();
            drop(store);
            spoil(&path, &mut numbers);
            let store = Store::open(&path, options()).unwrap();
            check(&store, &log, &mut numbers);
            retry(&store, &mut log, &mut numbers);
            let reader = StoreOptions { read_only: true, ..options() };
            check(&Store::open(&path, reader).unwrap(), &log, &mut numbers);
            prop_assert!(verify(&store).ok);
            store.close().unwrap();
            prop_assert!(files(&path, ".tmp").is_empty(), "what was not finished is removed");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test plays the part of the world")]
fn bytes_of(file: &Path) -> Vec<u8> {
    std::fs::read(file).unwrap()
}

/// Gives the opening up after some reports.
#[derive(Debug)]
struct Impatient {
    reports: AtomicU64,
    patience: u64,
}

impl Progress for Impatient {
    fn progress(&self, progress: OpenProgress) -> ControlFlow<()> {
        assert!((0.0..=1.0).contains(&progress.share), "{progress:?}");
        if self.reports.fetch_add(1, Ordering::Relaxed) < self.patience {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }
}

#[test]
fn an_opening_that_is_given_up_changes_nothing_and_the_next_one_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let mut log = Vec::new();
    let mut numbers = Numbers(5);
    let store = Store::open(&path, options()).unwrap();
    fill(&store, &mut log, 50, &mut numbers);
    store.close().unwrap();
    drop(store);
    common::delete_derived(&path);
    let log_bytes = || files(&path, ".seg").iter().map(|file| bytes_of(file)).collect::<Vec<_>>();
    let before = log_bytes();
    for patience in [0, 1, 3] {
        let progress = Impatient { reports: AtomicU64::new(0), patience };
        match Store::open_observed(&path, options(), &progress) {
            Err(error @ Error::Cancelled) => assert_eq!(error.code(), "ERR_CANCELLED"),
            other => panic!("{other:?}"),
        }
        assert!(log_bytes() == before, "the log is as it was");
    }
    let progress = Impatient { reports: AtomicU64::new(0), patience: u64::MAX };
    let store = Store::open_observed(&path, options(), &progress).unwrap();
    assert!(progress.reports.load(Ordering::Relaxed) > 2);
    check(&store, &log, &mut numbers);
}
