//! Sets of a part's local numbers as they stand in a file: few as they are, many as a bitmap.

use roaring::{MultiOps, RoaringBitmap};

use crate::codec::{Reader, put_varint};

/// So many are not worth a bitmap.
const FEW: u64 = 16;
/// Sets that a union collects before it joins them.
const AT_ONCE: usize = 16;

/// Joins many sets, several at a time: one after the other, sorted lists would be merged again and
/// again.
#[derive(Debug, Default)]
pub(super) struct Union {
    sets: Vec<RoaringBitmap>,
}

impl Union {
    pub(super) fn add(&mut self, set: RoaringBitmap) {
        self.sets.push(set);
        if self.sets.len() == AT_ONCE {
            let joined = self.sets.drain(..).union();
            self.sets.push(joined);
        }
    }

    pub(super) fn finish(self) -> RoaringBitmap {
        self.sets.union()
    }
}

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

/// A stored set.
pub(super) fn read(stored: &[u8]) -> RoaringBitmap {
    if let Some((0, bytes)) = stored.split_first() {
        // The blocks' CRCs held, so this is what was serialized: it needs no other check.
        return RoaringBitmap::deserialize_unchecked_from(bytes).unwrap_or_default();
    }
    let mut set = RoaringBitmap::new();
    add(stored, 0, &mut set);
    set
}

/// Adds a stored set, each number raised by `shift`.
pub(super) fn add(stored: &[u8], shift: u32, set: &mut RoaringBitmap) {
    let Some((kind, bytes)) = stored.split_first() else { return };
    if *kind == 0 {
        let bitmap = read(stored);
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
