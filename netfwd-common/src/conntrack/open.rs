use core::ops::ControlFlow;

use super::{State, ending, retire, retire_and_free};
use crate::{
    abi::{Address, Connection, FlowEvent, LiveConnection, Reason, Rule, Slot, Tuple},
    pipeline::Hook,
    tables::{ReserveError, Tables},
};

/// Reply tuples tried for a new connection.
const ATTEMPTS: u32 = 128;

/// Slots looked at when none is free.
const SCAVENGED: u32 = 64;

/// A connection about to be made.
pub struct Opening<'a, A> {
    /// Its first packet's tuple.
    pub original: &'a Tuple<A>,
    /// What makes it.
    pub rule: Rule,
    /// Where and when its first packet came.
    pub hook: &'a Hook<'a>,
}

/// Makes a connection whose reply tuple is the first of `candidate(0)`, `candidate(1)` … that is free. A candidate
/// of `None` is skipped.
///
/// It is no error if another CPU makes the same connection at the same time: then that one is this packet's too.
pub fn open<A: Address, T: Tables<A>>(
    tables: &T,
    opening: &Opening<'_, A>,
    candidate: impl Fn(u32) -> Option<Tuple<A>>,
) -> Result<(), Reason> {
    let slot = claim_slot(tables, opening.hook.now).ok_or(Reason::TableFull)?;
    let result = reserve_reply(tables, opening, slot, candidate).and_then(|()| reserve_original(tables, opening, slot));
    if result == Ok(true) {
        return Ok(());
    }
    tables.give_free_slot(slot.number);
    match result {
        Ok(_) => Ok(()),
        Err(ReserveError::Exists) => Err(Reason::PortsExhausted),
        Err(ReserveError::Full) => Err(Reason::NoMemory),
    }
}

/// Reserves the original tuple, and with that completes the connection; false if another CPU was faster. Unless it
/// completes, the reply tuple is released.
fn reserve_original<A: Address, T: Tables<A>>(
    tables: &T,
    opening: &Opening<'_, A>,
    slot: Slot,
) -> Result<bool, ReserveError> {
    // Found again rather than carried through the loop above: kernel 6.1 would not know the pointer any more.
    let connection = tables.connection(slot.number).ok_or(ReserveError::Full)?;
    match tables.reserve(opening.original, slot) {
        Ok(()) => {
            T::store(&connection.state, State::opening(slot.incarnation).0 | State::LIVE);
            tables.count_flow(opening.rule);
            tables.count_event(FlowEvent::Created);
            Ok(true)
        }
        Err(error) => {
            tables.release(&connection.reply);
            if error == ReserveError::Exists { Ok(false) } else { Err(error) }
        }
    }
}

/// Writes the record with the first candidate that nobody has, and reserves that.
fn reserve_reply<A: Address, T: Tables<A>>(
    tables: &T,
    opening: &Opening<'_, A>,
    slot: Slot,
    candidate: impl Fn(u32) -> Option<Tuple<A>>,
) -> Result<(), ReserveError> {
    let mut result = Err(ReserveError::Exists);
    tables.repeat(ATTEMPTS, |attempt| {
        let Some(connection) = candidate(attempt).and_then(|reply| write(tables, opening, slot, reply)) else {
            return ControlFlow::Continue(());
        };
        result = reserve_over_ended(tables, &connection.reply, slot, opening.hook.now);
        if result == Err(ReserveError::Exists) {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(())
    });
    result
}

fn write<'t, A: Address, T: Tables<A>>(
    tables: &'t T,
    opening: &Opening<'_, A>,
    slot: Slot,
    reply: Tuple<A>,
) -> Option<&'t LiveConnection<A>> {
    tables.write(
        slot.number,
        &Connection {
            original: *opening.original,
            reply,
            rule: opening.rule,
            uplink: opening.hook.ifindex,
            pad: 0,
            created: opening.hook.now,
            last_seen: opening.hook.now,
            state: State::opening(slot.incarnation).0,
            packets: [0; 2],
            bytes: [0; 2],
        },
    )
}

/// Reserves a tuple, taking it over from a connection that has ended.
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
    retire_and_free(tables, holder, connection, state, event);
    tables.reserve(tuple, slot)
}

/// A slot that this CPU alone owns.
fn claim_slot<A: Address, T: Tables<A>>(tables: &T, now: u64) -> Option<Slot> {
    let number = tables.take_free_slot().or_else(|| unused_slot(tables)).or_else(|| scavenge(tables, now))?;
    let last = State(T::load(&tables.connection(number)?.state));
    Some(Slot { number, incarnation: last.incarnation().wrapping_add(1) })
}

fn unused_slot<A: Address, T: Tables<A>>(tables: &T) -> Option<u32> {
    let max_flows = tables.settings()?.max_flows;
    if tables.high_water() >= max_flows {
        return None;
    }
    Some(tables.raise_high_water()).filter(|number| *number < max_flows)
}

/// A slot whose connection has ended or is half open, out of a few by chance. An assured connection never gives way
/// (RFC 6888 REQ-11), and a flood of first packets cannot crowd it out.
fn scavenge<A: Address, T: Tables<A>>(tables: &T, now: u64) -> Option<u32> {
    let max_flows = tables.settings()?.max_flows;
    let start = tables.random();
    let mut found = None;
    tables.repeat(SCAVENGED, |step| {
        let Some(number) = start.wrapping_add(step).checked_rem(max_flows) else {
            return ControlFlow::Break(());
        };
        if give_way(tables, number, now) {
            found = Some(number);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    found
}

fn give_way<A: Address, T: Tables<A>>(tables: &T, number: u32, now: u64) -> bool {
    let Some(connection) = tables.connection(number) else {
        return false;
    };
    let state = State(T::load(&connection.state));
    let half_open = state.has(State::LIVE) && !state.has(State::ASSURED);
    let event = match ending(tables, connection, state, now) {
        Some(event) => event,
        None if half_open => FlowEvent::Evicted,
        None => return false,
    };
    let slot = Slot { number, incarnation: state.incarnation() };
    retire(tables, slot, connection, state, event)
}
