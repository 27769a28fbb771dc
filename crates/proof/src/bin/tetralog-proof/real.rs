//! Real disks and processes: runs the proofs and reports.

use std::fmt::Write;
use std::io;
use std::path::PathBuf;
use std::time::Instant;

use tetralog_proof::real::room::{self, Room};
use tetralog_proof::real::{DISKS, Findings, KILLED, prove_disk, prove_kill};

use crate::report::{machine, violations, write};
use crate::{End, Options, SKIPPED};

/// Directories of this program start with it; a process id follows.
const SCRATCH: &str = "tetralog-proof-kill-";

/// Things that happen to disks, in a mount namespace of its own.
pub fn disk(options: &Options) -> io::Result<End> {
    let missing = |why: String| Ok(End::Skipped(format!("no file systems can be mounted ({why})")));
    match room::inside() {
        Err(why) => return missing(why),
        Ok(Some(mut same)) => {
            return Ok(match same.status()?.code() {
                Some(0) => End::Holds,
                Some(code) if code == i32::from(SKIPPED) => End::SaidSkipped,
                _ => End::Broken,
            });
        }
        Ok(None) => {}
    }
    let room = match Room::new() {
        Err(why) => return missing(why),
        Ok(room) => room,
    };
    let names = DISKS.map(|case| case.name);
    rounds("disk", &names, options, &mut |nth, seed, findings| {
        prove_disk(&DISKS[nth], seed, &room, findings);
    })
}

/// Processes that are killed.
pub fn kill(options: &Options) -> io::Result<End> {
    let directory = scratch()?;
    let ended = rounds("kill", &KILLED, options, &mut |nth, seed, findings| {
        prove_kill(KILLED[nth], seed, &directory, findings);
    });
    std::fs::remove_dir_all(&directory)?;
    ended
}

/// A directory for stores; those of runs that were killed are removed.
fn scratch() -> io::Result<PathBuf> {
    let temporary = std::env::temp_dir();
    for entry in std::fs::read_dir(&temporary)?.flatten() {
        let name = entry.file_name();
        let Some(process) = name.to_str().and_then(|name| name.strip_prefix(SCRATCH)) else {
            continue;
        };
        if !PathBuf::from("/proc").join(process).exists() {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    let directory = temporary.join(format!("{SCRATCH}{}", std::process::id()));
    std::fs::create_dir(&directory)?;
    Ok(directory)
}

/// Does rounds, each with one of the names that were chosen, in turn.
fn rounds(
    proof: &str,
    names: &[&str],
    options: &Options,
    prove: &mut dyn FnMut(usize, u64, &mut Findings),
) -> io::Result<End> {
    let chosen: Vec<usize> =
        (0..names.len()).filter(|nth| names[*nth].contains(&options.workload)).collect();
    let mut findings = Findings::default();
    let start = Instant::now();
    let count = options.rounds.unwrap_or(chosen.len() as u64);
    for (seed, nth) in (options.seed..).zip(chosen.iter().cycle()).take(count as usize) {
        let known = findings.violations.len();
        prove(*nth, seed, &mut findings);
        let seconds = start.elapsed().as_secs();
        println!("{seconds:>6} s  seed {seed}, {}: {}", names[*nth], counts(&findings));
        for violation in &findings.violations[known..] {
            println!(
                "VIOLATION (--seed {seed} --rounds 1 --workload '{}'): {}",
                violation.case, violation.message
            );
        }
    }
    if let Some(file) = &options.json {
        write(file, json(proof, options, &findings, start.elapsed().as_secs()).as_bytes())?;
    }
    Ok(if findings.violations.is_empty() { End::Holds } else { End::Broken })
}

fn counts(findings: &Findings) -> String {
    let mut text = String::new();
    for (what, count) in &findings.counts {
        let _ = write!(text, "{count} {what}, ");
    }
    format!("{text}{} violations", findings.violations.len())
}

fn json(proof: &str, options: &Options, findings: &Findings, seconds: u64) -> String {
    let counts: Vec<String> =
        findings.counts.iter().map(|(what, count)| format!("    {what:?}: {count}")).collect();
    let messages = findings.violations.iter().map(|one| one.message.as_str());
    format!(
        "{{\n  \"proof\": {proof:?},\n  \"machine\": {:?},\n  \"seed\": {},\n  \"rounds\": {},\n  \
         \"counts\": {{\n{}\n  }},\n  \"seconds\": {seconds},\n  \"violations\": {}\n}}\n",
        machine(),
        options.seed,
        findings.rounds,
        counts.join(",\n"),
        violations(messages)
    )
}
