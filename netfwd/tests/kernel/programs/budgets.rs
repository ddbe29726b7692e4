//! What the programs cost the verifier, against `budgets.toml`, and what a packet costs.
//!
//! `cargo xtask budget` prints the lines that these tests print, and records them.

use std::collections::BTreeMap;

use netfwd_common::abi::{Endpoint, Masquerade, Reason, Side, V4};
use nix::sys::utsname::uname;

use super::{
    datapath::Datapath,
    frame::{ACK, Frame, SYN},
    namespace, table,
    verifier::{self, Cost},
    world::{Place as _, UPLINK},
};

/// What a chain of calls may have (kernel/bpf/verifier.c, `MAX_BPF_STACK`).
const MAX_STACK: u32 = 512;
/// Runs of a program to take the mean of.
const RUNS: u32 = 20_000;

type Version = (u32, u32);

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn programs_stay_within_their_budgets() {
    let (running, costs) = (running(), verifier::costs());
    let (recorded, budgets) = budgets_for(running);
    for (name, Cost { instructions, stack }) in &costs {
        print("budget", name, &format!("instructions={instructions} stack={stack}"));
    }
    for (name, Cost { instructions, stack }) in costs {
        let budget = budgets.get(&name).unwrap_or_else(|| panic!("budgets.toml lacks {name} for {recorded:?}"));
        let advice = "raise it with `cargo xtask budget --bless` or make the program smaller";
        let (most, deepest) = (budget.instructions, budget.stack.min(MAX_STACK));
        assert!(instructions <= most, "{name}: verified {instructions} instructions, budget {most}: {advice}");
        assert!(stack <= deepest, "{name}: {stack} bytes of stack, budget {deepest}: {advice}");
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn what_a_packet_costs_is_measured_and_printed() {
    namespace::enter(|| {
        let (mut datapath, plan) = (Datapath::load(), table::plan());
        let mut tables = plan.tables::<V4>();
        // The container's address becomes the host's, and back: the same frame is rewritten again and again.
        namespace::add_address(V4::CONTAINERS[0].into());
        let there = tables.masquerades[&(UPLINK, V4::CONTAINERS[0])];
        tables.masquerades.insert((UPLINK, V4::HOSTS[0]), Masquerade { address: V4::CONTAINERS[0], ..there });
        datapath.begin(&plan, &tables);
        let frame = |kind, source, destination| Frame::new(kind, source, destination).bytes();
        let [container, peer] =
            [(V4::CONTAINERS[0], 40_000), (V4::PEERS[0], 443)].map(|(it, port)| Endpoint::new(it, port));
        let stranger = Endpoint::new([198, 51, 100, 99], 33_000);
        let (syn, ack) = (SYN, ACK);
        let opened = datapath.meet(Side::Inside, &frame(syn, container, peer)).frame;
        assert_eq!(datapath.meet(Side::Inside, &opened).frame, frame(syn, container, peer));
        for (what, side, frame, reason) in [
            ("passed", Side::Inside, frame(ack, stranger, peer), Reason::NotOurs),
            ("passed", Side::Outside, frame(ack, peer, stranger), Reason::NotOurs),
            ("translated", Side::Inside, frame(ack, container, peer), Reason::Translated),
        ] {
            let (name, nanoseconds) = datapath.time(side, &frame, RUNS);
            print("packet", name, &format!("{what} nanoseconds={nanoseconds}"));
            let counted = datapath.counters(side).into_iter().find(|(counted, _)| *counted == reason);
            assert!(counted.is_some_and(|(_, counter)| counter.packets >= u64::from(RUNS)), "{name} {what}");
        }
    });
}

#[expect(clippy::print_stdout, reason = "`cargo xtask budget` reads it")]
fn print(what: &str, program: &str, figures: &str) {
    let (major, minor) = running();
    println!("{what} kernel={major}.{minor} program={program} {figures}");
}

/// The budgets recorded for a kernel, or else for the next older one; the oldest for one that is older still.
fn budgets_for(running: Version) -> (Version, BTreeMap<String, Cost>) {
    let table: toml::Table = include_str!("../../../budgets.toml").parse().unwrap();
    let kernels: BTreeMap<_, _> = table.iter().map(|(kernel, programs)| (version(kernel), programs)).collect();
    let (recorded, programs) = kernels.range(..=running).next_back().or(kernels.first_key_value()).unwrap();
    let number = |program: &toml::Value, what: &str| u32::try_from(program[what].as_integer().unwrap()).unwrap();
    let cost = |it: &toml::Value| Cost { instructions: number(it, "instructions"), stack: number(it, "stack") };
    let budgets = programs.as_table().unwrap().iter().map(|(name, it)| (name.clone(), cost(it)));
    (*recorded, budgets.collect())
}

fn running() -> Version {
    version(uname().unwrap().release().to_str().unwrap())
}

fn version(release: &str) -> Version {
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}
