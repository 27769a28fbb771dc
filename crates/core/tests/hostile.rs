//! Packed requests from outside: whatever the bytes, the answer is an error or an outcome, never a
//! panic, and the store goes on.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::{append, event, small};
use parking_lot::Mutex;
use proptest::prelude::*;
use tetralog_core::{
    AppendOptions, ClockRange, Condition, Expected, Filter, MetadataKind, NewEvent, Outcome,
    OutcomeSink, Pattern, ReadSpec, Store, SubmissionBuilder,
};

#[derive(Debug, Default)]
struct Outcomes(Mutex<Vec<Outcome>>);

impl OutcomeSink for Outcomes {
    fn deliver(&self, outcomes: Vec<(u32, Outcome)>) {
        self.0.lock().extend(outcomes.into_iter().map(|(_, outcome)| outcome));
    }
}

/// A submission that uses every field.
fn valid() -> Vec<u8> {
    let everything = NewEvent {
        scope: "org:a/team:b",
        clock: Some(&[1, 2, 3]),
        id: Some([5; 16]),
        tags: vec!["x", "y"],
        metadata_kind: MetadataKind::Json,
        metadata: b"{}",
        ..event("entity:1", "fact", b"payload")
    };
    let options = AppendOptions {
        expected_by_entity: vec![("entity:1".into(), Expected::None)],
        unless: vec![Condition {
            filters: vec![Filter {
                entity: Some(vec![Pattern::Prefix("z".into())]),
                clock: Some(ClockRange { from: Some(vec![9]), to: None, before: None }),
                tags_all: Some(vec!["x".into()]),
                ..Filter::default()
            }],
            after: Some(3),
        }],
        ..AppendOptions::default()
    };
    let mut builder = SubmissionBuilder::new();
    builder.push(1, &[everything], &options);
    builder.push(2, &[event("other", "fact", b"")], &AppendOptions::default());
    builder.finish()
}

/// Submits bytes to a fresh store, then checks that it still works.
fn submit(bytes: Vec<u8>) {
    let store = Store::memory(small()).unwrap();
    let sink = Arc::new(Outcomes::default());
    let taken = store.submit(bytes, Arc::clone(&sink) as Arc<dyn OutcomeSink>, false);
    if let Err(error) = taken {
        assert_eq!(error.code(), "ERR_INVALID_ARGUMENT");
    }
    append(&store, &[event("after", "fact", b"")]).unwrap();
    for outcome in &*sink.0.lock() {
        if let Err(error) = outcome {
            assert_ne!(error.code(), "ERR_POISONED", "{error}");
        }
    }
    store.close().unwrap();
}

#[test]
fn every_flipped_byte_of_a_submission_is_survived() {
    let bytes = valid();
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut hostile = bytes.clone();
            hostile[at] ^= flip;
            submit(hostile);
        }
    }
}

#[test]
fn every_cut_of_a_submission_is_survived() {
    let bytes = valid();
    for length in 0..bytes.len() {
        submit(bytes[..length].to_vec());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn random_submissions_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        submit(bytes);
    }

    #[test]
    fn random_read_specifications_give_errors_or_reads(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        kind in 0..4_u8,
    ) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = kind;
        }
        let store = Store::memory(small()).unwrap();
        append(&store, &[event("a", "f", b"")]).unwrap();
        if let Ok(spec) = ReadSpec::decode(&bytes)
            && let Ok(read) = store.read(spec)
        {
            let _ = read.next();
            let _ = read.count();
        }
    }
}
