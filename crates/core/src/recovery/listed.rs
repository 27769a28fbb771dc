//! The segments that a manifest lists, as far as they can be opened.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::error::{AtPath, Error, Result};
use crate::fs::{File, OpenMode, read_around};
use crate::keeper::Spare;
use crate::manifest::Manifest;
use crate::segment::{ELSEWHERE, HEADER_PAGE, HeaderPage, MISSING, NO_HEADER, Segment};
use crate::shared::Shared;

use super::NEWER_WRITER;
use super::unreadable::Unreadable;

/// Bytes looked at behind a header page, where the first frame would stand.
const LOOK_BYTES: u64 = 64 << 10;

#[derive(Debug, Default)]
pub(super) struct Opened {
    /// Knows the segments before those that were opened.
    pub(super) catalog: Option<Catalog>,
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) spare: Option<Spare>,
    pub(super) unreadable: Unreadable,
}

/// Opens the segments that the catalog does not know, all of them if it is not of this log.
pub(super) fn open_segments(
    shared: &Shared,
    manifest: &Manifest,
    mode: OpenMode,
    head_is_known: bool,
    names: &[String],
) -> Result<Opened> {
    let names = names.iter().map(String::as_str).collect();
    let catalog = Catalog::read(&*shared.fs, &shared.runs_directory(), manifest, &names);
    if let Some(catalog) = catalog {
        let opened = open_listed(shared, manifest, mode, head_is_known, catalog.len())?;
        let next = manifest.segments.get(catalog.len()).map(|(number, _)| *number);
        let first = opened.segments.first().filter(|first| Some(first.header.number) == next);
        if first.is_some_and(|first| catalog.is_followed_by(first)) {
            return Ok(Opened { catalog: Some(catalog), ..opened });
        }
    }
    open_listed(shared, manifest, mode, head_is_known, 0)
}

/// Opens the segments that the manifest lists, but for the first ones.
fn open_listed(
    shared: &Shared,
    manifest: &Manifest,
    mode: OpenMode,
    head_is_known: bool,
    known: usize,
) -> Result<Opened> {
    let mut opened = Opened::default();
    let last = manifest.segments.len().saturating_sub(1);
    for (nth, (number, generation)) in manifest.segments.iter().enumerate().skip(known) {
        let path =
            shared.segments_directory().join(crate::segment::file_name(*number, *generation));
        let mut damaged = |reason: &str| opened.unreadable.add(*number, HEADER_PAGE, reason);
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
                opened.spare = open_spare(shared, &path, *number, mode, head_is_known)?;
                if opened.spare.is_none() {
                    damaged("the header page is empty, but there is something behind it");
                }
            }
            // Cut short between making the file and allocating it: a spare that is not there yet.
            Err(HeaderPage::Damaged(_))
                if nth == last && nth > 0 && is_unallocated(shared, &path)? => {}
            // Cut short while it was made a segment: a header without frames stands for nothing.
            Err(HeaderPage::Damaged(reason)) if nth == last && nth > 0 => {
                opened.spare = open_spare(shared, &path, *number, mode, head_is_known)?;
                if opened.spare.is_none() {
                    damaged(reason);
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
fn open_spare(
    shared: &Shared,
    path: &Path,
    number: u64,
    mode: OpenMode,
    head_is_known: bool,
) -> Result<Option<Spare>> {
    let file = shared.fs.open(path, mode).at(path)?;
    let size = file.length().at(path)?;
    // HEAD says which segment is in use. Without it all of the file has to.
    let end = if head_is_known { HEADER_PAGE + LOOK_BYTES } else { size };
    if holds_bytes(&*file, HEADER_PAGE..end).at(path)? {
        return Ok(None);
    }
    Ok(Some(Spare { file, path: path.to_owned(), number, size }))
}

/// Whether a file is shorter than a header page, and empty or zeros.
pub(super) fn is_unallocated(shared: &Shared, path: &Path) -> Result<bool> {
    let file = shared.fs.open(path, OpenMode::Read).at(path)?;
    let mut bytes = vec![0; HEADER_PAGE as usize];
    let read = read_around(&*file, &mut bytes, 0, &mut Vec::new()).at(path)?;
    Ok(read < bytes.len() && bytes.iter().take(read).all(|byte| *byte == 0))
}

/// Whether something stands in the bytes of a range, or cannot be read, as far as the file has them: a spare is
/// zeros all through.
pub(super) fn holds_bytes(file: &dyn File, range: Range<u64>) -> io::Result<bool> {
    let mut bytes = vec![0; LOOK_BYTES as usize];
    let mut unreadable = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let read = read_around(file, &mut bytes, at, &mut unreadable)?;
        if !unreadable.is_empty() || bytes.iter().take(read).any(|byte| *byte != 0) {
            return Ok(true);
        }
        if read < bytes.len() {
            break;
        }
        at += read as u64;
    }
    Ok(false)
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
        Err(_) if is_spare(shared, &path)? => Ok(()),
        _ => Err(Error::format(
            &path,
            "the MANIFEST does not list this segment, so it is older than the log: put the newest one back",
        )),
    }
}

/// Whether a file without a whole header holds nothing behind it either.
pub(crate) fn is_spare(shared: &Shared, path: &Path) -> Result<bool> {
    let file = shared.fs.open(path, OpenMode::Read).at(path)?;
    Ok(!holds_bytes(&*file, HEADER_PAGE..u64::MAX).at(path)?)
}
