//! Judges the checksums of a captured frame.

use std::net::IpAddr;

use etherparse::checksum::Sum16BitWords;
use etherparse::{IpNumber, Ipv4Slice, Ipv6Slice, NetSlice, SlicedPacket};

/// The verdict on a frame's checksums.
///
/// What a namespace sends over a veth keeps a *partial* checksum all the way to the receiver: the sender leaves the
/// work to the interface, a veth never does it, and the receiver's kernel does not look (`CHECKSUM_PARTIAL`). tcpdump
/// calls such a packet incorrect wherever it is captured, although a real interface would complete it. So the verdict
/// is computed here. A right partial checksum is the sum of the pseudo-header alone, over the addresses that the
/// packet has *where it is captured*: a translation that forgets the addresses, or that also adds the ports, leaves
/// something that is neither complete nor that sum, and is found.
///
/// What this cannot see is a packet whose bytes and whose mark in the kernel disagree. Where
/// [`checksum_offload`](crate::Topology::checksum_offload) is off, nobody sends partial checksums, and a test can
/// demand that [`Checksums::partial`](crate::Checksums::partial) is 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checksum {
    /// All are complete and right.
    Complete,
    /// The transport's is the right sum of the pseudo-header, which an interface completes.
    Partial,
    /// A UDP datagram without a checksum.
    Absent,
    /// Not judged: no IP, a fragment, another protocol, or not captured whole.
    Unchecked,
    /// Wrong: what was found and what would be right.
    Bad(String),
}

/// Judges a whole Ethernet frame.
pub(crate) fn judge(frame: &[u8]) -> Checksum {
    let packet = match SlicedPacket::from_ethernet(frame) {
        Ok(packet) => packet,
        Err(error) => return Checksum::Bad(format!("not a whole packet: {error}")),
    };
    match &packet.net {
        Some(NetSlice::Ipv4(packet)) => judge_ipv4(packet),
        Some(NetSlice::Ipv6(packet)) => judge_ipv6(packet),
        Some(NetSlice::Arp(_)) | None => Checksum::Unchecked,
    }
}

fn judge_ipv4(packet: &Ipv4Slice<'_>) -> Checksum {
    let header = packet.header();
    let segment = Segment {
        addresses: (header.source_addr().into(), header.destination_addr().into()),
        protocol: packet.payload_ip_number(),
        bytes: packet.payload().payload,
    };
    if sum(header.slice()).ones_complement() != 0 {
        return Checksum::Bad(segment.describe("IP header", header.header_checksum()));
    }
    if packet.is_payload_fragmented() { Checksum::Unchecked } else { segment.judge() }
}

fn judge_ipv6(packet: &Ipv6Slice<'_>) -> Checksum {
    let header = packet.header();
    let segment = Segment {
        addresses: (header.source_addr().into(), header.destination_addr().into()),
        protocol: packet.payload().ip_number,
        bytes: packet.payload().payload,
    };
    if packet.is_payload_fragmented() { Checksum::Unchecked } else { segment.judge() }
}

/// What follows the IP headers of a whole packet.
pub(crate) struct Segment<'a> {
    pub(crate) addresses: (IpAddr, IpAddr),
    pub(crate) protocol: IpNumber,
    pub(crate) bytes: &'a [u8],
}

impl Segment<'_> {
    pub(crate) fn judge(&self) -> Checksum {
        match self.protocol {
            IpNumber::ICMP if sum(self.bytes).ones_complement() == 0 => Checksum::Complete,
            IpNumber::ICMP => Checksum::Bad(self.describe("ICMP", self.field(2))),
            IpNumber::IPV6_ICMP => self.judge_transport("ICMPv6", self.field(2)),
            IpNumber::UDP if self.field(6) == 0 => Checksum::Absent,
            IpNumber::UDP => self.judge_transport("UDP", self.field(6)),
            IpNumber::TCP => self.judge_transport("TCP", self.field(16)),
            _ => Checksum::Unchecked,
        }
    }

    fn judge_transport(&self, protocol: &str, found: u16) -> Checksum {
        if self.pseudo_header().add_slice(self.bytes).ones_complement() == 0 {
            return Checksum::Complete;
        }
        // One's complement has two zeros.
        if found % u16::MAX == self.partial() % u16::MAX {
            return Checksum::Partial;
        }
        Checksum::Bad(self.describe(protocol, found))
    }

    fn pseudo_header(&self) -> Sum16BitWords {
        let add = |mut sum: Sum16BitWords, address: IpAddr| match address {
            IpAddr::V4(address) => sum.add_4bytes(address.octets()),
            IpAddr::V6(address) => sum.add_16bytes(address.octets()),
        };
        let sum = add(add(Sum16BitWords::new(), self.addresses.0), self.addresses.1);
        let length = self.bytes.len() as u32;
        sum.add_2bytes([0, self.protocol.0]).add_4bytes(length.to_be_bytes())
    }

    /// The partial checksum that is right for the packet's addresses.
    fn partial(&self) -> u16 {
        u16::from_be_bytes((!self.pseudo_header().ones_complement()).to_ne_bytes())
    }

    fn field(&self, offset: usize) -> u16 {
        let bytes = self.bytes.get(offset..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| u16::from_be_bytes(*bytes))
    }

    fn describe(&self, which: &str, found: u16) -> String {
        let (from, to) = self.addresses;
        let (length, partial) = (self.bytes.len(), self.partial());
        format!(
            "{which} checksum {found:#06x} of {from} > {to}, {length} bytes after IP \
             (a partial one were {partial:#06x})"
        )
    }
}

