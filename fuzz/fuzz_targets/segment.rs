//! The frames of a segment: of a sealed one, and of the active one, without `HEAD` to say what of it was synced.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tetralog_fuzz::{example, last_path_of, path_of, try_example, try_overwritten};

/// Frames start behind the header page.
const FRAMES_AT: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    try_overwritten(path_of(".seg"), FRAMES_AT, bytes);
    let path = last_path_of(".seg");
    let mut active = example().get(path).cloned().unwrap_or_default();
    let end = active.len().min(FRAMES_AT + bytes.len());
    active[FRAMES_AT..].fill(0);
    active[FRAMES_AT..end].copy_from_slice(&bytes[..end - FRAMES_AT]);
    try_example(&[(path, active), ("HEAD", Vec::new())]);
});
