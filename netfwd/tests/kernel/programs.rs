//! The loaded programs, which are given frames by `BPF_PROG_TEST_RUN`: nothing is attached, and nothing is sent.
//!
//! Frames and rules are those of the NAT's own tests, so that both can be compared.

#[path = "../../../netfwd-common/tests/support/frame.rs"]
mod frame;
#[path = "../../../netfwd-common/tests/support/world.rs"]
mod world;

mod budgets;
mod datapath;
mod differential;
mod namespace;
mod reaper;
mod table;
mod verifier;
