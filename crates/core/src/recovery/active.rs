//! Taking up the active segment: what of it is proven, what is rot, and where the log goes on.

use std::sync::Arc;

use crate::error::Result;
use crate::frame::HEADER_LEN;
use crate::fs::UNREADABLE;
use crate::head::Head;
use crate::index::{Part, Scan, Scanned, Tail, index_past_damage, index_runs, is_plausible};
use crate::keeper::Spare;
use crate::limits::{FRAME_MAX_BYTES, UNSYNCED_MAX_BYTES};
use crate::progress::Watch;
use crate::segment::{Found, HEADER_PAGE, Scanner, Segment};
use crate::shared::Shared;
use crate::upkeep::{unwritten, write_run};
use crate::writer::Start;

use super::sealed::load_runs;
use super::torn::{cut_torn_tail, settle, settle_names, zero_behind};
use super::{Recovered, Recovery};

/// Takes up the active segment: its runs, then the frames behind them. Where it is not known to be the
/// log's last, what cannot be read of it is not torn.
pub(super) fn load_active(
    shared: &Shared,
    active: Arc<Segment>,
    head: Option<Head>,
    spare: Option<Spare>,
    is_last: bool,
    watch: &Watch<'_>,
) -> Result<Recovered> {
    let length = active.file_length()?;
    active.advance(HEADER_PAGE);
    shared.change_layout(|layout| layout.segments.push(Arc::clone(&active)));
    // Zeros stand for a boot that cannot be told from others.
    let boot = shared.host.boot_id();
    let same_boot = head.filter(|head| head.boot_id == boot && boot != [0; 16]);
    let published = same_boot.filter(|h| !h.poisoned && h.segment == active.header.number);
    // Beside a live writer, what it has not published yet is none of a reader's business.
    let limit = match same_boot.filter(|head| head.segment == active.header.number) {
        Some(head) if shared.options.read_only => head.offset.min(length),
        _ => length,
    };
    let (start, base, before) = load_runs(shared, &active, limit, watch)?;
    let scan = Scan { segment: &active, start, base, limit, past_damage: false, before, watch };
    let own = head.filter(|head| head.segment == active.header.number);
    let synced = own.map_or(0, |head| head.durable_upto);
    let indexed = index_runs(&scan, &mut |tail, durable| {
        shared.change_layout(|layout| layout.parts.push(Part::Tail(tail)));
        write_runs(shared, &active, durable.max(synced));
    })?;
    let (tail, mut scanned, stretch) = (indexed.tail, indexed.scanned, indexed.stretch);
    shared.change_layout(|layout| layout.parts.push(Part::Tail(Arc::clone(&tail))));
    shared.report(&scanned.damage);
    if scanned.sealed {
        active.set_sealed();
    }
    let proven = proven(&active, &scanned, head, published, limit)?;
    let mut recovery = Recovery {
        clean: own.is_some_and(|head| head.clean && head.offset == scanned.end),
        torn_bytes: 0,
        replayed_events: scanned.next_position - base,
    };
    if scanned.end < proven.offset || proven.unreadable {
        pass_rot(shared, &active, &tail, &mut scanned, &proven, limit)?;
        recovery.clean = false;
    }
    if !shared.options.read_only && !recovery.clean {
        // Beside damage nothing is cut; what is about to be published is made durable all the same.
        if is_last && !shared.is_damaged() && !scanned.sealed {
            recovery.torn_bytes = cut_torn_tail(shared, &active, scanned.end, length)?;
            zero_behind(&active, scanned.end, length)?;
        }
        settle(&active, proven.durable, scanned.end, shared.is_damaged())?;
    }
    if !shared.options.read_only && (!recovery.clean || spare.is_some()) {
        settle_names(shared)?;
    }
    shared.set_synced(scanned.next_position);
    shared.publish(scanned.next_position);
    let layout = shared.layout();
    let store_clock = layout.parts.iter().map(Part::last_store_clock).max().unwrap_or(0);
    let recorded_us = active.header.created_us.max(stretch.recorded_us).max(last_recorded(&layout));
    let start = Start {
        active,
        active_size: length,
        offset: scanned.end,
        tail,
        next_position: scanned.next_position,
        recorded_us,
        store_clock,
        frames: stretch.frames,
        running: stretch.running,
        sealed: scanned.sealed,
        clean: recovery.clean,
    };
    Ok(Recovered { start, spare, recovery })
}

