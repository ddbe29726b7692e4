//! TCP servers behind each subject, and what clients measure of them.

use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use lab::{Iperf, IperfServer, Netns, Transfer};

use crate::cpu;
use crate::record::{Better, Case, Record};
use crate::say::say;
use crate::site::Site;
use crate::sockets::{self, Server};
use crate::subject::{Ports, Protocol, Subject};
use crate::traffic::Direction;

/// Names of cases.
pub(crate) const LATENCY_MEDIAN: &str = "latency, median";
/// The same.
pub(crate) const LATENCY_HIGH: &str = "latency, 99 %";
/// The same.
pub(crate) const CONNECTIONS: &str = "connections";

/// The answering server's port, published and own.
pub(super) const WEB: Ports = Ports::one(8080, 80);
/// iperf3's.
pub(super) const IPERF: Ports = Ports::one(5201, 5201);
const GIGA: f64 = 1e9;
/// What iperf3 needs beside its transfer.
const PATIENCE: Duration = Duration::from_mins(1);

/// A subject with servers in the container and at the client.
pub(super) struct Service<'s> {
    pub(super) subject: &'s dyn Subject,
    _web: Server,
    _iperf: [IperfServer; 2],
    pub(super) site: Site,
}

/// Whom a client asks, and from where.
#[derive(Clone, Copy)]
pub(super) struct Question<'n> {
    pub(super) from: &'n Netns,
    pub(super) address: IpAddr,
    pub(super) window: Duration,
}

impl<'s> Service<'s> {
    /// Sets the subject up and publishes the servers.
    pub(super) fn new(subject: &'s dyn Subject, netfwd: &Path) -> Result<Self> {
        let mut site = Site::new(netfwd)?;
        subject.set_up(&mut site)?;
        for ports in [WEB, IPERF] {
            subject.publish(&mut site, Protocol::Tcp, ports)?;
        }
        let web = Server::start(site.container(), WEB.container)?;
        let iperf = [site.container(), site.client()].map(|netns| IperfServer::start(netns, IPERF.container));
        let [inside, outside] = iperf;
        Ok(Self { subject, _web: web, _iperf: [inside?, outside?], site })
    }

    /// A question of the client about the container's servers.
    pub(super) fn of_client(&self, window: Duration) -> Question<'_> {
        let translated = self.subject.translates();
        let address = if translated { self.site.host_address() } else { self.site.container_address() };
        Question { from: self.site.client(), address: address.into(), window }
    }

    /// One of the container about the client's.
    pub(super) fn of_container(&self, window: Duration) -> Question<'_> {
        Question { from: self.site.container(), address: self.site.client_address().into(), window }
    }

    fn port(&self, ports: Ports, question: Question<'_>) -> u16 {
        if question.address == IpAddr::from(self.site.container_address()) { ports.container } else { ports.host }
    }
}

/// How many streams at once, and whether both of their ends share a processor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Streams {
    count: u8,
    share: bool,
}

impl Streams {
    /// Each end on its own processor: the more streams, the more of both is used.
    pub(crate) const APART: [Self; 2] = [Self { count: 1, share: false }, Self { count: 8, share: false }];
    /// All on one: what a byte costs, without a wake-up of another processor.
    pub(crate) const TOGETHER: [Self; 2] = [Self { count: 1, share: true }, Self { count: 8, share: true }];
}

impl Display for Streams {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.count, if self.count == 1 { "stream" } else { "streams" })?;
        if self.share { f.write_str(", one processor") } else { Ok(()) }
    }
}

/// The name of a case.
pub(crate) fn throughput(direction: Direction, streams: Streams) -> String {
    format!("throughput {direction}, {streams}")
}

/// Measures gigabits per second of each in turn.
pub(super) fn measure_throughput<'s>(
    record: &mut Record,
    rounds: usize,
    workload: &'static str,
    (direction, streams): (Direction, Streams),
    services: &mut [Service<'s>],
    question: impl for<'n> Fn(&'n Service<'s>) -> Question<'n>,
) -> Result<()> {
    let case = Case { workload, name: throughput(direction, streams), unit: "Gbit/s", better: Better::More };
    crate::session::go_round(record, rounds, &case, services, |service| {
        let question = question(service);
        let speed = transfer(question, service.port(IPERF, question), streams)?.bits_per_second / GIGA;
        Ok((service.subject.name().to_owned(), speed))
    })
}

fn transfer(question: Question<'_>, port: u16, streams: Streams) -> Result<Transfer> {
    // iperf3 knows whole seconds only.
    let (seconds, count) = (question.window.as_secs_f64().ceil().to_string(), streams.count.to_string());
    let (first, second) = (cpu::first_end()?, cpu::second_end()?);
    let processors = format!("{first},{}", if streams.share { first } else { second });
    let options = ["--time", &seconds, "--parallel", &count, "--affinity", &processors];
    let (target, timeout) = (question.address, PATIENCE + question.window);
    Iperf { target, port, options: &options, timeout }.run(question.from)
}

/// Measures latency and connections of each in turn.
pub(super) fn measure_messages<'s>(
    record: &mut Record,
    rounds: usize,
    workload: &'static str,
    services: &mut [Service<'s>],
    question: impl for<'n> Fn(&'n Service<'s>) -> Question<'n>,
) -> Result<()> {
    let case = |name: &str, unit, better| Case { workload, name: name.to_owned(), unit, better };
    let [median, high] = [LATENCY_MEDIAN, LATENCY_HIGH].map(|name| case(name, "µs", Better::Less));
    let connections = case(CONNECTIONS, "connections/s", Better::More);
    for _ in 0..rounds {
        for service in &mut *services {
            let question = question(service);
            let target = SocketAddr::new(question.address, service.port(WEB, question));
            let times = sockets::exchange(question.from, target, question.window)?;
            let name = service.subject.name();
            record.add(&median, name, sockets::percentile(&times, 0.5)?);
            record.add(&high, name, sockets::percentile(&times, 0.99)?);
        }
        for service in &mut *services {
            let question = question(service);
            let target = SocketAddr::new(question.address, service.port(WEB, question));
            let rate = sockets::connection_rate(question.from, target, question.window)?;
            record.add(&connections, service.subject.name(), rate);
        }
    }
    for case in [&median, &high, &connections] {
        say(format_args!("  {}", case.name));
        crate::session::tell(record, case);
    }
    Ok(())
}
