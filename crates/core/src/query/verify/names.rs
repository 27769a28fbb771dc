//! Which entities lost events belong to, as far as it can be told.

use crate::error::Result;
use crate::view::View;

/// Names in one damage: enough to see who is affected.
pub(super) const NAMED_MAX: usize = 100;
/// Names asked of an index at once.
const PAGE: usize = 1000;

/// Adds a name, if there is room.
pub(super) fn add(names: &mut Vec<String>, name: String) {
    if names.len() < NAMED_MAX && !names.contains(&name) {
        names.push(name);
    }
}

/// The entities that indexes name for a range of positions.
pub(super) fn of_positions(view: &View, from: u64, to: u64) -> Vec<String> {
    let mut found = Vec::new();
    for (nth, part) in view.parts().iter().enumerate() {
        let base = part.base();
        if base < to && base + u64::from(part.count()) > from {
            // An index may be damaged too: then it names nobody.
            let _ = of_part(view, nth, from..to, &mut found);
        }
    }
    found
}

fn of_part(
    view: &View,
    nth: usize,
    positions: std::ops::Range<u64>,
    found: &mut Vec<String>,
) -> Result<()> {
    let Some(part) = view.parts().get(nth) else { return Ok(()) };
    let mut after: Option<String> = None;
    while found.len() < NAMED_MAX {
        let page = part.names("", after.as_deref(), PAGE)?;
        for name in &page {
            let Some(entry) = part.entity(name)? else { continue };
            let inside = |local: &u32| positions.contains(&(part.base() + u64::from(*local)));
            if part.postings(&entry, 0..entry.count)?.iter().any(inside) {
                add(found, name.clone());
            }
        }
        after = match page.last() {
            Some(last) => Some(last.clone()),
            None => return Ok(()),
        };
    }
    Ok(())
}
