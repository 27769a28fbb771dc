//! A file system that stops working after some changes, as under a process that is killed.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tetralog_core::fs::{Fs, MemoryFs};

use super::watched::{Operation, WatchedFs, Watcher};

/// Changes that are made yet.
#[derive(Debug)]
struct Left(AtomicU64);

impl Watcher for Left {
    fn before(&self, _path: &Path, operation: Operation<'_>) -> io::Result<()> {
        if !operation.changes() {
            return Ok(());
        }
        let one_less = |left: u64| left.checked_sub(1);
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) {
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::other("stopped")),
        }
    }
}

/// Stops after so many changes.
pub(crate) fn stopping(fs: &Arc<MemoryFs>, changes: u64) -> Arc<dyn Fs> {
    Arc::new(WatchedFs::new(Arc::clone(fs), Left(AtomicU64::new(changes))))
}
