//! The catalog: what opening has to know of sealed segments and of the directory's files, in one small
//! file, so that it opens none of them. Derived: it is believed only as far as it fits to the log, and
//! without it the files themselves are asked.
//!
//! It lists segments from the first on, and names the salt of the one that follows the last of them.
//! Salts are random, and a segment is begun once its predecessors are as they will stay: so where that
//! segment is the one that the log has, the log has those before it too. What opening would have checked
//! of a file is checked when it is first touched.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::codec::{Reader, put_u32, put_u64};
use crate::error::{AtPath, Result};
use crate::fs::{Fs, OpenMode, read_all};
use crate::index::directory::{Coverage, DirectoryFile, Family};
use crate::index::{IndexFile, Part, Summary};
use crate::manifest::Manifest;
use crate::segment::{HEADER_PAGE, Segment, SegmentHeader, file_name};
use crate::shared::Layout;

/// Its name in the folder of runs.
const NAME: &str = "catalog";
const MAGIC: [u8; 8] = *b"TETRACAT";
const VERSION: u32 = 2;
/// Bytes of a catalog of more segments than any store has.
const MAX_BYTES: u64 = 1 << 30;

/// A sealed segment with its index.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sealed {
    header: SegmentHeader,
    summary: Summary,
}

/// A file of the directory: what it covers, and its number of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    family: Family,
    coverage: Coverage,
    rows: u64,
}

/// What is known of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Catalog {
    store_id: [u8; 16],
    /// Consecutive segments, from the first on.
    sealed: Vec<Sealed>,
    /// Salt of the segment behind them.
    next_salt: [u8; 8],
    /// Files of the directory, which were found to be of this log.
    directory: Vec<Listed>,
}

impl Catalog {
    /// What there is to say of a log. `None` if that is nothing.
    pub(crate) fn of(layout: &Layout) -> Option<Self> {
        let mut parts = layout.parts.iter();
        let mut sealed = Vec::new();
        for segment in &layout.segments {
            let Some(Part::File(file)) = parts.next() else { break };
            let own = segment.is_sealed() && file.is_of_whole_segment();
            if !own || !Arc::ptr_eq(file.segment(), segment) {
                break;
            }
            let (header, summary) = (segment.header.clone(), file.summary().clone());
            sealed.push(Sealed { header, summary });
        }
        let next = layout.segments.get(sealed.len())?;
        let directory = Family::ALL.into_iter().flat_map(|family| {
            let files = layout.directory(family).files().iter();
            let listed = |file: &Arc<DirectoryFile>| {
                let (coverage, rows) = (file.coverage().clone(), file.count() as u64);
                Listed { family, coverage, rows }
            };
            files.map(listed).collect::<Vec<_>>()
        });
        let catalog = Self {
            store_id: next.header.store_id,
            sealed,
            next_salt: next.header.salt,
            directory: directory.collect(),
        };
        (!catalog.sealed.is_empty() || !catalog.directory.is_empty()).then_some(catalog)
    }

    /// Reads the catalog of a store; `None` if there is none that fits to its manifest and to the names
    /// of its files.
    pub(crate) fn read(
        fs: &dyn Fs,
        runs: &Path,
        manifest: &Manifest,
        names: &HashSet<&str>,
    ) -> Option<Self> {
        let file = fs.open(&path(runs), OpenMode::Read).ok()?;
        let catalog = Self::decode(&read_all(&*file, MAX_BYTES).ok()?)?;
        let listed = |(sealed, listed): (&Sealed, &(u64, u64))| {
            let (number, generation) = *listed;
            let name = file_name(number, generation);
            let index = Path::new(&name).with_extension("idx");
            (sealed.header.number, sealed.header.generation) == *listed
                && names.contains(name.as_str())
                && index.to_str().is_some_and(|index| names.contains(index))
        };
        let fits = catalog.store_id == manifest.store_id
            && catalog.sealed.len() < manifest.segments.len()
            && catalog.sealed.iter().zip(&manifest.segments).all(listed);
        fits.then_some(catalog)
    }

    /// How many segments it knows.
    pub(crate) fn len(&self) -> usize {
        self.sealed.len()
    }

    /// Whether a segment is the one that follows.
    pub(crate) fn is_followed_by(&self, next: &Segment) -> bool {
        let base = self.sealed.last().map_or(0, |last| last.summary.next_position());
        next.header.salt == self.next_salt && next.header.base_position == base
    }

