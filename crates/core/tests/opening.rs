//! Opening: what it touches, what it leaves to others, and that nothing depends on the catalog.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::watched::{Operation, WatchedFs, Watcher};
use common::{all, append, event, relaxed, small, stream, verify};
use parking_lot::Mutex;
use proptest::prelude::*;
use tetralog_core::fs::{Fs, MemoryFs, OpenMode};
use tetralog_core::{BatchEvent, NewEvent, Store, StoreOptions, SystemHost};

/// Remembers what is done: the verb, and the name of the file.
#[derive(Debug, Default)]
struct Notes(Mutex<Vec<String>>);

impl Watcher for Notes {
    fn before(&self, path: &Path, operation: Operation<'_>) -> io::Result<()> {
        let verb = match operation {
            Operation::Open(OpenMode::Create) => "create",
            Operation::Open(_) => "open",
            Operation::Rename => "rename",
            Operation::Remove => "remove",
            Operation::Write(_) => "write",
            Operation::Sync => "sync",
            Operation::Allocate => "allocate",
            Operation::CreateDirectory | Operation::Read { .. } => return Ok(()),
        };
        let name = path.file_name().unwrap().to_string_lossy();
        self.0.lock().push(format!("{verb} {name}"));
        Ok(())
    }
}

type Recorder = WatchedFs<Notes>;

fn recorder() -> Arc<Recorder> {
    Arc::new(WatchedFs::new(Arc::default(), Notes::default()))
}

/// What was done since it was asked the last time.
fn take(fs: &Recorder) -> Vec<String> {
    std::mem::take(&mut fs.watcher.0.lock())
}

fn root() -> PathBuf {
    PathBuf::from("/store")
}

fn catalog() -> PathBuf {
    root().join("runs/catalog")
}

fn open(fs: &Arc<Recorder>, options: StoreOptions) -> Store {
    let fs = Arc::clone(fs) as Arc<dyn Fs>;
    Store::open_with(fs, Arc::new(SystemHost), root(), options).unwrap()
}

/// Appends enough for some segments more.
fn fill(store: &Store, from: u32, segments: u32) {
    let payload = vec![7; 100_000];
    for n in from..from + segments * 10 {
        let name = format!("entity:{}", n % 7);
        let id = Some([n as u8 + 1; 16]);
        append(store, &[NewEvent { id, ..event(&name, "happened", &payload) }]).unwrap();
    }
}

fn bytes_of(fs: &Recorder, path: &Path) -> Option<Vec<u8>> {
    let file = fs.inner.open(path, OpenMode::Read).ok()?;
    let mut bytes = vec![0; file.length().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    Some(bytes)
}

fn put(fs: &Recorder, path: &Path, bytes: &[u8]) {
    fs.inner.open(path, OpenMode::Create).unwrap().write_at(bytes, 0).unwrap();
}

#[test]
fn opening_a_closed_store_writes_nothing_and_touches_no_sealed_segment() {
    let fs = recorder();
    let store = open(&fs, small());
    fill(&store, 0, 4);
    let events = all(&store).unwrap();
    store.close().unwrap();
    take(&fs);
    let store = open(&fs, small());
    let done = take(&fs);
    assert!(done.iter().all(|one| one.starts_with("open ")), "{done:?}");
    let active = format!("{:010}.seg", store.stats().unwrap().segments);
    let segments: Vec<_> = done.iter().filter(|one| one.contains(".seg")).collect();
    assert_eq!(segments, [&format!("open {active}")]);
    let derived = [".idx", ".heads", ".ids"];
    assert!(!done.iter().any(|one| derived.iter().any(|kind| one.contains(kind))), "{done:?}");
    assert_eq!(all(&store).unwrap(), events);
    assert!(take(&fs).iter().any(|one| one.contains(".idx")), "first touched now");
    store.close().unwrap();
    assert!(take(&fs).iter().all(|one| one.starts_with("open ")), "nothing was to be written");
    assert!(open(&fs, small()).recovery().clean);
}

#[test]
fn the_first_append_takes_the_clean_mark_back_before_it_writes() {
    let fs = recorder();
    let store = open(&fs, relaxed());
    append(&store, &[event("a", "b", b"c")]).unwrap();
    store.close().unwrap();
    let store = open(&fs, relaxed());
    take(&fs);
    append(&store, &[event("a", "b", b"c")]).unwrap();
    let done = take(&fs);
    let place = |what: &str| done.iter().position(|one| one == what).unwrap();
    assert!(place("write HEAD") < place("sync HEAD"), "{done:?}");
    assert!(place("sync HEAD") < place("write 0000000001.seg"), "{done:?}");
    assert!(place("allocate 0000000001.seg") < place("write 0000000001.seg"), "{done:?}");
}

/// A writer that finishes making its store while somebody else looks at it.
#[derive(Debug)]
struct Maker {
    fs: Arc<MemoryFs>,
    manifest: Mutex<Option<Vec<u8>>>,
}

impl Watcher for Maker {
    fn before(&self, path: &Path, operation: Operation<'_>) -> io::Result<()> {
        let looks = path.extension().is_some_and(|ending| ending == "seg");
        if looks
            && operation == Operation::Open(OpenMode::Read)
            && let Some(bytes) = self.manifest.lock().take()
        {
            self.fs.open(&root().join("MANIFEST"), OpenMode::Create)?.write_at(&bytes, 0)?;
        }
        Ok(())
    }
}

#[test]
fn a_reader_that_opens_while_the_store_is_made_does_not_take_it_for_one_that_lost_its_manifest() {
    let fs = recorder();
    let store = open(&fs, small());
    fill(&store, 0, 1);
    store.close().unwrap();
    let manifest = root().join("MANIFEST");
    let bytes = bytes_of(&fs, &manifest);
    fs.inner.remove(&manifest).unwrap();
    let maker = Maker { fs: Arc::clone(&fs.inner), manifest: Mutex::new(bytes) };
    let watched = Arc::new(WatchedFs::new(Arc::clone(&fs.inner), maker));
    let options = StoreOptions { read_only: true, ..small() };
    let reader = Store::open_with(watched, Arc::new(SystemHost), root(), options).unwrap();
    assert_eq!(all(&reader).unwrap().len(), 10);
}

#[test]
fn a_sealed_segment_that_turns_out_to_be_missing_is_named_and_ends_appends() {
    let fs = recorder();
    let store = open(&fs, small());
    fill(&store, 0, 4);
    let events = all(&store).unwrap();
    store.close().unwrap();
    let store = open(&fs, small());
    fs.remove(&root().join("segments/0000000002.seg")).unwrap();
    let error = all(&store).unwrap_err();
    assert_eq!(error.code(), "ERR_CORRUPT");
    let damage = store.damage();
    assert_eq!(damage[0].segment, 2);
    let (first, last) = damage[0].positions.unwrap();
    assert_eq!(append(&store, &[event("a", "b", b"")]).unwrap_err().code(), "ERR_READ_ONLY");
    for wanted in events.iter().filter(|event| !(first..=last).contains(&event.position)) {
        assert!(store.event(wanted.position).unwrap().is_some(), "the others stay readable");
    }
    let report = verify(&store);
    assert!(!report.ok);
    assert_eq!(report.damage[0].segment, 2);
    store.close().unwrap();
    assert_eq!(open(&fs, small()).damage()[0].segment, 2, "found at once, by its name");
}

/// What may have become of a catalog.
#[derive(Debug, Clone)]
enum Fate {
    Kept,
    Missing,
    Flipped(usize),
    Cut(usize),
    /// That of an earlier closing.
    Stale,
    /// That of another store with the same history.
    Foreign,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        Just(Fate::Kept),
        Just(Fate::Missing),
        any::<usize>().prop_map(Fate::Flipped),
        any::<usize>().prop_map(Fate::Cut),
        Just(Fate::Stale),
        Just(Fate::Foreign),
    ]
}

