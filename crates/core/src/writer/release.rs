//! Releasing groups in log order: synced where that was asked for, published, their outcomes handed
//! over. While one group is being released, the next one is built.
//!
//! Invariant: after one failed sync the store is poisoned before anybody can take a later sync for a
//! success. The error of a failed sync is reported once only, so syncs never overlap.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::delivery::Delivery;
use super::queue::Queue;
use crate::error::Result;
use crate::head::{Head, HeadPage};
use crate::keeper::Keeper;
use crate::segment::{HEADER_PAGE, Segment};
use crate::shared::Shared;

/// A place in the log that something has reached.
#[derive(Debug, Clone)]
pub(crate) struct Reached {
    pub(crate) segment: Arc<Segment>,
    /// End of the last frame in it.
    pub(crate) offset: u64,
    /// Position of the next event.
    pub(crate) next_position: u64,
}

impl Reached {
    fn covers(&self, other: &Self) -> bool {
        let place = |reached: &Self| (reached.segment.header.number, reached.offset);
        place(self) >= place(other)
    }
}

/// What is written, and how much of it is synced.
#[derive(Debug)]
pub(crate) struct Durable {
    shared: Arc<Shared>,
    written: Mutex<Reached>,
    synced: Mutex<Reached>,
    syncing: Mutex<()>,
}

impl Durable {
    /// All that there is when a store is opened is synced.
    pub(crate) fn new(shared: Arc<Shared>, start: &Reached) -> Self {
        Self {
            shared,
            written: Mutex::new(start.clone()),
            synced: Mutex::new(start.clone()),
            syncing: Mutex::default(),
        }
    }

    pub(super) fn set_written(&self, reached: Reached) {
        *self.written.lock() = reached;
    }

    /// A fresh segment: its header is written and synced, and the one before it is sealed and synced.
    pub(super) fn set_started(&self, reached: &Reached) {
        self.set_written(reached.clone());
        *self.synced.lock() = reached.clone();
    }

    /// Bytes of a segment that are synced.
    pub(super) fn synced_upto(&self, segment: &Segment) -> u64 {
        let synced = self.synced.lock();
        let same = synced.segment.header.number == segment.header.number;
        if same { synced.offset } else { HEADER_PAGE }
    }

    /// Syncs all that is written.
    pub(super) fn sync(&self) -> Result<()> {
        let written = self.written.lock().clone();
        self.reach(&written)
    }

    /// Sees to it that the log is synced up to a place. A failure poisons the store.
    pub(crate) fn reach(&self, place: &Reached) -> Result<()> {
        let _alone = self.syncing.lock();
        if let Some(error) = self.shared.poisoned() {
            return Err(error);
        }
        if self.synced.lock().covers(place) {
            return Ok(());
        }
        let written = self.written.lock().clone();
        if let Err(error) = written.segment.sync() {
            self.shared.poison(&error.to_string());
            return Err(self.shared.poisoned().unwrap_or(error));
        }
        self.shared.set_synced(written.next_position);
        let mut synced = self.synced.lock();
        if !synced.covers(&written) {
            *synced = written;
        }
        Ok(())
    }
}

/// The release, as a turn holds it: from the moment that it needs it to the turn's end.
#[derive(Debug)]
pub(super) struct Held<'a> {
    release: &'a Mutex<Release>,
    guard: Option<MutexGuard<'a, Release>>,
}

impl<'a> Held<'a> {
    pub(super) fn new(release: &'a Mutex<Release>) -> Self {
        Self { release, guard: None }
    }

    /// Waits until everything that was written before is released.
    pub(super) fn get(&mut self) -> &mut Release {
        self.guard.get_or_insert_with(|| self.release.lock())
    }
}

/// Releases groups, one after another.
#[derive(Debug)]
pub(super) struct Release {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    keeper: Arc<Keeper>,
    durable: Arc<Durable>,
    head_page: HeadPage,
    boot_id: [u8; 16],
    released: Reached,
    /// HEAD says that the store was closed in order, and nothing was written since.
    clean: bool,
}

impl Release {
    pub(super) fn new(
        shared: Arc<Shared>,
        queue: Arc<Queue>,
        keeper: Arc<Keeper>,
        durable: Arc<Durable>,
        head_page: HeadPage,
        released: Reached,
        clean: bool,
    ) -> Self {
        let boot_id = shared.host.boot_id();
        Self { shared, queue, keeper, durable, head_page, boot_id, released, clean }
    }

    /// Whether HEAD says that the store was closed in order.
    pub(super) fn is_clean(&self) -> bool {
        self.clean
    }

    /// Takes that back before anything is written, and durably: what a crash leaves behind the log's end
    /// would not be looked at otherwise.
    pub(super) fn begin(&mut self) -> Result<()> {
        if self.clean {
            self.head_page.store(&self.head(false))?;
            self.head_page.sync()?;
            self.clean = false;
        }
        Ok(())
    }

    /// Releases a group that is written up to a place: syncs if that is asked for, publishes it, and
    /// hands its outcomes over.
    pub(super) fn release(&mut self, written: Result<Reached>, delivery: &mut Delivery) {
        let released = written.and_then(|reached| {
            if delivery.is_synced(&self.shared) {
                self.durable.reach(&reached)?;
            }
            match self.shared.poisoned() {
                Some(error) => Err(error),
                None => Ok(reached),
            }
        });
        match released {
            Ok(reached) => {
                self.publish(reached);
                delivery.release(&self.queue);
            }
            Err(error) => {
                self.shared.poison(&error.to_string());
                self.store_head(false);
                let error = self.shared.poisoned().unwrap_or(error);
                delivery.reject_decided(&error, &self.queue);
            }
        }
    }

    /// Lets readers of this and other processes see the log up to a place.
    pub(super) fn publish(&mut self, reached: Reached) {
        self.released = reached;
        self.store_head(false);
        self.shared.publish(self.released.next_position);
    }

    /// Says in HEAD how far the log is. A HEAD that cannot be stored only delays other processes.
    pub(super) fn store_head(&self, clean: bool) {
        let _ = self.head_page.store(&self.head(clean));
    }

    fn head(&self, clean: bool) -> Head {
        let poisoned = self.shared.poisoned().is_some();
        let Reached { segment, offset, next_position } = &self.released;
        let durable_upto = self.durable.synced_upto(segment).min(*offset);
        let synced = self.shared.synced().min(*next_position);
        Head {
            store_id: self.shared.store_id,
            boot_id: self.boot_id,
            segment: segment.header.number,
            offset: if poisoned { durable_upto } else { *offset },
            next_position: if poisoned { synced } else { *next_position },
            durable_upto,
            manifest_generation: self.keeper.manifest_generation(),
            clean,
            poisoned,
            replaced: false,
        }
    }

    /// Says that the store was closed in order.
    pub(super) fn close(&mut self) {
        self.store_head(true);
        let _ = self.head_page.sync();
    }
}
