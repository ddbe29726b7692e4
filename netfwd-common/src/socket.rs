//! Host access: a socket of the host that asks for a mapped host endpoint is connected to the container instead, with
//! no packet rewritten.
//!
//! What the socket has asked for is remembered, and told instead of the container's endpoint wherever the kernel
//! reports a peer. In here all addresses are IPv6 ones; IPv4 addresses are mapped (`::ffff:0:0/96`).

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::abi::{Address, Endpoint, Mapping, Protocol, Rule, SocketPeer, V4, V6};

/// The mappings of one address family.
pub trait Mappings<A> {
    /// The mapping for a host endpoint, or for its port on any local address if `host` is unspecified.
    fn mapping(&self, protocol: Protocol, host: Endpoint<A>) -> Option<&Mapping<A>>;
}

/// What host access may ask of its surroundings. Every method is one kernel call or less.
pub trait Tables: Mappings<V4> + Mappings<V6> {
    /// Whether an address is one of the host's own; loopback addresses need not be known.
    fn is_host_address(&self, address: V6) -> bool;

    /// Whether a rule is in the life that is meant.
    fn is_in_force(&self, rule: Rule) -> bool;

    /// Remembers what a socket has asked for.
    fn remember(&self, peer: SocketPeer, asked: Endpoint<V6>);

    /// What a socket has asked for when it was connected to a peer.
    fn asked(&self, peer: SocketPeer) -> Option<Endpoint<V6>>;
}

/// A socket of the host, and whom it wants to talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its cookie.
    pub socket: u64,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its own address; unspecified if the kernel is to choose one.
    pub source: V6,
    /// The index of the interface that it is bound to, or 0.
    pub interface: u32,
    /// Whom.
    pub destination: Endpoint<V6>,
}

/// The container's endpoint to connect a socket to, if its destination is mapped.
pub fn connect<T: Tables>(tables: &T, request: &Request) -> Option<Endpoint<V6>> {
    redirect(tables, request, |_| true)
}

/// The container's endpoint to send a datagram to, if its destination is mapped.
pub fn send<T: Tables>(tables: &T, request: &Request) -> Option<Endpoint<V6>> {
    // The kernel does not send what was for an IPv6 destination to an IPv4 one: ENOTSUPP (net/ipv6/udp.c).
    redirect(tables, request, |target| is_v4(target) == is_v4(request.destination.address))
}

/// What to call the peer of a socket, if not by its own address. The kernel has no room for an IPv6 address where it
/// reports an IPv4 one.
pub fn answer<T: Tables>(tables: &T, peer: SocketPeer, is_v4_only: bool) -> Option<Endpoint<V6>> {
    tables.asked(peer).filter(|asked| !is_v4_only || is_v4(asked.address))
}

fn redirect<T: Tables>(tables: &T, request: &Request, is_possible: impl Fn(V6) -> bool) -> Option<Endpoint<V6>> {
    let Request { socket, protocol, source, interface, destination } = *request;
    let asked = Endpoint { address: specified(destination.address), ..destination };
    let is_own = is_loopback(asked.address) || tables.is_host_address(asked.address);
    // A socket that is bound to an interface might send the container's packets to the wire.
    if !is_own || interface != 0 {
        return None;
    }
    let target = target(tables, protocol, asked)?;
    if !is_possible(target.address) || !can_reach(source, target.address) {
        return None;
    }
    tables.remember(SocketPeer::new(socket, target), asked);
    Some(target)
}

/// Where one of the host's own endpoints is mapped to. An IPv6 endpoint that is not mapped itself is served by the
/// mapping of any IPv4 address, as docker-proxy does.
fn target<T: Tables>(tables: &T, protocol: Protocol, host: Endpoint<V6>) -> Option<Endpoint<V6>> {
    let Endpoint { address, port } = host;
    let v4 = |address: V4| lookup(tables, protocol, Endpoint { address, port }).map(mapped);
    match Ipv6Addr::from(address).to_ipv4_mapped() {
        Some(address) => v4(address.octets()),
        None => lookup(tables, protocol, host).or_else(|| v4(V4::UNSPECIFIED)),
    }
}

fn lookup<A: Address, T: Tables + Mappings<A>>(
    tables: &T,
    protocol: Protocol,
    host: Endpoint<A>,
) -> Option<Endpoint<A>> {
    let any = Endpoint { address: A::UNSPECIFIED, ..host };
    in_force(tables, protocol, host)
        .or_else(|| in_force(tables, protocol, any))
        .map(|mapping| mapping.target_of(host.port))
}

fn in_force<A, T: Tables + Mappings<A>>(tables: &T, protocol: Protocol, host: Endpoint<A>) -> Option<&Mapping<A>> {
    tables.mapping(protocol, host).filter(|mapping| tables.is_in_force(mapping.rule))
}

/// Whether what a socket sends from its address can reach a container, and be answered.
fn can_reach(source: V6, target: V6) -> bool {
    source == V6::UNSPECIFIED || (!is_loopback(source) && is_v4(source) == is_v4(target))
}

/// To the unspecified address the kernel connects as to the loopback address.
fn specified(mut address: V6) -> V6 {
    let v6 = Ipv6Addr::from(address);
    let is_v4 = v6.to_ipv4_mapped() == Some(Ipv4Addr::UNSPECIFIED);
    // Not the standard library's constants: the BPF linker would make a map of them.
    let [.., first, _, _, last] = &mut address;
    if is_v4 {
        (*first, *last) = (127, 1);
    } else if v6.is_unspecified() {
        *last = 1;
    }
    address
}

fn is_loopback(address: V6) -> bool {
    let address = Ipv6Addr::from(address);
    address.to_ipv4_mapped().map_or_else(|| address.is_loopback(), |v4| v4.is_loopback())
}

fn is_v4(address: V6) -> bool {
    Ipv6Addr::from(address).to_ipv4_mapped().is_some()
}

fn mapped(endpoint: Endpoint<V4>) -> Endpoint<V6> {
    Endpoint { address: Ipv4Addr::from(endpoint.address).to_ipv6_mapped().octets(), port: endpoint.port }
}
