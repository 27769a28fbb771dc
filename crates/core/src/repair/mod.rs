//! Repairing a damaged store, on request: what checksums prove is put right, and where they cannot, the log
//! ends before the damage.
//!
//! Invariant: a repair is verified before a byte is changed, and whatever it changes is kept aside.
//! docs/decisions/0028 says why nothing is kept behind a gap.

mod apply;
mod changed;
mod manifest;
mod mend;
mod plan;
mod report;
mod seal;
mod syndrome;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{AtPath, Error, Result};
use crate::fs::{DiskFs, Fs};
use crate::host::{Host, SystemHost};
use crate::progress::Progress;
use crate::recovery::LOCK;

pub(crate) use apply::DAMAGED;
use apply::apply;
use plan::Plan;
pub use report::{Action, RepairReport, RepairStep};

/// Repairs the store in a directory, or says what that would do and lose.
pub fn repair(
    directory: impl Into<PathBuf>,
    dry_run: bool,
    progress: &dyn Progress,
) -> Result<RepairReport> {
    let fs = Arc::new(DiskFs) as Arc<dyn Fs>;
    let host = Arc::new(SystemHost) as Arc<dyn Host>;
    let given = directory.into();
    let directory = std::path::absolute(&given).at(&given)?;
    repair_with(&fs, &host, &directory, dry_run, progress)
}

/// As [`repair`], through a given file system and host.
pub fn repair_with(
    fs: &Arc<dyn Fs>,
    host: &Arc<dyn Host>,
    directory: &Path,
    dry_run: bool,
    progress: &dyn Progress,
) -> Result<RepairReport> {
    if fs.kind(directory).at(directory)?.is_none() {
        return Err(Error::io(directory, &std::io::Error::from_raw_os_error(2)));
    }
    let lock = directory.join(LOCK);
    let Some(_lock) = fs.lock(&lock).at(&lock)? else {
        return Err(Error::Locked { path: directory.to_owned(), pid: None });
    };
    let mut plan = Plan::new(fs, host, directory);
    plan.make(progress)?;
    let kept = if dry_run || plan.changes.is_empty() {
        None
    } else {
        Some(apply(&**fs, directory, &plan.changes)?)
    };
    Ok(report_of(plan, kept))
}

fn report_of(plan: Plan, kept: Option<PathBuf>) -> RepairReport {
    let (events, before) = (plan.after, plan.before);
    let whole_before = plan.first.as_ref().map_or(0, |first| first.events);
    let whole_kept = events - plan.lost_below(events);
    RepairReport {
        events,
        lost: (before > events).then(|| (events, before - 1)),
        lost_whole: whole_before.saturating_sub(whole_kept),
        damage: plan.first.map(|first| first.damage).unwrap_or_default(),
        steps: plan.steps,
        kept,
    }
}
