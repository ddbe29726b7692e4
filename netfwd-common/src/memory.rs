//! [`Tables`] in memory, for tests on the host: the same decisions without a kernel.

mod held;

pub use held::{Frame, Held};

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet, VecDeque},
    ops::ControlFlow,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use elsa::FrozenVec;

use crate::{
    abi::{
        Address, Connection, Datagram, DatagramKey, Direction, Endpoint, FlowEvent, Gateway, Hop, Interface,
        LiveConnection, Mapping, Masquerade, Member, Protocol, Rule, RuleCounter, Settings, Side, Slot, Target, Tuple,
        Words,
    },
    fast::Express,
    tables::{Atomics, Layout, ReserveError, Tables},
};

/// Maps, host sockets, local addresses, chance, and faults on request.
pub struct MemoryTables<A> {
    /// The settings in force.
    pub settings: Settings,
    /// `GENERATIONS`.
    pub generations: HashMap<u32, u32>,
    /// By protocol number and host endpoint; one entry a port.
    pub mappings: HashMap<(Protocol, Endpoint<A>), Mapping<A>>,
    /// `INTERFACES`.
    pub interfaces: HashMap<u32, Interface>,
    /// `MEMBERS`.
    pub members: HashMap<u32, Member>,
    /// By uplink and source address; one entry an address.
    pub masquerades: HashMap<(u32, A), Masquerade<A>>,
    /// By uplink and destination address; one entry an address.
    pub exclusions: HashMap<(u32, A), Rule>,
    /// The addresses of networks that are kept apart.
    pub isolated: HashSet<A>,
    /// The interfaces that lead to addresses.
    pub routes: HashMap<A, u32>,
    /// The next hops behind uplinks by destination, and the MTU; `None` where there is no route. Others are their own
    /// next hops.
    pub gateways: HashMap<A, Option<(Gateway, u32)>>,
    /// Tuples on the outside that a connected socket of the host receives.
    pub host_sockets: HashSet<Tuple<A>>,
    /// Endpoints on which a socket of the host receives from everybody.
    pub host_listeners: HashSet<(Protocol, Endpoint<A>)>,
    /// The host's own addresses.
    pub local: HashSet<A>,
    /// The reservations that fail as if memory were short: the number of each, counted from 0.
    pub failing_reservations: HashSet<u32>,
    /// What [`Tables::random`] gives next: a generator that repeats itself from the same seed.
    pub seed: Cell<u32>,
    tuples: RefCell<HashMap<Tuple<A>, Slot>>,
    records: FrozenVec<Box<LiveConnection<A>>>,
    slots: RefCell<Vec<usize>>,
    free: RefCell<VecDeque<u32>>,
    targets: RefCell<HashMap<u32, usize>>,
    known_targets: FrozenVec<Box<Target<A>>>,
    hops: RefCell<HashMap<u32, usize>>,
    known_hops: FrozenVec<Box<Hop<A>>>,
    datagrams: RefCell<HashMap<DatagramKey<A>, usize>>,
    known: FrozenVec<Box<Datagram>>,
    high_water: Cell<u32>,
    reservations: Cell<u32>,
    rule_counters: RefCell<HashMap<u32, RuleCounter>>,
    events: RefCell<HashMap<FlowEvent, u64>>,
}

impl<A: Address> MemoryTables<A> {
    /// Empty tables for `max_flows` connections.
    #[must_use]
    pub fn new(max_flows: u32) -> Self {
        let records = FrozenVec::new();
        records.push(Box::new(unused()));
        let known_hops = FrozenVec::new();
        let gateway = Gateway::NONE;
        let unused = Hop { asked: 0, source: A::UNSPECIFIED, destination: A::UNSPECIFIED, uplink: 0, mtu: 0, gateway };
        known_hops.push(Box::new(unused));
        Self {
            settings: Settings::new([max_flows; 2], 0, 0),
            generations: HashMap::new(),
            mappings: HashMap::new(),
            interfaces: HashMap::new(),
            members: HashMap::new(),
            masquerades: HashMap::new(),
            exclusions: HashMap::new(),
            isolated: HashSet::new(),
            routes: HashMap::new(),
            gateways: HashMap::new(),
            host_sockets: HashSet::new(),
            host_listeners: HashSet::new(),
            local: HashSet::new(),
            failing_reservations: HashSet::new(),
            seed: Cell::new(0),
            tuples: RefCell::default(),
            records,
            slots: RefCell::new(vec![0; usize::try_from(max_flows).unwrap_or_default()]),
            free: RefCell::default(),
            targets: RefCell::default(),
            known_targets: FrozenVec::new(),
            hops: RefCell::default(),
            known_hops,
            datagrams: RefCell::default(),
            known: FrozenVec::new(),
            high_water: Cell::new(0),
            reservations: Cell::new(0),
            rule_counters: RefCell::default(),
            events: RefCell::default(),
        }
    }

    /// All index entries.
    #[must_use]
    pub fn tuples(&self) -> HashMap<Tuple<A>, Slot> {
        self.tuples.borrow().clone()
    }

