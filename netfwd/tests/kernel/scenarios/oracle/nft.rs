//! The rules that stand for netfwd's commands.

use std::{fmt, net::IpAddr};

use lab::Topology;

use super::commands::{Attach, Mapping, MaxSegment, Ports};

const FAMILIES: [&str; 2] = ["ip", "ip6"];

/// All rules. As text, they replace those of before at once.
pub(super) struct Ruleset {
    /// Names and subnets of the bridges.
    bridges: Vec<(String, Vec<(&'static str, String)>)>,
    uplinks: Vec<(String, Attach)>,
    mappings: Vec<Mapping>,
}

impl Ruleset {
    pub(super) fn new(topology: &Topology) -> Self {
        let subnets = |bridge: &lab::Bridge| {
            let ipv6 = bridge.ipv6.as_ref().map(|ipv6| ("ip6", ipv6.address.trunc().to_string()));
            [("ip", bridge.address.trunc().to_string())].into_iter().chain(ipv6).collect()
        };
        let bridges = topology.bridges.iter().map(|bridge| (bridge.name.clone(), subnets(bridge))).collect();
        Self { bridges, uplinks: Vec::new(), mappings: Vec::new() }
    }

    pub(super) fn attach(&mut self, uplink: &str, attach: &Attach) {
        self.uplinks.retain(|(name, _)| name != uplink);
        self.uplinks.push((uplink.to_owned(), attach.clone()));
    }

    pub(super) fn map(&mut self, mapping: &Mapping) {
        self.unmap(mapping);
        self.mappings.push(mapping.clone());
        // One for a certain address goes before one for all.
        self.mappings.sort_by_key(|mapping| mapping.address.is_none());
    }

    pub(super) fn unmap(&mut self, mapping: &Mapping) {
        let key = |mapping: &Mapping| (mapping.address, mapping.container.is_ipv4(), mapping.ports, mapping.protocol);
        self.mappings.retain(|kept| key(kept) != key(mapping));
    }
}

impl fmt::Display for Ruleset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table inet oracle\ndelete table inet oracle\ntable inet oracle {{")?;
        // What Docker 28 does against neighbours who send to the host's loopback addresses.
        writeln!(f, "chain raw {{ type filter hook prerouting priority raw;")?;
        writeln!(f, "iifname != lo ip daddr 127.0.0.0/8 drop; }}")?;
        for hook in ["prerouting", "output"] {
            writeln!(f, "chain {hook} {{ type nat hook {hook} priority -100;")?;
            self.mappings.iter().try_for_each(|mapping| writeln!(f, "{}", destination_rule(mapping)))?;
            writeln!(f, "}}")?;
        }
        writeln!(f, "chain postrouting {{ type nat hook postrouting priority 100;")?;
        self.uplinks.iter().try_for_each(|(uplink, attach)| self.masquerade(f, uplink, attach))?;
        self.bridges.iter().try_for_each(|(name, subnets)| hairpin(f, name, subnets))?;
        writeln!(f, "}}\nchain forward {{ type filter hook forward priority 0;")?;
        for (uplink, attach) in &self.uplinks {
            let size = match attach.max_segment {
                Some(MaxSegment::Bytes(bytes)) => bytes.to_string(),
                Some(MaxSegment::Mtu) => "rt mtu".to_owned(),
                None => continue,
            };
            writeln!(f, "oifname {uplink} tcp flags syn tcp option maxseg size set {size};")?;
            writeln!(f, "iifname {uplink} tcp flags syn tcp option maxseg size set {size};")?;
        }
        writeln!(f, "}}\n}}")
    }
}

impl Ruleset {
    fn masquerade(&self, f: &mut fmt::Formatter<'_>, uplink: &str, attach: &Attach) -> fmt::Result {
        for (family, subnet) in self.bridges.iter().flat_map(|(_, subnets)| subnets) {
            write!(f, "{family} saddr {subnet} oifname {uplink} ")?;
            if let Some(exclusion) = attach.exclusion.filter(|network| family_of(network) == *family) {
                write!(f, "{family} daddr != {exclusion} ")?;
            }
            if attach.ports.is_some() {
                write!(f, "meta l4proto {{ tcp, udp }} ")?;
            }
            let ports = attach.ports.map_or_else(String::new, |ports| format!(":{}", Ports(ports)));
            match attach.address.filter(|address| family_of_address(*address) == *family) {
                Some(address) => writeln!(f, "snat {family} to {address}{ports};")?,
                None if ports.is_empty() => writeln!(f, "masquerade;")?,
                None => writeln!(f, "masquerade to {ports};")?,
            }
        }
        Ok(())
    }
}

/// Published ports: of the host's own addresses, for everybody.
fn destination_rule(mapping: &Mapping) -> String {
    let family = family_of_address(mapping.container);
    let to = match mapping.address {
        Some(address) => format!("{family} daddr {address}"),
        None => format!("meta nfproto {} fib daddr type local", if family == "ip" { "ipv4" } else { "ipv6" }),
    };
    let Mapping { ports, container, container_ports, protocol, .. } = mapping;
    let container = if container.is_ipv4() { container.to_string() } else { format!("[{container}]") };
    let port = if ports == container_ports || container_ports.0 == container_ports.1 {
        Ports(*container_ports).to_string()
    } else {
        let pairs = (ports.0..=ports.1).zip(container_ports.0..=container_ports.1);
        let pairs: Vec<_> = pairs.map(|(from, to)| format!("{from} : {to}")).collect();
        format!("{protocol} dport map {{ {} }}", pairs.join(", "))
    };
    format!("{to} {protocol} dport {} dnat {family} to {container}:{port};", Ports(*ports))
}

/// What reaches a container through a published port from its own network, or from a process of the host, must be
/// answered to the host.
fn hairpin(f: &mut fmt::Formatter<'_>, bridge: &str, subnets: &[(&str, String)]) -> fmt::Result {
    for (family, subnet) in subnets {
        writeln!(f, "oifname {bridge} {family} saddr {subnet} ct status dnat masquerade;")?;
    }
    writeln!(f, "oifname {bridge} fib saddr type local ct status dnat masquerade;")
}

fn family_of(network: &str) -> &'static str {
    FAMILIES[usize::from(network.contains(':'))]
}

fn family_of_address(address: IpAddr) -> &'static str {
    FAMILIES[usize::from(address.is_ipv6())]
}
