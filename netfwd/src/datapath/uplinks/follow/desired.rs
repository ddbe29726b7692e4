//! What an uplink's maps are to hold on the host as it is, decided without one.

use ipnet::IpNet;

use crate::{
    datapath::uplinks::{Choices, Networks, Wanted},
    family::Family,
    host::interfaces::{Interface, Interfaces},
};

/// What an uplink's maps are to hold, that hold `present`; and the subnets that cannot be masqueraded.
pub(super) fn desired(present: &Wanted, uplink: &Interface, interfaces: &Interfaces) -> (Wanted, Vec<IpNet>) {
    let mut conflicts = Vec::new();
    let v4 = networks(&present.v4, &present.choices, uplink, interfaces, &mut conflicts);
    let v6 = networks(&present.v6, &present.choices, uplink, interfaces, &mut conflicts);
    (Wanted { v4, v6, ..present.clone() }, conflicts)
}

fn networks<A: Family>(
    present: &Networks<A>,
    choices: &Choices,
    uplink: &Interface,
    interfaces: &Interfaces,
    conflicts: &mut Vec<IpNet>,
) -> Networks<A> {
    let networks = choices.networks::<A>(uplink, interfaces);
    let staying: Vec<_> = present.subnets.iter().copied().filter(|(known, _)| networks.contains(known)).collect();
    let address = address(&staying, choices, uplink);
    let mut subnets = Vec::new();
    for network in networks {
        let before = staying.iter().find(|(known, _)| *known == network).copied();
        match address {
            // The host's own traffic would be masqueraded.
            Some(address) if A::contains(network, address) => {
                conflicts.push(network.into());
                subnets.extend(before);
            }
            Some(address) => subnets.push((network, address)),
            // Nothing leaves until there is one: the kernel part refuses an address that is gone.
            None => subnets.extend(before),
        }
    }
    Networks { subnets, exclusions: present.exclusions.clone() }
}

/// The address to masquerade with: the chosen one, also while it is gone; else one that is in use while the uplink has
/// it, for its connections' sake; else the one that attach would take.
fn address<A: Family>(staying: &[(A::Net, A)], choices: &Choices, uplink: &Interface) -> Option<A> {
    let in_use = || staying.iter().find_map(|(_, address)| uplink.kept(Some(*address)));
    choices.address().or_else(in_use).or_else(|| uplink.primary_address())
}

#[cfg(test)]
mod tests;
