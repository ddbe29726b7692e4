//! `netfwd unmap`.

use anyhow::Result;

use crate::{
    context::Context,
    datapath::{mappings, maps::Maps},
    mapping::HostPorts,
};

/// Stop forwarding host ports
///
/// The mappings end, and all their flows with them, at once. Either all are removed or none.
///
/// Example: `netfwd unmap 8080 53/udp`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to remove: `[HOST_IP:]HOST_PORT[/tcp|udp]`
    #[arg(required_unless_present = "all", value_name = "HOST_PORT")]
    hosts: Vec<HostPorts>,

    /// Remove all mappings
    #[arg(long, conflicts_with = "hosts")]
    all: bool,
}

/// Removes the mappings.
pub fn run(args: &Args, context: &Context) -> Result<()> {
    let _lock = context.pin_dir.lock()?;
    let mut maps = Maps::open(&context.pin_dir)?;
    let removed = if args.all { mappings::remove_all(&mut maps)? } else { mappings::remove(&mut maps, &args.hosts)? };
    if removed.is_empty() {
        return context.say("no mappings, nothing changed");
    }
    for mapping in removed {
        context.say(&format!("unmapped {} from {}:{}", mapping.host, mapping.container, mapping.container_ports()))?;
    }
    Ok(())
}
