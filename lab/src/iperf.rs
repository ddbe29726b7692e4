//! iperf3.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::netns::Netns;
use crate::process::Process;

const START: Duration = Duration::from_secs(10);

/// A running iperf3 server.
#[derive(Debug)]
pub struct IperfServer {
    _process: Process,
}

/// A transfer to make.
#[derive(Debug, Clone, Copy)]
pub struct Iperf<'a> {
    /// The server's address, as the client sees it.
    pub target: IpAddr,
    /// The server's port, as the client sees it.
    pub port: u16,
    /// Further options, such as `["--bytes", "1G", "--reverse"]`.
    pub options: &'a [&'a str],
    /// When to give up.
    pub timeout: Duration,
}

/// How a transfer went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transfer {
    /// How many bytes the sender sent.
    pub sent: u64,
    /// How many of them the receiver had got when the sender was done.
    pub received: u64,
    /// The receiver's speed.
    pub bits_per_second: f64,
    /// Segments that TCP sent again; 0 for UDP.
    pub retransmits: u64,
}

impl IperfServer {
    /// Serves on `port`; returns once it listens.
    pub fn start(netns: &Netns, port: u16) -> Result<Self> {
        let process = netns.spawn(&["iperf3", "--server", "--port", &port.to_string()])?;
        netns.wait_for_listener(port, START)?;
        Ok(Self { _process: process })
    }
}

impl Iperf<'_> {
    /// Makes the transfer from `netns`.
    pub fn run(&self, netns: &Netns) -> Result<Transfer> {
        let (target, port) = (self.target.to_string(), self.port.to_string());
        let mut words = vec!["iperf3", "--json", "--client", &target, "--port", &port];
        words.extend(self.options);
        let report = netns.spawn(&words)?.wait(self.timeout)?.stdout;
        parse(&report).with_context(|| format!("`{}` in {} failed; it said:\n{report}", words.join(" "), netns.name()))
    }
}

fn parse(report: &str) -> Result<Transfer> {
    let report: Value = serde_json::from_str(report).context("iperf3 printed no JSON")?;
    if let Some(error) = report["error"].as_str() {
        anyhow::bail!("iperf3: {error}");
    }
    let end = &report["end"];
    // Of UDP, there is one sum for both sides.
    let side = |name: &str| if end[name].is_object() { &end[name] } else { &end["sum"] };
    let (sender, receiver) = (side("sum_sent"), side("sum_received"));
    Ok(Transfer {
        sent: sender["bytes"].as_u64().context("iperf3 counted nothing sent")?,
        received: receiver["bytes"].as_u64().context("iperf3 counted nothing received")?,
        bits_per_second: receiver["bits_per_second"].as_f64().context("iperf3 measured no speed")?,
        retransmits: sender["retransmits"].as_u64().unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_is_told_from_both_sides() {
        let report = r#"{"end": {"sum_sent": {"bytes": 9, "retransmits": 2},
            "sum_received": {"bytes": 8, "bits_per_second": 64.5}}}"#;
        assert_eq!(parse(report).unwrap(), Transfer { sent: 9, received: 8, bits_per_second: 64.5, retransmits: 2 });
    }

    #[test]
    fn an_error_in_the_report_is_an_error() {
        let report = r#"{"error": "unable to connect to server"}"#;
        assert_eq!(parse(report).unwrap_err().to_string(), "iperf3: unable to connect to server");
    }
}
