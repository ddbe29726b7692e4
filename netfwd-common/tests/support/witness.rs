//! Frames read, and their checksums verified, by another implementation than the one under test.

use etherparse::{Icmpv4Type, NetSlice, SlicedPacket, TransportSlice};
use netfwd_common::abi::{Endpoint, V4};

/// The endpoints of a frame, whose checksums are all right. An ICMP identifier is the requester's port.
pub(crate) fn endpoints(frame: &[u8]) -> (Endpoint<V4>, Endpoint<V4>) {
    let packet = SlicedPacket::from_ethernet(frame).expect("a frame that was well-formed still is");
    let Some(NetSlice::Ipv4(ip)) = &packet.net else { unreachable!("only IPv4 is built") };
    let header = ip.header();
    assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum(), "IP checksum");
    let (source, destination) = ports(packet.transport.as_ref(), header.source(), header.destination());
    (Endpoint::new(header.source(), source), Endpoint::new(header.destination(), destination))
}

fn ports(transport: Option<&TransportSlice<'_>>, source: V4, destination: V4) -> (u16, u16) {
    let transport = transport.expect("only TCP, UDP and ICMP are built");
    if let TransportSlice::Tcp(tcp) = transport {
        let expected = tcp.calc_checksum_ipv4(source, destination).expect("short");
        assert_eq!(tcp.checksum(), expected, "TCP checksum");
        return (tcp.source_port(), tcp.destination_port());
    }
    if let TransportSlice::Udp(udp) = transport {
        let expected = udp.to_header().calc_checksum_ipv4_raw(source, destination, udp.payload()).expect("short");
        assert!([0, expected].contains(&udp.checksum()), "UDP checksum");
        return (udp.source_port(), udp.destination_port());
    }
    let TransportSlice::Icmpv4(icmp) = transport else { unreachable!("only TCP, UDP and ICMP are built") };
    let kind = icmp.icmp_type();
    assert_eq!(icmp.checksum(), kind.calc_checksum(icmp.payload()), "ICMP checksum");
    if let Icmpv4Type::EchoRequest(echo) = kind {
        return (echo.id, 0);
    }
    let Icmpv4Type::EchoReply(echo) = kind else { unreachable!("only echo is translated") };
    (0, echo.id)
}
