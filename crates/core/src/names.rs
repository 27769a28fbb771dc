//! A table of strings, each with a value, that are found by name or by number. Numbers count from 0 in
//! the order of insertion and stay valid until the table is cut or cleared.

use std::hash::BuildHasher;
use std::ops::Range;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Names and their values.
#[derive(Debug)]
pub(crate) struct Names<T> {
    hasher: DefaultHashBuilder,
    numbers: HashTable<Numbered>,
    /// All names, one behind the other: side by side they take fewer lines of the processor's cache.
    text: String,
    /// Where each name ends, and its value.
    rows: Vec<(usize, T)>,
}

/// A name's number beside its hash, so that growing touches no name, and beside its place, so that finding
/// touches no row.
#[derive(Debug, Clone, Copy)]
struct Numbered {
    hash: u64,
    start: usize,
    length: u32,
    number: u32,
}

impl Numbered {
    fn range(&self) -> Range<usize> {
        self.start..self.start + self.length as usize
    }
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        let hasher = DefaultHashBuilder::default();
        Self { hasher, numbers: HashTable::new(), text: String::new(), rows: Vec::new() }
    }
}

impl<T> Names<T> {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Bytes of the names, without what stands beside each.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(name);
        let same =
            |other: &Numbered| other.hash == hash && self.text.get(other.range()) == Some(name);
        self.numbers.find(hash, same).map(|found| found.number)
    }

    /// Adds a name that is not in the table.
    pub(crate) fn insert(&mut self, name: &str, value: T) -> u32 {
        let (start, length, number) = (self.text.len(), name.len() as u32, self.rows.len() as u32);
        self.text.push_str(name);
        self.rows.push((self.text.len(), value));
        let hash = self.hasher.hash_one(name);
        let numbered = Numbered { hash, start, length, number };
        self.numbers.insert_unique(hash, numbered, |other| other.hash);
        number
    }

    pub(crate) fn name(&self, number: u32) -> &str {
        self.range(number).and_then(|range| self.text.get(range)).unwrap_or_default()
    }

    fn range(&self, number: u32) -> Option<Range<usize>> {
        let number = number as usize;
        let (end, _) = self.rows.get(number)?;
        let start = number.checked_sub(1).and_then(|before| self.rows.get(before));
        Some(start.map_or(0, |(start, _)| *start)..*end)
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        self.rows.get(number as usize).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.rows.get_mut(number as usize).map(|(_, value)| value)
    }

    pub(crate) fn value(&self, name: &str) -> Option<&T> {
        self.find(name).and_then(|number| self.get(number))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        (0..).map(|number| self.name(number)).zip(self.rows.iter().map(|(_, value)| value))
    }

    /// Forgets the names from a number on.
    pub(crate) fn truncate(&mut self, length: usize) {
        while self.rows.len() > length {
            let last = self.rows.len() as u32 - 1;
            let hash = self.hasher.hash_one(self.name(last));
            if let Ok(entry) = self.numbers.find_entry(hash, |other| other.number == last) {
                entry.remove();
            }
            let start = self.range(last).map_or(0, |range| range.start);
            self.rows.pop();
            self.text.truncate(start);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.numbers.clear();
        self.rows.clear();
        self.text.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_by_its_number_and_the_number_by_the_name() {
        let mut names = Names::default();
        for nth in 0..1000_u32 {
            assert_eq!(names.insert(&format!("name {nth}"), nth), nth);
        }
        for nth in 0..1000 {
            assert_eq!(names.find(&format!("name {nth}")), Some(nth));
            assert_eq!((names.name(nth), names.get(nth)), (&*format!("name {nth}"), Some(&nth)));
        }
        assert_eq!((names.find("other"), names.get(1000)), (None, None));
    }

    #[test]
    fn cut_names_are_gone_and_the_others_stay() {
        let mut names = Names::default();
        for nth in 0..100_u32 {
            names.insert(&format!("name {nth}"), ());
        }
        names.truncate(40);
        assert_eq!(
            (names.len(), names.find("name 39"), names.find("name 40")),
            (40, Some(39), None)
        );
        assert_eq!(names.bytes(), 10 * "name 0".len() + 30 * "name 10".len());
        assert_eq!(names.insert("name 40", ()), 40);
        names.clear();
        assert_eq!((names.len(), names.bytes(), names.find("name 0")), (0, 0, None));
    }
}
