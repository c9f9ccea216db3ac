//! Benchmarks, a file per layer in `benches/`: `cargo bench -p taut-benches`.
