//! Damage is never silent: whatever byte of a store is flipped, whatever file is cut or missing, no
//! wrong event comes out, and no event that was acknowledged vanishes without being named.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::images::{Files, example, open, restored, root, segment, snapshot, with_listed_spare};
use common::{append, event, small, verify};
use tetralog_core::fs::{Fs, MemoryFs, OpenMode};
use tetralog_core::{
    Batch, BatchEvent, Durability, Error, Filter, NewEvent, ReadSpec, Store, StoreOptions, Subject,
    SystemHost,
};

/// Reads what can be read: in order, and event by event.
fn check(store: &Store, events: &[BatchEvent], what: &str) {
    let read = store.read(ReadSpec::new(Subject::All)).unwrap();
    let mut seen = 0;
    let mut complete = true;
    loop {
        match read.next() {
            Ok(Some(batch)) => {
                for event in Batch::new(batch).events(&store.source()).unwrap() {
                    assert_eq!(event, events[event.position as usize], "{what}");
                    assert_eq!(event.position, seen, "{what}: a scan skips nothing");
                    seen += 1;
                }
            }
            Ok(None) => break,
            Err(Error::Corrupt { damage }) => {
                assert!(!damage.is_empty());
                complete = false;
                break;
            }
            Err(error) => panic!("{what}: {error}"),
        }
    }
    for wanted in events {
        match store.event(wanted.position) {
            Ok(Some(batch)) => {
                assert_eq!(
                    &Batch::new(batch).events(&store.source()).unwrap()[0],
                    wanted,
                    "{what}"
                );
            }
            Ok(None) | Err(Error::Corrupt { .. }) => complete = false,
            Err(error) => panic!("{what}: {error}"),
        }
    }
    if complete {
        assert_eq!(seen as usize, events.len(), "{what}: silent loss");
    } else {
        assert!(!store.damage().is_empty(), "{what}: events are missing, but no damage is named");
        assert!(store.is_read_only());
        let error = append(store, &[event("x", "y", b"z")]).unwrap_err();
        assert_eq!(error.code(), "ERR_READ_ONLY", "{what}");
    }
}

fn flip_and_check(files: &Files, events: &[BatchEvent], path: &Path, at: usize, must_notice: bool) {
    let what = format!("byte {at} of {}", path.display());
    let mut flipped = files.clone();
    flipped.get_mut(path).unwrap()[at] ^= 0x40;
    match open(&flipped) {
        Ok((store, _)) => {
            check(&store, events, &what);
            if must_notice {
                assert!(!verify(&store).ok, "{what}: verification finds it");
                assert!(!store.damage().is_empty(), "{what}");
            }
        }
        Err(error) => {
            assert!(matches!(error.code(), "ERR_FORMAT" | "ERR_CORRUPT"), "{what}: {error}");
        }
    }
}

#[test]
fn every_flipped_byte_of_the_active_segment_is_noticed() {
    let (files, events) = example(40);
    let path = segment(1);
    let used = files[&path].iter().rposition(|b| *b != 0).unwrap() + 1;
    for at in (0..4096).step_by(17).chain(4096..used) {
        flip_and_check(&files, &events, &path, at, true);
    }
}

#[test]
fn flipped_bytes_of_a_sealed_segment_are_noticed() {
    let (files, events) = example(200_000);
    assert!(files.contains_key(&segment(2)), "the example has rotated");
    let path = segment(1);
    let used = files[&path].iter().rposition(|b| *b != 0).unwrap() + 1;
    let ends = (4096..5200).step_by(3).chain(used - 300..used);
    for at in (0..4096).step_by(257).chain(ends).chain((5200..used).step_by(31_013)) {
        flip_and_check(&files, &events, &path, at, true);
    }
}

