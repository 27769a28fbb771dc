//! CRC-32 (IEEE 802.3, reflected, as zlib's) salted with the segment and the place. Bytes that are
//! whole but stand in another file, at another offset, or inside a payload never pass.

/// The checksums of one segment.
#[derive(Debug, Clone)]
pub(crate) struct Checksum {
    salted: crc32fast::Hasher,
}

impl Checksum {
    pub(crate) fn new(salt: [u8; 8]) -> Self {
        let mut salted = crc32fast::Hasher::new();
        salted.update(&salt);
        Self { salted }
    }

    /// A running checksum of what stands at `offset` of the segment: salt, offset as u64, bytes.
    #[inline]
    pub(crate) fn at(&self, offset: u64) -> crc32fast::Hasher {
        let mut hasher = self.salted.clone();
        hasher.update(&offset.to_le_bytes());
        hasher
    }

    #[inline]
    pub(crate) fn of(&self, offset: u64, bytes: &[u8]) -> u32 {
        let mut hasher = self.at(offset);
        hasher.update(bytes);
        hasher.finalize()
    }
}
