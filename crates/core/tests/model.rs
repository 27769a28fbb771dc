//! Random programs against a plain model: what a store answers equals what a list of events would,
//! whatever is reopened or deleted in between.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{append, copy_dir, delete_derived, read, verify};
use proptest::prelude::*;
use tetralog_core::{
    AppendOptions, ClockRange, Condition, Error, Expected, Filter, NewEvent, Order, Pattern,
    ReadSpec, Store, StoreOptions, Subject,
};

#[derive(Debug, Clone)]
struct Planned {
    entity: usize,
    fact: usize,
    scope: usize,
    clock: Vec<u8>,
    tags: Vec<usize>,
    size: usize,
}

#[derive(Debug, Clone)]
enum Op {
    Append { events: Vec<Planned>, ids: bool, expected: Option<Expected>, unless: Option<Ask> },
    Retry { back: usize },
    Read(Ask, Window),
    Stream(usize, Window),
    Reopen { delete: bool },
    Crash,
    ReadOnly,
}

#[derive(Debug, Clone, Default)]
struct Ask {
    entity: Option<(usize, bool)>,
    fact: Option<Vec<usize>>,
    scope: Option<(usize, bool)>,
    clock: Option<(u8, u8)>,
    any: Option<Vec<usize>>,
    all: Option<Vec<usize>>,
    after: Option<u64>,
}

#[derive(Debug, Clone)]
struct Window {
    backwards: bool,
    by_clock: bool,
    start: Option<(bool, u64)>,
    limit: Option<u64>,
}

#[derive(Debug, Clone)]
struct Known {
    position: u64,
    version: u64,
    entity: String,
    fact: String,
    scope: String,
    clock: Vec<u8>,
    tags: Vec<String>,
    id: Option<[u8; 16]>,
    payload: Vec<u8>,
}

const SCOPES: [&str; 6] = ["", "a", "a/b", "a/b/c", "a2", "b"];

fn entity(n: usize) -> String {
    format!("e{}", "x".repeat(n % 3) + &n.to_string())
}
fn fact(n: usize) -> String {
    format!("f{n}")
}
fn tag(n: usize) -> String {
    format!("t{n}")
}

fn planned() -> impl Strategy<Value = Planned> {
    (
        0..12_usize,
        0..4_usize,
        0..SCOPES.len(),
        proptest::collection::vec(0..4_u8, 0..4),
        proptest::collection::vec(0..5_usize, 0..3),
        prop_oneof![9 => 0..200_usize, 1 => 20_000..60_000_usize],
    )
        .prop_map(|(entity, fact, scope, clock, tags, size)| Planned {
            entity,
            fact,
            scope,
            clock,
            tags,
            size,
        })
}

fn ask() -> impl Strategy<Value = Ask> {
    (
        proptest::option::of((0..12_usize, any::<bool>())),
        proptest::option::of(proptest::collection::vec(0..4_usize, 0..3)),
        proptest::option::of((0..SCOPES.len(), any::<bool>())),
        proptest::option::weighted(0.3, (0..4_u8, 0..4_u8)),
        proptest::option::weighted(0.3, proptest::collection::vec(0..5_usize, 0..3)),
        proptest::option::weighted(0.3, proptest::collection::vec(0..5_usize, 0..3)),
        proptest::option::of(0..60_u64),
    )
        .prop_map(|(entity, fact, scope, clock, any, all, after)| Ask {
            entity,
            fact,
            scope,
            clock,
            any,
            all,
            after,
        })
}

fn window() -> impl Strategy<Value = Window> {
    (
        any::<bool>(),
        proptest::bool::weighted(0.3),
        proptest::option::of((any::<bool>(), 0..60_u64)),
        proptest::option::of(0..20_u64),
    )
        .prop_map(|(backwards, by_clock, start, limit)| Window {
            backwards,
            by_clock,
            start,
            limit,
        })
}

fn expected() -> impl Strategy<Value = Expected> {
    prop_oneof![
        Just(Expected::Any),
        Just(Expected::None),
        Just(Expected::Exists),
        (0..5_u64).prop_map(Expected::Version)
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        10 => (
            proptest::collection::vec(planned(), 0..6),
            any::<bool>(),
            proptest::option::weighted(0.3, expected()),
            proptest::option::weighted(0.3, ask()),
        )
            .prop_map(|(events, ids, expected, unless)| Op::Append { events, ids, expected, unless }),
        3 => (0..10_usize).prop_map(|back| Op::Retry { back }),
        6 => (ask(), window()).prop_map(|(ask, window)| Op::Read(ask, window)),
        3 => (0..12_usize, window()).prop_map(|(entity, window)| Op::Stream(entity, window)),
        1 => any::<bool>().prop_map(|delete| Op::Reopen { delete }),
        1 => Just(Op::Crash),
        1 => Just(Op::ReadOnly),
    ]
}

