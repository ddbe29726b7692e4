//! Destination NAT of what comes to a mapped port.

use crate::{
    abi::{Address, Endpoint, Mapping, Reason, Side, Slot, Tuple},
    parse::Parse,
    pipeline::Hook,
    scratch::Scratch,
    tables::Tables,
};

/// The mapping in force for a packet from the network.
#[inline(never)]
pub fn lookup<'t, A: Address, T: Tables<A>>(
    tables: &'t T,
    original: &Tuple<A>,
) -> Result<Option<&'t Mapping<A>>, Reason> {
    let protocol = original.protocol();
    let Endpoint { address, port } = original.destination;
    if address == A::UNSPECIFIED {
        return Ok(None);
    }
    let in_force = |mapping: &&Mapping<A>| tables.is_in_force(mapping.rule);
    if let Some(mapping) = tables.mapping(protocol, original.destination).filter(in_force) {
        return if address.is_loopback() { Err(Reason::RemoteToLoopback) } else { Ok(Some(mapping)) };
    }
    let any = tables.mapping(protocol, Endpoint { address: A::UNSPECIFIED, port }).filter(in_force);
    Ok(any.filter(|_| address.is_unicast() && tables.is_local(original.source.address, address)))
}

/// Drafts a connection whose receiver is the mapping's target; the client's address and, if it is free, port stay.
pub fn write_draft<A: Parse, T: Tables<A>>(
    tables: &T,
    hook: &Hook<'_>,
    scratch: &mut Scratch<A>,
    mapping: &Mapping<A>,
) {
    let Scratch { tuple, draft, search, .. } = scratch;
    draft.begin([hook.ifindex, hook.interface.slot], hook.now, mapping.rule, Slot::NONE);
    draft.original = *tuple;
    draft.reply.set(tuple.protocol(), Side::Inside, &mapping.target_of(tuple.destination.port), &tuple.source);
    search.for_client(tuple.protocol(), tuple.source.port, tables.random());
}
