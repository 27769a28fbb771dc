//! A file system that stops working after some changes, as under a process that is killed.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tetralog_core::fs::{File, Fs, Kind, Map, MemoryFs, OpenMode};

/// Changes that are made yet.
#[derive(Debug)]
struct Left(AtomicU64);

impl Left {
    fn take(&self) -> io::Result<()> {
        let one_less = |left: u64| left.checked_sub(1);
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) {
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::other("stopped")),
        }
    }
}

#[derive(Debug)]
pub(crate) struct StoppingFs {
    fs: Arc<MemoryFs>,
    left: Arc<Left>,
}

impl StoppingFs {
    /// Stops after so many changes.
    pub(crate) fn new(fs: Arc<MemoryFs>, changes: u64) -> Self {
        Self { fs, left: Arc::new(Left(AtomicU64::new(changes))) }
    }
}

impl Fs for StoppingFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        if mode == OpenMode::Create {
            self.left.take()?;
        }
        let file = self.fs.open(path, mode)?;
        Ok(Arc::new(Stopping { file, left: Arc::clone(&self.left) }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.left.take()?;
        self.fs.create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.fs.list(path)
    }

    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        self.fs.kind(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.left.take()?;
        self.fs.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.left.take()?;
        self.fs.remove(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.fs.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Arc<dyn File>>> {
        self.fs.lock(path)
    }

    fn keeps_allocations(&self, path: &Path) -> bool {
        self.fs.keeps_allocations(path)
    }
}

#[derive(Debug)]
struct Stopping {
    file: Arc<dyn File>,
    left: Arc<Left>,
}

impl File for Stopping {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.left.take()?;
        self.file.write_at(bytes, offset)
    }

    fn store(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.left.take()?;
        self.file.store(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.left.take()?;
        self.file.allocate(length)
    }

    fn release(&self, range: Range<u64>) -> io::Result<()> {
        self.file.release(range)
    }

    fn map(&self) -> io::Result<Option<Map>> {
        self.file.map()
    }
}
