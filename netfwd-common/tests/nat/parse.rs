//! Frames beside what the parser is to make of them.

use std::{env, fs, panic, path::PathBuf};

use crate::packets::{Content, Ip, LINK, framed};
use netfwd_common::{
    abi::{Endpoint, Protocol, Reason, Side, Tuple, V4, V6},
    parse::{self, Chunk, Family, Fragmentation, Headers, Kind, TcpFlags},
};
use proptest::{collection::vec, prelude::*};

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

#[test]
fn extension_headers_are_passed_over() {
    for chain in [&[0_u8] as &[u8], &[60], &[43], &[0, 60, 43, 60], &[60; 8]] {
        let headers = parsed::<V6>(&extended(chain, Content::Udp));
        assert_eq!(headers.transport.kind, Kind::Udp, "{chain:?}");
        assert_eq!(ends(&headers), (V6::ENDS[0], V6::ENDS[1]));
        assert_eq!(usize::try_from(headers.transport_at), Ok(LINK + 40 + 16 * chain.len()));
    }
}

#[test]
fn a_chain_of_extension_headers_that_is_too_long_or_overruns_is_truncated() {
    assert_eq!(parsed::<V6>(&extended(&[60; 9], Content::Udp)).tuple(Side::Inside), Err(Reason::Truncated));
    for chain in [&[0_u8] as &[u8], &[60], &[43], &[0, 60]] {
        let whole = extended(chain, Content::Udp);
        for length in 1..16 * chain.len() {
            let mut cut = whole[..LINK + 40 + length].to_vec();
            cut[18..20].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
            let headers = parsed::<V6>(&cut);
            assert_eq!(headers.tuple(Side::Inside), Err(Reason::Truncated), "{chain:?} {length}");
            assert_eq!(headers.source, V6::ENDS[0].address);
        }
        // The last header claims more than there is.
        let bytes = changed(&whole, LINK + 40 + 16 * (chain.len() - 1) + 1, [0xff]);
        assert_eq!(parsed::<V6>(&bytes).tuple(Side::Inside), Err(Reason::Truncated), "{chain:?}");
    }
}

#[test]
fn a_packet_on_its_way_through_a_routing_header_is_unsupported() {
    let bytes = changed(&extended(&[43], Content::Udp), LINK + 40 + 3, [1]);
    assert_eq!(parsed::<V6>(&bytes).tuple(Side::Inside), Err(Reason::UnsupportedProtocol));
}

#[test]
fn no_next_header_is_another_protocol() {
    let headers = parsed::<V6>(&frame_of::<V6>(59, &[0; 8]));
    assert_eq!((headers.transport.kind, headers.transport.protocol.number()), (Kind::Other, 59));
}

#[test]
fn a_lone_fragment_is_a_whole_packet() {
    let headers = parsed::<V6>(&fragment::<V6>(Content::Udp, 0, false));
    assert_eq!((headers.fragment, headers.transport.kind), (Fragmentation::Whole, Kind::Udp));
}

#[test]
fn a_fragment_of_a_fragment_is_refused() {
    let inner = [&[17, 0, 0, 1, 0, 0, 0, 9][..], &Content::Udp.bytes(V6::ENDS[0], V6::ENDS[1], &[1; 16])].concat();
    let headers = parsed::<V6>(&fragment_of::<V6>(44, &inner, 0, true));
    assert_eq!(headers.tuple(Side::Inside), Err(Reason::Fragment));
    assert_ne!(headers.transport.kind, Kind::LaterFragment);
}

#[test]
fn a_later_fragment_that_goes_on_with_an_extension_header_is_of_an_unknown_protocol() {
    let headers = parsed::<V6>(&fragment_of::<V6>(60, &[0; 16], 5, true));
    assert_eq!((headers.transport.kind, headers.fragment), (Kind::LaterFragment, Fragmentation::Later));
}

#[test]
fn a_big_packet_with_its_jumbo_option_ends_with_the_buffer() {
    // What kernels since 5.19 put before a GSO packet of more than 64 KiB.
    let udp = Content::Udp.bytes(V6::ENDS[0], V6::ENDS[1], &[]);
    let jumbo = [&[17, 0, 0xc2, 4, 0, 1, 0x11, 0x70][..], &udp, &vec![7; 70_000]].concat();
    let mut ip = V6::ip(V6::ENDS[0].address, V6::ENDS[1].address, 0, 0, &[]);
    ip.extend(jumbo);
    let headers = parsed::<V6>(&framed::<V6>(&ip));
    assert_eq!((headers.transport.kind, headers.transport_at), (Kind::Udp, 14 + 40 + 8));
    assert_eq!(usize::try_from(headers.end_at), Ok(LINK + ip.len()));
}

