//! The fast path: what a router does with a packet, so that the host's stack need not.
//!
//! Only what a router may forward without a word goes this way: whole packets without IP options, with hops left, that
//! the next link carries as they are (RFC 1812 section 5.2.1). Everything else is the stack's, which fragments, answers
//! and follows options; so it is if it is not known where the packet is to go. Nothing depends on this path.
//!
//! [`arrive`] and [`leave`] take the plain packets of known connections, in one function each; `to_container` takes
//! the rest, behind the pipeline. [`datagram`] says what may go this way before there is a socket buffer.

mod early;
mod hop;
mod plain;

use crate::{
    abi::{Address, Gateway, Interface, Reason, Side, Target},
    conntrack::{self, Flow},
    packet::{Direct, Packet},
    parse::{Fragmentation, Headers, Kind},
    rewrite,
    scratch::Scratch,
    tables::{Layout, Tables},
    translate::Translate,
    verdict::Verdict,
};

pub use early::datagram;
pub use plain::{Express, Plain};

/// Bytes of an Ethernet header.
const ETHERNET: u32 = 14;

/// How a packet ends that took the fast path, and where it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent<'t> {
    /// What becomes of it.
    pub verdict: Verdict,
    /// Of [`Verdict::ToNeighbour`], who that is.
    pub gateway: Option<&'t Gateway>,
    /// [`Interface::slot`] of the interface that counts it.
    pub slot: u32,
    /// Whether it counts as leaving there.
    pub is_egress: bool,
}

/// The journey of a plain packet that arrives at an uplink for a container whose place is known. `None` if it is not
/// such a packet: nothing has changed.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it is all of its program's function")]
pub fn arrive<'t, A, P, T>(packet: &mut P, tables: &'t T, ifindex: u32, now: u64) -> Option<Sent<'t>>
where
    A: Express,
    P: Direct,
    T: Tables<A> + Layout<A, A::Words>,
{
    let plain = A::read::<_, T>(packet, Side::Outside)?;
    let flow = conntrack::glance(tables, &plain.tuple, now)?;
    let slot = flow.interface_slot();
    // What belongs to another uplink's flow is left to the pipeline.
    if tables.fast_interface(slot) != ifindex {
        return None;
    }
    let verdict = send_to_container(packet, tables, &plain, &flow, now)?;
    Some(Sent { verdict, gateway: None, slot, is_egress: false })
}

/// The journey of a plain packet that a bridge's member has sent: to the next hop behind an uplink, or to another
/// container. `None` if it is not such a packet: nothing has changed.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it is all of its program's function")]
pub fn leave<'t, A, P, T>(packet: &mut P, tables: &'t T, ifindex: u32, now: u64) -> Option<Sent<'t>>
where
    A: Express,
    P: Direct,
    T: Tables<A> + Layout<A, A::Words>,
{
    let mut plain = A::read::<_, T>(packet, Side::Inside)?;
    let sender = tables.target(&plain.tuple.source.address)?;
    // Of a sender that is not known to be behind the member the stack decides whether it may be; and what is for a
    // neighbour on the bridge is not ours.
    if sender.member != ifindex || !is_to_gateway(packet, sender) {
        return None;
    }
    if let Some(flow) = conntrack::glance(tables, &plain.tuple, now) {
        return send_to_neighbour(packet, tables, &plain, &flow, now);
    }
    plain.tuple.side = Side::Bridge.number();
    let flow = conntrack::glance(tables, &plain.tuple, now)?;
    let interface = tables.interface(tables.member(ifindex)?.bridge).filter(|bridge| bridge.has_fast_path())?;
    let verdict = send_to_container(packet, tables, &plain, &flow, now)?;
    Some(Sent { verdict, gateway: None, slot: interface.slot, is_egress: false })
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "the fast path is one function")]
fn send_to_container<A, P, T>(
    packet: &mut P,
    tables: &T,
    plain: &Plain<A>,
    flow: &Flow<'_, A>,
    now: u64,
) -> Option<Verdict>
where
    A: Express,
    P: Direct,
    T: Tables<A> + Layout<A, A::Words>,
{
    let target = tables.target(&flow.other().source.address)?;
    let (member, link) = (target.member, target.link);
    if !packet.fits(member) {
        return None;
    }
    let is_written = translate(packet, tables, plain, flow, now)? && packet.set_words(0, link).is_some();
    Some(if is_written { Verdict::ToContainer(member) } else { Verdict::Drop(Reason::RewriteFailed) })
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "the fast path is one function")]
fn send_to_neighbour<'t, A, P, T>(
    packet: &mut P,
    tables: &'t T,
    plain: &Plain<A>,
    flow: &Flow<'_, A>,
    now: u64,
) -> Option<Sent<'t>>
where
    A: Express,
    P: Direct,
    T: Tables<A> + Layout<A, A::Words>,
{
    let (ifindex, slot) = (flow.interface(), flow.interface_slot());
    if tables.fast_interface(slot) != ifindex {
        return None;
    }
    let to = flow.other();
    let hop = hop::next(tables, ifindex, &to.destination.address, &to.source.address, now)?;
    if A::longest(packet, plain.transport.kind)? > hop.mtu {
        return None;
    }
    let is_written = translate(packet, tables, plain, flow, now)?;
    let verdict = if is_written { Verdict::ToNeighbour(ifindex) } else { Verdict::Drop(Reason::RewriteFailed) };
    Some(Sent { verdict, gateway: Some(&hop.gateway), slot, is_egress: true })
}

