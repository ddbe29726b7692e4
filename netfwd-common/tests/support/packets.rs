//! Packets of both families, built and verified by other code than the one under test.

use std::env;

use etherparse::{IpNumber, Ipv4Header, Ipv4Options, Ipv6Header, TcpHeader, UdpHeader};
use netfwd_common::{
    abi::{Endpoint, V4, V6},
    parse::Parse,
};
use proptest::{prelude::ProptestConfig, test_runner::RngSeed};

/// Proptest's settings: the same cases every time, unless its environment variables say otherwise.
pub(crate) fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    let rng_seed = if config.rng_seed == RngSeed::Random { RngSeed::Fixed(0x6e65_7466) } else { config.rng_seed };
    let cases = if env::var_os("PROPTEST_CASES").is_some() { config.cases } else { 1024 };
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..config }
}

/// Bytes before the IP header.
pub(crate) const LINK: usize = 14;

/// What differs between the families.
pub(crate) trait Ip: Parse {
    /// The two ends of a connection, and two others to translate them to.
    const ENDS: [Endpoint<Self>; 4];
    const ETHERTYPE: [u8; 2];
    /// ICMP types: echo request, echo reply.
    const ECHO: [u8; 2];
    /// An error: type and code.
    const TIME_EXCEEDED: [u8; 2];
    /// An IP packet without link-layer header. Options are IPv4's, in 32-bit words.
    fn ip(source: Self, destination: Self, protocol: u8, options: usize, payload: &[u8]) -> Vec<u8>;
    /// The sum of the pseudo-header.
    fn pseudo_header(source: Self, destination: Self, protocol: u8, length: usize) -> u64;
}

impl Ip for V4 {
    const ENDS: [Endpoint<Self>; 4] = [
        Endpoint::new([192, 0, 2, 1], 40000),
        Endpoint::new([198, 51, 100, 7], 80),
        Endpoint::new([203, 0, 113, 255], 61001),
        Endpoint::new([10, 255, 0, 200], 8080),
    ];
    const ETHERTYPE: [u8; 2] = [0x08, 0x00];
    const ECHO: [u8; 2] = [8, 0];
    const TIME_EXCEEDED: [u8; 2] = [11, 0];

    fn ip(source: Self, destination: Self, protocol: u8, options: usize, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).expect("short");
        let mut header = Ipv4Header::new(0, 64, IpNumber(protocol), source, destination).expect("empty");
        header.identification = 0x1234;
        header.options = Ipv4Options::try_from(vec![1; options * 4].as_slice()).expect("at most 10 words");
        header.set_payload_len(usize::from(length)).expect("short");
        header.header_checksum = header.calc_header_checksum();
        [header.to_bytes().as_slice(), payload].concat()
    }

    fn pseudo_header(source: Self, destination: Self, protocol: u8, length: usize) -> u64 {
        sum(&source) + sum(&destination) + u64::from(protocol) + length as u64
    }
}

impl Ip for V6 {
    const ENDS: [Endpoint<Self>; 4] = [
        Endpoint::new([0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2], 40000),
        Endpoint::new([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7], 80),
        Endpoint::new([0x20, 1, 0xd, 0xb8, 0xff, 0xff, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8], 61001),
        Endpoint::new([0xfd, 0, 0, 2, 0xff, 0xfe, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 9], 8080),
    ];
    const ETHERTYPE: [u8; 2] = [0x86, 0xdd];
    const ECHO: [u8; 2] = [128, 129];
    const TIME_EXCEEDED: [u8; 2] = [3, 0];

    fn ip(source: Self, destination: Self, protocol: u8, _: usize, payload: &[u8]) -> Vec<u8> {
        let header = Ipv6Header {
            payload_length: u16::try_from(payload.len()).expect("short"),
            next_header: IpNumber(protocol),
            hop_limit: 64,
            source,
            destination,
            ..Ipv6Header::default()
        };
        [header.to_bytes().as_slice(), payload].concat()
    }

    fn pseudo_header(source: Self, destination: Self, protocol: u8, length: usize) -> u64 {
        sum(&source) + sum(&destination) + u64::from(protocol) + length as u64
    }
}

/// A frame: an IP packet behind an Ethernet header.
pub(crate) fn framed<A: Ip>(ip: &[u8]) -> Vec<u8> {
    [&[2; 12], &A::ETHERTYPE[..], ip].concat()
}

/// A transport header and its payload, with the right checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// With these flags, 32-bit words of options (all no-operations).
    Tcp(u8, usize),
    Udp,
    /// Without a checksum.
    BareUdp,
    /// With this chunk.
    Sctp(u8),
    /// Without a checksum: the interface computes it.
    BareSctp,
    EchoRequest,
    EchoReply,
    /// About nothing in particular.
    TimeExceeded,
    /// GRE.
    Gre,
}

impl Content {
    pub(crate) const ALL: [Self; 10] = [
        Self::Tcp(0x12, 0),
        Self::Tcp(0x02, 5),
        Self::Udp,
        Self::BareUdp,
        Self::Sctp(1),
        Self::BareSctp,
        Self::EchoRequest,
        Self::EchoReply,
        Self::TimeExceeded,
        Self::Gre,
    ];

