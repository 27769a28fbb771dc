//! Work beside the writer: the next segment's file, and the derived files. One thread. What the writer
//! may have to wait for (a spare, a run) is done at once, also in the middle of long work (merging), so
//! that appends go on meanwhile; the writer waits only when the keeper falls far behind.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use crate::error::{AtPath, Error, Result};
use crate::fs::{File, OpenMode};
use crate::index::directory::Pace;
use crate::index::{Part, Stretch, Tail};
use crate::manifest::Manifest;
use crate::recovery::is_spare;
use crate::segment::{HeaderPage, Segment};
use crate::shared::Shared;
use crate::upkeep::{
    cover, keep_catalog, merge_directory, merge_runs, merge_sealed, unwritten, write_run,
};
use crate::writer::{Durable, Reached};

/// Jobs that may wait before the writer is held back.
const BACKLOG_MAX: usize = 4;
/// Sealed segments that may wait to be indexed before the writer is held back.
const UNMERGED_MAX: usize = 4;
/// Tails whose file could not be written before no further segment is begun.
const UNWRITTEN_MAX: usize = 8;
/// Zeros written and synced at once. A hand-over of an unfinished spare waits for so many at most, and so
/// does a sync of the log, which the device does after them.
const ZEROS: usize = 1 << 20;

/// A file for the next segment: allocated, listed in the manifest, its header not yet written, or not whole.
#[derive(Debug, Clone)]
pub(crate) struct Spare {
    pub(crate) file: Arc<dyn File>,
    pub(crate) path: PathBuf,
    pub(crate) number: u64,
    pub(crate) size: u64,
}

/// What the keeper is asked to do.
#[derive(Debug)]
pub(crate) enum Job {
    /// Prepare the file of a coming segment, filled with zeros or only allocated.
    Spare { number: u64, size: u64, zeros: bool },
    /// Write the index of a tail, which ends at a place in the log, as a run.
    Run { tail: Arc<Tail>, stretch: Stretch, end: Reached },
    /// Make the index of a sealed segment and give back its unused space.
    Seal { segment: Arc<Segment>, stretch: Stretch },
    /// Try again what could not be written.
    Upkeep,
}

#[derive(Debug, Default)]
struct State {
    spare: Option<Spare>,
    preparing: bool,
    /// The last number that the writer asked for: the files up to it are the writer's alone.
    handed: u64,
    backlog: usize,
    /// Sealed segments that nobody tried to make one index of yet.
    unmerged: usize,
    /// Why the last tail could not be written.
    unwritten: Option<Error>,
}

