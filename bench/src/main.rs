//! The benchmark that compares netfwd with its peers, in network namespaces on this machine.
//!
//! `cargo xtask bench` builds and runs it. Each [`subject`] gets a lab of its own; a [`workload`] goes round them and
//! measures each in turn, so that what disturbs the machine disturbs all alike. [`report`] shows what the [`record`]
//! holds.
#![expect(clippy::cast_precision_loss, reason = "figures are not exact")]
#![expect(clippy::cast_sign_loss, reason = "figures are not negative")]
#![cfg_attr(test, expect(clippy::float_cmp, reason = "tests use numbers that are exact"))]

mod args;
mod cpu;
mod limits;
mod machine;
mod record;
mod report;
mod say;
mod session;
mod site;
mod sockets;
mod subject;
mod traffic;
mod workload;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Parser as _;

use args::Args;
use session::Session;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::complain(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "the benchmark makes network namespaces and loads BPF programs: run it as root"
    );
    cpu::go_first()?;
    let _limits = limits::raise()?;
    let mut session = Session::new(args)?;
    let outcome = workload::run(&mut session);
    // What was measured before a failure is worth a report.
    report::write(&session, outcome.is_ok())?;
    outcome
}
