//! Frames beside what the parser is to make of them.

mod corpus;
mod extension_headers;

use crate::packets::{Content, Ip, LINK, framed};
use netfwd_common::{
    abi::{Endpoint, Protocol, Reason, Side, Tuple, V4, V6},
    parse::{self, Chunk, Family, Fragmentation, Headers, Kind, TcpFlags},
};

const TCP: Content = Content::Tcp(0x12, 0);

for_both_families! {
    ports_and_flags_are_read,
    other_protocols_have_their_addresses_alone,
    an_echo_identifier_is_the_requesters_port,
    only_what_opens_a_connection_says_so,
    other_icmp_is_unsupported,
    protocols_that_bear_no_other_address_are_unsupported,
    a_frame_cut_anywhere_is_never_read_past_its_end,
    a_packet_that_ends_within_its_transport_header_is_truncated,
    a_length_of_zero_means_all_there_is,
    padding_behind_the_packet_does_not_matter,
    without_a_link_layer_header_the_version_tells_the_family,
    a_tuple_is_written_as_it_is_returned,
    a_first_fragment_is_parsed_like_a_whole_packet,
    a_later_fragment_has_no_ports,
    a_fragment_beyond_any_datagram_is_refused,
    a_quoted_packet_may_be_cut_off,
}

#[cfg(test)]
mod generic {
    use super::*;

    pub(crate) fn ports_and_flags_are_read<A: Ip>() {
        for options in [0, 3, 10] {
            let headers = parsed::<A>(&frame_with::<A>(Content::Tcp(0x13, options), options));
            assert_eq!(headers.transport.kind, Kind::Tcp);
            assert_eq!(headers.transport.flags, TcpFlags(TcpFlags::SYN | TcpFlags::ACK | TcpFlags::FIN));
            assert_eq!(ends(&headers), (A::ENDS[0], A::ENDS[1]));
        }
        for content in [Content::Udp, Content::BareUdp] {
            let headers = parsed::<A>(&frame::<A>(content));
            assert_eq!(headers.transport.kind, Kind::Udp);
            assert_eq!(ends(&headers), (A::ENDS[0], A::ENDS[1]));
        }
        let headers = parsed::<A>(&frame::<A>(Content::Sctp(2)));
        assert_eq!((headers.transport.kind, headers.transport.chunk), (Kind::Sctp, Chunk::INIT_ACK));
        assert_eq!(ends(&headers), (A::ENDS[0], A::ENDS[1]));
    }

    pub(crate) fn other_protocols_have_their_addresses_alone<A: Ip>() {
        for number in [2, 4, 41, 47, 50, 59, 89, 112, 253] {
            let headers = parsed::<A>(&frame_of::<A>(number, &[]));
            assert_eq!((headers.transport.kind, headers.transport.protocol.number()), (Kind::Other, number));
            assert_eq!(ends(&headers), (without_port(A::ENDS[0]), without_port(A::ENDS[1])));
        }
    }

    pub(crate) fn an_echo_identifier_is_the_requesters_port<A: Ip>() {
        let request = parsed::<A>(&frame::<A>(Content::EchoRequest));
        assert_eq!((request.transport.kind, request.transport.protocol), (Kind::EchoRequest, A::ICMP));
        assert_eq!(ends(&request), (A::ENDS[0], without_port(A::ENDS[1])));
        let reply = parsed::<A>(&frame::<A>(Content::EchoReply));
        assert_eq!((reply.transport.kind, reply.transport.protocol), (Kind::EchoReply, A::ICMP));
        assert_eq!(ends(&reply), (without_port(A::ENDS[0]), A::ENDS[1]));
    }

    pub(crate) fn only_what_opens_a_connection_says_so<A: Ip>() {
        let transport = |content| parsed::<A>(&frame::<A>(content)).transport;
        for (flags, opens, midstream) in [
            (0x02, true, true),
            (0x12, false, true),
            (0x10, false, true),
            (0x11, false, true),
            (0x04, false, false),
            (0x06, false, false),
        ] {
            let transport = transport(Content::Tcp(flags, 0));
            assert_eq!((transport.opens(), transport.opens_midstream()), (opens, midstream), "{flags:#x}");
        }
        for (chunk, opens) in [(1, true), (0, false), (2, false), (6, false), (10, false)] {
            let transport = transport(Content::Sctp(chunk));
            assert_eq!((transport.opens(), transport.opens_midstream()), (opens, opens), "{chunk}");
        }
        for content in [Content::Udp, Content::EchoRequest, Content::Gre] {
            assert!(transport(content).opens() && transport(content).opens_midstream(), "{content:?}");
        }
        for content in [Content::EchoReply, Content::TimeExceeded] {
            assert!(!transport(content).opens() && !transport(content).opens_midstream(), "{content:?}");
        }
    }

