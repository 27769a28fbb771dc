//! What a repair will do: found by verifying the store as it is, and then as it would be, until nothing is
//! wrong with it. Writes nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::changed::{Change, ChangedFs, Changes, Edit};
use super::report::{Action, RepairStep};
use super::{manifest as manifests, mend, seal};
use crate::error::{AtPath, Damage, Error, MANIFEST, Result};
use crate::fs::{Fs, OpenMode, read_around};
use crate::head;
use crate::host::Host;
use crate::limits::{FRAME_MAX_BYTES, SEGMENT_MIN_BYTES};
use crate::manifest::{self, Manifest};
use crate::options::StoreOptions;
use crate::progress::{OpenProgress, Progress};
use crate::query::VerifyReport;
use crate::segment::{Found, HEADER_PAGE, Scanner, Segment, SegmentHeader, file_name};
use crate::store::Store;

/// Rounds of verifying and changing. Each puts right all that it can, or cuts the log.
const ROUNDS_MAX: usize = 64;

/// What is damaged, and what will be done about it.
#[derive(Debug)]
pub(super) struct Plan {
    fs: Arc<dyn Fs>,
    host: Arc<dyn Host>,
    directory: PathBuf,
    pub(super) changes: Changes,
    pub(super) steps: Vec<RepairStep>,
    /// Places that were put right, with the other ways to do so.
    mended: Vec<Mended>,
    /// Where the log is cut: segment and offset.
    cut: Option<(u64, u64)>,
    pub(super) first: Option<VerifyReport>,
    /// Events of the log, lost ones included, before and after.
    pub(super) before: u64,
    pub(super) after: u64,
}

#[derive(Debug)]
struct Mended {
    segment: u64,
    offset: u64,
    path: PathBuf,
    length: u64,
    ways: std::vec::IntoIter<Vec<u8>>,
}

/// What a look at the store gave.
enum Look {
    Whole,
    Damaged(Vec<Damage>),
}

impl Plan {
    pub(super) fn new(fs: &Arc<dyn Fs>, host: &Arc<dyn Host>, directory: &Path) -> Self {
        Self {
            fs: Arc::clone(fs),
            host: Arc::clone(host),
            directory: directory.to_owned(),
            changes: Changes::new(),
            steps: Vec::new(),
            mended: Vec::new(),
            cut: None,
            first: None,
            before: 0,
            after: 0,
        }
    }

    /// Finds out what has to be done.
    pub(super) fn make(&mut self, progress: &dyn Progress) -> Result<()> {
        self.complete_manifest()?;
        for _ in 0..ROUNDS_MAX {
            let damage = match self.look(progress)? {
                Look::Whole => return Ok(()),
                Look::Damaged(damage) => damage,
            };
            let mut mended = false;
            for one in &damage {
                mended |= self.mend(one)?;
            }
            if !mended {
                let Some(first) = damage.first() else { return Ok(()) };
                self.cut_at(first, &damage)?;
            }
        }
        Err(Error::format(&self.directory, "the damage cannot be repaired: restore a backup"))
    }

    /// A whole manifest that is older than the log, or another store's, is made again: all that it does not
    /// list would be taken for lost.
    fn complete_manifest(&mut self) -> Result<()> {
        let Ok(Some(manifest)) = Manifest::read(&*self.fs, &self.directory) else { return Ok(()) };
        let Some(whole) = manifests::rebuilt(&*self.fs, &self.directory)? else { return Ok(()) };
        let next = manifest.segments.last().map_or(1, |(number, _)| number + 1);
        let is_own = |(number, generation): &(u64, u64)| {
            let path = self.segments().join(file_name(*number, *generation));
            let opened = Segment::open(&*self.fs, &path, OpenMode::Read);
            opened.is_ok_and(|page| page.is_ok_and(|own| own.header.store_id == manifest.store_id))
        };
        let reason = if whole.store_id == manifest.store_id {
            let older = is_own(&(next, 1));
            older.then_some(
                "the MANIFEST is older than the log: it does not list the newest segments",
            )
        } else {
            let foreign = !manifest.segments.iter().any(is_own);
            foreign.then_some("the MANIFEST is that of another store")
        };
        if let Some(reason) = reason {
            self.replace_manifest(Action::Manifest, whole.encode());
            let damage = vec![Damage {
                segment: MANIFEST,
                offset: 0,
                length: 0,
                reason: reason.to_owned(),
                positions: None,
                entities: Vec::new(),
            }];
            self.first = Some(VerifyReport { ok: false, events: 0, entities: 0, damage });
        }
        Ok(())
    }

