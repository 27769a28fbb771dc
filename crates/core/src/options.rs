//! How a store is opened.

use crate::error::{Error, Result};
use crate::limits;
use crate::submission::Durability;

/// Options of a store. All of them hold for one opening; none is stored.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// When appends count as done. Default: `Sync`.
    pub durability: Durability,
    /// Open beside a writer, in this or another process: no lock, no writing. Default: false.
    pub read_only: bool,
    /// `Interval`: most milliseconds between writing and syncing. Default: 100; 1 to 3,600,000.
    pub fsync_interval_ms: u64,
    /// `Interval`: most events between syncs. Default: 1000; at least 1.
    pub fsync_event_count: u64,
    /// Most bytes that may wait for the writer. Default: 256 MiB; at least 1. One append is taken however large.
    pub max_in_flight_bytes: u64,
    /// Most bytes of a payload. Default: 16 MiB; at most 48 MiB.
    pub max_payload_bytes: u64,
    /// Size that segments grow up to. Default: 256 MiB; 1 MiB to 4 GiB - 1.
    pub segment_max_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Sync,
            read_only: false,
            fsync_interval_ms: 100,
            fsync_event_count: 1000,
            max_in_flight_bytes: limits::IN_FLIGHT_DEFAULT_MAX_BYTES,
            max_payload_bytes: limits::PAYLOAD_DEFAULT_MAX_BYTES,
            segment_max_bytes: limits::SEGMENT_DEFAULT_BYTES,
        }
    }
}

impl StoreOptions {
    /// Checks every range.
    pub(crate) fn check(&self) -> Result<()> {
        let ranges = [
            ("fsyncIntervalMs", self.fsync_interval_ms, 1, 3_600_000),
            ("fsyncEventCount", self.fsync_event_count, 1, limits::POSITION_MAX),
            ("maxInFlightBytes", self.max_in_flight_bytes, 1, limits::POSITION_MAX),
            ("maxPayloadBytes", self.max_payload_bytes, 1, limits::PAYLOAD_HARD_MAX_BYTES),
            (
                "segmentMaxBytes",
                self.segment_max_bytes,
                limits::SEGMENT_MIN_BYTES,
                limits::SEGMENT_MAX_BYTES,
            ),
        ];
        for (name, value, low, high) in ranges {
            if !(low..=high).contains(&value) {
                return Err(Error::invalid(
                    format!("options.{name}"),
                    format!("is {value}; it must be from {low} to {high}"),
                ));
            }
        }
        Ok(())
    }
}
