//! The first page of a segment's file.

use super::{ELSEWHERE, NO_HEADER};
use crate::chain;
use crate::codec::{Reader, patch, put_u32, put_u64};
use crate::host::Host;

/// Bytes of the header page; the first frame starts behind it.
pub(crate) const HEADER_PAGE: u64 = 4096;
/// First bytes of every segment.
const MAGIC: [u8; 8] = *b"TETRALOG";
/// The format that this version writes.
pub(crate) const FORMAT: u32 = 1;
/// Feature words: what a reader must know, what a writer must know, what nobody needs to know.
const INCOMPATIBLE_KNOWN: u64 = 0;
const READ_COMPATIBLE_KNOWN: u64 = 0;

/// What the header page says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) store_id: [u8; 16],
    pub(crate) number: u64,
    pub(crate) generation: u64,
    pub(crate) base_position: u64,
    /// Number of the segment's first frame among all frames of the log.
    pub(crate) base_log_index: u64,
    /// Random; enters every CRC of the file.
    pub(crate) salt: [u8; 8],
    /// Microseconds since 1970.
    pub(crate) created_us: u64,
    /// Set by a newer version that older ones may read, but not append to.
    pub(crate) read_only: bool,
}

/// What stands where a header page should.
#[derive(Debug)]
pub(crate) enum HeaderPage {
    /// A spare that was never used.
    Zero,
    /// A header of a format that this version reads.
    Whole(SegmentHeader),
    /// A header of a format that this version must not touch.
    Newer(String),
    /// Neither.
    Damaged(&'static str),
}

impl HeaderPage {
    /// What is wrong with a page that is no usable header.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Zero => NO_HEADER,
            Self::Damaged(reason) => reason,
            Self::Newer(reason) => reason,
            Self::Whole(_) => ELSEWHERE,
        }
    }
}

impl SegmentHeader {
    /// The header of a log's first segment.
    pub(crate) fn first(store_id: [u8; 16], host: &dyn Host) -> Self {
        let mut salt = [0; 8];
        host.random(&mut salt);
        Self {
            store_id,
            number: 1,
            generation: 1,
            base_position: 0,
            base_log_index: 0,
            salt,
            created_us: host.unix_ns() / 1000,
            read_only: false,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_PAGE as usize);
        out.extend_from_slice(&MAGIC);
        put_u32(&mut out, FORMAT);
        put_u32(&mut out, HEADER_PAGE as u32);
        for features in [0, 0, 0] {
            put_u64(&mut out, features);
        }
        put_u32(&mut out, chain::ALGORITHM);
        put_u32(&mut out, 0);
        out.extend_from_slice(&self.store_id);
        put_u64(&mut out, self.number);
        put_u64(&mut out, self.generation);
        put_u64(&mut out, self.base_position);
        put_u64(&mut out, self.base_log_index);
        out.extend_from_slice(&self.salt);
        put_u64(&mut out, self.created_us);
        out.resize(HEADER_PAGE as usize, 0);
        let end = out.len() - 4;
        let crc = crate::checksum::plain(out.get(..end).unwrap_or_default());
        patch(&mut out, end, &crc.to_le_bytes());
        out
    }

    /// Reads a header page of exactly [`HEADER_PAGE`] bytes. The CRC comes first; then the format and
    /// the features decide whether the rest may be believed.
    pub(crate) fn decode(page: &[u8]) -> HeaderPage {
        if page.iter().all(|byte| *byte == 0) {
            return HeaderPage::Zero;
        }
        let end = HEADER_PAGE as usize - 4;
        if page.get(..8) != Some(&MAGIC[..]) {
            return HeaderPage::Damaged("the header page does not start with the magic bytes");
        }
        if crate::codec::u32_at(page, end)
            != crate::checksum::plain(page.get(..end).unwrap_or_default())
        {
            return HeaderPage::Damaged("the header page does not match its CRC");
        }
        Self::fields(page).unwrap_or(HeaderPage::Damaged("the header page is cut off"))
    }

    /// The header of a page that holds a usable one.
    pub(crate) fn decode_whole(page: &[u8]) -> Option<Self> {
        match Self::decode(page) {
            HeaderPage::Whole(header) => Some(header),
            _ => None,
        }
    }

    fn fields(page: &[u8]) -> Option<HeaderPage> {
        let mut reader = Reader::new(page.get(8..)?);
        let format = reader.u32()?;
        let page_len = reader.u32()?;
        let incompatible = reader.u64()?;
        let read_compatible = reader.u64()?;
        let _compatible = reader.u64()?;
        let algorithm = reader.u32()?;
        let _zero = reader.u32()?;
        if format != FORMAT || u64::from(page_len) != HEADER_PAGE {
            return Some(HeaderPage::Newer(format!(
                "format {format} is newer than {FORMAT}, which this version reads"
            )));
        }
        if incompatible & !INCOMPATIBLE_KNOWN != 0 || algorithm != chain::ALGORITHM {
            return Some(HeaderPage::Newer(format!(
                "it uses features (0x{incompatible:x}, chain algorithm {algorithm}) that this version \
                 does not know"
            )));
        }
        Some(HeaderPage::Whole(Self {
            store_id: reader.array()?,
            number: reader.u64()?,
            generation: reader.u64()?,
            base_position: reader.u64()?,
            base_log_index: reader.u64()?,
            salt: reader.array()?,
            created_us: reader.u64()?,
            read_only: read_compatible & !READ_COMPATIBLE_KNOWN != 0,
        }))
    }
}
