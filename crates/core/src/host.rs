//! Time, randomness and the boot id: what the engine asks of the machine besides files. Injected, so
//! that tests decide.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// The machine as the engine sees it.
pub trait Host: Send + Sync + std::fmt::Debug {
    /// Nanoseconds since 1970. May go backwards; the store's own clocks do not.
    fn unix_ns(&self) -> u64;
    /// Fills with unpredictable bytes.
    fn random(&self, bytes: &mut [u8]);
    /// Differs after every boot of the machine; zeros if unknown.
    fn boot_id(&self) -> [u8; 16];
}

/// The real machine.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemHost;

impl Host for SystemHost {
    fn unix_ns(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
    }

    fn random(&self, bytes: &mut [u8]) {
        if getrandom::fill(bytes).is_err() {
            // Before the kernel's generator is ready there is still the time; a salt must differ, not be secret.
            let seed = blake3::hash(&self.unix_ns().to_le_bytes());
            for (byte, random) in bytes.iter_mut().zip(seed.as_bytes().iter().cycle()) {
                *byte = *random;
            }
        }
    }

    fn boot_id(&self) -> [u8; 16] {
        // No process outlives a boot.
        static BOOT_ID: OnceLock<[u8; 16]> = OnceLock::new();
        *BOOT_ID.get_or_init(read_boot_id)
    }
}

fn read_boot_id() -> [u8; 16] {
    #[expect(clippy::disallowed_methods, reason = "a kernel file, not the store's")]
    let text = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    if text.is_empty() {
        return [0; 16];
    }
    let hash = blake3::hash(&text);
    hash.as_bytes().first_chunk().copied().unwrap_or_default()
}
