//! Builds the BPF object and puts it where `include_bytes_aligned!` finds it.

use std::path::Path;

const INPUTS: [&str; 4] = ["netfwd-ebpf", "netfwd-common/src", "netfwd-common/Cargo.toml", "Cargo.toml"];

fn main() -> anyhow::Result<()> {
    ebpf_build::build(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), "netfwd-ebpf", "netfwd", &INPUTS)
}
