//! A host between a wire and two containers; few addresses and ports, so that they collide.

use std::{collections::HashSet, ops::RangeInclusive};

use netfwd_common::{
    abi::{
        Endpoint, Filtering, Interface, Mapping, Masquerade, PortChoice, PortRange, Protocol, Reason, Role, Rule, Side,
        Tuple, V4, V6,
    },
    memory::{Held, MemoryTables},
    parse::{self, Family},
    pipeline::{self, Hook},
    scratch::Scratch,
    translate::Translate,
    verdict::Verdict,
};

/// The uplink's interface index.
pub(crate) const UPLINK: u32 = 2;
/// The interface index of the containers' bridge.
pub(crate) const BRIDGE: u32 = 4;

/// The interface index of another bridge, on which nothing is attached.
pub(crate) const OTHER_BRIDGE: u32 = 6;

/// Which counters are the uplink's.
pub(crate) const UPLINK_SLOT: u32 = 3;
/// Which counters are the bridge's.
pub(crate) const BRIDGE_SLOT: u32 = 5;

/// Who is where, in one family.
pub(crate) trait Place: Translate + AsRef<[u8]> {
    /// The host's addresses on the uplink. The first is the masquerade's.
    const HOSTS: [Self; 2];
    /// The containers, whose subnet is masqueraded.
    const CONTAINERS: [Self; 2];
    /// A container on another bridge, whose subnet is not masqueraded.
    const NEIGHBOUR: Self;
    /// Hosts on the wire. From its port 1024 the host has connections of its own to port 53 of the second.
    const PEERS: [Self; 2];
    /// A host on the wire that containers reach without masquerading.
    const EXCLUDED: Self;
    /// An address that every host has for itself.
    const LOOPBACK: Self;
}

impl Place for V4 {
    const HOSTS: [Self; 2] = [[192, 0, 2, 1], [192, 0, 2, 2]];
    const CONTAINERS: [Self; 2] = [[10, 0, 0, 2], [10, 0, 0, 3]];
    const NEIGHBOUR: Self = [10, 1, 0, 2];
    const PEERS: [Self; 2] = [[198, 51, 100, 1], [198, 51, 100, 2]];
    const EXCLUDED: Self = [10, 9, 9, 9];
    const LOOPBACK: Self = [127, 0, 0, 1];
}

impl Place for V6 {
    const HOSTS: [Self; 2] = [global(1, 1), global(1, 2)];
    const CONTAINERS: [Self; 2] = [local(0, 2), local(0, 3)];
    const NEIGHBOUR: Self = local(1, 2);
    const PEERS: [Self; 2] = [global(2, 1), global(2, 2)];
    const EXCLUDED: Self = local(9, 9);
    const LOOPBACK: Self = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
}

const fn global(network: u8, host: u8) -> V6 {
    [0x20, 0x01, 0x0d, 0xb8, 0, network, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]
}

const fn local(network: u8, host: u8) -> V6 {
    [0xfd, 0, 0, 0, 0, network, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]
}

/// The rule of the host's own moved connections, and of exclusions.
pub(crate) const HOST_RULE: u32 = 0;
/// The masquerade.
pub(crate) const MASQUERADE_RULE: u32 = 1;
/// The first host address's port 8080 is mapped to port 80 of the first container.
pub(crate) const EXACT_RULE: u32 = 2;
/// Ports 9090 and 9091 of any local address are mapped to ports 80 and 81 of the same container.
pub(crate) const ANY_RULE: u32 = 3;

/// A world's size, how it is configured, and what goes wrong in it.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Records at most.
    pub(crate) max_flows: u32,
    /// What the masquerade and the host choose from.
    pub(crate) ports: PortChoice,
    /// Where chance starts.
    pub(crate) seed: u32,
    /// Reservations that fail, by number.
    pub(crate) failing_reservations: HashSet<u32>,
    /// Who may send to a container's outside endpoint.
    pub(crate) filtering: Filtering,
    /// Outside ports for each container; 0 for any number.
    pub(crate) max_ports_per_source: u32,
    /// Whether connections are picked up midstream.
    pub(crate) picks_up: bool,
    /// The largest TCP segments that may be announced over IPv4 and IPv6; 0 for any size.
    pub(crate) max_segment: [u16; 2],
    /// Whether the bridges' networks are isolated.
    pub(crate) isolates: bool,
    /// Whether nothing is forwarded from the bridge.
    pub(crate) is_internal: bool,
}

