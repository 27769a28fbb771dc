//! What an engine has promised, as far as a power cut must not break it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use tetralog_core::Error;

/// Something that somebody was told.
#[derive(Debug, Clone)]
pub enum Promise {
    /// An append was acknowledged.
    Acknowledged {
        /// The number of the append.
        append: u64,
        /// Position of its first event.
        position: u64,
        /// At a level that says that it is on the disk.
        durable: bool,
    },
    /// Everything that was acknowledged before is on the disk.
    Synced,
    /// The events below a position are on the disk.
    SyncedBelow(u64),
    /// An entity has come to a version, and what that rests on is on the disk.
    Reached {
        /// The entity.
        entity: String,
        /// Its version.
        version: u64,
    },
    /// A recovery has shown what there is: that stays, and nothing else of before comes back.
    Settled {
        /// The appends, and their first positions.
        found: BTreeMap<u64, u64>,
        /// The number of the next append.
        next: u64,
    },
    /// So many bytes were cut off and kept.
    KeptAside(u64),
}

/// Is told what an engine promises, at the moment that it does.
pub trait Witness: Send + Sync + Debug {
    /// Something was promised.
    fn promise(&self, promise: Promise);

    /// An append failed, or, where there is no number, a sync.
    fn failed(&self, _append: Option<u64>, _error: &Error) {}
}

/// All that was promised up to a moment.
#[derive(Debug, Clone, Default)]
pub struct Promised {
    /// Positions of the appends that were acknowledged.
    pub acknowledged: BTreeMap<u64, u64>,
    /// Those of them that are on the disk.
    pub durable: BTreeSet<u64>,
    /// The events below this position are on the disk.
    pub below: u64,
    /// Versions that entities have come to.
    pub reached: BTreeMap<String, u64>,
    /// Appends with smaller numbers are acknowledged or gone.
    pub closed: u64,
    /// Something was cut off and kept.
    pub kept_aside: bool,
}

impl Promised {
    /// One more.
    pub fn add(&mut self, promise: &Promise) {
        match promise {
            Promise::Acknowledged { append, position, durable } => {
                self.acknowledged.insert(*append, *position);
                if *durable {
                    self.durable.insert(*append);
                }
            }
            Promise::Synced => self.durable.extend(self.acknowledged.keys()),
            Promise::SyncedBelow(position) => self.below = self.below.max(*position),
            Promise::Reached { entity, version } => {
                let reached = self.reached.entry(entity.clone()).or_default();
                *reached = (*reached).max(*version);
            }
            Promise::Settled { found, next } => {
                self.acknowledged.clone_from(found);
                self.durable = found.keys().copied().collect();
                self.closed = *next;
            }
            Promise::KeptAside(bytes) => self.kept_aside |= *bytes > 0,
        }
    }

    /// What a power cut leaves of it.
    #[must_use]
    pub fn after_power_cut(&self) -> Self {
        let mut left = self.clone();
        left.acknowledged.retain(|append, _| self.durable.contains(append));
        left
    }

    /// As long as the system runs, it keeps what was written: everything acknowledged is there.
    #[must_use]
    pub fn without_power_cut(&self) -> Self {
        let durable = self.acknowledged.keys().copied().collect();
        Self { durable, ..self.clone() }
    }
}