#[test]
fn damaged_derived_files_are_built_again_and_harm_nothing() {
    let (files, events) = example(200_000);
    let derived: Vec<&PathBuf> = files
        .keys()
        .filter(|path| {
            let ending = path.extension().and_then(std::ffi::OsStr::to_str);
            ending.is_some_and(|ending| ["idx", "run", "heads", "ids"].contains(&ending))
                || path.ends_with("catalog")
        })
        .collect();
    assert!(derived.len() >= 4);
    for path in derived {
        // Padding is most of a small file: some of it is enough.
        let interesting = |at: &usize| files[path][*at] != 0 || at.is_multiple_of(61);
        for at in (0..files[path].len()).filter(interesting) {
            let mut flipped = files.clone();
            flipped.get_mut(path).unwrap()[at] ^= 1;
            let (store, _) = open(&flipped).unwrap();
            let what = format!("byte {at} of {}", path.display());
            assert_eq!(common::all(&store).unwrap(), events, "{what}");
            let red = Filter {
                tags_all: Some(vec!["red".into()]),
                scope: Some(vec![tetralog_core::Pattern::Below("org:a".into())]),
                fact: Some(vec!["happened".into()]),
                ..Default::default()
            };
            assert_eq!(common::query(&store, vec![red]).unwrap().len(), 6, "{what}");
            assert_eq!(common::stream(&store, "entity:1").unwrap().len(), 2, "{what}");
            assert!(store.damage().is_empty(), "{what}");
            append(&store, &[NewEvent { id: Some([1; 16]), ..event("entity:0", "f", b"") }])
                .map(|receipt| assert!(receipt.duplicate, "{what}"))
                .unwrap();
        }
    }
}

#[test]
fn head_may_be_lost_or_damaged() {
    let (files, events) = example(40);
    let head = root().join("HEAD");
    for at in 0..96 {
        let mut flipped = files.clone();
        flipped.get_mut(&head).unwrap()[at] ^= 1;
        let (store, _) = open(&flipped).unwrap();
        assert_eq!(common::all(&store).unwrap(), events);
        assert!(store.damage().is_empty());
    }
    let mut without = files;
    without.remove(&head);
    assert_eq!(common::all(&open(&without).unwrap().0).unwrap(), events);
}

#[test]
fn a_missing_or_shortened_segment_is_named() {
    let (files, events) = example(200_000);
    for number in [1, 2] {
        let mut without = files.clone();
        without.remove(&segment(number));
        match open(&without) {
            Ok((store, _)) => {
                assert!(!store.damage().is_empty(), "segment {number}");
                assert!(store.is_read_only());
            }
            Err(error) => assert_eq!(error.code(), "ERR_CORRUPT"),
        }
        for cut in (0..files[&segment(number)].len()).step_by(65_521) {
            let mut shortened = files.clone();
            shortened.get_mut(&segment(number)).unwrap().truncate(cut);
            if let Ok((store, _)) = open(&shortened) {
                check(&store, &events, &format!("segment {number} cut at {cut}"));
            }
        }
    }
}

#[test]
fn an_active_segment_whose_header_is_zeroed_is_no_spare() {
    let (files, _) = example(200_000);
    for (whole, with_head) in [(true, true), (false, true), (false, false)] {
        let mut zeroed = files.clone();
        let bytes = zeroed.get_mut(&segment(2)).unwrap();
        let length = if whole { bytes.len() } else { 4096 };
        bytes[..length].fill(0);
        if !with_head {
            zeroed.remove(&root().join("HEAD"));
        }
        let (store, _) = open(&zeroed).unwrap();
        assert!(!store.damage().is_empty(), "whole: {whole}, HEAD: {with_head}");
        assert!(!verify(&store).ok);
        let fs = MemoryFs::default();
        for (path, bytes) in &zeroed {
            fs.create_dir_all(path.parent().unwrap()).unwrap();
            fs.open(path, OpenMode::Create).unwrap().write_at(bytes, 0).unwrap();
        }
        let options = StoreOptions { read_only: true, ..small() };
        let reader = Store::open_with(Arc::new(fs), Arc::new(SystemHost), root(), options).unwrap();
        assert!(!reader.damage().is_empty(), "read-only, whole: {whole}, HEAD: {with_head}");
    }
}

