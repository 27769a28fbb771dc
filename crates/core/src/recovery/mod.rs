//! Opening a store: what is there, how much of it is whole, and where the log goes on.
//!
//! Invariant: nothing is cut that could have been acknowledged as durable. D is the highest offset of
//! the active segment that is proven to have been synced: by any whole frame's `durable upto`, by
//! HEAD, or by a clean close. Damage below D is rot: it stays, and the store opens read-only. What is
//! torn above D is copied aside, then zeroed. What is whole above D may be only in the page cache, so
//! it is written again and synced before anything is published, and before a run covers it.

mod active;
mod creation;
mod listed;
mod sealed;
mod torn;
mod unreadable;

use std::path::Path;
use std::sync::Arc;

use crate::error::{AtPath, Result};
use crate::fs::OpenMode;
use crate::head::{Head, HeadPage};
use crate::keeper::Spare;
use crate::manifest::Manifest;
use crate::progress::Watch;
use crate::segment::{HEADER_PAGE, Segment};
use crate::shared::Shared;
use crate::upkeep::{clean, load_directory};
use crate::writer::Start;

pub(crate) use creation::{create, make_directory, survey};

use active::load_active;
pub(crate) use listed::is_spare;
use listed::open_segments;
use sealed::load_sealed;

/// Where the lock is.
pub(crate) const LOCK: &str = "LOCK";
/// Where torn bytes are kept.
const TORN: &str = "torn";

/// Why a store whose read-compatible features are unknown is not opened for writing.
pub(crate) const NEWER_WRITER: &str =
    "it has features of a newer version: open the store with readOnly, or with that version";

/// What opening did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// The store was closed in order, or is new.
    pub clean: bool,
    /// Bytes behind the last whole frame that were copied aside and zeroed.
    pub torn_bytes: u64,
    /// Events that were read again because no index covered them.
    pub replayed_events: u64,
}

/// A store's directory, read.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) start: Start,
    pub(crate) spare: Option<Spare>,
    pub(crate) recovery: Recovery,
}

/// Reads the segments that the manifest lists, and prepares what comes next.
pub(crate) fn recover(
    shared: &Shared,
    manifest: &Manifest,
    head: Option<Head>,
    watch: &Watch<'_>,
) -> Result<Recovered> {
    let head = head.filter(|head| head.store_id == manifest.store_id);
    let mode = if shared.options.read_only { OpenMode::Read } else { OpenMode::Write };
    let names = Names::list(shared);
    let mut found = open_segments(shared, manifest, mode, head.is_some(), &names.segments)?;
    let Some(active) = found.segments.pop() else {
        found.unreadable.place(&shared.layout(), head);
        return Err(found.unreadable.as_error());
    };
    // From now on nothing is made that rests on the log being whole.
    shared.report(found.unreadable.damage());
    if let Some(catalog) = found.catalog.take() {
        let put_off = catalog.segments(&shared.fs, &shared.segments_directory());
        shared
            .change_layout(|layout| (layout.segments, layout.parts) = put_off.into_iter().unzip());
        *shared.catalog.lock() = Some(catalog);
    }
    expect_work(shared, &found.segments, &active, head, watch)?;
    for (nth, segment) in found.segments.iter().enumerate() {
        let next = found.segments.get(nth + 1).unwrap_or(&active);
        load_sealed(shared, segment, &next.header, watch)?;
    }
    let number = active.header.number;
    let mut unreadable = found.unreadable;
    let ahead = head.is_some_and(|head| head.segment > number);
    let is_last = !ahead && unreadable.damage().iter().all(|damage| damage.segment < number);
    let recovered = load_active(shared, active, head, found.spare, is_last, watch)?;
    unreadable.expect_next(shared, manifest, head, number, recovered.start.sealed)?;
    unreadable.place(&shared.layout(), head);
    shared.report(unreadable.damage());
    if let Some(end) = unreadable.end_behind(shared, head, number, recovered.start.next_position) {
        shared.publish(end);
    }
    load_directory(shared, &names.runs);
    if !shared.options.read_only {
        clean(shared, &names.runs, &names.segments);
    }
    Ok(recovered)
}

/// The names in a store's folders.
struct Names {
    segments: Vec<String>,
    runs: Vec<String>,
}

impl Names {
    fn list(shared: &Shared) -> Self {
        let list = |folder: &Path| shared.fs.list(folder).unwrap_or_default();
        Self { segments: list(&shared.segments_directory()), runs: list(&shared.runs_directory()) }
    }
}

/// Declares what will have to be read, as far as the names of files tell.
fn expect_work(
    shared: &Shared,
    sealed: &[Arc<Segment>],
    active: &Segment,
    head: Option<Head>,
    watch: &Watch<'_>,
) -> Result<()> {
    for segment in sealed {
        let path = segment.index_path();
        if shared.fs.kind(&path).at(&path)?.is_none() {
            watch.expect(segment.file_length()?);
        }
    }
    let own = head.filter(|head| head.segment == active.header.number);
    let length = active.file_length()?;
    watch.expect(own.map_or(length, |head| head.offset.min(length)).saturating_sub(HEADER_PAGE));
    watch.report()
}

/// The head page of a store, if it can be read.
pub(crate) fn read_head(shared: &Shared) -> Option<Head> {
    HeadPage::open(&*shared.fs, &shared.directory)?.read()
}
