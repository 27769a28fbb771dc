//! Where a store may be, and making one.

use std::path::Path;
use std::sync::Arc;

use crate::error::{AtPath, Error, Result};
use crate::fs::{Fs, Kind, OpenMode};
use crate::head;
use crate::limits::SEGMENT_MIN_BYTES;
use crate::manifest::{self, Manifest};
use crate::repair::DAMAGED;
use crate::segment::{Found, HEADER_PAGE, HeaderPage, Scanner, Segment, SegmentHeader, file_name};
use crate::shared::Shared;

use super::listed::holds_bytes;
use super::torn::settle_names_above;
use super::{LOCK, TORN};

/// Names that may stand in a directory before a store is made there.
const OWN_NAMES: [&str; 10] = [
    LOCK,
    head::NAME,
    "HEAD.tmp",
    manifest::NAME,
    "MANIFEST.tmp",
    "segments",
    "runs",
    TORN,
    DAMAGED,
    "lost+found",
];

/// Checks that a directory is a store or may become one. Writes nothing.
pub(crate) fn survey(fs: &dyn Fs, directory: &Path) -> Result<Option<Manifest>> {
    match fs.kind(directory).at(directory)? {
        None => return Ok(None),
        Some(Kind::File) => {
            let error = std::io::Error::from_raw_os_error(20);
            return Err(Error::io(directory, &error));
        }
        Some(Kind::Directory) => {}
    }
    if let Some(manifest) = Manifest::read(fs, directory)? {
        return Ok(Some(manifest));
    }
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
    match refuse_orphans(fs, directory) {
        Ok(()) => Ok(None),
        // A writer may have made the store meanwhile.
        Err(error) => Manifest::read(fs, directory)?.map(Some).ok_or(error),
    }
}

/// Makes a directory and the missing ones above it, their names durable.
pub(crate) fn make_directory(fs: &dyn Fs, directory: &Path) -> Result<()> {
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
    settle_names_above(shared);
    let path = shared.segment_path(1);
    let header = SegmentHeader::first(shared.store_id, &*shared.host);
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
        created_us: header.created_us,
        segments: vec![(1, 1)],
        read_only: false,
    };
    manifest.write(&*shared.fs, &shared.directory)?;
    Ok(manifest)
}

/// Segments without a manifest: an empty first one is left over from a creation that was cut short.
/// Anything else means that the manifest was lost, and nothing may be overwritten.
fn refuse_orphans(fs: &dyn Fs, directory: &Path) -> Result<()> {
    let directory = directory.join("segments");
    if fs.kind(&directory).at(&directory)? != Some(Kind::Directory) {
        return Ok(());
    }
    let first = file_name(1, 1);
    for name in fs.list(&directory).at(&directory)? {
        let path = directory.join(&name);
        let segment = path.extension().is_some_and(|ending| ending == "seg");
        if segment && !is_empty_segment(fs, &path, name == first)? {
            return Err(manifest::damaged(0, "there are segments, but the MANIFEST is missing"));
        }
    }
    Ok(())
}

/// Whether a file holds nothing: zeros, or, where a first segment may be, a header without frames, which
/// a power cut may have torn.
fn is_empty_segment(fs: &dyn Fs, path: &Path, first: bool) -> Result<bool> {
    match Segment::open(fs, path, OpenMode::Read)? {
        Ok(segment) if first => {
            let segment = Arc::new(segment);
            let mut scanner = Scanner::new(&segment, HEADER_PAGE, segment.file_length()?);
            let empty = matches!(scanner.next()?, Found::Zeros | Found::Limit);
            Ok(empty && !scanner.resync()?)
        }
        Ok(_) => Ok(false),
        Err(HeaderPage::Newer(reason)) => Err(Error::format(path, reason)),
        Err(page) => {
            let file = fs.open(path, OpenMode::Read).at(path)?;
            let torn = first && matches!(page, HeaderPage::Damaged(_));
            let start = if torn { HEADER_PAGE } else { 0 };
            Ok(!holds_bytes(&*file, start..u64::MAX).at(path)?)
        }
    }
}
