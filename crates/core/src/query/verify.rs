//! Verification: every CRC, every seal, every digest and link, read with read calls, in steps, so that
//! it can report progress and be given up at any moment.

use std::path::Path;
use std::sync::Arc;

use super::interrupt::Interrupt;
use super::plan::Plan;
use super::spec::{ReadSpec, Subject};
use crate::chain::{Digester, Digestible, GENESIS, Hash, MetadataKind, content_hash, link};
use crate::error::{Damage, Error, Result};
use crate::frame::{Frame, Kind, RunningHash, Seal};
use crate::record::Record;
use crate::segment::{Found, HEADER_PAGE, Scanner, Segment};
use crate::shared::Shared;
use crate::view::{View, record_of};

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
                let total = shared
                    .reading(|view| Plan::new(&spec, view)?.count(view, &Interrupt::default()))?;
                view = shared.view();
                let plan = Plan::new(&spec, &view)?;
                (Scope::Entity { spec, plan, total: total.unwrap_or(0) }, 0)
            }
        };
        let report = VerifyReport { ok: true, events: 0, entities: 0, damage: Vec::new() };
        Ok(Self { shared, view, scope, digester: Digester::default(), report, bytes: 0, total })
    }

    /// Does a slice of the work. The report comes when all is done.
    pub fn step(&mut self) -> Result<Option<VerifyReport>> {
        self.shared.check_open()?;
        let done = match &mut self.scope {
            Scope::Log { .. } => self.step_log()?,
            Scope::Entity { .. } => self.step_entity()?,
        };
        if !done {
            return Ok(None);
        }
        // What opening could not read at all, no scan will meet.
        for damage in self.shared.damage() {
            let known = |d: &Damage| d.segment == damage.segment && d.offset == damage.offset;
            if !self.report.damage.iter().any(known) {
                self.report.damage.push(damage);
            }
        }
        self.shared.report(&self.report.damage);
        self.report.ok = self.report.damage.is_empty();
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
                        self.report.damage.extend(damage);
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
            damage.entities = entities_of(view, at.sums.next_position, next);
            at.sums.next_position = next;
        }
        self.damaged(damage);
        Ok(!more)
    }

    fn damaged(&mut self, damage: Damage) {
        self.report.damage.push(damage);
    }

    fn step_entity(&mut self) -> Result<bool> {
        for _ in 0..STEP_EVENTS {
            match self.check_next_of_entity() {
                Ok(true) => {}
                Ok(false) => return Ok(true),
                Err(Error::StaleIndex { path }) => self.start_over(&path)?,
                // A version is lost, and the stream ends there.
                Err(Error::Corrupt { damage }) => {
                    self.report.damage.extend(damage);
                    return Ok(true);
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
            Ok(version) => {
                self.report.events += 1;
                self.report.entities += u64::from(version == 0);
            }
            Err(Error::Corrupt { damage }) => self.report.damage.extend(damage),
            Err(error) => return Err(error),
        }
        spec.from = Some(spec.from.unwrap_or(0) + 1);
        Ok(true)
    }

    /// Goes on with the entity's next event after a damaged index was built again.
    fn start_over(&mut self, path: &Path) -> Result<()> {
        self.shared.rebuild(&self.view, path)?;
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
    next.map_or(view.end(), |next| next.header.base_position)
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
            Ok(version) => {
                verification.report.events += 1;
                verification.report.entities += u64::from(version == 0);
            }
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

/// Checks an event's link: digest of the event, linked to the entity's previous event. Returns its version.
fn check_event(
    digester: &mut Digester,
    shared: &Shared,
    segment: &Segment,
    record: &Record<'_>,
    position: u64,
    recorded_us: u64,
) -> Result<u64> {
    let entity = segment.string(record.entity)?;
    let broken = |reason: &str| {
        let mut damage = segment.damage(0, 0, reason);
        damage.positions = Some((position, position));
        damage.entities = vec![entity.clone().into_owned()];
        Err(Error::Corrupt { damage: vec![damage] })
    };
    let previous = match record.back {
        0 if record.version == 0 => GENESIS,
        0 => return broken("an event is not the first of its entity, but linked to none"),
        back => match previous_of(shared, position, back, &entity)? {
            Some((version, hash)) if version + 1 == record.version => hash,
            Some(_) => return broken("an event's previous event is not the version before it"),
            None => return broken("an event's previous event cannot be read"),
        },
    };
    let tags = record.tags().map(|tag| segment.string(tag)).collect::<Result<Vec<_>>>()?;
    let tags: Vec<&str> = tags.iter().map(AsRef::as_ref).collect();
    let digest = digester.digest(&Digestible {
        entity: &entity,
        version: record.version,
        fact: &segment.string(record.fact)?,
        scope: &segment.string(record.scope)?,
        clock: record.clock,
        id: *record.id,
        recorded_us,
        tags: &tags,
        content_type: &segment.string(record.content_type)?,
        metadata_kind: record.metadata_kind,
        metadata_hash: match record.metadata_kind {
            MetadataKind::None => GENESIS,
            _ => content_hash(record.metadata),
        },
        payload_hash: content_hash(record.payload),
    });
    if link(&previous, &digest) == *record.link {
        Ok(record.version)
    } else {
        broken("an event's link does not match the event and the one before it")
    }
}

/// Version and link of the event `back` positions earlier, if it is whole and of the same entity. Where it
/// stands does not change, so any view finds it, also one in which a damaged index was built again.
fn previous_of(
    shared: &Shared,
    position: u64,
    back: u64,
    entity: &str,
) -> Result<Option<(u64, Hash)>> {
    let Some(previous) = position.checked_sub(back) else { return Ok(None) };
    let found = shared.reading(|view| {
        view.with_record(previous, |segment, record| {
            let same = segment.string(record.entity)? == entity;
            Ok(same.then_some((record.version, *record.link)))
        })
    });
    match found {
        Err(Error::Corrupt { .. }) => Ok(None),
        found => found,
    }
}

/// The entities that the index names for a range of positions, a few of them.
fn entities_of(view: &View, from: u64, to: u64) -> Vec<String> {
    let mut names = Vec::new();
    for part in view.parts() {
        let base = part.base();
        if base + u64::from(part.count()) <= from || base >= to {
            continue;
        }
        for name in part.names("", None, usize::MAX).unwrap_or_default() {
            let Ok(Some(entry)) = part.entity(&name) else {
                continue;
            };
            let inside = (0..entry.count).any(|nth| {
                let local = part.posting(&entry, nth).ok().flatten();
                local.is_some_and(|local| (from..to).contains(&(base + u64::from(local))))
            });
            if inside && names.len() < 100 {
                names.push(name);
            }
        }
    }
    names
}
