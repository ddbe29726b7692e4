//! What the laws of the tables become when several CPUs meet packets at once.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use netfwd_common::{
    abi::{Filtering, FlowEvent, Reason, Side, Slot, Tuple, V4},
    conntrack::{self, State},
    pipeline::{self, Hook},
    scratch::Scratch,
    tables::Tables as _,
    verdict::Verdict,
};

use crate::{
    shared_tables::SharedTables,
    world::{BRIDGE, MASQUERADE_RULE, Place as _, Plan, UPLINK, ports},
};

const HOST: V4 = V4::HOSTS[0];
const CONTAINER: V4 = V4::CONTAINERS[0];
const PEERS: [V4; 2] = V4::PEERS;
const MAX_RECORDS: u32 = 12;
/// The rule of the host's own moved connections is in its first life.
const HOST_GENERATION: u32 = 1;
const FIRST_PORT: u16 = 1024;
const LAST_PORT: u16 = 1031;

#[test]
fn first_packets_of_one_connection_on_two_cpus_make_one_connection() {
    for plan in plans() {
        for round in 0..300_u16 {
            let tables = SharedTables::like(plan.tables());
            let one = || (CONTAINER, 5000 + round);
            let of_both = at_once(&tables, &plan, [(one(), (PEERS[0], 53)), (one(), (PEERS[0], 53))]);
            assert_eq!(connections(&tables).len(), 1);
            let verdicts = of_both.each_ref().map(|(verdict, _)| *verdict);
            let is_fine = |verdict: &Verdict| [Verdict::Translated, Verdict::Drop(Reason::Contended)].contains(verdict);
            assert!(verdicts.contains(&Verdict::Translated) && verdicts.iter().all(is_fine), "{verdicts:?}");
            if verdicts == [Verdict::Translated; 2] {
                assert_eq!(of_both[0].1, of_both[1].1, "both go to the same connection");
            }
        }
    }
}

#[test]
fn first_packets_of_one_endpoint_to_two_destinations_on_two_cpus_get_one_outside_port() {
    for plan in plans() {
        for round in 0..300_u16 {
            let tables = SharedTables::like(plan.tables());
            let source = (CONTAINER, 5000 + round);
            let both = at_once(&tables, &plan, [(source, (PEERS[0], 53)), (source, (PEERS[1], 80))]);
            let ports = both.map(|(verdict, frame)| (verdict == Verdict::Translated).then(|| frame[34..36].to_vec()));
            let translated: HashSet<_> = ports.into_iter().flatten().collect();
            assert_eq!(translated.len(), 1, "and none is lost but by the way");
        }
    }
}

#[test]
fn nothing_is_lost_or_shared_when_cpus_open_find_and_end_connections_at_once() {
    for plan in plans() {
        let (tables, clock) = (SharedTables::like(plan.tables()), AtomicU64::new(1));
        thread::scope(|scope| {
            for cpu in 0..4_u32 {
                let (tables, clock, plan) = (&tables, &clock, &plan);
                scope.spawn(move || each(cpu, 10_000, |chance| something(tables, plan, clock, chance, false)));
            }
        });
        check(&tables);
        end(&tables, clock.load(Relaxed));
        let happened = FlowEvent::ALL.map(|event| tables.events(event));
        assert!(happened.iter().all(|count| *count > 0), "each way to end was taken: {happened:?}");
    }
}

#[test]
fn a_rule_that_ends_while_cpus_open_connections_leaves_nothing_behind() {
    for plan in plans() {
        for round in 0..20_u32 {
            let (tables, clock) = (SharedTables::like(plan.tables()), AtomicU64::new(1));
            thread::scope(|scope| {
                for cpu in 0..3_u32 {
                    let (tables, clock, plan) = (&tables, &clock, &plan);
                    let seed = round * 3 + cpu;
                    scope.spawn(move || each(seed, 400, |chance| something(tables, plan, clock, chance, true)));
                }
                for _ in 0..round * 10 {
                    thread::yield_now();
                }
                tables.advance(MASQUERADE_RULE);
            });
            check(&tables);
            end(&tables, clock.load(Relaxed));
        }
    }
}

/// Each way in which connections share records.
fn plans() -> [Plan; 4] {
    [(Filtering::AddressAndPort, 0), (Filtering::Address, 0), (Filtering::Endpoint, 0), (Filtering::Address, 3)].map(
        |(filtering, max_ports_per_source)| Plan {
            filtering,
            max_ports_per_source,
            ..Plan::new(MAX_RECORDS, ports(FIRST_PORT..=LAST_PORT), 1)
        },
    )
}

type End = (V4, u16);

/// Two packets of containers at the same moment.
fn at_once(tables: &SharedTables, plan: &Plan, packets: [(End, End); 2]) -> [(Verdict, Vec<u8>); 2] {
    let barrier = Barrier::new(2);
    let send = |(source, destination): (End, End)| {
        let mut frame = udp(source, destination);
        barrier.wait();
        (meet(tables, plan, Side::Inside, &mut frame, 1), frame)
    };
    let [one, two] = packets;
    let both = thread::scope(|scope| {
        let other = scope.spawn(|| send(two));
        [send(one), other.join().expect("no panic")]
    });
    check(tables);
    both
}

fn each(seed: u32, times: u32, mut happen: impl FnMut(u32)) {
    let mut chance = seed;
    for _ in 0..times {
        chance = chance.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
        happen(chance >> 8);
    }
}

