//! The proofs on real disks and with real processes in their short forms. The long forms are
//! `cargo run --release -p tetralog-proof -- disk` and `… kill`.
//!
//! Where no file systems can be mounted, those that need them are counted as ignored: that is why this
//! is no ordinary test.

use std::io::{Result, Write, stdout};
use std::process::{Command, ExitCode, Output};

/// A claim, and the arguments that try it.
const CLAIMS: [(&str, &[&str]); 4] = [
    ("nothing_acknowledged_is_lost_when_a_process_is_killed", &["kill", "--rounds", "3"]),
    (
        "nothing_durable_is_lost_when_a_real_file_system_loses_its_power",
        &["disk", "--workload", "power cut", "--rounds", "3"],
    ),
    (
        "nothing_is_acknowledged_after_a_real_disk_has_failed",
        &["disk", "--workload", "failing", "--rounds", "3"],
    ),
    (
        "a_full_disk_refuses_appends_until_there_is_space_at_every_level_of_durability",
        &["disk", "--workload", "full", "--rounds", "6"],
    ),
];

/// What the program ends with if nothing could be tried.
const SKIPPED: i32 = 77;

#[derive(Debug, Default)]
struct Totals {
    passed: u32,
    failed: u32,
    ignored: u32,
}

fn main() -> ExitCode {
    match claims() {
        Ok(Totals { failed: 0, .. }) => ExitCode::SUCCESS,
        Ok(_) | Err(_) => ExitCode::FAILURE,
    }
}

fn claims() -> Result<Totals> {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|one| !one.starts_with('-')).collect();
    let mut out = stdout();
    let (chosen, filtered): (Vec<_>, Vec<_>) = CLAIMS.iter().partition(|(claim, _)| {
        wanted.is_empty() || wanted.iter().any(|part| claim.contains(part.as_str()))
    });
    let plural = if chosen.len() == 1 { "" } else { "s" };
    writeln!(out, "\nrunning {} test{plural}", chosen.len())?;
    let mut totals = Totals::default();
    for (claim, arguments) in chosen {
        let Output { status, stdout, stderr } = tried(arguments)?;
        let said =
            [stdout, stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        let verdict = match status.code() {
            Some(0) => {
                totals.passed += 1;
                "ok".to_owned()
            }
            Some(SKIPPED) => {
                totals.ignored += 1;
                format!("ignored, {}", said.trim())
            }
            _ => {
                totals.failed += 1;
                format!("FAILED\n{said}")
            }
        };
        writeln!(out, "test {claim} ... {verdict}")?;
    }
    let Totals { passed, failed, ignored } = totals;
    let result = if failed == 0 { "ok" } else { "FAILED" };
    writeln!(
        out,
        "\ntest result: {result}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; \
         {} filtered out\n",
        filtered.len()
    )?;
    Ok(totals)
}

/// `TETRALOG_PROOF_SEED` picks another seed than usual.
fn tried(arguments: &[&str]) -> Result<Output> {
    let seed = std::env::var("TETRALOG_PROOF_SEED").unwrap_or_else(|_| "1".to_owned());
    let mut program = Command::new(env!("CARGO_BIN_EXE_tetralog-proof"));
    program.args(arguments).args(["--seed", &seed]).output()
}
