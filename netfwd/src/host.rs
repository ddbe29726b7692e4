//! The host: its kernel, its interfaces, and what this process may do.

pub mod bpf;
pub mod capabilities;
pub mod cgroup;
pub mod ethtool;
pub mod events;
pub mod firewall;
pub mod forwarding;
pub mod interfaces;
pub mod kernel;
pub mod namespace;
pub mod neighbours;
pub mod netlink;
pub mod other_ends;
pub mod ports;
pub mod routes;
pub mod sockets;
pub mod traffic_control;
