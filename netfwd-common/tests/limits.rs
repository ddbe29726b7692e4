//! What happens at the limits: no port left, no room left, a rule gone, an address forged.

#[cfg(test)]
#[path = "support/frame.rs"]
mod frame;
#[cfg(test)]
#[path = "support/world.rs"]
mod world;

use std::{
    collections::{BTreeSet, HashSet},
    ops::RangeInclusive,
};

use frame::{Frame, Kind};
use netfwd_common::{
    abi::{Endpoint, FlowEvent, Protocol, Reason, Side, Tuple, V4},
    conntrack,
    memory::MemoryTables,
    parse,
    verdict::Verdict,
};
use world::{ANY_RULE, CONTAINERS, EXACT_RULE, HOST_RULE, HOSTS, MASQUERADE_RULE, PEERS, Plan, end_rule, start_rule};

const UDP: Kind = Kind::Udp { has_checksum: true };
const SYN: Kind = Kind::Tcp(0x02);
const SYN_ACK: Kind = Kind::Tcp(0x12);
const ACK: Kind = Kind::Tcp(0x10);
const FIN: Kind = Kind::Tcp(0x11);
const RST: Kind = Kind::Tcp(0x04);

const DNS: Endpoint<V4> = Endpoint::new(PEERS[0], 53);
const CLIENT: Endpoint<V4> = Endpoint::new(PEERS[1], 50000);
const MAPPED: Endpoint<V4> = Endpoint::new(HOSTS[0], 8080);
const TARGET: Endpoint<V4> = Endpoint::new(CONTAINERS[0], 80);

#[test]
fn a_short_range_is_used_to_its_last_port_and_then_packets_are_dropped() {
    for (span, seed) in (1..=64_u16).flat_map(|span| [(span, 0), (span, 0x1234_5678), (span, u32::MAX)]) {
        let world = World::new(1000, 2000..=1999 + span, seed);
        let ports: Vec<_> = (0..span).map(|n| world.port_of(UDP, 20000 + n)).collect();
        assert_eq!(ports.iter().copied().collect::<BTreeSet<_>>(), (2000..=1999 + span).collect(), "each port once");

        let before = world.tables.tuples();
        assert_eq!(world.send(UDP, container(30000), DNS).0, Verdict::Drop(Reason::PortsExhausted));
        assert_eq!(world.tables.tuples(), before, "existing connections do not notice");
        assert_eq!(world.port_of(UDP, 20000), ports[0], "and go on as they were");
    }
}

#[test]
fn the_same_port_serves_different_destinations() {
    let world = World::new(1000, 2000..=2000, 1);
    for peer in [53, 54, 55].map(|port| Endpoint::new(PEERS[0], port)) {
        assert_eq!(world.send(UDP, container(20000), peer).0, Verdict::Translated);
    }
}

#[test]
fn every_port_of_a_range_can_be_chosen() {
    let ports = |seed| World::new(1, 2000..=2099, seed).port_of(UDP, 20000);
    assert_eq!((0..100).map(ports).collect::<BTreeSet<_>>(), (2000..=2099).collect());
}

#[test]
fn a_source_port_in_the_range_is_kept_and_one_outside_it_is_not() {
    let world = World::new(1000, 2000..=2099, 7);
    assert_eq!(world.port_of(UDP, 2042), 2042);
    assert_eq!(world.port_of(SYN, 2042), 2042);
    assert!((2000..=2099).contains(&world.port_of(UDP, 1999)));
    assert!((2000..=2099).contains(&world.port_of(UDP, 2100)));
    assert_eq!(world.port_of(Kind::EchoRequest, 5), 5, "identifiers have no range");
}

#[test]
fn a_tuple_that_a_socket_of_the_host_receives_is_never_chosen() {
    let mut world = World::new(1000, 2000..=2001, 7);
    let reply = Tuple::new(Protocol::Udp, Side::Outside, DNS, Endpoint::new(HOSTS[0], 2000));
    world.tables.host_sockets.insert(reply);
    assert_eq!(world.port_of(UDP, 2000), 2001);
    assert_eq!(world.send(UDP, container(2001), DNS).0, Verdict::Drop(Reason::PortsExhausted));
}

