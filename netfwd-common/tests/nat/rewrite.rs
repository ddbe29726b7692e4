//! What is rewritten is, byte for byte, what somebody with the new endpoints would have sent.

use crate::packets::{Content, Ip, LINK, folded, fragment, framed, ip, sum};
use netfwd_common::{
    abi::{Endpoint, Protocol, Reason, Side, Tuple, V4, V6},
    answer,
    packet::Packet as _,
    parse::{Headers, Kind},
    quote, rewrite,
};
use proptest::{collection::vec, prelude::*, sample::select};

/// Runs a generic test for both families.
macro_rules! both {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[test]
            fn ipv4() {
                super::generic::$name::<4>();
            }

            #[test]
            fn ipv6() {
                super::generic::$name::<16>();
            }
        }
    )*};
}

both! {
    a_packet_is_as_if_sent_from_its_new_endpoints,
    a_packet_with_the_same_endpoints_is_left_alone,
    fragments_are_as_if_sent_from_their_new_endpoints,
    a_first_fragment_of_sctp_cannot_change_its_ports,
    what_is_untranslatable_is_not_rewritten,
    a_quote_is_as_if_its_packet_had_the_new_endpoints,
    a_quoted_fragment_gets_the_new_addresses,
    an_error_about_an_error_is_unsupported,
    a_quote_that_is_no_packet_is_unrelated,
    a_refusal_quotes_the_packet_to_its_sender,
    nobody_is_told_of_what_must_not_be_answered,
}

#[cfg(test)]
mod generic {
    use super::*;

    pub(crate) fn a_packet_is_as_if_sent_from_its_new_endpoints<const N: usize>()
    where
        [u8; N]: Ip,
    {
        for content in Content::ALL {
            for (options, payload) in [(0, &b""[..]), (3, b"odd"), (10, &[0xff; 1000])] {
                let mut frame = framed::<[u8; N]>(&ip::<[u8; N]>(content, before(), options, payload));
                let headers = parsed::<[u8; N]>(&frame);
                assert_eq!(rewrite::apply(frame.as_mut_slice(), &headers, &tuple(after())), Some(()));
                assert_eq!(frame, framed::<[u8; N]>(&ip::<[u8; N]>(content, after(), options, payload)), "{content:?}");
            }
        }
    }

    pub(crate) fn a_packet_with_the_same_endpoints_is_left_alone<const N: usize>()
    where
        [u8; N]: Ip,
    {
        for content in Content::ALL {
            let mut frame = framed::<[u8; N]>(&ip::<[u8; N]>(content, before(), 0, b"netfwd!"));
            *frame.last_mut().unwrap() ^= 1;
            let whole = frame.clone();
            let headers = parsed::<[u8; N]>(&frame);
            let Ok(same) = headers.tuple(Side::Inside) else { continue };
            rewrite::apply(frame.as_mut_slice(), &headers, &same).unwrap();
            assert_eq!(frame, whole, "{content:?}");
        }
    }

    pub(crate) fn fragments_are_as_if_sent_from_their_new_endpoints<const N: usize>()
    where
        [u8; N]: Ip,
    {
        for content in Content::ALL {
            // The checksum is the whole datagram's, wherever it is.
            let [old, new] = [before::<[u8; N]>(), after()].map(|ends| content.bytes(ends[0], ends[1], &[7; 64]));
            for (offset, more, range) in [(0, true, 0..32), (4, true, 32..40), (5, false, 40..old.len())] {
                if matches!(content, Content::Sctp(_) | Content::BareSctp) && offset == 0 {
                    continue;
                }
                let of = |ends: [Endpoint<[u8; N]>; 2], data: &[u8]| {
                    let addresses = ends.map(|end| end.address);
                    framed::<[u8; N]>(&fragment(addresses, content.protocol::<[u8; N]>(), data, offset, more))
                };
                let mut frame = of(before(), &old[range.clone()]);
                let headers = parsed::<[u8; N]>(&frame);
                assert_eq!(rewrite::apply(frame.as_mut_slice(), &headers, &tuple(after())), Some(()));
                assert_eq!(frame, of(after(), &new[range]), "{content:?} at {offset}");
            }
        }
    }

