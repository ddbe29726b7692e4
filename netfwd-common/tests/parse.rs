//! Frames beside what the parser is to make of them.

#[cfg(test)]
#[path = "support/frame.rs"]
mod frame;

use frame::{ETHERNET, Frame, Kind};
use netfwd_common::{
    abi::{Endpoint, Reason, Side, V4},
    parse::{self, Headers, TcpFlags},
};

const SOURCE: Endpoint<V4> = Endpoint::new([192, 0, 2, 1], 40000);
const DESTINATION: Endpoint<V4> = Endpoint::new([198, 51, 100, 7], 80);
const UDP: Kind = Kind::Udp { has_checksum: true };
const KINDS: [Kind; 6] =
    [Kind::Tcp(0x12), UDP, Kind::Udp { has_checksum: false }, Kind::EchoRequest, Kind::EchoReply, Kind::TimeExceeded];

#[test]
fn tcp_gives_its_ports_and_flags_behind_any_options() {
    for (ip_options, tcp_options) in [(0, 0), (1, 0), (10, 0), (0, 10), (10, 10)] {
        let frame = Frame { ip_options, tcp_options, ..Frame::new(Kind::Tcp(0x13), SOURCE, DESTINATION) };
        let headers = parse(&frame.bytes()).unwrap();
        assert_eq!(headers.transport.kind, parse::Kind::Tcp);
        assert_eq!(headers.transport.flags, TcpFlags(TcpFlags::SYN | TcpFlags::ACK | TcpFlags::FIN));
        assert_eq!(endpoints(&headers), (SOURCE, DESTINATION));
        assert_eq!(usize::try_from(headers.network_at), Ok(ETHERNET));
        assert_eq!(usize::try_from(headers.transport_at), Ok(frame.transport_at()));
    }
}

#[test]
fn udp_gives_its_ports_with_a_checksum_or_without() {
    for has_checksum in [true, false] {
        let headers = parse(&Frame::new(Kind::Udp { has_checksum }, SOURCE, DESTINATION).bytes()).unwrap();
        assert_eq!(headers.transport.kind, parse::Kind::Udp);
        assert_eq!(endpoints(&headers), (SOURCE, DESTINATION));
    }
}

#[test]
fn an_echo_identifier_is_the_requesters_port() {
    let request = parse(&frame(Kind::EchoRequest)).unwrap();
    assert_eq!(request.transport.kind, parse::Kind::EchoRequest);
    assert_eq!(endpoints(&request), (SOURCE, Endpoint { port: [0; 2], ..DESTINATION }));
    let reply = parse(&frame(Kind::EchoReply)).unwrap();
    assert_eq!(reply.transport.kind, parse::Kind::EchoReply);
    assert_eq!(endpoints(&reply), (Endpoint { port: [0; 2], ..SOURCE }, DESTINATION));
}

#[test]
fn only_what_opens_a_connection_says_so() {
    let opens = |kind| parse(&frame(kind)).unwrap().transport.opens();
    for (flags, expected) in [(0x02, true), (0x12, false), (0x10, false), (0x11, false), (0x04, false), (0x06, false)] {
        assert_eq!(opens(Kind::Tcp(flags)), expected, "{flags:#x}");
    }
    assert!(opens(UDP));
    assert!(opens(Kind::EchoRequest));
    assert!(!opens(Kind::EchoReply));
    assert!(!opens(Kind::TimeExceeded));
}

#[test]
fn other_icmp_is_unsupported() {
    assert_eq!(reason(&frame(Kind::TimeExceeded)), Err(Reason::UnsupportedIcmp));
    for (kind, code) in [(8, 1), (0, 1), (3, 3), (13, 0), (255, 255)] {
        let mut bytes = frame(Kind::EchoRequest);
        bytes[34..36].copy_from_slice(&[kind, code]);
        assert_eq!(reason(&bytes), Err(Reason::UnsupportedIcmp), "{kind} {code}");
    }
}

#[test]
fn other_protocols_are_unsupported() {
    for protocol in (0..=u8::MAX).filter(|number| ![1, 6, 17].contains(number)) {
        let bytes = changed(UDP, 23, [protocol]);
        assert_eq!(reason(&bytes), Err(Reason::UnsupportedProtocol), "{protocol}");
        assert_eq!(parse(&bytes).map(|headers| headers.source), Ok(SOURCE.address));
    }
}

#[test]
fn every_fragment_is_one_whatever_it_carries() {
    for kind in KINDS {
        for (field, expected) in [
            ([0x20, 0x00], Err(Reason::Fragment)), // first
            ([0x20, 0xb9], Err(Reason::Fragment)), // middle
            ([0x00, 0x01], Err(Reason::Fragment)), // last
            ([0x1f, 0xff], Err(Reason::Fragment)), // last, as far as it goes
            ([0x40, 0x00], reason(&frame(kind))),  // don't fragment
            ([0x80, 0x00], reason(&frame(kind))),  // reserved (RFC 3514)
        ] {
            assert_eq!(reason(&changed(kind, 20, field)), expected, "{kind:?} {field:?}");
        }
    }
}

