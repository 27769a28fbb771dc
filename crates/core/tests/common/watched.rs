//! A file system in memory with somebody who is told of everything that is about to be done to it, and can
//! hold it up or let it fail.

use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tetralog_core::fs::{File, Fs, Kind, Map, MemoryFs, OpenMode};

/// Something that is done to a file or a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation<'a> {
    Open(OpenMode),
    Read {
        offset: u64,
        length: u64,
    },
    CreateDirectory,
    /// By the name that it gets.
    Rename,
    Remove,
    /// By a call or through a mapping.
    Write(&'a [u8]),
    Sync,
    Allocate,
}

impl Operation<'_> {
    /// Whether it changes what is on the disk.
    pub(crate) fn changes(self) -> bool {
        !matches!(
            self,
            Self::Open(OpenMode::Read | OpenMode::Write) | Self::Read { .. } | Self::Sync
        )
    }
}

/// Somebody who is told.
pub(crate) trait Watcher: Debug + Send + Sync {
    /// Called before an operation, which is not done if this fails.
    fn before(&self, path: &Path, operation: Operation<'_>) -> io::Result<()>;
}

/// The file system.
#[derive(Debug)]
pub(crate) struct WatchedFs<W> {
    pub(crate) inner: Arc<MemoryFs>,
    pub(crate) watcher: Arc<W>,
}

impl<W: Watcher> WatchedFs<W> {
    pub(crate) fn new(inner: Arc<MemoryFs>, watcher: W) -> Self {
        Self { inner, watcher: Arc::new(watcher) }
    }
}

impl<W: Watcher + 'static> Fs for WatchedFs<W> {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        self.watcher.before(path, Operation::Open(mode))?;
        let inner = self.inner.open(path, mode)?;
        let (path, watcher) = (path.to_owned(), Arc::clone(&self.watcher));
        Ok(Arc::new(WatchedFile { inner, path, watcher }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.watcher.before(path, Operation::CreateDirectory)?;
        self.inner.create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.inner.list(path)
    }

    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        self.inner.kind(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.watcher.before(to, Operation::Rename)?;
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.watcher.before(path, Operation::Remove)?;
        self.inner.remove(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Arc<dyn File>>> {
        self.inner.lock(path)
    }

    fn keeps_allocations(&self, path: &Path) -> bool {
        self.inner.keeps_allocations(path)
    }
}

#[derive(Debug)]
struct WatchedFile<W> {
    inner: Arc<dyn File>,
    path: PathBuf,
    watcher: Arc<W>,
}

impl<W: Watcher> WatchedFile<W> {
    fn before(&self, operation: Operation<'_>) -> io::Result<()> {
        self.watcher.before(&self.path, operation)
    }
}

impl<W: Watcher> File for WatchedFile<W> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.before(Operation::Read { offset, length: buffer.len() as u64 })?;
        self.inner.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.before(Operation::Write(bytes))?;
        self.inner.write_at(bytes, offset)
    }

    fn store(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.before(Operation::Write(bytes))?;
        self.inner.store(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.before(Operation::Sync)?;
        self.inner.sync()
    }

    fn length(&self) -> io::Result<u64> {
        self.inner.length()
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.before(Operation::Allocate)?;
        self.inner.allocate(length)
    }

    fn release(&self, range: Range<u64>) -> io::Result<()> {
        self.inner.release(range)
    }

    fn map(&self) -> io::Result<Option<Map>> {
        self.inner.map()
    }
}
