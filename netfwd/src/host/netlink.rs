//! Questions to the kernel about interfaces, by netlink.

mod dump;

use std::{future::Future, net::IpAddr};

use anyhow::{Context as _, Result};
use futures_util::{Stream, TryStreamExt as _};
use ipnet::IpNet;
use rtnetlink::{
    Error, Handle,
    packet_route::{
        address::{AddressAttribute, AddressHeader, AddressHeaderFlags, AddressMessage, AddressScope},
        link::{AfSpecInet6, AfSpecUnspec, InfoKind, LinkAttribute, LinkInfo, LinkMessage, LinkXdp},
    },
};
use tokio::runtime::{Builder, Runtime};

use super::interfaces::{Address, Interface, Interfaces, Ipv6, OtherEnd};

/// An IPv6 address is about to go, or not yet known to be unique.
const PASSING: AddressHeaderFlags = AddressHeaderFlags::Secondary
    .union(AddressHeaderFlags::Tentative)
    .union(AddressHeaderFlags::Dadfailed)
    .union(AddressHeaderFlags::Deprecated);

/// A connection to the kernel, in the network namespace that it was made in.
pub struct Netlink {
    runtime: Runtime,
    handle: Handle,
}

impl Netlink {
    /// Connects.
    pub fn connect() -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().build().context("cannot start the netlink runtime")?;
        let guard = runtime.enter();
        let (connection, handle, _) = rtnetlink::new_connection().context("cannot open a netlink socket")?;
        drop(guard);
        runtime.spawn(connection);
        Ok(Self { runtime, handle })
    }

    /// The host's interfaces.
    pub fn interfaces(&self) -> Result<Interfaces> {
        let (links, addresses) = (self.links()?, self.addresses()?);
        let mut interfaces: Vec<_> = links.iter().map(interface).collect();
        for interface in &mut interfaces {
            interface.addresses = addresses_of(interface.index, &addresses);
        }
        Ok(Interfaces(interfaces))
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(super) fn collect<T>(&self, stream: impl Stream<Item = Result<T, Error>>) -> Result<Vec<T>, Error> {
        self.wait(stream.try_collect())
    }

    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}

fn interface(link: &LinkMessage) -> Interface {
    let mut interface =
        Interface { index: link.header.index, link_type: link.header.link_layer_type.into(), ..Interface::default() };
    let (mut is_veth, mut netns, mut end) = (false, None, None);
    for attribute in &link.attributes {
        if let LinkAttribute::IfName(name) = attribute {
            interface.name.clone_from(name);
        } else if let LinkAttribute::Mtu(mtu) = attribute {
            interface.mtu = *mtu;
        } else if let LinkAttribute::Controller(index) = attribute {
            interface.master = Some(*index);
        } else if let LinkAttribute::LinkInfo(infos) = attribute {
            interface.is_bridge = infos.contains(&LinkInfo::Kind(InfoKind::Bridge));
            is_veth = infos.contains(&LinkInfo::Kind(InfoKind::Veth));
        } else if let LinkAttribute::LinkNetNsId(id) = attribute {
            netns = Some(*id);
        } else if let LinkAttribute::Link(index) = attribute {
            end = Some(*index);
        } else if let LinkAttribute::Xdp(programs) = attribute {
            interface.xdp_programs = programs.iter().filter_map(xdp_program).collect();
        } else if let LinkAttribute::Address(address) = attribute {
            interface.hardware_address = address.as_slice().try_into().ok();
        } else if let LinkAttribute::AfSpecUnspec(families) = attribute {
            interface.ipv6 = families.iter().find_map(ipv6);
        }
    }
    interface.leads_elsewhere = is_veth && netns.is_some();
    let ends = netns.zip(end).filter(|_| is_veth);
    interface.other_end = ends.map(|(netns, index)| OtherEnd { netns, index });
    interface
}

const fn xdp_program(attribute: &LinkXdp) -> Option<u32> {
    let (LinkXdp::ProgId(id) | LinkXdp::DrvProgId(id) | LinkXdp::SkbProgId(id)) = attribute else { return None };
    Some(*id)
}

fn ipv6(family: &AfSpecUnspec) -> Option<Ipv6> {
    let AfSpecUnspec::Inet6(attributes) = family else { return None };
    attributes.iter().find_map(|attribute| {
        let AfSpecInet6::DevConf(switches) = attribute else { return None };
        Some(Ipv6 { is_disabled: switches.disable_ipv6 != 0, hears_routers: switches.accept_ra == 1 })
    })
}

/// The addresses of an interface, in the order in which they are preferred: temporary IPv6 and secondary IPv4 addresses
/// last, which is the same flag; those of IPv6 that are unique in the world before the private ones (RFC 4193).
fn addresses_of(index: u32, messages: &[AddressMessage]) -> Vec<Address> {
    let mut addresses: Vec<_> = messages
        .iter()
        .filter(|message| message.header.index == index)
        .filter_map(|message| Some((message.header.flags.contains(AddressHeaderFlags::Secondary), address(message)?)))
        .collect();
    addresses.sort_by_key(|(is_secondary, address)| (*is_secondary, is_private(address.net.addr())));
    addresses.into_iter().map(|(_, address)| address).collect()
}

fn address(message: &AddressMessage) -> Option<Address> {
    let AddressHeader { prefix_len, flags, scope, .. } = message.header;
    let local = message.attributes.iter().find_map(|attribute| {
        let AddressAttribute::Local(address) = attribute else { return None };
        Some(*address)
    });
    // IPv6 tells a local address apart only where there is a peer's.
    let own = local.or_else(|| {
        message.attributes.iter().find_map(|attribute| {
            let AddressAttribute::Address(address @ IpAddr::V6(_)) = attribute else { return None };
            Some(*address)
        })
    })?;
    let is_lasting = own.is_ipv4() || scope == AddressScope::Universe && !flags.intersects(PASSING);
    let is_lent = !flags.contains(AddressHeaderFlags::Permanent);
    Some(Address { net: IpNet::new(own, prefix_len).ok()?, is_lasting, is_lent })
}

fn is_private(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unique_local())
}