#[test]
fn a_packet_of_the_host_moves_only_if_a_translated_connection_has_its_tuple() {
    let world = World::new(1000, 2000..=2099, 7);
    let host = |port| Endpoint::new(HOSTS[0], port);
    assert_eq!(world.port_of(UDP, 2042), 2042);
    assert_eq!(world.send(UDP, host(2041), DNS).0, Verdict::Pass(Reason::NotOurs));
    let (verdict, sent) = world.send(UDP, host(2042), DNS);
    assert_eq!(verdict, Verdict::Translated);
    assert_ne!(source_of(&sent).port, host(2042).port);
    let (verdict, answer) = world.receive(UDP, DNS, source_of(&sent));
    assert_eq!((verdict, destination_of(&answer)), (Verdict::Translated, host(2042)));
    let (verdict, answer) = world.receive(UDP, DNS, host(2042));
    assert_eq!((verdict, destination_of(&answer)), (Verdict::Translated, container(2042)));
}

#[test]
fn a_full_table_never_evicts_an_assured_connection() {
    let world = World::new(8, 2000..=2099, 7);
    for port in 2000..2008 {
        assert_eq!(world.port_of(UDP, port), port);
        assert_eq!(world.receive(UDP, DNS, Endpoint::new(HOSTS[0], port)).0, Verdict::Translated);
    }
    let before = world.tables.tuples();
    for port in 2010..2050_u16 {
        assert_eq!(world.send(UDP, container(port), DNS).0, Verdict::Drop(Reason::TableFull));
        assert_eq!(
            world.receive(SYN, Endpoint { port: port.to_be_bytes(), ..CLIENT }, MAPPED).0,
            Verdict::Drop(Reason::TableFull)
        );
    }
    assert_eq!(world.tables.tuples(), before);
    assert_eq!(world.tables.events(FlowEvent::Evicted), 0);
}

#[test]
fn a_flood_of_first_packets_evicts_only_its_own() {
    let world = World::new(8, 2000..=2099, 7);
    assert_eq!(world.send(SYN, container(2000), DNS).0, Verdict::Translated);
    assert_eq!(world.receive(SYN_ACK, DNS, Endpoint::new(HOSTS[0], 2000)).0, Verdict::Translated);
    assert_eq!(world.send(ACK, container(2000), DNS).0, Verdict::Translated);
    for port in 40000..40500_u16 {
        assert_eq!(world.receive(SYN, Endpoint { port: port.to_be_bytes(), ..CLIENT }, MAPPED).0, Verdict::Translated);
    }
    assert_eq!(world.tables.events(FlowEvent::Evicted), 500 - 7);
    assert_eq!(world.send(ACK, container(2000), DNS).0, Verdict::Translated);
    assert_eq!(world.tables.tuples().len(), 16);
}

#[test]
fn a_rule_that_ends_takes_its_connections_with_it_at_once() {
    let mut world = World::new(1000, 2000..=2099, 7);
    assert_eq!(world.receive(UDP, CLIENT, MAPPED).0, Verdict::Translated);
    assert_eq!(world.send(UDP, TARGET, CLIENT).0, Verdict::Translated);
    assert_eq!(world.port_of(UDP, 2042), 2042);

    end_rule(&mut world.tables, EXACT_RULE);
    assert_eq!(world.receive(UDP, CLIENT, MAPPED).0, Verdict::Pass(Reason::NotOurs));
    assert_eq!(world.tables.tuples().len(), 2, "the packet that found it ended removed it");
    assert_eq!(world.port_of(UDP, 2042), 2042, "another rule's connection stays");

    end_rule(&mut world.tables, MASQUERADE_RULE);
    assert_eq!(world.send(UDP, container(2042), DNS).0, Verdict::Pass(Reason::NotOurs));
    assert!(world.tables.tuples().is_empty());
    assert_eq!(world.tables.events(FlowEvent::Ended), 2);
}

#[test]
fn a_rule_that_begins_anew_does_not_revive_its_old_connections() {
    let mut world = World::new(1000, 2000..=2099, 7);
    assert_eq!(world.receive(ANY_SYN.0, CLIENT, ANY_SYN.1).0, Verdict::Translated);
    start_rule(&mut world.tables, ANY_RULE, &(2000..=2099));
    assert_eq!(world.receive(ACK, CLIENT, ANY_SYN.1).0, Verdict::Pass(Reason::NotNewInbound));
    assert_eq!(world.send(SYN_ACK, TARGET, CLIENT).0, Verdict::Drop(Reason::NotNewOutbound));
    assert!(world.tables.tuples().is_empty());
}

const ANY_SYN: (Kind, Endpoint<V4>) = (SYN, Endpoint::new(HOSTS[1], 9090));