#[test]
fn swapped_segments_are_refused_as_damage() {
    let (mut files, events) = example(200_000);
    let one = files[&segment(1)].clone();
    let two = files.insert(segment(2), one).unwrap();
    files.insert(segment(1), two);
    match open(&files) {
        Ok((store, _)) => check(&store, &events, "swapped"),
        Err(error) => assert_eq!(error.code(), "ERR_CORRUPT"),
    }
}

#[test]
fn a_torn_tail_is_cut_kept_aside_and_swallows_nothing() {
    let (files, events) = example(40);
    let path = segment(1);
    let used = files[&path].iter().rposition(|b| *b != 0).unwrap() + 1;
    let end = used.next_multiple_of(8);
    let mut torn = files.clone();
    torn.remove(&root().join("HEAD"));
    // The first half of the last frame, written once more behind the end.
    let garbage: Vec<u8> = files[&path][end - 120..end - 40].to_vec();
    torn.get_mut(&path).unwrap()[end..end + garbage.len()].copy_from_slice(&garbage);
    let (store, fs) = open(&torn).unwrap();
    assert!(store.recovery().torn_bytes > 0);
    assert!(!store.recovery().clean);
    assert_eq!(common::all(&store).unwrap(), events);
    append(&store, &[event("next", "append", b"is kept")]).unwrap();
    store.close().unwrap();
    let mut after = Files::new();
    snapshot(&*fs, &root(), &mut after);
    assert!(after.keys().any(|path| path.parent().unwrap().ends_with("torn")));
    let (store, _) = open(&after).unwrap();
    assert!(store.recovery().clean);
    assert_eq!(common::all(&store).unwrap().len(), events.len() + 1);
    assert!(verify(&store).ok);
}

/// Ends of the frames of a segment.
fn frame_ends(bytes: &[u8]) -> Vec<usize> {
    let mut ends = vec![4096];
    while let Some(length) = ends.last().and_then(|end| bytes.get(*end..end + 4))
        && length != [0; 4]
    {
        let length = u32::from_le_bytes(length.try_into().unwrap());
        ends.push(ends.last().unwrap() + length as usize);
    }
    ends
}

/// A frame that ends where a cut one did is followed by zeros, not by what stood there before.
#[test]
fn what_was_cut_never_comes_back() {
    let payloads = |files: &Files, next: &[Vec<u8>]| {
        let fs = Arc::new(restored(files));
        let options = StoreOptions { durability: Durability::None, ..small() };
        let store = Store::open_with(fs.clone(), Arc::new(SystemHost), root(), options).unwrap();
        for payload in next {
            append(&store, &[event("a", "f", payload)]).unwrap();
        }
        let events = common::all(&store).unwrap();
        let mut live = Files::new();
        snapshot(&*fs, &root(), &mut live);
        live.remove(&root().join("HEAD"));
        (events.into_iter().map(|event| event.payload).collect::<Vec<_>>(), live)
    };
    let three = [vec![1; 100], vec![2; 300], vec![3; 100]];
    let (_, mut files) = payloads(&Files::new(), &three);
    let ends = frame_ends(&files[&segment(1)]);
    files.get_mut(&segment(1)).unwrap()[ends[2] - 100] ^= 1;
    let mut fitted = 0;
    for length in (0..400).step_by(8) {
        let next = vec![4; length];
        let (_, after) = payloads(&files, std::slice::from_ref(&next));
        let (kept, _) = payloads(&after, &[]);
        assert_eq!(kept, [vec![1; 100], next], "a payload of {length} bytes");
        fitted += usize::from(frame_ends(&after[&segment(1)])[2] == ends[2]);
    }
    assert!(fitted > 0, "one of them ends where the cut frame did");
}

