//! Packets that open a connection.

use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use netfwd_common::verdict::Verdict;

use crate::{
    frame::SYN,
    stage::{Cast, Stage, inwards, outwards},
};

/// Connections that are opened at a time: the tables in memory keep every record that was written.
const FLOWS: u16 = 1000;

/// What opening connections costs, all [`FLOWS`] of them.
pub(crate) fn measure<A: Cast>(criterion: &mut Criterion) {
    let [first, second] = A::CONTAINERS.map(|container| outwards(SYN, container, FLOWS));
    let mut group = criterion.benchmark_group(format!("opening/{}", A::NAME));
    group.throughput(Throughput::Elements(FLOWS.into())).sample_size(20);
    let empty = || Stage::<A>::new(false);
    let with_flows = || {
        let mut stage = empty();
        for frame in &first {
            assert_eq!(stage.leave(&mut frame.clone()), Verdict::Translated);
        }
        stage
    };
    each(&mut group, "masquerade", &first, empty, Stage::leave);
    each(&mut group, "masquerade, its port is taken", &second, with_flows, Stage::leave);
    each(&mut group, "mapping", &inwards::<A>(SYN, FLOWS), empty, Stage::arrive);
    group.finish();
}

fn each<A: Cast>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    frames: &[Vec<u8>],
    set_up: impl Fn() -> Stage<A>,
    meet: impl Fn(&mut Stage<A>, &mut Vec<u8>) -> Verdict,
) {
    let mut begin = || (set_up(), frames.to_vec());
    group.bench_function(name, |it| {
        let open = |(stage, frames): &mut (Stage<A>, Vec<Vec<u8>>)| {
            for frame in frames {
                assert_eq!(meet(stage, frame), Verdict::Translated);
            }
        };
        it.iter_batched_ref(&mut begin, open, BatchSize::LargeInput);
    });
}
