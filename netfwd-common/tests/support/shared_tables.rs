//! [`Tables`] that threads share, as CPUs share the maps, and that let another thread go first again and again.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    ops::ControlFlow,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use netfwd_common::{
    abi::{
        Connection, Datagram, DatagramKey, Direction, Endpoint, FlowEvent, Gateway, Hop, Interface, LiveConnection,
        Mapping, Masquerade, Member, Protocol, Rule, Settings, Slot, Target, Tuple, V4,
    },
    memory::MemoryTables,
    tables::{Atomics, ReserveError, Tables},
};

thread_local! {
    // Records are append-only and live for ever: a reader may still hold one whose slot has been given out again.
    static RECORDS: &'static MemoryTables<V4> = Box::leak(Box::new(MemoryTables::new(1)));
}

/// Maps for several threads.
pub(crate) struct SharedTables {
    settings: Settings,
    generations: HashMap<u32, AtomicU32>,
    mappings: HashMap<(Protocol, Endpoint<V4>), Mapping<V4>>,
    interfaces: HashMap<u32, Interface>,
    masquerades: HashMap<(u32, V4), Masquerade<V4>>,
    local: HashSet<V4>,
    routes: HashMap<V4, u32>,
    tuples: Mutex<HashMap<Tuple<V4>, Slot>>,
    slots: Mutex<Vec<&'static LiveConnection<V4>>>,
    free: Mutex<VecDeque<u32>>,
    high_water: AtomicU32,
    events: [AtomicU64; FlowEvent::ALL.len()],
    chance: AtomicU32,
}

impl SharedTables {
    /// The same rules and size, and no connections.
    pub(crate) fn like(tables: MemoryTables<V4>) -> Self {
        let MemoryTables { settings, generations, mappings, interfaces, masquerades, local, routes, .. } = tables;
        let empty: &'static MemoryTables<V4> = Box::leak(Box::new(MemoryTables::new(1)));
        let unused = empty.connection(0).expect("its only slot");
        let max_flows = usize::try_from(settings.max_flows[0]).expect("small");
        Self {
            settings,
            generations: generations.into_iter().map(|(id, generation)| (id, generation.into())).collect(),
            mappings,
            interfaces,
            masquerades,
            local,
            routes,
            tuples: Mutex::default(),
            slots: Mutex::new(vec![unused; max_flows]),
            free: Mutex::default(),
            high_water: AtomicU32::new(0),
            events: [const { AtomicU64::new(0) }; FlowEvent::ALL.len()],
            chance: AtomicU32::new(1),
        }
    }

    /// A snapshot of the index.
    pub(crate) fn tuples(&self) -> HashMap<Tuple<V4>, Slot> {
        lock(&self.tuples).clone()
    }

    /// The slots that were freed.
    pub(crate) fn free_slots(&self) -> Vec<u32> {
        lock(&self.free).iter().copied().collect()
    }

    /// Ends or begins the life of a rule.
    pub(crate) fn advance(&self, rule_id: u32) {
        self.generations[&rule_id].fetch_add(1, Relaxed);
    }

    /// How often something happened.
    pub(crate) fn events(&self, event: FlowEvent) -> u64 {
        self.event(event).load(Relaxed)
    }

    fn event(&self, event: FlowEvent) -> &AtomicU64 {
        &self.events[usize::try_from(event.number()).expect("small")]
    }

