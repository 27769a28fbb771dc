//! Proofs on real disks and with real processes, through the file system of the engine itself.
//!
//! A *round* is the life of one store, from its making: what happens to it follows from the case and the
//! seed, except for what the kernel and the threads make of it.

mod failing;
mod full;
mod kill;
mod life;
mod line;
mod power;
pub mod process;
pub mod room;
mod shutdown;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use life::Life;
use room::Room;

use crate::power_cut::WORKLOADS;

/// What may happen to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accident {
    PowerCut,
    Failing,
    FullMemory,
    FullExt4,
}

/// A round of the disks.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// What happens.
    pub name: &'static str,
    accident: Accident,
    workload: &'static str,
}

/// What is done on disks, in turn.
pub const DISKS: [Case; 15] = [
    case("power cut, sync", Accident::PowerCut, "sync, small appends"),
    case("failing disk, sync", Accident::Failing, "sync, rotation"),
    case("full tmpfs, sync", Accident::FullMemory, "sync, rotation"),
    case("full ext4, sync", Accident::FullExt4, "sync, rotation"),
    case("power cut, sync, rotation", Accident::PowerCut, "sync, rotation"),
    case("power cut, interval", Accident::PowerCut, "interval, small appends"),
    case("failing disk, interval", Accident::Failing, "interval, rotation"),
    case("full tmpfs, interval", Accident::FullMemory, "interval, rotation"),
    case("full ext4, interval", Accident::FullExt4, "interval, rotation"),
    case("power cut, interval, rotation", Accident::PowerCut, "interval, rotation"),
    case("power cut, none", Accident::PowerCut, "none, small appends"),
    case("failing disk, none", Accident::Failing, "none, rotation"),
    case("full tmpfs, none", Accident::FullMemory, "none, rotation"),
    case("full ext4, none", Accident::FullExt4, "none, rotation"),
    case("power cut, none, rotation", Accident::PowerCut, "none, rotation"),
];

/// The workloads of processes that are killed, in turn.
pub const KILLED: [&str; 6] = [
    "sync, small appends",
    "interval, small appends",
    "none, small appends",
    "sync, rotation",
    "interval, rotation",
    "none, rotation",
];

const fn case(name: &'static str, accident: Accident, workload: &'static str) -> Case {
    Case { name, accident, workload }
}

/// What was tried, and what was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Stores whose life was lived.
    pub rounds: u64,
    /// What happened how often.
    pub counts: BTreeMap<&'static str, u64>,
    /// What does not hold.
    pub violations: Vec<Violation>,
}

/// A promise that was broken.
#[derive(Debug, Clone)]
pub struct Violation {
    /// Where.
    pub case: &'static str,
    /// Its seed.
    pub seed: u64,
    /// What does not hold.
    pub message: String,
}

impl Findings {
    fn count(&mut self, what: &'static str, times: u64) {
        *self.counts.entry(what).or_default() += times;
    }

    fn round(
        &mut self,
        case: &'static str,
        seed: u64,
        workload: &str,
        happens: impl FnOnce(&mut Life, &mut Self) -> Result<(), String>,
    ) {
        self.rounds += 1;
        let Some(workload) = WORKLOADS.iter().find(|one| one.name == workload) else {
            return self.violations.push(Violation { case, seed, message: "no workload".into() });
        };
        let mut life = Life::new(workload, seed);
        let lived = catch_unwind(AssertUnwindSafe(|| happens(&mut life, self)));
        if let Err(message) = lived.unwrap_or_else(|_| Err("a panic".to_owned())) {
            self.violations.push(Violation { case, seed, message });
        }
    }
}

/// Lets one thing happen to a disk.
pub fn prove_disk(case: &Case, seed: u64, room: &Room, findings: &mut Findings) {
    findings.round(case.name, seed, case.workload, |life, findings| match case.accident {
        Accident::PowerCut => power::cut(life, room, findings),
        Accident::Failing => failing::fail(life, room, findings),
        Accident::FullMemory => full::fill(life, room, false, findings),
        Accident::FullExt4 => full::fill(life, room, true, findings),
    });
}

/// Kills processes that append to a store in a directory, which is made and removed.
pub fn prove_kill(workload: &'static str, seed: u64, directory: &Path, findings: &mut Findings) {
    let place = Scratch(directory.join(format!("round-{seed}")));
    findings.round(workload, seed, workload, |life, findings| kill::kill(life, &place.0, findings));
}

/// A directory that goes with it.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
