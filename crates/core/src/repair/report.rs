//! What a repair says it did, or would do.

use std::path::PathBuf;

use crate::error::Damage;

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Changed bytes are put right, as checksums prove: nothing is lost.
    Correct,
    /// The seal of a segment is written again from its frames: nothing is lost.
    Seal,
    /// The manifest is written again from the segments: nothing is lost.
    Manifest,
    /// The log ends here from now on.
    Cut,
    /// The file goes: it holds what stands behind the cut.
    Remove,
}

/// One thing that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairStep {
    /// What.
    pub action: Action,
    /// Number of the segment; 0 is the manifest.
    pub segment: u64,
    /// Where in the file it begins.
    pub offset: u64,
    /// Bytes that are written again; 0 where something is cut or removed.
    pub length: u64,
    /// The file's name within the store's directory.
    pub file: String,
}

/// What a repair found, did and lost; or would do and lose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairReport {
    /// Everything that was damaged.
    pub damage: Vec<Damage>,
    /// What was done, or would be. Empty if nothing is damaged.
    pub steps: Vec<RepairStep>,
    /// Events of the repaired store.
    pub events: u64,
    /// First and last position that the repaired store does not have any more.
    pub lost: Option<(u64, u64)>,
    /// Events among them that are whole. They can be read in the files that are kept aside, but not in
    /// the store: there is no log with a gap in it.
    pub lost_whole: u64,
    /// The directory in which the damaged files are kept, if any were changed.
    pub kept: Option<PathBuf>,
}