    pub(crate) fn a_first_fragment_of_sctp_cannot_change_its_ports<const N: usize>()
    where
        [u8; N]: Ip,
    {
        let segment = Content::Sctp(0).bytes::<[u8; N]>(before()[0], before()[1], &[7; 64]);
        let of = |ends: [Endpoint<[u8; N]>; 2]| {
            framed::<[u8; N]>(&fragment(ends.map(|end| end.address), 132, &segment[..32], 0, true))
        };
        let mut frame = of(before());
        let headers = parsed::<[u8; N]>(&frame);
        assert_eq!(rewrite::apply(frame.clone().as_mut_slice(), &headers, &tuple(after())), None);
        let mut same_ports = after::<[u8; N]>();
        same_ports[0].port = before::<[u8; N]>()[0].port;
        same_ports[1].port = before::<[u8; N]>()[1].port;
        assert_eq!(rewrite::apply(frame.as_mut_slice(), &headers, &tuple(same_ports)), Some(()));
        assert_eq!(frame, of(after()));
    }

    pub(crate) fn what_is_untranslatable_is_not_rewritten<const N: usize>()
    where
        [u8; N]: Ip,
    {
        let mut frame = framed::<[u8; N]>(&ip::<[u8; N]>(Content::Udp, before(), 0, b"netfwd!"));
        let mut headers = parsed::<[u8; N]>(&frame);
        headers.transport.kind = Kind::Untranslatable(Reason::Truncated);
        let whole = frame.clone();
        assert_eq!(rewrite::apply(frame.as_mut_slice(), &headers, &tuple(after())), None);
        assert_eq!(frame, whole);
    }

    pub(crate) fn a_quote_is_as_if_its_packet_had_the_new_endpoints<const N: usize>()
    where
        [u8; N]: Ip,
    {
        for content in Content::ALL.into_iter().filter(|content| *content != Content::TimeExceeded) {
            for (options, payload) in [(0, &b"odd"[..]), (7, &[0xff; 40])] {
                let [old, new] = [before(), after()].map(|ends| ip::<[u8; N]>(content, ends, options, payload));
                let header = old.len() - content.bytes::<[u8; N]>(before()[0], before()[1], payload).len();
                let least = if content == Content::Gre { header } else { header + 8 };
                for length in least..=old.len() {
                    let (inside, outside) = (routers(0), routers(1));
                    let mut frame = error::<[u8; N]>(inside, options, &old[..length]);
                    // Link-layer padding, which no length may count.
                    frame.extend([0xaa; 30]);
                    let outer = parsed::<[u8; N]>(&frame);
                    let mut inner = Headers::EMPTY;
                    assert_eq!(outer.transport.kind, Kind::IcmpError);
                    assert_eq!(quote::parse(frame.as_slice(), &outer, &mut inner), Ok(()));
                    let quoted = inner.tuple(Side::Outside).expect("enough is quoted");
                    assert_eq!(quoted.source.address, before::<[u8; N]>()[0].address);
                    quote::apply(frame.as_mut_slice(), &outer, &inner, &tuple(after())).unwrap();
                    rewrite::addresses(frame.as_mut_slice(), &outer, outside[0], outside[1]).unwrap();
                    let mut quoted = new[..length].to_vec();
                    let checksum = content
                        .checksum_at()
                        .map(|at| header + at..header + at + if matches!(content, Content::Sctp(_)) { 4 } else { 2 });
                    if let Some(cut) = checksum.clone().filter(|bytes| bytes.contains(&length)) {
                        quoted[cut.start..].copy_from_slice(&old[cut.start..length]);
                    }
                    if let Some(crc) = checksum.filter(|bytes| bytes.len() == 4 && bytes.end <= length) {
                        quoted[crc.clone()].copy_from_slice(&old[crc]);
                    }
                    let mut expected = error::<[u8; N]>(outside, options, &quoted);
                    expected.extend([0xaa; 30]);
                    assert_eq!(frame, expected, "{content:?}, {length} bytes quoted");
                }
            }
        }
    }

