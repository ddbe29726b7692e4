//! What the fuzzer runs, as plain functions: `tests/corpus.rs` runs them too.

use netfwd_common::{
    abi::Side,
    parse::{self, Kind},
};

use crate::{
    journal::{Journal, Step},
    world::Plan,
};

/// Whatever the parser says about the bytes is in the bytes.
pub(crate) fn parse(bytes: &[u8]) {
    for link_header in [0, 14] {
        let Ok(headers) = parse::ipv4(bytes, link_header) else {
            continue;
        };
        let network = &bytes[usize::from(link_header == 14) * 14..];
        assert_eq!((headers.network_at, network[0] >> 4), (link_header, 4));
        assert_eq!(network[12..20], [headers.source, headers.destination].concat());
        assert!(headers.transport_at >= link_header + 20);
        let at = usize::try_from(headers.transport_at).expect("within the bytes");
        let ports = [headers.transport.source_port, headers.transport.destination_port].concat();
        match headers.transport.kind {
            Kind::Tcp => assert_eq!((&bytes[at..at + 4], bytes[at + 13]), (&ports[..], headers.transport.flags.0)),
            Kind::Udp => assert_eq!(&bytes[at..at + 4], ports),
            Kind::EchoRequest => assert_eq!([&bytes[at + 4..at + 6], &[0; 2]].concat(), ports),
            Kind::EchoReply => assert_eq!([&[0; 2], &bytes[at + 4..at + 6]].concat(), ports),
            Kind::Untranslatable(reason) => assert!(reason.is_drop()),
        }
    }
}

/// A world and what happens in it keep every law.
///
/// Three bytes for the world's size and chance, eight for the reservations that fail, one bit each; then steps: a
/// byte for its kind, one for its length, and as many bytes as that.
pub(crate) fn pipeline(input: &[u8]) {
    let Some(([flows, ports, seed, failing @ ..], mut rest)) = input.split_first_chunk::<11>() else {
        return;
    };
    let failing = u64::from_be_bytes(*failing);
    let plan = Plan {
        max_flows: u32::from(flows % 6) + 1,
        ports: 1024..=1024 + u16::from(ports % 4),
        seed: u32::from_be_bytes([*seed; 4]),
        failing_reservations: (0..64).filter(|number| failing >> number & 1 == 1).collect(),
    };
    let mut steps = Vec::new();
    while let [kind, length, more @ ..] = rest {
        let (payload, more) = more.split_at(more.len().min(usize::from(*length)));
        steps.extend(step(*kind, payload));
        rest = more;
    }
    Journal::new(plan).live_through(steps);
}

fn step(kind: u8, payload: &[u8]) -> Option<Step> {
    let [first, second] = [0, 1].map(|at| payload.get(at).copied().unwrap_or(0));
    match kind {
        0 => Some(Step::Frame(Side::Inside, payload.to_vec())),
        1 => Some(Step::Frame(Side::Outside, payload.to_vec())),
        2 => Some(Step::Answer { back: first, flags: second }),
        3 => Some(Step::Wait(u16::from_be_bytes([first, second]))),
        4 => Some(Step::EndRule(u32::from(first % 4))),
        5 => Some(Step::StartRule(u32::from(first % 4))),
        6 => Some(Step::Condemn(u32::from(first))),
        7 => Some(Step::Sweep),
        _ => None,
    }
}
