//! Where a translated packet may change, and what its checksums say.

use std::{collections::HashSet, ops::Range};

use netfwd_common::parse::{Headers, Kind};

use super::Meeting;
use crate::world::Place;

/// Where the fields of a packet that can be translated are, by the RFCs.
pub(crate) struct Fields {
    /// The source address; the destination address follows.
    pub(crate) addresses: Range<usize>,
    /// The transport header.
    pub(crate) transport_at: usize,
    /// The source port, if there is one.
    pub(crate) source_port_at: Option<usize>,
    /// The destination port, if there is one.
    pub(crate) destination_port_at: Option<usize>,
    /// The transport header's checksum.
    pub(crate) checksum: Range<usize>,
    /// Whether that covers the addresses.
    pub(crate) has_pseudo_header: bool,
}

/// The fields of a packet that can be translated.
pub(crate) fn fields<A: Place>(headers: &Headers<A>) -> Fields {
    let is_ipv6 = A::FAMILY == 1;
    let (source, destination, checksum, has_pseudo_header) = match headers.transport.kind {
        Kind::Tcp => (Some(0), Some(2), 16..18, true),
        Kind::Udp => (Some(0), Some(2), 6..8, true),
        Kind::Sctp => (Some(0), Some(2), 8..12, false),
        Kind::EchoRequest => (Some(4), None, 2..4, is_ipv6),
        Kind::EchoReply => (None, Some(4), 2..4, is_ipv6),
        Kind::IcmpError => (None, None, 2..4, is_ipv6),
        Kind::Other | Kind::LaterFragment => (None, None, 0..0, false),
        Kind::Untranslatable(reason) => unreachable!("translated although {reason:?}"),
    };
    let [transport_at, network_at] = [headers.transport_at, headers.network_at].map(usize);
    let addresses_at = network_at + usize(A::SOURCE_AT);
    Fields {
        addresses: addresses_at..addresses_at + 2 * size_of::<A>(),
        transport_at,
        source_port_at: source.map(|at: usize| transport_at + at),
        destination_port_at: destination.map(|at: usize| transport_at + at),
        checksum: transport_at + checksum.start..transport_at + checksum.end,
        has_pseudo_header,
    }
}

pub(super) fn usize(number: u32) -> usize {
    number.try_into().expect("short")
}

/// The IPv4 header's own checksum.
pub(super) fn header_checksum<A: Place>(network_at: usize) -> Range<usize> {
    A::CHECKSUM_AT.map_or(0..0, |at| network_at + usize(at)..network_at + usize(at) + 2)
}

/// Nothing changes but addresses, ports and checksums, and a checksum is as right or as wrong as it was.
pub(super) fn check_bytes<A: Place>(meeting: &Meeting<'_, A>, headers: &Headers<A>) {
    let fields = fields(headers);
    let ports = [fields.source_port_at, fields.destination_port_at].into_iter().flatten().map(|at| at..at + 2);
    let others = [fields.addresses.clone(), header_checksum::<A>(usize(headers.network_at)), fields.checksum.clone()];
    check_only(meeting, &others.into_iter().chain(ports).flatten().collect());
    check_sums(meeting, headers, &fields);
}

pub(super) fn check_only<A>(meeting: &Meeting<'_, A>, rewritten: &HashSet<usize>) {
    assert_eq!(meeting.before.len(), meeting.after.len());
    for (offset, (old, new)) in meeting.before.iter().zip(meeting.after).enumerate() {
        assert!(old == new || rewritten.contains(&offset), "byte {offset} is not the NAT's to change");
    }
}

pub(super) fn check_sums<A: Place>(meeting: &Meeting<'_, A>, headers: &Headers<A>, fields: &Fields) {
    let (network_at, end_at) = (usize(headers.network_at), usize(headers.end_at));
    if A::CHECKSUM_AT.is_some() {
        let header = |frame: &[u8]| residue(&frame[network_at..fields.addresses.end]);
        assert_eq!(header(meeting.before), header(meeting.after), "IP checksum");
    }
    let segment = |frame: &[u8]| frame[fields.transport_at..end_at].to_vec();
    let (before, after) = (segment(meeting.before), segment(meeting.after));
    if headers.transport.kind == Kind::Sctp {
        assert_eq!(crc_error(&before), crc_error(&after), "SCTP checksum");
    } else if !fields.checksum.is_empty() {
        let has_checksum =
            |frame: &[u8]| headers.transport.kind != Kind::Udp || frame[fields.checksum.clone()] != [0; 2];
        assert_eq!(has_checksum(meeting.before), has_checksum(meeting.after), "a UDP checksum neither goes nor comes");
        let pseudo =
            |frame: &[u8]| if fields.has_pseudo_header { residue(&frame[fields.addresses.clone()]) } else { 0 };
        let sums = (pseudo(meeting.before) + residue(&before), pseudo(meeting.after) + residue(&after));
        assert!(!has_checksum(meeting.before) || sums.0 % 0xffff == sums.1 % 0xffff, "transport checksum");
    }
}

/// The one's-complement sum of bytes, from its definition.
pub(crate) fn residue(bytes: &[u8]) -> u64 {
    let word = |pair: &[u8]| u64::from(pair[0]) * 256 + u64::from(pair.get(1).copied().unwrap_or(0));
    bytes.chunks(2).map(word).sum::<u64>() % 0xffff
}

/// By how much an SCTP checksum is wrong; a missing one stays.
fn crc_error(segment: &[u8]) -> Option<u32> {
    let stored = <[u8; 4]>::try_from(&segment[8..12]).expect("four bytes");
    (stored != [0; 4]).then(|| crc32c(segment) ^ u32::from_le_bytes(stored))
}

/// The `CRC32c` of an SCTP packet, bit by bit (RFC 9260 appendix A).
pub(crate) fn crc32c(segment: &[u8]) -> u32 {
    let bytes = segment.iter().enumerate().map(|(at, byte)| if (8..12).contains(&at) { 0 } else { *byte });
    !bytes.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 })
    })
}
