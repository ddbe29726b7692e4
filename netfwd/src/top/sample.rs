//! What was read from the maps at one time.

use netfwd_common::{abi::Protocol, conntrack::Phase};

use crate::{
    datapath::connections,
    family::Family,
    report::{Address, Traffic, mappings, stats::Stats},
};

/// All that is shown, as it was at one time.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// When, in nanoseconds of the monotonic clock.
    pub(super) at: u64,
    /// The uplinks with the path of their packets, as text.
    pub(super) uplinks: Vec<String>,
    /// The counters.
    pub(super) stats: Stats,
    /// The mappings.
    pub(super) mappings: Vec<mappings::Entry>,
    /// The connections, in the order of their ids.
    pub(super) flows: Vec<Flow>,
}

/// What tells a connection from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    /// [`netfwd_common::abi::Address::FAMILY`] of its addresses.
    pub(super) family: usize,
    /// The slot of its record.
    pub(super) slot: u32,
    /// Which of the slot's records.
    pub(super) incarnation: u32,
}

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    /// Which one.
    pub(super) id: Id,
    /// Its protocol.
    pub(super) protocol: Protocol,
    /// Where it is in its life.
    pub(super) phase: Phase,
    /// Sender and receiver of its first packet.
    pub(super) original: [Address; 2],
    /// Sender and receiver of an answer.
    pub(super) reply: [Address; 2],
    /// In the direction of its first packet, and of the answers.
    pub(super) traffic: [Traffic; 2],
    /// Nanoseconds since its first packet.
    pub(super) age: u64,
}

impl Flow {
    /// A connection as it is at `now`.
    pub(super) fn new<A: Family>(flow: &connections::Flow<A>, now: u64) -> Self {
        let connection = &flow.connection;
        let ends = |[source, destination]: [_; 2]| [Address::from(source), Address::from(destination)];
        let traffic = |way: usize| Traffic { packets: connection.packets[way], bytes: connection.bytes[way] };
        Self {
            id: Id { family: A::FAMILY, slot: flow.slot, incarnation: flow.incarnation() },
            protocol: connection.original.protocol(),
            phase: flow.phase(),
            original: ends([connection.original.source, connection.original.destination]),
            reply: ends([connection.reply.source, connection.reply.destination]),
            traffic: [traffic(0), traffic(1)],
            age: flow.age(now),
        }
    }
}
