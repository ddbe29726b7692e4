//! One frame a case: what returns, what the frame becomes and what is counted.

mod mapping;
mod masquerade;
mod others;

use netfwd_common::abi::{Counter, Endpoint, Reason, Side, V4};

use super::{
    datapath::{Datapath, Outcome},
    frame::{Content, Frame},
    namespace,
    world::{Place as _, Plan, ports},
};

const TC_ACT_UNSPEC: i32 = -1;
const TC_ACT_SHOT: i32 = 2;
const TC_ACT_REDIRECT: i32 = 7;

const UDP_WITHOUT_CHECKSUM: Content = Content::BareUdp;

const HOSTS: [V4; 2] = V4::HOSTS;
const CONTAINERS: [V4; 2] = V4::CONTAINERS;
const LOOPBACK: V4 = V4::LOOPBACK;
const PEERS: [V4; 2] = V4::PEERS;

const CONTAINER: Endpoint<V4> = Endpoint::new(CONTAINERS[0], 40_000);
const SERVER: Endpoint<V4> = Endpoint::new(PEERS[0], 443);
/// The container as it appears on the wire.
const MASQUERADED: Endpoint<V4> = Endpoint::new(HOSTS[0], 40_000);

const CLIENT: Endpoint<V4> = Endpoint::new(PEERS[1], 50_000);
/// Mapped to [`TARGET`] on this address alone.
const MAPPED: Endpoint<V4> = Endpoint::new(HOSTS[0], 8080);
const TARGET: Endpoint<V4> = Endpoint::new(CONTAINERS[0], 80);

/// The rules of all cases.
pub(super) fn plan() -> Plan {
    Plan::new(64, ports(1024..=u16::MAX), 1)
}

/// A frame, and what becomes of it.
struct Case {
    name: &'static str,
    /// Frames that come first, all to be translated.
    before: Vec<(Side, Frame<V4>)>,
    side: Side,
    frame: Vec<u8>,
    expected: Expected,
}

enum Expected {
    Becomes(Frame<V4>),
    Changes(Vec<u8>),
    Passes(Reason),
    Drops(Reason),
}

impl Case {
    /// The first frame of all.
    fn first(name: &'static str, side: Side, frame: impl Into<Vec<u8>>, expected: Expected) -> Self {
        Self::after(name, Vec::new(), side, frame, expected)
    }

    /// A frame after others.
    fn after(
        name: &'static str,
        before: Vec<(Side, Frame<V4>)>,
        side: Side,
        frame: impl Into<Vec<u8>>,
        expected: Expected,
    ) -> Self {
        Self { name, before, side, frame: frame.into(), expected }
    }

    fn check(&self, datapath: &mut Datapath, plan: &Plan) {
        let name = self.name;
        datapath.begin(plan, &plan.tables::<V4>());
        for (side, frame) in &self.before {
            assert_ne!(datapath.meet(*side, &frame.bytes()).frame, frame.bytes(), "{name}: a frame before");
        }
        let earlier = datapath.counters(self.side);
        let outcome = datapath.meet(self.side, &self.frame);
        let (action, frame, reason) = match &self.expected {
            Expected::Becomes(frame) => (TC_ACT_UNSPEC, frame.bytes(), Reason::Translated),
            Expected::Changes(bytes) => (TC_ACT_UNSPEC, bytes.clone(), Reason::Translated),
            Expected::Passes(reason) => (TC_ACT_UNSPEC, self.frame.clone(), *reason),
            Expected::Drops(reason) => (TC_ACT_SHOT, self.frame.clone(), *reason),
        };
        assert_eq!(outcome, Outcome { action, frame }, "{name}: {:?}", datapath.counters(self.side));
        let bytes = self.frame.len() as u64 - 14;
        assert_eq!(datapath.counters(self.side), counted(earlier, reason, bytes), "{name}: counters");
    }
}

fn counted(mut counters: Vec<(Reason, Counter)>, reason: Reason, bytes: u64) -> Vec<(Reason, Counter)> {
    match counters.iter_mut().find(|(counted, _)| *counted == reason) {
        Some((_, Counter { packets, bytes: total })) => (*packets, *total) = (*packets + 1, *total + bytes),
        None => counters.push((reason, Counter { packets: 1, bytes })),
    }
    counters
}

fn check(cases: &[Case]) {
    namespace::enter(|| {
        let (mut datapath, plan) = (Datapath::load(), plan());
        for case in cases {
            case.check(&mut datapath, &plan);
        }
    });
}

impl From<Frame<V4>> for Vec<u8> {
    fn from(frame: Frame<V4>) -> Self {
        frame.bytes()
    }
}

fn frame(kind: Content, source: Endpoint<V4>, destination: Endpoint<V4>) -> Frame<V4> {
    Frame::new(kind, source, destination)
}

/// The bytes of a frame with some of them changed.
fn changed(frame: &Frame<V4>, changes: &[(usize, u8)]) -> Vec<u8> {
    let mut bytes = frame.bytes();
    for (at, byte) in changes {
        bytes[*at] = *byte;
    }
    bytes
}
