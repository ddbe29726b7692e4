//! Ethernet frames of both families, built by other code than the one under test.

use netfwd_common::abi::Endpoint;

pub(crate) use super::packets::{Content, Ip, LINK};

/// UDP with a checksum.
pub(crate) const UDP: Content = Content::Udp;
/// A TCP segment that opens a connection.
pub(crate) const SYN: Content = tcp(0x02);
/// Its answer.
pub(crate) const SYN_ACK: Content = tcp(0x12);
/// A segment in between.
pub(crate) const ACK: Content = tcp(0x10);
/// The last segment of one end.
pub(crate) const FIN: Content = tcp(0x11);
/// A segment that aborts a connection.
pub(crate) const RST: Content = tcp(0x04);

/// A TCP segment without options.
pub(crate) const fn tcp(flags: u8) -> Content {
    Content::Tcp(flags, 0)
}

/// A frame to build.
#[derive(Clone, Debug)]
pub(crate) struct Frame<A> {
    /// Its sender.
    pub(crate) source: Endpoint<A>,
    /// Its receiver.
    pub(crate) destination: Endpoint<A>,
    /// Its content.
    pub(crate) content: Content,
    /// 32-bit words of IPv4 options.
    pub(crate) ip_options: usize,
    /// What follows the transport header.
    pub(crate) payload: Vec<u8>,
}

impl<A: Ip> Frame<A> {
    /// A frame without options and with an odd number of payload bytes.
    pub(crate) fn new(content: Content, source: Endpoint<A>, destination: Endpoint<A>) -> Self {
        Self { source, destination, content, ip_options: 0, payload: b"netfwd!".to_vec() }
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let ends = [self.source, self.destination];
        super::packets::framed::<A>(&super::packets::ip(self.content, ends, self.ip_options, &self.payload))
    }

    /// It in fragments with this many bytes of the datagram each, but for the last one: a multiple of 8.
    pub(crate) fn fragments(&self, length: usize) -> Vec<Vec<u8>> {
        let datagram = self.content.bytes(self.source, self.destination, &self.payload);
        let ends = [self.source.address, self.destination.address];
        let (protocol, count) = (self.content.protocol::<A>(), datagram.len().div_ceil(length));
        let one = |(number, data): (usize, &[u8])| {
            let offset = u16::try_from(number * length / 8).expect("short");
            super::packets::framed::<A>(&super::packets::fragment(ends, protocol, data, offset, number + 1 < count))
        };
        datagram.chunks(length).enumerate().map(one).collect()
    }
}

/// An ICMP error from `reporter` to `receiver` about a frame.
pub(crate) fn error_about<A: Ip>(frame: &[u8], reporter: A, receiver: A) -> Vec<u8> {
    let ends = [reporter, receiver].map(|address| Endpoint::new(address, 0));
    let about = Frame { payload: frame[LINK..].to_vec(), ..Frame::new(Content::TimeExceeded, ends[0], ends[1]) };
    about.bytes()
}