pub(crate) fn sum(bytes: &[u8]) -> Sum16BitWords {
    Sum16BitWords::new().add_slice(bytes)
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    const IP: usize = 14;
    const TRANSPORT: usize = IP + 20;
    const TCP_CHECKSUM: usize = TRANSPORT + 16;

    fn addressed() -> etherparse::PacketBuilderStep<etherparse::IpHeaders> {
        PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([172, 17, 0, 2], [192, 168, 137, 1], 64)
    }

    fn tcp() -> Vec<u8> {
        let mut frame = Vec::new();
        addressed().tcp(1234, 80, 7, 1000).write(&mut frame, b"data!").unwrap();
        frame
    }

    fn udp() -> Vec<u8> {
        let mut frame = Vec::new();
        addressed().udp(1234, 53).write(&mut frame, b"data!").unwrap();
        frame
    }

    fn with_partial_checksum(mut frame: Vec<u8>) -> Vec<u8> {
        let addresses = (IpAddr::from([172, 17, 0, 2]), IpAddr::from([192, 168, 137, 1]));
        let partial = Segment { addresses, protocol: IpNumber::TCP, bytes: &frame[TRANSPORT..] }.partial();
        frame[TCP_CHECKSUM..TCP_CHECKSUM + 2].copy_from_slice(&partial.to_be_bytes());
        frame
    }

    /// Changes the source address, with the IP header's checksum and nothing else.
    fn with_other_source(mut frame: Vec<u8>) -> Vec<u8> {
        frame[IP + 12..IP + 16].copy_from_slice(&[192, 168, 137, 104]);
        frame[IP + 10..IP + 12].fill(0);
        let checksum = sum(&frame[IP..TRANSPORT]).ones_complement().to_ne_bytes();
        frame[IP + 10..IP + 12].copy_from_slice(&checksum);
        frame
    }

    #[test]
    fn a_complete_checksum_is_told_from_a_partial_one() {
        assert_eq!(judge(&tcp()), Checksum::Complete);
        assert_eq!(judge(&udp()), Checksum::Complete);
        assert_eq!(judge(&with_partial_checksum(tcp())), Checksum::Partial);
    }

    #[test]
    fn a_translation_that_forgets_the_checksum_is_found_in_either_kind() {
        assert!(matches!(judge(&with_other_source(tcp())), Checksum::Bad(_)));
        assert!(matches!(judge(&with_other_source(with_partial_checksum(tcp()))), Checksum::Bad(_)));
    }

    #[test]
    fn a_changed_port_spoils_a_complete_checksum_but_not_a_partial_one() {
        let with_other_port = |mut frame: Vec<u8>| {
            frame[TRANSPORT] ^= 0x55;
            frame
        };
        assert!(matches!(judge(&with_other_port(tcp())), Checksum::Bad(_)));
        assert_eq!(judge(&with_other_port(with_partial_checksum(tcp()))), Checksum::Partial);
    }

    #[test]
    fn a_udp_datagram_may_have_no_checksum() {
        let mut frame = udp();
        frame[TRANSPORT + 6..TRANSPORT + 8].fill(0);
        assert_eq!(judge(&frame), Checksum::Absent);
    }

    #[test]
    fn an_icmp_checksum_is_always_complete() {
        let mut frame = Vec::new();
        addressed().icmpv4_echo_request(1, 2).write(&mut frame, b"data!").unwrap();
        assert_eq!(judge(&frame), Checksum::Complete);
        frame[TRANSPORT + 4] ^= 1;
        assert!(matches!(judge(&frame), Checksum::Bad(_)));
    }

    #[test]
    fn a_wrong_ip_header_checksum_is_found_and_told() {
        let mut frame = tcp();
        frame[IP + 8] -= 1;
        let Checksum::Bad(text) = judge(&frame) else { panic!("not found") };
        assert!(text.starts_with("IP header checksum 0x") && text.contains("172.17.0.2 > 192.168.137.1"), "{text}");
    }

    #[test]
    fn fragments_and_other_protocols_are_not_judged() {
        let mut frame = tcp();
        frame[IP + 6] |= 0x20;
        frame[IP + 10..IP + 12].fill(0);
        let checksum = sum(&frame[IP..TRANSPORT]).ones_complement().to_ne_bytes();
        frame[IP + 10..IP + 12].copy_from_slice(&checksum);
        assert_eq!(judge(&frame), Checksum::Unchecked);
    }

    #[test]
    fn ipv6_is_judged_as_ipv4_is() {
        let mut frame = Vec::new();
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv6([0xfd; 16], [0x20; 16], 64);
        builder.icmpv6_echo_request(1, 2).write(&mut frame, b"data!").unwrap();
        assert_eq!(judge(&frame), Checksum::Complete);
        frame[IP + 8] ^= 1;
        let Checksum::Bad(text) = judge(&frame) else { panic!("not found") };
        assert!(text.starts_with("ICMPv6 checksum 0x"), "{text}");
    }
}
