//! `netfwd apply`.

use std::path::PathBuf;

use anyhow::Result;

use super::attach::outcome;
use crate::{
    apply::{self, Applied},
    config,
    context::Context,
    host::{capabilities, interfaces::Interfaces, kernel, netlink::Netlink},
    render,
    report::plan::Plan,
};

/// Make what is running as a configuration file says
///
/// Prints what it changes: `+` what is added, `~` what becomes another, `-` what ends. What was attached or mapped by
/// hand stays; a mapping by hand on a host port of the file is an error. Everything is checked before anything is done,
/// and what fails half way is undone. Applying twice changes nothing.
///
/// Nothing follows the file: `netfwd run --config FILE` does that.
///
/// Example: `netfwd apply /etc/netfwd/netfwd.toml --dry-run`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,

    /// Only print what would change
    #[arg(long)]
    dry_run: bool,
}

/// Applies the file.
pub fn run(args: &Args, context: &Context) -> Result<()> {
    let config = config::read(&args.file)?;
    kernel::check()?;
    capabilities::check()?;
    let applied =
        if args.dry_run { apply::plan(&context.pin_dir, &config)? } else { apply::apply(&context.pin_dir, &config)? };
    render::show(context, &Plan::new(&applied.plan, !args.dry_run))?;
    warn(&applied, context)
}

fn warn(applied: &Applied, context: &Context) -> Result<()> {
    let interfaces =
        if applied.reports.is_empty() { Interfaces::default() } else { Netlink::connect()?.interfaces()? };
    for (request, report) in &applied.reports {
        let checksums = outcome::unfinished_checksums(&request.interface.name, &report.xdp);
        outcome::warnings(report, &interfaces).into_iter().chain(checksums).for_each(|warning| context.warn(&warning));
    }
    applied.notes.iter().for_each(|note| context.warn(note));
    Ok(())
}
