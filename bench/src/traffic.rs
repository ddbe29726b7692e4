//! Packets made, and counted, in the kernel.

#[path = "../ebpf/src/abi.rs"]
pub(crate) mod abi;
mod path;
mod stage;
mod stream;

pub(crate) use stage::{Direction, Stage};

/// The BPF object of this build.
pub(crate) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bench"));

// SAFETY: numbers without padding.
unsafe impl aya::Pod for abi::Stream {}
// SAFETY: numbers without padding.
unsafe impl aya::Pod for abi::Expected {}
// SAFETY: numbers without padding.
unsafe impl aya::Pod for abi::Target {}

const _: () = assert!(size_of::<abi::Stream>() == abi::WORDS * 8 + 14 * 4, "padding");
const _: () = assert!(size_of::<abi::Target>() == 16, "padding");
