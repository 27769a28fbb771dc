//! Sorting more rows than memory should hold: sorted chunks go to a temporary file and are merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{AtPath, Result};
use crate::fs::{File, Fs, OpenMode, read_exact_at};

/// Bytes of rows in memory, while they are collected and while they are merged.
const MEMORY: usize = 4 << 20;

/// Collects rows of `W` words; gives them back in ascending order.
#[derive(Debug)]
pub(super) struct Sorter<'a, const W: usize> {
    fs: &'a dyn Fs,
    path: PathBuf,
    rows: Vec<[u64; W]>,
    spill: Option<Arc<dyn File>>,
    /// Where each chunk of the temporary file ends.
    ends: Vec<u64>,
}

impl<'a, const W: usize> Sorter<'a, W> {
    /// `path` names the temporary file, which is made only if it is needed.
    pub(super) fn new(fs: &'a dyn Fs, path: &Path) -> Self {
        Self { fs, path: path.to_owned(), rows: Vec::new(), spill: None, ends: Vec::new() }
    }

    pub(super) fn push(&mut self, row: [u64; W]) -> Result<()> {
        self.rows.push(row);
        if self.rows.len() * W * 8 >= MEMORY { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<()> {
        self.rows.sort_unstable();
        let file = if let Some(file) = &self.spill {
            Arc::clone(file)
        } else {
            let file = self.fs.open(&self.path, OpenMode::Create).at(&self.path)?;
            Arc::clone(self.spill.insert(file))
        };
        let start = self.ends.last().copied().unwrap_or(0);
        let bytes: Vec<u8> =
            self.rows.iter().flatten().flat_map(|word| word.to_le_bytes()).collect();
        file.write_at(&bytes, start).at(&self.path)?;
        self.ends.push(start + bytes.len() as u64);
        self.rows.clear();
        Ok(())
    }

    /// Hands the rows over in order.
    pub(super) fn drain(mut self, mut each: impl FnMut([u64; W]) -> Result<()>) -> Result<()> {
        if self.ends.is_empty() {
            self.rows.sort_unstable();
            return self.rows.iter().try_for_each(|row| each(*row));
        }
        self.spill()?;
        self.rows = Vec::new();
        let Some(file) = self.spill.clone() else { return Ok(()) };
        let room = (MEMORY / self.ends.len() / (W * 8)).max(16) * W * 8;
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        let mut chunks: Vec<Chunk<W>> = starts
            .zip(&self.ends)
            .map(|(at, end)| Chunk { rows: Vec::new().into_iter(), at, end: *end })
            .collect();
        let mut heap = BinaryHeap::new();
        for (nth, chunk) in chunks.iter_mut().enumerate() {
            heap.extend(chunk.next(&*file, room, &self.path)?.map(|row| Reverse((row, nth))));
        }
        while let Some(Reverse((row, nth))) = heap.pop() {
            each(row)?;
            if let Some(chunk) = chunks.get_mut(nth) {
                heap.extend(chunk.next(&*file, room, &self.path)?.map(|row| Reverse((row, nth))));
            }
        }
        Ok(())
    }
}

impl<const W: usize> Drop for Sorter<'_, W> {
    fn drop(&mut self) {
        if self.spill.is_some() {
            let _ = self.fs.remove(&self.path);
        }
    }
}

/// What is left of a sorted chunk.
struct Chunk<const W: usize> {
    rows: std::vec::IntoIter<[u64; W]>,
    at: u64,
    end: u64,
}

impl<const W: usize> Chunk<W> {
    fn next(&mut self, file: &dyn File, room: usize, path: &Path) -> Result<Option<[u64; W]>> {
        if self.rows.len() == 0 && self.at < self.end {
            let mut bytes = vec![0; room.min((self.end - self.at) as usize)];
            read_exact_at(file, &mut bytes, self.at).at(path)?;
            self.at += bytes.len() as u64;
            let row = |bytes: &[u8]| std::array::from_fn(|n| crate::codec::u64_at(bytes, n * 8));
            self.rows = bytes.chunks_exact(W * 8).map(row).collect::<Vec<_>>().into_iter();
        }
        Ok(self.rows.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::MemoryFs;

    #[test]
    fn rows_come_back_in_order_however_many_there_are() {
        let fs = MemoryFs::default();
        let path = Path::new("/spill");
        for count in [0, 10, MEMORY as u64 / 16, MEMORY as u64 / 16 * 3 + 7] {
            let mut sorter = Sorter::<2>::new(&fs, path);
            for n in 0..count {
                sorter.push([n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n]).unwrap();
            }
            let (mut seen, mut last) = (0, [0, 0]);
            sorter
                .drain(|row| {
                    assert!(row >= last);
                    assert_eq!(row[0], row[1].wrapping_mul(0x9e37_79b9_7f4a_7c15));
                    (seen, last) = (seen + 1, row);
                    Ok(())
                })
                .unwrap();
            assert_eq!(seen, count);
            assert!(fs.kind(path).unwrap().is_none(), "nothing is left behind");
        }
    }
}
