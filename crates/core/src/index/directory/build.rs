//! Making files of the directory: from a part, or from neighbouring files.

use std::path::Path;
use std::sync::Arc;

use super::file::DirectoryWriter;
use super::{Coverage, DirectoryFile, Family, path};
use crate::codec::u64_at;
use crate::error::Result;
use crate::fs::Fs;
use crate::index::IndexFile;
use crate::index::blocks::beside;
use crate::index::hash::name_hash;
use crate::index::sorter::Sorter;

/// Rows between two calls of the pace.
const PACE_ROWS: usize = 1 << 14;

/// Called now and then during long work: does what is more urgent meanwhile. An error gives the work up.
pub(crate) type Pace<'a> = &'a mut dyn FnMut() -> Result<()>;

/// Writes the file of a family that covers a part, and opens it.
pub(crate) fn from_part(
    fs: &dyn Fs,
    runs: &Path,
    family: Family,
    part: &IndexFile,
    pace: Pace<'_>,
) -> Result<Option<DirectoryFile>> {
    let header = &part.segment().header;
    let positions = part.base()..part.base() + u64::from(part.count());
    let path = path(runs, family, &positions);
    let mut writer =
        DirectoryWriter::create(fs, &path, header.store_id, family, positions.clone())?;
    match family {
        Family::Heads => {
            let mut sorter = Sorter::<4>::new(fs, &beside(&path, "sort"));
            part.each_entity(|name, last_version, last_local| {
                let [high, low] = name_hash(header.store_id, name);
                sorter.push([high, low, part.base() + u64::from(last_local), last_version])
            })?;
            let mut rows = 0;
            sorter.drain(|row| {
                paced(&mut rows, pace)?;
                writer.push(row)
            })?;
        }
        Family::Ids => {
            let mut rows = 0;
            for nth in 0..part.id_count()? {
                let (hash, local) = part.id_row(nth)?;
                paced(&mut rows, pace)?;
                writer.push([hash, part.base() + u64::from(local)])?;
            }
        }
    }
    writer.finish(&Coverage::new(positions.clone(), header.number, part.extent()))?;
    Ok(DirectoryFile::open(fs, &path, header.store_id, family, positions))
}

fn paced(rows: &mut usize, pace: Pace<'_>) -> Result<()> {
    *rows += 1;
    if rows.is_multiple_of(PACE_ROWS) { pace() } else { Ok(()) }
}

/// Merges neighbouring files, oldest first, into one, and opens it.
pub(crate) fn merge(
    fs: &dyn Fs,
    runs: &Path,
    store_id: [u8; 16],
    family: Family,
    files: &[Arc<DirectoryFile>],
    pace: Pace<'_>,
) -> Result<Option<DirectoryFile>> {
    let (Some(first), Some(last)) = (files.first(), files.last()) else { return Ok(None) };
    let positions = first.positions().start..last.positions().end;
    let path = path(runs, family, &positions);
    let mut writer = DirectoryWriter::create(fs, &path, store_id, family, positions.clone())?;
    let merged = match family {
        Family::Heads => merge_rows::<4>(files, &mut writer, pace),
        Family::Ids => merge_rows::<2>(files, &mut writer, pace),
    };
    merged?;
    writer.finish(&Coverage { positions: positions.clone(), ..last.coverage().clone() })?;
    Ok(DirectoryFile::open(fs, &path, store_id, family, positions))
}

/// The next row of a file that is being merged.
struct Cursor<'a, const W: usize> {
    file: &'a DirectoryFile,
    /// The block that comes next, and the rows left of the one before it.
    block: usize,
    rows: &'a [u8],
    row: Option<[u64; W]>,
}

impl<'a, const W: usize> Cursor<'a, W> {
    fn new(file: &'a DirectoryFile) -> Self {
        Self { file, block: 0, rows: &[], row: None }
    }

    fn read(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            self.rows = self.file.rows(self.block).inspect_err(|_| self.file.give_up())?;
            self.block += 1;
        }
        self.row = self.rows.split_at_checked(W * 8).map(|(row, rest)| {
            self.rows = rest;
            std::array::from_fn(|word| u64_at(row, word * 8))
        });
        Ok(())
    }

    /// The first two words of a row order it, and say what it is about.
    fn key(&self) -> Option<(u64, u64)> {
        let row = self.row.as_ref()?;
        Some((row.first().copied()?, row.get(1).copied()?))
    }
}

fn merge_rows<const W: usize>(
    files: &[Arc<DirectoryFile>],
    writer: &mut DirectoryWriter<'_>,
    pace: Pace<'_>,
) -> Result<()> {
    // Newest first: of equal keys the first found is the newest.
    let mut cursors: Vec<Cursor<'_, W>> =
        files.iter().rev().map(|file| Cursor::new(file)).collect();
    cursors.iter_mut().try_for_each(Cursor::read)?;
    let mut rows = 0;
    while let Some(next) = cursors.iter().filter_map(Cursor::key).min() {
        let mut newest = None;
        for cursor in cursors.iter_mut().filter(|cursor| cursor.key() == Some(next)) {
            newest = newest.or(cursor.row);
            cursor.read()?;
        }
        newest.into_iter().try_for_each(|row| writer.push(row))?;
        paced(&mut rows, pace)?;
    }
    Ok(())
}
