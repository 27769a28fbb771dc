//! Scans of frames with many events: the records of a frame are gone through in one piece, and still each
//! is checked, and every limit holds in the middle of a frame too.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs::{File, read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use common::{append, event, files, relaxed};
use proptest::prelude::*;
use tetralog_core::{Batch, BatchEvent, Error, ReadSpec, Result, Store, StoreOptions, Subject};

/// Events of each frame. Those of a frame have their own entity each, and one more that is new in the middle.
const FRAME: usize = 300;
const FRAMES: usize = 4;

fn filled(directory: &Path) -> Store {
    let store = Store::open(directory, relaxed()).unwrap();
    for frame in 0..FRAMES {
        let entities: Vec<String> = (0..FRAME).map(|nth| name(frame * FRAME + nth)).collect();
        let payloads: Vec<Vec<u8>> = (0..FRAME).map(|nth| payload(frame * FRAME + nth)).collect();
        let both = entities.iter().zip(&payloads);
        let events: Vec<_> = both.map(|(entity, payload)| event(entity, "f", payload)).collect();
        append(&store, &events).unwrap();
    }
    store
}

fn name(position: usize) -> String {
    let first = position % FRAME < FRAME / 2;
    format!("entity {}{}", if first { "a" } else { "b" }, position / FRAME)
}

/// Of different lengths, some longer than a scan looks at in one piece.
fn payload(position: usize) -> Vec<u8> {
    let length = if position.is_multiple_of(97) { 70_000 } else { position % 500 };
    [format!("<{position}>").as_bytes(), &vec![7; length]].concat()
}

/// What a read gives before its end or its error.
fn taken(store: &Store, spec: ReadSpec) -> (Vec<BatchEvent>, Result<()>) {
    let read = store.read(spec).unwrap();
    let mut events = Vec::new();
    loop {
        match read.next() {
            Ok(Some(batch)) => events.extend(Batch::new(batch).events(&store.source()).unwrap()),
            Ok(None) => return (events, Ok(())),
            Err(error) => return (events, Err(error)),
        }
    }
}

fn positions(events: &[BatchEvent]) -> Vec<usize> {
    events.iter().map(|event| event.position as usize).collect()
}

/// Flips a byte of what stands once in the log, while the store is open.
fn damage(directory: &Path, text: &str) {
    let (path, at) = find(directory, text);
    write(&path, at, &[text.as_bytes()[0] ^ 1]);
}

#[expect(clippy::disallowed_methods, reason = "a test plays the part of the world")]
fn find(directory: &Path, text: &str) -> (PathBuf, usize) {
    let place = |path: PathBuf| {
        let bytes = read(&path).unwrap();
        let at = bytes.windows(text.len()).position(|window| window == text.as_bytes())?;
        Some((path, at))
    };
    files(directory, ".seg").into_iter().find_map(place).unwrap()
}

fn write(path: &Path, at: usize, bytes: &[u8]) {
    File::options().write(true).open(path).unwrap().write_all_at(bytes, at as u64).unwrap();
}

#[test]
fn a_damaged_record_in_the_middle_of_a_frame_ends_a_scan_in_front_of_it_and_it_can_go_on_behind() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path());
    let bad = FRAME + 120;
    damage(directory.path(), &format!("<{bad}>"));
    let (events, end) = taken(&store, ReadSpec::new(Subject::All));
    assert_eq!(positions(&events), (0..bad).collect::<Vec<_>>());
    let Err(Error::Corrupt { damage }) = end else { panic!("{end:?}") };
    assert_eq!(damage[0].positions, Some((bad as u64, bad as u64)));
    let behind = ReadSpec { after: Some(bad as u64), ..ReadSpec::new(Subject::All) };
    let (events, end) = taken(&store, behind);
    assert_eq!(positions(&events), (bad + 1..FRAME * FRAMES).collect::<Vec<_>>());
    end.unwrap();
}

