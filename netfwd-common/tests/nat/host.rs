//! A host to which packets come one by one.

use std::sync::atomic::Ordering::Relaxed;

use netfwd_common::{
    abi::{Endpoint, Reason, Side},
    conntrack::{self, State},
    parse::Headers,
    tables::Tables as _,
    verdict::Verdict,
};

use crate::{
    frame::{Content, Frame, Ip},
    world::{BRIDGE, Place, Plan, World, choice},
};

pub(crate) const SECOND: u64 = 1_000_000_000;

/// Redirected to the containers' bridge.
pub(crate) const TURNED_BACK: Verdict = Verdict::Redirected(BRIDGE);

/// Refused, and the container is told.
pub(crate) const fn refused(reason: Reason) -> Verdict {
    Verdict::Answered(reason, BRIDGE)
}

/// A family with names for the endpoints of the cases.
pub(crate) trait Cast: Ip + Place {
    /// A server on the wire.
    const DNS: Endpoint<Self> = Endpoint::new(Self::PEERS[0], 53);
    /// A client on the wire.
    const CLIENT: Endpoint<Self> = Endpoint::new(Self::PEERS[1], 50000);
    /// A port of the host that is mapped to [`TARGET`](Self::TARGET).
    const MAPPED: Endpoint<Self> = Endpoint::new(Self::HOSTS[0], 8080);
    /// A container's server.
    const TARGET: Endpoint<Self> = Endpoint::new(Self::CONTAINERS[0], 80);

    /// A port of the second container.
    fn container(port: u16) -> Endpoint<Self> {
        Endpoint::new(Self::CONTAINERS[1], port)
    }

    /// A port of the address on the wire.
    fn host(port: u16) -> Endpoint<Self> {
        Endpoint::new(Self::HOSTS[0], port)
    }
}

impl<A: Ip + Place> Cast for A {}

/// A host at work.
pub(crate) struct Host<A>(pub(crate) World<A>);

impl<A: Cast> Host<A> {
    /// A host with room for `max_flows` records, a port range and a seed of chance.
    pub(crate) fn new(max_flows: u32, ports: (u16, u16), seed: u32) -> Self {
        Self::with(Plan::new(max_flows, choice(&[ports.0..=ports.1], 0), seed))
    }

    /// One with room, and ports 2000 to 2099.
    pub(crate) fn roomy() -> Self {
        Self::new(1000, (2000, 2099), 7)
    }

    /// A host of a plan.
    pub(crate) fn with(plan: Plan) -> Self {
        Self(World::new(plan))
    }

    /// The host or a container sends a packet that leaves through the uplink.
    pub(crate) fn send(
        &mut self,
        content: Content,
        source: Endpoint<A>,
        destination: Endpoint<A>,
    ) -> (Verdict, Vec<u8>) {
        self.meet(Side::Inside, Frame::new(content, source, destination).bytes())
    }

    /// A packet comes from the wire.
    pub(crate) fn receive(
        &mut self,
        content: Content,
        source: Endpoint<A>,
        destination: Endpoint<A>,
    ) -> (Verdict, Vec<u8>) {
        self.meet(Side::Outside, Frame::new(content, source, destination).bytes())
    }

    /// A packet comes from the bridge.
    pub(crate) fn turn(
        &mut self,
        content: Content,
        source: Endpoint<A>,
        destination: Endpoint<A>,
    ) -> (Verdict, Vec<u8>) {
        self.meet(Side::Bridge, Frame::new(content, source, destination).bytes())
    }

    /// Any bytes.
    pub(crate) fn meet(&mut self, side: Side, mut bytes: Vec<u8>) -> (Verdict, Vec<u8>) {
        (self.0.meet(side, &mut bytes), bytes)
    }

    /// The outside endpoint of what a container sends.
    pub(crate) fn outside_of(
        &mut self,
        content: Content,
        source: Endpoint<A>,
        destination: Endpoint<A>,
    ) -> Endpoint<A> {
        let (verdict, frame) = self.send(content, source, destination);
        assert_eq!(verdict, Verdict::Translated);
        source_of(&frame)
    }

    /// The port on the wire of what the second container sends to the server from `port`.
    pub(crate) fn port_of(&mut self, content: Content, port: u16) -> u16 {
        let source = self.outside_of(content, A::container(port), A::DNS);
        assert_eq!(source.address, A::HOSTS[0]);
        u16::from_be_bytes(source.port)
    }

    /// How many records there are.
    pub(crate) fn records(&self) -> usize {
        self.0.tables.tuples().len() / 2
    }

    /// The reaper looks at everything.
    pub(crate) fn sweep(&mut self) {
        for _ in 0..4 {
            (0..self.0.plan.max_flows).for_each(|slot| conntrack::sweep(&self.0.tables, slot, self.0.now));
        }
    }

    /// Seconds go by.
    pub(crate) fn wait(&mut self, seconds: u64) {
        self.0.now += seconds * SECOND;
    }

    /// State and last sign of life of every live record.
    pub(crate) fn lives(&self) -> Vec<(u64, u64)> {
        let records = (0..self.0.plan.max_flows).filter_map(|number| self.0.tables.connection(number));
        let read = records.map(|record| (record.state.load(Relaxed), record.last_seen.load(Relaxed)));
        read.filter(|(state, _)| State(*state).has(State::LIVE)).collect()
    }
}

/// What a frame says.
pub(crate) fn headers_of<A: Cast>(frame: &[u8]) -> Headers<A> {
    let mut headers = Headers::EMPTY;
    A::parse(frame, 14, &mut headers).expect("built here");
    headers
}

/// Who has sent a frame.
pub(crate) fn source_of<A: Cast>(frame: &[u8]) -> Endpoint<A> {
    let headers = headers_of::<A>(frame);
    Endpoint { address: headers.source, port: headers.transport.source_port }
}

/// Whom a frame is for.
pub(crate) fn destination_of<A: Cast>(frame: &[u8]) -> Endpoint<A> {
    let headers = headers_of::<A>(frame);
    Endpoint { address: headers.destination, port: headers.transport.destination_port }
}
