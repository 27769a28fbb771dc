//! The packed descriptions of reads.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tetralog_core::{AppendOptions, NewEvent, ReadSpec, Store};

fn store() -> &'static Store {
    static STORE: OnceLock<Store> = OnceLock::new();
    STORE.get_or_init(|| {
        let store = Store::memory(tetralog_fuzz::options()).expect("memory does not fail");
        for n in 0..100_u8 {
            let (entity, tag) = (format!("entity:{}", n % 7), format!("tag:{}", n % 5));
            let event = NewEvent {
                entity: &entity,
                fact: "happened",
                scope: "org:a/team:b",
                clock: Some(&[n]),
                tags: vec![&tag],
                ..NewEvent::default()
            };
            store.append(&[event], &AppendOptions::default()).expect("there is room");
        }
        store
    })
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(spec) = ReadSpec::decode(bytes) else { return };
    for use_read in [
        |read: &tetralog_core::Read| while let Ok(Some(_)) = read.next() {},
        |read: &tetralog_core::Read| drop(read.count()),
        |read: &tetralog_core::Read| drop(read.explain()),
    ] {
        if let Ok(read) = store().read(spec.clone()) {
            use_read(&read);
        }
    }
});
