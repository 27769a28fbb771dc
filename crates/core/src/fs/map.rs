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
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::{Advice, MmapOptions, MmapRaw};

use super::patience;
use super::residency::{Moment, Residency};
use crate::error::{Error, Result};

/// Bytes that the processor fetches at once.
#[cfg(target_arch = "x86_64")]
const CACHE_LINE: usize = 64;

/// A read mapping of a file. Bytes become readable by [`Map::publish`].
#[derive(Debug)]
pub struct Map {
    raw: MmapRaw,
    published: AtomicUsize,
    residency: OnceLock<Residency>,
}

impl Map {
    /// Maps a whole file of this length. An empty file cannot be mapped.
    pub(super) fn read_only(file: &File, length: usize) -> io::Result<Self> {
        let raw = MmapOptions::new().len(length).map_raw_read_only(file)?;
        // Most reads are of single records, and whoever reads on says so by `ask_ahead`: without this a
        // fault would read 128 KiB. Only advice: where it is not taken, reads are slower.
        let _ = raw.advise(Advice::Random);
        Ok(Self { raw, published: AtomicUsize::new(0), residency: OnceLock::new() })
    }

    /// Fails with `WouldWait` if this thread must not wait, and touching a range could make it.
    #[inline]
    pub(crate) fn at_hand(&self, range: &Range<usize>) -> Result<()> {
        self.for_work(range, 0)
    }

    /// As [`Map::at_hand`], for a thread that is about to work through the range.
    #[inline]
    pub(crate) fn ready(&self, range: &Range<usize>) -> Result<()> {
        self.for_work(range, range.len())
    }

    #[inline]
    fn for_work(&self, range: &Range<usize>, bytes: usize) -> Result<()> {
        match patience::access(bytes)? {
            Some(now) if !self.is_resident(range, now) => Err(Error::WouldWait),
            _ => Ok(()),
        }
    }

    /// Starts reading a range that will be touched soon, without waiting for it.
    pub(crate) fn ask_ahead(&self, range: Range<usize>, now: Moment) {
        let range = range.start..range.end.min(self.published.load(Ordering::Acquire));
        if range.start < range.end && !self.is_resident(&range, now) {
            // Only advice, as above.
            let _ = self.raw.advise_range(Advice::WillNeed, range.start, range.len());
        }
    }

    /// Asks for a range that will be touched soon: the memory, or if `may_wait`, the disk.
    #[inline]
    pub(crate) fn warm(&self, range: Range<usize>, now: Moment, may_wait: bool) {
        self.prefetch(&range);
        if may_wait {
            self.ask_ahead(range, now);
        }
    }

    /// Starts bringing a range from memory into the processor's cache. Does nothing for pages that are not
    /// mapped, nor on processors without such an instruction that Rust offers.
    #[inline]
    pub(crate) fn prefetch(&self, range: &Range<usize>) {
        #[cfg(target_arch = "x86_64")]
        if range.end <= self.raw.len() {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            for at in range.clone().step_by(CACHE_LINE) {
                // SAFETY: the address lies within the mapping; a prefetch reads nothing that could be
                // seen, and never faults.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(self.raw.as_ptr().add(at).cast()) };
            }
        }
    }

    /// Whether a range was in memory when it was last asked about, at most a second before `now`.
    fn is_resident(&self, range: &Range<usize>, now: Moment) -> bool {
        let residency = self.residency.get_or_init(|| Residency::new(self.raw.len()));
        residency.holds(range, now, |first_page, answer| {
            let page = rustix::param::page_size();
            let start = first_page * page;
            let length = self.raw.len().saturating_sub(start).min(answer.len() * page);
            // SAFETY: the range lies within the mapping, and `answer` has a byte for each of its pages.
            let status = unsafe {
                let address = self.raw.as_mut_ptr().add(start.min(self.raw.len()));
                libc::mincore(address.cast(), length, answer.as_mut_ptr().cast())
            };
            status == 0
        })
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