impl Ask {
    fn filter(&self) -> Filter {
        let names = |list: &Vec<usize>, name: fn(usize) -> String| {
            list.iter().map(|n| name(*n)).collect::<Vec<String>>()
        };
        Filter {
            entity: self.entity.map(|(n, prefix)| {
                let name = entity(n);
                let short = name[..name.len() - 1].to_owned();
                vec![if prefix { Pattern::Prefix(short) } else { Pattern::Exact(name) }]
            }),
            fact: self.fact.as_ref().map(|list| names(list, fact)),
            scope: self.scope.map(|(n, below)| {
                let scope = SCOPES[n].to_owned();
                vec![if below { Pattern::Below(scope) } else { Pattern::Exact(scope) }]
            }),
            clock: self.clock.map(|(from, to)| ClockRange {
                from: Some(vec![from]),
                to: Some(vec![to, 1]),
                before: None,
            }),
            tags_any: self.any.as_ref().map(|list| names(list, tag)),
            tags_all: self.all.as_ref().map(|list| names(list, tag)),
        }
    }

    fn matches(&self, event: &Known) -> bool {
        let has = |n: &usize| event.tags.contains(&tag(*n));
        self.entity.is_none_or(|(n, prefix)| {
            let name = entity(n);
            if prefix {
                event.entity.starts_with(&name[..name.len() - 1])
            } else {
                event.entity == name
            }
        }) && self.fact.as_ref().is_none_or(|list| list.iter().any(|n| event.fact == fact(*n)))
            && self.scope.is_none_or(|(n, below)| {
                let scope = SCOPES[n];
                event.scope == scope || below && event.scope.starts_with(&format!("{scope}/"))
            })
            && self.clock.is_none_or(|(from, to)| {
                event.clock.as_slice() >= [from].as_slice()
                    && event.clock.as_slice() <= [to, 1].as_slice()
            })
            && self.any.as_ref().is_none_or(|list| list.iter().any(has))
            && self.all.as_ref().is_none_or(|list| !list.is_empty() && list.iter().all(has))
    }
}

struct Model {
    events: Vec<Known>,
    /// Appends with ids, to be tried again.
    appended: Vec<(Vec<Known>, u64)>,
    next_id: u128,
}

impl Model {
    fn version(&self, entity: &str) -> Option<u64> {
        self.events.iter().rev().find(|e| e.entity == entity).map(|e| e.version)
    }

    /// The window of a sorted list of events; the number of an event is its position or version.
    fn cut(mut list: Vec<Known>, window: &Window, versions: bool, all: &[Known]) -> Vec<Known> {
        let number = |e: &Known| if versions { e.version } else { e.position };
        if window.by_clock && !versions {
            list.sort_by(|a, b| (&a.clock, a.position).cmp(&(&b.clock, b.position)));
        }
        if window.backwards {
            list.reverse();
        }
        if let Some((inclusive, start)) = window.start {
            if window.by_clock && !versions {
                let Some(at) = all.iter().find(|e| e.position == start) else {
                    return Vec::new();
                };
                let key = (at.clock.clone(), at.position);
                list.retain(|e| {
                    let own = (e.clock.clone(), e.position);
                    if own == key {
                        return inclusive;
                    }
                    if window.backwards { own < key } else { own > key }
                });
            } else {
                list.retain(|e| {
                    if number(e) == start {
                        return inclusive;
                    }
                    if window.backwards { number(e) < start } else { number(e) > start }
                });
            }
        }
        list.truncate(window.limit.map_or(usize::MAX, |limit| limit as usize));
        list
    }
}

impl Window {
    fn apply(&self, spec: &mut ReadSpec) {
        spec.backwards = self.backwards;
        spec.order = if self.by_clock { Order::Clock } else { Order::Position };
        spec.limit = self.limit;
        match self.start {
            Some((true, start)) => spec.from = Some(start),
            Some((false, start)) => spec.after = Some(start),
            None => {}
        }
    }
}

