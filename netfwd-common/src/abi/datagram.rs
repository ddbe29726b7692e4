use super::{Direction, Protocol, Side, Slot};

/// Which datagram a fragment is of (RFC 791 section 3.2, RFC 8200 section 4.5), as seen on a side.
// Aligned, because the BPF target copies unaligned bytes one at a time.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DatagramKey<A> {
    /// The sender.
    pub source: A,
    /// The receiver.
    pub destination: A,
    /// The IP header's identification in the last two bytes; the fragment header's in IPv6.
    pub identification: [u8; 4],
    protocol: u8,
    side: u8,
    pad: [u8; 2],
}

impl<A> DatagramKey<A> {
    /// The datagram of `protocol` from `source` to `destination` with this identification.
    #[must_use]
    pub const fn new(source: A, destination: A, identification: [u8; 4], protocol: Protocol, side: Side) -> Self {
        Self { source, destination, identification, protocol: protocol.number(), side: side.number(), pad: [0; 2] }
    }
}

/// Fragments of a datagram that are held back at most.
pub const MAX_HELD: usize = 8;

/// What is known of a datagram since its first fragment came, or is held back until it comes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// When its first fragment came, or the first one that was held back.
    pub seen: u64,
    /// The connection that it is of.
    pub connection: Slot,
    /// [`Fate::number`].
    pub fate: u32,
    /// How many fragments were held back.
    pub held: u32,
    /// Their tickets; as many as were held back.
    pub tickets: [u32; MAX_HELD],
}

/// What becomes of a datagram's fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The first one has not come yet.
    Unknown,
    /// They are of a connection.
    Translated(Direction),
    /// They are not ours.
    Passed,
}

impl Fate {
    /// Its number in a [`Datagram`].
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Unknown => 0,
            Self::Translated(Direction::Original) => 1,
            Self::Translated(Direction::Reply) => 2,
            Self::Passed => 3,
        }
    }
}

impl Datagram {
    /// Of which nothing is known.
    #[must_use]
    pub const fn unknown() -> Self {
        Self { seen: 0, connection: Slot::NONE, fate: 0, held: 0, tickets: [0; MAX_HELD] }
    }

    /// Begins anew: nothing is held back, and what the tickets were does not matter.
    pub(crate) const fn begin(&mut self, seen: u64, connection: Slot, fate: Fate) {
        (self.seen, self.connection, self.fate, self.held) = (seen, connection, fate.number(), 0);
    }

    /// What becomes of its fragments.
    #[must_use]
    pub const fn fate(&self) -> Fate {
        match self.fate {
            1 => Fate::Translated(Direction::Original),
            2 => Fate::Translated(Direction::Reply),
            3 => Fate::Passed,
            _ => Fate::Unknown,
        }
    }
}
