//! Bytes to [`Headers`]: everything that the NAT knows about a packet.

use crate::{
    abi::{Address, Endpoint, Protocol, Reason, Side, Tuple, V4},
    packet::Packet,
};

const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];

/// What the NAT knows about a packet. Offsets count from its first byte.
///
/// Plain values throughout: where the compiler may leave a field undefined on a path that does not use it, the
/// verifier would refuse the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<A> {
    /// The sender's address.
    pub source: A,
    /// The receiver's address.
    pub destination: A,
    /// Where the IP header is.
    pub network_at: u32,
    /// Where the transport header is.
    pub transport_at: u32,
    /// The transport header.
    pub transport: Transport,
}

impl<A: Address> Headers<A> {
    /// The packet's tuple as seen on `side`, or why it cannot be translated.
    pub fn tuple(&self, side: Side) -> Result<Tuple<A>, Reason> {
        let protocol = self.transport.protocol()?;
        let source = Endpoint { address: self.source, port: self.transport.source_port };
        let destination = Endpoint { address: self.destination, port: self.transport.destination_port };
        Ok(Tuple::new(protocol, side, source, destination))
    }
}

/// What a transport header is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// An ICMP echo request.
    EchoRequest,
    /// An ICMP echo reply.
    EchoReply,
    /// Something else, for this reason.
    Untranslatable(Reason),
}

/// A transport header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// What it is.
    pub kind: Kind,
    /// The source port; the identifier of an ICMP echo request, 0 of a reply.
    pub source_port: [u8; 2],
    /// The destination port; the identifier of an ICMP echo reply, 0 of a request.
    pub destination_port: [u8; 2],
    /// TCP's flags; empty otherwise.
    pub flags: TcpFlags,
}

impl Transport {
    /// Its protocol, or why it cannot be translated.
    pub const fn protocol(&self) -> Result<Protocol, Reason> {
        match self.kind {
            Kind::Tcp => Ok(Protocol::Tcp),
            Kind::Udp => Ok(Protocol::Udp),
            Kind::EchoRequest | Kind::EchoReply => Ok(Protocol::Icmp),
            Kind::Untranslatable(reason) => Err(reason),
        }
    }

    /// Whether this packet may be a connection's first.
    #[must_use]
    pub fn opens(&self) -> bool {
        match self.kind {
            Kind::Tcp => {
                self.flags.has(TcpFlags::SYN) && !self.flags.has(TcpFlags::ACK | TcpFlags::RST | TcpFlags::FIN)
            }
            Kind::Udp | Kind::EchoRequest => true,
            Kind::EchoReply | Kind::Untranslatable(_) => false,
        }
    }

    const fn untranslatable(reason: Reason) -> Self {
        let flags = TcpFlags(0);
        Self { kind: Kind::Untranslatable(reason), source_port: [0; 2], destination_port: [0; 2], flags }
    }
}

/// The flags of a TCP header (RFC 9293 section 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Opens a connection.
    pub const SYN: u8 = 0x02;
    /// Aborts a connection.
    pub const RST: u8 = 0x04;
    /// The acknowledgement number is valid.
    pub const ACK: u8 = 0x10;

    /// Whether any of `flags` is set.
    #[must_use]
    pub const fn has(self, flags: u8) -> bool {
        self.0 & flags != 0
    }
}

/// Parses an IPv4 packet behind a link-layer header of `link_header` bytes.
///
/// An error is a reason to pass the packet: [`Reason::OtherFamily`] or [`Reason::Malformed`].
pub fn ipv4<P: Packet + ?Sized>(packet: &P, link_header: u32) -> Result<Headers<V4>, Reason> {
    if packet.is_vlan_tagged() || !is_ipv4(packet, link_header) {
        return Err(Reason::OtherFamily);
    }
    ipv4_header(packet, link_header).ok_or(Reason::Malformed)
}

fn is_ipv4<P: Packet + ?Sized>(packet: &P, link_header: u32) -> bool {
    match link_header.checked_sub(2) {
        Some(ethertype_at) => packet.load(ethertype_at) == Some(ETHERTYPE_IPV4),
        None => matches!(packet.load(0), Some([0x40..=0x4f])),
    }
}

fn ipv4_header<P: Packet + ?Sized>(packet: &P, at: u32) -> Option<Headers<V4>> {
    let [version_length, _, t0, t1, _, _, f0, f1, _, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] =
        packet.load::<20>(at)?;
    let header_length = u32::from(version_length & 0x0f).saturating_mul(4);
    let available = packet.length().saturating_sub(at);
    let total_length = match u16::from_be_bytes([t0, t1]) {
        0 => available, // A GSO packet over 64 KiB (BIG TCP, kernel 6.3).
        length => u32::from(length),
    };
    if version_length >> 4 != 4 || header_length < 20 || total_length < header_length || available < total_length {
        return None;
    }
    let transport_at = at.saturating_add(header_length);
    let is_fragment = u16::from_be_bytes([f0, f1]) & 0x3fff != 0;
    let transport = if is_fragment {
        Transport::untranslatable(Reason::Fragment)
    } else {
        transport(packet, protocol, transport_at, total_length.saturating_sub(header_length))
    };
    Some(Headers { source: [s0, s1, s2, s3], destination: [d0, d1, d2, d3], network_at: at, transport_at, transport })
}

/// The transport header in the `length` bytes behind the IP header.
fn transport<P: Packet + ?Sized>(packet: &P, protocol: u8, at: u32, length: u32) -> Transport {
    let header = match Protocol::from_number(protocol) {
        Some(Protocol::Tcp) if length >= 20 => packet.load(at).map(tcp),
        Some(Protocol::Udp) if length >= 8 => packet.load(at).map(udp),
        Some(Protocol::Icmp) if length >= 8 => packet.load(at).map(icmp),
        Some(_) => None,
        None => Some(Transport::untranslatable(Reason::UnsupportedProtocol)),
    };
    header.unwrap_or(Transport::untranslatable(Reason::Truncated))
}

fn tcp(header: [u8; 16]) -> Transport {
    let [s0, s1, d0, d1, _, _, _, _, _, _, _, _, _, flags, _, _] = header;
    Transport { kind: Kind::Tcp, source_port: [s0, s1], destination_port: [d0, d1], flags: TcpFlags(flags) }
}

fn udp(header: [u8; 8]) -> Transport {
    let [s0, s1, d0, d1, ..] = header;
    Transport { kind: Kind::Udp, source_port: [s0, s1], destination_port: [d0, d1], flags: TcpFlags(0) }
}

fn icmp(header: [u8; 8]) -> Transport {
    let [kind, code, _, _, i0, i1, _, _] = header;
    let (kind, source_port, destination_port) = match (kind, code) {
        (8, 0) => (Kind::EchoRequest, [i0, i1], [0; 2]),
        (0, 0) => (Kind::EchoReply, [0; 2], [i0, i1]),
        _ => return Transport::untranslatable(Reason::UnsupportedIcmp),
    };
    Transport { kind, source_port, destination_port, flags: TcpFlags(0) }
}
