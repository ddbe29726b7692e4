//! What the host itself has: sockets, addresses and routes. One module a family, with the same functions.
//!
//! They are never inlined: their arguments are large, and a program's stack is small.

use core::mem;

use aya_ebpf::{
    bindings::{
        __sk_buff, BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_NO_NEIGH, BPF_FIB_LKUP_RET_NOT_FWDED,
        BPF_FIB_LKUP_RET_SUCCESS, BPF_FIB_LOOKUP_OUTPUT, bpf_fib_lookup as FibLookup,
    },
    helpers::generated::{bpf_fib_lookup, bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp},
};
use netfwd_common::abi::{Gateway, Protocol};

const CURRENT_NETNS: u64 = u64::MAX;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
// include/uapi/linux/if_packet.h
const PACKET_BROADCAST: u32 = 1;
const PACKET_MULTICAST: u32 = 2;
const FIB_LOOKUP_SIZE: i32 = 64;
const _: () = assert!(size_of::<FibLookup>() == 64);

/// Whether a socket of the host would receive a packet with this `bpf_sock_tuple`. ICMP identifiers have no lookup.
#[inline]
fn has_socket<T>(skb: *mut __sk_buff, protocol: Protocol, tuple: &mut T) -> bool {
    let size = size_of::<T>() as u32;
    let tuple = (&raw mut *tuple).cast();
    let socket = match protocol {
        // SAFETY: the tuple is valid for `size` bytes, and what is found is released below.
        Protocol::TCP => unsafe { bpf_skc_lookup_tcp(skb.cast(), tuple, size, CURRENT_NETNS, 0) },
        // SAFETY: as above.
        Protocol::UDP => unsafe { bpf_sk_lookup_udp(skb.cast(), tuple, size, CURRENT_NETNS, 0) },
        _ => return false,
    };
    if socket.is_null() {
        return false;
    }
    // SAFETY: the reference that the lookup took is given back once.
    unsafe { bpf_sk_release(socket.cast()) };
    true
}

/// Whether the packet goes to everybody.
#[inline]
fn is_to_many(skb: *mut __sk_buff) -> bool {
    // SAFETY: the context is valid while the program runs.
    matches!(unsafe { (*skb).pkt_type }, PACKET_BROADCAST | PACKET_MULTICAST)
}

/// A question about a route for what came in on this interface.
#[inline]
fn question(skb: *mut __sk_buff, family: u8) -> FibLookup {
    // SAFETY: all-zero parameters are valid: no protocol, no length, no mark.
    let mut query: FibLookup = unsafe { mem::zeroed() };
    query.family = family;
    // SAFETY: the context is valid while the program runs.
    query.ifindex = unsafe { (*skb).ifindex };
    query
}

#[inline]
fn ask(skb: *mut __sk_buff, query: &mut FibLookup) -> i64 {
    // SAFETY: the parameters are valid for their size.
    unsafe { bpf_fib_lookup(skb.cast(), &raw mut *query, FIB_LOOKUP_SIZE, 0) }
}

/// The next hop that the routes have for what the host sends by `uplink`.
#[inline]
fn gateway(skb: *mut __sk_buff, uplink: u32, query: &mut FibLookup) -> Option<(Gateway, u32)> {
    query.ifindex = uplink;
    // Else the kernel does not look at the MTU.
    query.__bindgen_anon_1.tot_len = 1;
    // SAFETY: the parameters are valid for their size.
    let answer = unsafe { bpf_fib_lookup(skb.cast(), &raw mut *query, FIB_LOOKUP_SIZE, BPF_FIB_LOOKUP_OUTPUT) };
    if interface_of(answer, query)? != uplink {
        return None;
    }
    // SAFETY: of an answer this is the next hop; IPv4 has its own in the first word.
    let gateway = Gateway { family: query.family.into(), address: unsafe { query.__bindgen_anon_4.ipv6_dst } };
    // SAFETY: of an answer this is the route's MTU (kernel 5.12).
    Some((gateway, unsafe { query.__bindgen_anon_1.mtu_result }.into()))
}

/// The kernel says so for local and broadcast destinations, and for those without any route (net/core/filter.c).
#[inline]
fn is_not_forwarded(answer: i64) -> bool {
    answer == i64::from(BPF_FIB_LKUP_RET_NOT_FWDED)
}

#[inline]
fn interface_of(answer: i64, query: &FibLookup) -> Option<u32> {
    let known = [BPF_FIB_LKUP_RET_SUCCESS, BPF_FIB_LKUP_RET_NO_NEIGH, BPF_FIB_LKUP_RET_FRAG_NEEDED].map(i64::from);
    known.contains(&answer).then_some(query.ifindex)
}