#[test]
fn a_frame_cut_anywhere_is_never_read_past_its_end() {
    for kind in KINDS {
        let frame = Frame { ip_options: 2, tcp_options: 2, ..Frame::new(kind, SOURCE, DESTINATION) }.bytes();
        for length in 0..frame.len() {
            let expected = if length < ETHERNET { Reason::OtherFamily } else { Reason::Malformed };
            assert_eq!(parse(&frame[..length]), Err(expected), "{kind:?} cut to {length}");
        }
    }
}

#[test]
fn a_packet_that_ends_within_its_transport_header_is_truncated() {
    for (kind, minimum) in [(Kind::Tcp(2), 20), (UDP, 8), (Kind::EchoRequest, 8)] {
        for length in 0..=minimum {
            let total_length = u16::try_from(20 + length).unwrap().to_be_bytes();
            let bytes = changed(kind, 16, total_length);
            let expected = if length < minimum { Err(Reason::Truncated) } else { Ok(()) };
            assert_eq!(reason(&bytes), expected, "{kind:?} with {length} bytes");
            assert_eq!(reason(&bytes[..34 + length]), expected, "{kind:?} with {length} bytes and no padding");
        }
    }
}

#[test]
fn a_total_length_of_zero_means_all_there_is() {
    for kind in KINDS {
        let bytes = changed(kind, 16, [0, 0]);
        assert_eq!(parse(&bytes), parse(&frame(kind)), "{kind:?}");
        assert_eq!(reason(&bytes[..35]).map_err(|reason| reason == Reason::Truncated), Err(true), "{kind:?}");
    }
}

#[test]
fn a_broken_ip_header_is_malformed() {
    let whole = frame(UDP);
    let length = u16::try_from(whole.len() - ETHERNET).unwrap();
    for version_length in (0..=u8::MAX).filter(|byte| ![0x45, 0x46, 0x47].contains(byte)) {
        let is_too_long = version_length >> 4 == 4 && u16::from(version_length & 0xf) * 4 > length;
        if version_length >> 4 != 4 || version_length & 0xf < 5 || is_too_long {
            assert_eq!(parse(&changed(UDP, 14, [version_length])), Err(Reason::Malformed), "{version_length:#x}");
        }
    }
    for total_length in [1, 19, length + 1, u16::MAX] {
        let bytes = changed(UDP, 16, total_length.to_be_bytes());
        assert_eq!(parse(&bytes), Err(Reason::Malformed), "{total_length}");
    }
}

#[test]
fn padding_behind_the_packet_does_not_matter() {
    for kind in KINDS {
        let mut padded = frame(kind);
        padded.resize(100, 0xaa);
        assert_eq!(parse(&padded), parse(&frame(kind)));
    }
}

#[test]
fn other_ethertypes_are_of_another_family() {
    // VLAN (802.1Q, 802.1ad), ARP, IPv6, IPv4 with its bytes swapped.
    for ethertype in [[0x81, 0x00], [0x88, 0xa8], [0x08, 0x06], [0x86, 0xdd], [0x00, 0x08]] {
        assert_eq!(parse(&changed(UDP, 12, ethertype)), Err(Reason::OtherFamily), "{ethertype:?}");
    }
}

#[test]
fn without_a_link_layer_header_the_version_tells_the_family() {
    for kind in KINDS {
        let with = parse(&frame(kind)).unwrap();
        let without = parse::ipv4(&frame(kind)[ETHERNET..], 0).unwrap();
        assert_eq!((without.network_at, without.transport_at), (0, with.transport_at - 14));
        assert_eq!(
            (without.source, without.destination, without.transport),
            (with.source, with.destination, with.transport)
        );
    }
    assert_eq!(parse::ipv4([0x60; 60].as_slice(), 0), Err(Reason::OtherFamily));
    assert_eq!(parse::ipv4([].as_slice(), 0), Err(Reason::OtherFamily));
    assert_eq!(parse::ipv4([0x45; 19].as_slice(), 0), Err(Reason::Malformed));
}

fn frame(kind: Kind) -> Vec<u8> {
    Frame::new(kind, SOURCE, DESTINATION).bytes()
}

fn changed<const N: usize>(kind: Kind, at: usize, bytes: [u8; N]) -> Vec<u8> {
    let mut frame = frame(kind);
    frame[at..at + N].copy_from_slice(&bytes);
    frame
}

fn parse(frame: &[u8]) -> Result<Headers<V4>, Reason> {
    parse::ipv4(frame, 14)
}

/// Why a well-formed packet cannot be translated, if so.
fn reason(frame: &[u8]) -> Result<(), Reason> {
    parse(frame)?.transport.protocol().map(drop)
}

fn endpoints(headers: &Headers<V4>) -> (Endpoint<V4>, Endpoint<V4>) {
    let tuple = headers.tuple(Side::Inside).expect("a packet that can be translated");
    (tuple.source, tuple.destination)
}
