//! Appends as they are handed to the writer: packed bytes, so that one call carries all that a caller
//! has, and nothing is allocated for an event before the writer looks at it.

use crate::chain::MetadataKind;
use crate::codec::{Reader, patch, put_bytes32, put_f64, put_u32};
use crate::error::{Error, Expected, Result};
use crate::event::NewEvent;
use crate::filter::Filter;
use crate::limits::{APPEND_MAX_EVENTS, FILTER_MAX_ITEMS, POSITION_MAX};

/// When an append counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// When it is written; synced at least every 8 MiB.
    None,
    /// When it is written; synced within a time or a number of events.
    Interval,
    /// When it is synced.
    Sync,
}

/// An append fails if an event matches this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Any of these.
    pub filters: Vec<Filter>,
    /// Only events after this position count; `None` counts all.
    pub after: Option<u64>,
}

/// What goes with the events of an append.
#[derive(Debug, Clone, Default)]
pub struct AppendOptions {
    /// For the one entity of the append.
    pub expected: Option<Expected>,
    /// By entity, also of entities that the append does not write to.
    pub expected_by_entity: Vec<(String, Expected)>,
    /// None of these may match.
    pub unless: Vec<Condition>,
    /// Stricter than the store's; `None` is the store's.
    pub durability: Option<Durability>,
}

/// One append of a submission.
#[derive(Debug)]
pub(crate) struct Append<'a> {
    pub(crate) events: Vec<NewEvent<'a>>,
    pub(crate) expected: Option<Expected>,
    pub(crate) expected_by_entity: Vec<(&'a str, Expected)>,
    pub(crate) unless: Vec<Condition>,
    pub(crate) durability: Option<Durability>,
}

/// Bytes of an append before its variable parts.
const FIXED_LEN: usize = 32;
/// Bytes of an event before its strings.
const EVENT_FIXED_LEN: usize = 60;

/// Cuts a submission into its appends: sequence number and bytes of each. Checks every length.
pub(crate) fn split(submission: &[u8]) -> Option<Vec<(u32, std::ops::Range<usize>)>> {
    let mut parts = Vec::new();
    let mut at = 0;
    while at < submission.len() {
        let mut reader = Reader::new(submission.get(at..)?);
        let length = reader.u32()? as usize;
        let sequence = reader.u32()?;
        let end = at.checked_add(length)?;
        if length < FIXED_LEN || end > submission.len() {
            return None;
        }
        parts.push((sequence, at..end));
        at = end;
    }
    Some(parts)
}

/// Says in the header of an append, which was put together from parts, how long it has become.
pub fn set_length(append: &mut [u8]) {
    let length = u32::try_from(append.len()).unwrap_or(u32::MAX);
    if let Some(place) = append.first_chunk_mut() {
        *place = length.to_le_bytes();
    }
}

impl<'a> Append<'a> {
    /// Reads one append and checks all its arguments and limits.
    pub(crate) fn decode(bytes: &'a [u8], payload_max: u64) -> Result<Self> {
        let mut append =
            Self::fields(bytes)?.ok_or_else(|| Error::invalid("submission", "is malformed"))?;
        for (index, event) in append.events.iter_mut().enumerate() {
            event.check(index, payload_max)?;
        }
        append.check_ids()?;
        append.check_expectations()?;
        Ok(append)
    }

