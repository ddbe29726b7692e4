//! A subject in its site, with a generator and a counter at both ends.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::Path as File;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::abi::Expected;
use super::path::{Arrived, Path};
use super::stream::{End, stream};
use crate::site::{BRIDGE, INSIDE, Site, UPLINK};
use crate::subject::{Ports, Protocol, Subject};

/// Where packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the client to a published port.
    In,
    /// From the container to the client.
    Out,
}

const HOST_PORT: u16 = 8080;
const CONTAINER_PORT: u16 = 80;
const PUBLISHED: Ports = Ports::one(HOST_PORT, CONTAINER_PORT);
const FAR_PORT: u16 = 9;
/// Established flows have these ports, on as many of the client's addresses as it takes.
const FIRST_PORT: u16 = 10_000;
const PORTS: u32 = 20_000;
/// New flows have any of these.
const FIRST_NEW_PORT: u16 = 2000;
const NEW_PORTS: u32 = 60_000;
/// Fewer than an interface's queue holds, even where the receiver sleeps for a while.
const SMALL_BATCH: u32 = 16;
const TRIES: u32 = 8;

/// A subject that is measured packet by packet.
pub(crate) struct Stage<'s> {
    subject: &'s dyn Subject,
    // They leave before the site's interfaces do.
    inbound: Path,
    outbound: Path,
    site: Site,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::In => "in",
            Self::Out => "out",
        })
    }
}

impl<'s> Stage<'s> {
    /// Sets the subject up, with room for so many connections.
    pub(crate) fn new(subject: &'s dyn Subject, netfwd: &File, room: u32) -> Result<Self> {
        let mut site = Site::new(netfwd)?;
        site.room = room;
        site.receive_frames()?;
        subject.set_up(&mut site)?;
        subject.publish(&mut site, Protocol::Udp, PUBLISHED)?;
        let inbound = Path::new(site.client(), site.container())?;
        let outbound = Path::new(site.container(), site.client())?;
        Ok(Self { subject, inbound, outbound, site })
    }

    pub(crate) fn subject(&self) -> &'s dyn Subject {
        self.subject
    }

    pub(crate) fn site(&mut self) -> &mut Site {
        &mut self.site
    }

    /// Lets so many flows be known, both ways.
    pub(crate) fn establish(&mut self, direction: Direction, flows: u32) -> Result<()> {
        if !self.subject.translates() {
            // Neighbours have to be known all the same.
            return self.pass(direction, false, flows.min(PORTS));
        }
        self.pass(direction, false, flows)?;
        self.pass(direction, true, flows)?;
        self.pass(direction, false, flows)
    }

    /// Packets per second of so many established flows.
    pub(crate) fn rate(&mut self, direction: Direction, flows: u32, window: Duration) -> Result<f64> {
        self.configure(direction, false, FIRST_PORT, PORTS, flows)?;
        let (path, sender) = match direction {
            Direction::In => (&self.inbound, self.site.client()),
            Direction::Out => (&self.outbound, self.site.container()),
        };
        path.flood(sender, window)?.rate().with_context(|| format!("{}, {direction}", self.subject.name()))
    }

    /// Forgets all flows.
    pub(crate) fn forget(&mut self) -> Result<()> {
        self.subject.withdraw(&mut self.site, Protocol::Udp, PUBLISHED)?;
        self.subject.forget_flows(&mut self.site)?;
        self.subject.publish(&mut self.site, Protocol::Udp, PUBLISHED)
    }

    /// Publishes the port that is used as the last one.
    pub(crate) fn publish_again(&mut self) -> Result<()> {
        self.subject.withdraw(&mut self.site, Protocol::Udp, PUBLISHED)?;
        self.subject.publish(&mut self.site, Protocol::Udp, PUBLISHED)
    }

    /// Flows per second, of which so many are opened, and all are new.
    pub(crate) fn new_flow_rate(&mut self, direction: Direction, flows: u32) -> Result<f64> {
        self.establish(direction, 1)?;
        self.configure(direction, false, FIRST_NEW_PORT, NEW_PORTS, flows)?;
        let (path, sender) = match direction {
            Direction::In => (&self.inbound, self.site.client()),
            Direction::Out => (&self.outbound, self.site.container()),
        };
        let arrived = path.send(sender, flows, super::path::BATCH)?;
        arrived.rate().with_context(|| format!("{}, {direction}", self.subject.name()))
    }

    /// Sends each flow's packet, or each flow's answer, until all arrive.
    fn pass(&mut self, direction: Direction, reply: bool, flows: u32) -> Result<()> {
        self.configure(direction, reply, FIRST_PORT, PORTS, flows)?;
        let mut last = None;
        for _ in 0..TRIES {
            let arrived = self.send(direction, reply, flows)?;
            if arrived.expected >= flows.into() {
                return Ok(());
            }
            last = Some(arrived);
        }
        let what = if reply { "answers" } else { "packets" };
        let subject = self.subject.name();
        ensure!(last.is_none(), "{subject}: of {flows} {what} {direction}, not all arrive: {last:?}");
        Ok(())
    }

    fn send(&self, direction: Direction, reply: bool, flows: u32) -> Result<Arrived> {
        let inbound = (direction == Direction::In) != reply;
        if inbound {
            self.inbound.send(self.site.client(), flows, SMALL_BATCH)
        } else {
            self.outbound.send(self.site.container(), flows, SMALL_BATCH)
        }
    }

    fn configure(&mut self, direction: Direction, reply: bool, first: u16, ports: u32, flows: u32) -> Result<()> {
        let inbound = (direction == Direction::In) != reply;
        let [client, container] = match direction {
            Direction::In => [self.client(first, true)?, self.container(CONTAINER_PORT, false)?],
            Direction::Out => [self.client(FAR_PORT, false)?, self.container(first, true)?],
        };
        let host_port = if direction == Direction::In { HOST_PORT } else { first };
        if inbound {
            let hardware = self.site.host().hardware_address(UPLINK)?;
            let destination = if self.subject.translates() {
                End { address: self.site.host_address(), port: host_port, hardware, ..container }
            } else {
                End { hardware, ..container }
            };
            let expected = Expected { source: 0, destination: network(container.address) };
            self.inbound.configure(&stream(client, destination, ports, flows), expected)
        } else {
            let destination = End { hardware: self.site.host().hardware_address(BRIDGE)?, ..client };
            let source =
                if self.subject.translates() { self.site.host_address() } else { self.site.container_address() };
            let expected = Expected { source: network(source), destination: 0 };
            self.outbound.configure(&stream(container, destination, ports, flows), expected)
        }
    }

    fn client(&self, port: u16, many_ports: bool) -> Result<End> {
        let hardware = self.site.client().hardware_address(INSIDE)?;
        Ok(End { hardware, address: self.site.client_address(), port, many_addresses: true, many_ports })
    }

    fn container(&self, port: u16, many_ports: bool) -> Result<End> {
        let hardware = self.site.container().hardware_address(INSIDE)?;
        Ok(End { hardware, address: self.site.container_address(), port, many_addresses: false, many_ports })
    }
}

fn network(address: Ipv4Addr) -> u32 {
    u32::from_ne_bytes(address.octets())
}
