//! The parts of a mapping, and what each may be.

use std::net::{IpAddr, Ipv6Addr};

use netfwd_common::abi::Address as _;

use super::ParseError;
use crate::mapping::{Ports, Transport, Transports};

const PORT_RANGE: &str = "ports are 1 to 65535";

/// A part of what was written, and where it begins.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    text: &'a str,
    word: &'a str,
    at: usize,
    name: &'static str,
}

/// All of it.
pub(super) fn whole(text: &str) -> Part<'_> {
    Part { text, word: text, at: 0, name: "mapping" }
}

/// The parts between colons that are in no brackets, and the protocols.
pub(super) fn split(text: &str) -> Result<(Vec<Part<'_>>, Transports), ParseError> {
    let (endpoints, protocols) = match text.split_once('/') {
        None => (text, Transports::One(Transport::Tcp)),
        Some((endpoints, word)) => {
            let part = Part { text, word, at: endpoints.len() + 1, name: "protocol" };
            (endpoints, part.protocols()?)
        }
    };
    let mut is_in_brackets = false;
    let is_between = |letter| {
        is_in_brackets = letter == '[' || (is_in_brackets && letter != ']');
        letter == ':' && !is_in_brackets
    };
    let mut at = 0;
    let parts: Vec<_> = endpoints
        .split(is_between)
        .map(|word| {
            let part = Part { text, word, at, name: "part" };
            at += word.len() + 1;
            part
        })
        .collect();
    if has_bare_ipv6(endpoints, &parts) {
        return Err(whole(text).wrong("IPv6 addresses are written in brackets, as in [2001:db8::1]"));
    }
    Ok((parts, protocols))
}

/// Whether an IPv6 address is among the parts without its brackets.
fn has_bare_ipv6(endpoints: &str, parts: &[Part<'_>]) -> bool {
    // Eight groups, and one more part where it begins or ends with `::`.
    const MOST_PARTS: usize = 9;
    let is_ipv6 = |run: &[Part<'_>]| {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return false };
        let run = endpoints.get(first.at..last.at + last.word.len());
        run.is_some_and(|run| run.parse::<Ipv6Addr>().is_ok())
    };
    (2..=MOST_PARTS).any(|length| parts.windows(length).any(is_ipv6))
}

impl Part<'_> {
    pub(super) fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    pub(super) fn wrong(self, problem: impl Into<String>) -> ParseError {
        let Self { text, word, at, name } = self;
        ParseError { text: text.to_owned(), part: word.to_owned(), at, name, problem: problem.into() }
    }

    pub(super) fn is_empty(self) -> bool {
        self.word.is_empty()
    }

    /// Whether it looks like an address rather than ports.
    pub(super) fn is_address(self) -> bool {
        self.word.contains(['.', '['])
    }

    /// One port or a range.
    pub(super) fn ports(self) -> Result<Ports, ParseError> {
        let Some((first, last)) = self.word.split_once('-') else {
            let port = self.port(self.word)?;
            return Ports::new(port, port).ok_or_else(|| self.wrong(PORT_RANGE));
        };
        let (first, last) = (self.port(first)?, self.port(last)?);
        Ports::new(first, last)
            .ok_or_else(|| self.wrong(format!("the first port, {first}, is above the last one, {last}")))
    }

    fn port(self, word: &str) -> Result<u16, ParseError> {
        if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.wrong(format!("not a port or FIRST-LAST; {PORT_RANGE}")));
        }
        word.parse().ok().filter(|port| *port != 0).ok_or_else(|| self.wrong(PORT_RANGE))
    }

    /// An address of the host, or the one that stands for any.
    pub(super) fn host_address(self) -> Result<IpAddr, ParseError> {
        let address = self.address()?;
        if address.is_unspecified() || address.is_loopback() {
            return Ok(address);
        }
        self.of_one_host(address)
    }

    /// An address of one container.
    pub(super) fn container_address(self) -> Result<IpAddr, ParseError> {
        let address = self.address()?;
        if address.is_loopback() {
            return Err(self.wrong("a loopback address, which each container has; give its address in its network"));
        }
        self.of_one_host(address)
    }

    fn of_one_host(self, address: IpAddr) -> Result<IpAddr, ParseError> {
        let is_unicast = match address {
            IpAddr::V4(address) => address.octets().is_unicast(),
            IpAddr::V6(address) => address.octets().is_unicast(),
        };
        if !is_unicast {
            return Err(self.wrong("not the address of one host"));
        }
        if matches!(address, IpAddr::V6(address) if address.is_unicast_link_local()) {
            return Err(self.wrong("a link-local address, which means nothing beyond its link"));
        }
        Ok(address)
    }

    fn address(self) -> Result<IpAddr, ParseError> {
        let Some(inner) = self.word.strip_prefix('[').and_then(|word| word.strip_suffix(']')) else {
            let address = self.word.parse().map(IpAddr::V4);
            return address.map_err(|_| self.wrong("not an address such as 192.0.2.1 or [2001:db8::1]"));
        };
        let address: Ipv6Addr =
            inner.parse().map_err(|_| self.wrong("not an IPv6 address in brackets such as [2001:db8::1]"))?;
        match address.to_ipv4_mapped() {
            Some(mapped) => Err(self.wrong(format!("an IPv4 address; write {mapped}"))),
            None => Ok(address.into()),
        }
    }

    fn protocols(self) -> Result<Transports, ParseError> {
        match self.word {
            "tcp" => Ok(Transports::One(Transport::Tcp)),
            "udp" => Ok(Transports::One(Transport::Udp)),
            "sctp" => Ok(Transports::One(Transport::Sctp)),
            "tcp+udp" => Ok(Transports::TcpAndUdp),
            _ => Err(self.wrong("the protocol is `tcp`, `udp`, `sctp` or `tcp+udp`")),
        }
    }
}
