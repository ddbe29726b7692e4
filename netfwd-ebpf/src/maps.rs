//! The maps, and [`Tables`]: what the NAT may ask of them. Nobody else touches them.

mod host_access;

use core::{ffi::c_void, mem, ops::ControlFlow, ptr, sync::atomic::AtomicU64};

use aya_ebpf::{
    bindings::{__sk_buff, BPF_ANY, BPF_F_MMAPABLE, BPF_F_NO_PREALLOC, BPF_NOEXIST},
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, Queue, lpm_trie::Key},
    helpers::generated::{bpf_get_prandom_u32, bpf_loop},
    macros::btf_map,
};
use netfwd_common::{
    abi::{
        COUNTERS_PER_HOOK, Choice, Connection, Counter, Datagram, DatagramKey, Direction, Endpoint, FlowEvent, Gateway,
        Hop, Interface, Label, LiveConnection, LiveRecord, MAX_HOPS, MAX_INTERFACES, MAX_TARGETS, Mapping, MappingKey,
        Masquerade, Member, Protocol, Rule, RuleCounter, Settings, Slot, SubnetKey, Target, Tuple, V4, V6, Words,
    },
    scratch::Scratch,
    tables::{self, ReserveError},
};

use crate::{atomics, host};

pub(crate) use host_access::HostAccess;

/// Rules at most; each is of a mapping, a masqueraded subnet, an uplink or a bridge.
const MAX_RULES: usize = 16_384;
/// Prefixes at most: a range of ports needs 30 at worst.
const MAX_PREFIXES: usize = 65_536;
/// Records at most, unless user space chooses otherwise when it loads the maps.
const MAX_FLOWS: usize = 262_144;
/// Options of attach that are kept, at most.
const MAX_CHOICES: usize = 4096;
/// Members of bridges at most.
const MAX_MEMBERS: usize = 4096;
/// Datagrams whose fragments are known or held back, at most.
const MAX_DATAGRAMS: usize = 8192;
/// The hooks on which packets are met, each with a sheet of its own.
const HOOKS: usize = 4;

#[btf_map]
static SETTINGS: Array<Settings, 1> = Array::new();
#[btf_map]
static INTERFACES: HashMap<u32, Interface, { MAX_INTERFACES as usize }> = HashMap::new();
#[btf_map]
static GENERATIONS: Array<u32, MAX_RULES> = Array::new();
#[btf_map]
static RULE_COUNTERS: PerCpuArray<RuleCounter, MAX_RULES> = PerCpuArray::new();
#[btf_map]
static COUNTERS: PerCpuArray<Counter, { (MAX_INTERFACES * 2 * COUNTERS_PER_HOOK) as usize }> = PerCpuArray::new();
#[btf_map]
static FLOW_EVENTS: PerCpuArray<u64, { FlowEvent::ALL.len() }> = PerCpuArray::new();
#[btf_map]
static FAST_INTERFACES: Array<u32, { MAX_INTERFACES as usize }> = Array::new();
#[btf_map]
static MEMBERS: HashMap<u32, Member, MAX_MEMBERS, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();
// These two are for user space alone: they are here to be made and pinned with the others.
#[btf_map]
static CHOICES: HashMap<Choice, u8, MAX_CHOICES, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();
#[btf_map]
static LABELS: HashMap<u32, Label, MAX_RULES, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();

