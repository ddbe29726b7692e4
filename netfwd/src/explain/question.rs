//! The packet that is asked about: how it is written, and its bytes.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use anyhow::{Context as _, Result};
use etherparse::{IpNumber, PacketBuilder, PacketBuilderStep, TcpHeader};
use netfwd_common::{abi::Protocol, parse::TcpFlags};
use thiserror::Error;

/// The port that a packet comes from if none is given.
const ANY_PORT: u16 = 40_000;
/// Hops that a packet has left, as most hosts send it.
const HOPS: u8 = 64;
/// A checksum and a tag that nobody looks at, and a chunk without parameters (RFC 9260 section 3.1).
const SCTP_INIT: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 20, 0, 0, 0, 1];
/// What echo requests and datagrams carry.
const PAYLOAD: [u8; 8] = *b"explain!";

/// `PROTOCOL SOURCE to DESTINATION`, as in `tcp 192.0.2.1:40000 to 192.0.2.2:8080`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The protocol.
    pub protocol: Protocol,
    /// Who sends it. The port of ICMP is the identifier, on the requester's side.
    pub source: SocketAddr,
    /// Whom it is for, of the same family.
    pub destination: SocketAddr,
    /// TCP's flags.
    pub flags: TcpFlags,
}

/// A text is no packet.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum QuestionError {
    /// Something is missing, or there is too much.
    #[error("give PROTOCOL SOURCE to DESTINATION, such as `tcp 192.0.2.1:40000 to 192.0.2.2:8080`")]
    Form,
    /// The protocol.
    #[error("`{0}` is none of tcp, udp, sctp, icmp and icmpv6")]
    Protocol(String),
    /// An end.
    #[error("`{0}` is no ADDRESS:PORT, such as 192.0.2.1:80 or [2001:db8::1]:80")]
    Endpoint(String),
    /// The port that it goes to.
    #[error("`{0}` has no port to send to")]
    NoPort(String),
    /// Addresses of two families, or ICMP of the other one.
    #[error("source, destination and protocol are not all of IPv4, or all of IPv6")]
    Families,
}

impl FromStr for Question {
    type Err = QuestionError;

    fn from_str(text: &str) -> Result<Self, QuestionError> {
        let words: Vec<_> = text.split_whitespace().collect();
        let (protocol, source, destination) = match words[..] {
            [protocol, source, "to" | "->" | "→", destination] | [protocol, source, destination] => {
                (self::protocol(protocol)?, endpoint(source)?, endpoint(destination)?)
            }
            _ => return Err(QuestionError::Form),
        };
        if source.0.is_ipv4() != destination.0.is_ipv4() || !carries(source.0, protocol) {
            return Err(QuestionError::Families);
        }
        let has_ports = !is_icmp(protocol);
        let port = destination.1.or((!has_ports).then_some(0));
        let port = port.filter(|port| !has_ports || *port != 0);
        let port = port.ok_or_else(|| QuestionError::NoPort(words.last().copied().unwrap_or_default().to_owned()))?;
        // An echo that is for an identifier is an answer.
        let from = source.1.unwrap_or(if has_ports { ANY_PORT } else { u16::from(port == 0) });
        Ok(Self {
            protocol,
            source: SocketAddr::new(source.0, from),
            destination: SocketAddr::new(destination.0, port),
            flags: TcpFlags(TcpFlags::SYN),
        })
    }
}

impl Question {
    /// Its bytes, behind the Ethernet header of a frame from one address to another; without one unless given.
    pub fn frame(&self, ethernet: Option<[[u8; 6]; 2]>) -> Result<Vec<u8>> {
        let (source, destination) = (self.source.ip(), self.destination.ip());
        let step = match (ethernet, source, destination) {
            (Some([from, to]), IpAddr::V4(source), IpAddr::V4(destination)) => {
                PacketBuilder::ethernet2(from, to).ipv4(source.octets(), destination.octets(), HOPS)
            }
            (Some([from, to]), _, _) => {
                PacketBuilder::ethernet2(from, to).ipv6(v6(source).octets(), v6(destination).octets(), HOPS)
            }
            (None, IpAddr::V4(source), IpAddr::V4(destination)) => {
                PacketBuilder::ipv4(source.octets(), destination.octets(), HOPS)
            }
            (None, _, _) => PacketBuilder::ipv6(v6(source).octets(), v6(destination).octets(), HOPS),
        };
        self.write(step).context("cannot make such a packet")
    }

    fn write(&self, step: PacketBuilderStep<etherparse::IpHeaders>) -> Result<Vec<u8>> {
        let mut frame = Vec::new();
        let (from, to) = (self.source.port(), self.destination.port());
        match self.protocol {
            Protocol::TCP => step.tcp_header(self.tcp()).write(&mut frame, &[])?,
            Protocol::UDP => step.udp(from, to).write(&mut frame, &PAYLOAD)?,
            Protocol::ICMP if to == 0 => step.icmpv4_echo_request(from, 1).write(&mut frame, &PAYLOAD)?,
            Protocol::ICMP => step.icmpv4_echo_reply(to, 1).write(&mut frame, &PAYLOAD)?,
            Protocol::ICMPV6 if to == 0 => step.icmpv6_echo_request(from, 1).write(&mut frame, &PAYLOAD)?,
            Protocol::ICMPV6 => step.icmpv6_echo_reply(to, 1).write(&mut frame, &PAYLOAD)?,
            other => {
                let ports = [from.to_be_bytes(), to.to_be_bytes()].concat();
                step.write(&mut frame, IpNumber(other.number()), &[&ports[..], &SCTP_INIT].concat())?;
            }
        }
        Ok(frame)
    }

