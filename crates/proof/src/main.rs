//! The proofs in their long forms: `tetralog-proof power-cut --seed 7 --rounds 100`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it reports to whoever runs it")]

use std::collections::BTreeMap;
use std::fs::read_to_string;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use tetralog_proof::disk::Image;
use tetralog_proof::power_cut::{LONG, Report, Violation, WORKLOADS, prove};

const USAGE: &str = "\
usage: tetralog-proof power-cut [options]

  --seed N       seed of the first round; each round takes the next one (1)
  --rounds N     workloads to run and cut (9: each once)
  --workload W   only workloads whose name contains this
  --json FILE    where the counts go, as JSON
  --keep DIR     where the disk goes of each violation: the store's files as they were opened

The seed decides the workload and what each cut leaves; how the threads of the engine take turns is not
in its hand. So a violation is repeated by its seed often, and by the files that --keep leaves always.";

/// What was asked for.
#[derive(Debug)]
struct Options {
    seed: u64,
    rounds: u64,
    workload: String,
    json: Option<PathBuf>,
    keep: Option<PathBuf>,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        if arguments.next()? != "power-cut" {
            return None;
        }
        let (json, keep) = (None, None);
        let mut options = Self { seed: 1, rounds: 9, workload: String::new(), json, keep };
        while let Some(name) = arguments.next() {
            let value = arguments.next()?;
            match name.as_str() {
                "--seed" => options.seed = value.parse().ok()?,
                "--rounds" => options.rounds = value.parse().ok()?,
                "--workload" => options.workload = value,
                "--json" => options.json = Some(value.into()),
                "--keep" => options.keep = Some(value.into()),
                _ => return None,
            }
        }
        Some(options)
    }
}

fn main() -> ExitCode {
    let Some(options) = Options::read(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match power_cut(&options) {
        Ok(report) if report.violations.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn power_cut(options: &Options) -> std::io::Result<Report> {
    let chosen: Vec<_> =
        WORKLOADS.iter().filter(|one| one.name.contains(&options.workload)).collect();
    let mut report = Report::default();
    let start = Instant::now();
    for seed in (options.seed..).take(options.rounds as usize) {
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
    Ok(report)
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
    let mut messages: BTreeMap<&str, u64> = BTreeMap::new();
    for violation in &report.violations {
        *messages.entry(&violation.message).or_default() += 1;
    }
    let violations: Vec<String> = messages
        .iter()
        .map(|(message, count)| format!("    {{ \"count\": {count}, \"message\": {message:?} }}"))
        .collect();
    let list = if violations.is_empty() {
        String::new()
    } else {
        format!("\n{}\n  ", violations.join(",\n"))
    };
    format!(
        "{{\n  \"proof\": \"power-cut\",\n  \"version\": \"{}\",\n  \"machine\": {:?},\n  \"seed\": {},\n  \"rounds\": {},\n  \"cuts\": {},\n  \
         \"exhaustiveCuts\": {},\n  \"states\": {},\n  \"statesAfterASecondCut\": {},\n  \
         \"seconds\": {seconds},\n  \"violations\": [{list}]\n}}\n",
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

/// What it ran on: processor, threads, kernel.
fn machine() -> String {
    let text = |path: &str| read_to_string(path).unwrap_or_default();
    let info = text("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let threads = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = text("/proc/sys/kernel/osrelease");
    format!("{}, {threads} threads, Linux {}", model.unwrap_or("unknown"), kernel.trim())
}

/// Leaves an image as files.
fn keep(image: &Image, directory: &Path) -> std::io::Result<()> {
    for (path, inode) in image.files() {
        let Some(content) = image.content(inode) else { continue };
        write(&directory.join(path.strip_prefix("/").unwrap_or(path)), &content.bytes())?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a report is no part of a store")]
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, bytes)
}
