//! Workloads, cut at every moment that matters.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tetralog_core::Durability;

use crate::check::{check, keeps_torn_bytes, public_files};
use crate::disk::{Cut, Disk, Effect, Image, Moment, Recording, Standing};
use crate::fate::{Effort, States};
use crate::numbers::Numbers;
use crate::promise::{Promise, Promised, Witness};
use crate::workload::{History, Machine, Scale, Session, Style, Workload};

/// What is run, in turn.
pub const WORKLOADS: [Workload; 9] = [
    workload("sync, small appends", Durability::Sync, SMALL, (2, 8)),
    workload("sync, rotation", Durability::Sync, LARGE, (2, 3)),
    workload("sync, runs", Durability::Sync, BULK, (7, 1)),
    workload("interval, small appends", Durability::Interval, SMALL, (2, 8)),
    workload("interval, rotation", Durability::Interval, LARGE, (2, 3)),
    workload("none, small appends", Durability::None, SMALL, (2, 8)),
    workload("none, rotation", Durability::None, LARGE, (2, 3)),
    Workload {
        failing_sync: true,
        ..workload("sync, a sync fails", Durability::Sync, LARGE, (3, 3))
    },
    // Runs of full size, which are merged while appends go on. Not for a build that is not optimised.
    Workload {
        segment_max_bytes: 64 << 20,
        scale: Scale::FEW,
        ..workload("none, full runs", Durability::None, TINY, (3, 6))
    },
];

const SMALL: &[(Style, u64)] = &[(Style::Unique, 3), (Style::Mixed, 2)];
const LARGE: &[(Style, u64)] = &[(Style::Large, 3), (Style::Unique, 1), (Style::Mixed, 1)];
const BULK: &[(Style, u64)] = &[(Style::Bulk, 4), (Style::Unique, 1)];
const TINY: &[(Style, u64)] = &[(Style::Tiny, 1)];

const fn workload(
    name: &'static str,
    durability: Durability,
    styles: &'static [(Style, u64)],
    (sessions, steps): (u64, u64),
) -> Workload {
    Workload {
        name,
        durability,
        styles,
        sessions,
        steps,
        failing_sync: false,
        segment_max_bytes: 1 << 20,
        scale: Scale::ALL,
    }
}

/// How much is tried.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// At each moment.
    pub effort: Effort,
    /// Of a hundred states, so many are opened on a disk that is cut again.
    pub again_percent: u64,
    /// How often that may be repeated.
    pub depth: u32,
}

/// What the long form tries.
pub const LONG: Plan =
    Plan { effort: Effort { states: 2048, exhaustive: true }, again_percent: 5, depth: 2 };

/// What the tests try: some of each.
pub const SHORT: Plan =
    Plan { effort: Effort { states: 8, exhaustive: true }, again_percent: 4, depth: 1 };

/// What was tried, and what was found.
#[derive(Debug, Default)]
pub struct Report {
    /// Workloads run.
    pub rounds: u64,
    /// Moments at which the power was cut or the process killed.
    pub cuts: u64,
    /// Those of them at which every subset of what was pending of the log was tried.
    pub exhaustive: u64,
    /// States of the disk on which the store was opened.
    pub states: u64,
    /// Those of them that were left by a cut during an earlier opening or what followed it.
    pub again: u64,
    /// What does not hold.
    pub violations: Vec<Violation>,
}

/// A promise that was broken.
#[derive(Debug, Clone)]
pub struct Violation {
    /// The workload.
    pub workload: &'static str,
    /// Its seed.
    pub seed: u64,
    /// Where it was cut, and again; what became of the changes.
    pub history: String,
    /// What does not hold.
    pub message: String,
    /// The disk before the store was opened.
    pub image: Image,
}

/// Runs a workload and cuts it.
pub fn prove(workload: &'static Workload, seed: u64, plan: Plan, report: &mut Report) {
    let disk = Disk::default();
    report.rounds += 1;
    let case = Case { workload, seed, plan };
    match workload.run(seed, &disk) {
        Ok(history) => {
            let life =
                Life { history, promised: Promised::default(), boot: 0, told: String::new() };
            case.cut(&disk.recording(), &life, plan.depth, report);
        }
        Err(error) => report.violations.push(Violation {
            workload: workload.name,
            seed,
            history: "no cut".to_owned(),
            message: error.to_string(),
            image: disk.seen(),
        }),
    }
}

#[derive(Debug, Clone, Copy)]
struct Case {
    workload: &'static Workload,
    seed: u64,
    plan: Plan,
}

/// What went before a recording.
#[derive(Debug, Clone)]
struct Life {
    history: History,
    promised: Promised,
    boot: u64,
    told: String,
}

/// How a system ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The power is cut: what is pending may be lost.
    PowerCut,
    /// The process is killed, and opened again in the same boot: nothing is lost, but it is still pending.
    Kill,
    /// The same, but the kernel has failed to write what is pending of segments, and takes it for clean.
    FailedWriteback,
}