#[test]
fn a_store_cut_anywhere_behind_its_proven_end_opens_with_whole_appends_only() {
    let (files, events) = example(40);
    let path = segment(1);
    let used = files[&path].iter().rposition(|b| *b != 0).unwrap() + 1;
    // Without HEAD, only the frames say what was durable: all but the last.
    for at in (used.saturating_sub(500)..used).step_by(7) {
        let mut torn = files.clone();
        torn.remove(&root().join("HEAD"));
        torn.get_mut(&path).unwrap()[at..].fill(0);
        let (store, _) = open(&torn).unwrap();
        let read = common::all(&store).unwrap();
        assert_eq!(read.len() % 2, 0, "an append of two events is there wholly or not at all");
        assert_eq!(read, events[..read.len()]);
    }
}

#[test]
fn a_store_of_a_newer_format_is_refused_untouched() {
    let (files, _) = example(40);
    for (path, at) in [(root().join("MANIFEST"), 8), (segment(1), 8)] {
        let mut newer = files.clone();
        let bytes = newer.get_mut(&path).unwrap();
        bytes[at] = 2;
        let end = if path.ends_with("MANIFEST") { bytes.len() - 4 } else { 4092 };
        let crc = crc32fast::hash(&bytes[..end]);
        bytes[end..end + 4].copy_from_slice(&crc.to_le_bytes());
        let error = open(&newer).map(|_| ()).unwrap_err();
        assert_eq!(error.code(), "ERR_FORMAT");
        assert!(error.to_string().contains("format 2"), "{error}");
    }
}

#[test]
fn hostile_files_give_errors_not_panics() {
    let options = StoreOptions { read_only: true, ..small() };
    for bytes in [vec![], vec![0xff; 100], b"TETRAMAN".to_vec(), vec![0; 5000]] {
        let fs = Arc::new(MemoryFs::default());
        fs.create_dir_all(&root()).unwrap();
        let file = fs.open(&root().join("MANIFEST"), OpenMode::Create).unwrap();
        file.write_at(&bytes, 0).unwrap();
        let result = Store::open_with(fs, Arc::new(SystemHost), root(), options.clone());
        assert_eq!(result.map(|_| ()).unwrap_err().code(), "ERR_FORMAT");
    }
}

#[test]
fn a_whole_frame_of_a_newer_version_is_refused_not_cut() {
    let (files, _) = example(40);
    let path = segment(1);
    let used = files[&path].iter().rposition(|b| *b != 0).unwrap() + 1;
    let end = used.next_multiple_of(8);
    let salt = files[&path][96..104].to_vec();
    let crc = |offset: usize, bytes: &[u8]| {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&salt);
        hasher.update(&(offset as u64).to_le_bytes());
        hasher.update(bytes);
        hasher.finalize().to_le_bytes()
    };
    for (kind, flags) in [(0x83_u8, 0_u8), (0x03, 4)] {
        let mut frame = vec![0; 32];
        frame[0] = 40;
        frame[4] = kind;
        frame[5] = flags;
        frame[8] = 12;
        frame.extend(crc(end, &frame));
        frame.extend(crc(end, &frame));
        let mut newer = files.clone();
        newer.remove(&root().join("HEAD"));
        newer.get_mut(&path).unwrap()[end..end + frame.len()].copy_from_slice(&frame);
        let error = open(&newer).map(|_| ()).unwrap_err();
        assert_eq!(error.code(), "ERR_FORMAT", "{error}");
        assert!(error.to_string().contains("newer version"), "{error}");
    }
}

/// A flipped byte of a string that later frames refer to.
#[test]
fn a_damaged_definition_moves_no_event_to_another_position() {
    let (store, fs) = open(&Files::new()).unwrap();
    let payloads: Vec<[u8; 1]> = (0..10).map(|n| [n]).collect();
    for pair in payloads[..6].chunks(2) {
        append(&store, &[event("AAAA", "f", &pair[0]), event("BBBB", "f", &pair[1])]).unwrap();
    }
    for payload in &payloads[6..] {
        append(&store, &[event("AAAA", "f", payload)]).unwrap();
    }
    let events = common::all(&store).unwrap();
    store.close().unwrap();
    let mut files = Files::new();
    snapshot(&*fs, &root(), &mut files);
    let bytes = &files[&segment(1)];
    let at = bytes.windows(4).position(|window| window == b"BBBB").unwrap();
    flip_and_check(&files, &events, &segment(1), at, true);
}