/// The maps of an address family. Their statics have its name, since that is the maps' name in the object.
macro_rules! family {
    ($family:ident, $address:ty, $mappings:ident $subnets:ident $exclusions:ident $isolated:ident $tuples:ident
     $connections:ident $free_slots:ident $high_water:ident $datagrams:ident $targets:ident
     $hops:ident $scratch:ident) => {
        #[btf_map]
        static $mappings: LpmTrie<MappingKey<$address>, Mapping<$address>, MAX_PREFIXES> = LpmTrie::new();
        #[btf_map]
        static $subnets: LpmTrie<SubnetKey<$address>, Masquerade<$address>, MAX_RULES> = LpmTrie::new();
        #[btf_map]
        static $exclusions: LpmTrie<SubnetKey<$address>, Rule, MAX_RULES> = LpmTrie::new();
        #[btf_map]
        static $isolated: LpmTrie<$address, u8, MAX_RULES> = LpmTrie::new();
        #[btf_map]
        static $tuples: HashMap<Tuple<$address>, Slot, { MAX_FLOWS * 2 }> = HashMap::new();
        #[btf_map]
        static $connections: Array<LiveRecord<$address>, MAX_FLOWS, { BPF_F_MMAPABLE as usize }> = Array::new();
        #[btf_map]
        static $free_slots: Queue<u32, MAX_FLOWS> = Queue::new();
        #[btf_map]
        static $high_water: Array<AtomicU64, 1> = Array::new();
        #[btf_map]
        static $datagrams: LruHashMap<DatagramKey<$address>, Datagram, MAX_DATAGRAMS> = LruHashMap::new();
        #[btf_map]
        static $targets: Array<Target<$address>, { MAX_TARGETS as usize }> = Array::new();
        #[btf_map]
        static $hops: PerCpuArray<Hop<$address>, { MAX_HOPS as usize }> = PerCpuArray::new();
        #[btf_map]
        static $scratch: PerCpuArray<Scratch<$address>, HOOKS> = PerCpuArray::new();

        mod $family {
            pub(super) use super::{
                $connections as CONNECTIONS, $datagrams as DATAGRAMS, $exclusions as EXCLUSIONS,
                $free_slots as FREE_SLOTS, $high_water as HIGH_WATER, $hops as HOPS, $isolated as ISOLATED,
                $mappings as MAPPINGS, $subnets as SUBNETS, $targets as TARGETS, $tuples as TUPLES,
            };
        }
    };
}

family!(v4, V4, MAPPINGS_V4 SUBNETS_V4 EXCLUSIONS_V4 ISOLATED_V4 TUPLES_V4 CONNECTIONS_V4 FREE_SLOTS_V4 HIGH_WATER_V4
    DATAGRAMS_V4 TARGETS_V4 HOPS_V4 SCRATCH_V4);
family!(v6, V6, MAPPINGS_V6 SUBNETS_V6 EXCLUSIONS_V6 ISOLATED_V6 TUPLES_V6 CONNECTIONS_V6 FREE_SLOTS_V6 HIGH_WATER_V6
    DATAGRAMS_V6 TARGETS_V6 HOPS_V6 SCRATCH_V6);

/// The sheet of an IPv4 packet's journey at a hook.
#[inline]
pub(crate) fn scratch_v4(hook: u32) -> Option<&'static mut Scratch<V4>> {
    // SAFETY: this CPU's own copy, and a hook is not entered again before it is left.
    SCRATCH_V4.get_ptr_mut(hook).map(|scratch| unsafe { &mut *scratch })
}

/// The sheet of an IPv6 packet's journey at a hook.
#[inline]
pub(crate) fn scratch_v6(hook: u32) -> Option<&'static mut Scratch<V6>> {
    // SAFETY: this CPU's own copy, and a hook is not entered again before it is left.
    SCRATCH_V6.get_ptr_mut(hook).map(|scratch| unsafe { &mut *scratch })
}

/// What is configured for an interface.
#[inline]
pub(crate) fn interface(ifindex: u32) -> Option<&'static Interface> {
    // SAFETY: no program changes it, and user space replaces it as a whole.
    unsafe { INTERFACES.get(ifindex) }
}

/// What is known of a bridge's member.
#[inline]
pub(crate) fn member(ifindex: u32) -> Option<&'static Member> {
    // SAFETY: no program changes it, and user space replaces it as a whole.
    unsafe { MEMBERS.get(ifindex) }
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

/// The tables of both families, as seen by one run of a program.
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

