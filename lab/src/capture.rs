//! A witness: tcpdump on one interface.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::netns::Netns;
use crate::packets::Packets;
use crate::process::Process;

const FILE: &str = "capture.pcap";
const START: Duration = Duration::from_secs(10);
/// An emulated machine is slow.
const QUIET: Duration = Duration::from_millis(200);
const DRAIN: Duration = Duration::from_secs(10);

/// A running capture.
#[derive(Debug)]
pub struct Capture {
    process: Process,
    directory: TempDir,
}

impl Capture {
    /// Captures on `interface` what matches `filter` (pcap-filter(7); all if empty); returns once it listens.
    ///
    /// A packet that leaves is seen after the egress programs of TC, one that arrives before the ingress programs.
    pub fn start(netns: &Netns, interface: &str, filter: &str) -> Result<Self> {
        let directory = tempfile::tempdir().context("cannot make a directory for a capture")?;
        let file = directory.path().join(FILE);
        let file = file.to_str().context("the temporary directory's name is not text")?;
        // Immediate mode, because the kernel would keep what it has for up to a second.
        let mut words =
            vec!["tcpdump", "-Z", "root", "--immediate-mode", "-U", "-B", "32768", "-i", interface, "-w", file];
        words.extend(filter.split_whitespace());
        let mut process = netns.spawn(&words)?;
        process.wait_for_line("listening on", START)?;
        Ok(Self { process, directory })
    }

    /// Ends the capture, once what was on its way has arrived.
    pub fn stop(mut self) -> Result<Packets> {
        self.wait_until_quiet()?;
        self.process.signal(Signal::SIGINT)?;
        let said = self.process.succeed(START)?.stderr;
        Ok(Packets::new(self.directory.path().join(FILE), self.directory, lost(&said)))
    }

    fn wait_until_quiet(&self) -> Result<()> {
        let file = self.directory.path().join(FILE);
        let deadline = Instant::now() + DRAIN;
        let mut size = None;
        while Instant::now() < deadline {
            let now = file.metadata().context("the capture's file is gone")?.len();
            if size == Some(now) {
                break;
            }
            size = Some(now);
            thread::sleep(QUIET);
        }
        Ok(())
    }
}

/// The number of packets that tcpdump says the kernel could not give it.
fn lost(said: &str) -> u64 {
    let count = |line: &str| line.strip_suffix(" dropped by kernel")?.split_whitespace().next()?.parse().ok();
    said.lines().find_map(count).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_packets_are_read_from_what_tcpdump_says_last() {
        assert_eq!(lost("2 packets captured\n4 packets received by filter\n17 packets dropped by kernel\n"), 17);
        assert_eq!(lost("1 packet captured\n1 packet received by filter\n0 packets dropped by kernel\n"), 0);
    }
}
