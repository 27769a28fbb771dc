//! Reading at once, on a thread that must not wait, and by other threads: the same answers, and never
//! a wait.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{append, event, relaxed, small};
use tetralog_core::{
    Batch, BatchEvent, Filter, Order, Pattern, Read, ReadSpec, Result, Store, StoreOptions, Subject,
};

const OUT: usize = 128 << 10;

/// The first batch, if it comes at once.
fn now(read: &Read) -> Result<Option<Vec<u8>>> {
    let mut out = vec![0; OUT];
    let length = read.next_now(&mut out)?;
    Ok(length.map(|length| out[..length].to_vec()))
}

fn filled(options: StoreOptions, events: usize) -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), options).unwrap();
    for nth in 0..events {
        let (entity, fact) = (format!("e{}", nth % 7), format!("f{}", nth % 3));
        append(&store, &[event(&entity, &fact, &[nth as u8; 100])]).unwrap();
    }
    (directory, store)
}

fn by_fact(fact: &str) -> Subject {
    Subject::Query(vec![Filter { fact: Some(vec![fact.to_owned()]), ..Filter::default() }])
}

fn specs() -> Vec<ReadSpec> {
    let subjects = [
        Subject::All,
        Subject::Stream("e3".to_owned()),
        Subject::Stream("none".to_owned()),
        by_fact("f1"),
        by_fact("none"),
    ];
    let mut specs = Vec::new();
    for subject in subjects {
        for (backwards, limit) in [(false, 0), (false, 5), (true, 5), (false, 100), (true, 100)] {
            let from = backwards.then_some(11).filter(|_| limit == 100);
            let plain = ReadSpec::new(subject.clone());
            specs.push(ReadSpec { backwards, limit: Some(limit), from, ..plain });
        }
    }
    specs
}

fn pooled(store: &Store, spec: &ReadSpec) -> Vec<BatchEvent> {
    common::read(store, spec.clone()).unwrap()
}

#[test]
fn what_is_read_at_once_is_what_another_thread_reads() {
    for options in [relaxed(), StoreOptions { segment_max_bytes: 1 << 20, ..relaxed() }] {
        let (_directory, store) = filled(options, 300);
        for spec in specs() {
            let read = store.read(spec.clone()).unwrap();
            let batch = Batch::new(now(&read).unwrap().unwrap());
            let mut events = batch.events(&store.source()).unwrap();
            while let Some(batch) = read.next().unwrap() {
                events.extend(Batch::new(batch).events(&store.source()).unwrap());
            }
            assert_eq!(events, pooled(&store, &spec), "{spec:?}");
        }
    }
}

#[test]
fn a_memory_store_answers_at_once_too() {
    let store = Store::memory(StoreOptions::default()).unwrap();
    append(&store, &[event("a", "f", b"1"), event("b", "f", b"2")]).unwrap();
    let read = store.read(ReadSpec::new(Subject::Stream("b".to_owned()))).unwrap();
    let batch = Batch::new(now(&read).unwrap().unwrap());
    assert!(batch.is_last());
    assert_eq!(batch.events(&store.source()).unwrap()[0].payload, b"2");
}

#[test]
fn exactly_the_last_batch_says_that_it_is_the_last() {
    let (_directory, store) = filled(relaxed(), 3000);
    for spec in [
        ReadSpec::new(Subject::All),
        ReadSpec::new(by_fact("none")),
        ReadSpec { limit: Some(2000), ..ReadSpec::new(Subject::All) },
        ReadSpec { order: Order::Clock, ..ReadSpec::new(by_fact("f1")) },
    ] {
        let read = store.read(spec).unwrap();
        let mut ended = false;
        while let Some(batch) = read.next().unwrap() {
            assert!(!ended, "a batch comes behind the last one");
            ended = Batch::new(batch).is_last();
        }
        assert!(ended, "the read ended without saying so");
    }
}

