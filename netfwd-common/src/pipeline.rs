//! The journeys of a packet. Each hook of the kernel part calls one function here and does what it says.

use core::ops::ControlFlow;

use crate::{
    abi::{Address, Masquerade, Reason, Side, Tuple, Uplink},
    conntrack,
    nat::{mapping, masquerade},
    packet::Packet,
    parse::{Headers, Transport},
    rewrite,
    tables::Tables,
    verdict::Verdict,
};

/// Where and when a packet is met.
#[derive(Clone, Copy, Debug)]
pub struct Hook<'a> {
    /// The interface index of the uplink.
    pub ifindex: u32,
    /// How packets look here: [`Side::Outside`] on ingress, [`Side::Inside`] on egress.
    pub side: Side,
    /// What is configured for it.
    pub uplink: &'a Uplink,
    /// Nanoseconds of `CLOCK_MONOTONIC`.
    pub now: u64,
}

/// How the packets of an address family are parsed: [`crate::parse::ipv4`].
pub trait Parse<P: ?Sized, A>: Fn(&P, u32) -> Result<Headers<A>, Reason> + Copy {}

impl<P: ?Sized, A, F: Fn(&P, u32) -> Result<Headers<A>, Reason> + Copy> Parse<P, A> for F {}

/// What leaves through an uplink: the first packets of a masqueraded subnet, and answers of mapped ports.
pub fn egress<const N: usize, P, T, F>(packet: &mut P, parse: F, tables: &T, hook: &Hook<'_>) -> Verdict
where
    [u8; N]: Address,
    P: Packet + ?Sized,
    T: Tables<[u8; N]>,
    F: Parse<P, [u8; N]>,
{
    match forward(packet, parse, tables, hook) {
        Step::Ended(verdict) => verdict,
        Step::New => resume(packet, parse, tables, hook, ours(leave(packet, parse, tables, hook))),
    }
}

/// What arrives at an uplink: answers to a masqueraded subnet, and packets to mapped ports.
pub fn ingress<const N: usize, P, T, F>(packet: &mut P, parse: F, tables: &T, hook: &Hook<'_>) -> Verdict
where
    [u8; N]: Address,
    P: Packet + ?Sized,
    T: Tables<[u8; N]>,
    F: Parse<P, [u8; N]>,
{
    match forward(packet, parse, tables, hook) {
        Step::Ended(verdict) => verdict,
        Step::New => resume(packet, parse, tables, hook, ours(arrive(packet, parse, tables, hook))),
    }
}

/// Where a packet is after the search for its connection.
enum Step {
    /// At its end.
    Ended(Verdict),
    /// It belongs to no connection that is known.
    New,
}

/// The journey of a packet whose connection is known: every packet begins with this, and all but the first end here.
#[inline(never)]
fn forward<const N: usize, P, T, F>(packet: &mut P, parse: F, tables: &T, hook: &Hook<'_>) -> Step
where
    [u8; N]: Address,
    P: Packet + ?Sized,
    T: Tables<[u8; N]>,
    F: Parse<P, [u8; N]>,
{
    let parsed = parse(packet, hook.uplink.link_header);
    let headers = match &parsed {
        Ok(headers) => headers,
        Err(reason) => return Step::Ended(Verdict::Pass(*reason)),
    };
    let Ok(tuple) = headers.tuple(hook.side) else {
        return Step::New;
    };
    let Some(flow) = conntrack::find(tables, &tuple, headers.transport, hook.now) else {
        return Step::New;
    };
    let bytes = packet.length().saturating_sub(hook.uplink.link_header);
    flow.touch(tables, headers.transport, bytes, hook.now);
    Step::Ended(match rewrite::apply(packet, headers, &flow.translation()) {
        Some(()) => Verdict::Translated,
        None => Verdict::Drop(Reason::RewriteFailed),
    })
}

/// How often to look for a connection that another CPU is making at this moment.
const GLANCES: u32 = 16;

fn ours(is_ours: Result<bool, Reason>) -> Result<(), Reason> {
    if is_ours? { Ok(()) } else { Err(Reason::NotOurs) }
}

/// Goes on with a packet that opened a connection, or ends its journey for the reason why it did not.
#[inline(never)]
fn resume<const N: usize, P, T, F>(
    packet: &mut P,
    parse: F,
    tables: &T,
    hook: &Hook<'_>,
    opened: Result<(), Reason>,
) -> Verdict
where
    [u8; N]: Address,
    P: Packet + ?Sized,
    T: Tables<[u8; N]>,
    F: Parse<P, [u8; N]>,
{
    match opened {
        Ok(()) => {}
        Err(reason) if reason.is_drop() => return Verdict::Drop(reason),
        Err(reason) => return Verdict::Pass(reason),
    }
    let mut verdict = Verdict::Drop(Reason::Contended);
    tables.repeat(GLANCES, |_| match forward(packet, parse, tables, hook) {
        Step::Ended(end) => {
            verdict = end;
            ControlFlow::Break(())
        }
        Step::New => ControlFlow::Continue(()),
    });
    verdict
}

/// Opens a connection for a packet that leaves; false if it is not ours.
#[inline(never)]
fn leave<const N: usize, P, T, F>(packet: &P, parse: F, tables: &T, hook: &Hook<'_>) -> Result<bool, Reason>
where
    [u8; N]: Address,
    P: Packet + ?Sized,
    T: Tables<[u8; N]>,
    F: Parse<P, [u8; N]>,
{
    let parsed = parse(packet, hook.uplink.link_header);
    let headers = parsed.as_ref().map_err(|reason| *reason)?;
    let masquerade = masquerade_of(tables, hook, headers.source);
    let tuple = match (headers.tuple(hook.side), masquerade) {
        (Ok(tuple), _) => tuple,
        // Not to be translated, and not to be leaked.
        (Err(reason), Some(_)) => return Err(reason),
        (Err(_), None) => return Ok(false),
    };
    match masquerade {
        Some(_) if !headers.transport.opens() => return Err(Reason::NotNewOutbound),
        Some(masquerade) => masquerade::open(tables, hook, &tuple, masquerade)?,
        None if !takes_a_tuple_of_ours(tables, hook, &tuple, headers.transport) => return Ok(false),
        None => masquerade::open(tables, hook, &tuple, &of_the_host(hook, headers.source))?,
    }
    Ok(true)
}

/// Opens a connection for a packet that arrives; false if it is not ours.
#[inline(never)]
fn arrive<const N: usize, P, T, F>(packet: &P, parse: F, tables: &T, hook: &Hook<'_>) -> Result<bool, Reason>
where
    [u8; N]: Address,
    P: Packet + ?Sized,
    T: Tables<[u8; N]>,
    F: Parse<P, [u8; N]>,
{
    let parsed = parse(packet, hook.uplink.link_header);
    let headers = parsed.as_ref().map_err(|reason| *reason)?;
    // A fragment or a protocol without ports may be for the host itself: its stack decides.
    let Ok(tuple) = headers.tuple(hook.side) else {
        return Ok(false);
    };
    let Some(mapping) = mapping::lookup(tables, &tuple) else {
        return Ok(false);
    };
    if !headers.transport.opens() {
        return Err(Reason::NotNewInbound);
    }
    mapping::open(tables, hook, &tuple, mapping)?;
    Ok(true)
}

/// The masquerade in force for a source address.
#[inline(never)]
fn masquerade_of<'t, A: Address, T: Tables<A>>(tables: &'t T, hook: &Hook<'_>, source: A) -> Option<&'t Masquerade<A>> {
    let masquerade = tables.masquerade(hook.ifindex, source)?;
    tables.is_in_force(masquerade.rule).then_some(masquerade)
}

/// Keeps the host's address, and changes the port.
fn of_the_host<A: Address>(hook: &Hook<'_>, address: A) -> Masquerade<A> {
    let Uplink { first_port, last_port, rule, .. } = *hook.uplink;
    Masquerade { address, first_port, last_port, rule }
}

/// Whether a packet of the host's own opens a connection whose answers could not be told from a translated one's.
#[inline(never)]
fn takes_a_tuple_of_ours<A: Address, T: Tables<A>>(
    tables: &T,
    hook: &Hook<'_>,
    tuple: &Tuple<A>,
    transport: Transport,
) -> bool {
    transport.opens() && conntrack::find(tables, &tuple.inverted(Side::Outside), transport, hook.now).is_some()
}
