//! What the host itself has, as the kernel part would find it: routes, addresses and sockets.

use std::{
    cell::OnceCell,
    net::{IpAddr, SocketAddr},
};

use anyhow::Result;
use netfwd_common::abi::Protocol;

use crate::{
    host::{
        interfaces::Interfaces,
        netlink::Netlink,
        routes::{Hop, Way},
        sockets::Sockets,
    },
    mapping::Transport,
};

/// The host, asked when something is to be known of it.
pub struct Host {
    /// Its interfaces.
    pub interfaces: Interfaces,
    netlink: Netlink,
    sockets: OnceCell<Sockets>,
}

impl Host {
    /// The host of this network namespace.
    pub fn new() -> Result<Self> {
        let netlink = Netlink::connect()?;
        Ok(Self { interfaces: netlink.interfaces()?, netlink, sockets: OnceCell::new() })
    }

    /// Whether a packet for an address would come to the host itself.
    pub fn is_local(&self, address: IpAddr) -> Result<bool> {
        Ok(self.netlink.way_to(address)? == Way::Here)
    }

    /// Whether an address is one of the host's own.
    pub fn has(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.interfaces.with_address(address).is_some()
    }

    /// The interface by which a packet that came in on another one would be forwarded.
    pub fn route(&self, interface: u32, source: IpAddr, destination: IpAddr) -> Result<Option<u32>> {
        Ok(by(self.netlink.way_from(interface, source, destination)?).map(|hop| hop.interface))
    }

    /// The interface by which an address is reached.
    pub fn way_to(&self, address: IpAddr) -> Result<Option<u32>> {
        Ok(by(self.netlink.way_to(address)?).map(|hop| hop.interface))
    }

    /// The next hop behind an interface, and bytes of the longest IP packet.
    pub fn next_hop(&self, interface: u32, destination: IpAddr) -> Result<Option<(IpAddr, u32)>> {
        let hop = by(self.netlink.way_by(interface, destination)?).filter(|hop| hop.interface == interface);
        let own = self.interfaces.with_index(interface).map_or(0, |interface| interface.mtu);
        Ok(hop.map(|hop| (hop.gateway.unwrap_or(destination), hop.mtu.unwrap_or(own))))
    }

    /// Whether a socket of the host would get a packet.
    pub fn has_socket(&self, protocol: Protocol, destination: SocketAddr) -> Result<bool> {
        let Ok(protocol) = Transport::try_from(protocol) else { return Ok(false) };
        let sockets = if let Some(sockets) = self.sockets.get() {
            sockets
        } else {
            let read = Sockets::read()?.with_connected()?;
            self.sockets.get_or_init(|| read)
        };
        // The kernel part can ask for these two alone.
        Ok(protocol != Transport::Sctp && sockets.would_receive(protocol, destination))
    }
}

fn by(way: Way) -> Option<Hop> {
    if let Way::By(hop) = way { Some(hop) } else { None }
}