    fn fields(bytes: &'a [u8]) -> Result<Option<Self>> {
        let mut reader = Reader::new(bytes);
        let Some(fixed) = reader.take(FIXED_LEN) else {
            return Ok(None);
        };
        let mut fixed = Reader::new(fixed.get(8..).unwrap_or_default());
        let number = fixed.u8().unwrap_or(0);
        let durability = durability_from(number);
        if number != 0 && durability.is_none() {
            return Ok(None);
        }
        let kind = fixed.u8().unwrap_or(0);
        fixed.u16();
        let version = fixed.f64().unwrap_or(0.0);
        let events = fixed.u32().unwrap_or(0) as usize;
        let by_entity = fixed.u32().unwrap_or(0) as usize;
        let conditions = fixed.u32().unwrap_or(0) as usize;
        if events > APPEND_MAX_EVENTS {
            let (limit, actual) = (APPEND_MAX_EVENTS as u64, events as u64);
            return Err(Error::LimitExceeded {
                argument: "events".into(),
                unit: "events",
                limit,
                actual,
            });
        }
        if by_entity > FILTER_MAX_ITEMS || conditions > FILTER_MAX_ITEMS {
            let (limit, actual) = (FILTER_MAX_ITEMS as u64, by_entity.max(conditions) as u64);
            return Err(Error::LimitExceeded {
                argument: "options".into(),
                unit: "entries",
                limit,
                actual,
            });
        }
        let expected = expected_from(kind, version, || "options.expect".into())?;
        let Some(expected_by_entity) = read_map(&mut reader, by_entity)? else {
            return Ok(None);
        };
        let mut unless = Vec::new();
        for _ in 0..conditions {
            let Some(condition) = read_condition(&mut reader)? else {
                return Ok(None);
            };
            unless.push(condition);
        }
        let mut list = Vec::with_capacity(events.min(reader.remaining() / EVENT_FIXED_LEN));
        for index in 0..events {
            let Some(event) = read_event(&mut reader, index)? else {
                return Ok(None);
            };
            list.push(event);
        }
        let complete = reader.remaining() == 0;
        Ok(complete.then_some(Self {
            events: list,
            expected,
            expected_by_entity,
            unless,
            durability,
        }))
    }

    /// Ids are on all events or on none, and differ within one entity.
    fn check_ids(&self) -> Result<()> {
        let given = self.events.iter().filter(|event| event.id.is_some()).count();
        if given == 0 {
            return Ok(());
        }
        if given < self.events.len() {
            let index = self.events.iter().position(|event| event.id.is_none()).unwrap_or(0);
            return Err(Error::invalid(
                format!("events[{index}].id"),
                "is missing: give an id to all events of an append or to none",
            ));
        }
        let mut seen = hashbrown::HashSet::with_capacity(given);
        for (index, event) in self.events.iter().enumerate() {
            if !seen.insert((event.entity, event.id)) {
                return Err(Error::invalid(
                    format!("events[{index}].id"),
                    "stands twice in this append for the same entity",
                ));
            }
        }
        Ok(())
    }

    fn check_expectations(&self) -> Result<()> {
        let whole = self.expected.is_some() || !self.expected_by_entity.is_empty();
        if whole && self.events.iter().any(|event| event.expected.is_some()) {
            return Err(Error::invalid(
                "options.expect",
                "is given together with an event's own expect; choose one of them",
            ));
        }
        let first = self.events.first().map(|event| event.entity);
        if self.expected.is_some() && self.events.iter().any(|event| Some(event.entity) != first) {
            return Err(Error::invalid(
                "options.expect",
                "is one version, but the append writes to several entities: give it by entity, or on the events",
            ));
        }
        let says_something = self.expected.is_some_and(|expected| expected != Expected::Any);
        if says_something && self.events.is_empty() {
            return Err(Error::invalid(
                "options.expect",
                "is one version, but no event says of which entity: give it by entity",
            ));
        }
        for (entity, _) in &self.expected_by_entity {
            crate::event::name(entity, crate::limits::ENTITY_MAX_BYTES, || {
                format!("options.expect['{entity}']")
            })?;
        }
        Ok(())
    }
}

fn durability_from(number: u8) -> Option<Durability> {
    match number {
        1 => Some(Durability::Sync),
        2 => Some(Durability::Interval),
        3 => Some(Durability::None),
        _ => None,
    }
}

