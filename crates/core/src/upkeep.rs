//! Looking after the derived files of an open store: runs for tails, one index for each sealed segment,
//! the directory over all of them. What is to be done is read off the layout, so that whatever was
//! missed, failed or lost is done the next time.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::error::{AtPath, Error, Result};
use crate::index::directory::{self, Coverage, DirectoryFile, Family, Pace};
use crate::index::{IndexFile, Part, RUN_MAX_EVENTS, Tail, due, merge_parts};
use crate::progress::Unobserved;
use crate::segment::{HEADER_PAGE, Segment};
use crate::shared::{Layout, Shared};

/// Endings of files that were not finished.
const UNFINISHED: [&str; 2] = [".tmp", ".sort"];

/// Writes a tail that grows no more as a run, which answers from then on.
pub(crate) fn write_run(shared: &Shared, tail: &Tail) -> Result<()> {
    if let Some(run) = make_run(shared, tail)? {
        shared.adopt(run);
    }
    Ok(())
}

/// Writes a tail that grows no more as a run, unless events of it are lost.
pub(crate) fn make_run(shared: &Shared, tail: &Tail) -> Result<Option<IndexFile>> {
    let Some(stretch) = tail.stretch().filter(|_| tail.holes().is_empty()) else {
        return Ok(None);
    };
    let (segment, start) = (tail.segment(), tail.extent().start);
    let runs = shared.runs_directory();
    shared.fs.create_dir_all(&runs).at(&runs)?;
    let path = shared.run_path(segment.header.number, start);
    tail.write(&*shared.fs, &path, stretch)?;
    Ok(IndexFile::open(&*shared.fs, &path, segment, start))
}

/// Tails that grow no more and have no file yet, oldest first.
pub(crate) fn unwritten(layout: &Layout) -> Vec<Arc<Tail>> {
    let tails = layout.parts.iter().filter_map(|part| match part {
        Part::Tail(tail) if tail.stretch().is_some() && tail.holes().is_empty() => {
            Some(Arc::clone(tail))
        }
        _ => None,
    });
    tails.collect()
}

/// Whether there is something to do.
pub(crate) fn is_due(shared: &Shared) -> bool {
    let layout = &*shared.layout();
    let uncovered = |family| uncovered(layout, family, 0).is_some();
    let unmerged_files = |family| layout.directory(family).due(0).is_some();
    !unwritten(layout).is_empty()
        || !unmerged(layout).is_empty()
        || Family::ALL.into_iter().any(|family| uncovered(family) || unmerged_files(family))
        || runs_due(layout).is_some()
        || Catalog::of(layout) != *shared.catalog.lock()
}

/// Writes the catalog, where it does not say what there is.
pub(crate) fn keep_catalog(shared: &Shared) -> Result<()> {
    let catalog = Catalog::of(&shared.layout());
    let mut kept = shared.catalog.lock();
    if let Some(catalog) = catalog.filter(|catalog| kept.as_ref() != Some(catalog)) {
        catalog.write(&*shared.fs, &shared.runs_directory())?;
        *kept = Some(catalog);
    }
    Ok(())
}

/// Sealed segments that have several indexes, or another than their own, oldest first.
fn unmerged(layout: &Layout) -> Vec<Arc<Segment>> {
    let own = |part: &Part| matches!(part, Part::File(file) if file.is_of_whole_segment());
    let mut segments: Vec<Arc<Segment>> = Vec::new();
    for part in layout.parts.iter().filter(|part| part.segment().is_sealed() && !own(part)) {
        if segments.last().is_none_or(|last| !Arc::ptr_eq(last, part.segment())) {
            segments.push(Arc::clone(part.segment()));
        }
    }
    segments
}

/// Makes one index for each sealed segment that has runs. The runs go.
pub(crate) fn merge_sealed(shared: &Shared, pace: Pace<'_>) -> Result<()> {
    unmerged(&shared.layout()).iter().try_for_each(|segment| merge_segment(shared, segment, pace))
}

fn merge_segment(shared: &Shared, segment: &Arc<Segment>, pace: Pace<'_>) -> Result<()> {
    let layout = shared.layout();
    let mut files = Vec::new();
    for part in layout.parts.iter().filter(|part| Arc::ptr_eq(part.segment(), segment)) {
        match part {
            Part::File(file) => files.push(Arc::clone(file)),
            Part::Tail(tail) if tail.count() == 0 => {}
            // Not written yet, or with lost events: there can be no index of the whole.
            Part::Tail(_) => return Ok(()),
        }
    }
    // A seal may have been read again behind a run that has it already.
    files.retain(|file| file.count() > 0 || !is_repeated(file, &layout));
    let start = (HEADER_PAGE, segment.header.base_position);
    if files.first().is_some_and(|first| (first.extent().start, first.base()) == start)
        && merge_files(shared, &segment.index_path(), &files, pace)?
    {
        remove_runs(shared, segment.header.number);
    }
    Ok(())
}

