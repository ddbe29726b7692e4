//! What the host itself has: sockets and addresses.
//!
//! Functions of their own, never inlined: their arguments are large, and a program's stack is small.

use core::{mem, ptr};

use aya_ebpf::{
    bindings::{
        __sk_buff, BPF_FIB_LKUP_RET_NOT_FWDED, bpf_fib_lookup as FibLookup,
        bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1 as SocketTuple,
    },
    helpers::generated::{bpf_fib_lookup, bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp},
};
use netfwd_common::abi::{Protocol, Tuple, V4};

const CURRENT_NETNS: u64 = u64::MAX;
const AF_INET: u8 = 2;
// include/uapi/linux/if_packet.h
const PACKET_BROADCAST: u32 = 1;
const PACKET_MULTICAST: u32 = 2;
const FIB_LOOKUP_SIZE: i32 = 64;
const _: () = assert!(size_of::<FibLookup>() == 64);

/// Whether a socket of the host would receive a packet with this tuple. ICMP identifiers have no lookup.
#[inline(never)]
pub(crate) fn has_socket(skb: *mut __sk_buff, incoming: &Tuple<V4>) -> bool {
    let Tuple { source, destination, .. } = incoming;
    let mut tuple = SocketTuple {
        saddr: u32::from_ne_bytes(source.address),
        daddr: u32::from_ne_bytes(destination.address),
        sport: u16::from_ne_bytes(source.port),
        dport: u16::from_ne_bytes(destination.port),
    };
    let size = size_of_val(&tuple) as u32;
    let socket = if incoming.protocol == Protocol::Tcp.number() {
        // SAFETY: the tuple is valid for `size` bytes, and what is found is released below.
        unsafe { bpf_skc_lookup_tcp(skb.cast(), (&raw mut tuple).cast(), size, CURRENT_NETNS, 0) }
    } else if incoming.protocol == Protocol::Udp.number() {
        // SAFETY: as above.
        unsafe { bpf_sk_lookup_udp(skb.cast(), (&raw mut tuple).cast(), size, CURRENT_NETNS, 0) }
    } else {
        ptr::null_mut()
    };
    if socket.is_null() {
        return false;
    }
    // SAFETY: the reference that the lookup took is given back once.
    unsafe { bpf_sk_release(socket.cast()) };
    true
}

/// Whether the kernel would deliver a packet that came in on this interface to the host itself, and to no other.
#[inline(never)]
pub(crate) fn is_local(skb: *mut __sk_buff, source: V4, destination: V4) -> bool {
    // SAFETY: the context is valid while the program runs.
    if matches!(unsafe { (*skb).pkt_type }, PACKET_BROADCAST | PACKET_MULTICAST) {
        return false;
    }
    // SAFETY: all-zero parameters are valid: no protocol, no length, no mark.
    let mut query: FibLookup = unsafe { mem::zeroed() };
    query.family = AF_INET;
    // SAFETY: the context is valid while the program runs.
    query.ifindex = unsafe { (*skb).ifindex };
    query.__bindgen_anon_3.ipv4_src = u32::from_ne_bytes(source);
    query.__bindgen_anon_4.ipv4_dst = u32::from_ne_bytes(destination);
    // SAFETY: the parameters are valid for their size.
    let result = unsafe { bpf_fib_lookup(skb.cast(), &raw mut query, FIB_LOOKUP_SIZE, 0) };
    // The kernel says so for local and broadcast destinations, and for those without any route (net/core/filter.c).
    result == i64::from(BPF_FIB_LKUP_RET_NOT_FWDED)
}
