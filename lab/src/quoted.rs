//! Judges the checksums of the packet that an ICMP error quotes.

use std::net::IpAddr;

use etherparse::{LaxIpPayloadSlice, LaxNetSlice, LaxSlicedPacket, SlicedPacket, TransportSlice};

use crate::checksum::{Checksum, Segment, sum};

/// Destination unreachable, source quench, redirect, time exceeded, parameter problem (RFC 792).
const ICMP_ERRORS: [u8; 5] = [3, 4, 5, 11, 12];
/// IPv6's errors have types below this (RFC 4443 section 2.1).
const ICMPV6_QUERIES: u8 = 128;

/// What is wrong with the packet that the ICMP error in `frame` quotes, if there is one.
pub(crate) fn judge_quoted(frame: &[u8]) -> Option<String> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let quoted = match packet.transport? {
        TransportSlice::Icmpv4(icmp) if ICMP_ERRORS.contains(&icmp.type_u8()) => icmp.payload(),
        TransportSlice::Icmpv6(icmp) if icmp.type_u8() < ICMPV6_QUERIES => icmp.payload(),
        TransportSlice::Icmpv4(_)
        | TransportSlice::Icmpv6(_)
        | TransportSlice::Igmp(_)
        | TransportSlice::Udp(_)
        | TransportSlice::Tcp(_) => return None,
    };
    let packet = match LaxSlicedPacket::from_ip(quoted) {
        Ok(packet) => packet,
        Err(error) => return Some(format!("not a packet: {error}")),
    };
    match &packet.net {
        Some(LaxNetSlice::Ipv4(packet)) if sum(packet.header().slice()).ones_complement() != 0 => {
            Some(format!("IP header checksum {:#06x}", packet.header().header_checksum()))
        }
        Some(LaxNetSlice::Ipv4(packet)) => {
            let header = packet.header();
            judge_payload((header.source_addr().into(), header.destination_addr().into()), packet.payload())
        }
        Some(LaxNetSlice::Ipv6(packet)) => {
            let header = packet.header();
            judge_payload((header.source_addr().into(), header.destination_addr().into()), packet.payload())
        }
        Some(LaxNetSlice::Arp(_)) | None => None,
    }
}

fn judge_payload(addresses: (IpAddr, IpAddr), payload: &LaxIpPayloadSlice<'_>) -> Option<String> {
    if payload.incomplete || payload.fragmented {
        return None;
    }
    match (Segment { addresses, protocol: payload.ip_number, bytes: payload.payload }).judge() {
        Checksum::Bad(text) => Some(text),
        Checksum::Complete | Checksum::Partial | Checksum::Absent | Checksum::Unchecked => None,
    }
}

#[cfg(test)]
mod tests {
    use etherparse::{Icmpv4Type, PacketBuilder, icmpv4::DestUnreachableHeader};

    use super::*;

    fn error_about(quoted: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([198, 51, 100, 1], [192, 168, 137, 104], 64);
        let builder = builder.icmpv4(Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port));
        builder.write(&mut frame, quoted).unwrap();
        frame
    }

    fn datagram() -> Vec<u8> {
        let mut packet = Vec::new();
        let builder = PacketBuilder::ipv4([192, 168, 137, 104], [198, 51, 100, 1], 64).udp(1234, 53);
        builder.write(&mut packet, b"data!").unwrap();
        packet
    }

    #[test]
    fn a_quoted_packet_is_judged_as_far_as_it_is_quoted() {
        assert_eq!(judge_quoted(&error_about(&datagram())), None);
        let mut wrong = datagram();
        wrong[20] ^= 1;
        assert!(judge_quoted(&error_about(&wrong)).unwrap().starts_with("UDP checksum"));
        assert_eq!(judge_quoted(&error_about(&wrong[..28])), None, "its checksum covers what is not quoted");
        wrong[8] -= 1;
        assert!(judge_quoted(&error_about(&wrong[..28])).unwrap().starts_with("IP header checksum"));
    }

    #[test]
    fn other_packets_quote_nothing() {
        let mut frame = Vec::new();
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([1; 4], [2; 4], 64);
        builder.icmpv4_echo_request(1, 2).write(&mut frame, b"data!").unwrap();
        assert_eq!(judge_quoted(&frame), None);
    }
}
