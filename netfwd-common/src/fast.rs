//! The fast path: what a router does with a packet, so that the host's stack need not.
//!
//! Only what a router may forward without a word goes this way: whole packets without IP options, with hops left, that
//! the next link carries as they are (RFC 1812 section 5.2.1). Everything else is the stack's, which fragments, answers
//! and follows options; so it is if it is not known where the packet is to go. Nothing depends on this path.

use crate::{
    abi::{Address, Interface, Reason, Side, Target},
    conntrack,
    packet::Packet,
    parse::{Fragmentation, Headers, Kind},
    pipeline::{self, Hook},
    rewrite,
    scratch::Scratch,
    tables::Tables,
    translate::Translate,
    verdict::Verdict,
};

/// Bytes of an Ethernet header.
const ETHERNET: u32 = 14;

/// Whether the stack has nothing to say to such a packet but how many hops it has left.
#[inline]
fn is_plain<A: Address>(headers: &Headers<A>) -> bool {
    headers.fragment == Fragmentation::Whole
        && headers.transport_at.wrapping_sub(headers.network_at) == A::HEADER_LENGTH
        && !matches!(headers.transport.kind, Kind::IcmpError | Kind::LaterFragment | Kind::Untranslatable(_))
}

/// Sends a packet that has just been translated straight to the container that it is for. It goes on to the stack if
/// that may not be.
#[inline(never)]
pub(crate) fn to_container<A, P, T>(packet: &mut P, tables: &T, interface: &Interface, scratch: &Scratch<A>) -> Verdict
where
    A: Translate,
    P: Packet + ?Sized,
    T: Tables<A>,
{
    let Scratch { headers, translation, .. } = scratch;
    if interface.flags & Interface::FAST_PATH == 0 || headers.network_at != ETHERNET || !is_plain(headers) {
        return Verdict::Translated;
    }
    let Some(target) = tables.target(&translation.destination.address) else {
        return Verdict::Translated;
    };
    let Target { member, container, gateway } = *target;
    if !packet.fits(member) || rewrite::take_hop(packet, headers).is_none() {
        return Verdict::Translated;
    }
    let is_addressed = packet.store(0, container).is_some() && packet.store(6, gateway).is_some();
    if is_addressed { Verdict::ToContainer(member) } else { Verdict::Drop(Reason::RewriteFailed) }
}

/// The journey of a packet that a bridge's member has sent: to the outside or to another container, if its connection
/// is known; else it goes on to the bridge.
#[inline(never)]
pub fn member<A, P, T>(packet: &mut P, tables: &T, ifindex: u32, now: u64, scratch: &mut Scratch<A>) -> Verdict
where
    A: Translate,
    P: Packet + ?Sized,
    T: Tables<A>,
{
    if A::parse(packet, ETHERNET, &mut scratch.headers).is_err() || !is_plain(&scratch.headers) {
        return Verdict::Pass(Reason::NotOurs);
    }
    let Some(member) = tables.member(ifindex) else {
        return Verdict::Pass(Reason::NotOurs);
    };
    // What is for a neighbour on the bridge is not ours.
    if packet.load(0) != Some(member.gateway) {
        return Verdict::Pass(Reason::NotOurs);
    }
    let bridge = member.bridge;
    if !is_from_here(tables, ifindex, scratch) {
        return Verdict::Pass(Reason::NotOurs);
    }
    if find(tables, Side::Inside, now, scratch) {
        outwards(packet, tables, now, scratch)
    } else if find(tables, Side::Bridge, now, scratch) {
        back(packet, tables, bridge, now, scratch)
    } else {
        Verdict::Pass(Reason::NotOurs)
    }
}

/// Whether the packet's sender is known to be behind the member: of others the stack decides whether they may be.
#[inline]
fn is_from_here<A: Translate, T: Tables<A>>(tables: &T, ifindex: u32, scratch: &Scratch<A>) -> bool {
    tables.target(&scratch.headers.source).is_some_and(|target| target.member == ifindex)
}

#[inline]
fn find<A: Translate, T: Tables<A>>(tables: &T, side: Side, now: u64, scratch: &mut Scratch<A>) -> bool {
    scratch.headers.write_tuple(side, &mut scratch.tuple).is_ok() && pipeline::find(tables, now, scratch)
}

/// Sends a packet of a known connection to the next hop behind its uplink.
#[inline(never)]
fn outwards<A, P, T>(packet: &mut P, tables: &T, now: u64, scratch: &mut Scratch<A>) -> Verdict
where
    A: Translate,
    P: Packet + ?Sized,
    T: Tables<A>,
{
    let ifindex = conntrack::at(tables, scratch.connection, scratch.direction).map_or(0, |flow| flow.interface());
    let Some(interface) = tables.interface(ifindex) else {
        return Verdict::Pass(Reason::NotOurs);
    };
    if interface.flags & Interface::FAST_PATH == 0 || interface.link_header != ETHERNET {
        return Verdict::Pass(Reason::NotOurs);
    }
    if !packet.fits(ifindex) || rewrite::take_hop(packet, &scratch.headers).is_none() {
        return Verdict::Pass(Reason::NotOurs);
    }
    (scratch.counted_by, scratch.counted_on) = (interface.slot, Side::Inside);
    let hook = Hook { ifindex, side: Side::Inside, interface, now };
    let verdict = pipeline::translate(packet, tables, &hook, scratch);
    if verdict == Verdict::Translated { Verdict::ToNeighbour(ifindex) } else { verdict }
}

/// Sends a packet of a known connection between containers to the other one.
#[inline(never)]
fn back<A, P, T>(packet: &mut P, tables: &T, ifindex: u32, now: u64, scratch: &mut Scratch<A>) -> Verdict
where
    A: Translate,
    P: Packet + ?Sized,
    T: Tables<A>,
{
    let Some(interface) = tables.interface(ifindex) else {
        return Verdict::Pass(Reason::NotOurs);
    };
    (scratch.counted_by, scratch.counted_on) = (interface.slot, Side::Bridge);
    let hook = Hook { ifindex, side: Side::Bridge, interface, now };
    let verdict = pipeline::translate(packet, tables, &hook, scratch);
    if verdict == Verdict::Translated { pipeline::turn(packet, tables, interface, scratch) } else { verdict }
}
