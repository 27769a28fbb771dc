//! The strings that are defined in the active segment, by number.

use crate::names::Names;

/// Strings that the writer remembers as defined in the active segment. When there are more, it
/// forgets them all and defines again what comes: readers do not care.
const MAX_STRINGS: usize = 65_536;
/// Bytes that they may have.
const MAX_BYTES: usize = 8 << 20;
/// The number of the empty string, which is never defined.
pub(super) const EMPTY: u32 = u32::MAX;

/// Where the strings of the active segment are defined; of entities, their heads know.
#[derive(Debug)]
pub(super) struct Dictionary {
    strings: Names<Defined>,
    epoch: u64,
}

/// What is known of a string.
#[derive(Debug)]
struct Defined {
    offset: u32,
    /// The tail, by its base, in which it has been a fact or a scope, and its numbers there.
    tail: u64,
    fact: Option<u32>,
    scope: Option<u32>,
}

impl Defined {
    /// Forgets the numbers of another tail.
    fn move_to(&mut self, tail: u64) {
        if self.tail != tail {
            (self.tail, self.fact, self.scope) = (tail, None, None);
        }
    }
}

impl Default for Dictionary {
    fn default() -> Self {
        Self { strings: Names::default(), epoch: 1 }
    }
}

impl Dictionary {
    /// Makes room; only between groups.
    pub(super) fn trim(&mut self) {
        if self.strings.len() > MAX_STRINGS || self.strings.bytes() > MAX_BYTES {
            self.clear();
        }
    }

    pub(super) fn clear(&mut self) {
        self.strings.clear();
        self.epoch += 1;
    }

    pub(super) fn text(&self, number: u32) -> &str {
        self.strings.name(number)
    }

    /// Strings defined, in the order of their definitions.
    pub(super) fn len(&self) -> usize {
        self.strings.len()
    }

    /// Forgets the strings from a number on.
    pub(super) fn truncate(&mut self, length: usize) {
        self.strings.truncate(length);
    }

    pub(super) fn find(&self, text: &str) -> Option<u32> {
        self.strings.find(text)
    }

    /// Notes where a string is defined; returns its number.
    pub(super) fn insert(&mut self, text: &str, offset: u32) -> u32 {
        self.strings.insert(text, Defined { offset, tail: 0, fact: None, scope: None })
    }

    /// Changes when everything is forgotten. Counts from 1.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What stands for a string in a record; 0 for the empty one.
    pub(super) fn reference(&self, number: u32) -> u32 {
        self.strings.get(number).map_or(0, |defined| defined.offset)
    }

    /// A string's number as a fact of the tail with a base, if it is known.
    pub(super) fn fact_of(&self, number: u32, tail: u64) -> Option<u32> {
        self.strings.get(number).filter(|defined| defined.tail == tail)?.fact
    }

    /// Its number as a scope.
    pub(super) fn scope_of(&self, number: u32, tail: u64) -> Option<u32> {
        self.strings.get(number).filter(|defined| defined.tail == tail)?.scope
    }

    /// Notes the numbers that a fact and a scope have in a tail.
    pub(super) fn note(&mut self, tail: u64, fact: (u32, Option<u32>), scope: (u32, Option<u32>)) {
        if let Some(defined) = self.strings.get_mut(fact.0) {
            defined.move_to(tail);
            defined.fact = fact.1;
        }
        if let Some(defined) = self.strings.get_mut(scope.0) {
            defined.move_to(tail);
            defined.scope = scope.1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_strings_are_forgotten_by_their_bytes() {
        let mut dictionary = Dictionary::default();
        let long = "x".repeat(1000);
        let epoch = dictionary.epoch();
        for nth in 0..20_000 {
            dictionary.insert(&format!("{long}{nth}"), nth);
            dictionary.trim();
            assert!(dictionary.strings.bytes() <= MAX_BYTES);
        }
        assert!(dictionary.epoch() > epoch);
    }
}
