//! Long segments: the tail becomes runs, runs become an index when the segment is sealed, and a
//! reader beside the writer sees the same all along.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{all, append, delete_derived, event, files, query, relaxed, stream, verify};
use tetralog_core::{
    Durability, Filter, NewEvent, Pattern, ReadSpec, Store, StoreOptions, Subject,
};

const BATCH: u32 = 1000;

/// Appends `batches` batches of small events over many entities, facts and scopes.
fn fill(store: &Store, batches: u32, from: u32) {
    for batch in from..from + batches {
        let names: Vec<[String; 4]> = (0..BATCH)
            .map(|n| {
                let i = batch * BATCH + n;
                [
                    format!("entity:{}", i.wrapping_mul(2_654_435_761) % 5000),
                    format!("fact{}", i % 16),
                    format!("org:{}/team:{}", i % 10, i % 7),
                    format!("tag{}", i % 1000),
                ]
            })
            .collect();
        let clocks: Vec<[u8; 8]> =
            (0..BATCH).map(|n| u64::from(batch * BATCH + n).to_be_bytes()).collect();
        let events: Vec<NewEvent<'_>> = names
            .iter()
            .zip(&clocks)
            .map(|([entity, fact, scope, tag], clock)| NewEvent {
                scope,
                clock: Some(clock),
                tags: vec![tag],
                ..event(entity, fact, b"payload of a small event")
            })
            .collect();
        append(store, &events).unwrap();
    }
}

fn check(store: &Store, total: u32) {
    let read = store.read(ReadSpec::new(Subject::All)).unwrap();
    assert_eq!(read.count().unwrap(), u64::from(total));
    let wanted: Vec<u64> =
        (0..total).filter(|i| i % 16 == 3 && i % 10 == 3).map(u64::from).collect();
    let filter = Filter {
        fact: Some(vec!["fact3".into()]),
        scope: Some(vec![Pattern::Below("org:3".into())]),
        ..Filter::default()
    };
    let found: Vec<u64> = query(store, vec![filter]).unwrap().iter().map(|e| e.position).collect();
    assert_eq!(found, wanted);
    let name = "entity:1234";
    let wanted: Vec<u64> = (0..total)
        .filter(|i| i.wrapping_mul(2_654_435_761) % 5000 == 1234)
        .map(u64::from)
        .collect();
    let events = stream(store, name).unwrap();
    assert_eq!(events.iter().map(|e| e.position).collect::<Vec<_>>(), wanted);
    let versions: Vec<u64> = (0..wanted.len() as u64).collect();
    assert_eq!(events.iter().map(|e| e.version).collect::<Vec<_>>(), versions);
    assert_eq!(store.version(name).unwrap(), versions.last().copied());
    assert_eq!(store.stats().unwrap().entities, 5000);
}

#[test]
fn runs_answer_like_the_tail_and_survive_reopening_and_deletion() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let options = StoreOptions { segment_max_bytes: 64 << 20, ..relaxed() };
    let store = Store::open(&path, options.clone()).unwrap();
    fill(&store, 200, 0);
    check(&store, 200_000);
    let reader = Store::open(&path, StoreOptions { read_only: true, ..options.clone() }).unwrap();
    check(&reader, 200_000);
    fill(&store, 100, 200);
    check(&store, 300_000);
    check(&reader, 300_000);
    store.close().unwrap();
    assert!(!files(&path, ".run").is_empty(), "the active segment has runs");
    assert!(!files(&path, ".idx").is_empty(), "sealed segments have an index");

    let store = Store::open(&path, options.clone()).unwrap();
    assert!(store.recovery().clean);
    assert!(store.recovery().replayed_events <= 70_000, "opening replays at most a run");
    check(&store, 300_000);
    assert!(verify(&store).ok);
    store.close().unwrap();

    delete_derived(&path);
    let store = Store::open(&path, options).unwrap();
    assert!(store.damage().is_empty());
    check(&store, 300_000);
    let last = all(&store).unwrap().pop().unwrap();
    let receipt = append(&store, &[event(&last.entity, "next", b"")]).unwrap();
    assert_eq!(receipt.versions, Some((last.version + 1, last.version + 1)));
    assert!(verify(&store).ok);
}

#[test]
fn both_writers_write_the_same_format() {
    let root = tempfile::tempdir().unwrap();
    for durability in [Durability::Sync, Durability::Interval, Durability::None] {
        let path = root.path().join(format!("{durability:?}"));
        let options = StoreOptions { durability, segment_max_bytes: 1 << 20, ..relaxed() };
        let store = Store::open(&path, options.clone()).unwrap();
        fill(&store, 10, 0);
        store.close().unwrap();
        let other = StoreOptions { durability: Durability::Sync, ..options };
        let store = Store::open(&path, other).unwrap();
        fill(&store, 10, 10);
        check(&store, 20_000);
        assert!(verify(&store).ok);
    }
}

#[test]
fn a_closed_store_gives_back_the_space_it_does_not_use() {
    use std::os::unix::fs::MetadataExt;
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let store = Store::open(&path, relaxed()).unwrap();
    fill(&store, 120, 0);
    let used = store.stats().unwrap().bytes;
    store.close().unwrap();
    let allocated: u64 =
        files(&path, "").iter().map(|file| file.metadata().unwrap().blocks() * 512).sum();
    assert!(allocated < 2 * used + (9 << 20), "{allocated} bytes for {used} of log");
    let store = Store::open(&path, relaxed()).unwrap();
    assert!(store.damage().is_empty());
    fill(&store, 60, 120);
    assert_eq!(all(&store).unwrap().len(), 180_000);
    store.close().unwrap();
}

#[test]
fn a_reader_that_looks_at_any_moment_answers_as_the_writer_does_whose_runs_are_merged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let options = StoreOptions { segment_max_bytes: 256 << 20, ..relaxed() };
    let store = Store::open(&path, options.clone()).unwrap();
    let reader = Store::open(&path, StoreOptions { read_only: true, ..options }).unwrap();
    // Batches of 1000; looked at when a reader's tail and a run of the writer would not end together.
    for round in 0..13 {
        fill(&store, 40, round * 40);
        check(&reader, (round + 1) * 40_000);
        assert_eq!(reader.damage(), []);
    }
    assert!(verify(&reader).ok);
    assert!(store.damage().is_empty());
}
