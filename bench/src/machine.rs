//! What the benchmark ran on. No names of hosts.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};
use nix::sys::utsname::uname;
use procfs::{CpuInfo, Current as _};
use serde::Serialize;

/// The machine and the peers' versions.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) kernel: String,
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) virtualized: bool,
    /// What the kernel does about the processor's faults, which makes calls slower.
    pub(crate) mitigations: Vec<String>,
    pub(crate) iptables: String,
    pub(crate) nftables: String,
}

impl Machine {
    pub(crate) fn here() -> Result<Self> {
        let info = CpuInfo::current().context("cannot read /proc/cpuinfo")?;
        let flags = info.flags(0).unwrap_or_default();
        Ok(Self {
            // Whose build it is says nothing of its speed.
            kernel: uname()?.release().to_string_lossy().split('-').next().unwrap_or_default().to_owned(),
            processor: info.model_name(0).unwrap_or("unknown").to_owned(),
            processors: info.num_cores(),
            virtualized: flags.contains(&"hypervisor"),
            mitigations: mitigations(),
            iptables: version("iptables"),
            nftables: version("nft"),
        })
    }
}

fn mitigations() -> Vec<String> {
    let files = fs::read_dir("/sys/devices/system/cpu/vulnerabilities").into_iter().flatten().flatten();
    let found = files.filter_map(|file| {
        let text = fs::read_to_string(file.path()).ok()?;
        let done = text.trim().strip_prefix("Mitigation: ")?;
        Some(format!("{}: {done}", file.file_name().to_string_lossy()))
    });
    found.collect::<BTreeSet<_>>().into_iter().collect()
}

fn version(program: &str) -> String {
    let output = Command::new(program).arg("--version").output();
    output.map_or_else(|_| "none".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
