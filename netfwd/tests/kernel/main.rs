//! The loaded programs, and the command line on them, in network namespaces with real clients. The same binary runs
//! on the running kernel and in virtual machines with other kernels.

#![expect(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod agent;
mod apply;
mod attach;
mod bad_input;
mod bridges;
mod capabilities;
mod check;
mod configuration;
mod docker;
mod explain;
mod fast_path;
mod follow;
mod ipv6;
mod isolation;
mod logs;
mod mappings;
mod metrics;
mod options;
mod point_to_point;
mod programs;
mod scenarios;
mod sockets;
mod support;
mod timeouts;
mod trace;
mod watching;
