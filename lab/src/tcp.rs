//! A TCP server that sends back what it gets, and a client.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::socket::{setsockopt, sockopt::ReceiveTimeout};
use nix::sys::time::TimeVal;

use crate::netns::Netns;

const TICK: i64 = 20_000;
/// How long an open connection may say nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// A TCP server that sends everything back to its sender. It ends when dropped, its connections with their clients.
#[derive(Debug)]
pub struct TcpEcho {
    peers: Arc<Mutex<Vec<SocketAddr>>>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TcpEcho {
    /// Serves at `address`; an unspecified one stands for all of its family.
    pub fn start(netns: &Netns, address: SocketAddr) -> Result<Self> {
        let listener = netns.enter(|| TcpListener::bind(address))?;
        let listener = listener.with_context(|| format!("cannot take TCP {address} in {}", netns.name()))?;
        setsockopt(&listener, ReceiveTimeout, &TimeVal::new(0, TICK)).context("cannot set a socket's timeout")?;
        let (peers, end) = (Arc::default(), Arc::default());
        let thread = thread::spawn({
            let (peers, end) = (Arc::clone(&peers), Arc::clone(&end));
            move || serve(&listener, &peers, &end)
        });
        Ok(Self { peers, end, thread: Some(thread) })
    }

    /// The clients, one for each connection, oldest first.
    #[must_use]
    pub fn peers(&self) -> Vec<SocketAddr> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for TcpEcho {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn serve(listener: &TcpListener, peers: &Mutex<Vec<SocketAddr>>, end: &AtomicBool) {
    while !end.load(Ordering::Relaxed) {
        let Ok((stream, peer)) = listener.accept() else { continue };
        peers.lock().unwrap_or_else(PoisonError::into_inner).push(peer);
        thread::spawn(move || echo(&stream));
    }
}

fn echo(stream: &TcpStream) {
    if stream.set_read_timeout(Some(PATIENCE)).is_ok() {
        io::copy(&mut &*stream, &mut &*stream).ok();
    }
}

/// Connects to `target`, sends `question`, and returns as much of an answer.
///
/// The inner error is what the client's socket says: refused, unreachable, timed out.
pub fn tcp_ask(netns: &Netns, target: SocketAddr, question: &[u8], timeout: Duration) -> Result<io::Result<Vec<u8>>> {
    netns.enter(|| {
        let mut stream = TcpStream::connect_timeout(&target, timeout)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.write_all(question)?;
        let mut answer = vec![0; question.len()];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    })
}
