//! Every way to find events gives what looking at each of them would, over many parts.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{all, read, relaxed};
use tetralog_core::{
    AppendOptions, BatchEvent, ClockRange, Filter, NewEvent, Order, Pattern, ReadSpec, Store,
    StoreOptions, Subject,
};

const EVENTS: u32 = 20_000;

/// Several segments, each entity in few of them, clocks all over the place.
fn filled() -> (tempfile::TempDir, Store) {
    filled_at(|nth| u64::from(nth.wrapping_mul(2_654_435_761)))
}

fn filled_at(clock: impl Fn(u32) -> u64) -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let options = StoreOptions { segment_max_bytes: 1 << 20, ..relaxed() };
    let store = Store::open(directory.path(), options).unwrap();
    for first in (0..EVENTS).step_by(500) {
        let keys: Vec<_> = (first..first + 500)
            .map(|nth| {
                let entity = match nth % 10 {
                    0 => format!("rare{}", nth / 5000),
                    other => format!("common{}", (nth / 10 + other) % 50),
                };
                let clock = clock(nth).to_be_bytes();
                (entity, format!("fact{}", nth % 4), format!("org/{}", nth % 3), clock)
            })
            .collect();
        let events: Vec<_> = keys
            .iter()
            .map(|(entity, fact, scope, clock)| NewEvent {
                entity,
                fact,
                scope,
                clock: Some(clock),
                payload: &[1; 150],
                content_type: "application/octet-stream",
                ..NewEvent::default()
            })
            .collect();
        store.append(&events, &AppendOptions::default()).unwrap();
    }
    (directory, store)
}

fn exact(names: &[&str]) -> Vec<Pattern> {
    names.iter().map(|name| Pattern::Exact((*name).to_owned())).collect()
}

fn filters() -> Vec<Filter> {
    let fact = Some(vec!["fact2".to_owned()]);
    let scope = Some(vec![Pattern::Exact("org/1".to_owned())]);
    let clock = ClockRange { from: Some(vec![0, 0, 0, 0, 0x80]), ..ClockRange::default() };
    let plain = Filter::default;
    vec![
        Filter { entity: Some(exact(&["rare1"])), ..plain() },
        Filter { entity: Some(exact(&["common3"])), ..plain() },
        Filter { entity: Some(exact(&["common3", "common4"])), fact: fact.clone(), ..plain() },
        Filter { entity: Some(exact(&["rare2", "none"])), scope: scope.clone(), ..plain() },
        Filter { entity: Some(exact(&["rare1", "rare3"])), clock: Some(clock.clone()), ..plain() },
        Filter { fact: fact.clone(), scope, ..plain() },
        Filter { fact, clock: Some(clock), ..plain() },
    ]
}

fn naive(events: &[BatchEvent], filter: &Filter) -> Vec<BatchEvent> {
    let any = |patterns: &Option<Vec<Pattern>>, text: &str| {
        patterns.as_ref().is_none_or(|all| all.iter().any(|pattern| pattern.matches(text)))
    };
    let wanted = |event: &&BatchEvent| {
        any(&filter.entity, &event.entity)
            && any(&filter.scope, &event.scope)
            && filter.fact.as_ref().is_none_or(|facts| facts.contains(&event.fact))
            && filter.clock.as_ref().is_none_or(|range| range.contains(&event.clock))
    };
    events.iter().filter(wanted).cloned().collect()
}

#[test]
fn a_search_finds_and_counts_what_looking_at_every_event_would() {
    let (_directory, store) = filled();
    let events = all(&store).unwrap();
    for filter in filters() {
        let mut expected = naive(&events, &filter);
        assert!(!expected.is_empty(), "{filter:?}");
        let spec = ReadSpec::new(Subject::Query(vec![filter.clone()]));
        assert_eq!(read(&store, spec.clone()).unwrap(), expected, "{filter:?}");
        assert_eq!(store.read(spec.clone()).unwrap().count().unwrap(), expected.len() as u64);
        let limited = ReadSpec { limit: Some(7), ..spec.clone() };
        assert_eq!(read(&store, limited).unwrap(), expected[..7]);
        expected.reverse();
        let backwards = ReadSpec { backwards: true, ..spec };
        assert_eq!(read(&store, backwards).unwrap(), expected, "{filter:?}");
    }
}

