//! The maps of the kernel part as [`Tables`] that are only read: what a journey would write stays in memory.

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::HashSet,
    hash::Hash,
    net::{IpAddr, SocketAddr},
    ops::ControlFlow,
    sync::atomic::AtomicU64,
};

use anyhow::{Error, Result};
use elsa::FrozenVec;
use netfwd_common::{
    abi::{
        Connection, Datagram, DatagramKey, Direction, Endpoint, FlowEvent, Gateway, Hop, Interface, LiveConnection,
        Mapping, Masquerade, Member, Protocol, Rule, Settings, Slot, Target, Tuple,
    },
    memory::{InMemory, MemoryTables},
    tables::{Atomics, Layout, ReserveError, Tables},
};
use nix::libc;

use super::{host::Host, note::Note};
use crate::datapath::{
    connections::Connections,
    maps::{Maps, Select},
};

/// The maps as they are, and what one journey has changed in memory.
pub(super) struct View<'m, A: Select> {
    maps: &'m Maps,
    host: &'m Host,
    at: Cell<u32>,
    connections: Connections<A>,
    used: Cell<u32>,
    /// What was written, and copies of the records that were looked at.
    memory: MemoryTables<A>,
    copied: RefCell<HashSet<u32>>,
    released: RefCell<HashSet<Tuple<A>>>,
    mappings: FrozenVec<Box<Mapping<A>>>,
    masquerades: FrozenVec<Box<Masquerade<A>>>,
    exclusions: FrozenVec<Box<Rule>>,
    targets: FrozenVec<Box<Target<A>>>,
    notes: RefCell<Vec<Note<A>>>,
    failed: OnceCell<Error>,
}

impl<'m, A: Select + Hash> View<'m, A> {
    /// The maps as they are now.
    pub(super) fn new(maps: &'m Maps, host: &'m Host) -> Result<Self> {
        let settings = maps.settings()?;
        let mut memory = MemoryTables::new(settings.max_flows[A::FAMILY]);
        memory.settings = settings;
        memory.seed.set(std::process::id());
        memory.interfaces = maps.interfaces()?.into_iter().collect();
        memory.members = maps.members()?.into_iter().collect();
        Ok(Self {
            maps,
            host,
            at: Cell::new(0),
            connections: Connections::open(maps)?,
            used: Cell::new(maps.high_water::<A>()?),
            memory,
            copied: RefCell::default(),
            released: RefCell::default(),
            mappings: FrozenVec::new(),
            masquerades: FrozenVec::new(),
            exclusions: FrozenVec::new(),
            targets: FrozenVec::new(),
            notes: RefCell::default(),
            failed: OnceCell::new(),
        })
    }

    /// Where the packet is from now on: routes are asked for what came in there.
    pub(super) fn move_to(&self, interface: u32) {
        self.at.set(interface);
    }

    /// What was asked since this was last called; an error if an answer is missing.
    pub(super) fn take_notes(&mut self) -> Result<Vec<Note<A>>> {
        self.failed.take().map_or(Ok(()), Err)?;
        Ok(self.notes.take())
    }

    /// The connection in a slot that a tuple leads to.
    pub(super) fn connection_of(&self, tuple: &Tuple<A>) -> Option<Connection<A>> {
        let slot = self.lookup(tuple)?;
        let record = self.record(slot.number)?;
        let LiveConnection { original, reply, rule, parent, interface, interface_slot, created, .. } = *record;
        let [last_seen, state] = [&record.last_seen, &record.state].map(MemoryTables::<A>::load);
        let [packets, bytes] =
            [&record.packets, &record.bytes].map(|both| both.each_ref().map(MemoryTables::<A>::load));
        Some(Connection {
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
        })
    }

    fn note(&self, note: Note<A>) {
        self.notes.borrow_mut().push(note);
    }

    /// An answer, or what stands for one that is missing.
    fn or_fail<V>(&self, answer: Result<V>, missing: V) -> V {
        answer.unwrap_or_else(|error| {
            // The first one says what is wrong.
            self.failed.set(error).ok();
            missing
        })
    }

    fn lookup(&self, tuple: &Tuple<A>) -> Option<Slot> {
        let own = self.memory.find(tuple);
        if own.is_some() || self.released.borrow().contains(tuple) {
            return own;
        }
        self.or_fail(self.maps.family::<A>().slot_of(tuple), None)
    }

