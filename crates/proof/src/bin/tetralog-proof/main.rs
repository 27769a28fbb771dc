//! The proofs in their long forms: `tetralog-proof power-cut --seed 7 --rounds 100`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it reports to whoever runs it")]

mod power_cut;
mod real;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use tetralog_proof::real::process::{COMMAND, Task};

const USAGE: &str = "\
usage: tetralog-proof power-cut|disk|kill [options]

  power-cut      cut the power of a recording disk: at every moment, with everything it can leave
  disk           cut the power of real file systems, let them fail, and fill them (needs root)
  kill           kill processes that append

  --seed N       seed of the first round; each round takes the next one (1)
  --rounds N     workloads to run (each once)
  --workload W   only workloads whose name contains this
  --json FILE    where the counts go, as JSON
  --keep DIR     power-cut: where the disk goes of each violation, the store's files as they were opened

The seed decides the workload and what is done to it; how the threads of the engine take turns, and what
the kernel does meanwhile, is not in its hand. So a violation is repeated by its seed often, and by the
files that --keep leaves always. Ends with 1 after a violation, and with 77 if nothing could be tried.";

/// Nothing could be tried: something is missing here.
const SKIPPED: u8 = 77;

/// What was asked for.
#[derive(Debug)]
struct Options {
    seed: u64,
    rounds: Option<u64>,
    workload: String,
    json: Option<PathBuf>,
    keep: Option<PathBuf>,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let (json, keep) = (None, None);
        let mut options = Self { seed: 1, rounds: None, workload: String::new(), json, keep };
        while let Some(name) = arguments.next() {
            let value = arguments.next()?;
            match name.as_str() {
                "--seed" => options.seed = value.parse().ok()?,
                "--rounds" => options.rounds = Some(value.parse().ok()?),
                "--workload" => options.workload = value,
                "--json" => options.json = Some(value.into()),
                "--keep" => options.keep = Some(value.into()),
                _ => return None,
            }
        }
        Some(options)
    }
}

/// How a command ended.
enum End {
    /// Everything holds.
    Holds,
    /// Something does not, and was reported.
    Broken,
    /// Nothing could be tried, for a reason.
    Skipped(String),
    /// The same, and it was said.
    SaidSkipped,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    if command == COMMAND {
        // One of the processes that `disk` and `kill` start.
        let arguments: Vec<String> = arguments.collect();
        return match Task::read(&arguments) {
            Some(task) => {
                task.run();
                ExitCode::SUCCESS
            }
            None => ExitCode::from(2),
        };
    }
    let Some(options) = Options::read(arguments) else { return usage() };
    let ended = match command.as_str() {
        "power-cut" => power_cut::run(&options),
        "disk" => real::disk(&options),
        "kill" => real::kill(&options),
        _ => return usage(),
    };
    match ended {
        Ok(End::Holds) => ExitCode::SUCCESS,
        Ok(End::Broken) => ExitCode::FAILURE,
        Ok(End::Skipped(why)) => {
            println!("SKIPPED: {why}");
            ExitCode::from(SKIPPED)
        }
        Ok(End::SaidSkipped) => ExitCode::from(SKIPPED),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
