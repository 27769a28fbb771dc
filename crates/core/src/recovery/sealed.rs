//! Taking up a sealed segment, and the runs of any.

use std::sync::Arc;

use crate::error::Result;
use crate::frame::{Kind as FrameKind, SEAL_LEN};
use crate::index::{IndexFile, Part, Scan, Stretch, index_runs, is_plausible};
use crate::progress::Watch;
use crate::segment::{Found, HEADER_PAGE, Scanner, Segment, SegmentHeader};
use crate::shared::Shared;

/// Takes up a sealed segment: by its index, or by its runs and reading what they do not cover.
pub(super) fn load_sealed(
    shared: &Shared,
    segment: &Arc<Segment>,
    next: &SegmentHeader,
    watch: &Watch<'_>,
) -> Result<()> {
    segment.set_sealed();
    // Where the segment behind it cannot be opened, nothing but the segment says where it ends.
    let follows = next.number == segment.header.number + 1;
    let next_base = follows.then_some(next.base_position);
    let path = segment.index_path();
    let index = IndexFile::open(&*shared.fs, &path, segment, HEADER_PAGE)
        .filter(|index| index.is_of_the_log().unwrap_or(false))
        .filter(|index| {
            next_base.is_none_or(|next| index.base() + u64::from(index.count()) == next)
        });
    shared.change_layout(|layout| layout.segments.push(Arc::clone(segment)));
    if let Some(index) = index {
        segment.advance(index.extent().end);
        shared.change_layout(|layout| layout.parts.push(Part::File(Arc::new(index))));
        return Ok(());
    }
    let length = segment.file_length()?;
    let (start, base, before) = load_runs(shared, segment, length, watch)?;
    let covered = segment.end();
    let scan = Scan { segment, start, base, limit: length, past_damage: true, before, watch };
    let indexed = index_runs(&scan, &mut |tail, _| {
        let part = shared.part_of(tail);
        shared.change_layout(|layout| layout.parts.push(part));
    })?;
    let (tail, scanned) = (indexed.tail, indexed.scanned);
    let mut damage = scanned.damage.clone();
    if !scanned.sealed {
        damage.push(segment.damage(
            scanned.end,
            length - scanned.end,
            "the segment has a successor but no seal",
        ));
    }
    let lost = next_base.map_or(0, |next| next.saturating_sub(scanned.next_position));
    if lost > 0 && is_plausible(lost, length) {
        tail.add_hole(lost);
        if damage.is_empty() {
            damage.push(segment.damage(scanned.end, 0, "events are missing before the seal"));
        }
        if let Some(last) = damage.last_mut() {
            last.positions = Some((scanned.next_position, scanned.next_position + lost - 1));
        }
    }
    shared.report(&damage);
    tail.finish(indexed.stretch);
    if tail.count() > 0 || tail.extent().end > covered {
        let part = if damage.is_empty() { shared.part_of(tail) } else { Part::Tail(tail) };
        shared.change_layout(|layout| layout.parts.push(part));
    }
    Ok(())
}

/// Takes up the runs of a segment up to `limit`, as far as they follow each other and the log. Returns
/// where the frames begin that no run covers, the position there, and what is known of the frames
/// before. A seal is always among those that are read.
pub(super) fn load_runs(
    shared: &Shared,
    segment: &Arc<Segment>,
    limit: u64,
    watch: &Watch<'_>,
) -> Result<(u64, u64, Stretch)> {
    let (mut start, mut base) = (HEADER_PAGE, segment.header.base_position);
    let mut stretch = Stretch { recorded_us: 0, frames: 0, running: segment.first_hash()? };
    loop {
        let path = shared.run_path(segment.header.number, start);
        let run = IndexFile::open(&*shared.fs, &path, segment, start)
            .filter(|run| run.extent().end <= limit && run.base() == base)
            .filter(|run| run.is_of_the_log().unwrap_or(false));
        let Some(run) = run else { break };
        watch.advance(0, run.extent().end - start)?;
        start = run.extent().end;
        base += u64::from(run.count());
        stretch = run.stretch();
        segment.advance(start);
        shared.change_layout(|layout| layout.parts.push(Part::File(Arc::new(run))));
    }
    if let Some(seal) = start.checked_sub(SEAL_LEN).filter(|seal| *seal >= HEADER_PAGE)
        && let Found::Frame(frame) = Scanner::new(segment, seal, start).next()?
        && frame.header.kind == FrameKind::SEAL
    {
        start = seal;
    }
    Ok((start, base, stretch))
}
