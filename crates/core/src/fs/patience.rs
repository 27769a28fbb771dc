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
const ACCESSES_PER_LOOK: u32 = 16;

/// What is left of a step's allowance.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    bytes: usize,
    started: Instant,
    moment: Moment,
    accesses: u32,
}

thread_local! {
    static ALLOWANCE: Cell<Option<Allowance>> = const { Cell::new(None) };
}

/// Gives the thread back its patience, also when the step panics.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        ALLOWANCE.set(None);
    }
}

/// Runs a step that must neither wait for the disk nor take long.
pub(crate) fn without_waiting<T>(step: impl FnOnce() -> Result<T>) -> Result<T> {
    let (started, moment) = (Instant::now(), Moment::now());
    ALLOWANCE.set(Some(Allowance { bytes: BYTES, started, moment, accesses: 0 }));
    let _restore = Restore;
    step()
}

/// When the current step began, on a thread that must not wait.
#[inline]
pub(super) fn impatient_since() -> Option<Moment> {
    ALLOWANCE.get().map(|allowance| allowance.moment)
}

/// Whether the thread must not wait.
pub(crate) fn is_impatient() -> bool {
    impatient_since().is_some()
}

/// Takes work on so many bytes from the allowance. Costs nothing on a patient thread.
#[inline]
pub(crate) fn spend(bytes: usize) -> Result<()> {
    match ALLOWANCE.get() {
        None => Ok(()),
        Some(allowance) => spend_of(allowance, bytes),
    }
}

fn spend_of(mut allowance: Allowance, bytes: usize) -> Result<()> {
    allowance.bytes = allowance.bytes.checked_sub(bytes).ok_or(Error::WouldWait)?;
    allowance.accesses += 1;
    let look = allowance.accesses.is_multiple_of(ACCESSES_PER_LOOK);
    if look && allowance.started.elapsed() > TIME {
        return Err(Error::WouldWait);
    }
    ALLOWANCE.set(Some(allowance));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patient_thread_may_do_anything() {
        assert!(spend(usize::MAX).is_ok());
        assert!(impatient_since().is_none());
    }

    #[test]
    fn an_impatient_step_ends_when_its_bytes_are_used_up_and_patience_comes_back() {
        let step = without_waiting(|| {
            spend(BYTES)?;
            assert!(impatient_since().is_some());
            spend(1)
        });
        assert!(matches!(step, Err(Error::WouldWait)));
        assert!(impatient_since().is_none());
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
