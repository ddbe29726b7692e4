//! The address families: what maps hold as bytes, in the standard library's and ipnet's types.

use aya::Pod;
use std::{
    fmt::{Debug, Display},
    hash::Hash,
    net::IpAddr,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netfwd_common::abi::{Address, V4, V6};

/// An address family, by its addresses as they are in maps.
pub trait Family: Address + Ord + Pod {
    /// Its networks.
    type Net: Copy + Ord + Hash + Debug + Display + Into<IpNet>;
    /// Its name.
    const NAME: &'static str;

    /// An address of any family.
    fn ip(self) -> IpAddr;

    /// The address, if it is of this family.
    fn from_ip(address: IpAddr) -> Option<Self>;

    /// The network with the first `length` bits of an address; `None` if it has fewer.
    fn net(self, length: u8) -> Option<Self::Net>;

    /// The network, if it is of this family.
    fn from_net(net: IpNet) -> Option<Self::Net>;

    /// A network's first address and its prefix length.
    fn parts(net: Self::Net) -> (Self, u8);

    /// Whether a network contains an address.
    fn contains(net: Self::Net, address: Self) -> bool;
}

impl Family for V4 {
    type Net = Ipv4Net;
    const NAME: &'static str = "IPv4";

    fn ip(self) -> IpAddr {
        self.into()
    }

    fn from_ip(address: IpAddr) -> Option<Self> {
        let IpAddr::V4(address) = address else { return None };
        Some(address.octets())
    }

    fn net(self, length: u8) -> Option<Ipv4Net> {
        Ipv4Net::new(self.into(), length).ok().map(|net| net.trunc())
    }

    fn from_net(net: IpNet) -> Option<Ipv4Net> {
        let IpNet::V4(net) = net else { return None };
        Some(net)
    }

    fn parts(net: Ipv4Net) -> (Self, u8) {
        (net.network().octets(), net.prefix_len())
    }

    fn contains(net: Ipv4Net, address: Self) -> bool {
        net.contains(&std::net::Ipv4Addr::from(address))
    }
}

impl Family for V6 {
    type Net = Ipv6Net;
    const NAME: &'static str = "IPv6";

    fn ip(self) -> IpAddr {
        self.into()
    }

    fn from_ip(address: IpAddr) -> Option<Self> {
        let IpAddr::V6(address) = address else { return None };
        Some(address.octets())
    }

    fn net(self, length: u8) -> Option<Ipv6Net> {
        Ipv6Net::new(self.into(), length).ok().map(|net| net.trunc())
    }

    fn from_net(net: IpNet) -> Option<Ipv6Net> {
        let IpNet::V6(net) = net else { return None };
        Some(net)
    }

    fn parts(net: Ipv6Net) -> (Self, u8) {
        (net.network().octets(), net.prefix_len())
    }

    fn contains(net: Ipv6Net, address: Self) -> bool {
        net.contains(&std::net::Ipv6Addr::from(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_its_first_address_and_a_length() {
        assert_eq!(V4::net([172, 17, 0, 9], 16).map(V4::parts), Some(([172, 17, 0, 0], 16)));
        assert_eq!(V4::net([172, 17, 0, 9], 33), None);
        let net = V6::from_net("fd00:1::/64".parse().unwrap()).unwrap();
        assert!(V6::contains(net, V6::from_ip("fd00:1::7".parse().unwrap()).unwrap()));
        assert_eq!(V6::from_ip("192.0.2.1".parse().unwrap()), None);
    }
}
