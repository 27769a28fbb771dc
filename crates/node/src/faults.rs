//! A disk that fails on request, so that tests can show what an application sees then. In builds with the
//! feature `faults` only.
#![expect(clippy::needless_pass_by_value, reason = "napi hands arguments over by value")]

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use napi_derive::napi;
use parking_lot::Mutex;
use tetralog_core::fs::{DiskFs, File, Fs, Kind, Map, OpenMode};
use tetralog_core::{Error, Result, Store, StoreOptions, SystemHost};

use crate::opening::Watched;

/// Operations that fail, on files whose path contains a text.
struct Fault {
    operation: String,
    path: String,
    /// The system's number of the error; `None` is a panic.
    errno: Option<i32>,
    /// Operations that work before the first one that fails.
    skip: u32,
    /// How many fail.
    times: u32,
}

static FAULTS: Mutex<Vec<Fault>> = Mutex::new(Vec::new());

/// Makes operations fail: with an error of the system, or with a panic if its number is 0. `operation` is the
/// name of a method of the engine's `Fs` or `File`.
#[napi(catch_unwind)]
pub fn inject_fault(operation: String, path: String, errno: i32, skip: u32, times: u32) {
    let errno = (errno != 0).then_some(errno);
    FAULTS.lock().push(Fault { operation, path, errno, skip, times });
}

/// Lets everything work again; gives how many failures are left.
#[napi(catch_unwind)]
pub fn clear_faults() -> u32 {
    FAULTS.lock().drain(..).map(|fault| fault.times).sum()
}

/// A call of JavaScript's that fails.
///
/// # Panics
/// Always.
#[napi(catch_unwind)]
pub fn panic_now() {
    panic!("as the test has asked for");
}

/// Fails if that is asked for.
fn meet(operation: &str, path: &Path) -> io::Result<()> {
    let path = path.to_string_lossy();
    let mut faults = FAULTS.lock();
    let fault = faults.iter_mut().find(|fault| {
        fault.operation == operation && fault.times > 0 && path.contains(&fault.path)
    });
    let Some(fault) = fault else { return Ok(()) };
    if fault.skip > 0 {
        fault.skip -= 1;
        return Ok(());
    }
    fault.times -= 1;
    let errno = fault.errno;
    drop(faults);
    match errno {
        Some(errno) => Err(io::Error::from_raw_os_error(errno)),
        None => panic!("{operation} of {path}, as the test has asked for"),
    }
}

/// Opens a store on the disk that fails on request. What watches the opening learns nothing.
pub fn open(path: String, options: StoreOptions, _watched: &Watched) -> Result<Store> {
    let directory =
        std::path::absolute(&path).map_err(|error| Error::io(Path::new(&path), &error))?;
    Store::open_with(Arc::new(FaultyFs), Arc::new(SystemHost), directory, options)
}

#[derive(Debug)]
struct FaultyFs;

impl Fs for FaultyFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        meet("open", path)?;
        Ok(Arc::new(FaultyFile { file: DiskFs.open(path, mode)?, path: path.to_owned() }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        meet("create_dir_all", path)?;
        DiskFs.create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        meet("list", path)?;
        DiskFs.list(path)
    }

    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        meet("kind", path)?;
        DiskFs.kind(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        meet("rename", to)?;
        DiskFs.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        meet("remove", path)?;
        DiskFs.remove(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        meet("sync_dir", path)?;
        DiskFs.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Arc<dyn File>>> {
        meet("lock", path)?;
        DiskFs.lock(path)
    }

    fn keeps_allocations(&self, path: &Path) -> bool {
        DiskFs.keeps_allocations(path)
    }
}

#[derive(Debug)]
struct FaultyFile {
    file: Arc<dyn File>,
    path: PathBuf,
}

impl File for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        meet("read_at", &self.path)?;
        self.file.read_at(buffer, offset)
    }

    /// One that fails has written the first half.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        meet("write_at", &self.path).or_else(|error| {
            let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
            self.file.write_at(half, offset).and(Err(error))
        })?;
        self.file.write_at(bytes, offset)
    }

    fn store(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        meet("store", &self.path)?;
        self.file.store(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        meet("sync", &self.path)?;
        self.file.sync()
    }

    fn length(&self) -> io::Result<u64> {
        meet("length", &self.path)?;
        self.file.length()
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        meet("allocate", &self.path)?;
        self.file.allocate(length)
    }

    fn release(&self, range: Range<u64>) -> io::Result<()> {
        meet("release", &self.path)?;
        self.file.release(range)
    }

    fn map(&self) -> io::Result<Option<Map>> {
        meet("map", &self.path)?;
        self.file.map()
    }
}
