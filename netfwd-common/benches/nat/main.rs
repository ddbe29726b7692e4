//! What the NAT costs without a kernel: packets as bytes, tables in memory.
//!
//! The figures are for comparing two states of this code, not for telling what a packet costs in the kernel: there
//! the maps are others, and checksums are corrected by helpers. `cargo xtask bench` measures that.

#[expect(dead_code, reason = "the NAT's tests use the rest")]
#[path = "../../tests/support/frame.rs"]
mod frame;
#[expect(dead_code, reason = "the NAT's tests use the rest")]
#[path = "../../tests/support/packets.rs"]
mod packets;
#[expect(dead_code, reason = "the NAT's tests use the rest")]
#[path = "../../tests/support/world.rs"]
mod world;

mod bytes;
mod established;
mod opening;
mod stage;

use std::time::Duration;

use criterion::Criterion;
use netfwd_common::abi::{V4, V6};

fn main() {
    let times = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    let mut criterion = times.configure_from_args();
    bytes::checksums(&mut criterion);
    bytes::headers::<V4>(&mut criterion);
    bytes::headers::<V6>(&mut criterion);
    established::measure::<V4>(&mut criterion);
    established::measure::<V6>(&mut criterion);
    opening::measure::<V4>(&mut criterion);
    opening::measure::<V6>(&mut criterion);
    criterion.final_summary();
}
