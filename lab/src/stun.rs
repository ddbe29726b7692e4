//! A STUN server and client by others: Debian's stun-server and stun-client (RFC 3489).

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::netns::Netns;
use crate::process::Process;

const PORT: u16 = 3478;
const START: Duration = Duration::from_secs(10);
/// It repeats each question that is not answered, nine times.
const ASK: Duration = Duration::from_mins(1);

/// A running STUN server.
#[derive(Debug)]
pub struct StunServer {
    _process: Process,
}

/// What a STUN client found out about the NAT between it and the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StunReport {
    /// Its own words, such as `Independent Mapping, Port Dependent Filter, preserves ports, no hairpin`.
    pub summary: String,
}

impl StunServer {
    /// Serves on ports 3478 and 3479 of two IPv4 addresses; returns once it listens.
    pub fn start(netns: &Netns, first: IpAddr, second: IpAddr) -> Result<Self> {
        let process = netns.spawn(&["stund", "-h", &first.to_string(), "-a", &second.to_string()])?;
        netns.wait_for_udp(PORT, START)?;
        netns.wait_for_udp(PORT + 1, START)?;
        Ok(Self { _process: process })
    }
}

/// Asks the server at `server` from `netns`.
pub fn stun(netns: &Netns, server: IpAddr) -> Result<StunReport> {
    let output = netns.spawn(&["stun", &server.to_string()])?.wait(ASK)?;
    let summary = parse(&output.stdout);
    let summary = summary.with_context(|| format!("stun in {} said {:?}", netns.name(), output.stdout))?;
    Ok(StunReport { summary })
}

fn parse(said: &str) -> Option<String> {
    Some(said.lines().find_map(|line| line.strip_prefix("Primary: "))?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_finding_is_taken_from_what_it_says() {
        assert_eq!(parse("STUN client version 0.97\nPrimary: Open\t\nReturn value is 0x000001\n").unwrap(), "Open");
        assert_eq!(parse("STUN client version 0.97\n"), None);
    }
}
