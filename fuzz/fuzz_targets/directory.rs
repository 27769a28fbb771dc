//! The directory's files: heads of entities, and ids.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tetralog_fuzz::{path_of, try_example};

fuzz_target!(|bytes: &[u8]| {
    try_example(&[(path_of(".heads"), bytes.to_vec())]);
    try_example(&[(path_of(".ids"), bytes.to_vec())]);
});
