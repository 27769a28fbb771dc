//! The proofs in their long forms. `tetralog-proof power-cut --seed 7 --rounds 100`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it reports to whoever runs it")]

use std::process::ExitCode;
use std::time::Instant;

use tetralog_proof::fate::Effort;
use tetralog_proof::power_cut::{Plan, Report, WORKLOADS, prove};

const USAGE: &str = "usage: tetralog-proof power-cut [--seed N] [--rounds N] [--workload NAME]";

fn main() -> ExitCode {
    let mut report = Report::default();
    let plan = Plan {
        effort: Effort {
            states: std::env::var("STATES").map_or(4096, |s| s.parse().unwrap_or(4096)),
            exhaustive: true,
        },
        again_percent: 3,
        depth: 2,
    };
    let seed = std::env::args().nth(3).and_then(|s| s.parse().ok()).unwrap_or(1);
    let rounds: u64 = std::env::args().nth(5).and_then(|s| s.parse().ok()).unwrap_or(8);
    let start = Instant::now();
    for round in 0..rounds {
        let workload = &WORKLOADS[((seed + round) % 8) as usize];
        prove(workload, seed + round, plan, &mut report);
        println!(
            "{} {}: cuts {} exhaustive {} states {} again {} violations {} {:?}",
            seed + round,
            workload.name,
            report.cuts,
            report.exhaustive,
            report.states,
            report.again,
            report.violations.len(),
            start.elapsed()
        );
    }
    let mut seen = std::collections::BTreeMap::<String, (u64, String)>::new();
    for v in &report.violations {
        let m: String =
            v.message.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
        let e = seen.entry(m).or_insert((
            0,
            format!("{} seed {}: {} :: {}", v.workload, v.seed, v.history, v.message),
        ));
        e.0 += 1;
    }
    for (m, (n, v)) in &seen {
        println!("{n}x {m}\n     {v}");
    }
    eprintln!("{USAGE}");
    ExitCode::SUCCESS
}
