//! What goes from a bridge to an endpoint of the host that belongs to a container (RFC 4787 REQ-9).
//!
//! The receiver may be the sender's neighbour, or the sender itself. So the sender appears with an address of the host:
//! with its own would it be answered directly, by an endpoint that it did not ask.

use super::{
    binding, mapping,
    masquerade::{self, Step, write_permission},
};
use crate::{
    abi::{Endpoint, Filtering, Interface, Masquerade, Protocol, Reason, Rule, Side},
    conntrack::{self, State},
    parse::Parse,
    pipeline::Hook,
    scratch::Scratch,
    tables::Tables,
};

/// Finds the target of a packet to a mapped port, or to the outside endpoint of a binding, and how its sender appears
/// there: writes what [`masquerade::open`] needs to know.
#[inline(never)]
pub(crate) fn find<A: Parse, T: Tables<A>>(
    tables: &T,
    hook: &Hook<'_>,
    scratch: &mut Scratch<A>,
) -> Result<(), Reason> {
    (scratch.target_side, scratch.marks) = (Side::Bridge, 0);
    if let Some(mapping) = mapping::lookup(tables, &scratch.tuple)? {
        scratch.target = mapping.target_of(scratch.tuple.destination.port);
        write_masquerade(hook, scratch, mapping.rule);
        return Ok(());
    }
    if !matches!(scratch.tuple.protocol(), Protocol::TCP | Protocol::UDP) {
        return Err(Reason::NotOurs);
    }
    let Some(record) = binding::lookup(tables, scratch, hook.now).and_then(|slot| tables.connection(slot.number))
    else {
        return Err(Reason::NotOurs);
    };
    // Another CPU may have given its slot to another record meanwhile.
    let is_binding = record.original.is_on(Side::Binding) && record.reply.destination == scratch.tuple.destination;
    if !is_binding || tables.has_host_socket(&scratch.tuple) {
        return Err(Reason::NotOurs);
    }
    scratch.target = record.original.source;
    // Both ends are behind bindings: each sees the other's outside endpoint (REQ-9a).
    if masquerade::note(tables, record.interface, scratch) {
        (scratch.step, scratch.opener) = (Step::Binding, record.interface);
    } else {
        write_masquerade(hook, scratch, record.rule);
    }
    filter(tables, hook, scratch, record.interface)
}

/// Filters what is for a binding's endpoint as its uplink filters what comes from outside. The sender may be let in
/// once the receiver has sent to it in turn; so its connection is opened, if it has a binding to which that may be.
#[inline(never)]
fn filter<A: Parse, T: Tables<A>>(
    tables: &T,
    hook: &Hook<'_>,
    scratch: &mut Scratch<A>,
    uplink: u32,
) -> Result<(), Reason> {
    let Some(filtering) = tables.interface(uplink).map(Interface::filtering) else {
        return Err(Reason::NotOurs);
    };
    let Scratch { tuple, draft, masquerade, target, .. } = scratch;
    let is_let_in = match filtering {
        // To oneself.
        _ if *target == tuple.source => true,
        Filtering::Endpoint => true,
        Filtering::Address => {
            let sender = &Endpoint { address: masquerade.address, port: tuple.source.port };
            write_permission(&mut draft.original, tuple.protocol(), &tuple.destination, sender);
            conntrack::find(tables, &draft.original, false, hook.now).is_some()
        }
        Filtering::AddressAndPort => false,
    };
    if !is_let_in && scratch.step != Step::Binding {
        return Err(Reason::Filtered);
    }
    scratch.marks = if is_let_in { 0 } else { State::FILTERED };
    Ok(())
}

/// The sender appears with the address that it has asked.
fn write_masquerade<A: Parse>(hook: &Hook<'_>, scratch: &mut Scratch<A>, rule: Rule) {
    let Interface { ports, .. } = *hook.interface;
    scratch.masquerade = Masquerade { address: scratch.tuple.destination.address, ports, rule };
    (scratch.step, scratch.opener) = (Step::Sharing, hook.ifindex);
}
