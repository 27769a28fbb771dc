//! Verification: every CRC, every seal, every digest and link, read with read calls, in steps, so that
//! it can report progress and be given up at any moment.

use std::path::Path;
use std::sync::Arc;

mod event;
mod names;

use super::interrupt::Interrupt;
use super::plan::Plan;
use super::spec::{ReadSpec, Subject};
use crate::chain::Digester;
use crate::error::{Damage, Error, Result};
use crate::frame::{Frame, Kind, RunningHash, Seal};
use crate::index::LOST;
use crate::progress::Unobserved;
use crate::record::Record;
use crate::segment::{Found, HEADER_PAGE, Scanner, Segment};
use crate::shared::Shared;
use crate::view::{View, record_of};

use event::{Checked, check_event};

/// Bytes checked in one step.
const STEP_BYTES: u64 = 4 << 20;
/// Events of one entity checked in one step.
const STEP_EVENTS: u64 = 4096;

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VerifyProgress {
    /// Events checked.
    pub events: u64,
    /// Bytes checked.
    pub bytes: u64,
    /// Share of the work that is done, from 0 to 1.
    pub share: f64,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// Nothing is damaged.
    pub ok: bool,
    /// Events that are whole.
    pub events: u64,
    /// Entities whose first event is whole.
    pub entities: u64,
    /// Everything that is not.
    pub damage: Vec<Damage>,
}

/// A verification under way.
#[derive(Debug)]
pub struct Verification {
    shared: Arc<Shared>,
    view: View,
    scope: Scope,
    digester: Digester,
    report: VerifyReport,
    bytes: u64,
    total: u64,
}

#[derive(Debug)]
enum Scope {
    /// All segments, one after the other.
    Log { segment: usize, cursor: Option<Cursor> },
    /// One entity.
    Entity { spec: Box<ReadSpec>, plan: Plan, total: u64 },
}

/// A place within a segment.
#[derive(Debug)]
struct Cursor {
    scanner: Scanner,
    /// The segment was sealed when the cursor was made, so what it reads ends with a seal.
    sealed: bool,
    sums: Sums,
}

/// What the frames of a segment so far add up to.
#[derive(Debug)]
struct Sums {
    running: RunningHash,
    frames: u64,
    next_position: u64,
    sealed: bool,
    intact: bool,
}

impl Verification {
    pub(crate) fn new(shared: Arc<Shared>, entity: Option<&str>) -> Result<Self> {
        let mut view = shared.view();
        let (scope, total) = match entity {
            None => {
                let total = view.segments().iter().map(|s| s.end() - HEADER_PAGE).sum();
                (Scope::Log { segment: 0, cursor: None }, total)
            }
            Some(entity) => {
                let spec = Box::new(ReadSpec::new(Subject::Stream(entity.to_owned())));
                let count =
                    |view: &View| Plan::new(&spec, view)?.count(view, &Interrupt::default());
                let total = match shared.reading(count) {
                    // For the report, not instead of it.
                    Err(Error::Corrupt { .. }) => None,
                    total => total?,
                };
                view = shared.view();
                let plan = Plan::new(&spec, &view)?;
                (Scope::Entity { spec, plan, total: total.unwrap_or(0) }, 0)
            }
        };
        // What opening could not read at all, no scan will meet.
        let damage = if entity.is_none() { shared.damage() } else { Vec::new() };
        let report = VerifyReport { ok: true, events: 0, entities: 0, damage };
        Ok(Self { shared, view, scope, digester: Digester::default(), report, bytes: 0, total })
    }

    /// Does a slice of the work. The report comes when all is done.
    pub fn step(&mut self) -> Result<Option<VerifyReport>> {
        self.shared.check_open()?;
        for segment in self.view.segments() {
            segment.look_for_cut()?;
        }
        let done = match &mut self.scope {
            Scope::Log { .. } => self.step_log()?,
            Scope::Entity { .. } => self.step_entity()?,
        };
        if !done {
            return Ok(None);
        }
        self.shared.report(&self.report.damage);
        let damage = &mut self.report.damage;
        damage.sort_by_key(|damage| (damage.segment, damage.offset));
        // A read may have met a record of a frame that is damaged as a whole.
        damage.dedup_by(|later, earlier| {
            later.segment == earlier.segment && later.offset < earlier.offset + earlier.length
        });
        self.report.ok = damage.is_empty();
        Ok(Some(self.report.clone()))
    }

