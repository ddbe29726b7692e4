//! A TCP server that sends back what it gets, and a client.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::socket::{setsockopt, sockopt::ReceiveTimeout};
use nix::sys::time::TimeVal;

use crate::netns::Netns;

/// How often a server looks whether it is to end.
const TICK: Duration = Duration::from_millis(20);
const BUFFER: usize = 64 << 10;

/// A TCP server that sends everything back to its sender. It ends when dropped, and its connections with it: until then
/// they may say nothing for as long as they like, for a test may take long in an emulated machine.
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
        let tick = TimeVal::new(0, TICK.subsec_micros().into());
        setsockopt(&listener, ReceiveTimeout, &tick).context("cannot set a socket's timeout")?;
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

fn serve(listener: &TcpListener, peers: &Mutex<Vec<SocketAddr>>, end: &Arc<AtomicBool>) {
    while !end.load(Ordering::Relaxed) {
        let Ok((stream, peer)) = listener.accept() else { continue };
        peers.lock().unwrap_or_else(PoisonError::into_inner).push(peer);
        let end = Arc::clone(end);
        thread::spawn(move || echo(stream, &end));
    }
}

/// Sends back what comes, until the client or the server ends.
fn echo(mut stream: TcpStream, end: &AtomicBool) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    stream.set_read_timeout(Some(TICK))?;
    while !end.load(Ordering::Relaxed) {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => stream.write_all(&buffer[..length])?,
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether a read that failed so may be done again.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
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
