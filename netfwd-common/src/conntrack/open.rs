use core::ops::ControlFlow;

use super::{State, ending, is_shared, retire, retire_and_free, shared};
use crate::{
    abi::{Address, Endpoint, FlowEvent, Reason, Slot, Tuple},
    parse::Parse,
    scratch::Scratch,
    tables::{ReserveError, Tables},
};

/// Slots looked at when none is free.
const SCAVENGED: u32 = 64;

/// What became of a draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It is a record, in the slot that is noted down.
    Here,
    /// Another CPU has made the same one at the same time.
    Elsewhere,
    /// Nothing, for this reason.
    Failed(Reason),
}

/// Makes the drafted record, with the first port of the search as its reply tuple's destination port that is free.
/// Unless it is made here, what it was to hold is released.
#[inline(never)]
pub fn open<A: Parse, T: Tables<A>>(tables: &T, scratch: &mut Scratch<A>) -> Opened {
    let opened = if claim_slot(tables, scratch) { fill(tables, scratch) } else { Opened::Failed(Reason::TableFull) };
    if opened != Opened::Here {
        shared::release(tables, scratch.draft.parent, scratch.draft.created);
    }
    opened
}

fn fill<A: Parse, T: Tables<A>>(tables: &T, scratch: &mut Scratch<A>) -> Opened {
    let opened = match reserve_reply(tables, scratch) {
        Ok(()) => complete(tables, scratch),
        Err(ReserveError::Exists) => Opened::Failed(Reason::PortsExhausted),
        Err(ReserveError::Full) => Opened::Failed(Reason::NoMemory),
    };
    if opened != Opened::Here {
        tables.give_free_slot(scratch.slot.number);
    }
    opened
}

/// Reserves the reply tuple.
fn reserve_reply<A: Parse, T: Tables<A>>(tables: &T, scratch: &mut Scratch<A>) -> Result<(), ReserveError> {
    // Not on the stack: of what a loop leaves there, kernel 6.1 believes too much.
    scratch.reserved = Err(ReserveError::Exists);
    tables.repeat(scratch.search.attempts(), |attempt| {
        let Scratch { draft, search, avoids_host, slot, reserved, .. } = &mut *scratch;
        let has_port = search.write_port(attempt, &mut draft.reply.destination.port);
        // Of what somebody sends to their own outside port, the answer must not look as the question does.
        let is_usable = has_port && draft.reply != draft.original;
        if !is_usable || (*avoids_host && is_of_the_host(tables, &draft.reply)) {
            return ControlFlow::Continue(());
        }
        *reserved = reserve_over_ended(tables, &draft.reply, *slot, draft.created);
        if *reserved == Err(ReserveError::Exists) {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(())
    });
    scratch.reserved
}

/// Whether the host has a socket that would get such answers, or a mapping.
fn is_of_the_host<A: Address, T: Tables<A>>(tables: &T, reply: &Tuple<A>) -> bool {
    let Endpoint { port, .. } = reply.destination;
    tables.has_host_socket(reply)
        || tables.mapping(reply.protocol(), reply.destination).is_some()
        || tables.mapping(reply.protocol(), Endpoint { address: A::UNSPECIFIED, port }).is_some()
}

/// Writes the record, and reserves the original tuple. Until then nobody takes it for a record: its state has another
/// incarnation than what the reply tuple leads to.
fn complete<A: Parse, T: Tables<A>>(tables: &T, scratch: &mut Scratch<A>) -> Opened {
    let Scratch { draft, slot, marks, .. } = scratch;
    draft.state = State::opening(slot.incarnation).0;
    let reserved = match tables.write(slot.number, draft) {
        Some(_) => reserve_over_ended(tables, &draft.original, *slot, draft.created),
        None => Err(ReserveError::Full),
    };
    if let Err(error) = reserved {
        tables.release(&draft.reply);
        return if error == ReserveError::Exists { Opened::Elsewhere } else { Opened::Failed(Reason::NoMemory) };
    }
    let state = State(draft.state | State::LIVE);
    let is_shared = is_shared(&draft.original);
    if let Some(record) = tables.connection(slot.number) {
        T::store(&record.state, if is_shared { state.with_child().0 } else { state.0 | *marks });
    }
    if !is_shared {
        tables.count_flow(draft.rule);
        tables.count_event(FlowEvent::Created);
    }
    Opened::Here
}

/// Reserves a tuple, taking it over from a record that has ended.
#[inline(never)]
fn reserve_over_ended<A: Address, T: Tables<A>>(
    tables: &T,
    tuple: &Tuple<A>,
    slot: Slot,
    now: u64,
) -> Result<(), ReserveError> {
    let first = tables.reserve(tuple, slot);
    if first != Err(ReserveError::Exists) {
        return first;
    }
    let holder = tables.find(tuple).ok_or(ReserveError::Exists)?;
    let connection = tables.connection(holder.number).ok_or(ReserveError::Exists)?;
    let state = State(T::load(&connection.state));
    if state.incarnation() != holder.incarnation {
        return first;
    }
    let event = ending(tables, connection, state, now).ok_or(ReserveError::Exists)?;
    retire_and_free(tables, holder, connection, state, event, now);
    tables.reserve(tuple, slot)
}

/// Claims a slot for this CPU alone; false if there is none.
#[inline(never)]
fn claim_slot<A: Parse, T: Tables<A>>(tables: &T, scratch: &mut Scratch<A>) -> bool {
    scratch.slot = Slot::NONE;
    match tables.take_free_slot().or_else(|| unused_slot(tables)) {
        Some(number) => scratch.slot.number = number,
        None => scavenge(tables, scratch),
    }
    let Some(record) = tables.connection(scratch.slot.number) else {
        return false;
    };
    scratch.slot.incarnation = State(T::load(&record.state)).incarnation().wrapping_add(1);
    true
}

fn unused_slot<A: Address, T: Tables<A>>(tables: &T) -> Option<u32> {
    let max_records = tables.max_records();
    if tables.high_water() >= max_records {
        return None;
    }
    Some(tables.raise_high_water()).filter(|number| *number < max_records)
}

/// Takes the slot of a record that has ended or is half open, out of a few by chance. An assured connection never gives
/// way (RFC 6888 REQ-11), and a flood of first packets cannot crowd it out.
fn scavenge<A: Parse, T: Tables<A>>(tables: &T, scratch: &mut Scratch<A>) {
    let max_records = tables.max_records();
    let start = tables.random();
    tables.repeat(SCAVENGED, |step| {
        let Some(number) = start.wrapping_add(step).checked_rem(max_records) else {
            return ControlFlow::Break(());
        };
        if give_way(tables, number, scratch.draft.created) {
            scratch.slot.number = number;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
}

fn give_way<A: Address, T: Tables<A>>(tables: &T, number: u32, now: u64) -> bool {
    let Some(connection) = tables.connection(number) else {
        return false;
    };
    let state = State(T::load(&connection.state));
    let is_spare = state.has(State::LIVE) && !state.has(State::ASSURED) && state.children() == 0;
    let event = match ending(tables, connection, state, now) {
        Some(event) => event,
        None if is_spare => FlowEvent::Evicted,
        None => return false,
    };
    let slot = Slot { number, incarnation: state.incarnation() };
    retire(tables, slot, connection, state, event, now)
}
