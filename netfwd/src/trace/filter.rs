//! Which packets are traced.

use std::{
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
};

use ipnet::IpNet;
use netfwd_common::abi::{Protocol, Reason, Watch};
use thiserror::Error;

use crate::report::{packet::Seen, trace::Event};

/// What a packet must be like, before or after; what is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Its protocol.
    pub protocol: Option<Protocol>,
    /// Its sender's or receiver's address.
    pub network: Option<IpNet>,
    /// Its sender's or receiver's port.
    pub port: Option<u16>,
    /// The host port that it is for or from, of a mapping.
    pub mapping: Option<Port>,
    /// The name of its mapping, or the addresses of who has that name.
    pub container: Option<(String, Vec<IpAddr>)>,
    /// Why it ends.
    pub reason: Option<Reason>,
    /// The index of the hook's interface.
    pub interface: Option<u32>,
}

/// `PORT[/PROTOCOL]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// The port.
    pub number: u16,
    /// The protocol, if it matters.
    pub protocol: Option<Protocol>,
}

/// A text is no port.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("give PORT or PORT/PROTOCOL, such as 8080 or 53/udp")]
pub struct PortError;

impl FromStr for Port {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        let (number, protocol) = text.split_once('/').map_or((text, None), |(number, name)| (number, Some(name)));
        let known = [Protocol::TCP, Protocol::UDP, Protocol::SCTP];
        let named = |name: &str| known.into_iter().find(|known| known.name() == Some(name)).ok_or(PortError);
        let number = number.parse().ok().filter(|number| *number != 0).ok_or(PortError)?;
        Ok(Self { number, protocol: protocol.map(named).transpose()? })
    }
}

impl Filter {
    /// What the kernel part is to look for: nothing that is meant is left out.
    #[must_use]
    pub fn watch(&self) -> Watch {
        let of_container = match &self.container {
            Some((_, addresses)) if addresses.len() == 1 => addresses.first().copied().map(IpNet::from),
            _ => None,
        };
        let (address, mask) = self.network.or(of_container).map_or(([0; 16], [0; 16]), masked);
        let protocol = self.protocol.or(self.mapping.and_then(|mapping| mapping.protocol));
        let port = self.port.or(self.mapping.map(|mapping| mapping.number)).unwrap_or(0);
        Watch {
            ifindex: self.interface.unwrap_or(0),
            reason: self.reason.map_or(0, Watch::reason),
            address,
            mask,
            port: port.to_be_bytes(),
            protocol: protocol.map_or(0, Protocol::number),
            ..Watch::OFF
        }
    }

    /// Whether a packet is meant.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        let sides = || [&event.before, &event.after].into_iter().flatten();
        let is = |protocol: Option<Protocol>| {
            protocol.is_none_or(|protocol| sides().any(|seen| seen.protocol == protocol.to_string()))
        };
        let has_port = |port: u16| sides().any(|seen| seen.source.port == port || seen.destination.port == port);
        is(self.protocol)
            && self.network.is_none_or(|network| sides().any(|seen| has(seen, |address| network.contains(&address))))
            && self.port.is_none_or(has_port)
            && self.mapping.is_none_or(|mapping| is(mapping.protocol) && has_port(mapping.number) && event.is_mapped())
            && self.reason.is_none_or(|reason| event.reason == reason.as_str())
            && self.interface.is_none_or(|index| event.interface.index == index)
            && self.is_of_container(event)
    }

    fn is_of_container(&self, event: &Event) -> bool {
        self.container.as_ref().is_none_or(|(name, addresses)| {
            let mut sides = [&event.before, &event.after].into_iter().flatten();
            event.name.as_ref() == Some(name) || sides.any(|seen| has(seen, |address| addresses.contains(&address)))
        })
    }
}

fn has(seen: &Seen, is: impl Fn(IpAddr) -> bool) -> bool {
    is(seen.source.address) || is(seen.destination.address)
}

/// A network as an address of IPv6 and the bits that count.
fn masked(network: IpNet) -> ([u8; 16], [u8; 16]) {
    let (address, bits) = match network {
        IpNet::V4(network) => (Ipv4Addr::to_ipv6_mapped(&network.network()), 96 + u32::from(network.prefix_len())),
        IpNet::V6(network) => (network.network(), network.prefix_len().into()),
    };
    (address.octets(), u128::MAX.checked_shl(128 - bits).unwrap_or(0).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::trace::tests::event;

    #[test]
    fn a_port_has_a_protocol_or_none() {
        assert_eq!("8080".parse(), Ok(Port { number: 8080, protocol: None }));
        assert_eq!("53/udp".parse(), Ok(Port { number: 53, protocol: Some(Protocol::UDP) }));
        for text in ["", "0", "65536", "53/", "53/icmp", "udp/53"] {
            assert_eq!(text.parse::<Port>(), Err(PortError), "{text}");
        }
    }

    #[test]
    fn the_kernel_part_looks_for_what_is_meant() {
        let filter = Filter {
            protocol: Some(Protocol::TCP),
            network: Some("172.17.0.0/16".parse().unwrap()),
            port: Some(80),
            reason: Some(Reason::Translated),
            interface: Some(7),
            ..Filter::default()
        };
        let watch = filter.watch();
        assert_eq!((watch.ifindex, watch.reason, watch.protocol, watch.port), (7, 1, 6, [0, 80]));
        assert_eq!(watch.address[10..], [0xff, 0xff, 172, 17, 0, 0]);
        assert_eq!((watch.mask[13], watch.mask[14]), (0xff, 0));
        assert_eq!(Filter::default().watch(), Watch::OFF);
        let container = Filter { container: Some(("web".to_owned(), vec![[10, 0, 0, 1].into()])), ..Filter::default() };
        assert_eq!(container.watch().mask, [0xff; 16]);
    }

    #[test]
    fn a_packet_is_meant_by_what_it_was_or_has_become() {
        let event = event();
        let network = |text: &str| Filter { network: Some(text.parse().unwrap()), ..Filter::default() };
        assert!(network("172.17.0.0/16").matches(&event) && network("192.0.2.0/24").matches(&event));
        assert!(!network("172.18.0.0/16").matches(&event));
        let mapping = |text: &str| Filter { mapping: Some(text.parse().unwrap()), ..Filter::default() };
        assert!(mapping("8080").matches(&event) && mapping("8080/tcp").matches(&event));
        assert!(!mapping("8080/udp").matches(&event) && !mapping("81").matches(&event));
        let port = |port| Filter { port: Some(port), ..Filter::default() };
        assert!(port(80).matches(&event) && port(8080).matches(&event) && !port(81).matches(&event));
    }

    #[test]
    fn a_container_is_known_by_its_mappings_name_and_by_its_addresses() {
        let container = |name: &str, addresses: Vec<IpAddr>| {
            Filter { container: Some((name.to_owned(), addresses)), ..Filter::default() }.matches(&event())
        };
        assert!(container("web", Vec::new()) && container("other", vec![[172, 17, 0, 2].into()]));
        assert!(!container("other", vec![[172, 17, 0, 3].into()]));
    }
}
