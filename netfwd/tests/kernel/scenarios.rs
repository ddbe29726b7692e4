//! Whole labs with real clients: what users see.

mod expiry;
mod host;
mod limits;
mod load;
mod main_job;

use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd as _,
    time::Duration,
};

use lab::{Capture, Lab, Netns, Packets, Topology};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket};

use crate::support::{lab, said};

const PATIENCE: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_millis(300);

/// A lab with netfwd attached to the first uplink.
fn attached(topology: &Topology) -> Lab {
    let lab = lab(topology);
    said(&lab, &["attach", &topology.uplinks[0].name]);
    lab
}

/// The host's address on the first uplink.
fn host(topology: &Topology) -> Ipv4Addr {
    topology.uplinks[0].address.addr()
}

/// The client's first address on the first uplink.
fn client(topology: &Topology) -> Ipv4Addr {
    topology.uplinks[0].clients[0]
}

/// A capture of everything with an inside address, where the client would see it.
fn capture_leaks(lab: &Lab, topology: &Topology) -> Capture {
    Capture::start(lab.client(), "eth0", &format!("net {}", topology.bridges[0].address.trunc())).unwrap()
}

/// That nothing leaked.
fn assert_no_leak(leaks: Capture) {
    let leaked = leaks.stop().unwrap().lines().unwrap();
    assert!(leaked.is_empty(), "untranslated packets on the wire: {leaked:#?}");
}

/// That every captured checksum is right, of at least one packet.
fn assert_checksums(packets: &Packets) {
    let checksums = packets.checksums().unwrap();
    assert!(checksums.complete + checksums.partial + checksums.absent > 0, "{checksums:?}");
    assert!(checksums.bad.is_empty(), "{:#?}", checksums.bad);
}

fn udp(netns: &Netns, port: u16) -> UdpSocket {
    let socket = netns.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))).unwrap().unwrap();
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    socket
}

/// Sends one datagram and waits for its echo; false if none comes.
fn echoes(socket: &UdpSocket, target: SocketAddr) -> bool {
    socket.send_to(b"question", target).unwrap();
    let mut buffer = [0; 64];
    match ignore_interruptions(|| socket.recv_from(&mut buffer)) {
        Ok((length, sender)) => {
            assert_eq!((&buffer[..length], sender), (&b"question"[..], target));
            true
        }
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
            false
        }
    }
}

/// Sends an IP packet that is made here but for what the kernel fills in: length, checksum and source (raw(7)).
fn send_raw(netns: &Netns, target: Ipv4Addr, protocol: u8, payload: &[u8]) {
    let [a, b, c, d] = target.octets();
    let header = [0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 0, 0, 0, 0, a, b, c, d];
    let send = || {
        let raw = socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw)?;
        sendto(raw.as_raw_fd(), &[&header, payload].concat(), &SockaddrIn::new(a, b, c, d, 0), MsgFlags::empty())
    };
    netns.enter(send).unwrap().unwrap();
}

fn listener(netns: &Netns, port: u16) -> TcpListener {
    netns.enter(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))).unwrap().unwrap()
}

fn connect(netns: &Netns, target: SocketAddr) -> io::Result<TcpStream> {
    let stream = netns.enter(|| TcpStream::connect_timeout(&target, PATIENCE)).unwrap()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// A socket with a timeout is not waited for again by itself.
fn ignore_interruptions<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
