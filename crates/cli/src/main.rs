//! The `taut` binary.
fn main() {}
