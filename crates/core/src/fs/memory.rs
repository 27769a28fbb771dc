//! A file system in memory: the same engine, nothing on disk. What is dropped is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};

use super::{File, Fs, Kind, Map, OpenMode};

/// A file system in memory.
#[derive(Debug, Default)]
pub struct MemoryFs {
    tree: Mutex<Tree>,
}

#[derive(Debug, Default)]
struct Tree {
    files: BTreeMap<PathBuf, Arc<MemoryFile>>,
    directories: BTreeSet<PathBuf>,
}

impl Fs for MemoryFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut tree = self.tree.lock();
        if mode == OpenMode::Create {
            let file = Arc::new(MemoryFile::default());
            tree.files.insert(path.to_owned(), Arc::clone(&file));
            return Ok(file);
        }
        tree.files.get(path).map(|file| Arc::clone(file) as Arc<dyn File>).ok_or_else(not_found)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut tree = self.tree.lock();
        tree.directories.extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let tree = self.tree.lock();
        let names = tree.files.keys().chain(&tree.directories);
        Ok(names
            .filter(|name| name.parent() == Some(path))
            .filter_map(|name| Some(name.file_name()?.to_string_lossy().into_owned()))
            .collect())
    }

    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        let tree = self.tree.lock();
        if tree.files.contains_key(path) {
            return Ok(Some(Kind::File));
        }
        Ok(tree.directories.contains(path).then_some(Kind::Directory))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut tree = self.tree.lock();
        let file = tree.files.remove(from).ok_or_else(not_found)?;
        tree.files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.tree.lock().files.remove(path).map(|_| ()).ok_or_else(not_found)
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Arc<dyn File>>> {
        let mut tree = self.tree.lock();
        let file = Arc::clone(tree.files.entry(path.to_owned()).or_default());
        if file.locked.swap(true, Ordering::AcqRel) {
            return Ok(None);
        }
        Ok(Some(Arc::new(Locked(file))))
    }

    fn keeps_allocations(&self, _path: &Path) -> bool {
        true
    }
}

fn not_found() -> io::Error {
    io::Error::from_raw_os_error(2)
}

#[derive(Debug, Default)]
struct MemoryFile {
    bytes: RwLock<Vec<u8>>,
    locked: AtomicBool,
}

impl File for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.bytes.read();
        let source = usize::try_from(offset).ok().and_then(|at| bytes.get(at..)).unwrap_or(&[]);
        let n = source.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..n), source.get(..n)) {
            to.copy_from_slice(from);
        }
        Ok(n)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let end = offset as usize + bytes.len();
        if self.bytes.read().len() < end {
            self.allocate(end as u64)?;
        }
        if let Some(place) = self.bytes.write().get_mut(offset as usize..end) {
            place.copy_from_slice(bytes);
        }
        Ok(())
    }

    fn store(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.bytes.read().len() as u64)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        let mut bytes = self.bytes.write();
        if (bytes.len() as u64) < length {
            // A fresh zeroed allocation takes no memory until it is touched; growing in place would.
            let mut grown = vec![0; length as usize];
            if let Some(place) = grown.get_mut(..bytes.len()) {
                place.copy_from_slice(&bytes);
            }
            *bytes = grown;
        }
        Ok(())
    }

    fn release(&self, range: Range<u64>) -> io::Result<()> {
        let mut bytes = self.bytes.write();
        if range.end >= bytes.len() as u64 {
            bytes.truncate(range.start as usize);
            bytes.shrink_to_fit();
        } else if let Some(place) = bytes.get_mut(range.start as usize..range.end as usize) {
            place.fill(0);
        }
        Ok(())
    }

    fn map(&self) -> io::Result<Option<Map>> {
        Ok(None)
    }
}

/// Gives the lock back when it is dropped, as closing a descriptor does.
#[derive(Debug)]
struct Locked(Arc<MemoryFile>);

impl Drop for Locked {
    fn drop(&mut self) {
        self.0.locked.store(false, Ordering::Release);
    }
}

impl File for Locked {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(bytes, offset)
    }

    fn store(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.store(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.0.allocate(length)
    }

    fn release(&self, range: Range<u64>) -> io::Result<()> {
        self.0.release(range)
    }

    fn map(&self) -> io::Result<Option<Map>> {
        Ok(None)
    }
}
