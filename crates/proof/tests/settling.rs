//! What opening finds after a crash is on the disk before anybody is shown it: each test cuts the power
//! as soon as a store is open again, and nothing survives that was not synced.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::Range;
use std::path::{Path, PathBuf};

use tetralog_core::fs::{File, Fs, OpenMode};
use tetralog_core::{AppendOptions, Durability, NewEvent, Result, Store, Subject};
use tetralog_proof::check::read;
use tetralog_proof::disk::{Bytes, Cut, Disk, Effect, Pending, Recording};
use tetralog_proof::power_cut::{WORKLOADS, failed, killed};
use tetralog_proof::promise::Promised;
use tetralog_proof::workload::{Machine, Workload, root};

fn workload(name: &str) -> &'static Workload {
    WORKLOADS.iter().find(|workload| workload.name == name).unwrap()
}

fn open(disk: &Disk, boot: u64) -> Result<Store> {
    workload("none, rotation").open(disk, &Machine::new(1, boot))
}

/// The disk after the power is cut now, with nothing on it that was not synced.
fn after_power_cut(recording: &Recording) -> Disk {
    let mut left = None;
    recording.cuts(&Promised::default(), &mut || false, &mut |cut, _| left = Some(cut.least()));
    Disk::holding(left.unwrap())
}

/// The events that a reopened store shows, and what is left of them after a power cut.
fn shown_and_left(disk: &Disk) -> (u64, Store) {
    let store = open(disk, 0).unwrap();
    let shown = store.stats().unwrap().events;
    let store = open(&after_power_cut(&disk.recording()), 1).unwrap();
    (shown, store)
}

fn every_cut(name: &str, seed: u64, visit: &mut dyn FnMut(&Cut)) {
    let disk = Disk::default();
    workload(name).run(seed, &disk).unwrap();
    disk.recording().cuts(&Promised::default(), &mut || true, &mut |cut, _| visit(cut));
}

/// Seals that were never synced got a successor; names that a killed process had made were used.
#[test]
fn whatever_a_killed_process_leaves_lasts_once_it_is_seen_again() {
    for name in ["sync, rotation", "none, rotation"] {
        every_cut(name, 3, &mut |cut| {
            let (shown, store) = shown_and_left(&killed(cut));
            assert!(store.damage().is_empty(), "{name} at {}: {:?}", cut.at, store.damage());
            assert!(store.stats().unwrap().events >= shown, "{name} at {}", cut.at);
        });
    }
}

/// The header page of a segment was never written again.
#[test]
fn what_the_kernel_failed_to_write_is_written_again() {
    every_cut("none, rotation", 4, &mut |cut| {
        let (shown, store) = shown_and_left(&failed(cut));
        assert!(store.damage().is_empty(), "at {}: {:?}", cut.at, store.damage());
        assert!(store.stats().unwrap().events >= shown, "at {}", cut.at);
    });
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "seg")
}

/// The frames that a change brings: where they go.
fn frames(pending: &Pending) -> Option<Range<u64>> {
    match &pending.effect {
        Effect::Data { offset, bytes: Bytes::These(bytes), .. }
            if is_segment(&pending.path) && *offset >= 4096 =>
        {
            Some(*offset..offset + bytes.len() as u64)
        }
        _ => None,
    }
}

fn segment(disk: &Disk, number: u64) -> std::sync::Arc<dyn File> {
    let path = root().join(format!("segments/{number:010}.seg"));
    disk.open(&path, OpenMode::Write).unwrap()
}

/// Damage anywhere in the log kept recovery from settling the active segment, which was shown all the same.
#[test]
fn beside_damage_in_an_earlier_segment_the_active_one_is_settled_too() {
    let mut tried = 0;
    let mut try_cut = |cut: &Cut| {
        let first = root().join("segments/0000000001.seg");
        if !cut.pending.iter().any(|one| one.path != first && frames(one).is_some()) {
            return;
        }
        tried += 1;
        let disk = killed(cut);
        let file = segment(&disk, 1);
        file.write_at(&[0xff; 64], 0).unwrap();
        file.sync().unwrap();
        let (shown, store) = shown_and_left(&disk);
        assert!(!store.damage().is_empty());
        let last = store.event(shown - 1).unwrap();
        assert!(last.is_some(), "the last event is gone, cut at {}", cut.at);
    };
    // Whether a group is written and not synced in a later segment is not in the seed's hand alone.
    for seed in 3..15 {
        every_cut("none, rotation", seed, &mut try_cut);
    }
    assert!(tried > 0);
}

