//! Links of the events that a scan has just passed: the event that one follows is mostly among them.

use crate::chain::Hash;

/// How many are remembered: 1 MiB of them. Enough for nearly all events of ten thousand busy entities.
const REMEMBERED: u64 = 1 << 15;

/// Links of the last events, by position.
#[derive(Debug)]
pub(super) struct RecentLinks {
    links: Box<[Hash]>,
    /// Positions of the events remembered: those before them were overwritten, or not passed.
    start: u64,
    end: u64,
}

impl RecentLinks {
    pub(super) fn new() -> Self {
        Self { links: vec![[0; 32]; REMEMBERED as usize].into(), start: 0, end: 0 }
    }

    /// Remembers an event's link. Forgets all others if it does not follow the last one.
    #[inline]
    pub(super) fn add(&mut self, position: u64, link: &Hash) {
        if position != self.end {
            self.start = position;
        }
        self.end = position + 1;
        self.start = self.start.max(self.end.saturating_sub(REMEMBERED));
        if let Some(place) = self.links.get_mut((position % REMEMBERED) as usize) {
            *place = *link;
        }
    }

    /// The link of the event at a position, if it is remembered.
    #[inline]
    pub(super) fn get(&self, position: u64) -> Option<&Hash> {
        if (self.start..self.end).contains(&position) {
            self.links.get((position % REMEMBERED) as usize)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_links_are_remembered_and_none_that_was_passed_over() {
        let link = |position: u64| [position as u8 ^ (position >> 8) as u8; 32];
        let mut recent = RecentLinks::new();
        for position in (5..20).chain(100..100 + 2 * REMEMBERED) {
            recent.add(position, &link(position));
            assert_eq!(recent.get(position), Some(&link(position)));
            assert_eq!(recent.get(position + 1), None);
        }
        let end = 100 + 2 * REMEMBERED;
        assert_eq!(recent.get(end - REMEMBERED - 1), None);
        assert_eq!(recent.get(19), None);
        for position in end - REMEMBERED..end {
            assert_eq!(recent.get(position), Some(&link(position)));
        }
    }

    #[test]
    fn a_gap_makes_it_forget() {
        let mut recent = RecentLinks::new();
        recent.add(7, &[1; 32]);
        recent.add(9, &[2; 32]);
        assert_eq!(recent.get(7), None);
        assert_eq!(recent.get(8), None);
        assert_eq!(recent.get(9), Some(&[2; 32]));
    }
}
