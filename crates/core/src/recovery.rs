//! Opening a store: what is there, how much of it is whole, and where the log goes on.
//!
//! Invariant: nothing is cut that could have been acknowledged as durable. D is the highest offset of
//! the active segment that is proven to have been synced: by any whole frame's `durable upto`, by
//! HEAD, or by a clean close. Damage below D is rot: it stays, and the store opens read-only. What is
//! torn above D is copied aside, then zeroed. What is whole above D may be only in the page cache, so
//! it is written again and synced before anything is published.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::error::{AtPath, Damage, Error, Result};
use crate::frame::{Kind as FrameKind, SEAL_LEN};
use crate::fs::{File, Kind, OpenMode, read_exact_at};
use crate::head::{self, Head, HeadPage};
use crate::index::{
    IndexFile, Part, Scan, Scanned, Stretch, Tail, index_past_damage, index_runs, is_plausible,
};
use crate::keeper::Spare;
use crate::limits::{FRAME_MAX_BYTES, SEGMENT_MIN_BYTES, UNSYNCED_MAX_BYTES};
use crate::manifest::{self, Manifest};
use crate::progress::Watch;
use crate::segment::{
    ELSEWHERE, Found, HEADER_PAGE, HeaderPage, MISSING, NO_HEADER, Scanner, Segment, SegmentHeader,
};
use crate::shared::Shared;
use crate::upkeep::{clean, load_directory};
use crate::writer::Start;

/// Where the lock is.
pub(crate) const LOCK: &str = "LOCK";
/// Where torn bytes are kept.
const TORN: &str = "torn";
/// Names that may stand in a directory before a store is made there.
const OWN_NAMES: [&str; 8] =
    [LOCK, head::NAME, manifest::NAME, "MANIFEST.tmp", "segments", "runs", TORN, "lost+found"];

/// Why a store whose read-compatible features are unknown is not opened for writing.
pub(crate) const NEWER_WRITER: &str =
    "it has features of a newer version: open the store with readOnly, or with that version";

/// What opening did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// The store was closed in order, or is new.
    pub clean: bool,
    /// Bytes behind the last whole frame that were copied aside and zeroed.
    pub torn_bytes: u64,
    /// Events that were read again because no index covered them.
    pub replayed_events: u64,
}

/// A store's directory, read.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) start: Start,
    pub(crate) spare: Option<Spare>,
    pub(crate) recovery: Recovery,
}

/// Checks that a directory is a store or may become one. Writes nothing.
pub(crate) fn survey(fs: &dyn crate::fs::Fs, directory: &Path) -> Result<Option<Manifest>> {
    match fs.kind(directory).at(directory)? {
        None => return Ok(None),
        Some(Kind::File) => {
            let error = std::io::Error::from_raw_os_error(20);
            return Err(Error::io(directory, &error));
        }
        Some(Kind::Directory) => {}
    }
    let manifest = Manifest::read(fs, directory)?;
    if manifest.is_none() {
        let names = fs.list(directory).at(directory)?;
        if let Some(foreign) = names.iter().find(|name| !OWN_NAMES.contains(&name.as_str())) {
            return Err(Error::format(
                directory,
                format!(
                    "there is no Tetralog store here, and '{foreign}' does not belong to one: choose an \
                     empty or a new directory"
                ),
            ));
        }
    }
    Ok(manifest)
}

