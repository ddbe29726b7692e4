//! Builds the generator and the counter, and puts them where `include_bytes_aligned!` finds them.

use std::path::Path;

const INPUTS: [&str; 2] = ["bench/ebpf", "Cargo.toml"];

fn main() -> anyhow::Result<()> {
    ebpf_build::build(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), "bench-ebpf", "bench", &INPUTS)
}