    pub(crate) fn protocol<A: Ip>(self) -> u8 {
        match self {
            Self::Tcp(..) => 6,
            Self::Udp | Self::BareUdp => 17,
            Self::Sctp(_) | Self::BareSctp => 132,
            Self::EchoRequest | Self::EchoReply | Self::TimeExceeded => A::ICMP.number(),
            Self::Gre => 47,
        }
    }

    /// Where its checksum is.
    pub(crate) fn checksum_at(self) -> Option<usize> {
        match self {
            Self::Tcp(..) => Some(16),
            Self::Udp | Self::BareUdp => Some(6),
            Self::Sctp(_) | Self::BareSctp => Some(8),
            Self::EchoRequest | Self::EchoReply | Self::TimeExceeded => Some(2),
            Self::Gre => None,
        }
    }

    /// Its bytes between two ends; the identifier of an echo is the requester's port.
    pub(crate) fn bytes<A: Ip>(self, source: Endpoint<A>, destination: Endpoint<A>, payload: &[u8]) -> Vec<u8> {
        let (from, to) = (u16::from_be_bytes(source.port), u16::from_be_bytes(destination.port));
        let header = match self {
            Self::Tcp(flags, options) => {
                let mut header = TcpHeader::new(from, to, 1, 1024);
                header.set_options_raw(&vec![1; options * 4]).expect("at most 10 words");
                let mut bytes = header.to_bytes().to_vec();
                bytes[13] = flags;
                bytes
            }
            Self::Udp | Self::BareUdp => {
                let length = u16::try_from(8 + payload.len()).expect("short");
                UdpHeader { source_port: from, destination_port: to, length, checksum: 0 }.to_bytes().to_vec()
            }
            Self::Sctp(chunk) => sctp(source.port, destination.port, chunk),
            Self::BareSctp => sctp(source.port, destination.port, 0),
            Self::EchoRequest => [&[A::ECHO[0], 0, 0, 0], &source.port[..], &[0, 1]].concat(),
            Self::EchoReply => [&[A::ECHO[1], 0, 0, 0], &destination.port[..], &[0, 1]].concat(),
            Self::TimeExceeded => [&A::TIME_EXCEEDED[..], &[0; 6]].concat(),
            Self::Gre => vec![0, 0, 0x08, 0],
        };
        let mut bytes = [header.as_slice(), payload].concat();
        self.seal(source.address, destination.address, &mut bytes);
        bytes
    }

    /// Computes its checksum anew, if it has one.
    pub(crate) fn seal<A: Ip>(self, source: A, destination: A, segment: &mut [u8]) {
        let Some(at) = self.checksum_at() else { return };
        match self {
            Self::BareUdp | Self::BareSctp => {}
            Self::Sctp(_) => {
                segment[at..at + 4].fill(0);
                let checksum = crc32c(segment).to_le_bytes();
                segment[at..at + 4].copy_from_slice(&checksum);
            }
            Self::Gre | Self::Tcp(..) | Self::Udp | Self::EchoRequest | Self::EchoReply | Self::TimeExceeded => {
                segment[at..at + 2].fill(0);
                let has_pseudo_header = self.protocol::<A>() != 1;
                let pseudo_header = A::pseudo_header(source, destination, self.protocol::<A>(), segment.len());
                let sum = sum(segment) + if has_pseudo_header { pseudo_header } else { 0 };
                let mut checksum = !folded(sum);
                if self == Self::Udp && checksum == 0 {
                    checksum = 0xffff;
                }
                segment[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
            }
        }
    }
}

fn sctp(from: [u8; 2], to: [u8; 2], chunk: u8) -> Vec<u8> {
    [&from[..], &to, &[0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 0, chunk, 0, 0, 4]].concat()
}

/// An IP packet with a content between two ends.
pub(crate) fn ip<A: Ip>(content: Content, ends: [Endpoint<A>; 2], options: usize, payload: &[u8]) -> Vec<u8> {
    let [source, destination] = ends;
    let segment = content.bytes(source, destination, payload);
    A::ip(source.address, destination.address, content.protocol::<A>(), options, &segment)
}

/// A fragment with these bytes of a datagram, at an offset in units of 8 bytes.
pub(crate) fn fragment<A: Ip>(
    [source, destination]: [A; 2],
    protocol: u8,
    data: &[u8],
    offset: u16,
    more: bool,
) -> Vec<u8> {
    if A::FAMILY == 1 {
        let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
        return A::ip(source, destination, 44, 0, &[&[protocol, 0, high, low, 1, 2, 3, 4], data].concat());
    }
    let mut ip = A::ip(source, destination, protocol, 0, data);
    let field = offset | if more { 0x2000 } else { 0 };
    ip[6..8].copy_from_slice(&field.to_be_bytes());
    ip[10..12].fill(0);
    let checksum = !folded(sum(&ip[..20]));
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    ip
}

/// The sum of the 16-bit words, big-endian; an odd byte is padded.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    let word = |chunk: &[u8]| u64::from(chunk[0]) << 8 | chunk.get(1).copied().map_or(0, u64::from);
    bytes.chunks(2).map(word).sum()
}

/// A sum as one word, with the carries added to it.
pub(crate) fn folded(sum: u64) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    u16::try_from((sum & 0xffff) + (sum >> 16)).expect("a sum of few words")
}

/// The `CRC32c` of RFC 9260 appendix A, bit by bit.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 })
    })
}
