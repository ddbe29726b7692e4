//! Tells a sender that its packet was refused: ICMP destination unreachable, communication administratively
//! prohibited (RFC 1812 section 5.2.7.1, RFC 4443 section 3.1).

use crate::{
    abi::{Address, Reason, V4, V6},
    checksum::Sum,
    packet::Packet,
    parse::{Fragmentation, Headers, Kind, Parse},
};

/// Bytes of an ICMP error before the packet that it quotes.
const ICMP_HEADER: u32 = 8;

/// As many bytes are put before the answer and removed at last. A checksum of the refused packet that was left to the
/// interface begins within them, and ends with them.
const SPARE: u32 = 128;

/// Whether there may be an answer: not about ICMP errors or what could be one, not about later fragments, and only
/// between hosts (RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e)).
#[must_use]
pub fn is_allowed<A: Address>(headers: &Headers<A>) -> bool {
    !matches!(headers.transport.kind, Kind::IcmpError | Kind::Untranslatable(Reason::UnsupportedIcmp))
        && headers.fragment != Fragmentation::Later
        && headers.source.is_unicast()
        && headers.destination.is_unicast()
}

/// Turns a packet, of which nothing has been rewritten, into the answer from the address `from` to its sender. It
/// quotes the IP header and 8 bytes (RFC 792), by which the sender knows its connection.
///
/// `None` if [there may be none](is_allowed), if the packet has IP options or extension headers, or if it could not
/// be written; it may then be half written and must not be sent. The link-layer header is left as it is.
#[inline(never)]
pub fn prohibited<A: Answer, P: Packet + ?Sized>(packet: &mut P, headers: &Headers<A>, from: A) -> Option<()> {
    let at = headers.network_at;
    let behind_header = at.saturating_add(A::HEADER);
    let quoted_at = behind_header.saturating_add(ICMP_HEADER);
    let (message, end_at) = (A::QUOTE.saturating_add(ICMP_HEADER), quoted_at.saturating_add(A::QUOTE));
    let has_quote = headers.transport_at == behind_header && headers.end_at >= at.saturating_add(A::QUOTE);
    if !is_allowed(headers) || !has_quote {
        return None;
    }
    packet.resize(end_at.saturating_add(SPARE))?;
    let mut sum = Sum::default();
    A::copy_quote(packet, at, quoted_at.saturating_add(SPARE), &mut sum)?;
    packet.remove_behind_link_header(SPARE)?;
    A::add_pseudo_header(&mut sum, from, headers.source, message);
    let [kind, code] = A::PROHIBITED;
    sum.add(&[kind, code]);
    let [c0, c1] = sum.checksum();
    packet.store_uncovered(behind_header, [kind, code, c0, c1, 0, 0, 0, 0])?;
    A::write_header(packet, at, message, from, headers.source)
}

fn copy<const N: usize, P: Packet + ?Sized>(packet: &mut P, at: u32, to: u32, sum: &mut Sum) -> Option<()> {
    let bytes = packet.load::<N>(at)?;
    sum.add(&bytes);
    packet.store_uncovered(to, bytes)
}

/// An address family whose senders can be answered.
pub trait Answer: Parse {
    /// Bytes of its header without options.
    const HEADER: u32;
    /// Type and code of the answer.
    const PROHIBITED: [u8; 2];
    /// Bytes that are quoted.
    const QUOTE: u32;

    /// Copies what is quoted from one place to another, and adds it to the sum.
    fn copy_quote<P: Packet + ?Sized>(packet: &mut P, at: u32, to: u32, sum: &mut Sum) -> Option<()>;

    /// Adds what an ICMP checksum covers next to the message of `length` bytes.
    fn add_pseudo_header(sum: &mut Sum, from: Self, to: Self, length: u32);

    /// Writes the header of a packet with an ICMP message of `length` bytes.
    fn write_header<P: Packet + ?Sized>(packet: &mut P, at: u32, length: u32, from: Self, to: Self) -> Option<()>;
}

impl Answer for V4 {
    const HEADER: u32 = 20;
    const PROHIBITED: [u8; 2] = [3, 13];
    const QUOTE: u32 = 28;

    fn copy_quote<P: Packet + ?Sized>(packet: &mut P, at: u32, to: u32, sum: &mut Sum) -> Option<()> {
        copy::<28, P>(packet, at, to, sum)
    }

    fn add_pseudo_header(_: &mut Sum, _: Self, _: Self, _: u32) {}

    fn write_header<P: Packet + ?Sized>(packet: &mut P, at: u32, length: u32, from: Self, to: Self) -> Option<()> {
        let [_, _, l0, l1] = length.saturating_add(Self::HEADER).to_be_bytes();
        // Internetwork control (RFC 1812 section 4.3.2.5); don't fragment, so no identification (RFC 6864).
        let start = [0x45, 0xc0, l0, l1, 0, 0, 0x40, 0, 64, Self::ICMP.number()];
        let mut sum = Sum::default();
        sum.add(&start);
        sum.add(&from);
        sum.add(&to);
        packet.store_uncovered(at, start)?;
        packet.store_uncovered(at.saturating_add(10), sum.checksum())?;
        packet.store_uncovered(at.saturating_add(Self::SOURCE_AT), from)?;
        packet.store_uncovered(at.saturating_add(Self::DESTINATION_AT), to)
    }
}

impl Answer for V6 {
    const HEADER: u32 = 40;
    const PROHIBITED: [u8; 2] = [1, 1];
    const QUOTE: u32 = 48;

    fn copy_quote<P: Packet + ?Sized>(packet: &mut P, at: u32, to: u32, sum: &mut Sum) -> Option<()> {
        copy::<48, P>(packet, at, to, sum)
    }

    fn add_pseudo_header(sum: &mut Sum, from: Self, to: Self, length: u32) {
        sum.add(&from);
        sum.add(&to);
        sum.add(&length.to_be_bytes());
        sum.add(&[0, Self::ICMP.number()]);
    }

    fn write_header<P: Packet + ?Sized>(packet: &mut P, at: u32, length: u32, from: Self, to: Self) -> Option<()> {
        let [_, _, l0, l1] = length.to_be_bytes();
        packet.store_uncovered(at, [0x60, 0, 0, 0, l0, l1, Self::ICMP.number(), 64])?;
        packet.store_uncovered(at.saturating_add(Self::SOURCE_AT), from)?;
        packet.store_uncovered(at.saturating_add(Self::DESTINATION_AT), to)
    }
}
