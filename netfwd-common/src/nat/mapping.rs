//! Destination NAT of what comes to a mapped port.

use super::ports::Search;
use crate::{
    abi::{Address, Endpoint, Mapping, Protocol, Reason, Side, Tuple},
    conntrack::{self, Opening},
    pipeline::Hook,
    tables::Tables,
};

/// Ports given to a client whose own is taken: two host addresses may be mapped to one container port.
const FIRST_CLIENT_PORT: u16 = 1024;
const LAST_CLIENT_PORT: u16 = u16::MAX;

/// The mapping in force for a packet that arrived from the wire.
#[inline(never)]
pub fn lookup<'t, A: Address, T: Tables<A>>(tables: &'t T, original: &Tuple<A>) -> Option<&'t Mapping<A>> {
    let protocol = Protocol::from_number(original.protocol)?;
    let Endpoint { address, port } = original.destination;
    if address == A::UNSPECIFIED {
        return None;
    }
    let in_force = |mapping: &&Mapping<A>| tables.is_in_force(mapping.rule);
    if let Some(mapping) = tables.mapping(protocol, original.destination).filter(in_force) {
        return Some(mapping);
    }
    let any = tables.mapping(protocol, Endpoint { address: A::UNSPECIFIED, port }).filter(in_force)?;
    (address.is_unicast() && tables.is_local(original.source.address, address)).then_some(any)
}

/// Opens a connection whose receiver is the mapping's target; the client's address and, if it is free, port stay.
#[inline(never)]
pub fn open<A: Address, T: Tables<A>>(
    tables: &T,
    hook: &Hook<'_>,
    original: &Tuple<A>,
    mapping: &Mapping<A>,
) -> Result<(), Reason> {
    let target = Endpoint { address: mapping.target.address, port: target_port(mapping, original.destination.port) };
    let search = Search::starting_at(original.source.port, FIRST_CLIENT_PORT, LAST_CLIENT_PORT, tables.random());
    let opening = Opening { original, rule: mapping.rule, hook };
    conntrack::open(tables, &opening, |attempt| {
        let client = Endpoint { address: original.source.address, port: search.port(attempt) };
        Some(Tuple { source: client, destination: target, ..*original }.inverted(Side::Inside))
    })
}

/// The target's port for a host port (network order): ranges map one to one.
fn target_port<A>(mapping: &Mapping<A>, host_port: [u8; 2]) -> [u8; 2] {
    let offset = u16::from_be_bytes(host_port).wrapping_sub(u16::from_be_bytes(mapping.first_port));
    u16::from_be_bytes(mapping.target.port).wrapping_add(offset).to_be_bytes()
}
