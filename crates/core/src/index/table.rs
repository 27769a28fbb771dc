//! A sorted table of names in a derived file: entries one after the other, the place of every
//! sixteenth, and a hash table. A name is found by its hash in two blocks; those with a prefix stand
//! together.

use std::ops::Range;
use std::path::Path;

use super::blocks::{BlockWriter, Blocks};
use super::hash::{first_from, name_hash};
use super::sorter::Sorter;
use crate::codec::{Reader, put_varint, u32_at, u64_at};
use crate::error::{Error, Result};
use crate::fs::Fs;

/// Entries between two whose places are kept.
const RESTART: usize = 16;
/// Bytes of an entry's two lengths at most.
const LENGTHS_MAX: usize = 10;

/// Where a table stands in the file's body.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    pub(super) entries: Range<usize>,
    pub(super) restarts: Range<usize>,
    pub(super) slots: Range<usize>,
}

/// A name and its value.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    /// Place of the entry within the table.
    pub(super) at: u32,
}

/// A table of an open file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'a> {
    blocks: &'a Blocks,
    place: &'a Place,
    store_id: [u8; 16],
}

impl<'a> Table<'a> {
    pub(super) fn new(blocks: &'a Blocks, place: &'a Place, store_id: [u8; 16]) -> Self {
        Self { blocks, place, store_id }
    }

    /// The entry at a place, and the place behind it.
    fn entry(&self, at: usize) -> Result<(Entry<'a>, usize)> {
        let start = self.place.entries.start + at;
        let lengths = start..(start + LENGTHS_MAX).min(self.place.entries.end);
        let damaged = || self.blocks.damaged();
        let mut reader = Reader::new(self.blocks.get(lengths.clone())?);
        let name_length = reader.varint().ok_or_else(damaged)? as usize;
        let value_length = reader.varint().ok_or_else(damaged)? as usize;
        let name = lengths.end - reader.remaining();
        let value = name.checked_add(name_length).ok_or_else(damaged)?;
        let end = value.checked_add(value_length).ok_or_else(damaged)?;
        if end > self.place.entries.end {
            return Err(damaged());
        }
        let both = self.blocks.get(name..end)?;
        let (name, value) = both.split_at_checked(name_length).ok_or_else(damaged)?;
        Ok((Entry { name, value, at: at as u32 }, end - self.place.entries.start))
    }

    /// The entry that was found at a place before.
    pub(super) fn at(&self, at: u32) -> Result<Entry<'a>> {
        self.entry(at as usize).map(|(entry, _)| entry)
    }

    /// The entry of a name.
    pub(super) fn exact(&self, name: &[u8]) -> Result<Option<Entry<'a>>> {
        let count = self.place.slots.len() / 8;
        let fingerprint = fingerprint(self.store_id, name);
        let slot = |nth: usize| {
            let at = self.place.slots.start + nth * 8;
            Ok(u64_at(self.blocks.get(at..at + 8)?, 0))
        };
        for nth in first_from(count, fingerprint, slot)?..count {
            let slot = slot(nth)?;
            if slot & FINGERPRINT != fingerprint {
                break;
            }
            let (entry, _) = self.entry((slot & !FINGERPRINT) as usize)?;
            if entry.name == name {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// The entries from the first that is not below `name`, in order.
    pub(super) fn from(&self, name: &[u8]) -> Result<Cursor<'a>> {
        let restart = |nth: usize| -> Result<usize> {
            let at = self.place.restarts.start + nth * 4;
            Ok(u32_at(self.blocks.get(at..at + 4)?, 0) as usize)
        };
        let (mut low, mut high) = (0, self.place.restarts.len() / 4);
        while low < high {
            let middle = low.midpoint(high);
            if self.entry(restart(middle)?)?.0.name < name {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let mut at = low.checked_sub(1).map_or(Ok(0), restart)?;
        while at < self.place.entries.len() {
            let (entry, next) = self.entry(at)?;
            if entry.name >= name {
                break;
            }
            at = next;
        }
        Ok(Cursor { table: *self, at })
    }

    /// All entries, in order.
    pub(super) fn all(&self) -> Cursor<'a> {
        Cursor { table: *self, at: 0 }
    }
}

/// Goes through a table in order.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    table: Table<'a>,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn next(&mut self) -> Result<Option<Entry<'a>>> {
        if self.at >= self.table.place.entries.len() {
            return Ok(None);
        }
        let (entry, next) = self.table.entry(self.at)?;
        self.at = next;
        Ok(Some(entry))
    }
}

/// The half of a slot that is the name's; the other half is the entry's place.
const FINGERPRINT: u64 = 0xffff_ffff_0000_0000;

fn fingerprint(store_id: [u8; 16], name: &[u8]) -> u64 {
    let [hash, _] = name_hash(store_id, name);
    hash & FINGERPRINT
}

/// Writes a table, entry by entry. Memory is four bytes for every sixteenth entry.
#[derive(Debug)]
pub(super) struct TableWriter<'a> {
    store_id: [u8; 16],
    start: usize,
    count: usize,
    restarts: Vec<u32>,
    slots: Sorter<'a, 1>,
    lengths: Vec<u8>,
}

impl<'a> TableWriter<'a> {
    /// Begins a table where `out` stands. `spill` names a temporary file.
    pub(super) fn new(
        fs: &'a dyn Fs,
        spill: &Path,
        store_id: [u8; 16],
        out: &BlockWriter<'_>,
    ) -> Self {
        Self {
            store_id,
            start: out.position(),
            count: 0,
            restarts: Vec::new(),
            slots: Sorter::new(fs, spill),
            lengths: Vec::new(),
        }
    }

    /// Adds the next name, which is above the one before.
    pub(super) fn push(
        &mut self,
        out: &mut BlockWriter<'_>,
        name: &[u8],
        value: &[u8],
    ) -> Result<()> {
        let at = u32::try_from(out.position() - self.start).map_err(|_| too_large(out))?;
        if self.count.is_multiple_of(RESTART) {
            self.restarts.push(at);
        }
        self.count += 1;
        self.slots.push([fingerprint(self.store_id, name) | u64::from(at)])?;
        self.lengths.clear();
        put_varint(&mut self.lengths, name.len() as u64);
        put_varint(&mut self.lengths, value.len() as u64);
        out.push(&self.lengths)?;
        out.push(name)?;
        out.push(value)
    }

    pub(super) fn finish(self, out: &mut BlockWriter<'_>) -> Result<Place> {
        let entries = self.start..out.position();
        out.pad(8)?;
        let restarts = out.position();
        self.restarts.iter().try_for_each(|at| out.push(&at.to_le_bytes()))?;
        let restarts = restarts..out.position();
        out.pad(8)?;
        let slots = out.position();
        self.slots.drain(|[slot]| out.push(&slot.to_le_bytes()))?;
        Ok(Place { entries, restarts, slots: slots..out.position() })
    }
}

/// No segment of the log is large enough for this; no index is better than a wrong one.
fn too_large(out: &BlockWriter<'_>) -> Error {
    Error::format(out.path(), "the index would be too large")
}
