use crate::{
    abi::{Direction, Protocol, Timeouts},
    parse::{Kind, TcpFlags, Transport},
};

/// A connection's state word: its slot's incarnation above, flags below.
///
/// Flags are only ever set by packets of one direction, and one at a time, so that CPUs can set them at once without
/// losing any. What they mean together is a [`Phase`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State(pub u64);

impl State {
    /// The record is in use and complete.
    pub const LIVE: u64 = 1;
    /// The user ended it.
    pub const CONDEMNED: u64 = 1 << 1;
    /// A packet of the reply direction was seen.
    pub const REPLIED: u64 = 1 << 2;
    /// Both ends are known to take part: the table's need never costs it its place.
    pub const ASSURED: u64 = 1 << 3;
    /// A FIN was seen in the original direction.
    pub const FIN_ORIGINAL: u64 = 1 << 4;
    /// A FIN was seen in the reply direction.
    pub const FIN_REPLY: u64 = 1 << 5;
    /// A RST was seen, and nothing after it.
    pub const RESET: u64 = 1 << 6;

    const BOTH_FINS: u64 = Self::FIN_ORIGINAL | Self::FIN_REPLY;

    /// A slot's state while a connection is being opened in it.
    #[must_use]
    pub fn opening(incarnation: u32) -> Self {
        Self(u64::from(incarnation) << 32)
    }

    /// How many connections have lived in the slot, this one included.
    #[must_use]
    pub fn incarnation(self) -> u32 {
        let [a, b, c, d, ..] = self.0.to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// Whether all of `flags` are set.
    #[must_use]
    pub const fn has(self, flags: u64) -> bool {
        self.0 & flags == flags
    }

    /// The flags that a packet sets and clears.
    #[must_use]
    pub(super) fn after(self, direction: Direction, transport: Transport) -> (u64, u64) {
        let replied = match direction {
            Direction::Original => 0,
            Direction::Reply => Self::REPLIED,
        };
        match (transport.kind, direction) {
            (Kind::Tcp, _) => self.after_tcp(direction, transport.flags, replied),
            (_, Direction::Original) => (0, 0),
            (_, Direction::Reply) => (replied | Self::ASSURED, 0),
        }
    }

    fn after_tcp(self, direction: Direction, flags: TcpFlags, replied: u64) -> (u64, u64) {
        if flags.has(TcpFlags::RST) {
            // A refusal is no answer: it must not let the opener's next segment end a handshake.
            return (Self::RESET, 0);
        }
        let fin = match direction {
            _ if !flags.has(TcpFlags::FIN) => 0,
            Direction::Original => Self::FIN_ORIGINAL,
            Direction::Reply => Self::FIN_REPLY,
        };
        // The opener's first segment after an answer ends the handshake; a forged SYN never gets that far.
        let ends_handshake = direction == Direction::Original && !flags.has(TcpFlags::SYN) && self.has(Self::REPLIED);
        let assured = if ends_handshake { Self::ASSURED } else { 0 };
        // A segment after a reset shows that the reset was not accepted (RFC 6146 section 3.5.2.2, TRANS).
        (replied | fin | assured, Self::RESET)
    }

    /// Whether a packet prolongs the connection's life. A reset does so once, to be remembered for a while
    /// (RFC 7857 section 3); a stream of them does not.
    pub(super) fn is_refreshed_by(self, transport: Transport) -> bool {
        !(self.has(Self::RESET) && transport.flags.has(TcpFlags::RST))
    }

    /// Whether a new handshake may take the connection's place.
    pub(super) fn is_closed(self, protocol: u8) -> bool {
        matches!(self.phase(protocol), Phase::Closing | Phase::Reset)
    }

    /// What the flags mean together, for a protocol by its number.
    #[must_use]
    pub fn phase(self, protocol: u8) -> Phase {
        let is_replied = self.has(Self::REPLIED);
        if protocol != Protocol::Tcp.number() {
            return if is_replied { Phase::Replied } else { Phase::Unreplied };
        }
        if self.has(Self::RESET) {
            Phase::Reset
        } else if self.has(Self::BOTH_FINS) {
            Phase::Closing
        } else if self.has(Self::ASSURED) {
            if self.0 & Self::BOTH_FINS == 0 { Phase::Established } else { Phase::HalfClosed }
        } else if is_replied {
            Phase::SynReceived
        } else {
            Phase::SynSent
        }
    }
}

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// UDP, ICMP: no answer yet.
    Unreplied,
    /// UDP, ICMP: answered.
    Replied,
    /// TCP: opened, no answer yet.
    SynSent,
    /// TCP: answered, the opener has not confirmed it yet.
    SynReceived,
    /// TCP: both ends have spoken.
    Established,
    /// TCP: one end has sent its last data.
    HalfClosed,
    /// TCP: both ends have.
    Closing,
    /// TCP: one end has reset it.
    Reset,
}

