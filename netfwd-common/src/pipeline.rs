//! The journeys of a packet. Each hook of the kernel part calls one function here and does what it says.

use core::ops::ControlFlow;

use crate::{
    abi::{Interface, Reason, Side, Slot},
    answer,
    conntrack::{self, Opened},
    fast, isolation, mss,
    nat::{binding, fragment, hairpin, mapping, masquerade, related},
    packet::Packet,
    parse::{Fragmentation, Kind, TcpFlags},
    scratch::Scratch,
    tables::Tables,
    translate::Translate,
    verdict::Verdict,
};

/// Where and when a packet is met.
#[derive(Clone, Copy, Debug)]
pub struct Hook<'a> {
    /// The interface's index.
    pub ifindex: u32,
    /// How packets look here: [`Side::Outside`] on an uplink's ingress, [`Side::Inside`] on its egress,
    /// [`Side::Bridge`] on a bridge's ingress.
    pub side: Side,
    /// What is configured for it.
    pub interface: &'a Interface,
    /// Nanoseconds of `CLOCK_MONOTONIC`.
    pub now: u64,
}

impl Hook<'_> {
    /// A packet's bytes from its IP header on.
    pub fn bytes_of<P: Packet + ?Sized>(&self, packet: &P) -> u32 {
        packet.length().saturating_sub(self.interface.link_header)
    }
}

