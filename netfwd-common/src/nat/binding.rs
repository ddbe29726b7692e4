//! What comes from outside to the outside endpoint of a binding: who may send there (RFC 4787 section 5).

use super::masquerade::write_permission;
use crate::{
    abi::{Address, Endpoint, Filtering, Protocol, Reason, Side, Slot, Tuple},
    conntrack::{self, shared},
    parse::Parse,
    pipeline::Hook,
    scratch::Scratch,
    tables::Tables,
};

/// The record of the binding whose outside endpoint is the packet's destination.
#[inline(never)]
pub(super) fn lookup<A: Parse, T: Tables<A>>(tables: &T, scratch: &mut Scratch<A>, now: u64) -> Option<Slot> {
    let Scratch { tuple, draft, .. } = scratch;
    write_key(&mut draft.original, tuple.protocol(), &tuple.destination);
    conntrack::find(tables, &draft.original, false, now).map(|flow| flow.slot)
}

fn write_key<A: Address>(key: &mut Tuple<A>, protocol: Protocol, outside: &Endpoint<A>) {
    key.set(protocol, Side::Binding, &Endpoint::NOBODY, outside);
}

/// Drafts the connection of a packet from outside to a binding's endpoint, if its sender may send there. [`Reason::NotOurs`]:
/// there is no such binding, or the packet is for a socket of the host.
#[inline(never)]
pub(crate) fn admit<A: Parse, T: Tables<A>>(
    tables: &T,
    hook: &Hook<'_>,
    scratch: &mut Scratch<A>,
    opens: bool,
) -> Result<(), Reason> {
    let protocol = scratch.tuple.protocol();
    if !matches!(protocol, Protocol::TCP | Protocol::UDP) || lookup(tables, scratch, hook.now).is_none() {
        return Err(Reason::NotOurs);
    }
    if tables.has_host_socket(&scratch.tuple) {
        return Err(Reason::NotOurs);
    }
    let Scratch { tuple, draft, .. } = scratch;
    match hook.interface.filtering() {
        Filtering::AddressAndPort => return Err(Reason::Filtered),
        _ if !opens => return Err(Reason::Filtered),
        Filtering::Address => write_permission(&mut draft.original, protocol, &tuple.destination, &tuple.source),
        Filtering::Endpoint => write_key(&mut draft.original, protocol, &tuple.destination),
    }
    let Some(parent) = shared::hold(tables, &scratch.draft.original, hook.now) else {
        return Err(Reason::Filtered);
    };
    write_draft(tables, hook, scratch, parent)
}

/// Drafts the connection to the owner of the binding that `parent` is or holds.
fn write_draft<A: Parse, T: Tables<A>>(
    tables: &T,
    hook: &Hook<'_>,
    scratch: &mut Scratch<A>,
    parent: Slot,
) -> Result<(), Reason> {
    let Some(record) = shared::held(tables, parent) else {
        return Err(Reason::Contended);
    };
    let binding =
        if record.original.is_on(Side::Permission) { shared::held(tables, record.parent) } else { Some(record) };
    let Some(binding) = binding else {
        shared::release(tables, parent, hook.now);
        return Err(Reason::Contended);
    };
    let Scratch { tuple, draft, search, .. } = scratch;
    draft.begin([hook.ifindex, hook.interface.slot], hook.now, record.rule, parent);
    draft.original = *tuple;
    draft.reply.set(tuple.protocol(), Side::Inside, &binding.original.source, &tuple.source);
    search.only(tuple.source.port);
    Ok(())
}