    fn replace_manifest(&mut self, action: Action, bytes: Vec<u8>) {
        let path = self.directory.join(manifest::NAME);
        let (file, length) = (self.name_of(&path), bytes.len() as u64);
        self.steps.retain(|step| step.segment != MANIFEST);
        self.steps.push(RepairStep { action, segment: MANIFEST, offset: 0, length, file });
        self.changes.insert(path, Change::Replace(bytes));
    }

    /// The store as it would be.
    fn changed(&self) -> Arc<ChangedFs> {
        Arc::new(ChangedFs { base: Arc::clone(&self.fs), changes: self.changes.clone() })
    }

    /// Verifies the store as it would be.
    fn look(&mut self, progress: &dyn Progress) -> Result<Look> {
        let options = StoreOptions { read_only: true, ..StoreOptions::default() };
        let fs = self.changed() as Arc<dyn Fs>;
        let report = match Store::open_as_is(&fs, &self.host, &self.directory, &options, progress) {
            Err(Error::Corrupt { damage }) => {
                VerifyReport { ok: false, events: 0, entities: 0, damage }
            }
            Err(error) => return Err(error),
            Ok(store) => {
                self.after = store.head()?.map_or(0, |head| head + 1);
                verify(&store, progress)?
            }
        };
        let lost = report.damage.iter().filter_map(|damage| damage.positions);
        let lost_end = lost.map(|(_, to)| to + 1).max().unwrap_or(0);
        self.before = self.before.max(self.after).max(lost_end);
        let look = if report.ok { Look::Whole } else { Look::Damaged(report.damage.clone()) };
        // What stands behind a damaged manifest is seen in the next round.
        let manifest = report.damage.iter().any(|damage| damage.segment == MANIFEST);
        match &mut self.first {
            Some(first) if first.damage.iter().all(|damage| damage.segment == MANIFEST) => {
                first.events = report.events;
                first.entities = report.entities;
                first.damage.extend(report.damage);
            }
            Some(_) => {}
            none => *none = Some(VerifyReport { ok: report.ok && !manifest, ..report }),
        }
        Ok(look)
    }

    /// Puts right what a damage says, if checksums prove how. True if anything changed.
    fn mend(&mut self, damage: &Damage) -> Result<bool> {
        if damage.segment == MANIFEST {
            return self.mend_manifest();
        }
        if self.another_way(damage) {
            return Ok(true);
        }
        let Some((generation, path)) = self.file_of(damage.segment)? else { return Ok(false) };
        if damage.offset < HEADER_PAGE {
            return self.mend_header(damage.segment, generation, path);
        }
        let Ok(segment) = Segment::open(&*self.changed(), &path, OpenMode::Read)? else {
            return Ok(false);
        };
        let segment = Arc::new(segment);
        let left = segment.file_length()?.saturating_sub(damage.offset).min(FRAME_MAX_BYTES);
        let mut bytes = vec![0; left as usize];
        let file = segment.file()?;
        let read = read_around(file, &mut bytes, damage.offset, &mut Vec::new()).at(&path)?;
        bytes.truncate(read);
        let mut ways = mend::frame(&bytes, &segment.checksum, damage.offset);
        let mut action = Action::Correct;
        if ways.is_empty() {
            ways.extend(
                self.next_header(damage.segment)?
                    .and_then(|next| seal::missing(&segment, damage.offset, &next).ok().flatten()),
            );
            action = Action::Seal;
        }
        Ok(self.begin(action, damage.segment, damage.offset, path, ways))
    }

    /// Takes another way at a place that was put right, but not well: its links do not hold.
    fn another_way(&mut self, damage: &Damage) -> bool {
        let nth = self.mended.iter().position(|one| {
            one.segment == damage.segment
                && (one.offset..one.offset + one.length).contains(&damage.offset)
        });
        let Some(nth) = nth else { return false };
        let Some(place) = self.mended.get_mut(nth) else { return false };
        let (path, offset, next) = (place.path.clone(), place.offset, place.ways.next());
        let found = next.is_some();
        edit(&mut self.changes, &path, |edit| {
            edit.pieces.remove(&offset);
            edit.pieces.extend(next.map(|bytes| (offset, bytes)));
        });
        if !found {
            self.steps.retain(|step| (step.segment, step.offset) != (damage.segment, offset));
        }
        found
    }

