//! A server and clients that exchange small messages over TCP.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lab::Netns;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::time::TimeVal;

use crate::cpu;

/// Bytes of a question and of its answer.
const MESSAGE: usize = 64;
/// In a question's first byte: close the connection after the answer.
const LAST: u8 = 1;
const PATIENCE: Duration = Duration::from_secs(5);
const TICK: TimeVal = TimeVal::new(0, 20_000);
const WARM_UP: usize = 200;

/// A server for one client at a time, which answers each question. It ends when dropped.
pub(crate) struct Server {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on `port` of every address.
    pub(crate) fn start(netns: &Netns, port: u16) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let listener = netns.enter(|| TcpListener::bind(address))?;
        let listener = listener.with_context(|| format!("cannot listen on port {port} in {}", netns.name()))?;
        setsockopt(&listener, ReceiveTimeout, &TICK).context("cannot set a socket's timeout")?;
        let end = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let end = Arc::clone(&end);
            move || {
                cpu::second_end().and_then(cpu::pin).ok();
                serve(&listener, &end);
            }
        });
        Ok(Self { end, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn serve(listener: &TcpListener, end: &AtomicBool) {
    while !end.load(Ordering::Relaxed) {
        if let Ok((stream, _)) = listener.accept() {
            // The client sees what is wrong.
            answer(stream).ok();
        }
    }
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut message = [0; MESSAGE];
    loop {
        match stream.read_exact(&mut message) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            result => result?,
        }
        stream.write_all(&message)?;
        if message[0] == LAST {
            // Who closes first keeps the ports for a minute (TIME_WAIT). The server has only one.
            return Ok(());
        }
    }
}

/// Times of exchanges over one connection, in microseconds, sorted.
pub(crate) fn exchange(netns: &Netns, target: SocketAddr, window: Duration) -> Result<Vec<f64>> {
    let work = || -> Result<Vec<f64>> {
        cpu::pin(cpu::first_end()?)?;
        let mut stream = connect(target)?;
        for _ in 0..WARM_UP {
            ask(&mut stream, 0)?;
        }
        let (mut times, start) = (Vec::new(), Instant::now());
        while start.elapsed() < window {
            let asked = Instant::now();
            ask(&mut stream, 0)?;
            times.push(asked.elapsed().as_secs_f64() * 1e6);
        }
        times.sort_by(f64::total_cmp);
        Ok(times)
    };
    netns.enter(work)?.with_context(|| format!("cannot exchange messages with {target}"))
}

/// Connections per second, one after the other: connect, ask, read the answer, see the end, close.
pub(crate) fn connection_rate(netns: &Netns, target: SocketAddr, window: Duration) -> Result<f64> {
    let work = || -> Result<f64> {
        cpu::pin(cpu::first_end()?)?;
        let (mut connections, start) = (0_u32, Instant::now());
        while start.elapsed() < window {
            let mut stream = connect(target)?;
            ask(&mut stream, LAST)?;
            let rest = stream.read(&mut [0])?;
            anyhow::ensure!(rest == 0, "the server says more than it should");
            connections += 1;
        }
        Ok(f64::from(connections) / start.elapsed().as_secs_f64())
    };
    netns.enter(work)?.with_context(|| format!("cannot open connections to {target}"))
}

fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&target, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn ask(stream: &mut TcpStream, first: u8) -> io::Result<()> {
    let mut message = [0; MESSAGE];
    message[0] = first;
    stream.write_all(&message)?;
    stream.read_exact(&mut message)
}

/// What a share of the sorted times is not above.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> Result<f64> {
    let index = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().context("nothing was exchanged")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let times: Vec<_> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&times, 0.5).unwrap(), 51.0);
        assert_eq!(percentile(&times, 0.99).unwrap(), 100.0);
        assert_eq!(percentile(&times[..1], 0.99).unwrap(), 1.0);
        assert!(percentile(&[], 0.5).is_err());
    }
}