/// Makes a directory and the missing ones above it, their names durable.
pub(crate) fn make_directory(fs: &dyn crate::fs::Fs, directory: &Path) -> Result<()> {
    let mut missing = Vec::new();
    for ancestor in directory.ancestors().filter(|path| !path.as_os_str().is_empty()) {
        if fs.kind(ancestor).at(ancestor)?.is_some() {
            break;
        }
        missing.push(ancestor);
    }
    fs.create_dir_all(directory).at(directory)?;
    for made in missing {
        let parent = made.parent().filter(|path| !path.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        fs.sync_dir(parent).at(parent)?;
    }
    Ok(())
}

/// Makes a new store: the first segment, then the manifest that declares it.
pub(crate) fn create(shared: &Shared) -> Result<Manifest> {
    let segments = shared.segments_directory();
    let runs = shared.directory.join("runs");
    shared.fs.create_dir_all(&segments).at(&segments)?;
    shared.fs.create_dir_all(&runs).at(&runs)?;
    let path = shared.segment_path(1);
    refuse_orphans(shared, &path)?;
    settle_names_above(shared);
    let now = shared.host.unix_ns() / 1000;
    let mut salt = [0; 8];
    shared.host.random(&mut salt);
    let header = SegmentHeader {
        store_id: shared.store_id,
        number: 1,
        generation: 1,
        base_position: 0,
        base_log_index: 0,
        salt,
        created_us: now,
        read_only: false,
    };
    let size = SEGMENT_MIN_BYTES.min(shared.options.segment_max_bytes);
    let file = shared.fs.open(&path, OpenMode::Create).at(&path)?;
    file.allocate(size).at(&path)?;
    file.write_at(&vec![0; size as usize], 0).at(&path)?;
    file.write_at(&header.encode(), 0).at(&path)?;
    file.sync().at(&path)?;
    shared.fs.sync_dir(&segments).at(&segments)?;
    shared.fs.sync_dir(&shared.directory).at(&shared.directory)?;
    let manifest = Manifest {
        store_id: shared.store_id,
        generation: 1,
        created_us: now,
        segments: vec![(1, 1)],
        read_only: false,
    };
    manifest.write(&*shared.fs, &shared.directory)?;
    Ok(manifest)
}

/// Segments without a manifest: an empty first one is left over from a creation that was cut short.
/// Anything else means that the manifest was lost, and nothing may be overwritten.
fn refuse_orphans(shared: &Shared, first: &Path) -> Result<()> {
    let directory = shared.segments_directory();
    for name in shared.fs.list(&directory).at(&directory)? {
        let path = directory.join(&name);
        let segment = path.extension().is_some_and(|ending| ending == "seg");
        if !segment || is_empty_segment(shared, &path, path == first)? {
            continue;
        }
        return Err(Error::format(
            &path,
            "there is a segment, but the MANIFEST is missing: restore it from a backup of this store",
        ));
    }
    Ok(())
}

/// Whether a file holds nothing: zeros, or, where a first segment may be, a header without frames, which
/// a power cut may have torn.
fn is_empty_segment(shared: &Shared, path: &Path, first: bool) -> Result<bool> {
    match Segment::open(&*shared.fs, path, OpenMode::Read)? {
        Ok(segment) if first => {
            let segment = Arc::new(segment);
            let mut scanner = Scanner::new(&segment, HEADER_PAGE, segment.file_length()?);
            let empty = matches!(scanner.next()?, Found::Zeros | Found::Limit);
            Ok(empty && !scanner.resync()?)
        }
        Ok(_) => Ok(false),
        Err(page) => {
            let file = shared.fs.open(path, OpenMode::Read).at(path)?;
            let torn = first && matches!(page, HeaderPage::Damaged(_));
            Ok(!holds_bytes(&*file, if torn { HEADER_PAGE } else { 0 }).at(path)?)
        }
    }
}

/// Reads the segments that the manifest lists, and prepares what comes next.
pub(crate) fn recover(
    shared: &Shared,
    manifest: &Manifest,
    head: Option<Head>,
    watch: &Watch<'_>,
) -> Result<Recovered> {
    let head = head.filter(|head| head.store_id == manifest.store_id);
    let mode = if shared.options.read_only { OpenMode::Read } else { OpenMode::Write };
    let names = Names::list(shared);
    let mut found = open_segments(shared, manifest, mode, &names.segments)?;
    let Some(active) = found.segments.pop() else {
        return Err(Error::format(
            &shared.segment_path(1),
            "the first segment is missing or unreadable: restore it from a backup of this store",
        ));
    };
    shared.report(&found.damage);
    if let Some(catalog) = found.catalog.take() {
        let put_off = catalog.segments(&shared.fs, &shared.segments_directory());
        shared
            .change_layout(|layout| (layout.segments, layout.parts) = put_off.into_iter().unzip());
        *shared.catalog.lock() = Some(catalog);
    }
    expect_work(shared, &found.segments, &active, head, watch)?;
    for (nth, segment) in found.segments.iter().enumerate() {
        let next = found.segments.get(nth + 1).unwrap_or(&active);
        load_sealed(shared, segment, next.header.base_position, watch)?;
    }
    let number = active.header.number;
    let mut unreadable = found.damage;
    let ahead = head.is_some_and(|head| head.segment > number);
    let is_last = !ahead && unreadable.iter().all(|damage| damage.segment < number);
    let recovered = load_active(shared, active, head, found.spare, is_last, watch)?;
    let listed = manifest.segments.iter().any(|(listed, _)| *listed == number + 1);
    let next = shared.segment_path(number + 1);
    let there = shared.fs.kind(&next).at(&next)?.is_some() && !is_unallocated(shared, &next)?;
    if ahead || recovered.start.sealed && listed && !there {
        shared.report(&[Damage {
            segment: number + 1,
            offset: 0,
            length: 0,
            reason: if there {
                "the segment's header page is empty, though HEAD says that the segment is in use"
            } else {
                "the segment's file is missing, though the one before it is sealed"
            }
            .into(),
            positions: head
                .filter(|head| head.next_position > recovered.start.next_position)
                .map(|head| (recovered.start.next_position, head.next_position - 1)),
            entities: Vec::new(),
        }]);
    }
    // Each unreadable segment left a gap between its neighbours.
    let gaps = shared.view().gaps();
    for (damage, gap) in unreadable.iter_mut().zip(gaps) {
        damage.positions = Some(gap);
    }
    shared.report(&unreadable);
    load_directory(shared, &names.runs);
    if !shared.options.read_only {
        clean(shared, &names.runs, &names.segments);
    }
    Ok(recovered)
}

/// The names in a store's folders.
struct Names {
    segments: Vec<String>,
    runs: Vec<String>,
}

impl Names {
    fn list(shared: &Shared) -> Self {
        let list = |folder: &Path| shared.fs.list(folder).unwrap_or_default();
        Self { segments: list(&shared.segments_directory()), runs: list(&shared.runs_directory()) }
    }
}

/// Declares what will have to be read, as far as the names of files tell.
fn expect_work(
    shared: &Shared,
    sealed: &[Arc<Segment>],
    active: &Segment,
    head: Option<Head>,
    watch: &Watch<'_>,
) -> Result<()> {
    for segment in sealed {
        let path = segment.index_path();
        if shared.fs.kind(&path).at(&path)?.is_none() {
            watch.expect(segment.file_length()?);
        }
    }
    let own = head.filter(|head| head.segment == active.header.number);
    let length = active.file_length()?;
    watch.expect(own.map_or(length, |head| head.offset.min(length)).saturating_sub(HEADER_PAGE));
    watch.report()
}

#[derive(Debug, Default)]
struct Opened {
    /// Knows the segments before those that were opened.
    catalog: Option<Catalog>,
    segments: Vec<Arc<Segment>>,
    spare: Option<Spare>,
    damage: Vec<Damage>,
}

/// Opens the segments that the catalog does not know, all of them if it is not of this log.
fn open_segments(
    shared: &Shared,
    manifest: &Manifest,
    mode: OpenMode,
    names: &[String],
) -> Result<Opened> {
    let names = names.iter().map(String::as_str).collect();
    let catalog = Catalog::read(&*shared.fs, &shared.runs_directory(), manifest, &names);
    if let Some(catalog) = catalog {
        let opened = open_listed(shared, manifest, mode, catalog.len())?;
        let next = manifest.segments.get(catalog.len()).map(|(number, _)| *number);
        let first = opened.segments.first().filter(|first| Some(first.header.number) == next);
        if first.is_some_and(|first| catalog.is_followed_by(first)) {
            return Ok(Opened { catalog: Some(catalog), ..opened });
        }
    }
    open_listed(shared, manifest, mode, 0)
}

/// Opens the segments that the manifest lists, but for the first ones.
fn open_listed(
    shared: &Shared,
    manifest: &Manifest,
    mode: OpenMode,
    known: usize,
) -> Result<Opened> {
    let mut opened = Opened::default();
    let last = manifest.segments.len().saturating_sub(1);
    for (nth, (number, generation)) in manifest.segments.iter().enumerate().skip(known) {
        let path =
            shared.segments_directory().join(crate::segment::file_name(*number, *generation));
        let mut damaged = |reason: &str| {
            opened.damage.push(Damage {
                segment: *number,
                offset: 0,
                length: HEADER_PAGE,
                reason: reason.to_owned(),
                positions: None,
                entities: Vec::new(),
            });
        };
        if shared.fs.kind(&path).at(&path)?.is_none() {
            // A listed spare that was never used holds nothing; whether it was used, the seal tells.
            if nth < last || nth == 0 {
                damaged(MISSING);
            }
            continue;
        }
        match Segment::open(&*shared.fs, &path, mode)? {
            Ok(segment)
                if segment.header.store_id == manifest.store_id
                    && (segment.header.number, segment.header.generation)
                        == (*number, *generation) =>
            {
                if segment.header.read_only && mode == OpenMode::Write {
                    return Err(Error::format(&path, NEWER_WRITER));
                }
                opened.segments.push(Arc::new(segment));
            }
            Ok(_) => damaged(ELSEWHERE),
            Err(HeaderPage::Newer(reason)) => return Err(Error::format(&path, reason)),
            Err(HeaderPage::Zero) if nth == last && nth > 0 => {
                opened.spare = open_spare(shared, &path, *number, mode)?;
                if opened.spare.is_none() {
                    damaged("the header page is empty, but there is something behind it");
                }
            }
            // Cut short between making the file and allocating it: a spare that is not there yet.
            Err(HeaderPage::Damaged(_))
                if nth == last && nth > 0 && is_unallocated(shared, &path)? => {}
            // Cut short while it was made a segment: a header without frames stands for nothing.
            Err(HeaderPage::Damaged(reason)) if nth == last && nth > 0 => {
                opened.spare = open_spare(shared, &path, *number, mode)?;
                match &opened.spare {
                    Some(spare) if mode == OpenMode::Write => spare.clear().at(&path)?,
                    Some(_) => {}
                    None => damaged(reason),
                }
            }
            Err(HeaderPage::Zero) => damaged(NO_HEADER),
            Err(HeaderPage::Damaged(reason)) => damaged(reason),
            Err(HeaderPage::Whole(_)) => {}
        }
    }
    refuse_unlisted(shared, manifest)?;
    Ok(opened)
}

/// The file of a coming segment, unless there is something behind its header page.
fn open_spare(shared: &Shared, path: &Path, number: u64, mode: OpenMode) -> Result<Option<Spare>> {
    let file = shared.fs.open(path, mode).at(path)?;
    if holds_bytes(&*file, HEADER_PAGE).at(path)? {
        return Ok(None);
    }
    let size = file.length().at(path)?;
    Ok(Some(Spare { file, path: path.to_owned(), number, size }))
}

/// Whether a file is shorter than a header page, and empty or zeros.
fn is_unallocated(shared: &Shared, path: &Path) -> Result<bool> {
    let file = shared.fs.open(path, OpenMode::Read).at(path)?;
    let mut bytes = vec![0; HEADER_PAGE as usize];
    let read = file.read_at(&mut bytes, 0).at(path)?;
    Ok(read < bytes.len() && bytes.iter().take(read).all(|byte| *byte == 0))
}

/// Whether something stands behind an offset, where a frame would: a spare is zeros all through.
fn holds_bytes(file: &dyn File, offset: u64) -> std::io::Result<bool> {
    let mut bytes = vec![0; 1 << 16];
    let read = file.read_at(&mut bytes, offset)?;
    Ok(bytes.iter().take(read).any(|byte| *byte != 0))
}

/// A segment in use that the manifest does not list: the manifest is older than the log, and going on
/// would overwrite what came after it.
fn refuse_unlisted(shared: &Shared, manifest: &Manifest) -> Result<()> {
    let number = manifest.segments.last().map_or(0, |(number, _)| *number) + 1;
    let path = shared.segment_path(number);
    if shared.options.read_only || shared.fs.kind(&path).at(&path)?.is_none() {
        return Ok(());
    }
    match Segment::open(&*shared.fs, &path, OpenMode::Read)? {
        Ok(_) => Err(Error::format(
            &path,
            "the MANIFEST does not list this segment, so it is older than the log: put the newest one back",
        )),
        Err(_) => Ok(()),
    }
}

/// Takes up a sealed segment: by its index, or by its runs and reading what they do not cover.
fn load_sealed(
    shared: &Shared,
    segment: &Arc<Segment>,
    next_base: u64,
    watch: &Watch<'_>,
) -> Result<()> {
    segment.set_sealed();
    let path = segment.index_path();
    let index = IndexFile::open(&*shared.fs, &path, segment, HEADER_PAGE)
        .filter(|index| index.is_of_the_log().unwrap_or(false))
        .filter(|index| index.base() + u64::from(index.count()) == next_base);
    shared.change_layout(|layout| layout.segments.push(Arc::clone(segment)));
    if let Some(index) = index {
        segment.advance(index.extent().end);
        shared.change_layout(|layout| layout.parts.push(Part::File(Arc::new(index))));
        return Ok(());
    }
    let length = segment.file_length()?;
    let (start, base, before) = load_runs(shared, segment, length, watch)?;
    let covered = segment.end();
    let scan = Scan { segment, start, base, limit: length, past_damage: true, before, watch };
    let indexed = index_runs(&scan, &mut |tail| {
        let part = shared.part_of(tail);
        shared.change_layout(|layout| layout.parts.push(part));
        Ok(())
    })?;
    let (tail, scanned) = (indexed.tail, indexed.scanned);
    let mut damage = scanned.damage.clone();
    if !scanned.sealed {
        damage.push(segment.damage(
            scanned.end,
            length - scanned.end,
            "the segment has a successor but no seal",
        ));
    }
    let lost = next_base.saturating_sub(scanned.next_position);
    if lost > 0 && is_plausible(lost, length) {
        tail.add_hole(lost);
        for one in damage.iter_mut().rev().take(1) {
            one.positions = Some((scanned.next_position, next_base - 1));
        }
    }
    shared.report(&damage);
    tail.finish(indexed.stretch);
    if tail.count() > 0 || tail.extent().end > covered {
        let part = if damage.is_empty() { shared.part_of(tail) } else { Part::Tail(tail) };
        shared.change_layout(|layout| layout.parts.push(part));
    }
    Ok(())
}

/// Takes up the active segment: its runs, then the frames behind them. Where it is not known to be the
/// log's last, what cannot be read of it is not torn.
fn load_active(
    shared: &Shared,
    active: Arc<Segment>,
    head: Option<Head>,
    spare: Option<Spare>,
    is_last: bool,
    watch: &Watch<'_>,
) -> Result<Recovered> {
    let length = active.file_length()?;
    active.advance(HEADER_PAGE);
    shared.change_layout(|layout| layout.segments.push(Arc::clone(&active)));
    // Zeros stand for a boot that cannot be told from others.
    let boot = shared.host.boot_id();
    let same_boot = head.filter(|head| head.boot_id == boot && boot != [0; 16]);
    let published = same_boot.filter(|h| !h.poisoned && h.segment == active.header.number);
    // Beside a live writer, what it has not published yet is none of a reader's business.
    let limit = match same_boot.filter(|head| head.segment == active.header.number) {
        Some(head) if shared.options.read_only => head.offset.min(length),
        _ => length,
    };
    let (start, base, before) = load_runs(shared, &active, limit, watch)?;
    let scan = Scan { segment: &active, start, base, limit, past_damage: false, before, watch };
    let indexed = index_runs(&scan, &mut |tail| {
        let part = shared.part_of(tail);
        shared.change_layout(|layout| layout.parts.push(part));
        Ok(())
    })?;
    let (tail, mut scanned, stretch) = (indexed.tail, indexed.scanned, indexed.stretch);
    shared.change_layout(|layout| layout.parts.push(Part::Tail(Arc::clone(&tail))));
    shared.report(&scanned.damage);
    if scanned.sealed {
        active.set_sealed();
    }
    let proven = proven(&active, &scanned, head, published, limit)?;
    let own = head.filter(|head| head.segment == active.header.number);
    let mut recovery = Recovery {
        clean: own.is_some_and(|head| head.clean && head.offset == scanned.end),
        torn_bytes: 0,
        replayed_events: scanned.next_position - base,
    };
    if scanned.end < proven.offset {
        pass_rot(shared, &active, &tail, &mut scanned, &proven, limit)?;
        recovery.clean = false;
    } else if !shared.options.read_only && is_last {
        if !recovery.clean {
            let zeros_to = if scanned.sealed { scanned.end } else { length };
            recovery.torn_bytes = cut_torn_tail(shared, &active, scanned.end, zeros_to)?;
            settle(&active, proven.durable, scanned.end, zeros_to)?;
        }
        if !recovery.clean || spare.is_some() {
            settle_names(shared)?;
        }
    }
    shared.set_synced(scanned.next_position);
    shared.publish(scanned.next_position);
    let layout = shared.layout();
    let store_clock = layout.parts.iter().map(Part::last_store_clock).max().unwrap_or(0);
    let recorded_us = active.header.created_us.max(stretch.recorded_us).max(last_recorded(&layout));
    let start = Start {
        active,
        active_size: length,
        offset: scanned.end,
        tail,
        next_position: scanned.next_position,
        recorded_us,
        store_clock,
        frames: stretch.frames,
        running: stretch.running,
        sealed: scanned.sealed,
        clean: recovery.clean,
    };
    Ok(Recovered { start, spare, recovery })
}

fn last_recorded(layout: &crate::shared::Layout) -> u64 {
    let times = layout.parts.iter().rev().filter_map(|part| match part {
        Part::File(file) => Some(file.stretch().recorded_us),
        Part::Tail(_) => None,
    });
    times.max().unwrap_or(0)
}

/// Takes up the runs of a segment up to `limit`, as far as they follow each other and the log. Returns
/// where the frames begin that no run covers, the position there, and what is known of the frames
/// before. A seal is always among those that are read.
fn load_runs(
    shared: &Shared,
    segment: &Arc<Segment>,
    limit: u64,
    watch: &Watch<'_>,
) -> Result<(u64, u64, Stretch)> {
    let (mut start, mut base) = (HEADER_PAGE, segment.header.base_position);
    let mut stretch = Stretch { recorded_us: 0, frames: 0, running: segment.first_hash()? };
    loop {
        let path = shared.run_path(segment.header.number, start);
        let run = IndexFile::open(&*shared.fs, &path, segment, start)
            .filter(|run| run.extent().end <= limit && run.base() == base)
            .filter(|run| run.is_of_the_log().unwrap_or(false));
        let Some(run) = run else { break };
        watch.advance(0, run.extent().end - start)?;
        start = run.extent().end;
        base += u64::from(run.count());
        stretch = run.stretch();
        segment.advance(start);
        shared.change_layout(|layout| layout.parts.push(Part::File(Arc::new(run))));
    }
    if let Some(seal) = start.checked_sub(SEAL_LEN).filter(|seal| *seal >= HEADER_PAGE)
        && let Found::Frame(frame) = Scanner::new(segment, seal, start).next()?
        && frame.header.kind == FrameKind::SEAL
    {
        start = seal;
    }
    Ok((start, base, stretch))
}

/// What is proven to have been durable, or acknowledged, in the active segment.
#[derive(Debug, Clone, Copy)]
struct Proven {
    /// Damage below is rot.
    offset: u64,
    /// Known to have been synced. Less than `offset` where only the page cache keeps the rest.
    durable: u64,
    next_position: Option<u64>,
}

fn proven(
    active: &Arc<Segment>,
    scanned: &Scanned,
    head: Option<Head>,
    published: Option<Head>,
    limit: u64,
) -> Result<Proven> {
    let durable = scanned.durable_upto;
    let mut proven = Proven { offset: durable, durable, next_position: None };
    let own = head.filter(|head| head.segment == active.header.number);
    if let Some(head) = own.filter(|head| head.durable_upto > proven.offset) {
        proven.offset = head.durable_upto;
        proven.durable = head.durable_upto;
        proven.next_position = (head.offset == head.durable_upto).then_some(head.next_position);
    }
    // Within one boot the page cache keeps what was acknowledged, synced or not.
    if let Some(head) = published.filter(|head| head.offset > proven.offset) {
        proven.offset = head.offset;
        proven.next_position = Some(head.next_position);
    }
    if scanned.stop.is_some() && !own.is_some_and(|head| head.clean && head.offset == scanned.end) {
        let reach = (scanned.end + UNSYNCED_MAX_BYTES + FRAME_MAX_BYTES).min(limit);
        let mut beyond = Scanner::new(active, scanned.end, reach);
        while beyond.resync()? {
            if let Found::Frame(frame) = beyond.next()? {
                proven.offset = proven.offset.max(u64::from(frame.header.durable_upto));
            }
        }
    }
    Ok(proven)
}

/// Damage below what was durable: reported, and passed over so that whole events stay readable.
fn pass_rot(
    shared: &Shared,
    active: &Arc<Segment>,
    tail: &Tail,
    scanned: &mut Scanned,
    proven: &Proven,
    limit: u64,
) -> Result<()> {
    let rest = index_past_damage(active, tail, scanned.end, limit)?;
    let mut damage = rest.damage.clone();
    if rest.end < proven.offset {
        let reason = rest.stop.unwrap_or("the file is shorter than what was written");
        let mut lost = active.damage(rest.end, proven.offset - rest.end, reason);
        if let Some(next) = proven.next_position.filter(|next| *next > rest.next_position) {
            lost.positions = Some((rest.next_position, next - 1));
        }
        damage.push(lost);
    }
    let mut next_position = rest.next_position;
    if let Some(next) = proven.next_position.filter(|next| *next > next_position)
        && is_plausible(next - next_position, limit)
    {
        tail.add_hole(next - next_position);
        next_position = next;
    }
    *scanned = Scanned { next_position, ..rest };
    shared.report(&damage);
    Ok(())
}

/// Copies what stands behind the last whole frame aside, zeroes it, and syncs. Returns its length.
fn cut_torn_tail(shared: &Shared, active: &Segment, end: u64, length: u64) -> Result<u64> {
    let reach = (end + UNSYNCED_MAX_BYTES + FRAME_MAX_BYTES).min(length);
    let mut bytes = vec![0; reach.saturating_sub(end) as usize];
    let read = active.file()?.read_at(&mut bytes, end).at(&active.path)?;
    bytes.truncate(read);
    let torn = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if torn == 0 {
        return Ok(0);
    }
    bytes.truncate(torn);
    let path = torn_path(shared, active, end)?;
    crate::fs::replace(&*shared.fs, &path, &bytes).at(&path)?;
    active.file()?.write_at(&vec![0; torn], end).at(&active.path)?;
    active.sync()?;
    Ok(torn as u64)
}

fn torn_path(shared: &Shared, active: &Segment, end: u64) -> Result<PathBuf> {
    let directory = shared.directory.join(TORN);
    shared.fs.create_dir_all(&directory).at(&directory)?;
    shared.fs.sync_dir(&shared.directory).at(&shared.directory)?;
    let number = active.header.number;
    for nth in 0..1_000_000 {
        let path = directory.join(format!("{number:010}-{end:010}.{nth}"));
        if shared.fs.kind(&path).at(&path)?.is_none() {
            return Ok(path);
        }
    }
    Err(Error::format(&directory, "holds too many torn tails; remove old ones"))
}

/// Writes what is whole above the durable offset again, in place, then the zeros after it, and syncs:
/// it may have been in the page cache only, and a sync alone does not bring back pages whose write
/// has failed. The header page too, where nothing behind
/// it is known to be durable.
fn settle(active: &Segment, durable: u64, end: u64, length: u64) -> Result<()> {
    let mut buffer = vec![0; 1 << 20];
    let mut at = if durable > HEADER_PAGE { durable.min(end) } else { 0 };
    while at < end {
        let n = (end - at).min(buffer.len() as u64) as usize;
        let piece = buffer.get_mut(..n).unwrap_or_default();
        read_exact_at(active.file()?, piece, at).at(&active.path)?;
        active.file()?.write_at(piece, at).at(&active.path)?;
        at += n as u64;
    }
    let zeros = vec![0; (length - end).min(UNSYNCED_MAX_BYTES) as usize];
    active.file()?.write_at(&zeros, end).at(&active.path)?;
    active.sync()
}

/// Makes names durable that a process may have made and used, and then was killed: what is found in a
/// directory need not be on the disk.
fn settle_names(shared: &Shared) -> Result<()> {
    let segments = shared.segments_directory();
    shared.fs.sync_dir(&segments).at(&segments)?;
    shared.fs.sync_dir(&shared.directory).at(&shared.directory)
}

/// The same for the names that lead to the directory. Best effort: not all that is above need be ours.
fn settle_names_above(shared: &Shared) {
    for above in shared.directory.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty()) {
        let _ = shared.fs.sync_dir(above);
    }
}

/// The head page of a store, if it can be read.
pub(crate) fn read_head(shared: &Shared) -> Option<Head> {
    HeadPage::open(&*shared.fs, &shared.directory)?.read()
}
