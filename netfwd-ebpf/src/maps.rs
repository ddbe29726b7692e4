//! The maps, and [`Tables`]: what the NAT may ask of them. Nobody else touches them.

use core::{ffi::c_void, ops::ControlFlow, ptr, sync::atomic::AtomicU64};

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_MMAPABLE, BPF_F_NO_PREALLOC, BPF_NOEXIST},
    btf_maps::{Array, HashMap, LpmTrie, PerCpuArray, Queue, lpm_trie::Key},
    helpers::generated::{bpf_get_prandom_u32, bpf_loop},
    macros::btf_map,
};
use netfwd_common::{
    abi::{
        COUNTERS_PER_HOOK, Connection, Counter, Direction, Endpoint, FlowEvent, LiveConnection, MAX_UPLINKS, Mapping,
        MappingKey, Masquerade, Protocol, Rule, RuleCounter, Settings, Slot, SubnetKey, Tuple, Uplink, V4,
    },
    tables::{self, ReserveError},
};

use crate::{atomics, host};

/// Rules at most; each is a mapping or a masqueraded subnet.
const MAX_RULES: usize = 16_384;
/// Prefixes at most: a range of ports needs 30 at worst.
const MAX_PREFIXES: usize = 65_536;
/// Connections at most, unless user space chooses otherwise when it loads the maps.
const MAX_FLOWS: usize = 262_144;

#[btf_map]
static SETTINGS: Array<Settings, 1> = Array::new();
#[btf_map]
static UPLINKS: HashMap<u32, Uplink, { MAX_UPLINKS as usize }> = HashMap::new();
#[btf_map]
static GENERATIONS: Array<u32, MAX_RULES> = Array::new();
#[btf_map]
static RULE_COUNTERS: PerCpuArray<RuleCounter, MAX_RULES> = PerCpuArray::new();
#[btf_map]
static COUNTERS: PerCpuArray<Counter, { (MAX_UPLINKS * 2 * COUNTERS_PER_HOOK) as usize }> = PerCpuArray::new();
#[btf_map]
static FLOW_EVENTS: PerCpuArray<u64, { FlowEvent::ALL.len() }> = PerCpuArray::new();

#[btf_map]
static MAPPINGS_V4: LpmTrie<MappingKey<V4>, Mapping<V4>, MAX_PREFIXES> = LpmTrie::new();
#[btf_map]
static SUBNETS_V4: LpmTrie<SubnetKey<V4>, Masquerade<V4>, MAX_RULES> = LpmTrie::new();
#[btf_map]
static TUPLES_V4: HashMap<Tuple<V4>, Slot, { MAX_FLOWS * 2 }, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();
#[btf_map]
static CONNECTIONS_V4: Array<LiveConnection<V4>, MAX_FLOWS, { BPF_F_MMAPABLE as usize }> = Array::new();
#[btf_map]
static FREE_SLOTS_V4: Queue<u32, MAX_FLOWS> = Queue::new();
#[btf_map]
static HIGH_WATER_V4: Array<AtomicU64, 1> = Array::new();

/// What is configured for an interface.
#[inline]
pub(crate) fn uplink(ifindex: u32) -> Option<&'static Uplink> {
    // SAFETY: no program changes it, and user space replaces it as a whole.
    unsafe { UPLINKS.get(ifindex) }
}

/// Counts a packet under an index of [`netfwd_common::abi::counter_index`].
#[inline]
pub(crate) fn count(index: u32, bytes: u32) {
    if let Some(counter) = COUNTERS.get_ptr_mut(index) {
        // SAFETY: this CPU's own copy.
        add(unsafe { &mut *counter }, bytes);
    }
}

fn add(counter: &mut Counter, bytes: u32) {
    counter.packets = counter.packets.wrapping_add(1);
    counter.bytes = counter.bytes.wrapping_add(u64::from(bytes));
}

/// The IPv4 tables, as seen by one run of a program.
pub(crate) struct Tables {
    skb: *mut __sk_buff,
}

impl Tables {
    /// For a packet's program.
    pub(crate) const fn new(skb: *mut __sk_buff) -> Self {
        Self { skb }
    }

    /// For a program without a packet, which must not ask about the host.
    pub(crate) const fn without_packet() -> Self {
        Self { skb: ptr::null_mut() }
    }
}

impl tables::Atomics for Tables {
    #[inline]
    fn load(word: &AtomicU64) -> u64 {
        atomics::load(word)
    }

    #[inline]
    fn store(word: &AtomicU64, value: u64) {
        atomics::store(word, value);
    }

    #[inline]
    fn add(word: &AtomicU64, value: u64) {
        atomics::add(word, value);
    }

    #[inline]
    fn set(word: &AtomicU64, bits: u64) {
        atomics::set(word, bits);
    }

    #[inline]
    fn clear(word: &AtomicU64, bits: u64) {
        atomics::clear(word, bits);
    }

    #[inline]
    fn replace(word: &AtomicU64, old: u64, new: u64) -> bool {
        atomics::replace(word, old, new)
    }
}

impl tables::Tables<V4> for Tables {
    #[inline]
    fn settings(&self) -> Option<&Settings> {
        SETTINGS.get(0)
    }

    #[inline]
    fn generation(&self, rule_id: u32) -> Option<u32> {
        GENERATIONS.get(rule_id).copied()
    }

