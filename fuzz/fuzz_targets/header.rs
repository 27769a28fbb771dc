//! The header page of a segment: of a sealed one, and of the active one.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    tetralog_fuzz::try_overwritten(tetralog_fuzz::path_of(".seg"), 0, bytes);
    tetralog_fuzz::try_overwritten(tetralog_fuzz::last_path_of(".seg"), 0, bytes);
});