#[test]
fn an_explanation_names_the_access_and_the_records_that_it_took() {
    let (_directory, store) = filled();
    let explain = |filter: Filter| {
        store.read(ReadSpec::new(Subject::Query(vec![filter]))).unwrap().explain().unwrap()
    };
    let fact = Some(vec!["fact0".to_owned()]);
    let few = explain(Filter {
        entity: Some(exact(&["none", "nobody"])),
        fact: fact.clone(),
        ..Filter::default()
    });
    assert!(few.plan.starts_with("postings of entities"), "{}", few.plan);
    assert_eq!(few.records_touched, 0);
    let many = explain(Filter { fact, ..Filter::default() });
    assert!(many.plan.starts_with("bitmaps of fact in "), "{}", many.plan);
    assert_eq!(many.records_touched, u64::from(EVENTS) / 4);
    let by_clock = ReadSpec {
        order: Order::Clock,
        ..ReadSpec::new(Subject::Query(vec![Filter {
            fact: Some(vec!["fact0".to_owned()]),
            ..Filter::default()
        }]))
    };
    let by_clock = store.read(by_clock).unwrap().explain().unwrap();
    assert!(by_clock.plan.starts_with("zone map in order of clocks"), "{}", by_clock.plan);
    assert!(by_clock.records_touched > u64::from(EVENTS) / 4, "their clocks were read first");
    let everything = store.read(ReadSpec::new(Subject::All)).unwrap().explain().unwrap();
    assert_eq!(everything.plan, "the log in order, event by event");
    assert_eq!(everything.records_touched, u64::from(EVENTS));
}

#[test]
fn streams_are_whole_whichever_parts_they_are_in() {
    let (_directory, store) = filled();
    let events = all(&store).unwrap();
    for entity in ["rare0", "rare3", "common0", "common49"] {
        let mut expected: Vec<_> =
            events.iter().filter(|event| event.entity == entity).cloned().collect();
        let spec = ReadSpec::new(Subject::Stream(entity.to_owned()));
        assert_eq!(read(&store, spec.clone()).unwrap(), expected);
        assert_eq!(store.read(spec.clone()).unwrap().count().unwrap(), expected.len() as u64);
        let late = ReadSpec { from: Some(100), ..spec.clone() };
        assert_eq!(read(&store, late.clone()).unwrap(), expected[100..]);
        assert_eq!(store.read(late).unwrap().count().unwrap(), expected.len() as u64 - 100);
        let early = ReadSpec { as_of: Some(expected[50].position), ..spec.clone() };
        assert_eq!(read(&store, early.clone()).unwrap(), expected[..50]);
        assert_eq!(store.read(early).unwrap().count().unwrap(), 50);
        expected.reverse();
        assert_eq!(read(&store, ReadSpec { backwards: true, ..spec }).unwrap(), expected);
    }
}

#[test]
fn the_order_of_clocks_holds_however_they_are_disordered() {
    let (_directory, store) = filled();
    check_order_of_clocks(&store);
}

#[test]
fn events_that_come_late_or_from_the_future_have_their_place_in_the_order_of_clocks() {
    let (_directory, store) = filled_at(|nth| match nth % 50 {
        7 => 1000 + u64::from(nth.wrapping_mul(2_654_435_761)) % 300,
        23 => u64::MAX - u64::from(nth % 5),
        _ => (1 << 40) + u64::from(nth / 3) * 1000,
    });
    check_order_of_clocks(&store);
}