#[test]
fn a_stream_never_passes_over_a_damaged_event() {
    let (store, fs) = open(&Files::new()).unwrap();
    for n in 0..6_u8 {
        append(&store, &[event("one", "f", &[0xa0 + n; 9])]).unwrap();
    }
    append(&store, &[event("other", "f", b"whole")]).unwrap();
    store.close().unwrap();
    let mut files = Files::new();
    snapshot(&*fs, &root(), &mut files);
    let bytes = files.get_mut(&segment(1)).unwrap();
    let at = bytes.windows(9).position(|window| window == [0xa2; 9]).unwrap();
    bytes[at] ^= 1;
    let (store, _) = open(&files).unwrap();
    let versions = |spec: ReadSpec| {
        let read = store.read(spec).unwrap();
        let mut versions = Vec::new();
        loop {
            match read.next() {
                Ok(Some(batch)) => {
                    versions.extend(
                        Batch::new(batch)
                            .events(&store.source())
                            .unwrap()
                            .iter()
                            .map(|e| e.version),
                    );
                }
                Ok(None) => return (versions, true),
                Err(error) => {
                    assert_eq!(error.code(), "ERR_CORRUPT");
                    return (versions, false);
                }
            }
        }
    };
    let stream = ReadSpec::new(Subject::Stream("one".into()));
    assert_eq!(versions(stream.clone()), (vec![0, 1], false));
    let behind = ReadSpec { from: Some(3), ..stream.clone() };
    assert_eq!(versions(behind), (vec![3, 4, 5], true));
    let backwards = ReadSpec { backwards: true, ..stream };
    assert_eq!(versions(backwards), (vec![5, 4, 3], false));
    let facts = Filter { fact: Some(vec!["f".into()]), ..Default::default() };
    assert!(!versions(ReadSpec::new(Subject::Query(vec![facts]))).1);
    assert_eq!(store.version("one").unwrap(), Some(5));
}

#[test]
fn a_read_that_is_under_way_survives_an_index_that_another_read_rebuilt() {
    let (store, fs) = open(&Files::new()).unwrap();
    let payload = vec![1; 2000];
    for n in 0..1000_u32 {
        append(&store, &[event(&format!("e{}", n % 7), "f", &payload)]).unwrap();
    }
    store.close().unwrap();
    let mut files = Files::new();
    snapshot(&*fs, &root(), &mut files);
    let (store, fs) = open(&files).unwrap();
    let filter = Filter { fact: Some(vec!["f".into()]), ..Default::default() };
    let mut spec = ReadSpec::new(Subject::Query(vec![filter]));
    spec.backwards = true;
    let early = store.read(spec.clone()).unwrap();
    let mut seen = Batch::new(early.next().unwrap().unwrap()).len();
    let index = root().join("segments/0000000001.idx");
    let file = fs.open(&index, OpenMode::Write).unwrap();
    file.write_at(&vec![0xee; file.length().unwrap() as usize - 600], 600).unwrap();
    drop(file);
    assert_eq!(common::read(&store, spec).unwrap().len(), 1000);
    while let Some(batch) = early.next().unwrap() {
        seen += Batch::new(batch).len();
    }
    assert_eq!(seen, 1000);
}

#[test]
fn a_lost_manifest_is_never_taken_for_a_new_store() {
    let (files, _) = example(200_000);
    let mut newer = files.clone();
    newer.get_mut(&segment(1)).unwrap()[8] = 9;
    let mut second_only = files.clone();
    second_only.remove(&segment(1));
    for mut damaged in [files, newer, second_only] {
        damaged.remove(&root().join("MANIFEST"));
        let error = open(&damaged).map(|_| ()).unwrap_err();
        assert_eq!(error.code(), "ERR_CORRUPT", "{error}");
    }
}