/// Every input that the fuzzer starts from or has ever failed on, replayed without a fuzzer.
#[test]
fn every_input_of_the_corpus_keeps_the_laws() {
    for entry in fs::read_dir(corpus()).expect("the corpus is part of the repository") {
        let path = entry.expect("a readable corpus").path();
        let input = fs::read(&path).expect("a readable input");
        assert!(panic::catch_unwind(|| crate::parser::check(&input)).is_ok(), "{} breaks a law", path.display());
    }
}

/// `BLESS=1` writes the seeds, after one was added.
#[test]
fn the_corpus_holds_every_seed() {
    for (name, seed) in seeds() {
        let path = corpus().join(name);
        if env::var_os("BLESS").is_some() {
            fs::write(&path, &seed).unwrap();
        }
        assert_eq!(fs::read(&path).unwrap_or_default(), seed, "{} is not the seed; BLESS=1 writes it", path.display());
    }
}

proptest! {
    #![proptest_config(crate::packets::config())]

    #[test]
    fn damaged_packets_keep_the_laws(
        seed: prop::sample::Index,
        wrong in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let seeds = seeds();
        let mut bytes = seeds[seed.index(seeds.len())].1.clone();
        for (at, byte) in wrong {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        crate::parser::check(&bytes);
    }

    #[test]
    fn arbitrary_bytes_keep_the_laws(version in prop::sample::select(&[0x45_u8, 0x46, 0x4f, 0x60]), mut bytes in vec(any::<u8>(), 1..120)) {
        bytes[0] = version;
        crate::parser::check(&bytes);
        crate::parser::check(&framed::<V4>(&bytes));
        crate::parser::check(&framed::<V6>(&bytes));
    }
}

/// One input for each thing that the parser knows, by name.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = [seeds_of::<V4>("v4"), seeds_of::<V6>("v6")].concat();
    let mut add = |name: &str, bytes| seeds.push((name.to_owned(), bytes));
    add("v4-no-link-header", frame::<V4>(Content::Udp)[LINK..].to_vec());
    add("v4-short-header", changed(&frame::<V4>(Content::Udp), 14, [0x44]));
    add("v4-long-total-length", changed(&frame::<V4>(Content::Udp), 16, [0xff]));
    add("v6-extensions", extended(&[0, 60, 43, 60], Content::Udp));
    add("v6-too-many-extensions", extended(&[60; 9], Content::Udp));
    add("v6-long-extension", changed(&extended(&[60], Content::Udp), LINK + 41, [0xff]));
    add("vlan", changed(&frame::<V4>(Content::Udp), 12, [0x81]));
    seeds
}

fn seeds_of<A: Ip>(family: &str) -> Vec<(String, Vec<u8>)> {
    let quote = |content| {
        let ip = crate::packets::ip::<A>(content, [A::ENDS[1], A::ENDS[0]], 0, b"netfwd!");
        framed::<A>(&crate::packets::ip(Content::TimeExceeded, [A::ENDS[2], A::ENDS[1]], 0, &ip))
    };
    let syn = || {
        let mut segment = Content::Tcp(2, 1).bytes(A::ENDS[0], A::ENDS[1], &[]);
        segment[20..24].copy_from_slice(&[2, 4, 5, 0xb4]);
        frame_of::<A>(6, &segment)
    };
    [
        ("tcp", frame_with::<A>(Content::Tcp(0x10, 10), 10)),
        ("syn", syn()),
        ("udp", frame::<A>(Content::Udp)),
        ("udp-without-checksum", frame::<A>(Content::BareUdp)),
        ("sctp", frame::<A>(Content::Sctp(1))),
        ("gre", frame::<A>(Content::Gre)),
        ("ah", frame_of::<A>(51, &[0; 24])),
        ("echo-request", frame::<A>(Content::EchoRequest)),
        ("echo-reply", frame::<A>(Content::EchoReply)),
        ("first-fragment", fragment::<A>(Content::Udp, 0, true)),
        ("later-fragment", fragment::<A>(Content::Udp, 1, false)),
        ("long-fragment", fragment::<A>(Content::Udp, 8191, false)),
        ("quoted-udp", quote(Content::Udp)),
        ("quoted-tcp", quote(Content::Tcp(0x10, 0))),
        ("quoted-sctp", quote(Content::Sctp(0))),
        ("quoted-echo", quote(Content::EchoRequest)),
        ("quoted-error", quote(Content::TimeExceeded)),
        ("truncated", frame_of::<A>(6, &[0; 19])),
    ]
    .map(|(name, bytes)| (format!("{family}-{name}"), bytes))
    .to_vec()
}

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/parse")
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

/// An IPv6 packet with these extension headers of 16 bytes each.
fn extended(chain: &[u8], content: Content) -> Vec<u8> {
    let mut payload = Vec::new();
    for next in chain[1..].iter().copied().chain([content.protocol::<V6>()]) {
        payload.extend([next, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    payload.extend(content.bytes(V6::ENDS[0], V6::ENDS[1], b"netfwd!"));
    frame_of::<V6>(chain[0], &payload)
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
