//! Finding a changed byte by a CRC-32. The CRC is linear: what it is off by depends on the error and on its
//! distance from the end alone, not on the bytes around it. So one pass over the places tells at which of
//! them one changed byte explains what is there.

/// A byte to be changed: where, and by which bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flip {
    pub(super) at: usize,
    pub(super) bits: u8,
}

const POLYNOMIAL: u32 = 0xedb8_8320;

/// What one byte adds to the CRC, by its value.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        #[expect(clippy::indexing_slicing, reason = "at compile time, below 256")]
        {
            table[byte] = crc;
        }
        byte += 1;
    }
    table
};

/// The value whose entry in the table has this highest byte: each occurs once.
const BY_HIGHEST_BYTE: [u8; 256] = {
    let mut inverse = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::indexing_slicing, reason = "at compile time, below 256")]
        {
            inverse[(TABLE[byte] >> 24) as usize] = byte as u8;
        }
        byte += 1;
    }
    inverse
};

/// The single bytes that, changed, make `length` bytes match their CRC, which is off by `syndrome`
/// (the CRC of what is there, XOR the stored one).
pub(super) fn changed_bytes(syndrome: u32, length: usize) -> impl Iterator<Item = Flip> {
    let mut off_by = syndrome;
    (0..length).rev().filter_map(move |at| {
        let bits = BY_HIGHEST_BYTE.get((off_by >> 24) as usize).copied().unwrap_or_default();
        let own = TABLE.get(usize::from(bits)).copied().unwrap_or_default();
        let flip = (bits != 0 && own == off_by).then_some(Flip { at, bits });
        // One step back: what it was off by before the byte behind this place.
        off_by = (off_by ^ own) << 8 | u32::from(bits);
        flip
    })
}

/// The byte of the stored CRC itself that was changed, if it is one.
pub(super) fn changed_in_crc(syndrome: u32) -> Option<Flip> {
    let bytes = syndrome.to_le_bytes();
    let mut changed = bytes.iter().enumerate().filter(|(_, bits)| **bits != 0);
    let (at, bits) = changed.next()?;
    changed.next().is_none().then_some(Flip { at, bits: *bits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_changed_byte_is_found(
            bytes in proptest::collection::vec(any::<u8>(), 1..500),
            at: proptest::sample::Index,
            bits in 1..=255_u8,
        ) {
            let stored = crc32fast::hash(&bytes);
            let at = at.index(bytes.len());
            let mut changed = bytes;
            changed[at] ^= bits;
            let found: Vec<_> =
                changed_bytes(crc32fast::hash(&changed) ^ stored, changed.len()).collect();
            prop_assert!(found.contains(&Flip { at, bits }), "{found:?}");
        }
    }

    #[test]
    fn a_changed_byte_of_the_crc_is_found_and_two_are_not_guessed() {
        assert_eq!(changed_in_crc(0x0000_4000), Some(Flip { at: 1, bits: 0x40 }));
        assert_eq!(changed_in_crc(0x0100_4000), None);
        assert_eq!(changed_in_crc(0), None);
    }
}
