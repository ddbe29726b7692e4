//! The host's interfaces with their addresses.

use std::{collections::BTreeSet, net::IpAddr};

use anyhow::{Result, bail};
use ipnet::IpNet;

use crate::family::Family;

/// `ARPHRD_*` of `linux/if_arp.h`.
const ETHERNET: u16 = 1;
const LOOPBACK: u16 = 772;
/// PPP, raw IP, IP tunnel, GRE tunnel, none (tun, `WireGuard`): packets begin with their IP header.
const WITHOUT_LINK_HEADER: [u16; 5] = [512, 519, 768, 778, 0xfffe];

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// Its Ethernet address, if it has one.
    pub hardware_address: Option<[u8; 6]>,
    /// Whether it is one end of a veth pair whose other end is in another network namespace.
    pub leads_elsewhere: bool,
    /// The other end of a veth pair in another network namespace.
    pub other_end: Option<OtherEnd>,
    /// The ids of the XDP programs that are attached.
    pub xdp_programs: Vec<u32>,
    /// The largest IP packet that it carries, in bytes.
    pub mtu: u32,
    /// Its addresses; of each family those that are taken unless another one is asked for come first.
    pub addresses: Vec<Address>,
    /// Its IPv6 switches; `None` where it has no IPv6 at all.
    pub ipv6: Option<Ipv6>,
}

/// Where the other end of a veth pair is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherEnd {
    /// The number that this network namespace has given to the other one.
    pub netns: i32,
    /// The interface index there.
    pub index: u32,
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address with its subnet's prefix length.
    pub net: IpNet,
    /// Whether new connections may begin from it: it is neither of the link alone nor temporary, deprecated or not yet
    /// known to be unique.
    pub is_lasting: bool,
    /// Whether it has a lifetime: a router's advertisement or DHCP gave it.
    pub is_lent: bool,
}

/// An interface's IPv6 switches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ipv6 {
    /// `disable_ipv6`.
    pub is_disabled: bool,
    /// `accept_ra` is 1: router advertisements are heard while the host does not forward.
    pub hears_routers: bool,
}

impl Interface {
    /// The address that the host uses on it unless told otherwise.
    #[must_use]
    pub fn primary_address<A: Family>(&self) -> Option<A> {
        self.addresses.iter().filter(|address| address.is_lasting).find_map(|address| A::from_ip(address.net.addr()))
    }

    /// An address, if it still has it.
    #[must_use]
    pub fn kept<A: Family>(&self, address: Option<A>) -> Option<A> {
        address.filter(|address| self.addresses.iter().any(|own| own.net.addr() == address.ip()))
    }

    /// The subnets of its addresses that are not of the link alone (`fe80::/10`).
    pub fn networks<A: Family>(&self) -> BTreeSet<A::Net> {
        let nets = self.addresses.iter().map(|address| address.net.trunc()).filter(|net| !is_link_local(*net));
        nets.filter_map(A::from_net).collect()
    }

    /// Whether its IPv6 comes from router advertisements that are no longer heard when the host forwards.
    #[must_use]
    pub fn depends_on_routers(&self) -> bool {
        let is_lent = |address: &Address| address.is_lent && matches!(address.net, IpNet::V6(_));
        self.ipv6.is_some_and(|switches| switches.hears_routers) && self.addresses.iter().any(is_lent)
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

/// Whether packets of a network never leave their link (`fe80::/10`, RFC 4291 section 2.5.6).
#[must_use]
pub fn is_link_local(net: IpNet) -> bool {
    matches!(net, IpNet::V6(net) if net.addr().is_unicast_link_local())
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

    /// The members of a bridge that lead to other network namespaces.
    pub fn members_of(&self, bridge: u32) -> impl Iterator<Item = &Interface> {
        self.0.iter().filter(move |interface| interface.master == Some(bridge) && interface.leads_elsewhere)
    }

    /// The interface that has an address.
    #[must_use]
    pub fn with_address(&self, address: impl Into<IpAddr>) -> Option<&Interface> {
        let address = address.into();
        self.0.iter().find(|interface| interface.addresses.iter().any(|own| own.net.addr() == address))
    }

    /// The bridge that has a subnet.
    #[must_use]
    pub fn bridge_of(&self, network: impl Into<IpNet>) -> Option<&Interface> {
        let network = network.into();
        self.bridges().find(|bridge| bridge.addresses.iter().any(|address| address.net.trunc() == network))
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
    use netfwd_common::abi::{V4, V6};

    use super::*;

    fn interface(name: &str, link_type: u16) -> Interface {
        Interface { index: 7, name: name.to_owned(), link_type, ..Interface::default() }
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
    fn the_primary_address_is_a_lasting_one_and_link_local_subnets_do_not_count() {
        let address = |text: &str, is_lasting| Address { net: text.parse().unwrap(), is_lasting, is_lent: false };
        let addresses = vec![
            address("fe80::1/64", false),
            address("fd00:1::7/64", false),
            address("fd00:1::1/64", true),
            address("10.1.0.1/16", true),
        ];
        let interface = Interface { addresses, ..interface("eth0", ETHERNET) };
        assert_eq!(interface.primary_address::<V6>().map(Family::ip), Some("fd00:1::1".parse().unwrap()));
        assert_eq!(interface.primary_address::<V4>(), Some([10, 1, 0, 1]));
        let networks: Vec<_> = interface.networks::<V6>().iter().map(ToString::to_string).collect();
        assert_eq!(networks, ["fd00:1::/64"]);
    }

    #[test]
    fn an_interface_depends_on_routers_whose_advertisements_it_hears_and_whose_address_it_has() {
        let depends = |hears_routers, is_lent, text: &str| {
            let addresses = vec![Address { net: text.parse().unwrap(), is_lasting: true, is_lent }];
            let ipv6 = Some(Ipv6 { is_disabled: false, hears_routers });
            Interface { addresses, ipv6, ..interface("eth0", ETHERNET) }.depends_on_routers()
        };
        assert!(depends(true, true, "2001:db8::1/64"));
        assert!(!depends(false, true, "2001:db8::1/64"));
        assert!(!depends(true, false, "2001:db8::1/64"));
        assert!(!depends(true, true, "192.0.2.1/24"));
    }

    #[test]
    fn the_link_header_depends_on_the_link_type() {
        assert_eq!(interface("eth0", ETHERNET).link_header().unwrap(), 14);
        assert_eq!(interface("tun0", 0xfffe).link_header().unwrap(), 0);
        assert!(interface("lo", LOOPBACK).link_header().is_err());
        assert!(interface("can0", 280).link_header().is_err());
    }
}
