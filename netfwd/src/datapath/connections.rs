//! The connections, read in place: the kernel part's records are mapped into memory.
//!
//! Packets go on changing the records meanwhile. A record's tuples are written before [`State::LIVE`] is set and stay
//! until it is cleared, so a copy is whole if its state was that of the same live connection before and after.

mod changes;

use std::{
    collections::HashMap,
    marker::PhantomData,
    mem::{MaybeUninit, offset_of},
    os::fd::{AsFd as _, AsRawFd as _},
    slice,
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed},
        fence,
    },
};

use anyhow::{Context as _, Result};
use memmap2::{MmapOptions, MmapRaw};
use netfwd_common::{
    abi::{self, Connection, Settings, Side, Timeouts},
    conntrack::{self, Phase, State, lifetime},
};

use super::maps::{Maps, Select};
use crate::family::Family;

const WORD: usize = size_of::<u64>();

pub use changes::{Change, changes};

/// The records of all connections of a family.
pub struct Connections<A> {
    memory: MmapRaw,
    count: u32,
    used: u32,
    family: PhantomData<A>,
}

/// A record, of as many words as a [`Connection`] has.
struct Record<'m, A> {
    words: &'m [AtomicU64],
    family: PhantomData<A>,
}

/// A copy of a live connection.
#[derive(Clone, Copy, Debug)]
pub struct Flow<A> {
    /// The number of its slot.
    pub slot: u32,
    /// Its record.
    pub connection: Connection<A>,
}

impl<A: Select> Connections<A> {
    /// Maps the records into memory.
    pub fn open(maps: &Maps) -> Result<Self> {
        let failed = || format!("cannot map the connections ({}) into memory", A::MAPS.connections);
        let map = &maps.family::<A>().connections;
        let count = map.info().with_context(failed)?.max_entries();
        let length = count as usize * size_of::<abi::Record<A>>();
        let memory = MmapOptions::new().len(length).map_raw(map.fd().as_fd().as_raw_fd()).with_context(failed)?;
        Ok(Self { memory, count, used: maps.high_water::<A>()?.min(count), family: PhantomData })
    }

    /// From now on also sees the records that were used for the first time meanwhile.
    pub fn refresh(&mut self, maps: &Maps) -> Result<()> {
        self.used = maps.high_water::<A>()?.min(self.count);
        Ok(())
    }

    /// Copies of the connections that live at `now`, in the order of their slots.
    pub fn live(&self, maps: &Maps, now: u64) -> Result<Vec<Flow<A>>> {
        let mut flows = self.records(maps, now)?;
        flows.retain(|flow| Side::is_of_packets(flow.connection.original.side));
        Ok(flows)
    }

    /// Copies of the bindings that live at `now`: the outside port that an inside endpoint has towards everybody.
    pub fn bindings(&self, maps: &Maps, now: u64) -> Result<Vec<Flow<A>>> {
        let mut bindings = self.records(maps, now)?;
        bindings.retain(|binding| binding.connection.original.is_on(Side::Binding));
        Ok(bindings)
    }

    /// Copies of all records that live at `now`, by the same rule that the kernel part follows: the connections, and the
    /// records that they share.
    pub fn records(&self, maps: &Maps, now: u64) -> Result<Vec<Flow<A>>> {
        let Settings { timeouts, .. } = maps.settings()?;
        let mut generations = HashMap::new();
        let mut flows = Vec::new();
        for slot in 0..self.used {
            let Some(connection) = self.record(slot).and_then(|record| record.copy()) else { continue };
            let rule = connection.rule;
            let generation = match generations.get(&rule.id) {
                Some(generation) => *generation,
                None => *generations.entry(rule.id).or_insert(maps.generation(rule.id)?),
            };
            let flow = Flow { slot, connection };
            if !flow.has_ended(generation == rule.generation, &timeouts, now) {
                flows.push(flow);
            }
        }
        Ok(flows)
    }

    /// A copy of the record in a slot, whatever its rule and age, if it is live.
    #[must_use]
    pub fn copy(&self, slot: u32) -> Option<Connection<A>> {
        self.record(slot)?.copy()
    }

    /// Ends a connection; `false` if it had ended already. It matches no packet from now on, and the kernel part
    /// removes it.
    #[must_use]
    pub fn condemn(&self, flow: &Flow<A>) -> bool {
        let incarnation = State(flow.connection.state).incarnation();
        let condemned = |word| {
            let state = State(word);
            let is_same = state.incarnation() == incarnation && state.has(State::LIVE);
            (is_same && !state.has(State::CONDEMNED)).then_some(word | State::CONDEMNED)
        };
        let record = self.record(flow.slot);
        record.is_some_and(|record| record.state().try_update(Relaxed, Relaxed, condemned).is_ok())
    }

    fn record(&self, slot: u32) -> Option<Record<'_, A>> {
        if slot >= self.used {
            return None;
        }
        #[expect(clippy::cast_ptr_alignment, reason = "memory is mapped by whole pages")]
        let first = self.memory.as_mut_ptr().cast::<AtomicU64>().wrapping_add(slot as usize * Record::<A>::STRIDE);
        // SAFETY: within the mapping, which is page-aligned and lives as long as `self`, for a slot below `used`; and
        // everyone, the kernel included, may change atomics at any time.
        let words = unsafe { slice::from_raw_parts(first, Record::<A>::WORDS) };
        Some(Record { words, family: PhantomData })
    }
}

