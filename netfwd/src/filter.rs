//! Which connections are meant: the filters of `netfwd flows`.

use std::{collections::HashSet, net::IpAddr, str::FromStr};

use clap::ValueEnum;
use ipnet::IpNet;
use netfwd_common::{
    abi::{Address as _, Connection, Endpoint, Protocol, Rule, Tuple, V4},
    conntrack::{Phase, State},
};
use thiserror::Error;

use crate::{datapath::connections::Flow, family::Family};

/// What a connection must be like; what is `None` or empty does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Its protocol.
    pub protocol: Option<Protocol>,
    /// Its addresses' family.
    pub family: Option<Version>,
    /// Who sent its first packet: as it was sent, or as it was seen after translation. One of the two is like all of these.
    pub source: Vec<EndpointFilter>,
    /// Who received its first packet: as it was sent, or as it was seen after translation.
    pub destination: Vec<EndpointFilter>,
    /// The ends of its first packet as it was sent.
    pub original: Ends,
    /// The ends of an answer as it is sent.
    pub reply: Ends,
    /// Where it is in its life: one of these.
    pub states: Vec<Phase>,
    /// Whether it was answered, and confirmed.
    pub status: Option<Status>,
    /// Which of its ends is translated.
    pub nat: Option<Nat>,
    /// The index of the uplink or bridge that it was made on.
    pub interface: Option<u32>,
    /// What made it: one of these.
    pub rules: Option<HashSet<Rule>>,
}

/// The ends of a tuple.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// The sender.
    pub source: Option<EndpointFilter>,
    /// The receiver.
    pub destination: Option<EndpointFilter>,
}

/// A version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Version {
    /// Version 4.
    Ipv4,
    /// Version 6.
    Ipv6,
}

/// What both ends have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Status {
    /// An answer was seen.
    Replied,
    /// No answer was seen.
    Unreplied,
    /// Both ends are known to take part: a full table never costs it its place.
    Assured,
    /// They are not.
    Unassured,
}

/// Which end of a connection is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Nat {
    /// The sender's, as by masquerading.
    Source,
    /// The receiver's, as by a mapping.
    Destination,
    /// Both, as from container to container by the host's address.
    Both,
}

/// `ADDRESS[/LENGTH][:PORTS]` or `:PORTS`, where an IPv6 address with a port is in brackets, and PORTS are `PORT[-PORT]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointFilter {
    /// `None` is any address.
    network: Option<IpNet>,
    ports: Option<PortFilter>,
}

/// `PORT[-PORT]`; 0 too, which is the port of what has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortFilter {
    first: u16,
    last: u16,
}

/// A text is no filter.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "give ADDRESS[/LENGTH][:PORT[-PORT]] or :PORT[-PORT], such as 192.0.2.1, 172.17.0.0/16, 172.17.0.2:80, :8000-8099, fd00:1::/64 or [fd00:1::2]:80"
)]
pub struct FilterError;

/// A text is no port or ports.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("give PORT or PORT-PORT, such as 80 or 8000-8099")]
pub struct PortError;

impl Filter {
    /// Whether a connection is like that.
    #[must_use]
    pub fn matches<A: Family>(&self, flow: &Flow<A>) -> bool {
        let Connection { original, reply, rule, interface, .. } = &flow.connection;
        self.protocol.is_none_or(|protocol| original.protocol == protocol.number())
            && self.family.is_none_or(Version::is_of::<A>)
            && (self.states.is_empty() || self.states.contains(&flow.phase()))
            && self.status.is_none_or(|status| status.is_of(flow))
            && self.nat.is_none_or(|nat| nat == Nat::of(flow))
            && self.interface.is_none_or(|index| *interface == index)
            && self.rules.as_ref().is_none_or(|rules| rules.contains(rule))
            && is_any(&self.source, [original.source, reply.destination])
            && is_any(&self.destination, [original.destination, reply.source])
            && self.original.matches(original)
            && self.reply.matches(reply)
    }
}