fn options() -> StoreOptions {
    StoreOptions { durability: tetralog_core::Durability::None, ..common::small() }
}

fn to_events<'a>(known: &'a [Known], tags: &'a [Vec<&'a str>]) -> Vec<NewEvent<'a>> {
    known
        .iter()
        .zip(tags)
        .map(|(k, tags)| NewEvent {
            entity: &k.entity,
            fact: &k.fact,
            scope: &k.scope,
            clock: Some(&k.clock),
            id: k.id,
            tags: tags.clone(),
            content_type: "application/octet-stream",
            payload: &k.payload,
            ..NewEvent::default()
        })
        .collect()
}

fn run(ops: &[Op], on_disk: bool) {
    let root = tempfile::tempdir().unwrap();
    let mut directory = root.path().join("store");
    let mut store = if on_disk {
        Store::open(&directory, options()).unwrap()
    } else {
        Store::memory(StoreOptions { segment_max_bytes: 1 << 20, ..StoreOptions::default() })
            .unwrap()
    };
    let mut model = Model { events: Vec::new(), appended: Vec::new(), next_id: 1 };
    for (nth, op) in ops.iter().enumerate() {
        match op {
            Op::Append { events, ids, expected, unless } => {
                do_append(&store, &mut model, events, *ids, *expected, unless.as_ref());
            }
            Op::Retry { back } => {
                let len = model.appended.len();
                if len > 0 {
                    let (known, first) = &model.appended[len - 1 - back % len];
                    let tags: Vec<Vec<&str>> = known.iter().map(|_| Vec::new()).collect();
                    let receipt = append(&store, &to_events(known, &tags)).unwrap();
                    assert!(receipt.duplicate);
                    assert_eq!(receipt.positions, Some((*first, first + known.len() as u64 - 1)));
                }
            }
            Op::Read(ask, window) => check_read(&store, &model, ask, window),
            Op::Stream(n, window) => {
                let name = entity(*n);
                let mut spec = ReadSpec::new(Subject::Stream(name.clone()));
                window.apply(&mut spec);
                let own = model.events.iter().filter(|e| e.entity == name).cloned().collect();
                let wanted = Model::cut(own, window, true, &model.events);
                let got = read(&store, spec.clone()).unwrap();
                let versions = |list: Vec<u64>| list;
                assert_eq!(
                    versions(got.iter().map(|e| e.version).collect()),
                    versions(wanted.iter().map(|e| e.version).collect())
                );
                assert_eq!(store.read(spec).unwrap().count().unwrap(), wanted.len() as u64);
            }
            Op::Reopen { delete } if on_disk => {
                store.close().unwrap();
                if *delete {
                    delete_derived(&directory);
                }
                store = Store::open(&directory, options()).unwrap();
                assert!(store.damage().is_empty());
            }
            Op::Crash if on_disk => {
                let copy = root.path().join(format!("copy{nth}"));
                copy_dir(&directory, &copy);
                store.close().unwrap();
                directory = copy;
                store = Store::open(&directory, options()).unwrap();
                assert!(store.damage().is_empty(), "{:?}", store.damage());
            }
            Op::ReadOnly if on_disk => {
                let reader =
                    Store::open(&directory, StoreOptions { read_only: true, ..options() }).unwrap();
                assert!(reader.damage().is_empty(), "{:?}", reader.damage());
                check_all(&reader, &model);
            }
            _ => {}
        }
    }
    check_all(&store, &model);
    let report = verify(&store);
    assert!(report.ok, "{report:?}");
    assert_eq!(report.events, model.events.len() as u64);
    store.close().unwrap();
}

fn check_all(store: &Store, model: &Model) {
    let everything = Window { backwards: false, by_clock: false, start: None, limit: None };
    check_read(store, model, &Ask::default(), &everything);
    for n in 0..12 {
        assert_eq!(store.version(&entity(n)).unwrap(), model.version(&entity(n)));
    }
    let mut entities: Vec<&str> = model.events.iter().map(|e| e.entity.as_str()).collect();
    entities.sort_unstable();
    entities.dedup();
    assert_eq!(store.stats().unwrap().entities, entities.len() as u64);
}