    pub(crate) fn a_quoted_fragment_gets_the_new_addresses<const N: usize>()
    where
        [u8; N]: Ip,
    {
        let of = |ends: [Endpoint<[u8; N]>; 2]| fragment(ends.map(|end| end.address), 17, &[9; 64], 3, true);
        let mut frame = error::<[u8; N]>(routers(0), 0, &of(before()));
        let outer = parsed::<[u8; N]>(&frame);
        let mut inner = Headers::EMPTY;
        quote::parse(frame.as_slice(), &outer, &mut inner).unwrap();
        assert_eq!(inner.transport.kind, Kind::LaterFragment);
        quote::apply(frame.as_mut_slice(), &outer, &inner, &tuple(after())).unwrap();
        assert_eq!(frame, error::<[u8; N]>(routers(0), 0, &of(after())));
    }

    pub(crate) fn an_error_about_an_error_is_unsupported<const N: usize>()
    where
        [u8; N]: Ip,
    {
        let inner = ip::<[u8; N]>(Content::TimeExceeded, before(), 0, &ip::<[u8; N]>(Content::Udp, after(), 0, b""));
        let frame = error::<[u8; N]>(routers(0), 0, &inner);
        let mut inner = Headers::EMPTY;
        assert_eq!(quote::parse(frame.as_slice(), &parsed::<[u8; N]>(&frame), &mut inner), Ok(()));
        assert_eq!(inner.tuple(Side::Inside), Err(Reason::UnsupportedIcmp));
        let (mut changed, outer) = (frame.clone(), parsed::<[u8; N]>(&frame));
        assert_eq!(quote::apply(changed.as_mut_slice(), &outer, &inner, &tuple(after())), None);
        assert_eq!(changed, frame);
    }

    pub(crate) fn a_quote_that_is_no_packet_is_unrelated<const N: usize>()
    where
        [u8; N]: Ip,
    {
        let whole = ip::<[u8; N]>(Content::Udp, before(), 0, b"netfwd!");
        let header = if N == 4 { 20 } else { 40 };
        let other_version = [&[whole[0] ^ 0xf0], &whole[1..]].concat();
        for quoted in (0..header).map(|length| &whole[..length]).chain([other_version.as_slice()]) {
            let frame = error::<[u8; N]>(routers(0), 0, quoted);
            let mut inner = Headers::EMPTY;
            let result = quote::parse(frame.as_slice(), &parsed::<[u8; N]>(&frame), &mut inner);
            assert_eq!(result, Err(Reason::Unrelated), "{} bytes", quoted.len());
        }
    }

