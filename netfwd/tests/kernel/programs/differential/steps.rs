//! What may happen, for proptest; narrow on purpose, so that tuples collide.

use netfwd_common::abi::{Endpoint, Filtering, Side};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};

use super::super::{
    frame::{Content, Frame, Ip, LINK, tcp},
    world::{Place, Plan, ports},
};

/// Every port that a generated frame may have.
pub(super) const PORTS: [u16; 10] = [0, 53, 80, 81, 1023, 1024, 1025, 8080, 9090, 9091];

const FLAGS: [u8; 6] = [0x02, 0x12, 0x10, 0x11, 0x04, 0x03];

/// What happens to both worlds.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A frame comes from the containers or the host ([`Side::Inside`]), from the bridge or from the wire.
    Frame(Side, Vec<u8>),
    /// An answer, with these TCP flags, to a translated frame: 0 is the latest.
    Answer { back: usize, flags: u8 },
    /// An ICMP error about a translated frame.
    Error { back: usize },
    /// A rule ends.
    EndRule(u32),
    /// A rule begins, in the place of the one with this number.
    StartRule(u32),
    /// The user deletes the connection in a slot.
    Condemn(u32),
}

/// A world whose choices are either forced or free: one slot or plenty, one port or plenty.
pub(super) fn plan() -> impl Strategy<Value = Plan> {
    let size = select(&[(1_u32, 1024_u16), (256, 1024), (256, u16::MAX), (256, u16::MAX)]);
    let filtering = select(&[Filtering::AddressAndPort, Filtering::Address, Filtering::Endpoint]);
    (size, any::<u32>(), filtering, select(&[0_u32, 0, 1, 2]), any::<bool>(), any::<bool>()).prop_map(
        |((max_flows, last_port), seed, filtering, max_ports_per_source, picks_up, isolates)| Plan {
            filtering,
            max_ports_per_source,
            picks_up,
            isolates,
            ..Plan::new(max_flows, ports(1024..=last_port), seed)
        },
    )
}

/// Anything that may happen.
pub(super) fn step<A: Ip + Place>() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => bytes::<A>(Side::Inside).prop_map(|frame| Step::Frame(Side::Inside, frame)),
        5 => bytes::<A>(Side::Outside).prop_map(|frame| Step::Frame(Side::Outside, frame)),
        3 => bytes::<A>(Side::Bridge).prop_map(|frame| Step::Frame(Side::Bridge, frame)),
        8 => (0..4_usize, select(&FLAGS)).prop_map(|(back, flags)| Step::Answer { back, flags }),
        2 => (0..4_usize).prop_map(|back| Step::Error { back }),
        1 => (0..4_u32).prop_map(Step::EndRule),
        1 => (0..4_u32).prop_map(Step::StartRule),
        1 => (0..6_u32).prop_map(Step::Condemn),
    ]
}

/// A frame or one of its fragments, now and then with wrong bytes behind its Ethernet header.
fn bytes<A: Ip + Place>(side: Side) -> impl Strategy<Value = Vec<u8>> {
    let wrong = prop_oneof![4 => Just(Vec::new()), 1 => vec((any::<Index>(), any::<u8>()), 1..3)];
    let which = prop_oneof![5 => Just(None), 1 => (0..2_usize).prop_map(Some)];
    (frame::<A>(side), wrong, which).prop_map(|(frame, wrong, which)| {
        let fragments = frame.fragments(if matches!(frame.content, Content::Tcp(..)) { 24 } else { 16 });
        let mut bytes = which.and_then(|it| fragments.get(it)).map_or_else(|| frame.bytes(), Clone::clone);
        for (at, byte) in wrong {
            let at = LINK + at.index(bytes.len() - LINK);
            bytes[at] = byte;
        }
        bytes
    })
}

fn frame<A: Ip + Place>(side: Side) -> impl Strategy<Value = Frame<A>> {
    let [hosts, containers, peers] = [A::HOSTS, A::CONTAINERS, A::PEERS].map(Vec::from);
    let outside = [peers.clone(), peers.clone(), vec![A::EXCLUDED]].concat();
    let (source, destination) = match side {
        Side::Outside => {
            let strangers = [containers.clone(), vec![A::EXCLUDED]].concat();
            ((peers, strangers, &PORTS[1..6]), (hosts, [containers, vec![A::NEIGHBOUR]].concat(), &PORTS[5..]))
        }
        Side::Bridge => {
            let others = [outside, vec![A::NEIGHBOUR]].concat();
            ((containers, hosts.clone(), &PORTS[2..7]), (hosts, others, &PORTS[5..]))
        }
        Side::Inside | Side::Binding | Side::Permission | Side::Account => {
            ((containers.clone(), hosts, &PORTS[2..7]), (outside, containers, &PORTS[..3]))
        }
    };
    let parts = (endpoint(source), endpoint(destination), content(), 0..3_usize, vec(any::<u8>(), 0..24));
    parts.prop_map(|(source, destination, content, ip_options, payload)| Frame {
        ip_options,
        payload,
        ..Frame::new(content, source, destination)
    })
}

fn endpoint<A: Ip>((often, seldom, ports): (Vec<A>, Vec<A>, &'static [u16])) -> impl Strategy<Value = Endpoint<A>> {
    let address = prop_oneof![5 => select(often), 1 => select(seldom)];
    (address, select(ports)).prop_map(|(address, port)| Endpoint::new(address, port))
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        4 => select(&FLAGS).prop_map(tcp),
        1 => Just(Content::Tcp(0x02, 2)),
        3 => select(&[Content::Udp, Content::BareUdp]),
        2 => Just(Content::EchoRequest),
        1 => Just(Content::EchoReply),
        1 => Just(Content::TimeExceeded),
        1 => select(&[Content::Sctp(1), Content::Sctp(2), Content::BareSctp]),
        1 => Just(Content::Gre),
    ]
}
