//! Where the fuzzer starts: one input for each thing that the NAT does.

use netfwd_common::abi::{Endpoint, Side, V4, V6};

use crate::{
    frame::{Content, FIN, Frame, RST, SYN, SYN_ACK, UDP, error_about, tcp},
    journal::Step,
    world::Place as _,
};

const CONTAINER: Endpoint<V4> = container(0);
const SERVER: Endpoint<V4> = Endpoint::new(V4::PEERS[0], 80);
const CLIENT: Endpoint<V4> = Endpoint::new(V4::PEERS[1], 1024);
const MAPPED: Endpoint<V4> = Endpoint::new(V4::HOSTS[0], 8080);
const ANY_MAPPED: Endpoint<V4> = Endpoint::new(V4::HOSTS[1], 9090);
/// The outside port of the first container's port 1025, which is kept.
const BOUND: Endpoint<V4> = Endpoint::new(V4::HOSTS[0], 1025);

const fn container(number: usize) -> Endpoint<V4> {
    Endpoint::new(V4::CONTAINERS[number], 1025)
}

/// Bits of a world's configuration: see [`crate::harness::pipeline`].
const IPV6: u8 = 1;
const BY_ADDRESS: u8 = 1 << 1;
const BY_ENDPOINT: u8 = 2 << 1;
const ONE_PORT: u8 = 1 << 3;
const PICK_UP: u8 = 1 << 5;

/// Seeds of the pipeline, by name.
pub(crate) fn pipeline() -> Vec<(&'static str, Vec<u8>)> {
    [masquerades(), mappings(), rules_and_room(), bindings(), others()].concat()
}

fn out(content: Content, source: Endpoint<V4>) -> Step {
    Step::Frame(Side::Inside, Frame::new(content, source, SERVER).bytes())
}

fn into(content: Content, to: Endpoint<V4>) -> Step {
    Step::Frame(Side::Outside, Frame::new(content, CLIENT, to).bytes())
}

fn back(content: Content, to: Endpoint<V4>) -> Step {
    Step::Frame(Side::Bridge, Frame::new(content, container(1), to).bytes())
}

const fn answer(flags: u8) -> Step {
    Step::Answer { back: 0, flags }
}

fn masquerades() -> Vec<(&'static str, Vec<u8>)> {
    let handshake = [out(SYN, CONTAINER), answer(0x12), answer(0x10)];
    let close = [answer(0x11), answer(0x11), answer(0x10), out(SYN, CONTAINER)];
    let collision = [out(UDP, CONTAINER), out(UDP, container(1)), answer(0), out(UDP, BOUND), answer(0)];
    vec![
        ("masquerade-tcp", encoded(0, 0, &[&handshake[..], &close].concat())),
        ("masquerade-reset", encoded(0, 0, &[&handshake[..], &[answer(0x04), Step::Wait(240), answer(0x10)]].concat())),
        ("masquerade-pick-up", encoded(PICK_UP, 0, &[out(FIN, CONTAINER), out(tcp(0x10), CONTAINER), answer(0x10)])),
        (
            "masquerade-echo",
            encoded(0, 0, &[out(Content::EchoRequest, CONTAINER), answer(0), Step::Wait(60), answer(0)]),
        ),
        ("masquerade-sctp", encoded(0, 0, &[out(Content::Sctp(1), CONTAINER), answer(2), answer(10), answer(11)])),
        ("masquerade-gre", encoded(0, 0, &[out(Content::Gre, CONTAINER), out(Content::Gre, container(1)), answer(0)])),
        ("masquerade-collision", encoded(0, 0, &collision)),
        (
            "expiry",
            encoded(
                0,
                0,
                &[out(UDP, CONTAINER), Step::Wait(300), out(UDP, container(1)), Step::Wait(300), Step::Sweep],
            ),
        ),
    ]
}

fn mappings() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("mapping-udp", encoded(0, 0, &[into(UDP, MAPPED), answer(0), into(UDP, ANY_MAPPED), answer(0)])),
        ("mapping-of-no-address", encoded(0, 0, &[into(UDP, Endpoint::new([0; 4], 9090)), answer(0)])),
        (
            "mapping-moves",
            encoded(0, 0, &[into(UDP, ANY_MAPPED), Step::StartRule(3), into(UDP, ANY_MAPPED), answer(0)]),
        ),
        ("hairpin", encoded(0, 0, &[back(SYN, MAPPED), answer(0x12), answer(0x10), Step::Error { back: 0 }])),
    ]
}