#[test]
fn a_position_that_cannot_be_is_not_believed() {
    let (files, _) = example(40);
    let head = root().join("HEAD");
    let mut hostile = files;
    let bytes = hostile.get_mut(&head).unwrap();
    bytes[64..72].copy_from_slice(&(1_u64 << 45).to_le_bytes());
    bytes[72..80].copy_from_slice(&(1_u64 << 19).to_le_bytes());
    bytes[56..64].copy_from_slice(&(1_u64 << 19).to_le_bytes());
    let crc = crc32fast::hash(&bytes[..92]);
    bytes[92..96].copy_from_slice(&crc.to_le_bytes());
    let (store, _) = open(&hostile).unwrap();
    assert!(!store.damage().is_empty());
    assert_eq!(store.event(3).unwrap().map(|batch| Batch::new(batch).len()), Some(1));
}

/// A kill between making the next segment's file and allocating it.
#[test]
fn an_unallocated_spare_is_no_damage() {
    let (files, payload) = with_listed_spare();
    for length in [0, 100] {
        let mut cut = files.clone();
        cut.insert(segment(2), vec![0; length]);
        let (store, _) = open(&cut).unwrap();
        assert!(store.damage().is_empty(), "{:?}", store.damage());
        for _ in 0..4 {
            append(&store, &[event("a", "f", &payload)]).unwrap();
        }
        assert!(verify(&store).ok);
    }
}

/// A power cut while the header page of the next segment is written: nothing can stand in that segment yet.
#[test]
fn a_torn_header_of_a_segment_without_frames_is_no_damage() {
    let (files, payload) = with_listed_spare();
    let header = files[&segment(1)][..4096].to_vec();
    for torn in [0..512, 512..4096, 4095..4096] {
        let mut file = vec![0; 1 << 20];
        file[torn.clone()].copy_from_slice(&header[torn]);
        let mut cut = files.clone();
        cut.insert(segment(2), file.clone());
        let (store, _) = open(&cut).unwrap();
        assert!(store.damage().is_empty(), "{:?}", store.damage());
        for _ in 0..4 {
            append(&store, &[event("a", "f", &payload)]).unwrap();
        }
        assert!(verify(&store).ok);
        file[5000] = 1;
        cut.insert(segment(2), file);
        assert!(!open(&cut).unwrap().0.damage().is_empty(), "with a frame behind it, it is damage");
    }
}

/// A power cut while a store is made could leave a directory in which none could be made any more.
#[test]
fn a_creation_that_was_cut_short_can_be_repeated() {
    let (files, _) = example(40);
    let mut file = vec![0; 1 << 20];
    file[..512].copy_from_slice(&files[&segment(1)][..512]);
    let (store, _) = open(&Files::from([(segment(1), file.clone())])).unwrap();
    append(&store, &[event("a", "f", b"")]).unwrap();
    assert!(verify(&store).ok);
    file[5000] = 1;
    let error = open(&Files::from([(segment(1), file)])).unwrap_err();
    assert_eq!(
        error.code(),
        "ERR_CORRUPT",
        "with frames, it is a store that has lost its manifest"
    );
}

/// HEAD names a segment that cannot be read: then the last one that can be is not where the log ends, and
/// what is broken in it is not torn.
#[test]
fn the_end_of_a_segment_that_is_not_the_last_is_never_cut() {
    let (mut files, _) = example(200_000);
    files.remove(&segment(2));
    let path = segment(1);
    let bytes = files.get_mut(&path).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    // The seal and the frame before it.
    bytes[used - 150..used].fill(9);
    let before = bytes.clone();
    let (store, fs) = open(&files).unwrap();
    assert!(!store.damage().is_empty());
    let mut after = Files::new();
    snapshot(&*fs, &root(), &mut after);
    assert!(after[&path] == before, "nothing was changed");
}

/// A store of one segment's file, with frames of one event each.
fn one_by_one(payloads: &[&[u8]]) -> Files {
    let (store, fs) = open(&Files::new()).unwrap();
    for payload in payloads {
        append(&store, &[event("a", "f", payload)]).unwrap();
    }
    store.close().unwrap();
    let mut files = Files::new();
    snapshot(&*fs, &root(), &mut files);
    files
}

