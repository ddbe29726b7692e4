//! What may happen, for proptest; narrow on purpose.

use std::env;

use netfwd_common::abi::{Endpoint, Side, V4};
use proptest::{
    collection::{hash_set, vec},
    prelude::*,
    sample::select,
    test_runner::{FileFailurePersistence, RngSeed},
};

use crate::{
    frame::{Frame, Kind},
    journal::Step,
    world::{CONTAINERS, HOSTS, PEERS, Plan},
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
    (1..=6_u32, 0..4_u16, any::<u32>(), failing).prop_map(|(max_flows, more, seed, failing_reservations)| Plan {
        max_flows,
        ports: 1024..=1024 + more,
        seed,
        failing_reservations,
    })
}

/// Anything that may happen.
pub(crate) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (frame(Side::Inside)).prop_map(|frame| Step::Frame(Side::Inside, frame.bytes())),
        6 => (frame(Side::Outside)).prop_map(|frame| Step::Frame(Side::Outside, frame.bytes())),
        8 => (0..4_u8, select(&FLAGS)).prop_map(|(back, flags)| Step::Answer { back, flags }),
        3 => select(&[1_u16, 59, 60, 239, 240, 299, 300, 7440]).prop_map(Step::Wait),
        1 => (0..4_u32).prop_map(Step::EndRule),
        1 => (0..4_u32).prop_map(Step::StartRule),
        1 => (0..6_u32).prop_map(Step::Condemn),
        1 => Just(Step::Sweep),
    ]
}

/// A frame that is met on a side, most often one that the NAT has something to do with.
pub(crate) fn frame(side: Side) -> impl Strategy<Value = Frame> {
    let (source, destination) = match side {
        Side::Inside => (weighted(&CONTAINERS, &HOSTS), weighted(&PEERS, &CONTAINERS)),
        Side::Outside => (weighted(&PEERS, &CONTAINERS), weighted(&HOSTS, &CONTAINERS)),
    };
    let (near, far) = (select(&[80_u16, 81, 1023, 1024, 1025]), select(&[0_u16, 53, 80, 1024]));
    let mapped = select(&[8080_u16, 9090, 9091, 1024, 1025]);
    let ports = match side {
        Side::Inside => (near, far.boxed()),
        Side::Outside => (select(&[53_u16, 80, 1024]), mapped.boxed()),
    };
    let endpoints = (source, ports.0, destination, ports.1);
    (endpoints, kind(), 0..3_u8, 0..3_u8, vec(any::<u8>(), 0..6)).prop_map(
        |((source, source_port, destination, destination_port), kind, ip_options, tcp_options, payload)| Frame {
            source: Endpoint::new(source, source_port),
            destination: Endpoint::new(destination, destination_port),
            kind,
            ip_options,
            tcp_options,
            payload,
        },
    )
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

fn weighted(often: &'static [V4], seldom: &'static [V4]) -> BoxedStrategy<V4> {
    prop_oneof![5 => select(often), 1 => select(seldom)].boxed()
}
