//! Questions to the kernel about interfaces, by netlink.

use std::{future::Future, net::IpAddr};

use anyhow::{Context as _, Result};
use futures_util::{Stream, TryStreamExt as _};
use ipnet::Ipv4Net;
use rtnetlink::{
    Error, Handle,
    packet_route::{
        AddressFamily,
        address::{AddressAttribute, AddressHeaderFlags, AddressMessage},
        link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage},
    },
};
use tokio::runtime::{Builder, Runtime};

use super::interfaces::{Interface, Interfaces};

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
        let links = self.collect(self.handle.link().get().execute()).context("cannot list the interfaces")?;
        let addresses = self.collect(self.handle.address().get().execute()).context("cannot list the addresses")?;
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
    let mut interface = Interface {
        index: link.header.index,
        name: String::new(),
        link_type: link.header.link_layer_type.into(),
        is_bridge: false,
        master: None,
        addresses: Vec::new(),
    };
    for attribute in &link.attributes {
        if let LinkAttribute::IfName(name) = attribute {
            interface.name.clone_from(name);
        } else if let LinkAttribute::Controller(index) = attribute {
            interface.master = Some(*index);
        } else if let LinkAttribute::LinkInfo(infos) = attribute {
            interface.is_bridge = infos.contains(&LinkInfo::Kind(InfoKind::Bridge));
        }
    }
    interface
}

/// The IPv4 addresses of an interface, the secondary ones last.
fn addresses_of(index: u32, addresses: &[AddressMessage]) -> Vec<Ipv4Net> {
    let is_ours =
        |message: &&AddressMessage| message.header.index == index && message.header.family == AddressFamily::Inet;
    let mut messages: Vec<_> = addresses.iter().filter(is_ours).collect();
    messages.sort_by_key(|message| message.header.flags.contains(AddressHeaderFlags::Secondary));
    messages.into_iter().filter_map(address).collect()
}

fn address(message: &AddressMessage) -> Option<Ipv4Net> {
    let local = message.attributes.iter().find_map(|attribute| {
        let AddressAttribute::Local(IpAddr::V4(address)) = attribute else { return None };
        Some(*address)
    })?;
    Ipv4Net::new(local, message.header.prefix_len).ok()
}
