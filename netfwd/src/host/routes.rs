//! The interfaces by which the host reaches everything else.

use std::{collections::BTreeSet, net::IpAddr};

use anyhow::{Context as _, Error, Result};
use nix::libc;
use rtnetlink::{
    RouteMessageBuilder,
    packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteType},
};

use super::netlink::Netlink;

/// Where the kernel would send a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By an interface.
    By(Hop),
    /// To the host itself, or to everybody, or nowhere: not on.
    Here,
    /// Nowhere: a route forbids it.
    Refused,
}

/// The next hop of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The interface's index.
    pub interface: u32,
    /// The neighbour, if it is not the destination itself.
    pub gateway: Option<IpAddr>,
    /// Bytes of the longest IP packet, if the route says so.
    pub mtu: Option<u32>,
}

/// Routes that forbid what they are for.
const REFUSING: [RouteType; 3] = [RouteType::BlackHole, RouteType::Unreachable, RouteType::Prohibit];

impl Netlink {
    /// Where the kernel would send what it forwards from an interface (RFC 1812 section 5.2). What it refuses by the
    /// sender's address counts as the host's own.
    pub fn way_from(&self, interface: u32, source: IpAddr, destination: IpAddr) -> Result<Way> {
        let request = RouteMessageBuilder::<IpAddr>::new().destination_prefix(destination, bits(destination))?;
        let forwarded = request.clone().source_prefix(source, bits(source))?.input_interface(interface).build();
        match self.way(forwarded)? {
            // A source that the stack would refuse is not the routes' business.
            Way::Refused => self.way(request.build()),
            way @ (Way::By(_) | Way::Here) => Ok(way),
        }
    }

    /// Where the kernel would send what is the host's own.
    pub fn way_to(&self, destination: IpAddr) -> Result<Way> {
        let request = RouteMessageBuilder::<IpAddr>::new().destination_prefix(destination, bits(destination))?;
        self.way(request.build())
    }

    /// The same, by one interface.
    pub fn way_by(&self, interface: u32, destination: IpAddr) -> Result<Way> {
        let request = RouteMessageBuilder::<IpAddr>::new().destination_prefix(destination, bits(destination))?;
        self.way(request.output_interface(interface).build())
    }

    fn way(&self, request: RouteMessage) -> Result<Way> {
        match self.collect(self.handle().route().get(request).execute()) {
            Ok(routes) => Ok(routes.first().map_or(Way::Here, way_of)),
            Err(rtnetlink::Error::NetlinkError(error)) => match error.raw_code().saturating_neg() {
                libc::ENETUNREACH => Ok(Way::Here),
                libc::EHOSTUNREACH | libc::EACCES | libc::EINVAL | libc::EXDEV => Ok(Way::Refused),
                _ => Err(Error::new(rtnetlink::Error::NetlinkError(error)).context("cannot ask for a route")),
            },
            Err(error) => Err(error).context("cannot ask for a route"),
        }
    }

    /// The interfaces, by index, that a default route of the main table leads through.
    pub fn default_uplinks(&self) -> Result<BTreeSet<u32>> {
        let (v4, v6) = (
            RouteMessageBuilder::<std::net::Ipv4Addr>::new().build(),
            RouteMessageBuilder::<std::net::Ipv6Addr>::new().build(),
        );
        let mut uplinks = BTreeSet::new();
        for request in [v4, v6] {
            let routes =
                self.collect(self.handle().route().get(request).execute()).context("cannot list the routes")?;
            uplinks.extend(routes.iter().filter(|route| is_default(route)).flat_map(interfaces));
        }
        Ok(uplinks)
    }
}

fn way_of(route: &RouteMessage) -> Way {
    match (route.header.kind, interfaces(route).next()) {
        (RouteType::Unicast, Some(interface)) => {
            let (gateway, mtu) = (route.attributes.iter().find_map(gateway), route.attributes.iter().find_map(mtu));
            Way::By(Hop { interface, gateway, mtu })
        }
        (kind, _) if REFUSING.contains(&kind) => Way::Refused,
        (_, _) => Way::Here,
    }
}

fn gateway(attribute: &RouteAttribute) -> Option<IpAddr> {
    let RouteAttribute::Gateway(address) = attribute else { return None };
    if let RouteAddress::Inet(address) = address {
        Some((*address).into())
    } else if let RouteAddress::Inet6(address) = address {
        Some((*address).into())
    } else {
        None
    }
}

fn mtu(attribute: &RouteAttribute) -> Option<u32> {
    let RouteAttribute::Metrics(metrics) = attribute else { return None };
    metrics.iter().find_map(|metric| if let RouteMetric::Mtu(mtu) = metric { Some(*mtu) } else { None })
}

const fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn is_default(route: &RouteMessage) -> bool {
    let RouteHeader { destination_prefix_length, table, kind, .. } = route.header;
    destination_prefix_length == 0 && table == RouteHeader::RT_TABLE_MAIN && kind == RouteType::Unicast
}

fn interfaces(route: &RouteMessage) -> impl Iterator<Item = u32> {
    route.attributes.iter().flat_map(|attribute| {
        if let RouteAttribute::Oif(index) = attribute {
            vec![*index]
        } else if let RouteAttribute::MultiPath(hops) = attribute {
            hops.iter().map(|hop| hop.interface_index).collect()
        } else {
            Vec::new()
        }
    })
}
