//! The operator's binary: wiring only.
fn main() {}