/// The keeper of a store that is open for writing.
#[derive(Debug)]
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    durable: Arc<Durable>,
    manifest: Mutex<Manifest>,
    manifest_generation: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
    /// The writer needs the spare now, filled with zeros or not.
    hurry: AtomicBool,
    /// Work that can wait for the next opening is given up.
    closing: AtomicBool,
    jobs: Mutex<Option<Sender<Job>>>,
    /// The other end, which the thread holds.
    asked: Mutex<Receiver<Job>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Keeper {
    /// A keeper without a thread. `spare` is what recovery found.
    pub(crate) fn new(
        shared: Arc<Shared>,
        durable: Arc<Durable>,
        manifest: Manifest,
        spare: Option<Spare>,
    ) -> Self {
        let (sender, receiver) = mpsc::channel();
        Self {
            shared,
            durable,
            manifest_generation: AtomicU64::new(manifest.generation),
            manifest: Mutex::new(manifest),
            state: Mutex::new(State { spare, ..State::default() }),
            changed: Condvar::new(),
            hurry: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            jobs: Mutex::new(Some(sender)),
            asked: Mutex::new(receiver),
            thread: Mutex::new(None),
        }
    }

    /// Starts the thread, once.
    pub(crate) fn start(self: &Arc<Self>) -> Result<()> {
        let mut thread = self.thread.lock();
        if thread.is_none() {
            let own = Arc::clone(self);
            let started = std::thread::Builder::new()
                .name("tetralog-keeper".into())
                .spawn(move || own.run(&own.asked.lock()))
                .at(&self.shared.directory)?;
            *thread = Some(started);
        }
        Ok(())
    }

    pub(crate) fn manifest_generation(&self) -> u64 {
        self.manifest_generation.load(Ordering::Acquire)
    }

    /// Queues a job.
    pub(crate) fn ask(&self, job: Job) {
        if let Some(jobs) = &*self.jobs.lock() {
            self.state.lock().backlog += 1;
            let _ = jobs.send(job);
        }
    }

    /// Waits until the keeper is not far behind: memory for what it has not written stays bounded.
    pub(crate) fn wait_for_backlog(&self) {
        let mut state = self.state.lock();
        while state.backlog > BACKLOG_MAX || state.unmerged > UNMERGED_MAX {
            self.changed.wait(&mut state);
        }
    }

    /// Finishes the jobs that wait, stops the thread, and gives an unused spare back: a closed store
    /// takes little more space than it uses.
    pub(crate) fn stop(&self) {
        self.jobs.lock().take();
        self.hurry.store(true, Ordering::Release);
        self.closing.store(true, Ordering::Release);
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        if let Some(spare) = self.state.lock().spare.take() {
            let _ = self.shared.fs.remove(&spare.path);
        }
    }

    /// The file of a segment, of at least `size` bytes: the prepared one, or one made now.
    pub(crate) fn spare(&self, number: u64, size: u64) -> Result<Spare> {
        let mut state = self.state.lock();
        self.hurry.store(true, Ordering::Release);
        while state.preparing {
            self.changed.wait(&mut state);
        }
        self.hurry.store(false, Ordering::Release);
        // From here on a job that is still queued must not touch the file.
        state.handed = number;
        let ready = state.spare.take().filter(|spare| spare.number == number);
        drop(state);
        let spare = match ready {
            Some(spare) => spare,
            None => self.make_spare(number, size)?,
        };
        if spare.size >= size {
            return Ok(spare);
        }
        if let Err(error) = spare.file.allocate(size).at(&spare.path) {
            self.state.lock().spare = Some(spare);
            return Err(error);
        }
        let synced = spare.file.sync().at(&spare.path);
        self.unless_failed(Spare { size, ..spare }, synced)
    }

    /// Allocates a segment's file and lists it in the manifest. Leaves nothing behind if it fails.
    fn make_spare(&self, number: u64, size: u64) -> Result<Spare> {
        let path = self.shared.segment_path(number);
        self.refuse_used(&path)?;
        let file = self.shared.fs.open(&path, OpenMode::Create).at(&path)?;
        let made = file.allocate(size).and_then(|()| file.sync()).at(&path).and_then(|()| {
            let directory = self.shared.segments_directory();
            self.shared.fs.sync_dir(&directory).at(&directory)?;
            self.list(number)
        });
        if let Err(error) = made {
            let _ = self.shared.fs.remove(&path);
            return Err(error);
        }
        Ok(Spare { file, path, number, size })
    }

    /// A file with a header, or with anything behind it, is a segment, never a spare.
    fn refuse_used(&self, path: &Path) -> Result<()> {
        if self.shared.fs.kind(path).at(path)?.is_none() {
            return Ok(());
        }
        match Segment::open(&*self.shared.fs, path, OpenMode::Read)? {
            Err(HeaderPage::Zero | HeaderPage::Damaged(_)) if is_spare(&self.shared, path)? => {
                Ok(())
            }
            _ => Err(Error::format(path, "is a segment already")),
        }
    }

    fn list(&self, number: u64) -> Result<()> {
        let mut manifest = self.manifest.lock();
        if manifest.segments.iter().any(|(listed, _)| *listed == number) {
            // By a process that may have been killed before that was durable.
            let directory = &self.shared.directory;
            return self.shared.fs.sync_dir(directory).at(directory);
        }
        let mut next = manifest.clone();
        next.generation += 1;
        next.segments.push((number, 1));
        next.write(&*self.shared.fs, &self.shared.directory)?;
        self.manifest_generation.store(next.generation, Ordering::Release);
        *manifest = next;
        Ok(())
    }

    /// Fails while many tails could not be written: a segment's worth of them is all that memory has to hold.
    /// Nothing of the log has failed.
    pub(crate) fn refuse_unwritten(&self) -> Result<()> {
        let failed = self.state.lock().unwritten.clone();
        match failed.filter(|_| unwritten(&self.shared.layout()).len() > UNWRITTEN_MAX) {
            Some(error) => {
                self.ask(Job::Upkeep);
                Err(error)
            }
            None => Ok(()),
        }
    }

    fn run(&self, jobs: &Receiver<Job>) {
        self.upkeep(jobs);
        while let Ok(job) = jobs.recv() {
            self.work(job);
            self.upkeep(jobs);
        }
    }

    /// Does a job. A derived file that cannot be written is missing, no more: the log has it all, and
    /// the index in memory goes on answering until the file is tried again.
    fn work(&self, job: Job) {
        let done = catch_unwind(AssertUnwindSafe(|| match job {
            Job::Spare { number, size, zeros } => self.spare_job(number, size, zeros),
            Job::Run { tail, stretch, end } => self.run_job(&tail, stretch, &end),
            Job::Seal { segment, stretch } => self.seal(&segment, stretch),
            Job::Upkeep => Ok(()),
        }));
        if done.is_err() {
            self.shared.poison("the keeper stopped unexpectedly");
        }
        let mut state = self.state.lock();
        state.backlog -= 1;
        state.preparing = false;
        drop(state);
        self.changed.notify_all();
    }

    /// A run stands for frames that nobody looks at again when the store is opened: they have to be
    /// durable before it is.
    fn run_job(&self, tail: &Tail, stretch: Stretch, end: &Reached) -> Result<()> {
        self.durable.reach(end)?;
        tail.finish(stretch);
        self.write_runs();
        Ok(())
    }

    /// Writes the tails that have no file yet, those too that could not be written before.
    fn write_runs(&self) {
        let tails = unwritten(&self.shared.layout());
        let failed = tails.iter().find_map(|tail| write_run(&self.shared, tail).err());
        self.state.lock().unwritten = failed;
    }

    /// Long work on derived files, until no segment that was sealed meanwhile waits for it. What fails
    /// is tried again after the next job.
    fn upkeep(&self, jobs: &Receiver<Job>) {
        loop {
            let done = catch_unwind(AssertUnwindSafe(|| self.upkeep_once(jobs)));
            if done.is_err() {
                self.shared.poison("the keeper stopped unexpectedly");
                self.merged(usize::MAX);
            }
            if self.state.lock().unmerged == 0 {
                return;
            }
        }
    }

    /// Jobs that come meanwhile are done in between.
    fn upkeep_once(&self, jobs: &Receiver<Job>) {
        let mut jobs_first = || {
            while let Ok(job) = jobs.try_recv() {
                self.work(job);
            }
            Ok(())
        };
        // What the directory does not cover yet makes every append slower: it never waits for a merge.
        let mut between = || {
            jobs_first()?;
            cover(&self.shared, &mut jobs_first)
        };
        self.write_runs();
        let _ = between();
        self.merge_sealed(&mut between);
        let _ = merge_runs(&self.shared, &mut between);
        let mut unless_closing = || {
            between()?;
            if self.state.lock().unmerged > 0 {
                self.merge_sealed(&mut between);
            }
            if self.closing.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
        };
        let _ = merge_directory(&self.shared, &mut unless_closing);
        let _ = keep_catalog(&self.shared);
    }

    /// Makes the indexes of the segments that were sealed.
    fn merge_sealed(&self, pace: Pace<'_>) {
        let waiting = self.state.lock().unmerged;
        let _ = merge_sealed(&self.shared, pace);
        self.merged(waiting);
    }

    /// So many sealed segments have had their try.
    fn merged(&self, segments: usize) {
        let mut state = self.state.lock();
        state.unmerged = state.unmerged.saturating_sub(segments);
        drop(state);
        self.changed.notify_all();
    }

    /// The manifest and the names of segments are part of the log: an error there poisons the store, unless it is
    /// that something was used up.
    fn spare_job(&self, number: u64, size: u64, zeros: bool) -> Result<()> {
        self.prepare_spare(number, size, zeros).inspect_err(|error| {
            if !error.is_shortage() {
                self.shared.poison(&error.to_string());
            }
        })
    }

    fn prepare_spare(&self, number: u64, size: u64, zeros: bool) -> Result<()> {
        {
            let mut state = self.state.lock();
            if number <= state.handed || state.spare.is_some() {
                return Ok(());
            }
            state.preparing = true;
        }
        let made = self.make_spare(number, size).and_then(|spare| {
            let filled = if zeros { self.fill_with_zeros(&spare) } else { Ok(()) };
            self.unless_failed(spare, filled)
        });
        let mut state = self.state.lock();
        state.preparing = false;
        let result = made.map(|spare| state.spare = Some(spare));
        drop(state);
        self.changed.notify_all();
        result
    }

    /// Overwriting zeros syncs faster than filling fresh space, as long as little is synced at a time.
    /// Not needed, so given up in a hurry.
    fn fill_with_zeros(&self, spare: &Spare) -> Result<()> {
        let zeros = vec![0; ZEROS];
        let mut at = 0;
        while at < spare.size && !self.hurry.load(Ordering::Acquire) {
            let n = (spare.size - at).min(ZEROS as u64) as usize;
            let zeros = zeros.get(..n).unwrap_or_default();
            spare.file.write_at(zeros, at).and_then(|()| spare.file.sync()).at(&spare.path)?;
            at += n as u64;
        }
        Ok(())
    }

    /// A file that could not be written or synced once is not used: what the disk has of it cannot be told,
    /// and later syncs may not tell either.
    fn unless_failed(&self, spare: Spare, done: Result<()>) -> Result<Spare> {
        if done.is_err() {
            let _ = self.shared.fs.remove(&spare.path);
        }
        done.map(|()| spare)
    }

    /// Writes the last run of a sealed segment, and gives back its unused space.
    fn seal(&self, segment: &Arc<Segment>, stretch: Stretch) -> Result<()> {
        self.state.lock().unmerged += 1;
        for part in &self.shared.layout().parts {
            if let Part::Tail(tail) = part
                && Arc::ptr_eq(part.segment(), segment)
            {
                tail.finish(stretch);
            }
        }
        self.write_runs();
        let length = segment.file_length()?;
        segment.file()?.release(segment.end()..length).at(&segment.path)
    }
}
