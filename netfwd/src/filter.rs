//! Which connections are meant: the filters of `netfwd flows`.

use std::{net::Ipv4Addr, str::FromStr};

use ipnet::Ipv4Net;
use netfwd_common::{
    abi::{Endpoint, Protocol, V4},
    conntrack::Phase,
};
use thiserror::Error;

use crate::datapath::connections::Flow;

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

/// `ADDRESS[/LENGTH][:PORT]` or `:PORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointFilter {
    network: Ipv4Net,
    port: Option<u16>,
}

/// Why a text is no filter.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FilterError {
    /// There is an IPv6 address in it.
    #[error("IPv6 is not supported yet")]
    Ipv6,
    /// It is something else.
    #[error("give ADDRESS[/LENGTH][:PORT] or :PORT, such as 192.0.2.1, 172.17.0.0/16 or 172.17.0.2:80")]
    Malformed,
}

impl Filter {
    /// Whether a connection is like that.
    #[must_use]
    pub fn matches(&self, flow: &Flow) -> bool {
        let (original, reply) = (&flow.connection.original, &flow.connection.reply);
        let is_any = |filter: &Option<EndpointFilter>, endpoints: [Endpoint<V4>; 2]| {
            filter.is_none_or(|filter| endpoints.into_iter().any(|endpoint| filter.matches(endpoint)))
        };
        self.protocol.is_none_or(|protocol| original.protocol == protocol.number())
            && self.state.is_none_or(|state| flow.phase() == state)
            && is_any(&self.source, [original.source, reply.destination])
            && is_any(&self.destination, [original.destination, reply.source])
    }
}

impl EndpointFilter {
    fn matches(self, endpoint: Endpoint<V4>) -> bool {
        let port = u16::from_be_bytes(endpoint.port);
        self.network.contains(&Ipv4Addr::from(endpoint.address)) && self.port.is_none_or(|wanted| wanted == port)
    }
}

impl FromStr for EndpointFilter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        if text.contains('[') || text.matches(':').count() > 1 {
            return Err(FilterError::Ipv6);
        }
        let (network, port) = match text.split_once(':') {
            Some((network, port)) => (network, Some(port.parse().map_err(|_| FilterError::Malformed)?)),
            None => (text, None),
        };
        let network = match network {
            "" if port.is_some() => Ok(Ipv4Net::default()),
            network if network.contains('/') => network.parse().map_err(|_| FilterError::Malformed),
            address => address.parse().map(|address: Ipv4Addr| address.into()).map_err(|_| FilterError::Malformed),
        };
        Ok(Self { network: network?, port })
    }
}

#[cfg(test)]
mod tests {
    use netfwd_common::abi::{Side, Tuple};

    use super::*;

    fn flow() -> Flow {
        let endpoint = |text: &str| {
            let (address, port) = text.split_once(':').unwrap();
            Endpoint::new(address.parse::<Ipv4Addr>().unwrap().octets(), port.parse().unwrap())
        };
        let tuple =
            |side, source, destination| Tuple::new(Protocol::Tcp, side, endpoint(source), endpoint(destination));
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
        assert!(with_protocol(Protocol::Tcp).matches(&flow()) && !with_protocol(Protocol::Udp).matches(&flow()));
        let with_state = |state| Filter { state: Some(state), ..Filter::default() };
        assert!(with_state(Phase::SynSent).matches(&flow()) && !with_state(Phase::Established).matches(&flow()));
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in ["", ":", "192.0.2.1:x", "192.0.2.1/33", "192.0.2", "192.0.2.1:65536"] {
            assert_eq!(text.parse::<EndpointFilter>(), Err(FilterError::Malformed), "{text}");
        }
        for text in ["::1", "[::1]:80", "fd00::/8"] {
            assert_eq!(text.parse::<EndpointFilter>(), Err(FilterError::Ipv6), "{text}");
        }
    }
}
