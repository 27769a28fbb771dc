//! What opening finds after a crash is on the disk before anybody is shown it: each test cuts the power
//! as soon as a store is open again, and nothing survives that was not synced.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use tetralog_core::fs::{File, Fs, OpenMode};
use tetralog_core::{Durability, Result, Store};
use tetralog_proof::disk::{Cut, Disk, Recording};
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

/// A disk with a store in several segments whose process was killed: not all of it is synced.
fn killed_store() -> Disk {
    let mut last = None;
    every_cut("none, rotation", 3, &mut |cut| {
        let pending = |path: &Path| path.extension().is_some_and(|ending| ending == "seg");
        if cut.pending.iter().any(|one| pending(&one.path)) {
            last = Some(cut.clone());
        }
    });
    killed(&last.unwrap())
}

fn segment(disk: &Disk, number: u64) -> std::sync::Arc<dyn File> {
    let path = root().join(format!("segments/{number:010}.seg"));
    disk.open(&path, OpenMode::Write).unwrap()
}

/// Damage anywhere in the log kept recovery from settling the active segment, which was shown all the same.
#[test]
fn beside_damage_in_an_earlier_segment_the_active_one_is_settled_too() {
    let disk = killed_store();
    let file = segment(&disk, 1);
    file.write_at(&[0xff; 64], 0).unwrap();
    file.sync().unwrap();
    let (shown, store) = shown_and_left(&disk);
    assert!(!store.damage().is_empty());
    assert!(store.stats().unwrap().events >= shown);
}

/// The folder's own name was not synced.
#[test]
fn what_was_cut_off_is_still_kept_after_a_power_cut() {
    let disk = Disk::default();
    let strict = Workload { durability: Durability::Sync, ..workload("none, rotation").clone() };
    let store = strict.open(&disk, &Machine::new(1, 0)).unwrap();
    let event = tetralog_core::NewEvent { entity: "a", fact: "b", ..Default::default() };
    store.append(&[event], &tetralog_core::AppendOptions::default()).unwrap();
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
