//! The power cut in its short form: every workload with a few of the states of each cut. The long form
//! is `cargo run --release -p tetralog-proof -- power-cut`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use tetralog_proof::disk::{Disk, Effect, Entry, Node, Pending};
use tetralog_proof::power_cut::{Report, SHORT, WORKLOADS, prove};

/// Cuts a workload; `TETRALOG_PROOF_SEED` picks another one than usual.
fn holds(name: &str) {
    let seed = std::env::var("TETRALOG_PROOF_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut report = Report::default();
    let workload = WORKLOADS.iter().find(|workload| workload.name == name).unwrap();
    prove(workload, seed.unwrap_or(1), SHORT, &mut report);
    let violation = report.violations.first().map(|one| (one.seed, &one.message, &one.history));
    assert_eq!(violation, None, "{} of {} states", report.violations.len(), report.states);
    assert!(report.cuts > 10 && report.states > 100, "{} cuts", report.cuts);
}

#[test]
fn synced_appends_survive_every_power_cut() {
    holds("sync, small appends");
}

#[test]
fn synced_appends_survive_power_cuts_while_segments_are_sealed_and_begun() {
    holds("sync, rotation");
}

#[test]
fn runs_and_their_merging_survive_power_cuts() {
    holds("sync, runs");
}

/// Whether the cuts of that are cuts of what its name says.
#[test]
fn the_workload_of_runs_merges_them_and_the_directory() {
    let disk = Disk::default();
    WORKLOADS.iter().find(|one| one.name == "sync, runs").unwrap().run(1, &disk).unwrap();
    let log = disk.recording().log;
    let changes = log.iter().filter_map(|entry| match entry {
        Entry::Did(Pending { effect: Effect::Names(changes), .. }) => Some(changes),
        _ => None,
    });
    let changes: Vec<_> = changes.flatten().collect();
    let ends = |path: &Path, ending: &str| path.extension().is_some_and(|own| own == ending);
    for replaced in ["run", "heads", "ids"] {
        let gone = |(path, node): &&(PathBuf, Option<Node>)| ends(path, replaced) && node.is_none();
        assert!(changes.iter().copied().any(|change| gone(&change)), "no {replaced} is merged");
    }
    assert!(changes.iter().any(|(path, node)| path.ends_with("catalog") && node.is_some()));
}

#[test]
fn what_an_interval_has_synced_survives_every_power_cut() {
    holds("interval, small appends");
}

#[test]
fn what_an_interval_has_synced_survives_power_cuts_while_segments_are_sealed_and_begun() {
    holds("interval, rotation");
}

#[test]
fn what_is_said_to_be_synced_survives_every_power_cut() {
    holds("none, small appends");
}

#[test]
fn what_is_said_to_be_synced_survives_power_cuts_while_segments_are_sealed_and_begun() {
    holds("none, rotation");
}

#[test]
fn nothing_is_acknowledged_after_a_failed_sync_that_a_power_cut_takes_away() {
    holds("sync, a sync fails");
}
