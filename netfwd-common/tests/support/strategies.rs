//! What may happen, for proptest; narrow on purpose.

use std::env;

use netfwd_common::abi::{Endpoint, Filtering, PortChoice, Side};
use proptest::{
    collection::{hash_set, vec},
    prelude::*,
    sample::select,
    test_runner::{FileFailurePersistence, RngSeed},
};

use crate::{
    frame::{Content, Frame, Ip, tcp},
    journal::Step,
    world::{Place, Plan, choice},
};

const FLAGS: [u8; 6] = [0x02, 0x12, 0x10, 0x11, 0x04, 0x03];

/// Proptest's settings: the same cases every time, unless its environment variables say otherwise.
pub(crate) fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    let rng_seed = if config.rng_seed == RngSeed::Random { RngSeed::Fixed(0x6e65_7466) } else { config.rng_seed };
    let cases = if env::var_os("PROPTEST_CASES").is_some() { config.cases } else { 1024 };
    let regressions = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/properties.regressions");
    ProptestConfig {
        cases,
        rng_seed,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(regressions))),
        ..config
    }
}

/// A small world, in which some reservations fail.
pub(crate) fn plan() -> impl Strategy<Value = Plan> {
    let failing = prop_oneof![2 => Just(<_>::default()), 1 => hash_set(0..60_u32, 0..20)];
    let flags = select(&[0, 0, PortChoice::KEEP_CLASS, PortChoice::KEEP_PARITY]);
    let filtering = select(&[Filtering::AddressAndPort, Filtering::Address, Filtering::Endpoint]);
    let configured = (filtering, select(&[0_u32, 0, 1, 2]), any::<bool>(), any::<bool>(), prop::bool::weighted(0.1));
    (1..=12_u32, 0..4_u16, flags, any::<u32>(), failing, configured).prop_map(
        |(max_flows, more, flags, seed, failing_reservations, configured)| Plan {
            failing_reservations,
            filtering: configured.0,
            max_ports_per_source: configured.1,
            picks_up: configured.2,
            isolates: configured.3,
            is_internal: configured.4,
            ..Plan::new(max_flows, choice(&[1024..=1024 + more], flags), seed)
        },
    )
}

/// Anything that may happen.
pub(crate) fn step<A: Ip + Place>() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => some_frame::<A>(Side::Inside),
        6 => some_frame::<A>(Side::Outside),
        4 => some_frame::<A>(Side::Bridge),
        8 => (0..4_u8, select(&FLAGS)).prop_map(|(back, flags)| Step::Answer { back, flags }),
        2 => (0..4_u8).prop_map(|back| Step::Error { back }),
        3 => select(&[1_u16, 59, 60, 119, 120, 239, 240, 299, 300, 7440]).prop_map(Step::Wait),
        1 => (0..4_u32).prop_map(Step::EndRule),
        1 => (0..4_u32).prop_map(Step::StartRule),
        1 => (0..12_u32).prop_map(Step::Condemn),
        1 => Just(Step::Sweep),
    ]
}

/// A frame, or one of its fragments.
fn some_frame<A: Ip + Place>(side: Side) -> impl Strategy<Value = Step> {
    let which = prop_oneof![4 => Just(None), 1 => (0..3_usize).prop_map(Some)];
    (frame::<A>(side), which).prop_map(move |(frame, which)| {
        let fragments = frame.fragments(if matches!(frame.content, Content::Tcp(..)) { 24 } else { 16 });
        Step::Frame(side, which.and_then(|it| fragments.get(it)).map_or_else(|| frame.bytes(), Clone::clone))
    })
}

/// A frame that is met on a side, most often one that the NAT has something to do with.
pub(crate) fn frame<A: Ip + Place>(side: Side) -> impl Strategy<Value = Frame<A>> {
    let [hosts, containers, peers] = [A::HOSTS, A::CONTAINERS, A::PEERS].map(Vec::from);
    let outside = [peers.clone(), peers.clone(), vec![A::EXCLUDED]].concat();
    let (source, destination) = match side {
        Side::Outside => {
            let strangers = [containers.clone(), vec![A::EXCLUDED]].concat();
            (weighted(peers, strangers), weighted(hosts, [containers, vec![A::NEIGHBOUR]].concat()))
        }
        Side::Bridge => {
            let others = [outside, vec![A::NEIGHBOUR, A::NEIGHBOUR, containers[1]]].concat();
            (weighted(containers, hosts.clone()), weighted(hosts, others))
        }
        Side::Inside | Side::Binding | Side::Permission | Side::Account => {
            (weighted(containers.clone(), hosts), weighted(outside, containers))
        }
    };
    let (near, far) = (select(&[80_u16, 81, 1023, 1024, 1025]), select(&[0_u16, 53, 80, 1024]));
    let mapped = select(&[8080_u16, 9090, 9091, 1024, 1025, 80]);
    let ports = match side {
        Side::Outside => (select(&[53_u16, 80, 1024]).boxed(), mapped.boxed()),
        Side::Bridge => (near.boxed(), mapped.boxed()),
        Side::Inside | Side::Binding | Side::Permission | Side::Account => (near.boxed(), far.boxed()),
    };
    let endpoints = (source, ports.0, destination, ports.1);
    (endpoints, content(), 0..3_usize, vec(any::<u8>(), 0..32)).prop_map(
        |((source, source_port, destination, destination_port), content, ip_options, payload)| Frame {
            source: Endpoint::new(source, source_port),
            destination: Endpoint::new(destination, destination_port),
            content,
            ip_options,
            payload,
        },
    )
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

fn weighted<A: Ip>(often: Vec<A>, seldom: Vec<A>) -> BoxedStrategy<A> {
    prop_oneof![5 => select(often), 1 => select(seldom)].boxed()
}
