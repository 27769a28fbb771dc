//! Mapped memory: the one module of the engine with `unsafe` code.
//!
//! Two rules make it sound. A file that is mapped is never truncated (the engine trims by punching
//! holes and removes by unlinking). And a reader gets slices only below the published limit, while
//! the writer stores only above it, so no byte that somebody can see through a reference changes.
#![expect(unsafe_code, reason = "this is the module that the rest of the engine is kept free of")]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::{MmapOptions, MmapRaw};

/// A read mapping of a file. Bytes become readable by [`Map::publish`].
#[derive(Debug)]
pub struct Map {
    raw: MmapRaw,
    published: AtomicUsize,
}

impl Map {
    /// Maps the whole file. An empty file cannot be mapped.
    pub(super) fn read_only(file: &File) -> io::Result<Self> {
        let raw = MmapOptions::new().map_raw_read_only(file)?;
        Ok(Self { raw, published: AtomicUsize::new(0) })
    }

    /// Declares that no byte below `limit` will change any more. The limit never goes back.
    pub(crate) fn publish(&self, limit: u64) {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(self.raw.len());
        self.published.fetch_max(limit, Ordering::Release);
    }

    /// The bytes of a range, if all of it is published.
    #[inline]
    pub(crate) fn get(&self, range: Range<usize>) -> Option<&[u8]> {
        let limit = self.published.load(Ordering::Acquire);
        if range.start > range.end || range.end > limit {
            return None;
        }
        // SAFETY: the range lies within the mapping, which lives as long as `self` and is never cut
        // short; bytes below the published limit are not written again.
        Some(unsafe { slice::from_raw_parts(self.raw.as_ptr().add(range.start), range.len()) })
    }
}

/// A shared mapping that the writer stores through.
#[derive(Debug)]
pub(super) struct WriteMap {
    raw: MmapRaw,
}

impl WriteMap {
    pub(super) fn new(file: &File) -> io::Result<Self> {
        Ok(Self { raw: MmapRaw::map_raw(file)? })
    }

    /// Copies bytes into the file's pages.
    pub(super) fn store(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        match start.checked_add(bytes.len()) {
            Some(end) if end <= self.raw.len() => {}
            _ => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "store past the mapping"));
            }
        }
        // SAFETY: the range lies within the mapping; its space is allocated, so the store cannot
        // fault; the engine has one writer, and readers hold no slice of unpublished bytes.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), self.raw.as_mut_ptr().add(start), bytes.len());
        }
        Ok(())
    }
}
