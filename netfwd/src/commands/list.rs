//! `netfwd list`.

use anyhow::Result;

use crate::{context::Context, datapath::maps::Maps, render, report::mappings::Mappings};

/// List the mappings, with what went through each
///
/// IN is from the client to the container, OUT is from the container to the client. Bytes are counted from the IP
/// header on. Counters begin when a mapping is added.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints the mappings.
pub fn run(_args: &Args, context: &Context) -> Result<()> {
    render::show(context, &Mappings::gather(&Maps::open(&context.pin_dir)?)?)
}
