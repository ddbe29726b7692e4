//! The packet that an ICMP error quotes (RFC 5508 section 4).
//!
//! An error says which packet it is about by quoting the beginning of it, as its sender saw it. Whoever translates
//! that packet has to translate the quote back, or its sender would not know it.

use crate::{
    abi::{Address, Reason, Tuple},
    checksum::Sum,
    packet::Packet,
    parse::{Headers, Kind, Parse},
    rewrite::Layout,
};

/// Bytes of an ICMP error before the packet that it quotes.
const ICMP_HEADER: u32 = 8;

/// Parses the packet that the error `outer` quotes.
///
/// The error is [`Reason::Unrelated`]: what is quoted does not begin with an IP header. A quoted ICMP error is
/// [`Reason::UnsupportedIcmp`]: there are no errors about errors (RFC 1122 section 3.2.2, RFC 4443 section 2.4).
#[inline(never)]
pub fn parse<A: Parse, P: Packet + ?Sized>(
    packet: &P,
    outer: &Headers<A>,
    inner: &mut Headers<A>,
) -> Result<(), Reason> {
    let at = outer.transport_at.saturating_add(ICMP_HEADER);
    if A::parse_quoted(packet, at, outer.end_at, inner).is_err() {
        return Err(Reason::Unrelated);
    }
    if inner.transport.kind == Kind::IcmpError {
        inner.transport.kind = Kind::Untranslatable(Reason::UnsupportedIcmp);
    }
    Ok(())
}

/// Rewrites the quoted packet's endpoints to those of `to`, every Internet checksum in the quote that covers them, and
/// that of the error. SCTP's checksum in a quote stays: nobody can verify it, since a quote is seldom all of its packet.
/// The error's own addresses are [`crate::rewrite::addresses`]' work.
///
/// `None` if the packet could not be written, or must not be: see [`crate::rewrite::apply`].
#[inline(never)]
pub fn apply<const N: usize, P>(
    packet: &mut P,
    outer: &Headers<[u8; N]>,
    inner: &Headers<[u8; N]>,
    to: &Tuple<[u8; N]>,
) -> Option<()>
where
    [u8; N]: Parse,
    P: Packet + ?Sized,
{
    let layout = Layout::of::<[u8; N]>(inner.transport.kind)?;
    let mut quote = Quote { packet, change: Sum::default() };
    quote.addresses(inner, to)?;
    quote.ports(inner, &layout, to)?;
    let Quote { packet, change } = quote;
    // Whatever changed is part of the message, so its checksum makes up for it.
    let checksum_at = outer.transport_at.saturating_add(2);
    let checksum = packet.load(checksum_at)?;
    packet.store(checksum_at, change.correct(checksum))
}

/// A quote that is being changed.
struct Quote<'p, P: ?Sized> {
    packet: &'p mut P,
    /// What has changed in the ICMP message.
    change: Sum,
}

impl<P: Packet + ?Sized> Quote<'_, P> {
    fn replace<const N: usize>(&mut self, at: u32, old: &[u8; N], new: &[u8; N]) -> Option<()> {
        self.change.replace(old, new);
        self.packet.store(at, *new)
    }

    /// Writes the addresses, and corrects the IPv4 header's checksum.
    fn addresses<const N: usize>(&mut self, inner: &Headers<[u8; N]>, to: &Tuple<[u8; N]>) -> Option<()>
    where
        [u8; N]: Address,
    {
        let at = inner.network_at;
        self.replace(at.saturating_add(<[u8; N]>::SOURCE_AT), &inner.source, &to.source.address)?;
        self.replace(at.saturating_add(<[u8; N]>::DESTINATION_AT), &inner.destination, &to.destination.address)?;
        let Some(checksum_at) = <[u8; N]>::CHECKSUM_AT else {
            return Some(());
        };
        let checksum_at = at.saturating_add(checksum_at);
        let checksum = self.packet.load(checksum_at)?;
        self.replace(checksum_at, &checksum, &address_change(inner, to).correct(checksum))
    }

    /// Writes the ports, and corrects the transport's checksum if it is part of the quote.
    fn ports<const N: usize>(&mut self, inner: &Headers<[u8; N]>, layout: &Layout, to: &Tuple<[u8; N]>) -> Option<()>
    where
        [u8; N]: Parse,
    {
        let at = inner.transport_at;
        let mut change = if layout.has_pseudo_header { address_change(inner, to) } else { Sum::default() };
        if let Some(port_at) = layout.source_port_at {
            change.replace(&inner.transport.source_port, &to.source.port);
            self.replace(at.saturating_add(port_at), &inner.transport.source_port, &to.source.port)?;
        }
        if let Some(port_at) = layout.destination_port_at {
            change.replace(&inner.transport.destination_port, &to.destination.port);
            self.replace(at.saturating_add(port_at), &inner.transport.destination_port, &to.destination.port)?;
        }
        let Some(checksum_at) = layout.checksum_at.map(|checksum_at| at.saturating_add(checksum_at)) else {
            return Some(());
        };
        if checksum_at.saturating_add(2) > inner.end_at {
            return Some(());
        }
        let checksum = self.packet.load(checksum_at)?;
        let corrected = match change.correct(checksum) {
            _ if layout.zero_is_none && checksum == [0; 2] => checksum,
            [0, 0] if layout.zero_is_none => [0xff; 2],
            corrected => corrected,
        };
        self.replace(checksum_at, &checksum, &corrected)
    }
}

fn address_change<const N: usize>(inner: &Headers<[u8; N]>, to: &Tuple<[u8; N]>) -> Sum {
    let mut change = Sum::default();
    change.replace(&inner.source, &to.source.address);
    change.replace(&inner.destination, &to.destination.address);
    change
}
