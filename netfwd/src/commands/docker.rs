//! `netfwd docker check`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;

use super::check::show;
use crate::{check::docker, context::Context};

/// Check a host that runs Docker, or is to run it
#[derive(Debug, clap::Args)]
#[command(disable_help_subcommand = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say what of Docker's own NAT is in netfwd's way
    ///
    /// Looks at the engine and its configuration, docker-proxy processes, rules that Docker has left, the FORWARD chain, and
    /// whether what containers publish is mapped. Says of each whether it is well, why it matters and what to do. Changes
    /// nothing.
    ///
    /// The engine is that of `DOCKER_HOST`, or at /var/run/docker.sock. Ends with 1 if there are problems.
    Check(Check),
}

#[derive(Debug, clap::Args)]
struct Check {
    /// The engine's configuration; unless given, that of the running engine
    #[arg(long, value_name = "FILE")]
    daemon_json: Option<PathBuf>,
}

/// Prints the findings.
pub fn run(args: &Args, context: &Context) -> Result<()> {
    let Verb::Check(check) = &args.verb;
    show(context, &docker::judge(&docker::gather(&context.pin_dir, check.daemon_json.as_deref())?))
}
