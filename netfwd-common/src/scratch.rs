//! What a packet's journey writes down on its way.

use crate::{
    abi::{
        Connection, Datagram, DatagramKey, Direction, Endpoint, Masquerade, PortChoice, Protocol, Reason, Rule, Side,
        Slot, Tuple,
    },
    nat::{masquerade::Step, ports::Search},
    parse::{Headers, Parse},
    tables::ReserveError,
};

/// The notes of one journey, each valid from where it is written to where it is needed.
///
/// They are not on the stack, because a BPF program and all that it calls have 512 bytes of that. In the kernel they
/// are a value that belongs to one CPU and one hook.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Scratch<A> {
    /// What the packet is.
    pub(crate) headers: Headers<A>,
    /// What the packet is that an ICMP error quotes.
    pub(crate) quoted: Headers<A>,
    /// The tuple by which its connection is looked for.
    pub(crate) tuple: Tuple<A>,
    /// Its endpoints after the translation.
    pub(crate) translation: Tuple<A>,
    /// How its sender appears.
    pub(crate) masquerade: Masquerade<A>,
    /// Whom it is for.
    pub(crate) target: Endpoint<A>,
    /// Where the target's answers are seen.
    pub(crate) target_side: Side,
    /// The interface that its connection is made on.
    pub(crate) opener: u32,
    /// [`State::FILTERED`](crate::conntrack::State::FILTERED) for its connection, or nothing.
    pub(crate) marks: u64,
    /// What is to be opened next for its connection.
    pub(crate) step: Step,
    /// What came of that.
    pub(crate) outcome: Result<(), Reason>,
    /// Why it is passed as it is, or dropped.
    pub(crate) reason: Reason,
    /// The shared record that is held for its connection.
    pub(crate) parent: Slot,
    /// The slot for the record that is being made.
    pub(crate) slot: Slot,
    /// The record that is being made.
    pub(crate) draft: Connection<A>,
    /// Whether its reply tuple is reserved.
    pub(crate) reserved: Result<(), ReserveError>,
    /// The ports to try for that.
    pub(crate) search: Search,
    /// Whether ports on which the host itself, or a mapping, would get the answers are left out.
    pub(crate) avoids_host: bool,
    /// Which datagram it is a fragment of.
    pub(crate) datagram_key: DatagramKey<A>,
    /// What is known of that.
    pub(crate) datagram: Datagram,
    /// The connection that has translated it.
    pub(crate) connection: Slot,
    /// Which way it goes there.
    pub(crate) direction: Direction,
}

impl<A: Parse> Scratch<A> {
    /// An empty sheet.
    #[must_use]
    pub fn new() -> Self {
        let nobody = Endpoint { address: A::UNSPECIFIED, port: [0; 2] };
        let tuple = Tuple::new(Protocol::UDP, Side::Inside, nobody, nobody);
        let draft = Connection {
            original: tuple,
            reply: tuple,
            rule: Rule::default(),
            parent: Slot::NONE,
            interface: 0,
            interface_slot: 0,
            created: 0,
            last_seen: 0,
            state: 0,
            packets: [0; 2],
            bytes: [0; 2],
        };
        Self {
            headers: Headers::EMPTY,
            quoted: Headers::EMPTY,
            tuple,
            translation: tuple,
            masquerade: Masquerade { address: A::UNSPECIFIED, ports: PortChoice::default(), rule: Rule::default() },
            target: nobody,
            target_side: Side::Inside,
            opener: 0,
            marks: 0,
            step: Step::Sharing,
            outcome: Ok(()),
            reason: Reason::NotOurs,
            parent: Slot::NONE,
            slot: Slot::NONE,
            draft,
            reserved: Ok(()),
            search: Search::EMPTY,
            avoids_host: false,
            datagram_key: DatagramKey::new(A::UNSPECIFIED, A::UNSPECIFIED, [0; 4], Protocol::UDP, Side::Inside),
            datagram: Datagram::unknown(),
            connection: Slot::NONE,
            direction: Direction::Original,
        }
    }

    /// Notes down which datagram the packet is a fragment of.
    pub(crate) fn write_datagram_key(&mut self, side: Side) {
        let Headers { source, destination, identification, transport, .. } = &self.headers;
        // In IPv6 what a later fragment says to follow may be an extension header.
        let protocol = if A::FAMILY == 0 { transport.protocol } else { Protocol::ANY };
        self.datagram_key = DatagramKey::new(*source, *destination, *identification, protocol, side);
    }
}

impl<A: Parse> Default for Scratch<A> {
    fn default() -> Self {
        Self::new()
    }
}
