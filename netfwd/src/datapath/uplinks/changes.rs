//! What an uplink's maps are to hold, and what has to change for it: desired − actual, decided before anything is
//! done.

use std::{fmt, net::Ipv4Addr};

use ipnet::Ipv4Net;
use netfwd_common::abi::Uplink;

use crate::datapath::maps::Subnet;

/// The ports that masquerading chooses from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The first one.
    pub first: u16,
    /// The last one.
    pub last: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self { first: 1024, last: u16::MAX }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// What an uplink's maps are to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The uplink's interface index.
    pub ifindex: u32,
    /// Bytes before the IP header.
    pub link_header: u32,
    /// The address that subnets are masqueraded with.
    pub address: Ipv4Addr,
    /// The ports to choose from.
    pub ports: Ports,
    /// The subnets to masquerade.
    pub subnets: Vec<Ipv4Net>,
}

/// Something that changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The uplink is new.
    AddUplink,
    /// The uplink has other ports, or another link header.
    AlterUplink(Uplink),
    /// A subnet is to be masqueraded.
    AddSubnet(Ipv4Net),
    /// A subnet is to be masqueraded with another address: its flows end.
    MoveSubnet(Subnet),
    /// Other ports are to be chosen from for a subnet: its flows go on.
    AlterSubnet(Subnet),
    /// A subnet is not to be masqueraded any more.
    RemoveSubnet(Subnet),
}

impl Change {
    pub(super) const fn network(&self) -> Option<Ipv4Net> {
        match self {
            Self::AddUplink | Self::AlterUplink(_) => None,
            Self::AddSubnet(network) => Some(*network),
            Self::MoveSubnet(subnet) | Self::AlterSubnet(subnet) | Self::RemoveSubnet(subnet) => Some(subnet.network),
        }
    }
}

/// What has to change. `subnets` are those of the uplink whose rule is in force.
pub(super) fn plan(uplink: Option<&Uplink>, subnets: &[Subnet], wanted: &Wanted) -> Vec<Change> {
    let mut changes = Vec::new();
    match uplink {
        None => changes.push(Change::AddUplink),
        Some(uplink) if !is_uplink_as_wanted(uplink, wanted) => changes.push(Change::AlterUplink(*uplink)),
        Some(_) => (),
    }
    for network in &wanted.subnets {
        match subnets.iter().find(|subnet| subnet.network == *network) {
            None => changes.push(Change::AddSubnet(*network)),
            Some(subnet) if subnet.masquerade.address != wanted.address.octets() => {
                changes.push(Change::MoveSubnet(*subnet));
            }
            Some(subnet) if (subnet.masquerade.first_port, subnet.masquerade.last_port) != bytes(wanted.ports) => {
                changes.push(Change::AlterSubnet(*subnet));
            }
            Some(_) => (),
        }
    }
    let unwanted = subnets.iter().filter(|subnet| !wanted.subnets.contains(&subnet.network));
    changes.extend(unwanted.copied().map(Change::RemoveSubnet));
    changes
}

fn is_uplink_as_wanted(uplink: &Uplink, wanted: &Wanted) -> bool {
    uplink.link_header == wanted.link_header && (uplink.first_port, uplink.last_port) == bytes(wanted.ports)
}

/// In network order.
pub(super) const fn bytes(ports: Ports) -> ([u8; 2], [u8; 2]) {
    (ports.first.to_be_bytes(), ports.last.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use netfwd_common::abi::{Masquerade, Rule};

    use super::*;

    const IFINDEX: u32 = 5;
    const RULE: Rule = Rule { id: 1, generation: 1 };

    fn wanted(subnets: &[&str]) -> Wanted {
        Wanted {
            ifindex: IFINDEX,
            link_header: 14,
            address: Ipv4Addr::new(192, 0, 2, 1),
            ports: Ports::default(),
            subnets: subnets.iter().map(|subnet| subnet.parse().unwrap()).collect(),
        }
    }

    fn uplink(wanted: &Wanted) -> Uplink {
        let (first_port, last_port) = bytes(wanted.ports);
        Uplink { slot: 0, link_header: wanted.link_header, rule: RULE, first_port, last_port }
    }

    fn subnets(wanted: &Wanted) -> Vec<Subnet> {
        let (first_port, last_port) = bytes(wanted.ports);
        let masquerade = Masquerade { address: wanted.address.octets(), first_port, last_port, rule: RULE };
        wanted.subnets.iter().map(|network| Subnet { uplink: IFINDEX, network: *network, masquerade }).collect()
    }

    #[test]
    fn a_new_uplink_gets_all_its_subnets() {
        let wanted = wanted(&["10.1.0.0/16", "10.2.0.0/16"]);
        let changes = plan(None, &[], &wanted);
        assert_eq!(changes[0], Change::AddUplink);
        assert_eq!(changes[1..], wanted.subnets.iter().map(|net| Change::AddSubnet(*net)).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_as_wanted_does_not_change() {
        let wanted = wanted(&["10.1.0.0/16"]);
        assert_eq!(plan(Some(&uplink(&wanted)), &subnets(&wanted), &wanted), []);
    }

    #[test]
    fn only_the_subnets_that_differ_change() {
        let before = wanted(&["10.1.0.0/16", "10.2.0.0/16"]);
        let after = wanted(&["10.2.0.0/16", "10.3.0.0/16"]);
        let changes = plan(Some(&uplink(&before)), &subnets(&before), &after);
        let expected = [Change::AddSubnet(after.subnets[1]), Change::RemoveSubnet(subnets(&before)[0])];
        assert_eq!(changes, expected);
    }

    #[test]
    fn another_address_moves_a_subnet_and_other_ports_only_alter_it() {
        let before = wanted(&["10.1.0.0/16"]);
        let subnet = subnets(&before)[0];
        let moved = Wanted { address: Ipv4Addr::new(192, 0, 2, 2), ..before.clone() };
        assert_eq!(plan(Some(&uplink(&before)), &[subnet], &moved), [Change::MoveSubnet(subnet)]);
        let altered = Wanted { ports: Ports { first: 40000, last: 50000 }, ..before.clone() };
        let expected = [Change::AlterUplink(uplink(&before)), Change::AlterSubnet(subnet)];
        assert_eq!(plan(Some(&uplink(&before)), &[subnet], &altered), expected);
    }
}
