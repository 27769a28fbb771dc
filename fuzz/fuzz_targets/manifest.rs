//! The manifest.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tetralog_fuzz::try_example(&[("MANIFEST", bytes.to_vec())]));
