//! What an uplink's maps are to hold, and what has to change for it: desired − actual, decided before anything is
//! done.

use std::net::IpAddr;

use ipnet::IpNet;
use netfwd_common::abi::{self, PortChoice, Rule, V4, V6};

use super::Choices;
use crate::{
    datapath::maps::{Exclusion, Subnet},
    family::Family,
};

/// What an uplink's maps are to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The uplink's interface index.
    pub ifindex: u32,
    /// What its hooks are to know. Its slot and its rule do not matter: they are given out.
    pub interface: abi::Interface,
    /// What the networks come from.
    pub choices: Choices,
    /// Its IPv4 networks.
    pub v4: Networks<V4>,
    /// Its IPv6 networks.
    pub v6: Networks<V6>,
}

impl Wanted {
    /// Whether a subnet is masqueraded.
    #[must_use]
    pub fn masquerades(&self, subnet: &IpNet) -> bool {
        let v4 = self.v4.subnets.iter().map(|(network, _)| IpNet::from(*network));
        let mut all = v4.chain(self.v6.subnets.iter().map(|(network, _)| (*network).into()));
        all.any(|network| network == *subnet)
    }
}

/// What an uplink's maps of one family are to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks<A: Family> {
    /// The subnets to masquerade, and the address to do so with.
    pub subnets: Vec<(A::Net, A)>,
    /// Destinations that are not masqueraded.
    pub exclusions: Vec<A::Net>,
}

impl<A: Family> Default for Networks<A> {
    fn default() -> Self {
        Self { subnets: Vec::new(), exclusions: Vec::new() }
    }
}

/// Something that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// An uplink or bridge is new.
    AddInterface(u32),
    /// The hooks of an uplink or bridge know something else.
    AlterInterface {
        /// Its interface index.
        ifindex: u32,
        /// What they knew.
        before: abi::Interface,
        /// What they know.
        after: abi::Interface,
    },
    /// A subnet is masqueraded.
    AddSubnet(IpNet, IpAddr),
    /// A subnet is masqueraded with another address: its flows ended.
    MoveSubnet {
        /// The subnet.
        network: IpNet,
        /// The address until now.
        before: IpAddr,
        /// The address.
        after: IpAddr,
    },
    /// Other ports are chosen from for a subnet: its flows go on.
    AlterSubnet(IpNet),
    /// A subnet is not masqueraded any more.
    RemoveSubnet(IpNet),
    /// Destinations are reached without being masqueraded.
    AddExclusion(IpNet),
    /// They are masqueraded again.
    RemoveExclusion(IpNet),
    /// A network is kept apart.
    Isolate(IpNet),
    /// A network is not kept apart any more.
    Expose(IpNet),
}

impl Change {
    /// The subnet that it is about.
    #[must_use]
    pub const fn subnet(&self) -> Option<IpNet> {
        match self {
            Self::AddSubnet(network, _)
            | Self::MoveSubnet { network, .. }
            | Self::AlterSubnet(network)
            | Self::RemoveSubnet(network) => Some(*network),
            Self::AddInterface(_)
            | Self::AlterInterface { .. }
            | Self::AddExclusion(_)
            | Self::RemoveExclusion(_)
            | Self::Isolate(_)
            | Self::Expose(_) => None,
        }
    }
}

/// Something that changes in one family's maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FamilyChange<A: Family> {
    AddSubnet(A::Net, A),
    MoveSubnet(Subnet<A>, A),
    AlterSubnet(Subnet<A>),
    RemoveSubnet(Subnet<A>),
    AddExclusion(A::Net),
    RemoveExclusion(A::Net),
}

impl<A: Family> FamilyChange<A> {
    /// The same for reports.
    pub(super) fn told(self) -> Change {
        match self {
            Self::AddSubnet(network, address) => Change::AddSubnet(network.into(), address.ip()),
            Self::MoveSubnet(Subnet { network, masquerade, .. }, address) => {
                Change::MoveSubnet { network: network.into(), before: masquerade.address.ip(), after: address.ip() }
            }
            Self::AlterSubnet(subnet) => Change::AlterSubnet(subnet.network.into()),
            Self::RemoveSubnet(subnet) => Change::RemoveSubnet(subnet.network.into()),
            Self::AddExclusion(network) => Change::AddExclusion(network.into()),
            Self::RemoveExclusion(network) => Change::RemoveExclusion(network.into()),
        }
    }
}

/// What one family's maps hold of an uplink, and what of it is in force.
pub(super) struct Present<A: Family> {
    /// The subnets whose rule is in force.
    pub(super) subnets: Vec<Subnet<A>>,
    /// All exclusions.
    pub(super) exclusions: Vec<Exclusion<A>>,
}

