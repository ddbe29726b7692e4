//! Clients and servers of the tests' own.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd as _,
    time::Duration,
};

use lab::{Netns, tcp_ask};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect as connect_socket, setsockopt, socket,
    sockopt::ReuseAddr,
};

/// How long what must come may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How long nothing must come.
pub(crate) const SILENCE: Duration = Duration::from_millis(300);

/// A port of an address.
pub(crate) fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), port)
}

/// A UDP socket at `port` of every IPv4 address; 0 is a free one.
pub(crate) fn udp(netns: &Netns, port: u16) -> UdpSocket {
    udp_at(netns, (Ipv4Addr::UNSPECIFIED, port).into())
}

/// A UDP socket at `address`, which waits long for what must come: an emulated machine is slow.
pub(crate) fn udp_at(netns: &Netns, address: SocketAddr) -> UdpSocket {
    let socket = netns.enter(|| UdpSocket::bind(address)).unwrap().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Sends one datagram and waits for its echo; false if none comes.
pub(crate) fn echoes(socket: &UdpSocket, target: SocketAddr) -> bool {
    socket.send_to(b"question", target).unwrap();
    hears(socket, b"question", target)
}

/// Sends one datagram and gets no answer.
pub(crate) fn is_unanswered(socket: &UdpSocket, target: SocketAddr) -> bool {
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    let is_unanswered = !echoes(socket, target);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    is_unanswered
}

/// Waits for a datagram with `content` from `sender`; false if none comes.
pub(crate) fn hears(socket: &UdpSocket, content: &[u8], sender: SocketAddr) -> bool {
    let mut buffer = vec![0; usize::from(u16::MAX)];
    match ignore_interruptions(|| socket.recv_from(&mut buffer)) {
        Ok((length, from)) => {
            assert_eq!((&buffer[..length], from), (content, sender));
            true
        }
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
            false
        }
    }
}

/// That a TCP conversation with a server that echoes works.
#[track_caller]
pub(crate) fn assert_tcp(from: &Netns, target: (IpAddr, u16)) {
    let answer = tcp_ask(from, target.into(), b"question", PATIENCE).unwrap();
    assert!(matches!(&answer, Ok(answer) if answer == b"question"), "{target:?}: {answer:?}");
}

/// A TCP server at `port` of every IPv4 address.
pub(crate) fn listener(netns: &Netns, port: u16) -> TcpListener {
    netns.enter(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))).unwrap().unwrap()
}

/// A TCP connection to `target`.
pub(crate) fn connect(netns: &Netns, target: SocketAddr) -> io::Result<TcpStream> {
    let stream = netns.enter(|| TcpStream::connect_timeout(&target, PATIENCE)).unwrap()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Whether what is sent to a server that echoes comes back in time.
pub(crate) fn goes_on(stream: &mut TcpStream, timeout: Duration) -> bool {
    let mut answer = [0; 4];
    stream.set_read_timeout(Some(timeout)).unwrap();
    stream.write_all(b"ping").is_ok() && stream.read_exact(&mut answer).is_ok()
}

/// A TCP connection to `target` from a port of one's own choice, which other connections may have too.
pub(crate) fn connect_from(netns: &Netns, port: u16, target: SocketAddr) -> nix::Result<TcpStream> {
    let open = || {
        let (family, any) = match target {
            SocketAddr::V4(_) => (AddressFamily::Inet, IpAddr::from(Ipv4Addr::UNSPECIFIED)),
            SocketAddr::V6(_) => (AddressFamily::Inet6, Ipv6Addr::UNSPECIFIED.into()),
        };
        let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        setsockopt(&socket, ReuseAddr, &true)?;
        bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(any, port)))?;
        connect_socket(socket.as_raw_fd(), &SockaddrStorage::from(target))?;
        Ok(TcpStream::from(socket))
    };
    let stream = netns.enter(open).unwrap()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Ok(stream)
}

/// A socket with a timeout is not waited for again by itself.
pub(crate) fn ignore_interruptions<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
