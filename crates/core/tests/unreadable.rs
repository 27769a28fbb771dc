//! What a device cannot read is damage: named, passed around, never taken for torn, and repairable.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::images::{Files, example, restored, root, segment, with_listed_spare};
use common::watched::{Operation, WatchedFs, Watcher};
use common::{all, append, event, small, verify};
use parking_lot::Mutex;
use tetralog_core::fs::Fs;
use tetralog_core::{
    Action, BatchEvent, Host, ReadSpec, RepairReport, Result, Store, Subject, SystemHost,
    Unobserved, repair_with,
};

const EIO: i32 = 5;
const PAGE: u64 = 4096;

/// Refuses to read one page of a file, until another file takes its name.
#[derive(Debug)]
struct BadPage(Mutex<Option<(PathBuf, u64)>>);

impl Watcher for BadPage {
    fn before(&self, path: &Path, operation: Operation<'_>) -> io::Result<()> {
        let mut bad = self.0.lock();
        let Some((file, page)) = bad.as_ref().filter(|(file, _)| file == path) else {
            return Ok(());
        };
        match operation {
            Operation::Read { offset, length }
                if offset < page + PAGE && *page < offset + length =>
            {
                Err(io::Error::from_raw_os_error(EIO))
            }
            Operation::Rename if file == path => {
                *bad = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn with_bad_page(files: &Files, path: &Path, page: u64) -> Arc<dyn Fs> {
    let bad = BadPage(Mutex::new(Some((path.to_owned(), page))));
    Arc::new(WatchedFs::new(Arc::new(restored(files)), bad))
}

fn host() -> Arc<dyn Host> {
    Arc::new(SystemHost)
}

fn open(fs: &Arc<dyn Fs>) -> Result<Store> {
    Store::open_with(Arc::clone(fs), host(), root(), small())
}

/// Positions that a damaged store names as lost.
fn lost(store: &Store) -> Vec<(u64, u64)> {
    store.damage().iter().filter_map(|damage| damage.positions).collect()
}

/// Repairs it, and sees that what is left are the first events, that it verifies and is appended to.
fn check_repair(fs: &Arc<dyn Fs>, events: &[BatchEvent]) -> RepairReport {
    let plan = repair_with(fs, &host(), &root(), true, &Unobserved).unwrap();
    let report = repair_with(fs, &host(), &root(), false, &Unobserved).unwrap();
    assert_eq!((&plan.steps, plan.lost), (&report.steps, report.lost));
    let store = open(fs).unwrap();
    assert!(store.damage().is_empty(), "{:?}", store.damage());
    assert!(verify(&store).ok);
    let kept = all(&store).unwrap();
    assert_eq!(kept, events[..kept.len()]);
    append(&store, &[event("next", "f", b"x")]).unwrap();
    store.close().unwrap();
    report
}

#[test]
fn an_unreadable_page_of_a_sealed_segment_is_named_and_passed_around() {
    let (files, events) = example(200_000);
    let fs = with_bad_page(&files, &segment(1), 40 * PAGE);
    let store = open(&fs).unwrap();
    let report = verify(&store);
    assert!(!report.ok);
    assert!(report.damage.iter().any(|one| one.reason == "the device cannot read it"));
    let gone: u64 =
        report.damage.iter().filter_map(|one| one.positions).map(|(a, b)| b - a + 1).sum();
    assert!(gone > 0);
    assert_eq!(report.events + gone, events.len() as u64);
    assert_eq!(all(&store).unwrap_err().code(), "ERR_CORRUPT");
    drop(store);
    let report = check_repair(&fs, &events);
    assert!(report.steps.iter().any(|step| step.action == Action::Cut), "{report:?}");
}

#[test]
fn an_unreadable_page_in_use_makes_the_store_read_only() {
    let (files, events) = example(40);
    let used = files[&segment(1)].iter().rposition(|byte| *byte != 0).unwrap() as u64;
    for page in (PAGE..used).step_by(PAGE as usize) {
        let fs = with_bad_page(&files, &segment(1), page);
        let store = open(&fs).unwrap();
        assert!(!store.damage().is_empty(), "page {page}");
        assert_eq!(append(&store, &[event("a", "f", b"")]).unwrap_err().code(), "ERR_READ_ONLY");
        drop(store);
        check_repair(&fs, &events);
    }
}

/// What a crash leaves behind the durable end is cut away, but only what can be read.
#[test]
fn an_unreadable_tail_is_never_taken_for_torn() {
    let (mut files, events) = example(40);
    files.remove(&root().join("HEAD"));
    let used = files[&segment(1)].iter().rposition(|byte| *byte != 0).unwrap() as u64;
    let fs = with_bad_page(&files, &segment(1), used - used % PAGE);
    let store = open(&fs).unwrap();
    assert!(!store.damage().is_empty());
    drop(store);
    check_repair(&fs, &events);
}

/// Every opening failed, and repair had nothing to repair.
#[test]
fn an_unreadable_page_behind_the_log_is_no_dead_end() {
    let (mut files, events) = example(40);
    files.remove(&root().join("HEAD"));
    let used = files[&segment(1)].iter().rposition(|byte| *byte != 0).unwrap() as u64;
    let (first, last) = (used / PAGE + 1, files[&segment(1)].len() as u64 / PAGE - 1);
    for page in [first, first + 1, last] {
        let fs = with_bad_page(&files, &segment(1), page * PAGE);
        let store = open(&fs).unwrap();
        assert!(store.is_read_only(), "page {page}");
        assert_eq!(all(&store).unwrap(), events);
        drop(store);
        let report = check_repair(&fs, &events);
        assert_eq!((report.events, report.lost), (events.len() as u64, None));
    }
}

#[test]
fn an_unreadable_page_of_a_spare_is_no_dead_end() {
    let (mut files, _) = with_listed_spare();
    files.insert(segment(2), vec![0; 1 << 20]);
    let events = all(&common::images::open(&files).unwrap().0).unwrap();
    for page in [0, PAGE, 3 * PAGE] {
        let fs = with_bad_page(&files, &segment(2), page);
        let store = open(&fs).unwrap();
        assert_eq!(all(&store).unwrap(), events, "page at {page}");
        drop(store);
        let report = check_repair(&fs, &events);
        assert_eq!((report.events, report.lost), (events.len() as u64, None));
    }
}

#[test]
fn an_unreadable_header_page_costs_its_segment_and_no_more() {
    let (mut files, events) = example(200_000);
    // It would put off touching the segment.
    files.remove(&root().join("runs/catalog"));
    let fs = with_bad_page(&files, &segment(1), 0);
    let store = open(&fs).unwrap();
    let damage = store.damage();
    assert_eq!((damage[0].segment, damage[0].offset), (1, 0));
    assert_eq!(damage[0].reason, "the device cannot read it");
    assert_eq!(lost(&store)[0].0, 0);
    let behind = lost(&store)[0].1 + 1;
    let spec = ReadSpec { from: Some(behind), ..ReadSpec::new(Subject::All) };
    assert_eq!(common::read(&store, spec).unwrap(), events[behind as usize..]);
    drop(store);
    check_repair(&fs, &events);
}

#[test]
fn an_unreadable_manifest_is_made_again_from_the_segments() {
    let (files, events) = example(40);
    let fs = with_bad_page(&files, &root().join("MANIFEST"), 0);
    assert_eq!(open(&fs).unwrap_err().code(), "ERR_CORRUPT");
    let report = check_repair(&fs, &events);
    assert_eq!((report.steps[0].action, report.lost), (Action::Manifest, None));
}
