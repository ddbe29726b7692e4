/// Packets and their bytes, from the IP header on.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// Packets; a GSO packet counts as one, as in netfilter.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What went through one mapping or masquerade, per CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCounter {
    /// In the direction of the first packet.
    pub original: Counter,
    /// In the direction of the answer.
    pub reply: Counter,
    /// Connections made.
    pub flows: u64,
}

/// What happens to connections; each has a counter, whose index is its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlowEvent {
    /// Made by a first packet.
    Created,
    /// Reaped after its timeout.
    Expired,
    /// Reaped after its mapping or masquerade had gone, or on request.
    Ended,
    /// Half open, and its place was needed.
    Evicted,
}

impl FlowEvent {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Created, Self::Expired, Self::Ended, Self::Evicted];

    /// Its counter's index.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Created => 0,
            Self::Expired => 1,
            Self::Ended => 2,
            Self::Evicted => 3,
        }
    }
}