#[test]
fn a_connection_lives_as_long_as_its_state_says_and_no_longer() {
    let half_open = [(Side::Inside, SYN)];
    let open = [(Side::Inside, SYN), (Side::Outside, SYN_ACK), (Side::Inside, ACK)];
    let closed = [&open[..], &[(Side::Inside, FIN), (Side::Outside, FIN)]].concat();
    let reset = [&open[..], &[(Side::Outside, RST)]].concat();
    let half_closed = [&open[..], &[(Side::Outside, FIN)]].concat();
    for (packets, seconds) in [
        (&[(Side::Inside, UDP)][..], 300),
        (&[(Side::Inside, UDP), (Side::Outside, UDP)], 300),
        (&[(Side::Inside, Kind::EchoRequest)], 60),
        (&half_open, 240),
        (&open, 7440),
        (&half_closed, 7440),
        (&closed, 240),
        (&reset, 240),
    ] {
        let mut world = World::new(1000, 2000..=2099, 7);
        for (side, kind) in packets {
            world.now += 1;
            let (source, destination) = match side {
                Side::Inside => (container(2000), DNS),
                Side::Outside => (DNS, Endpoint::new(HOSTS[0], 2000)),
            };
            assert_eq!(world.meet(*side, &Frame::new(*kind, source, destination)).0, Verdict::Translated);
        }
        let end = world.now + seconds * 1_000_000_000;
        conntrack::sweep(&world.tables, 0, end - 1);
        assert_eq!(world.tables.tuples().len(), 2, "{packets:?} live {seconds} s");
        conntrack::sweep(&world.tables, 0, end);
        assert_eq!(world.tables.tuples().len(), 0, "{packets:?} live {seconds} s");
    }
}

#[test]
fn a_new_handshake_takes_the_place_of_a_closed_connection_and_only_of_that() {
    let host = Endpoint::new(HOSTS[0], 2000);
    for (closing, made) in [(&[RST][..], 2), (&[FIN], 1), (&[], 1)] {
        let world = World::new(1000, 2000..=2099, 7);
        assert_eq!(world.port_of(SYN, 2000), 2000);
        for kind in [&[SYN_ACK], closing].concat() {
            assert_eq!(world.receive(kind, DNS, host).0, Verdict::Translated);
        }
        assert_eq!(world.port_of(SYN, 2000), 2000, "the port is free again");
        assert_eq!(world.tables.events(FlowEvent::Created), made, "{closing:?}");
        assert_eq!(world.tables.tuples().len(), 2);
    }
}

#[test]
fn what_never_was_a_handshake_lives_no_longer_than_a_half_open_connection() {
    for packets in [
        &[(Side::Outside, SYN), (Side::Outside, FIN)][..],
        &[(Side::Outside, SYN), (Side::Inside, RST), (Side::Outside, ACK)],
    ] {
        let world = World::new(1000, 2000..=2099, 7);
        for (side, kind) in packets {
            let (source, destination) = if *side == Side::Inside { (TARGET, CLIENT) } else { (CLIENT, MAPPED) };
            assert_eq!(world.meet(*side, &Frame::new(*kind, source, destination)).0, Verdict::Translated);
        }
        conntrack::sweep(&world.tables, 0, 240_000_000_000);
        assert!(world.tables.tuples().is_empty(), "{packets:?}");
    }
    let world = World::new(1000, 2000..=2099, 7);
    let syn_fin = world.receive(Kind::Tcp(0x03), CLIENT, MAPPED).0;
    assert_eq!(syn_fin, Verdict::Pass(Reason::NotNewInbound));
}

#[test]
fn a_longer_range_is_not_exhausted_by_one_connection() {
    for span in 65..=127_u16 {
        for start in 0..u32::from(span) {
            let random = u32::from(span) << 16 | start;
            let world = World::new(2, 2000..=1999 + span, random);
            let first = world.port_of(UDP, 20000);
            world.tables.seed.set(random);
            assert_ne!(world.port_of(UDP, 20001), first);
        }
    }
}

#[test]
fn generation_0_is_never_in_force() {
    let mut world = World::new(1000, 2000..=2099, 7);
    world.tables.generations.insert(EXACT_RULE, 0);
    world.tables.mappings.values_mut().for_each(|mapping| mapping.rule.generation = 0);
    assert_eq!(world.receive(UDP, CLIENT, MAPPED).0, Verdict::Pass(Reason::NotOurs));
}

#[test]
fn the_unspecified_address_is_no_address_of_the_host() {
    let world = World::new(1000, 2000..=2099, 7);
    assert_eq!(world.receive(UDP, CLIENT, Endpoint::new([0; 4], 9090)).0, Verdict::Pass(Reason::NotOurs));
}