fn expected_from(
    kind: u8,
    version: f64,
    argument: impl Fn() -> String,
) -> Result<Option<Expected>> {
    Ok(Some(match kind {
        0 => return Ok(None),
        1 => Expected::Any,
        2 => Expected::None,
        3 => Expected::Exists,
        4 => Expected::Version(position(version).ok_or_else(|| {
            Error::invalid(argument(), "is not a version: an integer from 0 to 2^53 - 1")
        })?),
        _ => return Err(Error::invalid(argument(), "is of no known kind")),
    }))
}

/// The error for a list that is longer than any list may be.
pub(crate) fn too_many(argument: &str, actual: u32) -> Error {
    Error::LimitExceeded {
        argument: argument.to_owned(),
        unit: "entries",
        limit: FILTER_MAX_ITEMS as u64,
        actual: u64::from(actual),
    }
}

/// A double as a position or version, if it is one.
pub(crate) fn position(number: f64) -> Option<u64> {
    let whole = number >= 0.0 && number <= POSITION_MAX as f64 && number.fract() == 0.0;
    #[expect(clippy::cast_sign_loss, reason = "checked on the line above")]
    whole.then_some(number as u64)
}

fn read_text<'a>(reader: &mut Reader<'a>, len: usize) -> Option<&'a str> {
    std::str::from_utf8(reader.take(len)?).ok()
}

fn read_map<'a>(reader: &mut Reader<'a>, count: usize) -> Result<Option<Vec<(&'a str, Expected)>>> {
    let mut map = Vec::new();
    for _ in 0..count {
        let entry = (|| {
            let len = reader.u32()? as usize;
            Some((read_text(reader, len)?, reader.u8()?, reader.f64()?))
        })();
        let Some((entity, kind, version)) = entry else {
            return Ok(None);
        };
        let expected = expected_from(kind, version, || format!("options.expect['{entity}']"))?;
        map.push((entity, expected.unwrap_or(Expected::Any)));
    }
    Ok(Some(map))
}

fn read_condition(reader: &mut Reader<'_>) -> Result<Option<Condition>> {
    let (Some(after), Some(count)) = (reader.f64(), reader.u32()) else {
        return Ok(None);
    };
    if count as usize > FILTER_MAX_ITEMS {
        return Err(too_many("options.unless.match", count));
    }
    if count as usize > reader.remaining() {
        return Ok(None);
    }
    let filters = (0..count).map(|_| Filter::decode(reader)).collect::<Result<Vec<_>>>()?;
    let after = if after < 0.0 {
        None
    } else {
        Some(position(after).ok_or_else(|| {
            Error::invalid(
                "options.unless.after",
                "is not a position: an integer from -1 to 2^53 - 1",
            )
        })?)
    };
    Ok(Some(Condition { filters, after }))
}

fn read_event<'a>(reader: &mut Reader<'a>, index: usize) -> Result<Option<NewEvent<'a>>> {
    let Some(fixed) = reader.take(EVENT_FIXED_LEN) else {
        return Ok(None);
    };
    let mut fixed = Reader::new(fixed);
    let flags = fixed.u8().unwrap_or(0);
    let kind = fixed.u8().and_then(MetadataKind::from_number);
    let expect_kind = fixed.u8().unwrap_or(0);
    let usual_type = usual_type(fixed.u8().unwrap_or(0));
    let mut length = || fixed.u32().unwrap_or(0) as usize;
    let [entity, fact, scope, clock, content_type, tags, metadata, payload] =
        std::array::from_fn(|_| length());
    let version = fixed.f64().unwrap_or(0.0);
    let id = fixed.array::<16>().unwrap_or_default();
    let argument = || format!("events[{index}].expect");
    let expected = expected_from(expect_kind, version, argument)?;
    Ok((|| {
        Some(NewEvent {
            entity: read_text(reader, entity)?,
            fact: read_text(reader, fact)?,
            scope: read_text(reader, scope)?,
            clock: Some(reader.take(clock)?).filter(|_| flags & 1 != 0),
            id: Some(id).filter(|_| flags & 2 != 0),
            content_type: match read_text(reader, content_type)? {
                "" => usual_type?,
                given => given,
            },
            tags: read_tags(reader, tags)?,
            metadata_kind: kind?,
            metadata: reader.take(metadata)?,
            payload: reader.take(payload)?,
            expected,
        })
    })())
}

