//! What is asked for on a command line: mappings whose host ports may be left to netfwd, and mappings to be removed.

use std::{fmt, net::IpAddr};

use super::{HostPorts, Mapping, Ports, Transport, any_of_family, bracketed};

/// Mappings that are to be made: one for each of its protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The host's address; the unspecified one is any address of its family.
    pub address: IpAddr,
    /// The host's ports.
    pub host: HostChoice,
    /// The container's address, of the same family.
    pub container: IpAddr,
    /// The container's ports.
    pub container_ports: Ports,
    /// The protocols.
    pub protocols: Transports,
}

/// Which host ports a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostChoice {
    /// These, as many as the container's.
    These(Ports),
    /// A free one of these, for one port of the container.
    OneOf(Ports),
    /// Free ones of the host's ephemeral ports, in a row.
    Any,
}

/// The protocols of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transports {
    /// One.
    One(Transport),
    /// TCP and UDP, on the same port.
    TcpAndUdp,
}

/// Mappings in force that are meant by their host parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The host's address, the unspecified one for mappings of any address of its family; `None` for those of any
    /// address of either family.
    pub address: Option<IpAddr>,
    /// The host's ports.
    pub ports: Ports,
    /// The protocols.
    pub protocols: Transports,
}

impl Request {
    /// The mappings, if their ports are given.
    #[must_use]
    pub fn fixed(&self) -> Option<impl Iterator<Item = Mapping> + use<>> {
        let HostChoice::These(ports) = self.host else { return None };
        Some(self.on(ports))
    }

    /// The mappings on these host ports.
    pub fn on(&self, ports: Ports) -> impl Iterator<Item = Mapping> + use<> {
        let Self { address, container, container_ports, protocols, .. } = *self;
        protocols.each().map(move |protocol| Mapping {
            host: HostPorts { address, protocol, ports },
            container,
            container_port: container_ports.first(),
        })
    }
}

impl Transports {
    /// Each of them.
    pub fn each(self) -> impl Iterator<Item = Transport> {
        let both: &[_] = match self {
            Self::One(Transport::Tcp) => &[Transport::Tcp],
            Self::One(Transport::Udp) => &[Transport::Udp],
            Self::One(Transport::Sctp) => &[Transport::Sctp],
            Self::TcpAndUdp => &[Transport::Tcp, Transport::Udp],
        };
        both.iter().copied()
    }
}

impl Selector {
    /// Each of its protocols by itself.
    pub fn each(self) -> impl Iterator<Item = (Self, Transport)> {
        let one = move |protocol| (Self { protocols: Transports::One(protocol), ..self }, protocol);
        self.protocols.each().map(one)
    }

    /// Whether a mapping with this host part is meant.
    #[must_use]
    pub fn selects(&self, host: &HostPorts) -> bool {
        let is_address = match self.address {
            Some(address) => host.address == address,
            None => host.is_any(),
        };
        is_address && host.ports == self.ports && self.protocols.each().any(|protocol| protocol == host.protocol)
    }
}

/// As it may be written.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, host, container, container_ports, protocols } = *self;
        let is_any = address == any_of_family(container);
        if !is_any {
            write!(f, "{}:", bracketed(address))?;
        }
        match host {
            HostChoice::These(ports) | HostChoice::OneOf(ports) => write!(f, "{ports}:")?,
            HostChoice::Any if is_any => (),
            HostChoice::Any => f.write_str(":")?,
        }
        write!(f, "{}:{container_ports}/{protocols}", bracketed(container))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, ports, protocols } = *self;
        if let Some(address) = address {
            write!(f, "{}:", bracketed(address))?;
        }
        write!(f, "{ports}/{protocols}")
    }
}

impl fmt::Display for Transports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(protocol) => protocol.fmt(f),
            Self::TcpAndUdp => f.write_str("tcp+udp"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::tests::mapping;

    fn selects(selector: &str, host: &str) -> bool {
        selector.parse::<Selector>().unwrap().selects(&mapping(host).host)
    }

    #[test]
    fn without_an_address_the_mappings_of_any_address_are_meant() {
        for any in ["80:172.17.0.2:80", "80:[fd00::2]:80"] {
            assert!(selects("80", any));
            assert!(!selects("81", any) && !selects("80/udp", any) && !selects("80-81", any));
        }
        assert!(selects("0.0.0.0:80", "80:172.17.0.2:80") && !selects("0.0.0.0:80", "80:[fd00::2]:80"));
        assert!(selects("[::]:80", "80:[fd00::2]:80") && !selects("[::]:80", "80:172.17.0.2:80"));
        assert!(selects("192.0.2.1:80", "192.0.2.1:80:172.17.0.2:80") && !selects("80", "192.0.2.1:80:172.17.0.2:80"));
        assert!(selects("80/tcp+udp", "80:172.17.0.2:80/udp") && !selects("80/tcp+udp", "80:172.17.0.2:80/sctp"));
    }
}
