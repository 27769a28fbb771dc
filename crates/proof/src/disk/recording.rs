//! What was done to a disk, and what of it was durable at each moment.

use std::collections::HashMap;
use std::path::PathBuf;

use super::content::{Bytes, Content};
use super::image::{Effect, Image, Inode};
use crate::promise::{Promise, Promised};

/// A change that was done, and is not known to be on the disk.
#[derive(Debug, Clone)]
pub struct Pending {
    /// The name by which it was done.
    pub path: PathBuf,
    /// The change.
    pub effect: Effect,
    /// Whether it reaches the disk.
    pub standing: Standing,
}

/// Whether a change reaches the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A sync will bring it there.
    Open,
    /// A sync has failed, and none brings it there any more.
    Lost,
    /// It is there; kept in its place because an earlier one of the file is lost.
    Durable,
}

/// What is synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A file: its data and its length.
    File(Inode),
    /// The names in a directory.
    Directory(PathBuf),
}

impl Target {
    fn covers(&self, effect: &Effect) -> bool {
        match self {
            Self::File(inode) => effect.inode() == Some(*inode),
            Self::Directory(directory) => effect.directory() == Some(directory),
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A change.
    Did(Pending),
    /// A sync began: it covers what was done before.
    SyncBegan {
        /// Its number.
        sync: u64,
        /// What is synced.
        target: Target,
    },
    /// It is about to return.
    SyncEnded {
        /// Its number.
        sync: u64,
        /// It returns an error.
        failed: bool,
    },
    /// Somebody was promised something.
    Promised(Promise),
}

/// What happened to a disk.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// What was on it at first.
    pub image: Image,
    /// What was pending at first.
    pub pending: Vec<Pending>,
    /// What happened since, in order.
    pub log: Vec<Entry>,
}

/// A moment at which the power may be cut.
#[derive(Debug, Clone)]
pub struct Cut {
    /// How many entries of the log come before.
    pub at: usize,
    /// What is on the disk for certain.
    pub image: Image,
    /// What may be on it as well.
    pub pending: Vec<Pending>,
    /// What was promised.
    pub promised: Promised,
}

/// Why a moment is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// No other one since the last has more that may or may not be on the disk.
    Fullest,
    /// It was picked.
    Any,
}

impl Recording {
    /// All that was promised up to the end.
    pub fn promised(&self, before: &Promised) -> Promised {
        let mut promised = before.clone();
        for entry in &self.log {
            if let Entry::Promised(promise) = entry {
                promised.add(promise);
            }
        }
        promised
    }

    /// Shows the moments that have to be looked at, in order. What is pending only grows until something
    /// becomes durable, and a promise holds from then on: so whatever can be found on the disk after a cut
    /// at any entry can be found, with the same or more promised, after a cut at the next of those that are
    /// shown: before a sync makes something durable, and at the end. `also` picks others, for which that
    /// does not hold: while the system runs, nothing is lost.
    pub fn cuts(
        &self,
        promised: &Promised,
        also: &mut dyn FnMut() -> bool,
        visit: &mut dyn FnMut(&Cut, Moment),
    ) {
        let (image, pending) = (self.image.clone(), self.pending.clone());
        let mut cut = Cut { at: 0, image, pending, promised: promised.clone() };
        let mut syncs = HashMap::new();
        for (at, entry) in self.log.iter().enumerate() {
            cut.at = at;
            if also() {
                visit(&cut, Moment::Any);
            }
            match entry {
                Entry::Did(pending) => cut.add(pending),
                Entry::Promised(promise) => cut.promised.add(promise),
                Entry::SyncBegan { sync, target } => {
                    syncs.insert(*sync, (target, cut.pending.len()));
                }
                Entry::SyncEnded { sync, failed } => {
                    let Some((target, before)) = syncs.remove(sync) else { continue };
                    let covered = |pending: &Pending| {
                        pending.standing == Standing::Open && target.covers(&pending.effect)
                    };
                    if *failed {
                        let own = cut.pending.iter_mut().take(before).filter(|one| covered(one));
                        own.for_each(|pending| pending.standing = Standing::Lost);
                        continue;
                    }
                    if cut.pending.iter().take(before).any(covered) {
                        visit(&cut, Moment::Fullest);
                    }
                    let settled = cut.settle(before, covered);
                    for (_, other) in syncs.values_mut() {
                        *other -= settled.iter().filter(|place| **place < *other).count();
                    }
                }
            }
        }
        cut.at = self.log.len();
        visit(&cut, Moment::Fullest);
    }
}

impl Cut {
    /// What is on the disk if nothing is that need not be.
    pub fn least(&self) -> Image {
        let mut image = self.image.clone();
        let durable = self.pending.iter().filter(|one| one.standing == Standing::Durable);
        durable.for_each(|one| image.apply(&one.effect));
        image.prune();
        image
    }

    fn add(&mut self, pending: &Pending) {
        if let Effect::Data { inode, offset, bytes: Bytes::Zeros(length), .. } = &pending.effect {
            let range = *offset..offset + length;
            let overlaps = |other: &Pending| match &other.effect {
                Effect::Data { inode: own, offset, bytes, .. } => {
                    own == inode && *offset < range.end && range.start < offset + bytes.length()
                }
                effect => effect.inode() == Some(*inode) && !matches!(effect, Effect::Grown(..)),
            };
            let untouched = |content: &Content| content.is_untouched(range.clone());
            // Zeros where zeros are: there is nothing that could be lost.
            if self.image.content(*inode).is_none_or(untouched)
                && !self.pending.iter().any(overlaps)
            {
                return;
            }
        }
        self.pending.push(pending.clone());
    }

    /// Brings what a sync covers to the disk; returns where it stood among what was pending.
    fn settle(&mut self, before: usize, covered: impl Fn(&Pending) -> bool) -> Vec<usize> {
        let mut settled = Vec::new();
        let mut place = 0;
        let lost = |pending: &Pending| pending.standing == Standing::Lost;
        let behind: Vec<_> =
            self.pending.iter().filter(|one| lost(one)).map(|one| one.effect.inode()).collect();
        let image = &mut self.image;
        self.pending.retain_mut(|pending| {
            let mut now = place < before && covered(pending);
            if now && behind.contains(&pending.effect.inode()) {
                pending.standing = Standing::Durable;
                now = false;
            }
            if now {
                image.apply(&pending.effect);
                settled.push(place);
            }
            place += 1;
            !now
        });
        settled
    }
}