    fn tcp(&self) -> TcpHeader {
        let mut header = TcpHeader::new(self.source.port(), self.destination.port(), 1, u16::MAX);
        header.syn = self.flags.has(TcpFlags::SYN);
        header.ack = self.flags.has(TcpFlags::ACK);
        header.fin = self.flags.has(TcpFlags::FIN);
        header.rst = self.flags.has(TcpFlags::RST);
        header
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, source, destination, .. } = self;
        write!(f, "{protocol} {source} to {destination}")
    }
}

fn protocol(name: &str) -> Result<Protocol, QuestionError> {
    let known = [Protocol::TCP, Protocol::UDP, Protocol::SCTP, Protocol::ICMP, Protocol::ICMPV6];
    let found = known.into_iter().find(|protocol| protocol.name() == Some(name));
    found.ok_or_else(|| QuestionError::Protocol(name.to_owned()))
}

fn endpoint(text: &str) -> Result<(IpAddr, Option<u16>), QuestionError> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok((address, None));
    }
    let whole: SocketAddr = text.parse().map_err(|_| QuestionError::Endpoint(text.to_owned()))?;
    Ok((whole.ip(), Some(whole.port())))
}

fn is_icmp(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::ICMP | Protocol::ICMPV6)
}

/// Whether packets with such an address carry a protocol.
fn carries(address: IpAddr, protocol: Protocol) -> bool {
    !is_icmp(protocol) || (protocol == Protocol::ICMP) == address.is_ipv4()
}

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V6(address) => address,
        IpAddr::V4(address) => Ipv4Addr::to_ipv6_mapped(&address),
    }
}

#[cfg(test)]
mod tests {
    use netfwd_common::{
        abi::{Side, V4, V6},
        parse::{Headers, Kind, Parse},
    };

    use super::*;

    fn parse(text: &str) -> Result<Question, QuestionError> {
        text.parse()
    }

    #[test]
    fn the_arrow_is_a_word_or_a_sign_or_nothing() {
        let question = parse("tcp 192.0.2.1:40000 to 192.0.2.2:8080").unwrap();
        for arrow in ["->", "→", ""] {
            assert_eq!(parse(&format!("tcp 192.0.2.1:40000 {arrow} 192.0.2.2:8080")), Ok(question));
        }
        assert_eq!(question.to_string(), "tcp 192.0.2.1:40000 to 192.0.2.2:8080");
        assert_eq!(parse("tcp 192.0.2.1 to 192.0.2.2:8080"), Ok(question), "a source port is chosen");
    }

    #[test]
    fn what_is_no_packet_is_refused_with_the_part_that_is_wrong() {
        for (text, part) in [
            ("tcp 192.0.2.1:1", "give PROTOCOL SOURCE to DESTINATION"),
            ("tcp 192.0.2.1:1 towards 192.0.2.2:2", "give PROTOCOL"),
            ("gre 192.0.2.1 to 192.0.2.2", "`gre` is none of tcp"),
            ("tcp 192.0.2.1:x to 192.0.2.2:2", "`192.0.2.1:x` is no ADDRESS:PORT"),
            ("tcp 192.0.2.1:1 to 192.0.2.2", "`192.0.2.2` has no port"),
            ("tcp 192.0.2.1:1 to 192.0.2.2:0", "`192.0.2.2:0` has no port"),
            ("tcp 192.0.2.1:1 to [2001:db8::1]:2", "not all of IPv4"),
            ("icmpv6 192.0.2.1 to 192.0.2.2", "not all of IPv4"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_packet_in_both_families_with_and_without_a_link_header() {
        for text in
            ["tcp 192.0.2.1:1 to 192.0.2.2:2", "udp 192.0.2.1:1 to 192.0.2.2:2", "sctp 192.0.2.1:1 to 192.0.2.2:2"]
        {
            check::<V4>(text, true);
        }
        check::<V6>("tcp [2001:db8::1]:1 to [2001:db8::2]:2", true);
        check::<V4>("icmp 192.0.2.1:7 to 192.0.2.2", true);
        check::<V6>("icmpv6 2001:db8::1 to [2001:db8::2]:7", false);
    }

    fn check<A: Parse + crate::family::Family>(text: &str, opens: bool) {
        let question = parse(text).unwrap();
        for (link_header, ethernet) in [(0, None), (14, Some([[2; 6], [4; 6]]))] {
            let frame = question.frame(ethernet).unwrap();
            let mut headers = Headers::<A>::EMPTY;
            A::parse(&frame[..], link_header, &mut headers).unwrap();
            let tuple = headers.tuple(Side::Outside).unwrap();
            let socket = |endpoint: netfwd_common::abi::Endpoint<A>| {
                SocketAddr::new(endpoint.address.ip(), u16::from_be_bytes(endpoint.port))
            };
            assert_eq!((socket(tuple.source), socket(tuple.destination)), (question.source, question.destination));
            assert_eq!(headers.transport.opens(), opens, "{text}");
        }
    }

    #[test]
    fn an_echo_that_is_for_an_identifier_is_an_answer() {
        let frame = parse("icmp 192.0.2.1 to 192.0.2.2:7").unwrap().frame(None).unwrap();
        let mut headers = Headers::<V4>::EMPTY;
        V4::parse(&frame[..], 0, &mut headers).unwrap();
        assert_eq!(headers.transport.kind, Kind::EchoReply);
    }
}
