//! Records that connections share: no packet has their tuples, and they live as long as somebody holds them.
//!
//! A connection that is masqueraded holds the *binding* of its sender: the outside port that this endpoint has towards
//! everybody (RFC 4787 REQ-1). Where filtering asks for it, it holds a *permission* instead, which tells that its sender
//! has sent to a peer's address, and which holds the binding. Where sources are limited, a binding holds the *account*
//! of its source, whose holders are counted.
//!
//! A record refers to the one it holds as its `parent`. The number of holders is in the parent's state word, so that
//! it cannot expire while somebody begins to hold it. With its rule it ends in spite of them: they have ended as well,
//! and who comes next gets a new one.

use super::{State, ending};
use crate::{
    abi::{Address, LiveConnection, Slot, Tuple},
    tables::Tables,
};

/// How long a binding stays after its last holder, in nanoseconds: its port goes to nobody else meanwhile (RFC 6888
/// REQ-8).
pub(super) const HOLD: u64 = 120_000_000_000;

/// How often to try to be counted while other CPUs change the count.
const TRIES: u32 = 4;

/// Holds the live shared record that this tuple leads to. One that has ended stays so, whether or not it was removed.
#[inline(never)]
pub fn hold<A: Address, T: Tables<A>>(tables: &T, tuple: &Tuple<A>, now: u64) -> Option<Slot> {
    let slot = tables.find(tuple)?;
    let record = tables.connection(slot.number)?;
    if ending(tables, record, State(T::load(&record.state)), now).is_some() {
        return None;
    }
    for _ in 0..TRIES {
        let state = State(T::load(&record.state));
        if !state.has(State::LIVE) || state.incarnation() != slot.incarnation {
            return None;
        }
        if T::replace(&record.state, state.0, state.with_child().0) {
            return Some(slot);
        }
    }
    None
}

/// Lets go of a shared record; of none if it is [`Slot::NONE`], or was ended in spite of its holders.
#[inline(never)]
pub fn release<A: Address, T: Tables<A>>(tables: &T, parent: Slot, now: u64) {
    let Some(record) = held(tables, parent) else {
        return;
    };
    let state = State(T::load(&record.state));
    if !state.has(State::LIVE) || state.incarnation() != parent.incarnation {
        return;
    }
    T::store(&record.last_seen, now);
    if !T::replace(&record.state, state.0, state.0.wrapping_sub(State::CHILD)) {
        // Another CPU has counted a holder in or out just now: so it lives. A loop would cost stack.
        T::add(&record.state, State::CHILD.wrapping_neg());
    }
}

/// A shared record that the caller holds.
pub fn held<A: Address, T: Tables<A>>(tables: &T, slot: Slot) -> Option<&LiveConnection<A>> {
    if slot.number == Slot::NONE.number { None } else { tables.connection(slot.number) }
}

/// How many hold a shared record.
pub fn holders<A: Address, T: Tables<A>>(tables: &T, slot: Slot) -> u32 {
    held(tables, slot).map_or(0, |record| State(T::load(&record.state)).children())
}