    /// Notes the first of the ways to put a place right, and keeps the others.
    fn begin(
        &mut self,
        action: Action,
        segment: u64,
        offset: u64,
        path: PathBuf,
        ways: Vec<Vec<u8>>,
    ) -> bool {
        let known = |one: &Mended| (one.segment, one.offset) == (segment, offset);
        let mut ways = ways.into_iter();
        let Some(first) = ways.next().filter(|_| !self.mended.iter().any(known)) else {
            return false;
        };
        let length = first.len() as u64;
        self.steps.push(RepairStep { action, segment, offset, length, file: self.name_of(&path) });
        edit(&mut self.changes, &path, |edit| drop(edit.pieces.insert(offset, first)));
        self.mended.push(Mended { segment, offset, path, length, ways });
        true
    }

    fn mend_header(&mut self, number: u64, generation: u64, path: PathBuf) -> Result<bool> {
        if self.fs.kind(&path).at(&path)?.is_none() {
            return Ok(false);
        }
        let file = self.changed().open(&path, OpenMode::Read).at(&path)?;
        let mut page = vec![0; HEADER_PAGE as usize];
        let read = read_around(&*file, &mut page, 0, &mut Vec::new()).at(&path)?;
        page.truncate(read);
        let store_id = Manifest::read(&*self.changed(), &self.directory)?.map(|one| one.store_id);
        let is_own = |page: &Vec<u8>| {
            SegmentHeader::decode_whole(page).is_some_and(|header| {
                Some(header.store_id) == store_id
                    && (header.number, header.generation) == (number, generation)
            })
        };
        let ways = mend::plain(&page).into_iter().filter(is_own).collect();
        Ok(self.begin(Action::Correct, number, 0, path, ways))
    }

    fn mend_manifest(&mut self) -> Result<bool> {
        let path = self.directory.join(manifest::NAME);
        if self.changes.contains_key(&path) {
            return Ok(false);
        }
        let Some((bytes, corrected)) = manifests::whole(&*self.fs, &self.directory)? else {
            return Ok(false);
        };
        let action = if corrected { Action::Correct } else { Action::Manifest };
        self.replace_manifest(action, bytes);
        Ok(true)
    }

    /// Ends the log before a damage that cannot be put right.
    fn cut_at(&mut self, damage: &Damage, all: &[Damage]) -> Result<()> {
        let manifest = match Manifest::read(&*self.changed(), &self.directory) {
            Ok(Some(manifest)) if damage.segment != MANIFEST => manifest,
            _ => return Err(Error::Corrupt { damage: all.to_vec() }),
        };
        let place = self.whole_before(damage)?;
        if self.cut.is_some_and(|earlier| earlier <= place) {
            return Err(Error::Corrupt { damage: all.to_vec() });
        }
        self.cut = Some(place);
        self.steps.retain(|step| {
            step.segment == MANIFEST && step.action != Action::Cut
                || (step.segment, step.offset) < place
                    && !matches!(step.action, Action::Cut | Action::Remove)
        });
        let (number, offset) = place;
        if offset < HEADER_PAGE && damage.positions.is_none() {
            // How much it held nobody knows; that it held nothing is not to be said.
            self.before = self.before.max(1);
        }
        self.remove_behind(&manifest, number, offset);
        let mut kept = manifest;
        let keeps = offset >= HEADER_PAGE;
        kept.segments.retain(|(listed, _)| *listed < number || keeps && *listed == number);
        kept.generation += 1;
        if kept.segments.is_empty() {
            self.begin_anew(&mut kept);
        }
        self.replace_manifest(Action::Manifest, kept.encode());
        Ok(())
    }

    /// What stands from a place on goes, and what is derived from it.
    fn remove_behind(&mut self, manifest: &Manifest, number: u64, offset: u64) {
        for (listed, generation) in &manifest.segments {
            let path = self.segments().join(file_name(*listed, *generation));
            if *listed < number {
                continue;
            }
            if *listed == number && offset >= HEADER_PAGE {
                edit(&mut self.changes, &path, |edit| edit.zeros_from = Some(offset));
                let file = self.name_of(&path);
                let step =
                    RepairStep { action: Action::Cut, segment: number, offset, length: 0, file };
                self.steps.push(step);
            } else if matches!(self.fs.kind(&path), Ok(Some(_))) {
                self.changes.insert(path.clone(), Change::Remove);
                let file = self.name_of(&path);
                let (action, segment) = (Action::Remove, *listed);
                self.steps.push(RepairStep { action, segment, offset: 0, length: 0, file });
            }
            self.changes.insert(path.with_extension("idx"), Change::Remove);
        }
        let runs = self.directory.join("runs");
        for name in self.fs.list(&runs).unwrap_or_default() {
            self.changes.insert(runs.join(name), Change::Remove);
        }
        self.changes.insert(self.directory.join(head::NAME), Change::Remove);
    }

