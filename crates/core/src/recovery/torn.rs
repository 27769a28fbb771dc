//! What stands behind the last whole frame, and what may be only in the page cache.

use std::path::PathBuf;

use crate::error::{AtPath, Error, Result};
use crate::fs::{UNREADABLE_BYTES, is_unreadable, read_exact_at};
use crate::limits::{FRAME_MAX_BYTES, UNSYNCED_MAX_BYTES};
use crate::segment::{HEADER_PAGE, Segment};
use crate::shared::Shared;

use super::TORN;

/// Copies what stands behind the last whole frame aside, zeroes it, and syncs. Returns its length.
pub(super) fn cut_torn_tail(
    shared: &Shared,
    active: &Segment,
    end: u64,
    length: u64,
) -> Result<u64> {
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
    active.file()?.write_past_cache(&vec![0; torn], end).at(&active.path)?;
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

/// Writes what is whole above the durable offset again, in place and past the page cache, and syncs: it may
/// have been in the cache only, and a sync alone does not bring back pages whose write has failed. The
/// header page too, where nothing behind it is known to be durable. What cannot be read is left as it is where
/// damage is known; elsewhere it was read a moment ago, and is about to be published.
pub(super) fn settle(active: &Segment, durable: u64, end: u64, damaged: bool) -> Result<()> {
    let mut at_once = 1 << 20;
    let mut buffer = vec![0; at_once as usize];
    let mut at = if durable > HEADER_PAGE { durable.min(end) } else { 0 };
    while at < end {
        let n = (end - at).min(at_once - at % at_once);
        let piece = buffer.get_mut(..n as usize).unwrap_or_default();
        match read_exact_at(active.file()?, piece, at) {
            Err(error) if damaged && is_unreadable(&error) && at_once > UNREADABLE_BYTES => {
                at_once = UNREADABLE_BYTES;
                continue;
            }
            Err(error) if damaged && is_unreadable(&error) => {}
            read => {
                read.at(&active.path)?;
                active.file()?.write_past_cache(piece, at).at(&active.path)?;
            }
        }
        at += n;
    }
    active.sync()
}

/// Writes the zeros behind the last frame again. Not synced.
pub(super) fn zero_behind(active: &Segment, end: u64, length: u64) -> Result<()> {
    let zeros = vec![0; (length - end).min(UNSYNCED_MAX_BYTES) as usize];
    active.file()?.write_past_cache(&zeros, end).at(&active.path)
}

/// Makes names durable that a process may have made and used, and then was killed: what is found in a
/// directory need not be on the disk.
pub(super) fn settle_names(shared: &Shared) -> Result<()> {
    let segments = shared.segments_directory();
    shared.fs.sync_dir(&segments).at(&segments)?;
    shared.fs.sync_dir(&shared.directory).at(&shared.directory)
}

/// The same for the names that lead to the directory. Best effort: not all that is above need be ours.
pub(super) fn settle_names_above(shared: &Shared) {
    for above in shared.directory.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty()) {
        let _ = shared.fs.sync_dir(above);
    }
}
