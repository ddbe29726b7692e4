//! The body of the fuzz target `pipeline`, as a plain function: `nat/corpus.rs` runs it too.

use netfwd_common::abi::{Filtering, PortChoice, Side, V4, V6};

use crate::{
    journal::{Journal, Step},
    world::{Plan, choice},
};

/// A world and what happens in it keep every law.
///
/// Four bytes for the world's size, ports, chance and configuration, eight for the reservations that fail, one bit
/// each; then steps: a byte for its kind, one for its length, and as many bytes as that.
pub(crate) fn pipeline(input: &[u8]) {
    let Some(([flows, ports, seed, configuration, failing @ ..], rest)) = input.split_first_chunk::<12>() else {
        return;
    };
    let failing = u64::from_be_bytes(*failing);
    let flags = if configuration & 0x40 == 0 { 0 } else { PortChoice::KEEP_CLASS | PortChoice::KEEP_PARITY };
    let ports = choice(&[1024..=1024 + u16::from(ports % 4)], flags);
    let plan = Plan {
        isolates: configuration & 0x80 != 0,
        failing_reservations: (0..64).filter(|number| failing >> number & 1 == 1).collect(),
        filtering: match configuration >> 1 & 3 {
            1 => Filtering::Address,
            2 => Filtering::Endpoint,
            _ => Filtering::AddressAndPort,
        },
        max_ports_per_source: u32::from(configuration >> 3 & 3),
        picks_up: configuration & 0x20 != 0,
        ..Plan::new(u32::from(flows % 10) + 1, ports, u32::from_be_bytes([*seed; 4]))
    };
    if configuration & 1 == 0 {
        Journal::<V4>::new(plan).live_through(steps(rest));
    } else {
        Journal::<V6>::new(plan).live_through(steps(rest));
    }
}

fn steps(mut rest: &[u8]) -> Vec<Step> {
    let mut steps = Vec::new();
    while let [kind, length, more @ ..] = rest {
        let (payload, more) = more.split_at(more.len().min(usize::from(*length)));
        steps.extend(step(*kind, payload));
        rest = more;
    }
    steps
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
        8 => Some(Step::Frame(Side::Bridge, payload.to_vec())),
        9 => Some(Step::Error { back: first }),
        _ => None,
    }
}
