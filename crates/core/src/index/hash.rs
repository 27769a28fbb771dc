//! Hashes of entities and of caller-given ids, keyed by the store's id: nobody who does not know it
//! can choose names that collide.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128, SipHasher13 as SipHasher13Wide};

use crate::error::Result;

/// Hash of a name, an entity's for one. At 128 bits under a random key two entities of one store share it with a
/// probability below 10^-22 at 10^8 entities, less than that of an undetected error of the disk: the
/// directory takes equal hashes for equal names.
pub(crate) fn name_hash(store_id: [u8; 16], name: &[u8]) -> [u64; 2] {
    let mut hasher = SipHasher13Wide::new_with_key(&store_id);
    hasher.write(name);
    let hash = hasher.finish128();
    [hash.h1, hash.h2]
}

/// Hash of an id within its entity. Whoever finds one looks at the record: two may share it.
pub(crate) fn id_hash(store_id: [u8; 16], entity: &str, id: &[u8; 16]) -> u64 {
    let mut hasher = SipHasher13::new_with_key(&store_id);
    hasher.write(id);
    hasher.write(entity.as_bytes());
    hasher.finish()
}

/// The salt of a derived file's CRCs, from what it belongs to.
pub(super) fn salt(store_id: [u8; 16], numbers: &[u64]) -> [u8; 8] {
    let mut hasher = SipHasher13::new_with_key(&store_id);
    for number in numbers {
        hasher.write_u64(*number);
    }
    hasher.finish().to_le_bytes()
}

/// Where a uniform hash falls among `count` places.
pub(super) fn scaled(hash: u64, count: usize) -> usize {
    ((u128::from(hash) * count as u128) >> 64) as usize
}

/// The first of `count` ascending words that is not below `wanted`. The words are uniform, so its place
/// is guessed, and searched for around the guess: what is looked at lies close together.
pub(super) fn first_from(
    count: usize,
    wanted: u64,
    word: impl Fn(usize) -> Result<u64>,
) -> Result<usize> {
    first_near(count, scaled(wanted, count), wanted, word)
}

/// As [`first_from`], from a guess below `count`.
pub(super) fn first_near(
    count: usize,
    guess: usize,
    wanted: u64,
    word: impl Fn(usize) -> Result<u64>,
) -> Result<usize> {
    if count == 0 {
        return Ok(0);
    }
    let (mut low, mut high, mut step) = (0, guess, 1);
    if word(guess)? < wanted {
        low = guess + 1;
        while low + step < count && word(low + step)? < wanted {
            low += step + 1;
            step *= 2;
        }
        high = (low + step).min(count);
    } else {
        while high > step && word(high - step)? >= wanted {
            high -= step;
            step *= 2;
        }
        low = high.saturating_sub(step).max(low);
    }
    while low < high {
        let middle = low.midpoint(high);
        if word(middle)? < wanted { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_from_any_on_is_found() {
        for count in [0, 1, 2, 3, 10, 1000] {
            let even = |n: usize| (n as u64) * (u64::MAX / 1000);
            let skewed = |n: usize| (n as u64).pow(3);
            for words in [&even as &dyn Fn(usize) -> u64, &skewed] {
                let all: Vec<u64> = (0..count).map(words).collect();
                for near in all.iter().copied().chain([0, u64::MAX]) {
                    for wanted in [near.saturating_sub(1), near, near.saturating_add(1)] {
                        let found = first_from(count, wanted, |n| Ok(all[n])).unwrap();
                        assert_eq!(found, all.partition_point(|word| *word < wanted));
                        for guess in [0, count / 3, count.saturating_sub(1)] {
                            let near = first_near(count, guess, wanted, |n| Ok(all[n])).unwrap();
                            assert_eq!(near, found, "whatever the guess was");
                        }
                    }
                }
            }
        }
    }
}
