//! The store: what an application opens, appends to, reads and closes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use crate::error::{AtPath, Damage, Error, Result};
use crate::event::NewEvent;
use crate::follower::Follower;
use crate::fs::{DiskFs, File, Fs, MemoryFs, patience};
use crate::head::HeadPage;
use crate::host::{Host, SystemHost};
use crate::index::Part;
use crate::keeper::Keeper;
use crate::manifest::Manifest;
use crate::options::StoreOptions;
use crate::progress::{OpenProgress, Progress, Unobserved, Watch};
use crate::query::{Read, ReadSpec, Source, Verification};
use crate::recovery::{self, LOCK, Recovered, Recovery};
use crate::shared::Shared;
use crate::submission::{Append, AppendOptions, SubmissionBuilder};
use crate::upkeep;
use crate::writer::{Durable, Outcome, OutcomeSink, Receipt, Writer};

/// How often a read-only opener tries again when it meets a writer in the middle of a rotation.
const OPEN_TRIES: usize = 20;

/// Figures of a store.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StoreStats {
    /// Visible events.
    pub events: u64,
    /// Entities with visible events.
    pub entities: u64,
    /// The newest visible position.
    pub head: Option<u64>,
    /// The newest position that is synced.
    pub synced_position: Option<u64>,
    /// Bytes of log in use.
    pub bytes: u64,
    /// Segments, the active one included.
    pub segments: u64,
    /// Appends waiting for their outcome.
    pub pending_appends: u64,
    /// Bytes of these.
    pub pending_bytes: u64,
    /// How far it is with an index that turned out to be damaged and is built again, while somebody does that.
    pub rebuilding: Option<OpenProgress>,
}

/// The writer's threads and the keeper's. They are started when there is work for them, so that opening a
/// store costs none.
#[derive(Debug, Default)]
enum Threads {
    #[default]
    Waiting,
    Running(JoinHandle<()>),
    Ended,
}

/// An open store. All methods can be called from any thread; those that read may wait for the disk.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    writer: Option<Arc<Writer>>,
    threads: Mutex<Threads>,
    follower: Option<Arc<Follower>>,
    /// Held while the store is open for writing; the writer thread holds it too, until it has stopped.
    lock: Mutex<Option<Arc<dyn File>>>,
    recovery: Recovery,
}

impl Store {
    /// Opens the store in a directory; makes it if there is none (unless `read_only`).
    pub fn open(directory: impl Into<PathBuf>, options: StoreOptions) -> Result<Self> {
        Self::open_observed(directory, options, &Unobserved)
    }

    /// As [`Store::open`], and tells how far it is: after a crash, or without its index files, a store
    /// is read as far as no index covers it.
    pub fn open_observed(
        directory: impl Into<PathBuf>,
        options: StoreOptions,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let (fs, host) = (Arc::new(DiskFs), Arc::new(SystemHost));
        let given = directory.into();
        // The process may change its directory while the store is open.
        let directory = std::path::absolute(&given).at(&given)?;
        Self::open_all(fs, host, directory, options, progress)
    }

    /// Makes a store in memory: the same engine, nothing on disk.
    pub fn memory(options: StoreOptions) -> Result<Self> {
        let fs = Arc::new(MemoryFs::default());
        Self::open_with(fs, Arc::new(SystemHost), PathBuf::from("/memory"), options)
    }

    /// Opens a store through a given file system and host.
    pub fn open_with(
        fs: Arc<dyn Fs>,
        host: Arc<dyn Host>,
        directory: PathBuf,
        options: StoreOptions,
    ) -> Result<Self> {
        Self::open_all(fs, host, directory, options, &Unobserved)
    }

    fn open_all(
        fs: Arc<dyn Fs>,
        host: Arc<dyn Host>,
        directory: PathBuf,
        options: StoreOptions,
        progress: &dyn Progress,
    ) -> Result<Self> {
        options.check()?;
        let watch = Watch::new(progress);
        if options.read_only {
            return Self::open_reader(&fs, &host, &directory, &options, &watch);
        }
        recovery::survey(&*fs, &directory)?;
        recovery::make_directory(&*fs, &directory)?;
        let lock = take_lock(&*fs, &directory)?;
        let manifest = recovery::survey(&*fs, &directory)?;
        let mut store_id = [0; 16];
        host.random(&mut store_id);
        if let Some(manifest) = &manifest {
            store_id = manifest.store_id;
        }
        let shared = Arc::new(Shared::new(fs, host, directory, options, store_id));
        let created = manifest.is_none();
        let manifest = manifest.map_or_else(|| recovery::create(&shared), Ok)?;
        if manifest.read_only {
            return Err(Error::format(&shared.directory, recovery::NEWER_WRITER));
        }
        let head = recovery::read_head(&shared);
        let mut recovered = recovery::recover(&shared, &manifest, head, &watch)?;
        recovered.recovery.clean |= created;
        let store = Self {
            shared,
            writer: None,
            threads: Mutex::default(),
            follower: None,
            recovery: recovered.recovery,
            lock: Mutex::new(Some(Arc::clone(&lock))),
        };
        if store.shared.is_damaged() {
            return Ok(store);
        }
        store.with_writer(manifest, recovered)
    }

