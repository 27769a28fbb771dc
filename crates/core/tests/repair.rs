//! Repair: what checksums prove is put right, and where they cannot, the log ends before the damage. It says
//! so before it does it, keeps what it changes, and can be cut short anywhere.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::images::{Files, example, open, restored, root, segment, snapshot};
use common::stopping::stopping;
use common::{append, event, small, verify};
use tetralog_core::fs::Fs;
use tetralog_core::{
    Action, BatchEvent, Host, RepairReport, Result, Store, StoreOptions, SystemHost, Unobserved,
    repair_with,
};

/// Repairs a copy of the files. Gives what is there then.
fn repaired(files: &Files, dry_run: bool) -> Result<(RepairReport, Files)> {
    let fs = Arc::new(restored(files)) as Arc<dyn Fs>;
    let host = Arc::new(SystemHost) as Arc<dyn Host>;
    let report = repair_with(&fs, &host, &root(), dry_run, &Unobserved)?;
    let mut after = Files::new();
    snapshot(&*fs, &root(), &mut after);
    after.remove(&root().join("LOCK"));
    Ok((report, after))
}

/// What the dry run says comes true, the store verifies, holds the first events, and can be written to.
fn check(files: &Files, events: &[BatchEvent], what: &str) -> RepairReport {
    let mut before = files.clone();
    before.remove(&root().join("LOCK"));
    let (plan, untouched) = repaired(files, true).unwrap();
    assert!(untouched == before, "{what}: a dry run changes nothing");
    let (report, after) = repaired(files, false).unwrap();
    assert_eq!((&plan.steps, plan.lost, plan.events), (&report.steps, report.lost, report.events));
    let (store, _) = open(&after).unwrap();
    assert!(store.damage().is_empty(), "{what}: {:?}", store.damage());
    assert!(verify(&store).ok, "{what}");
    let kept = common::all(&store).unwrap();
    assert_eq!(kept.len() as u64, report.events, "{what}");
    assert_eq!(kept, events[..kept.len()], "{what}");
    let lost = events.len() > kept.len();
    assert_eq!(
        report.lost.filter(|_| lost),
        lost.then(|| (kept.len() as u64, events.len() as u64 - 1)),
        "{what}"
    );
    let receipt = append(&store, &[event("next", "f", b"x")]).unwrap();
    assert_eq!(receipt.positions, Some((kept.len() as u64, kept.len() as u64)), "{what}");
    store.close().unwrap();
    let (again, _) = repaired(&after, true).unwrap();
    assert!(again.steps.is_empty(), "{what}: nothing is left to repair");
    report
}

#[test]
fn a_healthy_store_is_left_alone() {
    let (files, events) = example(40);
    let report = check(&files, &events, "healthy");
    assert_eq!((report.steps.len(), report.lost, report.kept), (0, None, None));
    assert!(report.damage.is_empty());
}

/// Every byte that matters: a flipped one is put right, and nothing is lost.
fn check_flips(
    files: &Files,
    events: &[BatchEvent],
    path: &Path,
    places: impl Iterator<Item = usize>,
) {
    for at in places {
        let what = format!("byte {at} of {}", path.display());
        let mut flipped = files.clone();
        flipped.get_mut(path).unwrap()[at] ^= 0x40;
        let report = check(&flipped, events, &what);
        assert_eq!(report.lost, None, "{what}");
        assert_eq!(report.lost_whole, 0, "{what}");
        assert!(!report.damage.is_empty(), "{what}");
        assert!(
            report.steps.iter().all(|step| step.action == Action::Correct),
            "{what}: {report:?}"
        );
        let (report, after) = repaired(&flipped, false).unwrap();
        assert_eq!(after[path], files[path], "{what}: it is as it was");
        let kept = report.kept.unwrap().join(path.strip_prefix(root()).unwrap());
        assert_eq!(after[&kept], flipped[path], "{what}: what was damaged is kept");
    }
}

