//! The `wavetape` program.

fn main() {}
