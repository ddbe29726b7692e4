//! Metrics for Prometheus and a health endpoint, over HTTP. What is asked for is read from the maps when it is asked for;
//! nothing is added to what the kernel part counts.

mod catalogue;
mod page;
mod pulse;
mod scrape;
mod server;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc};

pub use catalogue::{ALL, Kind, Metric};
pub use pulse::{Health, Pulse};
pub use server::{Server, listen, serve};

use crate::datapath::pin::PinDir;

/// Where metrics are served unless told otherwise. Prometheus' list of default ports ends below it, and the ports that
/// Linux gives out by itself begin above it.
pub const DEFAULT: &str = "127.0.0.1:19753";

/// Reads where to serve them.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("not an address and a port such as {DEFAULT} or [::1]:19753"))
}

/// Mappings that have series of their own, unless told otherwise: each has six.
pub const MAX_MAPPINGS: usize = 500;

/// How metrics are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The address and port.
    pub listen: SocketAddr,
    /// How many mappings have series of their own: all others are summed up.
    pub max_mappings: usize,
}

/// What is served.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where the maps are.
    pub pin_dir: PinDir,
    /// How the agent is.
    pub pulse: Arc<Pulse>,
    /// How many mappings have series of their own.
    pub max_mappings: usize,
}
