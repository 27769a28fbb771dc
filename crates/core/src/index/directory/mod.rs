//! The directory: which event of an entity is the newest, and where a caller-given id is, over the
//! whole log, without asking part after part.
//!
//! Each file covers consecutive positions. A new one is made from each run; neighbours are merged when
//! there are several of a size, so that there are never more than about log2(n) of them, and each row
//! is rewritten about log4(n) times. Newer files come first in a lookup, so the newest row wins.
//!
//! Everything here is derived. What no file covers, or what a damaged file covers, is answered by the
//! parts, and made again in the background.

mod build;
mod file;
mod filter;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::blocks::BLOCK;
use crate::error::{Error, Result};
pub(crate) use build::{Pace, from_part, merge};
pub(crate) use file::{Coverage, DirectoryFile};

/// Rows of the largest file of the smallest size.
const SMALLEST_ROWS: usize = 1024;

/// What rows are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// The newest event of each entity: hash (two words), position, version.
    Heads,
    /// Caller-given ids: hash, position.
    Ids,
}

impl Family {
    pub(crate) const ALL: [Self; 2] = [Self::Heads, Self::Ids];

    /// Words of a row. The rows of a block fill it.
    fn words(self) -> usize {
        match self {
            Self::Heads => 4,
            Self::Ids => 2,
        }
    }

    fn row_bytes(self) -> usize {
        self.words() * 8
    }

    fn rows_per_block(self) -> usize {
        BLOCK / self.row_bytes()
    }

    fn ending(self) -> &'static str {
        match self {
            Self::Heads => "heads",
            Self::Ids => "ids",
        }
    }

    /// Name of the file that covers these positions.
    pub(crate) fn file_name(self, positions: &Range<u64>) -> String {
        format!("{:016}-{:016}.{}", positions.start, positions.end, self.ending())
    }

    /// The positions that a file covers, by its name.
    pub(crate) fn parse_name(self, name: &str) -> Option<Range<u64>> {
        let (start, end) = name.strip_suffix(self.ending())?.strip_suffix('.')?.split_once('-')?;
        let positions = start.parse().ok()?..end.parse().ok()?;
        (!positions.is_empty() && self.file_name(&positions) == name).then_some(positions)
    }
}

/// The files of one family, in the order of what they cover. No two overlap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Directory {
    files: Vec<Arc<DirectoryFile>>,
}

impl Directory {
    pub(crate) fn files(&self) -> &[Arc<DirectoryFile>] {
        &self.files
    }

    /// The file that answers for a position.
    pub(crate) fn covering(&self, position: u64) -> Option<&Arc<DirectoryFile>> {
        let after = self.files.partition_point(|file| file.positions().start <= position);
        let file = self.files.get(after.checked_sub(1)?)?;
        (file.positions().contains(&position) && !file.is_damaged()).then_some(file)
    }

    /// Whether files answer for every position of a range.
    pub(crate) fn covers(&self, positions: &Range<u64>) -> bool {
        let mut at = positions.start;
        while at < positions.end {
            let Some(file) = self.covering(at) else { return false };
            at = file.positions().end;
        }
        true
    }

    /// Takes up a file, for all that overlap it. Returns those.
    pub(crate) fn adopt(&mut self, file: Arc<DirectoryFile>) -> Vec<Arc<DirectoryFile>> {
        let own = file.positions().clone();
        let overlaps = |other: &Arc<DirectoryFile>| {
            other.positions().start < own.end && own.start < other.positions().end
        };
        let replaced = self.files.iter().filter(|other| overlaps(other)).cloned().collect();
        self.files.retain(|other| !overlaps(other));
        let at = self.files.partition_point(|other| other.positions().start < own.start);
        self.files.insert(at, file);
        replaced
    }

    /// The files to merge next, of those from a position on, if some are due.
    pub(crate) fn due(&self, from: u64) -> Option<Vec<Arc<DirectoryFile>>> {
        let mut next = None;
        let touching = self.files.iter().rev().take_while(|file| {
            let touches = next.is_none_or(|next| file.positions().end == next);
            next = Some(file.positions().start);
            touches && file.positions().start >= from && !file.is_damaged()
        });
        let mut files: Vec<_> = touching.cloned().collect();
        files.reverse();
        let sizes: Vec<usize> = files.iter().map(|file| file.count()).collect();
        let start = super::due(&sizes, SMALLEST_ROWS)?;
        Some(files.split_off(start))
    }
}

/// An entity's newest event, by a file of heads: position and version.
pub(crate) fn head(file: &DirectoryFile, hash: [u64; 2]) -> Result<Option<(u64, u64)>> {
    let mut found = None;
    let [high, low] = hash;
    settled(
        file,
        file.find(high, |[_, other, position, version]| {
            found = Some((position, version)).filter(|_| other == low);
            found.is_some()
        }),
    )?;
    Ok(found)
}

/// Positions of events that may have an id, by a file of ids.
pub(crate) fn positions_of(file: &DirectoryFile, hash: u64) -> Result<Vec<u64>> {
    let mut found = Vec::new();
    settled(
        file,
        file.find(hash, |[_, position]| {
            found.push(position);
            false
        }),
    )?;
    Ok(found)
}

/// A file that turns out to be damaged is given up: whoever looks again passes over it.
fn settled(file: &DirectoryFile, result: Result<()>) -> Result<()> {
    if matches!(result, Err(Error::StaleIndex { .. })) {
        file.give_up();
    }
    result
}

/// Where a family's file for these positions is.
pub(crate) fn path(runs: &Path, family: Family, positions: &Range<u64>) -> PathBuf {
    runs.join(family.file_name(positions))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Fs, MemoryFs};

    fn directory(sizes: &[u64]) -> Directory {
        let fs: Arc<dyn Fs> = Arc::new(MemoryFs::default());
        let mut directory = Directory::default();
        let mut start = 0;
        for size in sizes {
            let positions = start..start + size;
            start = positions.end;
            let coverage = Coverage { positions, segment: 1, end: 0, last_frame_crc: 0 };
            let known = (coverage, *size as usize);
            let file = DirectoryFile::put_off(&fs, Path::new("f"), [0; 16], Family::Heads, known);
            directory.adopt(Arc::new(file.unwrap()));
        }
        directory
    }

    fn due(directory: &Directory, from: u64) -> Option<Range<u64>> {
        let files = directory.due(from)?;
        Some(files.first()?.positions().start..files.last()?.positions().end)
    }

    #[test]
    fn files_behind_those_that_are_being_merged_can_be_merged_without_them() {
        let directory = directory(&[50_000, 50_000, 50_000, 50_000, 2000, 2000, 2000, 2000]);
        assert_eq!(due(&directory, 200_000), Some(200_000..208_000));
        assert_eq!(due(&directory, 202_000), None);
    }
}
