//! Mappings: what they are, and how they are written on a command line.

mod grammar;
mod label;
mod request;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use netfwd_common::abi::Protocol;

pub use grammar::ParseError;
pub use label::{Label, Origin};
pub use request::{HostChoice, Request, Selector, Transports};

/// Destination NAT of host ports: port `host.ports.first + n` goes to `container_port + n` of the container.
///
/// ```
/// use netfwd::mapping::Request;
/// let request: Request = "[2001:db8::1]:8080:[fd00::2]:80".parse().unwrap();
/// let mapping = request.fixed().unwrap().next().unwrap();
/// assert_eq!(mapping.to_string(), "[2001:db8::1]:8080:[fd00::2]:80/tcp");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mapping {
    /// What it answers to.
    pub host: HostPorts,
    /// The container's address, of the family of the host's.
    pub container: IpAddr,
    /// The container's port for the first host port.
    pub container_port: u16,
}

/// The host's part of a mapping, by which it is found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPorts {
    /// The host's address; the unspecified one is any address of its family.
    pub address: IpAddr,
    /// The protocol.
    pub protocol: Transport,
    /// The host's ports.
    pub ports: Ports,
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
    /// SCTP.
    Sctp,
}

impl Mapping {
    /// The container's ports, as many as the host's.
    #[must_use]
    pub const fn container_ports(&self) -> Ports {
        let Ports { first, last } = self.host.ports;
        Ports { first: self.container_port, last: self.container_port.wrapping_add(last - first) }
    }

    /// Where it leads, such as `172.17.0.2:80`.
    #[must_use]
    pub fn target(&self) -> String {
        format!("{}:{}", bracketed(self.container), self.container_ports())
    }

    /// What it is of ports below these, of these, and of ports above them.
    #[must_use]
    pub fn around(&self, ports: Ports) -> [Option<Self>; 3] {
        let Ports { first, last } = self.host.ports;
        let below = Ports::new(first, last.min(ports.first.saturating_sub(1)));
        let among = Ports::new(first.max(ports.first), last.min(ports.last));
        let above = ports.last.checked_add(1).and_then(|next| Ports::new(first.max(next), last));
        [below, among, above].map(|part| part.map(|ports| self.of_ports(ports)))
    }

    /// It, of some of its host ports alone.
    const fn of_ports(&self, ports: Ports) -> Self {
        let container_port = self.container_port.wrapping_add(ports.first - self.host.ports.first);
        Self { host: HostPorts { ports, ..self.host }, container: self.container, container_port }
    }

    /// Whether each port that both have leads to the same place.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        let offset = |mapping: &Self| mapping.container_port.wrapping_sub(mapping.host.ports.first);
        self.container == other.container && offset(self) == offset(other)
    }
}

impl HostPorts {
    /// Whether they have a port of one address, or of any address, in common.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.address == other.address && self.shares_ports_with(other)
    }

    /// Whether one is of one address and the other of any, and a packet could be for both.
    #[must_use]
    pub fn is_beside(&self, other: &Self) -> bool {
        self.is_any() != other.is_any()
            && self.address.is_ipv4() == other.address.is_ipv4()
            && self.shares_ports_with(other)
    }

    /// Whether it is of any address of its family.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.address.is_unspecified()
    }

    fn shares_ports_with(&self, other: &Self) -> bool {
        self.protocol == other.protocol && self.ports.overlaps(other.ports)
    }
}

impl Ports {
    /// The ports from `first` to `last`; `None` if that is no range or contains port 0.
    #[must_use]
    pub const fn new(first: u16, last: u16) -> Option<Self> {
        if first != 0 && first <= last { Some(Self { first, last }) } else { None }
    }

    /// The first port.
    #[must_use]
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The last port.
    #[must_use]
    pub const fn last(self) -> u16 {
        self.last
    }

    /// How many ports there are.
    #[must_use]
    pub fn count(self) -> usize {
        usize::from(self.last - self.first) + 1
    }

    /// Whether a port is among them.
    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    /// Whether they have a port in common.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// The address that stands for any address of another one's family.
#[must_use]
pub const fn any_of_family(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// An address as it is written before a colon.
#[must_use]
pub fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

impl From<Transport> for Protocol {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Tcp => Self::TCP,
            Transport::Udp => Self::UDP,
            Transport::Sctp => Self::SCTP,
        }
    }
}

impl TryFrom<Protocol> for Transport {
    type Error = Protocol;

    fn try_from(protocol: Protocol) -> Result<Self, Protocol> {
        match protocol {
            Protocol::TCP => Ok(Self::Tcp),
            Protocol::UDP => Ok(Self::Udp),
            Protocol::SCTP => Ok(Self::Sctp),
            other => Err(other),
        }
    }
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HostPorts { address, ports, protocol } = self.host;
        // The container's address tells the family.
        if !self.host.is_any() {
            write!(f, "{}:", bracketed(address))?;
        }
        write!(f, "{ports}:{}/{protocol}", self.target())
    }
}