fn do_append(
    store: &Store,
    model: &mut Model,
    events: &[Planned],
    ids: bool,
    expected: Option<Expected>,
    unless: Option<&Ask>,
) {
    let mut known: Vec<Known> = Vec::new();
    for planned in events {
        let name = entity(planned.entity);
        let earlier = known.iter().rev().find(|e| e.entity == name).map(|e| e.version);
        let version = earlier.or_else(|| model.version(&name)).map_or(0, |v| v + 1);
        let mut tags: Vec<String> = planned.tags.iter().map(|n| tag(*n)).collect();
        tags.sort();
        tags.dedup();
        model.next_id += 1;
        known.push(Known {
            position: (model.events.len() + known.len()) as u64,
            version,
            entity: name,
            fact: fact(planned.fact),
            scope: SCOPES[planned.scope].to_owned(),
            clock: planned.clock.clone(),
            tags,
            id: ids.then(|| model.next_id.to_be_bytes()),
            payload: vec![planned.size as u8; planned.size],
        });
    }
    let one_entity = known.iter().all(|e| e.entity == known[0].entity) && !known.is_empty();
    let expected = expected.filter(|_| one_entity);
    let options = AppendOptions {
        expected,
        unless: unless
            .iter()
            .map(|ask| Condition { filters: vec![ask.filter()], after: ask.after })
            .collect(),
        ..AppendOptions::default()
    };
    let tags: Vec<Vec<&str>> =
        known.iter().map(|e| e.tags.iter().map(String::as_str).collect()).collect();
    let result = store.append(&to_events(&known, &tags), &options);
    let holds = expected.is_none_or(|expected| {
        let now = model.version(&known[0].entity);
        match expected {
            Expected::Any => true,
            Expected::None => now.is_none(),
            Expected::Exists => now.is_some(),
            Expected::Version(version) => now == Some(version),
        }
    });
    if !holds {
        assert!(matches!(result, Err(Error::WrongExpectedVersion { .. })), "{result:?}");
        return;
    }
    let newest = model.events.last().map(|event| event.position);
    if let Some(ahead) = unless.and_then(|ask| ask.after).filter(|after| Some(*after) > newest) {
        match result {
            Err(Error::PositionAhead { position, head }) => {
                assert_eq!((position, head), (ahead, newest));
            }
            other => panic!("expected {ahead} to be ahead of {newest:?}, got {other:?}"),
        }
        return;
    }
    let conflict = unless.and_then(|ask| {
        let from = ask.after.map_or(0, |after| after + 1);
        model.events.iter().find(|e| e.position >= from && ask.matches(e)).map(|e| e.position)
    });
    if let Some(position) = conflict {
        match result {
            Err(Error::ConditionFailed { position: found, .. }) => assert_eq!(found, position),
            other => panic!("expected a conflict at {position}, got {other:?}"),
        }
        return;
    }
    let receipt = result.unwrap();
    assert_eq!(receipt.count as usize, known.len());
    assert!(!receipt.duplicate);
    if let Some(first) = known.first() {
        assert_eq!(receipt.positions.unwrap().0, first.position);
        if ids {
            model.appended.push((known.clone(), first.position));
        }
    }
    model.events.extend(known);
}

fn check_read(store: &Store, model: &Model, ask: &Ask, window: &Window) {
    let mut spec = ReadSpec::new(Subject::Query(vec![ask.filter()]));
    window.apply(&mut spec);
    let matching = model.events.iter().filter(|e| ask.matches(e)).cloned().collect();
    let wanted = Model::cut(matching, window, false, &model.events);
    let got = read(store, spec.clone()).unwrap();
    let positions: Vec<u64> = got.iter().map(|e| e.position).collect();
    let expected: Vec<u64> = wanted.iter().map(|e| e.position).collect();
    assert_eq!(positions, expected, "{ask:?} {window:?}");
    for (got, wanted) in got.iter().zip(&wanted) {
        assert_eq!(got.entity, wanted.entity);
        assert_eq!(got.version, wanted.version);
        assert_eq!(got.fact, wanted.fact);
        assert_eq!(got.scope, wanted.scope);
        assert_eq!(got.clock, wanted.clock);
        assert_eq!(got.tags, wanted.tags);
        assert_eq!(got.payload, wanted.payload);
        if let Some(id) = wanted.id {
            assert_eq!(got.id, id);
        }
    }
    assert_eq!(store.read(spec).unwrap().count().unwrap(), wanted.len() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_store_on_disk_answers_like_the_model(ops in proptest::collection::vec(op(), 1..60)) {
        run(&ops, true);
    }

    #[test]
    fn a_store_in_memory_answers_like_the_model(ops in proptest::collection::vec(op(), 1..60)) {
        run(&ops, false);
    }
}
