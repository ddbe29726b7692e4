//! `netfwd run`.

mod outcome;

use anyhow::{Result, bail};

use crate::{agent, cli, context::Context};
use outcome::Teller;

/// Follow the addresses of the host, until it is told to end
///
/// Stays in the foreground and does what an attach of each attached uplink would do, whenever an address or a bridge of
/// this host has changed: new flows get the uplink's new address, flows of an address that is gone end, the subnets of
/// new bridges are masqueraded too. An address that is still there is kept, also when the uplink gets a better one.
/// Prints a line for each change. Uplinks may be attached before and after it is started.
///
/// The translation does not depend on it: when it ends, the kernel goes on with what it knew last. SIGTERM and SIGINT
/// end it.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs.
pub fn run(_: &Args, context: &Context) -> Result<()> {
    if let Some(why) = context.pin_dir.why_hidden() {
        bail!(why);
    }
    let mut teller = Teller::default();
    agent::run(&context.pin_dir, |round| {
        let told = match round {
            Ok(round) => teller.round(round.as_ref()),
            Err(error) => teller.failure(cli::one_line(&error)),
        };
        told.failures.iter().for_each(|failure| context.complain(failure));
        told.warnings.iter().for_each(|warning| context.warn(warning));
        told.lines.iter().try_for_each(|line| context.say(line))
    })
}
