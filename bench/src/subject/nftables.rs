//! The same rules by nft.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::{Context as _, Result};

use super::{Ports, Protocol, Subject};
use crate::site::{BRIDGE, Site, UPLINK};

/// Longer than any measurement, in seconds.
pub(crate) const TIMEOUT: &str = "7200";

/// netfilter, by nft.
pub(crate) struct Nftables;

impl Nftables {
    pub(crate) const NAME: &str = "nftables";
}

impl Subject for Nftables {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn set_up(&self, site: &mut Site) -> Result<()> {
        keep_flows(site)?;
        let subnet = site.subnet();
        let rules = format!(
            "table ip bench {{
               map tcp_ports {{ type inet_service : ipv4_addr . inet_service; }}
               map udp_ports {{ type inet_service : ipv4_addr . inet_service; }}
               chain local {{
                 dnat ip to tcp dport map @tcp_ports
                 dnat ip to udp dport map @udp_ports
               }}
               chain prerouting {{
                 type nat hook prerouting priority dstnat;
                 iifname != {BRIDGE} fib daddr type local jump local
               }}
               chain output {{
                 type nat hook output priority -100;
                 ip daddr != 127.0.0.0/8 fib daddr type local jump local
               }}
               chain postrouting {{
                 type nat hook postrouting priority srcnat;
                 ip saddr {subnet} oifname {UPLINK} masquerade
               }}
             }}\n"
        );
        feed(site, &["nft", "-f", "-"], &rules)
    }

    fn publish(&self, site: &mut Site, protocol: Protocol, ports: Ports) -> Result<()> {
        let address = site.container_address();
        let elements = join(ports, |host, container| format!("{host} : {address} . {container}"));
        change(site, "add", protocol, &elements)
    }

    fn withdraw(&self, site: &mut Site, protocol: Protocol, ports: Ports) -> Result<()> {
        change(site, "delete", protocol, &join(ports, |host, _| host.to_string()))
    }

    fn forget_flows(&self, site: &mut Site) -> Result<()> {
        forget_flows(site)
    }
}

fn join(ports: Ports, element: impl Fn(u16, u16) -> String) -> String {
    ports.pairs().fold(String::new(), |mut joined, (host, container)| {
        // Writing to a string cannot fail.
        let _ = write!(joined, "{}, ", element(host, container));
        joined
    })
}

fn change(site: &Site, verb: &str, protocol: Protocol, elements: &str) -> Result<()> {
    let protocol = protocol.name();
    feed(site, &["nft", "-f", "-"], &format!("{verb} element ip bench {protocol}_ports {{ {elements} }}\n"))
}

/// Lets connection tracking keep what it has seen.
pub(super) fn keep_flows(site: &Site) -> Result<()> {
    for name in ["udp_timeout", "udp_timeout_stream"] {
        site.host().sysctl(&format!("net/netfilter/nf_conntrack_{name}"), TIMEOUT)?;
    }
    Ok(())
}

/// Empties the table of connection tracking.
pub(super) fn forget_flows(site: &Site) -> Result<()> {
    site.host().run(&["conntrack", "--flush"])?;
    Ok(())
}

/// Runs a program in the host that reads `input`, to its successful end.
pub(super) fn feed(site: &Site, words: &[&str], input: &str) -> Result<()> {
    let (program, arguments) = words.split_first().context("a command needs a program")?;
    let mut child = site.host().command(program)?;
    let child = child.args(arguments).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
    let mut child = child.spawn().with_context(|| format!("cannot run {program}: run `cargo xtask setup` as root"))?;
    let written = child.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(input.as_bytes()));
    let status = child.wait()?;
    anyhow::ensure!(status.success(), "`{}` failed ({status}): see its message above", words.join(" "));
    written.with_context(|| format!("cannot tell {program} what to do"))
}
