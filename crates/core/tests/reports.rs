//! What a damaged store says of itself: the positions, the places and the entities that are affected,
//! exactly, and how much is whole.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::images::{Files, open, open_reader, root, segment, snapshot};
use common::{append, event, verify};
use tetralog_core::{Damage, Error, ReadSpec, Store, Subject, VerifyReport};

/// A store of several segments: `segments` times three events of 200 kB in turn of three entities, so
/// that a segment holds five of them.
fn several(events: u64) -> Files {
    let (store, fs) = open(&Files::new()).unwrap();
    let payload = vec![7; 200_000];
    for n in 0..events {
        append(&store, &[event(&format!("e{}", n % 3), "f", &payload)]).unwrap();
    }
    store.close().unwrap();
    let mut files = Files::new();
    snapshot(&*fs, &root(), &mut files);
    files
}

fn bases(files: &Files) -> Vec<u64> {
    let number = |n: u64| files.get(&segment(n)).filter(|bytes| bytes[..8] == *b"TETRALOG");
    let base = |bytes: &Vec<u8>| u64::from_le_bytes(bytes[80..88].try_into().unwrap());
    (1..).map_while(|n| number(n).map(base)).collect()
}

fn lost(damage: &[Damage]) -> Vec<(u64, Option<(u64, u64)>)> {
    damage.iter().map(|damage| (damage.segment, damage.positions)).collect()
}

fn verify_entity(store: &Store, entity: &str) -> VerifyReport {
    let mut verification = store.verify(Some(entity)).unwrap();
    loop {
        if let Some(report) = verification.step().unwrap() {
            return report;
        }
    }
}

/// Flips a byte in the payload of the event at a position.
fn flip_payload(files: &mut Files, number: u64, nth: usize) {
    let bytes = files.get_mut(&segment(number)).unwrap();
    let starts = bytes.windows(64).enumerate().filter(|(_, w)| *w == [7; 64]).map(|(at, _)| at);
    let mut payloads = Vec::new();
    let mut last = 0;
    for at in starts {
        if at > last + 1 {
            payloads.push(at);
        }
        last = at;
    }
    bytes[payloads[nth] + 100] ^= 1;
}

#[test]
fn neighbouring_segments_that_cannot_be_read_name_what_is_lost_with_them() {
    let files = several(20);
    let bases = bases(&files);
    assert!(bases.len() >= 4, "{bases:?}");
    let mut damaged = files;
    damaged.remove(&segment(2));
    damaged.get_mut(&segment(3)).unwrap()[20] ^= 1;
    let (store, _) = open(&damaged).unwrap();
    let report = verify(&store);
    // Nobody knows where in between the second ended and the third began.
    let gap = Some((bases[1], bases[3] - 1));
    assert_eq!(lost(&report.damage), [(2, gap), (3, gap)]);
    assert_eq!(report.events, 20 - (bases[3] - bases[1]));
}

#[test]
fn an_unreadable_segment_apart_from_another_keeps_its_own_positions() {
    let files = several(25);
    let bases = bases(&files);
    let mut damaged = files;
    damaged.retain(|path, _| !path.ends_with("catalog"));
    damaged.remove(&segment(1));
    damaged.remove(&segment(3));
    let (store, _) = open(&damaged).unwrap();
    let expected = [(1, Some((0, bases[1] - 1))), (3, Some((bases[2], bases[3] - 1)))];
    assert_eq!(lost(&store.damage()), expected);
    assert_eq!(lost(&verify(&store).damage), expected);
}

#[test]
fn verification_names_the_lost_events_their_entity_and_nothing_else() {
    let mut files = several(12);
    let bases = bases(&files);
    assert!(bases[1] > 3);
    flip_payload(&mut files, 1, 1);
    for derived in [true, false] {
        let mut damaged = files.clone();
        if !derived {
            damaged.retain(|path, _| {
                path.to_string_lossy().contains(".seg") || path.ends_with("MANIFEST")
            });
        }
        let (store, _) = open(&damaged).unwrap();
        let report = verify(&store);
        assert_eq!(lost(&report.damage), [(1, Some((1, 1)))], "{:?}", report.damage);
        assert_eq!(report.damage[0].entities, ["e1"]);
        assert_eq!(report.events, 11, "what is behind the hole is whole");
        assert!(verify_entity(&store, "e0").ok);
        assert!(verify_entity(&store, "e2").ok);
        let own = verify_entity(&store, "e1");
        assert_eq!(lost(&own.damage), [(1, Some((1, 1)))], "{:?}", own.damage);
        assert_eq!(own.events, 3);
    }
}

