//! The proof by exhaustion: every byte of a small store flipped, every length cut, frames put in each other's
//! places. Never a wrong event, never a crash, never a silent loss; and every flip is put right by a repair.
//!
//! A sample of it runs with the other tests; all of it with `npm run proof:damage`, which sets
//! `TETRALOG_PROOF=full`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking; the proof shows its counts"
)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use common::images::{Files, example, open, restored, root, segment, snapshot};
use common::verify;
use tetralog_core::fs::Fs;
use tetralog_core::{Batch, BatchEvent, Host, Store, SystemHost, Unobserved, repair_with};

fn is_full() -> bool {
    std::env::var("TETRALOG_PROOF").is_ok_and(|proof| proof == "full")
}

/// Every so manieth place, or every one.
fn step(sampled: usize) -> usize {
    if is_full() { 1 } else { sampled }
}

/// Of a large payload, which is one byte again and again, a sample is enough.
fn is_filling(bytes: &[u8], at: usize) -> bool {
    bytes.get(at.saturating_sub(16)..at + 16).is_some_and(|around| around == [7; 32])
}

/// What became of a change.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Outcome {
    /// The store does not open, and says that it is damaged.
    Refused,
    /// It opens read-only and names the damage.
    Named,
    /// Everything is there, and nothing is wrong with it.
    Harmless,
}

/// Opens, verifies and reads. Panics at a wrong event or a loss that is not named.
fn outcome(files: &Files, events: &[BatchEvent], what: &str) -> Outcome {
    let store = match open(files) {
        Ok((store, _)) => store,
        Err(error) => {
            assert_eq!(error.code(), "ERR_CORRUPT", "{what}: {error}");
            return Outcome::Refused;
        }
    };
    let report = verify(&store);
    let whole: Vec<_> = events.iter().filter(|event| reads_as(&store, event, what)).collect();
    let lost = |position: u64| {
        let mut ranges = report.damage.iter().filter_map(|damage| damage.positions);
        ranges.any(|(from, to)| (from..=to).contains(&position))
    };
    for event in events {
        let is_whole = whole.contains(&event);
        assert!(is_whole || lost(event.position), "{what}: {} is lost in silence", event.position);
    }
    assert_eq!(report.ok, report.damage.is_empty(), "{what}");
    assert_eq!(report.ok, store.damage().is_empty(), "{what}: what is found is remembered");
    if !report.ok {
        assert!(store.is_read_only(), "{what}");
        let counted = events.iter().filter(|event| !lost(event.position)).count();
        assert_eq!(report.events, counted as u64, "{what}: {:?}", report.damage);
        return Outcome::Named;
    }
    assert_eq!(common::all(&store).unwrap(), events, "{what}");
    Outcome::Harmless
}

/// Whether an event is there. One that is not what it was is a failure.
fn reads_as(store: &Store, event: &BatchEvent, what: &str) -> bool {
    match store.event(event.position) {
        Ok(Some(batch)) => {
            let read = &Batch::new(batch).events(&store.source()).unwrap()[0];
            assert_eq!(read, event, "{what}: a wrong event");
            true
        }
        Ok(None) => false,
        Err(error) => {
            assert_eq!(error.code(), "ERR_CORRUPT", "{what}: {error}");
            false
        }
    }
}

/// A repair brings all of it back.
fn check_repair(files: &Files, whole: &Files, path: &Path, what: &str) {
    let fs = Arc::new(restored(files)) as Arc<dyn Fs>;
    let host = Arc::new(SystemHost) as Arc<dyn Host>;
    let report = repair_with(&fs, &host, &root(), false, &Unobserved).unwrap();
    assert_eq!(report.lost, None, "{what}");
    let mut after = Files::new();
    snapshot(&*fs, &root(), &mut after);
    assert!(after[path] == whole[path], "{what}: it is as it was");
}

fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// For `scripts/damage.mjs`, which keeps it.
fn counted(what: &str, number: usize) {
    println!("counted {what}: {number}");
}

fn flip_all(name: &str, big: usize, path: &Path, sampled: usize, bits: &[u8]) {
    let (files, events) = example(big);
    let length = (used(&files[path]) + 64).min(files[path].len());
    let mut counts: BTreeMap<Outcome, usize> = BTreeMap::new();
    let mut harmless = Vec::new();
    let filling = if is_full() { 499 } else { 40_009 };
    let bytes = &files[path];
    let structure = (0..length).filter(|at| !is_filling(bytes, *at)).step_by(step(sampled));
    let payload = (0..length).filter(|at| is_filling(bytes, *at)).step_by(filling);
    for at in structure.chain(payload) {
        for bit in bits {
            let what = format!("byte {at} of {}, bits {bit:02x}", path.display());
            let mut flipped = files.clone();
            flipped.get_mut(path).unwrap()[at] ^= bit;
            let outcome = outcome(&flipped, &events, &what);
            *counts.entry(outcome).or_default() += 1;
            if outcome == Outcome::Harmless {
                harmless.push(at);
            } else {
                check_repair(&flipped, &files, path, &what);
            }
        }
    }
    harmless.dedup();
    for (outcome, number) in counts {
        counted(&format!("flips of {name}, {outcome:?}").to_lowercase(), number);
    }
    let end = used(&files[path]);
    assert!(harmless.iter().all(|at| *at >= end), "only behind the log: {harmless:?}");
}

