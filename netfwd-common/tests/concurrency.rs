//! What the laws of the tables become when several CPUs meet packets at once.

#[cfg(test)]
#[path = "support/shared_tables.rs"]
mod shared_tables;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use netfwd_common::{
    abi::{Endpoint, FlowEvent, Mapping, Masquerade, Protocol, Reason, Rule, Side, Slot, Uplink, V4},
    conntrack::{self, State},
    memory::MemoryTables,
    parse,
    pipeline::{self, Hook},
    tables::Tables as _,
    verdict::Verdict,
};
use shared_tables::SharedTables;

const UPLINK: u32 = 2;
const HOST: V4 = [192, 0, 2, 1];
const CONTAINER: V4 = [10, 0, 0, 2];
const PEER: V4 = [198, 51, 100, 1];
const MAX_FLOWS: u32 = 8;
const FIRST_PORT: u16 = 1024;
const LAST_PORT: u16 = 1031;
const RULE: Rule = Rule { id: 1, generation: 1 };

#[test]
fn first_packets_of_one_connection_on_two_cpus_make_one_connection() {
    for round in 0..500_u16 {
        let tables = tables();
        let barrier = Barrier::new(2);
        let send = || {
            let mut frame = udp(Endpoint::new(CONTAINER, 5000 + round), Endpoint::new(PEER, 53));
            barrier.wait();
            (meet(&tables, Side::Inside, &mut frame, 1), frame)
        };
        let (one, two) = thread::scope(|scope| {
            let other = scope.spawn(send);
            (send(), other.join().expect("no panic"))
        });
        check(&tables);
        assert_eq!(live(&tables).len(), 1);
        let of_both = [&one, &two].map(|(verdict, _)| *verdict);
        let is_fine = |verdict: &Verdict| [Verdict::Translated, Verdict::Drop(Reason::Contended)].contains(verdict);
        assert!(of_both.contains(&Verdict::Translated) && of_both.iter().all(is_fine), "{of_both:?}");
        if of_both == [Verdict::Translated; 2] {
            assert_eq!(one.1, two.1, "both go to the same connection");
        }
    }
}

#[test]
fn nothing_is_lost_or_shared_when_cpus_open_find_and_end_connections_at_once() {
    let (tables, clock) = (tables(), AtomicU64::new(1));
    thread::scope(|scope| {
        for cpu in 0..4_u32 {
            let (tables, clock) = (&tables, &clock);
            scope.spawn(move || {
                let mut chance = cpu;
                for _ in 0..15_000 {
                    chance = chance.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
                    something(tables, clock, chance >> 8);
                }
            });
        }
    });
    check(&tables);
    let end = clock.load(Relaxed) + 1_000_000_000_000_000;
    (0..MAX_FLOWS).for_each(|slot| conntrack::sweep(&tables, slot, end));
    check(&tables);
    assert!(tables.tuples().is_empty());
    let happened = FlowEvent::ALL.map(|event| tables.events(event));
    assert!(happened.iter().all(|count| *count > 0), "each way to end was taken: {happened:?}");
}

fn something(tables: &SharedTables, clock: &AtomicU64, chance: u32) {
    let port = |count| u16::try_from(chance / 16 % count).expect("small");
    let now = clock.load(Relaxed);
    match chance % 16 {
        0..=5 => packet(tables, Side::Inside, (CONTAINER, 1024 + port(12)), (PEER, 53), now),
        6..=9 => packet(tables, Side::Outside, (PEER, 53), (HOST, FIRST_PORT + port(8)), now),
        10..=11 => packet(tables, Side::Outside, (PEER, 2000 + port(4)), (HOST, 8080 + port(2)), now),
        12 => packet(tables, Side::Inside, (CONTAINER, 80), (PEER, 2000 + port(4)), now),
        13 => conntrack::sweep(tables, u32::from(port(8)), now),
        14 => condemn(tables, u32::from(port(8))),
        _ => drop(clock.fetch_add(20_000_000_000, Relaxed)),
    }
}