    #[inline]
    fn mapping(&self, protocol: Protocol, endpoint: Endpoint<V4>) -> Option<&Mapping<V4>> {
        let key = Key::new(MappingKey::<V4>::BITS, MappingKey::new(protocol, endpoint.address, endpoint.port));
        MAPPINGS_V4.get(&key)
    }

    #[inline]
    fn masquerade(&self, uplink: u32, source: V4) -> Option<&Masquerade<V4>> {
        SUBNETS_V4.get(&Key::new(SubnetKey::<V4>::BITS, SubnetKey::new(uplink, source)))
    }

    #[inline]
    fn find(&self, tuple: &Tuple<V4>) -> Option<Slot> {
        // SAFETY: copied at once; a slot that is given to another connection in between is told by its incarnation.
        unsafe { TUPLES_V4.get(tuple) }.copied()
    }

    #[inline]
    fn reserve(&self, tuple: &Tuple<V4>, slot: Slot) -> Result<(), ReserveError> {
        const EEXIST: i32 = -17;
        TUPLES_V4.insert(tuple, slot, u64::from(BPF_NOEXIST)).map_err(|error| match error {
            EEXIST => ReserveError::Exists,
            _ => ReserveError::Full,
        })
    }

    #[inline]
    fn release(&self, tuple: &Tuple<V4>) {
        // Nobody else removes it; if it is gone all the same, that is what was wanted.
        let _: Result<(), i32> = TUPLES_V4.remove(tuple);
    }

    #[inline]
    fn connection(&self, number: u32) -> Option<&LiveConnection<V4>> {
        CONNECTIONS_V4.get(number)
    }

    #[inline]
    fn write(&self, number: u32, connection: &Connection<V4>) -> Option<&LiveConnection<V4>> {
        let record = CONNECTIONS_V4.get_ptr_mut(number)?;
        // SAFETY: the same layout, and the caller owns the slot: nobody reads a record that is not live.
        unsafe { record.cast::<Connection<V4>>().write(*connection) };
        // SAFETY: a map's value, valid while the program runs.
        Some(unsafe { &*record })
    }

    #[inline]
    fn take_free_slot(&self) -> Option<u32> {
        FREE_SLOTS_V4.pop().ok().flatten()
    }

    #[inline]
    fn give_free_slot(&self, number: u32) {
        // It has room for every slot there is.
        let _: Result<(), i32> = FREE_SLOTS_V4.push(number, 0);
    }

    #[inline]
    fn high_water(&self) -> u32 {
        HIGH_WATER_V4.get(0).map_or(u32::MAX, |mark| atomics::load(mark) as u32)
    }

    #[inline]
    fn raise_high_water(&self) -> u32 {
        HIGH_WATER_V4.get(0).map_or(u32::MAX, |mark| atomics::fetch_add(mark, 1) as u32)
    }

    #[inline]
    fn has_host_socket(&self, incoming: &Tuple<V4>) -> bool {
        host::has_socket(self.skb, incoming)
    }

    #[inline]
    fn is_local(&self, source: V4, destination: V4) -> bool {
        host::is_local(self.skb, source, destination)
    }

    #[inline]
    fn random(&self) -> u32 {
        // SAFETY: the helper has no arguments.
        unsafe { bpf_get_prandom_u32() }
    }

    #[inline]
    fn repeat<F: FnMut(u32) -> ControlFlow<()>>(&self, limit: u32, step: F) {
        repeat(limit, step);
    }

    #[inline]
    fn count_packet(&self, rule: Rule, direction: Direction, bytes: u32) {
        let Some(counter) = RULE_COUNTERS.get_ptr_mut(rule.id) else {
            return;
        };
        // SAFETY: this CPU's own copy.
        let counter = unsafe { &mut *counter };
        add(
            match direction {
                Direction::Original => &mut counter.original,
                Direction::Reply => &mut counter.reply,
            },
            bytes,
        );
    }

    #[inline]
    fn count_flow(&self, rule: Rule) {
        if let Some(counter) = RULE_COUNTERS.get_ptr_mut(rule.id) {
            // SAFETY: this CPU's own copy.
            let counter = unsafe { &mut *counter };
            counter.flows = counter.flows.wrapping_add(1);
        }
    }

    #[inline]
    fn count_event(&self, event: FlowEvent) {
        if let Some(count) = FLOW_EVENTS.get_ptr_mut(event.number()) {
            // SAFETY: this CPU's own copy.
            let count = unsafe { &mut *count };
            *count = count.wrapping_add(1);
        }
    }
}

/// A loop that costs the verifier one pass, however often it runs (kernel 5.17).
#[inline]
pub(crate) fn repeat<F: FnMut(u32) -> ControlFlow<()>>(limit: u32, mut step: F) {
    // SAFETY: the helper calls back only before it returns, with the pointer that it was given.
    unsafe { bpf_loop(limit, call::<F> as *mut c_void, (&raw mut step).cast(), 0) };
}

// Without no_mangle, so that the verifier sees a static function.
#[inline(never)]
extern "C" fn call<F: FnMut(u32) -> ControlFlow<()>>(index: u32, step: *mut F) -> i64 {
    // SAFETY: `repeat` gave this pointer, and its closure outlives the loop.
    let step = unsafe { &mut *step };
    match step(index) {
        ControlFlow::Continue(()) => 0,
        ControlFlow::Break(()) => 1,
    }
}
