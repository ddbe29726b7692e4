//! `netfwd check`.

use anyhow::Result;

use crate::{
    check::{Report, host},
    cli::Told,
    context::Context,
    render,
};

/// Check whether this host is as netfwd needs it
///
/// Looks at the kernel, the capabilities of this process, the BPF file system, forwarding and other switches, the rules of
/// netfilter, programs of others on the hooks, and sockets on mapped ports. Says of each whether it is well, why it matters
/// and what to do. Changes nothing.
///
/// Ends with 1 if there are problems. Warnings are what works, if not for everybody.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The interface to look at as an uplink; unless given, those that are attached, or those of the default routes
    #[arg(value_name = "IFACE")]
    interface: Option<String>,
}

/// Prints the findings.
pub fn run(args: &Args, context: &Context) -> Result<()> {
    show(context, &host::judge(&host::gather(&context.pin_dir, args.interface.as_deref())?))
}

/// Prints findings; fails if there are problems among them.
pub(super) fn show(context: &Context, report: &Report) -> Result<()> {
    render::show(context, report)?;
    if report.problems > 0 { Err(Told.into()) } else { Ok(()) }
}
