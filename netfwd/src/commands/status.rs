//! `netfwd status`.

use anyhow::Result;

use crate::{
    context::Context,
    datapath::{maps::Maps, uplinks::Host},
    render,
    report::status::Status,
};

/// Show what is attached
///
/// The kernel, the uplinks with what is masqueraded on them, the options of uplinks and bridges, the containers on the
/// bridges, the programs, and the maps with their fill and memory.
///
/// PATH says of each uplink and container whether packets of known flows go past this host's stack (`fast`), or why
/// they go through it.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints the status.
pub fn run(_args: &Args, context: &Context) -> Result<()> {
    let maps = Maps::open(&context.pin_dir)?;
    render::show(context, &Status::gather(&context.pin_dir, &maps, &Host::look()?)?)
}
