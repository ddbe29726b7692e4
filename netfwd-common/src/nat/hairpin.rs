//! What goes from a bridge to an endpoint of the host that belongs to a container (RFC 4787 REQ-9).
//!
//! The receiver may be the sender's neighbour, or the sender itself. So the sender appears with an address of the host:
//! with its own would it be answered directly, by an endpoint that it did not ask.

use super::{
    binding, mapping,
    masquerade::{self, Step},
};
use crate::{
    abi::{Interface, Masquerade, Protocol, Reason, Rule, Side},
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
    scratch.target_side = Side::Bridge;
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
        return Ok(());
    }
    write_masquerade(hook, scratch, record.rule);
    Ok(())
}

/// The sender appears with the address that it has asked.
fn write_masquerade<A: Parse>(hook: &Hook<'_>, scratch: &mut Scratch<A>, rule: Rule) {
    let Interface { ports, .. } = *hook.interface;
    scratch.masquerade = Masquerade { address: scratch.tuple.destination.address, ports, rule };
    (scratch.step, scratch.opener) = (Step::Sharing, hook.ifindex);
}
