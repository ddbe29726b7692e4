use core::sync::atomic::AtomicU64;

use super::{Rule, Tuple};

/// Relative to the first packet of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// As the first packet.
    Original,
    /// As the answer.
    Reply,
}

/// Where a connection's record is. The tuples of a connection lead here; the incarnation tells whether the record
/// is still the one that was meant.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    /// The index of the record.
    pub number: u32,
    /// How many connections have lived there, this one included.
    pub incarnation: u32,
}

impl Slot {
    /// Leads nowhere.
    pub const NONE: Self = Self { number: u32::MAX, incarnation: 0 };
}

/// A connection: two tuples, who made it, and what was seen of it.
///
/// NAT is in the choice of the reply tuple; translating a packet of one direction is taking the other direction's
/// tuple, inverted. There is no third structure to keep consistent.
///
/// `W` is `u64` in a copy, and [`AtomicU64`] in the record itself, which all CPUs change at once.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection<A, W = u64> {
    /// What the first packet looked like where it came from.
    pub original: Tuple<A>,
    /// What an answer looks like where it comes from; unique among live connections.
    pub reply: Tuple<A>,
    /// The mapping or masquerade that made it; the connection ends with it.
    pub rule: Rule,
    /// The shared record that it holds (see [`crate::conntrack::shared`]), or [`Slot::NONE`].
    pub parent: Slot,
    /// The interface index of the uplink or bridge that it was made on.
    pub interface: u32,
    /// [`super::Interface::slot`] of that interface.
    pub interface_slot: u32,
    /// When the first packet came.
    pub created: u64,
    /// When the last packet that counts as life came.
    pub last_seen: W,
    /// Incarnation and flags: see [`crate::conntrack::State`].
    pub state: W,
    /// Packets, by direction.
    pub packets: [W; 2],
    /// Bytes of these packets from the IP header on, by direction.
    pub bytes: [W; 2],
}

impl<A> Connection<A> {
    /// Begins the draft of a record that is made on an interface, by its index and slot; its tuples are still to be
    /// written.
    pub(crate) fn begin(&mut self, [interface, slot]: [u32; 2], now: u64, rule: Rule, parent: Slot) {
        (self.interface, self.interface_slot) = (interface, slot);
        self.rule = rule;
        self.parent = parent;
        self.created = now;
        self.last_seen = now;
    }
}

/// The record itself.
pub type LiveConnection<A> = Connection<A, AtomicU64>;

/// A record as it lies in its map, which begins at a page: one of IPv4 has two cache lines of 64 bytes, of which only the
/// second changes with each packet, and one of IPv6 is never in more than three.
#[repr(C, align(32))]
#[derive(Clone, Copy, Debug)]
pub struct Record<A, W = u64>(pub Connection<A, W>);

/// The record that all CPUs change.
pub type LiveRecord<A> = Record<A, AtomicU64>;