fn rules_and_room() -> Vec<(&'static str, Vec<u8>)> {
    let rule_ends = [into(UDP, MAPPED), Step::EndRule(2), answer(0), Step::Sweep, into(UDP, MAPPED)];
    let again = [out(UDP, CONTAINER), out(UDP, CONTAINER), answer(0)];
    vec![
        ("rule-ends", encoded(0, 0, &rule_ends)),
        ("user-deletes", encoded(0, 0, &[into(UDP, MAPPED), Step::Condemn(0), answer(0), into(UDP, MAPPED)])),
        ("reply-reservation-fails", encoded(0, 0b1, &again)),
        ("original-reservation-fails", encoded(0, 0b10, &again)),
        ("second-record-fails", encoded(0, 0b1100, &again)),
        ("full-table", full_table()),
    ]
}

fn bindings() -> Vec<(&'static str, Vec<u8>)> {
    let two = [out(UDP, CONTAINER), Step::Frame(Side::Inside, Frame::new(UDP, CONTAINER, CLIENT).bytes())];
    let unasked = [out(UDP, CONTAINER), into(UDP, BOUND), answer(0), Step::Wait(300), into(UDP, BOUND)];
    vec![
        ("binding-shared", encoded(0, 0, &two)),
        ("binding-restarts", encoded(0, 0, &[two[0].clone(), Step::StartRule(1), two[1].clone(), two[0].clone()])),
        ("filtering-none", encoded(BY_ENDPOINT, 0, &unasked)),
        ("filtering-address", encoded(BY_ADDRESS, 0, &[&unasked[..2], &two[1..], &unasked[1..]].concat())),
        ("filtering-both", encoded(0, 0, &unasked)),
        ("hairpin-binding", encoded(0, 0, &[out(UDP, CONTAINER), back(UDP, BOUND), answer(0)])),
        ("source-limit", encoded(ONE_PORT, 0, &[out(UDP, CONTAINER), out(UDP, Endpoint::new(V4::CONTAINERS[0], 81))])),
    ]
}

fn others() -> Vec<(&'static str, Vec<u8>)> {
    let fragments =
        |number: usize| Step::Frame(Side::Inside, Frame::new(UDP, CONTAINER, SERVER).fragments(8)[number].clone());
    let unasked = error_about(&Frame::new(UDP, BOUND, SERVER).bytes(), V4::PEERS[1], V4::HOSTS[0]);
    let wide = |source: Endpoint<V6>, side| {
        Step::Frame(side, Frame::new(SYN, source, Endpoint::new(V6::PEERS[0], 80)).bytes())
    };
    vec![
        ("error", encoded(0, 0, &[out(UDP, CONTAINER), Step::Error { back: 0 }, Step::Error { back: 1 }])),
        ("error-about-nothing", encoded(0, 0, &[Step::Frame(Side::Outside, unasked)])),
        ("fragments", encoded(0, 0, &[fragments(0), fragments(1), answer(0)])),
        ("fragments-reversed", encoded(0, 0, &[fragments(1), fragments(0), Step::Wait(3), fragments(1)])),
        (
            "ipv6",
            encoded(IPV6, 0, &[wide(Endpoint::new(V6::CONTAINERS[0], 1025), Side::Inside), answer(0x12), answer(0x04)]),
        ),
        ("syn-ack", encoded(0, 0, &[out(SYN_ACK, CONTAINER), into(RST, BOUND)])),
    ]
}

/// One assured connection, and first packets that compete for the other places.
fn full_table() -> Vec<u8> {
    let client = |port| Endpoint::new(V4::PEERS[1], port);
    let flood = (1..5).map(|port| Frame::new(SYN, client(port), MAPPED).bytes());
    let mut steps = vec![out(UDP, CONTAINER), answer(0)];
    steps.extend(flood.map(|frame| Step::Frame(Side::Outside, frame)));
    let mut input = encoded(0, 0, &steps);
    input[0] = 2;
    input
}

/// The input that [`crate::harness::pipeline`] reads as these steps, in a world of ten records and two ports.
fn encoded(configuration: u8, failing_reservations: u64, steps: &[Step]) -> Vec<u8> {
    let mut input = vec![9, 1, 7, configuration];
    input.extend(failing_reservations.to_be_bytes());
    for step in steps {
        let (kind, payload) = match step {
            Step::Frame(Side::Outside, frame) => (1, frame.clone()),
            Step::Frame(Side::Bridge, frame) => (8, frame.clone()),
            Step::Frame(_, frame) => (0, frame.clone()),
            Step::Answer { back, flags } => (2, vec![*back, *flags]),
            Step::Wait(seconds) => (3, seconds.to_be_bytes().to_vec()),
            Step::EndRule(rule) => (4, vec![u8::try_from(*rule).expect("small")]),
            Step::StartRule(rule) => (5, vec![u8::try_from(*rule).expect("small")]),
            Step::Condemn(slot) => (6, vec![u8::try_from(*slot).expect("small")]),
            Step::Sweep => (7, Vec::new()),
            Step::Error { back } => (9, vec![*back]),
        };
        input.extend([kind, u8::try_from(payload.len()).expect("a short frame")]);
        input.extend(payload);
    }
    input
}
