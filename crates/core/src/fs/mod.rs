//! The only door to the disk. Everything durable goes through [`Fs`] and [`File`], so that a test can
//! stand in for the disk, count what is done to it, or cut its power.

mod disk;
mod first_touch;
mod map;
mod memory;
pub(crate) mod patience;
pub(crate) mod residency;

use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

pub use disk::DiskFs;
pub(crate) use first_touch::FirstTouch;
pub use map::Map;
pub use memory::MemoryFs;
pub(crate) use residency::Moment;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// Must exist; reading only.
    Read,
    /// Must exist; reading and writing.
    Write,
    /// Created if missing, emptied if not; reading and writing.
    Create,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// Anything else.
    File,
}

/// A file system.
pub trait Fs: Send + Sync + Debug {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;
    /// Creates a directory and its parents.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory, in no order.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// What a path is; `None` if there is nothing.
    fn kind(&self, path: &Path) -> io::Result<Option<Kind>>;
    /// Renames, replacing what is there. Durable after `sync_dir` of the directory.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file. What is mapped or open stays readable.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Takes the exclusive lock on a file, creating it; `None` if somebody holds it. The lock lasts
    /// as long as the returned file.
    fn lock(&self, path: &Path) -> io::Result<Option<Arc<dyn File>>>;
    /// Whether allocated space stays allocated when it is overwritten. False on copy-on-write file
    /// systems, where a store into a mapping could still meet a full disk.
    fn keeps_allocations(&self, path: &Path) -> bool;
}

/// An open file. Offsets and lengths in bytes.
pub trait File: Send + Sync + Debug {
    /// Reads until the buffer is full or the file ends; returns the number of bytes.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all bytes.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Writes all bytes, past the page cache where the file system can. After a write has failed, the cache
    /// may take its pages for clean, and for written to where they were only allocated (ext4): then the
    /// same bytes written through it do not reach the disk, whatever the next sync says.
    fn write_past_cache(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_at(bytes, offset)
    }
    /// Writes all bytes through a shared mapping: no system call, durable after `sync` like any
    /// write. The range must be allocated and must not be published to readers yet.
    fn store(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes data and length durable (fdatasync).
    fn sync(&self) -> io::Result<()>;
    /// Current length.
    fn length(&self) -> io::Result<u64>;
    /// Extends the file to `length` with its space reserved; reads as zeros.
    fn allocate(&self, length: u64) -> io::Result<()>;
    /// Gives the space of a range back; it reads as zeros after. Best effort.
    fn release(&self, range: Range<u64>) -> io::Result<()>;
    /// A read mapping of the whole file; `None` where reading copies anyway.
    fn map(&self) -> io::Result<Option<Map>>;
}

/// Reads a range; fails with `UnexpectedEof` if the file is shorter.
pub(crate) fn read_exact_at(file: &dyn File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let read = file.read_at(buffer, offset)?;
    if read == buffer.len() {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("only {read} of {} bytes at offset {offset}", buffer.len()),
    ))
}

/// Why something cannot be read that the device gives an error for.
pub(crate) const UNREADABLE: &str = "the device cannot read it";
/// What a device is asked for at once where it cannot give all.
pub(crate) const UNREADABLE_BYTES: u64 = 4096;

/// Whether the device, and nothing else, is why a read failed.
pub(crate) fn is_unreadable(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EIO)
}

/// As [`File::read_at`], but with zeros for what the device cannot read. The offsets at which such stretches
/// of [`UNREADABLE_BYTES`] begin are added to a list.
pub(crate) fn read_around(
    file: &dyn File,
    buffer: &mut [u8],
    offset: u64,
    unreadable: &mut Vec<u64>,
) -> io::Result<usize> {
    match file.read_at(buffer, offset) {
        Err(error) if is_unreadable(&error) => {}
        read => return read,
    }
    let mut read = 0;
    while read < buffer.len() {
        let at = offset + read as u64;
        let stretch = at - at % UNREADABLE_BYTES;
        let wanted = (stretch + UNREADABLE_BYTES - at) as usize;
        let end = (read + wanted).min(buffer.len());
        let piece = buffer.get_mut(read..end).unwrap_or_default();
        match file.read_at(piece, at) {
            Ok(got) if got < piece.len() => return Ok(read + got),
            Ok(_) => {}
            Err(error) if is_unreadable(&error) => {
                piece.fill(0);
                unreadable.push(stretch);
            }
            Err(error) => return Err(error),
        }
        read = end;
    }
    Ok(read)
}

/// Reads a whole file, at most `limit` bytes: a longer one is an error, not an allocation.
pub(crate) fn read_all(file: &dyn File, limit: u64) -> io::Result<Vec<u8>> {
    let length = file.length()?;
    if length > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{length} bytes, more than the {limit} that it can have"),
        ));
    }
    let mut bytes = vec![0; length as usize];
    read_exact_at(file, &mut bytes, 0)?;
    Ok(bytes)
}

/// Replaces a file atomically: temporary file, sync, rename, sync of the directory.
pub(crate) fn replace(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let file = fs.open(&temporary, OpenMode::Create)?;
    file.write_at(bytes, 0)?;
    file.sync()?;
    fs.rename(&temporary, path)?;
    match path.parent() {
        Some(parent) => fs.sync_dir(parent),
        None => Ok(()),
    }
}