#[test]
fn every_flipped_byte_of_the_active_segment_is_named_and_put_right() {
    flip_all("the active segment", 40, &segment(1), 23, &[0x01, 0x80]);
}

#[test]
fn every_flipped_byte_of_a_sealed_segment_is_named_and_put_right() {
    flip_all("a sealed segment", 200_000, &segment(1), 53, &[0x10]);
}

#[test]
fn every_flipped_byte_of_the_manifest_is_named_and_put_right() {
    flip_all("the manifest", 40, &root().join("MANIFEST"), 3, &[0x01, 0xff]);
}

#[test]
fn a_store_cut_at_any_length_loses_nothing_in_silence() {
    let (files, events) = example(40);
    let end = used(&files[&segment(1)]);
    let lengths = (0..end + 64).step_by(step(37));
    counted("lengths cut at", lengths.len());
    for length in lengths {
        let mut cut = files.clone();
        cut.get_mut(&segment(1)).unwrap().truncate(length);
        let outcome = outcome(&cut, &events, &format!("cut at {length}"));
        // Behind the last byte that is not zero a CRC may end in zeros; and behind the frames are zeros.
        assert!(length >= end || outcome != Outcome::Harmless, "cut at {length}");
    }
}

/// Where the frames of a segment are.
fn frames(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut at = 4096;
    let mut found = Vec::new();
    while let Some(length) = bytes.get(at..at + 4) {
        let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
        if length == 0 {
            break;
        }
        found.push(at..at + length);
        at += length;
    }
    found
}

#[test]
fn frames_in_each_others_places_are_named() {
    let (files, events) = example(40);
    let bytes = &files[&segment(1)];
    let frames = frames(bytes);
    assert!(frames.len() >= 5);
    counted("frames put in the place of each other", frames.len() * (frames.len() - 1));
    for (one, from) in frames.iter().enumerate() {
        for (other, to) in frames.iter().enumerate() {
            if one == other {
                continue;
            }
            let what = format!("frame {one} at the place of {other}");
            let mut bent = files.clone();
            let target = bent.get_mut(&segment(1)).unwrap();
            let length = from.len().min(to.len());
            target[to.start..to.start + length]
                .copy_from_slice(&bytes[from.start..from.start + length]);
            assert_ne!(outcome(&bent, &events, &what), Outcome::Harmless, "{what}");
            if from.len() == to.len() {
                // Swapped, not only repeated.
                bent.get_mut(&segment(1)).unwrap()[from.clone()]
                    .copy_from_slice(&bytes[to.clone()]);
                assert_ne!(outcome(&bent, &events, &what), Outcome::Harmless, "{what}, swapped");
            }
        }
    }
}

#[test]
fn frames_of_another_segment_or_store_are_named() {
    let (files, events) = example(200_000);
    let (other_store, _) = example(200_000);
    let own = frames(&files[&segment(1)]);
    let foreign = [files[&segment(2)].clone(), other_store[&segment(1)].clone()];
    for donor in foreign {
        for (nth, frame) in own.iter().enumerate() {
            let Some(other) = frames(&donor).get(nth).cloned() else { continue };
            let length = frame.len().min(other.len());
            let mut bent = files.clone();
            bent.get_mut(&segment(1)).unwrap()[frame.start..frame.start + length]
                .copy_from_slice(&donor[other.start..other.start + length]);
            let what = format!("frame {nth} from elsewhere");
            assert_ne!(outcome(&bent, &events, &what), Outcome::Harmless, "{what}");
        }
    }
}

#[test]
fn a_frame_that_is_missing_is_named() {
    let (files, events) = example(40);
    for (nth, frame) in frames(&files[&segment(1)]).into_iter().enumerate() {
        let mut bent = files.clone();
        let bytes = bent.get_mut(&segment(1)).unwrap();
        bytes[frame.clone()].fill(0);
        let what = format!("frame {nth} zeroed");
        assert_eq!(outcome(&bent, &events, &what), Outcome::Named, "{what}");
        let mut closed_up = files.clone();
        let bytes = closed_up.get_mut(&segment(1)).unwrap();
        bytes.copy_within(frame.end.., frame.start);
        let what = format!("frame {nth} taken out");
        assert_eq!(outcome(&closed_up, &events, &what), Outcome::Named, "{what}");
    }
}
