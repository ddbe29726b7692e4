//! Bytes to [`Headers`]: everything that the NAT knows about a packet.
//!
//! A packet whose IP header is broken has no [`Headers`]: [`Parse::parse`] says [`Reason::Malformed`], and the stack,
//! which checks the same, drops it. Whatever is wrong behind the IP header is [`Kind::Untranslatable`], with the
//! addresses known: such a packet of a masqueraded subnet is dropped by the NAT, because nobody after it would.

mod ipv4;
mod ipv6;
mod transport;

pub use transport::{Chunk, Kind, TcpFlags, Transport};

use crate::{
    abi::{Address, Endpoint, Protocol, Reason, Side, Tuple},
    packet::Packet,
};

const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];

/// No datagram is longer: with its header of IPv4 (RFC 791 section 3.1), without it of IPv6 (RFC 8200 section 4.5).
const MAX_DATAGRAM: u32 = 65_535;

/// What the NAT knows about a packet. Offsets count from its first byte.
///
/// Plain values throughout: where the compiler may leave a field undefined on a path that does not use it, the
/// verifier would refuse the program.
// Aligned, because the BPF target copies and compares unaligned bytes one at a time.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<A> {
    /// The sender's address.
    pub source: A,
    /// The receiver's address.
    pub destination: A,
    /// Where the IP header is.
    pub network_at: u32,
    /// Where the transport header is, behind all IPv6 extension headers; in a later fragment, where its data are.
    pub transport_at: u32,
    /// Where the IP packet ends by its own length; link-layer padding may follow. A quoted packet may be cut off
    /// earlier: then it ends there.
    pub end_at: u32,
    /// What a fragment's datagram is known by, next to its addresses: of IPv4 the identification in the last two
    /// bytes (and the protocol belongs to it, RFC 791), of IPv6 that of the fragment header; 0 without one.
    pub identification: [u8; 4],
    /// The transport header.
    pub transport: Transport,
    /// Which part of its datagram it is.
    pub fragment: Fragmentation,
}

impl<A: Address> Headers<A> {
    /// To be written by [`Parse::parse`].
    pub const EMPTY: Self = Self {
        source: A::UNSPECIFIED,
        destination: A::UNSPECIFIED,
        network_at: 0,
        transport_at: 0,
        end_at: 0,
        identification: [0; 4],
        transport: Transport::EMPTY,
        fragment: Fragmentation::Whole,
    };

    /// The packet's tuple as seen on `side`, or why it has none: [`Transport::translatable`].
    pub fn tuple(&self, side: Side) -> Result<Tuple<A>, Reason> {
        self.transport.translatable()?;
        let source = Endpoint { address: self.source, port: self.transport.source_port };
        let destination = Endpoint { address: self.destination, port: self.transport.destination_port };
        Ok(Tuple::new(self.transport.protocol, side, source, destination))
    }

    /// Writes what [`Headers::tuple`] returns. After an error the tuple is what it was.
    pub fn write_tuple(&self, side: Side, tuple: &mut Tuple<A>) -> Result<(), Reason> {
        self.transport.translatable()?;
        tuple.source.address = self.source;
        tuple.source.port = self.transport.source_port;
        tuple.destination.address = self.destination;
        tuple.destination.port = self.transport.destination_port;
        tuple.protocol = self.transport.protocol.number();
        tuple.side = side.number();
        tuple.pad = [0; 2];
        Ok(())
    }
}

/// Which part of its datagram a packet is.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragmentation {
    /// All of it; also a lone IPv6 fragment that is (RFC 6946).
    Whole = 0,
    /// The first fragment, with the transport header.
    First = 1,
    /// Another fragment: without a transport header.
    Later = 2,
}

impl Fragmentation {
    /// From the offset in bytes and whether more fragments follow.
    const fn new(offset: u32, more: bool) -> Self {
        match (offset, more) {
            (0, false) => Self::Whole,
            (0, true) => Self::First,
            _ => Self::Later,
        }
    }
}

/// What follows a packet's link-layer header.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4 = 0,
    /// IPv6.
    V6 = 1,
    /// Anything else, or a VLAN tag.
    Other = 2,
}

/// What follows a link-layer header of `link_header` bytes, by its `EtherType`; without one, by the version that IP
/// headers begin with.
pub fn family<P: Packet + ?Sized>(packet: &P, link_header: u32) -> Family {
    if packet.is_vlan_tagged() {
        return Family::Other;
    }
    let Some(ethertype_at) = link_header.checked_sub(2) else {
        return match packet.load(0) {
            Some([0x40..=0x4f]) => Family::V4,
            Some([0x60..=0x6f]) => Family::V6,
            _ => Family::Other,
        };
    };
    match packet.load(ethertype_at) {
        Some(ETHERTYPE_IPV4) => Family::V4,
        Some(ETHERTYPE_IPV6) => Family::V6,
        _ => Family::Other,
    }
}

/// An address family whose packets can be parsed.
pub trait Parse: Address {
    /// Its ICMP.
    const ICMP: Protocol;
    /// Where the length is in its header, in two bytes.
    const LENGTH_AT: u32;
    /// From where on in its header that counts.
    const LENGTH_BEGINS_AT: u32;

    /// Parses the packet whose IP header is at `at`.
    ///
    /// The error is [`Reason::Malformed`]: the IP header is cut off, is of another version, or has lengths that
    /// contradict each other or the packet. `headers` is then as it was or half written.
    fn parse<P: Packet + ?Sized>(packet: &P, at: u32, headers: &mut Headers<Self>) -> Result<(), Reason>;

    /// Parses a packet that an ICMP error quotes from `at` on; the error ends at `end`. It may be cut off anywhere
    /// behind the first 8 bytes of its transport header (RFC 792), so TCP's flags and SCTP's chunk are not read.
    fn parse_quoted<P: Packet + ?Sized>(
        packet: &P,
        at: u32,
        end: u32,
        headers: &mut Headers<Self>,
    ) -> Result<(), Reason>;

    /// What an ICMP message is, by its type and code.
    fn icmp_kind(kind: u8, code: u8) -> Kind;
}

/// Whether a fragment cannot be part of any datagram: one with it would be too long.
const fn is_beyond(offset: u32, length: u32) -> bool {
    offset != 0 && offset.saturating_add(length) > MAX_DATAGRAM
}