/// Merges runs of the active segment where several are of a size, so that streams and queries ask few
/// parts, and names that come again and again take little space.
pub(crate) fn merge_runs(shared: &Shared, pace: Pace<'_>) -> Result<()> {
    while let Some(runs) = runs_due(&shared.layout()) {
        let Some(path) = runs.first().map(|run| run.path().to_owned()) else { return Ok(()) };
        if !merge_files(shared, &path, &runs, pace)? {
            return Ok(());
        }
        for merged in runs.iter().skip(1) {
            let _ = shared.fs.remove(merged.path());
        }
    }
    Ok(())
}

/// Runs of the active segment to be merged next, if some are due.
fn runs_due(layout: &Layout) -> Option<Vec<Arc<IndexFile>>> {
    let active = layout.segments.last().filter(|segment| !segment.is_sealed())?;
    let runs = layout.parts.iter().filter(|part| Arc::ptr_eq(part.segment(), active));
    let mut runs: Vec<Arc<IndexFile>> = runs
        .filter_map(|part| match part {
            Part::File(file) => Some(Arc::clone(file)),
            Part::Tail(_) => None,
        })
        .collect();
    let sizes: Vec<usize> = runs.iter().map(|run| run.count() as usize).collect();
    let first = due(&sizes, RUN_MAX_EVENTS as usize)?;
    Some(runs.split_off(first))
}

/// Writes one index for several that follow each other; it answers from then on. False if there is
/// none: they do not follow each other, or one of them is damaged and was built again.
fn merge_files(
    shared: &Shared,
    path: &Path,
    files: &[Arc<IndexFile>],
    pace: Pace<'_>,
) -> Result<bool> {
    let follow = |pair: &[Arc<IndexFile>]| match pair {
        [one, next] => {
            one.extent().end == next.extent().start
                && one.base() + u64::from(one.count()) == next.base()
        }
        _ => false,
    };
    let (Some(first), Some(last)) = (files.first(), files.last()) else { return Ok(false) };
    if !files.windows(2).all(follow) {
        return Ok(false);
    }
    let segment = first.segment();
    match merge_parts(&*shared.fs, path, segment, files, last.stretch(), pace) {
        Err(Error::StaleIndex { path }) => {
            shared.rebuild(&shared.view(), &path, &Unobserved)?;
            return Ok(false);
        }
        other => other?,
    }
    let Some(merged) = IndexFile::open(&*shared.fs, path, segment, first.extent().start) else {
        return Ok(false);
    };
    shared.adopt(merged);
    Ok(true)
}

/// Whether an index without events covers nothing that another of its segment does not.
fn is_repeated(file: &IndexFile, layout: &Layout) -> bool {
    layout.parts.iter().any(|part| {
        let (own, other) = (file.extent(), part.extent());
        part.segment().header.number == file.segment().header.number
            && other.start < own.start
            && other.end >= own.end
    })
}

/// Removes the runs of a segment that has an index.
fn remove_runs(shared: &Shared, number: u64) {
    let prefix = format!("{number:010}-");
    let runs = shared.runs_directory();
    for name in shared.fs.list(&runs).unwrap_or_default() {
        if name.starts_with(&prefix) {
            let _ = shared.fs.remove(&runs.join(name));
        }
    }
}

