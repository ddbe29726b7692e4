use super::shared;
use crate::{
    abi::{Direction, Protocol, Side, Timeouts, Tuple},
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

    /// The opener is not let in before the other end has sent something. Set by nobody later on.
    pub const FILTERED: u64 = 1 << 7;

    /// One holder of a shared record; their number is in the bits above.
    pub const CHILD: u64 = 1 << 8;

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

    /// How many hold it: see [`super::shared`].
    #[must_use]
    pub fn children(self) -> u32 {
        let [.., a, b, c, _] = self.0.to_be_bytes();
        u32::from_be_bytes([0, a, b, c])
    }

    /// The same with one holder more.
    pub(super) fn with_child(self) -> Self {
        Self(self.0.wrapping_add(Self::CHILD))
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
            // RFC 9260 section 9: the association is gone at both ends.
            (Kind::Sctp, _) if transport.chunk.ends() => (Self::RESET, 0),
            (Kind::LaterFragment, _) | (_, Direction::Original) => (0, 0),
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

    /// Whether a packet goes no further: see [`Self::FILTERED`].
    pub(super) fn filters(self, direction: Direction) -> bool {
        direction == Direction::Original && self.has(Self::FILTERED) && !self.has(Self::REPLIED)
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
        if protocol == Protocol::SCTP.number() && self.has(Self::RESET) {
            return Phase::Reset;
        }
        if protocol != Protocol::TCP.number() {
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
    /// TCP, SCTP: one end has reset it.
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

/// How long a record with this original tuple lives after its last packet, or after its last holder, in nanoseconds.
#[must_use]
pub fn lifetime<A>(original: &Tuple<A>, state: State, timeouts: &Timeouts) -> u64 {
    if original.side == Side::Binding.number() {
        return shared::HOLD;
    }
    if !Side::is_of_packets(original.side) {
        return 0;
    }
    match (Protocol::from_number(original.protocol), state.phase(original.protocol)) {
        (Protocol::SCTP, Phase::Unreplied | Phase::Reset) => timeouts.sctp_transitory,
        (Protocol::SCTP, _) => timeouts.sctp_established,
        (_, Phase::SynSent | Phase::SynReceived) => timeouts.tcp_opening,
        (_, Phase::Established) => timeouts.tcp_established,
        (_, Phase::HalfClosed) => timeouts.tcp_half_closed,
        (_, Phase::Closing) => timeouts.tcp_closing,
        (_, Phase::Reset) => timeouts.tcp_reset,
        (Protocol::ICMP | Protocol::ICMPV6, _) => timeouts.icmp,
        (Protocol::UDP, Phase::Unreplied) => timeouts.udp_unreplied,
        (Protocol::UDP, Phase::Replied) => timeouts.udp,
        (_, Phase::Unreplied | Phase::Replied) => timeouts.other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        abi::{Endpoint, V4},
        parse::Chunk,
    };
    use Direction::{Original, Reply};

    const SYN: u8 = TcpFlags::SYN;
    const ACK: u8 = TcpFlags::ACK;
    const FIN: u8 = TcpFlags::FIN | TcpFlags::ACK;
    const RST: u8 = TcpFlags::RST;

    fn segment(flags: u8) -> Transport {
        let (source_port, destination_port) = ([0, 1], [0, 2]);
        let (flags, chunk, protocol) = (TcpFlags(flags), Chunk::NONE, Protocol::TCP);
        Transport { kind: Kind::Tcp, protocol, source_port, destination_port, flags, chunk }
    }

    fn phase_after(packets: &[(Direction, u8)]) -> Phase {
        let mut state = State(State::opening(7).0 | State::LIVE);
        for (direction, flags) in packets {
            let (set, clear) = state.after(*direction, segment(*flags));
            state = State((state.0 | set) & !clear);
        }
        assert_eq!(state.incarnation(), 7);
        state.phase(Protocol::TCP.number())
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
    fn an_association_that_is_aborted_or_shut_down_lives_no_longer_than_a_new_one() {
        for chunk in [Chunk::ABORT, Chunk::SHUTDOWN_COMPLETE] {
            let (kind, protocol) = (Kind::Sctp, Protocol::SCTP);
            let (set, _) = State(State::REPLIED).after(Reply, Transport { kind, protocol, chunk, ..segment(0) });
            let state = State(State::REPLIED | set);
            assert_eq!(state.phase(protocol.number()), Phase::Reset);
            assert_eq!(seconds(Protocol::SCTP, Side::Inside, state.0), 240);
        }
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

    fn seconds(protocol: Protocol, side: Side, flags: u64) -> u64 {
        let nobody = Endpoint::<V4>::NOBODY;
        lifetime(&Tuple::new(protocol, side, nobody, nobody), State(flags), &Timeouts::default()) / 1_000_000_000
    }

    #[test]
    fn lifetimes_follow_the_rfcs() {
        let of = |protocol, flags| seconds(protocol, Side::Inside, State::LIVE | flags);
        let tcp = |flags| of(Protocol::TCP, flags);
        assert_eq!((tcp(0), tcp(State::REPLIED)), (240, 240));
        assert_eq!(tcp(State::REPLIED | State::ASSURED), 7440);
        assert_eq!(tcp(State::REPLIED | State::ASSURED | State::FIN_REPLY), 7440);
        assert_eq!(tcp(State::REPLIED | State::ASSURED | State::BOTH_FINS), 240);
        assert_eq!(tcp(State::REPLIED | State::ASSURED | State::RESET), 240);
        assert_eq!((of(Protocol::UDP, 0), of(Protocol::UDP, State::REPLIED)), (300, 300));
        assert_eq!((of(Protocol::ICMP, 0), of(Protocol::ICMPV6, State::REPLIED)), (60, 60));
        assert_eq!((of(Protocol::SCTP, 0), of(Protocol::SCTP, State::REPLIED)), (240, 7440));
        assert_eq!(of(Protocol::from_number(47), State::REPLIED), 600);
    }

    #[test]
    fn each_timeout_is_that_of_its_state() {
        let timeouts = Timeouts {
            tcp_opening: 1,
            tcp_established: 2,
            tcp_half_closed: 3,
            tcp_closing: 4,
            tcp_reset: 5,
            udp_unreplied: 6,
            udp: 7,
            icmp: 8,
            sctp_transitory: 9,
            sctp_established: 10,
            other: 11,
            fragment: 12,
        };
        let replied = State::REPLIED | State::ASSURED;
        for (protocol, flags, expected) in [
            (Protocol::TCP, 0, 1),
            (Protocol::TCP, State::REPLIED, 1),
            (Protocol::TCP, replied, 2),
            (Protocol::TCP, replied | State::FIN_ORIGINAL, 3),
            (Protocol::TCP, replied | State::BOTH_FINS, 4),
            (Protocol::TCP, replied | State::RESET, 5),
            (Protocol::UDP, 0, 6),
            (Protocol::UDP, replied, 7),
            (Protocol::ICMP, replied, 8),
            (Protocol::ICMPV6, 0, 8),
            (Protocol::SCTP, 0, 9),
            (Protocol::SCTP, replied, 10),
            (Protocol::from_number(50), 0, 11),
        ] {
            let nobody = Endpoint::<V4>::NOBODY;
            let tuple = Tuple::new(protocol, Side::Outside, nobody, nobody);
            assert_eq!(lifetime(&tuple, State(flags), &timeouts), expected, "{protocol} {flags:x}");
        }
    }

    #[test]
    fn a_binding_stays_for_two_minutes_and_other_shared_records_not_at_all() {
        assert_eq!(seconds(Protocol::UDP, Side::Binding, State::LIVE), 120); // RFC 6888 REQ-8
        assert_eq!(seconds(Protocol::UDP, Side::Permission, State::LIVE), 0);
        assert_eq!(seconds(Protocol::ANY, Side::Account, State::LIVE), 0);
    }
}