fn suffer(fs: &Recorder, fate: &Fate, older: &[Option<Vec<u8>>], foreign: &[u8]) {
    let Some(mut bytes) = bytes_of(fs, &catalog()) else { return };
    match fate {
        Fate::Kept => return,
        Fate::Missing => return fs.inner.remove(&catalog()).unwrap(),
        Fate::Flipped(at) => {
            let at = at % bytes.len();
            bytes[at] ^= 0x10;
        }
        Fate::Cut(at) => bytes.truncate(at % bytes.len()),
        Fate::Stale => match older.first().cloned().flatten() {
            Some(stale) => bytes = stale,
            None => return,
        },
        Fate::Foreign => foreign.clone_into(&mut bytes),
    }
    put(fs, &catalog(), &bytes);
}

fn check(store: &Store, events: &[BatchEvent]) {
    assert_eq!(all(store).unwrap(), events);
    let own: Vec<_> = events.iter().filter(|event| event.entity == "entity:3").cloned().collect();
    assert_eq!(stream(store, "entity:3").unwrap(), own);
    assert_eq!(store.stats().unwrap().events, events.len() as u64);
    assert!(store.damage().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_log_is_the_same_whatever_became_of_the_catalog(
        steps in proptest::collection::vec((fate(), 0_u32..3, any::<bool>()), 1..5),
    ) {
        let foreign = recorder();
        let store = open(&foreign, small());
        fill(&store, 0, 2);
        store.close().unwrap();
        let foreign = bytes_of(&foreign, &catalog()).unwrap();
        let fs = recorder();
        let store = open(&fs, small());
        fill(&store, 0, 2);
        let mut events = all(&store).unwrap();
        store.close().unwrap();
        let mut catalogs = vec![bytes_of(&fs, &catalog())];
        for (fate, more, close) in steps {
            suffer(&fs, &fate, &catalogs, &foreign);
            let store = open(&fs, small());
            check(&store, &events);
            fill(&store, events.len() as u32, more);
            events = all(&store).unwrap();
            let retried = NewEvent { id: Some([1; 16]), ..event("entity:0", "f", b"") };
            prop_assert!(append(&store, &[retried]).unwrap().duplicate);
            if close {
                store.close().unwrap();
            } else {
                drop(store);
                while fs.inner.lock(&root().join("LOCK")).unwrap().is_none() {
                    std::thread::yield_now();
                }
            }
            catalogs.push(bytes_of(&fs, &catalog()));
        }
        let store = open(&fs, small());
        check(&store, &events);
        prop_assert!(verify(&store).ok);
    }
}
