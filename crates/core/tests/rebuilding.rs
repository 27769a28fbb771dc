//! An index that turns out to be damaged while the store is open is built again in sight of everybody.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use common::watched::{Operation, WatchedFs, Watcher};
use common::{append, event, stream};
use parking_lot::Mutex;
use tetralog_core::fs::{Fs, OpenMode};
use tetralog_core::{OpenProgress, Read, ReadSpec, Store, StoreOptions, Subject, SystemHost};

const EVENTS: usize = 30;

/// Whenever the log is read, it asks the store how far rebuilding is, and gives a read up, if it knows one.
#[derive(Debug, Default)]
struct Curious {
    store: Mutex<Weak<Store>>,
    seen: Mutex<Vec<OpenProgress>>,
    read: Mutex<Option<Arc<Read>>>,
}

impl Watcher for Curious {
    fn before(&self, path: &Path, operation: Operation<'_>) -> io::Result<()> {
        let is_log = path.extension().is_some_and(|ending| ending == "seg");
        let store = self.store.lock().upgrade();
        if let (true, Operation::Read { .. }, Some(store)) = (is_log, operation, store) {
            self.seen.lock().extend(store.stats().unwrap().rebuilding);
            if let Some(read) = self.read.lock().take() {
                read.cancel();
            }
        }
        Ok(())
    }
}

fn open(fs: &Arc<WatchedFs<Curious>>) -> Arc<Store> {
    let options = StoreOptions { segment_max_bytes: 4 << 20, ..StoreOptions::default() };
    let fs = Arc::clone(fs) as Arc<dyn Fs>;
    Arc::new(Store::open_with(fs, Arc::new(SystemHost), PathBuf::from("/store"), options).unwrap())
}

/// A store whose second segment, the first of several MiB, has a damaged index.
fn damaged() -> (Arc<WatchedFs<Curious>>, Arc<Store>) {
    let fs = Arc::new(WatchedFs::new(Arc::default(), Curious::default()));
    let store = open(&fs);
    for _ in 0..EVENTS {
        append(&store, &[event("a", "f", &vec![7; 300_000])]).unwrap();
    }
    assert_eq!(store.stats().unwrap().rebuilding, None);
    store.close().unwrap();
    let index = Path::new("/store/segments/0000000002.idx");
    let file = fs.inner.open(index, OpenMode::Write).unwrap();
    file.write_at(&vec![0xee; file.length().unwrap() as usize - 600], 600).unwrap();
    let store = open(&fs);
    *fs.watcher.store.lock() = Arc::downgrade(&store);
    (fs, store)
}

#[test]
fn the_stats_say_how_far_it_is_and_nothing_afterwards() {
    let (fs, store) = damaged();
    assert_eq!(stream(&store, "a").unwrap().len(), EVENTS);
    let seen = std::mem::take(&mut *fs.watcher.seen.lock());
    let shares: Vec<f64> = seen.iter().map(|progress| progress.share).collect();
    assert!(shares.is_sorted(), "{shares:?}");
    assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)), "{shares:?}");
    assert_eq!(shares.first(), Some(&0.0), "it is in sight from its beginning on");
    let last = seen.last().unwrap();
    assert!(last.events > 0 && last.bytes >= 1 << 20 && last.share > 0.2, "{last:?}");
    assert_eq!(store.stats().unwrap().rebuilding, None);
}

#[test]
fn it_is_given_up_with_the_read_that_needs_it_and_the_next_one_does_it() {
    let (fs, store) = damaged();
    let read = Arc::new(store.read(ReadSpec::new(Subject::Stream("a".to_owned()))).unwrap());
    *fs.watcher.read.lock() = Some(Arc::clone(&read));
    read.next().unwrap_err();
    let reads = fs.watcher.seen.lock().len();
    assert_eq!(store.stats().unwrap().rebuilding, None);
    assert_eq!(stream(&store, "a").unwrap().len(), EVENTS);
    assert!(fs.watcher.seen.lock().len() > 2 * reads, "it began anew, and went on to the end");
}
