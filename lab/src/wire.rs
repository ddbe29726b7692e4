//! Frames that no socket would send, and a look at those that arrive.

use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use etherparse::{
    Ethernet2Header, IpFragOffset, IpHeaders, IpNumber, Ipv4Header, Ipv6FragmentHeader, Ipv6Header, PacketBuilder,
    PacketBuilderStep,
};
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::libc::PACKET_OUTGOING;
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recvfrom, send, setsockopt, socket,
};
use nix::sys::time::TimeVal;

use crate::interrupt;
use crate::netns::Netns;

const LARGEST: usize = 65_536 + 14;
const TICK: i64 = 20_000;
const HOPS: u8 = 64;

/// An interface at the level of Ethernet (packet(7)), and the neighbour to send to.
#[derive(Debug)]
pub struct Wire {
    socket: OwnedFd,
    address: [u8; 6],
    neighbour: [u8; 6],
}

impl Wire {
    /// From `interface` of `netns` to `neighbour`: a namespace and its interface.
    pub fn open(netns: &Netns, interface: &str, neighbour: (&Netns, &str)) -> Result<Self> {
        let open = || -> Result<_> {
            let address = link_address(interface)?;
            let flags = SockFlag::SOCK_CLOEXEC;
            let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
            bind(socket.as_raw_fd(), &address)?;
            setsockopt(&socket, ReceiveTimeout, &TimeVal::new(0, TICK))?;
            Ok((socket, hardware_address(&address)?))
        };
        let opened = netns.enter(open)?;
        let (socket, address) = opened.with_context(|| format!("cannot open {interface} in {}", netns.name()))?;
        Ok(Self { socket, address, neighbour: neighbour.0.hardware_address(neighbour.1)? })
    }