#[test]
fn a_damaged_name_harms_only_the_events_that_have_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path());
    // The second name of the second frame.
    damage(directory.path(), "entity b1");
    let first_with_it = FRAME + FRAME / 2;
    let (events, end) = taken(&store, ReadSpec::new(Subject::All));
    assert_eq!(positions(&events), (0..first_with_it).collect::<Vec<_>>());
    assert!(matches!(end, Err(Error::Corrupt { .. })), "{end:?}");
    let behind = ReadSpec { from: Some(2 * FRAME as u64), ..ReadSpec::new(Subject::All) };
    let (events, end) = taken(&store, behind);
    assert_eq!(events.len(), (FRAMES - 2) * FRAME);
    end.unwrap();
}

#[test]
fn a_damaged_length_of_the_names_hides_no_damaged_name() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path());
    // In front of the second frame's first name stand its CRC and length, and the length of all of them.
    let (path, first) = find(directory.path(), "entity a1");
    let first_only = 6 + "entity a1".len() as u32;
    write(&path, first - 10, &first_only.to_le_bytes());
    damage(directory.path(), "entity b1");
    let (events, end) = taken(&store, ReadSpec::new(Subject::All));
    assert_eq!(positions(&events), (0..FRAME + FRAME / 2).collect::<Vec<_>>());
    assert!(matches!(end, Err(Error::Corrupt { .. })), "{end:?}");
}

#[test]
fn an_event_whose_previous_link_is_damaged_is_handed_out_and_those_behind_it_too() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path());
    damage(directory.path(), "<20>");
    let all = ReadSpec::new(Subject::All);
    let read = store.read(ReadSpec { from: Some(21), ..all }).unwrap();
    read.want_previous_links();
    let mut links = Vec::new();
    while let Some(batch) = read.next().unwrap() {
        let batch = Batch::new(batch);
        links.extend((0..batch.len()).map(|nth| batch.previous_link(nth).unwrap()));
    }
    assert_eq!(links.len(), FRAME * FRAMES - 21);
    assert_eq!(links[0], [0; 32], "the entity's event before it is the damaged one");
    assert_ne!(links[1], [0; 32]);
}

#[test]
fn a_scan_without_a_mapping_gives_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let mapped = common::all(&filled(directory.path())).unwrap();
    let memory = Store::memory(StoreOptions::default()).unwrap();
    for one in &mapped {
        append(&memory, &[event(&one.entity, &one.fact, &one.payload)]).unwrap();
    }
    let same = common::all(&memory).unwrap();
    assert_eq!(positions(&same), positions(&mapped));
    assert!(
        same.iter().zip(&mapped).all(|(a, b)| a.payload == b.payload && a.version == b.version)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn a_window_of_a_scan_has_exactly_its_events(
        windows in proptest::collection::vec(
            (0..FRAME * FRAMES + 10, 0..FRAME * FRAMES + 10, any::<bool>()), 1..20
        ),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let store = filled(directory.path());
        for (from, limit, with_links) in windows {
            let (from_position, limit_count) = (Some(from as u64), Some(limit as u64));
            let all = ReadSpec::new(Subject::All);
            let read = store.read(ReadSpec { from: from_position, limit: limit_count, ..all }).unwrap();
            if with_links {
                read.want_previous_links();
            }
            let mut events = Vec::new();
            while let Some(batch) = read.next().unwrap() {
                let batch = Batch::new(batch);
                for (nth, event) in batch.events(&store.source()).unwrap().into_iter().enumerate() {
                    prop_assert_eq!(batch.previous_link(nth).is_some(), with_links);
                    events.push(event);
                }
            }
            let end = (FRAME * FRAMES).min(from.saturating_add(limit)).max(from);
            prop_assert_eq!(positions(&events), (from..end.max(from)).collect::<Vec<_>>());
            for event in &events {
                let position = event.position as usize;
                prop_assert_eq!(&event.entity, &name(position));
                prop_assert_eq!(&event.payload, &payload(position));
                prop_assert_eq!(event.version as usize, position % FRAME % (FRAME / 2));
            }
        }
    }
}
