//! Masqueraded subnets.

use std::collections::BTreeMap;

use anyhow::Result;
use netfwd_common::abi::{V4, V6};

use super::{
    super::{
        catalogue::{SUBNET_ADDRESS_PRESENT, SUBNET_BYTES, SUBNET_FLOWS, SUBNET_FLOWS_CREATED, SUBNET_PACKETS},
        page::Page,
    },
    name,
};
use crate::{
    datapath::maps::{Maps, Select, Subnet},
    host::{interfaces::Interfaces, netlink::Netlink},
    report::{Interface, Through, census::Census},
};

pub(super) fn tell(page: &mut Page, maps: &Maps, census: &Census) -> Result<()> {
    let present = Netlink::connect()?.interfaces()?;
    let uplinks = maps.uplinks()?.into_iter();
    let uplinks: BTreeMap<_, _> = uplinks.map(|(index, _)| (index, name(&Interface::with_index(index)))).collect();
    family::<V4>(page, maps, census, &uplinks, &present)?;
    family::<V6>(page, maps, census, &uplinks, &present)
}

fn family<A: Select>(
    page: &mut Page,
    maps: &Maps,
    census: &Census,
    uplinks: &BTreeMap<u32, String>,
    present: &Interfaces,
) -> Result<()> {
    for Subnet { uplink, network, masquerade } in maps.family::<A>().subnets()? {
        let Some(uplink) = uplinks.get(&uplink) else { continue };
        if !maps.is_in_force(masquerade.rule)? {
            continue;
        }
        let (subnet, address) = (network.to_string(), masquerade.address.ip());
        let Through { original, reply, flows } = Through::read(maps, masquerade.rule)?;
        for (direction, traffic) in [("out", original), ("in", reply)] {
            page.count(SUBNET_PACKETS, [uplink, &subnet, direction], traffic.packets);
            page.count(SUBNET_BYTES, [uplink, &subnet, direction], traffic.bytes);
        }
        let active = census.by_rule.get(&masquerade.rule).copied().unwrap_or_default();
        page.count(SUBNET_FLOWS, [uplink, &subnet], active);
        page.count(SUBNET_FLOWS_CREATED, [uplink, &subnet], flows);
        let is_present = present.with_address(address).is_some();
        page.count(SUBNET_ADDRESS_PRESENT, [uplink, &subnet, &address.to_string()], is_present.into());
    }
    Ok(())
}
