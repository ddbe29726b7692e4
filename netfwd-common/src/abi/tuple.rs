use core::fmt;

use super::Address;

/// A transport protocol, by its IANA number.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Protocol(u8);

impl Protocol {
    /// All of them, in an account.
    pub(crate) const ANY: Self = Self(0);
    /// ICMP; of an echo the identifier is the port (RFC 5508).
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// ICMP for IPv6; of an echo the identifier is the port.
    pub const ICMPV6: Self = Self(58);
    /// SCTP.
    pub const SCTP: Self = Self(132);

    /// The protocol with this number in the IP header.
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        Self(number)
    }

    /// Its number in the IP header.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Its name, for those that have ports or identifiers; the others have a number only.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::ICMP => Some("icmp"),
            Self::TCP => Some("tcp"),
            Self::UDP => Some("udp"),
            Self::ICMPV6 => Some("icmpv6"),
            Self::SCTP => Some("sctp"),
            _ => None,
        }
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// As its name, or else its number.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => fmt::Display::fmt(&self.0, f),
        }
    }
}

/// An address and a port, or an ICMP identifier in the port's place; all in network order.
#[repr(C, align(2))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint<A> {
    /// The address.
    pub address: A,
    /// The port or identifier; 0 where a protocol has none.
    pub port: [u8; 2],
}

impl<A: Address> Endpoint<A> {
    /// Nobody's.
    pub(crate) const NOBODY: Self = Self { address: A::UNSPECIFIED, port: [0; 2] };
}

impl<A> Endpoint<A> {
    /// An endpoint from an address and a port in host order.
    pub const fn new(address: A, port: u16) -> Self {
        Self { address, port: port.to_be_bytes() }
    }
}

/// An endpoint as the 16-bit words that it is in memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words<const N: usize> {
    /// Those of the address.
    pub address: [u16; N],
    /// The port.
    pub port: u16,
}

/// Where packets with a tuple are seen. It is part of the key, so a packet on the wire that forges a container's
/// addresses never matches what is only ever seen on the bridge's side.
///
/// The last three are seen nowhere: they are the keys of records that connections share, see
/// [`crate::conntrack::shared`].
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Between bridge and uplink, with the container's address: before masquerading, after destination NAT.
    Inside = 0,
    /// On the uplink's wire: with the host's address.
    Outside = 1,
    /// On a bridge, from one container by way of the host's address to another: hairpin.
    Bridge = 2,
    /// A binding's: an inside endpoint, and the outside port that it has towards everybody.
    Binding = 3,
    /// A permission's: an outside endpoint, and the address of a peer that it has sent to.
    Permission = 4,
    /// An account's: an inside address, and how many outside ports it has.
    Account = 5,
}

impl Side {
    /// Its byte in a [`Tuple`].
    #[must_use]
    #[expect(clippy::as_conversions, reason = "the discriminant")]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Whether packets are seen there; records of other sides are shared by connections.
    #[must_use]
    pub const fn is_of_packets(number: u8) -> bool {
        number <= Self::Bridge.number()
    }
}

/// Who speaks to whom, as it is seen on one side of the NAT. A connection is two of these.
///
/// For ICMP echo the identifier is the requester's port, and the responder's port is 0.
// Aligned, because the BPF target copies and compares unaligned bytes one at a time.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple<A> {
    /// The sender.
    pub source: Endpoint<A>,
    /// The receiver.
    pub destination: Endpoint<A>,
    /// [`Protocol::number`].
    pub protocol: u8,
    /// [`Side::number`].
    pub side: u8,
    pub(crate) pad: [u8; 2],
}

impl<A: Address> Tuple<A> {
    /// The tuple of a packet from `source` to `destination`, seen on `side`.
    #[must_use]
    pub fn new(protocol: Protocol, side: Side, source: Endpoint<A>, destination: Endpoint<A>) -> Self {
        Self { source, destination, protocol: protocol.number(), side: side.number(), pad: [0; 2] }
    }

    /// Makes it the tuple that [`Tuple::new`] returns, field by field: a BPF program has no room for it elsewhere.
    pub(crate) fn set(&mut self, protocol: Protocol, side: Side, source: &Endpoint<A>, destination: &Endpoint<A>) {
        self.source = *source;
        self.destination = *destination;
        self.protocol = protocol.number();
        self.side = side.number();
        self.pad = [0; 2];
    }

    /// Makes it the tuple of the other direction on the same side.
    pub(crate) fn set_swapped_endpoints(&mut self) {
        (self.source, self.destination) = (self.destination, self.source);
    }

    /// Makes it another tuple's of the other direction on the same side.
    pub(crate) fn set_swapped(&mut self, other: &Self) {
        (self.source, self.destination) = (other.destination, other.source);
        (self.protocol, self.side, self.pad) = (other.protocol, other.side, [0; 2]);
    }

    /// The same conversation in the other direction, seen on `side`.
    ///
    /// ```
    /// use netfwd_common::abi::{Endpoint, Protocol, Side, Tuple};
    /// let (container, peer) = (Endpoint::new([172, 17, 0, 2], 40000), Endpoint::new([192, 0, 2, 1], 53));
    /// let query = Tuple::new(Protocol::UDP, Side::Inside, container, peer);
    /// let answer = query.inverted(Side::Outside);
    /// assert_eq!((answer.source, answer.destination), (peer, container));
    /// ```
    #[must_use]
    pub fn inverted(&self, side: Side) -> Self {
        Self { source: self.destination, destination: self.source, side: side.number(), ..*self }
    }

    /// Its protocol.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        Protocol::from_number(self.protocol)
    }

    /// Whether it is seen on `side`.
    #[must_use]
    pub fn is_on(&self, side: Side) -> bool {
        self.side == side.number()
    }
}
