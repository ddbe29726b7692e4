//! Frames read, and their checksums verified, by another implementation than the one under test.

use etherparse::{Icmpv4Type, Icmpv6Type, NetSlice, SlicedPacket, TransportSlice};
use netfwd_common::{abi::Endpoint, parse::Headers};

use crate::frame::Ip;

/// The endpoints of a frame, whose checksums are all right. An ICMP identifier is the requester's port.
pub(crate) fn endpoints<A: Ip + AsRef<[u8]>>(frame: &[u8]) -> (Endpoint<A>, Endpoint<A>) {
    let packet = SlicedPacket::from_ethernet(frame).expect("a frame that was well-formed still is");
    let (source, destination) = match packet.net.as_ref().expect("only IP is built") {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum(), "IP checksum");
            (header.source().to_vec(), header.destination().to_vec())
        }
        NetSlice::Ipv6(ip) => (ip.header().source().to_vec(), ip.header().destination().to_vec()),
        NetSlice::Arp(_) => unreachable!("only IP is built"),
    };
    let (from, to) = ports(packet.transport.as_ref(), &source, &destination);
    // The array of the family, whose bytes are those that etherparse found.
    let mut headers = Headers::<A>::EMPTY;
    A::parse(frame, 14, &mut headers).expect("a frame that was well-formed still is");
    assert_eq!((headers.source.as_ref(), headers.destination.as_ref()), (&source[..], &destination[..]));
    (Endpoint::new(headers.source, from), Endpoint::new(headers.destination, to))
}

fn ports(transport: Option<&TransportSlice<'_>>, source: &[u8], destination: &[u8]) -> (u16, u16) {
    match transport.expect("only TCP, UDP and ICMP are built") {
        TransportSlice::Tcp(tcp) => {
            let expected = match (<[u8; 4]>::try_from(source), <[u8; 4]>::try_from(destination)) {
                (Ok(source), Ok(destination)) => tcp.calc_checksum_ipv4(source, destination),
                _ => tcp.calc_checksum_ipv6(wide(source), wide(destination)),
            };
            assert_eq!(tcp.checksum(), expected.expect("short"), "TCP checksum");
            (tcp.source_port(), tcp.destination_port())
        }
        TransportSlice::Udp(udp) => {
            let header = udp.to_header();
            let expected = match (<[u8; 4]>::try_from(source), <[u8; 4]>::try_from(destination)) {
                (Ok(source), Ok(destination)) => header.calc_checksum_ipv4_raw(source, destination, udp.payload()),
                _ => header.calc_checksum_ipv6_raw(wide(source), wide(destination), udp.payload()),
            };
            assert!([0, expected.expect("short")].contains(&udp.checksum()), "UDP checksum");
            (udp.source_port(), udp.destination_port())
        }
        TransportSlice::Icmpv4(icmp) => {
            let kind = icmp.icmp_type();
            assert_eq!(icmp.checksum(), kind.calc_checksum(icmp.payload()), "ICMP checksum");
            if let Icmpv4Type::EchoRequest(echo) = kind {
                return (echo.id, 0);
            }
            let Icmpv4Type::EchoReply(echo) = kind else { unreachable!("only echo has an identifier") };
            (0, echo.id)
        }
        TransportSlice::Icmpv6(icmp) => {
            assert!(icmp.is_checksum_valid(wide(source), wide(destination)), "ICMPv6 checksum");
            let kind = icmp.icmp_type();
            if let Icmpv6Type::EchoRequest(echo) = kind {
                return (echo.id, 0);
            }
            let Icmpv6Type::EchoReply(echo) = kind else { unreachable!("only echo has an identifier") };
            (0, echo.id)
        }
        TransportSlice::Igmp(_) => unreachable!("only TCP, UDP and ICMP are built"),
    }
}

fn wide(address: &[u8]) -> [u8; 16] {
    address.try_into().expect("an IPv6 address")
}
