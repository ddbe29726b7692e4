//! The laws of the NAT, against anything that proptest can think of.
//!
//! The laws themselves are in `support/laws.rs`; they are checked after every step of every journal.

use crate::frame::{Content, Frame, Ip, SYN, SYN_ACK, UDP};
use crate::journal::{Journal, Step};
use crate::world::{BRIDGE, Place, Plan, World, ports};
use crate::{laws, strategies, witness};
use netfwd_common::{
    abi::{Endpoint, Side, V4, V6},
    checksum,
    packet::{Covers, Packet as _},
    parse::{Headers, Parse as _},
    verdict::Verdict,
};
use proptest::{collection::vec, prelude::*, sample::select};

proptest! {
    #![proptest_config(strategies::config())]

    #[test]
    fn every_law_holds_whatever_happens(plan in strategies::plan(), steps in vec(strategies::step::<V4>(), 1..80)) {
        Journal::<V4>::new(plan).live_through(steps);
    }

    #[test]
    fn every_law_holds_for_ipv6(plan in strategies::plan(), steps in vec(strategies::step::<V6>(), 1..80)) {
        Journal::<V6>::new(plan).live_through(steps);
    }

    #[test]
    fn arbitrary_bytes_break_no_law(plan in strategies::plan(), bytes in vec((side(), vec(any::<u8>(), 0..120)), 1..20)) {
        for (_, bytes) in &bytes {
            let (mut v4, mut v6) = (Headers::EMPTY, Headers::EMPTY);
            for link_header in 0..20 {
                let _ = (V4::parse(bytes.as_slice(), link_header, &mut v4), V6::parse(bytes.as_slice(), link_header, &mut v6));
            }
        }
        Journal::<V4>::new(plan.clone()).live_through(frames(bytes.clone()));
        Journal::<V6>::new(plan).live_through(frames(bytes));
    }

    #[test]
    fn damaged_frames_break_no_law(plan in strategies::plan(), bytes in vec(damaged::<V4>(), 1..40)) {
        Journal::<V4>::new(plan).live_through(frames(bytes));
    }

    #[test]
    fn damaged_ipv6_frames_break_no_law(plan in strategies::plan(), bytes in vec(damaged::<V6>(), 1..40)) {
        Journal::<V6>::new(plan).live_through(frames(bytes));
    }

    #[test]
    fn answers_come_back_to_the_original_endpoints(firsts in vec(opener::<V4>(), 1..40), seed: u32) {
        check_answers(firsts, seed);
    }

    #[test]
    fn ipv6_answers_come_back_to_the_original_endpoints(firsts in vec(opener::<V6>(), 1..40), seed: u32) {
        check_answers(firsts, seed);
    }

    #[test]
    fn a_checksum_is_the_complement_of_the_ones_complement_sum(data in vec(word(), 1..40), odd: Option<u8>) {
        let bytes: Vec<u8> = data.into_iter().flatten().chain(odd).collect();
        let sum = laws::bytes::residue(&bytes);
        let checksum = u64::from(u16::from_be_bytes(checksum::full(&bytes)));
        prop_assert_eq!((sum + checksum) % 0xffff, 0);
        prop_assert_eq!(checksum == 0xffff, bytes.iter().all(|byte| *byte == 0), "negative zero is for zeros only");
    }

    #[test]
    fn a_corrected_checksum_is_the_one_computed_anew(
        data in vec(word(), 2..20),
        at: prop::sample::Index,
        new in word(),
    ) {
        // Some word is not zero: so it is in every header.
        let mut bytes: Vec<u8> = [[0x45, 0]].into_iter().chain(data).flatten().collect();
        let before = checksum::full(&bytes);
        let at = 2 + 2 * at.index(bytes.len() / 2 - 1);
        let old = [bytes[at], bytes[at + 1]];
        bytes[at..at + 2].copy_from_slice(&new);
        prop_assert_eq!(checksum::update(before, &old, &new), checksum::full(&bytes));
    }

    #[test]
    fn a_udp_checksum_never_becomes_zero(sum in word(), old in word(), new in word()) {
        let mut bytes = sum;
        let covers = Covers::PseudoHeader { zero_is_none: true };
        bytes.as_mut_slice().update_checksum(0, covers, old, new).unwrap();
        let expected = match (sum, checksum::update(sum, &old, &new)) {
            ([0, 0], _) => [0, 0],
            (_, [0, 0]) => [0xff, 0xff],
            (_, updated) => updated,
        };
        prop_assert_eq!(bytes, expected);
    }
}

