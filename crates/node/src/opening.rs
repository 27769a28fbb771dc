//! An opening that can be watched and given up.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use napi_derive::napi;
use parking_lot::Mutex;
use tetralog_core::{OpenProgress, Progress};

use crate::convert::open_progress_json;

/// What the opening thread and the JavaScript thread share.
#[derive(Debug, Default)]
pub struct Watched {
    progress: Mutex<Option<OpenProgress>>,
    cancelled: AtomicBool,
}

impl Progress for Watched {
    fn progress(&self, progress: OpenProgress) -> ControlFlow<()> {
        *self.progress.lock() = Some(progress);
        if self.cancelled.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// How far an opening is, and a way to give it up.
#[napi]
#[derive(Debug, Default)]
pub struct NativeOpening {
    watched: Arc<Watched>,
}

#[napi]
impl NativeOpening {
    #[napi(catch_unwind, constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Progress as JSON; null before there is any.
    #[napi(catch_unwind)]
    pub fn progress(&self) -> Option<String> {
        Some(open_progress_json((*self.watched.progress.lock())?).to_string())
    }

    /// Lets the opening fail as soon as it looks.
    #[napi(catch_unwind)]
    pub fn cancel(&self) {
        self.watched.cancelled.store(true, Ordering::Relaxed);
    }
}

impl NativeOpening {
    pub fn watched(&self) -> Arc<Watched> {
        Arc::clone(&self.watched)
    }
}
