//! `netfwd trace`: what happens to packets, as it happens. The kernel part keeps each one's first bytes before and after;
//! what they mean is found out here.

mod filter;
mod flow;
mod pcap;

pub use filter::{Filter, Port};
pub use flow::Flows;
pub use pcap::Pcap;
