//! Host access: the hooks where a process names a peer for its socket, and where the kernel tells it the peer's name.
//!
//! These programs run for a process, which may be preempted in their middle: nothing here is per CPU.

use core::{mem, net::Ipv4Addr};

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::{bpf_get_netns_cookie, bpf_get_socket_cookie},
    macros::cgroup_sock_addr,
    programs::SockAddrContext,
};
use netfwd_common::{
    abi::{Address as _, Endpoint, Protocol, SocketPeer, V4, V6},
    socket::{self, Request},
};

use crate::maps::HostAccess;

/// The call goes on, with another address or the same.
const PROCEED: i32 = 1;

#[cgroup_sock_addr(connect4)]
fn netfwd_connect4(context: SockAddrContext) -> i32 {
    connect::<V4>(&Call(context))
}

#[cgroup_sock_addr(connect6)]
fn netfwd_connect6(context: SockAddrContext) -> i32 {
    connect::<V6>(&Call(context))
}

#[cgroup_sock_addr(sendmsg4)]
fn netfwd_sendmsg4(context: SockAddrContext) -> i32 {
    send::<V4>(&Call(context))
}

#[cgroup_sock_addr(sendmsg6)]
fn netfwd_sendmsg6(context: SockAddrContext) -> i32 {
    send::<V6>(&Call(context))
}

#[cgroup_sock_addr(recvmsg4)]
fn netfwd_recvmsg4(context: SockAddrContext) -> i32 {
    answer::<V4>(&Call(context))
}

#[cgroup_sock_addr(recvmsg6)]
fn netfwd_recvmsg6(context: SockAddrContext) -> i32 {
    answer::<V6>(&Call(context))
}

#[cgroup_sock_addr(getpeername4)]
fn netfwd_getpeername4(context: SockAddrContext) -> i32 {
    answer::<V4>(&Call(context))
}

#[cgroup_sock_addr(getpeername6)]
fn netfwd_getpeername6(context: SockAddrContext) -> i32 {
    answer::<V6>(&Call(context))
}

#[inline]
fn connect<A: Width>(call: &Call) -> i32 {
    if call.is_of_the_host()
        && let Some(target) = socket::connect(&HostAccess, &call.request::<A>(A::bound_to(call)))
    {
        call.set_peer::<A>(target);
    }
    PROCEED
}

#[inline]
fn send<A: Width>(call: &Call) -> i32 {
    if call.is_of_the_host()
        && let Some(target) = socket::send(&HostAccess, &call.request::<A>(A::message_source(call)))
    {
        call.set_peer::<A>(target);
    }
    PROCEED
}

#[inline]
fn answer<A: Width>(call: &Call) -> i32 {
    if call.is_of_the_host()
        && let Some(asked) = socket::answer(&HostAccess, SocketPeer::new(call.socket(), call.peer::<A>()), A::IS_V4)
    {
        call.set_peer::<A>(asked);
    }
    PROCEED
}

/// Reads a field. The kernel allows accesses of whole fields only: none that the compiler has merged.
macro_rules! read {
    ($base:expr, $($field:tt)+) => {
        // SAFETY: the context, and the socket in it, are valid while the program runs.
        unsafe { (&raw const (*$base).$($field)+).read_volatile() }
    };
}

/// Writes a field, as [`read!`] reads one.
macro_rules! write {
    ($value:expr => $base:expr, $($field:tt)+) => {
        // SAFETY: the context is valid while the program runs.
        unsafe { (&raw mut (*$base).$($field)+).write_volatile($value) }
    };
}

/// A process's call about a socket, with the peer's address in it.
struct Call(SockAddrContext);

impl Call {
    /// Whether its socket lives in the network namespace that netfwd works in.
    #[inline]
    fn is_of_the_host(&self) -> bool {
        // SAFETY: the helper takes the context.
        HostAccess::is_at_home(unsafe { bpf_get_netns_cookie(self.0.as_ptr()) })
    }

    /// The socket's cookie.
    #[inline]
    fn socket(&self) -> u64 {
        // SAFETY: the helper takes the context.
        unsafe { bpf_get_socket_cookie(self.0.as_ptr()) }
    }

