//! What a translator is told, and how netfwd is told so.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// How to masquerade on an uplink.
#[derive(Clone, Debug, Default)]
pub(super) struct Attach {
    /// A fixed address, instead of the uplink's first.
    pub(super) address: Option<IpAddr>,
    /// A destination network that sees the containers' own addresses.
    pub(super) exclusion: Option<&'static str>,
    /// The outside ports, instead of all.
    pub(super) ports: Option<(u16, u16)>,
    /// The largest TCP segment that may be announced.
    pub(super) max_segment: Option<MaxSegment>,
    /// Options that only netfwd has.
    pub(super) options: &'static [&'static str],
}

/// How large a TCP segment may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum MaxSegment {
    Bytes(u16),
    /// What fits through the uplink.
    Mtu,
}

/// A published port, or a range of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) address: Option<IpAddr>,
    pub(super) ports: (u16, u16),
    pub(super) container: IpAddr,
    pub(super) container_ports: (u16, u16),
    pub(super) protocol: &'static str,
}

impl Attach {
    pub(super) fn arguments(&self, uplink: &str) -> Vec<String> {
        let mut arguments = vec!["attach".to_owned(), uplink.to_owned()];
        let mut add = |name: &str, value: Option<String>| {
            arguments.extend(value.map(|value| [name.to_owned(), value]).into_iter().flatten());
        };
        add("--address", self.address.map(|address| address.to_string()));
        add("--no-masquerade", self.exclusion.map(str::to_owned));
        add("--ports", self.ports.map(|(first, last)| format!("{first}-{last}")));
        add(
            "--clamp-mss",
            self.max_segment.map(|size| match size {
                MaxSegment::Bytes(bytes) => bytes.to_string(),
                MaxSegment::Mtu => "mtu".to_owned(),
            }),
        );
        arguments.extend(self.options.iter().map(|&option| option.to_owned()));
        arguments
    }
}

impl Mapping {
    pub(super) fn tcp(port: u16, container: IpAddr, container_port: u16) -> Self {
        Self::range((port, port), container, (container_port, container_port))
    }

    pub(super) fn udp(port: u16, container: IpAddr, container_port: u16) -> Self {
        Self { protocol: "udp", ..Self::tcp(port, container, container_port) }
    }

    pub(super) fn range(ports: (u16, u16), container: IpAddr, container_ports: (u16, u16)) -> Self {
        Self { address: None, ports, container, container_ports, protocol: "tcp" }
    }

    /// The same for one address of the host.
    pub(super) fn at(self, address: IpAddr) -> Self {
        Self { address: Some(address), ..self }
    }

    /// What netfwd's unmap calls it: without an address it would mean both families.
    pub(super) fn key(&self) -> String {
        let any = if self.container.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        format!("{}:{}/{}", bracketed(self.address.unwrap_or(any)), Ports(self.ports), self.protocol)
    }
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(address) = self.address {
            write!(f, "{}:", bracketed(address))?;
        }
        let (ports, container) = (Ports(self.ports), bracketed(self.container));
        write!(f, "{ports}:{container}:{}/{}", Ports(self.container_ports), self.protocol)
    }
}

/// One port, or a range.
pub(super) struct Ports(pub(super) (u16, u16));

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = self.0;
        if first == last { write!(f, "{first}") } else { write!(f, "{first}-{last}") }
    }
}

fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}