#[test]
fn a_long_answer_begins_at_once_and_goes_on() {
    let (_directory, store) = filled(relaxed(), 7 * 1000);
    let spec = ReadSpec::new(Subject::Stream("e3".to_owned()));
    let read = store.read(spec.clone()).unwrap();
    let first = Batch::new(now(&read).unwrap().unwrap());
    assert!(!first.is_last() && !first.is_empty());
    let mut events = first.events(&store.source()).unwrap();
    while let Some(batch) = read.next().unwrap() {
        events.extend(Batch::new(batch).events(&store.source()).unwrap());
    }
    assert_eq!(events.len(), 1000);
    assert_eq!(events, pooled(&store, &spec));
}

#[test]
fn what_is_too_large_to_work_on_at_once_is_left_to_another_thread() {
    let store = Store::memory(StoreOptions::default()).unwrap();
    append(&store, &[event("a", "f", &vec![7; 1 << 20])]).unwrap();
    assert_eq!(store.without_waiting(|store| store.latest("a")).unwrap(), None);
    assert_eq!(store.without_waiting(|store| store.version("a")).unwrap(), Some(Some(0)));
    let read = store.read(ReadSpec::new(Subject::Stream("a".to_owned()))).unwrap();
    assert_eq!(now(&read).unwrap(), None);
    // The read has not begun: another thread sees what was appended since.
    append(&store, &[event("a", "g", b"")]).unwrap();
    let mut facts = Vec::new();
    while let Some(batch) = read.next().unwrap() {
        facts.extend(
            Batch::new(batch).events(&store.source()).unwrap().into_iter().map(|event| event.fact),
        );
    }
    assert_eq!(facts, ["f", "g"]);
}

/// Drops a directory's files from the page cache. They must be neither mapped nor dirty.
fn evict(directory: &std::path::Path) {
    for file in common::files(directory, "") {
        #[expect(clippy::disallowed_methods, reason = "a test plays the part of the world")]
        let file = std::fs::File::open(file).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    }
}

#[test]
fn what_is_not_in_memory_is_left_to_another_thread_and_read_at_once_afterwards() {
    // Not below the system's folder for temporary files, which may be in memory.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let options = || StoreOptions { segment_max_bytes: 1 << 20, ..relaxed() };
    let store = Store::open(directory.path(), options()).unwrap();
    for nth in 0..3000_u32 {
        let entity = format!("e{}", nth % 7);
        append(&store, &[event(&entity, "f", &[nth as u8; 1000])]).unwrap();
    }
    store.close().unwrap();
    drop(store);
    evict(directory.path());

    let store = Store::open(directory.path(), options()).unwrap();
    assert_eq!(store.without_waiting(|store| store.event(5)).unwrap(), None);
    let event = store.event(5).unwrap();
    assert_eq!(store.without_waiting(|store| store.event(5)).unwrap(), Some(event));

    let limited = ReadSpec { limit: Some(20), ..ReadSpec::new(Subject::Stream("e1".to_owned())) };
    let read = store.read(limited.clone()).unwrap();
    assert_eq!(now(&read).unwrap(), None);
    let events = Batch::new(read.next().unwrap().unwrap()).events(&store.source()).unwrap();
    assert_eq!(events.len(), 20);
    let again = now(&store.read(limited).unwrap()).unwrap();
    assert_eq!(Batch::new(again.unwrap()).events(&store.source()).unwrap(), events);
}

#[test]
fn a_scan_of_a_large_log_is_not_begun_at_once() {
    let (_directory, store) = filled(relaxed(), 300);
    let all = store.read(ReadSpec::new(Subject::All)).unwrap();
    assert_eq!(now(&all).unwrap(), None);
}