/// These ports, whatever the source port is.
pub(crate) fn ports(range: RangeInclusive<u16>) -> PortChoice {
    choice(&[range], 0)
}

/// Up to four ranges.
pub(crate) fn choice(ranges: &[RangeInclusive<u16>], flags: u8) -> PortChoice {
    let mut all = [PortRange::default(); 4];
    for (place, range) in all.iter_mut().zip(ranges) {
        *place = PortRange::new(*range.start(), *range.end());
    }
    PortChoice::new(all, flags)
}

impl Plan {
    /// Plenty of room, and nothing that goes wrong.
    pub(crate) fn new(max_flows: u32, ports: PortChoice, seed: u32) -> Self {
        Self {
            max_flows,
            ports,
            seed,
            failing_reservations: HashSet::new(),
            filtering: Filtering::AddressAndPort,
            max_ports_per_source: 0,
            picks_up: false,
            max_segment: [0; 2],
            isolates: false,
            is_internal: false,
        }
    }

    /// The tables, with all rules in force.
    pub(crate) fn tables<A: Place>(&self) -> MemoryTables<A> {
        let mut tables = MemoryTables::new(self.max_flows);
        tables.seed.set(self.seed);
        tables.failing_reservations.clone_from(&self.failing_reservations);
        tables.local.extend(A::HOSTS);
        tables.routes.extend(A::CONTAINERS.map(|container| (container, BRIDGE)));
        tables.routes.insert(A::NEIGHBOUR, OTHER_BRIDGE);
        tables.routes.extend(A::PEERS.into_iter().chain([A::EXCLUDED]).map(|peer| (peer, UPLINK)));
        let isolated = A::CONTAINERS.into_iter().chain([A::NEIGHBOUR]);
        tables.isolated.extend(isolated.filter(|_| self.isolates));
        let (server, client) = (Endpoint::new(A::PEERS[1], 53), Endpoint::new(A::HOSTS[0], 1024));
        let sockets = [Protocol::TCP, Protocol::UDP].map(|it| Tuple::new(it, Side::Outside, server, client));
        tables.host_sockets.extend(sockets);
        let interfaces = [(UPLINK, Side::Outside), (BRIDGE, Side::Bridge)];
        tables.interfaces.extend(interfaces.map(|(ifindex, side)| (ifindex, self.interface(1, side))));
        for rule in [HOST_RULE, MASQUERADE_RULE, EXACT_RULE, ANY_RULE] {
            start_rule(&mut tables, rule, &self.ports);
        }
        tables
    }

    /// What the hook of a side knows of its interface, while the host's rule is in this life.
    pub(crate) fn interface(&self, host_generation: u32, side: Side) -> Interface {
        let pick_up = if self.picks_up { Interface::PICK_UP } else { 0 };
        let internal = if self.is_internal && side == Side::Bridge { Interface::INTERNAL } else { 0 };
        let role = if side == Side::Bridge { Role::Bridge } else { Role::Uplink };
        Interface {
            slot: if side == Side::Bridge { BRIDGE_SLOT } else { UPLINK_SLOT },
            link_header: 14,
            rule: Rule { id: HOST_RULE, generation: host_generation },
            ports: self.ports,
            max_ports_per_source: self.max_ports_per_source,
            max_segment: self.max_segment.map(u16::to_be_bytes),
            filtering: self.filtering.number(),
            role: role.number(),
            flags: pick_up | internal,
            pad: 0,
        }
    }
}