fn something(tables: &SharedTables, plan: &Plan, clock: &AtomicU64, chance: u32, may_leak: bool) {
    let port = |count| u16::try_from(chance / 16 % count).expect("small");
    let peer = PEERS[usize::from(port(2))];
    let now = clock.load(Relaxed);
    let packet = |side, source, destination| packet(tables, plan, (side, source, destination), now, may_leak);
    match chance % 16 {
        0..=5 => packet(Side::Inside, (CONTAINER, 1024 + port(12)), (peer, 53)),
        6..=8 => packet(Side::Outside, (peer, 53 + port(2)), (HOST, FIRST_PORT + port(8))),
        9 => packet(Side::Bridge, (CONTAINER, 1024 + port(12)), (HOST, FIRST_PORT + port(8))),
        10..=11 => packet(Side::Outside, (PEERS[0], 2000 + port(4)), (HOST, 9090 + port(2))),
        12 => packet(Side::Inside, (CONTAINER, 80), (PEERS[0], 2000 + port(4))),
        13 => conntrack::sweep(tables, u32::from(port(12)), now),
        14 => condemn(tables, u32::from(port(12))),
        _ => drop(clock.fetch_add(20_000_000_000, Relaxed)),
    }
}

fn packet(tables: &SharedTables, plan: &Plan, (side, source, destination): (Side, End, End), now: u64, may_leak: bool) {
    let mut frame = udp(source, destination);
    let before = frame.clone();
    let verdict = meet(tables, plan, side, &mut frame, now);
    let changes = matches!(verdict, Verdict::Translated | Verdict::Redirected(_) | Verdict::Answered(..));
    assert!(changes || frame == before, "{verdict:?} changes {source:?} to {destination:?}");
    assert!(
        may_leak || side != Side::Inside || !matches!(verdict, Verdict::Pass(_)),
        "an inside source leaks: {verdict:?}"
    );
}

fn condemn(tables: &SharedTables, slot: u32) {
    let record = tables.connection(slot).expect("a slot of the table");
    let seen = record.state.load(Relaxed);
    if State(seen).has(State::LIVE) && Side::is_of_packets(record.original.side) {
        // As the user does: only if nothing has changed since it was read.
        let _ = record.state.compare_exchange(seen, seen | State::CONDEMNED, Relaxed, Relaxed);
    }
}

/// With every CPU at rest: both tuples or none, each slot once, and every holder counted.
fn check(tables: &SharedTables) {
    let (index, live, free) = (tables.tuples(), live(tables), tables.free_slots());
    for (slot, record) in live.values() {
        assert_eq!([record.original, record.reply].map(|tuple| index.get(&tuple)), [Some(slot); 2]);
        let holders = live.values().filter(|(_, other)| other.parent == *slot).count();
        assert_eq!(record.state.children(), u32::try_from(holders).expect("few"), "{:?}", record.original);
    }
    assert_eq!(index.len(), live.len() * 2);
    let slots: HashSet<_> = live.keys().chain(&free).copied().collect();
    assert_eq!(slots.len(), live.len() + free.len(), "no slot twice");
    assert_eq!(slots, (0..tables.high_water().min(MAX_RECORDS)).collect(), "no slot lost");
    let [created, expired, ended, evicted] = FlowEvent::ALL.map(|event| tables.events(event));
    let count = u64::try_from(connections(tables).len()).expect("few");
    assert_eq!(created, expired + ended + evicted + count);
}

/// When everything has ended, nothing is left.
fn end(tables: &SharedTables, now: u64) {
    for later in 1..=4 {
        (0..MAX_RECORDS).for_each(|slot| conntrack::sweep(tables, slot, now + later * 1_000_000_000_000_000));
        check(tables);
    }
    assert!(tables.tuples().is_empty());
}

/// What the laws are about.
struct Seen {
    original: Tuple<V4>,
    reply: Tuple<V4>,
    parent: Slot,
    state: State,
}

/// The live records, by slot.
fn live(tables: &SharedTables) -> HashMap<u32, (Slot, Seen)> {
    let read = |number| {
        let record = tables.connection(number).expect("a slot of the table");
        let state = State(record.state.load(Relaxed));
        state.has(State::LIVE).then(|| {
            let slot = Slot { number, incarnation: state.incarnation() };
            (number, (slot, Seen { original: record.original, reply: record.reply, parent: record.parent, state }))
        })
    };
    (0..MAX_RECORDS).filter_map(read).collect()
}

/// The tuples of the live connections.
fn connections(tables: &SharedTables) -> HashSet<Tuple<V4>> {
    let live = live(tables);
    live.values().map(|(_, record)| record.original).filter(|tuple| Side::is_of_packets(tuple.side)).collect()
}

fn meet(tables: &SharedTables, plan: &Plan, side: Side, frame: &mut Vec<u8>, now: u64) -> Verdict {
    let interface = plan.interface(HOST_GENERATION, side);
    let ifindex = if side == Side::Bridge { BRIDGE } else { UPLINK };
    let (hook, mut scratch) = (Hook { ifindex, side, interface: &interface, now }, Scratch::new());
    match side {
        Side::Outside => pipeline::ingress(frame, tables, &hook, &mut scratch),
        Side::Bridge => pipeline::bridge(frame, tables, &hook, &mut scratch),
        Side::Inside | Side::Binding | Side::Permission | Side::Account => {
            pipeline::egress(frame, tables, &hook, &mut scratch)
        }
    }
}

/// A datagram without payload or checksums.
fn udp(source: End, destination: End) -> Vec<u8> {
    let mut packet = [&[2; 12], &[0x08, 0x00, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0][..]].concat();
    packet.extend([source.0, destination.0].concat());
    packet.extend([source.1.to_be_bytes(), destination.1.to_be_bytes(), [0, 8], [0, 0]].concat());
    packet
}
