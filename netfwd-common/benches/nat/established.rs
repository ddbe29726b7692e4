//! Packets of connections that are known, and ICMP errors about them.

use std::hint::black_box;

use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use netfwd_common::{abi::Side, conntrack, verdict::Verdict};

use crate::{
    frame::{ACK, UDP, error_about},
    stage::{Cast, Stage, headers_of, inwards, outwards},
};

const FLOWS: [u16; 2] = [1, 10_000];
/// How far apart the flows of two packets are, so that one is not where the last one was: prime to their number.
const STRIDE: usize = 7919;

/// Everything about known connections.
pub(crate) fn measure<A: Cast>(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(format!("established/{}", A::NAME));
    for (protocol, content) in [("TCP", ACK), ("UDP", UDP)] {
        for flows in FLOWS {
            let case = |name| format!("{name}, {protocol}, {flows}");
            let mut stage = Stage::<A>::new(false);
            let left = stage.establish(content, flows);
            let (out, into) = (outwards(content, A::CONTAINERS[0], flows), inwards::<A>(content, flows));
            find(&mut group, &case("find"), &stage, &out);
            each(&mut group, &case("egress"), &out, |frame| stage.leave(frame) == Verdict::Translated);
            each(&mut group, &case("ingress"), &into, |frame| stage.arrive(frame) == Verdict::Translated);
            if protocol == "UDP" {
                let error = |frame: &Vec<u8>| error_about(frame, A::PEERS[0], A::HOSTS[0]);
                let errors: Vec<_> = left.iter().map(error).collect();
                each(&mut group, &case("ICMP error"), &errors, |frame| stage.arrive(frame) == Verdict::Translated);
            }
            let mut stage = Stage::<A>::new(true);
            stage.establish(content, flows);
            each(&mut group, &case("fast ingress"), &into, |frame| stage.arrive_fast(frame));
            each(&mut group, &case("fast member"), &out, |frame| stage.leave_fast(frame));
        }
    }
    group.finish();
}

/// The lookup alone.
fn find<A: Cast>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, stage: &Stage<A>, frames: &[Vec<u8>]) {
    let tuple = |frame: &Vec<u8>| headers_of::<A>(frame).tuple(Side::Inside).expect("it has ports");
    let tuples: Vec<_> = frames.iter().map(tuple).collect();
    assert!(tuples.iter().all(|tuple| conntrack::find(&stage.tables, tuple, false, 1).is_some()), "{name}");
    let mut at = 0;
    group.bench_function(name, |it| {
        it.iter(|| {
            at = (at + STRIDE) % tuples.len();
            conntrack::find(&stage.tables, black_box(&tuples[at]), false, 1).is_some()
        });
    });
}

/// A packet's journey, flow by flow; it must be `right` for each. A copy of the frame is part of it.
fn each(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    frames: &[Vec<u8>],
    mut right: impl FnMut(&mut Vec<u8>) -> bool,
) {
    assert!(frames.iter().all(|frame| right(&mut frame.clone())), "{name}");
    let (mut at, mut buffer) = (0, frames[0].clone());
    group.bench_function(name, |it| {
        it.iter(|| {
            at = (at + STRIDE) % frames.len();
            buffer.copy_from_slice(&frames[at]);
            right(black_box(&mut buffer))
        });
    });
}
