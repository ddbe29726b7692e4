//! What the NAT may ask of the maps and of the host.

use core::{mem, ops::ControlFlow, ptr, sync::atomic::AtomicU64};

use aya_ebpf::{
    bindings::{__sk_buff, BPF_ANY, BPF_NOEXIST},
    btf_maps::lpm_trie::Key,
    helpers::generated::bpf_get_prandom_u32,
};
use netfwd_common::{
    abi::{
        Connection, Datagram, DatagramKey, Direction, Endpoint, FlowEvent, Gateway, Hop, Interface, LiveConnection,
        Mapping, MappingKey, Masquerade, Member, Protocol, Rule, Settings, Slot, SubnetKey, Target, Tuple, V4, V6,
        Words,
    },
    tables::{self, ReserveError},
};

use super::{FAST_INTERFACES, FLOW_EVENTS, GENERATIONS, RULE_COUNTERS, SETTINGS, add, interface, member, v4, v6};
use crate::{atomics, host, repeat::repeat};

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