    /// Free slots that were used before.
    #[must_use]
    pub fn free_slots(&self) -> Vec<u32> {
        self.free.borrow().iter().copied().collect()
    }

    /// What was counted for a rule.
    #[must_use]
    pub fn rule_counter(&self, rule_id: u32) -> RuleCounter {
        self.rule_counters.borrow().get(&rule_id).copied().unwrap_or_default()
    }

    /// How often something happened to connections.
    #[must_use]
    pub fn events(&self, event: FlowEvent) -> u64 {
        self.events.borrow().get(&event).copied().unwrap_or_default()
    }
}

fn unused<A: Address>() -> LiveConnection<A> {
    let nobody = Endpoint { address: A::UNSPECIFIED, port: [0, 0] };
    let tuple = Tuple::new(Protocol::UDP, Side::Inside, nobody, nobody);
    Connection {
        original: tuple,
        reply: tuple,
        rule: Rule::default(),
        parent: Slot::NONE,
        interface: 0,
        interface_slot: 0,
        created: 0,
        last_seen: AtomicU64::new(0),
        state: AtomicU64::new(0),
        packets: [const { AtomicU64::new(0) }; 2],
        bytes: [const { AtomicU64::new(0) }; 2],
    }
}

impl<A> Atomics for MemoryTables<A> {
    fn load(word: &AtomicU64) -> u64 {
        word.load(Relaxed)
    }

    fn store(word: &AtomicU64, value: u64) {
        word.store(value, Relaxed);
    }

    fn add(word: &AtomicU64, value: u64) {
        word.fetch_add(value, Relaxed);
    }

    fn set(word: &AtomicU64, bits: u64) {
        word.fetch_or(bits, Relaxed);
    }

    fn clear(word: &AtomicU64, bits: u64) {
        word.fetch_and(!bits, Relaxed);
    }

    fn replace(word: &AtomicU64, old: u64, new: u64) -> bool {
        word.compare_exchange(old, new, Relaxed, Relaxed).is_ok()
    }
}

/// A family whose endpoints can be seen as words.
pub trait InMemory: Express {
    /// The endpoint in these words.
    fn endpoint(words: Self::Words) -> Endpoint<Self>;

    /// The words of an endpoint.
    fn words(endpoint: &Endpoint<Self>) -> Self::Words;
}

impl<const BYTES: usize, const WORDS: usize> InMemory for [u8; BYTES]
where
    Self: Express<Words = Words<WORDS>>,
{
    fn endpoint(Words { address, port }: Words<WORDS>) -> Endpoint<Self> {
        let mut bytes = [0; BYTES];
        for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(address) {
            *bytes = word.to_ne_bytes();
        }
        Endpoint { address: bytes, port: port.to_ne_bytes() }
    }

    fn words(endpoint: &Endpoint<Self>) -> Words<WORDS> {
        let mut address = [0; WORDS];
        for (word, bytes) in address.iter_mut().zip(endpoint.address.as_chunks().0) {
            *word = u16::from_ne_bytes(*bytes);
        }
        Words { address, port: u16::from_ne_bytes(endpoint.port) }
    }
}

impl<A: InMemory> Layout<A, A::Words> for MemoryTables<A> {
    fn endpoint(words: A::Words) -> Endpoint<A> {
        A::endpoint(words)
    }

    fn words(endpoint: &Endpoint<A>) -> A::Words {
        A::words(endpoint)
    }
}

impl<A: Address> Tables<A> for MemoryTables<A> {
    fn settings(&self) -> Option<&Settings> {
        Some(&self.settings)
    }

    fn generation(&self, rule_id: u32) -> Option<u32> {
        self.generations.get(&rule_id).copied()
    }

    fn mapping(&self, protocol: Protocol, endpoint: Endpoint<A>) -> Option<&Mapping<A>> {
        self.mappings.get(&(protocol, endpoint))
    }

    fn interface(&self, ifindex: u32) -> Option<&Interface> {
        self.interfaces.get(&ifindex)
    }

    fn fast_interface(&self, slot: u32) -> u32 {
        let known = self.interfaces.iter().find(|(_, interface)| interface.slot == slot);
        known.map_or(0, |(ifindex, interface)| interface.fast(*ifindex))
    }

    fn masquerade(&self, uplink: u32, source: A) -> Option<&Masquerade<A>> {
        self.masquerades.get(&(uplink, source))
    }

    fn exclusion(&self, uplink: u32, destination: A) -> Option<&Rule> {
        self.exclusions.get(&(uplink, destination))
    }

    fn is_isolated(&self, destination: A) -> bool {
        self.isolated.contains(&destination)
    }

    fn find(&self, tuple: &Tuple<A>) -> Option<Slot> {
        self.tuples.borrow().get(tuple).copied()
    }

    fn reserve(&self, tuple: &Tuple<A>, slot: Slot) -> Result<(), ReserveError> {
        let mut tuples = self.tuples.borrow_mut();
        if tuples.contains_key(tuple) {
            return Err(ReserveError::Exists);
        }
        let number = self.reservations.replace(self.reservations.get().wrapping_add(1));
        if self.failing_reservations.contains(&number) {
            return Err(ReserveError::Full);
        }
        tuples.insert(*tuple, slot);
        Ok(())
    }

