//! Sets of a part's local numbers as they stand in a file: few as they are, many as a bitmap.

use roaring::RoaringBitmap;

use crate::codec::{Reader, put_varint};

/// So many are not worth a bitmap.
const FEW: u64 = 16;

/// Appends a set.
pub(super) fn put(out: &mut Vec<u8>, set: &RoaringBitmap) {
    if set.len() > FEW {
        out.push(0);
        // Writing into a vector cannot fail.
        let _ = set.serialize_into(out);
        return;
    }
    out.push(1);
    let mut last = 0;
    for local in set {
        put_varint(out, u64::from(local - last));
        last = local;
    }
}

/// Adds a stored set, each number raised by `shift`.
pub(super) fn add(stored: &[u8], shift: u32, set: &mut RoaringBitmap) {
    let Some((kind, bytes)) = stored.split_first() else { return };
    if *kind == 0 {
        // The blocks' CRCs held, so this is what was serialized.
        let bitmap = RoaringBitmap::deserialize_from(bytes).unwrap_or_default();
        if shift == 0 {
            *set |= bitmap;
        } else {
            set.extend(bitmap.into_iter().map(|local| local.wrapping_add(shift)));
        }
        return;
    }
    let mut reader = Reader::new(bytes);
    let mut last = shift;
    while let Some(step) = reader.varint() {
        last = last.wrapping_add(step as u32);
        set.insert(last);
    }
}
