//! Listing entities in bytewise order: the parts' sorted names, merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::vec::IntoIter;

use super::batch::FLAG_LAST;
use super::interrupt::Interrupt;
use crate::codec::{patch, put_f64, put_u32};
use crate::error::Result;
use crate::view::{EntityHead, View};

/// Names that are asked of all parts together, and of one part at least.
const NAMES_AT_ONCE: usize = 4096;
const NAMES_OF_A_PART: usize = 16;

/// Merges the parts' names. Holds a few names of each part at a time.
#[derive(Debug)]
pub(super) struct Names {
    prefix: String,
    /// The next name of each part that has one, the smallest on top.
    next: BinaryHeap<Reverse<(String, usize)>>,
    parts: Vec<PartNames>,
    at_once: usize,
}

/// What a part has given behind its name in the heap.
#[derive(Debug, Default)]
struct PartNames {
    names: IntoIter<String>,
    exhausted: bool,
}

impl Names {
    /// The names with a prefix behind another one, of which so many are wanted.
    pub(super) fn new(view: &View, prefix: &str, after: Option<&str>, wanted: u64) -> Result<Self> {
        let count = view.parts().len();
        let share = (NAMES_AT_ONCE / count.max(1)).max(NAMES_OF_A_PART);
        let mut names = Self {
            prefix: prefix.to_owned(),
            next: BinaryHeap::new(),
            parts: std::iter::repeat_with(PartNames::default).take(count).collect(),
            at_once: usize::try_from(wanted).map_or(share, |wanted| share.min(wanted.max(1))),
        };
        for part in 0..count {
            names.advance(view, part, after)?;
        }
        Ok(names)
    }

    /// The next entity that the view sees.
    pub(super) fn next(
        &mut self,
        view: &View,
        interrupt: &Interrupt,
    ) -> Result<Option<(String, EntityHead)>> {
        while let Some(Reverse((name, part))) = self.next.pop() {
            interrupt.check()?;
            self.advance(view, part, Some(&name))?;
            let mut holders = vec![part];
            while let Some(part) = self.pop_same(&name) {
                self.advance(view, part, Some(&name))?;
                holders.push(part);
            }
            holders.sort_unstable();
            for part in holders.into_iter().rev() {
                if let Some(index) = view.parts().get(part)
                    && let Some(entry) = index.entity(&name)?
                    && let Some(head) = view.head_in(index, &entry)?
                {
                    return Ok(Some((name, head)));
                }
            }
        }
        Ok(None)
    }

    /// A part whose next name is this one too.
    fn pop_same(&mut self, name: &str) -> Option<usize> {
        let same = self.next.peek().is_some_and(|Reverse((other, _))| other == name);
        if !same {
            return None;
        }
        self.next.pop().map(|Reverse((_, part))| part)
    }

    /// Puts a part's next name into the heap; `after` is the one it gave last.
    fn advance(&mut self, view: &View, nth: usize, after: Option<&str>) -> Result<()> {
        let (Some(own), Some(part)) = (self.parts.get_mut(nth), view.parts().get(nth)) else {
            return Ok(());
        };
        let mut name = own.names.next();
        if name.is_none() && !own.exhausted && part.base() < view.end() {
            let names = part.names(&self.prefix, after, self.at_once)?;
            own.exhausted = names.len() < self.at_once;
            own.names = names.into_iter();
            name = own.names.next();
        }
        self.next.extend(name.map(|name| Reverse((name, nth))));
        Ok(())
    }
}

/// Packs rows for the way out: count, flags, fixed rows, names.
pub(super) fn pack(rows: &[(String, EntityHead)], last: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + rows.len() * 48);
    put_u32(&mut out, rows.len() as u32);
    put_u32(&mut out, if last { FLAG_LAST } else { 0 });
    for (name, head) in rows {
        put_f64(&mut out, head.version as f64);
        put_f64(&mut out, head.position as f64);
        put_u32(&mut out, 0);
        put_u32(&mut out, name.len() as u32);
    }
    for (nth, (name, _)) in rows.iter().enumerate() {
        let start = out.len() as u32;
        patch(&mut out, 8 + nth * 24 + 16, &start.to_le_bytes());
        out.extend_from_slice(name.as_bytes());
    }
    out
}
