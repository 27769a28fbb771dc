//! Benchmarks of the engine: `cargo bench -p tetralog-bench`. See `benches/`.

/// A small generator of numbers with a fixed seed (`SplitMix64`).
#[derive(Debug)]
pub struct Numbers(pub u64);

impl Numbers {
    /// The next number, any of 2^64.
    #[expect(clippy::should_implement_trait, reason = "it never ends, so it is no iterator")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