impl Phase {
    /// All phases.
    pub const ALL: [Self; 8] = [
        Self::Unreplied,
        Self::Replied,
        Self::SynSent,
        Self::SynReceived,
        Self::Established,
        Self::HalfClosed,
        Self::Closing,
        Self::Reset,
    ];

    /// Its name in listings, JSON and filters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreplied => "unreplied",
            Self::Replied => "replied",
            Self::SynSent => "syn-sent",
            Self::SynReceived => "syn-received",
            Self::Established => "established",
            Self::HalfClosed => "half-closed",
            Self::Closing => "closing",
            Self::Reset => "reset",
        }
    }
}

/// How long a connection lives after its last packet, in nanoseconds.
#[must_use]
pub fn lifetime(protocol: u8, state: State, timeouts: &Timeouts) -> u64 {
    match (Protocol::from_number(protocol), state.phase(protocol)) {
        (Some(Protocol::Tcp), Phase::Established | Phase::HalfClosed) => timeouts.tcp_established,
        (Some(Protocol::Tcp), _) => timeouts.tcp_transitory,
        (Some(Protocol::Icmp), _) => timeouts.icmp,
        (Some(Protocol::Udp) | None, _) => timeouts.udp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Original, Reply};

    const SYN: u8 = TcpFlags::SYN;
    const ACK: u8 = TcpFlags::ACK;
    const FIN: u8 = TcpFlags::FIN | TcpFlags::ACK;
    const RST: u8 = TcpFlags::RST;

    fn segment(flags: u8) -> Transport {
        Transport { kind: Kind::Tcp, source_port: [0, 1], destination_port: [0, 2], flags: TcpFlags(flags) }
    }

    fn phase_after(packets: &[(Direction, u8)]) -> Phase {
        let mut state = State(State::opening(7).0 | State::LIVE);
        for (direction, flags) in packets {
            let (set, clear) = state.after(*direction, segment(*flags));
            state = State((state.0 | set) & !clear);
        }
        assert_eq!(state.incarnation(), 7);
        state.phase(Protocol::Tcp.number())
    }

    #[test]
    fn tcp_goes_through_its_phases() {
        let open = [(Original, SYN), (Reply, SYN | ACK), (Original, ACK)];
        for (more, phase) in [
            (&[][..], Phase::Established),
            (&[(Original, FIN)], Phase::HalfClosed),
            (&[(Reply, FIN), (Original, ACK)], Phase::HalfClosed),
            (&[(Reply, FIN), (Original, FIN), (Reply, ACK)], Phase::Closing),
            (&[(Reply, RST)], Phase::Reset),
            (&[(Reply, RST), (Original, ACK)], Phase::Established),
        ] {
            assert_eq!(phase_after(&[&open, more].concat()), phase, "{more:?}");
        }
        assert_eq!(phase_after(&open[..1]), Phase::SynSent);
        assert_eq!(phase_after(&open[..2]), Phase::SynReceived);
    }

    #[test]
    fn a_simultaneous_open_establishes() {
        let packets = [(Original, SYN), (Reply, SYN), (Original, SYN | ACK), (Reply, SYN | ACK), (Original, ACK)];
        assert_eq!(phase_after(&packets), Phase::Established);
    }

    #[test]
    fn a_retransmitted_syn_alone_never_becomes_assured() {
        assert_eq!(phase_after(&[(Original, SYN), (Reply, SYN | ACK), (Original, SYN)]), Phase::SynReceived);
    }

    #[test]
    fn only_the_first_reset_refreshes() {
        let state = State(State::LIVE);
        assert!(state.is_refreshed_by(segment(RST)));
        assert!(!State(State::LIVE | State::RESET).is_refreshed_by(segment(RST)));
        assert!(State(State::LIVE | State::RESET).is_refreshed_by(segment(ACK)));
    }

    #[test]
    fn lifetimes_follow_the_rfcs() {
        let timeouts = Timeouts::default();
        let second = 1_000_000_000;
        let tcp = |flags| lifetime(6, State(flags), &timeouts) / second;
        assert_eq!(tcp(State::LIVE), 240);
        assert_eq!(tcp(State::REPLIED | State::ASSURED), 7440);
        assert_eq!(tcp(State::REPLIED | State::ASSURED | State::FIN_REPLY), 7440);
        assert_eq!(tcp(State::REPLIED | State::ASSURED | State::BOTH_FINS), 240);
        assert_eq!(tcp(State::REPLIED | State::ASSURED | State::RESET), 240);
        assert_eq!(lifetime(17, State(0), &timeouts) / second, 300);
        assert_eq!(lifetime(1, State(0), &timeouts) / second, 60);
    }
}