    fn release(&self, tuple: &Tuple<A>) {
        self.tuples.borrow_mut().remove(tuple);
    }

    fn connection(&self, number: u32) -> Option<&LiveConnection<A>> {
        let record = *self.slots.borrow().get(usize::try_from(number).ok()?)?;
        self.records.get(record)
    }

    fn write(&self, number: u32, connection: &Connection<A>) -> Option<&LiveConnection<A>> {
        let Connection {
            original,
            reply,
            rule,
            parent,
            interface,
            interface_slot,
            created,
            last_seen,
            state,
            packets,
            bytes,
        } = *connection;
        let record = self.records.len();
        *self.slots.borrow_mut().get_mut(usize::try_from(number).ok()?)? = record;
        self.records.push(Box::new(Connection {
            original,
            reply,
            rule,
            parent,
            interface,
            interface_slot,
            created,
            last_seen: last_seen.into(),
            state: state.into(),
            packets: packets.map(AtomicU64::new),
            bytes: bytes.map(AtomicU64::new),
        }));
        self.records.get(record)
    }

    fn take_free_slot(&self) -> Option<u32> {
        self.free.borrow_mut().pop_front()
    }

    fn give_free_slot(&self, number: u32) {
        self.free.borrow_mut().push_back(number);
    }

    fn high_water(&self) -> u32 {
        self.high_water.get()
    }

    fn raise_high_water(&self) -> u32 {
        self.high_water.replace(self.high_water.get().wrapping_add(1))
    }

    fn has_host_socket(&self, incoming: &Tuple<A>) -> bool {
        let incoming = Tuple::new(incoming.protocol(), Side::Outside, incoming.source, incoming.destination);
        self.host_sockets.contains(&incoming)
            || self.host_listeners.contains(&(incoming.protocol(), incoming.destination))
    }

    fn is_local(&self, _source: A, destination: A) -> bool {
        self.local.contains(&destination)
    }

    fn route(&self, _source: A, destination: A) -> Option<u32> {
        self.routes.get(&destination).copied()
    }

    fn member(&self, ifindex: u32) -> Option<&Member> {
        self.members.get(&ifindex)
    }

    fn target_at(&self, place: u32) -> Option<&Target<A>> {
        let number = *self.targets.borrow().get(&place)?;
        self.known_targets.get(number)
    }

    fn write_target(&self, place: u32, target: &Target<A>) {
        self.targets.borrow_mut().insert(place, self.known_targets.len());
        self.known_targets.push(Box::new(*target));
    }

    fn hop(&self, place: u32) -> Option<&Hop<A>> {
        let number = self.hops.borrow().get(&place).copied().unwrap_or_default();
        self.known_hops.get(number)
    }

    fn set_hop(&self, place: u32, hop: &Hop<A>) {
        self.hops.borrow_mut().insert(place, self.known_hops.len());
        self.known_hops.push(Box::new(*hop));
    }

    fn gateway(&self, _uplink: u32, _source: A, destination: A) -> Option<(Gateway, u32)> {
        let itself = Gateway { family: 0, address: [destination.word(); 4] };
        self.gateways.get(&destination).copied().unwrap_or(Some((itself, 1500)))
    }

    fn datagram(&self, key: &DatagramKey<A>) -> Option<&Datagram> {
        let number = *self.datagrams.borrow().get(key)?;
        self.known.get(number)
    }

    fn set_datagram(&self, key: &DatagramKey<A>, datagram: &Datagram, is_replaced: bool) -> bool {
        let mut datagrams = self.datagrams.borrow_mut();
        if datagrams.contains_key(key) && !is_replaced {
            return false;
        }
        datagrams.insert(*key, self.known.len());
        self.known.push(Box::new(*datagram));
        true
    }

    fn random(&self) -> u32 {
        self.seed.replace(self.seed.get().wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f))
    }

    fn repeat<F: FnMut(u32) -> ControlFlow<()>>(&self, limit: u32, mut step: F) {
        let _ = (0..limit).try_for_each(&mut step);
    }

    fn count_packet(&self, rule: Rule, direction: Direction, bytes: u32) {
        let mut counters = self.rule_counters.borrow_mut();
        let counter = counters.entry(rule.id).or_default();
        let counter = match direction {
            Direction::Original => &mut counter.original,
            Direction::Reply => &mut counter.reply,
        };
        counter.packets = counter.packets.wrapping_add(1);
        counter.bytes = counter.bytes.wrapping_add(u64::from(bytes));
    }

    fn count_flow(&self, rule: Rule) {
        let mut counters = self.rule_counters.borrow_mut();
        let flows = &mut counters.entry(rule.id).or_default().flows;
        *flows = flows.wrapping_add(1);
    }

    fn count_event(&self, event: FlowEvent) {
        let mut events = self.events.borrow_mut();
        let count = events.entry(event).or_default();
        *count = count.wrapping_add(1);
    }
}