/// Gives a packet the endpoints that it has on the other side, and records that it was seen; whether it could be
/// written. `None`, and nothing has changed, if the connection is not the packet's any more, or its sender may not send
/// there yet.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the fast path is one function")]
fn translate<A, P, T>(packet: &mut P, tables: &T, plain: &Plain<A>, flow: &Flow<'_, A>, now: u64) -> Option<bool>
where
    A: Express,
    P: Direct,
    T: Tables<A> + Layout<A, A::Words>,
{
    let to = flow.other();
    let (source, destination) = (T::words(&to.destination), T::words(&to.source));
    // Asked after it is read: see `Flow::is_live`.
    if !flow.is_live::<T>() || flow.is_filtered::<T>() {
        return None;
    }
    let is_written = A::write(packet, plain.transport.kind, source, destination).is_some();
    flow.touch(tables, plain.transport, packet.length().saturating_sub(ETHERNET), now);
    Some(is_written)
}

/// Whether a frame is for the bridge of its sender.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the fast path is one function")]
fn is_to_gateway<A, P: Direct>(packet: &P, sender: &Target<A>) -> bool {
    let [_, _, _, a, b, c] = sender.link;
    packet.words(0) == Some([a, b, c])
}

/// Whether the stack has nothing to say to such a packet but how many hops it has left.
#[inline]
fn is_forwarded_silently<A: Address>(headers: &Headers<A>) -> bool {
    headers.fragment == Fragmentation::Whole
        && headers.transport_at.wrapping_sub(headers.network_at) == A::HEADER_LENGTH
        && !matches!(headers.transport.kind, Kind::IcmpError | Kind::LaterFragment | Kind::Untranslatable(_))
}

/// Sends a packet that the pipeline has just translated straight to the container that it is for. It goes on to the stack
/// if that may not be.
#[inline(never)]
pub(crate) fn to_container<A, P, T>(packet: &mut P, tables: &T, interface: &Interface, scratch: &Scratch<A>) -> Verdict
where
    A: Translate,
    P: Packet + ?Sized,
    T: Tables<A>,
{
    let Scratch { headers, translation, .. } = scratch;
    if !interface.has_fast_path() || headers.network_at != ETHERNET || !is_forwarded_silently(headers) {
        return Verdict::Translated;
    }
    let Some(target) = tables.target(&translation.destination.address) else {
        return Verdict::Translated;
    };
    let member = target.member;
    if !packet.fits(member) || rewrite::take_hop(packet, headers).is_none() {
        return Verdict::Translated;
    }
    let [container, gateway] = target.ends();
    let is_addressed = packet.store(0, container).is_some() && packet.store(6, gateway).is_some();
    if is_addressed { Verdict::ToContainer(member) } else { Verdict::Drop(Reason::RewriteFailed) }
}
