//! A host between a wire and two containers; few addresses and ports, so that they collide.

use std::{collections::HashSet, ops::RangeInclusive};

use netfwd_common::{
    abi::{Endpoint, Mapping, Masquerade, Protocol, Rule, Side, Tuple, Uplink, V4},
    memory::MemoryTables,
    parse,
    pipeline::{self, Hook},
    verdict::Verdict,
};

/// The uplink's interface index.
pub(crate) const UPLINK: u32 = 2;
/// The host's addresses on the uplink. The first is the masquerade's.
pub(crate) const HOSTS: [V4; 2] = [[192, 0, 2, 1], [192, 0, 2, 2]];
/// The containers, whose subnet is masqueraded.
pub(crate) const CONTAINERS: [V4; 2] = [[10, 0, 0, 2], [10, 0, 0, 3]];
/// Hosts on the wire. From its port 1024 the host has connections of its own to port 53 of the second.
pub(crate) const PEERS: [V4; 2] = [[198, 51, 100, 1], [198, 51, 100, 2]];

/// The rule of the host's own moved connections.
pub(crate) const HOST_RULE: u32 = 0;
/// The masquerade.
pub(crate) const MASQUERADE_RULE: u32 = 1;
/// The first host address's port 8080 is mapped to port 80 of the first container.
pub(crate) const EXACT_RULE: u32 = 2;
/// Ports 9090 and 9091 of any local address are mapped to ports 80 and 81 of the same container.
pub(crate) const ANY_RULE: u32 = 3;

/// A world's size, and what goes wrong in it.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Connections at most.
    pub(crate) max_flows: u32,
    /// What the masquerade and the host choose from.
    pub(crate) ports: RangeInclusive<u16>,
    /// Where chance starts.
    pub(crate) seed: u32,
    /// Reservations that fail, by number.
    pub(crate) failing_reservations: HashSet<u32>,
}

impl Plan {
    /// The tables, with all rules in force.
    pub(crate) fn tables(&self) -> MemoryTables<V4> {
        let mut tables = MemoryTables::new(self.max_flows);
        tables.seed.set(self.seed);
        tables.failing_reservations.clone_from(&self.failing_reservations);
        tables.local.extend(HOSTS);
        let (server, client) = (Endpoint::new(PEERS[1], 53), Endpoint::new(HOSTS[0], 1024));
        let sockets = [Protocol::Tcp, Protocol::Udp].map(|it| Tuple::new(it, Side::Outside, server, client));
        tables.host_sockets.extend(sockets);
        for rule in [HOST_RULE, MASQUERADE_RULE, EXACT_RULE, ANY_RULE] {
            start_rule(&mut tables, rule, &self.ports);
        }
        tables
    }

    /// What becomes of a frame that comes from the containers or the host ([`Side::Inside`]) or from the wire.
    pub(crate) fn meet(&self, tables: &MemoryTables<V4>, side: Side, frame: &mut [u8], now: u64) -> Verdict {
        let uplink = self.uplink(tables);
        let hook = Hook { ifindex: UPLINK, side, uplink: &uplink, now };
        match side {
            Side::Inside => pipeline::egress(frame, parse::ipv4, tables, &hook),
            Side::Outside => pipeline::ingress(frame, parse::ipv4, tables, &hook),
        }
    }

    fn uplink(&self, tables: &MemoryTables<V4>) -> Uplink {
        let rule = Rule { id: HOST_RULE, generation: tables.generations[&HOST_RULE] };
        let (first_port, last_port) = range(&self.ports);
        Uplink { slot: 0, link_header: 14, rule, first_port, last_port }
    }
}

/// Ends a rule, if it is in force: one write.
pub(crate) fn end_rule(tables: &mut MemoryTables<V4>, id: u32) {
    if let Some(generation) = tables.generations.get_mut(&id) {
        *generation += 1;
    }
}

/// Gives a rule a new life: its entries first, then the write that puts them in force.
pub(crate) fn start_rule(tables: &mut MemoryTables<V4>, id: u32, ports: &RangeInclusive<u16>) {
    let rule = Rule { id, generation: tables.generations.get(&id).map_or(1, |generation| generation + 1) };
    let target = Endpoint::new(CONTAINERS[0], 80);
    match id {
        MASQUERADE_RULE => {
            let (first_port, last_port) = range(ports);
            let masquerade = Masquerade { address: HOSTS[0], first_port, last_port, rule };
            tables.masquerades.extend(CONTAINERS.map(|container| ((UPLINK, container), masquerade)));
        }
        EXACT_RULE => map(tables, HOSTS[0], Mapping::new(rule, 8080, 8080, target)),
        ANY_RULE => map(tables, [0; 4], Mapping::new(rule, 9090, 9091, target)),
        _ => (),
    }
    tables.generations.insert(id, rule.generation);
}

fn map(tables: &mut MemoryTables<V4>, address: V4, mapping: Mapping<V4>) {
    for port in u16::from_be_bytes(mapping.first_port)..=u16::from_be_bytes(mapping.last_port) {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            tables.mappings.insert((protocol, Endpoint::new(address, port)), mapping);
        }
    }
}

fn range(ports: &RangeInclusive<u16>) -> ([u8; 2], [u8; 2]) {
    (ports.start().to_be_bytes(), ports.end().to_be_bytes())
}
