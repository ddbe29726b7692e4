//! A packet in one line.

use std::fmt;

use netfwd_common::{
    abi::{V4, V6},
    packet::Packet as _,
    parse::{self, Fragmentation, Headers, Kind, Parse, TcpFlags},
};
use serde::Serialize;

use super::Address;
use crate::family::Family;

/// TCP's flags, as they are named.
const FLAGS: [(u8, &str); 4] =
    [(TcpFlags::SYN, "syn"), (TcpFlags::FIN, "fin"), (TcpFlags::RST, "rst"), (TcpFlags::ACK, "ack")];

/// What a packet is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Its protocol's name, or its number.
    pub protocol: String,
    /// Who sends it.
    pub source: Address,
    /// Whom it is for.
    pub destination: Address,
    /// What else it is: TCP's flags, `fragment`, `error`.
    pub detail: Option<String>,
    /// Bytes from its IP header on, as that says.
    pub length: u32,
}

impl Seen {
    /// Reads a packet of either family behind a link-layer header of that many bytes; `None` if its IP header is broken,
    /// or it is no IP packet.
    #[must_use]
    pub fn read(packet: &[u8], link_header: u32) -> Option<Self> {
        match parse::family(packet, link_header) {
            parse::Family::V4 => Self::of::<V4>(packet, link_header),
            parse::Family::V6 => Self::of::<V6>(packet, link_header),
            parse::Family::Other => None,
        }
    }

    /// The same of a packet of `length` bytes of which only the first ones are there.
    #[must_use]
    pub fn read_cut(packet: &[u8], length: usize, link_header: u32) -> Option<Self> {
        Self::read(&whole(packet, length), link_header)
    }

    fn of<A: Parse + Family>(packet: &[u8], link_header: u32) -> Option<Self> {
        let mut headers = Headers::<A>::EMPTY;
        A::parse(packet, link_header, &mut headers).ok()?;
        let Headers { source, destination, transport, network_at, end_at, .. } = headers;
        let address = |address: A, port| Address { address: address.ip(), port: u16::from_be_bytes(port) };
        Some(Self {
            protocol: transport.protocol.to_string(),
            source: address(source, transport.source_port),
            destination: address(destination, transport.destination_port),
            detail: detail(&headers),
            length: end_at.max(packet.length()).saturating_sub(network_at),
        })
    }
}

/// The headers of a packet of `length` bytes of which only the first ones are there.
pub(crate) fn headers<A: Parse>(packet: &[u8], length: usize, link_header: u32) -> Option<Headers<A>> {
    let mut headers = Headers::<A>::EMPTY;
    A::parse(&whole(packet, length)[..], link_header, &mut headers).ok()?;
    Some(headers)
}

/// As if nothing was cut off, because headers tell lengths.
fn whole(packet: &[u8], length: usize) -> Vec<u8> {
    let mut whole = packet.get(..length).unwrap_or(packet).to_vec();
    whole.resize(length, 0);
    whole
}

fn detail<A>(headers: &Headers<A>) -> Option<String> {
    match (headers.fragment, headers.transport.kind) {
        (Fragmentation::Later, _) => Some("fragment".to_owned()),
        (_, Kind::IcmpError) => Some("error".to_owned()),
        (_, Kind::EchoRequest) => Some("request".to_owned()),
        (_, Kind::EchoReply) => Some("reply".to_owned()),
        (_, Kind::Tcp) => {
            let set = FLAGS.iter().filter(|(flag, _)| headers.transport.flags.has(*flag)).map(|(_, name)| *name);
            Some(set.collect::<Vec<_>>().join(",")).filter(|flags| !flags.is_empty())
        }
        (_, Kind::Udp | Kind::Sctp | Kind::Other | Kind::LaterFragment | Kind::Untranslatable(_)) => None,
    }
}

/// As `tcp 192.0.2.1:40000 -> 192.0.2.2:80 syn`.
impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, source, destination, .. } = self;
        write!(f, "{protocol} {source} -> {destination}")?;
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, " {detail}"))
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    #[test]
    fn a_packet_is_told_with_its_flags() {
        let mut frame = Vec::new();
        let step = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64);
        step.tcp(40000, 80, 1, 1).syn().ack(2).write(&mut frame, b"hello").unwrap();
        let seen = Seen::read(&frame, 14).unwrap();
        assert_eq!(seen.to_string(), "tcp 192.0.2.1:40000 -> 192.0.2.2:80 syn,ack");
        assert_eq!(seen.length, 45);
        assert_eq!(Seen::read(&frame[14..], 0), Some(seen));
    }

    #[test]
    fn an_echo_has_its_identifier_where_the_requester_is() {
        let mut packet = Vec::new();
        let step = PacketBuilder::ipv6([0xfd; 16], [0xfe; 16], 64).icmpv6_echo_request(7, 1);
        step.write(&mut packet, &[]).unwrap();
        let seen = Seen::read(&packet, 0).unwrap();
        assert!(seen.to_string().ends_with(":fdfd]:7 -> fefe:fefe:fefe:fefe:fefe:fefe:fefe:fefe request"), "{seen}");
    }

    #[test]
    fn what_is_no_ip_packet_is_nothing() {
        assert_eq!(Seen::read(&[0; 60], 14), None);
        assert_eq!(Seen::read(&[0x45; 10], 0), None);
    }
}
