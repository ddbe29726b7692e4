//! Ethernet frames, built by another implementation than the one under test.

use etherparse::{
    EtherType, Icmpv4Type, IpHeaders, IpNumber, Ipv4Header, Ipv4Options, PacketBuilder, TcpHeader, icmpv4,
};
use netfwd_common::{
    abi::{Endpoint, V4},
    parse::TcpFlags,
};

/// Bytes before the IP header.
pub(crate) const ETHERNET: usize = 14;

/// What an IPv4 packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A TCP segment with these flags.
    Tcp(u8),
    /// A UDP datagram, with a checksum or without.
    Udp { has_checksum: bool },
    /// Its identifier is the source port.
    EchoRequest,
    /// Its identifier is the destination port.
    EchoReply,
    /// An ICMP error about nothing in particular.
    TimeExceeded,
}

/// A frame to build.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// Its sender.
    pub(crate) source: Endpoint<V4>,
    /// Its receiver.
    pub(crate) destination: Endpoint<V4>,
    /// Its content.
    pub(crate) kind: Kind,
    /// 32-bit words of IP options.
    pub(crate) ip_options: u8,
    /// 32-bit words of TCP options.
    pub(crate) tcp_options: u8,
    /// What follows the transport header.
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// A frame without options and with an odd number of payload bytes.
    pub(crate) fn new(kind: Kind, source: Endpoint<V4>, destination: Endpoint<V4>) -> Self {
        Self { source, destination, kind, ip_options: 0, tcp_options: 0, payload: b"netfwd!".to_vec() }
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let (source, destination) = (port(self.source), port(self.destination));
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ip(IpHeaders::Ipv4(self.ip(), <_>::default()));
        let (mut bytes, payload) = (Vec::new(), self.payload.as_slice());
        match self.kind {
            Kind::Tcp(flags) => builder.tcp_header(self.tcp(source, destination, flags)).write(&mut bytes, payload),
            Kind::Udp { .. } => builder.udp(source, destination).write(&mut bytes, payload),
            Kind::EchoRequest => builder.icmpv4_echo_request(source, 1).write(&mut bytes, payload),
            Kind::EchoReply => builder.icmpv4_echo_reply(destination, 1).write(&mut bytes, payload),
            Kind::TimeExceeded => builder
                .icmpv4(Icmpv4Type::TimeExceeded(icmpv4::TimeExceededCode::TtlExceededInTransit))
                .write(&mut bytes, payload),
        }
        .expect("a frame of few bytes fits");
        if self.kind == (Kind::Udp { has_checksum: false }) {
            let checksum_at = self.transport_at() + 6;
            bytes[checksum_at..checksum_at + 2].fill(0);
        }
        assert_eq!(bytes[12..14], EtherType::IPV4.0.to_be_bytes());
        bytes
    }

    /// Where the transport header is.
    pub(crate) fn transport_at(&self) -> usize {
        ETHERNET + 20 + usize::from(self.ip_options) * 4
    }

    fn ip(&self) -> Ipv4Header {
        // The builder sets lengths, protocol and checksums.
        let header = Ipv4Header::new(0, 64, IpNumber::UDP, self.source.address, self.destination.address);
        let options = vec![1; usize::from(self.ip_options) * 4];
        Ipv4Header {
            options: Ipv4Options::try_from(options.as_slice()).expect("at most 10 words"),
            ..header.expect("an empty payload fits")
        }
    }

    fn tcp(&self, source: u16, destination: u16, flags: u8) -> TcpHeader {
        let flags = TcpFlags(flags);
        let mut header = TcpHeader::new(source, destination, 1, 1024);
        header.fin = flags.has(TcpFlags::FIN);
        header.syn = flags.has(TcpFlags::SYN);
        header.rst = flags.has(TcpFlags::RST);
        header.ack = flags.has(TcpFlags::ACK);
        let options = vec![1; usize::from(self.tcp_options) * 4];
        header.set_options_raw(&options).expect("at most 10 words");
        header
    }
}

fn port(endpoint: Endpoint<V4>) -> u16 {
    u16::from_be_bytes(endpoint.port)
}
