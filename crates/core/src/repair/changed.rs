//! A store's files as they will be: what is there, with the changes of a repair laid over it. So a repair is
//! verified before a byte on disk is changed.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fs::{File, Fs, Kind, Map, OpenMode, read_around};
use crate::manifest;

/// What happens to a file.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// It goes.
    Remove,
    /// It becomes these bytes, and zeros up to a length.
    Replace(Vec<u8>),
    /// Some bytes are put right, and what stands from an offset on becomes zeros.
    Edit(Edit),
}

/// Changes within a file. Its length stays.
#[derive(Debug, Clone, Default)]
pub(super) struct Edit {
    pub(super) pieces: BTreeMap<u64, Vec<u8>>,
    pub(super) zeros_from: Option<u64>,
}

impl Edit {
    /// Reads a file as it will be. What the device cannot read it will not either, but for what is cut.
    pub(super) fn read(
        &self,
        file: &dyn File,
        buffer: &mut [u8],
        offset: u64,
    ) -> io::Result<usize> {
        let mut unreadable = Vec::new();
        let read = read_around(file, buffer, offset, &mut unreadable)?;
        let kept = self.zeros_from.unwrap_or(u64::MAX);
        if unreadable.iter().any(|at| *at < kept && self.is_missing(*at)) {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        self.apply(buffer.get_mut(..read).unwrap_or_default(), offset);
        Ok(read)
    }

    /// Whether what stands at an offset is not among the pieces.
    fn is_missing(&self, offset: u64) -> bool {
        let before = self.pieces.range(..=offset).next_back();
        before.is_none_or(|(at, piece)| at + piece.len() as u64 <= offset)
    }

    /// Lays the changes over bytes that were read at an offset.
    pub(super) fn apply(&self, bytes: &mut [u8], offset: u64) {
        let end = offset + bytes.len() as u64;
        for (at, piece) in &self.pieces {
            let (from, to) = ((*at).max(offset), (at + piece.len() as u64).min(end));
            if from < to
                && let Some(target) =
                    bytes.get_mut((from - offset) as usize..(to - offset) as usize)
                && let Some(source) = piece.get((from - at) as usize..(to - at) as usize)
            {
                target.copy_from_slice(source);
            }
        }
        if let Some(from) = self.zeros_from.filter(|from| *from < end)
            && let Some(rest) = bytes.get_mut(from.saturating_sub(offset) as usize..)
        {
            rest.fill(0);
        }
    }
}

/// Whether a file is more than derived from others.
pub(super) fn is_public(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "seg")
        || path.file_name().is_some_and(|name| name == manifest::NAME)
}

pub(super) type Changes = BTreeMap<PathBuf, Change>;

/// Files with changes laid over them, for reading. Those of the log are read by calls, never through a map:
/// some of them the device may not be able to read.
#[derive(Debug)]
pub(super) struct ChangedFs {
    pub(super) base: Arc<dyn Fs>,
    pub(super) changes: Changes,
}

fn refused<T>() -> io::Result<T> {
    Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem))
}

impl Fs for ChangedFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        if mode != OpenMode::Read {
            return refused();
        }
        let edit = match self.changes.get(path) {
            Some(Change::Remove) => return Err(io::Error::from(io::ErrorKind::NotFound)),
            Some(Change::Replace(bytes)) => {
                return Ok(Arc::new(Changed {
                    file: None,
                    bytes: bytes.clone(),
                    edit: Edit::default(),
                }));
            }
            Some(Change::Edit(edit)) => edit.clone(),
            None if is_public(path) => Edit::default(),
            None => return self.base.open(path, mode),
        };
        let file = Some(self.base.open(path, mode)?);
        Ok(Arc::new(Changed { file, bytes: Vec::new(), edit }))
    }

    fn create_dir_all(&self, _path: &Path) -> io::Result<()> {
        refused()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = self.base.list(path)?;
        names.retain(|name| !matches!(self.changes.get(&path.join(name)), Some(Change::Remove)));
        Ok(names)
    }

    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        match self.changes.get(path) {
            Some(Change::Remove) => Ok(None),
            Some(Change::Replace(_)) => Ok(Some(Kind::File)),
            _ => self.base.kind(path),
        }
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _path: &Path) -> io::Result<()> {
        refused()
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        refused()
    }

    fn lock(&self, _path: &Path) -> io::Result<Option<Arc<dyn File>>> {
        refused()
    }

    fn keeps_allocations(&self, path: &Path) -> bool {
        self.base.keeps_allocations(path)
    }
}

/// A file with changes, or one that is not there yet.
#[derive(Debug)]
struct Changed {
    file: Option<Arc<dyn File>>,
    bytes: Vec<u8>,
    edit: Edit,
}

impl File for Changed {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = if let Some(file) = &self.file {
            self.edit.read(&**file, buffer, offset)?
        } else {
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.bytes.len());
            let rest = self.bytes.get(start..).unwrap_or_default();
            let read = rest.len().min(buffer.len());
            if let (Some(target), Some(source)) = (buffer.get_mut(..read), rest.get(..read)) {
                target.copy_from_slice(source);
            }
            read
        };
        Ok(read)
    }

    fn write_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<()> {
        refused()
    }

    fn store(&self, _bytes: &[u8], _offset: u64) -> io::Result<()> {
        refused()
    }

    fn sync(&self) -> io::Result<()> {
        refused()
    }

    fn length(&self) -> io::Result<u64> {
        self.file.as_ref().map_or(Ok(self.bytes.len() as u64), |file| file.length())
    }

    fn allocate(&self, _length: u64) -> io::Result<()> {
        refused()
    }

    fn release(&self, _range: Range<u64>) -> io::Result<()> {
        refused()
    }

    fn map(&self) -> io::Result<Option<Map>> {
        Ok(None)
    }
}