    fn record(&self, number: u32) -> Option<&LiveConnection<A>> {
        if self.copied.borrow_mut().insert(number)
            && let Some(connection) = self.connections.copy(number)
        {
            self.memory.write(number, &connection);
        }
        self.memory.connection(number)
    }

    fn in_force(&self, rule: Rule) -> bool {
        self.generation(rule.id).is_some_and(|generation| generation == rule.generation && generation != 0)
    }
}

impl<A: Select> Atomics for View<'_, A> {
    fn load(word: &AtomicU64) -> u64 {
        MemoryTables::<A>::load(word)
    }

    fn store(word: &AtomicU64, value: u64) {
        MemoryTables::<A>::store(word, value);
    }

    fn add(word: &AtomicU64, value: u64) {
        MemoryTables::<A>::add(word, value);
    }

    fn set(word: &AtomicU64, bits: u64) {
        MemoryTables::<A>::set(word, bits);
    }

    fn clear(word: &AtomicU64, bits: u64) {
        MemoryTables::<A>::clear(word, bits);
    }

    fn replace(word: &AtomicU64, old: u64, new: u64) -> bool {
        MemoryTables::<A>::replace(word, old, new)
    }
}

impl<A: Select + InMemory> Layout<A, A::Words> for View<'_, A> {
    fn endpoint(words: A::Words) -> Endpoint<A> {
        A::endpoint(words)
    }

    fn words(endpoint: &Endpoint<A>) -> A::Words {
        A::words(endpoint)
    }
}

