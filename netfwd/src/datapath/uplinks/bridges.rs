//! The bridges that have a subnet which is masqueraded or kept apart: a program on their ingress translates what a container
//! sends to another one by way of the host's address, and drops what it may not send to others.

use anyhow::Result;
use ipnet::IpNet;
use netfwd_common::abi::{self, Filtering, PortChoice, Role, Rule, V4, V6};

use super::{Choices, Host, configure, isolation};
use crate::{
    datapath::{
        attach,
        maps::{Maps, Select},
        pin::PinDir,
    },
    host::interfaces::Interface,
};

/// What the hooks of the needed bridges are to know. Of those with an internal network, that nothing is forwarded; of
/// others what the uplink `last` says, if it has to do with a subnet of the bridge, else what they know, else what another
/// uplink says.
pub(super) fn wanted(maps: &Maps, host: &Host, last: Option<u32>) -> Result<Vec<(u32, abi::Interface)>> {
    let (interfaces, networks, internal) = (maps.interfaces()?, networks(maps)?, isolation::internal(maps)?);
    let known = |ifindex: u32, role: Role| {
        let found = interfaces.iter().find(|(index, known)| *index == ifindex && known.role == role.number());
        found.map(|(_, known)| *known)
    };
    let mut wanted = Vec::new();
    for bridge in host.interfaces.bridges().filter(|bridge| known(bridge.index, Role::Uplink).is_none()) {
        if isolation::has_any(bridge, &internal) {
            wanted.push((bridge.index, closed(bridge)?));
            continue;
        }
        let mut uplinks: Vec<_> = uplinks_of(bridge, &networks).collect();
        uplinks.sort_by_key(|uplink| Some(*uplink) != last);
        let Some(uplink) = uplinks.first().and_then(|uplink| known(*uplink, Role::Uplink)) else { continue };
        let told = served(bridge, &uplink)?;
        let kept = known(bridge.index, Role::Bridge)
            .filter(|known| uplinks.first().copied() != last && known.flags & abi::Interface::INTERNAL == 0);
        wanted.push((bridge.index, kept.unwrap_or(told)));
    }
    Ok(wanted)
}

/// Leaves the bridges that are not needed any more, and returns their interface indexes.
pub(super) fn leave_unneeded(pin_dir: &PinDir, host: &Host, maps: &mut Maps) -> Result<Vec<u32>> {
    let wanted = wanted(maps, host, None)?;
    let mut unneeded: Vec<_> = maps.with_role(Role::Bridge)?.into_iter().map(|(ifindex, _)| ifindex).collect();
    unneeded.retain(|ifindex| wanted.iter().all(|(index, _)| index != ifindex));
    for ifindex in &unneeded {
        attach::detach(pin_dir, &host.netlink, &host.interfaces, *ifindex)?;
        configure::remove(maps, *ifindex)?;
    }
    Ok(unneeded)
}

fn served(bridge: &Interface, uplink: &abi::Interface) -> Result<abi::Interface> {
    Ok(abi::Interface {
        slot: 0,
        link_header: bridge.link_header()?,
        rule: Rule::default(),
        ports: PortChoice::default(),
        max_ports_per_source: 0,
        filtering: Filtering::default().number(),
        role: Role::Bridge.number(),
        flags: uplink.flags & !abi::Interface::ISOLATE,
        ..*uplink
    })
}

/// What a bridge is to know that has an internal network.
fn closed(bridge: &Interface) -> Result<abi::Interface> {
    Ok(abi::Interface {
        slot: 0,
        link_header: bridge.link_header()?,
        rule: Rule::default(),
        ports: PortChoice::default(),
        max_ports_per_source: 0,
        max_segment: [[0; 2]; 2],
        filtering: Filtering::default().number(),
        role: Role::Bridge.number(),
        flags: abi::Interface::INTERNAL,
        pad: 0,
    })
}

/// The uplinks that have to do with something of a bridge's.
fn uplinks_of(bridge: &Interface, networks: &[(u32, IpNet)]) -> impl Iterator<Item = u32> {
    let own: Vec<IpNet> = bridge.addresses.iter().map(|address| address.net.trunc()).collect();
    let overlaps = move |network: IpNet| own.iter().any(|own| own.contains(&network) || network.contains(own));
    networks.iter().filter(move |(_, network)| overlaps(*network)).map(|(uplink, _)| *uplink)
}

/// All uplinks' subnets that are masqueraded or kept apart.
fn networks(maps: &Maps) -> Result<Vec<(u32, IpNet)>> {
    let (mut all, choices) = (Vec::new(), maps.choices()?);
    for (ifindex, _) in maps.uplinks()? {
        all.extend(Choices::of(ifindex, &choices).all_apart().map(|network| (ifindex, *network)));
    }
    add_masqueraded::<V4>(maps, &mut all)?;
    add_masqueraded::<V6>(maps, &mut all)?;
    Ok(all)
}

fn add_masqueraded<A: Select>(maps: &Maps, all: &mut Vec<(u32, IpNet)>) -> Result<()> {
    for subnet in maps.family::<A>().subnets()? {
        if maps.is_in_force(subnet.masquerade.rule)? {
            all.push((subnet.uplink, subnet.network.into()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::interfaces::Address;

    #[test]
    fn a_bridge_belongs_to_the_uplinks_that_masquerade_any_of_its_subnets() {
        let address = |text: &str| Address { net: text.parse().unwrap(), is_lasting: true, is_lent: false };
        let addresses = vec![address("172.17.0.1/16"), address("fd00:1::1/64")];
        let bridge = Interface { addresses, ..Interface::default() };
        let masqueraded = [(1, "172.18.0.0/16"), (2, "172.16.0.0/12"), (3, "fd00:1::/64"), (4, "172.17.8.0/24")];
        let masqueraded = masqueraded.map(|(uplink, text)| (uplink, text.parse().unwrap()));
        assert_eq!(uplinks_of(&bridge, &masqueraded).collect::<Vec<_>>(), [2, 3, 4]);
    }
}