    /// How far it is.
    pub fn progress(&self) -> VerifyProgress {
        let share = match &self.scope {
            Scope::Log { .. } => self.bytes as f64 / self.total.max(1) as f64,
            Scope::Entity { total, .. } => self.report.events as f64 / (*total).max(1) as f64,
        };
        VerifyProgress { events: self.report.events, bytes: self.bytes, share: share.min(1.0) }
    }

    fn step_log(&mut self) -> Result<bool> {
        let until = self.bytes + STEP_BYTES;
        let view = self.view.clone();
        while self.bytes < until {
            let Scope::Log { segment, cursor } = &mut self.scope else {
                return Ok(true);
            };
            let Some(current) = view.segments().get(*segment) else {
                return Ok(true);
            };
            let Some(mut at) = cursor.take() else {
                match Cursor::new(current) {
                    Ok(begun) => *cursor = Some(begun),
                    Err(Error::Corrupt { damage }) => {
                        *segment += 1;
                        self.bytes += current.end() - HEADER_PAGE;
                        self.all_damaged(damage);
                    }
                    Err(error) => return Err(error),
                }
                continue;
            };
            let finished = self.step_segment(&view, current, &mut at)?;
            let Scope::Log { segment, cursor } = &mut self.scope else {
                return Ok(true);
            };
            if finished {
                *segment += 1;
            } else {
                *cursor = Some(at);
            }
        }
        Ok(false)
    }

    /// Checks the next frame of a segment; true at its end.
    fn step_segment(
        &mut self,
        view: &View,
        segment: &Arc<Segment>,
        at: &mut Cursor,
    ) -> Result<bool> {
        let offset = at.scanner.offset();
        if at.sums.sealed || at.sums.next_position >= view.end() && !at.sealed {
            return Ok(true);
        }
        let reason = match at.scanner.next()? {
            Found::Frame(frame) => {
                self.bytes += frame.end() - offset;
                check_frame(self, view, segment, &frame, &mut at.sums)?;
                return Ok(false);
            }
            Found::Limit => {
                if at.sealed {
                    self.damaged(segment.damage(offset, 0, "the segment has no seal"));
                }
                return Ok(true);
            }
            Found::Zeros => "zeros where a frame is expected",
            Found::Damaged(reason) => reason,
        };
        let more = at.scanner.resync()?;
        let to = at.scanner.offset();
        let mut damage = segment.damage(offset, to - offset, reason);
        at.sums.intact = false;
        self.bytes += to - offset;
        let next = match at.scanner.next()? {
            Found::Frame(frame) if more => frame.header.base,
            _ => first_behind(segment, view),
        };
        at.scanner.seek(to);
        if next > at.sums.next_position {
            damage.positions = Some((at.sums.next_position, next - 1));
            damage.entities = names::of_positions(view, at.sums.next_position, next);
            at.sums.next_position = next;
        }
        self.damaged(damage);
        Ok(!more)
    }

    fn damaged(&mut self, damage: Damage) {
        let same =
            |known: &&mut Damage| (known.segment, known.offset) == (damage.segment, damage.offset);
        match self.report.damage.iter_mut().find(same) {
            Some(known) => {
                known.positions = damage.positions.or(known.positions);
                damage.entities.into_iter().for_each(|name| names::add(&mut known.entities, name));
            }
            None => self.report.damage.push(damage),
        }
    }

    fn all_damaged(&mut self, damage: Vec<Damage>) {
        for one in damage {
            self.damaged(one);
        }
    }

