//! A UDP server that sends back what it gets, and a client.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::netns::Netns;

const TICK: Duration = Duration::from_millis(20);
const LARGEST: usize = 65_535;

/// A UDP server that sends every datagram back to its sender. It ends when dropped.
#[derive(Debug)]
pub struct UdpEcho {
    peers: Arc<Mutex<Vec<SocketAddr>>>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl UdpEcho {
    /// Serves on `port` of every IPv4 address.
    pub fn start(netns: &Netns, port: u16) -> Result<Self> {
        Self::start_at(netns, (Ipv4Addr::UNSPECIFIED, port).into())
    }

    /// Serves at `address`.
    pub fn start_at(netns: &Netns, address: SocketAddr) -> Result<Self> {
        let socket = netns.enter(|| UdpSocket::bind(address))?;
        let socket = socket.with_context(|| format!("cannot take UDP {address} in {}", netns.name()))?;
        socket.set_read_timeout(Some(TICK)).context("cannot set a socket's timeout")?;
        let (peers, end) = (Arc::default(), Arc::default());
        let thread = thread::spawn({
            let (peers, end) = (Arc::clone(&peers), Arc::clone(&end));
            move || serve(&socket, &peers, &end)
        });
        Ok(Self { peers, end, thread: Some(thread) })
    }

    /// The senders, one for each datagram, oldest first.
    #[must_use]
    pub fn peers(&self) -> Vec<SocketAddr> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for UdpEcho {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn serve(socket: &UdpSocket, peers: &Mutex<Vec<SocketAddr>>, end: &AtomicBool) {
    let mut buffer = vec![0; LARGEST];
    while !end.load(Ordering::Relaxed) {
        let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
        peers.lock().unwrap_or_else(PoisonError::into_inner).push(peer);
        socket.send_to(&buffer[..length], peer).ok();
    }
}

/// The address that stands for all of the same family.
pub(crate) fn unspecified(address: IpAddr) -> IpAddr {
    if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

/// Sends `question` from a new socket to `target`: the answer and its sender, or `None` if none came in time.
pub fn udp_ask(
    netns: &Netns,
    target: SocketAddr,
    question: &[u8],
    timeout: Duration,
) -> Result<Option<(Vec<u8>, SocketAddr)>> {
    let ask = || -> io::Result<_> {
        let socket = UdpSocket::bind((unspecified(target.ip()), 0))?;
        socket.set_read_timeout(Some(timeout))?;
        socket.send_to(question, target)?;
        let mut buffer = vec![0; LARGEST];
        loop {
            match socket.recv_from(&mut buffer) {
                // The kernel does not restart a wait that has a timeout.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok((length, sender)) => {
                    buffer.truncate(length);
                    return Ok((buffer, sender));
                }
            }
        }
    };
    match netns.enter(ask)? {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot ask {target} over UDP from {}", netns.name())),
    }
}
