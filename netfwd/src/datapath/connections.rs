//! The connections, read in place: the kernel part's records are mapped into memory.
//!
//! Packets go on changing the records meanwhile. A record's tuples are written before [`State::LIVE`] is set and stay
//! until it is cleared, so a copy is whole if its state was that of the same live connection before and after.

use std::{
    collections::HashMap,
    mem::offset_of,
    os::fd::{AsFd as _, AsRawFd as _},
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed},
        fence,
    },
};

use anyhow::{Context as _, Result};
use memmap2::{MmapOptions, MmapRaw};
use netfwd_common::{
    abi::{Connection, Settings, Timeouts, V4, names},
    conntrack::{self, Phase, State, lifetime},
};

use super::maps::Maps;

const WORD: usize = size_of::<u64>();
const WORDS: usize = size_of::<Connection<V4>>() / WORD;
const STATE_WORD: usize = offset_of!(Connection<V4>, state) / WORD;

type Record = [AtomicU64; WORDS];

/// The records of all connections.
pub struct Connections {
    memory: MmapRaw,
    used: u32,
}

/// A copy of a live connection.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The number of its slot.
    pub slot: u32,
    /// Its record.
    pub connection: Connection<V4>,
}

impl Connections {
    /// Maps the records into memory.
    pub fn open(maps: &Maps) -> Result<Self> {
        let failed = || format!("cannot map the connections ({}) into memory", names::CONNECTIONS);
        let count = maps.connections.info().with_context(failed)?.max_entries();
        let length = count as usize * size_of::<Record>();
        let memory =
            MmapOptions::new().len(length).map_raw(maps.connections.fd().as_fd().as_raw_fd()).with_context(failed)?;
        Ok(Self { memory, used: maps.high_water()?.min(count) })
    }

    /// Copies of the connections that live at `now`, by the same rule that the kernel part follows.
    pub fn live(&self, maps: &Maps, now: u64) -> Result<Vec<Flow>> {
        let Settings { timeouts, .. } = maps.settings()?;
        let mut generations = HashMap::new();
        let mut flows = Vec::new();
        for slot in 0..self.used {
            let Some(connection) = self.record(slot).and_then(copy) else { continue };
            let rule = connection.rule;
            let generation = match generations.get(&rule.id) {
                Some(generation) => *generation,
                None => *generations.entry(rule.id).or_insert(maps.generation(rule.id)?),
            };
            let Connection { original, state, last_seen, .. } = connection;
            let is_in_force = generation == rule.generation;
            if conntrack::ended(State(state), original.protocol, is_in_force, last_seen, &timeouts, now).is_none() {
                flows.push(Flow { slot, connection });
            }
        }
        Ok(flows)
    }

    /// Ends a connection; `false` if it had ended already. It matches no packet from now on, and the kernel part
    /// removes it.
    #[must_use]
    pub fn condemn(&self, flow: &Flow) -> bool {
        let incarnation = State(flow.connection.state).incarnation();
        let condemned = |word| {
            let state = State(word);
            let is_same = state.incarnation() == incarnation && state.has(State::LIVE);
            (is_same && !state.has(State::CONDEMNED)).then_some(word | State::CONDEMNED)
        };
        let record = self.record(flow.slot);
        record.is_some_and(|record| record[STATE_WORD].try_update(Relaxed, Relaxed, condemned).is_ok())
    }

    fn record(&self, slot: u32) -> Option<&Record> {
        if slot >= self.used {
            return None;
        }
        #[expect(clippy::cast_ptr_alignment, reason = "memory is mapped by whole pages")]
        let record = self.memory.as_mut_ptr().cast::<Record>().wrapping_add(slot as usize);
        // SAFETY: within the mapping, which is page-aligned and lives as long as `self`, for a slot below `used`; and
        // everyone, the kernel included, may change atomics at any time.
        Some(unsafe { &*record })
    }
}

impl Flow {
    /// Where it is in its life.
    #[must_use]
    pub fn phase(&self) -> Phase {
        State(self.connection.state).phase(self.connection.original.protocol)
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
        last_seen.saturating_add(lifetime(original.protocol, State(state), timeouts)).saturating_sub(now)
    }
}

/// A copy of a record, if it is a live connection's and whole.
fn copy(record: &Record) -> Option<Connection<V4>> {
    let before = State(record[STATE_WORD].load(Acquire));
    if !before.has(State::LIVE) {
        return None;
    }
    let words = record.each_ref().map(|word| word.load(Relaxed));
    fence(Acquire);
    let after = State(record[STATE_WORD].load(Relaxed));
    if !after.has(State::LIVE) || after.incarnation() != before.incarnation() {
        return None;
    }
    // SAFETY: the sizes are equal, and a connection is plain old data: any bits are one.
    Some(unsafe { std::mem::transmute::<[u64; WORDS], Connection<V4>>(words) })
}

#[cfg(test)]
impl Flow {
    pub(crate) fn empty() -> Self {
        let record = Record::default();
        record[STATE_WORD].store(State::LIVE, Relaxed);
        Self { slot: 0, connection: copy(&record).unwrap() }
    }
}

#[cfg(test)]
mod tests {
    use netfwd_common::abi::{Endpoint, Protocol, Side, Tuple};

    use super::*;

    fn record(state: u64) -> Record {
        let record = Record::default();
        record[STATE_WORD].store(state, Relaxed);
        record
    }

    #[test]
    fn a_record_that_is_not_live_is_no_connection() {
        assert!(copy(&record(State::opening(3).0)).is_none());
        let connection = copy(&record(State::opening(3).0 | State::LIVE | State::REPLIED)).unwrap();
        assert_eq!(State(connection.state).incarnation(), 3);
    }

    #[test]
    fn a_copy_has_the_records_fields_in_their_places() {
        let words = record(State::LIVE);
        let tuple = Tuple::new(
            Protocol::Udp,
            Side::Inside,
            Endpoint::new([172, 17, 0, 2], 40000),
            Endpoint::new([192, 0, 2, 1], 53),
        );
        words[0].store(u64::from_ne_bytes([172, 17, 0, 2, 0x9c, 0x40, 192, 0]), Relaxed);
        words[1].store(u64::from_ne_bytes([2, 1, 0, 53, 17, 0, 0, 0]), Relaxed);
        assert_eq!(copy(&words).unwrap().original, tuple);
    }

    #[test]
    fn a_flow_expires_its_lifetime_after_its_last_packet() {
        let second = 1_000_000_000;
        let mut flow = Flow::empty();
        flow.connection.original.protocol = Protocol::Udp.number();
        (flow.connection.created, flow.connection.last_seen) = (5 * second, 10 * second);
        assert_eq!(flow.age(12 * second), 7 * second);
        assert_eq!(flow.expires_in(&Timeouts::default(), 12 * second), 298 * second);
        assert_eq!(flow.expires_in(&Timeouts::default(), 1_000_000 * second), 0);
    }
}