    pub(crate) fn other_icmp_is_unsupported<A: Ip>() {
        let errors: &[u8] = if A::FAMILY == 0 { &[3, 4, 11, 12] } else { &[1, 2, 3, 4] };
        for (kind, code) in (0..=u8::MAX).flat_map(|kind| [(kind, 0), (kind, 1), (kind, 13)]) {
            let expected = match A::ECHO.iter().position(|echo| *echo == kind) {
                Some(0) if code == 0 => Kind::EchoRequest,
                Some(1) if code == 0 => Kind::EchoReply,
                _ if errors.contains(&kind) => Kind::IcmpError,
                _ => Kind::Untranslatable(Reason::UnsupportedIcmp),
            };
            let headers = parsed::<A>(&frame_of::<A>(A::ICMP.number(), &[kind, code, 0, 0, 0, 0, 0, 0]));
            assert_eq!(headers.transport.kind, expected, "{kind} {code}");
        }
        assert_eq!(parsed::<A>(&frame::<A>(Content::TimeExceeded)).tuple(Side::Inside), Err(Reason::Unrelated));
    }

    pub(crate) fn protocols_that_bear_no_other_address_are_unsupported<A: Ip>() {
        for number in [33, 51, 135, 136, 139, 140] {
            let headers = parsed::<A>(&frame_of::<A>(number, &[0; 40]));
            assert_eq!(headers.tuple(Side::Inside), Err(Reason::UnsupportedProtocol), "{number}");
            assert_eq!(headers.source, A::ENDS[0].address, "whose it is, is known");
        }
    }

    pub(crate) fn a_frame_cut_anywhere_is_never_read_past_its_end<A: Ip>() {
        for content in Content::ALL {
            let frame = frame_with::<A>(content, 2);
            for length in LINK..frame.len() {
                assert_eq!(parse::<A>(&frame[..length]), Err(Reason::Malformed), "{content:?} cut to {length}");
            }
            for length in 0..LINK {
                assert_eq!(parse::family(&frame[..length], 14), Family::Other);
            }
        }
    }

    pub(crate) fn a_packet_that_ends_within_its_transport_header_is_truncated<A: Ip>() {
        for (content, minimum) in [
            (Content::Tcp(2, 0), 20),
            (Content::Udp, 8),
            (Content::Sctp(1), 16),
            (Content::EchoRequest, 8),
            (Content::TimeExceeded, 8),
            (Content::Gre, 0),
        ] {
            // A length of 0 means something else in IPv6.
            for length in 1..=minimum {
                let whole = content.bytes(A::ENDS[0], A::ENDS[1], &[]);
                let mut bytes = frame_of::<A>(content.protocol::<A>(), &whole[..length]);
                let kind = parsed::<A>(&bytes).transport.kind;
                let is_truncated = kind == Kind::Untranslatable(Reason::Truncated);
                assert_eq!(is_truncated, length < minimum, "{content:?} with {length} bytes: {kind:?}");
                bytes.extend([0xaa; 40]);
                assert_eq!(parsed::<A>(&bytes).transport.kind, kind, "padding is no header");
            }
        }
    }

    pub(crate) fn a_length_of_zero_means_all_there_is<A: Ip>() {
        for content in Content::ALL {
            let whole = frame::<A>(content);
            let mut bytes = whole.clone();
            let length_at = if A::FAMILY == 0 { 16 } else { 18 };
            bytes[length_at..length_at + 2].fill(0);
            assert_eq!(parse::<A>(&bytes), parse::<A>(&whole), "{content:?}");
        }
    }

    pub(crate) fn padding_behind_the_packet_does_not_matter<A: Ip>() {
        for content in Content::ALL {
            let mut padded = frame::<A>(content);
            padded.resize(200, 0xaa);
            assert_eq!(parse::<A>(&padded), parse::<A>(&frame::<A>(content)));
        }
    }

    pub(crate) fn without_a_link_layer_header_the_version_tells_the_family<A: Ip>() {
        for content in Content::ALL {
            let with = parsed::<A>(&frame::<A>(content));
            let bytes = &frame::<A>(content)[LINK..];
            let mut without = Headers::EMPTY;
            A::parse(bytes, 0, &mut without).unwrap();
            without.network_at += 14;
            without.transport_at += 14;
            without.end_at += 14;
            assert_eq!(without, with);
            assert_eq!(parse::family(bytes, 0), [Family::V4, Family::V6][A::FAMILY]);
        }
    }

