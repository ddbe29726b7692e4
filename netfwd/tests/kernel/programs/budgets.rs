//! What the programs cost the verifier, against `budgets.toml`, and what a packet costs.
//!
//! `cargo xtask budget` prints the lines that these tests print, and records them.

mod costs;

use std::collections::BTreeMap;

use netfwd_common::abi::{V4, V6};
use nix::sys::utsname::uname;

use super::{
    datapath::Datapath,
    namespace,
    verifier::{self, Cost},
};

/// What a chain of calls may have (kernel/bpf/verifier.c, `MAX_BPF_STACK`).
const MAX_STACK: u32 = 512;

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
        let mut datapath = Datapath::load();
        costs::measure::<V4>(&mut datapath);
        costs::measure::<V6>(&mut datapath);
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
