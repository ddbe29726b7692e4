//! The next hop of what leaves.

use crate::{
    abi::{Address, Gateway, Hop},
    tables::Tables,
};

/// How long the answer of the kernel's routes is believed, in nanoseconds: a changed route takes effect within that.
const BELIEVED: u64 = 1_000_000_000;

/// The next hop behind an uplink; `None` if there is no route there.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the fast path is one function")]
pub(super) fn next<'t, A: Address, T: Tables<A>>(
    tables: &'t T,
    uplink: u32,
    source: &A,
    destination: &A,
    now: u64,
) -> Option<&'t Hop<A>> {
    let place = Hop::place(destination);
    let known = tables.hop(place)?;
    let is_it = known.uplink == uplink && known.destination == *destination && known.source == *source;
    if is_it && now.wrapping_sub(known.asked) < BELIEVED {
        return Some(known);
    }
    let (source, destination) = (*source, *destination);
    ask(tables, place, &Hop { asked: now, source, destination, uplink, mtu: 0, gateway: Gateway::NONE })
}

#[inline(never)]
fn ask<'t, A: Address, T: Tables<A>>(tables: &'t T, place: u32, wanted: &Hop<A>) -> Option<&'t Hop<A>> {
    let (gateway, mtu) = tables.gateway(wanted.uplink, wanted.source, wanted.destination)?;
    tables.set_hop(place, &Hop { mtu, gateway, ..*wanted });
    tables.hop(place)
}
