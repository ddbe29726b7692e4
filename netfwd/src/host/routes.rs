//! The interfaces by which the host reaches everything else.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use rtnetlink::{
    RouteMessageBuilder,
    packet_route::route::{RouteAttribute, RouteHeader, RouteMessage, RouteType},
};

use super::netlink::Netlink;

impl Netlink {
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
