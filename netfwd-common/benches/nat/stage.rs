//! A host with flows, and the frames that it meets.

use netfwd_common::{
    abi::{Endpoint, Interface, Member, Side, Target},
    fast,
    memory::{InMemory, MemoryTables},
    parse::Headers,
    pipeline::{self, Hook},
    scratch::Scratch,
    tables::Tables as _,
    verdict::Verdict,
};

use crate::{
    frame::{Content, Frame, Ip, LINK, SYN, SYN_ACK},
    world::{BRIDGE, Place, Plan, UPLINK, ports},
};

/// Every flow begins after the start of time.
const NOW: u64 = 1;
/// The member of the bridge behind which all containers are.
const MEMBER: u32 = 11;
const GATEWAY: [u8; 6] = [2, 0, 0, 0, 0, 1];
const CONTAINER: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// The first port of flows: what it is outside, too.
const FIRST_PORT: u16 = 10_000;

/// A family that can be staged.
pub(crate) trait Cast: Ip + Place + InMemory {
    /// As it is called.
    const NAME: &str = if Self::FAMILY == 0 { "IPv4" } else { "IPv6" };
    /// A server on the wire.
    const SERVER: Endpoint<Self> = Endpoint::new(Self::PEERS[0], 443);
    /// A port of the host that is mapped to the first container.
    const MAPPED: Endpoint<Self> = Endpoint::new(Self::HOSTS[0], 8080);
}

impl<A: Ip + Place + InMemory> Cast for A {}

/// A frame of each of `count` flows from a container to the server.
pub(crate) fn outwards<A: Cast>(content: Content, container: A, count: u16) -> Vec<Vec<u8>> {
    flows(content, container, A::SERVER, count)
}

/// A frame of each of `count` flows from the wire to the mapped port.
pub(crate) fn inwards<A: Cast>(content: Content, count: u16) -> Vec<Vec<u8>> {
    flows(content, A::PEERS[1], A::MAPPED, count)
}

fn flows<A: Cast>(content: Content, from: A, to: Endpoint<A>, count: u16) -> Vec<Vec<u8>> {
    let frame = |flow| Frame::new(content, Endpoint::new(from, FIRST_PORT + flow), to).bytes();
    (0..count).map(frame).collect()
}

/// Its tables, and what is noted down on the way.
pub(crate) struct Stage<A> {
    /// The tables.
    pub(crate) tables: MemoryTables<A>,
    uplink: Interface,
    scratch: Scratch<A>,
}

impl<A: Cast> Stage<A> {
    /// A host without flows; with or without a way past its stack.
    pub(crate) fn new(is_fast: bool) -> Self {
        let plan = Plan::new(32_768, ports(1024..=u16::MAX), 7);
        let mut tables = plan.tables::<A>();
        let mut uplink = plan.interface(1, Side::Outside);
        if is_fast {
            uplink.flags |= Interface::FAST_PATH;
            tables.interfaces.insert(UPLINK, uplink);
            tables.members.insert(MEMBER, Member::new(BRIDGE, GATEWAY));
            for container in A::CONTAINERS {
                tables.set_target(&Target::new(container, MEMBER, CONTAINER, GATEWAY));
            }
        }
        Self { tables, uplink, scratch: Scratch::new() }
    }

    /// What becomes of a frame that leaves through the uplink.
    pub(crate) fn leave(&mut self, frame: &mut Vec<u8>) -> Verdict {
        let hook = Hook { ifindex: UPLINK, side: Side::Inside, interface: &self.uplink, now: NOW };
        pipeline::egress(frame, &self.tables, &hook, &mut self.scratch)
    }

    /// What becomes of a frame that comes from the wire.
    pub(crate) fn arrive(&mut self, frame: &mut Vec<u8>) -> Verdict {
        let hook = Hook { ifindex: UPLINK, side: Side::Outside, interface: &self.uplink, now: NOW };
        pipeline::ingress(frame, &self.tables, &hook, &mut self.scratch)
    }

    /// Whether a frame that comes from the wire takes the fast path.
    pub(crate) fn arrive_fast(&self, frame: &mut Vec<u8>) -> bool {
        fast::arrive(frame, &self.tables, UPLINK, NOW).is_some()
    }

    /// Whether a frame that a container sends to its gateway does.
    pub(crate) fn leave_fast(&self, frame: &mut Vec<u8>) -> bool {
        frame[..6].copy_from_slice(&GATEWAY);
        fast::leave(frame, &self.tables, MEMBER, NOW).is_some()
    }

    /// Opens `count` masqueraded and as many mapped flows, with an answer to each. Returns the masqueraded flows'
    /// first frames as they left.
    pub(crate) fn establish(&mut self, content: Content, count: u16) -> Vec<Vec<u8>> {
        let (first, answer) = if let Content::Tcp(..) = content { (SYN, SYN_ACK) } else { (content, content) };
        let mut left = outwards(first, A::CONTAINERS[0], count);
        for frame in &mut left {
            assert_eq!(self.leave(frame), Verdict::Translated);
            assert!(went_on(self.arrive(&mut answer_to::<A>(answer, frame))));
        }
        for mut frame in inwards::<A>(first, count) {
            assert!(went_on(self.arrive(&mut frame)));
            assert_eq!(self.leave(&mut answer_to::<A>(answer, &frame)), Verdict::Translated);
        }
        left
    }
}

/// Whether a frame from the wire is on its way to a container.
pub(crate) fn went_on(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Translated | Verdict::ToContainer(_))
}

/// What a frame says.
pub(crate) fn headers_of<A: Cast>(frame: &[u8]) -> Headers<A> {
    let mut headers = Headers::EMPTY;
    A::parse(frame, u32::try_from(LINK).expect("small"), &mut headers).expect("built here");
    headers
}

fn answer_to<A: Cast>(content: Content, frame: &[u8]) -> Vec<u8> {
    let tuple = headers_of::<A>(frame).tuple(Side::Outside).expect("it has ports");
    Frame::new(content, tuple.destination, tuple.source).bytes()
}
