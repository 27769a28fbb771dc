//! The real file system.
#![expect(clippy::disallowed_methods, reason = "this is where the engine meets std::fs")]

use std::fs::{self, TryLockError};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustix::fs::{FallocateFlags, OFlags, fallocate};
use rustix::io::retry_on_intr;

use super::map::{Map, WriteMap};
use super::{File, Fs, Kind, OpenMode};

/// File systems on which overwriting may take space (statfs magic numbers): btrfs, zfs, bcachefs and nilfs
/// write elsewhere; xfs does when a copy shares the blocks, as `cp` makes them; of overlayfs nobody can tell.
const COPY_ON_WRITE: [i64; 6] =
    [0x9123_683e, 0x2fc1_2fc1, 0xca45_1a4e, 0x3434, 0x5846_5342, 0x794c_7630];

/// What direct writes are aligned to, in files and in memory: enough for every device.
const BLOCK: u64 = 4096;

/// The real file system.
#[derive(Debug, Default, Clone, Copy)]
pub struct DiskFs;

impl Fs for DiskFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => {}
            OpenMode::Write => {
                options.write(true);
            }
            OpenMode::Create => {
                options.write(true).create(true).truncate(true);
            }
        }
        // What is no file may make its opener wait for ever.
        let file = options.custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
        if !file.metadata()?.is_file() {
            let reason = "it is not a regular file";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        Ok(Arc::new(DiskFile { file, write_map: OnceLock::new() }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(path)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Ok(Some(Kind::Directory)),
            Ok(_) => Ok(Some(Kind::File)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Arc<dyn File>>> {
        let mut options = fs::OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Arc::new(DiskFile { file, write_map: OnceLock::new() }))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn keeps_allocations(&self, path: &Path) -> bool {
        rustix::fs::statfs(path).is_ok_and(|stat| !COPY_ON_WRITE.contains(&stat.f_type))
    }
}

#[derive(Debug)]
struct DiskFile {
    file: fs::File,
    write_map: OnceLock<WriteMap>,
}

impl DiskFile {
    fn write_map(&self) -> io::Result<&WriteMap> {
        if let Some(map) = self.write_map.get() {
            return Ok(map);
        }
        let map = WriteMap::new(&self.file)?;
        Ok(self.write_map.get_or_init(|| map))
    }

    /// Writes whole blocks without the page cache; `None` where that cannot be done.
    fn write_direct(&self, bytes: &[u8], offset: u64) -> Option<io::Result<()>> {
        let start = offset - offset % BLOCK;
        let end = (offset + bytes.len() as u64).next_multiple_of(BLOCK);
        if end > self.length().ok()? {
            return None;
        }
        let direct = fs::OpenOptions::new()
            .write(true)
            .custom_flags(OFlags::DIRECT.bits().cast_signed())
            .open(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
            .ok()?;
        let length = (end - start) as usize;
        let mut buffer = vec![0; length + BLOCK as usize];
        let aligned = buffer.as_ptr().align_offset(BLOCK as usize);
        let blocks = buffer.get_mut(aligned..aligned + length)?;
        if let Err(error) = self.read_at(blocks, start) {
            return Some(Err(error));
        }
        let at = (offset - start) as usize;
        blocks.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
        match direct.write_all_at(blocks, start) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => None,
            done => Some(done),
        }
    }
}

impl File for DiskFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn write_past_cache(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_direct(bytes, offset).unwrap_or_else(|| self.write_at(bytes, offset))
    }

    fn store(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_map()?.store(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        match retry_on_intr(|| fallocate(&self.file, FallocateFlags::empty(), 0, length)) {
            Ok(()) => Ok(()),
            // Not offered by every file system: there the zeros are written.
            Err(rustix::io::Errno::OPNOTSUPP) => fill_with_zeros(&self.file, length),
            Err(error) => Err(error.into()),
        }
    }

    fn release(&self, range: Range<u64>) -> io::Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match retry_on_intr(|| fallocate(&self.file, flags, range.start, range.end - range.start)) {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn map(&self) -> io::Result<Option<Map>> {
        match usize::try_from(self.length()?) {
            Ok(0) => Ok(None),
            Ok(length) => Map::read_only(&self.file, length).map(Some),
            Err(_) => Err(io::Error::from(io::ErrorKind::FileTooLarge)),
        }
    }
}

fn fill_with_zeros(file: &fs::File, length: u64) -> io::Result<()> {
    let zeros = [0; 1 << 13];
    let mut at = file.metadata()?.len();
    while at < length {
        let n = (length - at).min(zeros.len() as u64);
        file.write_all_at(zeros.get(..n as usize).unwrap_or(&zeros), at)?;
        at += n;
    }
    Ok(())
}