    /// Nothing of the log is left: it begins again, as the same store.
    fn begin_anew(&mut self, manifest: &mut Manifest) {
        let header = SegmentHeader::first(manifest.store_id, &*self.host);
        let mut bytes = header.encode();
        bytes.resize(SEGMENT_MIN_BYTES as usize, 0);
        self.changes.insert(self.segments().join(file_name(1, 1)), Change::Replace(bytes));
        manifest.segments = vec![(1, 1)];
    }

    /// The segment and the offset up to which the log is whole before a damage: the start of a frame, or 0
    /// if nothing of the segment can be kept.
    fn whole_before(&self, damage: &Damage) -> Result<(u64, u64)> {
        let nothing = (damage.segment, 0);
        if damage.offset < HEADER_PAGE {
            return Ok(nothing);
        }
        let Some((_, path)) = self.file_of(damage.segment)? else { return Ok(nothing) };
        let Ok(segment) = Segment::open(&*self.changed(), &path, OpenMode::Read)? else {
            return Ok(nothing);
        };
        let segment = Arc::new(segment);
        let mut scanner = Scanner::new(&segment, HEADER_PAGE, segment.file_length()?);
        let mut whole = HEADER_PAGE;
        while let Found::Frame(frame) = scanner.next()? {
            if frame.end() > damage.offset {
                break;
            }
            whole = frame.end();
        }
        Ok((damage.segment, whole))
    }

    /// Generation and file of a segment that the manifest lists.
    fn file_of(&self, number: u64) -> Result<Option<(u64, PathBuf)>> {
        let manifest = Manifest::read(&*self.changed(), &self.directory)?;
        let listed =
            manifest.and_then(|one| one.segments.into_iter().find(|(listed, _)| *listed == number));
        let file = listed.map(|(number, generation)| {
            (generation, self.segments().join(file_name(number, generation)))
        });
        match file {
            Some((_, path)) if self.fs.kind(&path).at(&path)?.is_none() => Ok(None),
            file => Ok(file),
        }
    }

    fn next_header(&self, number: u64) -> Result<Option<SegmentHeader>> {
        let Some((_, path)) = self.file_of(number + 1)? else { return Ok(None) };
        let segment = Segment::open(&*self.changed(), &path, OpenMode::Read)?;
        Ok(segment.ok().map(|segment| segment.header))
    }

    fn segments(&self) -> PathBuf {
        self.directory.join("segments")
    }

    /// A file's name within the store's directory.
    fn name_of(&self, path: &Path) -> String {
        path.strip_prefix(&self.directory).unwrap_or(path).to_string_lossy().into_owned()
    }

    /// Positions that were lost when the first look was taken, below an end.
    pub(super) fn lost_below(&self, end: u64) -> u64 {
        let damage = self.first.iter().flat_map(|first| &first.damage);
        let ranges: BTreeSet<_> = damage.filter_map(|damage| damage.positions).collect();
        let mut next = 0;
        let mut lost = 0;
        for (from, to) in ranges {
            let (from, to) = (from.max(next), (to + 1).min(end));
            lost += to.saturating_sub(from);
            next = next.max(to);
        }
        lost
    }
}

/// Changes something within a file.
fn edit(changes: &mut Changes, path: &Path, change: impl FnOnce(&mut Edit)) {
    let mut edit = match changes.remove(path) {
        Some(Change::Edit(edit)) => edit,
        _ => Edit::default(),
    };
    change(&mut edit);
    changes.insert(path.to_owned(), Change::Edit(edit));
}

fn verify(store: &Store, progress: &dyn Progress) -> Result<VerifyReport> {
    let mut verification = store.verify(None)?;
    loop {
        if let Some(report) = verification.step()? {
            return Ok(report);
        }
        let at = verification.progress();
        let at = OpenProgress { events: at.events, bytes: at.bytes, share: at.share };
        if progress.progress(at).is_break() {
            return Err(Error::Cancelled);
        }
    }
}