/// Writes the runs of frames that are known to be durable. The others are left to the keeper: what a run
/// covers is not looked at again when the store is opened, so a run must not outlast any of it.
fn write_runs(shared: &Shared, active: &Arc<Segment>, durable: u64) {
    if shared.options.read_only {
        return;
    }
    for tail in unwritten(&shared.layout()) {
        if Arc::ptr_eq(tail.segment(), active) && tail.extent().end <= durable {
            // If that fails, the tail answers, and the keeper tries again.
            let _ = write_run(shared, &tail);
        }
    }
}

fn last_recorded(layout: &crate::shared::Layout) -> u64 {
    let times = layout.parts.iter().rev().filter_map(|part| match part {
        Part::File(file) => Some(file.stretch().recorded_us),
        Part::Tail(_) => None,
    });
    times.max().unwrap_or(0)
}

/// What is proven to have been durable, or acknowledged, in the active segment.
#[derive(Debug, Clone, Copy)]
struct Proven {
    /// Damage below is rot.
    offset: u64,
    /// Known to have been synced. Less than `offset` where only the page cache keeps the rest.
    durable: u64,
    next_position: Option<u64>,
    /// Not all behind the last whole frame can be read. Nobody can tell what stood there: nothing is torn.
    unreadable: bool,
}

fn proven(
    active: &Arc<Segment>,
    scanned: &Scanned,
    head: Option<Head>,
    published: Option<Head>,
    limit: u64,
) -> Result<Proven> {
    let durable = scanned.durable_upto;
    let mut proven = Proven { offset: durable, durable, next_position: None, unreadable: false };
    let own = head.filter(|head| head.segment == active.header.number);
    if let Some(head) = own.filter(|head| head.durable_upto > proven.offset) {
        proven.offset = head.durable_upto;
        proven.durable = head.durable_upto;
        proven.next_position = (head.offset == head.durable_upto).then_some(head.next_position);
    }
    // Within one boot the page cache keeps what was acknowledged, synced or not.
    if let Some(head) = published.filter(|head| head.offset > proven.offset) {
        proven.offset = head.offset;
        proven.next_position = Some(head.next_position);
    }
    let closed_here = own.is_some_and(|head| head.clean && head.offset == scanned.end);
    if scanned.stop.is_some() && !closed_here {
        let reach = (scanned.end + UNSYNCED_MAX_BYTES + FRAME_MAX_BYTES).min(limit);
        let mut beyond = Scanner::new(active, scanned.end, reach);
        while beyond.resync()? {
            if let Found::Frame(frame) = beyond.next()? {
                proven.offset = proven.offset.max(u64::from(frame.header.durable_upto));
            }
        }
        proven.unreadable = beyond.met_unreadable();
    }
    Ok(proven)
}

/// Damage below what was durable: reported, and passed over so that whole events stay readable.
fn pass_rot(
    shared: &Shared,
    active: &Arc<Segment>,
    tail: &Tail,
    scanned: &mut Scanned,
    proven: &Proven,
    limit: u64,
) -> Result<()> {
    let rest = index_past_damage(active, tail, scanned.end, limit)?;
    let mut damage = rest.damage.clone();
    if rest.end < proven.offset || proven.unreadable {
        let short = "the file is shorter than what was written";
        let reason = if proven.unreadable { UNREADABLE } else { rest.stop.unwrap_or(short) };
        let length = proven.offset.saturating_sub(rest.end).max(HEADER_LEN as u64);
        let mut lost = active.damage(rest.end, length, reason);
        if let Some(next) = proven.next_position.filter(|next| *next > rest.next_position) {
            lost.positions = Some((rest.next_position, next - 1));
        }
        damage.push(lost);
    }
    let mut next_position = rest.next_position;
    if let Some(next) = proven.next_position.filter(|next| *next > next_position)
        && is_plausible(next - next_position, limit)
    {
        tail.add_hole(next - next_position);
        next_position = next;
    }
    *scanned = Scanned { next_position, ..rest };
    shared.report(&damage);
    Ok(())
}