impl<A: Select + Hash> Tables<A> for View<'_, A> {
    fn settings(&self) -> Option<&Settings> {
        self.memory.settings()
    }

    fn generation(&self, rule_id: u32) -> Option<u32> {
        self.or_fail(self.maps.generation(rule_id).map(Some), None)
    }

    fn mapping(&self, protocol: Protocol, host: Endpoint<A>) -> Option<&Mapping<A>> {
        let found = self.or_fail(self.maps.family::<A>().mapping_of(protocol, host), None);
        self.note(Note::Mapping { protocol, host, found: found.filter(|mapping| self.in_force(mapping.rule)) });
        found.map(|mapping| self.mappings.push_get(Box::new(mapping)))
    }

    fn interface(&self, ifindex: u32) -> Option<&Interface> {
        self.memory.interface(ifindex)
    }

    fn fast_interface(&self, slot: u32) -> u32 {
        self.memory.fast_interface(slot)
    }

    fn masquerade(&self, uplink: u32, source: A) -> Option<&Masquerade<A>> {
        let found = self.or_fail(self.maps.family::<A>().masquerade_of(uplink, source), None);
        let in_force = found.filter(|masquerade| self.in_force(masquerade.rule));
        self.note(Note::Masquerade { uplink, source, found: in_force });
        found.map(|masquerade| self.masquerades.push_get(Box::new(masquerade)))
    }

    fn exclusion(&self, uplink: u32, destination: A) -> Option<&Rule> {
        let found = self.or_fail(self.maps.family::<A>().exclusion_of(uplink, destination), None);
        self.note(Note::Exclusion { destination, is_excluded: found.is_some_and(|rule| self.in_force(rule)) });
        found.map(|rule| self.exclusions.push_get(Box::new(rule)))
    }

    fn is_isolated(&self, destination: A) -> bool {
        let is_isolated = self.or_fail(self.maps.family::<A>().is_isolated(destination), false);
        self.note(Note::Isolated { destination, is_isolated });
        is_isolated
    }

    fn find(&self, tuple: &Tuple<A>) -> Option<Slot> {
        let found = self.lookup(tuple);
        self.note(Note::Find { tuple: *tuple, is_there: found.is_some() });
        found
    }

    fn reserve(&self, tuple: &Tuple<A>, slot: Slot) -> Result<(), ReserveError> {
        let was_free = self.lookup(tuple).is_none();
        self.note(Note::Reserve { tuple: *tuple, was_free });
        if was_free { self.memory.reserve(tuple, slot) } else { Err(ReserveError::Exists) }
    }

    fn release(&self, tuple: &Tuple<A>) {
        self.released.borrow_mut().insert(*tuple);
        self.memory.release(tuple);
    }

    fn connection(&self, number: u32) -> Option<&LiveConnection<A>> {
        self.record(number)
    }

    fn write(&self, number: u32, connection: &Connection<A>) -> Option<&LiveConnection<A>> {
        self.copied.borrow_mut().insert(number);
        self.memory.write(number, connection)
    }

    /// The queue of free slots cannot be read without taking from it; but a free slot can be told by its record.
    fn take_free_slot(&self) -> Option<u32> {
        if self.used.get() < self.max_records() {
            return None;
        }
        let is_free = |number: &u32| !self.copied.borrow().contains(number) && self.connections.copy(*number).is_none();
        (0..self.max_records()).find(is_free)
    }

    fn give_free_slot(&self, number: u32) {
        self.memory.give_free_slot(number);
    }

    fn high_water(&self) -> u32 {
        self.used.get()
    }

    fn raise_high_water(&self) -> u32 {
        self.used.replace(self.used.get().saturating_add(1))
    }

    fn has_host_socket(&self, incoming: &Tuple<A>) -> bool {
        let local = incoming.destination;
        let destination = SocketAddr::new(local.address.ip(), u16::from_be_bytes(local.port));
        let is_there = self.or_fail(self.host.has_socket(incoming.protocol(), destination), false);
        self.note(Note::Socket { local, is_there });
        is_there
    }

    fn is_local(&self, _: A, address: A) -> bool {
        let is_local = self.or_fail(self.host.is_local(address.ip()), false);
        self.note(Note::Local { address, is_local });
        is_local
    }

    fn route(&self, source: A, destination: A) -> Option<u32> {
        let interface = self.or_fail(self.host.route(self.at.get(), source.ip(), destination.ip()), None);
        self.note(Note::Route { destination, interface });
        interface
    }

    fn member(&self, ifindex: u32) -> Option<&Member> {
        self.memory.member(ifindex)
    }

    fn target_at(&self, place: u32) -> Option<&Target<A>> {
        let target = self.or_fail(self.maps.family::<A>().target_at(place), Target::UNUSED);
        if target.member != 0 {
            self.note(Note::Target { address: target.address, member: target.member });
        }
        Some(self.targets.push_get(Box::new(target)))
    }

    fn write_target(&self, _: u32, _: &Target<A>) {}

    fn hop(&self, place: u32) -> Option<&Hop<A>> {
        self.memory.hop(place)
    }

    fn set_hop(&self, place: u32, hop: &Hop<A>) {
        self.memory.set_hop(place, hop);
    }

    fn gateway(&self, uplink: u32, _: A, destination: A) -> Option<(Gateway, u32)> {
        let hop = self.or_fail(self.host.next_hop(uplink, destination.ip()), None);
        hop.map(|(gateway, mtu)| (self::gateway(gateway), mtu))
    }

    fn datagram(&self, key: &DatagramKey<A>) -> Option<&Datagram> {
        self.memory.datagram(key)
    }

    fn set_datagram(&self, key: &DatagramKey<A>, datagram: &Datagram, is_replaced: bool) -> bool {
        self.memory.set_datagram(key, datagram, is_replaced)
    }

    fn random(&self) -> u32 {
        self.memory.random()
    }

    fn repeat<F: FnMut(u32) -> ControlFlow<()>>(&self, limit: u32, step: F) {
        self.memory.repeat(limit, step);
    }

    fn count_packet(&self, _: Rule, _: Direction, _: u32) {}

    fn count_flow(&self, _: Rule) {}

    fn count_event(&self, _: FlowEvent) {}
}

fn gateway(address: IpAddr) -> Gateway {
    let word = |bytes: &[u8; 4]| u32::from_ne_bytes(*bytes);
    match address {
        IpAddr::V4(address) => Gateway { family: libc::AF_INET as u32, address: [word(&address.octets()), 0, 0, 0] },
        IpAddr::V6(address) => {
            let mut words = [0; 4];
            words.iter_mut().zip(address.octets().as_chunks().0).for_each(|(place, bytes)| *place = word(bytes));
            Gateway { family: libc::AF_INET6 as u32, address: words }
        }
    }
}
