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
/// The kernel, the uplinks with what is masqueraded on them, the options of uplinks and bridges, the programs, and the
/// maps with their fill and memory.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints the status.
pub fn run(_args: &Args, context: &Context) -> Result<()> {
    let maps = Maps::open(&context.pin_dir)?;
    render::show(context, &Status::gather(&context.pin_dir, &maps, &Host::look()?)?)
}
