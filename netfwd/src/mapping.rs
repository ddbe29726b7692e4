//! Mappings: what they are, and how they are written on a command line.

mod grammar;

use std::{fmt, net::Ipv4Addr};

use netfwd_common::abi::Protocol;

pub use grammar::ParseError;

/// Destination NAT of host ports: port `host.ports.first + n` goes to `container_port + n` of the container.
///
/// ```
/// use netfwd::mapping::Mapping;
/// let mapping: Mapping = "8080:172.17.0.2:80".parse().unwrap();
/// assert_eq!(mapping.to_string(), "8080:172.17.0.2:80/tcp");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mapping {
    /// What it answers to.
    pub host: HostPorts,
    /// The container's address.
    pub container: Ipv4Addr,
    /// The container's port for the first host port.
    pub container_port: u16,
}

/// The host's part of a mapping, by which it is found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPorts {
    /// The host's address; `None` is any of its addresses.
    pub address: Option<Ipv4Addr>,
    /// The host's ports.
    pub ports: Ports,
    /// TCP or UDP.
    pub protocol: Transport,
}

/// Ports `first..=last`, never empty and never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ports {
    first: u16,
    last: u16,
}

/// A protocol that has ports to map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Mapping {
    /// The container's ports, as many as the host's.
    #[must_use]
    pub fn container_ports(&self) -> Ports {
        let Ports { first, last } = self.host.ports;
        Ports { first: self.container_port, last: self.container_port.wrapping_add(last - first) }
    }
}

impl HostPorts {
    /// Whether both answer to the same packets. A mapping of one address and a mapping of any address do not count:
    /// the one of that address wins.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        (self.address, self.protocol) == (other.address, other.protocol) && self.ports.overlaps(other.ports)
    }
}

impl Ports {
    /// The ports from `first` to `last`; `None` if that is no range or contains port 0.
    #[must_use]
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first != 0 && first <= last).then_some(Self { first, last })
    }

    /// The first port.
    #[must_use]
    pub fn first(self) -> u16 {
        self.first
    }

    /// The last port.
    #[must_use]
    pub fn last(self) -> u16 {
        self.last
    }

    fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl From<Transport> for Protocol {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Tcp => Self::Tcp,
            Transport::Udp => Self::Udp,
        }
    }
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HostPorts { address, ports, protocol } = self.host;
        if let Some(address) = address {
            write!(f, "{address}:")?;
        }
        write!(f, "{ports}:{}:{}/{protocol}", self.container, self.container_ports())
    }
}

impl fmt::Display for HostPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, ports, protocol } = self;
        match address {
            Some(address) => write!(f, "{address}:{ports}/{protocol}"),
            None => write!(f, "{ports}/{protocol}"),
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { first, last } if first == last => write!(f, "{first}"),
            Self { first, last } => write!(f, "{first}-{last}"),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> HostPorts {
        text.parse().unwrap()
    }

    fn range(first: u16, last: u16) -> HostPorts {
        HostPorts { address: None, ports: Ports::new(first, last).unwrap(), protocol: Transport::Tcp }
    }

    #[test]
    fn a_range_has_ports_and_never_port_0() {
        assert_eq!(Ports::new(0, 5), None);
        assert_eq!(Ports::new(6, 5), None);
        assert!(Ports::new(1, u16::MAX).is_some());
    }

    #[test]
    fn mappings_overlap_on_the_same_address_protocol_and_port_only() {
        assert!(host("80").overlaps(&host("80/tcp")));
        assert!(!host("80").overlaps(&host("80/udp")));
        assert!(!host("80").overlaps(&host("81")));
        assert!(!host("80").overlaps(&host("192.0.2.1:80")));
        assert!(!host("192.0.2.2:80").overlaps(&host("192.0.2.1:80")));
        assert!(range(10, 20).overlaps(&range(20, 30)));
        assert!(!range(10, 20).overlaps(&range(21, 30)));
    }

    #[test]
    fn a_range_is_written_with_both_its_ends() {
        let mapping = Mapping { host: range(8000, 8010), container: [172, 17, 0, 2].into(), container_port: 80 };
        assert_eq!(mapping.to_string(), "8000-8010:172.17.0.2:80-90/tcp");
        assert_eq!(range(8000, 8010).to_string(), "8000-8010/tcp");
    }
}
