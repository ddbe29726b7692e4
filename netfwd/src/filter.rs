//! Which connections are meant: the filters of `netfwd flows`.

use std::{net::IpAddr, str::FromStr};

use ipnet::IpNet;
use netfwd_common::{
    abi::{Endpoint, Protocol},
    conntrack::Phase,
};
use thiserror::Error;

use crate::{datapath::connections::Flow, family::Family};

/// What a connection must be like; what is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Its protocol.
    pub protocol: Option<Protocol>,
    /// Who sent its first packet: as it was sent, or as it was seen after translation.
    pub source: Option<EndpointFilter>,
    /// Who received its first packet: as it was sent, or as it was seen after translation.
    pub destination: Option<EndpointFilter>,
    /// Where it is in its life.
    pub state: Option<Phase>,
}

/// `ADDRESS[/LENGTH][:PORT]` or `:PORT`, where an IPv6 address with a port is in brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointFilter {
    /// `None` is any address.
    network: Option<IpNet>,
    port: Option<u16>,
}

/// A text is no filter.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "give ADDRESS[/LENGTH][:PORT] or :PORT, such as 192.0.2.1, 172.17.0.0/16, 172.17.0.2:80, fd00:1::/64 or [fd00:1::2]:80"
)]
pub struct FilterError;

impl Filter {
    /// Whether a connection is like that.
    #[must_use]
    pub fn matches<A: Family>(&self, flow: &Flow<A>) -> bool {
        let (original, reply) = (&flow.connection.original, &flow.connection.reply);
        let is_any = |filter: &Option<EndpointFilter>, endpoints: [Endpoint<A>; 2]| {
            filter.is_none_or(|filter| endpoints.into_iter().any(|endpoint| filter.matches(endpoint)))
        };
        self.protocol.is_none_or(|protocol| original.protocol == protocol.number())
            && self.state.is_none_or(|state| flow.phase() == state)
            && is_any(&self.source, [original.source, reply.destination])
            && is_any(&self.destination, [original.destination, reply.source])
    }
}

impl EndpointFilter {
    /// Whether an endpoint is one of these.
    #[must_use]
    pub fn matches<A: Family>(self, endpoint: Endpoint<A>) -> bool {
        let port = u16::from_be_bytes(endpoint.port);
        self.network.is_none_or(|network| network.contains(&endpoint.address.ip()))
            && self.port.is_none_or(|wanted| wanted == port)
    }
}

impl FromStr for EndpointFilter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let (network, port) = split_port(text);
        let port = port.map(|port| port.parse().map_err(|_| FilterError)).transpose()?;
        let network = match network {
            "" if port.is_some() => None,
            network => Some(parse_network(network)?),
        };
        Ok(Self { network, port })
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
mod tests {
    use netfwd_common::abi::{Side, Tuple, V4};

    use super::*;

    fn flow() -> Flow<V4> {
        let endpoint = |text: &str| {
            let (address, port) = text.split_once(':').unwrap();
            Endpoint::new(address.parse::<std::net::Ipv4Addr>().unwrap().octets(), port.parse().unwrap())
        };
        let tuple =
            |side, source, destination| Tuple::new(Protocol::TCP, side, endpoint(source), endpoint(destination));
        let mut flow = Flow::empty();
        flow.connection.original = tuple(Side::Outside, "192.0.2.9:40000", "192.0.2.1:8080");
        flow.connection.reply = tuple(Side::Inside, "172.17.0.2:80", "192.0.2.9:40000");
        flow
    }

    fn matches(source: &str, destination: &str) -> bool {
        let parse = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
        Filter { source: parse(source), destination: parse(destination), ..Filter::default() }.matches(&flow())
    }

    #[test]
    fn no_filter_matches_all() {
        assert!(Filter::default().matches(&flow()));
    }

    #[test]
    fn an_endpoint_matches_before_or_after_translation() {
        assert!(matches("192.0.2.9", "") && matches("192.0.2.0/24:40000", ""));
        assert!(matches("", "192.0.2.1:8080") && matches("", "172.17.0.2:80") && matches("", ":80"));
        assert!(!matches("172.17.0.2", "") && !matches("", "192.0.2.1:80") && !matches("192.0.2.9", ":81"));
    }

    #[test]
    fn protocol_and_state_must_be_the_same() {
        let with_protocol = |protocol| Filter { protocol: Some(protocol), ..Filter::default() };
        assert!(with_protocol(Protocol::TCP).matches(&flow()) && !with_protocol(Protocol::UDP).matches(&flow()));
        let with_state = |state| Filter { state: Some(state), ..Filter::default() };
        assert!(with_state(Phase::SynSent).matches(&flow()) && !with_state(Phase::Established).matches(&flow()));
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in [
            "",
            ":",
            "192.0.2.1:x",
            "192.0.2.1/33",
            "192.0.2",
            "192.0.2.1:65536",
            "[192.0.2.1]:80",
            "[fd00::1",
            "fd00::1]",
            "[fd00::1]80",
            "[]:80",
            "fd00::/129",
            "[fd00::1]:",
        ] {
            assert_eq!(text.parse::<EndpointFilter>(), Err(FilterError), "{text}");
        }
    }

    #[test]
    fn ipv6_is_in_brackets_where_a_port_follows() {
        let endpoint = Endpoint::new(*b"\xfd\x00\0\x01\0\0\0\0\0\0\0\0\0\0\0\x02", 80);
        for text in
            ["fd00:1::2", "[fd00:1::2]", "[fd00:1::2]:80", "fd00:1::/64", "[fd00:1::/64]:80", "[fd00:1::]/64:80", ":80"]
        {
            assert!(text.parse::<EndpointFilter>().unwrap().matches(endpoint), "{text}");
        }
        for text in ["fd00:1::3", "[fd00:1::2]:81", "fd00:2::/64", "0.0.0.0/0", ":81"] {
            assert!(!text.parse::<EndpointFilter>().unwrap().matches(endpoint), "{text}");
        }
    }
}
