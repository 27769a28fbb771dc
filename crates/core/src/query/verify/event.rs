//! Checking one event against the one before it.

use crate::chain::{Digester, Digestible, GENESIS, Hash, MetadataKind, content_hash, link};
use crate::error::{Error, Result};
use crate::record::Record;
use crate::segment::Segment;
use crate::shared::Shared;

/// An event that is whole.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) version: u64,
    /// The position that it is linked to, if the event there is lost, and the entity of both.
    pub(super) behind: Option<(u64, String)>,
}

/// The event that another says it is linked to.
enum Previous {
    Event(u64, Hash),
    /// It cannot be read. A pass over the log meets the damage itself.
    Lost(u64),
    /// None of the same entity.
    Foreign,
}

/// Checks an event's link: digest of the event, linked to the entity's previous event. Where that one is
/// lost, all but the link is checked.
pub(super) fn check_event(
    digester: &mut Digester,
    shared: &Shared,
    segment: &Segment,
    record: &Record<'_>,
    position: u64,
    recorded_us: u64,
) -> Result<Checked> {
    let entity = segment.string(record.entity)?;
    let broken = |reason: &str| {
        let mut damage = segment.damage(0, 0, reason);
        damage.positions = Some((position, position));
        damage.entities = vec![entity.clone().into_owned()];
        Err(Error::Corrupt { damage: vec![damage] })
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
    let previous = match record.back {
        0 if record.version == 0 => GENESIS,
        0 => return broken("an event is not the first of its entity, but linked to none"),
        back => match previous_of(shared, position, back, &entity)? {
            Previous::Event(version, hash) if version + 1 == record.version => hash,
            Previous::Lost(position) => {
                let entity = entity.into_owned();
                return Ok(Checked { version: record.version, behind: Some((position, entity)) });
            }
            _ => return broken("an event's previous event is not the version before it"),
        },
    };
    if link(&previous, &digest) == *record.link {
        Ok(Checked { version: record.version, behind: None })
    } else {
        broken("an event's link does not match the event and the one before it")
    }
}

/// The event `back` positions earlier. Where it stands does not change, so any view finds it, also one in
/// which a damaged index was built again.
fn previous_of(shared: &Shared, position: u64, back: u64, entity: &str) -> Result<Previous> {
    let Some(previous) = position.checked_sub(back) else { return Ok(Previous::Foreign) };
    let found = shared.reading(|view| {
        view.with_record(previous, |segment, record| {
            let same = segment.string(record.entity)? == entity;
            Ok(if same { Previous::Event(record.version, *record.link) } else { Previous::Foreign })
        })
    });
    match found {
        Err(Error::Corrupt { .. }) => Ok(Previous::Lost(previous)),
        found => found,
    }
}
