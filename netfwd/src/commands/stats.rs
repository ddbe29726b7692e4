//! `netfwd stats`.

use anyhow::Result;

use crate::{context::Context, datapath::maps::Maps, render, report::stats::Stats};

/// Show what was translated, passed and dropped, and why
///
/// Counters are per uplink or bridge and direction, and begin when it is attached. Each packet is translated, passed or
/// dropped for one reason; docs/operations.md explains the reasons.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints the counters.
pub fn run(_args: &Args, context: &Context) -> Result<()> {
    render::show(context, &Stats::gather(&Maps::open(&context.pin_dir)?)?)
}