/// A world: its tables, and what is noted down on the way.
pub(crate) struct World<A> {
    /// How it began.
    pub(crate) plan: Plan,
    /// Its tables.
    pub(crate) tables: MemoryTables<A>,
    /// The fragments that are held back.
    pub(crate) held: Held,
    /// The time.
    pub(crate) now: u64,
    // As in the kernel, one for all packets of a hook: what an earlier one has left must not matter.
    scratch: [Scratch<A>; 3],
}

impl<A: Place> World<A> {
    /// A world in which nothing has happened.
    pub(crate) fn new(plan: Plan) -> Self {
        Self { tables: plan.tables(), plan, held: Held::new(4), now: 1, scratch: [Scratch::new(); 3] }
    }

    /// What becomes of a frame that comes from the containers or the host ([`Side::Inside`]), from a bridge or from the
    /// wire.
    pub(crate) fn meet(&mut self, side: Side, bytes: &mut Vec<u8>) -> Verdict {
        let family = if A::FAMILY == 0 { Family::V4 } else { Family::V6 };
        if parse::family(bytes, 14) != family {
            return Verdict::Pass(Reason::OtherFamily);
        }
        let interface = self.plan.interface(self.tables.generations[&HOST_RULE], side);
        let ifindex = if side == Side::Bridge { BRIDGE } else { UPLINK };
        let hook = Hook { ifindex, side, interface: &interface, now: self.now };
        let mut frame = self.held.frame(bytes);
        let (tables, [inside, outside, bridge]) = (&self.tables, &mut self.scratch);
        let verdict = match side {
            Side::Outside => pipeline::ingress(&mut frame, tables, &hook, outside),
            Side::Bridge => pipeline::bridge(&mut frame, tables, &hook, bridge),
            Side::Inside | Side::Binding | Side::Permission | Side::Account => {
                pipeline::egress(&mut frame, tables, &hook, inside)
            }
        };
        *bytes = frame.bytes;
        verdict
    }

    /// Ends a rule, if it is in force: one write.
    pub(crate) fn end_rule(&mut self, id: u32) {
        end_rule(&mut self.tables, id);
    }

    /// Gives a rule a new life.
    pub(crate) fn start_rule(&mut self, id: u32) {
        start_rule(&mut self.tables, id, &self.plan.ports);
    }
}

/// Ends a rule, if it is in force: one write.
pub(crate) fn end_rule<A>(tables: &mut MemoryTables<A>, id: u32) {
    if let Some(generation) = tables.generations.get_mut(&id) {
        *generation += 1;
    }
}

/// Gives a rule a new life: its entries first, then the write that puts them in force.
pub(crate) fn start_rule<A: Place>(tables: &mut MemoryTables<A>, id: u32, ports: &PortChoice) {
    let rule = Rule { id, generation: tables.generations.get(&id).map_or(1, |generation| generation + 1) };
    let target = Endpoint::new(A::CONTAINERS[0], 80);
    match id {
        HOST_RULE => _ = tables.exclusions.insert((UPLINK, A::EXCLUDED), rule),
        MASQUERADE_RULE => {
            let masquerade = Masquerade { address: A::HOSTS[0], ports: *ports, rule };
            tables.masquerades.extend(A::CONTAINERS.map(|container| ((UPLINK, container), masquerade)));
        }
        EXACT_RULE => map(tables, A::HOSTS[0], Mapping::new(rule, 8080, 8080, target)),
        ANY_RULE => map(tables, A::UNSPECIFIED, Mapping::new(rule, 9090, 9091, target)),
        _ => (),
    }
    tables.generations.insert(id, rule.generation);
}

fn map<A: Place>(tables: &mut MemoryTables<A>, address: A, mapping: Mapping<A>) {
    for port in u16::from_be_bytes(mapping.first_port)..=u16::from_be_bytes(mapping.last_port) {
        for protocol in [Protocol::TCP, Protocol::UDP] {
            tables.mappings.insert((protocol, Endpoint::new(address, port)), mapping);
        }
    }
}