#[test]
fn a_query_that_could_go_through_much_of_an_index_is_not_begun_at_once() {
    let (_directory, store) = filled(relaxed(), 5000);
    let at_once = |filter: Filter, limit| {
        let subject = Subject::Query(vec![filter]);
        let spec = ReadSpec { limit, ..ReadSpec::new(subject) };
        now(&store.read(spec).unwrap()).unwrap().is_some()
    };
    let named = || Filter { fact: Some(vec!["f1".to_owned()]), ..Filter::default() };
    let pattern = Some(vec![Pattern::Prefix("e".to_owned())]);
    assert!(at_once(named(), Some(10)));
    assert!(!at_once(named(), None));
    assert!(!at_once(Filter { entity: pattern, ..named() }, Some(10)));
}

#[test]
fn a_reader_of_another_writers_log_answers_at_once_while_it_is_near() {
    let (directory, store) = filled(small(), 10);
    let options = StoreOptions { read_only: true, ..small() };
    let reader = Store::open(directory.path(), options).unwrap();
    let version = || reader.without_waiting(|reader| reader.version("e1")).unwrap();
    assert_eq!(version(), Some(Some(1)));
    append(&store, &[event("e1", "f", b"new")]).unwrap();
    assert_eq!(version(), Some(Some(2)));
    let read = reader.read(ReadSpec::new(Subject::Stream("e1".to_owned()))).unwrap();
    let events = Batch::new(now(&read).unwrap().unwrap()).events(&reader.source()).unwrap();
    assert_eq!(events.last().unwrap().payload, b"new");

    // Two events of 48 KiB are too much to take up at once, and nothing of them is.
    let long = vec![0; 48 << 10];
    append(&store, &[event("e1", "f", &long), event("e1", "f", &long)]).unwrap();
    assert_eq!(version(), None);
    assert_eq!(version(), None);
    assert_eq!(reader.version("e1").unwrap(), Some(4));
    assert_eq!(version(), Some(Some(4)));
}

#[test]
fn a_reader_at_once_and_one_that_waits_follow_a_writer_to_the_same_end() {
    let (directory, store) = filled(small(), 10);
    let options = StoreOptions { read_only: true, ..small() };
    let reader = Store::open(directory.path(), options).unwrap();
    // Over several segments.
    for round in 0..3000_u64 {
        append(&store, &[event("e1", "f", &[7; 1500])]).unwrap();
        let expected = Some(round + 2);
        match reader.without_waiting(|reader| reader.version("e1")).unwrap() {
            Some(version) => assert_eq!(version, expected),
            None => assert_eq!(reader.version("e1").unwrap(), expected),
        }
    }
    assert_eq!(common::all(&reader).unwrap(), common::all(&store).unwrap());
}

#[test]
fn previous_links_come_with_batches_that_are_asked_for_them_or_on_their_own() {
    let (_directory, store) = filled(relaxed(), 3000);
    let read = store.read(ReadSpec::new(Subject::All)).unwrap();
    let first = Batch::new(read.next().unwrap().unwrap()).events(&store.source()).unwrap();
    read.want_previous_links();
    let batch = Batch::new(read.next().unwrap().unwrap());
    let second = batch.events(&store.source()).unwrap();
    let positions: Vec<u64> = second.iter().map(|event| event.position).collect();
    let own = store.source().previous_links(&positions[..64]).unwrap();
    let all: Vec<&BatchEvent> = first.iter().chain(&second).collect();
    for (nth, event) in second.iter().take(64).enumerate() {
        let previous = batch.previous_link(nth).unwrap();
        assert_eq!(previous, own[nth * 32..nth * 32 + 32]);
        let before =
            |other: &&&BatchEvent| other.entity == event.entity && other.position < event.position;
        assert_eq!(previous, all.iter().rfind(before).unwrap().link);
    }
}

#[test]
fn a_cancelled_read_gives_up() {
    let (_directory, store) = filled(relaxed(), 10);
    let read = store.read(ReadSpec::new(Subject::All)).unwrap();
    read.cancel();
    assert!(read.count().is_err());
    assert!(read.next().is_err());
}
