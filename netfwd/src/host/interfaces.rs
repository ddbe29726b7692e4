//! The host's interfaces with their IPv4 addresses.

use std::net::Ipv4Addr;

use anyhow::{Result, bail};
use ipnet::Ipv4Net;

/// `ARPHRD_*` of `linux/if_arp.h`.
const ETHERNET: u16 = 1;
const LOOPBACK: u16 = 772;
/// PPP, raw IP, IP tunnel, GRE tunnel, none (tun, `WireGuard`): packets begin with their IP header.
const WITHOUT_LINK_HEADER: [u16; 5] = [512, 519, 768, 778, 0xfffe];

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its index, unique in its network namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its `ARPHRD_*` number.
    pub link_type: u16,
    /// Whether it is a bridge.
    pub is_bridge: bool,
    /// The index of the bridge or bond that it is a member of.
    pub master: Option<u32>,
    /// Its IPv4 addresses with their subnets' prefix lengths, the primary one first.
    pub addresses: Vec<Ipv4Net>,
}

impl Interface {
    /// The address that the host uses on it unless told otherwise.
    #[must_use]
    pub fn primary_address(&self) -> Option<Ipv4Addr> {
        self.addresses.first().map(Ipv4Net::addr)
    }

    /// Bytes before the IP header of its packets.
    pub fn link_header(&self) -> Result<u32> {
        match self.link_type {
            ETHERNET => Ok(14),
            LOOPBACK => bail!("{} is the loopback interface: no packet leaves the host through it", self.name),
            link_type if WITHOUT_LINK_HEADER.contains(&link_type) => Ok(0),
            link_type => bail!(
                "{} has link type {link_type}, which netfwd does not know: attach to an Ethernet or IP interface",
                self.name
            ),
        }
    }

    fn is_loopback(&self) -> bool {
        self.link_type == LOOPBACK
    }
}

/// All interfaces of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces(pub Vec<Interface>);

impl Interfaces {
    /// The interface with a name, or an error that says which exist.
    pub fn named(&self, name: &str) -> Result<&Interface> {
        match self.0.iter().find(|interface| interface.name == name) {
            Some(interface) => Ok(interface),
            None => bail!("there is no interface {name}; there {}", listed(&self.names())),
        }
    }

    /// The interface with an index.
    #[must_use]
    pub fn with_index(&self, index: u32) -> Option<&Interface> {
        self.0.iter().find(|interface| interface.index == index)
    }

    /// The name of the interface with an index, or what to call it when it is gone.
    #[must_use]
    pub fn name_of(&self, index: u32) -> String {
        self.with_index(index).map_or_else(|| format!("ifindex {index} (gone)"), |interface| interface.name.clone())
    }

    /// The bridge with a name, or an error that says which exist.
    pub fn bridge(&self, name: &str) -> Result<&Interface> {
        let interface = self.named(name)?;
        if !interface.is_bridge {
            let bridges: Vec<_> = self.bridges().map(|bridge| bridge.name.as_str()).collect();
            bail!("{name} is not a bridge; there {}", listed(&bridges));
        }
        Ok(interface)
    }

    /// All bridges.
    pub fn bridges(&self) -> impl Iterator<Item = &Interface> {
        self.0.iter().filter(|interface| interface.is_bridge)
    }

    /// The interface that has an address.
    #[must_use]
    pub fn with_address(&self, address: Ipv4Addr) -> Option<&Interface> {
        self.0.iter().find(|interface| interface.addresses.iter().any(|net| net.addr() == address))
    }

    /// The bridge that has a subnet.
    #[must_use]
    pub fn bridge_of(&self, network: Ipv4Net) -> Option<&Interface> {
        self.bridges().find(|bridge| bridge.addresses.iter().any(|address| address.trunc() == network))
    }

    fn names(&self) -> Vec<&str> {
        let useful = self.0.iter().filter(|interface| !interface.is_loopback());
        useful.map(|interface| interface.name.as_str()).collect()
    }
}

fn listed(names: &[&str]) -> String {
    match names {
        [] => "are none".to_owned(),
        [name] => format!("is {name}"),
        names => format!("are {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, link_type: u16) -> Interface {
        let addresses = Vec::new();
        Interface { index: 7, name: name.to_owned(), link_type, is_bridge: false, master: None, addresses }
    }

    fn interfaces() -> Interfaces {
        let bridge = Interface { is_bridge: true, ..interface("br0", ETHERNET) };
        Interfaces(vec![interface("lo", LOOPBACK), interface("eth0", ETHERNET), bridge])
    }

    #[test]
    fn an_unknown_interface_says_which_exist() {
        let error = interfaces().named("eth1").unwrap_err();
        assert_eq!(error.to_string(), "there is no interface eth1; there are eth0, br0");
        let error = Interfaces::default().named("eth1").unwrap_err();
        assert_eq!(error.to_string(), "there is no interface eth1; there are none");
    }

    #[test]
    fn what_is_no_bridge_says_which_are() {
        let error = interfaces().bridge("eth0").unwrap_err();
        assert_eq!(error.to_string(), "eth0 is not a bridge; there is br0");
    }

    #[test]
    fn the_link_header_depends_on_the_link_type() {
        assert_eq!(interface("eth0", ETHERNET).link_header().unwrap(), 14);
        assert_eq!(interface("tun0", 0xfffe).link_header().unwrap(), 0);
        assert!(interface("lo", LOOPBACK).link_header().is_err());
        assert!(interface("can0", 280).link_header().is_err());
    }
}
