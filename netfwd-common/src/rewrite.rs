//! Gives a packet other endpoints.

use crate::{
    abi::{Address, Tuple},
    crc32c,
    packet::{Covers, Packet},
    parse::{Fragmentation, Headers, Kind},
};

/// Rewrites the packet's endpoints to those of `to`, and every checksum that covers them. A packet without ports gets
/// the addresses alone.
///
/// `None` if the packet could not be written, or must not be: [`Kind::Untranslatable`], and the first fragment of an
/// SCTP packet that would need other ports, because its checksum depends on how long the others are. It may then be
/// half rewritten and must not be sent.
pub fn apply<const N: usize, P>(packet: &mut P, headers: &Headers<[u8; N]>, to: &Tuple<[u8; N]>) -> Option<()>
where
    [u8; N]: Address,
    P: Packet + ?Sized,
{
    addresses(packet, headers, to.source.address, to.destination.address)?;
    let transport = &headers.transport;
    if transport.kind == Kind::Sctp {
        let old = [transport.source_port, transport.destination_port];
        let new = [to.source.port, to.destination.port];
        return if old == new { Some(()) } else { sctp_ports(packet, headers, to) };
    }
    let layout = Layout::of::<[u8; N]>(transport.kind)?;
    port(packet, headers, &layout, layout.source_port_at, transport.source_port, to.source.port)?;
    port(packet, headers, &layout, layout.destination_port_at, transport.destination_port, to.destination.port)
}

/// Rewrites the packet's addresses, and every checksum that covers them. `None` as for [`apply`].
pub fn addresses<const N: usize, P>(
    packet: &mut P,
    headers: &Headers<[u8; N]>,
    source: [u8; N],
    destination: [u8; N],
) -> Option<()>
where
    [u8; N]: Address,
    P: Packet + ?Sized,
{
    let layout = Layout::of::<[u8; N]>(headers.transport.kind)?;
    address(packet, headers, &layout, <[u8; N]>::SOURCE_AT, headers.source, source)?;
    address(packet, headers, &layout, <[u8; N]>::DESTINATION_AT, headers.destination, destination)
}

/// Takes one of the hops that a packet has left, as a router does (RFC 791, RFC 8200). `None`, and nothing has changed, if
/// it has none to spare.
#[inline]
pub fn take_hop<A: Address, P: Packet + ?Sized>(packet: &mut P, headers: &Headers<A>) -> Option<()> {
    let at = headers.network_at.saturating_add(A::HOPS_AT);
    let Some(checksum_at) = A::CHECKSUM_AT else {
        let [hops] = packet.load(at)?;
        return packet.store_uncovered(at, [one_less(hops)?]);
    };
    // With the protocol, since checksums are of 16-bit words.
    let old @ [hops, protocol] = packet.load(at)?;
    let new = [one_less(hops)?, protocol];
    packet.store(at, new)?;
    packet.update_checksum(headers.network_at.saturating_add(checksum_at), Covers::IpHeader, old, new)
}

fn one_less(hops: u8) -> Option<u8> {
    hops.checked_sub(1).filter(|left| *left != 0)
}

/// Where the fields of a transport header are, in bytes from its first.
pub(crate) struct Layout {
    pub(crate) source_port_at: Option<u32>,
    pub(crate) destination_port_at: Option<u32>,
    /// The Internet checksum.
    pub(crate) checksum_at: Option<u32>,
    /// Whether the checksum covers the addresses.
    pub(crate) has_pseudo_header: bool,
    /// Whether a checksum of 0 means "no checksum".
    pub(crate) zero_is_none: bool,
}

impl Layout {
    /// The layout of what can be translated.
    pub(crate) const fn of<A: Address>(kind: Kind) -> Option<Self> {
        let is_ipv6 = A::FAMILY == 1;
        let (source_port_at, destination_port_at, checksum_at, has_pseudo_header) = match kind {
            Kind::Tcp => (Some(0), Some(2), Some(16), true),
            Kind::Udp => (Some(0), Some(2), Some(6), true),
            Kind::Sctp => (Some(0), Some(2), None, false),
            Kind::EchoRequest => (Some(4), None, Some(2), is_ipv6),
            Kind::EchoReply => (None, Some(4), Some(2), is_ipv6),
            Kind::IcmpError => (None, None, Some(2), is_ipv6),
            Kind::Other | Kind::LaterFragment => (None, None, None, false),
            Kind::Untranslatable(_) => return None,
        };
        let zero_is_none = matches!(kind, Kind::Udp);
        Some(Self { source_port_at, destination_port_at, checksum_at, has_pseudo_header, zero_is_none })
    }
}

fn address<const N: usize, P>(
    packet: &mut P,
    headers: &Headers<[u8; N]>,
    layout: &Layout,
    at: u32,
    old: [u8; N],
    new: [u8; N],
) -> Option<()>
where
    [u8; N]: Address,
    P: Packet + ?Sized,
{
    if old == new {
        return Some(());
    }
    let at = headers.network_at.saturating_add(at);
    match <[u8; N]>::CHECKSUM_AT {
        Some(checksum_at) => {
            packet.store(at, new)?;
            packet.update_checksum(headers.network_at.saturating_add(checksum_at), Covers::IpHeader, old, new)?;
        }
        // Also where a transport's checksum makes up for it: Covers::PseudoHeader takes the change out of the
        // kernel's sum, because in IPv4 the header's checksum has made up for it already.
        None => packet.store_uncovered(at, new)?,
    }
    let Some(checksum_at) = layout.checksum_at.filter(|_| layout.has_pseudo_header) else {
        return Some(());
    };
    let covers = Covers::PseudoHeader { zero_is_none: layout.zero_is_none };
    packet.update_checksum(headers.transport_at.saturating_add(checksum_at), covers, old, new)
}

fn port<A, P: Packet + ?Sized>(
    packet: &mut P,
    headers: &Headers<A>,
    layout: &Layout,
    at: Option<u32>,
    old: [u8; 2],
    new: [u8; 2],
) -> Option<()> {
    let (Some(at), Some(checksum_at), true) = (at, layout.checksum_at, old != new) else {
        return Some(());
    };
    packet.store(headers.transport_at.saturating_add(at), new)?;
    let covers = Covers::Transport { zero_is_none: layout.zero_is_none };
    packet.update_checksum(headers.transport_at.saturating_add(checksum_at), covers, old, new)
}

/// Where SCTP's checksum is.
pub(crate) const CRC_AT: u32 = 8;

#[inline(never)]
fn sctp_ports<A: Address, P: Packet + ?Sized>(packet: &mut P, headers: &Headers<A>, to: &Tuple<A>) -> Option<()> {
    if headers.fragment != Fragmentation::Whole {
        return None;
    }
    let ([o0, o1], [o2, o3]) = (headers.transport.source_port, headers.transport.destination_port);
    let ([n0, n1], [n2, n3]) = (to.source.port, to.destination.port);
    let (at, crc_at) = (headers.transport_at, headers.transport_at.saturating_add(CRC_AT));
    packet.store_uncovered(at, [n0, n1, n2, n3])?;
    let crc = packet.load(crc_at)?;
    // The interface computes it (CHECKSUM_PARTIAL).
    if crc == [0; 4] {
        return Some(());
    }
    let bytes_after = headers.end_at.saturating_sub(at).saturating_sub(4);
    packet.store_uncovered(crc_at, crc32c::updated(crc, [o0, o1, o2, o3], [n0, n1, n2, n3], bytes_after))
}
