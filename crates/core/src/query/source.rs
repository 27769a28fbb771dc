//! What events need that is not in their batch: strings, and the links that they follow.

use std::sync::Arc;

use crate::chain::Hash;
use crate::error::{Error, Result};
use crate::fs::patience;
use crate::shared::Shared;
use crate::view::View;

/// Looks up what belongs to events that were handed out. Holds on to what it reads from, also when the
/// store is closed.
#[derive(Debug)]
pub struct Source {
    shared: Arc<Shared>,
}

impl Source {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The string that the event at a position refers to so.
    pub fn text(&self, position: u64, reference: u32) -> Result<String> {
        self.shared.reading(|view| {
            let part = view.locate(position).and_then(|(part, _)| view.parts().get(part));
            let part = part.ok_or_else(|| view.hole(position))?;
            Ok(part.segment().string(reference)?.into_owned())
        })
    }

    /// The links that the events at some positions follow, 32 bytes each: of all of them if that takes
    /// no waiting and little time, else of the first one only, which is waited for.
    pub fn previous_links(&self, positions: &[u64]) -> Result<Vec<u8>> {
        let all = || self.shared.reading(|view| links_of(view, positions));
        match patience::without_waiting(all) {
            Err(Error::WouldWait) => {
                let first = positions.get(..1).unwrap_or_default();
                self.shared.reading(|view| links_of(view, first))
            }
            links => links,
        }
    }
}

fn links_of(view: &View, positions: &[u64]) -> Result<Vec<u8>> {
    let mut links = Vec::with_capacity(positions.len() * size_of::<Hash>());
    for position in positions {
        links.extend_from_slice(&view.previous_link(*position)?);
    }
    Ok(links)
}