fn packet(tables: &SharedTables, side: Side, source: (V4, u16), destination: (V4, u16), now: u64) {
    let mut frame = udp(Endpoint::new(source.0, source.1), Endpoint::new(destination.0, destination.1));
    let before = frame.clone();
    let verdict = meet(tables, side, &mut frame, now);
    assert!(verdict == Verdict::Translated || frame == before);
    assert!(side == Side::Outside || !matches!(verdict, Verdict::Pass(_)), "an inside source leaks");
}

fn condemn(tables: &SharedTables, slot: u32) {
    let state = &tables.connection(slot).expect("a slot of the table").state;
    let seen = state.load(Relaxed);
    if State(seen).has(State::LIVE) {
        // As the user does: only if nothing has changed since it was read.
        let _ = state.compare_exchange(seen, seen | State::CONDEMNED, Relaxed, Relaxed);
    }
}

/// With every CPU at rest: both tuples or none, each slot once.
fn check(tables: &SharedTables) {
    let (index, live, free) = (tables.tuples(), live(tables), tables.free_slots());
    for (number, slot) in &live {
        let record = tables.connection(*number).expect("a live slot");
        assert_eq!([record.original, record.reply].map(|tuple| index.get(&tuple)), [Some(slot); 2]);
    }
    assert_eq!(index.len(), live.len() * 2);
    let slots: HashSet<_> = live.keys().chain(&free).copied().collect();
    assert_eq!(slots.len(), live.len() + free.len(), "no slot twice");
    assert_eq!(slots, (0..tables.high_water().min(MAX_FLOWS)).collect(), "no slot lost");
    let [created, expired, ended, evicted] = FlowEvent::ALL.map(|event| tables.events(event));
    assert_eq!(created, expired + ended + evicted + u64::try_from(live.len()).expect("few"));
}

fn live(tables: &SharedTables) -> HashMap<u32, Slot> {
    let state = |number| State(tables.connection(number).expect("a slot of the table").state.load(Relaxed));
    let is_live = |number: &u32| state(*number).has(State::LIVE);
    let slot = |number| (number, Slot { number, incarnation: state(number).incarnation() });
    (0..MAX_FLOWS).filter(is_live).map(slot).collect()
}

fn tables() -> SharedTables {
    let mut tables = MemoryTables::new(MAX_FLOWS);
    tables.generations.insert(RULE.id, RULE.generation);
    tables.local.insert(HOST);
    let (first_port, last_port) = (FIRST_PORT.to_be_bytes(), LAST_PORT.to_be_bytes());
    let masquerade = Masquerade { address: HOST, first_port, last_port, rule: RULE };
    tables.masquerades.insert((UPLINK, CONTAINER), masquerade);
    for port in [8080, 8081] {
        let mapping = Mapping::new(RULE, port, port, Endpoint::new(CONTAINER, 80));
        tables.mappings.insert((Protocol::Udp, Endpoint::new(HOST, port)), mapping);
    }
    SharedTables::like(tables)
}

fn meet(tables: &SharedTables, side: Side, frame: &mut [u8], now: u64) -> Verdict {
    let (first_port, last_port) = (FIRST_PORT.to_be_bytes(), LAST_PORT.to_be_bytes());
    let uplink = Uplink { slot: 0, link_header: 0, rule: RULE, first_port, last_port };
    let hook = Hook { ifindex: UPLINK, side, uplink: &uplink, now };
    match side {
        Side::Inside => pipeline::egress(frame, parse::ipv4, tables, &hook),
        Side::Outside => pipeline::ingress(frame, parse::ipv4, tables, &hook),
    }
}

/// A datagram without payload, link-layer header or checksums.
fn udp(source: Endpoint<V4>, destination: Endpoint<V4>) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
    packet.extend([source.address, destination.address].concat());
    packet.extend([source.port, destination.port, [0, 8], [0, 0]].concat());
    packet
}
