//! netfwd's NAT: what happens to a packet, and the layout of the maps that remember it.
//!
//! The same code runs in the kernel (`netfwd-ebpf` gives it a socket buffer and BPF maps), in tests (bytes and
//! `memory::MemoryTables`) and in user space, which reads the maps with the types of [`abi`].
//!
//! It performs no I/O, reads no clock, draws no random number, contains no `unsafe` and cannot panic: a panic would
//! be refused by the kernel's verifier, so the lints below refuse it first.
//!
//! Every journey of a packet reads the same five words: parse → track → choose → rewrite → report. Start at
//! [`pipeline`].
#![cfg_attr(not(any(test, feature = "memory")), no_std)]
#![cfg_attr(not(feature = "user"), forbid(unsafe_code))]
#![deny(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::expect_used, clippy::indexing_slicing)
)]

pub mod abi;
pub mod answer;
pub mod checksum;
pub mod conntrack;
pub mod crc32c;
pub mod fast;
mod isolation;
#[cfg(any(test, feature = "memory"))]
pub mod memory;
pub mod mss;
pub mod nat;
pub mod neighbour;
pub mod packet;
pub mod parse;
pub mod pipeline;
pub mod quote;
pub mod rewrite;
pub mod scratch;
pub mod socket;
pub mod tables;
mod trace;
pub mod translate;
pub mod verdict;
