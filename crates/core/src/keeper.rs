//! Work beside the writer: the next segment's file, runs, and the indexes of sealed segments.
//! One thread, in order; the writer waits for it only when it falls far behind.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use crate::error::{AtPath, Error, Result};
use crate::fs::{File, OpenMode};
use crate::index::{IndexFile, Stretch, Tail, index_frames};
use crate::manifest::Manifest;
use crate::segment::{HEADER_PAGE, HeaderPage, Segment};
use crate::shared::Shared;
use crate::writer::{Durable, Reached};

/// Jobs that may wait before the writer is held back.
const BACKLOG_MAX: usize = 4;
/// Zeros written at once; how long a hand-over of an unfinished spare takes at most.
const ZEROS: usize = 1 << 20;

/// A file for the next segment: allocated, listed in the manifest, its header still zero.
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
    /// Write the index of a sealed segment and give back its unused space.
    Seal { segment: Arc<Segment>, stretch: Stretch },
}

#[derive(Debug, Default)]
struct State {
    spare: Option<Spare>,
    preparing: bool,
    /// The last number that the writer asked for: the files up to it are the writer's alone.
    handed: u64,
    backlog: usize,
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
    jobs: Mutex<Option<Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Keeper {
    /// Starts the thread. `spare` is what recovery found.
    pub(crate) fn start(
        shared: Arc<Shared>,
        durable: Arc<Durable>,
        manifest: Manifest,
        spare: Option<Spare>,
    ) -> Result<Arc<Self>> {
        let (sender, receiver) = mpsc::channel();
        let directory = shared.directory.clone();
        let keeper = Arc::new(Self {
            shared,
            durable,
            manifest_generation: AtomicU64::new(manifest.generation),
            manifest: Mutex::new(manifest),
            state: Mutex::new(State { spare, ..State::default() }),
            changed: Condvar::new(),
            hurry: AtomicBool::new(false),
            jobs: Mutex::new(Some(sender)),
            thread: Mutex::new(None),
        });
        let own = Arc::clone(&keeper);
        let thread = std::thread::Builder::new()
            .name("tetralog-keeper".into())
            .spawn(move || own.run(&receiver))
            .at(&directory)?;
        *keeper.thread.lock() = Some(thread);
        Ok(keeper)
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
        while state.backlog > BACKLOG_MAX {
            self.changed.wait(&mut state);
        }
    }

    /// Finishes the jobs that wait, stops the thread, and gives an unused spare back: a closed store
    /// takes little more space than it uses.
    pub(crate) fn stop(&self) {
        self.jobs.lock().take();
        self.hurry.store(true, Ordering::Release);
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
        let grown = spare.file.allocate(size).and_then(|()| spare.file.sync()).at(&spare.path);
        if let Err(error) = grown {
            self.state.lock().spare = Some(spare);
            return Err(error);
        }
        Ok(Spare { size, ..spare })
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

    /// A file with a header is a segment, never a spare.
    fn refuse_used(&self, path: &Path) -> Result<()> {
        if self.shared.fs.kind(path).at(path)?.is_none() {
            return Ok(());
        }
        match Segment::open(&*self.shared.fs, path, OpenMode::Read)? {
            Ok(_) | Err(HeaderPage::Newer(_)) => Err(Error::format(path, "is a segment already")),
            Err(_) => Ok(()),
        }
    }

    fn list(&self, number: u64) -> Result<()> {
        let mut manifest = self.manifest.lock();
        if manifest.segments.iter().any(|(listed, _)| *listed == number) {
            return Ok(());
        }
        let mut next = manifest.clone();
        next.generation += 1;
        next.segments.push((number, 1));
        next.write(&*self.shared.fs, &self.shared.directory)?;
        self.manifest_generation.store(next.generation, Ordering::Release);
        *manifest = next;
        Ok(())
    }

    fn run(&self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            // A derived file that cannot be written is missing, no more: the log has it all, and the
            // index in memory goes on answering.
            let done = catch_unwind(AssertUnwindSafe(|| match job {
                Job::Spare { number, size, zeros } => self.spare_job(number, size, zeros),
                Job::Run { tail, stretch, end } => self.write_run(&tail, stretch, &end),
                Job::Seal { segment, stretch } => self.index_sealed(&segment, stretch),
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
    }

    /// The manifest and the names of segments are part of the log: an error there, but for a full disk,
    /// poisons the store.
    fn spare_job(&self, number: u64, size: u64, zeros: bool) -> Result<()> {
        self.prepare_spare(number, size, zeros).inspect_err(|error| {
            if !matches!(error, Error::DiskFull { .. }) {
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
        let made = self.make_spare(number, size);
        if let Some(spare) = made.as_ref().ok().filter(|_| zeros) {
            self.fill_with_zeros(spare);
        }
        let mut state = self.state.lock();
        state.preparing = false;
        let result = made.map(|spare| state.spare = Some(spare));
        drop(state);
        self.changed.notify_all();
        result
    }

    /// Overwriting zeros syncs faster than filling fresh space, as long as little is synced at a time.
    /// Not needed, so given up in a hurry.
    fn fill_with_zeros(&self, spare: &Spare) {
        let zeros = vec![0; ZEROS];
        let mut at = 0;
        while at < spare.size && !self.hurry.load(Ordering::Acquire) {
            let n = (spare.size - at).min(ZEROS as u64) as usize;
            if spare.file.write_at(zeros.get(..n).unwrap_or_default(), at).is_err() {
                return;
            }
            at += n as u64;
        }
        let _ = spare.file.sync();
    }

    /// A run stands for frames that nobody looks at again when the store is opened: they have to be
    /// durable before it is.
    fn write_run(&self, tail: &Arc<Tail>, stretch: Stretch, end: &Reached) -> Result<()> {
        let segment = tail.segment();
        if segment.is_sealed() {
            // Its index is about to be written as a whole.
            return Ok(());
        }
        self.durable.reach(end)?;
        let path = self.shared.run_path(segment.header.number, tail.extent().start);
        tail.write(&*self.shared.fs, &path, stretch)?;
        if let Some(file) = IndexFile::open(&*self.shared.fs, &path, segment) {
            self.shared.adopt(file);
        }
        Ok(())
    }

    fn index_sealed(&self, segment: &Arc<Segment>, stretch: Stretch) -> Result<()> {
        build_index(&self.shared, segment, Some(stretch))?;
        let length = segment.file_length()?;
        segment.file().release(segment.end()..length).at(&segment.path)?;
        self.remove_runs(segment.header.number);
        Ok(())
    }

    /// Removes the runs of a segment that has an index.
    fn remove_runs(&self, number: u64) {
        let directory = self.shared.directory.join("runs");
        let prefix = format!("{number:010}-");
        for name in self.shared.fs.list(&directory).unwrap_or_default() {
            if name.starts_with(&prefix) {
                let _ = self.shared.fs.remove(&directory.join(name));
            }
        }
    }
}

/// Reads a sealed segment and writes its index; the parts it had until now are replaced. Damage that
/// is found on the way is reported.
pub(crate) fn build_index(
    shared: &Shared,
    segment: &Arc<Segment>,
    stretch: Option<Stretch>,
) -> Result<()> {
    let tail = Tail::new(segment, segment.header.base_position, HEADER_PAGE);
    let mut running = segment.first_hash;
    let scanned =
        index_frames(segment, &tail, HEADER_PAGE, segment.end(), true, Some(&mut running))?;
    if !scanned.damage.is_empty() {
        shared.report(&scanned.damage);
        return Err(Error::Corrupt { damage: scanned.damage });
    }
    let stretch = stretch.unwrap_or(Stretch {
        recorded_us: scanned.recorded_us,
        frames: scanned.frames,
        running,
    });
    let path = segment.index_path();
    tail.write(&*shared.fs, &path, stretch)?;
    if let Some(file) = IndexFile::open(&*shared.fs, &path, segment) {
        shared.adopt(file);
    }
    Ok(())
}
