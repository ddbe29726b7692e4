//! The same frames through the NAT in memory and through the loaded programs: the same verdicts, bytes, connections
//! and counts.
//!
//! Chance differs. A port chosen by chance in memory stands for the one chosen by chance in the kernel from then on.

mod steps;
mod twins;

use std::cell::{Cell, RefCell};

use aya::Pod;
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{RngSeed, TestRunner},
};

use netfwd_common::abi::{V4, V6};

use super::{datapath::Datapath, frame::Ip, namespace, world::Place};
use twins::Twins;

const SEQUENCES: u32 = 400;

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn the_programs_do_what_the_nat_does_in_memory() {
    compare::<V4>();
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn the_programs_do_what_the_nat_does_in_memory_for_ipv6() {
    compare::<V6>();
}

fn compare<A: Ip + Place + Pod>() {
    namespace::enter(|| {
        let _sockets = namespace::host_sockets();
        let datapath = RefCell::new(Datapath::load());
        let (translated, ambiguous) = (Cell::new(0), Cell::new(0));
        let sequences = (steps::plan(), vec(steps::step::<A>(), 1..40));
        let result = runner().run(&sequences, |(plan, steps)| {
            let mut datapath = datapath.borrow_mut();
            let mut twins = Twins::<A>::begin(&plan, &mut datapath);
            for step in steps {
                if twins.take(&step)?.is_break() {
                    ambiguous.set(ambiguous.get() + 1);
                    break;
                }
            }
            translated.set(translated.get() + twins.translated());
            Ok(())
        });
        result.map_err(|error| error.to_string()).unwrap();
        assert!(translated.get() > SEQUENCES as usize, "only {} frames were translated", translated.get());
        assert!(ambiguous.get() < SEQUENCES / 10, "chance ended {} sequences", ambiguous.get());
    });
}

/// The same sequences every time, unless proptest's environment variables say otherwise.
fn runner() -> TestRunner {
    let config = ProptestConfig { cases: SEQUENCES, failure_persistence: None, ..ProptestConfig::default() };
    let rng_seed = if config.rng_seed == RngSeed::Random { RngSeed::Fixed(0x6e65_7466) } else { config.rng_seed };
    TestRunner::new(ProptestConfig { rng_seed, ..config })
}
