//! Judges the checksums of a captured frame.

use std::net::Ipv4Addr;

use etherparse::checksum::Sum16BitWords;
use etherparse::{IpNumber, Ipv4Slice, NetSlice, SlicedPacket};

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
    /// Not judged: no IPv4, a fragment, another protocol, or not captured whole.
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
        Some(NetSlice::Ipv6(_) | NetSlice::Arp(_)) | None => Checksum::Unchecked,
    }
}

fn judge_ipv4(packet: &Ipv4Slice<'_>) -> Checksum {
    let header = packet.header();
    if sum(header.slice()).ones_complement() != 0 {
        return Checksum::Bad(describe(packet, "IP header", header.header_checksum()));
    }
    if packet.is_payload_fragmented() {
        return Checksum::Unchecked;
    }
    let segment = packet.payload().payload;
    match packet.payload_ip_number() {
        IpNumber::ICMP if sum(segment).ones_complement() == 0 => Checksum::Complete,
        IpNumber::ICMP => Checksum::Bad(describe(packet, "ICMP", field(segment, 2))),
        IpNumber::UDP if field(segment, 6) == 0 => Checksum::Absent,
        IpNumber::UDP => judge_transport(packet, "UDP", field(segment, 6)),
        IpNumber::TCP => judge_transport(packet, "TCP", field(segment, 16)),
        _ => Checksum::Unchecked,
    }
}

fn judge_transport(packet: &Ipv4Slice<'_>, protocol: &str, found: u16) -> Checksum {
    if pseudo_header(packet).add_slice(packet.payload().payload).ones_complement() == 0 {
        return Checksum::Complete;
    }
    // One's complement has two zeros.
    if found % u16::MAX == partial(packet) % u16::MAX {
        return Checksum::Partial;
    }
    Checksum::Bad(describe(packet, protocol, found))
}

fn pseudo_header(packet: &Ipv4Slice<'_>) -> Sum16BitWords {
    let header = packet.header();
    let length = packet.payload().payload.len() as u32;
    Sum16BitWords::new()
        .add_4bytes(header.source())
        .add_4bytes(header.destination())
        .add_2bytes([0, packet.payload_ip_number().0])
        .add_4bytes(length.to_be_bytes())
}

/// The partial checksum that is right for the packet's addresses.
fn partial(packet: &Ipv4Slice<'_>) -> u16 {
    u16::from_be_bytes((!pseudo_header(packet).ones_complement()).to_ne_bytes())
}

fn sum(bytes: &[u8]) -> Sum16BitWords {
    Sum16BitWords::new().add_slice(bytes)
}

fn field(segment: &[u8], offset: usize) -> u16 {
    let bytes = segment.get(offset..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u16::from_be_bytes(*bytes))
}

fn describe(packet: &Ipv4Slice<'_>, which: &str, found: u16) -> String {
    let header = packet.header();
    let (from, to): (Ipv4Addr, Ipv4Addr) = (header.source_addr(), header.destination_addr());
    format!(
        "{which} checksum {found:#06x} of {from} > {to}, identification {}, {} bytes (a partial one were {:#06x})",
        header.identification(),
        header.total_len(),
        partial(packet),
    )
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
        let partial = partial(&Ipv4Slice::from_slice(&frame[IP..]).unwrap());
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
}