impl<A: Family> Record<'_, A> {
    const WORDS: usize = size_of::<Connection<A>>() / WORD;
    /// Words from one record to the next.
    const STRIDE: usize = size_of::<abi::Record<A>>() / WORD;
    const STATE_WORD: usize = offset_of!(Connection<A>, state) / WORD;

    fn state(&self) -> &AtomicU64 {
        &self.words[Self::STATE_WORD]
    }

    /// A copy, if it is a live connection's and whole.
    fn copy(&self) -> Option<Connection<A>> {
        let before = State(self.state().load(Acquire));
        if !before.has(State::LIVE) {
            return None;
        }
        let mut copy = MaybeUninit::<Connection<A>>::uninit();
        for (index, word) in self.words.iter().enumerate() {
            let (place, value) = (copy.as_mut_ptr().cast::<u64>().wrapping_add(index), word.load(Relaxed));
            // SAFETY: a record has as many words as a connection, whose alignment is that of a word.
            unsafe { place.write(value) };
        }
        fence(Acquire);
        let after = State(self.state().load(Relaxed));
        if !after.has(State::LIVE) || after.incarnation() != before.incarnation() {
            return None;
        }
        // SAFETY: all its words were written, and a connection is plain old data: any bits are one.
        Some(unsafe { copy.assume_init() })
    }
}

impl<A: Family> Flow<A> {
    /// How many records there were in its slot, this one included: with the slot it tells records apart.
    #[must_use]
    pub fn incarnation(&self) -> u32 {
        State(self.connection.state).incarnation()
    }

    /// Where it is in its life.
    #[must_use]
    pub fn phase(&self) -> Phase {
        State(self.connection.state).phase(self.connection.original.protocol)
    }

    /// How many hold it, if it is shared.
    #[must_use]
    pub fn holders(&self) -> u32 {
        State(self.connection.state).children()
    }

    /// Nanoseconds since the last packet that counts as life; of a shared record since the last holder let it go.
    #[must_use]
    pub fn idle(&self, now: u64) -> u64 {
        now.saturating_sub(self.connection.last_seen)
    }

    /// A shared record that is held is not removed yet when its rule is not in force any more; but nobody finds it.
    fn has_ended(&self, is_in_force: bool, timeouts: &Timeouts, now: u64) -> bool {
        let Connection { original, state, last_seen, .. } = self.connection;
        !is_in_force || conntrack::ended(&original, State(state), is_in_force, last_seen, timeouts, now).is_some()
    }

    /// Nanoseconds since its first packet.
    #[must_use]
    pub fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.connection.created)
    }

    /// Nanoseconds until it ends, if no packet comes.
    #[must_use]
    pub fn expires_in(&self, timeouts: &Timeouts, now: u64) -> u64 {
        let Connection { original, state, last_seen, .. } = self.connection;
        last_seen.saturating_add(lifetime(&original, State(state), timeouts)).saturating_sub(now)
    }
}

#[cfg(test)]
impl<A: Family> Flow<A> {
    pub(crate) fn empty() -> Self {
        let words: Vec<_> = (0..Record::<A>::WORDS).map(|_| AtomicU64::new(0)).collect();
        let record = Record { words: &words, family: PhantomData };
        record.state().store(State::LIVE, Relaxed);
        Self { slot: 0, connection: record.copy().unwrap() }
    }
}

#[cfg(test)]
mod tests {
    use netfwd_common::abi::{Endpoint, Protocol, Side, Tuple, V4};

    use super::*;

    fn words(state: u64) -> Vec<AtomicU64> {
        let words: Vec<_> = (0..Record::<V4>::WORDS).map(|_| AtomicU64::new(0)).collect();
        words[Record::<V4>::STATE_WORD].store(state, Relaxed);
        words
    }

    fn copy(words: &[AtomicU64]) -> Option<Connection<V4>> {
        Record { words, family: PhantomData }.copy()
    }

    #[test]
    fn a_record_that_is_not_live_is_no_connection() {
        assert!(copy(&words(State::opening(3).0)).is_none());
        let connection = copy(&words(State::opening(3).0 | State::LIVE | State::REPLIED)).unwrap();
        assert_eq!(State(connection.state).incarnation(), 3);
    }

    #[test]
    fn a_copy_has_the_records_fields_in_their_places() {
        let words = words(State::LIVE);
        let (source, destination) = (Endpoint::new([172, 17, 0, 2], 40000), Endpoint::new([192, 0, 2, 1], 53));
        let tuple = Tuple::new(Protocol::UDP, Side::Inside, source, destination);
        words[0].store(u64::from_ne_bytes([172, 17, 0, 2, 0x9c, 0x40, 192, 0]), Relaxed);
        words[1].store(u64::from_ne_bytes([2, 1, 0, 53, 17, 0, 0, 0]), Relaxed);
        assert_eq!(copy(&words).unwrap().original, tuple);
    }

    #[test]
    fn a_shared_record_lives_while_it_is_held_and_its_rule_is_in_force() {
        let mut binding = Flow::<V4>::empty();
        binding.connection.original.side = Side::Binding.number();
        let (timeouts, now) = (Timeouts::default(), 1_000_000_000_000_000);
        assert!(binding.has_ended(true, &timeouts, now));
        binding.connection.state |= 3 << 8 | 9 << 32;
        assert_eq!(binding.holders(), 3);
        assert!(!binding.has_ended(true, &timeouts, now) && binding.has_ended(false, &timeouts, now));
    }

    #[test]
    fn a_flow_expires_its_lifetime_after_its_last_packet() {
        let second = 1_000_000_000;
        let mut flow = Flow::<V4>::empty();
        flow.connection.original.protocol = Protocol::UDP.number();
        (flow.connection.created, flow.connection.last_seen) = (5 * second, 10 * second);
        assert_eq!(flow.age(12 * second), 7 * second);
        assert_eq!(flow.expires_in(&Timeouts::default(), 12 * second), 298 * second);
        assert_eq!(flow.expires_in(&Timeouts::default(), 1_000_000 * second), 0);
    }
}