/// IPv4.
pub(crate) mod v4 {
    use aya_ebpf::bindings::{
        __sk_buff, bpf_fib_lookup as FibLookup, bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1 as SocketTuple,
    };
    use netfwd_common::abi::{Gateway, Tuple, V4};

    use super::{AF_INET, ask, interface_of, is_not_forwarded, is_to_many, question};

    /// Whether a socket of the host would receive a packet with this tuple.
    #[inline(never)]
    pub(crate) fn has_socket(skb: *mut __sk_buff, incoming: &Tuple<V4>) -> bool {
        let Tuple { source, destination, .. } = incoming;
        let mut tuple = SocketTuple {
            saddr: u32::from_ne_bytes(source.address),
            daddr: u32::from_ne_bytes(destination.address),
            sport: u16::from_ne_bytes(source.port),
            dport: u16::from_ne_bytes(destination.port),
        };
        super::has_socket(skb, incoming.protocol(), &mut tuple)
    }

    /// Whether the kernel would deliver a packet that came in on this interface to the host itself, and to no other.
    #[inline(never)]
    pub(crate) fn is_local(skb: *mut __sk_buff, source: V4, destination: V4) -> bool {
        !is_to_many(skb) && is_not_forwarded(ask(skb, &mut query(skb, source, destination)))
    }

    /// The interface by which the kernel would forward such a packet.
    #[inline(never)]
    pub(crate) fn route(skb: *mut __sk_buff, source: V4, destination: V4) -> Option<u32> {
        let mut query = query(skb, source, destination);
        interface_of(ask(skb, &mut query), &query)
    }

    /// The next hop behind an uplink.
    #[inline(never)]
    pub(crate) fn gateway(skb: *mut __sk_buff, uplink: u32, source: V4, destination: V4) -> Option<(Gateway, u32)> {
        super::gateway(skb, uplink, &mut query(skb, source, destination))
    }

    #[inline]
    fn query(skb: *mut __sk_buff, source: V4, destination: V4) -> FibLookup {
        let mut query = question(skb, AF_INET);
        query.__bindgen_anon_3.ipv4_src = u32::from_ne_bytes(source);
        query.__bindgen_anon_4.ipv4_dst = u32::from_ne_bytes(destination);
        query
    }
}

/// IPv6.
pub(crate) mod v6 {
    use aya_ebpf::bindings::{
        __sk_buff, bpf_fib_lookup as FibLookup, bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2 as SocketTuple,
    };
    use netfwd_common::abi::{Gateway, Tuple, V6};

    use super::{AF_INET6, ask, interface_of, is_not_forwarded, is_to_many, question};

    /// Whether a socket of the host would receive a packet with this tuple.
    #[inline(never)]
    pub(crate) fn has_socket(skb: *mut __sk_buff, incoming: &Tuple<V6>) -> bool {
        let Tuple { source, destination, .. } = incoming;
        let mut tuple = SocketTuple {
            saddr: words(source.address),
            daddr: words(destination.address),
            sport: u16::from_ne_bytes(source.port),
            dport: u16::from_ne_bytes(destination.port),
        };
        super::has_socket(skb, incoming.protocol(), &mut tuple)
    }

    /// Whether the kernel would deliver a packet that came in on this interface to the host itself, and to no other.
    #[inline(never)]
    pub(crate) fn is_local(skb: *mut __sk_buff, source: V6, destination: V6) -> bool {
        !is_to_many(skb) && is_not_forwarded(ask(skb, &mut query(skb, source, destination)))
    }

    /// The interface by which the kernel would forward such a packet.
    #[inline(never)]
    pub(crate) fn route(skb: *mut __sk_buff, source: V6, destination: V6) -> Option<u32> {
        let mut query = query(skb, source, destination);
        interface_of(ask(skb, &mut query), &query)
    }

    /// The next hop behind an uplink.
    #[inline(never)]
    pub(crate) fn gateway(skb: *mut __sk_buff, uplink: u32, source: V6, destination: V6) -> Option<(Gateway, u32)> {
        super::gateway(skb, uplink, &mut query(skb, source, destination))
    }

    #[inline]
    fn query(skb: *mut __sk_buff, source: V6, destination: V6) -> FibLookup {
        let mut query = question(skb, AF_INET6);
        query.__bindgen_anon_3.ipv6_src = words(source);
        query.__bindgen_anon_4.ipv6_dst = words(destination);
        query
    }

    #[inline]
    fn words(address: V6) -> [u32; 4] {
        let (words, _) = address.as_chunks::<4>();
        let mut result = [0; 4];
        for (word, bytes) in result.iter_mut().zip(words) {
            *word = u32::from_ne_bytes(*bytes);
        }
        result
    }
}