    pub(crate) fn a_tuple_is_written_as_it_is_returned<A: Ip>() {
        for content in Content::ALL {
            let headers = parsed::<A>(&frame::<A>(content));
            let untouched = Tuple::new(Protocol::UDP, Side::Binding, A::ENDS[2], A::ENDS[3]);
            let mut tuple = untouched;
            let result = headers.write_tuple(Side::Outside, &mut tuple);
            assert_eq!(result.map(|()| tuple), headers.tuple(Side::Outside));
            assert!(result.is_ok() || tuple == untouched);
        }
    }

    pub(crate) fn a_first_fragment_is_parsed_like_a_whole_packet<A: Ip>() {
        for content in Content::ALL {
            let headers = parsed::<A>(&fragment::<A>(content, 0, true));
            assert_eq!(headers.transport, parsed::<A>(&frame::<A>(content)).transport);
            assert_eq!((headers.fragment, headers.identification), (Fragmentation::First, identification::<A>()));
        }
        // RFC 1858's tiny fragment.
        let tiny = fragment_of::<A>(6, &TCP.bytes(A::ENDS[0], A::ENDS[1], &[])[..16], 0, true);
        assert_eq!(parsed::<A>(&tiny).tuple(Side::Inside), Err(Reason::Truncated));
    }

    pub(crate) fn a_later_fragment_has_no_ports<A: Ip>() {
        for (content, offset, more) in Content::ALL.map(|content| [(content, 1, true), (content, 7, false)]).concat() {
            let headers = parsed::<A>(&fragment::<A>(content, offset, more));
            assert_eq!((headers.fragment, headers.identification), (Fragmentation::Later, identification::<A>()));
            let expected = if content == Content::Gre { Kind::Other } else { Kind::LaterFragment };
            assert_eq!(headers.transport.kind, expected);
            assert_eq!(headers.transport.protocol.number(), content.protocol::<A>());
            assert_eq!((headers.transport.source_port, headers.transport.destination_port), ([0; 2], [0; 2]));
            assert_eq!(headers.source, A::ENDS[0].address);
            let reason = headers.tuple(Side::Inside).map(drop);
            assert_eq!(reason, if content == Content::Gre { Ok(()) } else { Err(Reason::Fragment) });
            assert!(headers.transport.opens() == (content == Content::Gre));
        }
    }

    pub(crate) fn a_fragment_beyond_any_datagram_is_refused<A: Ip>() {
        // The last unit of 8 bytes that IPv4's header leaves room for, and that IPv6's does.
        let last = if A::FAMILY == 0 { (65_535 - 20 - 8) / 8 } else { (65_535 - 8) / 8 };
        for (offset, length, is_refused) in
            [(last, 8, false), (last, 16, true), (8191, 8, true), (8191, 7, A::FAMILY == 0)]
        {
            let headers = parsed::<A>(&fragment_of::<A>(17, &vec![0; length], offset, false));
            let is = headers.transport.kind == Kind::Untranslatable(Reason::Fragment);
            assert_eq!(is, is_refused, "{length} bytes at {offset} * 8");
        }
    }

    pub(crate) fn a_quoted_packet_may_be_cut_off<A: Ip>() {
        for content in Content::ALL {
            let whole = frame_with::<A>(content, 3);
            let uncut = parsed::<A>(&whole);
            for length in 0..=whole.len() - LINK {
                let mut quoted = Headers::EMPTY;
                let end = u32::try_from(LINK + length).unwrap();
                let result = A::parse_quoted(whole.as_slice(), 14, end, &mut quoted);
                if end < uncut.transport_at {
                    assert_eq!(result, Err(Reason::Malformed), "{content:?} {length}");
                    continue;
                }
                assert_eq!((result, quoted.end_at), (Ok(()), end));
                let is_enough = end - uncut.transport_at >= 8 || content == Content::Gre;
                let expected = if is_enough { uncut.transport.kind } else { Kind::Untranslatable(Reason::Truncated) };
                assert_eq!(quoted.transport.kind, expected, "{content:?} {length}");
                if is_enough {
                    assert_eq!(quoted.transport.source_port, uncut.transport.source_port);
                    assert_eq!(quoted.transport.destination_port, uncut.transport.destination_port);
                }
            }
        }
    }
}

#[test]
fn a_broken_ipv4_header_is_malformed() {
    let whole = frame::<V4>(Content::Udp);
    let length = u16::try_from(whole.len() - LINK).unwrap();
    for version_length in 0..=u8::MAX {
        let is_too_long = u16::from(version_length & 0xf) * 4 > length;
        let is_broken = version_length >> 4 != 4 || version_length & 0xf < 5 || is_too_long;
        let result = parse::<V4>(&changed(&whole, 14, [version_length]));
        assert_eq!(result == Err(Reason::Malformed), is_broken, "{version_length:#x}");
    }
    for total_length in [1, 19, length + 1, u16::MAX] {
        let bytes = changed(&whole, 16, total_length.to_be_bytes());
        assert_eq!(parse::<V4>(&bytes), Err(Reason::Malformed), "{total_length}");
    }
}

