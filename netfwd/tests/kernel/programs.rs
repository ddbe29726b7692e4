//! The loaded programs, which are given frames by `BPF_PROG_TEST_RUN`: nothing is attached, and nothing is sent.
//!
//! Frames and rules are those of the NAT's own tests, so that both can be compared.

#[expect(dead_code, reason = "the NAT's own tests use the rest")]
#[path = "../../../netfwd-common/tests/support/frame.rs"]
mod frame;
#[expect(dead_code, reason = "the NAT's own tests use the rest")]
#[path = "../../../netfwd-common/tests/support/packets.rs"]
mod packets;
#[path = "../../../netfwd-common/tests/support/world.rs"]
mod world;

mod budgets;
mod datapath;
mod differential;
mod namespace;
mod reaper;
mod table;
mod verifier;

pub(crate) use datapath::OBJECT;
