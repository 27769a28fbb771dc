//! What is about to be submitted: whoever submits may say that more follows at once. A group that is to be
//! synced is worth keeping open for that, because what comes too late waits for a whole sync.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a group is kept open for what is announced: about as long as many callers take to make
/// their next appends, and no longer than a fast device syncs.
const PATIENCE: Duration = Duration::from_micros(150);

/// After waiting in vain for the n-th time in a row, 2^n groups are not kept open; at most 2^this.
const MOST_DOUBLINGS: u32 = 6;

/// Whether more is announced, and whether such announcements came true lately.
#[derive(Debug, Default)]
pub(super) struct Announced {
    more: AtomicBool,
    disappointments: AtomicU32,
    skipped: AtomicU32,
}

impl Announced {
    pub(super) fn set(&self, more: bool) {
        self.more.store(more, Ordering::Release);
    }

    pub(super) fn is_set(&self) -> bool {
        self.more.load(Ordering::Acquire)
    }

    /// Whether it makes sense to wait now.
    pub(super) fn is_credible(&self) -> bool {
        if !self.is_set() {
            return false;
        }
        let left = self.skipped.load(Ordering::Relaxed);
        self.skipped.store(left.saturating_sub(1), Ordering::Relaxed);
        left == 0
    }

    /// Waits, without sleeping, until something has come or nothing is announced any more.
    pub(super) fn wait(&self, has_come: impl Fn() -> bool) {
        let until = Instant::now() + PATIENCE;
        while self.is_set() && !has_come() {
            if Instant::now() >= until {
                self.more.store(false, Ordering::Relaxed);
                let doublings = self.disappointments.load(Ordering::Relaxed).min(MOST_DOUBLINGS);
                self.disappointments.store(doublings + 1, Ordering::Relaxed);
                self.skipped.store(1 << doublings, Ordering::Relaxed);
                return;
            }
            std::thread::yield_now();
        }
        self.disappointments.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_announces_in_vain_is_believed_less_and_less() {
        let announced = Announced::default();
        let mut waited = 0;
        for _ in 0..1000 {
            announced.set(true);
            if announced.is_credible() {
                announced.wait(|| false);
                waited += 1;
            }
        }
        assert!((2..30).contains(&waited), "{waited} of 1000");
    }

    #[test]
    fn who_keeps_their_word_is_believed_again() {
        let announced = Announced::default();
        announced.set(true);
        announced.wait(|| false);
        announced.set(true);
        assert!(!announced.is_credible());
        assert!(announced.is_credible());
        announced.wait(|| true);
        for _ in 0..10 {
            announced.set(true);
            assert!(announced.is_credible());
        }
        announced.set(false);
        assert!(!announced.is_credible());
    }
}