fn check_order_of_clocks(store: &Store) {
    let events = all(store).unwrap();
    for filter in [Filter::default(), filters().remove(5), filters().remove(6)] {
        let mut expected = naive(&events, &filter);
        expected.sort_by(|a, b| (&a.clock, a.position).cmp(&(&b.clock, b.position)));
        let subject = Subject::Query(vec![filter.clone()]);
        let spec = ReadSpec { order: Order::Clock, ..ReadSpec::new(subject) };
        assert_eq!(read(store, spec.clone()).unwrap(), expected);
        assert_eq!(store.read(spec.clone()).unwrap().count().unwrap(), expected.len() as u64);
        let first = ReadSpec { limit: Some(10), ..spec.clone() };
        assert_eq!(read(store, first).unwrap(), expected[..10]);
        let rest = ReadSpec { after: Some(expected[9].position), ..spec.clone() };
        assert_eq!(read(store, rest).unwrap(), expected[10..]);
        expected.reverse();
        assert_eq!(read(store, ReadSpec { backwards: true, ..spec }).unwrap(), expected);
    }
}

#[test]
fn entities_of_many_parts_are_listed_once_and_no_more_than_asked_for() {
    let (_directory, store) = filled();
    let mut expected: Vec<String> =
        all(&store).unwrap().into_iter().map(|event| event.entity).collect();
    expected.sort();
    expected.dedup();
    let list = |prefix: &str, after: Option<&str>, limit: Option<u64>| {
        let after = after.map(str::to_owned);
        let subject = Subject::Entities { prefix: prefix.to_owned(), after };
        let read = store.read(ReadSpec { limit, ..ReadSpec::new(subject) }).unwrap();
        let mut names = Vec::new();
        while let Some(batch) = read.next().unwrap() {
            names.extend(names_of(&batch));
        }
        names
    };
    assert_eq!(list("", None, None), expected);
    assert_eq!(list("", Some("common30"), Some(3)), ["common31", "common32", "common33"]);
    assert_eq!(list("rare", None, None), ["rare0", "rare1", "rare2", "rare3"]);
    assert_eq!(list("rare", Some("rare2"), None), ["rare3"]);
    assert_eq!(list("none", None, None), Vec::<String>::new());
}

fn names_of(batch: &[u8]) -> Vec<String> {
    let number = |at: usize| u32::from_le_bytes(batch[at..at + 4].try_into().unwrap()) as usize;
    let name = |nth: usize| {
        let (start, length) = (number(8 + nth * 24 + 16), number(8 + nth * 24 + 20));
        String::from_utf8(batch[start..start + length].to_vec()).unwrap()
    };
    (0..number(0)).map(name).collect()
}

#[test]
fn more_events_than_are_selected_at_once_come_in_the_order_of_clocks_too() {
    let store = Store::memory(StoreOptions::default()).unwrap();
    let clock = |nth: u32| nth.wrapping_mul(2_654_435_761).to_be_bytes();
    let count = 70_000;
    for first in (0..count).step_by(1000) {
        let clocks: Vec<_> = (first..first + 1000).map(clock).collect();
        let events: Vec<_> = clocks
            .iter()
            .map(|clock| NewEvent { clock: Some(clock), ..common::event("e", "f", b"") })
            .collect();
        store.append(&events, &AppendOptions::default()).unwrap();
    }
    let mut expected: Vec<u64> = (0..u64::from(count)).collect();
    expected.sort_by_key(|position| clock(*position as u32));
    let subject = Subject::Query(vec![Filter::default()]);
    let spec = ReadSpec { order: Order::Clock, ..ReadSpec::new(subject) };
    let positions = |spec| -> Vec<u64> {
        read(&store, spec).unwrap().into_iter().map(|event| event.position).collect()
    };
    assert_eq!(positions(spec.clone()), expected);
    expected.reverse();
    assert_eq!(positions(ReadSpec { backwards: true, ..spec }), expected);
}