/// Any IPv4 address goes without saying.
impl fmt::Display for HostPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, ports, protocol } = self;
        if *address != IpAddr::V4(Ipv4Addr::UNSPECIFIED) {
            write!(f, "{}:", bracketed(*address))?;
        }
        write!(f, "{ports}/{protocol}")
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
            Self::Sctp => "sctp",
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The only mapping of a text whose ports are given.
    pub(crate) fn mapping(text: &str) -> Mapping {
        let request: Request = text.parse().unwrap();
        let mappings: Vec<_> = request.fixed().unwrap().collect();
        let [mapping] = mappings[..] else { panic!("{text} is {} mappings", mappings.len()) };
        mapping
    }

    fn host(text: &str) -> HostPorts {
        let container = if text.contains('[') { "[fd00::2]" } else { "172.17.0.2" };
        let (endpoint, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let ports = endpoint.rsplit(':').next().unwrap();
        mapping(&format!("{endpoint}:{container}:{ports}/{protocol}")).host
    }

    #[test]
    fn a_range_has_ports_and_never_port_0() {
        assert_eq!(Ports::new(0, 5), None);
        assert_eq!(Ports::new(6, 5), None);
        assert_eq!(Ports::new(1, u16::MAX).map(Ports::count), Some(65_535));
    }

    #[test]
    fn mappings_overlap_on_the_same_address_protocol_and_port_only() {
        assert!(host("80").overlaps(&host("80/tcp")));
        assert!(!host("80").overlaps(&host("80/udp")));
        assert!(!host("80").overlaps(&host("81")));
        assert!(!host("80").overlaps(&host("192.0.2.1:80")));
        assert!(!host("80").overlaps(&host("[::]:80")));
        assert!(!host("192.0.2.2:80").overlaps(&host("192.0.2.1:80")));
        assert!(host("10-20").overlaps(&host("20-30")));
        assert!(!host("10-20").overlaps(&host("21-30")));
    }

    #[test]
    fn one_address_is_beside_any_address_of_its_family() {
        assert!(host("80").is_beside(&host("192.0.2.1:80-81")));
        assert!(host("[2001:db8::1]:80").is_beside(&host("[::]:80")));
        assert!(!host("80").is_beside(&host("[2001:db8::1]:80")));
        assert!(!host("192.0.2.2:80").is_beside(&host("192.0.2.1:80")));
        assert!(!host("80").is_beside(&host("192.0.2.1:81")));
    }

    #[test]
    fn ranges_agree_if_no_port_leads_elsewhere() {
        let range = mapping("8000-8010:172.17.0.2:80-90");
        assert!(range.agrees_with(&mapping("8005-8020:172.17.0.2:85-100")));
        assert!(!range.agrees_with(&mapping("8005-8020:172.17.0.3:85-100")));
        assert!(!range.agrees_with(&mapping("8005-8020:172.17.0.2:86-101")));
    }

    #[test]
    fn a_range_is_cut_at_ports_of_another_one() {
        let around = |first, last| {
            let parts = mapping("8000-8010:172.17.0.2:80-90").around(Ports::new(first, last).unwrap());
            parts.map(|part| part.map(|mapping| mapping.to_string()))
        };
        let texts = |texts: [&str; 3]| texts.map(|text| (!text.is_empty()).then(|| format!("{text}/tcp")));
        let middle = ["8000-8002:172.17.0.2:80-82", "8003-8004:172.17.0.2:83-84", "8005-8010:172.17.0.2:85-90"];
        assert_eq!(around(8003, 8004), texts(middle));
        assert_eq!(around(1, 8000), texts(["", "8000:172.17.0.2:80", "8001-8010:172.17.0.2:81-90"]));
        assert_eq!(around(8010, u16::MAX), texts(["8000-8009:172.17.0.2:80-89", "8010:172.17.0.2:90", ""]));
        assert_eq!(around(1, u16::MAX), texts(["", "8000-8010:172.17.0.2:80-90", ""]));
        assert_eq!(around(1, 7999), texts(["", "", "8000-8010:172.17.0.2:80-90"]));
    }

    #[test]
    fn a_host_part_is_written_as_short_as_it_is_clear() {
        let written = ["0.0.0.0:80", "[::]:80", "192.0.2.1:80-81/sctp", "[2001:db8::1]:80/udp"]
            .map(|text| host(text).to_string());
        assert_eq!(written, ["80/tcp", "[::]:80/tcp", "192.0.2.1:80-81/sctp", "[2001:db8::1]:80/udp"]);
    }
}
