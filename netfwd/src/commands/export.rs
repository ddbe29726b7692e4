//! `netfwd export`.

use anyhow::Result;

use crate::{apply, context::Context};

/// Print what is running as a configuration file
///
/// Applying it changes nothing. The ports that Docker's containers publish and Docker's networks are left out: it says
/// that Docker is asked for them. What only `netfwd run` knows is left out too: `docker.socket` and `metrics`.
///
/// Example: `netfwd export > netfwd.toml`
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints the configuration.
pub fn run(_args: &Args, context: &Context) -> Result<()> {
    let config = apply::running(&context.pin_dir)?.config()?;
    if context.json { context.say_json(&config) } else { context.say(&config.text()?) }
}