/// The manifest that lists the next segment was used without a sync: the one before it came back, and knew
/// nothing of the segment in use.
#[test]
fn names_that_a_killed_process_made_last_once_they_are_used() {
    let mut tried = 0;
    every_cut("sync, rotation", 3, &mut |cut| {
        let name = |one: &Pending| {
            let public = one.path.ends_with("MANIFEST") || is_segment(&one.path);
            public && matches!(one.effect, Effect::Names(_))
        };
        if !cut.pending.iter().any(name) {
            return;
        }
        tried += 1;
        let disk = killed(cut);
        let store = open(&disk, 0).unwrap();
        let events = fill_a_segment(&store);
        let store = open(&after_power_cut(&disk.recording()), 1).unwrap();
        assert!(store.stats().unwrap().events >= events, "cut at {}", cut.at);
    });
    assert!(tried > 0);
}

/// Appends, synced, until the next segment is begun. Returns the number of events then.
fn fill_a_segment(store: &Store) -> u64 {
    let options = AppendOptions { durability: Some(Durability::Sync), ..AppendOptions::default() };
    let payload = vec![7; 300_000];
    let event = NewEvent {
        entity: "a",
        fact: "b",
        content_type: "application/octet-stream",
        payload: &payload,
        ..Default::default()
    };
    let segments = store.stats().unwrap().segments;
    while store.stats().unwrap().segments == segments {
        store.append(std::slice::from_ref(&event), &options).unwrap();
    }
    store.stats().unwrap().events
}

/// A disk whose system was killed when it had written all that a run covers, and synced none of it: the
/// segment, and the first of the run's frames.
fn killed_before_a_run() -> (Disk, PathBuf, Range<u64>) {
    let disk = Disk::default();
    let store = with_runs().open(&disk, &Machine::new(1, 0)).unwrap();
    let event = NewEvent { entity: "a", fact: "b", ..Default::default() };
    for _ in 0..2 {
        store.append(&vec![event.clone(); 34_000], &AppendOptions::default()).unwrap();
    }
    let mut found = None;
    disk.recording().cuts(&Promised::default(), &mut || true, &mut |cut, _| {
        let large = |one: &&Pending| frames(one).is_some_and(|at| at.end - at.start > 1 << 20);
        if let [first, second] = cut.pending.iter().filter(large).collect::<Vec<_>>()[..]
            && first.path == second.path
        {
            found = Some((killed(cut), first.path.clone(), frames(first).unwrap()));
        }
    });
    found.unwrap()
}

fn with_runs() -> Workload {
    Workload { segment_max_bytes: 64 << 20, ..workload("none, rotation").clone() }
}

/// Recovery wrote the run before the frames were settled. A run is checked by its last frame only: with that
/// on the disk and one before it lost, events were shown that could not be read.
#[test]
fn no_run_outlasts_a_frame_that_it_covers() {
    let (disk, path, first) = killed_before_a_run();
    with_runs().open(&disk, &Machine::new(1, 0)).unwrap().close().unwrap();
    let mut tried = 0;
    disk.recording().cuts(&Promised::default(), &mut || false, &mut |cut, _| {
        tried += 1;
        let mut image = cut.image.clone();
        let lost = |one: &Pending| {
            one.path == path && frames(one).is_some_and(|at| first.contains(&at.start))
        };
        for pending in cut.pending.iter().filter(|one| !lost(one)) {
            image.apply(&pending.effect);
        }
        image.prune();
        let store = with_runs().open(&Disk::holding(image), &Machine::new(1, 1)).unwrap();
        assert!(store.damage().is_empty(), "cut at {}: {:?}", cut.at, store.damage());
        let events = read(&store, Subject::All);
        assert!(events.is_ok(), "cut at {}: {events:?}", cut.at);
    });
    assert!(tried > 1);
}

/// The folder's own name was not synced.
#[test]
fn what_was_cut_off_is_still_kept_after_a_power_cut() {
    let disk = Disk::default();
    let strict = Workload { durability: Durability::Sync, ..workload("none, rotation").clone() };
    let store = strict.open(&disk, &Machine::new(1, 0)).unwrap();
    let event = NewEvent { entity: "a", fact: "b", ..Default::default() };
    store.append(&[event], &AppendOptions::default()).unwrap();
    let disk = after_power_cut(&disk.recording());
    let file = segment(&disk, 1);
    file.write_at(&[7; 100], 8192).unwrap();
    file.sync().unwrap();
    let store = open(&disk, 1).unwrap();
    assert!(store.recovery().torn_bytes > 0);
    assert_eq!(store.stats().unwrap().events, 1);
    let disk = after_power_cut(&disk.recording());
    assert_eq!(disk.list(&root().join("torn")).unwrap().len(), 1);
}
