//! Repairing a store that nobody has open.

use napi::bindgen_prelude::AsyncTask;
use napi_derive::napi;
use serde_json::json;
use tetralog_core::{Action, RepairReport};

use crate::convert::damage_json;
use crate::opening::NativeOpening;
use crate::work::Work;

/// Repairs the store in a directory, or says what that would do. The report as JSON.
#[napi(catch_unwind, ts_return_type = "Promise<string>")]
pub fn repair(
    path: String,
    dry_run: bool,
    opening: &NativeOpening,
) -> AsyncTask<Work<String, String>> {
    let watched = opening.watched();
    let repair = move || {
        let report = tetralog_core::repair(path, dry_run, &*watched)?;
        Ok(report_json(&report, dry_run))
    };
    Work::start(repair, |text| text)
}

fn report_json(report: &RepairReport, dry_run: bool) -> String {
    let steps = report.steps.iter().map(|step| {
        let action = match step.action {
            Action::Correct => "correct",
            Action::Seal => "seal",
            Action::Manifest => "manifest",
            Action::Cut => "cut",
            Action::Remove => "remove",
        };
        json!({
            "action": action, "file": step.file, "segment": step.segment, "offset": step.offset,
            "length": step.length,
        })
    });
    let positions = report.lost.map(|(from, to)| json!({ "from": from, "to": to }));
    let events = report.lost.map_or(0, |(from, to)| to - from + 1);
    json!({
        "dryRun": dry_run,
        "damage": damage_json(&report.damage),
        "steps": steps.collect::<Vec<_>>(),
        "events": report.events,
        "lost": { "events": events, "whole": report.lost_whole, "positions": positions },
        "kept": report.kept.as_ref().map(|kept| kept.to_string_lossy()),
    })
    .to_string()
}