    /// The beginning of a frame to the neighbour: what follows IP is added to it.
    ///
    /// Both addresses must be of one family.
    #[must_use]
    pub fn ip(&self, source: IpAddr, destination: IpAddr) -> PacketBuilderStep<IpHeaders> {
        let ethernet = PacketBuilder::ethernet2(self.address, self.neighbour);
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => ethernet.ipv4(source.octets(), destination.octets(), HOPS),
            (source, destination) => ethernet.ipv6(octets(source), octets(destination), HOPS),
        }
    }

    /// A whole frame to the neighbour with any protocol in it.
    pub fn packet(&self, source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Result<Vec<u8>> {
        let mut frame = Vec::new();
        self.ip(source, destination).write(&mut frame, IpNumber(protocol), payload).context("cannot build a frame")?;
        Ok(frame)
    }

    /// A whole frame to the neighbour with a UDP datagram in it.
    pub fn udp(&self, source: (IpAddr, u16), destination: (IpAddr, u16), payload: &[u8]) -> Result<Vec<u8>> {
        let mut frame = Vec::new();
        let builder = self.ip(source.0, destination.0).udp(source.1, destination.1);
        builder.write(&mut frame, payload).context("cannot build a frame")?;
        Ok(frame)
    }

    /// Sends a frame as it is.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        let sent = send(self.socket.as_raw_fd(), frame, MsgFlags::empty()).context("cannot send a frame")?;
        ensure!(sent == frame.len(), "only {sent} of a frame's {} bytes were sent", frame.len());
        Ok(())
    }

    /// Waits for a frame that arrives and of which `wanted` makes something.
    pub fn receive<T>(&self, timeout: Duration, mut wanted: impl FnMut(&[u8]) -> Option<T>) -> Result<Option<T>> {
        let deadline = Instant::now() + timeout;
        let mut buffer = vec![0; LARGEST];
        while Instant::now() < deadline {
            interrupt::check()?;
            let length = self.receive_one(&mut buffer)?;
            if let Some(found) = length.and_then(|length| wanted(buffer.get(..length)?)) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The length of the next frame that arrives, if one does in time.
    fn receive_one(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        match recvfrom::<LinkAddr>(self.socket.as_raw_fd(), buffer) {
            Ok((length, address)) => {
                let arrives = address.is_none_or(|address| address.pkttype() != PACKET_OUTGOING);
                Ok(arrives.then_some(length))
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(error) => Err(error).context("cannot receive a frame"),
        }
    }
}

/// The frames that carry the packet of `frame` as fragments, in order, of `size` bytes each; a multiple of 8.
///
/// IP options and extension headers are not expected.
pub fn fragments(frame: &[u8], size: usize, identification: u16) -> Result<Vec<Vec<u8>>> {
    let (ethernet, packet) = Ethernet2Header::from_slice(frame).context("no Ethernet frame")?;
    let is_ipv4 = packet.first().is_some_and(|first| first >> 4 == 4);
    let payload = packet.get(if is_ipv4 { Ipv4Header::MIN_LEN } else { Ipv6Header::LEN }..).context("no packet")?;
    let chunks = payload.chunks(size).enumerate();
    let fragment = |(number, chunk): (usize, &[u8])| -> Result<Vec<u8>> {
        let (offset, more) = (number * size, number * size + chunk.len() < payload.len());
        let mut fragment = ethernet.to_bytes().to_vec();
        let piece = Piece { offset: IpFragOffset::try_new(u16::try_from(offset / 8)?)?, more, identification };
        fragment.extend(if is_ipv4 { piece.ipv4(packet, chunk)? } else { piece.ipv6(packet, chunk)? });
        Ok(fragment)
    };
    chunks.map(fragment).collect()
}

struct Piece {
    offset: IpFragOffset,
    more: bool,
    identification: u16,
}

impl Piece {
    fn ipv4(&self, packet: &[u8], chunk: &[u8]) -> Result<Vec<u8>> {
        let (mut header, _) = Ipv4Header::from_slice(packet).context("no IPv4 packet")?;
        header.identification = self.identification;
        header.dont_fragment = false;
        header.more_fragments = self.more;
        header.fragment_offset = self.offset;
        header.set_payload_len(chunk.len())?;
        header.header_checksum = header.calc_header_checksum();
        Ok([&header.to_bytes(), chunk].concat())
    }

    fn ipv6(&self, packet: &[u8], chunk: &[u8]) -> Result<Vec<u8>> {
        let (mut header, _) = Ipv6Header::from_slice(packet).context("no IPv6 packet")?;
        let fragment = Ipv6FragmentHeader::new(header.next_header, self.offset, self.more, self.identification.into());
        header.next_header = IpNumber::IPV6_FRAGMENTATION_HEADER;
        header.set_payload_length(Ipv6FragmentHeader::LEN + chunk.len())?;
        Ok([&header.to_bytes()[..], &fragment.to_bytes(), chunk].concat())
    }
}

/// The address at which `interface` of the thread's namespace is bound.
pub(crate) fn link_address(interface: &str) -> Result<LinkAddr> {
    let mut interfaces = getifaddrs().context("cannot list the interfaces")?;
    let link = interfaces.find_map(|found| {
        let address = found.address.filter(|_| found.interface_name == interface)?;
        address.as_link_addr().copied()
    });
    link.with_context(|| format!("there is no interface {interface}"))
}

pub(crate) fn hardware_address(link: &LinkAddr) -> Result<[u8; 6]> {
    link.addr().context("it has no Ethernet address")
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
mod tests {
    use etherparse::{NetSlice, SlicedPacket};

    use super::*;

    fn offsets(fragments: &[Vec<u8>]) -> Vec<(u16, bool)> {
        let offset = |frame: &Vec<u8>| match SlicedPacket::from_ethernet(frame).unwrap().net {
            Some(NetSlice::Ipv4(packet)) => {
                (packet.header().fragments_offset().byte_offset(), packet.header().more_fragments())
            }
            Some(NetSlice::Ipv6(_)) => {
                let (fragment, _) = Ipv6FragmentHeader::from_slice(&frame[54..]).unwrap();
                (fragment.fragment_offset.byte_offset(), fragment.more_fragments)
            }
            other => panic!("{other:?}"),
        };
        fragments.iter().map(offset).collect()
    }

    #[test]
    fn a_packet_of_either_family_is_cut_where_asked() {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        let ethernet = || PacketBuilder::ethernet2([2; 6], [4; 6]);
        ethernet().ipv4([1; 4], [2; 4], 64).udp(1, 2).write(&mut v4, &[7; 30]).unwrap();
        ethernet().ipv6([1; 16], [2; 16], 64).udp(1, 2).write(&mut v6, &[7; 30]).unwrap();
        for frame in [v4, v6] {
            let fragments = fragments(&frame, 16, 99).unwrap();
            assert_eq!(offsets(&fragments), [(0, true), (16, true), (32, false)]);
            let headers = fragments[0].len() - 16;
            assert_eq!(fragments[2].len(), headers + 6, "8 + 30 bytes are two whole fragments and 6 bytes");
        }
    }
}