#[test]
fn a_flipped_byte_is_put_right_wherever_it_is() {
    let (files, events) = example(40);
    let used = files[&segment(1)].iter().rposition(|b| *b != 0).unwrap() + 1;
    check_flips(
        &files,
        &events,
        &segment(1),
        (0..4096).step_by(509).chain((4096..used).step_by(5)),
    );
    let manifest = root().join("MANIFEST");
    check_flips(&files, &events, &manifest, (0..files[&manifest].len()).step_by(7));
}

#[test]
fn a_flipped_byte_of_a_sealed_segment_is_put_right() {
    let (files, events) = example(200_000);
    let used = files[&segment(1)].iter().rposition(|b| *b != 0).unwrap() + 1;
    let places = [10, 4100, 4150, 5000, 300_000].into_iter().chain((used - 96..used).step_by(11));
    check_flips(&files, &events, &segment(1), places);
}

#[test]
fn several_flipped_bytes_of_several_frames_are_put_right() {
    let (mut files, events) = example(40);
    let whole = files[&segment(1)].clone();
    let used = whole.iter().rposition(|b| *b != 0).unwrap() + 1;
    for at in (4200..used).step_by(350) {
        files.get_mut(&segment(1)).unwrap()[at] ^= 0x81;
    }
    let report = check(&files, &events, "several");
    assert!(report.steps.len() > 2);
    assert_eq!(repaired(&files, false).unwrap().1[&segment(1)], whole);
}

#[test]
fn a_lost_manifest_is_written_again() {
    let (files, events) = example(200_000);
    let mut without = files.clone();
    without.remove(&root().join("MANIFEST"));
    let mut torn = files;
    torn.get_mut(&root().join("MANIFEST")).unwrap()[16..60].fill(0xee);
    for damaged in [without, torn] {
        let report = check(&damaged, &events, "manifest");
        assert_eq!(report.steps[0].action, Action::Manifest);
        assert_eq!(report.lost, None);
    }
}

#[test]
fn a_lost_seal_is_written_again() {
    let (mut files, events) = example(200_000);
    let bytes = files.get_mut(&segment(1)).unwrap();
    let used = bytes.iter().rposition(|b| *b != 0).unwrap() + 1;
    bytes[used - 96..used].fill(0);
    let report = check(&files, &events, "seal");
    assert_eq!(report.steps[0].action, Action::Seal);
    assert_eq!(report.lost, None);
}

#[test]
fn where_bytes_are_gone_the_log_ends_and_what_was_behind_is_kept_aside() {
    let (files, events) = example(200_000);
    let mut zeroed = files.clone();
    zeroed.get_mut(&segment(1)).unwrap()[100_000..104_096].fill(0);
    let report = check(&zeroed, &events, "a zeroed page");
    assert_eq!(report.lost, Some((0, 11)), "it was in the first frame");
    assert_eq!(report.lost_whole, 10, "all but the frame of two events");
    let (report, after) = repaired(&zeroed, false).unwrap();
    let kept = report.kept.unwrap();
    for number in [1, 2] {
        let name = segment(number);
        let name = kept.join(name.strip_prefix(root()).unwrap());
        assert_eq!(after[&name], zeroed[&segment(number)], "kept as it was");
    }
    for lost in [1, 2] {
        let mut without = files.clone();
        without.remove(&segment(lost));
        check(&without, &events, "a missing segment");
    }
    let mut swapped = files.clone();
    swapped.insert(segment(1), files[&segment(2)].clone());
    check(&swapped, &events, "a segment in another's place");
}

#[test]
fn a_store_cut_at_any_length_is_repaired_to_a_beginning_of_itself() {
    let (files, events) = example(40);
    let used = files[&segment(1)].iter().rposition(|b| *b != 0).unwrap() + 1;
    for length in (0..4200).step_by(701).chain((4200..used).step_by(97)) {
        let mut cut = files.clone();
        cut.get_mut(&segment(1)).unwrap().truncate(length);
        check(&cut, &events, &format!("cut at {length}"));
    }
}

