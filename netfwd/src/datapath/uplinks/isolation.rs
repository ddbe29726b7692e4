//! The networks that are kept apart: the subnets of uplinks that isolate them, internal ones, and others that are named.

use std::collections::BTreeSet;

use anyhow::Result;
use ipnet::IpNet;
use netfwd_common::abi::{self, V4, V6};

use super::{Choices, changes::Networks};
use crate::{
    datapath::maps::{Maps, Select},
    host::interfaces::Interface,
};

/// The networks of a family that the maps are to hold as isolated. Of an uplink that is being configured they do not yet
/// tell which subnets it is to masquerade.
pub(super) fn wanted<A: Select>(maps: &Maps, configured: Option<(u32, &Networks<A>)>) -> Result<BTreeSet<A::Net>> {
    let choices = maps.choices()?;
    let mut wanted = BTreeSet::new();
    for (ifindex, uplink) in maps.uplinks()? {
        let choices = Choices::of(ifindex, &choices);
        wanted.extend(choices.all_internal().chain(choices.all_apart()).filter_map(|network| A::from_net(*network)));
        match configured {
            _ if uplink.flags & abi::Interface::ISOLATE == 0 => (),
            Some((index, networks)) if index == ifindex => {
                wanted.extend(networks.subnets.iter().map(|(network, _)| *network));
            }
            _ => wanted.extend(masqueraded::<A>(maps, ifindex)?),
        }
    }
    Ok(wanted)
}

/// Makes the maps hold what is wanted after an uplink has gone.
pub(super) fn refresh(maps: &mut Maps) -> Result<()> {
    refresh_family::<V4>(maps)?;
    refresh_family::<V6>(maps)
}

fn refresh_family<A: Select>(maps: &mut Maps) -> Result<()> {
    let (present, wanted) = (maps.family::<A>().isolated()?, wanted::<A>(maps, None)?);
    (&present - &wanted).into_iter().try_for_each(|network| maps.family_mut::<A>().remove_isolated(network))
}

fn masqueraded<A: Select>(maps: &Maps, uplink: u32) -> Result<Vec<A::Net>> {
    let mut networks = Vec::new();
    for subnet in maps.family::<A>().subnets()?.into_iter().filter(|subnet| subnet.uplink == uplink) {
        if maps.is_in_force(subnet.masquerade.rule)? {
            networks.push(subnet.network);
        }
    }
    Ok(networks)
}

/// The internal networks of all uplinks.
pub(super) fn internal(maps: &Maps) -> Result<BTreeSet<IpNet>> {
    let choices = maps.choices()?;
    let uplinks = maps.uplinks()?.into_iter().map(|(ifindex, _)| Choices::of(ifindex, &choices));
    Ok(uplinks.flat_map(|choices| choices.all_internal().copied().collect::<Vec<_>>()).collect())
}

/// Whether a bridge has any of the networks.
pub(super) fn has_any(bridge: &Interface, networks: &BTreeSet<IpNet>) -> bool {
    let own = bridge.addresses.iter().map(|address| address.net.trunc());
    own.into_iter().any(|own| networks.iter().any(|network| network.contains(&own) || own.contains(network)))
}
