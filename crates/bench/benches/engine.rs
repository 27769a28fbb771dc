//! The engine alone, without JavaScript: appends, scans, point reads, queries, recovery.
//! The workload is that of the package's benchmarks: 256-byte payloads over 10,000 entities, 16 facts
//! and 100 scopes.
#![expect(clippy::unwrap_used, missing_docs, reason = "a benchmark fails by panicking")]

use std::path::Path;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tetralog_bench::Numbers;
use tetralog_core::{
    AppendOptions, Durability, Filter, NewEvent, Pattern, ReadSpec, Store, StoreOptions, Subject,
};

const EVENTS: u64 = 100_000;
const BATCH: u64 = 1000;

struct Planned {
    entity: String,
    fact: String,
    scope: String,
    clock: [u8; 8],
}

fn plan(numbers: &mut Numbers, first: u64) -> Vec<Planned> {
    (first..first + BATCH)
        .map(|n| Planned {
            entity: format!("entity:{}", numbers.next() % 10_000),
            fact: format!("fact{}", numbers.next() % 16),
            scope: format!("org:{}/team:{}", numbers.next() % 10, numbers.next() % 10),
            clock: n.to_be_bytes(),
        })
        .collect()
}

fn events<'a>(planned: &'a [Planned], payload: &'a [u8]) -> Vec<NewEvent<'a>> {
    planned
        .iter()
        .map(|p| NewEvent {
            entity: &p.entity,
            fact: &p.fact,
            scope: &p.scope,
            clock: Some(&p.clock),
            content_type: "application/octet-stream",
            payload,
            ..NewEvent::default()
        })
        .collect()
}

fn options(durability: Durability) -> StoreOptions {
    StoreOptions { durability, ..StoreOptions::default() }
}

fn fill(path: &Path) -> Store {
    let store = Store::open(path, options(Durability::None)).unwrap();
    let payload = [7; 256];
    let mut numbers = Numbers(1);
    for first in (0..EVENTS).step_by(BATCH as usize) {
        let planned = plan(&mut numbers, first);
        store.append(&events(&planned, &payload), &AppendOptions::default()).unwrap();
    }
    store
}

fn appends(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements(BATCH)).sample_size(20);
    let payload = [7; 256];
    for durability in [Durability::Sync, Durability::Interval, Durability::None] {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("s"), options(durability)).unwrap();
        let mut numbers = Numbers(1);
        let mut first = 0;
        group.bench_function(format!("batches of 1000, {durability:?}"), |bencher| {
            bencher.iter_batched(
                || {
                    first += BATCH;
                    plan(&mut numbers, first)
                },
                |planned| {
                    store.append(&events(&planned, &payload), &AppendOptions::default()).unwrap()
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn reads(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let store = fill(&path);
    let mut group = criterion.benchmark_group("read");
    group.sample_size(20);
    group.throughput(Throughput::Elements(EVENTS)).bench_function("scan", |bencher| {
        bencher.iter(|| drain(&store, ReadSpec::new(Subject::All)));
    });
    let filter = Filter {
        fact: Some(vec!["fact3".into()]),
        scope: Some(vec![Pattern::Below("org:3".into())]),
        ..Filter::default()
    };
    group.throughput(Throughput::Elements(1)).bench_function("fact and scope", |bencher| {
        bencher.iter(|| drain(&store, ReadSpec::new(Subject::Query(vec![filter.clone()]))));
    });
    let mut numbers = Numbers(2);
    group.bench_function("stream", |bencher| {
        bencher.iter(|| {
            let entity = format!("entity:{}", numbers.next() % 10_000);
            drain(&store, ReadSpec::new(Subject::Stream(entity)))
        });
    });
    group.bench_function("latest", |bencher| {
        bencher.iter(|| store.latest(&format!("entity:{}", numbers.next() % 10_000)).unwrap());
    });
    store.close().unwrap();
    group.bench_function("open", |bencher| {
        bencher.iter(|| Store::open(&path, options(Durability::Sync)).unwrap().close().unwrap());
    });
    group.finish();
}

fn drain(store: &Store, spec: ReadSpec) -> usize {
    let read = store.read(spec).unwrap();
    let mut bytes = 0;
    while let Some(batch) = read.next().unwrap() {
        bytes += batch.len();
    }
    bytes
}

criterion_group!(benches, appends, reads);
criterion_main!(benches);