#[test]
fn the_reaper_needs_no_packet_to_end_what_has_ended() {
    let mut world = World::new(1000, 2000..=2099, 7);
    assert_eq!(world.receive(UDP, CLIENT, MAPPED).0, Verdict::Translated);
    conntrack::sweep(&world.tables, 0, 0);
    assert_eq!(world.tables.tuples().len(), 2);
    end_rule(&mut world.tables, EXACT_RULE);
    conntrack::sweep(&world.tables, 0, 0);
    assert!(world.tables.tuples().is_empty());
    assert_eq!(world.tables.free_slots(), [0]);
}

#[test]
fn inside_addresses_forged_on_the_wire_match_nothing() {
    let world = World::new(1000, 2000..=2099, 7);
    assert_eq!(world.receive(UDP, CLIENT, MAPPED).0, Verdict::Translated);
    assert_eq!(world.port_of(UDP, 2042), 2042);
    for (source, destination) in [
        (TARGET, CLIENT),          // the mapping's answer before it is translated
        (CLIENT, TARGET),          // the mapping's request after it was
        (container(2042), DNS),    // the masqueraded request before
        (DNS, container(2042)),    // its answer after
        (container(2042), MAPPED), // and a container that is not on this side
    ] {
        let forged = world.receive(UDP, source, destination).0;
        let expected = if destination == MAPPED { Verdict::Translated } else { Verdict::Pass(Reason::NotOurs) };
        assert_eq!(forged, expected, "{source:?} {destination:?}");
    }
}

#[test]
fn what_cannot_be_translated_is_dropped_from_a_container_and_passed_from_the_host() {
    let world = World::new(1000, 2000..=2099, 7);
    for (kind, reason) in [
        (Kind::TimeExceeded, Reason::UnsupportedIcmp),
        (Kind::EchoReply, Reason::NotNewOutbound),
        (SYN_ACK, Reason::NotNewOutbound),
    ] {
        assert_eq!(world.send(kind, container(2000), DNS).0, Verdict::Drop(reason));
        assert_eq!(world.send(kind, Endpoint::new(HOSTS[0], 2000), DNS).0, Verdict::Pass(Reason::NotOurs));
        assert_eq!(world.receive(kind, DNS, Endpoint::new(HOSTS[0], 2000)).0, Verdict::Pass(Reason::NotOurs));
    }
}

#[test]
fn no_host_rule_is_needed_while_nothing_of_the_host_moves() {
    let mut world = World::new(1000, 2000..=2099, 7);
    end_rule(&mut world.tables, HOST_RULE);
    assert_eq!(world.send(UDP, Endpoint::new(HOSTS[0], 2000), DNS).0, Verdict::Pass(Reason::NotOurs));
}

struct World {
    plan: Plan,
    tables: MemoryTables<V4>,
    now: u64,
}

impl World {
    fn new(max_flows: u32, ports: RangeInclusive<u16>, seed: u32) -> Self {
        let plan = Plan { max_flows, ports, seed, failing_reservations: HashSet::new() };
        Self { tables: plan.tables(), plan, now: 0 }
    }

    /// The host or a container sends a packet.
    fn send(&self, kind: Kind, source: Endpoint<V4>, destination: Endpoint<V4>) -> (Verdict, Vec<u8>) {
        self.meet(Side::Inside, &Frame::new(kind, source, destination))
    }

    /// A packet comes from the wire.
    fn receive(&self, kind: Kind, source: Endpoint<V4>, destination: Endpoint<V4>) -> (Verdict, Vec<u8>) {
        self.meet(Side::Outside, &Frame::new(kind, source, destination))
    }

    fn meet(&self, side: Side, frame: &Frame) -> (Verdict, Vec<u8>) {
        let mut bytes = frame.bytes();
        (self.plan.meet(&self.tables, side, &mut bytes, self.now), bytes)
    }

    /// The port on the wire of what a container sends from `port`.
    fn port_of(&self, kind: Kind, port: u16) -> u16 {
        let (verdict, frame) = self.send(kind, container(port), DNS);
        assert_eq!(verdict, Verdict::Translated);
        let source = source_of(&frame);
        assert_eq!(source.address, HOSTS[0]);
        u16::from_be_bytes(source.port)
    }
}

fn container(port: u16) -> Endpoint<V4> {
    Endpoint::new(CONTAINERS[1], port)
}

fn source_of(frame: &[u8]) -> Endpoint<V4> {
    let headers = parse::ipv4(frame, 14).expect("built here");
    Endpoint { address: headers.source, port: headers.transport.source_port }
}

fn destination_of(frame: &[u8]) -> Endpoint<V4> {
    let headers = parse::ipv4(frame, 14).expect("built here");
    Endpoint { address: headers.destination, port: headers.transport.destination_port }
}