/// The content types that need not be spelled out; 0 is none.
fn usual_type(number: u8) -> Option<&'static str> {
    match number {
        0 => Some(""),
        1 => Some("application/json"),
        2 => Some("text/plain"),
        3 => Some("application/octet-stream"),
        _ => None,
    }
}

fn read_tags<'a>(reader: &mut Reader<'a>, count: usize) -> Option<Vec<&'a str>> {
    if count > reader.remaining() / 4 {
        return None;
    }
    (0..count).map(|_| std::str::from_utf8(reader.bytes32()?).ok()).collect()
}

/// Packs appends as [`Append::decode`] reads them.
#[derive(Debug, Default)]
pub struct SubmissionBuilder {
    bytes: Vec<u8>,
}

impl SubmissionBuilder {
    /// An empty submission.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an append. `sequence` comes back with its outcome.
    pub fn push(&mut self, sequence: u32, events: &[NewEvent<'_>], options: &AppendOptions) {
        let out = &mut self.bytes;
        let start = out.len();
        put_u32(out, 0);
        put_u32(out, sequence);
        out.push(match options.durability {
            None => 0,
            Some(Durability::Sync) => 1,
            Some(Durability::Interval) => 2,
            Some(Durability::None) => 3,
        });
        let (kind, version) = expected_to(options.expected);
        out.extend_from_slice(&[kind, 0, 0]);
        put_f64(out, version);
        put_u32(out, events.len() as u32);
        put_u32(out, options.expected_by_entity.len() as u32);
        put_u32(out, options.unless.len() as u32);
        for (entity, expected) in &options.expected_by_entity {
            put_bytes32(out, entity.as_bytes());
            let (kind, version) = expected_to(Some(*expected));
            out.push(kind);
            put_f64(out, version);
        }
        for condition in &options.unless {
            put_f64(out, condition.after.map_or(-1.0, |after| after as f64));
            put_u32(out, condition.filters.len() as u32);
            for filter in &condition.filters {
                filter.encode(out);
            }
        }
        for event in events {
            push_event(out, event);
        }
        let length = (out.len() - start) as u32;
        patch(out, start, &length.to_le_bytes());
    }

    /// The packed bytes.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

fn expected_to(expected: Option<Expected>) -> (u8, f64) {
    match expected {
        None => (0, 0.0),
        Some(Expected::Any) => (1, 0.0),
        Some(Expected::None) => (2, 0.0),
        Some(Expected::Exists) => (3, 0.0),
        Some(Expected::Version(version)) => (4, version as f64),
    }
}

fn push_event(out: &mut Vec<u8>, event: &NewEvent<'_>) {
    let (kind, version) = expected_to(event.expected);
    let flags = u8::from(event.clock.is_some())
        | u8::from(event.id.is_some()) << 1
        | u8::from(!event.content_type.is_empty()) << 2;
    out.extend_from_slice(&[flags, event.metadata_kind.number(), kind, 0]);
    let clock = event.clock.unwrap_or_default();
    let lengths = [
        event.entity.len(),
        event.fact.len(),
        event.scope.len(),
        clock.len(),
        event.content_type.len(),
        event.tags.len(),
        event.metadata.len(),
        event.payload.len(),
    ];
    for length in lengths {
        put_u32(out, length as u32);
    }
    put_f64(out, version);
    out.extend_from_slice(&event.id.unwrap_or_default());
    for text in [event.entity, event.fact, event.scope] {
        out.extend_from_slice(text.as_bytes());
    }
    out.extend_from_slice(clock);
    out.extend_from_slice(event.content_type.as_bytes());
    for tag in &event.tags {
        put_bytes32(out, tag.as_bytes());
    }
    out.extend_from_slice(event.metadata);
    out.extend_from_slice(event.payload);
}
