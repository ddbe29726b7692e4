//! IPv4 forwarding between interfaces, without which no container's packet leaves the host.

use std::fs;

use anyhow::{Context as _, Result};

const SWITCH: &str = "/proc/sys/net/ipv4/ip_forward";
/// Its name, as `sysctl` knows it.
pub const NAME: &str = "net.ipv4.ip_forward";

/// Whether forwarding is on.
pub fn is_on() -> Result<bool> {
    let value = fs::read_to_string(SWITCH).with_context(|| format!("cannot read {NAME} ({SWITCH})"))?;
    Ok(value.trim() != "0")
}

/// Turns forwarding on.
pub fn turn_on() -> Result<()> {
    fs::write(SWITCH, "1")
        .with_context(|| format!("cannot turn on {NAME}: run `sysctl -w {NAME}=1`, then attach again"))
}
