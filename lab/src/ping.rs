//! ping.

use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};

use crate::netns::Netns;

/// How a series of echo requests went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PingReport {
    /// How many requests were sent.
    pub sent: u32,
    /// How many replies came.
    pub received: u32,
}

impl PingReport {
    /// Whether every request was answered.
    #[must_use]
    pub fn complete(self) -> bool {
        self.sent == self.received
    }
}

/// Sends `count` echo requests, `interval` seconds apart; that replies are missing is no error.
pub fn ping(netns: &Netns, target: IpAddr, count: u32, interval: f64) -> Result<PingReport> {
    let (count, interval, target) = (count.to_string(), interval.to_string(), target.to_string());
    let output = netns.output(&["ping", "-n", "-q", "-W", "2", "-c", &count, "-i", &interval, &target])?;
    let report = parse(&output.stdout);
    report.with_context(|| format!("ping {target} in {} failed: {}{}", netns.name(), output.stdout, output.stderr))
}

fn parse(said: &str) -> Result<PingReport> {
    let line = said.lines().find(|line| line.contains("packets transmitted")).context("ping counted nothing")?;
    let number = |part: &str| part.split_whitespace().next().and_then(|word| word.parse().ok());
    let numbers: Vec<u32> = line.split(',').take(2).filter_map(number).collect();
    ensure!(numbers.len() == 2, "ping counted strangely: {line}");
    Ok(PingReport { sent: numbers[0], received: numbers[1] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sent_and_received_are_read_from_the_summary() {
        let said =
            "--- 192.0.2.1 ping statistics ---\n1000 packets transmitted, 998 received, 0.2% packet loss, time 9ms\n";
        assert_eq!(parse(said).unwrap(), PingReport { sent: 1000, received: 998 });
        let said = "3 packets transmitted, 0 received, +3 errors, 100% packet loss, time 2041ms";
        assert_eq!(parse(said).unwrap(), PingReport { sent: 3, received: 0 });
    }
}