    /// The segments, and their indexes. None of the files is opened.
    pub(crate) fn segments(&self, fs: &Arc<dyn Fs>, folder: &Path) -> Vec<(Arc<Segment>, Part)> {
        let segment = |Sealed { header, summary }: &Sealed| {
            let path = folder.join(file_name(header.number, header.generation));
            let (next, end) = (summary.next_position(), summary.extent.end);
            let segment = Arc::new(Segment::put_off(fs, path, header.clone(), next, end));
            let index = IndexFile::put_off(fs, &segment, summary.clone());
            (segment, Part::File(Arc::new(index)))
        };
        self.sealed.iter().map(segment).collect()
    }

    /// What is known of the directory's file for these positions, which is of this log.
    pub(crate) fn directory_file(
        &self,
        family: Family,
        positions: &Range<u64>,
    ) -> Option<(Coverage, usize)> {
        let mut files = self.directory.iter();
        let file =
            files.find(|one| one.family == family && one.coverage.positions == *positions)?;
        Some((file.coverage.clone(), usize::try_from(file.rows).ok()?))
    }

    /// Writes it, replacing what is there. Not synced: its CRC tells whether it is whole.
    pub(crate) fn write(&self, fs: &dyn Fs, runs: &Path) -> Result<()> {
        let path = path(runs);
        let temporary = path.with_extension("tmp");
        let file = fs.open(&temporary, OpenMode::Create).at(&temporary)?;
        file.write_at(&self.encode(), 0).at(&temporary)?;
        fs.rename(&temporary, &path).at(&path)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&MAGIC);
        put_u32(&mut out, VERSION);
        out.extend_from_slice(&self.store_id);
        out.extend_from_slice(&self.next_salt);
        put_u32(&mut out, self.sealed.len() as u32);
        for Sealed { header, summary } in &self.sealed {
            put_u64(&mut out, header.number);
            put_u64(&mut out, header.generation);
            put_u64(&mut out, header.base_log_index);
            out.extend_from_slice(&header.salt);
            put_u64(&mut out, header.created_us);
            summary.put(&mut out);
        }
        put_u32(&mut out, self.directory.len() as u32);
        for Listed { family, coverage, rows } in &self.directory {
            put_u32(&mut out, u32::from(*family == Family::Ids));
            put_u32(&mut out, coverage.last_frame_crc);
            let Coverage { positions, segment, end, .. } = coverage;
            for field in [positions.start, positions.end, *segment, *end, *rows] {
                put_u64(&mut out, field);
            }
        }
        let crc = crate::checksum::plain(&out);
        put_u32(&mut out, crc);
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (fields, crc) = bytes.split_last_chunk::<4>()?;
        if crate::checksum::plain(fields) != u32::from_le_bytes(*crc) {
            return None;
        }
        let mut reader = Reader::new(fields);
        if reader.array()? != MAGIC || reader.u32()? != VERSION {
            return None;
        }
        let (store_id, next_salt) = (reader.array()?, reader.array()?);
        let mut next_position = 0;
        let sealed = (0..reader.u32()?)
            .map(|_| {
                let sealed = Sealed::read(&mut reader, store_id)?;
                let follows = sealed.header.base_position == next_position;
                next_position = sealed.summary.next_position();
                Some(sealed).filter(|_| follows)
            })
            .collect::<Option<_>>()?;
        let directory = (0..reader.u32()?)
            .map(|_| {
                let family = if reader.u32()? == 0 { Family::Heads } else { Family::Ids };
                let last_frame_crc = reader.u32()?;
                let positions = reader.u64()?..reader.u64()?;
                let (segment, end, rows) = (reader.u64()?, reader.u64()?, reader.u64()?);
                let coverage = Coverage { positions, segment, end, last_frame_crc };
                Some(Listed { family, coverage, rows })
            })
            .collect::<Option<_>>()?;
        Some(Self { store_id, sealed, next_salt, directory })
    }
}

impl Sealed {
    fn read(reader: &mut Reader<'_>, store_id: [u8; 16]) -> Option<Self> {
        let (number, generation, base_log_index) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let (salt, created_us) = (reader.array()?, reader.u64()?);
        let summary = Summary::read(reader)?;
        let header = SegmentHeader {
            store_id,
            number,
            generation,
            base_position: summary.base,
            base_log_index,
            salt,
            created_us,
            read_only: false,
        };
        (summary.extent.start == HEADER_PAGE).then_some(Self { header, summary })
    }
}

fn path(runs: &Path) -> PathBuf {
    runs.join(NAME)
}