/// What has to change in one family's maps of an uplink, whose rule is `rule`.
pub(super) fn plan<A: Family>(
    present: &Present<A>,
    wanted: &Networks<A>,
    ports: &PortChoice,
    rule: Rule,
) -> Vec<FamilyChange<A>> {
    let mut changes = Vec::new();
    for (network, address) in &wanted.subnets {
        match present.subnets.iter().find(|subnet| subnet.network == *network) {
            None => changes.push(FamilyChange::AddSubnet(*network, *address)),
            Some(subnet) if subnet.masquerade.address != *address => {
                changes.push(FamilyChange::MoveSubnet(*subnet, *address));
            }
            Some(subnet) if subnet.masquerade.ports != *ports => changes.push(FamilyChange::AlterSubnet(*subnet)),
            Some(_) => (),
        }
    }
    let is_wanted = |subnet: &&Subnet<A>| wanted.subnets.iter().any(|(network, _)| *network == subnet.network);
    let unwanted = present.subnets.iter().filter(|subnet| !is_wanted(subnet));
    changes.extend(unwanted.copied().map(FamilyChange::RemoveSubnet));
    changes.extend(plan_exclusions(&present.exclusions, &wanted.exclusions, rule));
    changes
}

fn plan_exclusions<A: Family>(present: &[Exclusion<A>], wanted: &[A::Net], rule: Rule) -> Vec<FamilyChange<A>> {
    let is_in_force = |network: &A::Net| present.iter().any(|one| one.network == *network && one.rule == rule);
    let missing = wanted.iter().filter(|network| !is_in_force(network)).copied().map(FamilyChange::AddExclusion);
    let networks = present.iter().map(|exclusion| exclusion.network);
    let unwanted = networks.filter(|network| !wanted.contains(network)).map(FamilyChange::RemoveExclusion);
    missing.chain(unwanted).collect()
}

#[cfg(test)]
mod tests {
    use netfwd_common::abi::Masquerade;

    use super::*;
    use crate::datapath::ports::{self, Range};

    const IFINDEX: u32 = 5;
    const RULE: Rule = Rule { id: 1, generation: 1 };
    const ADDRESS: V4 = [192, 0, 2, 1];

    fn net(text: &str) -> ipnet::Ipv4Net {
        text.parse().unwrap()
    }

    fn wanted(subnets: &[&str]) -> Networks<V4> {
        Networks { subnets: subnets.iter().map(|text| (net(text), ADDRESS)).collect(), exclusions: Vec::new() }
    }

    fn subnets(wanted: &Networks<V4>) -> Vec<Subnet<V4>> {
        let subnet = |(network, address): &(ipnet::Ipv4Net, V4)| Subnet {
            uplink: IFINDEX,
            network: *network,
            masquerade: Masquerade { address: *address, ports: PortChoice::default(), rule: RULE },
        };
        wanted.subnets.iter().map(subnet).collect()
    }

    fn changes(before: &Networks<V4>, after: &Networks<V4>, ports: &PortChoice) -> Vec<FamilyChange<V4>> {
        plan(&Present { subnets: subnets(before), exclusions: Vec::new() }, after, ports, RULE)
    }

    #[test]
    fn only_the_subnets_that_differ_change() {
        let (before, after) = (wanted(&["10.1.0.0/16", "10.2.0.0/16"]), wanted(&["10.2.0.0/16", "10.3.0.0/16"]));
        let expected =
            [FamilyChange::AddSubnet(net("10.3.0.0/16"), ADDRESS), FamilyChange::RemoveSubnet(subnets(&before)[0])];
        assert_eq!(changes(&before, &after, &PortChoice::default()), expected);
        assert_eq!(changes(&before, &before, &PortChoice::default()), []);
    }

    #[test]
    fn another_address_moves_a_subnet_and_other_ports_only_alter_it() {
        let before = wanted(&["10.1.0.0/16"]);
        let subnet = subnets(&before)[0];
        let moved = Networks { subnets: vec![(subnet.network, [192, 0, 2, 2])], ..before.clone() };
        let expected = [FamilyChange::MoveSubnet(subnet, [192, 0, 2, 2])];
        assert_eq!(changes(&before, &moved, &PortChoice::default()), expected);
        let ports = ports::choice(&[Range { first: 40000, last: 50000 }], false);
        assert_eq!(changes(&before, &before, &ports), [FamilyChange::AlterSubnet(subnet)]);
    }

    #[test]
    fn exclusions_are_made_anew_with_another_rule_of_their_uplink() {
        let exclusion = |text, rule| Exclusion::<V4> { uplink: IFINDEX, network: net(text), rule };
        let present = [exclusion("10.8.0.0/16", RULE), exclusion("10.9.0.0/16", RULE)];
        let wanted = ["10.9.0.0/16", "10.7.0.0/16"].map(net);
        let expected = [FamilyChange::AddExclusion(wanted[1]), FamilyChange::RemoveExclusion(net("10.8.0.0/16"))];
        assert_eq!(plan_exclusions(&present, &wanted, RULE), expected);
        let rule = Rule { id: 1, generation: 2 };
        let anew = [FamilyChange::AddExclusion(wanted[0])];
        assert_eq!(plan_exclusions(&present[1..], &wanted[..1], rule), anew);
    }
}
