//! The manifest: which store this is and which segments it has. Replaced atomically.

use std::path::Path;

use crate::codec::{Reader, put_u32, put_u64};
use crate::error::{AtPath, Damage, Error, MANIFEST, Result};
use crate::fs::{self, Fs, OpenMode};
use crate::segment::FORMAT;

/// The manifest's name in the store's directory.
pub(crate) const NAME: &str = "MANIFEST";

const MAGIC: [u8; 8] = *b"TETRAMAN";
const FIXED_LEN: usize = 80;
const ROW_LEN: usize = 16;
/// More segments than any store can fill.
pub(crate) const SEGMENTS_MAX: u64 = 1 << 24;

/// Which store this is and which segments it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) store_id: [u8; 16],
    /// Grows with every replacement.
    pub(crate) generation: u64,
    pub(crate) created_us: u64,
    /// Number and generation of every segment, in order. The last one may be a spare.
    pub(crate) segments: Vec<(u64, u64)>,
    /// Set by a newer version that older ones may read, but not write to.
    pub(crate) read_only: bool,
}

/// Why bytes are no manifest.
#[derive(Debug)]
enum Unusable {
    Damaged(&'static str),
    Newer(String),
}

/// The error of a store whose manifest cannot be read, or is not there.
pub(crate) fn damaged(length: u64, reason: &str) -> Error {
    let damage = Damage {
        segment: MANIFEST,
        offset: 0,
        length,
        reason: format!("{reason}; Store.repair() writes it again from the segments"),
        positions: None,
        entities: Vec::new(),
    };
    Error::Corrupt { damage: vec![damage] }
}

/// Whether a directory has files of segments.
fn holds_segments(file_system: &dyn Fs, directory: &Path) -> bool {
    let names = file_system.list(&directory.join("segments")).unwrap_or_default();
    names.iter().any(|name| Path::new(name).extension().is_some_and(|ending| ending == "seg"))
}

impl Manifest {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED_LEN + self.segments.len() * ROW_LEN + 4);
        out.extend_from_slice(&MAGIC);
        put_u32(&mut out, FORMAT);
        put_u32(&mut out, (FIXED_LEN + self.segments.len() * ROW_LEN + 4) as u32);
        for features in [0, 0, 0] {
            put_u64(&mut out, features);
        }
        out.extend_from_slice(&self.store_id);
        put_u64(&mut out, self.generation);
        put_u64(&mut out, self.created_us);
        put_u32(&mut out, self.segments.len() as u32);
        put_u32(&mut out, 0);
        for (number, generation) in &self.segments {
            put_u64(&mut out, *number);
            put_u64(&mut out, *generation);
        }
        let crc = crate::checksum::plain(&out);
        put_u32(&mut out, crc);
        out
    }

    /// Reads the manifest of the store in `directory`; `None` if there is none.
    pub(crate) fn read(file_system: &dyn Fs, directory: &Path) -> Result<Option<Self>> {
        let path = directory.join(NAME);
        if file_system.kind(&path).at(&path)?.is_none() {
            return Ok(None);
        }
        let file = file_system.open(&path, OpenMode::Read).at(&path)?;
        let limit = FIXED_LEN as u64 + SEGMENTS_MAX * ROW_LEN as u64;
        let bytes = match fs::read_all(&*file, limit) {
            Err(error) if fs::is_unreadable(&error) => return Err(damaged(0, fs::UNREADABLE)),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                return Err(damaged(0, "the manifest is longer than it can be"));
            }
            read => read.at(&path)?,
        };
        match Self::decode(&bytes) {
            Ok(manifest) => Ok(Some(manifest)),
            Err(Unusable::Newer(reason)) => Err(Error::format(&path, reason)),
            Err(Unusable::Damaged(reason)) if holds_segments(file_system, directory) => {
                Err(damaged(bytes.len() as u64, reason))
            }
            Err(Unusable::Damaged(reason)) => {
                let reason =
                    format!("{reason}, and there are no segments: this is no Tetralog store");
                Err(Error::format(&path, reason))
            }
        }
    }

    /// Whether bytes are a manifest that this version reads.
    pub(crate) fn is_whole(bytes: &[u8]) -> bool {
        Self::decode(bytes).is_ok()
    }

    fn decode(bytes: &[u8]) -> std::result::Result<Self, Unusable> {
        let damaged = Unusable::Damaged;
        let (fields, crc) = bytes
            .split_last_chunk::<4>()
            .ok_or(damaged("the manifest is shorter than it can be"))?;
        if fields.get(..8) != Some(&MAGIC[..]) {
            return Err(damaged("the manifest does not start with the magic bytes"));
        }
        if crate::checksum::plain(fields) != u32::from_le_bytes(*crc) {
            return Err(damaged("the manifest does not match its CRC"));
        }
        let mut reader = Reader::new(fields.get(8..).unwrap_or_default());
        let (format, _length) = (reader.u32().unwrap_or(0), reader.u32());
        let (incompatible, read_compatible) =
            (reader.u64().unwrap_or(0), reader.u64().unwrap_or(0));
        if format != FORMAT || incompatible != 0 {
            return Err(Unusable::Newer(format!(
                "the manifest is of format {format}, features 0x{incompatible:x}; this version reads \
                 format {FORMAT}: open the store with a newer version"
            )));
        }
        let manifest = (|| {
            reader.u64()?;
            let store_id = reader.array()?;
            let generation = reader.u64()?;
            let created_us = reader.u64()?;
            let count = reader.u32()? as usize;
            reader.u32()?;
            let whole = count.checked_mul(ROW_LEN)? == reader.remaining();
            let rows = (0..count).map(|_| Some((reader.u64()?, reader.u64()?)));
            let segments = if whole {
                rows.collect::<Option<Vec<_>>>()?
            } else {
                return None;
            };
            let read_only = read_compatible != 0;
            Some(Self { store_id, generation, created_us, segments, read_only })
        })();
        manifest.ok_or(damaged("the manifest has a length that does not fit its contents"))
    }

    /// Replaces the manifest of the store in `directory`.
    pub(crate) fn write(&self, file_system: &dyn Fs, directory: &Path) -> Result<()> {
        let path = directory.join(NAME);
        fs::replace(file_system, &path, &self.encode()).at(&path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            store_id: [3; 16],
            generation: 7,
            created_us: 9,
            segments: vec![(1, 1), (2, 4)],
            read_only: false,
        }
    }

    #[test]
    fn a_manifest_reads_back_as_written() {
        let bytes = manifest().encode();
        assert_eq!(Manifest::decode(&bytes).unwrap(), manifest());
    }

    #[test]
    fn any_flipped_bit_or_cut_is_noticed() {
        let bytes = manifest().encode();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(Manifest::decode(&flipped).is_err(), "byte {at}");
            assert!(Manifest::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}
