//! The checkpoint, and the catalog of what is sealed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tetralog_fuzz::{path_of, try_example};

fuzz_target!(|bytes: &[u8]| {
    try_example(&[("HEAD", bytes.to_vec())]);
    try_example(&[(path_of("catalog"), bytes.to_vec())]);
});
