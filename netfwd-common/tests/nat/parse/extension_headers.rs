//! IPv6 extension headers.

use netfwd_common::{
    abi::{Reason, Side, V6},
    parse::{Fragmentation, Kind},
};

use super::{changed, ends, fragment, fragment_of, frame_of, parsed};
use crate::packets::{Content, Ip as _, LINK, framed};

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

/// An IPv6 packet with these extension headers of 16 bytes each.
pub(super) fn extended(chain: &[u8], content: Content) -> Vec<u8> {
    let mut payload = Vec::new();
    for next in chain[1..].iter().copied().chain([content.protocol::<V6>()]) {
        payload.extend([next, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    payload.extend(content.bytes(V6::ENDS[0], V6::ENDS[1], b"netfwd!"));
    frame_of::<V6>(chain[0], &payload)
}
