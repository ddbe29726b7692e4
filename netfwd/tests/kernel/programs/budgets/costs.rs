//! What a packet costs: the median of many batches of runs on one frame.
//!
//! `BPF_PROG_TEST_RUN` gives a program again what it has left of the frame. So the container's endpoint becomes the
//! host's, and back: two flows take turns, and every run translates.

use std::net::IpAddr;

use aya::Pod;
use netfwd_common::{
    abi::{Endpoint, Mapping, Masquerade, Member, Protocol, Reason, Side, Target, names},
    checksum,
    memory::MemoryTables,
};

use super::{
    super::{
        datapath::Datapath,
        frame::{ACK, Content, Frame, Ip, LINK, SYN, SYN_ACK, UDP},
        namespace::{self, MEMBER},
        table,
        world::{BRIDGE, EXACT_RULE, Place, UPLINK},
    },
    print,
};

/// Packets of a batch: each may take a hop.
const BATCH: u8 = 250;
/// Batches to take the median of: other work disturbs some.
const BATCHES: u32 = 81;
/// The Ethernet address that frames are sent to.
const GATEWAY: [u8; 6] = [2; 6];

/// Prints what each program needs for a packet of a family: of no flow, of a known one, and of a known one that it sends
/// past the stack.
pub(super) fn measure<A: Cast>(datapath: &mut Datapath)
where
    IpAddr: From<A>,
{
    namespace::add_address(A::CONTAINERS[0].into());
    for (protocol, first, answer, content) in [("TCP", SYN, SYN_ACK, ACK), ("UDP", UDP, UDP, UDP)] {
        let kind = if A::FAMILY == 0 { format!("IPv4 {protocol}") } else { format!("IPv6 {protocol}") };
        establish::<A>(datapath, first, answer);
        for program in [names::EGRESS, names::INGRESS] {
            Run::of_no_flow::<A>(program, content).measure(datapath, &format!("passed {kind}"));
            let run = Run::of_a_flow::<A>(program, content, Reason::Translated);
            run.measure(datapath, &format!("translated {kind}"));
        }
        speed_up::<A>(datapath);
        Run::of_no_flow::<A>(names::MEMBER, content).measure(datapath, &format!("passed {kind}"));
        for program in [names::INGRESS, names::MEMBER] {
            let run = Run::of_a_flow::<A>(program, content, Reason::FastPath);
            run.measure(datapath, &format!("fast {kind}"));
        }
    }
}

/// A family with names for who speaks with whom.
pub(super) trait Cast: Ip + Place + Pod {
    const CONTAINER: Endpoint<Self> = Endpoint::new(Self::CONTAINERS[0], 40_000);
    /// The container as it appears on the wire.
    const MASQUERADED: Endpoint<Self> = Endpoint::new(Self::HOSTS[0], 40_000);
    const SERVER: Endpoint<Self> = Endpoint::new(Self::PEERS[0], 443);
    const CLIENT: Endpoint<Self> = Endpoint::new(Self::PEERS[1], 50_000);
    /// Mapped to the target.
    const MAPPED: Endpoint<Self> = Endpoint::new(Self::HOSTS[0], 8080);
    const TARGET: Endpoint<Self> = Endpoint::new(Self::CONTAINERS[0], 80);
    /// A socket of the host, with no flow of ours.
    const HOST: Endpoint<Self> = Endpoint::new(Self::HOSTS[1], 33_000);
    /// A container's, with none either.
    const STRANGER: Endpoint<Self> = Endpoint::new(Self::CONTAINERS[0], 33_000);
}

impl<A: Ip + Place + Pod> Cast for A {}

/// Opens a masqueraded and a mapped flow, and for each the one that leads back.
fn establish<A: Cast>(datapath: &mut Datapath, first: Content, answer: Content) {
    let plan = table::plan();
    datapath.begin(&plan, &there_and_back(plan.tables::<A>()));
    let meet = |side, content, [source, destination]: [Endpoint<A>; 2], becomes: [Endpoint<A>; 2]| {
        let frame = Frame::new(content, source, destination).bytes();
        let becomes = Frame::new(content, becomes[0], becomes[1]).bytes();
        assert_eq!(datapath.meet(side, &frame).frame, becomes, "{side:?}, {content:?}");
    };
    let turns = |ends: [Endpoint<A>; 2]| [ends, [ends[1], ends[0]]];
    for [from, to] in turns([A::CONTAINER, A::MASQUERADED]) {
        meet(Side::Inside, first, [from, A::SERVER], [to, A::SERVER]);
        meet(Side::Outside, answer, [A::SERVER, to], [A::SERVER, from]);
    }
    for [from, to] in turns([A::MAPPED, A::TARGET]) {
        meet(Side::Outside, first, [A::CLIENT, from], [A::CLIENT, to]);
        meet(Side::Inside, answer, [to, A::CLIENT], [from, A::CLIENT]);
    }
}

