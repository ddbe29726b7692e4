//! Where the fuzzer starts: one input for each thing that the NAT does.

use netfwd_common::abi::{Endpoint, Side, V4};

use crate::{
    frame::{Frame, Kind},
    journal::Step,
    world::{CONTAINERS, HOSTS, PEERS},
};

const UDP: Kind = Kind::Udp { has_checksum: true };
const CONTAINER: Endpoint<V4> = Endpoint::new(CONTAINERS[0], 1025);
const SERVER: Endpoint<V4> = Endpoint::new(PEERS[0], 80);
const CLIENT: Endpoint<V4> = Endpoint::new(PEERS[1], 1024);
const MAPPED: Endpoint<V4> = Endpoint::new(HOSTS[0], 8080);
const ANY_MAPPED: Endpoint<V4> = Endpoint::new(HOSTS[1], 9090);

/// Seeds of the parser, by name.
pub(crate) fn parse() -> Vec<(&'static str, Vec<u8>)> {
    let frame = |kind| Frame::new(kind, CONTAINER, SERVER);
    let changed = |at: usize, byte| {
        let mut bytes = frame(UDP).bytes();
        bytes[at] = byte;
        bytes
    };
    vec![
        ("tcp", frame(Kind::Tcp(0x02)).bytes()),
        ("tcp-options", Frame { ip_options: 10, tcp_options: 10, ..frame(Kind::Tcp(0x10)) }.bytes()),
        ("udp", frame(UDP).bytes()),
        ("udp-without-checksum", frame(Kind::Udp { has_checksum: false }).bytes()),
        ("echo-request", frame(Kind::EchoRequest).bytes()),
        ("echo-reply", frame(Kind::EchoReply).bytes()),
        ("icmp-error", frame(Kind::TimeExceeded).bytes()),
        ("no-link-header", frame(UDP).bytes()[14..].to_vec()),
        ("first-fragment", changed(20, 0x20)),
        ("later-fragment", changed(21, 0x01)),
        ("vlan", changed(12, 0x81)),
        ("sctp", changed(23, 132)),
        ("short-header", changed(14, 0x44)),
        ("long-total-length", changed(16, 0xff)),
        ("truncated", frame(UDP).bytes()[..40].to_vec()),
    ]
}

/// Seeds of the pipeline, by name.
pub(crate) fn pipeline() -> Vec<(&'static str, Vec<u8>)> {
    let out = |kind, source| Step::Frame(Side::Inside, Frame::new(kind, source, SERVER).bytes());
    let into = |kind, to| Step::Frame(Side::Outside, Frame::new(kind, CLIENT, to).bytes());
    let answer = |flags| Step::Answer { back: 0, flags };
    let second = Endpoint::new(CONTAINERS[1], 1025);
    let host = Endpoint::new(HOSTS[0], 1025);
    let handshake = [out(Kind::Tcp(0x02), CONTAINER), answer(0x12), answer(0x10)];
    let close = [answer(0x11), answer(0x11), answer(0x10), out(Kind::Tcp(0x02), CONTAINER)];
    vec![
        ("masquerade-tcp", encoded(0, &[&handshake[..], &close].concat())),
        ("masquerade-reset", encoded(0, &[&handshake[..], &[answer(0x04), Step::Wait(240), answer(0x10)]].concat())),
        ("masquerade-echo", encoded(0, &[out(Kind::EchoRequest, CONTAINER), answer(0), Step::Wait(60), answer(0)])),
        (
            "masquerade-collision",
            encoded(0, &[out(UDP, CONTAINER), out(UDP, second), answer(0), out(UDP, host), answer(0)]),
        ),
        ("mapping-udp", encoded(0, &[into(UDP, MAPPED), answer(0), into(UDP, ANY_MAPPED), answer(0)])),
        ("mapping-of-no-address", encoded(0, &[into(UDP, Endpoint::new([0; 4], 9090)), answer(0)])),
        ("mapping-moves", encoded(0, &[into(UDP, ANY_MAPPED), Step::StartRule(3), into(UDP, ANY_MAPPED), answer(0)])),
        ("rule-ends", encoded(0, &[into(UDP, MAPPED), Step::EndRule(2), answer(0), Step::Sweep, into(UDP, MAPPED)])),
        ("user-deletes", encoded(0, &[into(UDP, MAPPED), Step::Condemn(0), answer(0), into(UDP, MAPPED)])),
        ("expiry", encoded(0, &[out(UDP, CONTAINER), Step::Wait(300), out(UDP, second), Step::Wait(300), Step::Sweep])),
        ("original-reservation-fails", encoded(0b10, &[out(UDP, CONTAINER), out(UDP, CONTAINER), answer(0)])),
        ("reply-reservation-fails", encoded(0b1, &[out(UDP, CONTAINER), out(UDP, CONTAINER), answer(0)])),
        ("full-table", full_table()),
    ]
}

/// One assured connection, and first packets that compete for the other place.
fn full_table() -> Vec<u8> {
    let client = |port| Endpoint::new(PEERS[1], port);
    let flood = (1..5).map(|port| Frame::new(Kind::Tcp(0x02), client(port), MAPPED).bytes());
    let mut steps = vec![Step::Frame(Side::Inside, Frame::new(UDP, CONTAINER, SERVER).bytes())];
    steps.push(Step::Answer { back: 0, flags: 0 });
    steps.extend(flood.map(|frame| Step::Frame(Side::Outside, frame)));
    let mut input = encoded(0, &steps);
    input[0] = 1;
    input
}

/// The input that [`crate::harness::pipeline`] reads as these steps, in a world of six connections and two ports.
fn encoded(failing_reservations: u64, steps: &[Step]) -> Vec<u8> {
    let mut input = vec![5, 1, 7];
    input.extend(failing_reservations.to_be_bytes());
    for step in steps {
        let (kind, payload) = match step {
            Step::Frame(Side::Inside, frame) => (0, frame.clone()),
            Step::Frame(Side::Outside, frame) => (1, frame.clone()),
            Step::Answer { back, flags } => (2, vec![*back, *flags]),
            Step::Wait(seconds) => (3, seconds.to_be_bytes().to_vec()),
            Step::EndRule(rule) => (4, vec![u8::try_from(*rule).expect("small")]),
            Step::StartRule(rule) => (5, vec![u8::try_from(*rule).expect("small")]),
            Step::Condemn(slot) => (6, vec![u8::try_from(*slot).expect("small")]),
            Step::Sweep => (7, Vec::new()),
        };
        input.extend([kind, u8::try_from(payload.len()).expect("a short frame")]);
        input.extend(payload);
    }
    input
}