#[test]
fn a_read_that_meets_damage_says_where_it_is_and_where_to_go_on() {
    let mut files = several(12);
    flip_payload(&mut files, 2, 0);
    let at = bases(&files)[1];
    files.retain(|path, _| path.to_string_lossy().contains(".seg") || path.ends_with("MANIFEST"));
    let (store, _) = open(&files).unwrap();
    let entity = format!("e{}", at % 3);
    for spec in [
        ReadSpec::new(Subject::All),
        ReadSpec::new(Subject::Stream(entity.clone())),
        ReadSpec { backwards: true, ..ReadSpec::new(Subject::Stream(entity)) },
    ] {
        let read = store.read(spec).unwrap();
        let error = loop {
            match read.next() {
                Ok(batch) => assert!(batch.is_some(), "the damage is met"),
                Err(error) => break error,
            }
        };
        let Error::Corrupt { damage } = &error else { panic!("{error}") };
        assert_eq!(lost(damage), [(2, Some((at, at)))], "{error}");
        assert!(damage[0].offset >= 4096 && damage[0].length > 200_000, "{error}");
        let next = format!("from position {}", at + 1);
        assert!(error.to_string().contains(&next), "{error}");
    }
}

#[test]
fn a_reader_opens_a_store_whose_last_segment_is_missing_or_cut() {
    let files = several(12);
    let bases = bases(&files);
    let last = bases.len() as u64;
    let base = bases[bases.len() - 1];
    for cut in [None, Some(0), Some(100), Some(4096), Some(5000), Some(300_000)] {
        let mut damaged = files.clone();
        match cut {
            None => drop(damaged.remove(&segment(last))),
            Some(length) => damaged.get_mut(&segment(last)).unwrap().truncate(length),
        }
        let reader = open_reader(&damaged).unwrap();
        let (writer, _) = open(&damaged).unwrap();
        for store in [&reader, &writer] {
            store.head().unwrap();
            let damage = store.damage();
            assert!(!damage.is_empty(), "cut at {cut:?}");
            assert_eq!(damage[0].segment, last, "cut at {cut:?}: {damage:?}");
            assert!(damage[0].positions.is_some_and(|(_, to)| to == 11), "{cut:?}: {damage:?}");
            assert!(damage[0].positions.is_some_and(|(from, _)| from >= base), "{damage:?}");
            let report = verify(store);
            assert!(!report.ok && report.events >= base, "cut at {cut:?}: {report:?}");
        }
    }
}

#[test]
fn a_damaged_manifest_is_damage_and_says_what_to_do() {
    let files = several(6);
    let manifest = root().join("MANIFEST");
    for at in 0..files[&manifest].len() {
        let mut damaged = files.clone();
        damaged.get_mut(&manifest).unwrap()[at] ^= 1;
        let errors = [
            open(&damaged).map(|_| ()).unwrap_err(),
            open_reader(&damaged).map(|_| ()).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.code(), "ERR_CORRUPT", "byte {at}: {error}");
            assert!(error.to_string().contains("Store.repair()"), "{error}");
        }
    }
    let mut without = files;
    without.remove(&manifest);
    assert_eq!(open(&without).map(|_| ()).unwrap_err().code(), "ERR_CORRUPT");
}

#[test]
fn the_only_segment_missing_is_damage() {
    let mut files = several(2);
    files.remove(&segment(1));
    for error in
        [open(&files).map(|_| ()).unwrap_err(), open_reader(&files).map(|_| ()).unwrap_err()]
    {
        let Error::Corrupt { damage } = &error else { panic!("{error}") };
        assert_eq!(lost(damage), [(1, Some((0, 1)))]);
    }
}

/// A mapped file that another process cuts: what is gone must not be touched.
#[test]
fn verification_of_a_file_that_is_cut_meanwhile_names_it_and_does_not_crash() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), common::small()).unwrap();
    let payload = vec![7; 200_000];
    for n in 0..20 {
        append(&store, &[event(&format!("e{}", n % 3), "f", &payload)]).unwrap();
    }
    store.event(2).unwrap();
    let files = common::files(directory.path(), ".seg");
    let file = std::fs::OpenOptions::new().write(true).open(&files[0]).unwrap();
    file.set_len(300_000).unwrap();
    let report = verify(&store);
    assert!(!report.ok);
    assert_eq!(report.damage[0].segment, 1);
    assert!(report.damage[0].positions.is_some_and(|(from, _)| from == 1), "{report:?}");
    store.close().unwrap();
}