impl Case {
    fn cut(self, recording: &Recording, life: &Life, depth: u32, report: &mut Report) {
        let mut numbers = Numbers::branch(self.seed, life.told.len() as u64 + 2);
        let mut picks = numbers.clone();
        let (again, scale) = (depth < self.plan.depth, self.workload.scale);
        let often = if again { 4 } else { 15 };
        recording.cuts(&life.promised, &mut || picks.percent(often), &mut |cut, moment| {
            let looked_at = scale.moments_percent / if again { 4 } else { 1 };
            if !numbers.percent(looked_at) {
                return;
            }
            report.cuts += 1;
            let mut states = Vec::new();
            if moment == Moment::Fullest {
                let mut possible = States::of(cut);
                let few = Effort { states: 4, exhaustive: false };
                let mut effort = if again { few } else { self.plan.effort };
                effort.states = effort.states.min(scale.states_max);
                possible.visit(effort, &mut numbers, &mut |image, what| {
                    states.push((End::PowerCut, Disk::holding(image), what.to_owned()));
                });
                report.exhaustive += u64::from(possible.complete && effort.exhaustive);
            }
            states.push((End::Kill, killed(cut), "killed".to_owned()));
            if moment == Moment::Fullest || numbers.percent(30) {
                states.push((End::FailedWriteback, failed(cut), "failed writeback".to_owned()));
            }
            for (end, disk, what) in states {
                report.states += 1;
                report.again += u64::from(again);
                let told = format!("{}; cut at {}: {what}", life.told, cut.at);
                self.open(&disk, end, cut, &Life { told, ..life.clone() }, depth, report);
            }
        });
    }

    /// Opens the store on what a cut has left.
    fn open(self, disk: &Disk, end: End, cut: &Cut, life: &Life, depth: u32, report: &mut Report) {
        let mut numbers = Numbers::branch(self.seed, report.states);
        let boot = life.boot + u64::from(end == End::PowerCut);
        let image = disk.seen();
        let required = match end {
            End::PowerCut => cut.promised.clone(),
            End::Kill | End::FailedWriteback => cut.promised.without_power_cut(),
        };
        let tried = catch_unwind(AssertUnwindSafe(|| {
            self.go_on(disk, &required, &life.history, boot, &mut numbers)
        }));
        let message = match tried {
            Ok(Ok(history)) => {
                if depth > 0 && numbers.percent(self.plan.again_percent) {
                    let promised = match end {
                        End::PowerCut => cut.promised.after_power_cut(),
                        End::Kill | End::FailedWriteback => cut.promised.clone(),
                    };
                    let next = Life { history, promised, boot, told: life.told.clone() };
                    self.cut(&disk.recording(), &next, depth - 1, report);
                }
                return;
            }
            Ok(Err(message)) => message,
            Err(_) => "a panic".to_owned(),
        };
        let (workload, seed, history) = (self.workload.name, self.seed, life.told.clone());
        report.violations.push(Violation { workload, seed, history, message, image });
    }

    /// Opens the store, checks it, opens it once more, appends, and checks it again.
    fn go_on(
        self,
        disk: &Disk,
        required: &Promised,
        history: &History,
        boot: u64,
        numbers: &mut Numbers,
    ) -> Result<History, String> {
        let machine = Machine::new(numbers.any(), boot);
        let open =
            || self.workload.open(disk, &machine).map_err(|error| format!("opening: {error}"));
        let mut store = open()?;
        let (events, found) = check(&store, history, required, numbers)?;
        if (required.kept_aside || store.recovery().torn_bytes > 0)
            && !keeps_torn_bytes(&disk.seen())
        {
            return Err("what was cut off is not kept".to_owned());
        }
        let next = history.0.len() as u64;
        disk.promise(Promise::Settled { found: found.clone(), next });
        if numbers.percent(40) {
            store.close().map_err(|error| format!("closing: {error}"))?;
            let before = disk.seen();
            store = open()?;
            if store.recovery().torn_bytes > 0 || !store.recovery().clean {
                return Err(format!("opening again is not clean: {:?}", store.recovery()));
            }
            let (again, _) = check(&store, history, required, numbers)?;
            if again != events || public_files(&disk.seen()) != public_files(&before) {
                return Err("opening again changes something".to_owned());
            }
        }
        let history = History(history.0.clone());
        let witness = Arc::new(disk.clone());
        let (workload, seed) = (self.workload, self.seed);
        let mut session = Session { workload, witness, store: &store, seed, history };
        let lost = (0..next).filter(|number| !found.contains_key(number));
        let lost: Vec<u64> = lost.take(numbers.below(3) as usize).collect();
        for number in lost {
            session.retry(number).map_err(|error| format!("appending again: {error}"))?;
        }
        if numbers.percent(50) {
            session.append(numbers);
        }
        if numbers.percent(30) {
            session.step(numbers);
        }
        let history = session.history;
        store.close().map_err(|error| format!("closing: {error}"))?;
        disk.promise(Promise::Synced);
        let required = disk.recording().promised(required).without_power_cut();
        let store = open()?;
        check(&store, &history, &required, numbers)?;
        store.close().map_err(|error| format!("closing: {error}"))?;
        Ok(history)
    }
}

/// What a killed process leaves: all that it did is seen.
pub fn killed(cut: &Cut) -> Disk {
    Disk::running(cut.image.clone(), cut.pending.clone())
}

/// The same, where the kernel has failed to write what was pending of segments.
pub fn failed(cut: &Cut) -> Disk {
    let mut pending = cut.pending.clone();
    for one in &mut pending {
        let segment = one.path.extension().is_some_and(|ending| ending == "seg");
        let data = matches!(one.effect, Effect::Data { .. });
        if segment && data && one.standing == Standing::Open {
            one.standing = Standing::Lost;
        }
    }
    Disk::running(cut.image.clone(), pending)
}
