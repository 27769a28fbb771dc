//! What the writer, the readers and the keeper of a store share: which parts of the log there are, and
//! up to where it is published.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::error::{Damage, Error, Result};
use crate::fs::{Fs, patience};
use crate::host::Host;
use crate::index::{IndexFile, Part, Tail, index_frames};
use crate::options::StoreOptions;
use crate::segment::{Segment, file_name};
use crate::view::View;

/// Segments and their indexes, in order. Replaced as a whole when one is added or rebuilt.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout {
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) parts: Vec<Part>,
}

impl Layout {
    /// Replaces the parts of a stretch that a file now covers as a whole.
    fn cover(&mut self, file: &Arc<IndexFile>) {
        let (base, end) = (file.base(), file.base() + u64::from(file.count()));
        let number = file.segment().header.number;
        let extent = file.extent();
        let inside = |part: &Part| {
            let own = part.extent();
            // The live tail starts where a run ends: it is not inside, however empty.
            part.segment().header.number == number
                && (extent.start..extent.end).contains(&own.start)
                && own.end <= extent.end
                && part.base() >= base
                && part.base() + u64::from(part.count()) <= end
        };
        let Some(at) = self.parts.iter().position(inside) else {
            return;
        };
        self.parts.retain(|part| !inside(part));
        self.parts.insert(at, Part::File(Arc::clone(file)));
    }
}

/// The state of an open store that its threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) directory: PathBuf,
    pub(crate) options: StoreOptions,
    pub(crate) store_id: [u8; 16],
    /// The watermark: position of the first event that readers may not see yet.
    published: AtomicU64,
    synced: AtomicU64,
    layout: RwLock<Arc<Layout>>,
    damage: Mutex<Vec<Damage>>,
    damaged: AtomicBool,
    poisoned: Mutex<Option<String>>,
    closed: AtomicBool,
}

impl Shared {
    pub(crate) fn new(
        fs: Arc<dyn Fs>,
        host: Arc<dyn Host>,
        directory: PathBuf,
        options: StoreOptions,
        store_id: [u8; 16],
    ) -> Self {
        Self {
            fs,
            host,
            directory,
            options,
            store_id,
            published: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            layout: RwLock::default(),
            damage: Mutex::default(),
            damaged: AtomicBool::new(false),
            poisoned: Mutex::default(),
            closed: AtomicBool::new(false),
        }
    }

    pub(crate) fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    /// Lets readers see all events below `next`.
    pub(crate) fn publish(&self, next: u64) {
        self.published.fetch_max(next, Ordering::Release);
    }

    pub(crate) fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    pub(crate) fn set_synced(&self, next: u64) {
        self.synced.fetch_max(next, Ordering::Release);
    }

    pub(crate) fn layout(&self) -> Arc<Layout> {
        Arc::clone(&self.layout.read())
    }

    /// Replaces the layout by a changed copy.
    pub(crate) fn change_layout(&self, change: impl FnOnce(&mut Layout)) {
        let mut current = self.layout.write();
        let mut next = Layout::clone(&current);
        change(&mut next);
        *current = Arc::new(next);
    }

    /// Lets a new index file answer for its stretch.
    pub(crate) fn adopt(&self, file: IndexFile) {
        let file = Arc::new(file);
        self.change_layout(|layout| layout.cover(&file));
    }

    /// What can be read now.
    pub(crate) fn view(&self) -> View {
        // The watermark first: a layout taken later covers at least as much.
        let end = self.published();
        View::new(self.layout(), end, self.is_damaged())
    }

    pub(crate) fn damage(&self) -> Vec<Damage> {
        self.damage.lock().clone()
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Acquire)
    }

    /// Notes damage of the log: from now on nothing is appended.
    pub(crate) fn report(&self, found: &[Damage]) {
        let mut known = self.damage.lock();
        for damage in found {
            let same = |d: &&mut Damage| d.segment == damage.segment && d.offset == damage.offset;
            match known.iter_mut().find(same) {
                Some(known) => {
                    known.positions = known.positions.or(damage.positions);
                }
                None => known.push(damage.clone()),
            }
        }
        self.damaged.store(!known.is_empty(), Ordering::Release);
    }

    /// Notes damage that an error tells of, and hands the error on.
    pub(crate) fn noting(&self, error: Error) -> Error {
        if let Error::Corrupt { damage } = &error {
            self.report(damage);
        }
        error
    }

    pub(crate) fn poison(&self, reason: &str) {
        self.poisoned.lock().get_or_insert_with(|| reason.to_owned());
    }

    /// The error of a poisoned store.
    pub(crate) fn poisoned(&self) -> Option<Error> {
        self.poisoned.lock().clone().map(|reason| Error::Poisoned { reason })
    }

    /// Why nothing may be appended, if so.
    pub(crate) fn refuses_writes(&self) -> Option<Error> {
        if self.is_damaged() {
            let error = Error::Corrupt { damage: self.damage() };
            return Some(Error::ReadOnly {
                reason: format!("{error}; whole events stay readable"),
            });
        }
        if self.options.read_only {
            let reason = "it was opened with readOnly; open it without to append".to_owned();
            return Some(Error::ReadOnly { reason });
        }
        None
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    pub(crate) fn segments_directory(&self) -> PathBuf {
        self.directory.join("segments")
    }

    pub(crate) fn segment_path(&self, number: u64) -> PathBuf {
        self.segments_directory().join(file_name(number, 1))
    }

    /// The index of a stretch of the active segment.
    pub(crate) fn run_path(&self, segment: u64, start: u64) -> PathBuf {
        self.directory.join("runs").join(format!("{segment:010}-{start:010}.run"))
    }

    /// Builds the index of a stretch again from the log, in memory. For an index file of `view` that
    /// turned out to be damaged: the file is removed, and the rebuilt part answers from now on. `None`
    /// if the view does not hold the file.
    pub(crate) fn rebuild(&self, view: &View, path: &Path) -> Result<Option<Part>> {
        let Some(file) = view.index_file(path) else { return Ok(None) };
        let extent = file.extent();
        let tail = Tail::new(file.segment(), file.base(), extent.start);
        let scanned = index_frames(file.segment(), &tail, extent.start, extent.end, true, None)?;
        self.report(&scanned.damage);
        let tail = Part::Tail(Arc::new(tail));
        let mut current = false;
        self.change_layout(|layout| {
            for part in &mut layout.parts {
                if matches!(part, Part::File(other) if Arc::ptr_eq(other, &file)) {
                    *part = tail.clone();
                    current = true;
                }
            }
        });
        if current && !self.options.read_only {
            let _ = self.fs.remove(path);
        }
        Ok(Some(tail))
    }

    /// Runs a reading step; where it meets a damaged index, builds it again and repeats.
    pub(crate) fn reading<T>(&self, mut step: impl FnMut(&View) -> Result<T>) -> Result<T> {
        loop {
            let view = self.view();
            match step(&view) {
                Err(Error::StaleIndex { .. }) if patience::is_impatient() => {
                    return Err(Error::WouldWait);
                }
                Err(Error::StaleIndex { path }) => drop(self.rebuild(&view, &path)?),
                Err(error) => return Err(self.noting(error)),
                Ok(value) => return Ok(value),
            }
        }
    }
}
