//! The rules of Docker's iptables driver for NAT, by whichever iptables this is.

use std::fmt::Write as _;

use anyhow::Result;

use super::{Ports, Protocol, Subject, nftables};
use crate::site::{BRIDGE, Site};

/// netfilter, by iptables.
pub(crate) struct Iptables;

impl Iptables {
    pub(crate) const NAME: &str = "iptables";
}

impl Subject for Iptables {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn set_up(&self, site: &mut Site) -> Result<()> {
        nftables::keep_flows(site)?;
        let subnet = site.subnet();
        restore(
            site,
            &format!(
                ":DOCKER - [0:0]\n\
                 -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n\
                 -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER\n\
                 -A POSTROUTING -s {subnet} ! -o {BRIDGE} -j MASQUERADE\n\
                 -A DOCKER -i {BRIDGE} -j RETURN\n"
            ),
        )
    }

    fn publish(&self, site: &mut Site, protocol: Protocol, ports: Ports) -> Result<()> {
        change(site, "-A", protocol, ports)
    }

    fn withdraw(&self, site: &mut Site, protocol: Protocol, ports: Ports) -> Result<()> {
        change(site, "-D", protocol, ports)
    }

    fn forget_flows(&self, site: &mut Site) -> Result<()> {
        nftables::forget_flows(site)
    }
}

/// Docker runs one iptables for each rule. One for all of them is the best that can be done.
fn change(site: &Site, verb: &str, protocol: Protocol, ports: Ports) -> Result<()> {
    let (protocol, address) = (protocol.name(), site.container_address());
    let mut rules = String::new();
    for (host, container) in ports.pairs() {
        // Writing to a string cannot fail.
        let _ = writeln!(
            rules,
            "{verb} DOCKER ! -i {BRIDGE} -p {protocol} --dport {host} -j DNAT --to-destination {address}:{container}"
        );
    }
    restore(site, &rules)
}

fn restore(site: &Site, rules: &str) -> Result<()> {
    nftables::feed(site, &["iptables-restore", "--noflush"], &format!("*nat\n{rules}COMMIT\n"))
}
