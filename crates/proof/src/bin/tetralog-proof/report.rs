//! What every report has.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Violations as JSON, those with the same message counted.
pub fn violations<'a>(messages: impl Iterator<Item = &'a str>) -> String {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for message in messages {
        *counts.entry(message).or_default() += 1;
    }
    let list: Vec<String> = counts
        .iter()
        .map(|(message, count)| format!("    {{ \"count\": {count}, \"message\": {message:?} }}"))
        .collect();
    if list.is_empty() { "[]".to_owned() } else { format!("[\n{}\n  ]", list.join(",\n")) }
}

/// Writes a file, and the directory that it is in.
#[expect(clippy::disallowed_methods, reason = "a report is no part of a store")]
pub fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, bytes)
}

/// Kernel, architecture and processors.
pub fn machine() -> String {
    let said = Command::new("uname").arg("-srm").output();
    let kernel = said.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned());
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {processors} processors", kernel.unwrap_or_default())
}