    #[inline]
    fn request<A: Width>(&self, source: V6) -> Request {
        let socket = read!(self.0.sock_addr, __bindgen_anon_1.sk);
        Request {
            socket: self.socket(),
            protocol: Protocol::from_number(read!(self.0.sock_addr, protocol) as u8),
            source,
            interface: read!(socket, bound_dev_if),
            destination: self.peer::<A>(),
        }
    }

    #[inline]
    fn peer<A: Width>(&self) -> Endpoint<V6> {
        // The port is in network order, in the first two of four bytes.
        let [high, low, ..] = read!(self.0.sock_addr, user_port).to_ne_bytes();
        Endpoint { address: A::peer_address(self), port: [high, low] }
    }

    #[inline]
    fn set_peer<A: Width>(&self, peer: Endpoint<V6>) {
        let [high, low] = peer.port;
        A::set_peer_address(self, peer.address);
        write!(u32::from_ne_bytes([high, low, 0, 0]) => self.0.sock_addr, user_port);
    }
}

/// Where the addresses of a width are in a call.
trait Width {
    /// Whether it is IPv4.
    const IS_V4: bool;

    /// The peer's address.
    fn peer_address(call: &Call) -> V6;

    /// Replaces the peer's address.
    fn set_peer_address(call: &Call, address: V6);

    /// The address that the socket is bound to.
    fn bound_to(call: &Call) -> V6;

    /// The address that the message is to come from.
    fn message_source(call: &Call) -> V6;
}

impl Width for V4 {
    const IS_V4: bool = true;

    #[inline]
    fn peer_address(call: &Call) -> V6 {
        mapped(read!(call.0.sock_addr, user_ip4))
    }

    #[inline]
    fn set_peer_address(call: &Call, address: V6) {
        let [.., a, b, c, d] = address;
        write!(u32::from_ne_bytes([a, b, c, d]) => call.0.sock_addr, user_ip4);
    }

    #[inline]
    fn bound_to(call: &Call) -> V6 {
        let socket = read!(call.0.sock_addr, __bindgen_anon_1.sk);
        source(read!(socket, src_ip4))
    }

    #[inline]
    fn message_source(call: &Call) -> V6 {
        source(read!(call.0.sock_addr, msg_src_ip4))
    }
}

impl Width for V6 {
    const IS_V4: bool = false;

    #[inline]
    fn peer_address(call: &Call) -> V6 {
        wide([0, 1, 2, 3].map(|word| read!(call.0.sock_addr, user_ip6[word])))
    }

    #[inline]
    fn set_peer_address(call: &Call, address: V6) {
        // SAFETY: four words of any value.
        let [first, second, third, fourth] = unsafe { mem::transmute::<V6, [u32; 4]>(address) };
        write!(first => call.0.sock_addr, user_ip6[0]);
        write!(second => call.0.sock_addr, user_ip6[1]);
        write!(third => call.0.sock_addr, user_ip6[2]);
        write!(fourth => call.0.sock_addr, user_ip6[3]);
    }

    #[inline]
    fn bound_to(call: &Call) -> V6 {
        let socket = read!(call.0.sock_addr, __bindgen_anon_1.sk);
        wide([0, 1, 2, 3].map(|word| read!(socket, src_ip6[word])))
    }

    #[inline]
    fn message_source(call: &Call) -> V6 {
        wide([0, 1, 2, 3].map(|word| read!(call.0.sock_addr, msg_src_ip6[word])))
    }
}

/// A source's IPv4 address, mapped; unspecified if there is none.
#[inline]
fn source(v4: u32) -> V6 {
    if v4 == 0 { V6::UNSPECIFIED } else { mapped(v4) }
}

#[inline]
fn mapped(v4: u32) -> V6 {
    Ipv4Addr::from(v4.to_ne_bytes()).to_ipv6_mapped().octets()
}

#[inline]
fn wide(words: [u32; 4]) -> V6 {
    // SAFETY: sixteen bytes of any value.
    unsafe { mem::transmute::<[u32; 4], V6>(words) }
}
