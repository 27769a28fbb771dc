//! What the writer, the readers and the keeper of a store share: which parts of the log there are, and
//! up to where it is published.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::catalog::Catalog;
use crate::error::{Damage, Error, Result};
use crate::fs::{Fs, patience};
use crate::host::Host;
use crate::index::directory::{Directory, Family};
use crate::index::{IndexFile, Part, Scan, Stretch, Tail, index_runs, is_plausible};
use crate::options::StoreOptions;
use crate::progress::{InSight, Progress, Unobserved, Watch};
use crate::segment::{Segment, file_name};
use crate::upkeep::make_run;
use crate::view::View;

/// Segments and their indexes, in order. Replaced as a whole when one is added or rebuilt.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout {
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) parts: Vec<Part>,
    pub(crate) heads: Directory,
    pub(crate) ids: Directory,
}

impl Layout {
    pub(crate) fn directory(&self, family: Family) -> &Directory {
        match family {
            Family::Heads => &self.heads,
            Family::Ids => &self.ids,
        }
    }

    pub(crate) fn directory_mut(&mut self, family: Family) -> &mut Directory {
        match family {
            Family::Heads => &mut self.heads,
            Family::Ids => &mut self.ids,
        }
    }

    /// Replaces the parts of a stretch that a file now covers as a whole. A file that ends within a part,
    /// as one of another process may, would answer twice for what both have: it is left out.
    fn cover(&mut self, file: &Arc<IndexFile>) {
        let inside = |part: &Part| is_inside(part, file);
        let Some(at) = self.parts.iter().position(inside) else {
            return;
        };
        let last = self.parts.iter().rfind(|part| inside(part));
        if last.is_none_or(|last| last.extent().end != file.extent().end) {
            return;
        }
        self.parts.retain(|part| !inside(part));
        self.parts.insert(at, Part::File(Arc::clone(file)));
    }
}

/// Whether two damages name a position that both have lost.
fn overlap(one: &Damage, other: &Damage) -> bool {
    let (Some((first, last)), Some((from, to))) = (one.positions, other.positions) else {
        return false;
    };
    first <= to && from <= last
}

/// Whether the positions of one damage are among those of another of its segment.
fn covers(known: &Damage, damage: &Damage) -> bool {
    known.segment == damage.segment
        && match (known.positions, damage.positions) {
            (Some((first, last)), Some((from, to))) => first <= from && to <= last,
            (_, None) => true,
            (None, Some(_)) => false,
        }
}