/// Stops a repair after each of its changes; the next repair finishes it.
#[test]
fn a_repair_that_is_cut_short_anywhere_is_finished_by_the_next() {
    let (files, events) = example(200_000);
    let mut corrected = files.clone();
    corrected.get_mut(&segment(1)).unwrap()[300_000] ^= 1;
    let mut cut = files;
    cut.get_mut(&segment(1)).unwrap()[600_000..604_096].fill(0);
    for (damaged, all) in [(corrected, true), (cut, false)] {
        let mut rounds = 0;
        for changes in 0.. {
            let fs = Arc::new(restored(&damaged));
            let stopping = stopping(&fs, changes);
            let host = Arc::new(SystemHost) as Arc<dyn Host>;
            let stopped = repair_with(&stopping, &host, &root(), false, &Unobserved).is_err();
            let mut between = Files::new();
            snapshot(&*fs, &root(), &mut between);
            let (store, _) = open(&between).unwrap();
            let whole = store.damage().is_empty();
            store.close().unwrap();
            assert!(
                whole || stopped,
                "after {changes} changes it is repaired, or known to be damaged"
            );
            let (_, after) = repaired(&between, false).unwrap();
            let (store, _) = open(&after).unwrap();
            assert!(verify(&store).ok, "after {changes} changes");
            let kept = common::all(&store).unwrap();
            assert_eq!(kept, events[..kept.len()], "after {changes} changes");
            assert_eq!(kept.len() == events.len(), all, "after {changes} changes");
            assert!(kept.len() >= 4, "what stands before the damage is kept");
            let aside = between.iter().filter(|(path, _)| path.starts_with(root().join("damaged")));
            let is_kept = aside.into_iter().any(|(_, bytes)| *bytes == damaged[&segment(1)]);
            assert!(is_kept || between[&segment(1)] == damaged[&segment(1)], "nothing is gone");
            rounds += 1;
            if !stopped {
                break;
            }
        }
        assert!(rounds > 5, "{rounds}");
    }
}

#[test]
fn a_manifest_that_is_not_made_again_in_one_go_is_by_the_next_repair() {
    let (mut files, events) = example(40);
    files.remove(&root().join("MANIFEST"));
    for changes in 0.. {
        let fs = Arc::new(restored(&files));
        let host = Arc::new(SystemHost) as Arc<dyn Host>;
        let stopping = stopping(&fs, changes);
        let stopped = repair_with(&stopping, &host, &root(), false, &Unobserved).is_err();
        let mut between = Files::new();
        snapshot(&*fs, &root(), &mut between);
        let (_, after) = repaired(&between, false).unwrap();
        assert_eq!(common::all(&open(&after).unwrap().0).unwrap(), events, "{changes} changes");
        if !stopped {
            assert!(changes > 3, "{changes}");
            return;
        }
    }
}

/// It was taken for whole, and what it does not list for lost; the store still did not open.
#[test]
fn a_manifest_that_is_older_than_the_log_is_made_again() {
    let (files, events) = example(200_000);
    let (first, _) = example(40);
    let manifest = root().join("MANIFEST");
    for with_head in [true, false] {
        let mut older = files.clone();
        // That of a store with one segment, made to be of this one.
        let mut bytes = first[&manifest].clone();
        bytes[40..56].copy_from_slice(&files[&manifest][40..56]);
        let crc = crc32fast::hash(&bytes[..bytes.len() - 4]);
        let end = bytes.len() - 4;
        bytes[end..].copy_from_slice(&crc.to_le_bytes());
        older.insert(manifest.clone(), bytes);
        if !with_head {
            older.remove(&root().join("HEAD"));
        }
        assert_eq!(open(&older).map(|_| ()).unwrap_err().code(), "ERR_FORMAT");
        let report = check(&older, &events, "an older manifest");
        assert_eq!((report.steps[0].action, report.lost), (Action::Manifest, None));
    }
}

