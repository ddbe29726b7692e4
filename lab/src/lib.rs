//! Network namespaces with real hosts, clients and witnesses, for the demo, the tests and the benchmarks.
//!
//! A [`Lab`] is a Docker host without Docker, built from a [`Topology`]:
//!
//! ```text
//! client ns ── uplink [host ns] bridge ── veth ── container ns c1
//!                                    └─── veth ── container ns c2
//! ```
//!
//! Each [`Netns`] runs ordinary programs (`ping`, `curl`, `iperf3`) and closures, so that both real clients and
//! sockets of the test itself live in it. A [`Capture`] is a witness: `tcpdump` on one interface, whose [`Packets`]
//! are compared and checked for bad checksums. Everything goes when the values are dropped, also when building
//! fails half way and on SIGINT, SIGTERM or SIGHUP: these end every wait of the lab with an error.

mod capture;
mod checksum;
mod interrupt;
mod iperf;
mod lab;
mod netns;
mod packets;
mod ping;
mod process;
mod topology;
mod udp;
mod web;

pub use capture::Capture;
pub use checksum::Checksum;
pub use iperf::{Iperf, IperfServer, Transfer};
pub use lab::Lab;
pub use netns::Netns;
pub use packets::{Checksums, Packet, Packets};
pub use ping::{PingReport, ping};
pub use process::{Output, Process};
pub use topology::{Bridge, Topology, Uplink};
pub use udp::{UdpEcho, udp_ask};
pub use web::{WebServer, curl};
