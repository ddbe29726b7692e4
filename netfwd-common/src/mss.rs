//! The largest segment that a TCP end accepts, lowered on its way (MSS clamping).

use core::ops::ControlFlow;

use crate::{
    packet::{Covers, Packet},
    parse::{Headers, Kind, TcpFlags},
    tables::Tables,
};

const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;
const MAXIMUM_SEGMENT_SIZE: u8 = 2;

/// Bytes of a TCP header before its options, and of options at most.
const FIXED: u32 = 20;
const MAX_OPTIONS: u32 = 40;

/// Lowers the maximum segment size that a SYN announces (RFC 9293 section 3.7.1) to `max`, in network order. Whether
/// it was higher; `None` if the packet could not be written.
///
/// A SYN without the option keeps the default of 536 (1220 over IPv6) bytes, and options that make no sense end the
/// search.
#[inline(never)]
pub fn clamp<A, P, T>(packet: &mut P, tables: &T, headers: &Headers<A>, max: [u8; 2]) -> Option<bool>
where
    P: Packet + ?Sized,
    T: Tables<A>,
{
    if headers.transport.kind != Kind::Tcp || !headers.transport.flags.has(TcpFlags::SYN) {
        return Some(false);
    }
    let start = headers.transport_at;
    let [data_offset] = packet.load(start.saturating_add(12))?;
    let end = start.saturating_add(u32::from(data_offset >> 4).saturating_mul(4)).min(headers.end_at);
    let mut at = start.saturating_add(FIXED);
    tables.repeat(MAX_OPTIONS, |_| {
        let (kind, length) = option_at(packet, at, end);
        if kind == MAXIMUM_SEGMENT_SIZE || length == 0 {
            return ControlFlow::Break(());
        }
        at = at.saturating_add(u32::from(length));
        ControlFlow::Continue(())
    });
    if option_at(packet, at, end) != (MAXIMUM_SEGMENT_SIZE, 4) {
        return Some(false);
    }
    let value_at = at.saturating_add(2);
    let old = packet.load(value_at)?;
    lower(packet, start, value_at, old, max)
}

/// The kind and the length of the option at `at`; of length 0 if nothing is to be looked for there and after it.
fn option_at<P: Packet + ?Sized>(packet: &P, at: u32, end: u32) -> (u8, u8) {
    let nothing = (END_OF_OPTIONS, 0);
    // No shorter option is looked for.
    if at.saturating_add(4) > end {
        return nothing;
    }
    match packet.load::<2>(at) {
        Some([NO_OPERATION, _]) => (NO_OPERATION, 1),
        None | Some([END_OF_OPTIONS, _] | [_, 0 | 1]) => nothing,
        Some([kind, length]) => (kind, length),
    }
}

fn lower<P: Packet + ?Sized>(packet: &mut P, start: u32, at: u32, old: [u8; 2], max: [u8; 2]) -> Option<bool> {
    if u16::from_be_bytes(old) <= u16::from_be_bytes(max) {
        return Some(false);
    }
    packet.store(at, max)?;
    let covers = Covers::Transport { zero_is_none: false };
    let checksum_at = start.saturating_add(16);
    // At an odd offset the bytes are halves of two words: to their sum it is one with its bytes swapped.
    let ([o0, o1], [n0, n1]) = (old, max);
    let (old, new) = if at.wrapping_sub(start) & 1 == 0 { (old, max) } else { ([o1, o0], [n1, n0]) };
    packet.update_checksum(checksum_at, covers, old, new)?;
    Some(true)
}