/// Two bytes, most often at the edge of what a carry does.
fn word() -> impl Strategy<Value = [u8; 2]> {
    prop_oneof![3 => select(&[[0, 0], [0, 1], [0xff, 0xfe], [0xff, 0xff]]), 1 => any::<[u8; 2]>()]
}

fn side() -> impl Strategy<Value = Side> {
    select(&[Side::Inside, Side::Outside, Side::Bridge])
}

fn frames(frames: impl IntoIterator<Item = (Side, Vec<u8>)>) -> impl Iterator<Item = Step> {
    frames.into_iter().map(|(side, bytes)| Step::Frame(side, bytes))
}

/// A frame with a few wrong bytes, cut at any length.
fn damaged<A: Ip + Place>() -> impl Strategy<Value = (Side, Vec<u8>)> {
    let wrong = vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    let frame = side().prop_flat_map(|side| (Just(side), strategies::frame::<A>(side)));
    (frame, wrong, any::<prop::sample::Index>(), any::<bool>()).prop_map(|((side, frame), wrong, cut, is_cut)| {
        let mut bytes = frame.bytes();
        for (at, byte) in wrong {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        (side, bytes)
    })
}

/// Everything that was translated has an answer that comes back to where it came from.
fn check_answers<A: Ip + Place>(firsts: Vec<(Side, Frame<A>)>, seed: u32) {
    let mut world = World::<A>::new(Plan::new(256, ports(1024..=1087), seed));
    let mut translated = Vec::new();
    for (side, first) in firsts {
        let mut bytes = first.bytes();
        let expected = if side == Side::Bridge { Verdict::Redirected(BRIDGE) } else { Verdict::Translated };
        assert_eq!(world.meet(side, &mut bytes), expected);
        translated.push((side, first, expected, witness::endpoints::<A>(&bytes)));
    }
    for (side, first, expected, (source, destination)) in translated {
        let content = answering(first.content);
        let mut answer = Frame { source: destination, destination: source, content, ..first.clone() }.bytes();
        let back = match side {
            Side::Inside => Side::Outside,
            Side::Outside => Side::Inside,
            Side::Bridge | Side::Binding | Side::Permission | Side::Account => side,
        };
        assert_eq!(world.meet(back, &mut answer), expected);
        let (from, to) = witness::endpoints::<A>(&answer);
        let is_echo = content == Content::EchoReply;
        let asked = if is_echo { Endpoint { port: [0; 2], ..first.destination } } else { first.destination };
        assert_eq!((from, to), (asked, first.source));
    }
}

/// A frame that opens a connection: of the subnet, to a mapped port, or by way of the host to a container.
fn opener<A: Ip + Place>() -> impl Strategy<Value = (Side, Frame<A>)> {
    let content = select(&[SYN, UDP, Content::BareUdp]);
    let any_content = prop_oneof![3 => content.clone(), 1 => Just(Content::EchoRequest)];
    let [hosts, containers, peers] = [A::HOSTS, A::CONTAINERS, A::PEERS].map(Vec::from);
    let mapped = select(vec![(hosts[0], 8080), (hosts[0], 9090), (hosts[1], 9090), (hosts[1], 9091)]);
    let out = (any_content, select(containers.clone()), 1020..1040_u16, select(peers.clone()), select(&[53_u16, 80]))
        .prop_map(|(content, source, port, destination, to)| {
            opening(Side::Inside, content, (source, port), (destination, to))
        });
    let into = (content.clone(), select(peers), 1020..1040_u16, mapped.clone())
        .prop_map(|(content, source, port, mapped)| opening(Side::Outside, content, (source, port), mapped));
    let back = (content, select(containers), 1020..1040_u16, mapped)
        .prop_map(|(content, source, port, mapped)| opening(Side::Bridge, content, (source, port), mapped));
    prop_oneof![out, into, back]
}

fn opening<A: Ip>(side: Side, content: Content, source: (A, u16), destination: (A, u16)) -> (Side, Frame<A>) {
    let frame = Frame::new(content, Endpoint::new(source.0, source.1), Endpoint::new(destination.0, destination.1));
    (side, frame)
}

fn answering(content: Content) -> Content {
    match content {
        Content::Tcp(..) => SYN_ACK,
        Content::EchoRequest => Content::EchoReply,
        Content::Udp
        | Content::BareUdp
        | Content::Sctp(_)
        | Content::BareSctp
        | Content::EchoReply
        | Content::TimeExceeded
        | Content::Gre => content,
    }
}
