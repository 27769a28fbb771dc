//! HEAD: a small page that says how far the log is published. Read-only processes follow it, and
//! recovery takes it as one proof of what was durable. Private and derived: without it the log says
//! the same, a little less sharply.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::codec::{Reader, put_u32, put_u64};
use crate::error::{AtPath, Result};
use crate::fs::{File, Fs, OpenMode, replace};

/// Its name in the store's directory.
pub(crate) const NAME: &str = "HEAD";

const MAGIC: [u8; 8] = *b"TETRAHEA";
const VERSION: u32 = 1;
const LEN: usize = 96;
const PAGE: u64 = 4096;
/// A reader meets a page in the middle of being stored only for an instant.
const READ_TRIES: usize = 1000;

/// What HEAD says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) store_id: [u8; 16],
    /// The boot in which it was stored: within one boot it is exact, also after a crash of the process.
    pub(crate) boot_id: [u8; 16],
    /// The active segment.
    pub(crate) segment: u64,
    /// End of the last published frame in it.
    pub(crate) offset: u64,
    /// Position of the next event.
    pub(crate) next_position: u64,
    /// Bytes of the active segment that are synced.
    pub(crate) durable_upto: u64,
    pub(crate) manifest_generation: u64,
    /// The store was closed in order, all of it synced.
    pub(crate) clean: bool,
    pub(crate) poisoned: bool,
    /// A repair has put other files in the place of those that this page tells of.
    pub(crate) replaced: bool,
}

impl Head {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(LEN);
        out.extend_from_slice(&MAGIC);
        put_u32(&mut out, VERSION);
        let flags = [self.clean, self.poisoned, self.replaced];
        put_u32(&mut out, flags.iter().rev().fold(0, |all, flag| (all << 1) | u32::from(*flag)));
        out.extend_from_slice(&self.store_id);
        out.extend_from_slice(&self.boot_id);
        for field in [
            self.segment,
            self.offset,
            self.next_position,
            self.durable_upto,
            self.manifest_generation,
        ] {
            put_u64(&mut out, field);
        }
        put_u32(&mut out, 0);
        let crc = crate::checksum::plain(&out);
        put_u32(&mut out, crc);
        debug_assert_eq!(out.len(), LEN);
        out
    }

    fn decode(bytes: &[u8; LEN]) -> Option<Self> {
        let (fields, crc) = bytes.split_last_chunk::<4>()?;
        (crate::checksum::plain(fields) == u32::from_le_bytes(*crc)).then_some(())?;
        let mut reader = Reader::new(fields);
        (reader.array()? == MAGIC && reader.u32()? == VERSION).then_some(())?;
        let flags = reader.u32()?;
        Some(Self {
            store_id: reader.array()?,
            boot_id: reader.array()?,
            segment: reader.u64()?,
            offset: reader.u64()?,
            next_position: reader.u64()?,
            durable_upto: reader.u64()?,
            manifest_generation: reader.u64()?,
            clean: flags & 1 != 0,
            poisoned: flags & 2 != 0,
            replaced: flags & 4 != 0,
        })
    }
}

/// The open page.
#[derive(Debug)]
pub(crate) struct HeadPage {
    file: Arc<dyn File>,
    path: PathBuf,
}

impl HeadPage {
    /// Opens the page for reading, if there is one.
    pub(crate) fn open(fs: &dyn Fs, directory: &Path) -> Option<Self> {
        let path = directory.join(NAME);
        fs.open(&path, OpenMode::Read).ok().map(|file| Self { file, path })
    }

    /// Opens the page for writing; makes it if it is missing or too short.
    pub(crate) fn create(fs: &dyn Fs, directory: &Path) -> Result<Self> {
        let path = directory.join(NAME);
        if let Ok(file) = fs.open(&path, OpenMode::Write)
            && file.length().is_ok_and(|length| length >= PAGE)
        {
            return Ok(Self { file, path });
        }
        let file = fs.open(&path, OpenMode::Create).at(&path)?;
        file.allocate(PAGE).at(&path)?;
        Ok(Self { file, path })
    }

    /// What the page says; `None` if it cannot be trusted.
    pub(crate) fn read(&self) -> Option<Head> {
        let mut bytes = [0; LEN];
        for _ in 0..READ_TRIES {
            if self.file.read_at(&mut bytes, 0).ok()? < LEN {
                return None;
            }
            if let Some(head) = Head::decode(&bytes) {
                return Some(head);
            }
            std::hint::spin_loop();
        }
        None
    }

    /// Tells the readers of a store that its files are about to be replaced. They hold this page, so another
    /// one with the same content takes its place.
    pub(crate) fn give_notice(fs: &dyn Fs, directory: &Path) -> Result<()> {
        let Some(head) = Self::open(fs, directory).and_then(|page| page.read()) else {
            return Ok(());
        };
        let path = directory.join(NAME);
        let old = fs.open(&path, OpenMode::Write).at(&path)?;
        let mut page = head.encode();
        page.resize(PAGE as usize, 0);
        replace(fs, &path, &page).at(&path)?;
        Self { file: old, path }.store(&Head { replaced: true, ..head })
    }

    /// Stores without syncing: seen by other processes at once, durable some time later.
    pub(crate) fn store(&self, head: &Head) -> Result<()> {
        self.file.write_at(&head.encode(), 0).at(&self.path)
    }

    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync().at(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_reads_back_as_stored_and_notices_any_flipped_bit() {
        let head = Head {
            store_id: [1; 16],
            boot_id: [2; 16],
            segment: 3,
            offset: 4,
            next_position: 5,
            durable_upto: 6,
            manifest_generation: 7,
            clean: true,
            poisoned: false,
            replaced: true,
        };
        let bytes: [u8; LEN] = head.encode().try_into().unwrap();
        assert_eq!(Head::decode(&bytes), Some(head));
        for at in 0..LEN {
            let mut flipped = bytes;
            flipped[at] ^= 0x10;
            assert_eq!(Head::decode(&flipped), None, "byte {at}");
        }
    }
}