    /// Now and then another thread goes first.
    fn hesitate(&self) {
        if self.random() >> 29 == 0 {
            thread::yield_now();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Atomics for SharedTables {
    fn load(word: &AtomicU64) -> u64 {
        MemoryTables::<V4>::load(word)
    }

    fn store(word: &AtomicU64, value: u64) {
        MemoryTables::<V4>::store(word, value);
    }

    fn add(word: &AtomicU64, value: u64) {
        MemoryTables::<V4>::add(word, value);
    }

    fn set(word: &AtomicU64, bits: u64) {
        MemoryTables::<V4>::set(word, bits);
    }

    fn clear(word: &AtomicU64, bits: u64) {
        MemoryTables::<V4>::clear(word, bits);
    }

    fn replace(word: &AtomicU64, old: u64, new: u64) -> bool {
        MemoryTables::<V4>::replace(word, old, new)
    }
}

impl Tables<V4> for SharedTables {
    fn settings(&self) -> Option<&Settings> {
        Some(&self.settings)
    }

    fn generation(&self, rule_id: u32) -> Option<u32> {
        Some(self.generations.get(&rule_id)?.load(Relaxed))
    }

    fn mapping(&self, protocol: Protocol, endpoint: Endpoint<V4>) -> Option<&Mapping<V4>> {
        self.mappings.get(&(protocol, endpoint))
    }

    fn interface(&self, ifindex: u32) -> Option<&Interface> {
        self.interfaces.get(&ifindex)
    }

    fn masquerade(&self, uplink: u32, source: V4) -> Option<&Masquerade<V4>> {
        self.masquerades.get(&(uplink, source))
    }

    fn is_isolated(&self, _destination: V4) -> bool {
        false
    }

    fn exclusion(&self, _uplink: u32, _destination: V4) -> Option<&Rule> {
        None
    }

    fn find(&self, tuple: &Tuple<V4>) -> Option<Slot> {
        self.hesitate();
        lock(&self.tuples).get(tuple).copied()
    }

    fn reserve(&self, tuple: &Tuple<V4>, slot: Slot) -> Result<(), ReserveError> {
        self.hesitate();
        let mut tuples = lock(&self.tuples);
        if tuples.contains_key(tuple) {
            return Err(ReserveError::Exists);
        }
        tuples.insert(*tuple, slot);
        Ok(())
    }

    fn release(&self, tuple: &Tuple<V4>) {
        self.hesitate();
        lock(&self.tuples).remove(tuple);
    }

    fn connection(&self, number: u32) -> Option<&LiveConnection<V4>> {
        self.hesitate();
        lock(&self.slots).get(usize::try_from(number).ok()?).copied()
    }

    fn write(&self, number: u32, connection: &Connection<V4>) -> Option<&LiveConnection<V4>> {
        self.hesitate();
        let record = RECORDS.with(|records| records.write(0, connection))?;
        *lock(&self.slots).get_mut(usize::try_from(number).ok()?)? = record;
        Some(record)
    }

    fn take_free_slot(&self) -> Option<u32> {
        self.hesitate();
        lock(&self.free).pop_front()
    }

    fn give_free_slot(&self, number: u32) {
        self.hesitate();
        lock(&self.free).push_back(number);
    }

    fn high_water(&self) -> u32 {
        self.high_water.load(Relaxed)
    }

    fn raise_high_water(&self) -> u32 {
        self.hesitate();
        self.high_water.fetch_add(1, Relaxed)
    }

    fn has_host_socket(&self, _incoming: &Tuple<V4>) -> bool {
        false
    }

    fn is_local(&self, _source: V4, destination: V4) -> bool {
        self.local.contains(&destination)
    }

    fn route(&self, _source: V4, destination: V4) -> Option<u32> {
        self.routes.get(&destination).copied()
    }

    fn member(&self, _ifindex: u32) -> Option<&Member> {
        None
    }

    fn target_at(&self, _place: u32) -> Option<&Target<V4>> {
        None
    }

    fn write_target(&self, _place: u32, _target: &Target<V4>) {}

    fn hop(&self, _place: u32) -> Option<&Hop<V4>> {
        None
    }

    fn set_hop(&self, _place: u32, _hop: &Hop<V4>) {}

    fn gateway(&self, _uplink: u32, _source: V4, _destination: V4) -> Option<(Gateway, u32)> {
        None
    }

    fn fast_interface(&self, _slot: u32) -> u32 {
        0
    }

    fn datagram(&self, _key: &DatagramKey<V4>) -> Option<&Datagram> {
        None
    }

    fn set_datagram(&self, _key: &DatagramKey<V4>, _datagram: &Datagram, _is_replaced: bool) -> bool {
        false
    }

    fn random(&self) -> u32 {
        self.chance.fetch_add(0x9e37_79b9, Relaxed).wrapping_mul(0x85eb_ca6b)
    }

    fn repeat<F: FnMut(u32) -> ControlFlow<()>>(&self, limit: u32, mut step: F) {
        let _ = (0..limit).try_for_each(&mut step);
    }

    fn count_packet(&self, _rule: Rule, _direction: Direction, _bytes: u32) {}

    fn count_flow(&self, _rule: Rule) {}

    fn count_event(&self, event: FlowEvent) {
        self.event(event).fetch_add(1, Relaxed);
    }
}