/// The record of the first frame, which has one.
fn first_record(bytes: &[u8]) -> std::ops::Range<usize> {
    let record = 4096 + 40 + u32_at(bytes, 4096 + 36);
    record..record + u32_at(bytes, record + 4)
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// Makes every CRC of the first frame anew, as somebody would who changes it on purpose.
fn check_first_frame_anew(bytes: &mut [u8]) {
    let salt = bytes[96..104].to_vec();
    let crc = |offset: usize, parts: &[&[u8]]| {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&salt);
        hasher.update(&(offset as u64).to_le_bytes());
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize().to_le_bytes()
    };
    let (record, end) = (first_record(bytes), 4096 + u32_at(bytes, 4096));
    let header = crc(4096, &[&bytes[4096..4096 + 32]]);
    bytes[4096 + 32..4096 + 36].copy_from_slice(&header);
    let own = crc(record.start, &[&bytes[record.start + 4..record.end]]);
    bytes[record.start..record.start + 4].copy_from_slice(&own);
    let frame = crc(4096, &[&bytes[4096..record.start + 4], &bytes[record.end..end - 4]]);
    bytes[end - 4..end].copy_from_slice(&frame);
}

/// An event whose bytes hold together, with every CRC right, but that is not the one that was linked.
#[test]
fn an_event_that_was_exchanged_does_not_verify() {
    let mut files = one_by_one(&[b"before"]);
    let bytes = files.get_mut(&segment(1)).unwrap();
    let end = first_record(bytes).end;
    bytes[end - 6..end].copy_from_slice(b"behind");
    check_first_frame_anew(bytes);
    let (store, _) = open(&files).unwrap();
    assert_eq!(common::all(&store).unwrap()[0].payload, b"behind");
    assert!(!verify(&store).ok);
}

/// What no link covers: the header of a frame says how much was synced.
#[test]
fn a_frame_of_a_sealed_segment_that_was_exchanged_does_not_verify() {
    let payload = vec![7; 300_000];
    let mut files = one_by_one(&[&payload[..]; 5]);
    assert!(files.contains_key(&segment(2)), "the first segment is sealed");
    let bytes = files.get_mut(&segment(1)).unwrap();
    assert_eq!(u32_at(bytes, 4096 + 20), 4096);
    bytes[4096 + 20..4096 + 24].copy_from_slice(&8_u32.to_le_bytes());
    check_first_frame_anew(bytes);
    let (store, _) = open(&files).unwrap();
    assert_eq!(common::all(&store).unwrap().len(), 5, "the events are as they were");
    let report = verify(&store);
    assert_eq!((report.ok, report.events, report.damage.len()), (false, 5, 1), "{report:?}");
    assert!(report.damage[0].reason.contains("the seal does not match"), "{report:?}");
}

/// A reader was given half of the log, and nothing said that it was half.
#[test]
fn nothing_ends_as_if_it_were_whole_before_a_last_segment_that_cannot_be_opened() {
    let (files, events) = example(200_000);
    let first = events.iter().filter(|event| event.entity == "other").count();
    let mut missing = files.clone();
    missing.remove(&segment(2));
    let mut flipped = files.clone();
    flipped.get_mut(&segment(2)).unwrap()[100..108].fill(0xee);
    let mut zeroed = files;
    zeroed.get_mut(&segment(2)).unwrap()[..4096].fill(0);
    for (what, damaged) in [("missing", missing), ("flipped", flipped), ("zeroed", zeroed)] {
        for with_head in [true, false] {
            let mut damaged = damaged.clone();
            if !with_head {
                damaged.remove(&root().join("HEAD"));
            }
            let what = format!("{what}, HEAD: {with_head}");
            let (store, _) = open(&damaged).unwrap();
            assert!(!store.damage().is_empty(), "{what}");
            assert_eq!(common::all(&store).unwrap_err().code(), "ERR_CORRUPT", "{what}");
            let stream = common::stream(&store, "other");
            assert!(stream.is_err_and(|error| error.code() == "ERR_CORRUPT"), "{what}");
            let filter = Filter { fact: Some(vec!["fact".into()]), ..Filter::default() };
            let query = common::query(&store, vec![filter]);
            assert!(query.is_err_and(|error| error.code() == "ERR_CORRUPT"), "{what}");
            let mut verification = store.verify(Some("other")).unwrap();
            let report = loop {
                if let Some(report) = verification.step().unwrap() {
                    break report;
                }
            };
            assert!(!report.ok && report.events < first as u64, "{what}: {report:?}");
            let counted = store.read(ReadSpec::new(Subject::All)).unwrap().count();
            assert!(counted.is_err(), "{what}: {counted:?}");
        }
    }
}

