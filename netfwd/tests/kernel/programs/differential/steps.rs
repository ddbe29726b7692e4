//! What may happen, for proptest; narrow on purpose, so that tuples collide.

use netfwd_common::abi::{Endpoint, Side, V4};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};

use super::super::{
    frame::{ETHERNET, Frame, Kind},
    world::{CONTAINERS, HOSTS, PEERS, Plan},
};

/// Every port that a generated frame may have.
pub(super) const PORTS: [u16; 10] = [0, 53, 80, 81, 1023, 1024, 1025, 8080, 9090, 9091];

const FLAGS: [u8; 6] = [0x02, 0x12, 0x10, 0x11, 0x04, 0x03];

/// What happens to both worlds.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A frame comes from the containers or the host ([`Side::Inside`]) or from the wire.
    Frame(Side, Vec<u8>),
    /// An answer, with these TCP flags, to a translated frame: 0 is the latest.
    Answer { back: usize, flags: u8 },
    /// A rule ends.
    EndRule(u32),
    /// A rule begins, in the place of the one with this number.
    StartRule(u32),
    /// The user deletes the connection in a slot.
    Condemn(u32),
}

/// A world whose choices are either forced or free: one slot or plenty, one port or plenty.
pub(super) fn plan() -> impl Strategy<Value = Plan> {
    (select(&[1_u32, 64, 64, 64]), select(&[1024..=1024_u16, 1024..=u16::MAX]), any::<u32>())
        .prop_map(|(max_flows, ports, seed)| Plan { max_flows, ports, seed, failing_reservations: <_>::default() })
}

/// Anything that may happen.
pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => bytes(Side::Inside).prop_map(|frame| Step::Frame(Side::Inside, frame)),
        5 => bytes(Side::Outside).prop_map(|frame| Step::Frame(Side::Outside, frame)),
        8 => (0..4_usize, select(&FLAGS)).prop_map(|(back, flags)| Step::Answer { back, flags }),
        1 => (0..4_u32).prop_map(Step::EndRule),
        1 => (0..4_u32).prop_map(Step::StartRule),
        1 => (0..6_u32).prop_map(Step::Condemn),
    ]
}

/// A frame, now and then with wrong bytes behind its Ethernet header.
fn bytes(side: Side) -> impl Strategy<Value = Vec<u8>> {
    let wrong = prop_oneof![4 => Just(Vec::new()), 1 => vec((any::<Index>(), any::<u8>()), 1..3)];
    (frame(side), wrong).prop_map(|(frame, wrong)| {
        let mut bytes = frame.bytes();
        for (at, byte) in wrong {
            let at = ETHERNET + at.index(bytes.len() - ETHERNET);
            bytes[at] = byte;
        }
        bytes
    })
}

fn frame(side: Side) -> impl Strategy<Value = Frame> {
    let (sources, destinations) = match side {
        Side::Inside => ((CONTAINERS, HOSTS, &PORTS[2..7]), (PEERS, CONTAINERS, &PORTS[..3])),
        Side::Outside => ((PEERS, CONTAINERS, &PORTS[1..6]), (HOSTS, CONTAINERS, &PORTS[5..])),
    };
    let parts = (endpoint(sources), endpoint(destinations), kind(), 0..3_u8, 0..3_u8, vec(any::<u8>(), 0..6));
    parts.prop_map(|(source, destination, kind, ip_options, tcp_options, payload)| Frame {
        ip_options,
        tcp_options,
        payload,
        ..Frame::new(kind, source, destination)
    })
}

fn endpoint((often, seldom, ports): ([V4; 2], [V4; 2], &'static [u16])) -> impl Strategy<Value = Endpoint<V4>> {
    let address = prop_oneof![5 => select(often.to_vec()), 1 => select(seldom.to_vec())];
    (address, select(ports)).prop_map(|(address, port)| Endpoint::new(address, port))
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => select(&FLAGS).prop_map(Kind::Tcp),
        3 => any::<bool>().prop_map(|has_checksum| Kind::Udp { has_checksum }),
        2 => Just(Kind::EchoRequest),
        1 => Just(Kind::EchoReply),
        1 => Just(Kind::TimeExceeded),
    ]
}
