//! Who is on a bridge: the host's neighbour table, and the bridge's own.

use std::{collections::HashMap, net::IpAddr};

use anyhow::{Context as _, Result};
use rtnetlink::packet_route::{
    AddressFamily,
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
};

use super::netlink::Netlink;

/// A container on a bridge, as the host knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its address.
    pub address: IpAddr,
    /// Its Ethernet address.
    pub hardware_address: [u8; 6],
    /// The interface index of the bridge's member behind which it is.
    pub member: u32,
}

impl Netlink {
    /// The neighbours on a bridge of which it is known behind which member they are.
    pub fn neighbours(&self, bridge: u32) -> Result<Vec<Neighbour>> {
        let mut places = HashMap::new();
        for entry in self.all_neighbours(AddressFamily::Bridge)? {
            // The bridge's own addresses are behind itself.
            if let Some(hardware_address) = hardware_address(&entry).filter(|_| entry.header.ifindex != bridge) {
                places.insert(hardware_address, entry.header.ifindex);
            }
        }
        let known =
            self.all_neighbours(AddressFamily::Unspec)?.into_iter().filter(|entry| entry.header.ifindex == bridge);
        let neighbour = |entry: NeighbourMessage| {
            let hardware_address = hardware_address(&entry).filter(|_| entry.header.state != NeighbourState::Failed)?;
            let member = *places.get(&hardware_address)?;
            Some(Neighbour { address: address(&entry)?, hardware_address, member })
        };
        Ok(known.filter_map(neighbour).collect())
    }

    fn all_neighbours(&self, family: AddressFamily) -> Result<Vec<NeighbourMessage>> {
        let request = self.handle().neighbours().get().set_address_family(family);
        self.collect(request.execute()).context("cannot list the neighbours")
    }
}

fn hardware_address(entry: &NeighbourMessage) -> Option<[u8; 6]> {
    entry.attributes.iter().find_map(|attribute| {
        let NeighbourAttribute::LinkLayerAddress(address) = attribute else { return None };
        address.as_slice().try_into().ok()
    })
}

fn address(entry: &NeighbourMessage) -> Option<IpAddr> {
    entry.attributes.iter().find_map(|attribute| {
        let NeighbourAttribute::Destination(address) = attribute else { return None };
        if let NeighbourAddress::Inet(address) = address {
            Some((*address).into())
        } else if let NeighbourAddress::Inet6(address) = address {
            Some((*address).into())
        } else {
            None
        }
    })
}
