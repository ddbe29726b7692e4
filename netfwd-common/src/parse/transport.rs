use super::{Fragmentation, Headers, Parse};
use crate::{
    abi::{Protocol, Reason},
    packet::Packet,
};

// IANA protocol numbers that need a word of their own.
const DCCP: u8 = 33;
const AUTHENTICATION: u8 = 51;
const MOBILITY: u8 = 135;
const UDP_LITE: u8 = 136;
const HIP: u8 = 139;
const SHIM6: u8 = 140;

/// What a transport header is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// An ICMP echo request.
    EchoRequest,
    /// An ICMP echo reply.
    EchoReply,
    /// An ICMP error: it is about the packet that it quotes, see [`crate::quote`].
    IcmpError,
    /// Another protocol: translated by its addresses alone, with ports 0. All its fragments are of this kind.
    Other,
    /// A later fragment of a protocol with ports: its first fragment has them.
    LaterFragment,
    /// It cannot be translated, for this reason.
    Untranslatable(Reason),
}

/// A transport header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// What it is.
    pub kind: Kind,
    /// Its protocol. In a later IPv6 fragment this may be the extension header that its datagram goes on with.
    pub protocol: Protocol,
    /// The source port; the identifier of an ICMP echo request, 0 of a reply.
    pub source_port: [u8; 2],
    /// The destination port; the identifier of an ICMP echo reply, 0 of a request.
    pub destination_port: [u8; 2],
    /// TCP's flags; empty otherwise.
    pub flags: TcpFlags,
    /// SCTP's first chunk; [`Chunk::NONE`] otherwise.
    pub chunk: Chunk,
}

impl Transport {
    pub(super) const EMPTY: Self =
        Self::without_ports(Kind::Untranslatable(Reason::Malformed), Protocol::from_number(0));

    /// Whether the packet has a tuple, or why not: for the reason of [`Kind::Untranslatable`]; a later fragment
    /// ([`Reason::Fragment`]) and an ICMP error ([`Reason::Unrelated`]) take part in another packet's.
    pub const fn translatable(&self) -> Result<(), Reason> {
        match self.kind {
            Kind::Tcp | Kind::Udp | Kind::Sctp | Kind::EchoRequest | Kind::EchoReply | Kind::Other => Ok(()),
            Kind::IcmpError => Err(Reason::Unrelated),
            Kind::LaterFragment => Err(Reason::Fragment),
            Kind::Untranslatable(reason) => Err(reason),
        }
    }

    /// Whether this packet may be a connection's first.
    #[must_use]
    pub const fn opens(&self) -> bool {
        match self.kind {
            Kind::Tcp => {
                self.flags.has(TcpFlags::SYN) && !self.flags.has(TcpFlags::ACK | TcpFlags::RST | TcpFlags::FIN)
            }
            Kind::Sctp => self.chunk.0 == Chunk::INIT.0,
            Kind::Udp | Kind::EchoRequest | Kind::Other => true,
            Kind::EchoReply | Kind::IcmpError | Kind::LaterFragment | Kind::Untranslatable(_) => false,
        }
    }

    /// Whether it may be the first that is seen of a connection whose beginning was not seen: what
    /// [`opens`](Self::opens), and any TCP segment but a reset.
    #[must_use]
    pub const fn opens_midstream(&self) -> bool {
        self.opens() || matches!(self.kind, Kind::Tcp) && !self.flags.has(TcpFlags::RST)
    }