    fn whole(&mut self, event: Checked) {
        self.report.events += 1;
        self.report.entities += u64::from(event.version == 0);
        let Some((lost, entity)) = event.behind else { return };
        for damage in &mut self.report.damage {
            if damage.positions.is_some_and(|(from, to)| (from..=to).contains(&lost)) {
                names::add(&mut damage.entities, entity.clone());
            }
        }
    }

    fn step_entity(&mut self) -> Result<bool> {
        for _ in 0..STEP_EVENTS {
            match self.check_next_of_entity() {
                Ok(true) => {}
                Ok(false) => return Ok(true),
                Err(Error::StaleIndex { path }) => self.start_over(&path)?,
                Err(error @ Error::Corrupt { .. }) => {
                    if !self.pass_lost(error)? {
                        return Ok(true);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Checks the next event of the entity; false if there is none.
    fn check_next_of_entity(&mut self) -> Result<bool> {
        let Scope::Entity { plan, spec, .. } = &mut self.scope else {
            return Ok(false);
        };
        let Some(hit) = plan.next(&self.view, &Interrupt::default())? else {
            return Ok(false);
        };
        let Some(part) = self.view.parts().get(hit.part) else {
            return Ok(false);
        };
        let position = part.base() + u64::from(hit.local);
        let checked = record_of(part, hit.local).and_then(|found| {
            let record = found.parse()?;
            self.bytes += record.payload.len() as u64;
            let time = found.segment.frame_of(found.offset, record.distance)?.recorded_us;
            check_event(&mut self.digester, &self.shared, found.segment, &record, position, time)
        });
        match checked {
            Ok(event) => {
                spec.from = Some(event.version + 1);
                self.whole(event);
            }
            Err(Error::Corrupt { damage }) => {
                spec.from = Some(spec.from.unwrap_or(0) + 1);
                self.all_damaged(damage);
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Notes that versions of the entity are lost, and goes on with the next one that is not. False if
    /// there is none.
    fn pass_lost(&mut self, error: Error) -> Result<bool> {
        let Scope::Entity { plan, spec, .. } = &mut self.scope else {
            return Ok(false);
        };
        let Subject::Stream(entity) = &spec.subject else { return Ok(false) };
        let next = match next_whole(&self.view, entity, spec.from.unwrap_or(0)) {
            // Where the entity is cannot be told either: it ends here.
            Err(Error::Corrupt { .. }) => None,
            next => next?,
        };
        if let Some(version) = next {
            spec.from = Some(version);
            *plan = Plan::new(spec, &self.view)?;
        }
        if let Error::Corrupt { damage } = self.shared.noting(error) {
            self.all_damaged(damage);
        }
        Ok(next.is_some())
    }

    /// Goes on with the entity's next event after a damaged index was built again.
    fn start_over(&mut self, path: &Path) -> Result<()> {
        self.shared.rebuild(&self.view, path, &Unobserved)?;
        self.view = self.shared.view().cut(self.view.end());
        if let Scope::Entity { plan, spec, .. } = &mut self.scope {
            *plan = Plan::new(spec, &self.view)?;
        }
        Ok(())
    }
}

/// Position of the first event behind a segment.
fn first_behind(segment: &Segment, view: &View) -> u64 {
    let number = segment.header.number;
    let next = view.segments().iter().find(|other| other.header.number > number);
    match next {
        Some(next) if next.header.number == number + 1 => next.header.base_position,
        // The segment between cannot be opened: what is known of this one says where it ends.
        _ => {
            let own = view.parts().iter().filter(|part| part.segment().header.number == number);
            let ends = own.map(|part| part.base() + u64::from(part.count()));
            ends.max().unwrap_or(segment.header.base_position).min(view.end())
        }
    }
}

/// The first version of an entity from one on that indexes know a place of.
fn next_whole(view: &View, entity: &str, from: u64) -> Result<Option<u64>> {
    for part in view.parts() {
        let Some(entry) = part.entity(entity)?.filter(|entry| entry.last_version() >= from) else {
            continue;
        };
        let skipped = from.saturating_sub(entry.first_version);
        for nth in skipped as u32..view.seen(part, &entry)? {
            if part.posting(&entry, nth)?.is_some_and(|local| local != LOST) {
                return Ok(Some(entry.first_version + u64::from(nth)));
            }
        }
    }
    Ok(None)
}

impl Cursor {
    fn new(segment: &Arc<Segment>) -> Result<Self> {
        // In this order: the writer seals beside this, and marks the segment when the seal is in it.
        let sealed = segment.is_sealed();
        Ok(Self {
            sealed,
            scanner: Scanner::new(segment, HEADER_PAGE, segment.end()),
            sums: Sums {
                running: segment.first_hash()?,
                frames: 0,
                next_position: segment.header.base_position,
                sealed: false,
                intact: true,
            },
        })
    }
}

/// Checks that the next segment goes on where the seal of one ends it.
fn check_next(
    verification: &mut Verification,
    view: &View,
    segment: &Segment,
    seal: &Frame<'_>,
    at: &Sums,
) {
    let number = segment.header.number + 1;
    let Some(next) = view.segments().iter().find(|next| next.header.number == number) else {
        return;
    };
    let frames = segment.header.base_log_index + at.frames + 1;
    let follows = next.header.base_position == at.next_position
        && (!at.intact || next.header.base_log_index == frames);
    if !follows {
        let reason = "the next segment does not go on where this one ends";
        let mut damage = segment.damage(seal.offset, u64::from(seal.header.length), reason);
        damage.positions = (next.header.base_position > at.next_position)
            .then(|| (at.next_position, next.header.base_position - 1));
        verification.damaged(damage);
    }
}

/// Checks what a whole frame says against what came before it, and each of its events.
fn check_frame(
    verification: &mut Verification,
    view: &View,
    segment: &Segment,
    frame: &Frame<'_>,
    at: &mut Sums,
) -> Result<()> {
    let header = &frame.header;
    let length = u64::from(header.length);
    if header.base != at.next_position {
        let mut damage = segment.damage(
            frame.offset,
            length,
            &format!("the frame starts at position {}, not {}", header.base, at.next_position),
        );
        damage.positions =
            (header.base > at.next_position).then(|| (at.next_position, header.base - 1));
        verification.damaged(damage);
        at.next_position = header.base;
        at.intact = false;
    }
    if header.kind == Kind::SEAL {
        at.sealed = true;
        let ours = Seal {
            events: at.next_position - segment.header.base_position,
            next_position: at.next_position,
            frames: at.frames,
            hash: at.running.0,
        };
        // Behind damage the running hash cannot match; the damage itself is reported.
        if at.intact && Seal::decode(frame) != Some(ours) {
            let reason = "the seal does not match the frames before it";
            verification.damaged(segment.damage(frame.offset, length, reason));
        }
        check_next(verification, view, segment, frame, at);
        return Ok(());
    }
    at.running.add(frame.fingerprint());
    at.frames += 1;
    if header.kind != Kind::EVENTS {
        return Ok(());
    }
    let last = frame.records().last().and_then(|(_, bytes)| Record::parse(bytes));
    if !last.is_some_and(|last| last.ends_append) {
        let reason = "the frame ends within an append";
        verification.damaged(segment.damage(frame.offset, length, reason));
    }
    for (position, (offset, bytes)) in (header.base..).zip(frame.records()) {
        if position >= view.end() {
            break;
        }
        let checked = Record::parse(bytes)
            .ok_or_else(|| segment.damaged(offset, bytes.len() as u64, "a record cannot be parsed"))
            .and_then(|record| {
                let digester = &mut verification.digester;
                let time = header.recorded_us;
                check_event(digester, &verification.shared, segment, &record, position, time)
            });
        match checked {
            Ok(event) => verification.whole(event),
            Err(Error::Corrupt { damage }) => {
                for mut one in damage {
                    (one.offset, one.length) = (offset, bytes.len() as u64);
                    one.positions.get_or_insert((position, position));
                    verification.damaged(one);
                }
            }
            Err(error) => return Err(error),
        }
    }
    at.next_position = header.base + u64::from(header.count);
    Ok(())
}