/// What is the same for both families but for the maps.
macro_rules! tables_of_family {
    ($address:ty, $family:ident) => {
        impl tables::Tables<$address> for Tables {
            #[inline]
            fn settings(&self) -> Option<&Settings> {
                SETTINGS.get(0)
            }

            #[inline]
            fn generation(&self, rule_id: u32) -> Option<u32> {
                GENERATIONS.get(rule_id).copied()
            }

            #[inline]
            fn mapping(&self, protocol: Protocol, endpoint: Endpoint<$address>) -> Option<&Mapping<$address>> {
                let key = MappingKey::new(protocol, endpoint.address, endpoint.port);
                $family::MAPPINGS.get(&Key::new(MappingKey::<$address>::BITS, key))
            }

            #[inline]
            fn interface(&self, ifindex: u32) -> Option<&Interface> {
                interface(ifindex)
            }

            #[inline]
            fn fast_interface(&self, slot: u32) -> u32 {
                FAST_INTERFACES.get(slot).copied().unwrap_or(0)
            }

            #[inline]
            fn masquerade(&self, uplink: u32, source: $address) -> Option<&Masquerade<$address>> {
                $family::SUBNETS.get(&Key::new(SubnetKey::<$address>::BITS, SubnetKey::new(uplink, source)))
            }

            #[inline]
            fn exclusion(&self, uplink: u32, destination: $address) -> Option<&Rule> {
                $family::EXCLUSIONS.get(&Key::new(SubnetKey::<$address>::BITS, SubnetKey::new(uplink, destination)))
            }

            #[inline]
            fn is_isolated(&self, destination: $address) -> bool {
                const BITS: u32 = size_of::<$address>() as u32 * 8;
                $family::ISOLATED.get(&Key::new(BITS, destination)).is_some()
            }

            #[inline]
            fn find(&self, tuple: &Tuple<$address>) -> Option<Slot> {
                // SAFETY: copied at once; a slot that is given to another record in between is told by its incarnation.
                unsafe { $family::TUPLES.get(tuple) }.copied()
            }

            #[inline]
            fn reserve(&self, tuple: &Tuple<$address>, slot: Slot) -> Result<(), ReserveError> {
                const EEXIST: i32 = -17;
                $family::TUPLES.insert(tuple, slot, u64::from(BPF_NOEXIST)).map_err(|error| match error {
                    EEXIST => ReserveError::Exists,
                    _ => ReserveError::Full,
                })
            }

            #[inline]
            fn release(&self, tuple: &Tuple<$address>) {
                // Nobody else removes it; if it is gone all the same, that is what was wanted.
                let _: Result<(), i32> = $family::TUPLES.remove(tuple);
            }

            #[inline]
            fn connection(&self, number: u32) -> Option<&LiveConnection<$address>> {
                $family::CONNECTIONS.get(number).map(|record| &record.0)
            }

            #[inline]
            fn write(&self, number: u32, connection: &Connection<$address>) -> Option<&LiveConnection<$address>> {
                let record = $family::CONNECTIONS.get_ptr_mut(number)?;
                // SAFETY: the same layout, and the caller owns the slot: nobody reads a record that is not live.
                unsafe { ptr::copy_nonoverlapping(connection, record.cast::<Connection<$address>>(), 1) };
                // SAFETY: a map's value, valid while the program runs.
                Some(unsafe { &(*record).0 })
            }

            #[inline]
            fn take_free_slot(&self) -> Option<u32> {
                $family::FREE_SLOTS.pop().ok().flatten()
            }

            #[inline]
            fn give_free_slot(&self, number: u32) {
                // It has room for every slot there is.
                let _: Result<(), i32> = $family::FREE_SLOTS.push(number, 0);
            }

            #[inline]
            fn high_water(&self) -> u32 {
                $family::HIGH_WATER.get(0).map_or(u32::MAX, |mark| atomics::load(mark) as u32)
            }

            #[inline]
            fn raise_high_water(&self) -> u32 {
                $family::HIGH_WATER.get(0).map_or(u32::MAX, |mark| atomics::fetch_add(mark, 1) as u32)
            }

            #[inline]
            fn has_host_socket(&self, incoming: &Tuple<$address>) -> bool {
                host::$family::has_socket(self.skb, incoming)
            }

            #[inline]
            fn is_local(&self, source: $address, destination: $address) -> bool {
                host::$family::is_local(self.skb, source, destination)
            }

            #[inline]
            fn route(&self, source: $address, destination: $address) -> Option<u32> {
                host::$family::route(self.skb, source, destination)
            }

            #[inline]
            fn member(&self, ifindex: u32) -> Option<&Member> {
                member(ifindex)
            }

            #[inline]
            fn target_at(&self, place: u32) -> Option<&Target<$address>> {
                $family::TARGETS.get(place)
            }

            #[inline]
            fn write_target(&self, place: u32, target: &Target<$address>) {
                if let Some(entry) = $family::TARGETS.get_ptr_mut(place) {
                    // SAFETY: a map's value; who reads it meanwhile may see half of it.
                    unsafe { *entry = *target };
                }
            }

            #[inline]
            fn hop(&self, place: u32) -> Option<&Hop<$address>> {
                // SAFETY: this CPU's own copy, and nobody writes it while it is read.
                $family::HOPS.get_ptr(place).map(|hop| unsafe { &*hop })
            }

            #[inline]
            fn set_hop(&self, place: u32, hop: &Hop<$address>) {
                if let Some(place) = $family::HOPS.get_ptr_mut(place) {
                    // SAFETY: this CPU's own copy.
                    unsafe { *place = *hop };
                }
            }

            #[inline]
            fn gateway(&self, uplink: u32, source: $address, destination: $address) -> Option<(Gateway, u32)> {
                host::$family::gateway(self.skb, uplink, source, destination)
            }

            #[inline]
            fn datagram(&self, key: &DatagramKey<$address>) -> Option<&Datagram> {
                // SAFETY: what another CPU writes at the same time is one fragment's journey at worst.
                unsafe { $family::DATAGRAMS.get(key) }
            }

            #[inline]
            fn set_datagram(&self, key: &DatagramKey<$address>, datagram: &Datagram, is_replaced: bool) -> bool {
                let flags = if is_replaced { BPF_ANY } else { BPF_NOEXIST };
                $family::DATAGRAMS.insert(key, datagram, u64::from(flags)).is_ok()
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
                count_packet(rule, direction, bytes);
            }

            #[inline]
            fn count_flow(&self, rule: Rule) {
                count_flow(rule);
            }

            #[inline]
            fn count_event(&self, event: FlowEvent) {
                count_event(event);
            }
        }
    };
}

