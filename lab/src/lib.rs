//! Network namespaces with real hosts, clients and witnesses, for the demo, the tests and the benchmarks.
//!
//! A [`Lab`] is a Docker host without Docker, built from a [`Topology`]:
//!
//! ```text
//! client ns ── uplink [host ns] bridge ── veth ── container ns c1
//!                                    └─── veth ── container ns c2
//! ```
//!
//! [`Topology::dual_stack`] adds IPv6, [`Topology::with_router`] a router between the host and the client.
//!
//! Each [`Netns`] runs ordinary programs (`ping`, `curl`, `iperf3`) and closures, so that both real clients and
//! sockets of the test itself live in it. A [`Capture`] is a witness: `tcpdump` on one interface, whose [`Packets`]
//! are compared and checked for bad checksums; a [`Wire`] sends frames that no socket would; a [`DockerEngine`] and
//! a [`Prometheus`] are real ones. Everything goes when the values are dropped, also when building fails half way and on SIGINT, SIGTERM or
//! SIGHUP: these end every wait of the lab with an error.

mod capture;
mod checksum;
mod docker;
mod interrupt;
mod iperf;
mod lab;
mod netns;
mod packets;
mod ping;
mod process;
mod prometheus;
mod quoted;
mod stun;
mod tcp;
mod terminal;
mod topology;
mod udp;
mod web;
mod wire;

pub use capture::Capture;
pub use checksum::Checksum;
pub use docker::DockerEngine;
pub use interrupt::check as check_interrupt;
pub use iperf::{Iperf, IperfServer, Transfer};
pub use lab::Lab;
pub use netns::Netns;
pub use packets::{Checksums, Packet, Packets};
pub use ping::{PingReport, ping};
pub use process::{Output, Process};
pub use prometheus::{Prometheus, promtool};
pub use stun::{StunReport, StunServer, stun};
pub use tcp::{TcpEcho, tcp_ask};
pub use terminal::Terminal;
pub use topology::{Bridge, Ipv6, Router, Topology, Uplink};
pub use udp::{UdpEcho, udp_ask};
pub use web::{WebServer, curl};
pub use wire::{Wire, fragments};
