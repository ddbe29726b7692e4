//! netfwd: NAT and port forwarding for Docker hosts in eBPF. This is its user space.
//!
//! [`commands`] holds one file per verb; [`datapath`] loads and attaches the kernel part and gives typed views of its
//! pinned maps; [`host`] asks the host about its interfaces and abilities.

pub mod agent;
pub mod apply;
pub mod check;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod context;
pub mod datapath;
pub mod docker;
pub mod explain;
pub mod family;
pub mod filter;
pub mod host;
pub mod log;
pub mod mapping;
pub mod metrics;
pub mod persist;
pub mod render;
pub mod report;
pub mod top;
pub mod trace;
pub mod uplink;