/// Whether a part is of the stretch that a file covers.
fn is_inside(part: &Part, file: &IndexFile) -> bool {
    let (own, extent) = (part.extent(), file.extent());
    // The live tail starts where a run ends: it is not inside, however empty.
    part.segment().header.number == file.segment().header.number
        && (extent.start..extent.end).contains(&own.start)
        && own.end <= extent.end
        && part.base() >= file.base()
        && part.base() + u64::from(part.count()) <= file.base() + u64::from(file.count())
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
    /// Held while a damaged index is built again: by one thread at a time.
    rebuilding: Mutex<()>,
    /// How far that is.
    pub(crate) rebuild: InSight,
    /// What the catalog says.
    pub(crate) catalog: Mutex<Option<Catalog>>,
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
            rebuilding: Mutex::default(),
            rebuild: InSight::default(),
            catalog: Mutex::default(),
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
            let named = |known: &Damage| covers(known, damage) || overlap(known, damage);
            if damage.length == 0 && known.iter().any(named) {
                continue;
            }
            let placed = damage.length > 0;
            let same = |known: &&mut Damage| {
                placed && (known.segment, known.offset) == (damage.segment, damage.offset)
            };
            match known.iter_mut().find(same) {
                Some(known) => {
                    known.positions = known.positions.or(damage.positions);
                    if known.entities.is_empty() {
                        known.entities.clone_from(&damage.entities);
                    }
                }
                None => known.push(damage.clone()),
            }
        }
        self.damaged.store(!known.is_empty(), Ordering::Release);
    }

    /// Notes damage that an error tells of, and hands the error on: with what is known of the places where
    /// it only says which positions are lost.
    pub(crate) fn noting(&self, error: Error) -> Error {
        let Error::Corrupt { damage } = error else { return error };
        self.report(&damage);
        let known = self.damage();
        let placed = |lost: Damage| {
            let same = known.iter().filter(|known| known.length > 0 && overlap(known, &lost));
            let same: Vec<Damage> = same
                .map(|known| Damage {
                    entities: union(&known.entities, &lost.entities),
                    ..known.clone()
                })
                .collect();
            if lost.length > 0 || same.is_empty() { vec![lost] } else { same }
        };
        Error::Corrupt { damage: damage.into_iter().flat_map(placed).collect() }
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

    /// Where runs and the directory's files are.
    pub(crate) fn runs_directory(&self) -> PathBuf {
        self.directory.join("runs")
    }

    /// The index of a stretch of the active segment.
    pub(crate) fn run_path(&self, segment: u64, start: u64) -> PathBuf {
        self.runs_directory().join(format!("{segment:010}-{start:010}.run"))
    }

    /// Builds the index of a stretch again from the log, in runs. For an index file of `view` that
    /// turned out to be damaged: the file is removed, and the rebuilt parts answer in views from now on.
    pub(crate) fn rebuild(&self, view: &View, path: &Path, observer: &dyn Progress) -> Result<()> {
        let Some(file) = view.index_file(path) else { return Ok(()) };
        let _one_at_a_time = self.rebuilding.lock();
        let own = |part: &Part| matches!(part, Part::File(other) if Arc::ptr_eq(other, &file));
        if !self.layout().parts.iter().any(own) {
            return Ok(());
        }
        if !self.options.read_only {
            let _ = self.fs.remove(path);
        }
        let shown = self.rebuild.show(observer);
        let watch = Watch::new(&shown);
        let extent = file.extent();
        watch.expect(extent.end - extent.start);
        let mut parts = Vec::new();
        let scan = Scan {
            segment: file.segment(),
            start: extent.start,
            base: file.base(),
            limit: extent.end,
            past_damage: true,
            before: self.stretch_before(&file)?,
            watch: &watch,
        };
        let rebuilt = index_runs(&scan, &mut |tail, _| parts.push(self.part_of(tail)))?;
        let mut damage = rebuilt.scanned.damage;
        let (end, next) = (rebuilt.scanned.end, rebuilt.scanned.next_position);
        let lost = file.summary().next_position().saturating_sub(next);
        if end < extent.end && is_plausible(lost, extent.end - extent.start) {
            // Opening relied on what was known of the segment, and less of it is there.
            let reason =
                rebuilt.scanned.stop.unwrap_or("the file is shorter than what was written");
            let mut cut = file.segment().damage(end, extent.end - end, reason);
            cut.positions = (lost > 0).then(|| (next, next + lost - 1));
            damage.push(cut);
            rebuilt.tail.add_hole(lost);
        }
        self.report(&damage);
        rebuilt.tail.finish(file.stretch());
        if rebuilt.tail.is_worth_keeping() {
            parts.push(self.part_of(rebuilt.tail));
        }
        self.change_layout(|layout| {
            if let Some(at) = layout.parts.iter().position(own) {
                layout.parts.splice(at..=at, parts);
            }
        });
        Ok(())
    }

    /// What is known of the frames of a segment before the stretch of an index.
    fn stretch_before(&self, file: &IndexFile) -> Result<Stretch> {
        let segment = file.segment();
        let layout = self.layout();
        let before = layout.parts.iter().find_map(|part| match part {
            Part::File(part) if Arc::ptr_eq(part.segment(), segment) => {
                Some(part.stretch()).filter(|_| part.extent().end == file.extent().start)
            }
            _ => None,
        });
        match before {
            Some(before) => Ok(before),
            None => Ok(Stretch { recorded_us: 0, frames: 0, running: segment.first_hash()? }),
        }
    }

    /// A tail that grows no more as a part: in a file if it can be written, else as it is.
    pub(crate) fn part_of(&self, tail: Arc<Tail>) -> Part {
        if !self.options.read_only
            && let Ok(Some(run)) = make_run(self, &tail)
        {
            return Part::File(Arc::new(run));
        }
        Part::Tail(tail)
    }

    /// Runs a reading step; where it meets a damaged index, builds it again and repeats.
    pub(crate) fn reading<T>(&self, mut step: impl FnMut(&View) -> Result<T>) -> Result<T> {
        loop {
            let view = self.view();
            match step(&view) {
                Err(Error::StaleIndex { .. }) if patience::is_impatient() => {
                    return Err(Error::WouldWait);
                }
                Err(Error::StaleIndex { path }) => {
                    self.rebuild(&view, &path, &Unobserved)?;
                }
                Err(error) => return Err(self.noting(error)),
                Ok(value) => return Ok(value),
            }
        }
    }
}

/// All of the names, each once.
fn union(names: &[String], more: &[String]) -> Vec<String> {
    let new = more.iter().filter(|name| !names.contains(name));
    names.iter().chain(new).cloned().collect()
}
