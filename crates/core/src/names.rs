//! A table of strings, each with a value, that are found by name or by number. Numbers count from 0 in
//! the order of insertion and stay valid until the table is cut or cleared.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Names and their values.
#[derive(Debug)]
pub(crate) struct Names<T> {
    hasher: DefaultHashBuilder,
    numbers: HashTable<Numbered>,
    rows: Vec<(Box<str>, T)>,
    /// Of all names together.
    bytes: usize,
}

/// A name's number beside its hash, so that growing touches no name.
#[derive(Debug, Clone, Copy)]
struct Numbered {
    hash: u64,
    number: u32,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        let hasher = DefaultHashBuilder::default();
        Self { hasher, numbers: HashTable::new(), rows: Vec::new(), bytes: 0 }
    }
}

impl<T> Names<T> {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Bytes of the names, without what stands beside each.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(name);
        let same = |other: &Numbered| other.hash == hash && self.name(other.number) == name;
        self.numbers.find(hash, same).map(|found| found.number)
    }

    /// Adds a name that is not in the table.
    pub(crate) fn insert(&mut self, name: &str, value: T) -> u32 {
        let number = self.rows.len() as u32;
        self.rows.push((name.into(), value));
        self.bytes += name.len();
        let hash = self.hasher.hash_one(name);
        self.numbers.insert_unique(hash, Numbered { hash, number }, |other| other.hash);
        number
    }

    pub(crate) fn name(&self, number: u32) -> &str {
        self.rows.get(number as usize).map_or("", |(name, _)| name)
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
        self.rows.iter().map(|(name, value)| (&**name, value))
    }

    /// Forgets the names from a number on.
    pub(crate) fn truncate(&mut self, length: usize) {
        while self.rows.len() > length {
            let last = self.rows.len() as u32 - 1;
            let hash = self.hasher.hash_one(self.name(last));
            if let Ok(entry) = self.numbers.find_entry(hash, |other| other.number == last) {
                entry.remove();
            }
            if let Some((name, _)) = self.rows.pop() {
                self.bytes -= name.len();
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.numbers.clear();
        self.rows.clear();
        self.bytes = 0;
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