/// Every segment would have been removed as another store's.
#[test]
fn the_manifest_of_another_store_is_made_again() {
    let (mut files, events) = example(200_000);
    let (other, _) = example(40);
    let manifest = root().join("MANIFEST");
    files.insert(manifest.clone(), other[&manifest].clone());
    let report = check(&files, &events, "another store's manifest");
    assert_eq!((report.steps[0].action, report.lost), (Action::Manifest, None));
}

#[test]
fn a_loss_of_which_nothing_is_known_is_not_said_to_be_none() {
    let (mut files, _) = example(40);
    files.remove(&root().join("HEAD"));
    files.get_mut(&segment(1)).unwrap()[..4096].fill(0xee);
    let (report, _) = repaired(&files, true).unwrap();
    assert_eq!((report.events, report.lost), (0, Some((0, 0))));
}

/// A length of 0 cannot be allocated, and a pipe keeps whoever opens it waiting.
#[test]
fn what_is_no_file_any_more_is_repaired_on_a_real_disk_or_refused() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let store = Store::open(&path, small()).unwrap();
    append(&store, &[event("a", "f", b"x")]).unwrap();
    store.close().unwrap();
    let segment = path.join("segments/0000000001.seg");
    fs::OpenOptions::new().write(true).open(&segment).unwrap().set_len(0).unwrap();
    let plan = tetralog_core::repair(&path, true, &Unobserved).unwrap();
    let done = tetralog_core::repair(&path, false, &Unobserved).unwrap();
    assert_eq!((plan.steps, plan.lost), (done.steps, done.lost));
    assert!(Store::open(&path, small()).unwrap().close().is_ok());
    #[expect(clippy::disallowed_methods, reason = "a test plays the part of the world")]
    fs::remove_file(&segment).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&segment).status().unwrap().success());
    assert_eq!(Store::open(&path, small()).unwrap_err().code(), "ERR_IO");
}

/// As many segments as its name says would have been listed, and that is memory.
#[test]
fn a_manifest_that_is_made_again_lists_no_file_that_is_not_what_its_name_says() {
    let (mut files, events) = example(40);
    files.remove(&root().join("MANIFEST"));
    files.insert(segment(9_999_999_999), files[&segment(1)].clone());
    let report = check(&files, &events, "a copy under another name");
    assert_eq!(report.lost, None);
}

/// Its files are those from before the repair: it would show events that are gone, and miss what follows.
#[test]
fn a_reader_is_told_that_the_store_was_repaired() {
    let (mut files, _) = example(40);
    let at = 4096 + 700;
    files.get_mut(&segment(1)).unwrap()[at..at + 40].fill(0xee);
    let fs = Arc::new(restored(&files)) as Arc<dyn Fs>;
    let host = Arc::new(SystemHost) as Arc<dyn Host>;
    let reader = || {
        let options = StoreOptions { read_only: true, ..small() };
        Store::open_with(Arc::clone(&fs), Arc::clone(&host), root(), options).unwrap()
    };
    let before = reader();
    assert!(!before.damage().is_empty());
    repair_with(&fs, &host, &root(), true, &Unobserved).unwrap();
    assert!(before.stats().is_ok(), "a dry run replaces nothing");
    let report = repair_with(&fs, &host, &root(), false, &Unobserved).unwrap();
    let refused = before.stats().unwrap_err();
    assert_eq!(refused.code(), "ERR_FORMAT");
    assert!(refused.to_string().contains("repaired"), "{refused}");
    let after = reader();
    let store = Store::open_with(Arc::clone(&fs), host, root(), small()).unwrap();
    append(&store, &[event("next", "f", b"x")]).unwrap();
    assert_eq!(common::all(&after).unwrap().len() as u64, report.events + 1);
}
