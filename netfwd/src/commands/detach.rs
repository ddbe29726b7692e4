//! `netfwd detach`.

use anyhow::Result;

use crate::{
    context::Context,
    datapath::uplinks::{self, Host},
};

/// Detach from uplinks
///
/// Removes what attach made, on the uplinks and on their bridges, and nothing else: forwarding stays as it is. The flows of the uplink's
/// subnets end. When the last uplink is detached, all mappings and flows go too, and nothing of netfwd stays in the
/// kernel. Detaching what is not attached is no error.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Args {
    /// The uplinks
    #[arg(value_name = "IFACE")]
    interfaces: Vec<String>,

    /// Detach from all uplinks, also those of another version of netfwd
    #[arg(long)]
    all: bool,
}

/// Detaches.
pub fn run(args: &Args, context: &Context) -> Result<()> {
    let host = Host::look()?;
    if args.all { detach_all(context, &host) } else { detach(args, context, &host) }
}

/// Detaches from everything, and says so.
pub(super) fn detach_all(context: &Context, host: &Host) -> Result<()> {
    if uplinks::detach_all(&context.pin_dir, host)? {
        context.say(&format!("detached, and removed everything in {}", context.pin_dir.path().display()))
    } else {
        context.say("not attached, nothing changed")
    }
}

fn detach(args: &Args, context: &Context, host: &Host) -> Result<()> {
    let interfaces: Vec<_> = args.interfaces.iter().map(|name| host.interfaces.named(name)).collect::<Result<_>>()?;
    let ifindexes: Vec<_> = interfaces.iter().map(|interface| interface.index).collect();
    let (detached, is_last) = uplinks::detach(&context.pin_dir, host, &ifindexes)?;
    for interface in interfaces {
        if detached.contains(&interface.index) {
            context.say(&format!("detached from {}", interface.name))?;
        } else {
            context.say(&format!("not attached to {}, nothing changed", interface.name))?;
        }
    }
    if is_last {
        context.say(&format!("removed everything in {}", context.pin_dir.path().display()))?;
    }
    Ok(())
}
