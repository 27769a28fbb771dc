//! Power cuts out of a recording: runs them and reports.

use std::path::Path;
use std::time::Instant;

use tetralog_proof::disk::Image;
use tetralog_proof::power_cut::{LONG, Report, Violation, WORKLOADS, prove};

use crate::report::{machine, violations, write};
use crate::{End, Options};

/// Runs workloads and cuts them.
pub fn run(options: &Options) -> std::io::Result<End> {
    let chosen: Vec<_> =
        WORKLOADS.iter().filter(|one| one.name.contains(&options.workload)).collect();
    let rounds = options.rounds.unwrap_or(chosen.len() as u64);
    let mut report = Report::default();
    let start = Instant::now();
    for seed in (options.seed..).take(rounds as usize) {
        let Some(workload) = chosen.get((seed % chosen.len().max(1) as u64) as usize) else {
            break;
        };
        let known = report.violations.len();
        prove(workload, seed, LONG, &mut report);
        let seconds = start.elapsed().as_secs();
        println!("{seconds:>6} s  seed {seed}, {}: {}", workload.name, counts(&report));
        for (nth, violation) in report.violations.iter().enumerate().skip(known) {
            print(violation);
            if let Some(directory) = &options.keep {
                keep(&violation.image, &directory.join(nth.to_string()))?;
            }
        }
        // After each round, so that a run that is stopped leaves what it has found.
        if let Some(file) = &options.json {
            write(file, json(options, &report, seconds).as_bytes())?;
        }
    }
    println!("{}", counts(&report));
    Ok(if report.violations.is_empty() { End::Holds } else { End::Broken })
}

fn counts(report: &Report) -> String {
    format!(
        "{} cuts ({} exhaustive), {} states ({} after a second cut), {} violations",
        report.cuts,
        report.exhaustive,
        report.states,
        report.again,
        report.violations.len()
    )
}

fn print(violation: &Violation) {
    let Violation { workload, seed, history, message, .. } = violation;
    println!("VIOLATION in '{workload}', seed {seed}: {message}\n    {history}");
}

fn json(options: &Options, report: &Report, seconds: u64) -> String {
    let list = violations(report.violations.iter().map(|one| one.message.as_str()));
    format!(
        "{{\n  \"proof\": \"power-cut\",\n  \"version\": \"{}\",\n  \"machine\": {:?},\n  \"seed\": {},\n  \"rounds\": {},\n  \"cuts\": {},\n  \
         \"exhaustiveCuts\": {},\n  \"states\": {},\n  \"statesAfterASecondCut\": {},\n  \
         \"seconds\": {seconds},\n  \"violations\": {list}\n}}\n",
        env!("CARGO_PKG_VERSION"),
        machine(),
        options.seed,
        report.rounds,
        report.cuts,
        report.exhaustive,
        report.states,
        report.again
    )
}

/// Leaves an image as files.
fn keep(image: &Image, directory: &Path) -> std::io::Result<()> {
    for (path, inode) in image.files() {
        let Some(content) = image.content(inode) else { continue };
        write(&directory.join(path.strip_prefix("/").unwrap_or(path)), &content.bytes())?;
    }
    Ok(())
}
