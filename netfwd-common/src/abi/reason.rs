use super::MAX_UPLINKS;

/// How a packet ended. Numbers are fixed for ever: they are counter slots, and users' graphs refer to them.
/// Each reason has one producing site, and a line in docs/operations.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Rewritten.
    Translated,
    /// Passed: not IPv4, or inside a VLAN tag.
    OtherFamily,
    /// Passed: the IP header is broken; the stack drops it.
    Malformed,
    /// Passed: no connection, mapping or masqueraded subnet.
    NotOurs,
    /// Passed: a TCP segment to a mapped port that opens nothing; the host's stack owns it or resets it.
    NotNewInbound,
    /// Dropped: a masqueraded subnet's packet of a protocol that cannot be translated.
    UnsupportedProtocol,
    /// Dropped: a masqueraded subnet's ICMP that is no echo.
    UnsupportedIcmp,
    /// Dropped: a masqueraded subnet's fragment.
    Fragment,
    /// Dropped: a masqueraded subnet's packet ends within its transport header.
    Truncated,
    /// Dropped: a masqueraded subnet's TCP segment of no known connection.
    NotNewOutbound,
    /// Dropped: no free port towards this destination.
    PortsExhausted,
    /// Dropped: no room for another connection.
    TableFull,
    /// Dropped: the connection that was just made, here or on another CPU, was gone at once.
    Contended,
    /// Dropped: the kernel refused the rewrite.
    RewriteFailed,
    /// Dropped: the kernel has no memory for another connection.
    NoMemory,
}

/// Counter slots of one direction of one uplink; room for reasons to come.
pub const COUNTERS_PER_HOOK: u32 = 64;

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 15] = [
        Self::Translated,
        Self::OtherFamily,
        Self::Malformed,
        Self::NotOurs,
        Self::NotNewInbound,
        Self::UnsupportedProtocol,
        Self::UnsupportedIcmp,
        Self::Fragment,
        Self::Truncated,
        Self::NotNewOutbound,
        Self::PortsExhausted,
        Self::TableFull,
        Self::Contended,
        Self::RewriteFailed,
        Self::NoMemory,
    ];

    /// Its counter slot: 0 translated, 1 to 31 passed, 32 to 63 dropped.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Translated => 0,
            Self::OtherFamily => 1,
            Self::Malformed => 2,
            Self::NotOurs => 3,
            Self::NotNewInbound => 4,
            Self::UnsupportedProtocol => 32,
            Self::UnsupportedIcmp => 33,
            Self::Fragment => 34,
            Self::Truncated => 35,
            Self::NotNewOutbound => 36,
            Self::PortsExhausted => 37,
            Self::TableFull => 38,
            Self::Contended => 39,
            Self::RewriteFailed => 40,
            Self::NoMemory => 41,
        }
    }

    /// Its name in listings, JSON and docs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Translated => "translated",
            Self::OtherFamily => "other-family",
            Self::Malformed => "malformed",
            Self::NotOurs => "not-ours",
            Self::NotNewInbound => "not-new-inbound",
            Self::UnsupportedProtocol => "unsupported-protocol",
            Self::UnsupportedIcmp => "unsupported-icmp",
            Self::Fragment => "fragment",
            Self::Truncated => "truncated",
            Self::NotNewOutbound => "not-new-outbound",
            Self::PortsExhausted => "ports-exhausted",
            Self::TableFull => "table-full",
            Self::Contended => "contended",
            Self::RewriteFailed => "rewrite-failed",
            Self::NoMemory => "no-memory",
        }
    }

    /// Whether the packet was dropped.
    #[must_use]
    pub const fn is_drop(self) -> bool {
        self.number() >= 32
    }
}

/// The index of the counter of one reason at one hook of one uplink.
#[must_use]
pub const fn counter_index(uplink_slot: u32, egress: bool, reason: Reason) -> u32 {
    let hook = uplink_slot.saturating_mul(2).saturating_add(if egress { 1 } else { 0 });
    hook.saturating_mul(COUNTERS_PER_HOOK).saturating_add(reason.number())
}

const _: () = assert!(counter_index(MAX_UPLINKS - 1, true, Reason::NoMemory) < MAX_UPLINKS * 2 * COUNTERS_PER_HOOK);

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_reason_has_a_slot_and_a_name_of_its_own() {
        let numbers: HashSet<_> = Reason::ALL.iter().map(|reason| reason.number()).collect();
        let names: HashSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!((numbers.len(), names.len()), (Reason::ALL.len(), Reason::ALL.len()));
        assert!(numbers.iter().all(|number| *number < COUNTERS_PER_HOOK));
    }

    #[test]
    fn counters_of_different_hooks_do_not_overlap() {
        let mut seen = HashSet::new();
        for uplink in 0..MAX_UPLINKS {
            for egress in [false, true] {
                for reason in Reason::ALL {
                    assert!(seen.insert(counter_index(uplink, egress, reason)));
                }
            }
        }
    }
}
