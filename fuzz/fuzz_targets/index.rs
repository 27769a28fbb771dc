//! The index of a sealed segment, and of a part of the active one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tetralog_fuzz::{path_of, try_example};

fuzz_target!(|bytes: &[u8]| {
    try_example(&[(path_of(".idx"), bytes.to_vec())]);
    try_example(&[(path_of(".run"), bytes.to_vec())]);
});