    fn with_writer(mut self, manifest: Manifest, recovered: Recovered) -> Result<Self> {
        let shared = &self.shared;
        let page = HeadPage::create(&*shared.fs, &shared.directory)?;
        let start = recovered.start;
        let durable = Arc::new(Durable::new(Arc::clone(shared), &start.reached()));
        let (unsettled, spare) = (start.is_unsettled(), recovered.spare);
        let keeper = Keeper::new(Arc::clone(shared), Arc::clone(&durable), manifest, spare);
        let writer = Writer::new(shared, Arc::new(keeper), durable, page, start)?;
        self.writer = Some(Arc::new(writer));
        if unsettled || upkeep::is_due(&self.shared) {
            self.working_writer()?;
        }
        Ok(self)
    }

    /// The writer, its threads running.
    fn working_writer(&self) -> Result<Option<&Arc<Writer>>> {
        let Some(writer) = &self.writer else { return Ok(None) };
        let mut threads = self.threads.lock();
        if matches!(*threads, Threads::Waiting) {
            writer.start_keeper()?;
            let (own, lock) = (Arc::clone(writer), self.lock.lock().clone());
            let thread =
                std::thread::Builder::new().name("tetralog-writer".into()).spawn(move || {
                    own.run();
                    drop(lock);
                });
            *threads = Threads::Running(thread.at(&self.shared.directory)?);
        }
        Ok(Some(writer))
    }