/// Rules that lead back, too.
fn there_and_back<A: Cast>(mut tables: MemoryTables<A>) -> MemoryTables<A> {
    let masquerade = tables.masquerades[&(UPLINK, A::CONTAINERS[0])];
    let back = Masquerade { address: A::CONTAINERS[0], ..masquerade };
    tables.masquerades.insert((UPLINK, A::HOSTS[0]), back);
    let (target, host) = (A::TARGET, A::MAPPED);
    for protocol in [Protocol::TCP, Protocol::UDP] {
        let rule = tables.mappings[&(protocol, host)].rule;
        assert_eq!(rule.id, EXACT_RULE);
        tables.mappings.insert((protocol, target), Mapping::new(rule, 80, 80, host));
    }
    tables
}

/// Has packets to and from the container, by either of its addresses, go past the stack.
fn speed_up<A: Cast>(datapath: &mut Datapath) {
    let target = |address| Target::new(address, MEMBER, [2, 0, 0, 0, 0, 2], GATEWAY);
    let targets = [A::CONTAINERS[0], A::HOSTS[0]].map(target);
    datapath.speed_up((MEMBER, Member::new(BRIDGE, GATEWAY)), &targets);
}

/// A program that runs on a frame again and again.
struct Run {
    program: &'static str,
    frame: Vec<u8>,
    /// What each packet is counted as.
    reason: Option<Reason>,
}

impl Run {
    fn of_no_flow<A: Cast>(program: &'static str, content: Content) -> Self {
        match program {
            names::INGRESS => Self::new(program, &Frame::new(content, A::SERVER, A::HOST), Some(Reason::NotOurs)),
            names::EGRESS => Self::new(program, &Frame::new(content, A::HOST, A::SERVER), Some(Reason::NotOurs)),
            // The bridge's program counts it.
            _ => Self::new(program, &Frame::new(content, A::STRANGER, A::SERVER), None),
        }
    }

    fn of_a_flow<A: Cast>(program: &'static str, content: Content, reason: Reason) -> Self {
        let frame = match program {
            names::INGRESS => Frame::new(content, A::CLIENT, A::MAPPED),
            _ => Frame::new(content, A::CONTAINER, A::SERVER),
        };
        Self::new(program, &frame, Some(reason))
    }

    fn new<A: Cast>(program: &'static str, frame: &Frame<A>, reason: Option<Reason>) -> Self {
        let mut frame = frame.bytes();
        give_hops::<A>(&mut frame);
        Self { program, frame, reason }
    }

    fn measure(&self, datapath: &Datapath, what: &str) {
        let interface = if self.program == names::MEMBER { MEMBER } else { UPLINK };
        let side = if self.program == names::INGRESS { Side::Outside } else { Side::Inside };
        let before = self.counted(datapath, side);
        let batch = |_| datapath.time(self.program, interface, &self.frame, BATCH.into());
        let mut times: Vec<_> = (0..BATCHES).map(batch).collect();
        times.sort_unstable();
        print("packet", self.program, &format!("{what} nanoseconds={}", times[times.len() / 2]));
        let expected = if self.reason.is_some() { u64::from(BATCHES) * u64::from(BATCH) } else { 0 };
        let counted = self.counted(datapath, side) - before;
        assert_eq!(counted, expected, "{} {what}: {:?}", self.program, datapath.counters(side));
    }

    fn counted(&self, datapath: &Datapath, side: Side) -> u64 {
        let counters = datapath.counters(side).into_iter().filter(|(reason, _)| Some(*reason) == self.reason);
        counters.map(|(_, counter)| counter.packets).sum()
    }
}

/// Gives a frame a hop for each packet of a batch.
fn give_hops<A: Cast>(frame: &mut [u8]) {
    let at = LINK + usize::try_from(A::HOPS_AT).unwrap();
    // With the protocol, since checksums are of 16-bit words.
    let old = [frame[at], frame[at + 1]];
    // The last one is the stack's.
    frame[at] = BATCH + 1;
    if let Some(checksum_at) = A::CHECKSUM_AT {
        let new = [frame[at], frame[at + 1]];
        let at = LINK + usize::try_from(checksum_at).unwrap();
        let corrected = checksum::update([frame[at], frame[at + 1]], &old, &new);
        frame[at..at + 2].copy_from_slice(&corrected);
    }
}