/// Positions that a read gives before its error.
fn before_the_damage(store: &Store, spec: ReadSpec) -> Vec<u64> {
    let read = store.read(spec).unwrap();
    let mut positions = Vec::new();
    loop {
        match read.next() {
            Ok(Some(batch)) => {
                let events = Batch::new(batch).events(&store.source()).unwrap();
                positions.extend(events.iter().map(|event| event.position));
            }
            Ok(None) => panic!("the damage is passed over: {positions:?}"),
            Err(error) => {
                assert_eq!(error.code(), "ERR_CORRUPT");
                return positions;
            }
        }
    }
}

#[test]
fn what_stands_in_front_of_a_segment_that_cannot_be_opened_is_handed_out_first() {
    let (store, fs) = open(&Files::new()).unwrap();
    let payload = vec![1; 10_000];
    for nth in 0..700 {
        append(&store, &[event(&format!("e{}", nth % 2), "f", &payload)]).unwrap();
    }
    store.close().unwrap();
    let mut files = Files::new();
    snapshot(&*fs, &root(), &mut files);
    files.get_mut(&segment(4)).unwrap()[1600] ^= 1;
    let (store, _) = open(&files).unwrap();
    let error = common::all(&store).unwrap_err();
    let Error::Corrupt { damage } = error else { panic!("{error}") };
    let (first, last) = damage[0].positions.unwrap();
    assert!(first > 128 && last < 650, "a group of hits goes across either end: {first} to {last}");
    let fact = Filter { fact: Some(vec!["f".into()]), ..Filter::default() };
    let of_an_entity = |position: &u64| position.is_multiple_of(2);
    for (subject, chosen) in [
        (Subject::All, &(|_: &u64| true) as &dyn Fn(&u64) -> bool),
        (Subject::Query(vec![fact]), &|_| true),
        (Subject::Query(vec![Filter::default()]), &|_| true),
        (Subject::Stream("e0".into()), &of_an_entity),
    ] {
        let spec = ReadSpec::new(subject);
        let wanted: Vec<u64> = (0..first).filter(chosen).collect();
        assert_eq!(before_the_damage(&store, spec.clone()), wanted, "{spec:?}");
        let wanted: Vec<u64> = (last + 1..700).rev().filter(chosen).collect();
        let spec = ReadSpec { backwards: true, ..spec };
        assert_eq!(before_the_damage(&store, spec.clone()), wanted, "{spec:?}");
    }
}

#[test]
fn an_entity_is_verified_beside_sealed_segments_that_cannot_be_opened() {
    let (files, _) = example(200_000);
    let mut swapped = files.clone();
    let one = swapped[&segment(1)].clone();
    let two = swapped.insert(segment(2), one).unwrap();
    swapped.insert(segment(1), two);
    let mut flipped = files;
    flipped.get_mut(&segment(1)).unwrap()[100..108].fill(0xee);
    for damaged in [swapped, flipped] {
        let Ok((store, _)) = open(&damaged) else { continue };
        let mut verification = store.verify(Some("entity:1")).unwrap();
        let report = loop {
            if let Some(report) = verification.step().unwrap() {
                break report;
            }
        };
        assert!(!report.ok, "{report:?}");
    }
}
