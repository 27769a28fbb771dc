//! The hash chain of an entity: what an event's digest covers, and how digests are linked.
//! Specified for strangers in docs/format.md, "Digest and link".

mod lanes;

use crate::codec::{put_u32, put_u64};

pub(crate) use lanes::{BLOCK, LANES, Lanes};

/// Number of this algorithm in the segment header. Old links stay verifiable: a new algorithm gets a
/// new number.
pub(crate) const ALGORITHM: u32 = 1;

/// A link or digest.
pub type Hash = [u8; 32];

/// What the first event of an entity is linked to.
pub const GENESIS: Hash = [0; 32];

/// Context string of the digest's key derivation (BLAKE3's derive-key mode).
const DIGEST_CONTEXT: &str = "tetralog 2026-11-21 event digest, algorithm 1";

/// How an event's metadata was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataKind {
    /// There is none.
    None,
    /// Bytes.
    Bytes,
    /// A JSON text.
    Json,
}

impl MetadataKind {
    /// The number that stands for it, on disk and in packed batches.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Bytes => 1,
            Self::Json => 2,
        }
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            1 => Some(Self::Bytes),
            2 => Some(Self::Json),
            _ => None,
        }
    }
}

/// Everything that an event's digest covers: the event in full, but for its position.
#[derive(Debug, Clone)]
pub struct Digestible<'a> {
    /// Who.
    pub entity: &'a str,
    /// Place within the entity.
    pub version: u64,
    /// What.
    pub fact: &'a str,
    /// Where.
    pub scope: &'a str,
    /// When.
    pub clock: &'a [u8],
    /// The event's id.
    pub id: [u8; 16],
    /// Microseconds since 1970.
    pub recorded_us: u64,
    /// Tags, sorted bytewise.
    pub tags: &'a [&'a str],
    /// Content type; empty if there is no payload.
    pub content_type: &'a str,
    /// Kind of the metadata.
    pub metadata_kind: MetadataKind,
    /// BLAKE3 of the metadata, zeros if there is none.
    pub metadata_hash: Hash,
    /// BLAKE3 of the payload.
    pub payload_hash: Hash,
}

impl Digestible<'_> {
    /// The canonical encoding, padded with zeros to whole BLAKE3 blocks of 64 bytes: so many events'
    /// digests can be computed side by side.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        put_u64(out, self.version);
        put_u64(out, self.recorded_us);
        out.extend_from_slice(&self.id);
        out.extend_from_slice(&self.payload_hash);
        out.extend_from_slice(&self.metadata_hash);
        out.push(self.metadata_kind.number());
        out.push(self.tags.len() as u8);
        out.push(self.clock.len() as u8);
        out.push(0);
        for text in [self.entity, self.fact, self.scope, self.content_type] {
            put_u32(out, text.len() as u32);
        }
        for text in [self.entity, self.fact, self.scope, self.content_type] {
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(self.clock);
        for tag in self.tags {
            put_u32(out, tag.len() as u32);
            out.extend_from_slice(tag.as_bytes());
        }
        out.resize(start + (out.len() - start).next_multiple_of(BLOCK), 0);
    }
}

/// Computes digests; keeps the derived key and a buffer between events.
#[derive(Debug)]
pub struct Digester {
    keyed: blake3::Hasher,
    buffer: Vec<u8>,
}

impl Default for Digester {
    fn default() -> Self {
        Self { keyed: blake3::Hasher::new_derive_key(DIGEST_CONTEXT), buffer: Vec::new() }
    }
}

impl Digester {
    /// The digest of an event.
    pub fn digest(&mut self, event: &Digestible<'_>) -> Hash {
        self.buffer.clear();
        event.encode(&mut self.buffer);
        self.keyed.reset();
        self.keyed.update(&self.buffer);
        self.keyed.finalize().into()
    }
}

/// Where an event's encoding has the hash of its payload: behind version, recorded time and id.
pub(crate) const PAYLOAD_HASH_AT: usize = 8 + 8 + 16;

/// BLAKE3 of a payload or of metadata.
#[inline]
pub fn content_hash(bytes: &[u8]) -> Hash {
    blake3::hash(bytes).into()
}

/// The link of an event: BLAKE3 over the previous link and the event's digest, 64 bytes.
#[inline]
pub fn link(previous: &Hash, digest: &Hash) -> Hash {
    blake3::hash(&link_block(previous, digest)).into()
}

/// What a link is the hash of.
#[inline]
pub(crate) fn link_block(previous: &Hash, digest: &Hash) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let (left, right) = block.split_at_mut(32);
    left.copy_from_slice(previous);
    right.copy_from_slice(digest);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event<'a>(tags: &'a [&'a str]) -> Digestible<'a> {
        Digestible {
            entity: "order:1",
            version: 0,
            fact: "placed",
            scope: "org:acme",
            clock: &[1, 2, 3],
            id: [7; 16],
            recorded_us: 1_700_000_000_000_000,
            tags,
            content_type: "text/plain",
            metadata_kind: MetadataKind::None,
            metadata_hash: GENESIS,
            payload_hash: content_hash(b"hello"),
        }
    }

    #[test]
    fn the_encoding_fills_whole_blocks() {
        let mut out = Vec::new();
        event(&["a", "bc"]).encode(&mut out);
        assert_eq!(out.len() % 64, 0);
        assert!(out.len() >= 116);
    }

    #[test]
    fn every_field_changes_the_digest() {
        let mut digester = Digester::default();
        let base = digester.digest(&event(&["a"]));
        let variants: Vec<Hash> = [
            Digestible { entity: "order:2", ..event(&["a"]) },
            Digestible { version: 1, ..event(&["a"]) },
            Digestible { fact: "paid", ..event(&["a"]) },
            Digestible { scope: "", ..event(&["a"]) },
            Digestible { clock: &[1, 2], ..event(&["a"]) },
            Digestible { id: [8; 16], ..event(&["a"]) },
            Digestible { recorded_us: 1, ..event(&["a"]) },
            Digestible { tags: &["b"], ..event(&["a"]) },
            Digestible { content_type: "", ..event(&["a"]) },
            Digestible { metadata_kind: MetadataKind::Json, ..event(&["a"]) },
            Digestible { metadata_hash: [1; 32], ..event(&["a"]) },
            Digestible { payload_hash: [1; 32], ..event(&["a"]) },
        ]
        .iter()
        .map(|variant| digester.digest(variant))
        .collect();
        for (i, digest) in variants.iter().enumerate() {
            assert_ne!(*digest, base, "field {i}");
            assert!(!variants[..i].contains(digest));
        }
    }

    #[test]
    fn moving_a_byte_between_neighbouring_strings_changes_the_digest() {
        let mut digester = Digester::default();
        let one = digester.digest(&Digestible { entity: "ab", fact: "c", ..event(&[]) });
        let two = digester.digest(&Digestible { entity: "a", fact: "bc", ..event(&[]) });
        assert_ne!(one, two);
    }
}
