//! Listing entities in bytewise order: the parts' sorted names, merged a page at a time.

use std::collections::BTreeSet;

use super::batch::FLAG_LAST;
use crate::codec::{patch, put_f64, put_u32};
use crate::error::Result;
use crate::view::{EntityHead, View};

/// Names looked at in one page.
const PAGE: usize = 1024;

/// A page of entities.
#[derive(Debug, Default)]
pub(super) struct EntityPage {
    pub(super) rows: Vec<(String, EntityHead)>,
    /// Where the next page goes on; `None` at the end.
    pub(super) next_after: Option<String>,
}

/// The next entities after a name.
pub(super) fn page(view: &View, prefix: &str, after: Option<&str>) -> Result<EntityPage> {
    let mut names = BTreeSet::new();
    for part in view.parts() {
        if part.base() < view.end() {
            names.extend(part.names(prefix, after, PAGE)?);
        }
    }
    let more = names.len() > PAGE;
    let mut page = EntityPage::default();
    let names: Vec<String> = names.into_iter().take(PAGE).collect();
    // A part that gave a full page may have more names before the last one of another part.
    let complete = names.len() < PAGE && !more;
    page.next_after = names.last().filter(|_| !complete).cloned();
    for name in names {
        if let Some(head) = view.head_of(&name)? {
            page.rows.push((name, head));
        }
    }
    Ok(page)
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