#[test]
fn a_broken_ipv6_header_is_malformed() {
    let whole = frame::<V6>(Content::Udp);
    let length = u16::try_from(whole.len() - LINK - 40).unwrap();
    for version in (0..=u8::MAX).filter(|byte| byte >> 4 != 6) {
        assert_eq!(parse::<V6>(&changed(&whole, 14, [version])), Err(Reason::Malformed), "{version:#x}");
    }
    for payload_length in [length + 1, u16::MAX] {
        let bytes = changed(&whole, 18, payload_length.to_be_bytes());
        assert_eq!(parse::<V6>(&bytes), Err(Reason::Malformed), "{payload_length}");
    }
}

#[test]
fn dont_fragment_and_the_reserved_bit_make_no_fragment() {
    for flags in [[0x40, 0], [0x80, 0]] {
        let frame = frame::<V4>(Content::Udp);
        assert_eq!(parse::<V4>(&changed(&frame, 20, flags)), parse::<V4>(&frame));
    }
}

#[test]
fn other_ethertypes_are_of_another_family() {
    // VLAN (802.1Q, 802.1ad), ARP, IPv4 with its bytes swapped.
    for ethertype in [[0x81, 0x00], [0x88, 0xa8], [0x08, 0x06], [0x00, 0x08]] {
        let bytes = changed(&frame::<V4>(Content::Udp), 12, ethertype);
        assert_eq!(parse::family(bytes.as_slice(), 14), Family::Other, "{ethertype:?}");
    }
    assert_eq!(parse::family(frame::<V4>(Content::Udp).as_slice(), 14), Family::V4);
    assert_eq!(parse::family(frame::<V6>(Content::Udp).as_slice(), 14), Family::V6);
    assert_eq!(parse::family([].as_slice(), 0), Family::Other);
    assert_eq!(parse::family([0x50; 60].as_slice(), 0), Family::Other);
}

#[test]
fn another_familys_icmp_is_another_protocol() {
    assert_eq!(parsed::<V4>(&frame_of::<V4>(58, &[128, 0, 0, 0, 0, 0, 0, 0])).transport.kind, Kind::Other);
    assert_eq!(parsed::<V6>(&frame_of::<V6>(1, &[8, 0, 0, 0, 0, 0, 0, 0])).transport.kind, Kind::Other);
}

fn frame<A: Ip>(content: Content) -> Vec<u8> {
    frame_with::<A>(content, 0)
}

fn frame_with<A: Ip>(content: Content, options: usize) -> Vec<u8> {
    framed::<A>(&crate::packets::ip(content, [A::ENDS[0], A::ENDS[1]], options, b"netfwd!"))
}

fn frame_of<A: Ip>(protocol: u8, payload: &[u8]) -> Vec<u8> {
    framed::<A>(&A::ip(A::ENDS[0].address, A::ENDS[1].address, protocol, 0, payload))
}

/// A fragment with all of a content, wherever it claims to be, in units of 8 bytes.
fn fragment<A: Ip>(content: Content, offset: u16, more: bool) -> Vec<u8> {
    fragment_of::<A>(content.protocol::<A>(), &content.bytes(A::ENDS[0], A::ENDS[1], b"netfwd!"), offset, more)
}

fn fragment_of<A: Ip>(protocol: u8, data: &[u8], offset: u16, more: bool) -> Vec<u8> {
    let addresses = [A::ENDS[0].address, A::ENDS[1].address];
    framed::<A>(&crate::packets::fragment(addresses, protocol, data, offset, more))
}

fn identification<A: Ip>() -> [u8; 4] {
    if A::FAMILY == 0 { [0, 0, 0x12, 0x34] } else { [1, 2, 3, 4] }
}

fn changed<const N: usize>(frame: &[u8], at: usize, bytes: [u8; N]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[at..at + N].copy_from_slice(&bytes);
    frame
}

fn parse<A: Ip>(frame: &[u8]) -> Result<Headers<A>, Reason> {
    let mut headers = Headers::EMPTY;
    A::parse(frame, 14, &mut headers).map(|()| headers)
}

fn parsed<A: Ip>(frame: &[u8]) -> Headers<A> {
    parse(frame).expect("a packet whose IP header is right")
}

fn ends<A: Ip>(headers: &Headers<A>) -> (Endpoint<A>, Endpoint<A>) {
    let tuple = headers.tuple(Side::Inside).expect("a packet that can be translated");
    (tuple.source, tuple.destination)
}

fn without_port<A>(endpoint: Endpoint<A>) -> Endpoint<A> {
    Endpoint { port: [0; 2], ..endpoint }
}
