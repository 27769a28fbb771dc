//! Giving up in the middle of a step.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};
use crate::fs::patience;
use crate::progress::{OpenProgress, Progress};

/// Whether a read still has to be gone on with. Long loops ask now and then.
#[derive(Debug, Clone, Default)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Makes the step that runs, and all later ones, give up.
    pub(super) fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Fails if the read was cancelled, or if this thread has other things to do.
    pub(super) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            // Nobody hears it: who cancels a read does not wait for it.
            return Err(Error::Closed);
        }
        patience::spend(0)
    }
}

/// An index that is built again for a read is given up with it.
impl Progress for Interrupt {
    fn progress(&self, _progress: OpenProgress) -> ControlFlow<()> {
        if self.check().is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}
