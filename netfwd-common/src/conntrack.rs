//! Connection tracking: finding, opening and ending connections.
//!
//! A connection is a record in a slot, and two index entries that lead to it, one for each tuple. The life of a
//! record:
//!
//! 1. *Opening*: the slot is owned by one CPU; the record is not [`State::LIVE`], so nobody else uses or ends it.
//!    The reply tuple is reserved first, then the original one: each atomically, so no two connections can ever
//!    share one. If either fails, what was reserved is released: both tuples or none.
//! 2. *Live*: it matches packets until it expires, its rule goes, or the user condemns it. From that moment it
//!    matches nothing, whether or not anybody has cleaned it up.
//! 3. *Retired*: whoever first finds that it has ended wins the right to clean up by clearing [`State::LIVE`],
//!    removes both tuples and frees the slot. That is the packet that wants the tuple, or else [`sweep`].

mod open;
pub mod shared;
mod state;

pub use open::{Opened, open};
pub use state::{Phase, State, lifetime};

use crate::{
    abi::{Address, Direction, FlowEvent, LiveConnection, Side, Slot, Timeouts, Tuple},
    parse::Transport,
    tables::{Atomics, Tables},
};

/// A live connection, and where a packet stands in it.
pub struct Flow<'t, A> {
    connection: &'t LiveConnection<A>,
    /// Where its record is.
    pub slot: Slot,
    /// Which way the packet goes.
    pub direction: Direction,
}

impl<'t, A: Address> Flow<'t, A> {
    /// The tuple of the other side: inverted, it has the endpoints that the packet is to have there.
    #[must_use]
    pub fn other(&self) -> &'t Tuple<A> {
        match self.direction {
            Direction::Original => &self.connection.reply,
            Direction::Reply => &self.connection.original,
        }
    }

    /// The interface that it was made on.
    #[must_use]
    pub fn interface(&self) -> u32 {
        self.connection.interface
    }

    /// The counters of that interface.
    #[must_use]
    pub fn interface_slot(&self) -> u32 {
        self.connection.interface_slot
    }

    /// Whether the record is this connection's, and was at all times before this one: a slot that is given to another
    /// record leaves its incarnation first.
    #[must_use]
    pub fn is_live<T: Atomics>(&self) -> bool {
        let state = State(T::load(&self.connection.state));
        state.incarnation() == self.slot.incarnation && state.has(State::LIVE)
    }

    /// Whether the packet goes no further, because its sender may not send there yet.
    #[must_use]
    pub fn is_filtered<T: Atomics>(&self) -> bool {
        State(T::load(&self.connection.state)).filters(self.direction)
    }

    /// Records that a packet of `bytes` was seen.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the fast path is one function")]
    pub fn touch<T: Tables<A>>(&self, tables: &T, transport: Transport, bytes: u32, now: u64) {
        let (state, connection) = (State(T::load(&self.connection.state)), self.connection);
        let (set, clear) = state.after(self.direction, transport);
        if set & !state.0 != 0 {
            T::set(&connection.state, set);
        }
        if clear & state.0 != 0 {
            T::clear(&connection.state, clear);
        }
        if state.is_refreshed_by(transport) {
            T::store(&connection.last_seen, now);
        }
        let ([original_packets, reply_packets], [original_bytes, reply_bytes]) =
            (&connection.packets, &connection.bytes);
        let (packets, total) = match self.direction {
            Direction::Original => (original_packets, original_bytes),
            Direction::Reply => (reply_packets, reply_bytes),
        };
        T::add(packets, 1);
        T::add(total, u64::from(bytes));
        tables.count_packet(connection.rule, self.direction, bytes);
    }
}

/// The live connection that a packet belongs to. One that has ended is retired on the way, and one that is closed if
/// the packet `opens` another.
#[inline(never)]
pub fn find<'t, A: Address, T: Tables<A>>(
    tables: &'t T,
    tuple: &Tuple<A>,
    opens: bool,
    now: u64,
) -> Option<Flow<'t, A>> {
    let slot = tables.find(tuple)?;
    let connection = tables.connection(slot.number)?;
    let direction = if connection.original == *tuple { Direction::Original } else { Direction::Reply };
    let state = State(T::load(&connection.state));
    if state.incarnation() != slot.incarnation || !state.has(State::LIVE) {
        return None;
    }
    let gives_way = opens && direction == Direction::Original && state.is_closed(tuple.protocol);
    let event = ending(tables, connection, state, now).or(gives_way.then_some(FlowEvent::Expired));
    if let Some(event) = event {
        retire_and_free(tables, slot, connection, state, event, now);
        return None;
    }
    Some(Flow { connection, slot, direction })
}

