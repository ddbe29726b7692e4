//! The host: its kernel, its interfaces, and what this process may do.

pub mod capabilities;
pub mod forwarding;
pub mod interfaces;
pub mod kernel;
pub mod namespace;
pub mod netlink;
pub mod traffic_control;
