//! Every limit of the store, in one place. What is stored stays readable whatever today's options say.

/// Bytes of an entity's name, at least 1.
pub const ENTITY_MAX_BYTES: usize = 1024;
/// Bytes of a fact, at least 1.
pub const FACT_MAX_BYTES: usize = 256;
/// Bytes of a scope.
pub const SCOPE_MAX_BYTES: usize = 1024;
/// Bytes of a clock.
pub const CLOCK_MAX_BYTES: usize = 64;
/// Tags of one event.
pub const TAGS_MAX_COUNT: usize = 64;
/// Bytes of one tag, at least 1.
pub const TAG_MAX_BYTES: usize = 256;
/// Bytes of a content type.
pub const CONTENT_TYPE_MAX_BYTES: usize = 256;
/// Bytes of a payload unless the options say otherwise.
pub const PAYLOAD_DEFAULT_MAX_BYTES: u64 = 16 << 20;
/// Bytes of payload and metadata together, whatever the options say.
pub const PAYLOAD_HARD_MAX_BYTES: u64 = 48 << 20;
/// Events of one append.
pub const APPEND_MAX_EVENTS: usize = 65_536;
/// Bytes of one frame, so of one append with all that surrounds it.
pub const FRAME_MAX_BYTES: u64 = 64 << 20;
/// The last position or version: the largest integer that a double holds exactly.
pub const POSITION_MAX: u64 = (1 << 53) - 1;
/// Bytes that may be written beyond the last sync, at every durability level (or one frame).
pub const UNSYNCED_MAX_BYTES: u64 = 8 << 20;
/// Bytes waiting for the writer before appends are refused, unless the options say otherwise.
pub const IN_FLIGHT_DEFAULT_MAX_BYTES: u64 = 256 << 20;
/// Smallest `segmentMaxBytes`. In a build for fuzzing less, so that more stores are tried in a second.
pub const SEGMENT_MIN_BYTES: u64 = if cfg!(fuzzing) { 64 << 10 } else { 1 << 20 };
/// Largest `segmentMaxBytes`: offsets within a segment are u32.
pub const SEGMENT_MAX_BYTES: u64 = (1 << 32) - 1;
/// Default `segmentMaxBytes`.
pub const SEGMENT_DEFAULT_BYTES: u64 = 256 << 20;
/// Strings of one filter's coordinate, and filters of one query.
pub const FILTER_MAX_ITEMS: usize = 65_536;
