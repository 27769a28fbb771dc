//! Which pages of a mapping are in memory, as the kernel said lately. Asking costs a system call, so
//! the answer for a window of pages is kept for a second: pages in use are not evicted that soon, and
//! one that is nevertheless costs a page fault, not a wrong answer.

use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

/// Pages of a window: the bits of its word.
const WINDOW_PAGES: usize = 64;

/// The second in which something happens, counted from 1. Answers are believed until it has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment(u32);

impl Moment {
    pub(crate) fn now() -> Self {
        Self::with_instant().0
    }

    /// The current moment, and the instant that it was taken from.
    pub(super) fn with_instant() -> (Self, Instant) {
        static START: OnceLock<Instant> = OnceLock::new();
        let now = Instant::now();
        let passed = now.saturating_duration_since(*START.get_or_init(|| now));
        (Self(passed.as_secs() as u32 + 1), now)
    }
}

/// Whether the kernel tells this process which pages of a file are in memory: it tells whoever owns the
/// file or may write it, and says to others that all are.
pub(crate) fn is_told(file: &Path) -> bool {
    use rustix::fs::{Access, AtFlags, CWD, accessat, stat};
    accessat(CWD, file, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
        || stat(file).is_ok_and(|stat| stat.st_uid == rustix::process::geteuid().as_raw())
}

/// What is known of a window: a bit for each page that was in memory, and when that was asked.
#[derive(Debug, Default)]
struct Window {
    pages: AtomicU64,
    /// Moment of the answer; 0 if there is none.
    asked: AtomicU32,
}

/// The windows of a mapping.
#[derive(Debug)]
pub(super) struct Residency {
    /// Bytes of a page, as a power of two.
    page_bits: u32,
    windows: Box<[Window]>,
}

impl Residency {
    pub(super) fn new(length: usize) -> Self {
        let page = rustix::param::page_size();
        let count = length.div_ceil(page * WINDOW_PAGES);
        let windows = (0..count).map(|_| Window::default()).collect();
        Self { page_bits: page.trailing_zeros(), windows }
    }

    /// Whether all pages of a range of bytes are in memory. `ask` fills in a byte for each page from
    /// one on, whose lowest bit says so.
    pub(super) fn holds(
        &self,
        range: &Range<usize>,
        now: Moment,
        ask: impl Fn(usize, &mut [u8; WINDOW_PAGES]) -> bool,
    ) -> bool {
        let last = range.end.saturating_sub(1) >> self.page_bits;
        let mut page = range.start >> self.page_bits;
        while page <= last {
            let window = page / WINDOW_PAGES;
            let next = (window + 1) * WINDOW_PAGES;
            let wanted = bits(page % WINDOW_PAGES, last.min(next - 1) % WINDOW_PAGES);
            if !self.window_holds(window, wanted, now, &ask) {
                return false;
            }
            page = next;
        }
        true
    }

    fn window_holds(
        &self,
        nth: usize,
        wanted: u64,
        now: Moment,
        ask: &impl Fn(usize, &mut [u8; WINDOW_PAGES]) -> bool,
    ) -> bool {
        let Some(window) = self.windows.get(nth) else {
            return false;
        };
        let known = window.asked.load(Ordering::Acquire) == now.0;
        if known && window.pages.load(Ordering::Relaxed) & wanted == wanted {
            return true;
        }
        // What was missing may have been read since: asking is cheaper than what a miss leads to.
        let mut answer = [0; WINDOW_PAGES];
        if !ask(nth * WINDOW_PAGES, &mut answer) {
            return false;
        }
        let pages = answer.iter().rev().fold(0, |word, byte| word << 1 | u64::from(byte & 1));
        window.pages.store(pages, Ordering::Relaxed);
        window.asked.store(now.0, Ordering::Release);
        pages & wanted == wanted
    }
}

/// The bits from `first` to `last`.
fn bits(first: usize, last: usize) -> u64 {
    (u64::MAX << first) & (u64::MAX >> (WINDOW_PAGES - 1 - last))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn bits_are_inclusive() {
        assert_eq!(bits(0, 63), u64::MAX);
        assert_eq!(bits(0, 0), 1);
        assert_eq!(bits(2, 4), 0b11100);
    }

    #[test]
    fn a_window_is_asked_about_once_until_a_page_is_missing_or_the_answer_is_old() {
        let residency = Residency::new(1 << 20);
        let page = 1 << residency.page_bits;
        let asked = Cell::new(0);
        let ask = |first: usize, answer: &mut [u8; WINDOW_PAGES]| {
            asked.set(asked.get() + 1);
            for (nth, byte) in answer.iter_mut().enumerate() {
                *byte = u8::from(first + nth != 3);
            }
            true
        };
        let now = Moment(1);
        let later = Moment(2);
        assert!(residency.holds(&(0..page * 3), now, ask));
        assert!(residency.holds(&(page..page + 1), now, ask));
        assert_eq!(asked.get(), 1);
        assert!(!residency.holds(&(page * 2..page * 3 + 1), now, ask));
        assert_eq!(asked.get(), 2);
        assert!(residency.holds(&(0..page), later, ask));
        assert_eq!(asked.get(), 3);
        assert!(residency.holds(&(page * 60..page * 70), later, ask));
        assert_eq!(asked.get(), 4);
    }
}