    pub(crate) fn a_refusal_quotes_the_packet_to_its_sender<const N: usize>()
    where
        [u8; N]: answer::Answer + Ip,
    {
        let header = if N == 4 { 20 } else { 40 };
        for (content, payload) in [(Content::Tcp(2, 5), &b""[..]), (Content::Udp, b""), (Content::Udp, &[3; 1400])] {
            let whole = framed::<[u8; N]>(&ip::<[u8; N]>(content, before(), 0, payload));
            let mut frame = whole.clone();
            let headers = parsed::<[u8; N]>(&frame);
            let host = routers::<[u8; N]>(1)[0];
            answer::prohibited(&mut frame, &headers, host).unwrap();
            assert_eq!(frame[..LINK], whole[..LINK]);
            assert_eq!(frame[LINK + header + 8..], whole[LINK..][..header + 8], "the packet is quoted");
            let answer = parsed::<[u8; N]>(&frame);
            assert_eq!((answer.source, answer.destination), (host, before::<[u8; N]>()[0].address));
            assert_eq!(usize::try_from(answer.end_at), Ok(frame.len()));
            assert_eq!(answer.transport.kind, Kind::IcmpError);
            let message = &frame[LINK + header..];
            assert_eq!(message[..2], if N == 4 { [3, 13] } else { [1, 1] });
            assert_eq!(message[4..8], [0; 4]);
            let pseudo = <[u8; N]>::pseudo_header(answer.source, answer.destination, 58, message.len());
            assert_eq!(folded(sum(message) + if N == 4 { 0 } else { pseudo }), 0xffff);
            assert!(N != 4 || folded(sum(&frame[LINK..][..20])) == 0xffff);
            let mut inner = Headers::EMPTY;
            quote::parse(frame.as_slice(), &answer, &mut inner).unwrap();
            assert_eq!(inner.tuple(Side::Inside), headers.tuple(Side::Inside));
        }
    }

    pub(crate) fn nobody_is_told_of_what_must_not_be_answered<const N: usize>()
    where
        [u8; N]: answer::Answer + Ip,
    {
        let headers = parsed::<[u8; N]>(&framed::<[u8; N]>(&ip::<[u8; N]>(Content::Udp, before(), 0, b"netfwd!")));
        assert!(answer::is_allowed(&headers));
        let multicast = [if N == 4 { 224 } else { 0xff }; N];
        let loopback: [u8; N] = if N == 4 { [127; N] } else { core::array::from_fn(|at| u8::from(at == 15)) };
        for address in [[0; N], multicast, loopback] {
            assert!(!answer::is_allowed(&Headers { source: address, ..headers }), "from {address:?}");
            assert!(!answer::is_allowed(&Headers { destination: address, ..headers }), "to {address:?}");
        }
        let error = parsed::<[u8; N]>(&error::<[u8; N]>(routers(0), 0, &[0; 40]));
        assert!(!answer::is_allowed(&error));
        let ends = before::<[u8; N]>().map(|end| end.address);
        let later = parsed::<[u8; N]>(&framed::<[u8; N]>(&fragment(ends, 17, &[0; 64], 1, true)));
        assert!(!answer::is_allowed(&later));
        let mut frame = framed::<[u8; N]>(&ip::<[u8; N]>(Content::Gre, before(), 0, b""));
        let headers = parsed::<[u8; N]>(&frame);
        assert_eq!(answer::prohibited(&mut frame, &headers, ends[1]), None, "less than 8 bytes to quote");
    }
}

#[test]
fn an_ipv4_packet_with_options_is_refused_silently() {
    let mut frame = framed::<V4>(&ip::<V4>(Content::Udp, before(), 1, b"netfwd!"));
    let headers = parsed::<V4>(&frame);
    assert_eq!(answer::prohibited(&mut frame, &headers, [192, 0, 2, 9]), None);
}

#[test]
fn a_checksum_that_an_interface_computes_gets_the_addresses_alone() {
    // What [u8] cannot show is the kernel's part; here only that zero stays.
    for content in [Content::BareSctp, Content::BareUdp] {
        let mut frame = framed::<V6>(&ip::<V6>(content, before(), 0, b"netfwd!"));
        let at = u32::try_from(LINK + 40 + content.checksum_at().unwrap()).unwrap();
        let headers = parsed::<V6>(&frame);
        rewrite::apply(frame.as_mut_slice(), &headers, &tuple(after())).unwrap();
        assert_eq!(frame.load(at), Some([0_u8; 2]), "{content:?}");
    }
}

