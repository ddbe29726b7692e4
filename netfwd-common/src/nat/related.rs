//! ICMP errors about a connection (RFC 5508 section 4). They neither prolong nor end it.
//!
//! An error quotes a packet as it was seen on this side, and it goes the other way. So the quoted packet's tuple,
//! inverted, is that of a packet which would come from where the error comes from: by it the connection is found. The
//! quoted packet must look to its sender as the sender has sent it, which is the connection's tuple of the other side.

use super::masquerade;
use crate::{
    abi::{Address, Reason},
    conntrack,
    packet::Packet,
    pipeline::{Hook, Progress},
    quote,
    scratch::Scratch,
    tables::Tables,
    translate::Translate,
};

/// The journey of an ICMP error, its translation included.
#[inline(never)]
pub(crate) fn translate<A, P, T>(packet: &mut P, tables: &T, hook: &Hook<'_>, scratch: &mut Scratch<A>) -> Progress
where
    A: Translate,
    P: Packet + ?Sized,
    T: Tables<A>,
{
    // Of an error that quotes nothing, what an earlier one has quoted must not matter.
    scratch.quoted.source = A::UNSPECIFIED;
    if quote::parse(packet, &scratch.headers, &mut scratch.quoted).is_err() || !find(tables, hook, scratch) {
        return Progress::New;
    }
    let Scratch { headers, quoted, translation, .. } = scratch;
    let reporter = if headers.source == quoted.destination {
        translation.destination.address
    } else {
        outside_address(tables, hook, headers.source)
    };
    let receiver = translation.source.address;
    let is_rewritten = A::rewrite_quote(packet, headers, quoted, translation).is_some()
        && A::rewrite_addresses(packet, headers, reporter, receiver).is_some();
    // On a bridge it goes where the answer to what it quotes would go.
    translation.set_swapped_endpoints();
    if is_rewritten { Progress::Related } else { Progress::Dropped(Reason::RewriteFailed) }
}

/// Finds the connection of the quoted packet, and notes down how that looks to its sender.
#[inline(never)]
fn find<A: Translate, T: Tables<A>>(tables: &T, hook: &Hook<'_>, scratch: &mut Scratch<A>) -> bool {
    let Scratch { headers, quoted, tuple, translation, .. } = scratch;
    // An error is for the sender of what it quotes.
    if quoted.source != headers.destination || quoted.write_tuple(hook.side, tuple).is_err() {
        return false;
    }
    tuple.set_swapped_endpoints();
    let Some(flow) = conntrack::find(tables, tuple, false, hook.now) else {
        return false;
    };
    *translation = *flow.other();
    true
}

/// The address of a router on the way: one behind the NAT is masqueraded (RFC 5508 REQ-5).
fn outside_address<A: Address, T: Tables<A>>(tables: &T, hook: &Hook<'_>, address: A) -> A {
    masquerade::lookup(tables, hook.ifindex, &address).map_or(address, |masquerade| masquerade.address)
}
