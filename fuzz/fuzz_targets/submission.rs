//! The packed appends that JavaScript hands over.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tetralog_core::{AppendOptions, NewEvent, Outcome, OutcomeSink, Store};

#[derive(Debug)]
struct Codes;

impl OutcomeSink for Codes {
    fn deliver(&self, outcomes: Vec<(u32, Outcome)>) {
        for error in outcomes.into_iter().filter_map(|(_, outcome)| outcome.err()) {
            assert_ne!(error.code(), "ERR_POISONED", "{error}");
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let store = Store::memory(tetralog_fuzz::options()).expect("memory does not fail");
    let _ = store.submit(bytes.to_vec(), Arc::new(Codes), false);
    let event = NewEvent { entity: "after", fact: "appended", ..NewEvent::default() };
    store.append(&[event], &AppendOptions::default()).expect("the store goes on");
});