    fn open_reader(
        fs: &Arc<dyn Fs>,
        host: &Arc<dyn Host>,
        directory: &Path,
        options: &StoreOptions,
        watch: &Watch<'_>,
    ) -> Result<Self> {
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::try_open_reader(fs, host, directory, options, watch) {
                Ok(store) if store.shared.is_damaged() && tries < OPEN_TRIES => {}
                Err(Error::Io { errno, .. }) if errno == "ENOENT" && tries < OPEN_TRIES / 4 => {}
                result => return result,
            }
            // A writer may have rotated between two looks at its files; real damage stays.
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Opens for reading what is there at this moment, damaged or not.
    pub(crate) fn open_as_is(
        fs: &Arc<dyn Fs>,
        host: &Arc<dyn Host>,
        directory: &Path,
        options: &StoreOptions,
        progress: &dyn Progress,
    ) -> Result<Self> {
        Self::try_open_reader(fs, host, directory, options, &Watch::new(progress))
    }

    fn try_open_reader(
        fs: &Arc<dyn Fs>,
        host: &Arc<dyn Host>,
        directory: &Path,
        options: &StoreOptions,
        watch: &Watch<'_>,
    ) -> Result<Self> {
        let Some(manifest) = recovery::survey(&**fs, directory)? else {
            if fs.kind(directory).at(directory)?.is_none() {
                return Err(Error::io(directory, &std::io::Error::from_raw_os_error(2)));
            }
            return Err(Error::format(directory, "there is no Tetralog store here"));
        };
        let shared = Arc::new(Shared::new(
            Arc::clone(fs),
            Arc::clone(host),
            directory.to_owned(),
            options.clone(),
            manifest.store_id,
        ));
        let page = HeadPage::open(&*shared.fs, &shared.directory);
        let head = page.as_ref().and_then(HeadPage::read);
        let recovered = recovery::recover(&shared, &manifest, head, watch)?;
        let follower = Some(Arc::new(Follower::new(host.boot_id(), page, recovered.start)));
        Ok(Self {
            shared,
            writer: None,
            threads: Mutex::default(),
            follower,
            lock: Mutex::default(),
            recovery: recovered.recovery,
        })
    }

    /// Made with the store; stays with it for ever.
    pub fn id(&self) -> [u8; 16] {
        self.shared.store_id
    }

    /// Nothing can be appended: asked for, or because of damage.
    pub fn is_read_only(&self) -> bool {
        self.shared.refuses_writes().is_some()
    }

    /// Another process or opener writes: reads begin by taking up what it has published.
    pub fn follows(&self) -> bool {
        self.follower.is_some()
    }

    /// Damage found when opening or since.
    pub fn damage(&self) -> Vec<Damage> {
        self.shared.damage()
    }

    /// What opening did.
    pub fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// An empty buffer for a submission, with room from an earlier one where there is some.
    pub fn submission_buffer(&self) -> Vec<u8> {
        self.writer.as_ref().map(|writer| writer.buffer()).unwrap_or_default()
    }

    /// Hands packed appends to the writer. Their outcomes come through the sink, in order. `more` announces
    /// that others follow at once, if only an empty one: a group that is to be synced waits a moment for them.
    pub fn submit(
        &self,
        submission: Vec<u8>,
        sink: Arc<dyn OutcomeSink>,
        more: bool,
    ) -> Result<()> {
        self.shared.check_open()?;
        match self.working_writer()? {
            Some(writer) => writer.submit(submission, sink, more),
            None if submission.is_empty() => Ok(()),
            None => self.refuse(&submission, &*sink),
        }
    }

    /// Answers appends to a store that has no writer.
    fn refuse(&self, submission: &[u8], sink: &dyn OutcomeSink) -> Result<()> {
        let parts = crate::submission::split(submission)
            .ok_or_else(|| Error::invalid("submission", "is malformed"))?;
        let refusal = self.shared.refuses_writes().unwrap_or(Error::Closed);
        let outcomes = parts.into_iter().map(|(sequence, range)| {
            let bytes = submission.get(range).unwrap_or_default();
            let append = Append::decode(bytes, self.shared.options.max_payload_bytes);
            (sequence, Err(append.err().unwrap_or_else(|| refusal.clone())))
        });
        sink.deliver(outcomes.collect());
        Ok(())
    }

    /// Appends events, all or none, and waits for the outcome.
    pub fn append(&self, events: &[NewEvent<'_>], options: &AppendOptions) -> Result<Receipt> {
        let mut submission = SubmissionBuilder::new();
        submission.push(0, events, options);
        self.append_packed(submission.finish())
    }

    /// As [`Store::append`], for one packed append.
    pub fn append_packed(&self, submission: Vec<u8>) -> Result<Receipt> {
        let waiter = Arc::new(Waiter::default());
        let sink = Arc::clone(&waiter) as Arc<dyn OutcomeSink>;
        self.shared.check_open()?;
        match self.working_writer()? {
            Some(writer) => writer.submit_and_help(submission, sink)?,
            None => self.refuse(&submission, &*sink)?,
        }
        waiter.wait()
    }

    /// The newest event of an entity, as a packed batch of one.
    pub fn latest(&self, entity: &str) -> Result<Option<Vec<u8>>> {
        self.with_latest(entity, <[u8]>::to_vec)
    }

    /// As [`Store::latest`], but hands the batch to `take` instead of allocating one.
    pub fn with_latest<T>(
        &self,
        entity: &str,
        mut take: impl FnMut(&[u8]) -> T,
    ) -> Result<Option<T>> {
        check_entity(entity)?;
        self.reading(|view| match view.head_of(entity)? {
            Some(head) => crate::query::single(view, head.position, &mut take).map(Some),
            None => Ok(None),
        })
    }

    /// The event at a position, as a packed batch of one.
    pub fn event(&self, position: u64) -> Result<Option<Vec<u8>>> {
        self.with_event(position, <[u8]>::to_vec)
    }

    /// As [`Store::event`], but hands the batch to `take` instead of allocating one.
    pub fn with_event<T>(
        &self,
        position: u64,
        mut take: impl FnMut(&[u8]) -> T,
    ) -> Result<Option<T>> {
        self.reading(|view| {
            if position >= view.end() {
                return Ok(None);
            }
            crate::query::single(view, position, &mut take).map(Some)
        })
    }

    /// The newest version of an entity.
    pub fn version(&self, entity: &str) -> Result<Option<u64>> {
        check_entity(entity)?;
        self.reading(|view| Ok(view.head_of(entity)?.map(|head| head.version)))
    }

    /// The newest visible position.
    pub fn head(&self) -> Result<Option<u64>> {
        self.reading(|view| Ok(view.end().checked_sub(1)))
    }

    /// Runs a point read on a thread that must neither wait for the disk nor work for long. `None` if it
    /// would have to: then another thread has to run it.
    pub fn without_waiting<T>(&self, read: impl FnOnce(&Self) -> Result<T>) -> Result<Option<T>> {
        match patience::without_waiting(|| read(self)) {
            Err(Error::WouldWait) => Ok(None),
            answer => answer.map(Some),
        }
    }

    fn reading<T>(&self, step: impl FnMut(&crate::view::View) -> Result<T>) -> Result<T> {
        self.shared.check_open()?;
        if let Some(follower) = &self.follower {
            follower.refresh(&self.shared)?;
        }
        self.shared.reading(step)
    }

    /// Begins a read. Its head is fixed by the first step.
    pub fn read(&self, spec: ReadSpec) -> Result<Read> {
        self.shared.check_open()?;
        if let crate::query::Subject::Stream(entity) = &spec.subject {
            check_entity(entity)?;
        }
        Ok(Read::new(Arc::clone(&self.shared), self.follower.clone(), spec))
    }

    /// Looks up what events need that is not in their batch; goes on doing so when the store is closed.
    pub fn source(&self) -> Source {
        Source::new(Arc::clone(&self.shared))
    }

    /// Begins a verification of the whole log, or of one entity.
    pub fn verify(&self, entity: Option<&str>) -> Result<Verification> {
        self.shared.check_open()?;
        if let Some(entity) = entity {
            check_entity(entity)?;
        }
        if let Some(follower) = &self.follower {
            follower.refresh(&self.shared)?;
        }
        Verification::new(Arc::clone(&self.shared), entity)
    }

    /// Figures of the store.
    pub fn stats(&self) -> Result<StoreStats> {
        self.reading(|view| {
            let (pending_appends, pending_bytes) =
                self.writer.as_ref().map_or((0, 0), |writer| writer.pending());
            Ok(StoreStats {
                events: view.end(),
                entities: view.parts().iter().map(Part::new_entities).sum(),
                head: view.end().checked_sub(1),
                synced_position: self.shared.synced().min(view.end()).checked_sub(1),
                bytes: view.segments().iter().map(|segment| segment.end()).sum(),
                segments: view.segments().len() as u64,
                pending_appends,
                pending_bytes,
                rebuilding: self.shared.rebuild.look(),
            })
        })
    }

    /// Waits until everything that was submitted before is synced.
    pub fn sync(&self) -> Result<()> {
        self.shared.check_open()?;
        match self.working_writer()? {
            Some(writer) => writer.sync()?.wait(),
            None => Ok(()),
        }
    }

    /// Lets pending appends finish, syncs, and releases the store. Reads that are open end with an
    /// error. Closing again does nothing.
    pub fn close(&self) -> Result<()> {
        if let Some(writer) = &self.writer {
            writer.close();
        }
        let threads = std::mem::replace(&mut *self.threads.lock(), Threads::Ended);
        match (threads, &self.writer) {
            (Threads::Running(thread), _) => drop(thread.join()),
            (Threads::Waiting, Some(writer)) => writer.finish(),
            _ => {}
        }
        self.shared.close();
        self.lock.lock().take();
        match self.shared.poisoned() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

impl Drop for Store {
    /// Lets the threads end on their own: nothing that was acknowledged rests on it.
    fn drop(&mut self) {
        if let Some(writer) = &self.writer {
            writer.close();
        }
        self.shared.close();
    }
}

fn check_entity(entity: &str) -> Result<()> {
    crate::event::name(entity, crate::limits::ENTITY_MAX_BYTES, || "entity".to_owned())
}

/// Takes the lock and writes down who holds it.
fn take_lock(fs: &dyn Fs, directory: &Path) -> Result<Arc<dyn File>> {
    let path = directory.join(LOCK);
    if let Some(lock) = fs.lock(&path).at(&path)? {
        let text = format!("{:<20}\n", std::process::id());
        lock.write_at(text.as_bytes(), 0).at(&path)?;
        return Ok(lock);
    }
    let pid = fs.open(&path, crate::fs::OpenMode::Read).ok().and_then(|file| {
        let mut text = [0; 20];
        let read = file.read_at(&mut text, 0).ok()?;
        std::str::from_utf8(text.get(..read)?).ok()?.trim().parse().ok()
    });
    Err(Error::Locked { path: directory.to_owned(), pid })
}

/// Waits for the outcome of one append.
#[derive(Debug, Default)]
struct Waiter {
    outcome: Mutex<Option<Outcome>>,
    changed: Condvar,
}

impl Waiter {
    fn wait(&self) -> Outcome {
        let mut outcome = self.outcome.lock();
        loop {
            match outcome.take() {
                Some(outcome) => return outcome,
                None => self.changed.wait(&mut outcome),
            }
        }
    }
}

impl OutcomeSink for Waiter {
    fn deliver(&self, outcomes: Vec<(u32, Outcome)>) {
        if let Some((_, outcome)) = outcomes.into_iter().next() {
            *self.outcome.lock() = Some(outcome);
            self.changed.notify_all();
        }
    }
}
