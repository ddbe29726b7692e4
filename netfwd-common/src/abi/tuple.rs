use super::Address;

/// A transport protocol that netfwd translates, by its IANA number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// ICMP echo; the identifier is its port (RFC 5508).
    Icmp,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// Its number in the IP header.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Icmp => 1,
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    /// The protocol with this number, if netfwd translates it.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Icmp),
            6 => Some(Self::Tcp),
            17 => Some(Self::Udp),
            _ => None,
        }
    }
}

/// An address and a port, or an ICMP identifier in the port's place; all in network order.
#[repr(C, align(2))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint<A> {
    /// The address.
    pub address: A,
    /// The port or identifier.
    pub port: [u8; 2],
}

impl<A> Endpoint<A> {
    /// An endpoint from an address and a port in host order.
    pub const fn new(address: A, port: u16) -> Self {
        Self { address, port: port.to_be_bytes() }
    }
}

/// Where packets with a tuple are seen. It is part of the key, so a packet on the wire that forges a container's
/// addresses never matches what is only ever seen on the bridge's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Before masquerading, after destination NAT: with the container's address.
    Inside,
    /// On the uplink's wire: with the host's address.
    Outside,
}

impl Side {
    /// Its byte in a [`Tuple`].
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Inside => 0,
            Self::Outside => 1,
        }
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

    /// The same conversation in the other direction, seen on `side`.
    ///
    /// ```
    /// use netfwd_common::abi::{Endpoint, Protocol, Side, Tuple};
    /// let (container, peer) = (Endpoint::new([172, 17, 0, 2], 40000), Endpoint::new([192, 0, 2, 1], 53));
    /// let query = Tuple::new(Protocol::Udp, Side::Inside, container, peer);
    /// let answer = query.inverted(Side::Outside);
    /// assert_eq!((answer.source, answer.destination), (peer, container));
    /// ```
    #[must_use]
    pub fn inverted(&self, side: Side) -> Self {
        Self { source: self.destination, destination: self.source, side: side.number(), ..*self }
    }
}
