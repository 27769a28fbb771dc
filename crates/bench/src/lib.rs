//! Benchmarks of the engine: `cargo bench -p tetralog-bench`. See `benches/`.