proptest! {
    #![proptest_config(crate::packets::config())]

    #[test]
    fn any_ipv4_endpoints_will_do(old in ends::<4>(), new in ends::<4>(), content in content(), payload in payload()) {
        check(content, old, new, &payload);
    }

    #[test]
    fn any_ipv6_endpoints_will_do(old in ends::<16>(), new in ends::<16>(), content in content(), payload in payload()) {
        check(content, old, new, &payload);
    }
}

/// A packet, and the same packet quoted, as if sent between other ends.
fn check<const N: usize>(content: Content, old: [Endpoint<[u8; N]>; 2], new: [Endpoint<[u8; N]>; 2], payload: &[u8])
where
    [u8; N]: Ip,
{
    let [old_ip, new_ip] = [old, new].map(|ends| ip::<[u8; N]>(content, ends, 0, payload));
    let mut frame = framed::<[u8; N]>(&old_ip);
    let headers = parsed::<[u8; N]>(&frame);
    assert!(rewrite::apply(frame.as_mut_slice(), &headers, &tuple(new)).is_some());
    assert_eq!(frame, framed::<[u8; N]>(&new_ip));
    if content == Content::TimeExceeded {
        return;
    }
    let mut frame = error::<[u8; N]>(routers(0), 0, &old_ip);
    let (outer, mut inner) = (parsed::<[u8; N]>(&frame), Headers::EMPTY);
    assert_eq!(quote::parse(frame.as_slice(), &outer, &mut inner), Ok(()));
    assert!(quote::apply(frame.as_mut_slice(), &outer, &inner, &tuple(new)).is_some());
    let mut quoted = new_ip;
    if let Content::Sctp(_) = content {
        let crc_at = quoted.len() - content.bytes::<[u8; N]>(old[0], old[1], payload).len() + 8;
        quoted[crc_at..crc_at + 4].copy_from_slice(&old_ip[crc_at..crc_at + 4]);
    }
    assert_eq!(frame, error::<[u8; N]>(routers(0), 0, &quoted));
}

fn content() -> impl Strategy<Value = Content> {
    select(&Content::ALL)
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    vec(select(&[0_u8, 1, 0xfe, 0xff]), 0..50)
}

/// Addresses and ports at the edge of what a carry does, most often.
fn ends<const N: usize>() -> impl Strategy<Value = [Endpoint<[u8; N]>; 2]> {
    let byte = || prop_oneof![3 => select(&[0_u8, 1, 0xfe, 0xff]), 1 => any::<u8>()];
    let end = move || {
        (vec(byte(), N), [byte(), byte()])
            .prop_map(|(address, port)| Endpoint { address: address.try_into().expect("N bytes"), port })
    };
    [end(), end()]
}

/// An ICMP error between two addresses about the packet that it quotes.
fn error<A: Ip>([source, destination]: [A; 2], options: usize, quote: &[u8]) -> Vec<u8> {
    let ends = [source, destination].map(|address| Endpoint { address, port: [0; 2] });
    framed::<A>(&ip(Content::TimeExceeded, ends, options, quote))
}

/// A SYN, with other flags if so, whose options are padded with zeros.
fn before<A: Ip>() -> [Endpoint<A>; 2] {
    [A::ENDS[0], A::ENDS[1]]
}

fn after<A: Ip>() -> [Endpoint<A>; 2] {
    [A::ENDS[2], A::ENDS[3]]
}

/// Addresses of those who send and receive errors.
fn routers<A: Ip>(which: usize) -> [A; 2] {
    if which == 0 { [A::ENDS[3].address, A::ENDS[0].address] } else { [A::ENDS[1].address, A::ENDS[2].address] }
}

fn tuple<A: Ip>([source, destination]: [Endpoint<A>; 2]) -> Tuple<A> {
    Tuple::new(Protocol::UDP, Side::Outside, source, destination)
}

fn parsed<A: Ip>(frame: &[u8]) -> Headers<A> {
    let mut headers = Headers::EMPTY;
    A::parse(frame, 14, &mut headers).expect("a packet whose IP header is right");
    headers
}