/// What leaves through an uplink: the first packets of a masqueraded subnet, and answers of mapped ports.
#[inline(never)]
pub fn egress<A, P, T>(packet: &mut P, tables: &T, hook: &Hook<'_>, scratch: &mut Scratch<A>) -> Verdict
where
    A: Translate,
    P: Packet + ?Sized,
    T: Tables<A>,
{
    let mut progress = begin(packet, tables, hook, scratch);
    if progress == Progress::New {
        let opened = leave(tables, hook, scratch);
        progress = resume(tables, hook, scratch, opened);
    }
    let verdict = end(packet, tables, hook, scratch, progress);
    if let Verdict::Drop(Reason::PortsExhausted | Reason::SourceLimit) = verdict {
        return refuse(packet, tables, scratch, verdict);
    }
    verdict
}

/// What arrives at an uplink: answers to a masqueraded subnet, and packets to mapped ports.
#[inline(never)]
pub fn ingress<A, P, T>(packet: &mut P, tables: &T, hook: &Hook<'_>, scratch: &mut Scratch<A>) -> Verdict
where
    A: Translate,
    P: Packet + ?Sized,
    T: Tables<A>,
{
    let mut progress = begin(packet, tables, hook, scratch);
    if progress == Progress::New {
        let opened = arrive(tables, hook, scratch);
        progress = resume(tables, hook, scratch, opened);
    }
    let verdict = end(packet, tables, hook, scratch, progress);
    match verdict {
        Verdict::Translated => fast::to_container(packet, tables, hook.interface, scratch),
        Verdict::Pass(reason) => isolation::judge(tables, hook, scratch, reason),
        Verdict::Redirected(_)
        | Verdict::ToContainer(_)
        | Verdict::ToNeighbour(_)
        | Verdict::Drop(_)
        | Verdict::Answered(..) => verdict,
    }
}

/// What comes from a bridge for an endpoint of the host that belongs to a container.
#[inline(never)]
pub fn bridge<A, P, T>(packet: &mut P, tables: &T, hook: &Hook<'_>, scratch: &mut Scratch<A>) -> Verdict
where
    A: Translate,
    P: Packet + ?Sized,
    T: Tables<A>,
{
    // What an internal network sends belongs to no connection: it may have been internal no longer than its connections
    // are old, or pretend to be another one's.
    let is_internal = hook.interface.flags & Interface::INTERNAL != 0;
    let mut progress = if is_internal { parse(packet, hook, scratch) } else { begin(packet, tables, hook, scratch) };
    if progress == Progress::New && !is_internal {
        let opened = turn_back(tables, hook, scratch);
        progress = resume(tables, hook, scratch, opened);
    }
    let verdict = end(packet, tables, hook, scratch, progress);
    match verdict {
        Verdict::Translated => turn(packet, tables, hook.interface, scratch),
        Verdict::Pass(reason) => isolation::judge(tables, hook, scratch, reason),
        Verdict::Redirected(_)
        | Verdict::ToContainer(_)
        | Verdict::ToNeighbour(_)
        | Verdict::Drop(_)
        | Verdict::Answered(..) => verdict,
    }
}

/// How far a packet has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It belongs to no connection that is known.
    New,
    /// It belongs to the connection that is noted down.
    Found,
    /// It was an ICMP error, and is translated.
    Related,
    /// At its end: it goes on as it is.
    Passed(Reason),
    /// At its end: it goes no further.
    Dropped(Reason),
}

/// Parses the packet and looks for its connection: every packet begins with this.
#[inline(never)]
fn begin<A, P, T>(packet: &mut P, tables: &T, hook: &Hook<'_>, scratch: &mut Scratch<A>) -> Progress
where
    A: Translate,
    P: Packet + ?Sized,
    T: Tables<A>,
{
    let parsed = parse(packet, hook, scratch);
    if parsed != Progress::New {
        return parsed;
    }
    if scratch.headers.transport.kind == Kind::LaterFragment {
        return fragment::later(packet, tables, hook, scratch);
    }
    if scratch.headers.transport.kind == Kind::IcmpError {
        return related::translate(packet, tables, hook, scratch);
    }
    if scratch.headers.write_tuple(hook.side, &mut scratch.tuple).is_ok() && find(tables, hook.now, scratch) {
        Progress::Found
    } else {
        Progress::New
    }
}

/// Parses the packet, and ends its journey if that is not possible.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the verifier allows eight frames")]
fn parse<A: Translate, P: Packet + ?Sized>(packet: &P, hook: &Hook<'_>, scratch: &mut Scratch<A>) -> Progress {
    let Err(reason) = A::parse(packet, hook.interface.link_header, &mut scratch.headers) else {
        return Progress::New;
    };
    // Nothing is known of it, not even whether it is a fragment.
    scratch.headers.fragment = Fragmentation::Whole;
    Progress::Passed(reason)
}

/// Looks for the connection of the packet's tuple, and notes it down.
#[inline(never)]
pub(crate) fn find<A: Translate, T: Tables<A>>(tables: &T, now: u64, scratch: &mut Scratch<A>) -> bool {
    let opens = scratch.headers.transport.opens();
    let Some(flow) = conntrack::find(tables, &scratch.tuple, opens, now) else {
        return false;
    };
    (scratch.connection, scratch.direction) = (flow.slot, flow.direction);
    true
}

/// How often to look for a connection that another CPU is making at this moment.
const GLANCES: u32 = 16;

/// Goes on with a packet that opened a connection, or ends its journey for the reason why it did not.
#[inline]
fn resume<A: Translate, T: Tables<A>>(
    tables: &T,
    hook: &Hook<'_>,
    scratch: &mut Scratch<A>,
    opened: Result<(), Reason>,
) -> Progress {
    match opened {
        Ok(()) if find_opened(tables, hook, scratch) => Progress::Found,
        Ok(()) => Progress::Dropped(Reason::Contended),
        Err(reason) if reason.is_drop() => Progress::Dropped(reason),
        Err(reason) => Progress::Passed(reason),
    }
}

/// Looks for a connection that was just opened, here or on another CPU.
#[inline(never)]
fn find_opened<A: Translate, T: Tables<A>>(tables: &T, hook: &Hook<'_>, scratch: &mut Scratch<A>) -> bool {
    // What the loop finds is noted down in the sheet: of what it leaves on the stack, kernel 6.1 believes too much.
    scratch.connection = Slot::NONE;
    tables.repeat(GLANCES, |_| {
        if find(tables, hook.now, scratch) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    scratch.connection.number != Slot::NONE.number
}

/// Translates a packet whose connection is noted down. A datagram's later fragments go the way of its first one.
#[inline(never)]
fn end<A, P, T>(packet: &mut P, tables: &T, hook: &Hook<'_>, scratch: &mut Scratch<A>, progress: Progress) -> Verdict
where
    A: Translate,
    P: Packet + ?Sized,
    T: Tables<A>,
{
    let verdict = match progress {
        Progress::Found => translate(packet, tables, hook, scratch),
        Progress::Related => return Verdict::Translated,
        Progress::Passed(reason) => Verdict::Pass(reason),
        Progress::Dropped(reason) => Verdict::Drop(reason),
        // Nothing is left unopened or unsaid.
        Progress::New => Verdict::Pass(Reason::NotOurs),
    };
    fragment::conclude(packet, tables, hook, scratch, verdict)
}

#[inline(never)]
pub(crate) fn translate<A, P, T>(packet: &mut P, tables: &T, hook: &Hook<'_>, scratch: &mut Scratch<A>) -> Verdict
where
    A: Translate,
    P: Packet + ?Sized,
    T: Tables<A>,
{
    let Some(flow) = conntrack::at(tables, scratch.connection, scratch.direction) else {
        return Verdict::Drop(Reason::Contended);
    };
    scratch.translation = flow.other().inverted(hook.side);
    if !flow.is_live::<T>() {
        return Verdict::Drop(Reason::Contended);
    }
    if flow.is_filtered::<T>() {
        return Verdict::Drop(Reason::Filtered);
    }
    flow.touch(tables, scratch.headers.transport, hook.bytes_of(packet), hook.now);
    let is_rewritten = A::rewrite(packet, &scratch.headers, &scratch.translation).is_some();
    if is_rewritten && clamp_segments(packet, tables, hook, scratch).is_some() {
        Verdict::Translated
    } else {
        Verdict::Drop(Reason::RewriteFailed)
    }
}

/// Lowers the largest segment that a TCP handshake announces, where that is asked for.
#[inline]
fn clamp_segments<A, P, T>(packet: &mut P, tables: &T, hook: &Hook<'_>, scratch: &Scratch<A>) -> Option<()>
where
    A: Translate,
    P: Packet + ?Sized,
    T: Tables<A>,
{
    let [v4, v6] = hook.interface.max_segment;
    let max_segment = if A::FAMILY == 0 { v4 } else { v6 };
    if max_segment == [0; 2] || !scratch.headers.transport.flags.has(TcpFlags::SYN) {
        return Some(());
    }
    mss::clamp(packet, tables, &scratch.headers, max_segment).map(|_| ())
}

/// Opens a connection for a packet that leaves; [`Reason::NotOurs`] if it is not ours.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the verifier allows eight frames")]
fn leave<A: Translate, T: Tables<A>>(tables: &T, hook: &Hook<'_>, scratch: &mut Scratch<A>) -> Result<(), Reason> {
    scratch.target = scratch.tuple.destination;
    scratch.target_side = Side::Outside;
    scratch.opener = hook.ifindex;
    if masquerade::note(tables, hook.ifindex, scratch) {
        may_leave(tables, hook, scratch)?;
        scratch.step = masquerade::first_step(scratch.tuple.protocol());
    } else if takes_a_tuple_of_ours(tables, hook, scratch) {
        masquerade::write_for_host(hook, scratch);
    } else {
        return Err(Reason::NotOurs);
    }
    masquerade::open(tables, hook, scratch)
}

/// Whether the first packet of a masqueraded connection may leave, or why not.
#[inline(never)]
fn may_leave<A: Translate, T: Tables<A>>(tables: &T, hook: &Hook<'_>, scratch: &Scratch<A>) -> Result<(), Reason> {
    if tables.exclusion(hook.ifindex, scratch.headers.destination).is_some_and(|rule| tables.is_in_force(*rule)) {
        return Err(Reason::Excluded);
    }
    // Not to be translated, and not to be leaked.
    scratch.headers.transport.translatable()?;
    if !hook.opens(scratch) {
        return Err(Reason::NotNewOutbound);
    }
    let address = scratch.masquerade.address;
    if tables.is_local(address, address) { Ok(()) } else { Err(Reason::AddressGone) }
}

/// Whether a packet of the host's own opens a connection whose answers could not be told from a translated one's.
#[inline(never)]
fn takes_a_tuple_of_ours<A: Translate, T: Tables<A>>(tables: &T, hook: &Hook<'_>, scratch: &mut Scratch<A>) -> bool {
    let Scratch { headers, tuple, draft, .. } = scratch;
    if headers.transport.translatable().is_err() || !headers.transport.opens() || tuple.protocol().name().is_none() {
        return false;
    }
    draft.reply.set(tuple.protocol(), Side::Outside, &tuple.destination, &tuple.source);
    conntrack::find(tables, &draft.reply, true, hook.now).is_some()
}

/// Opens a connection for a packet that arrives; [`Reason::NotOurs`] if it is not ours.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the verifier allows eight frames")]
fn arrive<A: Translate, T: Tables<A>>(tables: &T, hook: &Hook<'_>, scratch: &mut Scratch<A>) -> Result<(), Reason> {
    // What has no tuple may be for the host itself: its stack decides.
    if scratch.headers.transport.translatable().is_err() {
        return Err(Reason::NotOurs);
    }
    let opens = hook.opens(scratch);
    match mapping::lookup(tables, &scratch.tuple)? {
        Some(_) if !opens => return Err(Reason::NotNewInbound),
        Some(mapping) => mapping::write_draft(tables, hook, scratch, mapping),
        None => binding::admit(tables, hook, scratch, opens)?,
    }
    scratch.avoids_host = false;
    match conntrack::open(tables, scratch) {
        Opened::Here | Opened::Elsewhere => Ok(()),
        Opened::Failed(reason) => Err(reason),
    }
}

/// Opens a connection for a packet that goes from a container to one; [`Reason::NotOurs`] if it is not ours.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the verifier allows eight frames")]
fn turn_back<A: Translate, T: Tables<A>>(tables: &T, hook: &Hook<'_>, scratch: &mut Scratch<A>) -> Result<(), Reason> {
    if scratch.headers.transport.translatable().is_err() || !hook.opens(scratch) {
        return Err(Reason::NotOurs);
    }
    hairpin::find(tables, hook, scratch)?;
    // Nor does the stack let in a sender that is not there.
    if !is_from_here(tables, hook, scratch) {
        return Err(Reason::NotOurs);
    }
    // A binding's uplink says how many more there may be, and who may send to them.
    let Some(interface) = tables.interface(scratch.opener) else {
        return Err(Reason::NotOurs);
    };
    masquerade::open(tables, &Hook { interface, ..*hook }, scratch)
}

/// Whether the way back to a packet's sender leads to where the packet comes from (RFC 3704 section 2.2).
#[inline(never)]
fn is_from_here<A: Translate, T: Tables<A>>(tables: &T, hook: &Hook<'_>, scratch: &Scratch<A>) -> bool {
    let way_back = tables.route(scratch.headers.destination, scratch.headers.source);
    way_back.is_some_and(|ifindex| ifindex == hook.ifindex)
}

/// Tells the sender that its packet was refused (RFC 5508 REQ-8).
#[inline(never)]
fn refuse<A, P, T>(packet: &mut P, tables: &T, scratch: &Scratch<A>, refusal: Verdict) -> Verdict
where
    A: Translate,
    P: Packet + ?Sized,
    T: Tables<A>,
{
    let (from, to) = (scratch.masquerade.address, scratch.headers.source);
    match tables.route(from, to) {
        Some(ifindex) if answer::prohibited(packet, &scratch.headers, from).is_some() => {
            Verdict::Answered(refusal.reason(), ifindex)
        }
        _ => refusal,
    }
}

/// Sends a translated packet to another container.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the verifier allows eight frames")]
pub(crate) fn turn<A, P, T>(packet: &mut P, tables: &T, interface: &Interface, scratch: &Scratch<A>) -> Verdict
where
    A: Translate,
    P: Packet + ?Sized,
    T: Tables<A>,
{
    let verdict = fast::to_container(packet, tables, interface, scratch);
    if verdict == Verdict::Translated { redirect(tables, scratch) } else { verdict }
}

/// Sends a translated packet to its new destination. The host's stack would not: its source is the host's own.
#[inline(never)]
fn redirect<A: Translate, T: Tables<A>>(tables: &T, scratch: &Scratch<A>) -> Verdict {
    let (source, destination) = (scratch.translation.source.address, scratch.translation.destination.address);
    match tables.route(source, destination) {
        Some(ifindex) => Verdict::Redirected(ifindex),
        None => Verdict::Drop(Reason::Unroutable),
    }
}

impl Hook<'_> {
    /// Whether a packet may be a connection's first here.
    fn opens<A>(&self, scratch: &Scratch<A>) -> bool {
        let transport = &scratch.headers.transport;
        transport.opens() || (self.interface.flags & Interface::PICK_UP != 0 && transport.opens_midstream())
    }
}
