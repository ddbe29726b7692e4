use super::MAX_INTERFACES;

/// How a packet ended. Numbers are fixed for ever: they are counter slots, and users' graphs refer to them.
/// Each has a row in docs/operations.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Rewritten; the host's stack goes on with it.
    Translated,
    /// Rewritten, and sent past the host's stack.
    FastPath,
    /// Rewritten, and sent on before the host's stack had a socket buffer for it.
    Xdp,
    /// Passed: neither IPv4 nor IPv6, or inside a VLAN tag.
    OtherFamily,
    /// Passed: the IP header is broken; the stack drops it.
    Malformed,
    /// Passed: no connection, mapping or masqueraded subnet.
    NotOurs,
    /// Passed: a TCP segment to a mapped port that opens nothing; the host's stack owns it or resets it.
    NotNewInbound,
    /// Passed: from a masqueraded subnet to a destination that is reached without masquerading.
    Excluded,
    /// Passed: a fragment that came before its datagram's first one; a copy is held back for that.
    FragmentAhead,
    /// Dropped: a masqueraded subnet's packet of a protocol that cannot be translated.
    UnsupportedProtocol,
    /// Dropped: a masqueraded subnet's ICMP that is neither an echo nor an error.
    UnsupportedIcmp,
    /// Dropped: a fragment whose datagram is ours and not known, or there was no room to hold it back.
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
    /// Dropped: the kernel's hash table refused the entry of another connection.
    NoMemory,
    /// Held back: a fragment that came before its datagram's first one. It goes on when that comes.
    FragmentHeld,
    /// Dropped: from the outside or a container to a container's outside port, by somebody who may not send there.
    Filtered,
    /// Dropped: its source has as many outside ports as one may have.
    SourceLimit,
    /// Dropped: from the network to a port that is mapped on a loopback address.
    RemoteToLoopback,
    /// Dropped: the address to masquerade with is not the host's any more.
    AddressGone,
    /// Dropped: the host has no route from a bridge to the mapping's target.
    Unroutable,
    /// Dropped: a masqueraded subnet's ICMP error about no known connection.
    Unrelated,
    /// Dropped: past the NAT into an isolated network, or out of an internal one.
    Isolated,
}

/// Counter slots of one direction of one interface; room for reasons to come.
pub const COUNTERS_PER_HOOK: u32 = 64;

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 27] = [
        Self::Translated,
        Self::FastPath,
        Self::Xdp,
        Self::OtherFamily,
        Self::Malformed,
        Self::NotOurs,
        Self::NotNewInbound,
        Self::Excluded,
        Self::FragmentAhead,
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
        Self::FragmentHeld,
        Self::Filtered,
        Self::SourceLimit,
        Self::RemoteToLoopback,
        Self::AddressGone,
        Self::Unroutable,
        Self::Unrelated,
        Self::Isolated,
    ];

    /// Its counter slot: 0, 7 and 8 translated, others to 31 passed, 32 to 63 dropped.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Translated => 0,
            Self::OtherFamily => 1,
            Self::Malformed => 2,
            Self::NotOurs => 3,
            Self::NotNewInbound => 4,
            Self::Excluded => 5,
            Self::FragmentAhead => 6,
            Self::FastPath => 7,
            Self::Xdp => 8,
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
            Self::FragmentHeld => 42,
            Self::Filtered => 43,
            Self::SourceLimit => 44,
            Self::RemoteToLoopback => 45,
            Self::AddressGone => 46,
            Self::Unroutable => 47,
            Self::Unrelated => 48,
            Self::Isolated => 49,
        }
    }

    /// Its name in listings, JSON and docs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Translated => "translated",
            Self::FastPath => "fast-path",
            Self::Xdp => "xdp",
            Self::OtherFamily => "other-family",
            Self::Malformed => "malformed",
            Self::NotOurs => "not-ours",
            Self::NotNewInbound => "not-new-inbound",
            Self::Excluded => "excluded",
            Self::FragmentAhead => "fragment-ahead",
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
            Self::FragmentHeld => "fragment-held",
            Self::Filtered => "filtered",
            Self::SourceLimit => "source-limit",
            Self::RemoteToLoopback => "remote-to-loopback",
            Self::AddressGone => "address-gone",
            Self::Unroutable => "unroutable",
            Self::Unrelated => "unrelated",
            Self::Isolated => "isolated",
        }
    }

    /// Whether the packet was dropped.
    #[must_use]
    pub const fn is_drop(self) -> bool {
        self.number() >= 32
    }
}

/// The index of the counter of one reason at one hook of one interface.
#[must_use]
pub const fn counter_index(slot: u32, egress: bool, reason: Reason) -> u32 {
    let hook = slot.saturating_mul(2).saturating_add(if egress { 1 } else { 0 });
    hook.saturating_mul(COUNTERS_PER_HOOK).saturating_add(reason.number())
}

const _: () =
    assert!(counter_index(MAX_INTERFACES - 1, true, Reason::Isolated) < MAX_INTERFACES * 2 * COUNTERS_PER_HOOK);

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
        for uplink in 0..MAX_INTERFACES {
            for egress in [false, true] {
                for reason in Reason::ALL {
                    assert!(seen.insert(counter_index(uplink, egress, reason)));
                }
            }
        }
    }
}
