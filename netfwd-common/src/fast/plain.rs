//! The packets of the fast path: whole TCP and UDP packets behind an Ethernet header, without IP options or extension
//! headers, with a hop to spare, that open nothing. All that a router and the NAT must know of them, and change, is at
//! fixed places.

use crate::{
    abi::{Address, Protocol, Side, Tuple, V4, V6, Words},
    checksum::Change,
    packet::{Corrections, Direct},
    parse::{Chunk, Kind, TcpFlags, Transport},
    tables::Layout,
};

/// What the fast path knows of a packet.
pub struct Plain<A> {
    pub(super) tuple: Tuple<A>,
    pub(super) transport: Transport,
}

/// A family whose packets can be plain.
pub trait Express: Address {
    /// The 16-bit words of an endpoint: those of the address, and the port.
    type Words: Copy;

    /// What a packet is that is seen on `side`; `None` if it is not plain.
    fn read<P: Direct, L: Layout<Self, Self::Words>>(packet: &P, side: Side) -> Option<Plain<Self>>;

    /// Bytes of a plain packet from its IP header on; of a GSO packet, of its longest segment.
    fn longest<P: Direct>(packet: &P, kind: Kind) -> Option<u32> {
        let (ethernet, ip) = (14, Self::HEADER_LENGTH);
        let segment = packet.segment();
        if segment == 0 {
            return packet.length().checked_sub(ethernet);
        }
        let transport_at = ip.saturating_add(ethernet);
        let transport = if kind == Kind::Tcp { tcp_header(packet, transport_at)? } else { 8 };
        Some(ip.saturating_add(transport).saturating_add(segment))
    }

    /// Gives a plain packet of this kind other endpoints, and takes one of its hops. `None` if the packet could not be written; it
    /// may then be half rewritten and must not be sent.
    fn write<P: Direct>(packet: &mut P, kind: Kind, source: Self::Words, destination: Self::Words) -> Option<()>;
}

pub(super) const ETHERTYPE_AT: usize = 12;
pub(super) const ETHERTYPE_IPV4: u16 = 0x0800_u16.to_be();
pub(super) const ETHERTYPE_IPV6: u16 = 0x86dd_u16.to_be();
/// IPv4 without options, whatever the type of service.
const VERSION_AND_LENGTH: u8 = 0x45;
/// The offset of an IPv4 fragment, and whether more follow.
const FRAGMENT: u16 = 0x3fff_u16.to_be();

impl Express for V4 {
    type Words = Words<2>;

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the fast path is one function")]
    fn read<P: Direct, L: Layout<Self, Words<2>>>(packet: &P, side: Side) -> Option<Plain<Self>> {
        let [ethertype, version, length, _, fragment, hops, _, s0, s1, d0, d1, source_port, destination_port] =
            packet.words(ETHERTYPE_AT)?;
        let ([version, _], [hops, protocol]) = (version.to_ne_bytes(), hops.to_ne_bytes());
        if ethertype != ETHERTYPE_IPV4 || version != VERSION_AND_LENGTH || fragment & FRAGMENT != 0 || hops <= 1 {
            return None;
        }
        let length = u32::from(u16::from_be(length));
        if length.saturating_add(14) > packet.length() {
            return None;
        }
        let transport = transport(packet, 34, protocol, length.checked_sub(20)?, [source_port, destination_port])?;
        let source = Words { address: [s0, s1], port: source_port };
        let destination = Words { address: [d0, d1], port: destination_port };
        Some(Plain::new::<L>(side, transport, source, destination))
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the fast path is one function")]
    fn write<P: Direct>(packet: &mut P, kind: Kind, source: Words<2>, destination: Words<2>) -> Option<()> {
        let ([s0, s1], [d0, d1]) = (source.address, destination.address);
        let [hops, checksum] = packet.words(22)?;
        let addresses = Change::of(packet.words(26)?, [s0, s1, d0, d1]);
        let ports = Change::of(packet.words(34)?, [source.port, destination.port]);
        let left = one_hop_less(hops, 0);
        let checksum = Change::of([hops], [left]).and(addresses).correct(checksum);
        packet.set_words(22, [left, checksum, s0, s1, d0, d1, source.port, destination.port])?;
        correct(packet, 34, kind, Corrections { addresses, ports, ..Corrections::NONE })
    }
}

impl Express for V6 {
    type Words = Words<8>;

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the fast path is one function")]
    fn read<P: Direct, L: Layout<Self, Words<8>>>(packet: &P, side: Side) -> Option<Plain<Self>> {
        let [ethertype, version, _, length, hops] = packet.words(ETHERTYPE_AT)?;
        let ([version, _], [protocol, hops]) = (version.to_ne_bytes(), hops.to_ne_bytes());
        if ethertype != ETHERTYPE_IPV6 || version >> 4 != 6 || hops <= 1 {
            return None;
        }
        let length = u32::from(u16::from_be(length));
        if length.saturating_add(54) > packet.length() {
            return None;
        }
        let ports @ [source_port, destination_port] = packet.words(54)?;
        let transport = transport(packet, 54, protocol, length, ports)?;
        let source = Words { address: packet.words(22)?, port: source_port };
        let destination = Words { address: packet.words(38)?, port: destination_port };
        Some(Plain::new::<L>(side, transport, source, destination))
    }