/// Makes the directory's files for indexes that none covers.
pub(crate) fn cover(shared: &Shared, pace: Pace<'_>) -> Result<()> {
    for family in Family::ALL {
        let mut done = 0;
        while let Some(part) = uncovered(&shared.layout(), family, done) {
            done = part.base() + u64::from(part.count());
            let runs = shared.runs_directory();
            match directory::from_part(&*shared.fs, &runs, family, &part, pace) {
                Ok(Some(file)) => adopt(shared, family, file),
                Ok(None) => {}
                Err(Error::StaleIndex { path }) => {
                    shared.rebuild(&shared.view(), &path, &Unobserved)?;
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// The first index from a position on that the directory does not cover as a whole.
fn uncovered(layout: &Layout, family: Family, from: u64) -> Option<Arc<IndexFile>> {
    layout.parts.iter().find_map(|part| match part {
        Part::File(file) => {
            let positions = file.base()..file.base() + u64::from(file.count());
            let open = positions.start >= from && !layout.directory(family).covers(&positions);
            open.then(|| Arc::clone(file))
        }
        Part::Tail(_) => None,
    })
}

/// Merges the directory's files where several are of a size.
pub(crate) fn merge_directory(shared: &Shared, pace: Pace<'_>) -> Result<()> {
    Family::ALL.into_iter().try_for_each(|family| merge_from(shared, family, 0, pace))
}

/// Merges those from a position on. Merging the largest takes long: newer ones are merged in between, so
/// that a lookup never has many to ask.
fn merge_from(shared: &Shared, family: Family, from: u64, pace: Pace<'_>) -> Result<()> {
    while let Some(files) = shared.layout().directory(family).due(from) {
        let end = files.last().map_or(from, |file| file.positions().end);
        let mut between = || {
            pace()?;
            merge_from(shared, family, end, pace)
        };
        let (runs, id) = (shared.runs_directory(), shared.store_id);
        match directory::merge(&*shared.fs, &runs, id, family, &files, &mut between) {
            Ok(Some(file)) => adopt(shared, family, file),
            // A damaged file is given up; what it covered is made again.
            Ok(None) | Err(Error::StaleIndex { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Lets a file of the directory answer; those that it replaces go.
fn adopt(shared: &Shared, family: Family, file: DirectoryFile) {
    let file = Arc::new(file);
    let mut replaced = Vec::new();
    shared.change_layout(|layout| {
        replaced = layout.directory_mut(family).adopt(Arc::clone(&file));
    });
    for old in replaced.iter().filter(|old| old.path() != file.path()) {
        let _ = shared.fs.remove(old.path());
    }
}

/// Takes up the directory's files, as far as they belong to the log as it is. Where several cover a
/// stretch, the longest.
pub(crate) fn load_directory(shared: &Shared, names: &[String]) {
    let runs = shared.runs_directory();
    for family in Family::ALL {
        let mut found: Vec<_> = names.iter().filter_map(|name| family.parse_name(name)).collect();
        found.sort_unstable_by_key(|positions| (positions.start, u64::MAX - positions.end));
        let mut taken = Vec::new();
        let mut next = 0;
        for positions in found {
            if positions.start < next {
                continue;
            }
            let path = directory::path(&runs, family, &positions);
            let end = positions.end;
            if let Some(file) = load_file(shared, &path, family, positions) {
                next = end;
                taken.push(Arc::new(file));
            }
        }
        shared.change_layout(|layout| {
            for file in taken {
                layout.directory_mut(family).adopt(file);
            }
        });
    }
}

/// A file of the directory, if it belongs to the log. What the catalog knows is opened when it is touched;
/// but not beside another process that writes, and replaces files.
fn load_file(
    shared: &Shared,
    path: &Path,
    family: Family,
    positions: Range<u64>,
) -> Option<DirectoryFile> {
    let (fs, id) = (&shared.fs, shared.store_id);
    let catalog = shared.catalog.lock();
    let known = catalog.as_ref().and_then(|one| one.directory_file(family, &positions));
    drop(catalog);
    match known.filter(|(coverage, _)| coverage.positions.end <= shared.published()) {
        Some(known) if !shared.options.read_only => {
            DirectoryFile::put_off(fs, path, id, family, known)
        }
        known => {
            let file = DirectoryFile::open(&**fs, path, id, family, positions)?;
            let is_known = known.is_some_and(|(coverage, _)| coverage == *file.coverage());
            (is_known || is_of_this_log(shared, file.coverage())).then_some(file)
        }
    }
}

/// Whether the frame with the last event that a file covers is where the file says. Frames before it
/// are then the same too: a frame's CRC covers its place and its position in the log.
fn is_of_this_log(shared: &Shared, coverage: &Coverage) -> bool {
    if coverage.positions.end > shared.published() {
        return false;
    }
    let layout = shared.layout();
    let Some(segment) =
        layout.segments.iter().find(|segment| segment.header.number == coverage.segment)
    else {
        return false;
    };
    (4..=segment.end()).contains(&coverage.end)
        && segment.has_frame_end(coverage.end, coverage.last_frame_crc).unwrap_or(false)
}

/// Removes what is left over: unfinished files, runs of segments that have an index, files of the
/// directory that others replaced.
pub(crate) fn clean(shared: &Shared, runs: &[String], segments: &[String]) {
    let layout = shared.layout();
    let in_use = |name: &str| {
        let part = layout.parts.iter().any(|part| match part {
            Part::File(file) => file.path().ends_with(name),
            Part::Tail(_) => false,
        });
        let files = Family::ALL.into_iter().flat_map(|family| layout.directory(family).files());
        part || files.into_iter().any(|file| file.path().ends_with(name))
    };
    for name in runs {
        let ours = UNFINISHED.iter().chain(&[".run", ".heads", ".ids"]);
        if ours.into_iter().any(|ending| name.ends_with(ending)) && !in_use(name) {
            let _ = shared.fs.remove(&shared.runs_directory().join(name));
        }
    }
    for name in segments {
        if UNFINISHED.iter().any(|ending| name.ends_with(ending)) {
            let _ = shared.fs.remove(&shared.segments_directory().join(name));
        }
    }
}