    const fn without_ports(kind: Kind, protocol: Protocol) -> Self {
        let (flags, chunk) = (TcpFlags(0), Chunk::NONE);
        Self { kind, protocol, source_port: [0; 2], destination_port: [0; 2], flags, chunk }
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

/// The type of an SCTP chunk (RFC 9260 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk(pub u8);

impl Chunk {
    /// Opens an association; alone in its packet.
    pub const INIT: Self = Self(1);
    /// Answers [`INIT`](Self::INIT).
    pub const INIT_ACK: Self = Self(2);
    /// Aborts an association.
    pub const ABORT: Self = Self(6);
    /// The association has ended.
    pub const SHUTDOWN_COMPLETE: Self = Self(14);
    /// None: another protocol, or cut off.
    pub const NONE: Self = Self(0xff);

    /// Whether nothing is to come after it.
    pub(crate) const fn ends(self) -> bool {
        matches!(self, Self::ABORT | Self::SHUTDOWN_COMPLETE)
    }
}

/// Reads the transport header of `headers`, all of whose other fields are known.
///
/// - A later fragment has none: it is an [`Kind::Other`] by protocol, or else a [`Kind::LaterFragment`].
/// - A packet that ends within the fixed part of its header, or a first fragment that does (RFC 1858, RFC 7112), is
///   [`Reason::Truncated`]. A quoted one needs 8 bytes.
/// - Protocols whose checksum covers the addresses and that are not known here (DCCP, UDP-Lite, Mobility), and those
///   whose very purpose is that nobody changes them (AH, HIP, Shim6), are [`Reason::UnsupportedProtocol`].
#[inline(always)]
#[expect(clippy::inline_always, reason = "a frame of its own would cost every program 96 bytes of its stack")]
pub(super) fn read<A: Parse, P: Packet + ?Sized, const QUOTED: bool>(
    packet: &P,
    protocol: u8,
    headers: &mut Headers<A>,
) {
    let protocol = Protocol::from_number(protocol);
    let kind = kind::<A>(protocol);
    headers.transport = Transport::without_ports(kind, protocol);
    let minimum = match kind {
        Kind::Tcp if !QUOTED => 20,
        Kind::Sctp if !QUOTED => 16,
        Kind::Tcp | Kind::Udp | Kind::Sctp | Kind::IcmpError => 8,
        Kind::EchoRequest | Kind::EchoReply | Kind::Other | Kind::LaterFragment | Kind::Untranslatable(_) => return,
    };
    if headers.fragment == Fragmentation::Later {
        headers.transport.kind = Kind::LaterFragment;
        return;
    }
    let (at, length) = (headers.transport_at, headers.end_at.saturating_sub(headers.transport_at));
    let start = if length < minimum { None } else { packet.load(at) };
    let Some(start) = start else {
        headers.transport.kind = Kind::Untranslatable(Reason::Truncated);
        return;
    };
    if kind == Kind::IcmpError {
        return icmp::<A>(start, &mut headers.transport);
    }
    let [s0, s1, d0, d1, ..] = start;
    headers.transport.source_port = [s0, s1];
    headers.transport.destination_port = [d0, d1];
    if !QUOTED {
        signal(packet, at, &mut headers.transport);
    }
}

/// What a protocol is; [`Kind::IcmpError`] stands for all of ICMP.
fn kind<A: Parse>(protocol: Protocol) -> Kind {
    match protocol {
        Protocol::TCP => Kind::Tcp,
        Protocol::UDP => Kind::Udp,
        Protocol::SCTP => Kind::Sctp,
        _ if protocol == A::ICMP => Kind::IcmpError,
        _ => match protocol.number() {
            DCCP | AUTHENTICATION | MOBILITY | UDP_LITE | HIP | SHIM6 => {
                Kind::Untranslatable(Reason::UnsupportedProtocol)
            }
            _ => Kind::Other,
        },
    }
}

/// Reads TCP's flags and the type of SCTP's first chunk. Both are within the minimum.
fn signal<P: Packet + ?Sized>(packet: &P, at: u32, transport: &mut Transport) {
    if transport.kind == Kind::Tcp {
        let [flags] = packet.load(at.saturating_add(13)).unwrap_or([0]);
        transport.flags = TcpFlags(flags);
    } else if transport.kind == Kind::Sctp {
        let [chunk] = packet.load(at.saturating_add(12)).unwrap_or([0]);
        transport.chunk = Chunk(chunk);
    }
}

fn icmp<A: Parse>([kind, code, _, _, i0, i1, _, _]: [u8; 8], transport: &mut Transport) {
    transport.kind = A::icmp_kind(kind, code);
    if transport.kind == Kind::EchoRequest {
        transport.source_port = [i0, i1];
    } else if transport.kind == Kind::EchoReply {
        transport.destination_port = [i0, i1];
    }
}