    // Not part of that function, which would need more stack than there is.
    #[inline(never)]
    fn write<P: Direct>(packet: &mut P, kind: Kind, source: Words<8>, destination: Words<8>) -> Option<()> {
        let addresses = packet.replace(22, &source.address)?.and(packet.replace(38, &destination.address)?);
        let ports_now = [source.port, destination.port];
        let ports = Change::of(packet.words(54)?, ports_now);
        packet.set_words(54, ports_now)?;
        let [hops] = packet.words(20)?;
        let left = one_hop_less(hops, 1);
        packet.set_words(20, [left])?;
        // There is no header checksum.
        let uncovered = Change::of([hops], [left]).and(addresses);
        correct(packet, 54, kind, Corrections { addresses, ports, uncovered, ..Corrections::NONE })
    }
}

impl<A: Express> Plain<A> {
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the fast path is one function")]
    fn new<L: Layout<A, A::Words>>(side: Side, transport: Transport, source: A::Words, destination: A::Words) -> Self {
        let tuple = Tuple::new(transport.protocol, side, L::endpoint(source), L::endpoint(destination));
        Self { tuple, transport }
    }
}

/// A transport header behind `at`, of which the packet has `length` bytes; `None` if it is cut off, opens a connection or
/// is of another protocol.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the fast path is one function")]
fn transport<P: Direct>(
    packet: &P,
    at: usize,
    protocol: u8,
    length: u32,
    [source_port, destination_port]: [u16; 2],
) -> Option<Transport> {
    let protocol = Protocol::from_number(protocol);
    let (kind, flags) = match protocol {
        Protocol::UDP if length >= 8 => (Kind::Udp, TcpFlags(0)),
        Protocol::TCP if length >= 20 => {
            let [word] = packet.words(at.saturating_add(12))?;
            let [_, flags] = word.to_ne_bytes();
            (Kind::Tcp, TcpFlags(flags))
        }
        _ => return None,
    };
    if flags.has(TcpFlags::SYN) {
        return None;
    }
    let (source_port, destination_port) = (source_port.to_ne_bytes(), destination_port.to_ne_bytes());
    Some(Transport { kind, protocol, source_port, destination_port, flags, chunk: Chunk::NONE })
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "the fast path is one function")]
fn correct<P: Direct>(packet: &mut P, transport_at: u32, kind: Kind, corrections: Corrections) -> Option<()> {
    let zero_is_none = kind == Kind::Udp;
    let checksum_at = if zero_is_none { 6 } else { 16 };
    packet.correct(transport_at.saturating_add(checksum_at), &Corrections { zero_is_none, ..corrections })
}

/// Bytes of the TCP header at `at`.
fn tcp_header<P: Direct>(packet: &P, at: u32) -> Option<u32> {
    let [word] = packet.words(usize::try_from(at).ok()?.saturating_add(12))?;
    let [offset, _] = word.to_ne_bytes();
    // In words of 32 bits, in the upper half of the byte (RFC 9293 section 3.1).
    Some(u32::from(offset >> 4).saturating_mul(4))
}

/// The word with the hops in one of its bytes, with one hop less.
fn one_hop_less(word: u16, byte: usize) -> u16 {
    let mut bytes = word.to_ne_bytes();
    if let Some(hops) = bytes.get_mut(byte) {
        *hops = hops.wrapping_sub(1);
    }
    u16::from_ne_bytes(bytes)
}
