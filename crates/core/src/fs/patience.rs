//! Whether the current thread may wait for the disk, and how long it may work.
//!
//! A thread with other duties (the JavaScript thread) runs a step inside [`without_waiting`]. Whatever
//! is about to touch mapped bytes asks [`super::Map::at_hand`] first, and gets [`Error::WouldWait`] where
//! the bytes are not in memory, or the allowance of the step is used up; the step ends there and is
//! taken again on a thread that may wait. Patient threads pay one look at a thread-local.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::residency::Moment;
use crate::error::{Error, Result};

/// Bytes of log and index that an impatient step may work on.
const BYTES: usize = 256 << 10;
/// How long it may take. Twice as long would be noticed in an event loop.
const TIME: Duration = Duration::from_millis(1);
/// The time is looked at once in so many accesses.
const ACCESSES_PER_LOOK: u32 = 32;

/// What is left of a step's allowance. In cells, because every access takes from it.
#[derive(Debug)]
struct Allowance {
    /// When the step began; `None` on a patient thread.
    since: Cell<Option<(Moment, Instant)>>,
    bytes: Cell<usize>,
    accesses: Cell<u32>,
}

thread_local! {
    static ALLOWANCE: Allowance = const {
        Allowance { since: Cell::new(None), bytes: Cell::new(0), accesses: Cell::new(0) }
    };
}

/// Gives the thread back its patience, also when the step panics.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        ALLOWANCE.with(|allowance| allowance.since.set(None));
    }
}

/// Runs a step that must neither wait for the disk nor take long.
pub(crate) fn without_waiting<T>(step: impl FnOnce() -> Result<T>) -> Result<T> {
    ALLOWANCE.with(|allowance| {
        allowance.since.set(Some(Moment::with_instant()));
        allowance.bytes.set(BYTES);
        allowance.accesses.set(0);
    });
    let _restore = Restore;
    step()
}

/// Runs a part of an impatient step that must not end half-way: what it takes on has to be known to be little.
pub(crate) fn to_the_end<T>(part: impl FnOnce() -> T) -> T {
    struct Resume(Option<(Moment, Instant)>);
    impl Drop for Resume {
        fn drop(&mut self) {
            ALLOWANCE.with(|allowance| allowance.since.set(self.0));
        }
    }
    let _resume = Resume(ALLOWANCE.with(|allowance| allowance.since.take()));
    part()
}

/// Whether the thread must not wait.
pub(crate) fn is_impatient() -> bool {
    ALLOWANCE.with(|allowance| allowance.since.get().is_some())
}

/// Takes work on so many bytes from the allowance. Costs nothing on a patient thread.
#[inline]
pub(crate) fn spend(bytes: usize) -> Result<()> {
    access(bytes).map(|_| ())
}

/// As [`spend`]; gives when the current step began, on a thread that must not wait.
#[inline]
pub(super) fn access(bytes: usize) -> Result<Option<Moment>> {
    ALLOWANCE.with(|allowance| match allowance.since.get() {
        None => Ok(None),
        Some((moment, started)) => allowance.take(bytes, started).map(|()| Some(moment)),
    })
}

impl Allowance {
    #[inline]
    fn take(&self, bytes: usize, started: Instant) -> Result<()> {
        let accesses = self.accesses.get().wrapping_add(1);
        self.accesses.set(accesses);
        let look = accesses.is_multiple_of(ACCESSES_PER_LOOK);
        match self.bytes.get().checked_sub(bytes) {
            Some(left) if !look || started.elapsed() <= TIME => {
                self.bytes.set(left);
                Ok(())
            }
            _ => Err(Error::WouldWait),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patient_thread_may_do_anything() {
        assert!(spend(usize::MAX).is_ok());
        assert!(!is_impatient());
    }

    #[test]
    fn an_impatient_step_ends_when_its_bytes_are_used_up_and_patience_comes_back() {
        let step = without_waiting(|| {
            spend(BYTES)?;
            assert!(is_impatient());
            spend(1)
        });
        assert!(matches!(step, Err(Error::WouldWait)));
        assert!(!is_impatient());
    }

    #[test]
    fn an_impatient_step_ends_when_its_time_is_used_up() {
        let step = without_waiting(|| {
            loop {
                spend(0)?;
            }
        });
        assert!(matches!(step, Err::<(), _>(Error::WouldWait)));
    }
}