fn is_any<A: Family>(filters: &[EndpointFilter], endpoints: [Endpoint<A>; 2]) -> bool {
    endpoints.into_iter().any(|endpoint| filters.iter().all(|filter| filter.matches(endpoint)))
}

impl Ends {
    fn matches<A: Family>(&self, tuple: &Tuple<A>) -> bool {
        self.source.is_none_or(|filter| filter.matches(tuple.source))
            && self.destination.is_none_or(|filter| filter.matches(tuple.destination))
    }
}

impl Version {
    fn is_of<A: Family>(self) -> bool {
        self == if A::FAMILY == V4::FAMILY { Self::Ipv4 } else { Self::Ipv6 }
    }
}

impl Status {
    fn is_of<A: Family>(self, flow: &Flow<A>) -> bool {
        let state = State(flow.connection.state);
        match self {
            Self::Replied => state.has(State::REPLIED),
            Self::Unreplied => !state.has(State::REPLIED),
            Self::Assured => state.has(State::ASSURED),
            Self::Unassured => !state.has(State::ASSURED),
        }
    }
}

impl Nat {
    /// A connection whose ends are both as they were counts as what a masqueraded one is that kept its port.
    fn of<A: Family>(flow: &Flow<A>) -> Self {
        let Connection { original, reply, .. } = &flow.connection;
        match (original.source != reply.destination, original.destination != reply.source) {
            (_, false) => Self::Source,
            (false, true) => Self::Destination,
            (true, true) => Self::Both,
        }
    }
}

impl EndpointFilter {
    /// Endpoints with one of these ports, whatever their address.
    #[must_use]
    pub const fn with_ports(ports: PortFilter) -> Self {
        Self { network: None, ports: Some(ports) }
    }

    /// Whether an endpoint is one of these.
    #[must_use]
    pub fn matches<A: Family>(self, endpoint: Endpoint<A>) -> bool {
        let port = u16::from_be_bytes(endpoint.port);
        self.network.is_none_or(|network| network.contains(&endpoint.address.ip()))
            && self.ports.is_none_or(|PortFilter { first, last }| (first..=last).contains(&port))
    }
}

impl FromStr for PortFilter {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        let port = |text: &str| text.parse().map_err(|_| PortError);
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (port(first)?, port(last)?);
        if first <= last { Ok(Self { first, last }) } else { Err(PortError) }
    }
}

impl FromStr for EndpointFilter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let (network, port) = split_port(text);
        let ports = port.map(|port| port.parse().map_err(|_| FilterError)).transpose()?;
        let network = match network {
            "" if ports.is_some() => None,
            network => Some(parse_network(network)?),
        };
        Ok(Self { network, ports })
    }
}

/// The port is behind the only colon, or behind the one that follows a bracket.
fn split_port(text: &str) -> (&str, Option<&str>) {
    let colon = if text.starts_with('[') { text.rfind(']').map_or(0, |end| end + 1) } else { 0 };
    match text.get(colon..).and_then(|rest| rest.rsplit_once(':')) {
        Some((before, port)) if colon > 0 || !before.contains(':') => (&text[..colon + before.len()], Some(port)),
        _ => (text, None),
    }
}

/// `ADDRESS[/LENGTH]`; brackets are around the address or around all of it.
fn parse_network(text: &str) -> Result<IpNet, FilterError> {
    let bare = match text.strip_prefix('[') {
        None => text.to_owned(),
        Some(rest) => {
            let (inner, length) = rest.split_once(']').ok_or(FilterError)?;
            let is_ipv6 = inner.contains(':') && (length.is_empty() || length.starts_with('/'));
            is_ipv6.then(|| format!("{inner}{length}")).ok_or(FilterError)?
        }
    };
    let network = if bare.contains('/') { bare.parse().ok() } else { bare.parse().ok().map(IpAddr::into) };
    network.ok_or(FilterError)
}

#[cfg(test)]
mod tests;
