//! Whether a store that is opened after a cut keeps what was promised, and is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tetralog_core::{
    Batch, BatchEvent, Filter, Pattern, ReadSpec, Result, Store, Subject, VerifyReport,
};

use crate::disk::Image;
use crate::numbers::Numbers;
use crate::promise::Promised;
use crate::workload::{History, Own};

/// What is there: the first position of each append.
pub type Found = BTreeMap<u64, u64>;

type Verdict<T = ()> = std::result::Result<T, String>;

/// Reads all that a subject has.
pub fn read(store: &Store, subject: Subject) -> Result<Vec<BatchEvent>> {
    let read = store.read(ReadSpec::new(subject))?;
    let mut events = Vec::new();
    while let Some(batch) = read.next()? {
        events.extend(Batch::new(batch).events(&store.source()).unwrap_or_default());
    }
    Ok(events)
}

fn told<T>(what: &str, result: Result<T>) -> Verdict<T> {
    result.map_err(|error| format!("{what} fails: {error}"))
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// Checks all of a store: what is there is whole and was handed over, what was promised is there, and
/// the indexes say what the log says.
pub fn check(
    store: &Store,
    history: &History,
    promised: &Promised,
    numbers: &mut Numbers,
) -> Verdict<(Vec<BatchEvent>, Found)> {
    ensure(store.damage().is_empty(), || format!("damage is reported: {:?}", store.damage()))?;
    let events = told("reading", read(store, Subject::All))?;
    let found = whole_appends(&events, history, promised)?;
    kept(&events, &found, promised)?;
    let report = told("verification", verify(store))?;
    ensure(report.ok, || format!("it does not verify: {:?}", report.damage))?;
    indexes(store, &events, numbers)?;
    Ok((events, found))
}

fn verify(store: &Store) -> Result<VerifyReport> {
    let mut verification = store.verify(None)?;
    loop {
        if let Some(report) = verification.step()? {
            return Ok(report);
        }
    }
}

/// Every event was handed over and stands among those of its append; positions and versions are dense.
fn whole_appends(events: &[BatchEvent], history: &History, promised: &Promised) -> Verdict<Found> {
    let mut found = Found::new();
    let mut versions: BTreeMap<&str, u64> = BTreeMap::new();
    let mut at = 0;
    while let Some(first) = events.get(at) {
        let number = append_of(first).ok_or("an event has no number")?;
        let append = history.0.get(number as usize).ok_or("an event was never handed over")?;
        ensure(found.insert(number, at as u64).is_none(), || {
            format!("append {number} is there twice")
        })?;
        ensure(number >= promised.closed || promised.acknowledged.contains_key(&number), || {
            format!("append {number} is there again, which a recovery had found missing")
        })?;
        for own in &append.events {
            let event = events.get(at).ok_or_else(|| format!("append {number} is not whole"))?;
            ensure(is(event, own), || format!("append {number} is mixed with something else"))?;
            ensure(event.position == at as u64, || format!("position {at} is {}", event.position))?;
            let next = versions.entry(&event.entity).or_default();
            ensure(event.version == *next, || format!("{} skips version {next}", event.entity))?;
            *next += 1;
            at += 1;
        }
    }
    Ok(found)
}

fn append_of(event: &BatchEvent) -> Option<u64> {
    event.metadata.first_chunk().map(|number| u64::from_le_bytes(*number))
}

fn is(event: &BatchEvent, own: &Own) -> bool {
    event.entity == own.entity
        && event.fact == own.fact
        && event.scope == own.scope
        && event.tags == own.tags
        && event.metadata == own.metadata
        && own.id.is_none_or(|id| event.id == id)
        && event.payload == own.payload
}

fn kept(events: &[BatchEvent], found: &Found, promised: &Promised) -> Verdict {
    for number in &promised.durable {
        ensure(found.contains_key(number), || {
            format!("append {number} was acknowledged and is gone")
        })?;
    }
    for (number, position) in &promised.acknowledged {
        ensure(found.get(number).is_none_or(|place| place == position), || {
            format!("append {number} was acknowledged at position {position} and stands elsewhere")
        })?;
    }
    ensure(events.len() as u64 >= promised.below, || {
        format!("{} events are there, {} were seen or synced", events.len(), promised.below)
    })?;
    for (entity, version) in &promised.reached {
        let has = events.iter().filter(|event| event.entity == *entity).count() as u64;
        ensure(has > *version, || {
            format!("a refusal told of version {version} of {entity}, which has {has} events")
        })?;
    }
    Ok(())
}

/// Asks some of everything that an index answers.
fn indexes(store: &Store, events: &[BatchEvent], numbers: &mut Numbers) -> Verdict {
    let positions = |events: &[BatchEvent]| events.iter().map(|e| e.position).collect::<Vec<_>>();
    let entities: BTreeSet<&str> = events.iter().map(|event| event.entity.as_str()).collect();
    for entity in some(&entities, 4, numbers) {
        let own = filtered(events, |event| event.entity == entity);
        let stream = told("a stream", read(store, Subject::Stream(entity.to_owned())))?;
        ensure(positions(&stream) == own, || format!("the stream of {entity} differs"))?;
        let version = told("a version", store.version(entity))?;
        ensure(version == Some(own.len() as u64 - 1), || format!("version of {entity} differs"))?;
    }
    let absent = told("a version", store.version("no such entity"))?;
    ensure(absent.is_none(), || "an entity has events that it has not".to_owned())?;
    let query = |filter: Filter, wanted: Vec<u64>| {
        let what = format!("{filter:?}");
        let got = told("a query", read(store, Subject::Query(vec![filter])))?;
        ensure(positions(&got) == wanted, || format!("{what} differs"))
    };
    let facts: BTreeSet<&str> = events.iter().map(|event| event.fact.as_str()).collect();
    for fact in some(&facts, 2, numbers) {
        let filter = Filter { fact: Some(vec![fact.to_owned()]), ..Filter::default() };
        query(filter, filtered(events, |event| event.fact == fact))?;
    }
    let scope = Pattern::Below("org:1".to_owned());
    let filter = Filter { scope: Some(vec![scope]), ..Filter::default() };
    query(filter, filtered(events, |event| event.scope.starts_with("org:1/")))?;
    let tags = vec!["tag:1".to_owned(), "tag:2".to_owned()];
    let filter = Filter { tags_all: Some(tags.clone()), ..Filter::default() };
    query(filter, filtered(events, |event| tags.iter().all(|tag| event.tags.contains(tag))))
}

fn filtered(events: &[BatchEvent], matches: impl Fn(&BatchEvent) -> bool) -> Vec<u64> {
    events.iter().filter(|event| matches(event)).map(|event| event.position).collect()
}

fn some<'a>(all: &BTreeSet<&'a str>, count: usize, numbers: &mut Numbers) -> Vec<&'a str> {
    let all: Vec<&str> = all.iter().copied().collect();
    let limit = all.len() as u64;
    (0..count.min(all.len())).map(|_| all[numbers.below(limit) as usize]).collect()
}

/// The bytes of the public files.
pub fn public_files(image: &Image) -> BTreeMap<&Path, Vec<u8>> {
    let public = |path: &Path| {
        path.extension().is_some_and(|ending| ending == "seg") || path.ends_with("MANIFEST")
    };
    let files = image.files().filter(|(path, _)| public(path));
    files
        .filter_map(|(path, inode)| Some((path, image.content(inode)?.bytes())))
        .filter(|(_, bytes)| bytes.iter().any(|byte| *byte != 0))
        .collect()
}

/// Whether something was kept of what was cut off.
pub fn keeps_torn_bytes(image: &Image) -> bool {
    image.files().any(|(path, inode)| {
        path.parent().is_some_and(|parent| parent.ends_with("torn"))
            && path.extension().is_none_or(|ending| ending != "tmp")
            && image.content(inode).is_some_and(|content| content.length() > 0)
    })
}