/// The live connection that a packet belongs to, if it goes on: nothing is changed.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the fast path is one function")]
pub fn glance<'t, A: Address, T: Tables<A>>(tables: &'t T, tuple: &Tuple<A>, now: u64) -> Option<Flow<'t, A>> {
    let slot = tables.find(tuple)?;
    let connection = tables.connection(slot.number)?;
    let direction = if connection.original == *tuple { Direction::Original } else { Direction::Reply };
    let state = State(T::load(&connection.state));
    let is_known = state.incarnation() == slot.incarnation && state.has(State::LIVE);
    let goes_on = is_known && ending(tables, connection, state, now).is_none();
    goes_on.then_some(Flow { connection, slot, direction })
}

/// The connection in a slot, in a direction. Whether it is still the one that was meant is to be asked after it is read:
/// [`Flow::is_live`].
pub fn at<A: Address, T: Tables<A>>(tables: &T, slot: Slot, direction: Direction) -> Option<Flow<'_, A>> {
    let connection = tables.connection(slot.number)?;
    Some(Flow { connection, slot, direction })
}

/// Whether a connection is still the one that was meant, and has not ended.
pub fn lives<A: Address, T: Tables<A>>(tables: &T, slot: Slot, now: u64) -> bool {
    let Some(flow) = at(tables, slot, Direction::Original) else {
        return false;
    };
    let state = State(T::load(&flow.connection.state));
    flow.is_live::<T>() && ending(tables, flow.connection, state, now).is_none()
}

/// Whether a record is one that connections share: see [`shared`].
fn is_shared<A>(original: &Tuple<A>) -> bool {
    !Side::is_of_packets(original.side)
}

/// Why a live record has ended, if it has. `None` for one that lives, and for one that is not [`State::LIVE`].
#[inline(always)]
#[expect(clippy::inline_always, reason = "the verifier allows eight frames")]
fn ending<A: Address, T: Tables<A>>(
    tables: &T,
    connection: &LiveConnection<A>,
    state: State,
    now: u64,
) -> Option<FlowEvent> {
    if !state.has(State::LIVE) {
        return None;
    }
    let timeouts = &tables.settings()?.timeouts;
    let is_in_force = tables.is_in_force(connection.rule);
    ended(&connection.original, state, is_in_force, T::load(&connection.last_seen), timeouts, now)
}

/// Why a record with this original tuple has ended, if it has: the one definition, for the kernel part and for
/// listings. A shared record does not expire while it is held.
#[must_use]
pub fn ended<A>(
    original: &Tuple<A>,
    state: State,
    is_rule_in_force: bool,
    last_seen: u64,
    timeouts: &Timeouts,
    now: u64,
) -> Option<FlowEvent> {
    if state.has(State::CONDEMNED) || !is_rule_in_force {
        return Some(FlowEvent::Ended);
    }
    if state.children() != 0 {
        return None;
    }
    // Another CPU may have seen a packet after this one read its clock.
    let idle = now.saturating_sub(last_seen);
    (idle >= lifetime(original, state, timeouts)).then_some(FlowEvent::Expired)
}

/// Ends a record: whoever gets `true` owns its slot.
fn retire<A: Address, T: Tables<A>>(
    tables: &T,
    slot: Slot,
    connection: &LiveConnection<A>,
    state: State,
    event: FlowEvent,
    now: u64,
) -> bool {
    let retired = state.0 & !State::LIVE;
    // A failure means that someone else retired it, or that a packet came just now: then it is not ours to end.
    if !T::replace(&connection.state, state.0, retired) {
        return false;
    }
    for tuple in [&connection.original, &connection.reply] {
        if tables.find(tuple) == Some(slot) {
            tables.release(tuple);
        }
    }
    shared::release(tables, connection.parent, now);
    if !is_shared(&connection.original) {
        tables.count_event(event);
    }
    true
}

fn retire_and_free<A: Address, T: Tables<A>>(
    tables: &T,
    slot: Slot,
    connection: &LiveConnection<A>,
    state: State,
    event: FlowEvent,
    now: u64,
) {
    if retire(tables, slot, connection, state, event, now) {
        tables.give_free_slot(slot.number);
    }
}

/// Retires the record in a slot if it has ended. Called for one slot after the other, for ever.
pub fn sweep<A: Address, T: Tables<A>>(tables: &T, number: u32, now: u64) {
    let Some(connection) = tables.connection(number) else {
        return;
    };
    let state = State(T::load(&connection.state));
    if let Some(event) = ending(tables, connection, state, now) {
        let slot = Slot { number, incarnation: state.incarnation() };
        retire_and_free(tables, slot, connection, state, event, now);
    }
}
