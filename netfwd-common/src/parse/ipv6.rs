//! RFC 8200 and RFC 4443.

use super::{Fragmentation, Headers, Kind, Parse, is_beyond, transport};
use crate::{
    abi::{Protocol, Reason, V6},
    packet::Packet,
};

const HEADER_LENGTH: u32 = 40;

/// Extension headers that are passed over. RFC 8200 section 4.1 knows six in their proper order, the destination
/// options twice; RFC 9288 expects networks to drop longer chains.
const MAX_EXTENSIONS: u32 = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

impl Parse for V6 {
    const ICMP: Protocol = Protocol::ICMPV6;
    const LENGTH_AT: u32 = 4;
    const LENGTH_BEGINS_AT: u32 = HEADER_LENGTH;

    #[inline]
    fn parse<P: Packet + ?Sized>(packet: &P, at: u32, headers: &mut Headers<Self>) -> Result<(), Reason> {
        header::<P, false>(packet, at, packet.length(), headers).ok_or(Reason::Malformed)
    }

    fn parse_quoted<P: Packet + ?Sized>(
        packet: &P,
        at: u32,
        end: u32,
        headers: &mut Headers<Self>,
    ) -> Result<(), Reason> {
        header::<P, true>(packet, at, end, headers).ok_or(Reason::Malformed)
    }

    fn icmp_kind(kind: u8, code: u8) -> Kind {
        match (kind, code) {
            (128, 0) => Kind::EchoRequest,
            (129, 0) => Kind::EchoReply,
            // Destination unreachable, packet too big, time exceeded, parameter problem.
            (1..=4, _) => Kind::IcmpError,
            // Neighbour discovery and multicast listeners are a link's own affair.
            _ => Kind::Untranslatable(Reason::UnsupportedIcmp),
        }
    }
}

#[inline]
fn header<P: Packet + ?Sized, const QUOTED: bool>(
    packet: &P,
    at: u32,
    limit: u32,
    headers: &mut Headers<V6>,
) -> Option<()> {
    let available = limit.saturating_sub(at).checked_sub(HEADER_LENGTH)?;
    let [version, _, _, _, l0, l1, next, _] = packet.load::<8>(at)?;
    let length = match u16::from_be_bytes([l0, l1]) {
        0 => available, // A GSO packet over 64 KiB (BIG TCP, kernel 5.19), or a jumbogram (RFC 2675).
        length if QUOTED => u32::from(length).min(available),
        length => u32::from(length),
    };
    if version >> 4 != 6 || available < length {
        return None;
    }
    packet.load_into(at.saturating_add(8), &mut headers.source)?;
    packet.load_into(at.saturating_add(24), &mut headers.destination)?;
    headers.network_at = at;
    headers.transport_at = at.saturating_add(HEADER_LENGTH);
    headers.end_at = headers.transport_at.saturating_add(length);
    headers.identification = [0; 4];
    headers.fragment = Fragmentation::Whole;
    let mut protocol = next;
    let skipped = if is_extension(next) { skip_extensions(packet, headers, &mut protocol) } else { Ok(()) };
    transport::read::<V6, P, QUOTED>(packet, protocol, headers);
    match skipped {
        Err(reason) => headers.transport.kind = Kind::Untranslatable(reason),
        Ok(()) if is_extension(protocol) => headers.transport.kind = Kind::LaterFragment,
        Ok(()) => {}
    }
    Some(())
}

const fn is_extension(next: u8) -> bool {
    matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS)
}

/// Moves `transport_at` behind the extension headers, up to a later fragment's data, and `next` to what follows them.
///
/// - A chain that does not end within the packet, or has more than [`MAX_EXTENSIONS`], is [`Reason::Truncated`].
/// - A fragment that no datagram can have, or of a fragment, is [`Reason::Fragment`].
/// - A routing header that is not at its end yet is [`Reason::UnsupportedProtocol`]: the transport's checksum covers
///   an address in it instead of the destination (RFC 8200 section 8.1).
#[inline(never)]
fn skip_extensions<P: Packet + ?Sized>(packet: &P, headers: &mut Headers<V6>, next: &mut u8) -> Result<(), Reason> {
    for _ in 0..MAX_EXTENSIONS {
        if headers.fragment == Fragmentation::Later || !is_extension(*next) {
            return Ok(());
        }
        let at = headers.transport_at;
        // Every extension header has 8 bytes at least.
        let header @ [following, size, _, segments_left, ..] = packet.load::<8>(at).ok_or(Reason::Truncated)?;
        let more = if *next == FRAGMENT { 0 } else { u32::from(size).saturating_mul(8) };
        headers.transport_at = at.saturating_add(8).saturating_add(more);
        if headers.transport_at > headers.end_at {
            return Err(Reason::Truncated);
        }
        match *next {
            FRAGMENT => fragment(header, headers)?,
            ROUTING if segments_left != 0 => return Err(Reason::UnsupportedProtocol),
            _ => {}
        }
        *next = following;
    }
    if headers.fragment != Fragmentation::Later && is_extension(*next) { Err(Reason::Truncated) } else { Ok(()) }
}

/// Takes note of a fragment header, behind which `headers.transport_at` is.
fn fragment([_, _, o0, o1, i0, i1, i2, i3]: [u8; 8], headers: &mut Headers<V6>) -> Result<(), Reason> {
    // The last three bits are flags, so this is the offset in bytes.
    let offset = u32::from(u16::from_be_bytes([o0, o1 & 0xf8]));
    let data = headers.end_at.saturating_sub(headers.transport_at);
    if is_beyond(offset, data) || headers.fragment == Fragmentation::First {
        return Err(Reason::Fragment);
    }
    headers.identification = [i0, i1, i2, i3];
    headers.fragment = Fragmentation::new(offset, o1 & 1 != 0);
    Ok(())
}
