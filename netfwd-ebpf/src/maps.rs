//! The maps. Nobody else touches them; what the NAT may ask of them is in [`Tables`].

mod host_access;
mod tables;

use core::sync::atomic::AtomicU64;

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, Queue},
    macros::btf_map,
};
use netfwd_common::{
    abi::{
        COUNTERS_PER_HOOK, Choice, Counter, Datagram, DatagramKey, FlowEvent, Hop, Interface, Label, LiveRecord,
        MAX_HOPS, MAX_INTERFACES, MAX_TARGETS, Mapping, MappingKey, Masquerade, Member, Rule, RuleCounter, Settings,
        Slot, SubnetKey, Target, Tuple, V4, V6,
    },
    scratch::Scratch,
};

pub(crate) use host_access::HostAccess;
pub(crate) use tables::Tables;

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
