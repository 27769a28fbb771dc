//! A process that appends until it is killed, seen from within and from outside.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use tetralog_core::fs::DiskFs;
use tetralog_core::{Error, Host, SystemHost};

use super::line::Line;
use crate::numbers::Numbers;
use crate::power_cut::WORKLOADS;
use crate::promise::{Promise, Witness};
use crate::workload::{History, Session, Workload};

/// The subcommand that it is started with.
pub const COMMAND: &str = "append";
/// Steps after which the store is closed and opened again.
const STEPS: u64 = 40;
/// Numbers of a session have nothing to do with those of another.
const BRANCH: u64 = 1000;

/// The real machine, in a boot of its own: after a power cut it would be another one.
#[derive(Debug)]
pub struct Booted(pub u64);

impl Host for Booted {
    fn unix_ns(&self) -> u64 {
        SystemHost.unix_ns()
    }

    fn random(&self, bytes: &mut [u8]) {
        SystemHost.random(bytes);
    }

    fn boot_id(&self) -> [u8; 16] {
        let mut id = SystemHost.boot_id();
        for (byte, own) in id.iter_mut().zip(self.0.to_le_bytes()) {
            *byte ^= own;
        }
        id
    }
}

/// What a process is to do.
#[derive(Debug, Clone)]
pub struct Task {
    /// The store's directory.
    pub directory: PathBuf,
    /// What is appended.
    pub workload: &'static Workload,
    /// Decides what the appends are like.
    pub seed: u64,
    /// Counts the processes of a store.
    pub session: u64,
    /// Number of the first append.
    pub from: u64,
    /// The boot that it believes to be in.
    pub boot: u64,
}

impl Task {
    /// What decides its steps.
    pub fn numbers(&self) -> Numbers {
        Numbers::branch(self.seed, BRANCH + self.session)
    }

    fn arguments(&self) -> Option<[String; 6]> {
        let workload = WORKLOADS.iter().position(|one| one.name == self.workload.name)?;
        let numbers = [workload as u64, self.seed, self.session, self.from, self.boot];
        let [workload, seed, session, from, boot] = numbers.map(|number| number.to_string());
        Some([self.directory.to_str()?.to_owned(), workload, seed, session, from, boot])
    }

    /// Reads the arguments of a process.
    pub fn read(arguments: &[String]) -> Option<Self> {
        let (directory, numbers) = arguments.split_first()?;
        let numbers: Vec<u64> = numbers.iter().map_while(|one| one.parse().ok()).collect();
        let [workload, seed, session, from, boot] = numbers[..] else { return None };
        let workload = WORKLOADS.get(workload as usize)?;
        Some(Self { directory: directory.into(), workload, seed, session, from, boot })
    }

    /// Does it, until something fails.
    pub fn run(&self) {
        let teller = Arc::new(Teller::default());
        let mut numbers = self.numbers();
        let mut history = History::starting_at(self.from);
        while !teller.failed.load(Ordering::Acquire) {
            match self.session(&teller, &mut numbers, history) {
                Ok(next) => history = next,
                Err(error) => return teller.failed(None, &error),
            }
        }
    }

    fn session(
        &self,
        teller: &Arc<Teller>,
        numbers: &mut Numbers,
        history: History,
    ) -> tetralog_core::Result<History> {
        let (fs, host) = (Arc::new(DiskFs), Arc::new(Booted(self.boot)));
        let (workload, seed) = (self.workload, self.seed);
        let store = workload.open_at(fs, host, self.directory.clone(), &**teller)?;
        let witness = Arc::<Teller>::clone(teller);
        let mut session = Session { workload, witness, store: &store, seed, history };
        for _ in 0..STEPS {
            let step = session.history.plan(workload, seed, numbers);
            Line::Handed(session.history.next_number()).tell();
            session.carry_out(&step);
            if teller.failed.load(Ordering::Acquire) {
                return Ok(session.history);
            }
        }
        let history = session.history;
        store.close()?;
        teller.promise(Promise::Synced);
        Ok(history)
    }
}

/// Tells of every promise at once.
#[derive(Debug, Default)]
struct Teller {
    failed: AtomicBool,
}

impl Witness for Teller {
    fn promise(&self, promise: Promise) {
        Line::Promised(promise).tell();
    }

    fn failed(&self, _append: Option<u64>, error: &Error) {
        self.failed.store(true, Ordering::Release);
        Line::Failed(error.to_string()).tell();
    }
}

/// A process that was started.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: Receiver<Line>,
    heard: Vec<Line>,
}

impl Process {
    /// Starts it.
    pub fn start(task: &Task) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let arguments = task.arguments().ok_or("a task cannot be told")?;
        let mut command = Command::new(program);
        command.arg(COMMAND).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let out = child.stdout.take().ok_or("a process without output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            // A line is one write to a pipe: none is cut short by the end of the process.
            let told = BufReader::new(out).lines().map_while(Result::ok);
            for line in told.filter_map(|text| Line::decode(&text)) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines, heard: Vec::new() })
    }

    /// Listens until so many lines were heard, for a limited time.
    pub fn hear(&mut self, lines: u64, at_most: Duration) {
        let end = Instant::now() + at_most;
        while (self.heard.len() as u64) < lines {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => self.heard.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// All that it has told by now.
    pub fn so_far(&mut self) -> &[Line] {
        self.heard.extend(self.lines.try_iter());
        &self.heard
    }

    /// Why it could not go on, if it has said so by now.
    pub fn failure(&mut self) -> Option<&str> {
        self.so_far().iter().find_map(|line| match line {
            Line::Failed(message) => Some(message.as_str()),
            _ => None,
        })
    }

    /// Kills it (SIGKILL); all that it has told.
    pub fn kill(mut self) -> Result<Vec<Line>, String> {
        self.end().map_err(|error| error.to_string())?;
        let mut heard = std::mem::take(&mut self.heard);
        heard.extend(self.lines.iter());
        Ok(heard)
    }

    fn end(&mut self) -> std::io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// The bytes of a store's public files, those that are zeros left out.
pub fn public_files(directory: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>, String> {
    let told = |error: std::io::Error| error.to_string();
    let mut paths = vec![directory.join("MANIFEST")];
    for entry in std::fs::read_dir(directory.join("segments")).map_err(told)? {
        let path = entry.map_err(told)?.path();
        if path.extension().is_some_and(|ending| ending == "seg") {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path: PathBuf| bytes(&path).map(|bytes| (path, bytes)).map_err(told);
    let mut files = paths.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    files.retain(|(_, bytes)| bytes.iter().any(|byte| *byte != 0));
    Ok(files)
}

#[expect(clippy::disallowed_methods, reason = "it looks at the store from outside")]
fn bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    std::fs::read(path)
}
