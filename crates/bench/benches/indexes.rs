//! What the indexes take and give: bytes for each event by kind of file, the longest append while they
//! are built in the background, and looking up the head of an entity with the page cache warm and
//! dropped. `TETRALOG_EVENTS` sets how many events; a tenth as many entities, and 10,000.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints and panics")]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise};
use tetralog_bench::Numbers;
use tetralog_core::{AppendOptions, Durability, NewEvent, Store, StoreOptions};

const BATCH: u64 = 1000;
const LOOKUPS: u64 = 20_000;

fn main() {
    if cfg!(debug_assertions) {
        println!("not measured: this is a debug build");
        return;
    }
    let events =
        std::env::var("TETRALOG_EVENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    for entities in [10_000, events / 10] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        println!("{events} events of {entities} entities, batches of {BATCH}, never synced");
        let store = open(&path);
        fill(&store, events, entities);
        lookups(&store, entities, LOOKUPS, "while the last runs are in memory");
        let start = Instant::now();
        store.close().unwrap();
        drop(store);
        println!("  closing: {:.1} ms", milliseconds(start.elapsed()));
        sizes(&path, events);
        let start = Instant::now();
        let store = open(&path);
        println!("  opening, warm: {:.2} ms", milliseconds(start.elapsed()));
        lookups(&store, entities, LOOKUPS, "warm");
        store.close().unwrap();
        // As long as something is mapped, it stays in memory.
        drop(store);
        drop_cache(&path);
        let start = Instant::now();
        let store = open(&path);
        println!("  opening, page cache dropped: {:.2} ms", milliseconds(start.elapsed()));
        lookups(&store, entities, 200, "page cache dropped");
        store.close().unwrap();
    }
}

fn open(path: &Path) -> Store {
    let options = StoreOptions { durability: Durability::None, ..StoreOptions::default() };
    Store::open(path, options).unwrap()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn fill(store: &Store, events: u64, entities: u64) {
    let payload = [7; 256];
    let mut numbers = Numbers(1);
    let mut took = Vec::new();
    let start = Instant::now();
    for first in (0..events).step_by(BATCH as usize) {
        let planned: Vec<_> = (first..first + BATCH)
            .map(|n| {
                let team = format!("org:{}/team:{}", numbers.next() % 10, numbers.next() % 10);
                let entity = format!("entity:{}", numbers.next() % entities);
                (entity, format!("fact{}", numbers.next() % 16), team, n.to_be_bytes())
            })
            .collect();
        let batch: Vec<NewEvent<'_>> = planned
            .iter()
            .map(|(entity, fact, scope, clock)| NewEvent {
                entity,
                fact,
                scope,
                clock: Some(clock),
                content_type: "application/octet-stream",
                payload: &payload,
                ..NewEvent::default()
            })
            .collect();
        let start = Instant::now();
        store.append(&batch, &AppendOptions::default()).unwrap();
        took.push(start.elapsed());
    }
    let total: Duration = took.iter().sum();
    took.sort_unstable();
    let rank = |percent: usize| milliseconds(took[(took.len() - 1) * percent / 100]);
    println!(
        "  appending: {:.0} events/s in all {:.0}; a batch p50 {:.2} ms, p99 {:.2}, longest {:.2}",
        events as f64 / total.as_secs_f64(),
        events as f64 / start.elapsed().as_secs_f64(),
        rank(50),
        rank(99),
        rank(100),
    );
}

fn lookups(store: &Store, entities: u64, count: u64, state: &str) {
    let mut numbers = Numbers(2);
    let mut once = |prefix: &str| {
        let start = Instant::now();
        for _ in 0..count {
            store.version(&format!("{prefix}{}", numbers.next() % entities)).unwrap();
        }
        start.elapsed().as_secs_f64() * 1e6 / count as f64
    };
    let (known, unknown) = (once("entity:"), once("nobody:"));
    println!("  head of an entity, {state}: {known:.2} µs; of one that is not: {unknown:.2} µs");
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn sizes(path: &Path, events: u64) {
    use std::os::unix::fs::MetadataExt;
    let mut kinds = BTreeMap::<String, (u64, u64)>::new();
    for file in files(path) {
        let ending = file.extension().map_or("other".into(), |e| e.to_string_lossy().into_owned());
        let kind = kinds.entry(ending).or_default();
        *kind = (kind.0 + 1, kind.1 + file.metadata().unwrap().blocks() * 512);
    }
    for (kind, (count, bytes)) in kinds {
        println!("  {kind}: {count} files, {:.2} bytes an event", bytes as f64 / events as f64);
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark plays the part of the world")]
fn drop_cache(path: &Path) {
    for file in files(path) {
        let file = File::open(file).unwrap();
        file.sync_all().unwrap();
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    }
}