macro_rules! layout {
    ($address:ty, $words:ty) => {
        impl tables::Layout<$address, $words> for Tables {
            #[inline(always)]
            fn endpoint(words: $words) -> Endpoint<$address> {
                // SAFETY: plain old data of the same size.
                unsafe { mem::transmute(words) }
            }

            #[inline(always)]
            fn words(endpoint: &Endpoint<$address>) -> $words {
                // SAFETY: plain old data of the same size and alignment.
                unsafe { *ptr::from_ref(endpoint).cast() }
            }
        }
    };
}

layout!(V4, Words<2>);
layout!(V6, Words<8>);

tables_of_family!(V4, v4);
tables_of_family!(V6, v6);

fn count_packet(rule: Rule, direction: Direction, bytes: u32) {
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

fn count_flow(rule: Rule) {
    if let Some(counter) = RULE_COUNTERS.get_ptr_mut(rule.id) {
        // SAFETY: this CPU's own copy.
        let counter = unsafe { &mut *counter };
        counter.flows = counter.flows.wrapping_add(1);
    }
}

fn count_event(event: FlowEvent) {
    if let Some(count) = FLOW_EVENTS.get_ptr_mut(event.number()) {
        // SAFETY: this CPU's own copy.
        let count = unsafe { &mut *count };
        *count = count.wrapping_add(1);
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
