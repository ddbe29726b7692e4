//! Gives a packet other endpoints.

use crate::{
    abi::{Address, Tuple},
    packet::{Covers, Packet},
    parse::{Headers, Kind},
};

/// Rewrites the packet's endpoints to those of `to`, and every checksum that covers them.
///
/// `None` if the packet could not be written; it may then be half rewritten and must not be sent.
pub fn apply<const N: usize, P>(packet: &mut P, headers: &Headers<[u8; N]>, to: &Tuple<[u8; N]>) -> Option<()>
where
    [u8; N]: Address,
    P: Packet + ?Sized,
{
    let layout = Layout::of(headers.transport.kind)?;
    let source_at = headers.network_at.saturating_add(<[u8; N]>::SOURCE_AT);
    let destination_at = headers.network_at.saturating_add(<[u8; N]>::DESTINATION_AT);
    address(packet, headers, &layout, source_at, headers.source, to.source.address)?;
    address(packet, headers, &layout, destination_at, headers.destination, to.destination.address)?;
    let transport = headers.transport;
    port(packet, headers, &layout, layout.source_port_at, transport.source_port, to.source.port)?;
    port(packet, headers, &layout, layout.destination_port_at, transport.destination_port, to.destination.port)
}

/// Where the fields of a transport header are, in bytes from its first.
struct Layout {
    source_port_at: Option<u32>,
    destination_port_at: Option<u32>,
    checksum_at: u32,
    /// Whether the checksum covers the addresses.
    has_pseudo_header: bool,
    /// Whether a checksum of 0 means "no checksum".
    zero_is_none: bool,
}

impl Layout {
    const fn of(kind: Kind) -> Option<Self> {
        let (source_port_at, destination_port_at, checksum_at) = match kind {
            Kind::Tcp => (Some(0), Some(2), 16),
            Kind::Udp => (Some(0), Some(2), 6),
            Kind::EchoRequest => (Some(4), None, 2),
            Kind::EchoReply => (None, Some(4), 2),
            Kind::Untranslatable(_) => return None,
        };
        let has_pseudo_header = matches!(kind, Kind::Tcp | Kind::Udp);
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
    packet.store(at, new)?;
    if let Some(checksum_at) = <[u8; N]>::CHECKSUM_AT {
        packet.update_checksum(headers.network_at.saturating_add(checksum_at), Covers::IpHeader, old, new)?;
    }
    if !layout.has_pseudo_header {
        return Some(());
    }
    let covers = Covers::PseudoHeader { zero_is_none: layout.zero_is_none };
    packet.update_checksum(headers.transport_at.saturating_add(layout.checksum_at), covers, old, new)
}

fn port<A, P: Packet + ?Sized>(
    packet: &mut P,
    headers: &Headers<A>,
    layout: &Layout,
    at: Option<u32>,
    old: [u8; 2],
    new: [u8; 2],
) -> Option<()> {
    let Some(at) = at.filter(|_| old != new) else {
        return Some(());
    };
    packet.store(headers.transport_at.saturating_add(at), new)?;
    let covers = Covers::Transport { zero_is_none: layout.zero_is_none };
    packet.update_checksum(headers.transport_at.saturating_add(layout.checksum_at), covers, old, new)
}
