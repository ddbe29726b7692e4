//! RFC 791 and RFC 792.

use super::{Fragmentation, Headers, Kind, Parse, is_beyond, transport};
use crate::{
    abi::{Protocol, Reason, V4},
    packet::Packet,
};

impl Parse for V4 {
    const ICMP: Protocol = Protocol::ICMP;
    const LENGTH_AT: u32 = 2;
    const LENGTH_BEGINS_AT: u32 = 0;

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
            (8, 0) => Kind::EchoRequest,
            (0, 0) => Kind::EchoReply,
            // Destination unreachable, source quench, time exceeded, parameter problem.
            (3 | 4 | 11 | 12, _) => Kind::IcmpError,
            _ => Kind::Untranslatable(Reason::UnsupportedIcmp),
        }
    }
}

#[inline]
fn header<P: Packet + ?Sized, const QUOTED: bool>(
    packet: &P,
    at: u32,
    limit: u32,
    headers: &mut Headers<V4>,
) -> Option<()> {
    let available = limit.saturating_sub(at);
    let [version_length, _, t0, t1, i0, i1, f0, f1, _, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] =
        packet.load::<20>(at).filter(|_| available >= 20)?;
    let header_length = u32::from(version_length & 0x0f).saturating_mul(4);
    let total_length = match u16::from_be_bytes([t0, t1]) {
        0 => available, // A GSO packet over 64 KiB (BIG TCP, kernel 6.3).
        length if QUOTED => u32::from(length).min(available),
        length => u32::from(length),
    };
    if version_length >> 4 != 4 || header_length < 20 || total_length < header_length || available < total_length {
        return None;
    }
    let offset = u32::from(u16::from_be_bytes([f0 & 0x1f, f1])).saturating_mul(8);
    headers.source = [s0, s1, s2, s3];
    headers.destination = [d0, d1, d2, d3];
    headers.network_at = at;
    headers.transport_at = at.saturating_add(header_length);
    headers.end_at = at.saturating_add(total_length);
    headers.identification = [0, 0, i0, i1];
    headers.fragment = Fragmentation::new(offset, f0 & 0x20 != 0);
    transport::read::<V4, P, QUOTED>(packet, protocol, headers);
    if is_beyond(offset, total_length) {
        headers.transport.kind = Kind::Untranslatable(Reason::Fragment);
    }
    Some(())
}
