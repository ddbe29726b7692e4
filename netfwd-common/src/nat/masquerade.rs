//! Source NAT of what leaves a subnet through an uplink.

use super::ports::Search;
use crate::{
    abi::{Address, Endpoint, Masquerade, Protocol, Reason, Side, Tuple},
    conntrack::{self, Opening},
    pipeline::Hook,
    tables::Tables,
};

/// Opens a connection whose sender appears as the masquerade's address, with its own port if that is free there.
#[inline(never)]
pub fn open<A: Address, T: Tables<A>>(
    tables: &T,
    hook: &Hook<'_>,
    original: &Tuple<A>,
    masquerade: &Masquerade<A>,
) -> Result<(), Reason> {
    let (first, last) = range(original.protocol, masquerade);
    let search = Search::new(first, last, original.source.port, tables.random());
    let opening = Opening { original, rule: masquerade.rule, hook };
    conntrack::open(tables, &opening, |attempt| {
        let outside = Endpoint { address: masquerade.address, port: search.port(attempt) };
        let reply = Tuple { source: outside, ..*original }.inverted(Side::Outside);
        // A host's own connection with this tuple would lose its packets to the container.
        (!tables.has_host_socket(&reply)).then_some(reply)
    })
}

/// The ports or identifiers to choose from. ICMP identifiers have no privileged range.
fn range<A>(protocol: u8, masquerade: &Masquerade<A>) -> ([u8; 2], [u8; 2]) {
    if protocol == Protocol::Icmp.number() {
        ([0, 1], [0xff, 0xff])
    } else {
        (masquerade.first_port, masquerade.last_port)
    }
}
