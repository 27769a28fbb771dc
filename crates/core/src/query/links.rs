//! Previous links of events that were handed out without them.

use std::sync::Arc;

use crate::chain::Hash;
use crate::error::{Error, Result};
use crate::fs::patience;
use crate::shared::Shared;
use crate::view::View;

/// Looks up previous links. Holds on to what it reads from, also when the store is closed.
#[derive(Debug)]
pub struct Links {
    shared: Arc<Shared>,
}

impl Links {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The links that the events at some positions follow, 32 bytes each: of all of them if that takes
    /// no waiting and little time, else of the first one only, which is waited for.
    pub fn previous(&self, positions: &[u64]) -> Result<Vec<u8>> {
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
