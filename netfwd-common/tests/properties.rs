//! The laws of the NAT, against anything that proptest can think of.
//!
//! The laws themselves are in `support/laws.rs`; they are checked after every step of every journal.

#[cfg(test)]
#[path = "support/frame.rs"]
mod frame;
#[cfg(test)]
#[path = "support/journal.rs"]
mod journal;
#[cfg(test)]
#[path = "support/laws.rs"]
mod laws;
#[cfg(test)]
#[path = "support/strategies.rs"]
mod strategies;
#[cfg(test)]
#[path = "support/witness.rs"]
mod witness;
#[cfg(test)]
#[path = "support/world.rs"]
mod world;

use std::collections::HashSet;

use frame::{Frame, Kind};
use journal::{Journal, Step};
use netfwd_common::{
    abi::{Endpoint, Side, V4},
    checksum,
    packet::{Covers, Packet as _},
    parse,
    verdict::Verdict,
};
use proptest::{collection::vec, prelude::*, sample::select};
use world::{CONTAINERS, HOSTS, PEERS, Plan};

proptest! {
    #![proptest_config(strategies::config())]

    #[test]
    fn every_law_holds_whatever_happens(plan in strategies::plan(), steps in vec(strategies::step(), 1..80)) {
        Journal::new(plan).live_through(steps);
    }

    #[test]
    fn arbitrary_bytes_break_no_law(plan in strategies::plan(), frames in vec((side(), vec(any::<u8>(), 0..80)), 1..20)) {
        for (_, bytes) in &frames {
            for link_header in 0..20 {
                let _ = parse::ipv4(bytes.as_slice(), link_header);
            }
        }
        Journal::new(plan).live_through(frames.into_iter().map(|(side, bytes)| Step::Frame(side, bytes)));
    }

    #[test]
    fn damaged_frames_break_no_law(plan in strategies::plan(), frames in vec(damaged(), 1..40)) {
        Journal::new(plan).live_through(frames.into_iter().map(|(side, bytes)| Step::Frame(side, bytes)));
    }

    #[test]
    fn answers_come_back_to_the_original_endpoints(firsts in vec(opener(), 1..40), seed: u32) {
        let plan = Plan { max_flows: 64, ports: 1024..=1087, seed, failing_reservations: HashSet::new() };
        let tables = plan.tables();
        let run = |side, frame: &mut [u8]| plan.meet(&tables, side, frame, 1);
        let mut translated = Vec::new();
        for (side, first) in firsts {
            let mut bytes = first.bytes();
            prop_assert_eq!(run(side, &mut bytes), Verdict::Translated);
            translated.push((side, first, witness::endpoints(&bytes)));
        }
        for (side, first, (source, destination)) in translated {
            let kind = answering(first.kind);
            let mut answer = Frame { source: destination, destination: source, kind, ..first.clone() }.bytes();
            let back = if side == Side::Inside { Side::Outside } else { Side::Inside };
            prop_assert_eq!(run(back, &mut answer), Verdict::Translated);
            let (from, to) = witness::endpoints(&answer);
            let expected = if kind == Kind::EchoReply { Endpoint { port: [0; 2], ..first.destination } } else { first.destination };
            prop_assert_eq!((from, to), (expected, first.source));
        }
    }

    #[test]
    fn a_checksum_is_the_complement_of_the_ones_complement_sum(data in vec(word(), 1..40), odd: Option<u8>) {
        let bytes: Vec<u8> = data.into_iter().flatten().chain(odd).collect();
        let sum = laws::residue(&bytes);
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
    select(&[Side::Inside, Side::Outside])
}

/// A frame with a few wrong bytes, cut at any length.
fn damaged() -> impl Strategy<Value = (Side, Vec<u8>)> {
    let wrong = vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    let frame = side().prop_flat_map(|side| (Just(side), strategies::frame(side)));
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

/// A frame that opens a connection, of the subnet or to a mapped port.
fn opener() -> impl Strategy<Value = (Side, Frame)> {
    let kind = select(&[Kind::Tcp(0x02), Kind::Udp { has_checksum: true }, Kind::Udp { has_checksum: false }]);
    let any_kind = prop_oneof![3 => kind.clone(), 1 => Just(Kind::EchoRequest)];
    let out = (any_kind, select(&CONTAINERS), 1020..1040_u16, select(&PEERS), select(&[53_u16, 80])).prop_map(
        |(kind, source, port, destination, to)| opening(Side::Inside, kind, (source, port), (destination, to)),
    );
    let mapped = select(&[(HOSTS[0], 8080), (HOSTS[0], 9090), (HOSTS[1], 9090), (HOSTS[1], 9091)]);
    let into = (kind, select(&PEERS), 1020..1040_u16, mapped)
        .prop_map(|(kind, source, port, mapped)| opening(Side::Outside, kind, (source, port), mapped));
    prop_oneof![out, into]
}

fn opening(side: Side, kind: Kind, source: (V4, u16), destination: (V4, u16)) -> (Side, Frame) {
    let frame = Frame::new(kind, Endpoint::new(source.0, source.1), Endpoint::new(destination.0, destination.1));
    (side, frame)
}

fn answering(kind: Kind) -> Kind {
    match kind {
        Kind::Tcp(_) => Kind::Tcp(0x12),
        Kind::EchoRequest => Kind::EchoReply,
        Kind::Udp { .. } | Kind::EchoReply | Kind::TimeExceeded => kind,
    }
}
