//! Segments that cannot be opened at all, and the positions that are lost with them.

use crate::error::{AtPath, Damage, Error, Result};
use crate::head::Head;
use crate::limits::POSITION_MAX;
use crate::manifest::Manifest;
use crate::segment::HEADER_PAGE;
use crate::shared::{Layout, Shared};

use super::listed::is_unallocated;

/// Segments of a log that cannot be opened, by number.
#[derive(Debug, Default)]
pub(super) struct Unreadable(Vec<Damage>);

impl Unreadable {
    pub(super) fn add(&mut self, segment: u64, length: u64, reason: &str) {
        if self.0.iter().any(|known| known.segment == segment) {
            return;
        }
        self.0.push(Damage {
            segment,
            offset: 0,
            length,
            reason: reason.to_owned(),
            positions: None,
            entities: Vec::new(),
        });
    }

    pub(super) fn damage(&self) -> &[Damage] {
        &self.0
    }

    /// The error of a log of which no segment can be opened.
    pub(super) fn as_error(&self) -> Error {
        Error::Corrupt { damage: self.0.clone() }
    }

    /// Looks for the segment behind the last one that could be opened: one that HEAD says was in use, or
    /// whose file was made before the last one was sealed.
    pub(super) fn expect_next(
        &mut self,
        shared: &Shared,
        manifest: &Manifest,
        head: Option<Head>,
        last: u64,
        sealed: bool,
    ) -> Result<()> {
        let number = last + 1;
        let path = shared.segment_path(number);
        let there = shared.fs.kind(&path).at(&path)?.is_some() && !is_unallocated(shared, &path)?;
        let listed = manifest.segments.iter().any(|(listed, _)| *listed == number);
        let unused = head.is_some_and(|head| head.segment == last && is_exact(shared, &head));
        if head.is_some_and(|head| head.segment > last) || sealed && listed && !there && !unused {
            self.add(
                number,
                if there { HEADER_PAGE } else { 0 },
                if there && listed {
                    "the segment's header page is empty, though HEAD says that the segment is in use"
                } else if there {
                    "the MANIFEST does not list the segment, though HEAD says that it is in use"
                } else {
                    "the segment's file is missing, though the one before it is sealed"
                },
            );
        }
        Ok(())
    }

    /// Where the log ends, as far as it is known, if segments behind one cannot be opened: what reads to there
    /// has to meet what is lost. Of which nothing is known, there is one event at least.
    pub(super) fn end_behind(
        &self,
        shared: &Shared,
        head: Option<Head>,
        last: u64,
        next_position: u64,
    ) -> Option<u64> {
        if head.is_some_and(|head| head.segment == last && is_exact(shared, &head)) {
            return None;
        }
        let behind = self.0.iter().filter(|damage| damage.segment > last);
        let ends = behind.map(|damage| damage.positions.map_or(next_position, |(_, to)| to) + 1);
        ends.max().map(|end| end.min(POSITION_MAX))
    }

    /// Names the positions that are lost. Of neighbours it cannot be told which of them held which: each
    /// names those of all.
    pub(super) fn place(&mut self, layout: &Layout, head: Option<Head>) {
        let numbers: Vec<u64> = self.0.iter().map(|damage| damage.segment).collect();
        for damage in &mut self.0 {
            let is_lost = |number: &u64| numbers.contains(number);
            let first = (1..damage.segment).rev().take_while(is_lost).last();
            let first = first.unwrap_or(damage.segment);
            let behind = layout.segments.iter().find(|one| one.header.number > damage.segment);
            let ends = layout.parts.iter().filter(|part| part.segment().header.number < first);
            let from = ends.map(|part| part.base() + u64::from(part.count())).max().unwrap_or(0);
            let to = match behind {
                Some(behind) => Some(behind.header.base_position),
                None => head.filter(|head| head.segment >= first).map(|head| head.next_position),
            };
            damage.positions = to.filter(|to| *to > from).map(|to| (from, to - 1));
        }
    }
}

/// Whether HEAD says where the log ends: stored when it was closed, or seen through the page cache of one boot.
fn is_exact(shared: &Shared, head: &Head) -> bool {
    let boot = shared.host.boot_id();
    head.clean || head.boot_id == boot && boot != [0; 16]
}
