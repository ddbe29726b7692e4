//! `cargo xtask setup`: brings what building, showing and testing netfwd needs. Doing it twice changes nothing.

mod apply;
mod distro;
mod engine;
mod plan;
mod programs;
mod prometheus;
mod state;
mod unpacked;

use anyhow::{Result, bail};

use crate::task;
use plan::Plan;
use state::State;

/// What the set-up is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The demo: everything but the virtual machines.
    Demo,
    /// The demo's and the benchmark's.
    Bench,
    /// Everything but what a package is tested with.
    Tests,
    /// The demo's, and what a package is tested with.
    Package,
}

/// Install what is missing: system packages, rust-src, bpf-linker; unpack a Docker Engine for tests and
/// benchmarks, and a Prometheus for tests.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Does the set-up and says what was found and done.
pub(crate) fn run(_args: &Args) -> Result<()> {
    let state = State::probe(Scope::Tests)?;
    task::headline("Set-up");
    task::say(&state);
    let plan = Plan::new(&state);
    if plan.is_empty() {
        task::say("Nothing to do.");
        return Ok(());
    }
    carry_out(&plan, &state)
}

/// Does the set-up; silent when nothing is missing.
pub(crate) fn ensure(scope: Scope) -> Result<()> {
    let state = State::probe(scope)?;
    let plan = Plan::new(&state);
    if plan.is_empty() {
        return Ok(());
    }
    task::headline("Set-up");
    carry_out(&plan, &state)
}

/// Does the set-up for tests: system packages that cannot be installed are a warning, as the tests say what they skip.
pub(crate) fn ensure_for_tests() -> Result<()> {
    let state = State::probe(Scope::Tests)?;
    let mut plan = Plan::new(&state);
    if let Some(obstacle) = plan.obstacle.take() {
        task::complain(format_args!("warning: {obstacle}"));
    }
    if plan.steps.is_empty() {
        return Ok(());
    }
    task::headline("Set-up");
    carry_out(&plan, &state)
}

/// Why what `scope` covers cannot run here, if a program is missing.
pub(crate) fn lacking(scope: Scope) -> Option<String> {
    let missing: Vec<_> = programs::missing(scope).iter().map(|program| program.name).collect();
    if missing.is_empty() {
        return None;
    }
    Some(format!("{} missing: run `cargo xtask setup` as root", missing.join(", ")))
}

/// Why tests with a Docker Engine cannot run here, if it is so.
pub(crate) fn lacking_engine() -> Option<String> {
    engine::obstacle()
}

/// Why tests with a Prometheus cannot run here, if it is so.
pub(crate) fn lacking_prometheus() -> Option<String> {
    prometheus::obstacle()
}

fn carry_out(plan: &Plan, state: &State) -> Result<()> {
    for step in &plan.steps {
        apply::apply(step, state)?;
    }
    match &plan.obstacle {
        Some(obstacle) => bail!("{obstacle}"),
        None => Ok(()),
    }
}
